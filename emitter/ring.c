/* SPDX-License-Identifier: MIT
 *
 * ring.c: the format of a segment.
 *
 * A page with struct ring, then the data. A record is a word and its bytes, padded to 8. The word:
 *     bits 0-22 length (or RING_WRAP), bit 23 damaged, bits 24-63 the record's number.
 * Invariants:
 *  - The word behind the last record is 0. A producer writes the bytes, zeroes the word behind
 *    them, and stores the record's own word last: a kill in between leaves what was there before.
 *  - Going round the end, the record at offset 0 is complete before the wrap word is stored.
 *  - Numbers count from 1 without gaps; a word with another number was left by an earlier round.
 *  - at = tail means empty; the producer never lets at catch up with the tail from behind.
 * head and tail are one word each, so that neither can be torn.
 */
#include "ring.h"

#include <errno.h>
#include <string.h>

struct ring *ring_init(void *memory, size_t bytes, uint32_t stream)
{
    struct ring *r = memory;

    r->cap = bytes - RING_DATA;
    r->stream = stream;
    atomic_store(&r->head, 0);
    atomic_store(&r->tail, 0);
    r->magic = RING_MAGIC;
    return r;
}

int ring_check(const void *memory, size_t bytes, uint32_t stream)
{
    const struct ring *r = memory;

    if (bytes < RING_BYTES_MIN || bytes > RING_BYTES_MAX || r->magic != RING_MAGIC)
        return -EBADMSG;
    if (r->cap != bytes - RING_DATA || r->stream != stream)
        return -EBADMSG;
    if (ring_tail(r).at + 8 > r->cap || ring_head(r).at + 8 > r->cap)
        return -EBADMSG;
    return 0;
}

void ring_writer_init(struct ring_writer *w, struct ring *r)
{
    struct place head = ring_head(r);

    *w = (struct ring_writer){ .ring = r, .data = ring_data(r), .at = head.at, .seq = head.seq };
    ring_refresh(w);
}

void ring_refresh(struct ring_writer *w)
{
    uint64_t tail = place_unpack(atomic_load_explicit(&w->ring->tail, memory_order_acquire)).at;

    w->limit = tail > w->at ? tail : w->ring->cap;
}

/* The record goes to offset 0: the wrap word commits it. */
static void put_wrapped(struct ring_writer *w, const uint8_t *record, size_t len)
{
    uint64_t seq = ++w->seq << RING_SEQ_SHIFT;
    uint64_t old = w->at;

    memcpy(w->data + 8, record, len);
    w->at = RING_ROUND(len);
    atomic_store_explicit(ring_word(w->data, w->at), 0, memory_order_relaxed);
    atomic_store_explicit(ring_word(w->data, 0), (uint64_t)len | seq, memory_order_relaxed);
    atomic_store_explicit(ring_word(w->data, old), RING_WRAP | seq, memory_order_release);
    atomic_store_explicit(&w->ring->head, place_pack((struct place){ w->at, w->seq }), memory_order_release);
    ring_refresh(w);
}

bool ring_put(struct ring_writer *w, const uint8_t *record, size_t len)
{
    ring_refresh(w);
    if (w->seq >= RING_SEQ_MAX || len > RING_LEN_MAX)
        return false;
    uint8_t *room = ring_room(w, len);
    if (room != NULL) {
        memcpy(room, record, len);
        ring_commit(w, len);
        return true;
    }
    uint64_t tail = ring_tail(w->ring).at;
    if (tail > w->at || RING_ROUND(len) + 8 > tail)
        return false;
    put_wrapped(w, record, len);
    return true;
}

enum ring_step ring_next(const struct ring *r, struct place *p, const uint8_t **record, size_t *len)
{
    uint8_t *data = ring_data(r);
    uint64_t at = p->at;
    uint64_t word = atomic_load_explicit(ring_word(data, at), memory_order_acquire);
    uint64_t seq = p->seq + 1;

    if (word == 0)
        return RING_END;
    if (word == (RING_WRAP | seq << RING_SEQ_SHIFT)) {
        at = 0;
        word = atomic_load_explicit(ring_word(data, 0), memory_order_acquire);
    }
    uint64_t size = word & RING_LEN_MAX;
    bool skip = (word & RING_DAMAGED) != 0;
    if (word >> RING_SEQ_SHIFT != seq || (word & RING_WRAP) != size || size == 0)
        return RING_BROKEN;
    if (at + RING_ROUND(size) + 8 > r->cap)
        return RING_BROKEN;
    *p = (struct place){ .at = at + RING_ROUND(size), .seq = seq };
    *record = data + at + 8;
    *len = (size_t)size;
    return skip ? RING_SKIP : RING_RECORD;
}

void ring_walk(const struct ring *r, struct place *p, uint64_t seq)
{
    const uint8_t *record;
    size_t len;

    while (p->seq < seq) {
        enum ring_step step = ring_next(r, p, &record, &len);
        if (step == RING_END || step == RING_BROKEN)
            return;
    }
}

bool ring_more(const struct ring *r, struct place p)
{
    return atomic_load(ring_word(ring_data(r), p.at)) != 0;
}

struct place ring_head(const struct ring *r)
{
    return place_unpack(atomic_load_explicit(&r->head, memory_order_acquire));
}

struct place ring_tail(const struct ring *r)
{
    return place_unpack(atomic_load_explicit(&r->tail, memory_order_acquire));
}

void ring_settle(struct ring *r, struct place tail)
{
    atomic_store_explicit(&r->tail, place_pack(tail), memory_order_release);
}

uint64_t ring_distance(const struct ring *r, struct place from, struct place to)
{
    if (to.at > from.at || to.seq == from.seq)
        return to.at - from.at;
    return r->cap - from.at + to.at;
}

uint64_t ring_recover(struct ring *r, bool (*readable)(const uint8_t *record, size_t len))
{
    struct place p = ring_tail(r);
    struct place told = ring_head(r);
    uint64_t lost = 0;
    const uint8_t *record;
    size_t len;

    for (;;) {
        enum ring_step step = ring_next(r, &p, &record, &len);
        if (step == RING_END || step == RING_BROKEN)
            break;
        if (step == RING_RECORD && !readable(record, len)) {
            atomic_fetch_or((_Atomic uint64_t *)(void *)(uintptr_t)(record - 8), RING_DAMAGED);
            lost++;
        }
    }
    atomic_store(ring_word(ring_data(r), p.at), 0);
    if (told.seq > p.seq) /* the producer had come further than what is left */
        lost += told.seq - p.seq;
    atomic_store(&r->head, place_pack(p));
    return lost;
}
