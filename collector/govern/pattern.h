/* SPDX-License-Identifier: MIT
 *
 * pattern.h: names as rules give them. `*` stands for any number of bytes, `\` takes the meaning from the
 * next byte, the rest is compared byte by byte; the empty pattern is an unknown value, which no other pattern
 * fits. Pure; any thread.
 */
#ifndef COLLECTOR_PATTERN_H
#define COLLECTOR_PATTERN_H

#include <jansson.h>
#include <stdbool.h>

#include "../base/event.h"
#include "fault.h"

#define PATTERN_MAX  512 /* bytes */
#define PATTERNS_MAX 256 /* of one list */

/* In time that grows with the product of both lengths at most. An empty text is unknown. A `\` at the end
 * stands for itself. */
bool pattern_fits(const char *pattern, struct slice text);

/* Whether there may be a text that both fit: false only if it is certain that there is none. */
bool pattern_may_meet(const char *a, const char *b);

/* Whether everything that narrow fits, wide fits too: true only if it is certain. */
bool pattern_is_within(const char *narrow, const char *wide);

/* Whether any of them fits. */
bool patterns_fit(char *const *list, unsigned count, struct slice text);

/* One pattern or a list of them; whole numbers are taken as their digits. Sorted, each one once. On failure
 * -1, *fault says why under the name `field`, and nothing is touched. The list is the caller's. */
int patterns_parse(const json_t *given, const char *field, char ***list, unsigned *count,
                   struct fault *fault);
void patterns_free(char **list, unsigned count);

/* One text or a list, as patterns_parse takes it; a new reference, NULL: no memory. */
json_t *patterns_json(char *const *list, unsigned count);

/* Whether both lists are the same. */
bool patterns_equal(char *const *a, unsigned a_count, char *const *b, unsigned b_count);

#endif
