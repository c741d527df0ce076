/* SPDX-License-Identifier: MIT
 *
 * runaway_seen.h: what is remembered of sessions, root sessions and agents, by a hash of their names: two
 * names with the same 63 bits would be taken for one. Of RUNAWAY_SUBJECTS the one that was touched about the
 * longest ago makes room: one that has been moved to the front of the order stays where it is for a while,
 * although it is touched. What errors are called is remembered for all of them together, ERRORS_KEPT at the
 * most. For runaway*.c.
 */
#ifndef COLLECTOR_RUNAWAY_SEEN_H
#define COLLECTOR_RUNAWAY_SEEN_H

#include "runaway.h"
#include "runaway_window.h"

#define SEEN_NONE  UINT32_MAX
#define SEEN_LISTS 8192                   /* by hash; a power of two */
#define SEEN_STAYS (RUNAWAY_SUBJECTS / 8) /* so many others are moved before one is moved again */

/* A subject. What every call changes stands first. */
struct seen {
    _Alignas(64) struct minute minute;
    int64_t newest_ms;
    int64_t since_ms, active_ms; /* the sitting; 0: none yet */
    uint32_t sitting_calls;
    uint32_t errors; /* in a row */
    uint64_t error;  /* which */
    int64_t error_first_ms;
    /* Of a session. */
    int64_t prompt_most; /* UNKNOWN */
    int64_t mean_sum;    /* of the calls that told their tokens or (by_cost) their cost */
    uint32_t mean_calls;
    bool by_cost, has_tree;     /* has_tree: it is looked at as a root session, too */
    uint8_t depth, compactions; /* sessions above it; compactions in a row that ended well */
    struct minute_slot slot[WINDOW_SLOTS];
    struct ten payment, compaction;
    uint32_t told_until_s[RUNAWAY_KIND_COUNT]; /* by kind: not again before; UINT32_MAX: never */
};

_Static_assert(sizeof(struct seen) <= 448, "a subject takes more memory than is meant");

/* What an error is called, for people. */
struct seen_error {
    uint64_t error; /* of struct seen; 0: none is here */
    char type[RUNAWAY_ERROR_MAX];
    int16_t http_status; /* UNKNOWN */
};
#define ERRORS_KEPT 512 /* a power of two */

/* Where a subject stands, for those who remember it: it is another's if the generation has changed. */
struct seen_place {
    uint32_t at, generation;
};

struct seen_table {
    struct seen *all; /* owned, as the rest; by place */
    struct seen_error *errors;
    uint64_t *hash; /* 0: free */
    uint32_t *generation;
    uint32_t *list, *next_in_list;
    uint32_t *older, *newer, *moved; /* the order of touching; when it was moved, by clock */
    uint32_t clock, used, newest, oldest;
};

int seen_table_init(struct seen_table *t); /* -1: no memory; fini is due in any case */
void seen_table_fini(struct seen_table *t);
void seen_table_clear(struct seen_table *t);

uint64_t seen_hash(enum runaway_look look, struct slice name);

/* SEEN_NONE: it is not there. */
uint32_t seen_find(const struct seen_table *t, uint64_t hash);

/* Its place, made if it is not there; *fresh: it was. It has been touched. */
uint32_t seen_get(struct seen_table *t, uint64_t hash, bool *fresh);

/* Whether a place is still that subject's. */
static inline bool seen_holds(const struct seen_table *t, struct seen_place p)
{
    return t->generation[p.at] == p.generation;
}

/* A call has come. */
void seen_move(struct seen_table *t, uint32_t at);
static inline void seen_touch(struct seen_table *t, uint32_t at)
{
    if (t->clock - t->moved[at] >= SEEN_STAYS)
        seen_move(t, at);
}

/* One that is new begins with what another is remembered of. */
void seen_copy(struct seen_table *t, uint32_t to, uint32_t from);

/* As if it were new; what it is (its depth, its tree) stays. */
void seen_forget(struct seen_table *t, uint32_t at);

#endif
