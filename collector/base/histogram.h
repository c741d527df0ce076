/* SPDX-License-Identifier: MIT
 *
 * histogram.h: how long things took, by bucket: from 100 microseconds to 10 seconds. Any thread adds,
 * any reads; a reader sees each bucket whole, and a sum that may be a value ahead or behind.
 */
#ifndef COLLECTOR_HISTOGRAM_H
#define COLLECTOR_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "metric.h"

#define HISTOGRAM_BOUNDS 16
#define HISTOGRAM_PER    1000000 /* microseconds; the base unit is the second */

struct histogram {
    _Atomic int64_t count[HISTOGRAM_BOUNDS + 1];
    _Atomic int64_t sum_us;
};

extern const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS];

void histogram_add(struct histogram *h, int64_t us);

/* A copy for metric.histogram: out points into counts. Returns how many values there are. */
int64_t histogram_read(struct histogram *h, int64_t counts[HISTOGRAM_BOUNDS + 1],
                       struct metric_histogram *out);

#endif
