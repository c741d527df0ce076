/* SPDX-License-Identifier: MIT
 *
 * sessions.h: the projection 'session': what each session came to over its whole life, and (through
 * spans.h) where in the log its rows are. Both change in memory with each row and are flushed
 * together, with one watermark. Owner: the writer.
 *
 * Invariant: table + memory = all rows; table = the rows up to the watermark, at every commit. A row
 * at or below the watermark that does not count any more, or counts again, is therefore taken out of the
 * table or added to it at once, in the same transaction.
 */
#ifndef COLLECTOR_SESSIONS_H
#define COLLECTOR_SESSIONS_H

#include "log_row.h"
#include "spans.h"
#include "store.h"

#define SESSIONS_CELLS_MAX 8192 /* touched sessions; then it is flushed, whatever the time */

struct session_totals_cell;

struct session_totals {
    struct store *store;               /* borrowed */
    struct session_totals_cell *cells; /* owned; dense */
    uint32_t *index;                   /* owned; hash to cell + 1 */
    uint32_t *order;                   /* owned; scratch of a flush */
    uint32_t used;
    int64_t watermark, newest;
    struct spans spans;
    sqlite3_stmt *save, *change, *save_watermark;
};

int session_totals_init(struct session_totals *s, struct store *store);
void session_totals_fini(struct session_totals *s);

/* The verbs of log_row.h. Those with a result: 0 or a negative SQLite code. */
int session_totals_start(struct session_totals *s);
void session_totals_row(struct session_totals *s, const struct log_row *row);
int session_totals_retract(struct session_totals *s, const struct log_row *row);
int session_totals_restore(struct session_totals *s, const struct log_row *row);
bool session_totals_is_full(const struct session_totals *s);
bool session_totals_is_dirty(const struct session_totals *s);
int session_totals_flush(struct session_totals *s);

#endif
