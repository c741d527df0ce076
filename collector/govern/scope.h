/* SPDX-License-Identifier: MIT
 *
 * scope.h: which calls a rule is about: conditions that must all hold, each a list of patterns for one
 * field. What a pattern is stands in schema/wire.md (entries). Immutable once made; any thread may ask.
 */
#ifndef COLLECTOR_SCOPE_H
#define COLLECTOR_SCOPE_H

#include <jansson.h>

#include "fault.h"
#include "pattern.h"
#include "subject.h"

#define SCOPE_TERMS_MAX 16
#define SCOPE_TAG_MAX   255 /* bytes of a tag's name, as on the wire */

struct scope_term {
    uint8_t field;  /* enum subject_field, SUBJECT_TAG */
    bool negated;   /* holds if no pattern fits */
    char *tag;      /* owned; name of the tag, else NULL */
    char **pattern; /* owned, and each of them; sorted, PATTERNS_MAX at most */
    unsigned patterns;
};

/* Zeroed: no condition, everything is in it. */
struct scope {
    struct scope_term *term; /* owned; as parsed, in the order of field and tag, one for each */
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

/* Whether both say the same. */
bool scopes_equal(const struct scope *a, const struct scope *b);
bool scope_terms_equal(const struct scope_term *a, const struct scope_term *b);

/* Reads "agent", or "tag.NAME" with *tag then a copy that the caller owns, else NULL. 0; -1: it is no field
 * (or no memory: *field is then a field); the caller says so. */
int scope_field_parse(const char *name, uint8_t *field, char **tag);

/* The other way round: "agent", "tag.NAME". */
#define SCOPE_FIELD_TEXT (SCOPE_TAG_MAX + 5)
void scope_field_text(int field, const char *tag, char out[SCOPE_FIELD_TEXT]);
#define SCOPE_FIELDS_EXPECTED \
    "agent, session, root_session, user, provider, model, lane, surface, channel, trigger or tag.NAME"

#endif
