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

#include "collector/base/leb128.h"
#include "collector/base/session_name.h"
#include "collector/base/sketch.h"
#include "collector/base/slab.h"
#include "collector/base/stored.h"
#include "collector/base/zone.h"
#include "collector/query/usage.h"
#include "collector/writer/migrations.h"

#define DB_DIMS     14 /* that events have; the last two are summed under the row of another one */
#define DB_OTHERS   2
#define DB_TAGS     2
#define DB_SESSIONS 8
#define DB_ROWS_MAX 4000
#define DB_START    (1795000000000LL) /* not on a minute */
#define DB_SPAN     (55 * 3600 * 1000LL)

struct db_row {
    int64_t id, ts_ms;
    int state, dims, session, partial; /* session 0: none */
    int64_t num[DISPATCH_SUMS];        /* -1: unknown */
};

struct db {
    char dir[64], path[96];
    sqlite3 *db;
    const char *dim[DB_DIMS + DB_OTHERS + 1][FIELD_DIMS_END]; /* NULL: unknown */
    const char *tag[DB_DIMS + DB_OTHERS + 1][DB_TAGS];
    int code[DB_DIMS + DB_OTHERS + 1][FIELD_DIMS_END]; /* of the enumerations */
    int rollup[DB_DIMS + DB_OTHERS + 1];
    const char *session[DB_SESSIONS + 1][3];
    int root[DB_SESSIONS + 1];
    struct db_row row[DB_ROWS_MAX];
    int rows;
    int64_t next_id, watermark, folded;
    struct zone *zone; /* of the days */
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
    static const char *const zones[] = { "UTC", "Asia/Kathmandu", "America/New_York" };

    memset(d, 0, sizeof *d);
    d->seed = seed;
    d->zone = zone_open(zones[seed % 3]);
    assert_non_null(d->zone);
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

    zone_close(d->zone);
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

static const char *const db_tags[DB_TAGS] = { "team", "it's" };

/* The row of a combination whose names are in d. */
static inline void db_dims_insert(struct db *d, int i, int source, const char *tags)
{
    sqlite3_stmt *s = db_prepare(d, "INSERT INTO dims VALUES(?1,?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,"
                                    "?13,?14,?15,?16)");

    sqlite3_bind_int(s, 1, i);
    sqlite3_bind_int(s, 2, d->rollup[i]);
    sqlite3_bind_int(s, 3, source);
    for (int f = FIELD_agent_id; f < FIELD_DIMS_END; f++) {
        if (!fields[f].code_name)
            db_bind(s, f + 3, d->dim[i][f]);
        else if (d->code[i][f])
            sqlite3_bind_int(s, f + 3, d->code[i][f]);
    }
    db_bind(s, 16, tags);
    db_run(d, s);
}

/* A combination of few names, some of them unknown, some that need quoting. */
static inline void db_dims_make(struct db *d, int i)
{
    static const char *const texts[] = { "red", "green", "blue,sky", "q\"uote", NULL };
    static const int codes_max[] = { [FIELD_trigger] = 7, [FIELD_granularity] = 3, [FIELD_status] = 5 };
    int source = 1 + (int)db_random(d, 2), tags = (int)db_random(d, 4);
    char json[64] = "";

    d->rollup[i] = i;
    d->dim[i][FIELD_source] = source == 1 ? "gw-1" : "gw-2";
    for (int f = FIELD_agent_id; f < FIELD_DIMS_END; f++) {
        if (fields[f].code_name) {
            d->code[i][f] = (int)db_random(d, (uint32_t)codes_max[f] + 1);
            d->dim[i][f] = fields[f].code_name(f == FIELD_granularity && !d->code[i][f] ? 1 : d->code[i][f]);
        } else {
            d->dim[i][f] = texts[db_random(d, 5)];
        }
    }
    for (int k = 0; k < DB_TAGS; k++) {
        if (!(tags >> k & 1))
            continue;
        d->tag[i][k] = db_random(d, 2) ? "x*" : "y";
        snprintf(json + strlen(json), sizeof json - strlen(json), "%c\"%s\":\"%s\"", json[0] ? ',' : '{',
                 db_tags[k], d->tag[i][k]);
    }
    strcat(json, json[0] ? "}" : "");
    db_dims_insert(d, i, source, json[0] ? json : NULL);
}

/* What stands for combination i: with some of its names, or with none. */
static inline void db_dims_other(struct db *d, int i, int other, bool all)
{
    char sql[128];

    memcpy(d->dim[other], d->dim[i], sizeof d->dim[i]);
    memcpy(d->code[other], d->code[i], sizeof d->code[i]);
    for (int f = 0; f < FIELD_DIMS_END; f++) {
        bool many =
            f == FIELD_user_id || f == FIELD_channel || f == FIELD_error_type || f == FIELD_requested_model;
        if (!fields[f].code_name && (all || (many && d->dim[i][f])))
            d->dim[other][f] = "(other)";
    }
    for (int k = 0; k < DB_TAGS; k++)
        d->tag[other][k] = all || d->tag[i][0] || d->tag[i][1] ? "(other)" : NULL;
    d->rollup[other] = other;
    d->rollup[i] = other;
    db_dims_insert(d, other,
                   strcmp(d->dim[other][FIELD_source], "(other)") == 0 ? 3
                   : d->dim[other][FIELD_source][3] == '1'             ? 1
                                                                       : 2,
                   d->tag[other][0]);
    snprintf(sql, sizeof sql, "UPDATE dims SET rollup=%d WHERE id=%d", other, i);
    db_exec(d, sql);
}

/* The first three are what the others may have above them. */
static inline void db_session_make(struct db *d, int i)
{
    static const char *const names[] = { NULL, "s-1", "s-2", "s-3" };
    sqlite3_stmt *s = db_prepare(d, "INSERT INTO session VALUES(?1,?1,?2,?3,?4,?5,?6)");
    uint32_t root = i > 3 ? db_random(d, 4) : 0;

    d->root[i] = root ? (int)root : i;
    d->session[i][0] = i > 3 ? names[db_random(d, 4)] : names[i];
    d->session[i][1] = i > 3 ? names[db_random(d, 4)] : NULL;
    d->session[i][2] = names[root];
    for (int k = 0; k < 3; k++)
        db_bind(s, 4 + k, d->session[i][k]);
    const char *name = d->session[i][0];
    sqlite3_bind_int(s, 1, i);
    sqlite3_bind_int64(
        s, 2, session_name((struct slice){ (const uint8_t *)name, name ? (uint32_t)strlen(name) : 0 }));
    sqlite3_bind_int(s, 3, d->root[i]);
    db_run(d, s);
}

static inline void db_names(struct db *d)
{
    db_exec(d, "INSERT INTO source VALUES(1,'gw-1',0),(2,'gw-2',0),(3,'(other)',0)");
    for (int i = 1; i <= DB_DIMS; i++)
        db_dims_make(d, i);
    for (int i = 0; i < DB_OTHERS; i++)
        db_dims_other(d, DB_DIMS - i, DB_DIMS + 1 + i, i > 0);
    for (int i = 1; i <= DB_SESSIONS; i++)
        db_session_make(d, i);
}

static inline void db_row_insert(struct db *d, const struct db_row *r)
{
    unsigned char id[16] = { 0 };
    sqlite3_stmt *s = db_prepare(
        d, "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,session,event_id,run_id,partial,"
           "prompt_tokens,completion_tokens,total_tokens,cached_tokens,cache_write_tokens,"
           "cache_write_1h_tokens,reasoning_tokens,tool_calls,latency_ms,ttft_ms,cost_reported_nanousd,"
           "cost_nanousd)VALUES(?,?,5,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");

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
    stored_bind_total_tokens(s, 9 + SUM_total_tokens, r->num[SUM_total_tokens], r->num[SUM_prompt_tokens],
                             r->num[SUM_completion_tokens]);
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
            r->num[k] = db_random(d, 3) == 0 ? -1 : (int64_t)db_random(d, db_random(d, 20) ? 1000 : 5000000);
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

/* ------------------------------------------------------------- projections */

/* An event that is in a slab. */
struct db_post {
    int64_t start_minute;
    const struct db_row *row;
    int dims;
};

static inline int db_post_order(const void *a, const void *b)
{
    const struct db_post *x = a, *y = b;

    if (x->start_minute != y->start_minute)
        return x->start_minute < y->start_minute ? -1 : 1;
    return x->dims - y->dims;
}

static inline void db_slab_insert(struct db *d, const char *table, const struct db_post *post, int posts)
{
    static struct slab_cell cell[DB_DIMS + DB_OTHERS + 1];
    static struct slab_point point[SLAB_SKETCHES][DB_ROWS_MAX];
    static uint32_t counts[SLAB_SKETCHES][DB_DIMS + DB_OTHERS + 1][SKETCH_BUCKETS];
    static const int timed[SLAB_SKETCHES] = { SUM_latency_ms, SUM_ttft_ms };
    struct slab s = { .cell = cell, .point = { point[0], point[1] } };
    struct slab_bytes bytes = { 0 };
    char sql[128];

    memset(counts, 0, sizeof counts);
    for (int i = 0; i < posts; i++) {
        const struct db_row *r = post[i].row;
        if (i == 0 || post[i].dims != post[i - 1].dims)
            cell[s.cells++] = (struct slab_cell){ .dims = (uint32_t)post[i].dims };
        struct slab_cell *c = &cell[s.cells - 1];
        c->calls++;
        c->partial += r->partial;
        for (int k = 0; k < DISPATCH_SUMS; k++) {
            c->known[k] += r->num[k] >= 0;
            c->sum[k] = (int64_t)((uint64_t)c->sum[k] + (uint64_t)(r->num[k] >= 0 ? r->num[k] : 0));
        }
        for (int k = 0; k < SLAB_SKETCHES; k++)
            if (r->num[timed[k]] >= 0)
                counts[k][s.cells - 1][sketch_bucket(r->num[timed[k]])]++;
    }
    for (int k = 0; k < SLAB_SKETCHES; k++)
        for (uint32_t i = 0; i < s.cells; i++)
            for (uint16_t b = 0; b < SKETCH_BUCKETS; b++)
                if (counts[k][i][b] > 0)
                    point[k][s.points[k]++] = (struct slab_point){ i, b, counts[k][i][b] };
    assert_int_equal(slab_pack(&s, &bytes), 0);
    snprintf(sql, sizeof sql, "UPDATE %s SET cells=?,body=? WHERE start_minute=?", table);
    sqlite3_stmt *stmt = db_prepare(d, sql);
    sqlite3_bind_int(stmt, 1, (int)s.cells);
    sqlite3_bind_blob(stmt, 2, bytes.at, (int)bytes.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, post[0].start_minute);
    db_run(d, stmt);
    slab_bytes_fini(&bytes);
}

static inline int64_t db_unit_start(const struct db *d, int level, int64_t ts_ms)
{
    if (level == 2)
        return zone_floor(d->zone, ZONE_DAY, ts_ms) / 60000;
    return level == 1 ? ts_ms / 900000 * 15 : ts_ms / 60000;
}

/* The rows of a level: first those of all kinds of events, then the slabs of those that count. */
static inline void db_level_project(struct db *d, int level, const char *table, int64_t before_minute)
{
    static struct db_post post[DB_ROWS_MAX];
    struct slab_bytes empty = { 0 };
    char sql[256];
    int posts = 0;

    assert_int_equal(slab_pack(&(struct slab){ 0 }, &empty), 0);
    snprintf(sql, sizeof sql,
             "INSERT INTO %s(start_minute, first_id, last_id, cells, body) VALUES(?1,?2,?2,0,?3) ON CONFLICT "
             "DO UPDATE SET"
             " first_id=min(first_id,?2),last_id=max(last_id,?2),revision=random()",
             table);
    sqlite3_stmt *insert = db_prepare(d, sql);
    sqlite3_stmt *all = db_prepare(d, "SELECT id,ts_ms FROM dispatch UNION ALL SELECT id,ts_ms FROM message"
                                      " UNION ALL SELECT id,ts_ms FROM report");
    while (sqlite3_step(all) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(all, 0), ts_ms = sqlite3_column_int64(all, 1);
        if (id > d->watermark || ts_ms / 60000 >= before_minute)
            continue;
        sqlite3_bind_int64(insert, 1, db_unit_start(d, level, ts_ms));
        sqlite3_bind_int64(insert, 2, id);
        sqlite3_bind_blob(insert, 3, empty.at, (int)empty.len, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
        sqlite3_reset(insert);
    }
    sqlite3_finalize(all);
    sqlite3_finalize(insert);
    slab_bytes_fini(&empty);
    for (int i = 0; i < d->rows; i++) {
        const struct db_row *r = &d->row[i];
        if (r->id <= d->watermark && (r->state & 7) == 0 && r->ts_ms / 60000 < before_minute)
            post[posts++] = (struct db_post){ db_unit_start(d, level, r->ts_ms), r, d->rollup[r->dims] };
    }
    qsort(post, (size_t)posts, sizeof *post, db_post_order);
    for (int i = 0, n; i < posts; i += n) {
        for (n = 1; i + n < posts && post[i + n].start_minute == post[i].start_minute;)
            n++;
        db_slab_insert(d, table, post + i, n);
    }
}

#define DB_TOTAL_OF(sql)                                              \
    ",CAST(total(CASE WHEN e.state&7=0 THEN " sql " END) AS INTEGER)" \
    ",count(CASE WHEN e.state&7=0 THEN " sql " END)"
#define DB_TOTAL(name) DB_TOTAL_OF("e." #name)

/* One span of the session index: the ids from first to last. */
static inline void db_span_insert(struct db *d, int64_t first, int64_t last)
{
    sqlite3_stmt *find =
        db_prepare(d, "SELECT id FROM dispatch WHERE session=? AND id BETWEEN ? AND ? ORDER BY id");
    char sql[128];

    snprintf(sql, sizeof sql, "INSERT INTO projection_session_span VALUES(%" PRId64 ",%" PRId64 ",0)", first,
             last);
    db_exec(d, sql);
    for (int session = 1; session <= DB_SESSIONS; session++) {
        static uint8_t ids[DB_ROWS_MAX * 3];
        uint8_t *to = ids;
        int64_t before = first;
        sqlite3_bind_int(find, 1, session);
        sqlite3_bind_int64(find, 2, first);
        sqlite3_bind_int64(find, 3, last);
        for (; sqlite3_step(find) == SQLITE_ROW; before = sqlite3_column_int64(find, 0))
            to = leb128_put(to, (uint64_t)(sqlite3_column_int64(find, 0) - before));
        sqlite3_reset(find);
        if (to == ids)
            continue;
        sqlite3_stmt *slice = db_prepare(d, "INSERT INTO projection_session_slice VALUES(?,?,?)");
        sqlite3_bind_int64(slice, 1, first);
        sqlite3_bind_int(slice, 2, session);
        sqlite3_bind_blob(slice, 3, ids, (int)(to - ids), SQLITE_STATIC);
        db_run(d, slice);
    }
    sqlite3_finalize(find);
}

/* Makes the sessions' totals and index what the writer would have flushed up to this id. */
static inline void db_project_sessions(struct db *d, int64_t watermark)
{
    char sql[256];

    db_exec(d, "DELETE FROM projection_session; DELETE FROM projection_session_span;"
               "DELETE FROM projection_session_slice");
    sqlite3_stmt *s = db_prepare(
        d, "INSERT INTO projection_session SELECT e.session,max(e.dims),min(e.ts_ms),max(e.ts_ms),min(e.id),"
           "max(e.id),0,total(e.state&7=0),total(e.state&7=0 AND ifnull(d.status,0) IN (2,3)),"
           "total(e.state&7=0 AND e.partial),0" DISPATCH_SUMMED_BUT_TOTAL(
               DB_TOTAL, DB_TOTAL_OF(STORED_TOTAL_TOKENS)) " FROM dispatch e JOIN dims d ON d.id=e.dims "
                                                           "WHERE e.id<=? AND e.session>0 GROUP BY 1");
    sqlite3_bind_int64(s, 1, watermark);
    db_run(d, s);
    for (int64_t first = 1; first <= watermark;) {
        int64_t last = first + 50 + (int64_t)db_random(d, 500);
        last = last < watermark ? last : watermark;
        db_span_insert(d, first, last);
        first = last + 1;
    }
    snprintf(sql, sizeof sql, "UPDATE projection SET watermark=%" PRId64 " WHERE name='session'", watermark);
    db_exec(d, sql);
}

/* Makes the rollups what the writer would have flushed up to this id, folded up to this minute. */
static inline void db_project_folded(struct db *d, int64_t watermark, int64_t folded_minute)
{
    char sql[256];

    d->watermark = watermark;
    d->folded = folded_minute;
    db_exec(d, "BEGIN; DELETE FROM projection_minute; DELETE FROM projection_quarter;"
               "DELETE FROM projection_day");
    db_level_project(d, 0, "projection_minute", INT64_MAX);
    db_level_project(d, 1, "projection_quarter", folded_minute);
    db_level_project(d, 2, "projection_day", folded_minute);
    db_project_sessions(d, db_random(d, 2) ? watermark : (int64_t)db_random(d, (uint32_t)d->next_id));
    snprintf(sql, sizeof sql,
             "UPDATE projection SET watermark=%" PRId64 " WHERE name='usage';"
             "REPLACE INTO projection_setting VALUES('folded_minute',%" PRId64 "),('reporting_zone','%s');"
             "COMMIT",
             watermark, folded_minute, zone_name(d->zone));
    db_exec(d, sql);
}

/* The same, folded up to a random minute. */
static inline void db_project(struct db *d, int64_t watermark)
{
    db_project_folded(d, watermark, DB_START / 60000 + db_random(d, (uint32_t)(DB_SPAN / 60000) + 100));
}

/* Drops what retention would have dropped: minutes and quarters before a time (a late event has made some
 * of them anew, which tell of nothing else), and the log's dispatches up to an id. */
static inline void db_drop(struct db *d, int64_t minute_before, int64_t quarter_before, int64_t day_before,
                           int64_t through_id)
{
    char sql[1024];

    snprintf(
        sql, sizeof sql,
        "BEGIN; DELETE FROM projection_minute WHERE start_minute<%" PRId64 " AND start_minute%%7>0;"
        "DELETE FROM projection_quarter WHERE start_minute<%" PRId64 " AND start_minute%%7>0;"
        "DELETE FROM projection_day WHERE start_minute<%" PRId64 ";"
        "REPLACE INTO projection_setting VALUES('minute_dropped_before',%" PRId64
        "),('quarter_dropped_before',%" PRId64 "),('day_dropped_before',%" PRId64 ");"
        "UPDATE log_dropped SET through_id=%" PRId64 ",newest_ms=(SELECT ifnull(max(ts_ms),0) FROM dispatch"
        " WHERE id<=%" PRId64 ") WHERE kind='dispatch'; DELETE FROM dispatch WHERE id<=%" PRId64 "; COMMIT",
        minute_before, quarter_before, day_before, minute_before, quarter_before, day_before, through_id,
        through_id, through_id);
    db_exec(d, sql);
}

/* A field of a row, as the log has it; NULL: unknown. */
static inline const char *db_name(const struct db *d, const struct db_row *r, int field)
{
    const char *const *s = d->session[r->session];

    if (field < FIELD_DIMS_END)
        return d->dim[r->dims][field];
    if (field == FIELD_root_session_id) {
        const char *root = r->session ? d->session[d->root[r->session]][0] : NULL;
        return root ? root : s[2] ? s[2] : s[0];
    }
    return s[field - FIELD_session_id];
}

/* The same, as sums are kept. */
static inline const char *db_sum_name(const struct db *d, const struct db_row *r, int field)
{
    return field < FIELD_DIMS_END ? d->dim[d->rollup[r->dims]][field] : db_name(d, r, field);
}

#endif
