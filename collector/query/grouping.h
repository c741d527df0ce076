/* SPDX-License-Identifier: MIT
 *
 * grouping.h: what a request makes of names: whether its filter takes a combination or a session, and
 * which group (0, 1, 2, ... in the order in which they come) their names are. One request, one thread.
 */
#ifndef COLLECTOR_QUERY_GROUPING_H
#define COLLECTOR_QUERY_GROUPING_H

#include "dictionary.h"
#include "intern.h"
#include "usage.h"

#define GROUPING_NONE (-1) /* filtered out */

/* A session's names, as a request sees them. */
struct grouping_session {
    bool match;
    uint32_t text[FIELD_SESSION_END - FIELD_DIMS_END]; /* own numbers; 0: unknown */
};

/* The combinations of one group that have the same status: what slabs are added up by. */
struct grouping_unit {
    uint32_t group;
    uint32_t status;
};

struct grouping {
    const struct usage_request *request; /* borrowed while the request runs */
    struct dictionary *dictionary;       /* borrowed */
    bool by_session;                     /* a session's name is asked for */
    unsigned char shape[16]; /* a hash of names and filter: the same for requests with the same groups */
    int32_t *of_entry;       /* owned; by entry: unit + 2; 1 filtered out, 0 not looked at */
    size_t room;
    struct intern units;
    struct grouping_unit *unit; /* owned */
    uint32_t *unit_dims;        /* owned; of each unit: the row id of one of its combinations */
    size_t unit_room, unit_dims_room;
    struct intern ids;     /* row ids of dims, of raw rows */
    uint32_t *entry_of_id; /* owned; their entries */
    size_t ids_room;
    struct intern sessions;           /* row ids */
    struct grouping_session *session; /* owned */
    size_t session_room;
    struct intern keys;  /* a group's names, as texts' numbers */
    struct intern names; /* texts of sessions; number + 1 */
};

/* Whether a request asks for a session's name. */
bool grouping_is_by_session(const struct usage_request *q);

/* NULL: no memory. */
struct grouping *grouping_new(const struct usage_request *q, struct dictionary *d);
void grouping_free(struct grouping *g); /* NULL is fine */

/* The unit that sums kept under the combination with this row id belong to; GROUPING_NONE. -2 and *p
 * filled: it cannot be told. */
int grouping_cell(struct grouping *g, struct pool_connection *c, uint32_t rollup, struct problem *p);

/* The group of a row of the log, in the same way; *entry: what it is summed under. */
int grouping_raw(struct grouping *g, struct pool_connection *c, int64_t dims, int64_t session,
                 struct problem *p, const struct dictionary_entry **entry);

/* A group's i-th name; NULL: unknown. */
const char *grouping_name(const struct grouping *g, uint32_t group, unsigned i, size_t *len);

#endif
