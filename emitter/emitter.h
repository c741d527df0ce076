/* SPDX-License-Identifier: MIT
 *
 * emitter.h: what stands behind a tg_emitter, for the files that implement tollgate.h.
 */
#ifndef EMITTER_EMITTER_H
#define EMITTER_EMITTER_H

#include "asks.h"
#include "linux.h"
#include "memo.h"
#include "place.h"
#include "producer.h"
#include "sender.h"
#include "spool.h"
#include "tollgate.h"
#include "verdicts.h"

#define EXPORT __attribute__((visibility("default")))

struct tg_emitter {
    struct guard *guard;
    struct spool *spool;
    struct sender *sender; /* NULL in TG_MODE_SPOOL, or where there is no place to meet a collector */
    struct producers producers;
    struct verdicts verdicts;
    struct memo *memo; /* NULL: no memory for it */
    struct asks *asks; /* NULL without a sender */
    enum tg_mode mode;
    char endpoint[PLACE_PATH_MAX];
    char dir[PLACE_PATH_MAX];
    char source[256];
};

/* Why the fast check failed: TG_OK if it was only that this kernel cannot wipe pages. */
int emitter_guard_error(const tg_emitter *tg);

static inline int emitter_guard(const tg_emitter *tg)
{
    if (atomic_load_explicit(&tg->guard->state, memory_order_relaxed) == GUARD_OPEN)
        return TG_OK;
    return emitter_guard_error(tg);
}

/* Writing is a cancellation point, and a caller may hold a mutex or have promised to wake. */
void emitter_wake_sender(const tg_emitter *tg);

#endif
