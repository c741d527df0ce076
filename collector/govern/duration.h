/* SPDX-License-Identifier: MIT
 *
 * duration.h: spans of time as people write them: a whole number and one unit, ms, s, m, h, d or w. Pure.
 */
#ifndef COLLECTOR_DURATION_H
#define COLLECTOR_DURATION_H

#include <stdbool.h>
#include <stdint.h>

#define DURATION_MAX_MS   ((int64_t)36500 * 24 * 3600 * 1000) /* about a hundred years */
#define DURATION_TEXT_MAX 32

/* "90s", "5m", "12h", "30d", "2w", "500ms" in milliseconds, from 1 to DURATION_MAX_MS. False: it is none. */
bool duration_parse(const char *text, int64_t *ms);

/* In the largest unit that says it exactly. */
void duration_text(int64_t ms, char out[DURATION_TEXT_MAX]);

#endif
