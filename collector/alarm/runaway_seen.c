/* SPDX-License-Identifier: MIT */
#include "runaway_seen.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define N RUNAWAY_SUBJECTS

int seen_table_init(struct seen_table *t)
{
    *t = (struct seen_table){ .all = aligned_alloc(_Alignof(struct seen), N * sizeof *t->all),
                              .errors = calloc(ERRORS_KEPT, sizeof *t->errors),
                              .hash = malloc(N * sizeof *t->hash),
                              .generation = calloc(N, sizeof *t->generation),
                              .list = malloc(SEEN_LISTS * sizeof *t->list),
                              .next_in_list = malloc(N * sizeof *t->next_in_list),
                              .older = malloc(N * sizeof *t->older),
                              .newer = malloc(N * sizeof *t->newer),
                              .moved = calloc(N, sizeof *t->moved) };
    if (t->all == NULL || t->errors == NULL || t->hash == NULL || t->generation == NULL || t->list == NULL ||
        t->next_in_list == NULL || t->older == NULL || t->newer == NULL || t->moved == NULL)
        return -1;
    seen_table_clear(t);
    return 0;
}

void seen_table_fini(struct seen_table *t)
{
    free(t->all);
    free(t->errors);
    free(t->hash);
    free(t->generation);
    free(t->list);
    free(t->next_in_list);
    free(t->older);
    free(t->newer);
    free(t->moved);
    *t = (struct seen_table){ .all = NULL };
}

/* Whoever remembers a place meets another generation. */
void seen_table_clear(struct seen_table *t)
{
    for (uint32_t i = 0; i < t->used; i++)
        t->generation[i]++;
    memset(t->list, 0xff, SEEN_LISTS * sizeof *t->list);
    t->used = 0;
    t->newest = t->oldest = SEEN_NONE;
}

uint64_t seen_hash(enum runaway_look look, struct slice name)
{
    uint64_t half[2];

    tg_hash128(name.at, name.len, (unsigned char *)half);
    return (half[0] ^ ((uint64_t)look + 1) * 0x9e3779b97f4a7c15ULL) | 1;
}

static uint32_t *list_of(const struct seen_table *t, uint64_t hash)
{
    return &t->list[hash >> 16 & (SEEN_LISTS - 1)];
}

uint32_t seen_find(const struct seen_table *t, uint64_t hash)
{
    uint32_t at = *list_of(t, hash);

    while (at != SEEN_NONE && t->hash[at] != hash)
        at = t->next_in_list[at];
    return at;
}

/* --------------------------------------------------------- order of touching */

static void unlink_one(struct seen_table *t, uint32_t at)
{
    uint32_t older = t->older[at], newer = t->newer[at];

    if (older != SEEN_NONE)
        t->newer[older] = newer;
    else
        t->oldest = newer;
    if (newer != SEEN_NONE)
        t->older[newer] = older;
    else
        t->newest = older;
}

static void put_newest(struct seen_table *t, uint32_t at)
{
    t->older[at] = t->newest;
    t->newer[at] = SEEN_NONE;
    if (t->newest != SEEN_NONE)
        t->newer[t->newest] = at;
    else
        t->oldest = at;
    t->newest = at;
    t->moved[at] = ++t->clock;
}

void seen_move(struct seen_table *t, uint32_t at)
{
    unlink_one(t, at);
    put_newest(t, at);
}

/* -------------------------------------------------------------- coming, going */

static uint32_t make_room(struct seen_table *t)
{
    uint32_t at = t->oldest, *from;

    unlink_one(t, at);
    for (from = list_of(t, t->hash[at]); *from != at; from = &t->next_in_list[*from])
        ;
    *from = t->next_in_list[at];
    t->generation[at]++;
    return at;
}

static void make_new(struct seen_table *t, uint32_t at)
{
    memset(&t->all[at], 0, sizeof t->all[at]);
    t->all[at].prompt_most = UNKNOWN;
}

uint32_t seen_get(struct seen_table *t, uint64_t hash, bool *fresh)
{
    uint32_t at = seen_find(t, hash);

    *fresh = at == SEEN_NONE;
    if (at != SEEN_NONE) {
        seen_touch(t, at);
        return at;
    }
    at = t->used < N ? t->used++ : make_room(t);
    make_new(t, at);
    t->hash[at] = hash;
    t->next_in_list[at] = *list_of(t, hash);
    *list_of(t, hash) = at;
    put_newest(t, at);
    return at;
}

void seen_copy(struct seen_table *t, uint32_t to, uint32_t from)
{
    t->all[to] = t->all[from];
}

void seen_forget(struct seen_table *t, uint32_t at)
{
    uint8_t depth = t->all[at].depth;
    bool has_tree = t->all[at].has_tree;

    make_new(t, at);
    t->all[at].depth = depth;
    t->all[at].has_tree = has_tree;
}
