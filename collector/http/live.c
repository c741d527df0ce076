/* SPDX-License-Identifier: MIT */
#include "live.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LIVE_BLOCK     1024
#define LIVE_BORROW_MS 1000       /* between looks whether the peer is still there */
#define LIVE_SOCKET    (64 << 10) /* bytes that the kernel keeps for a peer that does not read */
#define LIVE_NICE      10

struct viewer {
    struct http_server *server;        /* borrowed */
    struct MHD_Connection *connection; /* borrowed */
    const struct live_source *source;
    void *arg;        /* owned, through the source */
    struct text text; /* what is read and not yet sent: from sent on */
    size_t sent;
    uint64_t seen;               /* commits */
    struct monotime calm, alive; /* not to read before; to say something by */
    bool begun, behind;
};

static int64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ----------------------------------------------------------------- reading */

/* Waits for its turn, however many stand before it. NULL: nobody is there any more, or there is no
 * connection. */
static struct pool_connection *take_turn(struct viewer *v)
{
    struct pool_connection *c;
    struct monotime until;
    struct problem p;

    do {
        until = mono_after(mono_now(), LIVE_BORROW_MS);
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

    if (!c)
        return -1;
    int64_t rest_us = s->viewers_rest_until_us - mono_us(), begun_us;
    if (rest_us > 0 && peer_gone(v->connection, (int)(rest_us / 1000) + 1)) {
        pool_give(c);
        return -1;
    }
    c->deadline = mono_after(mono_now(), s->query_ms);
    begun_us = cpu_us();
    int result = v->source->read(v->arg, c, &v->text, &v->behind);
    s->viewers_rest_until_us = mono_us() + (LIVE_SHARE - 1) * (cpu_us() - begun_us);
    pool_give(c);
    v->calm = mono_after(mono_now(), LIVE_CALM_MS);
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

/* ----------------------------------------------------------------- sending */

/* The place goes with it: who resumes does not look again at what was not for it. */
static void write_alive(struct viewer *v)
{
    text_str(&v->text, ": alive\n");
    v->source->place(v->arg, &v->text);
    text_str(&v->text, "\n");
}

/* Makes something to send. -1: the stream ends. */
static int make_text(struct viewer *v)
{
    text_fini(&v->text); /* who waits holds nothing */
    v->sent = 0;
    v->alive = mono_after(mono_now(), LIVE_ALIVE_MS);
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
    setpriority(PRIO_PROCESS, (id_t)gettid(), LIVE_NICE); /* the thread ends with the stream */
    text_str(&v->text, "retry: 1000\n");
    v->source->place(v->arg, &v->text);
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
    v->source->free(v->arg);
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

/* The connection is the viewer's from here on: it is closed when the stream ends. */
static void viewer_start(struct request *r, struct viewer *v)
{
    const union MHD_ConnectionInfo *info = connection_info(r, MHD_CONNECTION_INFO_CONNECTION_FD);
    int size = LIVE_SOCKET;

    if (info)
        setsockopt(info->connect_fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    MHD_set_connection_option(r->connection, MHD_CONNECTION_OPTION_TIMEOUT, LIVE_STALL_S);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, LIVE_BLOCK, next_bytes, v, viewer_free);
    if (!response)
        viewer_free(v);
    r->endless = true;
    answer_response(r, 200, TYPE_STREAM, response);
}

/* NULL: it has been answered that there is none. */
static struct viewer *viewer_new(struct request *r, const struct live_source *source, void *arg, bool behind)
{
    struct viewer *v = calloc(1, sizeof *v);
    struct problem p;

    if (!v)
        problem_fill(&p, 503, "out of memory");
    if (!v || take_place(r, &p) != 0) {
        answer_problem(r, &p);
        free(v);
        return NULL;
    }
    *v = (struct viewer){
        .server = r->server, .connection = r->connection, .source = source, .arg = arg, .behind = behind
    };
    return v;
}

void live_answer(struct request *r, const struct live_source *source, void *arg, bool behind)
{
    struct viewer *v = r->head ? NULL : viewer_new(r, source, arg, behind);
    struct text none = { 0 };

    if (v) {
        viewer_start(r, v);
        return;
    }
    source->free(arg);
    if (r->head)
        answer_text(r, 200, TYPE_STREAM, &none);
}
