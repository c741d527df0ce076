/* SPDX-License-Identifier: MIT
 *
 * tally.h: what a time comes to, one bucket after the other: rows by group, from the slabs and the rows
 * of the log that plan.h names, and from the log's tail behind the watermark. Memory is that of one
 * bucket. One request, one thread, one transaction.
 */
#ifndef COLLECTOR_QUERY_TALLY_H
#define COLLECTOR_QUERY_TALLY_H

#include "../base/sketch.h"
#include "../base/slab_sum.h"
#include "kept.h"
#include "raw.h"

struct tally_row {
    uint32_t group;
    int32_t item; /* which shown row it is a part of; -1: none. Set by who shows */
    int32_t raw;  /* the row of raw that is in it; -1: none */
    struct usage_sums sums;
};

/* Times by bucket of sketches. */
struct tally_counts {
    int64_t count[USAGE_TIMINGS][SKETCH_BUCKETS];
};

/* Bytes of slabs, as long as the bucket needs them. */
struct tally_bytes {
    uint8_t *owned;
    const struct kept_sum *kept; /* to be given back */
};

struct tally_list {
    struct tally_bytes *at; /* owned */
    size_t count, room, bytes;
};

struct tally {
    struct pool_connection *c; /* borrowed, as these: */
    struct grouping *grouping;
    struct plan *plan;
    struct problem *p;
    bool timed;    /* percentiles can be told */
    bool previous; /* the time before, which is only compared with */
    struct buckets buckets;
    struct raw raw;
    size_t raw_next; /* of raw.ordered: the bucket's first row */

    /* of the bucket under way */
    struct slab_sum sum;
    bool sorted;
    struct tally_list bytes;
    struct tally_row *row; /* owned */
    size_t rows, row_room;
    int32_t *row_of_group; /* owned; -1: none */
    size_t groups, group_room;
    uint32_t *unit, *unit_first; /* owned; units by row */

    /* room for a while */
    struct slab_sum part; /* runs being added up */
    int64_t *dims;        /* owned; a slab's */
    uint32_t *cell;       /* owned; its units */
    size_t cell_room;
    struct tally_head *head; /* owned; the rows of the bucket's slabs */
    struct tally_run *run;   /* owned; and how they go together */
    size_t heads, head_room, runs, run_room;
};

/* Prepares for [from_ms, to_ms), and reads what comes from the log. 0, or -1 and *p filled; fini is due in
 * any case, before the connection is given back. */
int tally_init(struct tally *t, const struct usage_request *q, struct plan *plan, struct grouping *g,
               const struct zone *zone, int64_t from_ms, int64_t to_ms, bool previous);
void tally_fini(struct tally *t);

/* Counts the next bucket; they come in order. Replaces the rows. 0, or -1 and *p filled. */
int tally_bucket(struct tally *t, size_t bucket);

/* The percentiles of each item, that is of the rows that have it. all: gets the times of all rows,
 * those without an item too; NULL: not asked for. 0, or -1 and *p filled. */
int tally_times(struct tally *t, size_t items, struct usage_times *out, struct tally_counts *all);

#endif
