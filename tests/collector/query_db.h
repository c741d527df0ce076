/* SPDX-License-Identifier: MIT
 *
 * query_db.h: a database of random events for the tests of query and http, filled with plain SQL,
 * and the same events in memory, so that every answer can be counted again by hand.
 */
#ifndef TESTS_QUERY_DB_H
#define TESTS_QUERY_DB_H

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "collector/query/usage.h"
#include "collector/writer/migrations.h"

#define DB_DIMS     14
#define DB_SESSIONS 8
#define DB_ROWS_MAX 4000
#define DB_START    (1795000000000LL) /* not on a minute */
#define DB_SPAN     (3 * 3600 * 1000LL)

struct db_row {
    int64_t id, ts_ms;
    int state, dims, session, partial; /* session 0: none */
    int64_t num[DISPATCH_SUMS];        /* -1: unknown */
};

struct db {
    char dir[64], path[96];
    sqlite3 *db;
    const char *dim[DB_DIMS + 1][FIELD_DIMS_END]; /* NULL: unknown */
    int code[DB_DIMS + 1][FIELD_DIMS_END];        /* of the enumerations */
    const char *session[DB_SESSIONS + 1][3];
    struct db_row row[DB_ROWS_MAX];
    int rows;
    int64_t next_id, watermark;
    uint64_t seed;
};

static inline uint32_t db_random(struct db *d, uint32_t below)
{
    d->seed = d->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(d->seed >> 33) % below;
}

static inline void db_exec(struct db *d, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(d->db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", error, sql);
}

static inline void db_open(struct db *d, uint64_t seed)
{
    memset(d, 0, sizeof *d);
    d->seed = seed;
    d->next_id = 1;
    snprintf(d->dir, sizeof d->dir, "%s/tollgate-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(d->dir));
    snprintf(d->path, sizeof d->path, "%s/events.db", d->dir);
    assert_int_equal(sqlite3_open(d->path, &d->db), SQLITE_OK);
    db_exec(d, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF");
    for (int i = 0; i < migrations_count; i++)
        db_exec(d, migrations[i]);
}

static inline void db_close(struct db *d)
{
    const char *ends[] = { "", "-wal", "-shm" };
    char path[128];

    assert_int_equal(sqlite3_close(d->db), SQLITE_OK);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", d->path, ends[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(d->dir), 0);
}

static inline void db_bind(sqlite3_stmt *s, int at, const char *text)
{
    if (text)
        sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static inline void db_run(struct db *d, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        fail_msg("%s", sqlite3_errmsg(d->db));
    sqlite3_finalize(s);
}

static inline sqlite3_stmt *db_prepare(struct db *d, const char *sql)
{
    sqlite3_stmt *s;

    if (sqlite3_prepare_v2(d->db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sqlite3_errmsg(d->db), sql);
    return s;
}

/* Names, a few of each, some unknown, some that need quoting. */
static inline void db_names(struct db *d)
{
    static const char *const texts[] = { "red", "green", "blue,sky", "q\"uote", NULL };
    static const int codes_max[] = { [FIELD_trigger] = 7, [FIELD_granularity] = 3, [FIELD_status] = 5 };

    db_exec(d, "INSERT INTO source VALUES(1,'gw-1',0),(2,'gw-2',0)");
    for (int i = 1; i <= DB_DIMS; i++) {
        sqlite3_stmt *s =
            db_prepare(d, "INSERT INTO dims(id,key,source,agent_id,user_id,provider,model,requested_model,"
                          "surface,channel,lane,\"trigger\",granularity,status,error_type) "
                          "VALUES(?1,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14)");
        int source = 1 + (int)db_random(d, 2);
        sqlite3_bind_int(s, 1, i);
        sqlite3_bind_int(s, 2, source);
        d->dim[i][FIELD_source] = source == 1 ? "gw-1" : "gw-2";
        for (int f = FIELD_agent_id; f < FIELD_DIMS_END; f++) {
            if (fields[f].code_name) {
                d->code[i][f] = (int)db_random(d, (uint32_t)codes_max[f] + 1);
                if (d->code[i][f])
                    sqlite3_bind_int(s, f + 2, d->code[i][f]);
                d->dim[i][f] =
                    fields[f].code_name(f == FIELD_granularity && !d->code[i][f] ? 1 : d->code[i][f]);
            } else {
                d->dim[i][f] = texts[db_random(d, 5)];
                db_bind(s, f + 2, d->dim[i][f]);
            }
        }
        db_run(d, s);
    }
    for (int i = 1; i <= DB_SESSIONS; i++) {
        static const char *const names[] = { "s-1", "s-2", "s-3", NULL };
        sqlite3_stmt *s = db_prepare(d, "INSERT INTO session VALUES(?1,?1,?2,?3,?4)");
        sqlite3_bind_int(s, 1, i);
        for (int k = 0; k < 3; k++)
            db_bind(s, 2 + k, d->session[i][k] = names[db_random(d, 4)]);
        db_run(d, s);
    }
}

static inline void db_row_insert(struct db *d, const struct db_row *r)
{
    unsigned char id[16] = { 0 };
    sqlite3_stmt *s = db_prepare(
        d, "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,session,event_id,run_id,partial,"
           "prompt_tokens,completion_tokens,total_tokens,cached_tokens,cache_write_tokens,"
           "cache_write_1h_tokens,reasoning_tokens,tool_calls,latency_ms,ttft_ms,cost_reported_nanousd)"
           "VALUES(?,?,5,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");

    memcpy(id, &r->id, sizeof r->id);
    sqlite3_bind_int64(s, 1, r->id);
    sqlite3_bind_int64(s, 2, r->ts_ms);
    sqlite3_bind_int(s, 3, r->state);
    sqlite3_bind_int(s, 4, r->dims);
    if (r->session)
        sqlite3_bind_int(s, 5, r->session);
    sqlite3_bind_blob(s, 6, id, 16, SQLITE_TRANSIENT);
    sqlite3_bind_text(s, 7, r->id % 2 ? "odd" : "even", -1, SQLITE_STATIC);
    if (r->partial)
        sqlite3_bind_int(s, 8, 1);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        if (r->num[i] >= 0)
            sqlite3_bind_int64(s, 9 + i, r->num[i]);
    }
    db_run(d, s);
}

/* n more dispatches, with a message or a report between some of them. */
static inline void db_fill(struct db *d, int n)
{
    static const int states[] = { 0, 0, 0, 0, 0, 8, 1, 2, 9 };
    char sql[256];

    db_exec(d, "BEGIN");
    for (int i = 0; i < n; i++) {
        struct db_row *r = &d->row[d->rows++];
        *r = (struct db_row){ .id = d->next_id++,
                              .ts_ms = DB_START + (int64_t)db_random(d, (uint32_t)DB_SPAN),
                              .state = states[db_random(d, 9)],
                              .dims = 1 + (int)db_random(d, DB_DIMS),
                              .session = (int)db_random(d, DB_SESSIONS + 1),
                              .partial = db_random(d, 5) == 0 };
        for (int k = 0; k < DISPATCH_SUMS; k++)
            r->num[k] = db_random(d, 3) == 0 ? -1 : (int64_t)db_random(d, 1000);
        db_row_insert(d, r);
        if (db_random(d, 10) == 0) {
            snprintf(sql, sizeof sql,
                     "INSERT INTO message(id,ts_ms,received_after_ms,kind,dims,event_id)"
                     "VALUES(%" PRId64 ",%" PRId64 ",0,%u,1,zeroblob(16))",
                     d->next_id++, r->ts_ms, 16 + db_random(d, 5));
            db_exec(d, sql);
        }
        if (db_random(d, 40) == 0) {
            snprintf(sql, sizeof sql,
                     "INSERT INTO report VALUES(%" PRId64 ",%" PRId64 ",0,1,7,zeroblob(16),'{\"pid\":1}')",
                     d->next_id++, r->ts_ms);
            db_exec(d, sql);
        }
    }
    db_exec(d, "COMMIT");
}

#define DB_SUM(name) ",total(" #name "),count(" #name ")"

/* Makes the projection what the writer would have flushed up to this id. */
static inline void db_project(struct db *d, int64_t watermark)
{
    char sql[1536];

    d->watermark = watermark;
    snprintf(sql, sizeof sql,
             "BEGIN; DELETE FROM projection_minute; DELETE FROM projection_minute_range;"
             "INSERT INTO projection_minute SELECT ts_ms/60000,dims,count(*),count(partial)" DISPATCH_SUMMED(
                 DB_SUM) " FROM dispatch WHERE id<=%" PRId64 " AND state&7=0 GROUP BY 1,2;",
             watermark);
    db_exec(d, sql);
    snprintf(sql, sizeof sql,
             "INSERT INTO projection_minute_range SELECT ts_ms/60000,min(id),max(id) FROM"
             "(SELECT id,ts_ms FROM dispatch UNION ALL SELECT id,ts_ms FROM message UNION ALL SELECT "
             "id,ts_ms FROM report)"
             " WHERE id<=%" PRId64 " GROUP BY 1; UPDATE projection SET watermark=%" PRId64 "; COMMIT",
             watermark, watermark);
    db_exec(d, sql);
}

/* A field of a row, as it is shown; NULL: unknown. */
static inline const char *db_name(const struct db *d, const struct db_row *r, int field)
{
    const char *const *s = d->session[r->session];

    if (field < FIELD_DIMS_END)
        return d->dim[r->dims][field];
    if (field == FIELD_root_session_id)
        return s[2] ? s[2] : s[1] ? s[1] : s[0];
    return s[field - FIELD_session_id];
}

#endif
