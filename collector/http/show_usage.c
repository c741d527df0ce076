/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "../query/usage.h"
#include "../query/when.h"
#include "columns.h"
#include "routes.h"
#include "usage_params.h"

#define MINUTE_MS  60000
#define DAY_MS     86400000
#define BUCKET_MAX 366LL * DAY_MS

/* What is read of a request besides numbers and borrowed strings. */
struct reading {
    struct usage_request q;
    char tag[FILTER_TAGS_MAX][FIELD_TAG_MAX]; /* names to group by */
    unsigned tags;
};

/* ---------------------------------------------------------------- reading */

#define BUCKET_EXPECTED \
    "whole minutes, up to 366 days: 1m, 5m, 15m, 1h, 1d; or hour, day, week, month in the time zone"

static int read_bucket(const struct request *r, struct problem *p, struct usage_request *q)
{
    static const char *const units[] = {
        [ZONE_HOUR] = "hour", [ZONE_DAY] = "day", [ZONE_WEEK] = "week", [ZONE_MONTH] = "month"
    };
    const char *text = request_param(r, "bucket");

    if (!text)
        return 0;
    q->bucket_text = text;
    for (int i = ZONE_HOUR; i <= ZONE_MONTH; i++) {
        if (strcmp(text, units[i]) == 0) {
            q->bucket = BUCKET_CALENDAR;
            q->bucket_unit = (enum zone_unit)i;
            return 0;
        }
    }
    q->bucket = BUCKET_FIXED;
    if (when_span(text, &q->bucket_ms) != 0 || q->bucket_ms % MINUTE_MS != 0 || q->bucket_ms > BUCKET_MAX)
        return problem_parameter(p, "bucket", text, BUCKET_EXPECTED);
    return 0;
}

/* A name to group by: a field's, or `tag:` and a tag's. False: neither, or too many tags. */
static bool group_name(const char *name, size_t len, struct reading *in, enum field_id *field, char **tag)
{
    size_t tag_len;
    const char *at = field_tag(name, len, &tag_len);
    int found = field_find(name, len, FIELD_SESSION_END);

    *tag = NULL;
    *field = at ? FIELD_tag : (enum field_id)found;
    if (!at)
        return found >= 0;
    if (in->tags == FILTER_TAGS_MAX)
        return false;
    *tag = in->tag[in->tags++];
    memcpy(*tag, at, tag_len);
    (*tag)[tag_len] = 0;
    return true;
}

static int read_group(const char *name, size_t len, const char *list, struct problem *p, struct reading *in)
{
    struct usage_request *q = &in->q;
    enum field_id field;
    char *tag;

    if (!group_name(name, len, in, &field, &tag))
        return problem_parameter(
            p, "group_by", list,
            "a comma-separated list of source, agent_id, user_id, provider, model, "
            "requested_model, surface, channel, lane, trigger, granularity, status, error_type, "
            "session_id, parent_session_id, root_session_id, and tag:NAME for up to 8 tags");
    for (unsigned i = 0; i < q->groups; i++) {
        if (q->group[i] == field && (!tag || strcmp(tag, q->tag[i]) == 0))
            return problem_parameter(p, "group_by", list, "each name once");
    }
    q->tag[q->groups] = tag;
    q->group[q->groups++] = field;
    return 0;
}

static int read_groups(const struct request *r, struct problem *p, struct reading *in)
{
    const char *list = request_param(r, "group_by"), *at = list;

    while (at) {
        size_t len = strcspn(at, ",");
        if (read_group(at, len, list, p, in) != 0)
            return -1;
        at = at[len] ? at + len + 1 : NULL;
    }
    return 0;
}

static int read_compare(const struct request *r, struct problem *p, struct usage_request *q)
{
    const char *text = request_param(r, "compare");

    q->compare = text != NULL;
    return text && strcmp(text, "previous") != 0 ? problem_parameter(p, "compare", text, "previous") : 0;
}

static int read_request(const struct request *r, struct problem *p, struct reading *in)
{
    struct usage_request *q = &in->q;

    q->limit = USAGE_LIMIT;
    q->tz = request_param(r, "tz");
    if (usage_params_times(r, p, q) != 0 || read_bucket(r, p, q) != 0 || read_groups(r, p, in) != 0 ||
        usage_params_order(r, p, q) != 0 || read_compare(r, p, q) != 0 ||
        request_number(r, "top", USAGE_LIMIT_MAX, p, &q->top) != 0 ||
        request_number(r, "limit", USAGE_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return request_filters(r, FIELD_SESSION_END, p, &q->filter);
}

/* ---------------------------------------------------------------- showing */

#define ROW_BYTES  1024 /* of JSON, more or less */
#define HEAD_BYTES (sizeof FIELD_TAG_NAME + FIELD_TAG_MAX)

/* What a group is called in the answer. */
static const char *group_head(const struct usage_request *q, unsigned i, char out[HEAD_BYTES])
{
    if (q->group[i] != FIELD_tag)
        return fields[q->group[i]].name;
    snprintf(out, HEAD_BYTES, "%s%s", FIELD_TAG_NAME, q->tag[i]);
    return out;
}

/* The name of a tag is anybody's text. */
static void put_tag(struct columns *c, const char *head, const char *name, size_t len)
{
    text_str(c->t, c->begun ? "," : "");
    text_json(c->t, head, strlen(head));
    text_str(c->t, ":");
    if (name)
        text_json(c->t, name, len);
    else
        text_str(c->t, "null");
    c->begun = true;
}

/* What stands before the numbers of a row. */
static void put_names(struct columns *c, const struct usage_answer *a, const struct usage_row *row)
{
    const struct usage_request *q = a->request;
    char when[WHEN_TEXT], head[HEAD_BYTES];

    if (q->bucket != BUCKET_NONE) {
        when_format(a->bucket_ms[row->bucket], when);
        column_text(c, "bucket", when, strlen(when));
        if (!c->csv)
            column_int(c, "bucket_ms", true, a->bucket_ms[row->bucket]);
    }
    for (unsigned i = 0; i < q->groups; i++) {
        size_t len = 0;
        const char *name = usage_name(a, row, i, &len);
        if (q->group[i] == FIELD_tag && !c->csv)
            put_tag(c, group_head(q, i, head), name, len);
        else
            column_text(c, group_head(q, i, head), name, len);
    }
    if (q->top > 0)
        column_bool(c, "other", row->group == USAGE_OTHER);
}

static void put_previous(struct text *t, const struct usage_row *previous)
{
    struct columns c = { .t = t };

    text_str(t, ",\"previous\":{");
    column_usage(&c, previous);
    text_str(t, "}");
}

static void put_row(struct text *t, const struct usage_answer *a, size_t i)
{
    struct columns c = { .t = t };

    text_str(t, i ? ",\n{" : "\n{");
    put_names(&c, a, &a->row[i]);
    column_usage(&c, &a->row[i]);
    if (a->previous)
        put_previous(t, &a->previous[i]);
    text_str(t, "}");
}

static void put_totals(struct text *t, const struct usage_answer *a)
{
    struct columns c = { .t = t };

    text_str(t, "\"totals\":{");
    column_usage(&c, &a->totals);
    if (a->previous)
        put_previous(t, &a->previous[a->rows]);
    text_str(t, "}");
}

static void put_head(struct text *t, const struct request *r, const struct usage_answer *a)
{
    struct columns c = { .t = t };
    const struct usage_request *q = a->request;
    const char *bucket = request_param(r, "bucket");
    char head[HEAD_BYTES];

    column_time(&c, "from", "from_ms", true, a->from_ms);
    column_time(&c, "to", "to_ms", true, a->to_ms);
    column_text(&c, "tz", a->tz, strlen(a->tz));
    column_text(&c, "bucket", bucket, bucket ? strlen(bucket) : 0);
    text_str(t, ",\"group_by\":[");
    for (unsigned i = 0; i < q->groups; i++) {
        const char *by = group_head(q, i, head);
        text_str(t, i ? "," : "");
        text_json(t, by, strlen(by));
    }
    text_str(t, "]");
}

static void show_json(struct request *r, const struct usage_answer *a)
{
    struct text t = { 0 };

    text_reserve(&t, (a->rows + 2) * ROW_BYTES * (a->previous ? 2 : 1));
    text_str(&t, "{");
    put_head(&t, r, a);
    text_str(&t, ",\"rows\":[");
    for (size_t i = 0; i < a->rows; i++)
        put_row(&t, a, i);
    text_str(&t, "],\n");
    put_totals(&t, a);
    text_fmt(&t, ",\"truncated\":%s}\n", a->truncated ? "true" : "false");
    answer_text(r, 200, TYPE_JSON, &t);
}

/* -------------------------------------------------------------------- CSV */

static void put_csv_head(struct text *t, const struct usage_request *q)
{
    struct columns c = { .t = t, .csv = true };
    char head[HEAD_BYTES];

    if (q->bucket != BUCKET_NONE)
        column_head(&c, "bucket");
    for (unsigned i = 0; i < q->groups; i++)
        column_head(&c, group_head(q, i, head));
    if (q->top > 0)
        column_head(&c, "other");
    column_usage_heads(&c, "");
    if (q->compare)
        column_usage_heads(&c, "previous_");
    text_str(t, "\r\n");
}

static void put_csv_row(struct text *t, const struct usage_answer *a, size_t i)
{
    struct columns c = { .t = t, .csv = true };

    put_names(&c, a, &a->row[i]);
    column_usage(&c, &a->row[i]);
    if (a->previous)
        column_usage(&c, &a->previous[i]);
    text_str(t, "\r\n");
}

static void show_csv(struct request *r, const struct usage_answer *a)
{
    struct text t = { 0 };

    put_csv_head(&t, a->request);
    for (size_t i = 0; i < a->rows; i++)
        put_csv_row(&t, a, i);
    r->truncated = a->truncated;
    answer_text(r, 200, TYPE_CSV, &t);
}

void show_usage(struct request *r)
{
    struct reading in = { .q = { .order = ORDER_CALLS } };
    struct usage_answer a;
    struct problem p;
    enum format format = FORMAT_JSON;

    if (request_format(r, false, &p, &format) != 0 || read_request(r, &p, &in) != 0 ||
        usage_run(r->server->pool, &in.q, request_deadline(r), &p, &a) != 0) {
        answer_problem(r, &p);
    } else {
        if (format == FORMAT_CSV)
            show_csv(r, &a);
        else
            show_json(r, &a);
        usage_fini(&a);
    }
    filter_fini(&in.q.filter);
}
