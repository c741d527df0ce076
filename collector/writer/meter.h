/* SPDX-License-Identifier: MIT
 *
 * meter.h: what the models cost and how they behave, as metrics: the dispatches that this process
 * stored, counted by agent, provider, model and status, and as OpenTelemetry's GenAI histograms.
 *
 * Owner of all but meter_emit: the writer. Rows are counted in memory as they are stored and become
 * visible with the commit, so that what is rolled back and sent again counts once. A metric never
 * goes down: where a row is taken back (a partial record that a final one replaces, a coarser one),
 * what is shown stands still until the truth has caught up with it.
 *
 * Bounded: METER_NAMES agents, METER_NAMES pairs of provider and model, METER_USAGES of their
 * combinations, METER_ERRORS kinds of errors; all others are told together as "other". A name
 * that nobody told is "unknown".
 */
#ifndef COLLECTOR_METER_H
#define COLLECTOR_METER_H

#include "../base/metric.h"
#include "log_row.h"
#include "store.h"

#define METER_NAMES     64
#define METER_USAGES    512
#define METER_ERRORS    16
#define METER_DURATIONS 256

struct meter;

/* store: for the names of a combination that meter_retract meets first; borrowed. May be NULL: such
 * a row is then left uncounted. 0 or a negative SQLite code; on success *out is owned by the caller. */
int meter_open(struct store *store, struct meter **out);
void meter_close(struct meter *m); /* NULL is fine; nobody may call meter_emit any more */

/* A row that was just written (not one that is replayed). Ignores all but dispatches that count.
 * wire: the names of its combination, struct event's dims. */
void meter_row(struct meter *m, const struct log_row *row, struct slice wire);

/* A row that counted does not count any more: replaced, told finer. 0 or a negative SQLite code. */
int meter_retract(struct meter *m, const struct log_row *row);
/* Such a row counts again, with its numbers of now. 0 or a negative SQLite code. */
int meter_restore(struct meter *m, const struct log_row *row);

/* After the commit: all since the last one becomes visible. After a rollback: it never was. */
void meter_commit(struct meter *m);
void meter_rollback(struct meter *m);

/* Tells every metric. Any thread, at any time between open and close. */
void meter_emit(struct meter *m, metric_fn emit, void *sink);

#endif
