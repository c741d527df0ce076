/* SPDX-License-Identifier: MIT */
#include "deliveries.h"

#include <stdio.h>
#include <string.h>

static size_t place_of(struct deliveries *d, const char *destination)
{
    size_t i = 0;

    while (i < DESTINATIONS_MAX && d->of[i].there && strcmp(d->of[i].name, destination) != 0)
        i++;
    if (!d->of[i].there) {
        snprintf(d->of[i].name, sizeof d->of[i].name, "%s", i < DESTINATIONS_MAX ? destination : "(other)");
        d->of[i].there = true;
    }
    return i;
}

void deliveries_add(struct deliveries *d, const char *destination, enum delivery what, int64_t n)
{
    atomic_fetch_add(&d->of[place_of(d, destination)].count[what], n);
}

void deliveries_emit(struct deliveries *d, metric_fn emit, void *sink)
{
    static const char *const results[DELIVERIES] = { "told", "failed", "given_up" };

    for (size_t i = 0; i <= DESTINATIONS_MAX; i++)
        for (int what = 0; d->of[i].there && what < DELIVERIES; what++)
            emit(sink, &(struct metric){
                           .name = "tollgate_notifications_total",
                           .help = "Messages of alerts that were told or given up, and attempts "
                                   "that failed.",
                           .type = "counter",
                           .labels = { { "destination", d->of[i].name }, { "result", results[what] } },
                           .value = atomic_load(&d->of[i].count[what]) });
}
