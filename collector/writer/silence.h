/* SPDX-License-Identifier: MIT
 *
 * silence.h: publishers that were there and are not heard any more. Whatever comes from one counts: events,
 * reports, what was here before. Times are those of arrival by this collector's clock.
 *
 * Who is judged. A publisher that sends reports (an emitter does, once a minute, whether or not anything
 * happened) is judged from its first report on. One that never did is judged once it has sent steadily: for
 * SILENCE_STEADY times the silence that is told, without a pause of half of it; this begins anew with each
 * start. A publisher whose report says `closed` has left in order and is judged no more until it speaks
 * again; where two of one name speak at the same time, the other one is still awaited.
 *
 * For how long. silent_ms, or three times the publisher's own interval between reports, if that is longer. A
 * collector that was not there itself (it has just been started, the store was down, the machine slept)
 * counts from its return. At the start, publishers of the last day (SILENCE_LOOK_MS) are known again from the
 * file.
 *
 * Bounded: SILENCE_PUBLISHERS; while so many are known, the one that is judged least takes the place of a new
 * one: one that has left, else one that is not judged; else the new one is not judged. Owner: the writer,
 * inside a transaction unless something else is said. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_SILENCE_H
#define COLLECTOR_SILENCE_H

#include "alerts.h"

#define SILENCE_DEFAULT_MS  ((int64_t)5 * 60 * 1000)
#define SILENCE_STEADY      12
#define SILENCE_REPORTS     3 /* intervals between reports that may pass */
#define SILENCE_LOOK_MS     ((int64_t)24 * 3600 * 1000)
#define SILENCE_PUBLISHERS  4096
#define SILENCE_LATE_MS     30000 /* woken so much later than it was to be: it was not there itself */
#define SILENCE_REPORTS_MAX ((int64_t)3600 * 1000) /* of an interval that a publisher may claim */

struct publisher;

struct silence {
    struct alerts *alerts; /* borrowed */
    int64_t silent_ms;     /* 0: nobody is judged */
    struct publisher *all; /* owned */
    uint16_t *index;       /* owned; places in all, from 1 on, by source */
    uint32_t used;
    int64_t since_ms; /* it has listened since then */
    int64_t due_ms;   /* nobody is silent before; INT64_MAX */
    sqlite3_stmt *load, *load_open, *name;
};

/* fini is due in any case. */
int silence_init(struct silence *s, struct alerts *alerts, int64_t silent_ms);
void silence_fini(struct silence *s);

/* Memory equal to the file. Not only inside transactions. */
int silence_start(struct silence *s, int64_t now_ms);

/* Something has come from a source. epoch 0: without one. */
int silence_heard(struct silence *s, uint32_t source, uint64_t epoch, int64_t now_ms);

/* What a report says of its publisher's next ones. */
struct silence_report {
    bool closed;      /* there are none: it leaves */
    bool left;        /* somebody else tells what a dead one left behind */
    int64_t every_ms; /* 0: not told */
};
void silence_report_read(const char *body, struct silence_report *out);

/* It was a report. silence_heard comes with it, before or after. */
int silence_report(struct silence *s, uint32_t source, uint64_t epoch, const struct silence_report *r,
                   int64_t now_ms);

/* Time passes. */
int silence_tick(struct silence *s, int64_t now_ms);

#endif
