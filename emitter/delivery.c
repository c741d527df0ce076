/* SPDX-License-Identifier: MIT
 *
 * delivery.c: what a sender does for each of its spools. Owner: the thread that sends.
 *
 * Sleeping. The sender stores `sleeping` and then looks at every stream once more; a producer
 * commits its record and then loads `sleeping`. Between store and load each side needs a barrier,
 * so that one of the two sees the other and no record waits for a sender that waits for it. A fence
 * would cost the producer as much as the whole call (it waits for the record to reach the cache),
 * so the sender pays for both, when it goes to sleep: barrier_all.
 */
#include "delivery.h"

#include <errno.h>
#include <stdlib.h>

#include "linux.h"

#define WINDOW_LOOK_MS 50 /* how long other streams may wait behind one whose window is full */

static void refresh(struct delivery *d, uint64_t now)
{
    uint32_t n = atomic_load(&d->spool->head->segments);

    for (; d->streams < n; d->streams++) {
        struct ring *ring;
        int rc = spool_segment(d->spool, d->streams, &ring);
        if (spool_segment_lost(rc))
            continue;
        if (rc != 0)
            return; /* no descriptor or memory now; its events are there all the same */
        struct stream *st = malloc(sizeof *st);
        if (st == NULL)
            return; /* next time, perhaps */
        stream_init(st, ring, now);
        d->stream[d->streams] = st;
    }
}

int delivery_new(struct spool *s, bool own, uint64_t now, struct delivery **out)
{
    struct delivery *d = calloc(1, sizeof *d);

    if (d == NULL)
        return -ENOMEM;
    d->spool = s;
    d->own = own;
    report_init(&d->report, s);
    refresh(d, now);
    *out = d;
    return 0;
}

void delivery_free(struct delivery *d, bool remove_spool)
{
    if (d == NULL)
        return;
    for (uint32_t i = 0; i < d->streams; i++)
        free(d->stream[i]);
    if (!d->own)
        spool_close(d->spool, remove_spool);
    free(d);
}

static uint32_t linger_ms(const struct spool *s)
{
    return atomic_load(&s->head->flushing) > 0 || s->left_over ? 0 : s->head->linger_ms;
}

/* One batch of one stream. 1: sent; 0: nothing due; -EAGAIN. */
static int send_one(struct delivery *d, uint32_t i, struct batch *b, uint64_t now,
                    delivery_transmit *transmit, void *arg)
{
    struct spool_header *h = d->spool->head;
    struct stream *st = d->stream[i];
    struct place end;
    const uint8_t *frame;
    size_t len;

    if (st == NULL || !stream_fill(st, now, linger_ms(d->spool), b, &end))
        return 0;
    struct batch_name name = { .source = h->source,
                               .epoch = h->epoch,
                               .stream = i,
                               .base = st->tail.seq,
                               .first_seq = st->next.seq + 1 };
    batch_seal(b, &name, &frame, &len);
    int rc = transmit(arg, frame, len);
    if (rc != 0)
        return rc;
    atomic_fetch_add(&h->batches_sent, 1);
    if (stream_sent(st, end, now))
        atomic_fetch_add(&h->batches_resent, 1);
    return 1;
}

int delivery_send(struct delivery *d, struct batch *b, uint64_t now, delivery_transmit *transmit, void *arg)
{
    bool more = true;

    refresh(d, now);
    while (more) { /* one batch of each in turn, so that none starves */
        more = false;
        for (uint32_t i = 0; i < d->streams; i++) {
            int rc = send_one(d, i, b, now, transmit, arg);
            if (rc < 0)
                return rc;
            more |= rc > 0;
        }
    }
    return 0;
}

uint64_t delivery_reply(struct delivery *d, const struct reply *r, uint64_t now)
{
    struct spool_header *h = d->spool->head;

    if (r->stream >= d->streams || d->stream[r->stream] == NULL)
        return 0;
    struct stream_result result = stream_reply(d->stream[r->stream], r, now);
    if (r->stream != 0) { /* reports are not events that anybody counts */
        atomic_fetch_add(&h->duplicates, r->duplicates);
        atomic_fetch_add(&h->dropped_refused, result.refused);
    }
    if (result.settled + result.refused > 0)
        spool_progress(d->spool);
    return r->stream != 0 ? result.settled : 0;
}

bool delivery_tick(struct delivery *d, uint64_t now)
{
    struct spool_header *h = d->spool->head;
    bool silent = false, evict = h->evict && spool_exhausted(h);

    for (uint32_t i = 0; i < d->streams; i++) {
        struct stream *st = d->stream[i];
        if (st == NULL)
            continue;
        silent |= stream_tick(st, now);
        uint64_t evicted = evict && i > 0 ? stream_evict(st, now) : 0;
        if (evicted > 0) {
            atomic_fetch_add(&h->dropped_evicted, evicted);
            spool_progress(d->spool);
        }
    }
    if (!d->spool->left_over)
        report_tick(&d->report, d->spool, now);
    return silent;
}

static bool settled_from(const struct delivery *d, uint32_t first)
{
    for (uint32_t i = first; i < d->streams; i++)
        if (d->stream[i] != NULL && !stream_done(d->stream[i]))
            return false;
    return true;
}

bool delivery_finish(struct delivery *d, uint64_t now)
{
    refresh(d, now);
    if (d->streams < atomic_load(&d->spool->head->segments) || !settled_from(d, 1))
        return false;
    report_last(&d->report, d->spool, now);
    return settled_from(d, 0);
}

void delivery_awake(struct delivery *d)
{
    atomic_store(&d->spool->head->sleeping, SPOOL_AWAKE);
}

static bool unsent(struct delivery *d, uint64_t now)
{
    refresh(d, now);
    for (uint32_t i = 0; i < d->streams; i++)
        if (d->stream[i] != NULL && stream_unsent(d->stream[i]))
            return true;
    return false;
}

/* When any stream may next have something to do. Producers are not asked to wake us before. */
static uint64_t deadline(const struct delivery *d, bool stalled)
{
    bool evict = d->spool->head->evict && spool_exhausted(d->spool->head);
    uint64_t at = d->spool->left_over ? UINT64_MAX : report_deadline(&d->report, d->spool);

    for (uint32_t i = 0; i < d->streams; i++) {
        if (d->stream[i] == NULL)
            continue;
        uint64_t t = stream_deadline(d->stream[i], evict && i > 0, stalled);
        at = t < at ? t : at;
    }
    return at;
}

uint64_t delivery_rest(struct delivery *d, uint64_t now, bool stalled)
{
    uint64_t at = deadline(d, stalled);

    if (!unsent(d, now)) {
        atomic_store(&d->spool->head->sleeping, SPOOL_ASLEEP);
        if (!barrier_all())
            atomic_store(&d->spool->head->fence, 1);
        if (!unsent(d, now))
            return at;
        atomic_store(&d->spool->head->sleeping, SPOOL_AWAKE);
        return stalled ? at : now;
    }
    if (stalled) {
        atomic_store(&d->spool->head->sleeping, SPOOL_STALLED);
        return at;
    }
    return at < now + WINDOW_LOOK_MS ? at : now + WINDOW_LOOK_MS;
}
