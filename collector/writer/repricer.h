/* SPDX-License-Identifier: MIT
 *
 * repricer.h: prices stored calls again, by the list of now, in slices of a few milliseconds, each a
 * transaction of its own between two batches: nothing ever waits longer for it. A row is taken out of
 * everything derived, changed, and counted again (log_row.h), so that at every commit sums and rows agree.
 * A dry run does the same reading and changes nothing. One run at a time. Owner: the writer.
 *
 * A run that changes leaves one row in the table audit: what was asked, from its first slice on, and with the
 * last one what came of it. A run that is cut short (a store error, the end of the process) has priced its
 * first rows and not the others; asked again it does the rest. Calls that a final record replaced keep what
 * they have; those told at a finer granularity are priced again and not summed.
 */
#ifndef COLLECTOR_REPRICER_H
#define COLLECTOR_REPRICER_H

#include <jansson.h>

#include "../base/clock.h"
#include "../govern/fault.h"
#include "pricer.h"
#include "projections.h"

#define REPRICE_SLICE_US   3000
#define REPRICE_TEXT       256
#define REPRICE_MODELS_MAX 1000 /* that are told apart; the rest is summed as "(other)" */

struct reprice_request {
    int64_t from_ms, to_ms;   /* of the calls' own times: from <= ts < to */
    char model[REPRICE_TEXT]; /* only this one, as events tell it; "": all */
    char author[REPRICE_TEXT];
    bool dry_run;
    bool budgets; /* budgets whose windows are open count the new costs */
};

/* What came of the calls of one model. Unknown: calls without a cost. */
struct reprice_sum {
    char provider[REPRICE_TEXT], model[REPRICE_TEXT];
    int64_t calls, changed;
    int64_t old_nanousd, new_nanousd, old_unknown, new_unknown;
};

enum reprice_state { REPRICE_IDLE, REPRICE_RUNNING, REPRICE_DONE, REPRICE_FAILED };

/* Called inside the slice's transaction, after the row has changed, for each call that counts: was, is:
 * before and after, the same where its cost does not change. counts: the request asks for budgets; else what
 * they have counted is to stay. 0 or a negative SQLite code. */
typedef int (*reprice_ledger_fn)(void *arg, const struct log_row *was, const struct log_row *is, bool counts);

struct reprice_ref;

struct repricer {
    struct store *store; /* borrowed, as the next two */
    struct pricer *pricer;
    struct projections *projections;
    reprice_ledger_fn ledger; /* NULL: there is none */
    void *ledger_arg;
    struct reprice_request request;
    enum reprice_state state;
    int64_t at_id, last_id, first_id; /* rows up to at_id are done */
    int64_t started_ms, ended_ms, audit_id;
    struct monotime due;
    struct reprice_sum *sums; /* owned */
    unsigned models;
    struct reprice_ref *refs; /* owned; which sum a combination belongs to */
    sqlite3_stmt *scan, *read, *change, *names, *note, *note_end;
};

/* 0 or a negative SQLite code. */
int repricer_init(struct repricer *r, struct store *store, struct pricer *pricer,
                  struct projections *projections);
void repricer_fini(struct repricer *r);

/* {"from_ms", "to_ms", "model", "author", "dry_run", "budgets"}: from_ms is needed; to_ms: now. -1: *fault.
 */
int reprice_request_parse(const json_t *given, int64_t now_ms, struct reprice_request *out,
                          struct fault *fault);

/* Begins a run over what is stored now; the first step is due at once. False: one is running. */
bool repricer_start(struct repricer *r, const struct reprice_request *request, int64_t now_ms);

/* For the writer: whether a step is due, and how many milliseconds until it is; -1: never. */
bool repricer_is_due(const struct repricer *r);
int64_t repricer_wait_ms(const struct repricer *r);

/* One slice in a transaction of its own (outside any other). On an error, a negative SQLite code, it has been
 * rolled back, the run has failed, and memory is to be made equal to the file (journal_recover). */
int repricer_step(struct repricer *r, int64_t now_ms);

/* How the last run stands: {state: "idle|running|done|failed", dry_run, budgets, from_ms, to_ms, model,
 * author, started_ms, ended_ms, done: 0 to 1 of the rows, calls, changed, old_nanousd, new_nanousd,
 * difference_nanousd, old_unknown, new_unknown, models: [the same of each provider and model, the greatest
 * difference first]}. A new reference; NULL: no memory. */
json_t *repricer_report(const struct repricer *r);

/* The office's questions "reprice" (starts; 409 while one is running) and "repricing" (the report): fills
 * *status with the HTTP status. A new reference. */
json_t *repricer_serve(struct repricer *r, const char *op, const json_t *request, int64_t now_ms,
                       int *status);

#endif
