/* SPDX-License-Identifier: MIT */
#include "duration.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SECOND_MS 1000LL
#define DAY_MS    (86400 * SECOND_MS)

/* The largest first; the last one divides everything. */
static const struct {
    const char *name;
    int64_t ms;
} units[] = { { "w", 7 * DAY_MS },     { "d", DAY_MS },    { "h", 3600 * SECOND_MS },
              { "m", 60 * SECOND_MS }, { "s", SECOND_MS }, { "ms", 1 } };
#define UNITS (sizeof units / sizeof *units)

bool duration_parse(const char *text, int64_t *ms)
{
    int64_t n = 0;

    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        if ((n = n * 10 + (*text - '0')) > DURATION_MAX_MS)
            return false;
    for (size_t i = 0; i < UNITS; i++)
        if (strcmp(text, units[i].name) == 0 && n > 0 && n <= DURATION_MAX_MS / units[i].ms) {
            *ms = n * units[i].ms;
            return true;
        }
    return false;
}

void duration_text(int64_t ms, char out[DURATION_TEXT_MAX])
{
    size_t i = 0;

    while (ms % units[i].ms != 0)
        i++;
    snprintf(out, DURATION_TEXT_MAX, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
}
