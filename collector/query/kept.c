/* SPDX-License-Identifier: MIT
 *
 * Invariants: whoever has the turn (handed on through a queue of one) reads and changes the table; a
 * sum never changes, and lives as long as the table or a request holds it.
 */
#include "kept.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/queue.h"

#define SLOTS 1024
#define NEAR  8 /* slots that a key may stand in */

struct sum {
    struct kept_sum sum; /* first, so that a sum is found from it */
    struct kept_key key;
    struct kept_version version;
    uint64_t used; /* of the turn in which it was used last */
    atomic_uint holders;
    uint8_t bytes[];
};

struct kept {
    size_t worth, batch;
    struct queue *turn; /* owned */
    struct queue_item turn_item;
    /* of whoever has the turn */
    struct sum *slot[SLOTS]; /* held */
    size_t bytes;
    uint64_t turns;
};

struct kept *kept_new(void)
{
    struct kept *k = calloc(1, sizeof *k);

    if (!k)
        return NULL;
    k->turn = queue_new(1);
    if (!k->turn) {
        free(k);
        return NULL;
    }
    kept_tune(k, KEPT_WORTH, KEPT_BATCH);
    k->turn_item.weight = 1;
    queue_push(k->turn, &k->turn_item, 0);
    return k;
}

static void let_go(struct sum *s)
{
    if (s && atomic_fetch_sub(&s->holders, 1) == 1)
        free(s);
}

void kept_give(const struct kept_sum *sum)
{
    let_go((struct sum *)(uintptr_t)sum);
}

void kept_free(struct kept *k)
{
    if (!k)
        return;
    for (int i = 0; i < SLOTS; i++)
        let_go(k->slot[i]);
    queue_free(k->turn);
    free(k);
}

size_t kept_worth(const struct kept *k)
{
    return k->worth;
}

size_t kept_batch(const struct kept *k)
{
    return k->batch;
}

void kept_tune(struct kept *k, size_t worth, size_t batch)
{
    k->worth = worth;
    k->batch = batch;
}

static void turn_take(struct kept *k)
{
    struct queue_item *item;

    queue_pop(k->turn, -1, &item);
    k->turns++;
}

static void turn_give(struct kept *k)
{
    queue_push(k->turn, &k->turn_item, 0);
}

static size_t first_slot(const struct kept_key *key)
{
    uint64_t hash[2];

    tg_hash128((const unsigned char *)key, sizeof *key, (unsigned char *)hash);
    return hash[0] % SLOTS;
}

static struct sum **find(struct kept *k, const struct kept_key *key)
{
    size_t first = first_slot(key);

    for (size_t i = 0; i < NEAR; i++) {
        struct sum **slot = &k->slot[(first + i) % SLOTS];
        if (*slot && memcmp(&(*slot)->key, key, sizeof *key) == 0)
            return slot;
    }
    return NULL;
}

const struct kept_sum *kept_get(struct kept *k, const struct kept_key *key, const struct kept_version *v)
{
    struct sum *found = NULL;

    turn_take(k);
    struct sum **slot = find(k, key);
    if (slot && memcmp(&(*slot)->version, v, sizeof *v) == 0) {
        found = *slot;
        found->used = k->turns;
        atomic_fetch_add(&found->holders, 1);
    }
    turn_give(k);
    return found ? &found->sum : NULL;
}

static void drop(struct kept *k, struct sum **slot)
{
    k->bytes -= (*slot)->sum.len;
    let_go(*slot);
    *slot = NULL;
}

/* Where a new sum is to stand: where its key does already, in a free slot, or instead of the oldest. */
static struct sum **place(struct kept *k, const struct kept_key *key)
{
    size_t first = first_slot(key);
    struct sum **best = find(k, key);

    for (size_t i = 0; i < NEAR && !best; i++) {
        if (!k->slot[(first + i) % SLOTS])
            best = &k->slot[(first + i) % SLOTS];
    }
    if (!best) {
        best = &k->slot[first];
        for (size_t i = 1; i < NEAR; i++) {
            struct sum **slot = &k->slot[(first + i) % SLOTS];
            best = (*slot)->used < (*best)->used ? slot : best;
        }
    }
    if (*best)
        drop(k, best);
    return best;
}

static void make_room(struct kept *k, size_t len)
{
    while (k->bytes + len > KEPT_BYTES) {
        struct sum **oldest = NULL;
        for (int i = 0; i < SLOTS; i++) {
            if (k->slot[i] && (!oldest || k->slot[i]->used < (*oldest)->used))
                oldest = &k->slot[i];
        }
        drop(k, oldest);
    }
}

const struct kept_sum *kept_put(struct kept *k, const struct kept_key *key, const struct kept_version *v,
                                const void *at, size_t len)
{
    struct sum *s = len <= KEPT_ONE_BYTES ? malloc(sizeof *s + len) : NULL;

    if (!s)
        return NULL;
    memcpy(s->bytes, at, len);
    s->sum = (struct kept_sum){ s->bytes, len };
    s->key = *key;
    s->version = *v;
    atomic_init(&s->holders, 2);
    turn_take(k);
    struct sum **slot = place(k, key);
    make_room(k, len);
    s->used = k->turns;
    *slot = s;
    k->bytes += len;
    turn_give(k);
    return &s->sum;
}
