/* SPDX-License-Identifier: MIT */
#include "govern.h"

#include <stdlib.h>
#include <string.h>

#include "body.h"

int govern_ask(const struct request *r, const char *op, const json_t *question, json_t **answer)
{
    const struct http_hooks *hooks = &r->server->hooks;

    *answer = NULL;
    return hooks->govern(hooks->arg, op, question, answer);
}

int govern_ask_budget(const struct request *r, const json_t *name, unsigned cells, json_t **answer)
{
    json_t *question = json_pack("{s:O,s:i}", "name", (json_t *)(uintptr_t)name, "cells", (int)cells);
    int status = 503;

    *answer = NULL;
    if (question)
        status = govern_ask(r, "budgets", question, answer);
    json_decref(question);
    if (status != 200 || json_array_size(json_object_get(*answer, "budgets")) > 0)
        return status;
    json_decref(*answer);
    *answer = json_pack("{s:s}", "detail", "there is no budget of this name");
    return 404;
}

/* Without memory the member stays away, which the dump does not mind. */
static void add_missing(json_t *problem, const char *name, json_t *value)
{
    if (json_object_get(problem, name))
        json_decref(value);
    else
        json_object_set_new(problem, name, value);
}

static void problem_complete(json_t *problem, int status)
{
    const char *title = MHD_get_reason_phrase_for((unsigned)status);
    const char *field = json_string_value(json_object_get(problem, "field"));

    add_missing(problem, "type", json_string("about:blank"));
    add_missing(problem, "title", json_string(title));
    add_missing(problem, "status", json_integer(status));
    add_missing(problem, "detail",
                field ? json_sprintf("%s cannot be understood", field) : json_string(title));
}

static int add_piece(const char *bytes, size_t len, void *text)
{
    text_add(text, bytes, len);
    return 0;
}

void govern_answer(struct request *r, int status, json_t *answer)
{
    struct text t = { 0 };

    if (status >= 400 && json_is_object(answer))
        problem_complete(answer, status);
    if (!json_is_object(answer) || json_dump_callback(answer, add_piece, &t, JSON_COMPACT) != 0)
        t.failed = true;
    text_str(&t, "\n");
    json_decref(answer);
    answer_text(r, status, status < 400 ? TYPE_JSON : TYPE_PROBLEM, &t);
}

json_t *govern_rest(const struct request *r, struct problem *p)
{
    json_t *text = r->rest_len <= BODY_TEXT_MAX ? json_stringn(r->rest, r->rest_len) : NULL;

    if (!text)
        problem_fill(p, 404, "nothing has such a name");
    return text;
}
