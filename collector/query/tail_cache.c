/* SPDX-License-Identifier: MIT
 *
 * Invariants: `all` is the tail between the watermark and last_id, as one commit had it; whoever has
 * the turn owns it. Of a row that has been read only its state can change, and only if it is an interim
 * record or coarser than a call: those are remembered and looked at again each time.
 */
#include "tail_cache.h"

#include <stdlib.h>
#include <string.h>

#include "../base/event.h"

#define UNSETTLED_MAX 4096 /* more: nothing is remembered */
#define COARSE_SLOTS  4096

/* A row that counts now and may not later. */
struct unsettled {
    int64_t id, key;
    uint32_t session;
};

struct tail_cache {
    struct queue *turn; /* owned */
    struct queue_item turn_item;
    /* of whoever has the turn */
    bool valid;
    int64_t watermark, last_id;
    struct session_tail all;
    struct unsettled unsettled[UNSETTLED_MAX];
    size_t unsettled_count;
    struct {
        uint32_t dims;
        bool coarse;
    } known[COARSE_SLOTS]; /* what combinations say, as far as it has been looked up */
};

struct tail_cache *tail_cache_new(void)
{
    struct tail_cache *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->turn = queue_new(1);
    if (!t->turn) {
        free(t);
        return NULL;
    }
    t->turn_item.weight = 1;
    queue_push(t->turn, &t->turn_item, 0);
    return t;
}

void tail_cache_free(struct tail_cache *t)
{
    if (!t)
        return;
    session_tail_fini(&t->all);
    queue_free(t->turn);
    free(t);
}

/* ------------------------------------------------------------------ reading */

/* Whether calls of this combination tell more than one call's worth: the granularity is run or turn. */
static int is_coarse(struct tail_cache *t, struct pool_connection *c, int64_t dims, struct problem *p)
{
    size_t slot = (size_t)dims % COARSE_SLOTS;
    sqlite3_stmt *stmt;

    if (t->known[slot].dims == dims)
        return t->known[slot].coarse;
    int rc = pool_prepare(c, "SELECT granularity>1 FROM dims WHERE id=?", &stmt);
    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, dims);
    bool coarse = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) != 0;
    if ((rc = sqlite3_reset(stmt)) != SQLITE_OK)
        return pool_problem(c, rc, p);
    t->known[slot].dims = (uint32_t)dims;
    t->known[slot].coarse = coarse;
    return coarse;
}

/* Columns: id, session, dims, ts_ms, state, partial, tokens. */
static int take_dispatch(struct tail_cache *t, struct pool_connection *c, sqlite3_stmt *stmt,
                         struct problem *p)
{
    int64_t id = sqlite3_column_int64(stmt, 0), session = sqlite3_column_int64(stmt, 1),
            dims = sqlite3_column_int64(stmt, 2);
    bool counts = (sqlite3_column_int(stmt, 4) & 7) == 0;
    int64_t key = counts ? sqlite3_column_int64(stmt, 6) : 0;
    int unsettled = counts ? sqlite3_column_int(stmt, 5) == 1 : 0;

    if (counts && !unsettled)
        unsettled = is_coarse(t, c, dims, p);
    if (unsettled < 0)
        return -1;
    if (unsettled) {
        if (t->unsettled_count < UNSETTLED_MAX)
            t->unsettled[t->unsettled_count] = (struct unsettled){ id, key, (uint32_t)session };
        t->unsettled_count++;
    }
    return session_tail_add(&t->all, id, session, dims, sqlite3_column_int64(stmt, 3), key, false, p);
}

static int take_message(struct tail_cache *t, sqlite3_stmt *stmt, struct problem *p)
{
    return session_tail_add(&t->all, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                            sqlite3_column_int64(stmt, 2), sqlite3_column_int64(stmt, 3), 0, true, p);
}

static int take_table(struct tail_cache *t, struct pool_connection *c, const char *sql, bool message,
                      int64_t after, struct problem *p)
{
    sqlite3_stmt *stmt;
    int result = 0, rc = pool_prepare(c, sql, &stmt);

    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, after);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc != SQLITE_ROW ? pool_problem(c, rc, p)
                 : message        ? take_message(t, stmt, p)
                                  : take_dispatch(t, c, stmt, p);
    sqlite3_reset(stmt);
    return result;
}

static int take_new(struct tail_cache *t, struct pool_connection *c, int64_t after, struct problem *p)
{
#define NEW " e WHERE e.id>?1 AND e.session>0 ORDER BY e.id"
    if (take_table(t, c,
                   "SELECT e.id,e.session,e.dims,e.ts_ms,e.state,e.partial," SESSION_TAIL_TOKENS
                   " FROM dispatch" NEW,
                   false, after, p) != 0)
        return -1;
    return take_table(t, c, "SELECT e.id,e.session,e.dims,e.ts_ms FROM message" NEW, true, after, p);
}

/* Takes what does not count any more out of the keys. */
static int settle(struct tail_cache *t, struct pool_connection *c, struct problem *p)
{
    sqlite3_stmt *stmt;
    size_t kept = 0;
    int rc = pool_prepare(c, "SELECT state&7 FROM dispatch WHERE id=?", &stmt);

    for (size_t i = 0; i < t->unsettled_count && rc == SQLITE_OK; i++) {
        struct unsettled *u = &t->unsettled[i];
        sqlite3_bind_int64(stmt, 1, u->id);
        bool counts = sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_int(stmt, 0) == 0;
        rc = sqlite3_reset(stmt);
        if (counts)
            t->unsettled[kept++] = *u;
        else
            session_tail_find(&t->all, u->session)->key -= u->key;
    }
    t->unsettled_count = kept;
    return rc == SQLITE_OK ? 0 : pool_problem(c, rc, p);
}

/* ------------------------------------------------------------------ updating */

static int read_place(struct pool_connection *c, int64_t *watermark, int64_t *last_id, struct problem *p)
{
    sqlite3_stmt *stmt, *last = c->stmt[STMT_LAST_ID];
    int rc = pool_prepare(c, "SELECT watermark FROM projection WHERE name='session'", &stmt);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *watermark = sqlite3_column_int64(stmt, 0);
        sqlite3_reset(stmt);
        rc = sqlite3_step(last);
        *last_id = rc == SQLITE_ROW ? sqlite3_column_int64(last, 0) : 0;
        sqlite3_reset(last);
    }
    return rc == SQLITE_ROW ? 0 : pool_problem(c, rc, p);
}

static void forget(struct tail_cache *t, int64_t watermark)
{
    session_tail_fini(&t->all);
    t->unsettled_count = 0;
    t->watermark = t->last_id = watermark;
    t->valid = true;
}

static int bring_up(struct tail_cache *t, struct pool_connection *c, int64_t watermark, int64_t last_id,
                    struct problem *p)
{
    if (!t->valid || watermark > t->watermark || t->unsettled_count > UNSETTLED_MAX)
        forget(t, watermark);
    t->valid = false; /* should this fail halfway */
    if (last_id > t->last_id && (settle(t, c, p) != 0 || take_new(t, c, t->last_id, p) != 0))
        return -1;
    t->last_id = last_id > t->last_id ? last_id : t->last_id;
    t->valid = true;
    return 0;
}

int tail_cache_read(struct pool_connection *c, struct session_tail *out, struct problem *p)
{
    struct tail_cache *t = pool_tail_cache(c);
    struct queue_item *turn;
    int64_t watermark, last_id;
    int result = 0;

    if (read_place(c, &watermark, &last_id, p) != 0)
        return -1;
    if (queue_pop(t->turn, mono_left(c->deadline), &turn) != QUEUE_OK)
        return problem_set(p, 504, "the query took too long: others were before it");
    bool older = t->valid && (watermark < t->watermark || last_id < t->last_id);
    if (!older)
        result =
            bring_up(t, c, watermark, last_id, p) == 0 && session_tail_copy(&t->all, out, p) == 0 ? 1 : -1;
    queue_push(t->turn, turn, 0);
    return result;
}
