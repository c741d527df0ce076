/* SPDX-License-Identifier: MIT
 *
 * stream.h: the delivery of one ordered stream, a segment, to a collector. No socket, no clock:
 * times are given. stream.c explains. Owner: the thread that sends.
 */
#ifndef EMITTER_STREAM_H
#define EMITTER_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "ring.h"
#include "wire.h"

#define STREAM_WINDOW       8    /* batches under way */
#define STREAM_PATIENCE_MIN 1000 /* ms without progress before all is sent again */
#define STREAM_PATIENCE_MAX 30000

struct stream {
    struct ring *ring;                /* borrowed */
    struct place tail;                /* all before it is settled or given up */
    struct place next;                /* what is sent next */
    struct place sent[STREAM_WINDOW]; /* ends of the batches under way, oldest first */
    unsigned sent_count;
    unsigned unanswered;  /* batches whose reply may still come */
    unsigned stale;       /* of those, sent before a rewind: their complaints are old news */
    uint64_t high_seq;    /* sent at least once up to here */
    uint64_t alone_until; /* up to here each event goes alone: one of them was refused */
    uint64_t due_ms;      /* gathering ends; 0: nothing to gather */
    uint64_t resend_ms;
    uint64_t progress_ms; /* when something was settled last */
    uint32_t patience_ms;
    bool broken; /* holds what no producer wrote: nothing more can be read */
};

void stream_init(struct stream *st, struct ring *ring, uint64_t now);

/* Is there something that was not sent yet? */
bool stream_unsent(const struct stream *st);

/* May a batch go out, by window, refusals and damage? */
bool stream_open(const struct stream *st);

/* Fills b with the next events, if they are due: linger_ms after the first was seen, or a batch
 * full. False: not now. *end is for stream_sent. */
bool stream_fill(struct stream *st, uint64_t now, uint32_t linger_ms, struct batch *b, struct place *end);

/* The batch went out. True: some of it for a second time. */
bool stream_sent(struct stream *st, struct place end, uint64_t now);

struct stream_result {
    uint64_t settled; /* events settled by this reply */
    uint64_t refused; /* events given up */
};
struct stream_result stream_reply(struct stream *st, const struct reply *r, uint64_t now);

/* Begins again if nothing was settled for too long. True: it did. */
bool stream_tick(struct stream *st, uint64_t now);

/* Gives up the oldest eighth if more than seven are full and nothing was settled for a second.
 * Returns how many events. */
uint64_t stream_evict(struct stream *st, uint64_t now);

/* When stream_tick, stream_evict (if evict) or stream_fill (unless stalled) may next have something
 * to do. */
uint64_t stream_deadline(const struct stream *st, bool evict, bool stalled);

/* Everything is settled. */
bool stream_done(const struct stream *st);

#endif
