/* SPDX-License-Identifier: MIT
 *
 * rollup_file.c: a slab is changed by reading it, merging and writing it whole. What goes to a quarter is
 * gathered first, over all minutes of it that come in a row, and what goes to a day over its
 * quarters: a day's slab is the largest, so it is written once.
 */
#include "rollup_file.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS        SLAB_LATENCY_SKETCH /* columns before the sketches */
#define SUM_KEPT_BYTES (256 * 1024)        /* of room; more is given back once it is not used */

int rollup_file_init(struct rollup_file *f, struct store *store, const struct zone *zone)
{
    static const char *const table[ROLLUP_LEVELS] = { "projection_minute", "projection_quarter",
                                                      "projection_day" };
    char sql[256];
    int rc = 0;

    *f = (struct rollup_file){ .store = store, .zone = zone, .unfolded_minute = INT64_MAX };
    for (int i = 0; rc == 0 && i < ROLLUP_LEVELS; i++) {
        snprintf(sql, sizeof sql, "SELECT first_id, last_id, body FROM %s WHERE start_minute=?", table[i]);
        if ((rc = store_prepare(store, sql, &f->read[i])) != 0)
            return rc;
        snprintf(sql, sizeof sql,
                 "INSERT OR REPLACE INTO %s(start_minute, first_id, last_id, cells, body) VALUES(?,?,?,?,?)",
                 table[i]);
        rc = store_prepare(store, sql, &f->write[i]);
    }
    if (rc != 0 ||
        (rc = store_prepare(store,
                            "INSERT OR REPLACE INTO projection_day_row VALUES(?,?,?,?,?"
#define X(name) ",?,?"
                            DISPATCH_SUMMED(X)
#undef X
                                ")",
                            &f->write_row)) != 0 ||
        (rc = store_prepare(store, "DELETE FROM projection_day_row WHERE start_minute=? AND dims=?",
                            &f->drop_row)) != 0 ||
        (rc = store_prepare(store,
                            "SELECT start_minute, first_id, last_id, body FROM projection_minute"
                            " WHERE start_minute >= ? AND start_minute < ? ORDER BY start_minute",
                            &f->minutes)) != 0 ||
        (rc = store_prepare(store, "SELECT min(start_minute) FROM projection_minute WHERE start_minute >= ?",
                            &f->unfolded)) != 0 ||
        (rc = store_prepare(store, "UPDATE projection_setting SET value=?2 WHERE name=?1", &f->set)) != 0)
        return rc;
    return store_prepare(store, "UPDATE projection SET watermark=? WHERE name='usage'", &f->set_watermark);
}

void rollup_file_fini(struct rollup_file *f)
{
    for (int i = 0; i < ROLLUP_LEVELS; i++)
        slab_bytes_fini(&f->sum[i].body);
    slab_bytes_fini(&f->merged);
    slab_merger_fini(&f->merger);
}

static int find_unfolded(struct rollup_file *f)
{
    sqlite3_bind_int64(f->unfolded, 1, f->folded_minute);
    int rc = sqlite3_step(f->unfolded);

    f->unfolded_minute = rc == SQLITE_ROW && sqlite3_column_type(f->unfolded, 0) != SQLITE_NULL
                             ? sqlite3_column_int64(f->unfolded, 0)
                             : INT64_MAX;
    sqlite3_reset(f->unfolded);
    return rc == SQLITE_ROW ? 0 : -rc;
}

int rollup_file_start(struct rollup_file *f)
{
    int rc;

    for (int i = 0; i < ROLLUP_LEVELS; i++)
        f->sum[i].body.len = 0;
    if ((rc = store_number(f->store, "SELECT watermark FROM projection WHERE name='usage'", &f->watermark)) !=
            0 ||
        (rc = store_number(f->store, "SELECT value FROM projection_setting WHERE name='folded_minute'",
                           &f->folded_minute)) != 0)
        return rc;
    return find_unfolded(f);
}

int rollup_file_set_watermark(struct rollup_file *f, int64_t id)
{
    f->watermark = id;
    sqlite3_bind_int64(f->set_watermark, 1, id);
    return store_run(f->set_watermark);
}

/* ----------------------------------------------------------------- one slab */

static int merge_code(int rc)
{
    return rc == 0 ? 0 : rc == -1 ? -SQLITE_CORRUPT : -SQLITE_NOMEM;
}

/* Adds to what the file has of that time (perhaps nothing): the sum is in merged, *to tells the rest. */
static int merge_with_file(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *delta,
                           int sign, struct rollup_slab *to)
{
    sqlite3_stmt *stmt = f->read[level];
    const void *body = NULL;
    size_t len = 0;

    *to = (struct rollup_slab){ delta->start_minute, delta->first_id, delta->last_id, { 0 } };
    sqlite3_bind_int64(stmt, 1, delta->start_minute);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        int64_t first = sqlite3_column_int64(stmt, 0), last = sqlite3_column_int64(stmt, 1);
        to->first_id = first < to->first_id ? first : to->first_id;
        to->last_id = last > to->last_id ? last : to->last_id;
        body = sqlite3_column_blob(stmt, 2);
        len = (size_t)sqlite3_column_bytes(stmt, 2);
    }
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        rc = merge_code(slab_merge(&f->merger, body, len, delta->body.at, delta->body.len, sign, &f->merged));
    else
        rc = -rc;
    sqlite3_reset(stmt);
    return rc;
}

static int write_merged(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *to)
{
    sqlite3_stmt *stmt = f->write[level];
    struct slab_view v;

    if (slab_open(f->merged.at, f->merged.len, &v) != 0)
        return -SQLITE_CORRUPT;
    sqlite3_bind_int64(stmt, 1, to->start_minute);
    sqlite3_bind_int64(stmt, 2, to->first_id);
    sqlite3_bind_int64(stmt, 3, to->last_id);
    sqlite3_bind_int64(stmt, 4, v.cells);
    sqlite3_bind_blob64(stmt, 5, f->merged.at, f->merged.len, SQLITE_STATIC);
    return store_run(stmt);
}

/* ------------------------------------------------------------- rows of a day */

static int write_day_row(struct rollup_file *f, int64_t start_minute, const char *date, const int64_t *number,
                         size_t stride)
{
    sqlite3_stmt *stmt = f->write_row;
    int at = 1;

    sqlite3_bind_int64(stmt, at++, start_minute);
    sqlite3_bind_text(stmt, at++, date, -1, SQLITE_STATIC);
    for (unsigned c = SLAB_DIMS; c < SLAB_SUM; c++)
        sqlite3_bind_int64(stmt, at++, number[c * stride]);
    for (unsigned i = 0; i < DISPATCH_SUMS; i++) {
        sqlite3_bind_int64(stmt, at++, number[(SLAB_SUM + i) * stride]);
        sqlite3_bind_int64(stmt, at++, number[(SLAB_KNOWN + i) * stride]);
    }
    return store_run(stmt);
}

static int drop_day_row(struct rollup_file *f, int64_t start_minute, int64_t dims)
{
    sqlite3_bind_int64(f->drop_row, 1, start_minute);
    sqlite3_bind_int64(f->drop_row, 2, dims);
    return store_run(f->drop_row);
}

static int read_numbers(const struct slab_view *v, int64_t *number)
{
    int rc = 0;

    for (unsigned c = 0; rc == 0 && c < NUMBERS; c++)
        rc = slab_read(v, c, number + (size_t)SLAB_CALLS * v->cells, number + (size_t)c * v->cells);
    return rc;
}

/* Makes the rows of the touched combinations equal to the day's new slab, which is in merged. */
static int write_day_rows(struct rollup_file *f, int64_t start_minute, const struct slab_view *touched,
                          const struct slab_view *day, int64_t *dims, int64_t *number)
{
    char date[ZONE_DATE_MAX];
    uint32_t at = 0;
    int rc = 0;

    if (slab_read(touched, SLAB_DIMS, NULL, dims) != 0 || read_numbers(day, number) != 0)
        return -SQLITE_CORRUPT;
    zone_date(f->zone, start_minute * MINUTE_MS, date);
    for (uint32_t i = 0; rc == 0 && i < touched->cells; i++) {
        while (at < day->cells && number[at] < dims[i])
            at++;
        if (at < day->cells && number[at] == dims[i])
            rc = write_day_row(f, start_minute, date, number + at, day->cells);
        else
            rc = drop_day_row(f, start_minute, dims[i]);
    }
    return rc;
}

static int update_day_rows(struct rollup_file *f, const struct rollup_slab *delta)
{
    struct slab_view touched, day;

    if (slab_open(delta->body.at, delta->body.len, &touched) != 0 ||
        slab_open(f->merged.at, f->merged.len, &day) != 0)
        return -SQLITE_CORRUPT;
    int64_t *room = malloc((touched.cells + (size_t)NUMBERS * day.cells + 1) * sizeof *room);
    if (room == NULL)
        return -SQLITE_NOMEM;
    int rc = write_day_rows(f, delta->start_minute, &touched, &day, room, room + touched.cells);
    free(room);
    return rc;
}

int rollup_file_post(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *delta,
                     int sign)
{
    struct rollup_slab to;
    int rc = merge_with_file(f, level, delta, sign, &to);

    if (rc == 0)
        rc = write_merged(f, level, &to);
    return rc == 0 && level == ROLLUP_DAY ? update_day_rows(f, delta) : rc;
}

/* ---------------------------------------------------------------- gathering */

/* The start of a quarter or day that holds a minute. */
static int64_t start_of(const struct rollup_file *f, enum rollup_level level, int64_t minute)
{
    if (level == ROLLUP_QUARTER)
        return minute - minute % QUARTER_MINUTES;
    return zone_floor(f->zone, ZONE_DAY, minute * MINUTE_MS) / MINUTE_MS;
}

/* Posts what has been gathered for a quarter or day; a quarter's goes on to its day. */
static int settle(struct rollup_file *f, enum rollup_level level)
{
    struct rollup_slab *sum = &f->sum[level];
    int rc = 0;

    if (sum->body.len == 0)
        return 0;
    rc = rollup_file_post(f, level, sum, 1);
    if (rc == 0 && level == ROLLUP_QUARTER)
        rc = rollup_file_gather(f, ROLLUP_DAY, sum);
    if (sum->body.room > SUM_KEPT_BYTES)
        slab_bytes_fini(&sum->body);
    sum->body.len = 0;
    return rc;
}

int rollup_file_gather(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *delta)
{
    const int64_t start = start_of(f, level, delta->start_minute);
    struct rollup_slab *sum = &f->sum[level];
    int rc;

    if (sum->body.len != 0 && sum->start_minute != start && (rc = settle(f, level)) != 0)
        return rc;
    if (sum->body.len == 0) {
        sum->start_minute = start;
        sum->first_id = delta->first_id;
        sum->last_id = delta->last_id;
    }
    sum->first_id = delta->first_id < sum->first_id ? delta->first_id : sum->first_id;
    sum->last_id = delta->last_id > sum->last_id ? delta->last_id : sum->last_id;
    rc = merge_code(
        slab_merge(&f->merger, sum->body.at, sum->body.len, delta->body.at, delta->body.len, 1, &f->merged));
    struct slab_bytes swap = sum->body;
    sum->body = f->merged;
    f->merged = swap;
    return rc;
}

int rollup_file_settle(struct rollup_file *f)
{
    int rc = settle(f, ROLLUP_QUARTER);

    return rc != 0 ? rc : settle(f, ROLLUP_DAY);
}

int rollup_file_add(struct rollup_file *f, const struct rollup_slab *minute)
{
    int rc = rollup_file_post(f, ROLLUP_MINUTE, minute, 1);

    if (rc == 0 && minute->start_minute < f->folded_minute)
        return rollup_file_gather(f, ROLLUP_QUARTER, minute);
    if (minute->start_minute < f->unfolded_minute)
        f->unfolded_minute = minute->start_minute;
    return rc;
}

/* ------------------------------------------------------------------ folding */

static int set_folded(struct rollup_file *f, int64_t minute)
{
    f->folded_minute = minute;
    sqlite3_bind_text(f->set, 1, "folded_minute", -1, SQLITE_STATIC);
    sqlite3_bind_int64(f->set, 2, minute);
    int rc = store_run(f->set);
    return rc != 0 ? rc : find_unfolded(f);
}

int rollup_file_fold(struct rollup_file *f, int64_t end_minute)
{
    int64_t folded = f->folded_minute;
    size_t bytes = 0;
    int rc;

    sqlite3_bind_int64(f->minutes, 1, f->folded_minute);
    sqlite3_bind_int64(f->minutes, 2, end_minute);
    while ((rc = sqlite3_step(f->minutes)) == SQLITE_ROW) {
        struct rollup_slab minute = {
            .start_minute = sqlite3_column_int64(f->minutes, 0),
            .first_id = sqlite3_column_int64(f->minutes, 1),
            .last_id = sqlite3_column_int64(f->minutes, 2),
            .body = { .at = (uint8_t *)(uintptr_t)sqlite3_column_blob(f->minutes, 3), /* borrowed */
                      .len = (size_t)sqlite3_column_bytes(f->minutes, 3) },
        };
        bytes += minute.body.len;
        if (bytes > ROLLUP_FOLD_BYTES && folded != f->folded_minute)
            break;
        if ((rc = rollup_file_gather(f, ROLLUP_QUARTER, &minute)) != 0)
            break;
        folded = minute.start_minute + 1;
    }
    sqlite3_reset(f->minutes);
    if (rc < 0 || (rc != SQLITE_ROW && rc != SQLITE_DONE))
        return rc < 0 ? rc : -rc;
    return (rc = rollup_file_settle(f)) != 0 ? rc : set_folded(f, folded);
}
