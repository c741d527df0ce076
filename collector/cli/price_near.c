/* SPDX-License-Identifier: MIT
 *
 * Names that somebody may have meant.
 */
#include <string.h>
#include <strings.h>

#include "price.h"

#define NEAR_MAX      5
#define NAME_MAX_NEAR 64 /* bytes of a name that are compared */

struct near {
    const struct price *price;
    unsigned distance;
};

/* How many letters must be put in, taken out or changed. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_NEAR + 1];
    size_t n = strnlen(b, NAME_MAX_NEAR), m = strnlen(a, NAME_MAX_NEAR);

    for (unsigned k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; i < m; i++) {
        unsigned diagonal = row[0];
        row[0]++;
        for (size_t k = 0; k < n; k++) {
            unsigned change = diagonal + (strncasecmp(a + i, b + k, 1) != 0);
            unsigned least = row[k] < row[k + 1] ? row[k] + 1 : row[k + 1] + 1;
            diagonal = row[k + 1];
            row[k + 1] = change < least ? change : least;
        }
    }
    return row[n];
}

static bool is_there(const struct near *best, unsigned count, const struct price *p)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(best[i].price->model, p->model) == 0)
            return true;
    return false;
}

/* Keeps the nearest, in order. */
static void offer(struct near *best, unsigned *count, struct near one)
{
    unsigned at = *count < NEAR_MAX ? (*count)++ : NEAR_MAX;

    while (at > 0 && best[at - 1].distance > one.distance) {
        if (at < NEAR_MAX)
            best[at] = best[at - 1];
        at--;
    }
    if (at < NEAR_MAX)
        best[at] = one;
}

void price_near(const struct price_list *l, const char *provider, const char *model, char *out, size_t size)
{
    struct near best[NEAR_MAX];
    unsigned count = 0, far = 2 + (unsigned)strnlen(model, NAME_MAX_NEAR) / 3;
    size_t used = 0;

    for (size_t i = 0; price_list_at(l, i) != NULL; i++) {
        const struct price *p = price_list_at(l, i);
        if ((provider != NULL && strcasecmp(provider, p->provider) != 0) || is_there(best, count, p))
            continue;
        unsigned d = distance(model, p->model);
        if (d <= far)
            offer(best, &count, (struct near){ p, d });
    }
    out[0] = 0;
    for (unsigned i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "", best[i].price->model);
}
