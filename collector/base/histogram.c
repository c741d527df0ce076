/* SPDX-License-Identifier: MIT */
#include "histogram.h"

const int64_t histogram_bounds_us[HISTOGRAM_BOUNDS] = { 100,     250,     500,     1000,    2500,   5000,
                                                        10000,   25000,   50000,   100000,  250000, 500000,
                                                        1000000, 2500000, 5000000, 10000000 };

void histogram_add(struct histogram *h, int64_t us)
{
    int i = 0;

    while (i < HISTOGRAM_BOUNDS && us > histogram_bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&h->count[i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}

int64_t histogram_read(struct histogram *h, int64_t counts[HISTOGRAM_BOUNDS + 1],
                       struct metric_histogram *out)
{
    int64_t all = 0;

    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
        all += counts[i] = atomic_load_explicit(&h->count[i], memory_order_relaxed);
    *out = (struct metric_histogram){ histogram_bounds_us, counts, HISTOGRAM_BOUNDS,
                                      atomic_load_explicit(&h->sum_us, memory_order_relaxed) };
    return all;
}
