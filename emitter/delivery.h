/* SPDX-License-Identifier: MIT
 *
 * delivery.h: one spool on its way to the collector: its streams, its reports, its sleep. Owner:
 * the thread that sends.
 */
#ifndef EMITTER_DELIVERY_H
#define EMITTER_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"
#include "spool.h"
#include "stream.h"
#include "wire.h"

struct delivery {
    struct spool *spool; /* owned unless it is the emitter's own */
    bool own;
    uint32_t streams;
    struct stream *stream[SPOOL_SEGMENTS_MAX]; /* owned; NULL: no such segment to be had */
    struct report report;
};

/* Sends a frame without waiting: 0, -EAGAIN (no peer or its queue is full). */
typedef int delivery_transmit(void *arg, const uint8_t *frame, size_t len);

int delivery_new(struct spool *s, bool own, uint64_t now, struct delivery **out);
void delivery_free(struct delivery *d, bool remove_spool);

/* Sends what is due. -EAGAIN: not all of it could go. b is scratch. */
int delivery_send(struct delivery *d, struct batch *b, uint64_t now, delivery_transmit *transmit, void *arg);

/* Takes a reply for this spool. Returns how many events it settled. */
uint64_t delivery_reply(struct delivery *d, const struct reply *r, uint64_t now);

/* Time passes: resends, evictions, reports. True: the collector has been silent for too long. */
bool delivery_tick(struct delivery *d, uint64_t now);

/* The emitter is gone or closes: a last report when all else is settled. True: that is settled too. */
bool delivery_finish(struct delivery *d, uint64_t now);

/* Announces to the producers whether the sender is about to sleep, and returns until when it may.
 * stalled: nothing can be sent at the moment. */
uint64_t delivery_rest(struct delivery *d, uint64_t now, bool stalled);
void delivery_awake(struct delivery *d);

#endif
