/* SPDX-License-Identifier: MIT
 *
 * metrics.h: what HTTP counts about itself, and the Prometheus text exposition (0.0.4).
 */
#ifndef COLLECTOR_HTTP_METRICS_H
#define COLLECTOR_HTTP_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "server.h"
#include "text.h"

#define METRICS_ROUTES   16 /* at least the routes of routes.c and one for all other paths */
#define METRICS_STATUSES 600

/* Counted by connection threads, read by whoever shows them. */
struct http_counters {
    _Atomic uint64_t requests[METRICS_ROUTES][METRICS_STATUSES];
    _Atomic uint64_t seconds_count[METRICS_ROUTES];
    _Atomic uint64_t seconds_us[METRICS_ROUTES]; /* sum */
    _Atomic int64_t connections;                 /* open now */
    _Atomic uint64_t cut;                        /* answers that ended visibly broken */
};

/* Writes the counters, then those of the hooks. names: of the routes, METRICS_ROUTES of them, NULL
 * where there is none. */
void metrics_write(struct http_counters *c, const char *const *names, const struct http_hooks *hooks,
                   struct text *out);

#endif
