/* SPDX-License-Identifier: MIT
 *
 * metric.h: one sample of a metric, as whoever counts tells it to whoever shows it (/metrics). Every
 * value is an integer in a decimal fraction of its base unit (milliseconds, nano-dollars), so that it
 * can be written down exactly.
 */
#ifndef COLLECTOR_METRIC_H
#define COLLECTOR_METRIC_H

#include <stddef.h>
#include <stdint.h>

#define METRIC_LABELS 4

/* How many values were at most bounds[i] (and above the bound before): counts[i]; counts[bounds_n]:
 * above all. Bounds and sum are in the metric's fraction. Borrowed for the call. */
struct metric_histogram {
    const int64_t *bounds, *counts;
    size_t bounds_n;
    int64_t sum;
};

/* Samples of one name must follow each other. Strings are borrowed for the call; label values may
 * hold any byte. Labels end at the first NULL name. */
struct metric {
    const char *name; /* "tollgate_events_stored_total" */
    const char *help;
    const char *type; /* "counter", "gauge", "histogram" */
    struct {
        const char *name, *value;
    } labels[METRIC_LABELS];
    int64_t value;
    int64_t per;                              /* how many make the base unit: a power of ten; 0: 1 */
    const struct metric_histogram *histogram; /* of type histogram; then value means nothing */
};
typedef void (*metric_fn)(void *sink, const struct metric *sample);

#endif
