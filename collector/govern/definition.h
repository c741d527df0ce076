/* SPDX-License-Identifier: MIT
 *
 * definition.h: what the readers of definitions (scopes, budgets, policies) share: JSON objects with known
 * keys, and faults that quote what was given. A key that is null is taken as not given. Pure.
 */
#ifndef COLLECTOR_DEFINITION_H
#define COLLECTOR_DEFINITION_H

#include <jansson.h>
#include <stdbool.h>

#include "fault.h"

/* Fills fault: field, given (NULL: none) as text or JSON, cut at a character, and what was expected.
 * Returns -1. */
__attribute__((format(printf, 4, 5))) int definition_fault(struct fault *fault, const char *field,
                                                           const json_t *given, const char *expected, ...);
int definition_no_memory(struct fault *fault, const char *field);

/* The key's value; NULL: not given. */
json_t *definition_get(const json_t *object, const char *key);

/* Every key must be one of `known`, which ends with NULL. 0, or -1 and fault. */
int definition_keys(const json_t *object, const char *const *known, struct fault *fault);

/* A text of 1 to max bytes: *out is then a copy that the caller owns. Not given: *out stays. 0, or -1 and
 * fault. */
int definition_text(const json_t *object, const char *key, const char *field, size_t max, char **out,
                    struct fault *fault);

/* true or false. Not given: *out stays. */
int definition_bool(const json_t *object, const char *key, bool *out, struct fault *fault);

/* One of `choices`, which ends with NULL: *out is its place. Not given: *out stays. */
int definition_choice(const json_t *object, const char *key, const char *const *choices, int *out,
                      struct fault *fault);

/* Letters, digits, . _ - from 1 to max bytes, into out of max + 1. Must be given. */
int definition_name(const json_t *object, size_t max, char *out, struct fault *fault);

/* Adds a value, which is then the object's; NULL: there was no memory for it. False: no memory. */
static inline bool definition_put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

#endif
