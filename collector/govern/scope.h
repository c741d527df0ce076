/* SPDX-License-Identifier: MIT
 *
 * scope.h: which calls a rule is about: conditions that must all hold, each a list of patterns for one
 * field. What a pattern is stands in schema/wire.md (entries). Immutable once made; any thread may ask.
 */
#ifndef COLLECTOR_SCOPE_H
#define COLLECTOR_SCOPE_H

#include <jansson.h>

#include "fault.h"
#include "subject.h"

#define SCOPE_TERMS_MAX    16
#define SCOPE_PATTERNS_MAX 256 /* of one term */

struct scope_term {
    uint8_t field;  /* enum subject_field, SUBJECT_TAG */
    bool negated;   /* holds if no pattern fits */
    char *tag;      /* owned; name of the tag, else NULL */
    char **pattern; /* owned, and each of them */
    unsigned patterns;
};

/* Zeroed: no condition, everything is in it. */
struct scope {
    struct scope_term *term; /* owned */
    unsigned terms;
};

/* A JSON object from fields to a pattern or a list of them: {"agent": "research*", "model": ["a", "b"],
 * "tag.team": "x", "lane": {"not": ["batch"]}}. NULL or {}: everything. On failure -1, *fault says where (its
 * field begins with "scope."), *out is untouched. */
int scope_parse(const json_t *definition, struct scope *out, struct fault *fault);
void scope_fini(struct scope *s);

/* As scope_parse takes it; a new reference, NULL: no memory. */
json_t *scope_json(const struct scope *s);

bool scope_holds(const struct scope *s, const struct subject *who);
bool scope_term_holds(const struct scope_term *t, const struct subject *who);

/* Whether any condition is about a session or its root: then a combination of names alone cannot say. */
bool scope_needs_session(const struct scope *s);

/* Whether there may be a call that is in both: false only if it is certain that there is none. */
bool scopes_may_meet(const struct scope *a, const struct scope *b);

/* Text against a pattern with * and \. */
bool pattern_fits(const char *pattern, struct slice text);

#endif
