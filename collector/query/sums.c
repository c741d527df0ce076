/* SPDX-License-Identifier: MIT */
#include "sums.h"

#include "../base/sketch.h"

static void add(int64_t *to, int64_t n, int sign)
{
    *to = (int64_t)((uint64_t)*to + (sign > 0 ? (uint64_t)n : -(uint64_t)n));
}

static void add_count(int64_t *to, int64_t n, int sign)
{
    if (*to == USAGE_NOT_KEPT || n == USAGE_NOT_KEPT)
        *to = USAGE_NOT_KEPT;
    else
        add(to, n, sign);
}

void sums_add(struct usage_sums *to, const struct usage_sums *from, int sign)
{
    add(&to->calls, from->calls, sign);
    add(&to->errors, from->errors, sign);
    add_count(&to->blocked, from->blocked, sign);
    add_count(&to->aborted, from->aborted, sign);
    add_count(&to->status_unknown, from->status_unknown, sign);
    add(&to->partial, from->partial, sign);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        add(&to->sum[i], from->sum[i], sign);
        add(&to->known[i], from->known[i], sign);
    }
}

void sums_of_status(struct usage_sums *s, unsigned status, int64_t calls)
{
    s->calls += calls;
    s->errors += status == 2 || status == 3 ? calls : 0;
    s->aborted += status == 4 ? calls : 0;
    s->blocked += status == 5 ? calls : 0;
    s->status_unknown += status == 0 ? calls : 0;
}

void sums_finish(struct usage_sums *s)
{
    for (int i = 0; i < DISPATCH_SUMS; i++)
        s->sum[i] = s->sum[i] < 0 ? INT64_MAX : s->sum[i];
}

void sums_no_times(struct usage_times *t)
{
    for (int i = 0; i < USAGE_TIMINGS * USAGE_PERCENTILES; i++)
        t->ms[i / USAGE_PERCENTILES][i % USAGE_PERCENTILES] = UNKNOWN;
}

#define BLOCK 16 /* buckets that are looked at together */

/* Sums of whole blocks up to end; the sum of all. */
static int64_t block_sums(const int64_t *counts, uint32_t first, uint32_t end, int64_t *sums)
{
    int64_t all = 0;

    for (uint32_t b = first / BLOCK; b * BLOCK < end; b++) {
        const int64_t *at = counts + b * BLOCK;
        int64_t even = 0, odd = 0;
        for (int i = 0; i < BLOCK; i += 2) {
            even += at[i];
            odd += at[i + 1];
        }
        all += sums[b] = even + odd;
    }
    return all;
}

/* The least bucket that so many percent are not above: first the block, then the bucket in it. */
void sums_percentiles(const int64_t *counts, uint32_t first, uint32_t end, int64_t out[USAGE_PERCENTILES])
{
    static const int64_t percent[USAGE_PERCENTILES] = {
        [USAGE_P50] = 50, [USAGE_P95] = 95, [USAGE_P99] = 99
    };
    int64_t sums[SKETCH_BUCKETS / BLOCK], all = block_sums(counts, first, end, sums), before = 0;
    uint32_t b = first / BLOCK;

    for (int p = 0; p < USAGE_PERCENTILES; p++) {
        int64_t rank = all / 100 * percent[p] + (all % 100 * percent[p] + 99) / 100, seen;
        uint32_t i;
        out[p] = UNKNOWN;
        if (all <= 0)
            continue;
        for (; before + sums[b] < rank; b++)
            before += sums[b];
        for (i = b * BLOCK, seen = before + counts[i]; seen < rank; seen += counts[i])
            i++;
        out[p] = sketch_value((uint16_t)i);
    }
}
_Static_assert(SKETCH_BUCKETS % BLOCK == 0, "the last block is not whole");
