/* SPDX-License-Identifier: MIT
 *
 * losses.h: what emitters say they have lost, by source and reason. A report tells totals since its
 * epoch began; the difference to the report before it is added here, so that the counters begin
 * at 0 with this process like all others and a report that comes twice adds nothing.
 * Bounded: LOSSES_SOURCES sources, all others together as "other"; LOSSES_EPOCHS epochs are
 * remembered, the longest silent is forgotten first. A forgotten one that speaks again, or one whose
 * last report lies before the LOSSES_LOOK newest at the start, is taken for new.
 *
 * Owner of all but losses_emit: the writer. What a report tells becomes visible with the commit.
 */
#ifndef COLLECTOR_LOSSES_H
#define COLLECTOR_LOSSES_H

#include "../base/metric.h"
#include "store.h"

#define LOSSES_SOURCES 64
#define LOSSES_EPOCHS  1024
#define LOSSES_LOOK    4096 /* newest reports that the start looks at */

#define LOSSES_REASONS 6 /* full, evicted, too_big, damaged, refused, other */

struct losses;

/* Static. */
const char *losses_reason_name(int reason);

/* Reads where each recent epoch stands. 0 or a negative SQLite code; on success *out is owned. */
int losses_open(struct store *store, struct losses **out);
void losses_close(struct losses *l); /* NULL is fine; nobody may call losses_emit any more */

/* A report that was just written. json: the stored body, an object; epoch 0: it came without one. more: what
 * has been lost since the one before, by reason. 0 or a negative SQLite code. */
int losses_report(struct losses *l, uint32_t source, int64_t epoch, const char *json,
                  int64_t more[LOSSES_REASONS]);

void losses_commit(struct losses *l);
void losses_rollback(struct losses *l);

/* Tells every metric. Any thread, at any time between open and close. */
void losses_emit(struct losses *l, metric_fn emit, void *sink);

#endif
