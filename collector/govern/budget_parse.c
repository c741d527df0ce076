/* SPDX-License-Identifier: MIT
 *
 * budget_parse.c: a budget's definition. One function for each key; what only two keys together can say is
 * said where the second is read.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "definition.h"
#include "instant.h"

#define AMOUNT_EXPECTED "an amount, as 5 usd, $0.10, 200k tokens or 100 calls"

struct reading {
    const json_t *given; /* borrowed, as zone */
    const char *zone;
    struct budget *b; /* owned until it is complete */
    struct fault *fault;
};

/* ---------------------------------------------------------------------- per */

static int add_per(struct reading *r, const json_t *given)
{
    struct budget *b = r->b;
    const char *name = json_string_value(given);
    uint8_t field;
    char *tag;

    if (b->pers == BUDGET_PER_MAX)
        return definition_fault(r->fault, "per", given, "at most %d fields", BUDGET_PER_MAX);
    if (name == NULL || strlen(name) != json_string_length(given) ||
        scope_field_parse(name, &field, &tag) != 0)
        return definition_fault(r->fault, "per", given, SCOPE_FIELDS_EXPECTED);
    b->per[b->pers].field = field;
    b->per[b->pers++].tag = tag;
    for (unsigned i = 0; i + 1 < b->pers; i++)
        if (b->per[i].field == field && (tag == NULL || strcmp(b->per[i].tag, tag) == 0))
            return definition_fault(r->fault, "per", given, "each field once");
    return 0;
}

static int read_per(struct reading *r)
{
    json_t *given = definition_get(r->given, "per");

    if (given == NULL)
        return 0;
    if (!json_is_array(given))
        return add_per(r, given);
    for (size_t i = 0; i < json_array_size(given); i++)
        if (add_per(r, json_array_get(given, i)) != 0)
            return -1;
    return 0;
}

/* A window that is a session's life counts each session for itself. */
static int imply_session(struct reading *r)
{
    struct budget *b = r->b;

    if (b->window.kind != WINDOW_SESSION)
        return 0;
    for (unsigned i = 0; i < b->pers; i++)
        if (b->per[i].field == SUBJECT_session_id || b->per[i].field == SUBJECT_root_session_id)
            return 0;
    if (b->pers == BUDGET_PER_MAX)
        return definition_fault(r->fault, "per", definition_get(r->given, "per"),
                                "session or root_session among the %d, as the window is a session", b->pers);
    memmove(&b->per[1], &b->per[0], b->pers++ * sizeof b->per[0]);
    b->per[0].field = SUBJECT_session_id;
    b->per[0].tag = NULL;
    return 0;
}

/* -------------------------------------------------------------------- limit */

/* The shortest text that is this number again: what was written, if it had up to 15 digits. */
static void real_text(double value, char out[G_ASCII_DTOSTR_BUF_SIZE])
{
    static const char *const formats[] = { "%.15g", "%.16g", "%.17g" };

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        g_ascii_formatd(out, G_ASCII_DTOSTR_BUF_SIZE, formats[i], value);
        if (g_ascii_strtod(out, NULL) == value)
            return;
    }
}

static int read_limit(struct reading *r)
{
    static const char *const units[] = { "usd", "tokens", "calls", NULL };
    json_t *given = definition_get(r->given, "limit");
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    const char *text = json_string_value(given);
    enum unit unit;
    int place = -1;

    if (definition_choice(r->given, "unit", units, &place, r->fault) != 0)
        return -1;
    unit = (enum unit)(place + 1);
    if (json_is_integer(given))
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(given));
    else if (json_is_real(given))
        real_text(json_real_value(given), number);
    text = json_is_number(given) ? number : text;
    if (text == NULL || (json_is_string(given) && strlen(text) != json_string_length(given)) ||
        !amount_parse(text, &unit, &r->b->limit))
        return definition_fault(r->fault, "limit", given,
                                place < 0
                                    ? AMOUNT_EXPECTED
                                    : "an amount of %s (up to 9 decimals of usd, none of tokens and calls)",
                                place < 0 ? "" : units[place]);
    if (r->b->limit == 0)
        return definition_fault(r->fault, "limit", given, "more than nothing");
    r->b->unit = unit;
    return 0;
}

/* ------------------------------------------------------------------- window */

static int read_window(struct reading *r)
{
    json_t *given = definition_get(r->given, "window"), *zone = definition_get(r->given, "timezone");
    struct budget *b = r->b;
    const char *text = json_string_value(given);

    if (text == NULL || strlen(text) != json_string_length(given) || !window_parse(text, &b->window))
        return definition_fault(r->fault, "window", given, WINDOW_EXPECTED);
    if (b->window.kind > WINDOW_MONTH)
        return zone == NULL ? 0
                            : definition_fault(r->fault, "timezone", zone,
                                               "none: only hour, day, week and month begin in a zone");
    if (zone == NULL)
        b->zone = zone_shared(r->zone);
    else if (json_is_string(zone) && strlen(json_string_value(zone)) == json_string_length(zone))
        b->zone = zone_shared(json_string_value(zone));
    if (b->zone == NULL)
        return definition_fault(r->fault, "timezone", zone,
                                "a time zone of this machine, as Europe/Berlin or UTC");
    b->window.zone = b->zone;
    return 0;
}

/* ------------------------------------------------------------------- alerts */

static int add_alert(struct reading *r, const json_t *given)
{
    struct budget *b = r->b;
    json_int_t percent = json_integer_value(given);
    unsigned at = b->alerts;

    if (!json_is_integer(given) || percent < 1 || percent > 100)
        return definition_fault(r->fault, "alerts", given, "percents of the limit: whole numbers, 1 to 100");
    if (b->alerts == BUDGET_ALERTS_MAX)
        return definition_fault(r->fault, "alerts", given, "at most %d percents", BUDGET_ALERTS_MAX);
    while (at > 0 && b->alert[at - 1] > percent)
        at--;
    if (at > 0 && b->alert[at - 1] == percent)
        return definition_fault(r->fault, "alerts", given, "each percent once");
    memmove(&b->alert[at + 1], &b->alert[at], b->alerts++ - at);
    b->alert[at] = (uint8_t)percent;
    return 0;
}

static int read_alerts(struct reading *r)
{
    json_t *given = definition_get(r->given, "alerts");

    if (given == NULL) {
        memcpy(r->b->alert, (uint8_t[]){ 50, 80, 100 }, 3);
        r->b->alerts = 3;
        return 0;
    }
    if (!json_is_array(given))
        return add_alert(r, given);
    for (size_t i = 0; i < json_array_size(given); i++)
        if (add_alert(r, json_array_get(given, i)) != 0)
            return -1;
    return 0;
}

/* ------------------------------------------------------------------- action */

static int read_use(struct reading *r)
{
    static const char *const known[] = { "model", "lane", NULL };
    json_t *use = definition_get(r->given, "use");
    struct budget *b = r->b;

    if (b->action != ACTION_DOWNGRADE)
        return use == NULL ? 0
                           : definition_fault(r->fault, "use", use, "none: only a downgrade uses something");
    if (!json_is_object(use))
        return definition_fault(r->fault, "use", use, "{model: NAME}, {lane: NAME} or both to downgrade to");
    if (definition_keys(use, known, r->fault) != 0 ||
        definition_text(use, "model", "use.model", BUDGET_TEXT_MAX, &b->use_model, r->fault) != 0 ||
        definition_text(use, "lane", "use.lane", BUDGET_TEXT_MAX, &b->use_lane, r->fault) != 0)
        return -1;
    if (b->use_model == NULL && b->use_lane == NULL)
        return definition_fault(r->fault, "use", use, "a model or a lane to downgrade to");
    return 0;
}

static int read_delay(struct reading *r)
{
    json_t *given = definition_get(r->given, "delay");
    struct budget *b = r->b;

    if (b->action != ACTION_DELAY)
        return given == NULL ? 0
                             : definition_fault(r->fault, "delay", given, "none: the action is not delay");
    if (!json_is_string(given) || strlen(json_string_value(given)) != json_string_length(given) ||
        !duration_parse(json_string_value(given), &b->delay_ms) || b->delay_ms > BUDGET_DELAY_MAX)
        return definition_fault(r->fault, "delay", given, "a duration of up to 1h, as 30s");
    return 0;
}

static int read_action(struct reading *r)
{
    static const char *const names[] = { "alert", "downgrade", "delay", "block", NULL };
    int place = ACTION_BLOCK - ACTION_WARN;

    if (definition_choice(r->given, "action", names, &place, r->fault) != 0)
        return -1;
    r->b->action = (enum action)(place + ACTION_WARN);
    return read_use(r) != 0 ? -1 : read_delay(r);
}

/* ------------------------------------------------------------------ the rest */

static int read_counts_from(struct reading *r)
{
    json_t *given = definition_get(r->given, "counts_from");
    const char *text = json_string_value(given);
    struct budget *b = r->b;

    if (given == NULL)
        return 0;
    if (text != NULL && strcmp(text, "window") == 0)
        b->counts_from = COUNTS_WINDOW;
    else if (text != NULL && strcmp(text, "now") == 0)
        b->counts_from = COUNTS_NOW;
    else if (text != NULL && strlen(text) == json_string_length(given) &&
             instant_parse(text, &b->counts_from_ms))
        b->counts_from = COUNTS_AT;
    else
        return definition_fault(r->fault, "counts_from", given,
                                "window, now, or a time as 2026-11-01T00:00:00Z");
    return 0;
}

static int read_switches(struct reading *r)
{
    static const char *const manners[] = { "open", "closed", NULL };
    int place = 0;

    r->b->forecast = true;
    if (definition_bool(r->given, "strict", &r->b->strict, r->fault) != 0 ||
        definition_bool(r->given, "shadow", &r->b->shadow, r->fault) != 0 ||
        definition_bool(r->given, "forecast", &r->b->forecast, r->fault) != 0 ||
        definition_choice(r->given, "on_error", manners, &place, r->fault) != 0)
        return -1;
    r->b->on_error_closed = place == 1;
    return 0;
}

static int read_all(struct reading *r)
{
    static const char *const known[] = { "name",     "scope",       "per",    "unit",     "limit", "window",
                                         "timezone", "alerts",      "action", "use",      "delay", "strict",
                                         "on_error", "counts_from", "shadow", "forecast", NULL };

    if (definition_keys(r->given, known, r->fault) != 0 ||
        definition_name(r->given, BUDGET_NAME_MAX, r->b->name, r->fault) != 0 ||
        scope_parse(json_object_get(r->given, "scope"), &r->b->scope, r->fault) != 0)
        return -1;
    return read_per(r) != 0 || read_limit(r) != 0 || read_window(r) != 0 || imply_session(r) != 0 ||
                   read_alerts(r) != 0 || read_action(r) != 0 || read_counts_from(r) != 0 ||
                   read_switches(r) != 0
               ? -1
               : 0;
}

int budget_parse(const json_t *definition, const char *zone, struct budget **out, struct fault *fault)
{
    struct reading r = { .given = definition, .zone = zone, .fault = fault };

    if (!json_is_object(definition))
        return definition_fault(fault, "budget", definition, "a map with name, limit and window");
    if ((r.b = calloc(1, sizeof *r.b)) == NULL)
        return definition_no_memory(fault, "budget");
    if (read_all(&r) != 0) {
        budget_free(r.b);
        return -1;
    }
    *out = r.b;
    return 0;
}
