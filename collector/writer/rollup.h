/* SPDX-License-Identifier: MIT
 *
 * rollup.h: the projection 'usage': sums and sketches of the dispatches that count, by minute,
 * quarter of an hour and day, and by rollup combination; and where in the log each of those times
 * is. Changed in memory with each event; flushed in a transaction together with its watermark. The
 * verbs are those of log_row.h. Owner: the writer.
 *
 * True at every commit:
 *   minutes   hold precisely the dispatches that count with id <= watermark
 *   quarters  are the exact sums of their minutes before folded_minute
 *   days      are the exact sums of their quarters; projection_day_row says the same
 * A minute is folded (added to its quarter and day) when it has been over for ROLLUP_FOLD_AFTER_MS by
 * the wall clock. What comes later for it is added to all three levels at once. Where retention
 * has dropped a minute or a quarter, what comes later makes a new one, of the late part only.
 */
#ifndef COLLECTOR_ROLLUP_H
#define COLLECTOR_ROLLUP_H

#include "../base/zone.h"
#include "log_row.h"
#include "rollup_cells.h"
#include "rollup_file.h"
#include "store.h"

#define ROLLUP_FOLD_AFTER_MS 60000

struct rollup {
    int64_t watermark, newest;
    uint32_t pending; /* events, retractions and restorations since the last flush */
    bool owes;        /* see rollup_must_flush */
    struct rollup_cells cells;
    struct rollup_file file;
};

/* zone: the reporting zone, borrowed for the rollup's life. 0 or a negative SQLite code; fini is due
 * in any case. */
int rollup_init(struct rollup *r, struct store *store, const struct zone *zone);
void rollup_fini(struct rollup *r);

/* Forgets what is in memory and reads the watermark. Not inside a transaction: if the file's days
 * are those of another zone, they are built anew from the quarters, in a transaction of its own. */
int rollup_start(struct rollup *r);

/* The next row of the log, of any kind. Ignores rows up to the watermark. */
void rollup_row(struct rollup *r, const struct log_row *row);

/* A dispatch that was given to rollup_row (now or in an earlier life) does not count any more; row is
 * as it was when it did. Inside the transaction that changes its state. 0 or a negative SQLite
 * code. */
int rollup_retract(struct rollup *r, const struct log_row *row);

/* The inverse: a row that has been retracted counts again, with its numbers of now. Inside the
 * transaction that changes it. 0 or a negative SQLite code. */
int rollup_restore(struct rollup *r, const struct log_row *row);

/* True when the file counts a row that has been retracted, or lacks one that has been restored: this
 * transaction must flush before it commits, so that nobody sees the row neither here nor there, or
 * twice. */
bool rollup_must_flush(const struct rollup *r);

/* True when a flush must come before the next event. */
bool rollup_is_full(const struct rollup *r);
bool rollup_is_dirty(const struct rollup *r);

/* Memory to file, then folds what is due. Inside a transaction. After a failure the rollup is not to
 * be used before rollup_start. */
int rollup_flush(struct rollup *r, int64_t now_ms);

/* When there will be something to fold (by the wall clock; INT64_MAX: nothing waits); and whether
 * that time has come, so that a flush is of use though nothing is dirty. */
int64_t rollup_fold_due_ms(const struct rollup *r);
bool rollup_fold_is_due(const struct rollup *r, int64_t now_ms);

#endif
