/* SPDX-License-Identifier: MIT
 *
 * deliveries.h: what became of messages, by destination, since the start. The notifier's thread counts, any
 * thread reads. A destination keeps its place when it is gone; who finds none is counted as "(other)".
 */
#ifndef COLLECTOR_DELIVERIES_H
#define COLLECTOR_DELIVERIES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "../base/metric.h"
#include "destination.h"

enum delivery { DELIVERY_TOLD, DELIVERY_FAILED, DELIVERY_GIVEN_UP, DELIVERIES };

struct deliveries {
    struct {
        _Atomic bool there; /* then its name stays */
        char name[DESTINATION_NAME_MAX + 1];
        _Atomic int64_t count[DELIVERIES];
    } of[DESTINATIONS_MAX + 1]; /* the last one: the others */
};

/* n 0: it is shown from now on. */
void deliveries_add(struct deliveries *d, const char *destination, enum delivery what, int64_t n);

/* tollgate_notifications_total{destination, result}. */
void deliveries_emit(struct deliveries *d, metric_fn emit, void *sink);

#endif
