/* SPDX-License-Identifier: MIT
 *
 * clock.h: wall time (what an event carries) and monotonic time (what a wait is measured in) are
 * different types, so that they cannot be mixed.
 */
#ifndef COLLECTOR_CLOCK_H
#define COLLECTOR_CLOCK_H

#include <stdint.h>
#include <time.h>

struct monotime {
    int64_t ms;
};

static inline int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline struct monotime mono_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct monotime){ (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 };
}

static inline int64_t mono_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static inline struct monotime mono_after(struct monotime t, int64_t ms)
{
    return (struct monotime){ t.ms + ms };
}

/* Milliseconds from now until t; 0 when it has passed. */
static inline int64_t mono_left(struct monotime t)
{
    int64_t left = t.ms - mono_now().ms;
    return left > 0 ? left : 0;
}

#endif
