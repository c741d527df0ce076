/* SPDX-License-Identifier: MIT */
#include "board.h"

#include <pthread.h>
#include <stdlib.h>

struct board_stand {
    pthread_mutex_t lock;
    struct board *latest;
    void (*changed)(void *arg);
    void *arg;
};

struct board *board_hold(struct board *b)
{
    atomic_fetch_add(&b->references, 1);
    return b;
}

void board_release(struct board *b)
{
    if (b == NULL || atomic_fetch_sub(&b->references, 1) > 1)
        return;
    free(b->entries);
    free(b->bytes);
    free(b);
}

struct board_stand *board_stand_new(void)
{
    struct board_stand *s = calloc(1, sizeof *s);

    if (s != NULL)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void board_stand_free(struct board_stand *s)
{
    if (s == NULL)
        return;
    board_release(s->latest);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void board_stand_put(struct board_stand *s, struct board *b)
{
    pthread_mutex_lock(&s->lock);
    struct board *before = s->latest;
    s->latest = b;
    if (s->changed != NULL)
        s->changed(s->arg);
    pthread_mutex_unlock(&s->lock);
    board_release(before);
}

struct board *board_stand_take(struct board_stand *s)
{
    pthread_mutex_lock(&s->lock);
    struct board *b = s->latest != NULL ? board_hold(s->latest) : NULL;
    pthread_mutex_unlock(&s->lock);
    return b;
}

void board_stand_notify(struct board_stand *s, void (*changed)(void *arg), void *arg)
{
    pthread_mutex_lock(&s->lock);
    s->changed = changed;
    s->arg = arg;
    pthread_mutex_unlock(&s->lock);
}
