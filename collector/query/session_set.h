/* SPDX-License-Identifier: MIT
 *
 * session_set.h: some rows of the table session, found by name, and where in the log the events of
 * those sessions are: from the session index, and behind its watermark from the log's tail.
 */
#ifndef COLLECTOR_QUERY_SESSION_SET_H
#define COLLECTOR_QUERY_SESSION_SET_H

#include "filter.h"
#include "intern.h"
#include "pool.h"
#include "session_tail.h"

#define SESSION_SET_MAX 4096 /* sessions that one set can hold */

struct session_set {
    struct intern ids; /* of int64_t */
};

void session_set_init(struct session_set *s);
void session_set_fini(struct session_set *s);

static inline size_t session_set_count(const struct session_set *s)
{
    return s->ids.count;
}
int64_t session_set_id(const struct session_set *s, size_t i);
bool session_set_has(const struct session_set *s, int64_t id);

/* All: 1, 0 where the set is full, or -1 and *p filled. */

int session_set_add(struct session_set *s, int64_t id, struct problem *p);

/* Adds all rows whose session_id is this. */
int session_set_named(struct session_set *s, struct pool_connection *c, const char *session_id,
                      struct problem *p);

/* Adds all rows below those that the set has from `first` on. */
int session_set_below(struct session_set *s, size_t first, struct pool_connection *c, struct problem *p);

/* Whether the filter names sessions, or root sessions, exactly; then the set holds all rows that can pass
 * it, and maybe others. 0: it does not, or they are too many. */
int session_set_of_filter(struct session_set *s, const struct filter *f, struct pool_connection *c,
                          struct problem *p);

/* Ids of rows of the log, in order, each once. */
struct row_ids {
    int64_t *id; /* owned */
    size_t count, room;
};
void row_ids_fini(struct row_ids *r);

/* The first max (ascending; else the last max, downwards) ids from lo to hi of the set's dispatches and
 * messages. Rows that retention has dropped may still be named. 0, or -1 and *p filled. */
int session_set_rows(const struct session_set *s, struct pool_connection *c, int64_t lo, int64_t hi,
                     bool ascending, size_t max, struct problem *p, struct row_ids *out);

/* The same for who has read the tail already. */
int session_set_rows_beside(const struct session_set *s, const struct session_tail *tail,
                            struct pool_connection *c, int64_t lo, int64_t hi, bool ascending, size_t max,
                            struct problem *p, struct row_ids *out);

#endif
