/* SPDX-License-Identifier: MIT
 *
 * projections.h: all that is derived from the log, as one: rollups, sessions, partitions, and the
 * metrics of what this process stored. The verbs are those of log_row.h. Owner: the writer, inside a
 * transaction unless something else is said. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_PROJECTIONS_H
#define COLLECTOR_PROJECTIONS_H

#include "ledger.h"
#include "losses.h"
#include "meter.h"
#include "partitions.h"
#include "rollup.h"
#include "sessions.h"
#include "store.h"

struct projections {
    struct store *store; /* borrowed */
    struct rollup rollup;
    struct session_totals sessions;
    struct partitions partitions;
    struct ledger ledger;
    struct meter *meter;   /* owned; any thread may let it tell */
    struct losses *losses; /* owned; any thread may let it tell */
    struct zone *utc;      /* owned; where nobody names a zone */
};

/* zone: the reporting zone; NULL: UTC. ages: NULL: everything is kept. governing: NULL: defaults. All
 * borrowed, the last one for the call. */
int projections_init(struct projections *p, struct store *store, const struct zone *zone,
                     const struct retention_ages *ages, const struct ledger_options *governing);
void projections_fini(struct projections *p);

/* Makes memory equal to the file: one pass over what any of them has not flushed. Outside a transaction:
 * it makes its own where one of them is full on the way. */
int projections_start(struct projections *p);

/* Flushes what is full: before each row, each retraction and each restoration. */
int projections_make_room(struct projections *p, int64_t now_ms);

/* A row that has just been written, and the event it was made of. */
int projections_row(struct projections *p, const struct log_row *row, const struct event *e);
int projections_retract(struct projections *p, const struct log_row *row);
/* A row that has been retracted counts again, as it is now; its id may be at or below any watermark. */
int projections_restore(struct projections *p, const struct log_row *row);

/* The same but for the ledger: a call that is priced anew and that budgets are not to be told of, or whose
 * telling is somebody else's (repricer.h). */
int projections_retract_sums(struct projections *p, const struct log_row *row);
int projections_restore_sums(struct projections *p, const struct log_row *row);

/* Before each commit: what one of them owes to this transaction. */
int projections_settle(struct projections *p, int64_t now_ms);

/* After each commit. */
void projections_committed(struct projections *p);

bool projections_are_dirty(const struct projections *p);

/* What came since the last time, to the file; the partitions with both. now_ms: wall time. */
int projections_flush_usage(struct projections *p, int64_t now_ms);
int projections_flush_sessions(struct projections *p);

#endif
