/* SPDX-License-Identifier: MIT
 *
 * counting.h: a thread that counts what was there before a budget came, while the writer goes on. What it
 * reads is the file as of one commit; everything later is the writer's own. One at a time. Owner: the writer.
 */
#ifndef COLLECTOR_COUNTING_H
#define COLLECTOR_COUNTING_H

#include "../base/queue.h"

struct counting;

/* Starts to count for the budgets that want it, as of the last commit, and returns when that is fixed: no
 * transaction may be open. The result comes as an ORDER_COUNTED at the queue's head; its `what` is a struct
 * recount. NULL: no memory, or the file cannot be read: try again later. path, zone and queue are borrowed
 * until counting_stop. */
struct counting *counting_start(const char *path, const char *zone, struct queue *queue);

/* After its order has been served, or at the end: waits for the thread, interrupting it. NULL is fine. */
void counting_stop(struct counting *c);

#endif
