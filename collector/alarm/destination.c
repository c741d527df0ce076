/* SPDX-License-Identifier: MIT */
#include "destination.h"

#include <stdlib.h>
#include <string.h>

#include "../govern/definition.h"

/* ------------------------------------------------------------------- ownership */

static void free_texts(char **list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

/* What a secret was stays in no freed memory. */
static void free_secret(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void destination_free(struct destination *d)
{
    if (d == NULL)
        return;
    scope_fini(&d->scope);
    patterns_free(d->budget, d->budgets);
    free_texts(d->header, d->headers);
    free_texts(d->to, d->tos);
    free_texts(d->arg, d->args);
    free_secret(d->url);
    free_secret(d->secret);
    free_secret(d->routing_key);
    free_secret(d->password);
    free(d->user);
    free(d->ca_file);
    free(d->server);
    free(d->from);
    free(d->host);
    json_decref(d->definition);
    free(d);
}

/* ------------------------------------------------------------------------ JSON */

json_t *destination_json(const struct destination *d)
{
    return json_incref(d->definition);
}

const char *destination_type_name(const struct destination *d)
{
    static const char *const templates[] = { "webhook", "slack", "discord", "teams", "pagerduty" };

    return d->type == DESTINATION_EMAIL     ? "email"
           : d->type == DESTINATION_COMMAND ? "command"
                                            : templates[d->template];
}

static json_t *kinds_json(uint32_t kinds)
{
    json_t *list = json_array();

    for (int i = 0; i < ALERT_KIND_COUNT; i++)
        if ((kinds >> i & 1) != 0)
            json_array_append_new(list, json_string(alert_kind_name(i)));
    return list;
}

static json_t *texts_json(char *const *text, unsigned count)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_string(text[i]));
    return list;
}

static json_t *time_of_day(int minute)
{
    return json_sprintf("%02d:%02d", minute / 60, minute % 60);
}

static json_t *quiet_json(const struct quiet *q)
{
    static const char *const names[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    json_t *days;

    if (!q->on)
        return json_null();
    days = json_array();
    for (int i = 0; i < 7; i++)
        if ((q->days >> i & 1) != 0)
            json_array_append_new(days, json_string(names[i]));
    return json_pack("{s:o, s:o, s:s, s:o, s:b}", "from", time_of_day(q->from_min), "to",
                     time_of_day(q->to_min), "timezone", zone_name(q->zone), "days", days, "critical",
                     (int)q->critical_too);
}

json_t *destination_public_json(const struct destination *d)
{
    return json_pack("{s:s, s:s, s:s?, s:o, s:s, s:o, s:o, s:o, s:I, s:I, s:I}", "name", d->name, "type",
                     destination_type_name(d), "host", d->host, "kinds", kinds_json(d->kinds), "severity",
                     severity_name((int)d->least), "scope", scope_json(&d->scope), "budgets",
                     texts_json(d->budget, d->budgets), "quiet", quiet_json(&d->quiet), "group_ms",
                     (json_int_t)d->group_ms, "give_up_ms", (json_int_t)d->give_up_ms, "timeout_ms",
                     (json_int_t)d->timeout_ms);
}

/* --------------------------------------------------------------------- choosing */

/* What an alert says of a field; empty: nothing. */
static struct slice value_of(const json_t *subject, const char *field)
{
    const json_t *value = json_object_get(subject, field);

    if (!json_is_string(value) || json_string_length(value) == 0)
        return (struct slice){ (const uint8_t *)"", 0 };
    return (struct slice){ (const uint8_t *)json_string_value(value), (uint32_t)json_string_length(value) };
}

/* A root session that nobody named is the session, as for budgets. */
static bool term_holds(const struct scope_term *t, const json_t *subject)
{
    char field[SCOPE_FIELD_TEXT];
    struct slice value;

    scope_field_text(t->field, t->tag, field);
    value = value_of(subject, field);
    if (value.len == 0 && t->field == SUBJECT_root_session_id)
        value = value_of(subject, subject_field_name(SUBJECT_session_id));
    return patterns_fit(t->pattern, t->patterns, value) != t->negated;
}

bool destination_wants(const struct destination *d, enum alert_kind kind, enum severity severity,
                       const json_t *subject)
{
    if ((d->kinds >> (int)kind & 1) == 0 || (int)severity < (int)d->least)
        return false;
    for (unsigned i = 0; i < d->scope.terms; i++)
        if (!term_holds(&d->scope.term[i], subject))
            return false;
    return d->budget == NULL || patterns_fit(d->budget, d->budgets, value_of(subject, "budget"));
}
