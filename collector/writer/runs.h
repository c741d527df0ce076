/* SPDX-License-Identifier: MIT
 *
 * runs.h: the finest granularity at which each recent (session, run) has been told. The same spend
 * told as calls and again as their sum counts once. Remembers about RUNS_MIN runs; owner: the writer.
 */
#ifndef COLLECTOR_RUNS_H
#define COLLECTOR_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/event.h"

#define RUNS_MIN (128 * 1024)

struct runs_entry;

struct runs {
    struct runs_entry *entries; /* owned; buckets of four */
};

int runs_init(struct runs *r);
void runs_fini(struct runs *r);
void runs_clear(struct runs *r);

/* What a new event means for its run. */
struct runs_verdict {
    bool counts;          /* false: the run is known at a finer granularity */
    int64_t coarser_from; /* not 0: coarser rows, from this one ... */
    int64_t coarser_to;   /* ... to this one, do not count any more */
};

/* session 0 or run unknown: an event that stands alone and counts. row: the id it gets. */
struct runs_verdict runs_meet(struct runs *r, uint32_t session, struct slice run, uint8_t granularity,
                              int64_t row);

#endif
