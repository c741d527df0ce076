/* SPDX-License-Identifier: MIT
 *
 * rebuild_counts.h: counting dispatches again by time and combination, in memory that does not grow:
 * what does not fit is spilled, and comes back time by time. Inside rebuild*.c only.
 */
#ifndef COLLECTOR_REBUILD_COUNTS_H
#define COLLECTOR_REBUILD_COUNTS_H

#include "../base/slab.h"
#include "rebuild_work.h"

struct count_cell {
    int64_t start, first_id, last_id; /* the Unix minute in which the time begins */
    struct slab_cell cell;            /* dims 0: events that are not summed, only where they are */
};

/* How many values fell into a bucket. */
struct count_point {
    uint64_t at;     /* start << 32 | dims */
    uint32_t bucket; /* enum slab_sketch << 16 | bucket */
    uint32_t count;
};

/* Counts of one time or of many. Zeroed is empty. Folded: each cell and each point comes once, by start,
 * then dims, then sketch and bucket. */
struct counts {
    struct count_cell *cell;   /* owned */
    struct count_point *point; /* owned */
    size_t cells, points, cell_room, point_room;
};

void counts_fini(struct counts *c);
void counts_clear(struct counts *c);
void counts_fold(struct counts *c);

/* Adds folded counts of a part of the time that begins in start; they are moved to that start. 0, or
 * -SQLITE_NOMEM. */
int counts_add(struct counts *into, struct counts *from, int64_t start);

/* Where the events of a folded time are; both 0: there are none. */
void counts_range(const struct counts *c, int64_t *first_id, int64_t *last_id);

/* ----------------------------------------------------------------- counting */

struct counter {
    struct counts counts;
    uint32_t *index; /* owned; hash to cell + 1 */
    struct spill spill;
    int64_t next;      /* the time that `piece` is of */
    const void *piece; /* borrowed; the one after the last time; NULL: none */
    size_t piece_len;
};

int counter_open(struct counter *c, struct rebuild *r);
void counter_close(struct counter *c, struct rebuild *r);

/* The cell of a time and combination (0: none), with id in its range; borrowed until the next call. */
int counter_cell(struct counter *c, int64_t start, int64_t dims, int64_t id, struct slab_cell **out);

/* A value of the cell that counter_cell gave last. */
void counter_value(struct counter *c, const struct slab_cell *cell, int64_t start, enum slab_sketch sketch,
                   int64_t value);

/* After the last event: the counts of one time after the other. 1: *out is folded, 0: no more. */
int counter_done(struct counter *c);
int counter_next(struct counter *c, int64_t *start, struct counts *out);

#endif
