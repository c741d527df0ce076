/* SPDX-License-Identifier: MIT
 *
 * retention_ages.h: how long each kind of data is kept. Written by the daemon at the start and on a
 * HUP, read by the writer whenever it looks: hence atomic.
 */
#ifndef COLLECTOR_RETENTION_AGES_H
#define COLLECTOR_RETENTION_AGES_H

#include <stdatomic.h>
#include <stdint.h>

#define RETENTION_FOREVER INT64_MAX

enum retention_kind {
    RETAIN_DISPATCH, /* the log, by time of arrival; in the order of enum log_kind */
    RETAIN_MESSAGE,
    RETAIN_REPORT,
    RETAIN_QUARANTINE,
    RETAIN_MINUTE, /* rollups, by their own time */
    RETAIN_QUARTER,
    RETAIN_DAY,
    RETAIN_SESSION, /* totals, by the session's latest event */
    RETAIN_ALERT,   /* alerts that have ended or cannot end, by when they were raised and ended */
    RETENTION_KINDS
};

struct retention_ages {
    _Atomic int64_t ms[RETENTION_KINDS]; /* milliseconds, or RETENTION_FOREVER */
};

static inline int64_t retention_age(const struct retention_ages *a, enum retention_kind kind)
{
    return atomic_load_explicit(&a->ms[kind], memory_order_relaxed);
}

static inline void retention_set_age(struct retention_ages *a, enum retention_kind kind, int64_t ms)
{
    atomic_store_explicit(&a->ms[kind], ms, memory_order_relaxed);
}

#endif
