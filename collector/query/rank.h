/* SPDX-License-Identifier: MIT
 *
 * rank.h: which rows of a bucket are shown, in which order, and what becomes of the others. Pure.
 */
#ifndef COLLECTOR_QUERY_RANK_H
#define COLLECTOR_QUERY_RANK_H

#include "tally.h"

/* The rows of a bucket that are shown; each is an item: one row of the tally, or many. */
struct rank {
    struct usage_row *row; /* owned; names and sums, no times yet */
    size_t rows, room;
    int32_t others; /* the item of what is not among the top; -1: there is none */
    bool truncated; /* there were more than `limit` */
};

/* Sorts, cuts and tells each row of t its item. times: of each row of t, where they are ordered by them;
 * else NULL. Replaces what is in r. 0, or -1: no memory. */
int rank_rows(struct rank *r, struct tally *t, uint32_t bucket, const struct usage_times *times,
              size_t limit);
void rank_fini(struct rank *r);

/* Tells the rows of another tally, of the same groups, the items of the rows of t: those that t does not
 * have belong to the others, if there are any. */
void rank_follow(const struct rank *r, const struct tally *t, struct tally *other);

#endif
