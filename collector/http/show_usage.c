/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "../query/usage.h"
#include "../query/when.h"
#include "routes.h"

#define MINUTE_MS  60000
#define DAY_MS     86400000
#define BUCKET_MAX 366LL * DAY_MS

/* ---------------------------------------------------------------- reading */

static int read_bucket(const struct request *r, struct problem *p, struct usage_request *q)
{
    const char *text = request_param(r, "bucket");

    if (!text)
        return 0;
    if (when_span(text, &q->bucket_ms) != 0 || q->bucket_ms % MINUTE_MS != 0 || q->bucket_ms > BUCKET_MAX)
        return problem_parameter(p, "bucket", text, "whole minutes, up to 366 days: 1m, 5m, 15m, 1h, 1d");
    if ((q->to_ms - q->from_ms) / q->bucket_ms > USAGE_BUCKETS_MAX)
        return problem_parameter(p, "bucket", text, "at most 100000 buckets between from and to");
    return 0;
}

static int read_group(const char *name, size_t len, const char *list, struct problem *p,
                      struct usage_request *q)
{
    int field = field_find(name, len, FIELD_SESSION_END);

    if (field < 0)
        return problem_parameter(
            p, "group_by", list,
            "a comma-separated list of source, agent_id, user_id, provider, model, "
            "requested_model, surface, channel, lane, trigger, granularity, status, error_type, "
            "session_id, parent_session_id, root_session_id");
    for (unsigned i = 0; i < q->groups; i++) {
        if ((int)q->group[i] == field)
            return problem_parameter(p, "group_by", list, "each name once");
    }
    q->group[q->groups++] = (enum field_id)field;
    return 0;
}

static int read_groups(const struct request *r, struct problem *p, struct usage_request *q)
{
    const char *list = request_param(r, "group_by"), *at = list;

    while (at) {
        size_t len = strcspn(at, ",");
        if (read_group(at, len, list, p, q) != 0)
            return -1;
        at = at[len] ? at + len + 1 : NULL;
    }
    return 0;
}

static int read_request(const struct request *r, struct problem *p, struct usage_request *q)
{
    int64_t now = wall_ms();

    q->limit = USAGE_LIMIT;
    q->from_ms = now - DAY_MS;
    q->to_ms = (now / MINUTE_MS + 1) * MINUTE_MS; /* clocks that run a little ahead are seen too */
    if (request_times(r, p, &q->from_ms, &q->to_ms) != 0 || read_bucket(r, p, q) != 0 ||
        read_groups(r, p, q) != 0 || request_number(r, "limit", USAGE_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return request_filters(r, FIELD_SESSION_END, p, &q->filter);
}

/* ---------------------------------------------------------------- showing */

/* The numbers of a row that are always known, in the order in which they are shown. */
static const char *const count_names[] = { "calls",   "errors",         "blocked",
                                           "aborted", "status_unknown", "partial" };
#define COUNTS (sizeof count_names / sizeof *count_names)

static void counts_of(const struct usage_sums *s, int64_t out[COUNTS])
{
    const int64_t counts[COUNTS] = { s->calls,   s->errors,         s->blocked,
                                     s->aborted, s->status_unknown, s->partial };

    memcpy(out, counts, sizeof counts);
}

static void sums_json(struct text *t, const struct usage_sums *s)
{
    int64_t counts[COUNTS];

    counts_of(s, counts);
    for (size_t i = 0; i < COUNTS; i++)
        text_key_int(t, count_names[i], counts[i]);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        text_key(t, usage_num_names[i]);
        if (s->known[i] > 0)
            text_int(t, s->sum[i]);
        else
            text_str(t, "null");
        text_fmt(t, ",\"%s_unknown\":", usage_num_names[i]);
        text_int(t, s->calls - s->known[i]);
    }
}

static void row_json(struct text *t, const struct usage_answer *a, const struct usage_row *row)
{
    const struct usage_request *q = a->request;
    char when[WHEN_TEXT];
    size_t len;

    text_str(t, "{");
    if (q->bucket_ms) {
        when_format(row->bucket * q->bucket_ms, when);
        text_key_str(t, "bucket", when);
        text_key_int(t, "bucket_ms", row->bucket * q->bucket_ms);
    }
    for (unsigned i = 0; i < q->groups; i++) {
        const char *name = usage_name(a, row, i, &len);
        text_key(t, fields[q->group[i]].name);
        if (name)
            text_json(t, name, len);
        else
            text_str(t, "null");
    }
    sums_json(t, &row->sums);
    text_str(t, "}");
}

static void head_json(struct text *t, const struct request *r, const struct usage_request *q)
{
    char when[WHEN_TEXT];

    when_format(q->from_ms, when);
    text_key_str(t, "from", when);
    text_key_int(t, "from_ms", q->from_ms);
    when_format(q->to_ms, when);
    text_key_str(t, "to", when);
    text_key_int(t, "to_ms", q->to_ms);
    text_key(t, "bucket");
    if (q->bucket_ms)
        text_json(t, request_param(r, "bucket"), strlen(request_param(r, "bucket")));
    else
        text_str(t, "null");
    text_key(t, "group_by");
    text_str(t, "[");
    for (unsigned i = 0; i < q->groups; i++)
        text_fmt(t, "%s\"%s\"", i ? "," : "", fields[q->group[i]].name);
    text_str(t, "]");
}

static void show_json(struct request *r, const struct usage_answer *a)
{
    struct text t = { 0 };

    text_str(&t, "{");
    head_json(&t, r, a->request);
    text_key(&t, "rows");
    text_str(&t, "[");
    for (size_t i = 0; i < a->rows; i++) {
        text_str(&t, i ? ",\n" : "\n");
        row_json(&t, a, &a->row[i]);
    }
    text_str(&t, "],\n");
    text_str(&t, "\"totals\":{");
    sums_json(&t, &a->totals);
    text_fmt(&t, "},\"truncated\":%s}\n", a->truncated ? "true" : "false");
    answer_text(r, 200, TYPE_JSON, &t);
}

static void csv_int(struct text *t, bool first, int64_t n)
{
    text_str(t, first ? "" : ",");
    text_int(t, n);
}

static void head_csv(struct text *t, const struct usage_request *q)
{
    bool first = true;

    if (q->bucket_ms) {
        text_csv(t, true, "bucket", 6);
        first = false;
    }
    for (unsigned i = 0; i < q->groups; i++, first = false)
        text_csv(t, first, fields[q->group[i]].name, strlen(fields[q->group[i]].name));
    for (size_t i = 0; i < COUNTS; i++, first = false)
        text_csv(t, first, count_names[i], strlen(count_names[i]));
    for (int i = 0; i < DISPATCH_SUMS; i++)
        text_fmt(t, ",%s,%s_unknown", usage_num_names[i], usage_num_names[i]);
    text_str(t, "\r\n");
}

static void row_csv(struct text *t, const struct usage_answer *a, const struct usage_row *row)
{
    const struct usage_request *q = a->request;
    int64_t counts[COUNTS];
    char when[WHEN_TEXT];
    bool first = true;
    size_t len;

    if (q->bucket_ms) {
        when_format(row->bucket * q->bucket_ms, when);
        text_csv(t, true, when, strlen(when));
        first = false;
    }
    for (unsigned i = 0; i < q->groups; i++, first = false) {
        const char *name = usage_name(a, row, i, &len);
        text_csv(t, first, name ? name : "", name ? len : 0);
    }
    counts_of(&row->sums, counts);
    for (size_t i = 0; i < COUNTS; i++, first = false)
        csv_int(t, first, counts[i]);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        text_str(t, ",");
        if (row->sums.known[i] > 0)
            text_int(t, row->sums.sum[i]);
        csv_int(t, false, row->sums.calls - row->sums.known[i]);
    }
    text_str(t, "\r\n");
}

static void show_csv(struct request *r, const struct usage_answer *a)
{
    struct text t = { 0 };

    head_csv(&t, a->request);
    for (size_t i = 0; i < a->rows; i++)
        row_csv(&t, a, &a->row[i]);
    r->truncated = a->truncated;
    answer_text(r, 200, TYPE_CSV, &t);
}

void show_usage(struct request *r)
{
    struct usage_request q = { 0 };
    struct usage_answer a;
    struct problem p;
    enum format format = FORMAT_JSON;

    if (request_format(r, false, &p, &format) != 0 || read_request(r, &p, &q) != 0 ||
        usage_run(r->server->pool, &q, request_deadline(r), &p, &a) != 0) {
        answer_problem(r, &p);
    } else {
        if (format == FORMAT_CSV)
            show_csv(r, &a);
        else
            show_json(r, &a);
        usage_fini(&a);
    }
    filter_fini(&q.filter);
}
