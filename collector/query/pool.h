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
#include "../base/histogram.h"
#include "../base/queue.h"
#include "../base/zone.h"
#include "problem.h"

#define POOL_CONNECTIONS 8    /* at most, and as many as pool_new makes */
#define POOL_CACHE_KIB   1024 /* of pages, each connection */
#define POOL_KEPT        24   /* statements that a connection keeps for pool_prepare */

/* The statements that every connection keeps prepared. */
enum pool_statement {
    STMT_WATERMARK, /* -> watermark of 'usage', and of the log's dispatches how far they are dropped: id, time
                     */
    STMT_SETTINGS,  /* -> name, value of projection_setting */
    STMT_LAST_ID,   /* -> last id of the log */
    STMT_DIMS,      /* id -> fields up to FIELD_DIMS_END, enumerations as codes; tags */
    STMT_ROLLUP,    /* id of dims -> the combination it is summed under */
    STMT_SESSION,   /* id -> the session's fields */
    STMT_IDS_MINUTE, /* start -> first id, last id; then those of quarters and days */
    STMT_IDS_QUARTER,
    STMT_IDS_DAY,
    STMT_HEAD_MINUTE, /* first start, end -> start, revision, bytes of the body */
    STMT_HEAD_QUARTER,
    STMT_HEAD_DAY,
    STMT_SLAB_MINUTE, /* first start, end -> body */
    STMT_SLAB_QUARTER,
    STMT_SLAB_DAY,
    STMT_RAW, /* first id, last id, from, to -> time, dims, session, partial, numbers */
    STATEMENTS
};

#define POOL_ZONES 4 /* that a connection keeps open */

/* A statement that has been prepared on demand. */
struct pool_kept {
    char *sql;          /* owned; NULL: free */
    sqlite3_stmt *stmt; /* owned */
    uint64_t used;      /* the loan in which it was last asked for */
};

struct pool_connection {
    struct queue_item item;    /* a permit to take some connection */
    struct queue_item *permit; /* that it was taken with */
    struct query_pool *pool;
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENTS];
    struct pool_kept kept[POOL_KEPT];
    struct zone *zone[POOL_ZONES]; /* owned; the latest one first */
    uint64_t loans;
    struct monotime deadline;
    int64_t begun_us;
};

struct query_pool;
struct dictionary;
struct kept;
struct tail_cache;

/* Opens nothing yet: a connection opens the database when it is first borrowed. NULL: no memory. */
struct query_pool *pool_new(const char *path);

/* The same with fewer connections and another size of their page caches. */
struct query_pool *pool_new_of(const char *path, unsigned connections, unsigned cache_kib);

/* Interrupts what runs; every later borrow fails with 503. */
void pool_stop(struct query_pool *pool);
void pool_free(struct query_pool *pool); /* all given back. NULL is fine */

/* What takes much memory: only so many requests do it at a time. */
enum pool_work {
    WORK_SLABS, /* adding up rollups: milliseconds */
    WORK_LOG,   /* counting from the log: up to the deadline */
    POOL_WORKS
};
#define POOL_SEATS 3 /* for each */

/* Waits for a seat, before a connection is borrowed. 0, or -1 and *p filled. */
int pool_sit(struct query_pool *pool, enum pool_work work, struct monotime deadline, struct problem *p,
             struct queue_item **seat);
void pool_stand(struct query_pool *pool, enum pool_work work, struct queue_item *seat);

/* Borrows a connection, inside a read transaction, until the deadline. 0, or -1 and *p filled. */
int pool_borrow(struct query_pool *pool, struct monotime deadline, struct problem *p,
                struct pool_connection **out);
void pool_give(struct pool_connection *c);

/* How long the loans took, each from borrow to give. */
struct histogram *pool_durations(struct query_pool *pool);

/* The statement of this SQL, ready to be bound; prepared at most once as long as it stays among the
 * POOL_KEPT last ones. It belongs to the connection: valid until pool_give, which resets it. A loan may
 * ask for at most POOL_KEPT different ones. An SQLite code. */
int pool_prepare(struct pool_connection *c, const char *sql, sqlite3_stmt **out);

/* The time zone of this name, which stays open for the loan (of up to POOL_ZONES of them). NULL: unknown. */
const struct zone *pool_zone(struct pool_connection *c, const char *name);

/* The combinations that requests have met, for all of them. */
struct dictionary *pool_dictionary(struct pool_connection *c);

/* The sessions' tail as far as it has been read. */
struct tail_cache *pool_tail_cache(struct pool_connection *c);

/* What they have added up, for all of them. */
struct kept *pool_sums(struct pool_connection *c);

/* Tells an SQLite error of c as a problem: 504 past the deadline, 503 while stopping. Is -1. */
#define pool_problem(c, rc, p) (pool_fill_problem((c), (rc), (p)), -1)
void pool_fill_problem(struct pool_connection *c, int rc, struct problem *p);

#endif
