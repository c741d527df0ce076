/* SPDX-License-Identifier: MIT */
#include "queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t filled, drained;
    struct queue_item *first, **last;
    struct queue_item **last_urgent; /* where the next one that goes first is linked */
    size_t weight, capacity;
    bool closed;
};

struct queue *queue_new(size_t capacity)
{
    struct queue *q = calloc(1, sizeof *q);
    pthread_condattr_t attr;

    if (q == NULL)
        return NULL;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, &attr);
    pthread_cond_init(&q->drained, &attr);
    pthread_condattr_destroy(&attr);
    q->last = q->last_urgent = &q->first;
    q->capacity = capacity;
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    pthread_cond_destroy(&q->filled);
    pthread_cond_destroy(&q->drained);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static struct timespec deadline_after(int64_t ms)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

static bool has_room(const struct queue *q, size_t weight)
{
    return q->first == NULL || q->weight + weight <= q->capacity;
}

enum queue_result queue_push(struct queue *q, struct queue_item *item, int64_t wait_ms)
{
    struct timespec until = deadline_after(wait_ms);
    enum queue_result result = QUEUE_OK;

    pthread_mutex_lock(&q->lock);
    while (!q->closed && !has_room(q, item->weight))
        if (wait_ms == 0 || pthread_cond_timedwait(&q->drained, &q->lock, &until) == ETIMEDOUT) {
            if (!has_room(q, item->weight))
                result = QUEUE_FULL;
            break;
        }
    if (q->closed)
        result = QUEUE_CLOSED;
    if (result == QUEUE_OK) {
        item->next = NULL;
        *q->last = item;
        q->last = &item->next;
        q->weight += item->weight;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return result;
}

enum queue_result queue_push_first(struct queue *q, struct queue_item *item)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    if (!closed) {
        item->next = *q->last_urgent;
        *q->last_urgent = item;
        if (item->next == NULL)
            q->last = &item->next;
        q->last_urgent = &item->next;
        q->weight += item->weight;
        pthread_cond_signal(&q->filled);
    }
    pthread_mutex_unlock(&q->lock);
    return closed ? QUEUE_CLOSED : QUEUE_OK;
}

/* Under the lock; there is one. */
static struct queue_item *take(struct queue *q)
{
    struct queue_item *item = q->first;

    q->first = item->next;
    if (q->first == NULL)
        q->last = &q->first;
    if (q->last_urgent == &item->next)
        q->last_urgent = &q->first;
    q->weight -= item->weight;
    pthread_cond_broadcast(&q->drained);
    return item;
}

enum queue_result queue_pop(struct queue *q, int64_t wait_ms, struct queue_item **out)
{
    struct timespec until = deadline_after(wait_ms < 0 ? 0 : wait_ms);
    enum queue_result result = QUEUE_OK;

    pthread_mutex_lock(&q->lock);
    while (q->first == NULL && !q->closed && wait_ms != 0) {
        if (wait_ms < 0)
            pthread_cond_wait(&q->filled, &q->lock);
        else if (pthread_cond_timedwait(&q->filled, &q->lock, &until) == ETIMEDOUT)
            break;
    }
    if (q->first == NULL)
        result = q->closed ? QUEUE_CLOSED : QUEUE_EMPTY;
    else
        *out = take(q);
    pthread_mutex_unlock(&q->lock);
    return result;
}

enum queue_result queue_pop_first(struct queue *q, struct queue_item **out)
{
    pthread_mutex_lock(&q->lock);
    bool there = q->last_urgent != &q->first;
    if (there)
        *out = take(q);
    pthread_mutex_unlock(&q->lock);
    return there ? QUEUE_OK : QUEUE_EMPTY;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->filled);
    pthread_cond_broadcast(&q->drained);
    pthread_mutex_unlock(&q->lock);
}

size_t queue_weight(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    size_t weight = q->weight;
    pthread_mutex_unlock(&q->lock);
    return weight;
}

size_t queue_capacity(const struct queue *q)
{
    return q->capacity;
}
