/* SPDX-License-Identifier: MIT
 *
 * GET /v1/alerts: pages of alerts. GET /v1/alerts/{id}: one of them. POST /v1/alerts/test: sends one that
 * means nothing, to see whether it arrives.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../query/when.h"
#include "body.h"
#include "govern.h"
#include "routes.h"
#include "show_alert.h"

#define DESTINATION_MAX 64 /* bytes of its name */

/* ------------------------------------------------------------------- reading */

static int read_order(const struct request *r, struct problem *p, bool *ascending)
{
    const char *order = request_param(r, "order");

    *ascending = order && strcmp(order, "asc") == 0;
    if (!order || *ascending || strcmp(order, "desc") == 0)
        return 0;
    return problem_parameter(p, "order", order, "asc or desc");
}

static int read_after(const struct request *r, struct problem *p, struct alerts_request *q)
{
    const char *after = request_param(r, "after");

    q->has_after = after != NULL;
    if (after && alerts_place_parse(after, &q->after) != 0)
        return problem_parameter(p, "after", after, "the `next` of an earlier answer in the same order");
    return 0;
}

static int read_list(const struct request *r, struct problem *p, struct alerts_request *q)
{
    q->from_ms = WHEN_MIN;
    q->to_ms = INT64_MAX;
    q->limit = ALERTS_LIMIT;
    if (request_times(r, p, &q->from_ms, &q->to_ms) != 0 || read_order(r, p, &q->ascending) != 0 ||
        read_after(r, p, q) != 0 || request_number(r, "limit", ALERTS_LIMIT_MAX, p, &q->limit) != 0)
        return -1;
    return alert_filter_read(r, p, &q->filter);
}

/* ---------------------------------------------------------------------- list */

struct page {
    struct text t;
    enum format format;
    unsigned rows;
};

static bool page_row(void *arg, const struct alerts_row *row)
{
    struct page *page = arg;

    if (page->format == FORMAT_CSV) {
        alert_csv(&page->t, row);
    } else {
        if (page->format == FORMAT_JSON)
            text_str(&page->t, page->rows ? ",\n" : "\n");
        alert_json(&page->t, row);
        if (page->format == FORMAT_NDJSON)
            text_str(&page->t, "\n");
    }
    page->rows++;
    return !page->t.failed;
}

static void page_begin(struct page *page)
{
    if (page->format == FORMAT_JSON)
        text_str(&page->t, "{\"alerts\":[");
    else if (page->format == FORMAT_CSV)
        alert_head_csv(&page->t);
}

/* How many nobody has acknowledged is told with the first page only. */
static void page_end(struct page *page, const struct alerts_request *q, const struct alerts_answer *a,
                     const char *next)
{
    if (page->format != FORMAT_JSON)
        return;
    text_str(&page->t, "],\"unacked\":");
    if (q->count)
        text_int(&page->t, a->unacked);
    else
        text_str(&page->t, "null");
    text_fmt(&page->t, next[0] ? ",\"next\":\"%s\"}\n" : ",\"next\":null}\n", next);
}

static int list_run(struct request *r, struct alerts_request *q, struct page *page, struct problem *p)
{
    struct alerts_answer a;

    q->count = page->format == FORMAT_JSON && !q->has_after;
    page_begin(page);
    if (alerts_list(r->server->pool, q, request_deadline(r), p, page_row, page, &a) != 0)
        return -1;
    if (a.more)
        alerts_place_format(&a.next, r->next);
    page_end(page, q, &a, r->next);
    return 0;
}
_Static_assert(ALERTS_CURSOR <= sizeof((struct request *)0)->next, "no room for a cursor");

void show_alerts(struct request *r)
{
    static const char *const types[] = {
        [FORMAT_JSON] = TYPE_JSON, [FORMAT_NDJSON] = TYPE_NDJSON, [FORMAT_CSV] = TYPE_CSV
    };
    struct alerts_request q = { 0 };
    struct page page = { .format = FORMAT_JSON };
    struct problem p;

    if (request_format(r, true, &p, &page.format) != 0 || read_list(r, &p, &q) != 0 ||
        list_run(r, &q, &page, &p) != 0) {
        text_fini(&page.t);
        answer_problem(r, &p);
    } else {
        answer_text(r, 200, types[page.format], &page.t);
    }
    alerts_filter_fini(&q.filter);
}

/* ----------------------------------------------------------------------- one */

static bool one_row(void *arg, const struct alerts_row *row)
{
    alert_json(arg, row);
    text_str(arg, "\n");
    return true;
}

/* The id in the path. -1: it cannot be one. */
static int64_t read_id(const struct request *r)
{
    bool digits = r->rest_len <= 18 && strspn(r->rest, "0123456789") >= r->rest_len;

    return digits ? strtoll(r->rest, NULL, 10) : -1;
}

void show_alert(struct request *r)
{
    struct text t = { 0 };
    struct problem p;
    int64_t id = read_id(r);

    if (id < 0)
        problem_fill(&p, 404, "there is no alert \"%.*s\": an id is a number", (int)r->rest_len, r->rest);
    if (id < 0 || alerts_one(r->server->pool, id, request_deadline(r), &p, one_row, &t) != 0) {
        text_fini(&t);
        answer_problem(r, &p);
    } else {
        answer_text(r, 200, TYPE_JSON, &t);
    }
}

/* ---------------------------------------------------------------------- test */

void take_alert_test(struct request *r)
{
    static const struct body_member members[] = { { "destination", BODY_TEXT, false, DESTINATION_MAX, NULL },
                                                  { 0 } };
    const struct http_hooks *hooks = &r->server->hooks;
    json_t *body = NULL, *asked = json_object(), *answer = NULL;
    struct problem p;

    if (!asked)
        problem_fill(&p, 503, "out of memory");
    if (!asked || body_object(r, &p, &body) != 0 || body_members(body, members, &p, asked) != 0) {
        answer_problem(r, &p);
    } else {
        const char *destination = json_string_value(json_object_get(asked, "destination"));
        int status = hooks->alert_test(hooks->arg, destination, &answer);
        govern_answer(r, status, answer);
    }
    json_decref(body);
    json_decref(asked);
}
