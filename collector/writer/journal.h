/* SPDX-License-Identifier: MIT
 *
 * journal.h: appends events to the log and tells the projections.
 * Knows what a duplicate, a replacement and a conflict is. Owner: the writer, inside a transaction;
 * after a rollback journal_recover makes memory equal to the file again.
 */
#ifndef COLLECTOR_JOURNAL_H
#define COLLECTOR_JOURNAL_H

#include "../base/batch.h"
#include "names.h"
#include "pricer.h"
#include "projections.h"
#include "recent.h"
#include "runs.h"
#include "store.h"
#include "watch.h"

struct journal_options {
    int64_t past_ms;   /* an event older than this is misdated */
    int64_t future_ms; /* or this much ahead of our clock */
    int64_t quarantine_rows;
    int64_t combinations;                   /* that the rollups know; 0: COMBINATIONS_DEFAULT */
    const struct zone *zone;                /* the reporting zone; borrowed; NULL: UTC */
    const struct retention_ages *ages;      /* borrowed; NULL: everything is kept */
    const struct price_list *prices;        /* borrowed; NULL: nothing is priced */
    const struct ledger_options *governing; /* borrowed during journal_init; NULL: defaults */
    struct watch_options watching;
};

/* What the transaction under way has done: it becomes true with the commit. */
struct journal_tally {
    int64_t stored, duplicate, replaced, conflict, coarser, misdated, quarantined, discarded, overflowed;
    int64_t newest_ms; /* the latest event's time */
};

struct journal {
    struct journal_options options;
    struct store *store; /* borrowed */
    struct journal_tally tally;
    struct names names;
    struct recent recent;
    struct runs runs;
    struct pricer pricer;
    struct projections projections;
    struct watch watch;
    sqlite3_stmt *read_usage, *read_row, *set_state, *is_coarser, *trim_quarantine;
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

/* Makes memory equal to the file: recent ids, runs, and what the projections have not flushed. Forgets
 * the tally. Outside a transaction: it makes its own where a projection is full on the way. */
int journal_recover(struct journal *j);

/* Stores one event, or recognises it; e gets its id if it had none, and a stored dispatch its price and cost.
 * 0 or a negative SQLite code. */
int journal_append(struct journal *j, const struct journal_origin *from, struct event *e,
                   enum event_result *result);

/* Keeps what could not be understood. */
int journal_quarantine(struct journal *j, const struct journal_origin *from, const struct batch_event *fault);

/* What is due of the projections: see projections.h. */
static inline int journal_settle(struct journal *j, int64_t now_ms)
{
    return projections_settle(&j->projections, now_ms);
}

static inline void journal_committed(struct journal *j)
{
    projections_committed(&j->projections);
}

static inline int journal_flush_usage(struct journal *j, int64_t now_ms)
{
    return projections_flush_usage(&j->projections, now_ms);
}

static inline int journal_flush_sessions(struct journal *j)
{
    return projections_flush_sessions(&j->projections);
}

/* Asks for the memory that an event will need soon. */
static inline void journal_prefetch(const struct journal *j, const struct event *e)
{
    if (e->has_id)
        recent_prefetch(&j->recent, e->id);
}

#endif
