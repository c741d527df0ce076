/* SPDX-License-Identifier: MIT
 *
 * live.h: a live stream: server-sent events to one viewer, of whatever a source reads. A viewer has a place
 * in what there is: it reads a page when its peer has taken the last one, so one that is slow stays behind
 * and misses nothing.
 *
 * What viewers cost the collector is bounded, however many there are: they share one database
 * connection of their own, and after each page it rests so long that all of them together take
 * LIVE_SHARE of one processor; they look for news LIVE_CALM_MS apart; and their threads give way to all
 * others. The connection is the one place where they meet: viewers_rest_until_us belongs to who has borrowed
 * it.
 */
#ifndef COLLECTOR_HTTP_LIVE_H
#define COLLECTOR_HTTP_LIVE_H

#include "request.h"

#define LIVE_PAGE_BYTES (12u << 10)              /* a source stops a page there */
#define LIVE_ROOM       (LIVE_PAGE_BYTES + 4096) /* with what exceeds it */
#define LIVE_CALM_MS    250
#define LIVE_ALIVE_MS   15000 /* after so long a silence the peer is told that we are there */
#define LIVE_SHARE      20    /* one part in so many of a processor is theirs */
#define LIVE_STALL_S    300   /* a peer that takes nothing for so long is let go; it can resume */

/* What a stream is of. arg is owned by the stream, and used by one thread at a time. */
struct live_source {
    /* Reads what is after the place, some LIVE_PAGE_BYTES at most, as blocks into t, and moves the place
     * behind it. *behind: there is more. -1: the stream ends visibly broken. */
    int (*read)(void *arg, struct pool_connection *c, struct text *t, bool *behind);

    /* Writes the line "id: ...": where to resume. */
    void (*place)(void *arg, struct text *t);

    void (*free)(void *arg);
};

/* Begins a stream as the answer; behind: there is something to be sent at once. Takes arg, whatever happens.
 * A HEAD is answered without one. 503 when there are too many. source is static. */
void live_answer(struct request *r, const struct live_source *source, void *arg, bool behind);

#endif
