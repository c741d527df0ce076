/* SPDX-License-Identifier: MIT */
#include "policy.h"

#include <stdlib.h>
#include <string.h>

#include "definition.h"

void policy_free(struct policy *p)
{
    if (p == NULL)
        return;
    scope_fini(&p->scope);
    patterns_free(p->allow_lane, p->allow_lanes);
    patterns_free(p->allow_model, p->allow_models);
    patterns_free(p->deny_model, p->deny_models);
    free(p->use_model);
    free(p->use_lane);
    free(p);
}

/* ------------------------------------------------------------------ reading */

static int read_list(const json_t *given, const char *key, char ***list, unsigned *count, struct fault *fault)
{
    json_t *value = definition_get(given, key);

    return value != NULL ? patterns_parse(value, key, list, count, fault) : 0;
}

static struct slice slice_of(const char *text)
{
    return (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static bool allows(char *const *list, unsigned count, const char *name)
{
    return count == 0 || patterns_fit(list, count, slice_of(name));
}

/* What is to be used instead must be allowed itself, else a call would go round in circles. */
static int check_defaults(const struct policy *p, const json_t *given, struct fault *fault)
{
    const json_t *model = definition_get(given, "default_model"),
                 *lane = definition_get(given, "default_lane");

    if (p->allow_lanes + p->allow_models + p->deny_models == 0)
        return definition_fault(fault, "policy", NULL,
                                "at least one of allow_lanes, allow_models and deny_models");
    if (p->use_model != NULL && p->allow_models + p->deny_models == 0)
        return definition_fault(fault, "default_model", model, "allow_models or deny_models beside it");
    if (p->use_model != NULL && (!allows(p->allow_model, p->allow_models, p->use_model) ||
                                 patterns_fit(p->deny_model, p->deny_models, slice_of(p->use_model))))
        return definition_fault(fault, "default_model", model, "a model that the policy allows");
    if (p->use_lane != NULL && !allows(p->allow_lane, p->allow_lanes, p->use_lane))
        return definition_fault(fault, "default_lane", lane, "a lane that the policy allows");
    return 0;
}

static int read_all(const json_t *given, struct policy *p, struct fault *fault)
{
    static const char *const known[] = { "name",         "scope",       "allow_lanes",
                                         "allow_models", "deny_models", "default_model",
                                         "default_lane", "shadow",      NULL };

    if (definition_keys(given, known, fault) != 0 ||
        definition_name(given, BUDGET_NAME_MAX, p->name, fault) != 0 ||
        scope_parse(json_object_get(given, "scope"), &p->scope, fault) != 0 ||
        read_list(given, "allow_lanes", &p->allow_lane, &p->allow_lanes, fault) != 0 ||
        read_list(given, "allow_models", &p->allow_model, &p->allow_models, fault) != 0 ||
        read_list(given, "deny_models", &p->deny_model, &p->deny_models, fault) != 0)
        return -1;
    if (definition_text(given, "default_model", "default_model", BUDGET_TEXT_MAX, &p->use_model, fault) !=
            0 ||
        definition_text(given, "default_lane", "default_lane", BUDGET_TEXT_MAX, &p->use_lane, fault) != 0 ||
        definition_bool(given, "shadow", &p->shadow, fault) != 0)
        return -1;
    return check_defaults(p, given, fault);
}

int policy_parse(const json_t *definition, struct policy **out, struct fault *fault)
{
    if (!json_is_object(definition))
        return definition_fault(fault, "policy", definition, "a map with name and at least one list");
    struct policy *p = calloc(1, sizeof *p);
    if (p == NULL)
        return definition_no_memory(fault, "policy");
    if (read_all(definition, p, fault) != 0) {
        policy_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

static bool put_list(json_t *out, const char *key, char *const *list, unsigned count)
{
    return count == 0 || definition_put(out, key, patterns_json(list, count));
}

static bool put_text(json_t *out, const char *key, const char *text)
{
    return text == NULL || definition_put(out, key, json_string(text));
}

json_t *policy_json(const struct policy *p)
{
    json_t *out = json_object();

    if (put_text(out, "name", p->name) && definition_put(out, "scope", scope_json(&p->scope)) &&
        put_list(out, "allow_lanes", p->allow_lane, p->allow_lanes) &&
        put_list(out, "allow_models", p->allow_model, p->allow_models) &&
        put_list(out, "deny_models", p->deny_model, p->deny_models) &&
        put_text(out, "default_model", p->use_model) && put_text(out, "default_lane", p->use_lane) &&
        definition_put(out, "shadow", json_boolean(p->shadow)))
        return out;
    json_decref(out);
    return NULL;
}
