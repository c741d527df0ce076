/* SPDX-License-Identifier: MIT
 *
 * session.h: one session: what it came to, its events in order, and its sub-agents beneath. All rows
 * with its session_id are one here, whatever parent and root they told. Of one commit.
 */
#ifndef COLLECTOR_QUERY_SESSION_H
#define COLLECTOR_QUERY_SESSION_H

#include "events.h"
#include "session_item.h"

#define SESSION_TREE_MAX 1000 /* sessions beneath; more are left out, and that is said */

struct session_request {
    const char *session_id;              /* borrowed */
    const struct events_request *events; /* borrowed; upwards. Its filter: nothing, or a term about source,
                                           which is for the sums, too */
    int64_t after;                       /* events with greater ids */
    unsigned limit;                      /* of events */
};

struct session_answer {
    struct session_item item;     /* totals.rows_seen 0: it has no events of its own */
    struct session_item *beneath; /* owned; parents before their children */
    size_t beneaths;
    bool truncated; /* there are more beneath; the tree's sums are without them */
    struct session_totals tree;
    struct events_cursor cursor; /* where the next events are */
    struct arena arena;
};

/* Hands each event to fn. 0, and *out is to be freed with
 * session_answer_fini; or -1 and *p filled: 404 if nothing has that name. */
int session_run(struct query_pool *pool, const struct session_request *q, struct monotime deadline,
                struct problem *p, events_fn fn, void *arg, struct session_answer *out);
void session_answer_fini(struct session_answer *a);

#endif
