/* SPDX-License-Identifier: MIT
 *
 * counters.h: what the collector counts about itself, since it started. Any thread adds; readers
 * see each number whole. The list, and what each becomes in /metrics: counters.def.
 */
#ifndef COLLECTOR_COUNTERS_H
#define COLLECTOR_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "histogram.h"

struct counters {
#define COUNTER(field, help)                         _Atomic int64_t field;
#define COUNTER_OF(field, name, label, value, help)  _Atomic int64_t field;
#define GAUGE(field, help)                           _Atomic int64_t field;
#define GAUGE_OF(field, name, label, value, help)    _Atomic int64_t field;
#define GAUGE_MS(field, name, help)                  _Atomic int64_t field;
#define DURATION(field, name, help)                  struct histogram field;
#define DURATION_OF(field, name, label, value, help) struct histogram field;
#include "counters.def"
};

static inline void count_add(_Atomic int64_t *counter, int64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline void count_set(_Atomic int64_t *gauge, int64_t n)
{
    atomic_store_explicit(gauge, n, memory_order_relaxed);
}

static inline int64_t count_get(_Atomic int64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* Tells every metric of the list. */
void counters_emit(struct counters *c, metric_fn emit, void *sink);

#endif
