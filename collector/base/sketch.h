/* SPDX-License-Identifier: MIT
 *
 * sketch.h: the latency sketch: how many values fell into each of fixed, log-linear buckets. Up to
 * 32 each value has its own bucket; from there on every doubling is cut into 16. Adding and taking
 * out are integer additions, so sketches merge and subtract exactly, in any order; a value read
 * back is the middle of its bucket, at most 1/32 (3.1 %) off. Pure.
 */
#ifndef COLLECTOR_SKETCH_H
#define COLLECTOR_SKETCH_H

#include <stdint.h>

#define SKETCH_SUB_BITS 4
#define SKETCH_SUBS     (1 << SKETCH_SUB_BITS)
#define SKETCH_BUCKETS  (SKETCH_SUBS * (64 - SKETCH_SUB_BITS)) /* one for every int64_t from 0 on */

/* The bucket of a value >= 0. */
static inline uint16_t sketch_bucket(int64_t value)
{
    uint64_t v = (uint64_t)value;

    if (v < 2 * SKETCH_SUBS)
        return (uint16_t)v;
    int shift = 63 - __builtin_clzll(v) - SKETCH_SUB_BITS;
    return (uint16_t)((uint64_t)shift * SKETCH_SUBS + (v >> shift));
}

/* The least value of a bucket, and the one in its middle. */
static inline int64_t sketch_lower(uint16_t bucket)
{
    if (bucket < 2 * SKETCH_SUBS)
        return bucket;
    unsigned shift = (bucket / SKETCH_SUBS - 1U) & 63;
    return (int64_t)((uint64_t)(bucket % SKETCH_SUBS + SKETCH_SUBS) << shift);
}

static inline int64_t sketch_value(uint16_t bucket)
{
    unsigned shift = bucket < 2 * SKETCH_SUBS ? 0 : (bucket / SKETCH_SUBS - 1U) & 63;

    return sketch_lower(bucket) + (int64_t)((1ULL << shift) / 2);
}

#endif
