/* SPDX-License-Identifier: MIT
 *
 * What is asked of the governor over HTTP: each route and method is one operation of govern/office.h. Here a
 * request gets its shape; what it means, and what the answer is, is said there.
 */
#include <stdlib.h>
#include <string.h>

#include "../govern/budget.h"
#include "body.h"
#include "govern.h"
#include "routes.h"

#define RESERVATION_MAX 64  /* bytes of its id */
#define REASON_MAX      500 /* bytes */
#define AUTHOR_MAX      200 /* bytes */
#define AUTHOR_HEADER   "Tollgate-Author"
#define AUTHOR_NOBODY   "http"

#define TEXT(name)                        \
    {                                     \
        (name), BODY_TEXT, false, 0, NULL \
    }
#define COUNT(name)                        \
    {                                      \
        (name), BODY_COUNT, false, 0, NULL \
    }
#define AUTHOR                                       \
    {                                                \
        "author", BODY_TEXT, false, AUTHOR_MAX, NULL \
    }
#define SUBJECT                                                                                       \
    TEXT("agent_id"), TEXT("session_id"), TEXT("root_session_id"), TEXT("user_id"), TEXT("provider"), \
        TEXT("model"), TEXT("lane"), TEXT("surface"), TEXT("channel"),                                \
        { "trigger", BODY_TRIGGER, false, 0, NULL },                                                  \
    {                                                                                                 \
        "tags", BODY_TAGS, false, 0, NULL                                                             \
    }

static const struct body_member check_members[] = { SUBJECT, { 0 } };
static const struct body_member admit_members[] = { { "id", BODY_TEXT, false, RESERVATION_MAX, NULL },
                                                    { "ttl", BODY_SPAN, false, 0, "ttl_ms" },
                                                    COUNT("ttl_ms"),
                                                    COUNT("prompt_tokens"),
                                                    COUNT("max_tokens"),
                                                    SUBJECT,
                                                    { 0 } };
static const struct body_member settle_members[] = { { "id", BODY_TEXT, true, RESERVATION_MAX, NULL },
                                                     { "outcome", BODY_OUTCOME, false, 0, NULL },
                                                     COUNT("prompt_tokens"),
                                                     COUNT("completion_tokens"),
                                                     COUNT("total_tokens"),
                                                     COUNT("cached_tokens"),
                                                     COUNT("cache_write_tokens"),
                                                     COUNT("cache_write_1h_tokens"),
                                                     COUNT("reasoning_tokens"),
                                                     COUNT("cost_reported_nanousd"),
                                                     { 0 } };
static const struct body_member renew_members[] = { { "id", BODY_TEXT, true, RESERVATION_MAX, NULL },
                                                    { "ttl", BODY_SPAN, false, 0, "ttl_ms" },
                                                    COUNT("ttl_ms"),
                                                    { 0 } };
static const struct body_member allow_members[] = { { "budget", BODY_TEXT, true, 0, NULL },
                                                    { "key", BODY_TEXT, false, 0, NULL },
                                                    { "amount", BODY_AMOUNT, true, 0, NULL },
                                                    { "for", BODY_SPAN, true, 0, "for_ms" },
                                                    COUNT("for_ms"),
                                                    { "reason", BODY_TEXT, true, REASON_MAX, NULL },
                                                    AUTHOR,
                                                    { 0 } };
static const struct body_member pause_members[] = { { "field", BODY_TEXT, true, 0, NULL },
                                                    { "value", BODY_TEXT, true, 0, NULL },
                                                    { "for", BODY_SPAN, false, 0, "for_ms" },
                                                    COUNT("for_ms"),
                                                    { "delay", BODY_SPAN, false, 0, "delay_ms" },
                                                    COUNT("delay_ms"),
                                                    { "reason", BODY_TEXT, true, REASON_MAX, NULL },
                                                    AUTHOR,
                                                    { 0 } };
static const struct body_member reprice_members[] = { { "from_ms", BODY_COUNT, true, 0, NULL },
                                                      COUNT("to_ms"),
                                                      { "model", BODY_TEXT, false, 255, NULL },
                                                      { "dry_run", BODY_FLAG, false, 0, NULL },
                                                      { "budgets", BODY_FLAG, false, 0, NULL },
                                                      AUTHOR,
                                                      { 0 } };
static const struct body_member ack_members[] = { { "note", BODY_TEXT, false, REASON_MAX, NULL },
                                                  AUTHOR,
                                                  { 0 } };
static const struct body_member author_members[] = { AUTHOR, { 0 } };

/* One operation. */
struct operation {
    const char *path;
    enum method method;
    const char *op;
    const char *rest;                  /* what stands in the path is this member; NULL: nothing does */
    bool numbered;                     /* and it is a number */
    bool definition;                   /* the body is a budget's definition */
    bool by_field;                     /* parameters say which one: field and value */
    const struct body_member *members; /* of the body; NULL: none is taken */
};

static const struct operation operations[] = {
    { .path = "/v1/budgets", .method = METHOD_GET, .op = "budgets" },
    { .path = "/v1/budgets/{name}", .method = METHOD_GET, .op = "budgets", .rest = "name" },
    { .path = "/v1/budgets/{name}",
      .method = METHOD_PUT,
      .op = "put_budget",
      .rest = "name",
      .definition = true },
    { .path = "/v1/budgets/{name}",
      .method = METHOD_DELETE,
      .op = "delete_budget",
      .rest = "name",
      .members = author_members },
    { .path = "/v1/policies", .method = METHOD_GET, .op = "policies" },
    { .path = "/v1/check", .method = METHOD_POST, .op = "check", .members = check_members },
    { .path = "/v1/admit", .method = METHOD_POST, .op = "admit", .members = admit_members },
    { .path = "/v1/settle", .method = METHOD_POST, .op = "settle", .members = settle_members },
    { .path = "/v1/renew", .method = METHOD_POST, .op = "renew", .members = renew_members },
    { .path = "/v1/reservations", .method = METHOD_GET, .op = "reservations" },
    { .path = "/v1/allowances", .method = METHOD_GET, .op = "allowances" },
    { .path = "/v1/allowances", .method = METHOD_POST, .op = "allow", .members = allow_members },
    { .path = "/v1/allowances/{id}",
      .method = METHOD_DELETE,
      .op = "end_allowance",
      .rest = "id",
      .numbered = true,
      .members = author_members },
    { .path = "/v1/pauses", .method = METHOD_GET, .op = "pauses" },
    { .path = "/v1/pauses", .method = METHOD_POST, .op = "pause", .members = pause_members },
    { .path = "/v1/pauses",
      .method = METHOD_DELETE,
      .op = "resume",
      .by_field = true,
      .members = author_members },
    { .path = "/v1/pauses/{id}",
      .method = METHOD_DELETE,
      .op = "resume",
      .rest = "id",
      .numbered = true,
      .members = author_members },
    { .path = "/v1/reprice", .method = METHOD_GET, .op = "repricing" },
    { .path = "/v1/reprice", .method = METHOD_POST, .op = "reprice", .members = reprice_members },
    { .path = "/v1/forecast", .method = METHOD_GET, .op = "forecast" },
    { .path = "/v1/audit", .method = METHOD_GET, .op = "audit" },
    { .path = "/v1/alerts/{id}/ack",
      .method = METHOD_POST,
      .op = "ack",
      .rest = "id",
      .numbered = true,
      .members = ack_members },
};

static const struct operation *operation_find(const struct request *r)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        if (operations[i].method == r->method && strcmp(operations[i].path, r->route->path) == 0)
            return &operations[i];
    }
    return NULL;
}

/* ----------------------------------------------------------------- the request */

/* Takes over value, which is NULL without memory. */
static int put(json_t *to, const char *name, json_t *value, struct problem *p)
{
    return json_object_set_new(to, name, value) == 0 ? 0 : problem_set(p, 503, "out of memory");
}

/* A whole number from 0 on, and nothing else. */
static bool number_parse(const char *text, int64_t *out)
{
    size_t digits = strspn(text, "0123456789");

    *out = digits <= 18 ? strtoll(text, NULL, 10) : 0;
    return digits > 0 && digits <= 18 && text[digits] == 0;
}

static int put_limit(const struct request *r, const char *name, struct problem *p, json_t *to)
{
    unsigned limit = 0;

    if (request_number(r, name, GOVERN_ROWS_MAX, p, &limit) != 0)
        return -1;
    return put(to, name, json_integer(limit), p);
}

static int put_text(const char *name, const char *value, size_t max, struct problem *p, json_t *to)
{
    size_t len = strlen(value);
    json_t *text = len > 0 && len <= max ? json_string(value) : NULL; /* NULL: not UTF-8 */

    return text ? put(to, name, text, p) : problem_parameter(p, name, value, "text, not too long, in UTF-8");
}

static int put_param(const struct request *r, const char *name, const char *value, struct problem *p,
                     json_t *to)
{
    int64_t id;

    if (strcmp(name, "limit") == 0 || strcmp(name, "cells") == 0)
        return put_limit(r, name, p, to);
    if (strcmp(name, "before") == 0)
        return number_parse(value, &id) ? put(to, name, json_integer(id), p)
                                        : problem_parameter(p, name, value, "the id of a row");
    if (strcmp(name, "all") != 0)
        return put_text(name, value, BODY_TEXT_MAX, p, to);
    if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
        return problem_parameter(p, name, value, "true or false");
    return put(to, name, json_boolean(value[0] == 't'), p);
}

static int put_rest(const struct request *r, const struct operation *o, struct problem *p, json_t *to)
{
    json_t *rest = govern_rest(r, p);
    int64_t id;

    if (!rest || !o->numbered)
        return rest ? put(to, o->rest, rest, p) : -1;
    bool number = number_parse(json_string_value(rest), &id);
    json_decref(rest);
    return number ? put(to, o->rest, json_integer(id), p) : problem_set(p, 404, "no such %s", o->rest);
}

/* Whoever it is says so: in the header, which counts, or in the body. */
static int put_author(const struct request *r, struct problem *p, json_t *to)
{
    const char *header = request_header(r, AUTHOR_HEADER);

    if (header)
        return put_text("author", header, AUTHOR_MAX, p, to);
    if (json_object_get(to, "author"))
        return 0;
    return put(to, "author", json_string(AUTHOR_NOBODY), p);
}

/* The body is a budget; its name is that of the path, and its author is not a part of it. */
static int put_definition(json_t *body, struct problem *p, json_t *to)
{
    const char *name = json_string_value(json_object_get(to, "name"));
    json_t *named = json_object_get(body, "name"), *author = json_incref(json_object_get(body, "author"));

    if (named && (!json_is_string(named) || strcmp(json_string_value(named), name) != 0)) {
        json_decref(author);
        return problem_field(p, "name", json_is_string(named) ? json_string_value(named) : "",
                             "the name in the path, or none");
    }
    json_t *only_author = author ? json_pack("{s:O}", "author", author) : json_object();
    int result =
        only_author ? body_members(only_author, author_members, p, to) : problem_set(p, 503, "out of memory");
    json_decref(author);
    json_decref(only_author);
    json_object_del(body, "author");
    if (result == 0 && !named)
        result = put(body, "name", json_string(name), p);
    return result == 0 ? put(to, "definition", json_incref(body), p) : -1;
}

static int put_body(const struct request *r, const struct operation *o, struct problem *p, json_t *to)
{
    json_t *body;

    if (body_object(r, p, &body) != 0)
        return -1;
    int result = o->definition ? put_definition(body, p, to) : body_members(body, o->members, p, to);
    json_decref(body);
    return result;
}

static bool is_authored(const struct operation *o)
{
    const struct body_member *m = o->members;

    while (m && m->name && strcmp(m->name, "author") != 0)
        m++;
    return o->definition || (m && m->name);
}

/* What is asked: parameters, the path, the body, the author. */
static int put_all(const struct request *r, const struct operation *o, struct problem *p, json_t *to)
{
    for (unsigned i = 0; i < r->params; i++) {
        if (put_param(r, r->param[i].name, r->param[i].value, p, to) != 0)
            return -1;
    }
    if (o->by_field && (!request_param(r, "field") || !request_param(r, "value")))
        return problem_parameter(p, request_param(r, "field") ? "value" : "field", "",
                                 "field and value of what is paused, or its id in the path");
    if (o->rest && put_rest(r, o, p, to) != 0)
        return -1;
    if (r->method != METHOD_GET && put_body(r, o, p, to) != 0)
        return -1;
    return is_authored(o) ? put_author(r, p, to) : 0;
}

/* ------------------------------------------------------------------- the answer */

/* The amount of an allowance as a number of the budget's unit. 200; else *answer says what is wrong. */
static int resolve_amount(const struct request *r, json_t *question, json_t **answer)
{
    const char *text = json_string_value(json_object_get(question, "amount"));
    int64_t amount;

    if (!text)
        return 200;
    int status = govern_ask_budget(r, json_object_get(question, "budget"), 1, answer);
    if (status != 200)
        return status;
    const json_t *budget = json_array_get(json_object_get(*answer, "budgets"), 0);
    const char *name = json_string_value(json_object_get(budget, "unit"));
    enum unit unit = UNIT_USD;
    while (unit_name((int)unit) && !(name && strcmp(unit_name((int)unit), name) == 0))
        unit++;
    bool good = unit_name((int)unit) && amount_parse(text, &unit, &amount) && amount > 0;
    if (good)
        good = json_object_set_new(question, "amount", json_integer(amount)) == 0;
    json_t *problem =
        good
            ? NULL
            : json_pack("{s:s,s:s,s:o}", "field", "amount", "value", text, "expected",
                        json_sprintf("an amount above 0 in %s, the budget's unit", name ? name : "its unit"));
    json_decref(*answer);
    *answer = problem;
    return good ? 200 : 400;
}

static int ask(const struct request *r, const struct operation *o, json_t *question, json_t **answer)
{
    if (strcmp(o->op, "budgets") == 0 && o->rest) {
        unsigned cells = (unsigned)json_integer_value(json_object_get(question, "cells"));
        return govern_ask_budget(r, json_object_get(question, "name"), cells ? cells : GOVERN_CELLS, answer);
    }
    if (strcmp(o->op, "allow") == 0) {
        int status = resolve_amount(r, question, answer);
        if (status != 200)
            return status;
    }
    return govern_ask(r, o->op, question, answer);
}

void take_govern(struct request *r)
{
    const struct operation *o = operation_find(r);
    json_t *question = json_object(), *answer = NULL;
    struct problem p;

    if (!o || !question)
        problem_fill(&p, 503, "out of memory");
    if (!o || !question || put_all(r, o, &p, question) != 0) {
        answer_problem(r, &p);
    } else {
        int status = ask(r, o, question, &answer);
        govern_answer(r, status, answer);
    }
    json_decref(question);
}
