/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <stdlib.h>
#include <string.h>

#include "definition.h"
#include "instant.h"

static const char *const actions[] = { "allow", "warn", "downgrade", "delay", "block" };

const char *action_name(int action)
{
    return action >= ACTION_ALLOW && action <= ACTION_BLOCK ? actions[action] : NULL;
}

void budget_free(struct budget *b)
{
    if (b == NULL)
        return;
    scope_fini(&b->scope);
    for (unsigned i = 0; i < b->pers; i++)
        free(b->per[i].tag);
    free(b->use_model);
    free(b->use_lane);
    free(b);
}

/* ------------------------------------------------------------------ writing */

static json_t *per_json(const struct budget *b)
{
    char name[SCOPE_FIELD_TEXT];
    json_t *list = json_array();

    for (unsigned i = 0; i < b->pers; i++) {
        scope_field_text(b->per[i].field, b->per[i].tag, name);
        json_array_append_new(list, json_string(name));
    }
    return list;
}

static json_t *limit_json(const struct budget *b)
{
    char text[AMOUNT_TEXT];

    amount_text(b->unit, b->limit, text);
    return json_string(text);
}

static json_t *window_json(const struct budget *b)
{
    char text[WINDOW_TEXT];

    window_text(&b->window, text);
    return json_string(text);
}

static json_t *alerts_json(const struct budget *b)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < b->alerts; i++)
        json_array_append_new(list, json_integer(b->alert[i]));
    return list;
}

static json_t *use_json(const struct budget *b)
{
    return json_pack("{s:s*, s:s*}", "model", b->use_model, "lane", b->use_lane);
}

static json_t *delay_json(const struct budget *b)
{
    char text[DURATION_TEXT_MAX];

    duration_text(b->delay_ms, text);
    return json_string(text);
}

static json_t *counts_from_json(const struct budget *b)
{
    char text[INSTANT_TEXT];

    if (b->counts_from != COUNTS_AT)
        return json_string(b->counts_from == COUNTS_NOW ? "now" : "window");
    instant_text(b->counts_from_ms, text);
    return json_string(text);
}

/* What it counts. False: no memory, here and below. */
static bool put_counting(const struct budget *b, json_t *out)
{
    return definition_put(out, "name", json_string(b->name)) &&
           definition_put(out, "scope", scope_json(&b->scope)) &&
           (b->pers == 0 || definition_put(out, "per", per_json(b))) &&
           definition_put(out, "unit", json_string(unit_name((int)b->unit))) &&
           definition_put(out, "limit", limit_json(b)) && definition_put(out, "window", window_json(b)) &&
           (b->zone == NULL || definition_put(out, "timezone", json_string(zone_name(b->zone)))) &&
           definition_put(out, "counts_from", counts_from_json(b));
}

/* What it does then. */
static bool put_acting(const struct budget *b, json_t *out)
{
    const char *action = b->action == ACTION_WARN ? "alert" : action_name((int)b->action);

    return definition_put(out, "alerts", alerts_json(b)) &&
           definition_put(out, "action", json_string(action)) &&
           (b->action != ACTION_DOWNGRADE || definition_put(out, "use", use_json(b))) &&
           (b->action != ACTION_DELAY || definition_put(out, "delay", delay_json(b))) &&
           definition_put(out, "strict", json_boolean(b->strict)) &&
           definition_put(out, "on_error", json_string(b->on_error_closed ? "closed" : "open")) &&
           definition_put(out, "shadow", json_boolean(b->shadow)) &&
           definition_put(out, "forecast", json_boolean(b->forecast));
}

json_t *budget_json(const struct budget *b)
{
    json_t *out = json_object();

    if (out == NULL || (put_counting(b, out) && put_acting(b, out)))
        return out;
    json_decref(out);
    return NULL;
}

/* ---------------------------------------------------------------- comparing */

static bool windows_alike(const struct budget *a, const struct budget *b)
{
    return a->window.kind == b->window.kind && a->window.length_ms == b->window.length_ms &&
           a->zone == b->zone; /* shared: one zone, one pointer */
}

static bool per_has(const struct budget *b, int field, const char *tag)
{
    for (unsigned i = 0; i < b->pers; i++)
        if (b->per[i].field == field && (tag == NULL || strcmp(b->per[i].tag, tag) == 0))
            return true;
    return false;
}

bool budget_counts_alike(const struct budget *a, const struct budget *b)
{
    for (unsigned i = 0; i < a->pers && i < b->pers; i++) /* a key has an order */
        if (a->per[i].field != b->per[i].field ||
            (a->per[i].tag != NULL && strcmp(a->per[i].tag, b->per[i].tag) != 0))
            return false;
    return a->pers == b->pers && a->unit == b->unit && windows_alike(a, b) &&
           a->counts_from == b->counts_from && a->counts_from_ms == b->counts_from_ms &&
           scopes_equal(&a->scope, &b->scope);
}

static bool scope_has(const struct scope *s, const struct scope_term *t)
{
    for (unsigned i = 0; i < s->terms; i++)
        if (scope_terms_equal(&s->term[i], t))
            return true;
    return false;
}

/* Whether each call that counts in a cell of b counts in one and the same cell of a: then a's is never the
 * smaller sum. */
static bool covers(const struct budget *a, const struct budget *b)
{
    for (unsigned i = 0; i < a->scope.terms; i++)
        if (!scope_has(&b->scope, &a->scope.term[i]))
            return false;
    for (unsigned i = 0; i < a->pers; i++)
        if (!per_has(b, a->per[i].field, a->per[i].tag))
            return false;
    return true;
}

static bool texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Whether b's action is never seen because a's hides it. That of an alert is its message, which goes out. */
static bool hides(const struct budget *a, const struct budget *b)
{
    return a->action > b->action && b->action != ACTION_WARN && a->limit <= b->limit && covers(a, b);
}

static void say_hidden(const struct budget *a, const struct budget *b, char *why, size_t size)
{
    static const char *const acts[] = { "allows", "alerts", "downgrades", "delays", "blocks" };
    char low[AMOUNT_TEXT], high[AMOUNT_TEXT];

    amount_text(a->unit, a->limit, low);
    amount_text(b->unit, b->limit, high);
    snprintf(why, size, "budget %s %s at %s, so budget %s, which %s at %s, never acts", a->name,
             acts[a->action], low, b->name, acts[b->action], high);
}

bool budgets_contradict(const struct budget *a, const struct budget *b, char *why, size_t size)
{
    if (a->shadow || b->shadow || a->unit != b->unit || !windows_alike(a, b) ||
        a->counts_from != b->counts_from || a->counts_from_ms != b->counts_from_ms ||
        a->counts_from == COUNTS_NOW)
        return false;
    if (hides(a, b) || hides(b, a)) {
        bool first = hides(a, b);
        say_hidden(first ? a : b, first ? b : a, why, size);
        return true;
    }
    if (a->action != ACTION_DOWNGRADE || b->action != ACTION_DOWNGRADE || a->limit != b->limit ||
        !covers(a, b) || !covers(b, a) ||
        (texts_equal(a->use_model, b->use_model) && texts_equal(a->use_lane, b->use_lane)))
        return false;
    snprintf(why, size, "budgets %s and %s downgrade the same calls at the same limit to different things",
             a->name, b->name);
    return true;
}
