/* SPDX-License-Identifier: MIT */
#include "rebuild.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rebuild_work.h"

#define TICK_ROWS 8192 /* a power of two: how often progress is asked */
#define PART_BITS 20
#define SPILL_KIB 4096
#define MINUTE_S  60

static const char *const projection_name[REBUILD_PROJECTIONS] = { "usage", "session" };

const char *rebuild_name(enum rebuild_projection projection)
{
    return projection_name[projection];
}

int rebuild_code(const char *name)
{
    for (int i = 0; i < REBUILD_PROJECTIONS; i++)
        if (strcmp(projection_name[i], name) == 0)
            return i;
    return -1;
}

/* ------------------------------------------------------------------ sharing */

void rebuild_differ(struct rebuild *r, const char *format, ...)
{
    va_list args;

    if (r->report->differences < REBUILD_DIFFERENCES) {
        va_start(args, format);
        vsnprintf(r->report->difference[r->report->differences], REBUILD_TEXT_MAX, format, args);
        va_end(args);
    }
    r->report->differences++;
}

const char *rebuild_time(int64_t minute, char out[REBUILD_TIME_TEXT])
{
    time_t seconds = (time_t)(minute * MINUTE_S);
    struct tm tm;

    if (gmtime_r(&seconds, &tm) == NULL || strftime(out, REBUILD_TIME_TEXT, "%Y-%m-%d %H:%M UTC", &tm) == 0)
        snprintf(out, REBUILD_TIME_TEXT, "minute %lld", (long long)minute);
    return out;
}

int rebuild_prepare(struct rebuild *r, const char *sql, sqlite3_stmt **out)
{
    return -sqlite3_prepare_v2(r->db, sql, -1, out, NULL);
}

int rebuild_exec(struct rebuild *r, const char *sql)
{
    return -sqlite3_exec(r->db, sql, NULL, NULL, NULL);
}

int rebuild_number(struct rebuild *r, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = rebuild_prepare(r, sql, &stmt);

    if (rc != 0)
        return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(stmt, 0);
    return -sqlite3_finalize(stmt);
}

int rebuild_walk(struct rebuild *r, const char *sql, sqlite3_stmt **out)
{
    int rc = rebuild_prepare(r, sql, out);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(*out, 1, r->first_id);
    sqlite3_bind_int64(*out, 2, r->watermark);
    return 0;
}

int rebuild_row(struct rebuild *r, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -rc;
    if ((++r->report->events & (TICK_ROWS - 1)) == 0 && r->progress != NULL &&
        !r->progress(r->arg, r->done + sqlite3_column_int64(stmt, 0) - r->first_id, r->of))
        return -SQLITE_INTERRUPT;
    return 1;
}

int rebuild_walked(struct rebuild *r, sqlite3_stmt *stmt, int rc)
{
    sqlite3_finalize(stmt);
    r->done += r->watermark - r->first_id + 1;
    return rc;
}

int64_t rebuild_column(sqlite3_stmt *stmt, int at)
{
    int64_t n = sqlite3_column_int64(stmt, at);

    return n != 0 || sqlite3_column_type(stmt, at) != SQLITE_NULL ? n : UNKNOWN;
}

/* ----------------------------------------------------------------- spilling */

int spill_open(struct spill *s, struct rebuild *r)
{
    int rc;

    *s = (struct spill){ .part = 0 };
    if ((rc = rebuild_exec(r, "DROP TABLE IF EXISTS temp.rebuild_piece;"
                              "CREATE TEMP TABLE rebuild_piece(place INTEGER PRIMARY KEY, body BLOB)")) !=
            0 ||
        (rc = rebuild_prepare(r, "INSERT INTO temp.rebuild_piece VALUES(?,?)", &s->put)) != 0)
        return rc;
    return rebuild_prepare(r, "SELECT place, body FROM temp.rebuild_piece ORDER BY place", &s->get);
}

void spill_close(struct spill *s, struct rebuild *r)
{
    sqlite3_finalize(s->put);
    sqlite3_finalize(s->get);
    *s = (struct spill){ .part = 0 };
    rebuild_exec(r, "DROP TABLE IF EXISTS temp.rebuild_piece");
}

int spill_put(struct spill *s, int64_t key, const void *body, size_t len)
{
    if (s->part == 1 << PART_BITS)
        return -SQLITE_FULL;
    sqlite3_bind_int64(s->put, 1, key << PART_BITS | s->part);
    sqlite3_bind_blob64(s->put, 2, body, len, SQLITE_STATIC);
    return store_run(s->put);
}

int spill_next(struct spill *s, int64_t *key, const void **body, size_t *len)
{
    int rc = sqlite3_step(s->get);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -rc;
    *key = sqlite3_column_int64(s->get, 0) >> PART_BITS;
    *body = sqlite3_column_blob(s->get, 1);
    *len = (size_t)sqlite3_column_bytes(s->get, 1);
    return 1;
}

/* ------------------------------------------------------------------ running */

/* What both look at: how far the projection goes, and how far back the log. */
static int look(struct rebuild *r, enum rebuild_projection projection)
{
    static const char *const table[REBUILD_KINDS] = { "dispatch", "message", "report" };
    char sql[160];
    int rc;

    snprintf(sql, sizeof sql, "SELECT watermark FROM projection WHERE name='%s'",
             projection_name[projection]);
    rc = rebuild_number(r, sql, &r->watermark);
    r->first_id = r->watermark;
    for (int kind = 0; rc == 0 && kind < REBUILD_KINDS; kind++) {
        int64_t first = r->first_id;
        snprintf(sql, sizeof sql, "SELECT min(id) FROM %s", table[kind]);
        if ((rc = rebuild_number(r, sql, &first)) != 0)
            break;
        r->first_id = first < r->first_id ? first : r->first_id;
        snprintf(sql, sizeof sql, "SELECT through_id FROM log_dropped WHERE kind='%s'", table[kind]);
        if ((rc = rebuild_number(r, sql, &r->through[kind])) != 0)
            break;
        snprintf(sql, sizeof sql, "SELECT newest_ms FROM log_dropped WHERE kind='%s'", table[kind]);
        rc = rebuild_number(r, sql, &r->newest_ms[kind]);
    }
    r->of = REBUILD_KINDS * (r->watermark - r->first_id + 1);
    r->report->watermark = r->watermark;
    return rc;
}

static int run(struct rebuild *r, enum rebuild_projection projection)
{
    int rc = look(r, projection);

    if (rc != 0)
        return rc;
    if (projection == REBUILD_USAGE)
        return rebuild_usage(r);
    return (rc = rebuild_session(r)) != 0 ? rc : rebuild_index(r);
}

/* The temporary table belongs on the disk; a small cache is enough for it. */
static int use_temporary_file(struct rebuild *r)
{
    char sql[96];

    snprintf(sql, sizeof sql, "PRAGMA temp_store=FILE; PRAGMA temp.cache_size=-%d", SPILL_KIB);
    return rebuild_exec(r, sql);
}

static int transact(struct rebuild *r, enum rebuild_projection projection)
{
    int rc = use_temporary_file(r);

    *r->report = (struct rebuild_report){ .watermark = 0 };
    if (rc != 0 || (rc = rebuild_exec(r, r->writes ? "BEGIN IMMEDIATE" : "BEGIN")) != 0)
        return rc;
    rc = run(r, projection);
    if (rc == 0)
        rc = rebuild_exec(r, "COMMIT");
    if (rc != 0)
        snprintf(r->report->error, sizeof r->report->error, "%s", store_why(r->db, rc));
    if (rc != 0 && !sqlite3_get_autocommit(r->db))
        rebuild_exec(r, "ROLLBACK");
    return rc;
}

int rebuild_check(sqlite3 *db, enum rebuild_projection projection, rebuild_progress progress, void *arg,
                  struct rebuild_report *report)
{
    struct rebuild r = { .db = db, .progress = progress, .arg = arg, .report = report };

    return transact(&r, projection);
}

int rebuild_write(struct store *store, enum rebuild_projection projection, rebuild_progress progress,
                  void *arg, struct rebuild_report *report)
{
    struct rebuild r = {
        .db = store->db, .writes = true, .progress = progress, .arg = arg, .report = report
    };

    return transact(&r, projection);
}
