/* SPDX-License-Identifier: MIT
 *
 * sender.h: takes spools to the collector: the emitter's own, and left-overs. One thread, one
 * DEALER socket. sender.c explains.
 */
#ifndef EMITTER_SENDER_H
#define EMITTER_SENDER_H

#include <errno.h>
#include <stdint.h>

#include "asks.h"
#include "spool.h"
#include "verdicts.h"

struct sender;

/* Something worth a line in a log: an event's name, the spool's name ("" if none), a number. */
typedef void sender_log(void *arg, const char *event, const char *spool, int64_t number);

struct sender_options {
    const char *endpoint;      /* borrowed */
    const char *dir;           /* where left-overs are looked for; borrowed; NULL: nowhere */
    const char *source;        /* take left-overs of this source only; borrowed; NULL: any */
    struct spool *own;         /* the emitter's spool, borrowed; NULL: we are tollgate-ship */
    struct verdicts *verdicts; /* the emitter's, borrowed */
    struct asks *asks;         /* the emitter's, borrowed; NULL: nobody asks */
    bool once;                 /* return when no left-over is left */
    int stop_fd;               /* return when readable; -1: none */
    sender_log *log;           /* NULL in the library */
    void *log_arg;
};

#ifndef TG_CORE

/* Starts a thread that sends until sender_stop. Returns when the socket is connected, or cannot be
 * yet (no descriptors: tried again later). -EINVAL: no such endpoint. */
int sender_start(const struct sender_options *o, struct sender **out);

/* Sends for up to timeout_ms what is left of the own spool, then ends the thread. */
void sender_stop(struct sender *s, uint32_t timeout_ms);

/* In a forked child: there is no thread to end. */
void sender_forget(struct sender *s);

/* The same in the calling thread, for tollgate-ship: returns when stopped or done. */
int sender_run(const struct sender_options *o);

#else /* libtollgate-core has no sender */

static inline int sender_start(const struct sender_options *o, struct sender **out)
{
    (void)o, (void)out;
    return -EINVAL;
}

static inline void sender_stop(struct sender *s, uint32_t timeout_ms)
{
    (void)s, (void)timeout_ms;
}

static inline void sender_forget(struct sender *s)
{
    (void)s;
}

#endif
#endif
