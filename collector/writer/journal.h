/* SPDX-License-Identifier: MIT
 *
 * journal.h: appends events to the log and tells its projections. Knows what a duplicate, a
 * replacement and a conflict is. Owner: the writer, inside a transaction; after a rollback
 * journal_recover makes memory equal to the file again.
 */
#ifndef COLLECTOR_JOURNAL_H
#define COLLECTOR_JOURNAL_H

#include "../base/batch.h"
#include "names.h"
#include "recent.h"
#include "rollup.h"
#include "runs.h"
#include "store.h"

struct journal_options {
    int64_t past_ms;   /* an event older than this is misdated */
    int64_t future_ms; /* or this much ahead of our clock */
    int64_t quarantine_rows;
};

/* What the transaction under way has done: it becomes true with the commit. */
struct journal_tally {
    int64_t stored, duplicate, replaced, conflict, coarser, misdated, quarantined, discarded;
    int64_t newest_ms; /* the latest event's time */
};

struct journal {
    struct journal_options options;
    struct store *store; /* borrowed */
    struct journal_tally tally;
    struct names names;
    struct recent recent;
    struct runs runs;
    struct rollup rollup;
    sqlite3_stmt *read_usage, *set_state, *find_coarser, *trim_quarantine;
    int64_t quarantined; /* rows in the quarantine */
};

/* Where an event comes from. */
struct journal_origin {
    uint32_t source;
    bool has_stream;
    uint64_t epoch, seq;
    uint32_t stream;
    int64_t now_ms;
};

int journal_init(struct journal *j, struct store *store, const struct journal_options *options);
void journal_fini(struct journal *j);

/* Reads what memory keeps of the log (recent ids, runs, the rollup's tail); forgets the tally. */
int journal_recover(struct journal *j);

/* Stores one event, or recognises it; e gets its id if it had none. 0 or a negative SQLite code. */
int journal_append(struct journal *j, const struct journal_origin *from, struct event *e,
                   enum event_result *result);

/* Keeps what could not be understood. */
int journal_quarantine(struct journal *j, const struct journal_origin *from, const struct batch_event *fault);

/* Asks for the memory that an event will need soon. */
static inline void journal_prefetch(const struct journal *j, const struct event *e)
{
    if (e->has_id)
        recent_prefetch(&j->recent, e->id);
}

#endif
