/* SPDX-License-Identifier: MIT
 *
 * governor.h: what the sending thread does besides sending events: says hello, puts the collector's
 * verdicts into the pages of the sources it serves, carries questions and answers. governor.c
 * explains. Owner: the sending thread.
 */
#ifndef EMITTER_GOVERNOR_H
#define EMITTER_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "asks.h"
#include "link.h"
#include "spool.h"
#include "verdicts.h"

#define GOVERNOR_SOURCES_MAX 64
#define GOVERNOR_FRAME_MAX   (PAGE_LIST_MAX + 64) /* the longest message that is read */

/* A source whose processes are told. */
struct served {
    struct verdicts *verdicts; /* owned unless it is the emitter's */
    uint64_t epoch;
    bool owned, seen;
};

struct governor {
    struct asks *asks; /* borrowed; NULL: nobody asks */
    struct list *list; /* owned scratch; NULL: none came yet */
    uint64_t hello_ms; /* when to say hello; UINT64_MAX: not connected */
    uint32_t every_ms, retry_ms;
    bool again; /* a new connection: questions are asked again */
    uint32_t count;
    struct served served[GOVERNOR_SOURCES_MAX];
};

/* Both borrowed; NULL in tollgate-ship, which serves what governor_serve finds. */
void governor_init(struct governor *g, struct verdicts *own, uint64_t epoch, struct asks *asks);
void governor_fini(struct governor *g);

/* The connection has changed. watched false: nobody can tell, say hello now and then. */
void governor_link(struct governor *g, enum link_event event, bool watched, uint64_t now);

/* tollgate-ship: between begin and end, every spool of a living emitter. */
void governor_serve_begin(struct governor *g);
void governor_serve(struct governor *g, const struct spool *spool, uint64_t now);
void governor_serve_end(struct governor *g);

/* Sends what is due. -EAGAIN: a question could not go. */
int governor_send(struct governor *g, uint64_t now, asks_transmit *transmit, void *arg);

/* When something is due next. */
uint64_t governor_rest(const struct governor *g);

/* Takes a message that is no reply to a batch; what is not understood is dropped. */
void governor_take(struct governor *g, const uint8_t *frame, size_t len, uint64_t now);

#endif
