/* SPDX-License-Identifier: MIT
 *
 * GET /v1/events. A page (JSON, or anything with a limit up to EVENTS_LIMIT_MAX) is made in memory
 * and carries the cursor of the next one. NDJSON or CSV without a limit, or with a larger one, is an
 * export: show_export.c.
 */
#include <poll.h>
#include <string.h>

#include "listing.h"
#include "routes.h"
#include "show_event.h"
#include "show_export.h"

#define WAIT_CALM_MS  20   /* between two reads that found nothing, however often there is a commit */
#define WAIT_SLICE_MS 1000 /* between two looks whether the peer is still there */

struct page {
    struct text *text;
    const struct listing *l;
    unsigned rows;
};

static bool page_row(void *arg, const struct events_row *row)
{
    struct page *page = arg;

    event_show(page->text, page->l->format, page->l->q.tables, row, page->rows++ == 0);
    return !page->text->failed;
}

/* Reads up to the limit into page. The one deadline is for all pieces together. */
static int page_read(struct request *r, const struct listing *l, struct events_cursor *c, struct problem *p,
                     struct page *page)
{
    struct monotime deadline = request_deadline(r);
    unsigned got;

    while (page->rows < l->limit && !events_done(c)) {
        if (events_read(r->server->pool, &l->q, c, l->limit - page->rows, deadline, p, page_row, page,
                        &got) != 0)
            return -1;
        if (mono_left(deadline) == 0)
            return problem_set(p, 504, "the query took too long: ask for less time or fewer names");
    }
    return 0;
}

/* Waits for a commit after the one numbered *seen. The first is told of at once, another not before
 * *calm. False: time is over, or nobody waits any more. */
static bool page_wait(struct request *r, struct monotime until, uint64_t *seen, struct monotime *calm)
{
    const struct http_hooks *hooks = &r->server->hooks;

    while (mono_left(until) > 0 && !atomic_load(&r->server->stopping) && !peer_gone(r->connection, 0)) {
        int64_t slice = mono_left(until) < WAIT_SLICE_MS ? mono_left(until) : WAIT_SLICE_MS;
        uint64_t now = hooks->commit_wait(hooks->arg, *seen, (int)slice);
        if (now > *seen) {
            *seen = now;
            poll(NULL, 0, (int)mono_left(*calm)); /* what is committed meanwhile is read with it */
            *calm = mono_after(mono_now(), WAIT_CALM_MS);
            return true;
        }
    }
    return false;
}

/* Reads a page; with a wait, again after each commit until there is something. */
static int page_poll(struct request *r, struct listing *l, struct problem *p, struct page *page,
                     struct events_cursor *c)
{
    const struct http_hooks *hooks = &r->server->hooks;
    struct monotime until = mono_after(mono_now(), l->wait_ms), calm = mono_now();
    bool wait = l->wait_ms > 0 && hooks->commit_wait;
    uint64_t seen = wait ? hooks->commit_wait(hooks->arg, 0, 0) : 0;

    for (;;) {
        if (events_begin(r->server->pool, &l->q, l->after, request_deadline(r), p, c) != 0)
            return -1;
        if (page_read(r, l, c, p, page) != 0)
            return -1;
        if (page->rows > 0 || !wait)
            return 0;
        l->after = c->lo - 1;
        if (!page_wait(r, until, &seen, &calm))
            return 0;
    }
}

/* The cursor of the next page: always there upwards, where more may come; else only if there is more. */
static bool next_cursor(const struct listing *l, const struct events_cursor *c, char out[EVENTS_CURSOR])
{
    if (!l->q.ascending && events_done(c))
        return false;
    events_cursor_format(l->q.ascending ? c->lo - 1 : c->hi + 1, out);
    return true;
}

static void page_show(struct request *r, const struct listing *l, struct text *t,
                      const struct events_cursor *c)
{
    char next[EVENTS_CURSOR];
    bool more = next_cursor(l, c, next);

    if (l->format == FORMAT_JSON) {
        text_str(t, "],");
        if (more)
            text_fmt(t, "\"next\":\"%s\"", next);
        else
            text_str(t, "\"next\":null");
        text_fmt(t, ",\"end\":%s}\n", events_done(c) ? "true" : "false");
    }
    if (more)
        memcpy(r->next, next, sizeof next);
    answer_text(r, 200,
                l->format == FORMAT_JSON  ? TYPE_JSON
                : l->format == FORMAT_CSV ? TYPE_CSV
                                          : TYPE_NDJSON,
                t);
}

static void show_page(struct request *r, struct listing *l)
{
    struct text t = { 0 };
    struct page page = { .text = &t, .l = l };
    struct events_cursor c;
    struct problem p;

    if (l->format == FORMAT_JSON)
        text_str(&t, "{\"events\":[");
    if (l->format == FORMAT_CSV)
        event_head_csv(&t, l->q.tables);
    if (page_poll(r, l, &p, &page, &c) != 0) {
        text_fini(&t);
        answer_problem(r, &p);
        return;
    }
    page_show(r, l, &t, &c);
}

void show_events(struct request *r)
{
    struct listing l = { 0 };
    struct problem p;

    if (listing_read(r, &p, &l) != 0) {
        answer_problem(r, &p);
        filter_fini(&l.q.filter);
    } else if (l.limit > 0 && l.limit <= EVENTS_LIMIT_MAX) {
        show_page(r, &l);
        filter_fini(&l.q.filter);
    } else {
        show_export(r, &l);
    }
}
