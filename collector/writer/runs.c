/* SPDX-License-Identifier: MIT */
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define WAYS    4
#define BUCKETS (RUNS_MIN / 2)

/* print 0: free. row: of the first event. reach: from there to the last event that was coarser than a
 * call; REACH_MAX: or farther. */
struct runs_entry {
    uint64_t print;
    uint64_t row : 44, finest : 2, reach : 18;
};

#define ROW_MAX   ((1LL << 44) - 1)
#define REACH_MAX ((1LL << 18) - 1)

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

static void set_last(struct runs_entry *e, int64_t row)
{
    int64_t reach = row - (int64_t)e->row;

    e->reach = (uint64_t)(reach < REACH_MAX ? reach : REACH_MAX) & REACH_MAX;
}

static int64_t last_of(const struct runs_entry *e)
{
    return e->reach < REACH_MAX ? (int64_t)(e->row + e->reach) : INT64_MAX;
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
        *e = (struct runs_entry){ print, (uint64_t)row & ROW_MAX, (uint64_t)granularity & 3, 0 };
    } else if (granularity > e->finest) {
        v.counts = false;
    } else if (granularity < e->finest) {
        v.coarser_from = (int64_t)e->row;
        v.coarser_to = last_of(e);
        e->finest = (uint64_t)granularity & 3;
        set_last(e, row);
    } else if (granularity != GRANULARITY_call) {
        set_last(e, row);
    }
    return v;
}
