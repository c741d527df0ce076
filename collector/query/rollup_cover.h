/* SPDX-License-Identifier: MIT
 *
 * rollup_cover.h: which rows of the rollups tell of a time between them, at least: for what asks where or
 * whether something was, not how much.
 */
#ifndef COLLECTOR_QUERY_ROLLUP_COVER_H
#define COLLECTOR_QUERY_ROLLUP_COVER_H

#include "pool.h"

enum cover_level { COVER_MINUTE, COVER_QUARTER, COVER_DAY, COVER_LEVELS };

/* The rows of a level that begin in [from, to), Unix minutes. 0, or -1: it failed and said why. */
typedef int (*cover_fn)(void *arg, enum cover_level level, int64_t from, int64_t to);

struct cover {
    int64_t watermark; /* of 'usage': what is behind it is in none of the rows */
    bool complete;     /* false: there was more before, which retention has dropped */
};

/* Names all rows that tell of the minutes of [from_ms, to_ms), each minute by the coarsest that is all
 * within, and at the ends by the finest that is kept. 0, or -1 and *p filled. */
int rollup_cover(struct pool_connection *c, int64_t from_ms, int64_t to_ms, struct problem *p, cover_fn fn,
                 void *arg, struct cover *out);

#endif
