/* SPDX-License-Identifier: MIT
 *
 * retention_rollups.c: minutes, quarters and days of the projection 'usage'.
 */
#include "retention_work.h"

#define DAY_ROW_CHUNK   64
#define MINUTE_MS       60000LL
#define QUARTER_MIN     15
#define LONGEST_DAY_MIN (26 * 60)

int retention_prepare_rollups(struct retention *r)
{
    struct retention_statements *q = r->sql;
    const struct retention_prepare all[] = {
        { &q->folded, "SELECT value FROM projection_setting WHERE name='folded_minute'" },
        { &q->save_setting, "INSERT INTO projection_setting VALUES(?1, ?2)"
                            " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)" },
        { &q->first_minute, "SELECT min(start_minute) FROM projection_minute" },
        { &q->first_quarter, "SELECT min(start_minute) FROM projection_quarter" },
        { &q->first_day,
          "SELECT min(start_minute) FROM (SELECT min(start_minute) AS start_minute FROM projection_day_row"
          " UNION ALL SELECT min(start_minute) FROM projection_day)" },
        { &q->day_before, "SELECT max(start_minute) FROM projection_day WHERE start_minute <= ?" },
        { &q->drop_minute, "DELETE FROM projection_minute WHERE start_minute=?" },
        { &q->drop_quarter, "DELETE FROM projection_quarter WHERE start_minute=?" },
        { &q->drop_day, "DELETE FROM projection_day WHERE start_minute=?" },
        { &q->drop_day_rows,
          "DELETE FROM projection_day_row WHERE start_minute=?1 AND dims IN (SELECT dims"
          " FROM projection_day_row WHERE start_minute=?1 ORDER BY dims LIMIT " RETENTION_TEXT(
              DAY_ROW_CHUNK) ")" },
    };

    return retention_prepare_all(r, all, sizeof all / sizeof *all);
}

int retention_save_setting(struct retention *r, const char *name, int64_t value)
{
    sqlite3_bind_text(r->sql->save_setting, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(r->sql->save_setting, 2, value);
    return store_run(r->sql->save_setting);
}

/* Deletes the slabs of a level that begin before the minute `before`, while there is time. */
static int drop_slabs(struct retention *r, enum retention_kind kind, sqlite3_stmt *first, sqlite3_stmt *slab,
                      const char *setting, int64_t before, bool *more)
{
    bool saved = false, found;
    int64_t start = 0;
    int rc;

    while ((rc = retention_number(first, &start, &found)) == 0 && found && start < before &&
           !(*more = retention_is_time_up(r))) {
        if (!saved && (rc = retention_save_setting(r, setting, before)) != 0)
            return rc;
        saved = true;
        sqlite3_bind_int64(slab, 1, start);
        if ((rc = retention_drop(r, slab, &r->tally.rows[kind], NULL)) != 0)
            return rc;
    }
    return rc;
}

/* The minute before which slabs of this age are to go: 0: none. All before it has been folded. */
static int old_minute(struct retention *r, enum retention_kind kind, int64_t now_ms, int64_t *out)
{
    int64_t age = retention_age_of(r, kind), folded = 0;

    *out = 0;
    if (age == RETENTION_FOREVER || age > now_ms)
        return 0;
    int rc = retention_number(r->sql->folded, &folded, NULL);
    int64_t before = (now_ms - age) / MINUTE_MS;
    *out = before < folded ? before : folded;
    return rc;
}

int retention_minute(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t before;
    int rc = old_minute(r, RETAIN_MINUTE, now_ms, &before);

    before -= before % QUARTER_MIN;
    return rc != 0 ? rc
                   : drop_slabs(r, RETAIN_MINUTE, r->sql->first_minute, r->sql->drop_minute,
                                "minute_dropped_before", before, more);
}

int retention_quarter(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t before, day = 0;
    int rc = old_minute(r, RETAIN_QUARTER, now_ms, &before);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(r->sql->day_before, 1, before);
    if ((rc = retention_number(r->sql->day_before, &day, NULL)) != 0)
        return rc;
    return drop_slabs(r, RETAIN_QUARTER, r->sql->first_quarter, r->sql->drop_quarter,
                      "quarter_dropped_before", day, more);
}

/* A day's rows, then its slab. */
static int drop_day(struct retention *r, int64_t start, bool *more)
{
    int64_t rows = 0;
    int rc = 0, changes = DAY_ROW_CHUNK;

    sqlite3_bind_int64(r->sql->drop_day_rows, 1, start);
    while (rc == 0 && changes > 0 && !(*more = retention_is_time_up(r)))
        rc = retention_drop(r, r->sql->drop_day_rows, &rows, &changes);
    if (rc != 0 || changes > 0)
        return rc;
    sqlite3_bind_int64(r->sql->drop_day, 1, start);
    return retention_drop(r, r->sql->drop_day, &r->tally.rows[RETAIN_DAY], NULL);
}

int retention_day(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t before, start = 0;
    bool found = true;
    int rc = old_minute(r, RETAIN_DAY, now_ms, &before);

    before -= LONGEST_DAY_MIN; /* the whole day is old */
    while (rc == 0 && (rc = retention_number(r->sql->first_day, &start, &found)) == 0 && found &&
           start < before) {
        if ((*more = retention_is_time_up(r)))
            return 0;
        if ((rc = retention_save_setting(r, "day_dropped_before", before)) == 0)
            rc = drop_day(r, start, more);
    }
    return rc;
}
