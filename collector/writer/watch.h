/* SPDX-License-Identifier: MIT
 *
 * watch.h: what the writer sees that operators are to hear of, beside budgets: conditions.h of rows, reports,
 * the quarantine and stopped calls; publishers that fall silent (silence.h); runaways (runaways.h); a store
 * that could not write. It joins them with the ledger's alerts.
 *
 * A clock that is put back by more than WATCH_STEP_MS is as a start: what is known is read again, as of then.
 *
 * Owner: the writer, inside a transaction unless something else is said. Until the first watch_tick after
 * the start and after a rollback it knows nothing and says nothing. Functions return 0 or a negative SQLite
 * code. Nothing is allocated but where an alert is raised or written.
 */
#ifndef COLLECTOR_WATCH_H
#define COLLECTOR_WATCH_H

#include "../base/counters.h"
#include "conditions.h"
#include "ledger.h"
#include "log_row.h"
#include "losses.h"
#include "pricer.h"
#include "runaways.h"
#include "silence.h"

#define WATCH_ERROR_MAX 200
#define WATCH_STEP_MS   ((int64_t)60 * 1000)

struct watch_options {
    int64_t silent_ms; /* a publisher that is silent so long is told of; 0: never */
};

/* The store could not write; it is told when it can again. */
struct watch_outage {
    int64_t from_ms, until_ms; /* until_ms 0: it cannot yet */
    bool there, told;          /* told: in the transaction under way */
    char error[WATCH_ERROR_MAX];
};

struct watch {
    struct store *store;         /* borrowed, as the next two */
    struct ledger *ledger;       /* its alerts are everybody's */
    const struct pricer *pricer; /* which has priced a row before it comes here */
    int64_t now_ms;              /* of the last tick */
    bool started;
    struct conditions conditions;
    struct silence silence;
    struct runaways runaways;
    struct watch_outage outage;
    sqlite3_stmt *source_name;
};

/* fini is due in any case. */
int watch_init(struct watch *w, struct store *store, struct ledger *ledger, const struct pricer *pricer,
               const struct watch_options *options);
void watch_fini(struct watch *w);

/* At the start and after a rollback: memory is read from the file with the next tick. Outside transactions.
 */
void watch_recover(struct watch *w);

/* A transaction begins at this time; all: it is the last one. */
int watch_tick(struct watch *w, int64_t now_ms, bool all);

/* When it wants a transaction though nobody asks; INT64_MAX. */
int64_t watch_due_ms(const struct watch *w);

/* What is only counted in memory: it wants a last transaction. */
bool watch_is_dirty(const struct watch *w);

/* ------------------------------------------------------------------ what comes */

/* Anything at all from a source; epoch 0: without one. Once for each batch. */
static inline int watch_heard(struct watch *w, uint32_t source, uint64_t epoch, int64_t now_ms)
{
    return w->started ? silence_heard(&w->silence, source, epoch, now_ms) : 0;
}

/* A dispatch about which something is odd. */
int watch_odd_call(struct watch *w, const struct log_row *row, const struct event *e, uint32_t source);

/* Whether there is nothing to say of a dispatch: it ended well, and what it cost is known. */
static inline bool watch_is_plain(const struct log_row *row)
{
    return !row->counts || (row->status != STATUS_blocked && row->num[D_cost_nanousd] != UNKNOWN);
}

/* A row that has just been written, and the event it was made of. A plain one costs a few ns, and what the
 * recogniser of runaways takes. */
static inline int watch_row(struct watch *w, const struct log_row *row, const struct event *e,
                            uint32_t source)
{
    if (row->kind != LOG_DISPATCH || !w->started)
        return 0;
    int rc = runaways_row(&w->runaways, row, e);
    return rc != 0 || watch_is_plain(row) ? rc : watch_odd_call(w, row, e, source);
}

/* A report that has just been written; lost: what its publisher has lost since the one before, by reason. */
int watch_report(struct watch *w, uint32_t source, uint64_t epoch, const char *body,
                 const int64_t lost[LOSSES_REASONS], int64_t now_ms);

/* Something from a source could not be understood. */
int watch_quarantine(struct watch *w, uint32_t source, int64_t events, const char *fault, int64_t now_ms);

/* An admission was denied. */
int watch_denied(struct watch *w, const struct order *o, int64_t now_ms);

/* A transaction failed; the store can write again. Outside transactions. */
void watch_failed(struct watch *w, const char *error, int64_t now_ms);
void watch_revived(struct watch *w, int64_t now_ms);

/* After each commit: what was raised is counted. True: the notifier is to know. */
bool watch_publish(struct watch *w, struct counters *c);

#endif
