/* SPDX-License-Identifier: MIT
 *
 * rollup_rezone.c: a quarter belongs to the day row that starts last before its end. All quarters are
 * taken out of the days they are in and put into those of the new zone. A day that is more than its
 * quarters (retention has dropped some) keeps the rest where it was.
 */
#include "rollup_file.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"

struct rezone {
    struct rollup_file *file;
    sqlite3_stmt *quarters, *read_day, *drop_day, *drop_rows;
    int64_t *days; /* owned; their start minutes, then INT64_MAX */
    size_t count;
};

static int prepare_all(struct rezone *z)
{
    struct store *s = z->file->store;
    int rc;

    if ((rc = store_prepare(s,
                            "SELECT start_minute, first_id, last_id, body FROM projection_quarter"
                            " WHERE start_minute >= ? AND start_minute < ? ORDER BY start_minute",
                            &z->quarters)) != 0 ||
        (rc = store_prepare(s, "SELECT body FROM projection_day WHERE start_minute=?", &z->read_day)) != 0 ||
        (rc = store_prepare(s, "DELETE FROM projection_day WHERE start_minute=?", &z->drop_day)) != 0)
        return rc;
    return store_prepare(s, "DELETE FROM projection_day_row WHERE start_minute=?", &z->drop_rows);
}

static void rezone_fini(struct rezone *z)
{
    sqlite3_finalize(z->quarters);
    sqlite3_finalize(z->read_day);
    sqlite3_finalize(z->drop_day);
    sqlite3_finalize(z->drop_rows);
    free(z->days);
}

static int list_days(struct rezone *z)
{
    sqlite3_stmt *stmt;
    int64_t count = 0;
    int rc = store_number(z->file->store, "SELECT count(*) FROM projection_day", &count);

    if (rc != 0)
        return rc;
    if ((z->days = malloc(((size_t)count + 1) * sizeof *z->days)) == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(z->file->store, "SELECT start_minute FROM projection_day ORDER BY 1", &stmt)) !=
        0)
        return rc;
    while (z->count < (size_t)count && sqlite3_step(stmt) == SQLITE_ROW)
        z->days[z->count++] = sqlite3_column_int64(stmt, 0);
    z->days[z->count] = INT64_MAX;
    return -sqlite3_finalize(stmt);
}

/* The next quarter of a scan, its body borrowed: 1, 0, or a negative code. */
static int next_quarter(struct rezone *z, struct rollup_slab *out)
{
    int rc = sqlite3_step(z->quarters);

    *out = (struct rollup_slab){ 0 };
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -rc;
    out->start_minute = sqlite3_column_int64(z->quarters, 0);
    out->first_id = sqlite3_column_int64(z->quarters, 1);
    out->last_id = sqlite3_column_int64(z->quarters, 2);
    out->body.at = (uint8_t *)(uintptr_t)sqlite3_column_blob(z->quarters, 3);
    out->body.len = (size_t)sqlite3_column_bytes(z->quarters, 3);
    return 1;
}

static void start_scan(struct rezone *z, int64_t from, int64_t to)
{
    sqlite3_reset(z->quarters);
    sqlite3_bind_int64(z->quarters, 1, from);
    sqlite3_bind_int64(z->quarters, 2, to);
}

/* Adds all calls of a slab to *sum: 0, or -1: damaged or no memory. */
static int add_calls(const void *body, size_t len, int64_t *sum)
{
    struct slab_view v;

    if (slab_open(body, len, &v) != 0)
        return -1;
    int64_t *calls = malloc((v.cells + 1) * sizeof *calls);
    int rc = calls != NULL ? slab_read(&v, SLAB_CALLS, NULL, calls) : -1;
    for (uint32_t i = 0; rc == 0 && i < v.cells; i++)
        *sum += calls[i];
    free(calls);
    return rc;
}

/* Whether a day's quarters are all there still: 1, 0, or a negative code. */
static int is_whole(struct rezone *z, size_t i)
{
    struct rollup_slab quarter;
    int64_t in_quarters = 0, in_day = 0;
    int rc;

    start_scan(z, z->days[i], z->days[i + 1]);
    while ((rc = next_quarter(z, &quarter)) == 1)
        if (add_calls(quarter.body.at, quarter.body.len, &in_quarters) != 0)
            return -SQLITE_CORRUPT;
    sqlite3_bind_int64(z->read_day, 1, z->days[i]);
    if (rc == 0 && (rc = sqlite3_step(z->read_day)) == SQLITE_ROW)
        rc = add_calls(sqlite3_column_blob(z->read_day, 0), (size_t)sqlite3_column_bytes(z->read_day, 0),
                       &in_day) != 0
                 ? -SQLITE_CORRUPT
                 : 0;
    sqlite3_reset(z->read_day);
    return rc == 0 ? in_quarters == in_day : rc > 0 ? -rc : rc;
}

static int drop_day(struct rezone *z, size_t i)
{
    sqlite3_bind_int64(z->drop_day, 1, z->days[i]);
    sqlite3_bind_int64(z->drop_rows, 1, z->days[i]);
    int rc = store_run(z->drop_day);
    return rc != 0 ? rc : store_run(z->drop_rows);
}

static int take_out_quarters(struct rezone *z, size_t i)
{
    struct rollup_slab quarter;
    int rc;

    start_scan(z, z->days[i], z->days[i + 1]);
    while ((rc = next_quarter(z, &quarter)) == 1) {
        quarter.start_minute = z->days[i];
        if ((rc = rollup_file_post(z->file, ROLLUP_DAY, &quarter, -1)) != 0)
            break;
    }
    return rc;
}

static int put_in_quarters(struct rezone *z)
{
    struct rollup_slab quarter;
    int rc;

    start_scan(z, INT64_MIN, INT64_MAX);
    while ((rc = next_quarter(z, &quarter)) == 1)
        if ((rc = rollup_file_gather(z->file, ROLLUP_DAY, &quarter)) != 0)
            return rc;
    return rc != 0 ? rc : rollup_file_settle(z->file);
}

static int set_zone(struct rollup_file *f)
{
    sqlite3_bind_text(f->set, 1, "reporting_zone", -1, SQLITE_STATIC);
    sqlite3_bind_text(f->set, 2, zone_name(f->zone), -1, SQLITE_STATIC);
    return store_run(f->set);
}

static int rebuild(struct rollup_file *f, const char *old_zone)
{
    struct rezone z = { .file = f };
    int rc = prepare_all(&z);

    if (rc == 0 && (rc = list_days(&z)) == 0 && z.count > 0)
        log_info("reporting_zone_changed", "from=%s to=%s days=%zu", old_zone, zone_name(f->zone), z.count);
    for (size_t i = 0; rc == 0 && i < z.count; i++)
        if ((rc = is_whole(&z, i)) >= 0)
            rc = rc == 1 ? drop_day(&z, i) : take_out_quarters(&z, i);
    if (rc == 0 && (rc = put_in_quarters(&z)) == 0)
        rc = set_zone(f);
    rezone_fini(&z);
    return rc;
}

static int read_zone(struct rollup_file *f, char out[ZONE_NAME_MAX])
{
    sqlite3_stmt *stmt;
    int rc =
        store_prepare(f->store, "SELECT value FROM projection_setting WHERE name='reporting_zone'", &stmt);

    if (rc != 0)
        return rc;
    out[0] = '\0';
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0) != NULL)
        strncat(out, (const char *)sqlite3_column_text(stmt, 0), ZONE_NAME_MAX - 1);
    return -sqlite3_finalize(stmt);
}

int rollup_file_rezone(struct rollup_file *f)
{
    char old_zone[ZONE_NAME_MAX];
    int rc = read_zone(f, old_zone);

    if (rc != 0 || strcmp(old_zone, zone_name(f->zone)) == 0)
        return rc;
    for (int i = 0; i < ROLLUP_LEVELS; i++)
        f->sum[i].body.len = 0;
    if ((rc = store_begin(f->store)) == 0 && (rc = rebuild(f, old_zone)) == 0)
        rc = store_commit(f->store);
    if (rc != 0)
        store_rollback(f->store);
    return rc;
}
