/* SPDX-License-Identifier: MIT
 *
 * trial.h: a test alert to some destinations at once, and what came of it. Owner: who asks until it is handed
 * to the notifier's thread, that thread until it is done.
 */
#ifndef COLLECTOR_TRIAL_H
#define COLLECTOR_TRIAL_H

#include <semaphore.h>

#include "../base/queue.h"
#include "send.h"

struct trial;

struct trial_part {
    struct send_owner owner; /* first */
    struct trial *trial;
    struct attempt *attempt; /* borrowed from the sender; NULL: none */
    char name[DESTINATION_NAME_MAX + 1];
    const char *type; /* static */
};

struct trial {
    struct queue_item item; /* first */
    const char *name;       /* borrowed; NULL: each */
    sem_t done;
    struct trial_part part[DESTINATIONS_MAX];
    size_t parts, open; /* open: of them, under way */
    int http_status;
    json_t *results; /* owned; an array */
};

/* Begins the test of one destination. */
void trial_add(struct trial *t, struct sender *s, const struct destination *d, int64_t now_ms);

/* Cuts what is under way: nobody is told any more. */
void trial_cut(struct trial *t, struct sender *s);

#endif
