/* SPDX-License-Identifier: MIT */
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define WAYS    4
#define BUCKETS (RUNS_MIN / 2)

struct runs_entry {
    uint64_t print;    /* 0: free */
    uint64_t row : 56; /* of the first event */
    uint64_t finest : 8;
    int64_t last; /* the last event that was coarser than a call */
};

int runs_init(struct runs *r)
{
    r->entries = calloc((size_t)BUCKETS * WAYS, sizeof *r->entries);
    return r->entries != NULL ? 0 : -1;
}

void runs_fini(struct runs *r)
{
    free(r->entries);
    r->entries = NULL;
}

void runs_clear(struct runs *r)
{
    memset(r->entries, 0, (size_t)BUCKETS * WAYS * sizeof *r->entries);
}

/* The run's entry, or the one to give up for it: a free one, else the oldest. */
static struct runs_entry *entry_of(struct runs *r, uint64_t print)
{
    struct runs_entry *e = &r->entries[(size_t)(print % BUCKETS) * WAYS], *give_up = e;

    for (int i = 0; i < WAYS; i++) {
        if (e[i].print == print)
            return &e[i];
        if (give_up->print != 0 && (e[i].print == 0 || e[i].row < give_up->row))
            give_up = &e[i];
    }
    *give_up = (struct runs_entry){ .print = 0 };
    return give_up;
}

struct runs_verdict runs_meet(struct runs *r, uint32_t session, struct slice run, uint8_t granularity,
                              int64_t row)
{
    struct runs_verdict v = { .counts = true };
    uint64_t half[2];

    if (session == 0 || run.at == NULL)
        return v;
    tg_hash128(run.at, run.len, (unsigned char *)half);
    uint64_t print = (half[0] ^ session * 0x9e3779b97f4a7c15ULL) | 1;
    struct runs_entry *e = entry_of(r, print);
    if (e->print == 0) {
        *e = (struct runs_entry){ print, (uint64_t)row & ((1ULL << 56) - 1), granularity, row };
    } else if (granularity > e->finest) {
        v.counts = false;
    } else if (granularity < e->finest) {
        v.coarser_from = (int64_t)e->row;
        v.coarser_to = e->last;
        e->finest = granularity;
        e->last = row;
    } else if (granularity != GRANULARITY_call) {
        e->last = row;
    }
    return v;
}
