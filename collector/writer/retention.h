/* SPDX-License-Identifier: MIT
 *
 * retention.h: deletes what is older than it should be, in slices of a few milliseconds, each a
 * transaction of its own between two batches: nothing ever waits longer for it. Freed pages are used
 * again, so the file stops growing. Owner: the writer.
 *
 * What goes, and what must hold before:
 *   log rows     a whole partition at a time, kind by kind, once its last row arrived longer ago than
 *                the kind's age and all its rows are in every projection. log_dropped says how far.
 *   quarantine   by arrival.
 *   rollups      by their own time, only what has been folded; whole quarters of minutes and whole
 *                days of quarters, so that the next level covers what is gone. projection_setting
 *                minute_dropped_before, quarter_dropped_before, day_dropped_before (Unix minutes; no
 *                row: 0) say how far; rows before them that late events make are to be ignored.
 *   sessions     totals and names together, when the session was silent for its age and none of its
 *                rows is in the log any more. So a session is kept at least as long as its rows.
 *   the index    spans none of whose rows is in the log any more.
 *   the ledger   what dispatches that go were worth to the budgets in force goes into ledger_checkpoint with
 *                them. Reservations that ended longer ago than dispatches are kept and that no row of the log
 *                names: what was told of one is then a sum for good, in projection_ledger and in the
 *                checkpoint; one that is presumed spent is kept while its window runs. Cells of budgets that
 *                have ended; cells whose window was over longer ago than day rollups are kept:
 *                projection_setting ledger_dropped_before_ms says how far (Unix milliseconds).
 *   alerts       that have ended or cannot end, and messages that have been told or given up; not one that
 *                a message under way names, and never the newest.
 */
#ifndef COLLECTOR_RETENTION_H
#define COLLECTOR_RETENTION_H

#include "../base/clock.h"
#include "names.h"
#include "retention_ages.h"
#include "store.h"

#define RETENTION_SLICE_US 3000

/* What the last step deleted, in rows. */
struct retention_tally {
    int64_t rows[RETENTION_KINDS];
    int64_t names; /* of sessions */
    int64_t index_rows;
    int64_t reservations, cells;
    int64_t told; /* postings that became sums: the ledger in memory is to be read again */
};

struct retention_session {
    int64_t session, last_ms, last_id;
};

struct retention {
    struct store *store;               /* borrowed */
    struct names *names;               /* borrowed; forgets sessions whose rows are deleted. NULL is fine */
    const struct retention_ages *ages; /* borrowed */
    struct retention_tally tally;
    struct monotime due, sessions_due;
    struct retention_session session_at; /* how far the look at the sessions under way has come */
    int64_t deadline_us;                 /* of the slice under way */
    bool is_late;                        /* it met rows that should have gone long ago */
    int turn;                            /* which kind of work comes first in the next slice */
    struct monotime reservations_due, cells_due;
    struct retention_ledger *ledger;  /* owned */
    struct retention_statements *sql; /* owned */
};

/* The first step is due at once. 0 or a negative SQLite code. */
int retention_init(struct retention *r, struct store *store, struct names *names,
                   const struct retention_ages *ages);
void retention_fini(struct retention *r);

/* For the writer: whether a step is due, and how many milliseconds until it is (never negative). */
bool retention_is_due(const struct retention *r);
int64_t retention_wait_ms(const struct retention *r);

/* One slice in a transaction of its own (outside any other), about RETENTION_SLICE_US and one commit
 * long. *more: there is more to do now. The next one becomes due by itself: soon, or when something
 * can have come of age. now_ms: wall time. On an error the slice has been rolled back. Afterwards
 * tally says what went (journal's count of the quarantine must follow it), and the write-ahead log may
 * have grown: see store_checkpoint. */
int retention_step(struct retention *r, int64_t now_ms, bool *more);

#endif
