/* SPDX-License-Identifier: MIT
 *
 * Invariants: a connection is idle or with exactly one request thread, which owns it until
 * pool_give. There are never more permits in the queue than idle connections; of these the first is
 * taken, so that few requests at a time warm few connections. Every borrowed connection is inside a
 * transaction; no idle one is. Nothing here writes: the connections are opened read-only and never
 * checkpoint.
 */
#include "pool.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "../base/identifier.h"
#include "dictionary.h"
#include "tail_cache.h"
#include "field.h"
#include "kept.h"

#define PROGRESS_STEPS 1000 /* virtual machine steps between two looks at the clock */

struct query_pool {
    char *path;            /* owned */
    struct queue *free;    /* owned; permits */
    _Atomic uint32_t idle; /* bit i: connection i */
    atomic_bool stopping;
    struct histogram durations;
    unsigned connections, cache_kib;
    struct dictionary *dictionary;   /* owned */
    struct kept *sums;               /* owned */
    struct queue *seats[POOL_WORKS]; /* owned */
    struct queue_item seat[POOL_WORKS][POOL_SEATS];
    struct tail_cache *tail_cache; /* owned */
    struct pool_connection connection[POOL_CONNECTIONS];
};

#define IDS(table)   "SELECT first_id, last_id FROM " table " WHERE start_minute = ?"
#define RANGE(table) " FROM " table " WHERE start_minute >= ? AND start_minute < ? ORDER BY start_minute"
#define HEADS(table) "SELECT start_minute, revision, length(body)" RANGE(table)
#define SLABS(table) "SELECT body" RANGE(table)
static const char *const statements[STATEMENTS] = {
    [STMT_WATERMARK] = "SELECT watermark, through_id, newest_ms FROM projection, log_dropped"
                       " WHERE name = 'usage' AND kind = 'dispatch'",
    [STMT_SETTINGS] = "SELECT name, value FROM projection_setting",
    [STMT_LAST_ID] =
        "SELECT max(coalesce((SELECT max(id) FROM dispatch), 0),"
        " coalesce((SELECT max(id) FROM message), 0), coalesce((SELECT max(id) FROM report), 0))",
    [STMT_ROLLUP] = "SELECT rollup FROM dims WHERE id = ?",
    [STMT_IDS_MINUTE] = IDS("projection_minute"),
    [STMT_IDS_QUARTER] = IDS("projection_quarter"),
    [STMT_IDS_DAY] = IDS("projection_day"),
    [STMT_HEAD_MINUTE] = HEADS("projection_minute"),
    [STMT_HEAD_QUARTER] = HEADS("projection_quarter"),
    [STMT_HEAD_DAY] = HEADS("projection_day"),
    [STMT_SLAB_MINUTE] = SLABS("projection_minute"),
    [STMT_SLAB_QUARTER] = SLABS("projection_quarter"),
    [STMT_SLAB_DAY] = SLABS("projection_day"),
    [STMT_RAW] = "SELECT e.ts_ms, e.dims, e.session, e.partial" STORED_SUMS " FROM dispatch e"
                 " WHERE e.id BETWEEN ? AND ? AND e.ts_ms >= ? AND e.ts_ms < ? AND e.state & 7 = 0",
};

static int seats_new(struct query_pool *pool)
{
    for (int i = 0; i < POOL_WORKS; i++) {
        pool->seats[i] = queue_new(POOL_SEATS);
        if (!pool->seats[i])
            return -1;
        for (int k = 0; k < POOL_SEATS; k++) {
            pool->seat[i][k].weight = 1;
            queue_push(pool->seats[i], &pool->seat[i][k], 0);
        }
    }
    return 0;
}

int pool_sit(struct query_pool *pool, enum pool_work work, struct monotime deadline, struct problem *p,
             struct queue_item **seat)
{
    if (queue_pop(pool->seats[work], mono_left(deadline), seat) == QUEUE_OK)
        return 0;
    return problem_set(p, 503, "too many such queries are under way");
}

void pool_stand(struct query_pool *pool, enum pool_work work, struct queue_item *seat)
{
    queue_push(pool->seats[work], seat, 0);
}

struct query_pool *pool_new(const char *path)
{
    return pool_new_of(path, POOL_CONNECTIONS, POOL_CACHE_KIB);
}

struct query_pool *pool_new_of(const char *path, unsigned connections, unsigned cache_kib)
{
    struct query_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->connections = connections < POOL_CONNECTIONS ? connections : POOL_CONNECTIONS;
    pool->cache_kib = cache_kib;
    pool->path = strdup(path);
    pool->free = queue_new(POOL_CONNECTIONS);
    pool->dictionary = dictionary_new();
    pool->sums = kept_new();
    pool->tail_cache = tail_cache_new();
    if (!pool->path || !pool->free || !pool->dictionary || !pool->sums || !pool->tail_cache ||
        seats_new(pool) != 0) {
        pool_free(pool);
        return NULL;
    }
    for (unsigned i = 0; i < pool->connections; i++) {
        pool->connection[i].pool = pool;
        pool->connection[i].item.weight = 1;
        queue_push(pool->free, &pool->connection[i].item, 0);
        pool->idle |= 1u << i;
    }
    return pool;
}

void pool_stop(struct query_pool *pool)
{
    atomic_store(&pool->stopping, true);
    queue_close(pool->free);
    for (int i = 0; i < POOL_WORKS; i++)
        queue_close(pool->seats[i]);
}

static void connection_close(struct pool_connection *c)
{
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(c->stmt[i]);
        c->stmt[i] = NULL;
    }
    for (int i = 0; i < POOL_KEPT; i++) {
        sqlite3_finalize(c->kept[i].stmt);
        sqlite3_free(c->kept[i].sql);
        c->kept[i] = (struct pool_kept){ 0 };
    }
    for (int i = 0; i < POOL_ZONES; i++) {
        zone_close(c->zone[i]);
        c->zone[i] = NULL;
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
    dictionary_free(pool->dictionary);
    kept_free(pool->sums);
    for (int i = 0; i < POOL_WORKS; i++)
        queue_free(pool->seats[i]);
    tail_cache_free(pool->tail_cache);
    free(pool->path);
    free(pool);
}

static int out_of_time(void *arg)
{
    struct pool_connection *c = arg;

    return mono_left(c->deadline) == 0 || atomic_load(&c->pool->stopping);
}

/* "SELECT source, agent_id, ..., tags FROM dims ... WHERE d.id = ?", or the session's fields. */
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
                            ", d.tags FROM dims d JOIN source src ON src.id = d.source WHERE d.id = ?",
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
    char cache[64];
    int rc = sqlite3_open_v2(c->pool->path, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db,
                          "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0",
                          NULL, NULL, NULL);
    snprintf(cache, sizeof cache, "PRAGMA cache_size = -%u", c->pool->cache_kib);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db, cache, NULL, NULL, NULL);
    sqlite3_busy_timeout(c->db, 100);
    sqlite3_progress_handler(c->db, PROGRESS_STEPS, out_of_time, c);
    if (rc == SQLITE_OK)
        rc = identifier_functions(c->db);
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

/* Whoever has a permit finds one. */
static struct pool_connection *take(struct query_pool *pool, struct queue_item *permit)
{
    uint32_t idle = atomic_load(&pool->idle);

    while (!atomic_compare_exchange_weak(&pool->idle, &idle, idle & (idle - 1)))
        ;
    struct pool_connection *c = &pool->connection[__builtin_ctz(idle)];
    c->permit = permit;
    return c;
}

static void put_back(struct pool_connection *c)
{
    struct query_pool *pool = c->pool;
    struct queue_item *permit = c->permit;

    atomic_fetch_or(&pool->idle, 1u << (c - pool->connection));
    queue_push(pool->free, permit, 0);
}

int pool_borrow(struct query_pool *pool, struct monotime deadline, struct problem *p,
                struct pool_connection **out)
{
    struct queue_item *permit;
    int rc = SQLITE_OK;

    if (queue_pop(pool->free, mono_left(deadline), &permit) != QUEUE_OK || atomic_load(&pool->stopping))
        return problem_set(p, 503, "no database connection is free");
    struct pool_connection *c = take(pool, permit);
    c->deadline = deadline;
    if (!c->db)
        rc = connection_open(c);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(c->db, "BEGIN", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        pool_fill_problem(c, rc, p);
        connection_close(c);
        put_back(c);
        return -1;
    }
    c->loans++;
    c->begun_us = mono_us();
    *out = c;
    return 0;
}

struct tail_cache *pool_tail_cache(struct pool_connection *c)
{
    return c->pool->tail_cache;
}

struct dictionary *pool_dictionary(struct pool_connection *c)
{
    return c->pool->dictionary;
}

struct kept *pool_sums(struct pool_connection *c)
{
    return c->pool->sums;
}

const struct zone *pool_zone(struct pool_connection *c, const char *name)
{
    int i = 0;

    while (i < POOL_ZONES && c->zone[i] && strcmp(zone_name(c->zone[i]), name) != 0)
        i++;
    struct zone *z = i < POOL_ZONES ? c->zone[i] : NULL;
    if (!z && !(z = zone_open(name)))
        return NULL;
    if (i == POOL_ZONES)
        zone_close(c->zone[--i]);
    memmove(&c->zone[1], &c->zone[0], (size_t)i * sizeof(void *));
    return c->zone[0] = z;
}

/* The statement with this SQL, else the one that was not used for the longest time. */
static struct pool_kept *kept_find(struct pool_connection *c, const char *sql)
{
    struct pool_kept *oldest = &c->kept[0];

    for (int i = 0; i < POOL_KEPT; i++) {
        if (c->kept[i].sql && strcmp(c->kept[i].sql, sql) == 0)
            return &c->kept[i];
        if (c->kept[i].used < oldest->used)
            oldest = &c->kept[i];
    }
    return oldest;
}

int pool_prepare(struct pool_connection *c, const char *sql, sqlite3_stmt **out)
{
    struct pool_kept *k = kept_find(c, sql);
    int rc = SQLITE_OK;

    if (!k->sql || strcmp(k->sql, sql) != 0) {
        if (k->used == c->loans) /* all of them are in use */
            return SQLITE_MISUSE;
        sqlite3_finalize(k->stmt);
        sqlite3_free(k->sql);
        *k = (struct pool_kept){ .sql = sqlite3_mprintf("%s", sql) };
        rc = k->sql ? sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &k->stmt, NULL)
                    : SQLITE_NOMEM;
        if (rc != SQLITE_OK) {
            sqlite3_free(k->sql);
            *k = (struct pool_kept){ 0 };
            return rc;
        }
    }
    sqlite3_reset(k->stmt); /* whoever had it may have stopped halfway */
    k->used = c->loans;
    *out = k->stmt;
    return SQLITE_OK;
}

void pool_give(struct pool_connection *c)
{
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_reset(c->stmt[i]);
    for (int i = 0; i < POOL_KEPT; i++) {
        if (c->kept[i].used != c->loans)
            continue;
        sqlite3_reset(c->kept[i].stmt);
        sqlite3_clear_bindings(c->kept[i].stmt); /* they point into the request */
    }
    /* The rollback must not be interrupted by the deadline that ended the query. */
    sqlite3_progress_handler(c->db, 0, NULL, NULL);
    sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_progress_handler(c->db, PROGRESS_STEPS, out_of_time, c);
    histogram_add(&c->pool->durations, mono_us() - c->begun_us);
    put_back(c);
}

struct histogram *pool_durations(struct query_pool *pool)
{
    return &pool->durations;
}
