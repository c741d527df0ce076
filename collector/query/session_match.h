/* SPDX-License-Identifier: MIT
 *
 * session_match.h: whether a request's filter and search take a session: by the combination of names that
 * it shows, and by its own names. Verdicts about combinations are remembered. One request, one thread.
 */
#ifndef COLLECTOR_QUERY_SESSION_MATCH_H
#define COLLECTOR_QUERY_SESSION_MATCH_H

#include "filter.h"
#include "intern.h"
#include "pool.h"

struct session_match {
    const struct filter *filter; /* borrowed */
    const char *search;          /* borrowed: a part of session_id, in any case; NULL: none */
    bool by_dims, by_names;
    struct intern dims; /* row ids */
    bool *verdict;      /* owned; of each */
    size_t room;
};

void session_match_init(struct session_match *m, const struct filter *f, const char *search);
void session_match_fini(struct session_match *m);

/* All: 1 yes, 0 no, or -1 and *p filled. Ids are of rows in dims and session. */
int session_match_dims(struct session_match *m, struct pool_connection *c, int64_t dims, struct problem *p);
int session_match_names(const struct session_match *m, struct pool_connection *c, int64_t session,
                        struct problem *p);

/* Whether text (NULL: unknown) has the part in it; letters of ASCII in any case. */
bool session_match_search(const char *text, const char *part);

#endif
