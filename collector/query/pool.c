/* SPDX-License-Identifier: MIT
 *
 * Invariants: a connection is in the queue (free) or with exactly one request thread, which owns
 * it until pool_give. Every borrowed connection is inside a transaction; no free one is. Nothing
 * here writes: the connections are opened read-only and never checkpoint.
 */
#include "pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "field.h"
#include "usage.h"

#define PROGRESS_STEPS 1000 /* virtual machine steps between two looks at the clock */
#define CACHE_KIB      "-2048"

struct query_pool {
    char *path;         /* owned */
    struct queue *free; /* owned */
    atomic_bool stopping;
    struct pool_connection connection[POOL_CONNECTIONS];
};

#define NUM_SUM(name) ", " #name ", " #name "_known"
#define NUM_RAW(name) ", " #name
static const char *const statements[STATEMENTS] = {
    [STMT_WATERMARK] = "SELECT watermark FROM projection WHERE name = 'minute'",
    [STMT_RANGE] =
        "SELECT min(first_id), max(last_id) FROM projection_minute_range WHERE minute BETWEEN ? AND ?",
    [STMT_LAST_ID] =
        "SELECT max(coalesce((SELECT max(id) FROM dispatch), 0),"
        " coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(id) FROM report), 0))",
    [STMT_MINUTES] =
        "SELECT minute, dims, calls, partial" DISPATCH_SUMMED(NUM_SUM) " FROM projection_minute"
                                                                       " WHERE minute >= ? AND minute < ?",
    [STMT_RAW] = "SELECT ts_ms / 60000, dims, session, partial" DISPATCH_SUMMED(
        NUM_RAW) " FROM dispatch"
                 " WHERE id BETWEEN ? AND ? AND ts_ms >= ? AND ts_ms < ? AND state & 7 = 0",
};

struct query_pool *pool_new(const char *path)
{
    struct query_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->path = strdup(path);
    pool->free = queue_new(POOL_CONNECTIONS);
    if (!pool->path || !pool->free) {
        pool_free(pool);
        return NULL;
    }
    for (int i = 0; i < POOL_CONNECTIONS; i++) {
        pool->connection[i].pool = pool;
        pool->connection[i].item.weight = 1;
        queue_push(pool->free, &pool->connection[i].item, 0);
    }
    return pool;
}

void pool_stop(struct query_pool *pool)
{
    atomic_store(&pool->stopping, true);
    queue_close(pool->free);
}

static void connection_close(struct pool_connection *c)
{
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(c->stmt[i]);
        c->stmt[i] = NULL;
    }
    sqlite3_close(c->db);
    c->db = NULL;
}

void pool_free(struct query_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < POOL_CONNECTIONS; i++)
        connection_close(&pool->connection[i]);
    queue_free(pool->free);
    free(pool->path);
    free(pool);
}

static int out_of_time(void *arg)
{
    struct pool_connection *c = arg;

    return mono_left(c->deadline) == 0 || atomic_load(&c->pool->stopping);
}

/* "SELECT source, agent_id, ... FROM dims ... WHERE d.id = ?", or the session's fields. */
static int lookup_prepare(sqlite3 *db, int first, int end, const char *from, sqlite3_stmt **out)
{
    sqlite3_str *sql = sqlite3_str_new(db);

    sqlite3_str_appendall(sql, "SELECT ");
    for (int i = first; i < end; i++)
        sqlite3_str_appendf(sql, "%s%s", i > first ? ", " : "", fields[i].sql);
    sqlite3_str_appendall(sql, from);
    char *text = sqlite3_str_finish(sql);
    if (!text)
        return SQLITE_NOMEM;
    int rc = sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    sqlite3_free(text);
    return rc;
}

static int connection_prepare(struct pool_connection *c)
{
    int rc = lookup_prepare(c->db, 0, FIELD_DIMS_END,
                            " FROM dims d JOIN source src ON src.id = d.source WHERE d.id = ?",
                            &c->stmt[STMT_DIMS]);

    if (rc == SQLITE_OK)
        rc = lookup_prepare(c->db, FIELD_DIMS_END, FIELD_SESSION_END, " FROM session s WHERE s.id = ?",
                            &c->stmt[STMT_SESSION]);
    for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++) {
        if (statements[i])
            rc = sqlite3_prepare_v3(c->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &c->stmt[i], NULL);
    }
    return rc;
}

static int connection_open(struct pool_connection *c)
{
    int rc = sqlite3_open_v2(c->pool->path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db,
                          "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;"
                          "PRAGMA cache_size = " CACHE_KIB,
                          NULL, NULL, NULL);
    sqlite3_busy_timeout(c->db, 100);
    sqlite3_progress_handler(c->db, PROGRESS_STEPS, out_of_time, c);
    if (rc == SQLITE_OK)
        rc = connection_prepare(c);
    return rc;
}

void pool_fill_problem(struct pool_connection *c, int rc, struct problem *p)
{
    int kind = rc & 0xff; /* without SQLite's details */

    if (atomic_load(&c->pool->stopping))
        problem_fill(p, 503, "the collector is stopping");
    else if (kind == SQLITE_INTERRUPT)
        problem_fill(p, 504, "the query took too long: ask for less time or fewer names");
    else if (kind == SQLITE_BUSY || kind == SQLITE_LOCKED || kind == SQLITE_CANTOPEN ||
             kind == SQLITE_NOMEM || kind == SQLITE_SCHEMA)
        problem_fill(p, 503, "the database cannot be read now: %s", sqlite3_errstr(rc));
    else
        problem_fill(p, 500, "the database cannot be read: %s", sqlite3_errstr(rc));
}

int pool_borrow(struct query_pool *pool, struct monotime deadline, struct problem *p,
                struct pool_connection **out)
{
    struct queue_item *item;
    int rc = SQLITE_OK;

    if (queue_pop(pool->free, mono_left(deadline), &item) != QUEUE_OK || atomic_load(&pool->stopping))
        return problem_set(p, 503, "no database connection is free");
    struct pool_connection *c = (struct pool_connection *)item;
    c->deadline = deadline;
    if (!c->db)
        rc = connection_open(c);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db, "BEGIN", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        pool_fill_problem(c, rc, p);
        connection_close(c);
        queue_push(pool->free, &c->item, 0);
        return -1;
    }
    *out = c;
    return 0;
}

void pool_give(struct pool_connection *c)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_reset(c->stmt[i]);
    /* The rollback must not be interrupted by the deadline that ended the query. */
    sqlite3_progress_handler(c->db, 0, NULL, NULL);
    sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_progress_handler(c->db, PROGRESS_STEPS, out_of_time, c);
    queue_push(c->pool->free, &c->item, 0);
}
