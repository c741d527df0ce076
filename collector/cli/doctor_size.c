/* SPDX-License-Identifier: MIT
 *
 * What takes the room in the file. dbstat reads every page of what it measures, so the log, by far
 * the largest, is what remains of the file when the rest has been measured, and a table on which time
 * runs out stays in that rest. Each table is a read transaction of its own: the collector's
 * write-ahead log is not held for long.
 */
#include <string.h>

#include "../base/clock.h"
#include "doctor.h"

#define BUDGET_US  3000000
#define STEPS      1000 /* virtual machine steps between two looks at the clock */
#define NAME_MAX_  64
#define TABLES_MAX 64

enum part { PART_LOG, PART_NAMES, PART_ROLLUPS, PART_SESSIONS, PART_INDEX, PART_OTHER, PART_FREE, PARTS };
static const struct {
    const char *name, *fact;
} parts[PARTS] = {
    [PART_LOG] = { "the log", "log_bytes" },
    [PART_NAMES] = { "names", "names_bytes" },
    [PART_ROLLUPS] = { "rollups", "rollup_bytes" },
    [PART_SESSIONS] = { "session totals", "session_bytes" },
    [PART_INDEX] = { "session index", "session_index_bytes" },
    [PART_OTHER] = { "the rest", "other_bytes" },
    [PART_FREE] = { "free for reuse", "free_bytes" },
};

/* By the beginning of a table's name, the longer ones first. */
static enum part part_of(const char *table)
{
    static const struct {
        const char *begin;
        enum part part;
    } begins[] = {
        { "projection_session_s", PART_INDEX }, /* _slice, _span */
        { "projection_session", PART_SESSIONS },
        { "projection_minute", PART_ROLLUPS },
        { "projection_quarter", PART_ROLLUPS },
        { "projection_day", PART_ROLLUPS },
        { "dispatch", PART_LOG },
        { "message", PART_LOG },
        { "report", PART_LOG },
        { "session", PART_NAMES },
        { "dims", PART_NAMES },
        { "source", PART_NAMES },
    };

    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        if (strncmp(table, begins[i].begin, strlen(begins[i].begin)) == 0)
            return begins[i].part;
    }
    return PART_OTHER;
}

struct tables {
    char name[TABLES_MAX][NAME_MAX_], of[TABLES_MAX][NAME_MAX_]; /* an index counts with its table */
    int n;
};

static void tables_read(sqlite3 *db, struct tables *t)
{
    static const char sql[] =
        "SELECT name, tbl_name FROM sqlite_schema WHERE rootpage > 0 AND name <> 'dispatch'";
    sqlite3_stmt *stmt;

    t->n = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        return;
    for (; t->n < TABLES_MAX && sqlite3_step(stmt) == SQLITE_ROW; t->n++) {
        snprintf(t->name[t->n], NAME_MAX_, "%s", (const char *)sqlite3_column_text(stmt, 0));
        snprintf(t->of[t->n], NAME_MAX_, "%s", (const char *)sqlite3_column_text(stmt, 1));
    }
    sqlite3_finalize(stmt);
}

/* Bytes of one table or index; -1: this SQLite cannot tell, or time is over. */
static int64_t measure(sqlite3 *db, const char *table)
{
    sqlite3_stmt *stmt;
    int64_t bytes = -1;

    if (sqlite3_prepare_v2(db, "SELECT pgsize FROM dbstat WHERE name = ?1 AND aggregate = TRUE", -1, &stmt,
                           NULL) != SQLITE_OK)
        return -1;
    sqlite3_bind_text(stmt, 1, table, -1, SQLITE_STATIC);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        bytes = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return bytes;
}

static int out_of_time(void *arg)
{
    return mono_us() > *(int64_t *)arg;
}

/* Fills bytes; how many tables could not be measured. */
static int parts_measure(sqlite3 *db, int64_t all, int64_t bytes[PARTS])
{
    int64_t deadline = mono_us() + BUDGET_US;
    struct tables t;
    int missed = 0;

    tables_read(db, &t);
    sqlite3_progress_handler(db, STEPS, out_of_time, &deadline);
    for (int i = 0; i < t.n; i++) {
        int64_t n = measure(db, t.name[i]);
        missed += n < 0;
        bytes[part_of(t.of[i])] += n > 0 ? n : 0;
    }
    sqlite3_progress_handler(db, 0, NULL, NULL);
    for (int i = 0; i < PARTS; i++)
        all -= bytes[i];
    bytes[PART_LOG] += all > 0 ? all : 0;
    return missed;
}

static void parts_tell(struct doctor *d, int64_t all, const int64_t bytes[PARTS], int missed)
{
    char text[512] = "", size[CLI_TEXT], share[CLI_TEXT];
    size_t used = 0;

    for (int i = 0; i < PARTS; i++) {
        doctor_fact(d, parts[i].fact, bytes[i]);
        if (bytes[i] <= 0 || used >= sizeof text)
            continue;
        human_bytes(bytes[i], size);
        human_percent(bytes[i], all, share);
        used += (size_t)snprintf(
            text + used, sizeof text - used, "%s%s%s %s (%s)", used ? ", " : "", parts[i].name,
            i == PART_LOG && missed ? " and what was too large to measure" : "", size, share);
    }
    human_bytes(all, size);
    doctor_tell(d, VERDICT_OK, "size", "%s: %s", size, text);
}

/* From afar only what the collector itself tells is known. */
static void totals_tell(struct doctor *d)
{
    double all = exposition_sum(d->metrics, "tollgate_database_bytes");
    double unused = exposition_sum(d->metrics, "tollgate_database_free_bytes");
    char size[CLI_TEXT], rest[CLI_TEXT];

    if (!(all >= 0))
        return;
    human_bytes((int64_t)all, size);
    human_bytes(unused >= 0 ? (int64_t)unused : 0, rest);
    doctor_fact(d, "database_bytes", (int64_t)all);
    doctor_tell(d, VERDICT_OK, "size",
                "%s, %s of it free for reuse (its parts can be seen on the collector's machine only)", size,
                rest);
}

void doctor_size(struct doctor *d, sqlite3 *db)
{
    int64_t bytes[PARTS] = { 0 };

    if (!db) {
        totals_tell(d);
        return;
    }
    int64_t page = doctor_number(db, "PRAGMA page_size", 0);
    int64_t all = page * doctor_number(db, "PRAGMA page_count", 0);
    bytes[PART_FREE] = page * doctor_number(db, "PRAGMA freelist_count", 0);
    doctor_fact(d, "database_bytes", all);
    int missed = parts_measure(db, all, bytes);
    parts_tell(d, all, bytes, missed);
}
