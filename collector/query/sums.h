/* SPDX-License-Identifier: MIT
 *
 * sums.h: adding up what usage.h tells. Sums are modulo 2^64 until they are shown. Pure.
 */
#ifndef COLLECTOR_QUERY_SUMS_H
#define COLLECTOR_QUERY_SUMS_H

#include <stdint.h>

#include "usage.h"

/* Adds (sign 1) or takes out (-1). */
void sums_add(struct usage_sums *to, const struct usage_sums *from, int sign);

/* Counts calls that all have one status. */
void sums_of_status(struct usage_sums *s, unsigned status, int64_t calls);

/* What has passed 2^63 is shown as the greatest number. */
void sums_finish(struct usage_sums *s);

/* Percentiles, by the nearest rank, of counts[SKETCH_BUCKETS]: all before first and from end on are 0. */
void sums_percentiles(const int64_t *counts, uint32_t first, uint32_t end, int64_t out[USAGE_PERCENTILES]);

/* Nothing known. */
void sums_no_times(struct usage_times *t);

#endif
