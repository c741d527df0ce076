/* SPDX-License-Identifier: MIT
 *
 * queue.h: the one way in which threads of the collector hand things on. Bounded by the sum of its
 * items' weights; any number of producers and consumers. Full: queue_push waits as long as it is
 * told and then answers QUEUE_FULL; what happens then is the producer's policy.
 */
#ifndef COLLECTOR_QUEUE_H
#define COLLECTOR_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct queue;

enum queue_result { QUEUE_OK = 0, QUEUE_FULL = -1, QUEUE_CLOSED = -2, QUEUE_EMPTY = -3 };

/* An item is linked through this, its first member. */
struct queue_item {
    struct queue_item *next;
    size_t weight;
    int kind; /* what it is: between who pushes and who pops */
};
enum item_kind { ITEM_BATCH, ITEM_ORDER };

/* An item heavier than the capacity still fits into an empty queue. NULL: no memory. */
struct queue *queue_new(size_t capacity);
void queue_free(struct queue *q); /* NULL is fine; items still inside are not freed */

/* wait_ms: 0 = do not wait. */
enum queue_result queue_push(struct queue *q, struct queue_item *item, int64_t wait_ms);

/* Ahead of all that queue_push put there, behind what came this way before, whatever the weight: who
 * pushes bounds how many. QUEUE_OK or QUEUE_CLOSED. */
enum queue_result queue_push_first(struct queue *q, struct queue_item *item);

/* The oldest item, waiting up to wait_ms (negative: for ever). QUEUE_CLOSED: closed and empty. */
enum queue_result queue_pop(struct queue *q, int64_t wait_ms, struct queue_item **out);

/* The oldest of those that go first, without waiting; QUEUE_EMPTY: there is none. */
enum queue_result queue_pop_first(struct queue *q, struct queue_item **out);

/* No more pushes; what is inside can still be popped. */
void queue_close(struct queue *q);

size_t queue_weight(struct queue *q);
size_t queue_capacity(const struct queue *q);

#endif
