/* SPDX-License-Identifier: MIT
 *
 * retention_log.c: rows of the log, piece by piece, and of the quarantine.
 */
#include <stdio.h>

#include "retention_work.h"

#define LOG_CHUNK        256 /* rows that one statement deletes: well below a millisecond */
#define QUARANTINE_CHUNK 16  /* its rows may be large */

static const char *const log_table[LOG_REPORT + 1] = { "dispatch", "message", "report" };

static int prepare_kind(struct retention *r, enum log_kind kind)
{
    char sql[160];

    snprintf(sql, sizeof sql, "SELECT id FROM %s WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT 1 OFFSET %d",
             log_table[kind], LOG_CHUNK - 1);
    int rc = store_prepare(r->store, sql, &r->sql->find_chunk[kind]);
    snprintf(sql, sizeof sql, "DELETE FROM %s WHERE id > ?1 AND id <= ?2", log_table[kind]);
    return rc != 0 ? rc : store_prepare(r->store, sql, &r->sql->drop_rows[kind]);
}

int retention_prepare_log(struct retention *r)
{
    struct retention_statements *q = r->sql;
    const struct retention_prepare all[] = {
        { &q->watermark, "SELECT min(watermark) FROM projection" },
        { &q->dropped, "SELECT through_id FROM log_dropped WHERE kind=?" },
        { &q->save_dropped,
          "UPDATE log_dropped SET through_id=?2, newest_ms=max(newest_ms, ?3) WHERE kind=?1" },
        /* A clock that was ahead for a while keeps nothing: a row came before those behind it. */
        { &q->next_piece, "SELECT last_id, newest_ms, (SELECT min(b.last_received_ms) FROM log_partition b"
                          " WHERE b.first_id >= p.first_id) FROM log_partition p WHERE last_id > ? ORDER BY "
                          "first_id LIMIT 1" },
        { &q->drop_pieces,
          "DELETE FROM log_partition WHERE last_id <= (SELECT min(through_id) FROM log_dropped)"
          " AND first_id < (SELECT max(first_id) FROM log_partition)" },
        { &q->drop_quarantine,
          "DELETE FROM quarantine WHERE received_ms < ? AND id IN"
          " (SELECT id FROM quarantine ORDER BY id LIMIT " RETENTION_TEXT(QUARANTINE_CHUNK) ")" },
    };
    int rc = 0;

    for (int kind = 0; rc == 0 && kind <= LOG_REPORT; kind++)
        rc = prepare_kind(r, (enum log_kind)kind);
    return rc != 0 ? rc : retention_prepare_all(r, all, sizeof all / sizeof *all);
}

struct piece {
    int64_t last_id, newest_ms, last_received_ms;
};

int retention_through(struct retention *r, enum log_kind kind, int64_t *out)
{
    sqlite3_bind_text(r->sql->dropped, 1, log_table[kind], -1, SQLITE_STATIC);
    return retention_number(r->sql->dropped, out, NULL);
}

/* The first piece that has rows behind through. 1: there is one, 0: none, or a negative SQLite code. */
static int next_piece(struct retention *r, int64_t through, struct piece *out)
{
    sqlite3_stmt *stmt = r->sql->next_piece;

    sqlite3_bind_int64(stmt, 1, through);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = (struct piece){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                               sqlite3_column_int64(stmt, 2) };
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* Deletes rows behind *through, up to the piece's last id, while there is time. */
static int drop_piece(struct retention *r, enum log_kind kind, const struct piece *piece, int64_t *through)
{
    sqlite3_stmt *find = r->sql->find_chunk[kind], *rows = r->sql->drop_rows[kind];
    int rc = 0;

    while (rc == 0 && *through < piece->last_id && !retention_is_time_up(r)) {
        int64_t to = piece->last_id;
        sqlite3_bind_int64(find, 1, *through);
        sqlite3_bind_int64(find, 2, piece->last_id);
        if ((rc = retention_number(find, &to, NULL)) != 0 ||
            (kind == LOG_DISPATCH && (rc = retention_take_rows(r, *through + 1, to)) != 0))
            return rc;
        sqlite3_bind_int64(rows, 1, *through);
        sqlite3_bind_int64(rows, 2, to);
        rc = retention_drop(r, rows, &r->tally.rows[kind], NULL);
        *through = to;
    }
    return rc;
}

static int drop_with_checkpoint(struct retention *r, enum log_kind kind, const struct piece *piece,
                                int64_t *through)
{
    int rc;

    if (kind != LOG_DISPATCH)
        return drop_piece(r, kind, piece, through);
    if ((rc = retention_begin_checkpoint(r)) != 0 || (rc = drop_piece(r, kind, piece, through)) != 0)
        return rc;
    return retention_save_checkpoint(r);
}

static int save_dropped(struct retention *r, enum log_kind kind, int64_t through, int64_t newest_ms)
{
    sqlite3_bind_text(r->sql->save_dropped, 1, log_table[kind], -1, SQLITE_STATIC);
    sqlite3_bind_int64(r->sql->save_dropped, 2, through);
    sqlite3_bind_int64(r->sql->save_dropped, 3, newest_ms);
    return store_run(r->sql->save_dropped);
}

static int drop_kind(struct retention *r, enum log_kind kind, int64_t now_ms, bool *more)
{
    int64_t age = retention_age_of(r, (enum retention_kind)kind), through = 0, watermark = 0;
    struct piece piece = { 0 };
    int rc;

    if (age == RETENTION_FOREVER)
        return 0;
    if ((rc = retention_through(r, kind, &through)) != 0 ||
        (rc = retention_number(r->sql->watermark, &watermark, NULL)) != 0)
        return rc;
    while ((rc = next_piece(r, through, &piece)) == 1) {
        int64_t overdue_ms = now_ms - age - piece.last_received_ms;
        if (overdue_ms <= 0 || piece.last_id > watermark)
            return 0;
        *more = true;
        if (retention_is_time_up(r))
            return 0;
        r->is_late |= overdue_ms > age / 4;
        if ((rc = drop_with_checkpoint(r, kind, &piece, &through)) != 0 ||
            (rc = save_dropped(r, kind, through, piece.newest_ms)) != 0 ||
            (rc = store_run(r->sql->drop_pieces)) != 0)
            return rc;
        *more = false;
    }
    return rc;
}

int retention_dispatch(struct retention *r, int64_t now_ms, bool *more)
{
    return drop_kind(r, LOG_DISPATCH, now_ms, more);
}

int retention_message(struct retention *r, int64_t now_ms, bool *more)
{
    return drop_kind(r, LOG_MESSAGE, now_ms, more);
}

int retention_report(struct retention *r, int64_t now_ms, bool *more)
{
    return drop_kind(r, LOG_REPORT, now_ms, more);
}

int retention_quarantine(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t age = retention_age_of(r, RETAIN_QUARANTINE);
    int rc = 0, changes = QUARANTINE_CHUNK;

    if (age == RETENTION_FOREVER)
        return 0;
    sqlite3_bind_int64(r->sql->drop_quarantine, 1, now_ms - age);
    while (rc == 0 && changes == QUARANTINE_CHUNK && !(*more = retention_is_time_up(r)))
        rc = retention_drop(r, r->sql->drop_quarantine, &r->tally.rows[RETAIN_QUARANTINE], &changes);
    return rc;
}
