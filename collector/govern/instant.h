/* SPDX-License-Identifier: MIT
 *
 * instant.h: points in time in definitions: RFC 3339. Pure.
 */
#ifndef COLLECTOR_INSTANT_H
#define COLLECTOR_INSTANT_H

#include <stdbool.h>
#include <stdint.h>

#define INSTANT_TEXT 32

/* "2026-11-01T00:00:00Z", with a fraction of up to 3 digits, with an offset as +05:45, or a date alone: its
 * midnight in UTC. From 1970 to 9999. False: it is none. */
bool instant_parse(const char *text, int64_t *ms);

/* In UTC, with milliseconds if there are any. */
void instant_text(int64_t ms, char out[INSTANT_TEXT]);

#endif
