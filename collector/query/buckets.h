/* SPDX-License-Identifier: MIT
 *
 * buckets.h: the pieces that a request cuts its time into. Pure.
 */
#ifndef COLLECTOR_QUERY_BUCKETS_H
#define COLLECTOR_QUERY_BUCKETS_H

#include "problem.h"
#include "usage.h"

struct buckets {
    int64_t from_ms, to_ms;
    int64_t width_ms;  /* 0: not all equally long */
    int64_t *begin_ms; /* owned; the first one may begin before from_ms */
    size_t count;
};

/* Cuts [from_ms, to_ms). 0, or -1 and *p filled; fini is due in any case. */
int buckets_init(struct buckets *b, const struct usage_request *q, const struct zone *zone, int64_t from_ms,
                 int64_t to_ms, struct problem *p);
void buckets_fini(struct buckets *b);

/* The bucket of a time within. */
uint32_t buckets_find(const struct buckets *b, int64_t ms);

/* What of a bucket lies within. */
int64_t buckets_from(const struct buckets *b, size_t i);
int64_t buckets_to(const struct buckets *b, size_t i);

#endif
