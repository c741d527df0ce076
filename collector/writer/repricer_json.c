/* SPDX-License-Identifier: MIT
 *
 * repricer_json.c: what is asked of the repricer, and what it tells.
 */
#include <stdlib.h>
#include <string.h>

#include "repricer.h"

static const char *const state_names[] = { "idle", "running", "done", "failed" };

/* ------------------------------------------------------------------ request */

static int wrong(struct fault *fault, const char *field, const json_t *given, const char *expected)
{
    char *text = given != NULL ? json_dumps(given, JSON_ENCODE_ANY) : NULL;

    fault_set(fault, field,
              json_is_string(given) ? json_string_value(given)
              : text != NULL        ? text
                                    : "",
              "%s", expected);
    free(text);
    return -1;
}

static int parse_time(const json_t *given, const char *name, int64_t missing, int64_t *out,
                      struct fault *fault)
{
    const json_t *value = json_object_get(given, name);

    *out = missing;
    if (value == NULL || json_is_null(value))
        return missing != UNKNOWN ? 0 : wrong(fault, name, value, "a time in Unix milliseconds");
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return wrong(fault, name, value, "a time in Unix milliseconds");
    *out = json_integer_value(value);
    return 0;
}

static int parse_text(const json_t *given, const char *name, char out[REPRICE_TEXT], struct fault *fault)
{
    const json_t *value = json_object_get(given, name);

    out[0] = 0;
    if (value == NULL || json_is_null(value))
        return 0;
    if (!json_is_string(value) || json_string_length(value) >= REPRICE_TEXT)
        return wrong(fault, name, value, "at most 255 bytes of text");
    memcpy(out, json_string_value(value), json_string_length(value) + 1);
    return 0;
}

static int parse_flag(const json_t *given, const char *name, bool *out, struct fault *fault)
{
    const json_t *value = json_object_get(given, name);

    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value) || json_is_null(value)
               ? 0
               : wrong(fault, name, value, "true or false");
}

int reprice_request_parse(const json_t *given, int64_t now_ms, struct reprice_request *out,
                          struct fault *fault)
{
    struct reprice_request r;

    if (parse_time(given, "from_ms", UNKNOWN, &r.from_ms, fault) != 0 ||
        parse_time(given, "to_ms", now_ms, &r.to_ms, fault) != 0 ||
        parse_text(given, "model", r.model, fault) != 0 ||
        parse_text(given, "author", r.author, fault) != 0 ||
        parse_flag(given, "dry_run", &r.dry_run, fault) != 0 ||
        parse_flag(given, "budgets", &r.budgets, fault) != 0)
        return -1;
    if (r.to_ms <= r.from_ms)
        return wrong(fault, "to_ms", json_object_get(given, "to_ms"), "a time after from_ms");
    *out = r;
    return 0;
}

/* ------------------------------------------------------------------- report */

static json_t *text_json(const char *text)
{
    return text[0] != 0 ? json_string(text) : json_null();
}

static json_t *time_json(int64_t ms)
{
    return ms != UNKNOWN ? json_integer(ms) : json_null();
}

static void put_sum(json_t *to, const struct reprice_sum *s)
{
    json_object_set_new(to, "calls", json_integer(s->calls));
    json_object_set_new(to, "changed", json_integer(s->changed));
    json_object_set_new(to, "old_nanousd", json_integer(s->old_nanousd));
    json_object_set_new(to, "new_nanousd", json_integer(s->new_nanousd));
    json_object_set_new(to, "difference_nanousd", json_integer(s->new_nanousd - s->old_nanousd));
    json_object_set_new(to, "old_unknown", json_integer(s->old_unknown));
    json_object_set_new(to, "new_unknown", json_integer(s->new_unknown));
}

static int by_difference(const void *a, const void *b)
{
    const struct reprice_sum *x = *(const struct reprice_sum *const *)a,
                             *y = *(const struct reprice_sum *const *)b;
    int64_t of_x = llabs(x->new_nanousd - x->old_nanousd), of_y = llabs(y->new_nanousd - y->old_nanousd);

    if (of_x != of_y)
        return of_x < of_y ? 1 : -1;
    int order = strcmp(x->provider, y->provider);
    return order != 0 ? order : strcmp(x->model, y->model);
}

static void put_models(json_t *to, const struct repricer *r)
{
    const struct reprice_sum *order[REPRICE_MODELS_MAX] = { NULL };
    json_t *models = json_array();

    for (unsigned i = 0; i < r->models; i++)
        order[i] = &r->sums[i];
    qsort(order, r->models, sizeof(void *), by_difference);
    for (unsigned i = 0; i < r->models; i++) {
        json_t *model = json_object();
        json_object_set_new(model, "provider", text_json(order[i]->provider));
        json_object_set_new(model, "model", text_json(order[i]->model));
        put_sum(model, order[i]);
        json_array_append_new(models, model);
    }
    json_object_set_new(to, "models", models);
}

static double done(const struct repricer *r)
{
    if (r->state == REPRICE_DONE)
        return 1;
    return r->at_id != UNKNOWN && r->last_id > r->first_id
               ? (double)(r->at_id - r->first_id) / (double)(r->last_id - r->first_id)
               : 0;
}

json_t *repricer_report(const struct repricer *r)
{
    struct reprice_sum all = { .calls = 0 };
    json_t *to = json_object();

    json_object_set_new(to, "state", json_string(state_names[r->state]));
    if (r->state == REPRICE_IDLE)
        return to;
    for (unsigned i = 0; i < r->models; i++) {
        all.calls += r->sums[i].calls;
        all.changed += r->sums[i].changed;
        all.old_nanousd += r->sums[i].old_nanousd;
        all.new_nanousd += r->sums[i].new_nanousd;
        all.old_unknown += r->sums[i].old_unknown;
        all.new_unknown += r->sums[i].new_unknown;
    }
    json_object_set_new(to, "dry_run", json_boolean(r->request.dry_run));
    json_object_set_new(to, "budgets", json_boolean(r->request.budgets));
    json_object_set_new(to, "from_ms", json_integer(r->request.from_ms));
    json_object_set_new(to, "to_ms", json_integer(r->request.to_ms));
    json_object_set_new(to, "model", text_json(r->request.model));
    json_object_set_new(to, "author", text_json(r->request.author));
    json_object_set_new(to, "started_ms", time_json(r->started_ms));
    json_object_set_new(to, "ended_ms", time_json(r->ended_ms));
    json_object_set_new(to, "done", json_real(done(r)));
    put_sum(to, &all);
    put_models(to, r);
    return to;
}

/* ------------------------------------------------------------------- office */

static json_t *problem(int status, const char *title, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title, "status", status,
                     "detail", detail);
}

static json_t *refuse(const struct fault *fault, int *status)
{
    char detail[512];

    *status = 400;
    snprintf(detail, sizeof detail, "%.80s: \"%.80s\" where %.180s was expected", fault->field, fault->value,
             fault->expected);
    json_t *answer = problem(400, "Bad request", detail);
    json_object_set_new(answer, "field", json_string(fault->field));
    json_object_set_new(answer, "value", json_string(fault->value));
    json_object_set_new(answer, "expected", json_string(fault->expected));
    return answer;
}

json_t *repricer_serve(struct repricer *r, const char *op, const json_t *request, int64_t now_ms, int *status)
{
    struct reprice_request wanted;
    struct fault fault = { 0 };

    *status = 200;
    if (strcmp(op, "reprice") != 0)
        return repricer_report(r);
    if (reprice_request_parse(request, now_ms, &wanted, &fault) != 0)
        return refuse(&fault, status);
    if (repricer_start(r, &wanted, now_ms))
        return repricer_report(r);
    *status = 409;
    return problem(409, "Conflict", "calls are being priced again already: wait until that has ended");
}
