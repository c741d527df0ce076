/* SPDX-License-Identifier: MIT
 *
 * notifier.h: tells alerts: a thread of its own that reads the outbox, groups, sends and tries again.
 * Whatever it waits for, nobody waits for it. Destinations do not wait for each other's failures longer than
 * one attempt takes.
 */
#ifndef COLLECTOR_NOTIFIER_H
#define COLLECTOR_NOTIFIER_H

#include "../base/counters.h"
#include "../base/queue.h"
#include "../base/ticker.h"
#include "destination.h"

#define NOTIFIER_ERROR_MAX 256

/* Pauses between attempts: doubled from the first to the most, a fifth of it by chance. */
#define NOTIFIER_AGAIN_FIRST_MS ((int64_t)5 * 1000)
#define NOTIFIER_AGAIN_MOST_MS  ((int64_t)15 * 60 * 1000)

struct notifier;

struct notifier_options {
    const char *database;  /* copied */
    const char *link;      /* copied; NULL: none */
    struct queue *writer;  /* the rest borrowed until notifier_stop */
    struct ticker *alerts; /* ticks when an alert has been committed */
    struct counters *counters;
    int64_t (*now_ms)(void); /* NULL: wall time; another one for tests */
};

int notifier_start(const struct notifier_options *options, char error[NOTIFIER_ERROR_MAX],
                   struct notifier **out);

/* From now on these, which it takes over (the list and each). Any thread. */
void notifier_use(struct notifier *n, struct destination **all, size_t count);

/* Sends a test alert to the destination of this name (NULL: to each), now, on the caller's thread, past the
 * outbox. Returns an HTTP status: 200, 404; *answer: {"results": [{"destination", "type", "ok", "ms",
 * "error": or null}]}, a new reference. May block as long as the destinations' timeouts. */
int notifier_test(struct notifier *n, const char *name, json_t **answer);

/* Ends what is being sent; what was not told stays in the outbox. NULL is fine. */
void notifier_stop(struct notifier *n);

#endif
