/* SPDX-License-Identifier: MIT
 *
 * tail_cache.h: remembers the tail of the sessions from one request to the next, so that each reads only
 * the rows that are new. Any thread; one at a time brings it up to date, the others wait for it.
 */
#ifndef COLLECTOR_QUERY_TAIL_CACHE_H
#define COLLECTOR_QUERY_TAIL_CACHE_H

#include "session_tail.h"

struct tail_cache;

struct tail_cache *tail_cache_new(void);    /* NULL: no memory */
void tail_cache_free(struct tail_cache *t); /* NULL is fine */

/* Fills out, which is zeroed, with the tail as c's transaction sees it; keys are tokens. 1, 0: this
 * transaction is older than what is remembered, out is as it was, or -1 and *p filled. */
int tail_cache_read(struct pool_connection *c, struct session_tail *out, struct problem *p);

#endif
