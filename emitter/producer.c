/* SPDX-License-Identifier: MIT
 *
 * producer.c: a segment for each thread.
 *
 * A thread's first call claims a segment that another has left and that is half empty, or makes a
 * new one, or, at the limit, claims one that has any room, or else joins the shared one (the last),
 * which is written under its mutex. A thread whose segment is full leaves it and does the same
 * again, so that one thread alone may fill the whole spool; its events then come in several streams.
 * A thread on the shared one looks now and then whether it may have one for itself. The thread remembers its
 * segment by the emitter's id, which is never used again, so nothing has to be told to threads when an
 * emitter closes. When a thread ends, its segment is left.
 *
 * Invariants: an unshared producer is written by the one thread that set `claimed`. A producer lives
 * until emitter and claiming thread have both let go of it (refs). Nobody is cancelled while holding a
 * mutex: what opens files or takes one is done with cancellation off.
 */
#include "producer.h"

#include <errno.h>
#include <stdlib.h>

#include "record.h"

#define CACHE_SLOTS 4  /* emitters that one thread uses without a search */
#define LOOK_EVERY  64 /* events of a thread on the shared segment */
#define ROOM_MIN    ((uint64_t)RECORD_MAX + 64)

struct claim {
    struct claim *next;
    uint64_t emitter_id;
    struct producer *producer;
};

static _Thread_local struct {
    uint64_t emitter_id;
    struct producer *producer;
} cache[CACHE_SLOTS];

static pthread_key_t claims_key; /* of each thread: its claims */
static pthread_once_t claims_once = PTHREAD_ONCE_INIT;
static int claims_error;
static _Atomic uint64_t last_id;
static _Thread_local uint32_t shared_events; /* since the last look */

/* Segments that any thread has left. Of the process, for a thread may end after the emitter. */
static _Atomic uint32_t releases = 1;

static void producer_unref(struct producer *p)
{
    if (atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* The thread lets go: whoever found no room before may find some now. */
static void producer_release(struct producer *p)
{
    if (!p->shared) {
        atomic_store(&p->claimed, false);
        atomic_fetch_add(&releases, 1);
    }
    producer_unref(p);
}

static void claim_free(struct claim *c)
{
    producer_release(c->producer);
    free(c);
}

/* A thread ends. A call after this, from another destructor, starts anew. */
static void claims_release(void *first)
{
    struct claim *next;

    for (int i = 0; i < CACHE_SLOTS; i++)
        cache[i].emitter_id = 0;
    for (struct claim *c = first; c != NULL; c = next) {
        next = c->next;
        claim_free(c);
    }
}

static void claims_key_make(void)
{
    claims_error = pthread_key_create(&claims_key, claims_release);
}

int producers_init(struct producers *ps, struct spool *spool, size_t segment_bytes, size_t spool_bytes)
{
    size_t max = 1 + (spool_bytes - SPOOL_REPORT_BYTES) / segment_bytes;

    pthread_once(&claims_once, claims_key_make);
    if (claims_error != 0)
        return -claims_error;
    ps->id = atomic_fetch_add(&last_id, 1) + 1;
    ps->spool = spool;
    ps->segment_bytes = segment_bytes;
    ps->max = max < SPOOL_SEGMENTS_MAX ? (uint32_t)max : SPOOL_SEGMENTS_MAX;
    return -pthread_mutex_init(&ps->mutex, NULL);
}

void producers_fini(struct producers *ps)
{
    for (uint32_t i = 0; i < SPOOL_SEGMENTS_MAX; i++)
        if (ps->all[i] != NULL)
            producer_unref(ps->all[i]);
    pthread_mutex_destroy(&ps->mutex);
}

/* Half empty is worth moving to at any time; a few records' room when there is nothing else. That is
 * less in small segments, so that what was evicted (an eighth) is always room. */
enum room { ROOM_HALF, ROOM_ANY };

static bool has_room(struct producer *p, enum room room)
{
    const struct ring *r = p->writer.ring;
    uint64_t any = r->cap / 16 < ROOM_MIN ? r->cap / 16 : ROOM_MIN;
    uint64_t want = room == ROOM_HALF ? r->cap / 2 : any;

    return ring_distance(r, ring_tail(r), (struct place){ p->writer.at, p->writer.seq }) <= r->cap - want;
}

static bool has_room_shared(struct producer *p)
{
    pthread_mutex_lock(&p->mutex);
    bool any = has_room(p, ROOM_ANY);
    pthread_mutex_unlock(&p->mutex);
    return any;
}

/* A segment with room that no thread has, or NULL. */
static struct producer *find_free(const struct producers *ps, enum room room)
{
    for (uint32_t i = 1; i < ps->max; i++) {
        struct producer *p = ps->all[i];
        bool no = false;
        if (p == NULL || p->shared || !atomic_compare_exchange_strong(&p->claimed, &no, true))
            continue;
        if (has_room(p, room))
            return p;
        atomic_store(&p->claimed, false);
    }
    return NULL;
}

static struct producer *make(struct producers *ps)
{
    uint32_t i;
    struct producer *p = calloc(1, sizeof *p);

    if (p == NULL || pthread_mutex_init(&p->mutex, NULL) != 0 ||
        spool_add_segment(ps->spool, ps->segment_bytes, &i) != 0) {
        free(p);
        return NULL;
    }
    ring_writer_init(&p->writer, ps->spool->ring[i]);
    p->stream = i;
    p->shared = i + 1 == ps->max;
    atomic_store(&p->claimed, true);
    atomic_store(&p->refs, 1);
    ps->all[i] = p;
    return p;
}

static struct producer *find_or_make(struct producers *ps)
{
    struct producer *p;

    pthread_mutex_lock(&ps->mutex);
    p = find_free(ps, ROOM_HALF);
    if (p == NULL && atomic_load(&ps->spool->head->segments) + 1 < ps->max)
        p = make(ps);
    if (p == NULL)
        p = find_free(ps, ROOM_ANY);
    if (p == NULL)
        p = ps->all[ps->max - 1];
    if (p == NULL)
        p = make(ps);
    if (p != NULL)
        atomic_fetch_add(&p->refs, 1);
    pthread_mutex_unlock(&ps->mutex);
    return p;
}

/* The thread's claims without those on emitters that are closed. */
static struct claim *claims_mine(void)
{
    struct claim *first = pthread_getspecific(claims_key);

    for (struct claim **c = &first; *c != NULL;) {
        struct claim *this = *c;
        if (atomic_load(&this->producer->refs) > 1) {
            c = &this->next;
            continue;
        }
        *c = this->next;
        claim_free(this);
    }
    return first;
}

static struct producer *remember(const struct producers *ps, struct producer *p)
{
    cache[ps->id % CACHE_SLOTS].producer = p;
    cache[ps->id % CACHE_SLOTS].emitter_id = ps->id;
    return p;
}

static struct producer *claim(struct producers *ps)
{
    struct claim *first = claims_mine(), *c = first;

    while (c != NULL && c->emitter_id != ps->id)
        c = c->next;
    if (c == NULL) {
        c = malloc(sizeof *c);
        struct producer *p = c != NULL ? find_or_make(ps) : NULL;
        if (p == NULL) {
            free(c);
            pthread_setspecific(claims_key, first);
            return NULL;
        }
        *c = (struct claim){ .next = first, .emitter_id = ps->id, .producer = p };
        first = c;
    }
    if (pthread_setspecific(claims_key, first) != 0) {
        claims_release(first);
        return NULL;
    }
    return remember(ps, c->producer);
}

struct producer *producer_mine(struct producers *ps)
{
    size_t slot = ps->id % CACHE_SLOTS;

    int state;

    if (cache[slot].emitter_id == ps->id)
        return cache[slot].producer;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    struct producer *p = claim(ps);
    pthread_setcancelstate(state, NULL);
    return p;
}

/* What must change before a search that found no room can find some: the low half is progress. */
static uint64_t search_key(const struct producers *ps)
{
    return (uint64_t)atomic_load(&releases) << 32 | atomic_load(&ps->spool->head->progress);
}

static struct claim *claim_of(const struct producer *p)
{
    struct claim *c = pthread_getspecific(claims_key);

    while (c != NULL && c->producer != p)
        c = c->next;
    return c;
}

/* The thread goes from its producer to p, which is counted already. */
static struct producer *move(struct producers *ps, struct claim *c, struct producer *p)
{
    struct producer *left = c->producer;

    c->producer = p;
    producer_release(left);
    atomic_store(&ps->spool->head->full_at, 0);
    return remember(ps, p);
}

static struct producer *no_room(struct producers *ps, uint64_t key)
{
    atomic_store(&ps->exhausted_at, key);
    atomic_store(&ps->spool->head->full_at, (uint32_t)key + 1); /* now the sender may evict */
    return NULL;
}

static struct producer *next(struct producers *ps, struct producer *full)
{
    uint64_t key = search_key(ps);
    struct claim *c = claim_of(full);

    if (c == NULL)
        return NULL;
    if (atomic_load(&ps->exhausted_at) == key)
        return no_room(ps, key);
    struct producer *p = find_or_make(ps);
    if (p != NULL && (!p->shared || has_room_shared(p)))
        return move(ps, c, p);
    if (p != NULL)
        producer_unref(p);
    return no_room(ps, key);
}

struct producer *producer_next(struct producers *ps, struct producer *full)
{
    int state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    struct producer *p = next(ps, full);
    pthread_setcancelstate(state, NULL);
    return p;
}

void producer_look(struct producers *ps, struct producer *shared)
{
    struct claim *c;
    int state;

    if (++shared_events < LOOK_EVERY || (c = claim_of(shared)) == NULL)
        return;
    shared_events = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&ps->mutex);
    struct producer *p = find_free(ps, ROOM_HALF);
    if (p != NULL)
        atomic_fetch_add(&p->refs, 1);
    pthread_mutex_unlock(&ps->mutex);
    if (p != NULL)
        move(ps, c, p);
    pthread_setcancelstate(state, NULL);
}
