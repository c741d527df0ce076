/* SPDX-License-Identifier: MIT
 *
 * The scan takes only what stands at the beginning of each row, and remembers where the rows are: of the
 * sessions that are shown in the end, a few, they are read once more and whole.
 */
#include "session_tail.h"

#include <stdlib.h>
#include <string.h>

#include "tail_cache.h"

void session_tail_fini(struct session_tail *t)
{
    free(t->entry);
    free(t->row);
    free(t->slot);
    *t = (struct session_tail){ 0 };
}

/* ---------------------------------------------------------------- the table */

static size_t slot_of(const struct session_tail *t, uint32_t session)
{
    return (session * 0x9e3779b1u) >> 8 & (t->slots - 1);
}

struct tail_entry *session_tail_find(const struct session_tail *t, int64_t session)
{
    if (t->slots == 0)
        return NULL;
    for (size_t i = slot_of(t, (uint32_t)session); t->slot[i] != 0; i = (i + 1) & (t->slots - 1)) {
        if (t->entry[t->slot[i] - 1].session == session)
            return &t->entry[t->slot[i] - 1];
    }
    return NULL;
}

static void slot_put(struct session_tail *t, size_t entry)
{
    size_t i = slot_of(t, t->entry[entry].session);

    while (t->slot[i] != 0)
        i = (i + 1) & (t->slots - 1);
    t->slot[i] = (uint32_t)entry + 1;
}

static bool grow_slots(struct session_tail *t)
{
    size_t slots = t->slots ? 2 * t->slots : 1024;
    uint32_t *fresh = calloc(slots, sizeof *fresh);

    if (!fresh)
        return false;
    free(t->slot);
    t->slot = fresh;
    t->slots = slots;
    for (size_t i = 0; i < t->entries; i++)
        slot_put(t, i);
    return true;
}

static bool grow(void **array, size_t *room, size_t size)
{
    size_t more = *room ? 2 * *room : 256;
    void *fresh = realloc(*array, more * size);

    if (!fresh)
        return false;
    *array = fresh;
    *room = more;
    return true;
}

static struct tail_entry *entry_of(struct session_tail *t, uint32_t session)
{
    struct tail_entry *e = session_tail_find(t, session);

    if (e)
        return e;
    if ((t->entries == t->entry_room && !grow((void **)&t->entry, &t->entry_room, sizeof *t->entry)) ||
        (2 * (t->entries + 1) > t->slots && !grow_slots(t)))
        return NULL;
    e = &t->entry[t->entries];
    *e = (struct tail_entry){
        .session = session, .newest = SESSION_TAIL_NONE, .first_ms = INT64_MAX, .last_ms = INT64_MIN
    };
    slot_put(t, t->entries++);
    return e;
}

int session_tail_add(struct session_tail *t, int64_t id, int64_t session, int64_t dims, int64_t ms,
                     int64_t key, bool message, struct problem *p)
{
    struct tail_entry *e = entry_of(t, (uint32_t)session);

    if (t->rows == SESSION_TAIL_MAX)
        return problem_set(p, 503, "the session totals are far behind the log: they are being rebuilt");
    if (!e || (t->rows == t->row_room && !grow((void **)&t->row, &t->row_room, sizeof *t->row)))
        return problem_set(p, 503, "out of memory");
    /* The latest dispatch's; before the first one, the first message's. */
    if (!message || e->newest == SESSION_TAIL_NONE)
        e->dims = (uint32_t)dims;
    e->dispatched |= !message;
    e->first_ms = ms < e->first_ms ? ms : e->first_ms;
    e->last_ms = ms > e->last_ms ? ms : e->last_ms;
    if (__builtin_add_overflow(e->key, key, &e->key))
        e->key = INT64_MAX;
    t->row[t->rows] = (struct tail_row){ id, e->newest, message };
    e->newest = (uint32_t)t->rows++;
    return 0;
}

static bool copy(void **to, const void *from, size_t bytes)
{
    *to = malloc(bytes + 1);
    if (*to && bytes > 0)
        memcpy(*to, from, bytes);
    return *to != NULL;
}

int session_tail_copy(const struct session_tail *from, struct session_tail *to, struct problem *p)
{
    *to = (struct session_tail){ .entries = from->entries,
                                 .entry_room = from->entries,
                                 .rows = from->rows,
                                 .row_room = from->rows,
                                 .slots = from->slots };
    if (copy((void **)&to->entry, from->entry, from->entries * sizeof *from->entry) &&
        copy((void **)&to->row, from->row, from->rows * sizeof *from->row) &&
        copy((void **)&to->slot, from->slot, from->slots * sizeof *from->slot))
        return 0;
    return problem_set(p, 503, "out of memory");
}

/* ------------------------------------------------------------------ reading */

#define BEHIND \
    " WHERE e.id>(SELECT watermark FROM projection WHERE name='session') AND e.session>0 ORDER BY e.id"

/* Columns: id, session, dims, ts_ms, and of a dispatch the key. */
static int read_table(struct session_tail *t, struct pool_connection *c, const char *sql, bool message,
                      struct problem *p)
{
    sqlite3_stmt *stmt;
    int result = 0, rc = sql ? pool_prepare(c, sql, &stmt) : SQLITE_NOMEM;

    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc != SQLITE_ROW
                     ? pool_problem(c, rc, p)
                     : session_tail_add(t, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                                        sqlite3_column_int64(stmt, 2), sqlite3_column_int64(stmt, 3),
                                        message ? 0 : sqlite3_column_int64(stmt, 4), message, p);
    sqlite3_reset(stmt);
    return result;
}

int session_tail_read(struct session_tail *t, struct pool_connection *c, const char *key, struct problem *p)
{
    int result = key ? 0 : tail_cache_read(c, t, p);

    if (result != 0)
        return result < 0 ? -1 : 0;
    char *sql =
        sqlite3_mprintf("SELECT e.id,e.session,e.dims,e.ts_ms,iif(e.state&7=0,%s,0) FROM dispatch e" BEHIND,
                        key ? key : SESSION_TAIL_TOKENS);
    result = read_table(t, c, sql, false, p);
    sqlite3_free(sql);
    if (result == 0)
        result = read_table(t, c, "SELECT e.id,e.session,e.dims,e.ts_ms FROM message e" BEHIND, true, p);
    return result;
}

int session_tail_totals(const struct session_tail *t, const struct tail_entry *e, struct pool_connection *c,
                        struct problem *p, struct session_totals *to)
{
    sqlite3_stmt *stmt[2];
    struct session_totals sum = { 0 };
    int rc = pool_prepare(c, "SELECT " SESSION_DISPATCH_COLUMNS " FROM dispatch e WHERE e.id=?", &stmt[0]);

    if (rc == SQLITE_OK)
        rc = pool_prepare(c, "SELECT " SESSION_MESSAGE_COLUMNS " FROM message e WHERE e.id=?", &stmt[1]);
    for (uint32_t i = e->newest; i != SESSION_TAIL_NONE && rc == SQLITE_OK; i = t->row[i].before) {
        bool message = t->row[i].message;
        sqlite3_bind_int64(stmt[message], 1, t->row[i].id);
        rc = sqlite3_step(stmt[message]);
        if (rc == SQLITE_ROW)
            (message ? session_totals_message : session_totals_dispatch)(&sum, stmt[message]);
        rc = sqlite3_reset(stmt[message]);
    }
    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    if (sum.rows_seen) {
        sum.dims = e->dims;
        sum.dispatched = e->dispatched;
    }
    session_totals_add(to, &sum);
    return 0;
}
