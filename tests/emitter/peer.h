/* SPDX-License-Identifier: MIT
 *
 * peer.h: a collector for the emitter's tests: a real ROUTER on a real socket in a temporary
 * directory, with the watermarks of wire.md, and moods. One thread owns the socket; the tests set
 * moods and read what arrived under the mutex.
 */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include <dirent.h>
#include <errno.h>
#include <msgpack.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

#include "tollgate.h"

#define PATIENCE_MS 20000 /* for what is sure to come; never asserted from below */

/* ------------------------------------------------------------- places and waiting */

struct home {
    char dir[64], spool[96], endpoint[128];
};

static inline void home_make(struct home *h)
{
    snprintf(h->dir, sizeof h->dir, "/dev/shm/tg-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    snprintf(h->spool, sizeof h->spool, "%s/spool", h->dir);
    snprintf(h->endpoint, sizeof h->endpoint, "ipc://%s/events.sock", h->dir);
}

static inline void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    char child[1024];

    if (dir == NULL) {
        unlink(path);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (snprintf(child, sizeof child, "%s/%s", path, e->d_name) < (int)sizeof child)
            remove_tree(child);
    }
    closedir(dir);
    rmdir(path);
}

static inline void home_remove(const struct home *h)
{
    remove_tree(h->dir);
}

/* Entries of a directory, hidden ones too. */
static inline int entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n - 2;
}

static inline struct tg_options options(const struct home *h, const char *source)
{
    struct tg_options o = TG_OPTIONS_INIT;

    o.endpoint = h->endpoint;
    o.spool_dir = h->spool;
    o.source = source;
    return o;
}

static inline tg_emitter *open_emitter(const struct tg_options *o)
{
    tg_emitter *tg = NULL;

    assert_int_equal(tg_open(o, &tg), TG_OK);
    return tg;
}

static inline struct tg_stats stats(tg_emitter *tg)
{
    struct tg_stats s;

    assert_int_equal(tg_stats(tg, &s), TG_OK);
    return s;
}

static inline uint64_t test_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Waits until the condition holds; fails the test if it never does. */
#define EVENTUALLY(condition)                                  \
    do {                                                       \
        uint64_t end_ = test_ms() + PATIENCE_MS;               \
        while (!(condition)) {                                 \
            if (test_ms() > end_)                              \
                fail_msg("never: %s", #condition);             \
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL); \
        }                                                      \
    } while (0)

/* A dispatch whose prompt_tokens are its number, by which the peer knows it again. */
static inline int emit(tg_emitter *tg, int64_t number)
{
    struct tg_dispatch d = TG_DISPATCH_INIT;

    d.agent_id = "tester";
    d.session_id = "s-1";
    d.model = "m";
    d.usage.prompt_tokens = number;
    d.status = TG_STATUS_OK;
    return tg_dispatch_complete(tg, &d);
}

static inline void emit_many(tg_emitter *tg, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(emit(tg, first + i), TG_OK);
}

/* ------------------------------------------------------------------------ the peer */

enum { PEER_EVENTS_MAX = 400000, PEER_STREAMS_MAX = 4096 };

enum mood {
    CALM,     /* settles everything */
    BUSY,     /* asks to come again */
    WEDGED,   /* reads nothing */
    MUTE,     /* reads, forgets, says nothing */
    FORGETFUL /* loses a third of the batches unseen, in no rhythm that a resend could fall into */
};

struct peer_stream {
    uint64_t epoch, stream, watermark;
};

struct peer_event {
    uint64_t epoch, stream, seq;
    int64_t number; /* prompt_tokens; -1: another kind */
};

struct peer;

/* What is no batch, and, with message NULL, every round of the peer's thread, which owns the socket. */
typedef void peer_other(struct peer *p, void *socket, zmq_msg_t *who, const msgpack_object *message);

struct peer {
    char endpoint[128];
    peer_other *other; /* NULL: a collector that does not govern, and drops what it does not know */
    void *other_arg;
    pthread_t thread;
    pthread_mutex_t mutex;
    void *ctx;
    bool stop;
    enum mood mood;
    int64_t refuse; /* a batch with this number in it is refused; 0: none */
    uint64_t batches, gaps, refused, duplicates, reports;
    msgpack_sbuffer last_report; /* its body */
    size_t stream_count, event_count;
    struct peer_stream stream[PEER_STREAMS_MAX];
    struct peer_event event[PEER_EVENTS_MAX];
};

static inline struct peer_stream *peer_stream(struct peer *p, uint64_t epoch, uint64_t stream)
{
    for (size_t i = 0; i < p->stream_count; i++)
        if (p->stream[i].epoch == epoch && p->stream[i].stream == stream)
            return &p->stream[i];
    if (p->stream_count == PEER_STREAMS_MAX)
        abort();
    p->stream[p->stream_count] = (struct peer_stream){ epoch, stream, 0 };
    return &p->stream[p->stream_count++];
}

static inline int64_t event_number(const msgpack_object *e)
{
    const msgpack_object *part = e->via.array.ptr;

    if (part[0].via.u64 != 1 || part[27].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return -1;
    return (int64_t)part[27].via.u64;
}

static inline void peer_store(struct peer *p, const struct peer_stream *st, uint64_t seq,
                              const msgpack_object *e)
{
    if (e->via.array.ptr[0].via.u64 == 2) {
        msgpack_packer pk;
        p->reports++;
        msgpack_sbuffer_clear(&p->last_report);
        msgpack_packer_init(&pk, &p->last_report, msgpack_sbuffer_write);
        msgpack_pack_object(&pk, e->via.array.ptr[3]);
        return;
    }
    if (p->event_count == PEER_EVENTS_MAX)
        abort();
    p->event[p->event_count++] = (struct peer_event){ st->epoch, st->stream, seq, event_number(e) };
}

struct peer_answer {
    uint64_t epoch, stream, settled, status, duplicates, retry_after_ms;
};

static inline bool peer_refuses(const struct peer *p, const msgpack_object *events)
{
    for (uint32_t i = 0; p->refuse != 0 && i < events->via.array.size; i++)
        if (event_number(&events->via.array.ptr[i]) == p->refuse)
            return true;
    return false;
}

/* The rules of wire.md. */
static inline void peer_take(struct peer *p, const msgpack_object *batch, struct peer_answer *a)
{
    const msgpack_object *part = batch->via.array.ptr, *events = &part[7];
    struct peer_stream *st = peer_stream(p, part[3].via.u64, part[4].via.u64);
    uint64_t base = part[5].via.u64, first = part[6].via.u64;

    *a = (struct peer_answer){ .epoch = st->epoch, .stream = st->stream };
    if (p->mood == BUSY || peer_refuses(p, events)) {
        a->status = p->mood == BUSY ? 2 : 3;
        a->retry_after_ms = p->mood == BUSY ? 20 : 0;
        p->refused += a->status == 3;
        a->settled = st->watermark;
        return;
    }
    if (base > st->watermark)
        st->watermark = base;
    if (first > st->watermark + 1) {
        a->status = 1;
        p->gaps++;
    }
    for (uint32_t i = 0; a->status == 0 && i < events->via.array.size; i++) {
        if (first + i <= st->watermark) {
            a->duplicates++;
            continue;
        }
        peer_store(p, st, first + i, &events->via.array.ptr[i]);
        st->watermark = first + i;
    }
    p->duplicates += a->duplicates;
    a->settled = st->watermark;
}

static inline void peer_answer(void *socket, zmq_msg_t *who, const struct peer_answer *a)
{
    msgpack_sbuffer b;
    msgpack_packer pk;

    msgpack_sbuffer_init(&b);
    msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 9);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 2);
    msgpack_pack_uint64(&pk, a->epoch);
    msgpack_pack_uint64(&pk, a->stream);
    msgpack_pack_uint64(&pk, a->settled);
    msgpack_pack_uint64(&pk, a->status);
    msgpack_pack_uint64(&pk, a->duplicates);
    msgpack_pack_uint64(&pk, a->retry_after_ms);
    msgpack_pack_nil(&pk);
    zmq_msg_send(who, socket, ZMQ_SNDMORE);
    zmq_send(socket, b.data, b.size, 0);
    msgpack_sbuffer_destroy(&b);
}

static inline void peer_receive(struct peer *p, void *socket)
{
    zmq_msg_t who, frame;
    msgpack_unpacked u;
    struct peer_answer a;
    size_t at = 0;
    bool lose = true;

    zmq_msg_init(&who);
    zmq_msg_init(&frame);
    msgpack_unpacked_init(&u);
    if (zmq_msg_recv(&who, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_recv(&frame, socket, 0) >= 0) {
        if (msgpack_unpack_next(&u, zmq_msg_data(&frame), zmq_msg_size(&frame), &at) !=
            MSGPACK_UNPACK_SUCCESS)
            abort();
        bool batch = u.data.via.array.ptr[1].via.u64 == 1;
        if (!batch && p->other != NULL)
            p->other(p, socket, &who, &u.data);
        pthread_mutex_lock(&p->mutex);
        p->batches += batch;
        lose =
            !batch || p->mood == MUTE || (p->mood == FORGETFUL && (p->batches * 2654435761u >> 16) % 3 == 0);
        if (!lose)
            peer_take(p, &u.data, &a);
        pthread_mutex_unlock(&p->mutex);
        if (!lose)
            peer_answer(socket, &who, &a);
    }
    msgpack_unpacked_destroy(&u);
    zmq_msg_close(&frame);
    zmq_msg_close(&who);
}

static inline void *peer_main(void *arg)
{
    struct peer *p = arg;
    void *socket = zmq_socket(p->ctx, ZMQ_ROUTER);
    int linger = 0;

    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_bind(socket, p->endpoint) != 0)
        abort();
    for (;;) {
        zmq_pollitem_t item = { socket, 0, ZMQ_POLLIN, 0 };
        pthread_mutex_lock(&p->mutex);
        bool stop = p->stop, wedged = p->mood == WEDGED;
        pthread_mutex_unlock(&p->mutex);
        if (stop)
            break;
        if (wedged)
            nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
        else if (zmq_poll(&item, 1, p->other != NULL ? 1 : 20) > 0)
            peer_receive(p, socket);
        if (!wedged && p->other != NULL)
            p->other(p, socket, NULL, NULL);
    }
    zmq_close(socket);
    return NULL;
}

static inline struct peer *peer_new(const char *endpoint)
{
    struct peer *p = calloc(1, sizeof *p);

    assert_non_null(p);
    snprintf(p->endpoint, sizeof p->endpoint, "%s", endpoint);
    pthread_mutex_init(&p->mutex, NULL);
    msgpack_sbuffer_init(&p->last_report);
    return p;
}

static inline void peer_start(struct peer *p)
{
    p->stop = false;
    p->ctx = zmq_ctx_new();
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

static inline void peer_set(struct peer *p, enum mood mood, int64_t refuse)
{
    pthread_mutex_lock(&p->mutex);
    p->mood = mood;
    p->refuse = refuse;
    pthread_mutex_unlock(&p->mutex);
}

static inline void peer_stop(struct peer *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    zmq_ctx_term(p->ctx);
}

static inline void peer_free(struct peer *p)
{
    msgpack_sbuffer_destroy(&p->last_report);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

#define PEER_GET(p, field)                          \
    __extension__({                                 \
        pthread_mutex_lock(&(p)->mutex);            \
        __typeof__((p)->field) value_ = (p)->field; \
        pthread_mutex_unlock(&(p)->mutex);          \
        value_;                                     \
    })

static inline int by_number(const void *a, const void *b)
{
    int64_t x = ((const struct peer_event *)a)->number, y = ((const struct peer_event *)b)->number;

    return (x > y) - (x < y);
}

/* The peer (stopped or at rest) has the numbers first to first + count - 1, each once, nothing else. */
static inline void peer_has_exactly(struct peer *p, int64_t first, int64_t count)
{
    pthread_mutex_lock(&p->mutex);
    assert_int_equal(p->event_count, count);
    qsort(p->event, p->event_count, sizeof *p->event, by_number);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(p->event[i].number, first + i);
    pthread_mutex_unlock(&p->mutex);
}

/* A number out of the last report's body; name "a.b" looks into the map a. -1: not there. */
static inline int64_t report_number(struct peer *p, const char *map, const char *name)
{
    int64_t found = -1;
    msgpack_unpacked u;
    size_t at = 0;

    pthread_mutex_lock(&p->mutex);
    msgpack_unpacked_init(&u);
    if (msgpack_unpack_next(&u, p->last_report.data, p->last_report.size, &at) == MSGPACK_UNPACK_SUCCESS) {
        msgpack_object o = u.data;
        for (int level = map == NULL; level < 2; level++) {
            const char *key = level == 0 ? map : name;
            for (uint32_t i = 0; o.type == MSGPACK_OBJECT_MAP && i < o.via.map.size; i++) {
                const msgpack_object_kv *kv = &o.via.map.ptr[i];
                if (kv->key.via.str.size == strlen(key) &&
                    memcmp(kv->key.via.str.ptr, key, strlen(key)) == 0) {
                    o = kv->val;
                    break;
                }
            }
        }
        if (o.type == MSGPACK_OBJECT_POSITIVE_INTEGER)
            found = (int64_t)o.via.u64;
    }
    msgpack_unpacked_destroy(&u);
    pthread_mutex_unlock(&p->mutex);
    return found;
}

#endif
