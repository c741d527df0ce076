/* SPDX-License-Identifier: MIT
 *
 * session_item.h: a session as it is shown: its names and what it came to.
 */
#ifndef COLLECTOR_QUERY_SESSION_ITEM_H
#define COLLECTOR_QUERY_SESSION_ITEM_H

#include "../base/arena.h"
#include "field.h"
#include "session_tail.h"

#define SESSION_NAMES 10 /* the first three are the session's own, the others of its combination */

extern const enum field_id session_item_fields[SESSION_NAMES];

struct session_item {
    int64_t session;                  /* row id; of one of them where several are summed */
    struct slice name[SESSION_NAMES]; /* by session_item_fields; at NULL: unknown. Owned by an arena */
    struct session_totals totals;
    unsigned depth; /* below the session that was asked for */
};

/* Reads what the projection and the tail have of a session; totals.rows_seen 0: nothing. 0, or -1 and *p
 * filled. */
int session_item_totals(struct pool_connection *c, const struct session_tail *tail, int64_t session,
                        struct problem *p, struct session_totals *out);

/* Fills item's names from its session and its totals.dims. 0, or -1 and *p filled. */
int session_item_names(struct pool_connection *c, struct arena *arena, struct problem *p,
                       struct session_item *item);

#endif
