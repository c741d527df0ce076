/* SPDX-License-Identifier: MIT */
#include "ticker.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

void ticker_tick(struct ticker *t)
{
    atomic_fetch_add(&t->count, 1);
    if (atomic_load(&t->waiters) > 0)
        syscall(SYS_futex, (uint32_t *)&t->count, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    ticker_ring(t);
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

int ticker_get_bell(struct ticker *t)
{
    int fd, none = 0;

    if (ticker_bell(t) >= 0)
        return 0;
    if ((fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return -errno;
    if (!atomic_compare_exchange_strong(&t->bell, &none, fd + 1))
        close(fd);
    return 0;
}

int ticker_bell(struct ticker *t)
{
    return atomic_load(&t->bell) - 1;
}

void ticker_ring(struct ticker *t)
{
    int fd = ticker_bell(t);

    if (fd >= 0)
        eventfd_write(fd, 1);
}

void ticker_hush(struct ticker *t)
{
    eventfd_t rung;
    int fd = ticker_bell(t);

    if (fd >= 0)
        eventfd_read(fd, &rung);
}

void ticker_fini(struct ticker *t)
{
    int fd = atomic_exchange(&t->bell, 0) - 1;

    if (fd >= 0)
        close(fd);
}
