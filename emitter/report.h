/* SPDX-License-Identifier: MIT
 *
 * report.h: an emitter about itself: an event of kind report made from the spool's header, so that
 * whoever sends can tell what a killed gateway lost. Owner: the thread that sends.
 */
#ifndef EMITTER_REPORT_H
#define EMITTER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "spool.h"

#define REPORT_BODY_MAX ((size_t)16 << 10)

struct report {
    struct ring_writer writer; /* of segment 0 */
    uint64_t written_ms;
    uint64_t losses; /* as told by the last one */
    bool any;
    bool final;
};

void report_init(struct report *r, struct spool *s);

/* Writes a report into segment 0 if one is due: at the start, every report_ms, whether or not anything
 * changed: the collector hears that we are there; within a second of a loss. */
void report_tick(struct report *r, struct spool *s, uint64_t now);

/* The last one, once: it says whether the emitter closed in order or left its spool over. Call it again if
 * there may be no room yet. */
void report_last(struct report *r, struct spool *s, uint64_t now);

uint64_t report_deadline(const struct report *r, const struct spool *s);

#endif
