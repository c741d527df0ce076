/* SPDX-License-Identifier: MIT
 *
 * destination_parse.c: what every destination may say. Its receiver is the one key that names a type.
 */
#include <stdlib.h>
#include <string.h>

#include "../govern/duration.h"
#include "destination_work.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

#define ALL_KINDS ((UINT32_C(1) << ALERT_KIND_COUNT) - 1)
_Static_assert((int)ALERT_KIND_COUNT < 32, "kinds fit their bits");

static const struct receiver {
    const char *type;
    int (*read)(struct destination_reading *r);
} receivers[] = {
    { "webhook", destination_read_webhook },   { "slack", destination_read_webhook },
    { "discord", destination_read_webhook },   { "teams", destination_read_webhook },
    { "pagerduty", destination_read_webhook }, { "email", destination_read_email },
    { "command", destination_read_command },
};
#define RECEIVERS          (sizeof receivers / sizeof *receivers)
#define RECEIVERS_EXPECTED "one of webhook, slack, discord, teams, pagerduty, email, command"

/* -------------------------------------------------------------------- receiver */

static int find_receiver(struct destination_reading *r, const struct receiver **found)
{
    for (size_t i = 0; i < RECEIVERS; i++) {
        const json_t *given = definition_get(r->given, receivers[i].type);
        if (given == NULL)
            continue;
        if (*found != NULL) {
            r->type = receivers[i].type;
            return destination_hidden_fault(r, "", "a destination of its own: this one is %s already",
                                            (*found)->type);
        }
        *found = &receivers[i];
        r->receiver = given;
    }
    if (*found == NULL)
        return definition_fault(r->fault, "webhook", NULL, RECEIVERS_EXPECTED);
    r->type = (*found)->type;
    return 0;
}

static int read_receiver(struct destination_reading *r)
{
    const struct receiver *found = NULL;

    return find_receiver(r, &found) != 0 ? -1 : found->read(r);
}

static int read_name(struct destination_reading *r)
{
    if (definition_get(r->given, "name") != NULL)
        return definition_name(r->given, DESTINATION_NAME_MAX, r->d->name, r->fault);
    snprintf(r->d->name, sizeof r->d->name, "%s", destination_type_name(r->d));
    return 0;
}

/* ---------------------------------------------------------------------- choice */

static int add_kind(struct destination_reading *r, const json_t *given, uint32_t *kinds)
{
    const char *name = json_string_value(given);
    char list[160] = "";
    size_t n = 0;
    int code = name != NULL ? alert_kind_code(name) : -1;

    if (code >= 0) {
        *kinds |= UINT32_C(1) << code;
        return 0;
    }
    for (int i = 0; i < ALERT_KIND_COUNT && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i > 0 ? ", " : "", alert_kind_name(i));
    return definition_fault(r->fault, "kinds", given, "of %s", list);
}

static int read_kind_list(struct destination_reading *r, const json_t *given, uint32_t *kinds)
{
    if (!json_is_array(given))
        return add_kind(r, given, kinds);
    for (size_t i = 0; i < json_array_size(given); i++)
        if (add_kind(r, json_array_get(given, i), kinds) != 0)
            return -1;
    return 0;
}

static int read_kinds(struct destination_reading *r)
{
    const json_t *given = definition_get(r->given, "kinds"), *inner = json_object_get(given, "not");
    uint32_t kinds = 0;

    r->d->kinds = ALL_KINDS;
    if (given == NULL)
        return 0;
    if (json_is_object(given) && (inner == NULL || json_object_size(given) != 1))
        return definition_fault(r->fault, "kinds", given, "a kind, a list of them, or { not: one of both }");
    if (read_kind_list(r, inner != NULL ? inner : given, &kinds) != 0)
        return -1;
    r->d->kinds = inner != NULL ? ALL_KINDS & ~kinds : kinds;
    if (r->d->kinds == 0)
        return definition_fault(r->fault, "kinds", given, "at least one kind to be told");
    return 0;
}

/* Who names the kinds that he wants, wants all of them; else what is only for information stays away. */
static int read_severity(struct destination_reading *r)
{
    static const char *const names[] = { "info", "warning", "critical", NULL };
    bool named =
        definition_get(r->given, "kinds") != NULL && !json_is_object(definition_get(r->given, "kinds"));
    int place = named ? SEVERITY_INFO : SEVERITY_WARNING;

    if (definition_choice(r->given, "severity", names, &place, r->fault) != 0)
        return -1;
    r->d->least = (enum severity)place;
    return 0;
}

static int read_budgets(struct destination_reading *r)
{
    const json_t *given = definition_get(r->given, "budgets");

    return given == NULL ? 0 : patterns_parse(given, "budgets", &r->d->budget, &r->d->budgets, r->fault);
}

/* ----------------------------------------------------------------------- times */

static bool is_nothing(const json_t *given)
{
    return (json_is_integer(given) && json_integer_value(given) == 0) ||
           (json_is_string(given) && strcmp(json_string_value(given), "0s") == 0);
}

static int read_time(struct destination_reading *r, const char *key, int64_t least, int64_t most,
                     int64_t *out)
{
    const json_t *given = definition_get(r->given, key);
    const char *text = json_string_value(given);
    char low[DURATION_TEXT_MAX] = "0s", high[DURATION_TEXT_MAX];
    int64_t ms = 0;

    if (given == NULL)
        return 0;
    bool is_one = is_nothing(given) ||
                  (text != NULL && strlen(text) == json_string_length(given) && duration_parse(text, &ms));
    if (is_one && ms >= least && ms <= most) {
        *out = ms;
        return 0;
    }
    if (least > 0)
        duration_text(least, low);
    duration_text(most, high);
    return definition_fault(r->fault, key, given, "a duration from %s to %s, as 30s", low, high);
}

static int read_times(struct destination_reading *r)
{
    struct destination *d = r->d;

    d->group_ms = 10 * SECOND_MS;
    d->give_up_ms = DAY_MS;
    d->timeout_ms = 10 * SECOND_MS;
    return read_time(r, "group", 0, HOUR_MS, &d->group_ms) != 0 ||
                   read_time(r, "give_up_after", MINUTE_MS, 7 * DAY_MS, &d->give_up_ms) != 0 ||
                   read_time(r, "timeout", SECOND_MS, MINUTE_MS, &d->timeout_ms) != 0
               ? -1
               : 0;
}

/* ------------------------------------------------------------------------- all */

/* A key that is unknown may be a receiver's, with its secrets. */
static int check_keys(struct destination_reading *r)
{
    static const char *const known[] = { "name",      "webhook", "slack",   "discord", "teams",
                                         "pagerduty", "email",   "command", "kinds",   "severity",
                                         "scope",     "budgets", "quiet",   "group",   "give_up_after",
                                         "timeout",   NULL };

    if (definition_keys(r->given, known, r->fault) == 0)
        return 0;
    snprintf(r->fault->value, sizeof r->fault->value, "(not shown)");
    if (r->fault->field[0] == '\0')
        snprintf(r->fault->field, sizeof r->fault->field, "\"\"");
    return -1;
}

static int read_all(struct destination_reading *r)
{
    return check_keys(r) != 0 || read_receiver(r) != 0 || read_name(r) != 0 || read_kinds(r) != 0 ||
                   read_severity(r) != 0 ||
                   scope_parse(json_object_get(r->given, "scope"), &r->d->scope, r->fault) != 0 ||
                   read_budgets(r) != 0 || destination_read_quiet(r) != 0 || read_times(r) != 0
               ? -1
               : 0;
}

/* What is printed back must read the same: no text may end before its end. */
static bool has_nul(const json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;

    if (json_is_string(value))
        return strlen(json_string_value(value)) != json_string_length(value);
    json_array_foreach((json_t *)value, i, inner)
    {
        if (has_nul(inner))
            return true;
    }
    json_object_foreach((json_t *)value, key, inner)
    {
        if (has_nul(inner))
            return true;
    }
    return false;
}

int destination_parse(const json_t *definition, const char *zone, struct destination **out,
                      struct fault *fault)
{
    struct destination_reading r = { .given = definition, .zone = zone, .fault = fault };

    if (!json_is_object(definition))
        return definition_fault(fault, "destination", NULL, "a map, as { slack: { url_env: SLACK_URL } }");
    if (has_nul(definition))
        return definition_fault(fault, "destination", NULL, "texts without NUL");
    if ((r.d = calloc(1, sizeof *r.d)) == NULL)
        return definition_no_memory(fault, "destination");
    if (read_all(&r) != 0) {
        destination_free(r.d);
        return -1;
    }
    if ((r.d->definition = json_deep_copy(definition)) == NULL) {
        destination_free(r.d);
        return definition_no_memory(fault, "destination");
    }
    *out = r.d;
    return 0;
}
