/* SPDX-License-Identifier: MIT
 *
 * producer.h: which thread writes to which segment. producer.c explains.
 */
#ifndef EMITTER_PRODUCER_H
#define EMITTER_PRODUCER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "ring.h"
#include "spool.h"

/* The writing end of one segment. */
struct producer {
    struct ring_writer writer; /* the claiming thread's; under mutex if shared */
    uint32_t stream;
    bool shared;
    pthread_mutex_t mutex;
    _Atomic bool claimed;
    _Atomic int refs; /* the emitter, and each thread that remembers it */
};

/* All producers of one emitter. */
struct producers {
    uint64_t id; /* of the emitter: never used again in this process */
    struct spool *spool;
    size_t segment_bytes;
    uint32_t max; /* segments, the reports' included; the last is shared */
    pthread_mutex_t mutex;
    _Atomic uint64_t exhausted_at;            /* releases and progress when no segment had room; 0: never */
    struct producer *all[SPOOL_SEGMENTS_MAX]; /* by segment; owned together with the threads */
};

/* 0 or a negative errno. */
int producers_init(struct producers *ps, struct spool *spool, size_t segment_bytes, size_t spool_bytes);
void producers_fini(struct producers *ps);

/* The calling thread's producer: from its cache, else claimed or made. NULL: no memory at all. */
struct producer *producer_mine(struct producers *ps);

/* Another one for the calling thread, whose own is full. NULL: the whole spool is. */
struct producer *producer_next(struct producers *ps, struct producer *full);

/* After an event in a shared one: now and then, looks for one that the calling thread may have for
 * itself from the next event on. The thread may have let go of `shared` on return. */
void producer_look(struct producers *ps, struct producer *shared);

#endif
