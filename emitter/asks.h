/* SPDX-License-Identifier: MIT
 *
 * asks.h: questions to the collector that a thread waits for: admissions, settlements, renewals. The
 * asking thread writes its frame into a slot and waits; the sending thread sends it, again and again,
 * and puts the answer there. asks.c explains.
 */
#ifndef EMITTER_ASKS_H
#define EMITTER_ASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tollgate.h"
#include "verdict.h"

#define ASKS_MAX       256 /* threads that wait at once; more get no answer */
#define ASK_ID_MAX     64
#define ASK_REPEAT_MS  200
#define ASK_TTL_MS_MIN 1000
#define ASK_TTL_MS_MAX 86400000

enum ask_type { ASK_ADMIT = 5, ASK_SETTLE = 7, ASK_RENEW = 9 }; /* the answer's is one more */
enum answer_status {
    ANSWER_DONE = 0,
    ANSWER_DENIED = 1,
    ANSWER_SETTLED = 2,
    ANSWER_EXPIRED = 3,
    ANSWER_BUSY = 4,
    ANSWER_REFUSED = 5
};

struct ask {
    enum ask_type type;
    const char *id; /* 1 to ASK_ID_MAX bytes; this and all the rest borrowed until asks_wait returns */
    const struct tg_request *request; /* of an admission */
    const struct tg_usage *usage;     /* of a settlement; NULL: the call was not made */
    uint32_t ttl_ms;
};

struct answer {
    int64_t status;            /* enum answer_status */
    int64_t expires_in_ms;     /* TG_UNKNOWN where nothing was reserved */
    int64_t reserved_nanousd;  /* TG_UNKNOWN */
    struct tg_verdict verdict; /* of an admission; only what its action makes valid */
};

struct asks;

#ifndef TG_CORE

int asks_new(struct asks **out);
/* All must have left (asks_close). NULL is fine. */
void asks_free(struct asks *a);

/* Around whatever a thread does until it needs the emitter no more. False: closed, and it is not in. */
bool asks_enter(struct asks *a);
void asks_leave(struct asks *a);

/* Any thread, between the two. Asks, wakes the sender by wake(arg), waits. TG_OK and *out;
 * TG_ERR_UNREACHABLE, TG_ERR_CLOSED.
 */
int asks_wait(struct asks *a, const struct ask *ask, uint32_t timeout_ms, void (*wake)(const void *arg),
              const void *arg, struct answer *out);

/* Ends all waiting, lets nobody in any more, and returns when the last one has left. */
void asks_close(struct asks *a);

/* How many went to the collector, and how many of them had no answer. */
void asks_totals(const struct asks *a, uint64_t *asked, uint64_t *unanswered);

/* ------------------------------------------------------- for the sending thread */

typedef int asks_transmit(void *arg, const uint8_t *frame, size_t len);

/* Sends what is due. -EAGAIN: not all of it could go. again: a new connection, so everything is due. */
int asks_send(struct asks *a, uint64_t now, bool again, asks_transmit *transmit, void *arg);

/* When something is due next; UINT64_MAX: nobody asks. */
uint64_t asks_rest(const struct asks *a);

/* Takes what follows version and type of a reply. */
void asks_answer(struct asks *a, enum ask_type type, struct reader *r, uint64_t parts);

#else /* libtollgate-core asks nobody */

static inline int asks_new(struct asks **out)
{
    (void)out;
    return -1;
}

static inline void asks_free(struct asks *a)
{
    (void)a;
}

static inline bool asks_enter(struct asks *a)
{
    (void)a;
    return true;
}

static inline void asks_leave(struct asks *a)
{
    (void)a;
}

static inline void asks_close(struct asks *a)
{
    (void)a;
}

static inline void asks_totals(const struct asks *a, uint64_t *asked, uint64_t *unanswered)
{
    (void)a, *asked = *unanswered = 0;
}

static inline int asks_wait(struct asks *a, const struct ask *ask, uint32_t timeout_ms,
                            void (*wake)(const void *arg), const void *arg, struct answer *out)
{
    (void)a, (void)ask, (void)timeout_ms, (void)wake, (void)arg, (void)out;
    return TG_ERR_UNSUPPORTED;
}

#endif
#endif
