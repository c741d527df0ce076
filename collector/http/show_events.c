/* SPDX-License-Identifier: MIT
 *
 * GET /v1/events. A page (JSON, or anything with a limit up to EVENTS_LIMIT_MAX) is made in memory
 * and carries the cursor of the next one. An export (NDJSON or CSV without a limit, or with a
 * larger one) is a stream: MHD asks for bytes, and each piece of rows is read when the last one has
 * been sent, so memory stays bounded and no read transaction waits for a slow peer. A stream that
 * cannot go on cuts the connection: it never looks complete when it is not.
 */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "../query/events.h"
#include "../query/when.h"
#include "routes.h"
#include "show_event.h"

#define STREAM_BLOCK  (64u << 10) /* bytes that MHD asks for at a time */
#define WAIT_CALM_MS  20          /* between two reads that found nothing, however often there is a commit */
#define WAIT_SLICE_MS 1000        /* between two looks whether the peer is still there */

struct listing {
    struct events_request q;
    int64_t after;
    unsigned limit;  /* 0: none */
    int64_t wait_ms; /* 0: no long poll */
    enum format format;
};

/* ---------------------------------------------------------------- reading */

static int read_kind(const struct request *r, struct problem *p, struct listing *l)
{
    const char *kind = request_param(r, "kind");
    int code = kind ? kind_code(kind, strlen(kind)) : KIND_dispatch;

    if (kind && strcmp(kind, "all") == 0)
        l->q.tables = 1u << TABLE_DISPATCH | 1u << TABLE_MESSAGE | 1u << TABLE_REPORT;
    else if ((kind && strcmp(kind, "message") == 0) || code >= KIND_message_received)
        l->q.tables = 1u << TABLE_MESSAGE;
    else if (code == KIND_dispatch || code == KIND_report)
        l->q.tables = 1u << (code == KIND_dispatch ? TABLE_DISPATCH : TABLE_REPORT);
    else
        return problem_parameter(
            p, "kind", kind,
            "dispatch, message, report, all, message_received, message_sending, message_sent, "
            "agent_end or before_agent_finalize");
    l->q.message_kind = code >= KIND_message_received ? code : 0;
    return 0;
}

/* A parameter that is one of two words; the second is the default. */
static int read_choice(const struct request *r, const char *name, const char *yes, const char *no,
                       struct problem *p, bool *out)
{
    const char *text = request_param(r, name);
    char expected[64];

    *out = text && strcmp(text, yes) == 0;
    if (!text || *out || strcmp(text, no) == 0)
        return 0;
    snprintf(expected, sizeof expected, "%s or %s", yes, no);
    return problem_parameter(p, name, text, expected);
}

static int read_after(const struct request *r, struct problem *p, struct listing *l)
{
    const char *after = request_param(r, "after");

    l->after = l->q.ascending ? 0 : INT64_MAX;
    if (after && strcmp(after, "end") == 0 && l->q.ascending)
        l->after = INT64_MAX;
    else if (after && events_cursor_parse(after, &l->after) != 0)
        return problem_parameter(
            p, "after", after,
            "the `next` of an earlier answer, or, with order=asc, end for what is still to come");
    return 0;
}

static int read_wait(const struct request *r, struct problem *p, struct listing *l)
{
    const char *wait = request_param(r, "wait");

    if (!wait)
        return 0;
    if (when_span(wait, &l->wait_ms) != 0 || l->wait_ms > HTTP_WAIT_MAX_MS)
        return problem_parameter(p, "wait", wait, "a time up to 60s");
    if (!l->q.ascending || l->limit == 0 || l->limit > EVENTS_LIMIT_MAX)
        return problem_parameter(p, "wait", wait,
                                 "only with order=asc and pages (JSON, or a limit up to 1000)");
    return 0;
}

static int read_limit(const struct request *r, struct problem *p, struct listing *l)
{
    bool page = l->format == FORMAT_JSON;

    l->limit = page ? EVENTS_LIMIT : 0;
    return request_number(r, "limit", page ? EVENTS_LIMIT_MAX : 999999999, p, &l->limit);
}

static int read_listing(const struct request *r, struct problem *p, struct listing *l)
{
    l->q.from_ms = WHEN_MIN;
    l->q.to_ms = INT64_MAX;
    if (request_format(r, true, p, &l->format) != 0 || read_kind(r, p, l) != 0 ||
        request_times(r, p, &l->q.from_ms, &l->q.to_ms) != 0 ||
        read_choice(r, "order", "asc", "desc", p, &l->q.ascending) != 0 ||
        read_choice(r, "superseded", "true", "false", p, &l->q.superseded) != 0 || read_after(r, p, l) != 0 ||
        read_limit(r, p, l) != 0 || read_wait(r, p, l) != 0)
        return -1;
    return request_filters(r, FIELDS, p, &l->q.filter);
}

/* ------------------------------------------------------------------ pages */

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

/* Whether the peer has gone: nobody waits for the answer any more. */
static bool peer_gone(struct request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd fd = { .fd = info ? info->connect_fd : -1, .events = POLLRDHUP };

    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

/* Waits for a commit after the one numbered *seen. The first is told of at once, another not before
 * *calm. False: time is over, or nobody waits any more. */
static bool page_wait(struct request *r, struct monotime until, uint64_t *seen, struct monotime *calm)
{
    const struct http_hooks *hooks = &r->server->hooks;

    while (mono_left(until) > 0 && !atomic_load(&r->server->stopping) && !peer_gone(r)) {
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

/* ---------------------------------------------------------------- streams */

struct stream {
    struct http_server *server;
    struct listing l; /* owned: its filter */
    struct events_cursor c;
    struct text text; /* rows that are read and not yet sent: from sent on */
    size_t sent;
    unsigned rows, piece;
};

static bool stream_row(void *arg, const struct events_row *row)
{
    struct stream *s = arg;

    event_show(&s->text, s->l.format, s->l.q.tables, row, false);
    s->rows++;
    return !s->text.failed;
}

/* Reads until there is something to send or nothing left. -1: the answer cannot be completed. */
static int stream_read(struct stream *s)
{
    struct problem p;
    unsigned got;

    s->text.len = s->sent = 0;
    while (s->text.len == 0 && !events_done(&s->c) && (s->l.limit == 0 || s->rows < s->l.limit)) {
        unsigned left = s->l.limit ? s->l.limit - s->rows : EVENTS_PIECE;
        struct monotime deadline = mono_after(mono_now(), s->server->query_ms);
        if (events_read(s->server->pool, &s->l.q, &s->c, left < EVENTS_PIECE ? left : EVENTS_PIECE, deadline,
                        &p, stream_row, s, &got) != 0)
            return -1;
    }
    return s->text.failed ? -1 : 0;
}

static ssize_t stream_bytes(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct stream *s = cls;

    (void)pos;
    if (atomic_load(&s->server->stopping))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (s->sent == s->text.len && stream_read(s) != 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t len = s->text.len - s->sent < max ? s->text.len - s->sent : max;
    if (len == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(buf, s->text.at + s->sent, len);
    s->sent += len;
    return (ssize_t)len;
}

static void stream_free(void *cls)
{
    struct stream *s = cls;

    text_fini(&s->text);
    filter_fini(&s->l.q.filter);
    free(s);
}

/* Owns the listing's filter from here on. */
static void show_stream(struct request *r, struct listing *l)
{
    struct stream *s = calloc(1, sizeof *s);
    struct problem p;

    if (!s) {
        filter_fini(&l->q.filter);
        problem_fill(&p, 503, "out of memory");
        answer_problem(r, &p);
        return;
    }
    s->server = r->server;
    s->l = *l;
    if (events_begin(r->server->pool, &s->l.q, s->l.after, request_deadline(r), &p, &s->c) != 0) {
        stream_free(s);
        answer_problem(r, &p);
        return;
    }
    if (s->l.format == FORMAT_CSV)
        event_head_csv(&s->text, s->l.q.tables);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, stream_bytes, s, stream_free);
    if (!response)
        stream_free(s);
    answer_response(r, 200, l->format == FORMAT_CSV ? TYPE_CSV : TYPE_NDJSON, response);
}

void show_events(struct request *r)
{
    struct listing l = { 0 };
    struct problem p;

    if (read_listing(r, &p, &l) != 0) {
        answer_problem(r, &p);
        filter_fini(&l.q.filter);
    } else if (l.limit > 0 && l.limit <= EVENTS_LIMIT_MAX) {
        show_page(r, &l);
        filter_fini(&l.q.filter);
    } else {
        show_stream(r, &l);
    }
}
