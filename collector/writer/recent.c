/* SPDX-License-Identifier: MIT */
#include "recent.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define SLOTS ((uint32_t)2 * RECENT_MIN)

struct recent_slot {
    uint64_t print; /* 0: free */
    uint64_t row : 63;
    uint64_t partial : 1;
};

int recent_init(struct recent *r)
{
    *r = (struct recent){ 0 };
    r->young = calloc(SLOTS, sizeof *r->young);
    r->old = calloc(SLOTS, sizeof *r->old);
    if (r->young != NULL && r->old != NULL)
        return 0;
    recent_fini(r);
    return -1;
}

void recent_fini(struct recent *r)
{
    free(r->young);
    free(r->old);
    *r = (struct recent){ 0 };
}

void recent_clear(struct recent *r)
{
    memset(r->young, 0, SLOTS * sizeof *r->young);
    memset(r->old, 0, SLOTS * sizeof *r->old);
    r->used = 0;
}

/* Ids of other publishers may be counters: all 128 bits are mixed. */
static uint64_t print_of(const uint8_t id[16])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    a = tg_hash_mix(tg_hash_mix(a) + b);
    return a != 0 ? a : 1;
}

static struct recent_slot *slot_of(struct recent_slot *slots, uint64_t print)
{
    uint32_t i = (uint32_t)(print >> 20) & (SLOTS - 1);

    while (slots[i].print != 0 && slots[i].print != print)
        i = (i + 1) & (SLOTS - 1);
    return &slots[i];
}

bool recent_find(const struct recent *r, const uint8_t id[16], struct recent_entry *out)
{
    uint64_t print = print_of(id);
    const struct recent_slot *s = slot_of(r->young, print);

    if (s->print == 0)
        s = slot_of(r->old, print);
    if (s->print == 0)
        return false;
    *out = (struct recent_entry){ (int64_t)s->row, s->partial };
    return true;
}

void recent_add(struct recent *r, const uint8_t id[16], struct recent_entry entry)
{
    uint64_t print = print_of(id);

    if (r->used == RECENT_MIN) {
        struct recent_slot *spare = r->old;
        r->old = r->young;
        r->young = spare;
        memset(spare, 0, SLOTS * sizeof *spare);
        r->used = 0;
    }
    struct recent_slot *s = slot_of(r->young, print);
    if (s->print == 0)
        r->used++;
    *s = (struct recent_slot){ print, (uint64_t)entry.row & INT64_MAX, entry.partial };
}

void recent_prefetch(const struct recent *r, const uint8_t id[16])
{
    uint32_t i = (uint32_t)(print_of(id) >> 20) & (SLOTS - 1);

    __builtin_prefetch(&r->young[i], 1);
    __builtin_prefetch(&r->old[i], 0);
}
