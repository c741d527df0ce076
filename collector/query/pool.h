/* SPDX-License-Identifier: MIT
 *
 * pool.h: a few read-only connections to the database. A request borrows one for a short read
 * transaction and gives it back; a deadline interrupts what runs too long. The writer is never
 * waited for: WAL readers see the last commit.
 */
#ifndef COLLECTOR_QUERY_POOL_H
#define COLLECTOR_QUERY_POOL_H

#include <sqlite3.h>
#include <stdbool.h>

#include "../base/clock.h"
#include "../base/queue.h"
#include "problem.h"

#define POOL_CONNECTIONS 8

/* The statements that every connection keeps prepared. */
enum pool_statement {
    STMT_WATERMARK, /* -> watermark of the minutes */
    STMT_RANGE,     /* first minute, last minute -> first id, last id */
    STMT_LAST_ID,   /* -> last id of the log */
    STMT_DIMS,      /* id -> fields up to FIELD_DIMS_END, enumerations as codes */
    STMT_SESSION,   /* id -> the session's fields */
    STMT_MINUTES,   /* first minute, end minute -> minute, dims, calls, partial, sums and knowns */
    STMT_RAW,       /* first id, last id, from, to -> minute, dims, session, partial, numbers */
    STATEMENTS
};

struct pool_connection {
    struct queue_item item;
    struct query_pool *pool;
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENTS];
    struct monotime deadline;
};

struct query_pool;

/* Opens nothing yet: a connection opens the database when it is first borrowed. NULL: no memory. */
struct query_pool *pool_new(const char *path);

/* Interrupts what runs; every later borrow fails with 503. */
void pool_stop(struct query_pool *pool);
void pool_free(struct query_pool *pool); /* all given back. NULL is fine */

/* Borrows a connection, inside a read transaction, until the deadline. 0, or -1 and *p filled. */
int pool_borrow(struct query_pool *pool, struct monotime deadline, struct problem *p,
                struct pool_connection **out);
void pool_give(struct pool_connection *c);

/* Tells an SQLite error of c as a problem: 504 past the deadline, 503 while stopping. Is -1. */
#define pool_problem(c, rc, p) (pool_fill_problem((c), (rc), (p)), -1)
void pool_fill_problem(struct pool_connection *c, int rc, struct problem *p);

#endif
