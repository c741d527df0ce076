/* SPDX-License-Identifier: MIT
 *
 * notifier.h: tells alerts: a thread of its own that reads the outbox, groups, sends and tries again. All
 * destinations are served at once; whatever one of them waits for, no other waits for it, and nobody waits
 * for the notifier.
 *
 * What could not be told is tried again after a pause, until the destination's give_up_ms have passed since
 * the first attempt of that message, and five attempts have failed since the collector started. What a person
 * must mend first (a token, an address, a certificate: 401, 403, 404, 410, a redirect, a command that is not
 * there) is tried again too, at the longest pause and whenever the destinations are given anew: the alert
 * must survive until somebody has. What is refused for what it is (other 4xx) is given up at once.
 *
 * While the store cannot write, nothing can be written to the outbox: that is told past it, once for each
 * destination that wants alerts of the kind `store`.
 */
#ifndef COLLECTOR_NOTIFIER_H
#define COLLECTOR_NOTIFIER_H

#include "../base/counters.h"
#include "../base/metric.h"
#include "../base/queue.h"
#include "../base/ticker.h"
#include "destination.h"

#define NOTIFIER_ERROR_MAX 256
#define NOTIFIER_TRIALS    2 /* notifier_test at once; over it: 503 */

/* Pauses between attempts: doubled from the first to the most, up to a fifth less by chance. */
#define NOTIFIER_AGAIN_FIRST_MS ((int64_t)5 * 1000)
#define NOTIFIER_AGAIN_MOST_MS  ((int64_t)15 * 60 * 1000)

/* How long the store cannot write before it is told. */
#define NOTIFIER_OUTAGE_MS ((int64_t)5 * 1000)

struct notifier;

struct notifier_options {
    const char *database;  /* copied */
    const char *link;      /* copied; NULL: none */
    struct queue *writer;  /* the rest borrowed until notifier_free */
    struct ticker *alerts; /* ticks when an alert has been committed, and when the store begins or ends not to
                              be writable; is given a bell */
    struct counters *counters;
    int64_t (*now_ms)(
        void); /* NULL: wall time; another one for tests, which tick when they have changed it */
};

/* The writer has been started. On failure -1 and error says why. */
int notifier_start(const struct notifier_options *options, char error[NOTIFIER_ERROR_MAX],
                   struct notifier **out);

/* From now on these, which it takes over (the list, malloc'd, and each; names are unique). Waits until the
 * file knows them, or the writer has said that it cannot write now: what is raised after that is told to all.
 * One thread at a time. */
void notifier_use(struct notifier *n, struct destination **all, size_t count);

/* Sends a test alert to the destination of this name (NULL: to each), now, past the outbox. Any thread.
 * Returns an HTTP status: 200; 404, 503 with a problem document; *answer: {"results": [{"destination",
 * "type", "ok", "ms", "error": or null}]}, a new reference, NULL: no memory. Blocks as long as the slowest
 * one takes, which is not longer than its timeout. */
int notifier_test(struct notifier *n, const char *name, json_t **answer);

/* Tells the metrics what became of messages, by destination. Any thread, until notifier_free. */
void notifier_emit(struct notifier *n, metric_fn emit, void *sink);

/* Ends the thread, while the writer still answers: what is being sent has a second to end, what was not told
 * stays in the outbox. Tests are answered with 503 from now on. NULL is fine. */
void notifier_stop(struct notifier *n);

/* When nobody calls any more and the writer has stopped. NULL is fine. */
void notifier_free(struct notifier *n);

#endif
