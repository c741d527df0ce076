/* SPDX-License-Identifier: MIT
 *
 * measures.h: everything that the daemon tells /metrics, gathered from the stages that count.
 */
#ifndef COLLECTOR_MEASURES_H
#define COLLECTOR_MEASURES_H

#include "../alarm/notifier.h"
#include "../base/counters.h"
#include "../base/queue.h"
#include "../writer/retention_ages.h"
#include "../writer/writer.h"

/* All borrowed. */
struct measures {
    struct counters *counters;
    struct queue *queue;
    struct writer *writer;
    struct notifier *notifier;
    const char *database; /* path */
    const struct retention_ages *ages;
};

/* Any thread. */
void measures_emit(const struct measures *from, metric_fn emit, void *sink);

#endif
