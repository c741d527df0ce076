/* SPDX-License-Identifier: MIT
 *
 * named.h: turns an event that is not in the ordinary form into one that is. Off the hot path.
 */
#ifndef COLLECTOR_NAMED_H
#define COLLECTOR_NAMED_H

#include "decode.h"

/* An event as a map of names becomes an array of positions; values stay as they are. out borrows
 * from the arena. 0, DECODE_REFUSED (fault filled) or DECODE_NOMEM. */
int named_to_positional(struct slice map, struct arena *arena, struct slice *out, struct decode_fault *fault);

/* A copy of a positional event in which every string is UTF-8. 0 or DECODE_NOMEM. */
int named_repair_utf8(struct slice event, struct arena *arena, struct slice *out, uint32_t *repaired);

/* The position of a field of that kind of event, or -1. */
int named_position(int kind, const char *name, size_t len);

#endif
