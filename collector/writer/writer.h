/* SPDX-License-Identifier: MIT
 *
 * writer.h: the thread that changes data. Takes batches from its queue, stores them in one
 * transaction, and calls each batch's done after the commit; serves orders (govern/order.h) in the
 * same way. It alone writes, and it alone checkpoints.
 */
#ifndef COLLECTOR_WRITER_H
#define COLLECTOR_WRITER_H

#include "../base/batch.h"
#include "../base/board.h"
#include "../base/counters.h"
#include "../base/metric.h"
#include "../base/ticker.h"
#include "journal.h"

struct writer;

struct writer_options {
    const char *path;        /* borrowed during writer_start */
    const char *synchronous; /* "full" or "extra" */
    struct journal_options journal;
    int64_t stream_days;       /* a stream that was silent this long is forgotten */
    struct board_stand *stand; /* where verdicts are published; borrowed until writer_stop; NULL: nowhere */
    struct ticker *alerts; /* ticks when an alert has been committed, and when the store begins or ends not to
                              be writable; borrowed likewise; NULL: nobody waits */
};

/* Opens the store and starts the thread; returns when the store is ready. queue, counters and
 * commits (ticks after each commit) are borrowed until writer_stop. On failure error says why. */
int writer_start(const struct writer_options *options, struct queue *queue, struct counters *counters,
                 struct ticker *commits, char error[STORE_ERROR_MAX], struct writer **out);

/* Tells the metrics of what it stored (meter.h, losses.h). Any thread, until writer_stop. */
void writer_emit(struct writer *w, metric_fn emit, void *sink);

/* After queue_close: stores what is in the queue, then closes the store. NULL is fine. */
void writer_stop(struct writer *w);

#endif
