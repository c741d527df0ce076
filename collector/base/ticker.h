/* SPDX-License-Identifier: MIT
 *
 * ticker.h: a counter that others can wait on (a futex). One thread ticks, any number wait; a tick
 * costs no system call while nobody does.
 */
#ifndef COLLECTOR_TICKER_H
#define COLLECTOR_TICKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ticker {
    _Atomic uint32_t count;
    _Atomic uint32_t waiters;
};

static inline uint32_t ticker_read(struct ticker *t)
{
    return atomic_load(&t->count);
}

void ticker_tick(struct ticker *t);

/* Until the count is not `seen` any more, up to wait_ms. True: it moved. */
bool ticker_wait(struct ticker *t, uint32_t seen, int64_t wait_ms);

#endif
