/* SPDX-License-Identifier: MIT
 *
 * metrics.h: what HTTP counts about itself, and the Prometheus text exposition (0.0.4).
 */
#ifndef COLLECTOR_HTTP_METRICS_H
#define COLLECTOR_HTTP_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "../base/histogram.h"
#include "server.h"
#include "text.h"

#define METRICS_ROUTES   48 /* at least the routes of routes.c and one for all other paths */
#define METRICS_STATUSES 600

/* Counted by connection threads, read by whoever shows them. */
struct http_counters {
    _Atomic uint64_t requests[METRICS_ROUTES][METRICS_STATUSES];
    struct histogram duration_us[METRICS_ROUTES];
    _Atomic int64_t connections; /* open now */
    _Atomic int64_t streams;     /* live streams (/v1/stream, /v1/alerts/stream) open now */
    _Atomic uint64_t cut;        /* answers that ended visibly broken */
};

/* What metrics_write shows. names: of the routes, METRICS_ROUTES of them, NULL where there is none. */
struct metrics_sources {
    struct http_counters *counters;
    const char *const *names;
    struct histogram *queries; /* NULL: none are counted */
    int64_t connections_limit, streams_limit;
    const struct http_hooks *hooks;
};

/* Writes everything, then what the hooks tell. */
void metrics_write(const struct metrics_sources *from, struct text *out);

#endif
