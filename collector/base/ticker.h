/* SPDX-License-Identifier: MIT
 *
 * ticker.h: a counter that others can wait on (a futex). Any thread ticks, any number wait; a tick
 * costs no system call while nobody does. A ticker may have a bell, for one thread that waits for other
 * things too (poll): each tick rings it.
 */
#ifndef COLLECTOR_TICKER_H
#define COLLECTOR_TICKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ticker {
    _Atomic uint32_t count;
    _Atomic uint32_t waiters;
    _Atomic int bell; /* owned; an eventfd, plus one; 0: none */
};

static inline uint32_t ticker_read(struct ticker *t)
{
    return atomic_load(&t->count);
}

void ticker_tick(struct ticker *t);

/* Until the count is not `seen` any more, up to wait_ms. True: it moved. */
bool ticker_wait(struct ticker *t, uint32_t seen, int64_t wait_ms);

/* Gives it a bell, unless it has one. 0 or -errno. It stays until ticker_fini, so that whoever ticks need not
 * know whether anybody still listens. */
int ticker_get_bell(struct ticker *t);
int ticker_bell(struct ticker *t);  /* to be polled for reading; -1: none */
void ticker_ring(struct ticker *t); /* without a tick: only the bell's thread wakes */
void ticker_hush(struct ticker *t); /* by the bell's thread, before it looks: the next tick rings again */

/* When nobody ticks any more: gives the bell back. */
void ticker_fini(struct ticker *t);

#endif
