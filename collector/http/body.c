/* SPDX-License-Identifier: MIT */
#include "body.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../query/when.h"

#define EXPECTED_MAX 160

int body_object(const struct request *r, struct problem *p, json_t **out)
{
    json_error_t error;

    if (r->body.failed)
        return problem_set(p, 503, "out of memory");
    if (r->body.len == 0) {
        *out = json_object();
        return *out ? 0 : problem_set(p, 503, "out of memory");
    }
    json_t *body = json_loadb(r->body.at, r->body.len, JSON_REJECT_DUPLICATES, &error);
    if (!body)
        return problem_set(p, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                           error.text);
    if (!json_is_object(body)) {
        json_decref(body);
        return problem_set(p, 400, "the body is not one JSON object");
    }
    *out = body;
    return 0;
}

/* ------------------------------------------------------------------- telling */

static const char *member_as(const struct body_member *m)
{
    return m->as ? m->as : m->name;
}

static void shape_expected(const struct body_member *m, char out[EXPECTED_MAX])
{
    switch (m->shape) {
    case BODY_TEXT:
        snprintf(out, EXPECTED_MAX, "text of 1 to %" PRId64 " bytes", m->max ? m->max : BODY_TEXT_MAX);
        break;
    case BODY_FLAG:
        snprintf(out, EXPECTED_MAX, "true or false");
        break;
    case BODY_COUNT:
        if (m->max)
            snprintf(out, EXPECTED_MAX, "a whole number from 0 to %" PRId64, m->max);
        else
            snprintf(out, EXPECTED_MAX, "a whole number from 0 on");
        break;
    case BODY_SPAN:
        snprintf(out, EXPECTED_MAX, "a duration as \"90s\", \"15m\", \"2h\" or \"7d\", or milliseconds");
        break;
    case BODY_AMOUNT:
        snprintf(out, EXPECTED_MAX,
                 "an amount as \"5 usd\", \"200k tokens\" or \"100 calls\", or a whole number of the "
                 "budget's unit above 0");
        break;
    case BODY_OUTCOME:
        snprintf(out, EXPECTED_MAX, "called or not_called");
        break;
    case BODY_TRIGGER:
        snprintf(out, EXPECTED_MAX, "%s", fields[FIELD_trigger].expected);
        break;
    case BODY_TAGS:
        snprintf(out, EXPECTED_MAX, "an object of up to %d texts of 1 to %d bytes", BODY_TAGS_MAX,
                 BODY_TEXT_MAX);
        break;
    }
}

/* Texts as they are, all else as JSON. */
static int wrong(struct problem *p, const char *name, const json_t *value, const char *expected)
{
    char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

    problem_fill_field(p, name,
                       text                    ? text
                       : json_is_string(value) ? json_string_value(value)
                                               : "",
                       expected);
    free(text);
    return -1;
}

static int wrong_shape(struct problem *p, const struct body_member *m, const json_t *value)
{
    char expected[EXPECTED_MAX];

    shape_expected(m, expected);
    return wrong(p, m->name, value, expected);
}

static int unknown(struct problem *p, const struct body_member *list, const char *name, const json_t *value)
{
    const char *names[BODY_MEMBERS_MAX];
    char expected[sizeof p->expected] = "";
    size_t n = 0, used = 0;

    for (; n < BODY_MEMBERS_MAX && list[n].name; n++) {
        names[n] = list[n].name;
        if (used < sizeof expected)
            used +=
                (size_t)snprintf(expected + used, sizeof expected - used, "%s%s", n ? ", " : "", names[n]);
    }
    wrong(p, name, value, n ? expected : "no fields");
    const char *near = nearest_name(name, names, n);
    if (near)
        snprintf(p->detail, sizeof p->detail, "unknown field %.60s; did you mean %s?", name, near);
    else
        snprintf(p->detail, sizeof p->detail, "unknown field %.60s", name);
    return -1;
}

/* -------------------------------------------------------------------- taking */

static bool text_fits(const json_t *value, int64_t max)
{
    return json_is_string(value) && json_string_length(value) > 0 &&
           json_string_length(value) <= (size_t)(max ? max : BODY_TEXT_MAX);
}

static bool tags_fit(const json_t *value)
{
    const char *name;
    json_t *tag;

    if (!json_is_object(value) || json_object_size(value) > BODY_TAGS_MAX)
        return false;
    json_object_foreach((json_t *)(uintptr_t)value, name, tag)
    {
        if (!text_fits(tag, 0) || !name[0] || strlen(name) > BODY_TEXT_MAX)
            return false;
    }
    return true;
}

static bool count_fits(const json_t *value, int64_t least, int64_t max)
{
    return json_is_integer(value) && json_integer_value(value) >= least &&
           (max == 0 || json_integer_value(value) <= max);
}

/* Borrowed or new: a new reference to what value becomes; NULL: it has not this shape. */
static json_t *shaped(const struct body_member *m, json_t *value)
{
    int64_t ms;
    bool fits = false;

    switch (m->shape) {
    case BODY_TEXT:
        fits = text_fits(value, m->max);
        break;
    case BODY_FLAG:
        fits = json_is_boolean(value);
        break;
    case BODY_COUNT:
        fits = count_fits(value, 0, m->max);
        break;
    case BODY_SPAN:
        if (json_is_string(value))
            return when_span(json_string_value(value), &ms) == 0 ? json_integer(ms) : NULL;
        fits = count_fits(value, 1, 0);
        break;
    case BODY_AMOUNT:
        fits = json_is_string(value) ? text_fits(value, 0) : count_fits(value, 1, 0);
        break;
    case BODY_OUTCOME:
        fits = json_is_string(value) && (strcmp(json_string_value(value), "called") == 0 ||
                                         strcmp(json_string_value(value), "not_called") == 0);
        break;
    case BODY_TRIGGER:
        fits = json_is_string(value) &&
               fields[FIELD_trigger].code_of(json_string_value(value), json_string_length(value)) >= 0;
        break;
    case BODY_TAGS:
        fits = tags_fit(value);
        break;
    }
    return fits ? json_incref(value) : NULL;
}

static int take(const struct body_member *list, const char *name, json_t *value, struct problem *p,
                json_t *to)
{
    const struct body_member *m = list;

    while (m->name && strcmp(m->name, name) != 0)
        m++;
    if (!m->name)
        return unknown(p, list, name, value);
    if (json_is_null(value))
        return 0;
    if (json_object_get(to, member_as(m)))
        return wrong(p, name, value, "once: it has been given under another name");
    json_t *fresh = shaped(m, value);
    if (!fresh)
        return wrong_shape(p, m, value);
    return json_object_set_new(to, member_as(m), fresh) == 0 ? 0 : problem_set(p, 503, "out of memory");
}

int body_members(const json_t *body, const struct body_member *list, struct problem *p, json_t *to)
{
    char expected[EXPECTED_MAX];
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        if (take(list, name, value, p, to) != 0)
            return -1;
    }
    for (const struct body_member *m = list; m->name; m++) {
        if (!m->needed || json_object_get(to, member_as(m)))
            continue;
        shape_expected(m, expected);
        problem_fill_field(p, m->name, "", expected);
        snprintf(p->detail, sizeof p->detail, "%s is missing", m->name);
        return -1;
    }
    return 0;
}
