/* SPDX-License-Identifier: MIT
 *
 * policy_rules.c: a policy taken apart. A list of what is allowed becomes a condition that none of it fits;
 * the empty pattern joins that list, for what is not known cannot be judged.
 */
#include <stdlib.h>
#include <string.h>

#include "line.h"
#include "policy.h"

#define LIST_BYTES 96

void rule_fini(struct rule *r)
{
    scope_fini(&r->when);
}

/* A copy of the list, with the empty pattern first if with_unknown. NULL: no memory. */
static char **copy_list(char *const *list, unsigned count, bool with_unknown, unsigned *copied)
{
    char **out = calloc(count + 1, sizeof *out);
    unsigned n = 0;

    if (out == NULL)
        return NULL;
    if (with_unknown && list[0][0] != '\0' && (out[n++] = strdup("")) == NULL)
        goto fail;
    for (unsigned i = 0; i < count; i++)
        if ((out[n++] = strdup(list[i])) == NULL)
            goto fail;
    *copied = n;
    return out;
fail:
    patterns_free(out, n);
    return NULL;
}

static int copy_term(const struct scope_term *from, struct scope_term *to)
{
    to->field = from->field;
    to->negated = from->negated;
    if (from->tag != NULL && (to->tag = strdup(from->tag)) == NULL)
        return -1;
    to->pattern = copy_list(from->pattern, from->patterns, false, &to->patterns);
    return to->pattern != NULL ? 0 : -1;
}

/* The policy's scope with one more condition at its end. On failure *when holds what is to be freed. */
static int make_scope(const struct policy *p, int field, bool negated, char *const *list, unsigned count,
                      struct scope *when)
{
    struct scope_term *last;

    *when = (struct scope){ .term = calloc(p->scope.terms + 1, sizeof *when->term) };
    if (when->term == NULL)
        return -1;
    for (unsigned i = 0; i < p->scope.terms; i++)
        if (copy_term(&p->scope.term[i], &when->term[when->terms++]) != 0)
            return -1;
    last = &when->term[when->terms++];
    last->field = (uint8_t)field;
    last->negated = negated;
    last->pattern = copy_list(list, count, negated, &last->patterns);
    return last->pattern != NULL ? 0 : -1;
}

/* ------------------------------------------------------------------- saying */

/* "a, b and 3 more": as many as LIST_BYTES hold. */
static void add_list(struct line *l, char *const *list, unsigned count)
{
    size_t room = LIST_BYTES;
    char more[32];

    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(list[i]) + 2;
        if (len > room && i > 0) {
            snprintf(more, sizeof more, " and %u more", count - i);
            line_text(l, more);
            return;
        }
        room -= len < room ? len : room;
        line_text(l, i > 0 ? ", " : "");
        line_text(l, list[i][0] != '\0' ? list[i] : "(unknown)");
    }
}

static void say(struct rule *r, const char *what, bool negated, char *const *list, unsigned count)
{
    struct line l = line_of(r->text, sizeof r->text);

    line_text(&l, "policy ");
    line_text(&l, r->name);
    line_text(&l, negated ? ": only " : ": ");
    line_text(&l, what);
    line_text(&l, count > 1 ? "s " : " ");
    add_list(&l, list, count);
    line_text(&l, count > 1 ? " are " : " is ");
    line_text(&l, negated ? "allowed here" : "not allowed here");
    if (r->use_model != NULL) {
        line_text(&l, "; use model ");
        line_text(&l, r->use_model);
    }
    if (r->use_lane != NULL) {
        line_text(&l, r->use_model != NULL ? " on lane " : "; use lane ");
        line_text(&l, r->use_lane);
    }
}

/* -------------------------------------------------------------------- rules */

/* A wrong lane is left for another lane; a wrong model for another model, lane or both. */
static int make_rule(const struct policy *p, int field, bool negated, char *const *list, unsigned count,
                     struct rule *r)
{
    bool is_model = field == SUBJECT_model;

    *r = (struct rule){ .name = p->name,
                        .use_model = is_model ? p->use_model : NULL,
                        .use_lane = p->use_lane };
    r->action = r->use_model != NULL || r->use_lane != NULL ? ACTION_DOWNGRADE : ACTION_BLOCK;
    if (make_scope(p, field, negated, list, count, &r->when) != 0)
        return -1;
    say(r, is_model ? "model" : "lane", negated, list, count);
    return 0;
}

int policy_rules(const struct policy *p, struct rule out[POLICY_RULES_MAX])
{
    const struct {
        char *const *list;
        unsigned count;
        uint8_t field;
        bool negated;
    } parts[POLICY_RULES_MAX] = { { p->allow_lane, p->allow_lanes, SUBJECT_lane, true },
                                  { p->allow_model, p->allow_models, SUBJECT_model, true },
                                  { p->deny_model, p->deny_models, SUBJECT_model, false } };
    struct rule made[POLICY_RULES_MAX];
    int n = 0;

    for (int i = 0; i < POLICY_RULES_MAX; i++)
        if (parts[i].count > 0 &&
            make_rule(p, parts[i].field, parts[i].negated, parts[i].list, parts[i].count, &made[n++]) != 0) {
            while (n > 0)
                rule_fini(&made[--n]);
            return -1;
        }
    memcpy(out, made, (size_t)n * sizeof *made);
    return n;
}
