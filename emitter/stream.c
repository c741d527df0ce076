/* SPDX-License-Identifier: MIT
 *
 * stream.c: go-back-n over one segment.
 *
 * Invariants: tail <= next; sent[] are places between them, in order; base on the wire is tail.seq.
 * - A reply settles up to a number: tail moves there, whatever its status.
 * - A complaint (gap, busy, refused) means: begin again at tail. As every batch under way behind
 *   the first bad one brings a complaint too, those replies (stale) do not rewind again.
 * - A refusal does not say which event: up to alone_until each goes alone, one under way at a time,
 *   and one refused alone is given up.
 * - A damaged record breaks the numbering, so it is stepped over only when all before it is settled.
 */
#include "stream.h"

#include <string.h>

#define EVICT_AFTER_MS 1000

void stream_init(struct stream *st, struct ring *ring, uint64_t now)
{
    memset(st, 0, sizeof *st);
    st->ring = ring;
    st->tail = st->next = ring_tail(ring);
    st->patience_ms = STREAM_PATIENCE_MIN;
    st->progress_ms = now;
}

bool stream_unsent(const struct stream *st)
{
    return !st->broken && ring_more(st->ring, st->next);
}

static bool alone(const struct stream *st)
{
    return st->next.seq < st->alone_until;
}

/* The next record is damaged and waits for those before it: only their reply helps, not time. */
static bool before_damage(const struct stream *st)
{
    struct place p = st->next;
    const uint8_t *record;
    size_t len;

    return p.seq != st->tail.seq && ring_next(st->ring, &p, &record, &len) == RING_SKIP;
}

bool stream_open(const struct stream *st)
{
    if (before_damage(st))
        return false;
    if (alone(st))
        return st->sent_count == 0 && st->stale == 0;
    return st->sent_count < STREAM_WINDOW;
}

bool stream_done(const struct stream *st)
{
    return st->broken || (st->sent_count == 0 && !ring_more(st->ring, st->tail));
}

/* Moves the tail, and what must not be behind it. */
static void settle_at(struct stream *st, struct place p, uint64_t now)
{
    unsigned gone = 0;

    st->tail = p;
    ring_settle(st->ring, p);
    while (gone < st->sent_count && st->sent[gone].seq <= p.seq)
        gone++;
    st->sent_count -= gone;
    memmove(st->sent, st->sent + gone, st->sent_count * sizeof *st->sent);
    if (st->next.seq < p.seq)
        st->next = p;
    st->progress_ms = now;
    st->patience_ms = STREAM_PATIENCE_MIN;
    st->resend_ms = now + st->patience_ms;
}

static void skip_damaged(struct stream *st, uint64_t now)
{
    const uint8_t *record;
    size_t len;

    while (st->next.seq == st->tail.seq) {
        struct place p = st->next;
        if (ring_next(st->ring, &p, &record, &len) != RING_SKIP)
            return;
        settle_at(st, p, now);
    }
}

/* Enough for a whole batch? */
static bool plenty(const struct stream *st)
{
    struct place head = ring_head(st->ring);

    return head.seq >= st->next.seq + BATCH_EVENTS_MAX ||
           (head.seq > st->next.seq && ring_distance(st->ring, st->next, head) >= BATCH_BYTES_MAX);
}

static bool gathered(struct stream *st, uint64_t now, uint32_t linger_ms)
{
    if (st->due_ms == 0)
        st->due_ms = now + linger_ms;
    return now >= st->due_ms || plenty(st);
}

static struct place gather(struct stream *st, struct batch *b)
{
    struct place p = st->next, q = p;
    const uint8_t *record;
    size_t len;

    for (;;) {
        enum ring_step step = ring_next(st->ring, &q, &record, &len);
        if (step == RING_BROKEN)
            st->broken = b->events == 0;
        if (step != RING_RECORD || !batch_add(b, record, len))
            return p;
        p = q;
        if (p.seq <= st->alone_until)
            return p;
    }
}

bool stream_fill(struct stream *st, uint64_t now, uint32_t linger_ms, struct batch *b, struct place *end)
{
    skip_damaged(st, now);
    if (!stream_unsent(st)) {
        st->due_ms = 0;
        return false;
    }
    if (!stream_open(st) || !gathered(st, now, linger_ms))
        return false;
    batch_clear(b);
    *end = gather(st, b);
    return b->events > 0;
}

bool stream_sent(struct stream *st, struct place end, uint64_t now)
{
    bool again = st->next.seq < st->high_seq;

    if (st->sent_count == 0)
        st->resend_ms = now + st->patience_ms;
    st->sent[st->sent_count++] = end;
    st->unanswered++;
    st->next = end;
    st->due_ms = 0;
    if (end.seq > st->high_seq)
        st->high_seq = end.seq;
    return again;
}

static void rewind_to_tail(struct stream *st)
{
    st->next = st->tail;
    st->sent_count = 0;
    st->due_ms = 0;
}

static uint64_t settle(struct stream *st, uint64_t seq, uint64_t now)
{
    struct place p = st->tail;

    if (seq > st->high_seq)
        seq = st->high_seq; /* nobody can have what was never sent */
    if (seq <= p.seq)
        return 0;
    for (unsigned i = 0; i < st->sent_count && st->sent[i].seq <= seq; i++)
        if (st->sent[i].seq > p.seq)
            p = st->sent[i];
    ring_walk(st->ring, &p, seq);
    uint64_t n = p.seq - st->tail.seq;
    settle_at(st, p, now);
    return n;
}

/* The event after the tail went alone and was refused. */
static uint64_t give_up_one(struct stream *st, uint64_t now)
{
    struct place p = st->tail;

    ring_walk(st->ring, &p, p.seq + 1);
    uint64_t n = p.seq - st->tail.seq;
    settle_at(st, p, now);
    return n;
}

struct stream_result stream_reply(struct stream *st, const struct reply *r, uint64_t now)
{
    struct stream_result result = { 0, 0 };
    bool was_alone = st->sent_count == 1 && st->sent[0].seq <= st->alone_until;
    bool stale = st->stale > 0;

    result.settled = settle(st, r->settled, now);
    st->unanswered -= st->unanswered > 0;
    st->stale -= stale;
    if (stale || r->status == REPLY_SETTLED)
        return result;
    rewind_to_tail(st);
    st->stale = st->unanswered;
    if (r->status != REPLY_REFUSED)
        return result;
    if (was_alone && result.settled == 0)
        result.refused = give_up_one(st, now);
    else
        st->alone_until = st->high_seq;
    return result;
}

bool stream_tick(struct stream *st, uint64_t now)
{
    bool waiting = st->sent_count > 0 || st->stale > 0;

    if (!waiting || now < st->resend_ms)
        return false;
    rewind_to_tail(st);
    st->unanswered = st->stale = 0;
    st->patience_ms = st->patience_ms * 2 < STREAM_PATIENCE_MAX ? st->patience_ms * 2 : STREAM_PATIENCE_MAX;
    return true;
}

static bool crowded(const struct stream *st)
{
    struct place head = ring_head(st->ring);

    return head.seq > st->tail.seq && ring_distance(st->ring, st->tail, head) > st->ring->cap / 8 * 7;
}

uint64_t stream_evict(struct stream *st, uint64_t now)
{
    struct place p = st->tail, head = ring_head(st->ring);
    const uint64_t seq = p.seq, progress_ms = st->progress_ms;

    if (!crowded(st) || now < st->progress_ms + EVICT_AFTER_MS)
        return 0;
    while (p.seq < head.seq && ring_distance(st->ring, st->tail, p) < st->ring->cap / 8) {
        uint64_t before = p.seq;
        ring_walk(st->ring, &p, p.seq + 1);
        if (p.seq == before)
            break;
    }
    rewind_to_tail(st);
    settle_at(st, p, now);
    st->progress_ms = progress_ms;
    return p.seq - seq;
}

uint64_t stream_deadline(const struct stream *st, bool evict, bool stalled)
{
    uint64_t at = UINT64_MAX;

    if (st->sent_count > 0 || st->stale > 0)
        at = st->resend_ms;
    if (!stalled && stream_unsent(st) && stream_open(st) && st->due_ms < at)
        at = st->due_ms;
    if (evict && crowded(st) && st->progress_ms + EVICT_AFTER_MS < at)
        at = st->progress_ms + EVICT_AFTER_MS;
    return at;
}
