/* SPDX-License-Identifier: MIT
 *
 * partitions.h: keeps log_partition up to date: the log in pieces by arrival, the unit in which
 * retention drops it. A new piece begins with a new day (UTC), after PARTITION_ROWS rows, and after a
 * tenth of the shortest age in the log, so that nothing is kept much longer than it should be.
 * The verbs of log_row.h. Owner: the writer.
 *
 * Invariant: at every commit the pieces cover exactly the ids up to the watermark, which is the
 * greatest last_id; retention never takes the row of the newest piece.
 */
#ifndef COLLECTOR_PARTITIONS_H
#define COLLECTOR_PARTITIONS_H

#include "log_row.h"
#include "retention_ages.h"
#include "store.h"

#define PARTITION_ROWS    (4 * 1000 * 1000)
#define PARTITION_MIN_MS  500
#define PARTITION_PENDING 8 /* pieces changed since the last flush; then one must come */

struct partition {
    int64_t first_id, last_id, first_received_ms, last_received_ms, newest_ms;
    int64_t rows[LOG_REPORT + 1]; /* by enum log_kind */
};

struct partitions {
    struct store *store;                         /* borrowed */
    const struct retention_ages *ages;           /* borrowed; NULL: everything is kept for ever */
    int64_t watermark;                           /* what the file covers */
    struct partition pending[PARTITION_PENDING]; /* the last one is open */
    int used;
    bool dirty;
    sqlite3_stmt *load, *save;
};

/* 0 or a negative SQLite code, as everywhere here. */
int partitions_init(struct partitions *p, struct store *store, const struct retention_ages *ages);
void partitions_fini(struct partitions *p);

/* Forgets what is in memory and opens the newest piece of the file. */
int partitions_start(struct partitions *p);

/* The next row of the log; those up to the watermark are ignored. Never when partitions_is_full. */
void partitions_row(struct partitions *p, const struct log_row *row);

bool partitions_is_full(const struct partitions *p);
bool partitions_is_dirty(const struct partitions *p);

/* Inside a transaction; cheap: a row or two. */
int partitions_flush(struct partitions *p);

#endif
