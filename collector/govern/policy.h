/* SPDX-License-Identifier: MIT
 *
 * policy.h: which models and lanes calls may use, whatever they cost. Immutable once made.
 */
#ifndef COLLECTOR_POLICY_H
#define COLLECTOR_POLICY_H

#include "budget.h"

#define POLICIES_MAX 1000

struct policy {
    char name[BUDGET_NAME_MAX + 1];
    struct scope scope;                             /* whom it is about */
    char **allow_lane, **allow_model, **deny_model; /* owned; patterns; NULL: none given */
    unsigned allow_lanes, allow_models, deny_models;
    char *use_model, *use_lane; /* owned; what to use instead, NULL: nothing: block */
    bool shadow;
};

/* {"name", "scope", "allow_lanes": [...], "allow_models": [...], "deny_models": [...], "default_model",
 * "default_lane", "shadow"}: at least one of the three lists. As budget_parse. */
int policy_parse(const json_t *definition, struct policy **out, struct fault *fault);
void policy_free(struct policy *p); /* NULL is fine */
json_t *policy_json(const struct policy *p);

/* A policy as rules that verdict entries can say: each has conditions and one outcome. */
struct rule {
    const char *name;   /* borrowed from the policy */
    struct scope when;  /* owned */
    enum action action; /* ACTION_DOWNGRADE if there is something to use instead, else ACTION_BLOCK */
    const char *use_model, *use_lane; /* borrowed; NULL */
    char text[256]; /* a sentence: which lane or model is not allowed, which ones are, which to use */
};
#define POLICY_RULES_MAX 3
/* Returns how many, or -1: no memory. The conditions hold also for a call whose model or lane is unknown only
 * where a pattern for the empty value says so: what is not known cannot be judged. */
int policy_rules(const struct policy *p, struct rule out[POLICY_RULES_MAX]);
void rule_fini(struct rule *r);

#endif
