/* SPDX-License-Identifier: MIT
 *
 * raw.h: what rows of the log come to: sums by bucket and group, and the times they tell. One request,
 * one thread, one transaction.
 */
#ifndef COLLECTOR_QUERY_RAW_H
#define COLLECTOR_QUERY_RAW_H

#include "../base/slab_sum.h"
#include "buckets.h"
#include "grouping.h"
#include "plan.h"

struct raw_row {
    uint32_t bucket, group;
    struct usage_sums sums;
};

struct raw {
    struct pool_connection *c; /* borrowed, as these: */
    struct grouping *grouping;
    const struct buckets *buckets;
    struct problem *p;
    bool timed;          /* the times are wanted, too */
    struct intern keys;  /* (bucket, group) -> row */
    struct raw_row *row; /* owned */
    size_t rows, room;
    uint64_t *point; /* owned; see raw.c; sorted, once finished */
    size_t points, point_room;
    uint32_t *first;   /* owned; of each row, once finished: where its points begin */
    uint32_t *ordered; /* owned; the rows by bucket, once finished */
};

void raw_init(struct raw *r, struct pool_connection *c, struct grouping *g, const struct buckets *b,
              bool timed, struct problem *p);
void raw_fini(struct raw *r);

/* Adds the rows of a part of a plan; or those with the given ids within the buckets' time. 0, or -1 and *p
 * filled. */
int raw_scan(struct raw *r, const struct plan_part *part);
int raw_take(struct raw *r, const int64_t *id, size_t ids);

/* Adds what calls of one bucket, combination and session came to; without times. 0, or -1 and *p filled. */
int raw_add(struct raw *r, uint32_t bucket, int64_t dims, int64_t session, const struct usage_sums *sums);

/* When all are added. 0, or -1 and *p filled. */
int raw_finish(struct raw *r);

/* Adds a row's times to counts[SKETCH_BUCKETS], as slab_sum_sketch does. */
void raw_sketch(const struct raw *r, uint32_t row, enum usage_timing timing, int64_t *counts,
                struct slab_sum_range *range);

#endif
