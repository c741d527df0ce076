/* SPDX-License-Identifier: MIT
 *
 * pace.h: when a projection is flushed: a while after it became dirty, sooner if much is waiting, and
 * never so often that flushing takes more than about a tenth of the time. Monotonic microseconds.
 */
#ifndef COLLECTOR_PACE_H
#define COLLECTOR_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_COST_FACTOR 9 /* a pause is at least this many times as long as the flush before it */

struct pace {
    int64_t lazy_us, eager_us; /* how long after it became dirty: as a rule, and when much is waiting */
    bool dirty;
    int64_t dirty_us;  /* since when */
    int64_t rested_us; /* not before then */
};

static inline void pace_note(struct pace *p, bool dirty, int64_t now_us)
{
    if (dirty && !p->dirty)
        p->dirty_us = now_us;
    p->dirty = dirty;
}

/* Microseconds until the flush is due, 0: now; -1: there is nothing to flush. */
static inline int64_t pace_left(const struct pace *p, bool much, int64_t now_us)
{
    if (!p->dirty)
        return -1;
    int64_t due = p->dirty_us + (much ? p->eager_us : p->lazy_us);
    due = due > p->rested_us ? due : p->rested_us;
    return due > now_us ? due - now_us : 0;
}

static inline void pace_flushed(struct pace *p, int64_t began_us, int64_t ended_us)
{
    p->dirty = false;
    p->rested_us = ended_us + PACE_COST_FACTOR * (ended_us - began_us);
}

#endif
