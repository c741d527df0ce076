/* SPDX-License-Identifier: MIT
 *
 * price_rule.h: which names an entry of the price list is about: equals, starts_with, ends_with, contains,
 * regex, and, or. Immutable once made; any thread may ask. Letters of ASCII match in both cases, as names
 * come folded (price_name); a regex sees the folded name.
 */
#ifndef COLLECTOR_PRICE_RULE_H
#define COLLECTOR_PRICE_RULE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/arena.h"
#include "../base/event.h"
#include "fault.h"

#define PRICE_NAME_MAX   255
#define PRICE_RULE_DEPTH 8

/* A name without blanks around it, its letters A to Z small. */
struct price_name {
    uint32_t len;
    char text[PRICE_NAME_MAX + 1];
};

/* False: there is none, or it is longer than any name of an event. */
bool price_name_read(struct slice given, struct price_name *out);

/* A name from some byte on, as one. */
void price_name_rest(const struct price_name *n, uint32_t from, struct price_name *out);

struct price_rule;

/* {"starts_with": "gpt-"}, {"or": [RULE, ...]} and so on. The rule lives in arena, but for its regexes: give
 * it to price_rule_fini before. NULL: *fault says why, its field is name or begins so. */
struct price_rule *price_rule_parse(const json_t *given, const char *name, struct arena *arena,
                                    struct fault *fault);
void price_rule_fini(struct price_rule *r); /* NULL is fine */

bool price_rule_fits(const struct price_rule *r, const struct price_name *name);

#endif
