/* SPDX-License-Identifier: MIT
 *
 * GET /v1/sessions: pages of sessions. GET /v1/sessions/{id}: one of them, a page of its events, and
 * what is beneath it.
 */
#include <string.h>

#include "../query/session.h"
#include "../query/session_list.h"
#include "../query/usage.h"
#include "../query/when.h"
#include "columns.h"
#include "routes.h"
#include "show_event.h"

/* -------------------------------------------------------------------- sums */

static struct usage_sums sums_of(const struct session_totals *t)
{
    struct usage_sums sums = { .calls = t->calls, .errors = t->errors, .partial = t->partial };

    memcpy(sums.sum, t->sum, sizeof sums.sum);
    memcpy(sums.known, t->known, sizeof sums.known);
    return sums;
}

static void put_sums(struct columns *c, const struct session_totals *t)
{
    struct usage_sums sums = sums_of(t);
    bool tokens_known = t->known[SUM_total_tokens] > 0 || t->known[SUM_prompt_tokens] > 0 ||
                        t->known[SUM_completion_tokens] > 0;

    column_time(c, "first", "first_ms", t->rows_seen > 0, t->first_ms);
    column_time(c, "last", "last_ms", t->rows_seen > 0, t->last_ms);
    column_int(c, "duration_ms", t->rows_seen > 0, t->last_ms - t->first_ms);
    column_int(c, "calls", true, t->calls);
    column_int(c, "errors", true, t->errors);
    column_rate(c, "error_rate", usage_error_rate(&sums));
    column_int(c, "messages", true, t->messages);
    column_int(c, "partial", true, t->partial);
    column_int(c, "tokens", tokens_known, t->tokens);
    column_sums(c, t->calls, t->sum, t->known);
    column_rate(c, "cache_hit_rate", usage_cache_hit_rate(&sums));
}

/* ------------------------------------------------------------------- items */

static void put_item(struct columns *c, const struct session_item *item)
{
    for (int i = 0; i < SESSION_NAMES; i++)
        column_text(c, fields[session_item_fields[i]].name, (const char *)item->name[i].at,
                    item->name[i].len);
    put_sums(c, &item->totals);
}

static void item_json(struct text *t, const struct session_item *item, bool depth)
{
    text_str(t, "{");
    put_item(&(struct columns){ .t = t }, item);
    if (depth)
        text_key_int(t, "depth", item->depth);
    text_str(t, "}");
}

static void head_csv(struct text *t)
{
    static const char sums[] =
        ",first,first_ms,last,last_ms,duration_ms,calls,errors,error_rate,messages,partial,tokens";

    for (int i = 0; i < SESSION_NAMES; i++)
        text_csv(t, i == 0, fields[session_item_fields[i]].name, strlen(fields[session_item_fields[i]].name));
    text_str(t, sums);
    for (int i = 0; i < DISPATCH_SUMS; i++)
        text_fmt(t, ",%s,%s_unknown", usage_num_names[i], usage_num_names[i]);
    text_str(t, ",cache_hit_rate\r\n");
}

/* -------------------------------------------------------------------- list */

static int read_order(const struct request *r, struct problem *p, struct session_list_request *q)
{
    const char *text = request_param(r, "order");
    int order = text ? session_order_find(text + (text[0] == '-')) : ORDER_BY_LAST;

    if (order < 0)
        return problem_parameter(
            p, "order", text,
            "last, first, tokens, calls, errors, cost or cost_reported; with - before it "
            "downwards");
    q->order = (enum session_order)order;
    q->ascending = text && text[0] != '-';
    return 0;
}

static int read_after(const struct request *r, struct problem *p, struct session_list_request *q)
{
    const char *text = request_param(r, "after");

    q->has_after = text != NULL;
    if (text && session_place_parse(q, text, &q->after) != 0)
        return problem_parameter(p, "after", text, "the `next` of an earlier answer in the same order");
    return 0;
}

static int read_list(const struct request *r, struct problem *p, struct session_list_request *q)
{
    q->from_ms = WHEN_MIN;
    q->to_ms = INT64_MAX;
    q->limit = SESSION_LIST_LIMIT;
    q->search = request_param(r, "search");
    if (q->search && q->search[0] == 0)
        q->search = NULL;
    if (request_times(r, p, &q->from_ms, &q->to_ms) != 0 || read_order(r, p, q) != 0 ||
        read_after(r, p, q) != 0 || request_number(r, "limit", SESSION_LIST_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return request_filters(r, FIELD_SESSION_END, p, &q->filter);
}

static void list_json(struct text *t, const struct session_list *a, const char *next)
{
    text_str(t, "{\"sessions\":[");
    for (size_t i = 0; i < a->items; i++) {
        text_str(t, i ? ",\n" : "\n");
        item_json(t, &a->item[i], false);
    }
    text_fmt(t, next[0] ? "],\"next\":\"%s\"}\n" : "],\"next\":null}\n", next);
}

static void list_csv(struct text *t, const struct session_list *a)
{
    head_csv(t);
    for (size_t i = 0; i < a->items; i++) {
        put_item(&(struct columns){ .t = t, .csv = true }, &a->item[i]);
        text_str(t, "\r\n");
    }
}

static void list_ndjson(struct text *t, const struct session_list *a)
{
    for (size_t i = 0; i < a->items; i++) {
        item_json(t, &a->item[i], false);
        text_str(t, "\n");
    }
}

static void list_show(struct request *r, const struct session_list_request *q, enum format format,
                      const struct session_list *a)
{
    struct text t = { 0 };

    if (a->more)
        session_place_format(q, &a->next, r->next);
    if (format == FORMAT_JSON)
        list_json(&t, a, r->next);
    else
        (format == FORMAT_CSV ? list_csv : list_ndjson)(&t, a);
    answer_text(r, 200,
                format == FORMAT_JSON  ? TYPE_JSON
                : format == FORMAT_CSV ? TYPE_CSV
                                       : TYPE_NDJSON,
                &t);
}
_Static_assert(SESSION_PLACE_TEXT <= sizeof((struct request *)0)->next, "no room for a cursor");

void show_sessions(struct request *r)
{
    struct session_list_request q = { 0 };
    struct session_list a;
    struct problem p;
    enum format format = FORMAT_JSON;

    if (request_format(r, true, &p, &format) != 0 || read_list(r, &p, &q) != 0 ||
        session_list_run(r->server->pool, &q, request_deadline(r), &p, &a) != 0) {
        answer_problem(r, &p);
    } else {
        list_show(r, &q, format, &a);
        session_list_fini(&a);
    }
    filter_fini(&q.filter);
}

/* --------------------------------------------------------------------- one */

struct page {
    struct text events;
    unsigned rows;
};

static bool page_row(void *arg, const struct events_row *row)
{
    struct page *page = arg;

    event_show(&page->events, FORMAT_JSON, 0, row, page->rows++ == 0);
    return !page->events.failed;
}

static int read_one(const struct request *r, struct problem *p, struct session_request *q, struct filter *f)
{
    const char *after = request_param(r, "after"), *source = request_param(r, "source");

    if (after && events_cursor_parse(after, &q->after) != 0)
        return problem_parameter(p, "after", after, "the `next` of an earlier answer");
    if (request_number(r, "limit", EVENTS_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return source ? filter_add(f, FIELD_source, source, p) : 0;
}

static void one_json(struct request *r, const struct session_answer *a, struct page *page)
{
    struct text t = { 0 };

    text_str(&t, "{\"session\":");
    item_json(&t, &a->item, false);
    text_str(&t, ",\n\"events\":[");
    text_add(&t, page->events.at, page->events.len);
    t.failed |= page->events.failed;
    if (!events_done(&a->cursor))
        events_cursor_format(a->cursor.lo - 1, r->next);
    text_fmt(&t, r->next[0] ? "],\"next\":\"%s\",\n\"beneath\":[" : "],\"next\":null,\n\"beneath\":[",
             r->next);
    for (size_t i = 0; i < a->beneaths; i++) {
        text_str(&t, i ? ",\n" : "\n");
        item_json(&t, &a->beneath[i], true);
    }
    text_str(&t, "],\n\"tree\":{");
    put_sums(&(struct columns){ .t = &t }, &a->tree);
    text_fmt(&t, "},\"truncated\":%s}\n", a->truncated ? "true" : "false");
    answer_text(r, 200, TYPE_JSON, &t);
}

void show_session(struct request *r)
{
    struct events_request events = { .tables = 1u << TABLE_DISPATCH | 1u << TABLE_MESSAGE,
                                     .from_ms = WHEN_MIN,
                                     .to_ms = INT64_MAX,
                                     .ascending = true };
    struct session_request q = { .session_id = r->rest, .events = &events, .limit = EVENTS_LIMIT };
    struct session_answer a;
    struct page page = { .rows = 0 };
    struct problem p;

    if (read_one(r, &p, &q, &events.filter) != 0 ||
        session_run(r->server->pool, &q, request_deadline(r), &p, page_row, &page, &a) != 0) {
        answer_problem(r, &p);
    } else {
        one_json(r, &a, &page);
        session_answer_fini(&a);
    }
    text_fini(&page.events);
    filter_fini(&events.filter);
}
