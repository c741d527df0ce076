/* SPDX-License-Identifier: MIT */
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#include "definition.h"

#define TAG_PREFIX "tag."

/* ------------------------------------------------------------------- fields */

int scope_field_parse(const char *name, uint8_t *field, char **tag)
{
    size_t prefix = sizeof TAG_PREFIX - 1;

    if (strncmp(name, TAG_PREFIX, prefix) == 0) {
        size_t len = strlen(name + prefix);
        if (len == 0 || len > SCOPE_TAG_MAX)
            return -1;
        *field = SUBJECT_TAG;
        *tag = strdup(name + prefix);
        return *tag != NULL ? 0 : -1;
    }
    int code = subject_field_code(name, strlen(name));
    if (code < 0 || code == SUBJECT_TAG)
        return -1;
    *field = (uint8_t)code;
    *tag = NULL;
    return 0;
}

void scope_field_text(int field, const char *tag, char out[SCOPE_FIELD_TEXT])
{
    snprintf(out, SCOPE_FIELD_TEXT, "%s%s%s", subject_field_name(field), tag != NULL ? "." : "",
             tag != NULL ? tag : "");
}

/* ------------------------------------------------------------------ reading */

static void term_fini(struct scope_term *t)
{
    free(t->tag);
    patterns_free(t->pattern, t->patterns);
}

void scope_fini(struct scope *s)
{
    for (unsigned i = 0; i < s->terms; i++)
        term_fini(&s->term[i]);
    free(s->term);
    *s = (struct scope){ 0 };
}

/* A trigger has one of a few names: a pattern that fits none of them is a mistake. */
static int check_triggers(const struct scope_term *t, struct fault *fault)
{
    static const char *const triggers[] = {
#define TG_TRIGGER(code, name) #name,
#include "../../schema/event.def"
    };

    for (unsigned i = 0; i < t->patterns; i++) {
        bool fits = t->pattern[i][0] == '\0';
        for (size_t k = 0; k < sizeof triggers / sizeof *triggers && !fits; k++)
            fits = pattern_fits(
                t->pattern[i], (struct slice){ (const uint8_t *)triggers[k], (uint32_t)strlen(triggers[k]) });
        if (fits)
            continue;
        json_t *given = json_string(t->pattern[i]);
        definition_fault(fault, "scope.trigger", given,
                         "user, heartbeat, cron, subagent, compaction, retry, plugin, or \"\" for unknown");
        json_decref(given);
        return -1;
    }
    return 0;
}

static int parse_term(const char *name, const json_t *given, struct scope_term *t, struct fault *fault)
{
    char field[sizeof fault->field];
    json_t *inner = json_object_get(given, "not");

    snprintf(field, sizeof field, "scope.%.80s", name);
    if (scope_field_parse(name, &t->field, &t->tag) != 0)
        return definition_fault(fault, field, given, SCOPE_FIELDS_EXPECTED);
    if (json_is_object(given) && (inner == NULL || json_object_size(given) != 1))
        return definition_fault(fault, field, given, "a pattern, a list of them, or {\"not\": one of both}");
    t->negated = inner != NULL;
    if (patterns_parse(inner != NULL ? inner : given, field, &t->pattern, &t->patterns, fault) != 0)
        return -1;
    return t->field == SUBJECT_trigger ? check_triggers(t, fault) : 0;
}

static int by_field(const void *a, const void *b)
{
    const struct scope_term *x = a, *y = b;

    if (x->field != y->field)
        return x->field < y->field ? -1 : 1;
    return x->tag != NULL ? strcmp(x->tag, y->tag) : 0;
}

/* "agent" and "agent_id" are one field. */
static int check_twice(struct scope *s, struct fault *fault)
{
    char name[SCOPE_FIELD_TEXT], field[sizeof fault->field];

    if (s->terms > 1)
        qsort(s->term, s->terms, sizeof *s->term, by_field);
    for (unsigned i = 1; i < s->terms; i++)
        if (by_field(&s->term[i - 1], &s->term[i]) == 0) {
            scope_field_text(s->term[i].field, s->term[i].tag, name);
            snprintf(field, sizeof field, "scope.%.80s", name);
            return definition_fault(fault, field, NULL, "each field once");
        }
    return 0;
}

static int parse_terms(const json_t *map, struct scope *s, struct fault *fault)
{
    const char *name;
    json_t *given;

    if ((s->term = calloc(json_object_size(map), sizeof *s->term)) == NULL)
        return definition_no_memory(fault, "scope");
    json_object_foreach((json_t *)map, name, given)
    {
        if (parse_term(name, given, &s->term[s->terms++], fault) != 0)
            return -1;
    }
    return check_twice(s, fault);
}

int scope_parse(const json_t *definition, struct scope *out, struct fault *fault)
{
    struct scope s = { 0 };

    if (definition != NULL && !json_is_null(definition) && !json_is_object(definition))
        return definition_fault(fault, "scope", definition,
                                "a map from fields to patterns, as {agent: \"a*\"}");
    if (json_object_size(definition) > SCOPE_TERMS_MAX)
        return definition_fault(fault, "scope", definition, "at most %d conditions", SCOPE_TERMS_MAX);
    if (json_object_size(definition) > 0 && parse_terms(definition, &s, fault) != 0) {
        scope_fini(&s);
        return -1;
    }
    *out = s;
    return 0;
}

static json_t *term_json(const struct scope_term *t)
{
    json_t *list = patterns_json(t->pattern, t->patterns);

    return t->negated && list != NULL ? json_pack("{s:o}", "not", list) : list;
}

json_t *scope_json(const struct scope *s)
{
    json_t *object = json_object();
    char name[SCOPE_FIELD_TEXT];

    for (unsigned i = 0; i < s->terms; i++) {
        scope_field_text(s->term[i].field, s->term[i].tag, name);
        if (json_object_set_new(object, name, term_json(&s->term[i])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* ------------------------------------------------------------------- asking */

bool scope_term_holds(const struct scope_term *t, const struct subject *who)
{
    return patterns_fit(t->pattern, t->patterns, subject_value(who, t->field, t->tag)) != t->negated;
}

bool scope_holds(const struct scope *s, const struct subject *who)
{
    for (unsigned i = 0; i < s->terms; i++)
        if (!scope_term_holds(&s->term[i], who))
            return false;
    return true;
}

bool scope_needs_session(const struct scope *s)
{
    for (unsigned i = 0; i < s->terms; i++)
        if (s->term[i].field == SUBJECT_session_id || s->term[i].field == SUBJECT_root_session_id)
            return true;
    return false;
}

/* ---------------------------------------------------------------- comparing */

/* Whether every pattern of `these` lies within one of `those`. */
static bool all_within(const struct scope_term *these, const struct scope_term *those)
{
    for (unsigned i = 0; i < these->patterns; i++) {
        bool within = false;
        for (unsigned k = 0; k < those->patterns && !within; k++)
            within = pattern_is_within(these->pattern[i], those->pattern[k]);
        if (!within)
            return false;
    }
    return true;
}

/* Two conditions on one field. */
static bool terms_may_meet(const struct scope_term *a, const struct scope_term *b)
{
    if (a->negated && b->negated)
        return true;
    if (a->negated || b->negated)
        return a->negated ? !all_within(b, a) : !all_within(a, b);
    for (unsigned i = 0; i < a->patterns; i++)
        for (unsigned k = 0; k < b->patterns; k++)
            if (pattern_may_meet(a->pattern[i], b->pattern[k]))
                return true;
    return false;
}

bool scopes_may_meet(const struct scope *a, const struct scope *b)
{
    for (unsigned i = 0; i < a->terms; i++)
        for (unsigned k = 0; k < b->terms; k++)
            if (by_field(&a->term[i], &b->term[k]) == 0 && !terms_may_meet(&a->term[i], &b->term[k]))
                return false;
    return true;
}

bool scope_terms_equal(const struct scope_term *a, const struct scope_term *b)
{
    return by_field(a, b) == 0 && a->negated == b->negated &&
           patterns_equal(a->pattern, a->patterns, b->pattern, b->patterns);
}

bool scopes_equal(const struct scope *a, const struct scope *b)
{
    for (unsigned i = 0; i < a->terms && a->terms == b->terms; i++)
        if (!scope_terms_equal(&a->term[i], &b->term[i]))
            return false;
    return a->terms == b->terms;
}
