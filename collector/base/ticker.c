/* SPDX-License-Identifier: MIT */
#include "ticker.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

void ticker_tick(struct ticker *t)
{
    atomic_fetch_add(&t->count, 1);
    if (atomic_load(&t->waiters) > 0)
        syscall(SYS_futex, (uint32_t *)&t->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

bool ticker_wait(struct ticker *t, uint32_t seen, int64_t wait_ms)
{
    struct monotime until = mono_after(mono_now(), wait_ms);
    bool moved;

    atomic_fetch_add(&t->waiters, 1);
    while (!(moved = ticker_read(t) != seen)) {
        int64_t left = mono_left(until);
        struct timespec wait = { left / 1000, left % 1000 * 1000000 };
        if (left == 0)
            break;
        syscall(SYS_futex, (uint32_t *)&t->count, FUTEX_WAIT_PRIVATE, seen, &wait, NULL, 0);
    }
    atomic_fetch_sub(&t->waiters, 1);
    return moved;
}
