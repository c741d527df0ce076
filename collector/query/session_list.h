/* SPDX-License-Identifier: MIT
 *
 * session_list.h: sessions and what they came to, in an order, in pages; exact as of the last commit. A
 * session stands there once for each (session, parent, root) that its events told.
 */
#ifndef COLLECTOR_QUERY_SESSION_LIST_H
#define COLLECTOR_QUERY_SESSION_LIST_H

#include "filter.h"
#include "pool.h"
#include "session_item.h"

#define SESSION_LIST_LIMIT     50
#define SESSION_LIST_LIMIT_MAX 1000
#define SESSION_PLACE_TEXT     32 /* bytes of a cursor's text */

enum session_order {
    ORDER_BY_LAST,   /* both ways along an index */
    ORDER_BY_TOKENS, /* downwards along an index */
    ORDER_BY_FIRST,  /* the others look at all sessions that may be meant */
    ORDER_BY_CALLS,
    ORDER_BY_ERRORS,
    ORDER_BY_COST,
    ORDER_BY_COST_REPORTED,
    SESSION_ORDERS
};

/* The place of a session in an order. */
struct session_place {
    int64_t key, session;
};

struct session_list_request {
    int64_t from_ms, to_ms; /* sessions with an event at from or later, and one before to */
    struct filter filter;   /* of the combination that the session shows, and of its own names */
    const char *search;     /* borrowed: a part of session_id; NULL: none */
    enum session_order order;
    bool ascending;
    unsigned limit;
    bool has_after;
    struct session_place after;
};

struct session_list {
    struct session_item *item; /* owned */
    size_t items;
    bool more; /* after next, the place of the last item */
    struct session_place next;
    struct arena arena;
};

/* 0, and *out is to be freed with session_list_fini; or -1 and *p filled. */
int session_list_run(struct query_pool *pool, const struct session_list_request *q, struct monotime deadline,
                     struct problem *p, struct session_list *out);
void session_list_fini(struct session_list *a);

/* The order of "last", "tokens", ..., or -1. */
int session_order_find(const char *name);

/* A place's text and back; -1: it is none, or of another order. */
void session_place_format(const struct session_list_request *q, const struct session_place *at,
                          char out[SESSION_PLACE_TEXT]);
int session_place_parse(const struct session_list_request *q, const char *text, struct session_place *at);

#endif
