/* SPDX-License-Identifier: MIT
 *
 * GET /v1/stream: events as they are committed, as server-sent events. A viewer is a place in the log:
 * it reads a page when its peer has taken the last one, so one that is slow stays behind and misses
 * nothing; what retention dropped before its turn is told as a gap.
 *
 * What viewers cost the collector is bounded, however many there are: they share one database
 * connection of their own, and after each page it rests so long that all of them together take
 * STREAM_SHARE of one processor; they look for news STREAM_CALM_MS apart; and their threads give way to all
 * others. The connection is the one place where they meet: rest_until_us belongs to who has borrowed it.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "listing.h"
#include "routes.h"
#include "show_event.h"

#define STREAM_BLOCK     1024
#define STREAM_EVENTS    256 /* of one page */
#define STREAM_BYTES     (12u << 10)
#define STREAM_ROOM      (STREAM_BYTES + 4096) /* for the last event, too */
#define STREAM_CALM_MS   250
#define STREAM_ALIVE_MS  15000      /* after so long a silence the peer is told that we are there */
#define STREAM_SHARE     20         /* one part in so many of a processor is theirs */
#define STREAM_BORROW_MS 1000       /* between looks whether the peer is still there */
#define STREAM_STALL_S   300        /* a peer that takes nothing for so long is let go; it can resume */
#define STREAM_SOCKET    (64 << 10) /* bytes that the kernel keeps for a peer that does not read */
#define STREAM_STEP_MAX  200000
#define STREAM_NICE      10

struct viewer {
    struct http_server *server;        /* borrowed */
    struct MHD_Connection *connection; /* borrowed */
    struct listing l;                  /* owned: its filter */
    struct text text;                  /* what is read and not yet sent: from sent on */
    size_t sent;
    struct events_cursor c;         /* of the page that is being read */
    int64_t dropped[EVENTS_TABLES]; /* how far retention's gaps have been told */
    int64_t step;
    uint64_t seen;               /* commits */
    struct monotime calm, alive; /* not to read before; to say something by */
    bool begun, behind;
};

/* ----------------------------------------------------------------- writing */

static const char *const table_names[EVENTS_TABLES] = { "dispatch", "message", "report" };

static void write_id(struct text *t, int64_t id)
{
    char cursor[EVENTS_CURSOR];

    events_cursor_format(id, cursor);
    text_fmt(t, "id: %s\n", cursor);
}

static void write_gap(struct text *t, int table, const struct events_gap *gap)
{
    char first[EVENTS_CURSOR], last[EVENTS_CURSOR];

    events_cursor_format(gap->first, first);
    events_cursor_format(gap->last, last);
    text_fmt(t, "event: gap\ndata: {\"kind\":\"%s\",\"first\":\"%s\",\"last\":\"%s\"}\n\n",
             table_names[table], first, last);
}

/* What was dropped before it was read comes before what was not. */
static void write_gaps(struct viewer *v)
{
    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (v->c.missed[t].last != 0)
            write_gap(&v->text, t, &v->c.missed[t]);
        v->c.missed[t].last = 0;
    }
}

static bool write_event(void *arg, const struct events_row *row)
{
    struct viewer *v = arg;

    write_gaps(v);
    write_id(&v->text, row->id);
    text_fmt(&v->text, "event: %s\ndata: ", table_names[row->table]);
    event_show(&v->text, FORMAT_NDJSON, v->l.q.tables, row, true); /* ends the line */
    text_str(&v->text, "\n");
    return !v->text.failed && v->text.len < STREAM_BYTES;
}

/* The place goes with it: who resumes does not look again at what was not for it. */
static void write_alive(struct viewer *v)
{
    text_str(&v->text, ": alive\n");
    write_id(&v->text, v->l.after);
    text_str(&v->text, "\n");
}

/* ----------------------------------------------------------------- reading */

/* Reads what is after the viewer's place on a borrowed connection. */
static int read_on(struct viewer *v, struct pool_connection *c, struct problem *p)
{
    unsigned got;

    if (events_begin_on(c, &v->l.q, v->l.after, p, &v->c) != 0)
        return -1;
    text_reserve(&v->text, STREAM_ROOM);
    memcpy(v->c.dropped, v->dropped, sizeof v->dropped);
    v->c.step = v->step ? v->step : v->c.step;
    if (events_read_on(c, &v->l.q, &v->c, STREAM_EVENTS, p, write_event, v, &got) != 0)
        return -1;
    write_gaps(v);
    memcpy(v->dropped, v->c.dropped, sizeof v->dropped);
    v->step = v->c.step < STREAM_STEP_MAX ? v->c.step : STREAM_STEP_MAX;
    v->l.after = v->c.lo - 1;
    v->behind = !events_done(&v->c);
    return 0;
}

static int64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* Waits for its turn, however many stand before it. NULL: nobody is there any more, or there is no
 * connection. */
static struct pool_connection *take_turn(struct viewer *v)
{
    struct pool_connection *c;
    struct monotime until;
    struct problem p;

    do {
        until = mono_after(mono_now(), STREAM_BORROW_MS);
        if (pool_borrow(v->server->viewers, until, &p, &c) == 0)
            return c;
    } while (mono_left(until) == 0 && !atomic_load(&v->server->stopping) && !peer_gone(v->connection, 0));
    return NULL;
}

/* One page, when the viewers' connection has rested. -1: the stream cannot go on. */
static int read_page(struct viewer *v)
{
    struct http_server *s = v->server;
    struct pool_connection *c = take_turn(v);
    struct problem p;

    if (!c)
        return -1;
    int64_t rest_us = s->viewers_rest_until_us - mono_us(), begun_us;
    if (rest_us > 0 && peer_gone(v->connection, (int)(rest_us / 1000) + 1)) {
        pool_give(c);
        return -1;
    }
    c->deadline = mono_after(mono_now(), s->query_ms);
    begun_us = cpu_us();
    int result = read_on(v, c, &p);
    s->viewers_rest_until_us = mono_us() + (STREAM_SHARE - 1) * (cpu_us() - begun_us);
    pool_give(c);
    v->calm = mono_after(mono_now(), STREAM_CALM_MS);
    return result;
}

/* Waits until there may be news (true) or something must be said. -1: nobody is there any more. */
static int wait_for_news(struct viewer *v)
{
    const struct http_hooks *hooks = &v->server->hooks;

    while (mono_left(v->alive) > 0) {
        int64_t left = mono_left(v->alive), calm = mono_left(v->calm);
        if (atomic_load(&v->server->stopping) || peer_gone(v->connection, (int)(calm < left ? calm : left)))
            return -1;
        if (calm > 0)
            continue;
        uint64_t now = hooks->commit_wait
                           ? hooks->commit_wait(hooks->arg, v->seen, (int)(left < 1000 ? left : 1000))
                           : v->seen + 1;
        if (now > v->seen) {
            v->seen = now;
            return 1;
        }
    }
    return 0;
}

/* Makes something to send. -1: the stream ends. */
static int make_text(struct viewer *v)
{
    text_fini(&v->text); /* who waits holds nothing */
    v->sent = 0;
    v->alive = mono_after(mono_now(), STREAM_ALIVE_MS);
    while (v->text.len == 0) {
        int news = v->behind ? 1 : wait_for_news(v);
        if (news < 0 || atomic_load(&v->server->stopping) || (news > 0 && read_page(v) != 0) ||
            v->text.failed)
            return -1;
        if (news == 0 || mono_left(v->alive) == 0)
            write_alive(v);
    }
    return v->text.failed ? -1 : 0;
}

/* The first call comes right after the headers; it tells the place, so that even who has seen no event
 * can resume. */
static void begin(struct viewer *v)
{
    v->begun = true;
    setpriority(PRIO_PROCESS, (id_t)gettid(), STREAM_NICE); /* the thread ends with the stream */
    text_str(&v->text, "retry: 1000\n");
    write_id(&v->text, v->l.after);
    text_str(&v->text, "\n");
}

static ssize_t next_bytes(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct viewer *v = cls;

    (void)pos;
    if (!v->begun)
        begin(v);
    else if (v->sent == v->text.len && make_text(v) != 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t len = v->text.len - v->sent < max ? v->text.len - v->sent : max;
    memcpy(buf, v->text.at + v->sent, len);
    v->sent += len;
    return (ssize_t)len;
}

/* ------------------------------------------------------------------ viewers */

static void viewer_free(void *cls)
{
    struct viewer *v = cls;

    text_fini(&v->text);
    filter_fini(&v->l.q.filter);
    free(v);
}

static const union MHD_ConnectionInfo *connection_info(const struct request *r,
                                                       enum MHD_ConnectionInfoType type)
{
    return MHD_get_connection_info(r->connection, type);
}

/* Takes a place among the live streams, for as long as the connection lives. */
static int take_place(const struct request *r, struct problem *p)
{
    struct http_server *s = r->server;
    const union MHD_ConnectionInfo *info = connection_info(r, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *c = info ? info->socket_context : NULL;

    if (!c)
        return problem_set(p, 503, "out of memory");
    if (atomic_fetch_add(&s->counters.streams, 1) >= s->streams) {
        atomic_fetch_sub(&s->counters.streams, 1);
        return problem_set(p, 503, "too many live streams (limit %u)", s->streams);
    }
    c->stream = true;
    return 0;
}

/* Where the viewer begins, and whether there is anything to be sent at once. */
static int find_place(struct viewer *v, const struct request *r, struct problem *p)
{
    struct events_cursor c;

    if (events_begin(r->server->pool, &v->l.q, v->l.after, request_deadline(r), p, &c) != 0)
        return -1;
    v->l.after = c.lo - 1;
    v->behind = !events_done(&c);
    return 0;
}

/* The connection is the viewer's from here on: it is closed when the stream ends. */
static void answer_stream(struct request *r, struct viewer *v)
{
    const union MHD_ConnectionInfo *info = connection_info(r, MHD_CONNECTION_INFO_CONNECTION_FD);
    int size = STREAM_SOCKET;

    if (info)
        setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, STREAM_STALL_S);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, next_bytes, v, viewer_free);
    if (!response)
        viewer_free(v);
    r->endless = true;
    answer_response(r, 200, TYPE_STREAM, response);
}

static int viewer_start(struct request *r, struct viewer *v, struct problem *p)
{
    v->server = r->server;
    v->connection = r->connection;
    if (listing_read_stream(r, p, &v->l) != 0 || find_place(v, r, p) != 0)
        return -1;
    return r->head ? 0 : take_place(r, p);
}

void show_stream(struct request *r)
{
    struct viewer *v = calloc(1, sizeof *v);
    struct text none = { 0 };
    struct problem p;

    if (!v) {
        problem_fill(&p, 503, "out of memory");
        answer_problem(r, &p);
    } else if (viewer_start(r, v, &p) != 0) {
        viewer_free(v);
        answer_problem(r, &p);
    } else if (r->head) {
        viewer_free(v);
        answer_text(r, 200, TYPE_STREAM, &none);
    } else {
        answer_stream(r, v);
    }
}
