/* SPDX-License-Identifier: MIT */
#include "recent.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define SLOT_BITS     19
#define SLOTS         ((uint32_t)1 << SLOT_BITS)
#define DISTANCE_BITS 19 /* a slot: print, partial, distance; 0: free */
#define DISTANCE_MAX  ((1 << DISTANCE_BITS) - 1)
#define PARTIAL       ((uint64_t)1 << DISTANCE_BITS)
#define PRINT_SHIFT   (DISTANCE_BITS + 1)

_Static_assert(SLOTS >= 2 * RECENT_MIN, "at most half full");

int recent_init(struct recent *r)
{
    *r = (struct recent){ .used = 0 };
    r->young.slots = calloc(SLOTS, sizeof *r->young.slots);
    r->old.slots = calloc(SLOTS, sizeof *r->old.slots);
    if (r->young.slots != NULL && r->old.slots != NULL)
        return 0;
    recent_fini(r);
    return -1;
}

void recent_fini(struct recent *r)
{
    free(r->young.slots);
    free(r->old.slots);
    *r = (struct recent){ .used = 0 };
}

void recent_clear(struct recent *r)
{
    memset(r->young.slots, 0, SLOTS * sizeof *r->young.slots);
    memset(r->old.slots, 0, SLOTS * sizeof *r->old.slots);
    r->used = 0;
}

/* Where an id is looked for first, and what its slot must say. */
struct place {
    uint32_t slot;
    uint64_t print; /* never 0 */
};

/* Ids of other publishers may be counters: all 128 bits are mixed. */
static struct place place_of(const uint8_t id[16])
{
    uint64_t a, b;

    memcpy(&a, id, 8);
    memcpy(&b, id + 8, 8);
    a = tg_hash_mix(tg_hash_mix(a) + b);
    uint64_t print = a << SLOT_BITS >> PRINT_SHIFT;
    return (struct place){ (uint32_t)(a >> (64 - SLOT_BITS)), print != 0 ? print : 1 };
}

static uint64_t *slot_of(const struct recent_generation *g, struct place p)
{
    uint32_t i = p.slot;

    while (g->slots[i] != 0 && g->slots[i] >> PRINT_SHIFT != p.print)
        i = (i + 1) & (SLOTS - 1);
    return &g->slots[i];
}

bool recent_find(const struct recent *r, const uint8_t id[16], struct recent_entry *out)
{
    struct place place = place_of(id);
    const struct recent_generation *g = &r->young;
    uint64_t slot = *slot_of(g, place);

    if (slot == 0) {
        g = &r->old;
        slot = *slot_of(g, place);
    }
    if (slot == 0)
        return false;
    *out = (struct recent_entry){ g->base + (int64_t)(slot & DISTANCE_MAX), (slot & PARTIAL) != 0 };
    return true;
}

static void grow_old(struct recent *r)
{
    struct recent_generation spare = r->old;

    r->old = r->young;
    r->young = spare;
    memset(r->young.slots, 0, SLOTS * sizeof *r->young.slots);
    r->used = 0;
}

void recent_add(struct recent *r, const uint8_t id[16], struct recent_entry entry)
{
    struct place place = place_of(id);

    if (r->used == RECENT_MIN || (r->used > 0 && entry.row - r->young.base > DISTANCE_MAX))
        grow_old(r);
    if (r->used == 0)
        r->young.base = entry.row;
    uint64_t *slot = slot_of(&r->young, place);
    r->used += *slot == 0;
    *slot =
        place.print << PRINT_SHIFT | (entry.partial ? PARTIAL : 0) | (uint64_t)(entry.row - r->young.base);
}

void recent_prefetch(const struct recent *r, const uint8_t id[16])
{
    uint32_t i = place_of(id).slot;

    __builtin_prefetch(&r->young.slots[i], 1);
    __builtin_prefetch(&r->old.slots[i], 0);
}
