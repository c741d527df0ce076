/* SPDX-License-Identifier: MIT
 *
 * bare_sqlite.c: the limit that ingest is measured against: one prepared insert into the columns
 * of the dispatch table, without secondary indexes, views or anything derived, with the values that
 * tests/tools/load.c publishes, in transactions of 1,000 rows.
 *
 *     bare_sqlite FILE ROWS [SYNCHRONOUS]     prints rows a second
 *
 * Each thousand's values are made before the clock runs: only binding, inserting and committing is
 * timed. Database settings are the collector's: WAL, pages of 8 KiB, checkpoints every 4,000 pages.
 */
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../schema/event_id.h"
#include "../tools/values.h"

#define BATCH    1000
#define ROWS_MAX 100000000

static const char create[] =
    "PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=4000; PRAGMA "
    "cache_size=-16384;"
    "CREATE TABLE dispatch (id INTEGER PRIMARY KEY, ts_ms INTEGER NOT NULL, received_after_ms INTEGER NOT "
    "NULL,"
    "state INTEGER NOT NULL, dims INTEGER NOT NULL, session INTEGER, event_id BLOB NOT NULL, run_id TEXT,"
    "call_id TEXT, response_id TEXT, trace_id TEXT, span_id TEXT, reservation_id TEXT, tool_used TEXT,"
    "attempt INTEGER, prompt_tokens INTEGER, completion_tokens INTEGER, total_tokens INTEGER,"
    "cached_tokens INTEGER, cache_write_tokens INTEGER, cache_write_1h_tokens INTEGER,"
    "reasoning_tokens INTEGER, tool_calls INTEGER, latency_ms INTEGER, ttft_ms INTEGER, http_status INTEGER,"
    "partial INTEGER, cost_reported_nanousd INTEGER)";
static const char insert[] =
    "INSERT INTO dispatch VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19,?20,"
    "?21,?22,?23,?24,?25,?26,?27,?28)";

struct row {
    struct tg_dispatch d;
    struct values_text text;
    unsigned char id[TG_EVENT_ID_BYTES];
    int64_t dims, session;
};

static void die(sqlite3 *db, const char *what)
{
    fprintf(stderr, "bare_sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void make_rows(const struct values_shape *shape, uint64_t first, struct row *rows)
{
    for (uint64_t i = 0; i < BATCH; i++) {
        struct row *r = &rows[i];
        values_make(shape, 0, first + i, &r->text, &r->d);
        const char *name = r->d.response_id != NULL ? r->d.response_id : r->d.span_id;
        tg_event_id_hash(r->d.response_id != NULL ? 'r' : 's', r->d.session_id, strlen(r->d.session_id), name,
                         strlen(name), r->id);
        r->d.ts_ms = now_ns(CLOCK_REALTIME) / 1000000;
        r->dims = 1 + values_agent(shape, 0, first + i) * VALUES_MODELS + values_model(shape, 0, first + i);
        r->session = 1 + (int64_t)strtoul(r->d.session_id + 8, NULL, 10);
    }
}

static void bind_num(sqlite3_stmt *s, int at, int64_t n)
{
    if (n >= 0)
        sqlite3_bind_int64(s, at, n);
    else
        sqlite3_bind_null(s, at);
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static void bind_row(sqlite3_stmt *s, const struct row *r)
{
    const struct tg_dispatch *d = &r->d;
    const int64_t numbers[] = { d->attempt,
                                d->usage.prompt_tokens,
                                d->usage.completion_tokens,
                                d->usage.total_tokens,
                                d->usage.cached_tokens,
                                d->usage.cache_write_tokens,
                                d->usage.cache_write_1h_tokens,
                                d->usage.reasoning_tokens,
                                d->tool_calls,
                                d->latency_ms,
                                d->ttft_ms,
                                d->http_status,
                                d->partial,
                                d->cost_reported_nanousd };
    const char *const texts[] = { d->run_id,  d->call_id,        d->response_id, d->trace_id,
                                  d->span_id, d->reservation_id, d->tool_used };

    bind_num(s, 2, d->ts_ms);
    bind_num(s, 3, 0);
    bind_num(s, 4, 0);
    bind_num(s, 5, r->dims);
    bind_num(s, 6, r->session);
    sqlite3_bind_blob(s, 7, r->id, TG_EVENT_ID_BYTES, SQLITE_STATIC);
    for (int i = 0; i < 7; i++)
        bind_text(s, 8 + i, texts[i]);
    for (int i = 0; i < 14; i++)
        bind_num(s, 15 + i, numbers[i]);
}

static void insert_batch(sqlite3 *db, sqlite3_stmt *stmt, const struct row *rows, int64_t first_id)
{
    if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        die(db, "begin");
    for (int i = 0; i < BATCH; i++) {
        sqlite3_bind_int64(stmt, 1, first_id + i);
        bind_row(stmt, &rows[i]);
        if (sqlite3_step(stmt) != SQLITE_DONE)
            die(db, "insert");
        sqlite3_reset(stmt);
    }
    if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        die(db, "commit");
}

int main(int argc, char **argv)
{
    static struct row rows[BATCH];
    const struct values_shape shape = { .seed = 1, .agents = 8, .sessions = 200, .run = "bare" };
    const long count = argc >= 3 ? strtol(argv[2], NULL, 10) / BATCH * BATCH : 0;
    char pragma[64];
    sqlite3 *db;
    sqlite3_stmt *stmt;
    int64_t spent = 0;

    if (count < BATCH || count > ROWS_MAX) {
        fputs("usage: bare_sqlite FILE ROWS [SYNCHRONOUS]\n", stderr);
        return 2;
    }
    if (sqlite3_open(argv[1], &db) != SQLITE_OK || sqlite3_exec(db, create, NULL, NULL, NULL) != SQLITE_OK)
        die(db, argv[1]);
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%.16s", argc > 3 ? argv[3] : "FULL");
    if (sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, insert, -1, &stmt, NULL) != SQLITE_OK)
        die(db, "prepare");
    for (long at = 0; at < count; at += BATCH) {
        make_rows(&shape, (uint64_t)at, rows);
        const int64_t begun = now_ns(CLOCK_MONOTONIC);
        insert_batch(db, stmt, rows, at + 1);
        spent += now_ns(CLOCK_MONOTONIC) - begun;
    }
    printf("%.0f\n", (double)count * 1e9 / (double)spent);
    sqlite3_finalize(stmt);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
