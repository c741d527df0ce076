/* SPDX-License-Identifier: MIT
 *
 * when.h: points in time and spans, as people and programs write them. Pure.
 */
#ifndef COLLECTOR_QUERY_WHEN_H
#define COLLECTOR_QUERY_WHEN_H

#include <stdint.h>

#define WHEN_TEXT 32              /* bytes of a formatted time */
#define WHEN_MIN  0               /* 1970-01-01 */
#define WHEN_MAX  253402300799999 /* the last millisecond of the year 9999 */

#define WHEN_EXPECTED "RFC 3339 (2026-11-20T08:00:00Z), Unix milliseconds, now, or relative (-15m, -24h, -7d)"
#define SPAN_EXPECTED "a number and a unit: ms, s, m, h, d or w (15m)"

/* Parses a point in time: RFC 3339 with Z or an offset (a date alone is its midnight, UTC), Unix
 * milliseconds, `now`, or a span before now (`-24h`). 0, or -1 and *out_ms untouched. */
int when_parse(const char *text, int64_t now_ms, int64_t *out_ms);

/* Parses a positive span (`15m`, `1h`, `90s`, `500ms`). 0, or -1 and *out_ms untouched. */
int when_span(const char *text, int64_t *out_ms);

/* Writes ms as RFC 3339, UTC, with milliseconds. Outside WHEN_MIN..WHEN_MAX: the nearer end. */
void when_format(int64_t ms, char out[WHEN_TEXT]);

#endif
