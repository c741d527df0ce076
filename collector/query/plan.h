/* SPDX-License-Identifier: MIT
 *
 * plan.h: which slabs of the rollups, and which rows of the log, together hold exactly the calls of a
 * time that the projection 'usage' knows. One request, within its read transaction.
 */
#ifndef COLLECTOR_QUERY_PLAN_H
#define COLLECTOR_QUERY_PLAN_H

#include "../base/zone.h"
#include "pool.h"

#define PLAN_MINUTE_MS 60000

enum plan_level { PLAN_MINUTE, PLAN_QUARTER, PLAN_DAY, PLAN_LEVELS };

/* What the transaction's snapshot has. Times are Unix minutes. */
struct plan_kept {
    int64_t watermark;
    int64_t folded;                         /* minutes before it are in their quarter and day */
    int64_t dropped_before[PLAN_LEVELS];    /* rows of a level before it are not to be used */
    int64_t log_dropped_id, log_dropped_ms; /* dispatches up to this id are gone; none of them was later */
    int64_t session_dropped_before_ms;      /* totals of sessions that were silent since then may be gone */
    const struct zone *zone;                /* of the days; owned by the connection */
};

/* Slabs of a level that begin in [from, to), to be added or (sign -1) taken out; or rows of the log. */
struct plan_part {
    bool raw;
    enum plan_level level;
    int sign;
    int64_t from, to;          /* slabs: minutes; rows: milliseconds of the events' own time */
    int64_t first_id, last_id; /* rows: where they are */
};

struct plan {
    struct plan_kept kept;
    struct pool_connection *c; /* borrowed */
    struct problem *p;         /* borrowed */
    struct plan_part *part;    /* owned */
    size_t parts, room;
    int64_t from_ms, to_ms; /* what they cover */
    int sign;
    int64_t refused_ms;          /* the boundary that cannot be found, after a refusal; else -1 */
    int64_t before_ms, after_ms; /* the boundaries around it that can */
};

/* Reads what is kept. 0, or -1 and *p filled; fini is due in any case. */
int plan_init(struct plan *plan, struct pool_connection *c, struct problem *p);
void plan_fini(struct plan *plan);

/* Replaces the parts with those of [from_ms, to_ms). What is taken out comes after what holds it. 0, or
 * -1: refused_ms is set, or *p is filled. */
int plan_cover(struct plan *plan, int64_t from_ms, int64_t to_ms);

/* Whether more will be folded into the unit that begins here; of minutes, whether it is not folded yet. */
bool plan_is_growing(const struct plan *plan, enum plan_level level, int64_t start);

/* The last boundary up to ms that slabs are kept for; at least ms's minute. */
int64_t plan_floor(const struct plan *plan, int64_t ms);

#endif
