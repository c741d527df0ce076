/* SPDX-License-Identifier: MIT
 *
 * GET /v1/agents, GET /v1/models: sums by agent, or by provider and model, of how many of the others each
 * had to do with, and when last. The sums are of one commit, what is beside them of the same or a later
 * one.
 */
#include <string.h>

#include "../query/presence.h"
#include "../query/usage.h"
#include "../query/when.h"
#include "columns.h"
#include "routes.h"
#include "usage_params.h"

static const struct kind {
    enum presence_by by;
    const char *rows, *others;
    unsigned names;
    enum field_id name[2];
} agents = { PRESENCE_AGENTS, "agents", "models", 1, { FIELD_agent_id } },
  models = { PRESENCE_MODELS, "models", "agents", 2, { FIELD_provider, FIELD_model } };

/* ---------------------------------------------------------------- reading */

static int read_request(const struct request *r, const struct kind *k, struct problem *p,
                        struct usage_request *q)
{
    q->limit = USAGE_LIMIT;
    q->groups = k->names;
    memcpy(q->group, k->name, sizeof k->name);
    if (usage_params_times(r, p, q) != 0 || usage_params_order(r, p, q) != 0 ||
        request_number(r, "limit", USAGE_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return request_filters(r, FIELD_DIMS_END, p, &q->filter);
}

/* ---------------------------------------------------------------- showing */

static void put_row(struct columns *c, const struct kind *k, const struct usage_answer *a,
                    const struct usage_row *row, const struct presence *presence)
{
    const char *name[2] = { NULL };
    size_t len[2] = { 0, 0 };

    for (unsigned i = 0; i < k->names; i++) {
        name[i] = usage_name(a, row, i, &len[i]);
        column_text(c, fields[k->name[i]].name, name[i], len[i]);
    }
    const struct presence_group *g = presence_find(presence, name, len);
    column_usage(c, row);
    column_int(c, k->others, g != NULL, g ? g->others : 0);
    column_time(c, "last", "last_ms", g != NULL, g ? g->last_ms : 0);
}

static void show_json(struct text *t, const struct kind *k, const struct usage_answer *a,
                      const struct presence *presence)
{
    struct columns c = { .t = t };

    text_str(t, "{");
    column_time(&c, "from", "from_ms", true, a->from_ms);
    column_time(&c, "to", "to_ms", true, a->to_ms);
    text_fmt(t, ",\"%s\":[", k->rows);
    for (size_t i = 0; i < a->rows && !t->failed; i++) {
        text_str(t, i ? ",\n{" : "\n{");
        put_row(&(struct columns){ .t = t }, k, a, &a->row[i], presence);
        text_str(t, "}");
    }
    text_str(t, "],\n\"totals\":{");
    column_usage(&(struct columns){ .t = t }, &a->totals);
    text_fmt(t, "},\"truncated\":%s}\n", a->truncated ? "true" : "false");
}

static void show_csv(struct text *t, const struct kind *k, const struct usage_answer *a,
                     const struct presence *presence)
{
    struct columns head = { .t = t, .csv = true };

    for (unsigned i = 0; i < k->names; i++)
        column_head(&head, fields[k->name[i]].name);
    column_usage_heads(&head, "");
    column_head(&head, k->others);
    column_head(&head, "last");
    column_head(&head, "last_ms");
    text_str(t, "\r\n");
    for (size_t i = 0; i < a->rows; i++) {
        put_row(&(struct columns){ .t = t, .csv = true }, k, a, &a->row[i], presence);
        text_str(t, "\r\n");
    }
}

static void answer(struct request *r, const struct kind *k, enum format format, const struct usage_answer *a,
                   const struct presence *presence)
{
    struct text t = { 0 };

    if (format == FORMAT_CSV)
        show_csv(&t, k, a, presence);
    else
        show_json(&t, k, a, presence);
    r->truncated = a->truncated && format == FORMAT_CSV;
    answer_text(r, 200, format == FORMAT_CSV ? TYPE_CSV : TYPE_JSON, &t);
}

/* The sums, and then of the same time what they do not tell. */
static int run(struct request *r, const struct kind *k, struct usage_request *q, enum format format,
               struct problem *p)
{
    struct monotime deadline = request_deadline(r);
    struct usage_answer a;
    struct presence presence;

    if (usage_run(r->server->pool, q, deadline, p, &a) != 0)
        return -1;
    struct presence_request beside = { a.from_ms, a.to_ms, &q->filter, k->by };
    int result = presence_read(r->server->pool, &beside, deadline, p, &presence);
    if (result == 0) {
        answer(r, k, format, &a, &presence);
        presence_fini(&presence);
    }
    usage_fini(&a);
    return result;
}

static void show(struct request *r, const struct kind *k)
{
    struct usage_request q = { .groups = 0 };
    struct problem p;
    enum format format = FORMAT_JSON;

    if (request_format(r, false, &p, &format) != 0 || read_request(r, k, &p, &q) != 0 ||
        run(r, k, &q, format, &p) != 0)
        answer_problem(r, &p);
    filter_fini(&q.filter);
}

void show_agents(struct request *r)
{
    show(r, &agents);
}

void show_models(struct request *r)
{
    show(r, &models);
}
