/* SPDX-License-Identifier: MIT
 *
 * events_range.h: where in the log the events of a time are, from what the rollups remember of it.
 */
#ifndef COLLECTOR_QUERY_EVENTS_RANGE_H
#define COLLECTOR_QUERY_EVENTS_RANGE_H

#include "pool.h"

struct events_range {
    int64_t first_id, last_id; /* of those up to the watermark; first_id > last_id: none */
    int64_t watermark;         /* what is behind it can be of any time */
};

/* Where all events with from_ms <= ts < to_ms are; others are there, too. 0, or -1 and *p filled. */
int events_range(struct pool_connection *c, int64_t from_ms, int64_t to_ms, struct problem *p,
                 struct events_range *out);

#endif
