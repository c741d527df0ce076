/* SPDX-License-Identifier: MIT
 *
 * rollup.h: the minute projection: sums of the dispatches that count, by minute and combination,
 * and where in the log each minute is. Changed in memory with each event, flushed about once a second
 * in a transaction together with the projection's watermark; on start the tail of the log behind
 * the watermark is posted again. Owner: the writer.
 *
 * Invariant: table + memory = all events; table = the events up to the watermark, at every commit.
 * An event at or below the watermark that loses its place (a partial record) is therefore taken
 * out of the table at once, in the same transaction.
 */
#ifndef COLLECTOR_ROLLUP_H
#define COLLECTOR_ROLLUP_H

#include "store.h"

#define ROLLUP_CELLS_MAX   16384 /* then it is flushed, whatever the time */
#define ROLLUP_MINUTES_MAX 256
#define ROLLUP_FLUSH_MS    1000

struct rollup_cell;
struct rollup_minute;

struct rollup {
    struct store *store;           /* borrowed */
    struct rollup_cell *cells;     /* owned; dense */
    uint32_t *index;               /* owned; hash to cell + 1 */
    struct rollup_minute *minutes; /* owned; dense, few */
    uint32_t used, minutes_used;
    int64_t watermark, newest;
    sqlite3_stmt *save, *drop, *save_minute, *save_watermark, *read_row;
};

int rollup_init(struct rollup *r, struct store *store);
void rollup_fini(struct rollup *r);

/* Drops what is in memory and posts the log's tail again: at start and after a rollback. */
int rollup_replay(struct rollup *r);

/* A new row of the log, of any kind: remembers where its minute is. */
void rollup_note(struct rollup *r, int64_t id, int64_t ts_ms);

/* A dispatch that counts. num: by enum dispatch_num. */
void rollup_post(struct rollup *r, int64_t ts_ms, uint32_t dims, const int64_t *num);

/* Takes a stored row, which is no longer to count (if it did), out again. 0 or a negative SQLite code. */
int rollup_retract(struct rollup *r, int64_t id);

/* True when a flush must come before the next event (which may touch two cells). */
bool rollup_is_full(const struct rollup *r);
bool rollup_is_dirty(const struct rollup *r);

int rollup_flush(struct rollup *r);

#endif
