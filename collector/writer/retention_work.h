/* SPDX-License-Identifier: MIT
 *
 * retention_work.h: what the kinds of retention's work share. Inside retention_*.c only.
 */
#ifndef COLLECTOR_RETENTION_WORK_H
#define COLLECTOR_RETENTION_WORK_H

#include "log_row.h"
#include "retention.h"

#define RETENTION_LOOKS_PER_AGE 20 /* with nothing to do it looks again after a twentieth of an age */
#define RETENTION_LOOK_MIN_MS   100

struct retention_statements {
    sqlite3_stmt *watermark, *dropped, *save_dropped, *next_piece, *drop_pieces;
    sqlite3_stmt *find_chunk[LOG_REPORT + 1], *drop_rows[LOG_REPORT + 1], *drop_quarantine;
    sqlite3_stmt *folded, *save_setting, *first_minute, *first_quarter, *first_day, *day_before;
    sqlite3_stmt *drop_minute, *drop_quarter, *drop_day, *drop_day_rows;
    sqlite3_stmt *session_watermark, *old_sessions, *root_of, *drop_totals, *drop_name, *max_session;
    sqlite3_stmt *first_span, *drop_slices, *drop_span;
    sqlite3_stmt *budgets, *save_checkpoint, *save_cell;
    sqlite3_stmt *old_reservations, *postings, *drop_posting, *drop_booked, *drop_reservation;
    sqlite3_stmt *unlink_messages, *drop_messages, *unlink_alerts, *drop_alerts;
    sqlite3_stmt *ended_budget, *drop_ended[3], *find_cells, *drop_cells[2];
};

struct retention_prepare {
    sqlite3_stmt **stmt;
    const char *sql;
};
int retention_prepare_all(struct retention *r, const struct retention_prepare *all, size_t count);
int retention_prepare_log(struct retention *r);
int retention_prepare_rollups(struct retention *r);
int retention_prepare_sessions(struct retention *r);
int retention_prepare_ledger(struct retention *r);
int retention_prepare_alerts(struct retention *r);
void retention_fini_ledger(struct retention *r);

/* One slice's part of one kind of work, inside the slice's transaction; *more (false before) is set if
 * there is more to do now. 0 or a negative SQLite code. */
typedef int (*retention_work)(struct retention *r, int64_t now_ms, bool *more);
int retention_dispatch(struct retention *r, int64_t now_ms, bool *more);
int retention_message(struct retention *r, int64_t now_ms, bool *more);
int retention_report(struct retention *r, int64_t now_ms, bool *more);
int retention_quarantine(struct retention *r, int64_t now_ms, bool *more);
int retention_minute(struct retention *r, int64_t now_ms, bool *more);
int retention_quarter(struct retention *r, int64_t now_ms, bool *more);
int retention_day(struct retention *r, int64_t now_ms, bool *more);
int retention_session(struct retention *r, int64_t now_ms, bool *more);
int retention_index(struct retention *r, int64_t now_ms, bool *more);
int retention_reservation(struct retention *r, int64_t now_ms, bool *more);
int retention_cell(struct retention *r, int64_t now_ms, bool *more);
int retention_alert(struct retention *r, int64_t now_ms, bool *more);

/* Before dispatches are deleted, in the same transaction: looks which budgets are in force; takes what rows
 * are worth to them; puts all that was taken into the checkpoint. */
int retention_begin_checkpoint(struct retention *r);
int retention_take_rows(struct retention *r, int64_t first_id, int64_t last_id);
int retention_save_checkpoint(struct retention *r);

/* Asks for one number; *found (may be NULL): whether there is one, else *out is untouched. */
int retention_number(sqlite3_stmt *stmt, int64_t *out, bool *found);

/* Runs a DELETE and adds what it deleted to *count; *changes (may be NULL) is that of this run. */
int retention_drop(struct retention *r, sqlite3_stmt *stmt, int64_t *count, int *changes);

/* Notes in projection_setting how far something is gone; it never goes back. */
int retention_save_setting(struct retention *r, const char *name, int64_t value);

/* How far a kind of the log has been dropped. */
int retention_through(struct retention *r, enum log_kind kind, int64_t *out);

static inline bool retention_is_time_up(const struct retention *r)
{
    return mono_us() >= r->deadline_us;
}

static inline int64_t retention_age_of(const struct retention *r, enum retention_kind kind)
{
    return retention_age(r->ages, kind);
}

static inline int64_t retention_between(int64_t low, int64_t n, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

#define RETENTION_TEXT_OF(n) #n
#define RETENTION_TEXT(n)    RETENTION_TEXT_OF(n)

#endif
