/* SPDX-License-Identifier: MIT */
#include "buckets.h"

#include <stdlib.h>

static int64_t first_begin(const struct usage_request *q, const struct zone *zone, int64_t ms)
{
    if (q->bucket == BUCKET_CALENDAR)
        return zone_floor(zone, q->bucket_unit, ms);
    return q->bucket == BUCKET_FIXED ? ms / q->bucket_ms * q->bucket_ms : ms;
}

static int64_t next_begin(const struct usage_request *q, const struct zone *zone, int64_t ms)
{
    if (q->bucket == BUCKET_CALENDAR)
        return zone_next(zone, q->bucket_unit, ms);
    return q->bucket == BUCKET_FIXED ? ms + q->bucket_ms : INT64_MAX;
}

static int add(struct buckets *b, size_t *room, const char *bucket, int64_t ms, struct problem *p)
{
    if (b->count == USAGE_BUCKETS_MAX)
        return problem_parameter(p, "bucket", bucket ? bucket : "",
                                 "at most 100000 buckets between from and to");
    if (b->count == *room) {
        *room = *room ? 2 * *room : 32;
        int64_t *fresh = realloc(b->begin_ms, *room * sizeof *fresh);
        if (!fresh)
            return problem_set(p, 503, "out of memory");
        b->begin_ms = fresh;
    }
    b->begin_ms[b->count++] = ms;
    return 0;
}

int buckets_init(struct buckets *b, const struct usage_request *q, const struct zone *zone, int64_t from_ms,
                 int64_t to_ms, struct problem *p)
{
    size_t room = 0;

    *b = (struct buckets){ .from_ms = from_ms,
                           .to_ms = to_ms,
                           .width_ms = q->bucket == BUCKET_FIXED ? q->bucket_ms : 0 };
    for (int64_t ms = first_begin(q, zone, from_ms); ms < to_ms; ms = next_begin(q, zone, ms)) {
        if (add(b, &room, q->bucket_text, ms, p) != 0)
            return -1;
    }
    return 0;
}

void buckets_fini(struct buckets *b)
{
    free(b->begin_ms);
    *b = (struct buckets){ 0 };
}

uint32_t buckets_find(const struct buckets *b, int64_t ms)
{
    size_t low = 0, high = b->count;

    if (b->width_ms > 0)
        return (uint32_t)((ms - b->begin_ms[0]) / b->width_ms);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (b->begin_ms[middle] <= ms)
            low = middle;
        else
            high = middle;
    }
    return (uint32_t)low;
}

int64_t buckets_from(const struct buckets *b, size_t i)
{
    return b->begin_ms[i] > b->from_ms ? b->begin_ms[i] : b->from_ms;
}

int64_t buckets_to(const struct buckets *b, size_t i)
{
    return i + 1 < b->count ? b->begin_ms[i + 1] : b->to_ms;
}
