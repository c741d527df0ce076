/* SPDX-License-Identifier: MIT
 *
 * price_costs: what calls cost by the price list in the binary. Reads lines of nine fields between tabs:
 * provider, model (empty: unknown), Unix milliseconds, prompt, completion, cached, cache-write, one-hour
 * cache-write and reasoning tokens (-1: unknown). Writes for each the entry's provider and model and the cost
 * in nano-dollars; "none": there is no price, "unknown": tokens are missing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/govern/price_list.h"

#define FIELDS 9

static bool split(char *line, char *field[FIELDS])
{
    line[strcspn(line, "\n")] = 0;
    for (int i = 0; i < FIELDS; i++)
        field[i] = strsep(&line, "\t");
    return field[FIELDS - 1] != NULL && line == NULL;
}

static struct slice text(const char *s)
{
    return (struct slice){ s[0] ? (const uint8_t *)s : NULL, (uint32_t)strlen(s) };
}

static void answer(const struct price_list *l, char *f[FIELDS])
{
    int64_t n[6];
    struct nanousd cost;

    for (int i = 0; i < 6; i++)
        n[i] = strtoll(f[3 + i], NULL, 10);
    struct price_usage u = { n[0], n[1], n[2], n[3], n[4], n[5] };
    const struct price *p = price_list_find(l, text(f[0]), text(f[1]), strtoll(f[2], NULL, 10));
    if (p == NULL)
        puts("none");
    else if (!price_cost(p, &u, &cost))
        puts("unknown");
    else
        printf("%s\t%s\t%" PRId64 "\n", p->provider, p->model, cost.n);
}

int main(void)
{
    struct price_list *l;
    struct fault fault = { 0 };
    char *line = NULL, *field[FIELDS];
    size_t room = 0;

    if (price_list_load(NULL, NULL, &l, &fault) != 0) {
        fprintf(stderr, "price_costs: %s: %s where %s was expected\n", fault.field, fault.value,
                fault.expected);
        return 1;
    }
    while (getline(&line, &room, stdin) > 0) {
        if (!split(line, field)) {
            fprintf(stderr, "price_costs: %d fields were expected\n", FIELDS);
            return 1;
        }
        answer(l, field);
    }
    free(line);
    price_list_free(l);
    return 0;
}
