/* SPDX-License-Identifier: MIT
 *
 * ring.h: one segment of the spool: a ring of records in mapped memory with one producer and one
 * consumer, readable after a kill at any instruction. ring.c explains the format.
 *
 * Owner: ring_writer belongs to the producing thread, struct place and the tail to whoever holds
 * the spool's sender lock.
 */
#ifndef EMITTER_RING_H
#define EMITTER_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RING_MAGIC      0x31676e6972676774u /* "tggring1" */
#define RING_DATA       4096                /* where records begin: a page after the header */
#define RING_BYTES_MIN  ((size_t)64 << 10)
#define RING_BYTES_MAX  ((size_t)128 << 20) /* 24 bits of 8 bytes */
#define RING_LEN_MAX    0x3fffffu           /* bytes of one record */
#define RING_WRAP       0x7fffffu           /* in the place of a length: go on at offset 0 */
#define RING_DAMAGED    0x800000u           /* this record cannot be read: step over it */
#define RING_SEQ_SHIFT  24
#define RING_SEQ_MAX    (((uint64_t)1 << 40) - 1)
#define RING_ROUND(len) ((8 + (size_t)(len) + 7) & ~(size_t)7) /* a record with its word */

/* Where a walk stands: the offset of the next word, and the number of the record before it. */
struct place {
    uint64_t at;
    uint64_t seq;
};

struct ring {
    uint64_t magic;
    uint64_t cap; /* bytes of data */
    uint32_t stream;
    _Alignas(64) _Atomic uint64_t head; /* packed place, by the producer; one behind after a kill */
    _Alignas(64) _Atomic uint64_t tail; /* packed place, by the sender: all before it is settled */
};

struct ring_writer {
    struct ring *ring; /* borrowed */
    uint8_t *data;
    uint64_t at;    /* offset of the next word */
    uint64_t limit; /* contiguous room ends here */
    uint64_t seq;   /* number of the last record */
};

static inline uint64_t place_pack(struct place p)
{
    return p.at / 8 << 40 | p.seq;
}

static inline struct place place_unpack(uint64_t packed)
{
    return (struct place){ .at = (packed >> 40) * 8, .seq = packed & RING_SEQ_MAX };
}

static inline _Atomic uint64_t *ring_word(uint8_t *data, uint64_t at)
{
    return (_Atomic uint64_t *)(void *)(data + at);
}

static inline uint8_t *ring_data(const struct ring *r)
{
    return (uint8_t *)(uintptr_t)r + RING_DATA;
}

/* Where a record of up to max bytes can be written in place, or NULL: then ring_put. */
static inline uint8_t *ring_room(const struct ring_writer *w, size_t max)
{
    return w->at + RING_ROUND(max) + 8 <= w->limit ? w->data + w->at + 8 : NULL;
}

/* Commits the record of len bytes written at ring_room. Its word is stored last. */
static inline void ring_commit(struct ring_writer *w, size_t len)
{
    uint64_t next = w->at + RING_ROUND(len);

    w->seq++;
    atomic_store_explicit(ring_word(w->data, next), 0, memory_order_relaxed);
    atomic_store_explicit(ring_word(w->data, w->at), (uint64_t)len | w->seq << RING_SEQ_SHIFT,
                          memory_order_release);
    w->at = next;
    atomic_store_explicit(&w->ring->head, place_pack((struct place){ next, w->seq }), memory_order_release);
}

/* Makes an empty ring in bytes of zeroed memory. */
struct ring *ring_init(void *memory, size_t bytes, uint32_t stream);

/* 0 if memory of so many bytes holds a ring that can be walked, else -EBADMSG. */
int ring_check(const void *memory, size_t bytes, uint32_t stream);

/* A writer that goes on where the last one stopped. */
void ring_writer_init(struct ring_writer *w, struct ring *r);

/* Looks how far the sender has come. */
void ring_refresh(struct ring_writer *w);

/* Writes a record from elsewhere, round the end if need be. False: no room. */
bool ring_put(struct ring_writer *w, const uint8_t *record, size_t len);

enum ring_step {
    RING_END,    /* nothing more yet */
    RING_RECORD, /* *record and *len are set */
    RING_SKIP,   /* a record marked as damaged */
    RING_BROKEN  /* what stands here was never written by a producer */
};

/* Takes one step: on RING_RECORD and RING_SKIP *p stands behind the record. */
enum ring_step ring_next(const struct ring *r, struct place *p, const uint8_t **record, size_t *len);

/* Moves *p over records up to number seq, or as far as there are records. */
void ring_walk(const struct ring *r, struct place *p, uint64_t seq);

/* Is there a record behind p? */
bool ring_more(const struct ring *r, struct place p);

struct place ring_head(const struct ring *r);
struct place ring_tail(const struct ring *r);
void ring_settle(struct ring *r, struct place tail);

/* Bytes from one place to a later one. */
uint64_t ring_distance(const struct ring *r, struct place from, struct place to);

/* After the producer's death: walks from the tail, marks records that readable() refuses, ends the
 * ring where it stops making sense and sets the head. Returns how many records are lost. */
uint64_t ring_recover(struct ring *r, bool (*readable)(const uint8_t *record, size_t len));

#endif
