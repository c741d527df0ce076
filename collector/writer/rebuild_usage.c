/* SPDX-License-Identifier: MIT
 *
 * rebuild_usage.c. The log is read once, table by table, and counted by minute. Then the minutes come
 * back in order; those that have been folded make the quarters, and the quarters the days.
 */
#include <stdio.h>
#include <string.h>

#include "../base/stored.h"
#include "../base/zone.h"
#include "rebuild_slab.h"

#define MINUTE_MS   60000
#define QUARTER_MIN 15
#define WHAT_MAX    64

enum { MINUTE, QUARTER, DAY, LEVELS };

static const char *const level_name[LEVELS] = { "minute", "quarter", "day" };

/* The rows of one level. What is gathered of a quarter or a day that is not complete is in sum. */
struct level {
    int64_t *taken;     /* in the report */
    int64_t lower;      /* rows that begin earlier are left alone */
    sqlite3_stmt *stmt; /* owned; comparing: the stored rows in order; else the INSERT */
    bool has_row;       /* comparing: stmt stands at one */
    bool is_open;
    int64_t start;
    struct counts sum;
};

struct usage {
    struct rebuild *r;
    struct counter counter;
    struct level level[LEVELS];
    struct counts minute;
    struct slab_bytes body;
    struct zone *zone;      /* owned */
    int64_t lower, folded;  /* lower: the log is whole from this minute on */
    sqlite3_stmt *day_rows; /* owned; comparing: one day's rows; else the INSERT */
    int64_t day_rows_met;
};

/* ------------------------------------------------------------------ counting */

static const uint8_t num_of_sum[DISPATCH_SUMS] = {
#define X(name) D_##name,
    DISPATCH_SUMMED(X)
#undef X
};

enum { AT_TS = 1, AT_STATE, AT_DIMS, AT_PARTIAL, AT_SUMS };

static int count_dispatch(struct usage *u, sqlite3_stmt *row, int64_t start)
{
    bool counts = (sqlite3_column_int(row, AT_STATE) & 7) == STATE_COUNTS;
    struct slab_cell *cell;
    int rc = counter_cell(&u->counter, start, counts ? sqlite3_column_int64(row, AT_DIMS) : 0,
                          sqlite3_column_int64(row, 0), &cell);

    if (rc != 0 || !counts)
        return rc;
    cell->calls++;
    cell->partial += sqlite3_column_int(row, AT_PARTIAL) == 1;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        int64_t n = rebuild_column(row, AT_SUMS + i);
        if (n < 0)
            continue;
        cell->sum[i] += n;
        cell->known[i]++;
        if (num_of_sum[i] == D_latency_ms)
            counter_value(&u->counter, cell, start, SLAB_LATENCY, n);
        else if (num_of_sum[i] == D_ttft_ms)
            counter_value(&u->counter, cell, start, SLAB_TTFT, n);
    }
    return 0;
}

/* An event that is only somewhere. */
static int count_place(struct usage *u, sqlite3_stmt *row, int64_t start)
{
    struct slab_cell *cell;

    return counter_cell(&u->counter, start, 0, sqlite3_column_int64(row, 0), &cell);
}

static int count_table(struct usage *u, const char *sql,
                       int (*count)(struct usage *, sqlite3_stmt *, int64_t))
{
    sqlite3_stmt *stmt = NULL;
    int rc = rebuild_walk(u->r, sql, &stmt);

    while (rc == 0 && (rc = rebuild_row(u->r, stmt)) == 1) {
        int64_t start = sqlite3_column_int64(stmt, AT_TS) / MINUTE_MS;
        rc = start >= u->lower ? count(u, stmt, start) : 0;
    }
    return rebuild_walked(u->r, stmt, rc);
}

static int count_log(struct usage *u)
{
    static const char dispatch[] =
        "SELECT e.id, e.ts_ms, e.state, ifnull(d.rollup, e.dims), e.partial" STORED_SUMS
        " FROM dispatch e LEFT JOIN dims d ON d.id = e.dims WHERE e.id BETWEEN ?1 AND ?2";
    int rc;

    if ((rc = count_table(u, dispatch, count_dispatch)) != 0 ||
        (rc = count_table(u, "SELECT id, ts_ms FROM message WHERE id BETWEEN ?1 AND ?2", count_place)) != 0 ||
        (rc = count_table(u, "SELECT id, ts_ms FROM report WHERE id BETWEEN ?1 AND ?2", count_place)) != 0)
        return rc;
    return counter_done(&u->counter);
}

/* ----------------------------------------------------------------- comparing */

static int64_t calls_of(const struct counts *c)
{
    int64_t calls = 0;

    for (size_t i = 0; i < c->cells; i++)
        calls += c->cell[i].cell.calls;
    return calls;
}

static int next_stored(struct level *l)
{
    int rc = sqlite3_step(l->stmt);

    l->has_row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static void name_time(char out[WHAT_MAX], int level, int64_t start)
{
    char time[REBUILD_TIME_TEXT];

    snprintf(out, WHAT_MAX, "%s %s", level_name[level], rebuild_time(start, time));
}

/* Whether the log has every event of a time, of all kinds. */
static bool is_whole(const struct usage *u, int64_t start)
{
    bool whole = true;

    for (int kind = 0; kind < REBUILD_KINDS; kind++)
        whole = whole && (u->r->through[kind] == 0 || start * MINUTE_MS > u->r->newest_ms[kind]);
    return whole;
}

/* Where messages or reports have been dropped, the stored range may be wider than what is left. */
static void compare_range(struct usage *u, int level, int64_t start, const struct counts *c)
{
    sqlite3_stmt *row = u->level[level].stmt;
    int64_t first, last, have_first = sqlite3_column_int64(row, 1), have_last = sqlite3_column_int64(row, 2);
    char what[WHAT_MAX];

    counts_range(c, &first, &last);
    if (is_whole(u, start) ? have_first == first && have_last == last
                           : have_first <= first && have_last >= last)
        return;
    name_time(what, level, start);
    rebuild_differ(u->r, "%s: its events are %lld to %lld, in the log %lld to %lld", what,
                   (long long)have_first, (long long)have_last, (long long)first, (long long)last);
}

/* A stored row of a time in which the log has nothing: perhaps only messages, which have been dropped. */
static void tell_extra(struct usage *u, int level)
{
    sqlite3_stmt *row = u->level[level].stmt;
    int64_t start = sqlite3_column_int64(row, 0), cells = sqlite3_column_int64(row, 3);
    char what[WHAT_MAX];

    if (cells == 0 && !is_whole(u, start))
        return;
    name_time(what, level, start);
    rebuild_differ(u->r, "%s: %lld combinations, the log has nothing there", what, (long long)cells);
}

/* Goes to the stored row of a time, past those before it. 1: there is one. */
static int find_stored(struct usage *u, int level, int64_t start)
{
    struct level *l = &u->level[level];
    int rc;

    while (l->has_row && sqlite3_column_int64(l->stmt, 0) < start) {
        tell_extra(u, level);
        if ((rc = next_stored(l)) != 0)
            return rc;
    }
    return l->has_row && sqlite3_column_int64(l->stmt, 0) == start;
}

static int compare_time(struct usage *u, int level, int64_t start, const struct counts *c)
{
    sqlite3_stmt *row = u->level[level].stmt;
    char what[WHAT_MAX];
    int rc = find_stored(u, level, start);

    name_time(what, level, start);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        rebuild_differ(u->r, "%s: missing, the log has %lld calls", what, (long long)calls_of(c));
        return 0;
    }
    compare_range(u, level, start, c);
    if ((rc = slab_compare(u->r, what, sqlite3_column_blob(row, 4), (size_t)sqlite3_column_bytes(row, 4),
                           c)) != 0)
        return rc;
    return next_stored(&u->level[level]);
}

/* ------------------------------------------------------------------ day rows */

enum { ROW_DATE = 1, ROW_DIMS, ROW_CALLS, ROW_PARTIAL, ROW_SUMS };

static bool is_same_row(sqlite3_stmt *row, const char *date, const struct slab_cell *cell)
{
    const char *have = (const char *)sqlite3_column_text(row, ROW_DATE);
    bool same = have != NULL && strcmp(have, date) == 0 &&
                sqlite3_column_int64(row, ROW_CALLS) == cell->calls &&
                sqlite3_column_int64(row, ROW_PARTIAL) == cell->partial;

    for (int i = 0; same && i < DISPATCH_SUMS; i++)
        same = sqlite3_column_int64(row, ROW_SUMS + 2 * i) == cell->sum[i] &&
               sqlite3_column_int64(row, ROW_SUMS + 2 * i + 1) == cell->known[i];
    return same;
}

static int compare_day_row(struct usage *u, const char *date, int64_t start, const struct slab_cell *cell)
{
    sqlite3_bind_int64(u->day_rows, 1, start);
    sqlite3_bind_int64(u->day_rows, 2, cell->dims);
    int rc = sqlite3_step(u->day_rows);
    if (rc == SQLITE_ROW) {
        u->day_rows_met++;
        if (!is_same_row(u->day_rows, date, cell))
            rebuild_differ(u->r, "day row %s, combination %lld: not what the log says (%lld calls)", date,
                           (long long)cell->dims, (long long)cell->calls);
    } else if (rc == SQLITE_DONE) {
        rebuild_differ(u->r, "day row %s, combination %lld: missing, the log has %lld calls", date,
                       (long long)cell->dims, (long long)cell->calls);
    }
    sqlite3_reset(u->day_rows);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static int write_day_row(struct usage *u, const char *date, int64_t start, const struct slab_cell *cell)
{
    sqlite3_bind_int64(u->day_rows, 1, start);
    sqlite3_bind_text(u->day_rows, 1 + ROW_DATE, date, -1, SQLITE_STATIC);
    sqlite3_bind_int64(u->day_rows, 1 + ROW_DIMS, cell->dims);
    sqlite3_bind_int64(u->day_rows, 1 + ROW_CALLS, cell->calls);
    sqlite3_bind_int64(u->day_rows, 1 + ROW_PARTIAL, cell->partial);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        sqlite3_bind_int64(u->day_rows, 1 + ROW_SUMS + 2 * i, cell->sum[i]);
        sqlite3_bind_int64(u->day_rows, 2 + ROW_SUMS + 2 * i, cell->known[i]);
    }
    return store_run(u->day_rows);
}

static int take_day_rows(struct usage *u, int64_t start, const struct counts *c)
{
    char date[ZONE_DATE_MAX];
    int rc = 0;

    zone_date(u->zone, start * MINUTE_MS, date);
    for (size_t i = 0; rc == 0 && i < c->cells; i++)
        if (c->cell[i].cell.dims != 0) {
            rc = (u->r->writes ? write_day_row : compare_day_row)(u, date, start, &c->cell[i].cell);
            u->r->report->day_rows++;
        }
    return rc;
}

/* ------------------------------------------------------------------- levels */

static int write_time(struct usage *u, int level, int64_t start, const struct counts *c)
{
    sqlite3_stmt *insert = u->level[level].stmt;
    int64_t first, last;
    uint32_t cells;
    int rc = slab_of_counts(c, &u->body, &cells);

    if (rc != 0)
        return rc;
    counts_range(c, &first, &last);
    sqlite3_bind_int64(insert, 1, start);
    sqlite3_bind_int64(insert, 2, first);
    sqlite3_bind_int64(insert, 3, last);
    sqlite3_bind_int64(insert, 4, cells);
    sqlite3_bind_blob64(insert, 5, u->body.at, u->body.len, SQLITE_STATIC);
    return store_run(insert);
}

static int take_time(struct usage *u, int level, int64_t start, const struct counts *c)
{
    struct level *l = &u->level[level];

    if (start < l->lower)
        return 0;
    ++*l->taken;
    int rc = (u->r->writes ? write_time : compare_time)(u, level, start, c);
    return rc != 0 || level != DAY ? rc : take_day_rows(u, start, c);
}

static int64_t start_of(const struct usage *u, int level, int64_t minute)
{
    if (level == QUARTER)
        return minute - minute % QUARTER_MIN;
    return zone_floor(u->zone, ZONE_DAY, minute * MINUTE_MS) / MINUTE_MS;
}

static int gather(struct usage *u, int level, int64_t start, struct counts *c);

/* What has been gathered of a quarter or a day is complete. */
static int close_level(struct usage *u, int level)
{
    struct level *l = &u->level[level];

    if (!l->is_open)
        return 0;
    l->is_open = false;
    int rc = take_time(u, level, l->start, &l->sum);
    return rc != 0 || level == DAY ? rc : gather(u, level + 1, l->start, &l->sum);
}

/* Adds a time of the level below. */
static int gather(struct usage *u, int level, int64_t start, struct counts *c)
{
    struct level *l = &u->level[level];
    int64_t own = start_of(u, level, start);
    int rc = 0;

    if (l->is_open && l->start != own)
        rc = close_level(u, level);
    if (rc != 0)
        return rc;
    if (!l->is_open) {
        counts_clear(&l->sum);
        l->is_open = true;
        l->start = own;
    }
    return counts_add(&l->sum, c, own);
}

static int take_minutes(struct usage *u)
{
    int64_t start = 0;
    int rc;

    while ((rc = counter_next(&u->counter, &start, &u->minute)) == 1)
        if ((rc = take_time(u, MINUTE, start, &u->minute)) != 0 ||
            (start < u->folded && (rc = gather(u, QUARTER, start, &u->minute)) != 0))
            return rc;
    if (rc != 0 || (rc = close_level(u, QUARTER)) != 0)
        return rc;
    return close_level(u, DAY);
}

/* Stored rows that nothing was compared with. */
static int take_rest(struct usage *u)
{
    int64_t rows = 0;
    char sql[128];
    int rc = 0;

    for (int level = 0; level < LEVELS; level++)
        while (rc == 0 && u->level[level].has_row) {
            tell_extra(u, level);
            rc = next_stored(&u->level[level]);
        }
    snprintf(sql, sizeof sql, "SELECT count(*) FROM projection_day_row WHERE start_minute >= %lld",
             (long long)u->level[DAY].lower);
    if (rc != 0 || (rc = rebuild_number(u->r, sql, &rows)) != 0)
        return rc;
    if (rows > u->day_rows_met)
        rebuild_differ(u->r, "day rows: %lld of which the log has nothing",
                       (long long)(rows - u->day_rows_met));
    return 0;
}

/* ------------------------------------------------------------------- running */

static int open_level(struct usage *u, int level, int64_t *taken)
{
    struct level *l = &u->level[level];
    char sql[160];
    int rc;

    l->taken = taken;
    l->lower = u->lower;
    snprintf(sql, sizeof sql,
             "SELECT max(value, %lld) FROM projection_setting WHERE name='%s_dropped_before'",
             (long long)u->lower, level_name[level]);
    if ((rc = rebuild_number(u->r, sql, &l->lower)) != 0)
        return rc;
    if (u->r->writes) {
        snprintf(sql, sizeof sql, "DELETE FROM projection_%s WHERE start_minute >= %lld", level_name[level],
                 (long long)l->lower);
        if ((rc = rebuild_exec(u->r, sql)) != 0)
            return rc;
        snprintf(sql, sizeof sql,
                 "INSERT INTO projection_%s(start_minute, first_id, last_id, cells, body) VALUES(?,?,?,?,?)",
                 level_name[level]);
        return rebuild_prepare(u->r, sql, &l->stmt);
    }
    snprintf(sql, sizeof sql,
             "SELECT start_minute, first_id, last_id, cells, body FROM projection_%s WHERE start_minute >= "
             "%lld ORDER BY 1",
             level_name[level], (long long)l->lower);
    return (rc = rebuild_prepare(u->r, sql, &l->stmt)) != 0 ? rc : next_stored(l);
}

static int open_day_rows(struct usage *u)
{
    static const char insert[] = "INSERT INTO projection_day_row VALUES(?,?,?,?,?"
#define X(name) ",?,?"
        DISPATCH_SUMMED(X)
#undef X
            ")";
    char sql[128];

    if (!u->r->writes)
        return rebuild_prepare(u->r, "SELECT * FROM projection_day_row WHERE start_minute=? AND dims=?",
                               &u->day_rows);
    snprintf(sql, sizeof sql, "DELETE FROM projection_day_row WHERE start_minute >= %lld",
             (long long)u->level[DAY].lower);
    int rc = rebuild_exec(u->r, sql);
    return rc != 0 ? rc : rebuild_prepare(u->r, insert, &u->day_rows);
}

static int open_zone(struct usage *u)
{
    sqlite3_stmt *stmt;
    int rc = rebuild_prepare(u->r, "SELECT value FROM projection_setting WHERE name='reporting_zone'", &stmt);

    if (rc != 0)
        return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        u->zone = zone_open((const char *)sqlite3_column_text(stmt, 0));
    sqlite3_finalize(stmt);
    return u->zone != NULL ? 0 : -SQLITE_CORRUPT;
}

static int look(struct usage *u)
{
    struct rebuild_report *report = u->r->report;
    char sql[128];
    int rc;

    if (u->r->through[LOG_DISPATCH] > 0)
        u->lower = u->r->newest_ms[LOG_DISPATCH] / MINUTE_MS + 1;
    if ((rc = open_zone(u)) != 0 ||
        (rc = rebuild_number(u->r, "SELECT value FROM projection_setting WHERE name='folded_minute'",
                             &u->folded)) != 0 ||
        (rc = open_level(u, MINUTE, &report->minutes)) != 0 ||
        (rc = open_level(u, QUARTER, &report->quarters)) != 0 ||
        (rc = open_level(u, DAY, &report->days)) != 0 || (rc = open_day_rows(u)) != 0)
        return rc;
    snprintf(sql, sizeof sql, "SELECT count(*) FROM projection_minute WHERE start_minute < %lld",
             (long long)u->level[MINUTE].lower);
    return rebuild_number(u->r, sql, &report->skipped);
}

static void close_usage(struct usage *u)
{
    for (int level = 0; level < LEVELS; level++) {
        sqlite3_finalize(u->level[level].stmt);
        counts_fini(&u->level[level].sum);
    }
    sqlite3_finalize(u->day_rows);
    counter_close(&u->counter, u->r);
    counts_fini(&u->minute);
    slab_bytes_fini(&u->body);
    zone_close(u->zone);
}

int rebuild_usage(struct rebuild *r)
{
    struct usage u = { .r = r };
    int rc;

    if ((rc = counter_open(&u.counter, r)) == 0 && (rc = look(&u)) == 0 && (rc = count_log(&u)) == 0 &&
        (rc = take_minutes(&u)) == 0 && !r->writes)
        rc = take_rest(&u);
    close_usage(&u);
    return rc;
}
