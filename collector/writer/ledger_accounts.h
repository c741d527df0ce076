/* SPDX-License-Identifier: MIT
 *
 * ledger_accounts.h: what has been counted, by account: a budget and one value of its `per`. An account
 * in memory knows its running window; other windows are only in the file. Owner: the writer, inside a
 * transaction, or whoever simulates (then nothing is loaded and nothing is flushed).
 *
 *   piece     of an account's time: the whole window, or one of a sliding window's WINDOW_BUCKETS + 1
 *   delta     what has come for a cell since the last flush; a flush adds it to the file
 *   held      what reservations hold: not part of the projection, read from their own table
 *
 * Bounded: `most` in memory, ACCOUNTS_MAX unless somebody says less. One that owes nothing to the file and
 * whose state is to allow makes room; one that does not allow only where these are more than a quarter
 * (sessions over their limits stay so for ever). It is read again when it is next needed; its pace
 * is then known from that time on only, as is that of any account which is first seen after one made room.
 */
#ifndef COLLECTOR_LEDGER_ACCOUNTS_H
#define COLLECTOR_LEDGER_ACCOUNTS_H

#include "../govern/burn.h"
#include "../govern/curve.h"
#include "../govern/verdict.h"

#define ACCOUNTS_MAX 65536
#define ACCOUNT_NONE UINT32_MAX

enum held_kind { HELD_RESERVED, HELD_PRESUMED, HELD_TOLD, HELD_KINDS };

struct ledger_cell {
    int64_t amount, calls, unknown; /* by events */
    int64_t held[HELD_KINDS];
};

struct raise {
    char *key; /* owned; as people write it; NULL: every account */
    int64_t amount, until_ms;
};

/* A budget in force. */
struct ledger_budget {
    int64_t id;
    struct budget *def; /* owned */
    bool from_file, counted;
    int64_t counts_from_ms, first_id, since_ms;
    bool needs_session;
    struct raise *raise; /* owned */
    unsigned raises;
};

struct piece {
    int64_t start_ms;
    struct ledger_cell cell;
};

struct delta {
    uint32_t account;
    int64_t start_ms, amount, calls, unknown;
};

struct account {
    const struct ledger_budget *budget; /* borrowed; NULL: this place is free */
    uint8_t *key;                       /* owned */
    uint32_t key_len, next, generation, asked;
    uint64_t hash;
    int64_t first_ms, start_ms,
        until_ms;             /* the running window's first piece, its running one, and that one's end */
    int64_t ahead_ms;         /* the latest cell for which there is something, as far as it was looked at */
    struct ledger_cell total; /* over the pieces of the running window */
    struct piece *piece;      /* owned; of a sliding window, by start; else NULL: total is it */
    int64_t mark, full;       /* at this much spent, committed it is to be looked at again */
    struct delta delta;
    uint32_t owed;   /* deltas of it in the list */
    uint32_t hot;    /* its place in the list of those that do not allow, + 1; 0: it allows */
    uint8_t alerted; /* how many of the budget's thresholds have been told of this window */
    bool dirty, recent;
    bool fresh;   /* read from the file and not looked at since: what it has passed has been told of */
    bool overrun; /* it has been told that it is over its limit */

    enum action state;
    struct burn burn;    /* its pace; the ledger's to add to */
    struct curve *curve; /* owned; of its windows, see ledger_forecast.c; NULL: not yet */
    int64_t foretold_ms; /* that it will pass its limit has been told in the window that began then */
};

/* A pace whose account is out of memory for a moment. */
struct kept_burn {
    uint64_t hash; /* of the account */
    struct burn burn;
    bool taken;
};

/* Reads what is in the file of an account from first_ms to last_ms and gives each cell to accounts_loaded. 0
 * or a negative SQLite code. */
struct accounts;
typedef int accounts_load(void *arg, struct accounts *a, uint32_t account, int64_t first_ms, int64_t last_ms);

struct accounts {
    struct account *all; /* owned */
    uint32_t used, room, free_list, hand;
    uint32_t *index; /* owned; hash to place + 1 */
    uint32_t index_mask, most;
    uint32_t asking;      /* those that were asked for with this number keep their places */
    struct delta *deltas; /* owned: of cells that are not their accounts' own delta any more */
    uint32_t deltas_used, deltas_room;
    uint32_t *dirty, dirty_used, dirty_room; /* owned: accounts with a delta */
    uint32_t *hot, hot_used, hot_room;       /* owned: accounts that do not allow */
    accounts_load *load;                     /* NULL: there is no file */
    void *load_arg;
    int64_t seen_ms;        /* from then on every call came to its account: a new one's pace is known since */
    struct kept_burn *kept; /* owned; by hash */
    uint32_t kept_count;
};

int accounts_init(struct accounts *a, accounts_load *load, void *load_arg);
void accounts_fini(struct accounts *a);
void accounts_clear(struct accounts *a); /* all of them; deltas are forgotten */

/* Before a clear: their paces are kept until they are made again, as far as there is memory. */
void accounts_keep_burns(struct accounts *a);
/* All paces begin anew: what comes from seen_ms on is going to be in them. */
void accounts_forget_burns(struct accounts *a, int64_t seen_ms);

/* The account, made and loaded if need be; its running window is that of now_ms. 0 or a negative SQLite code;
 * *out is a place in all. */
int accounts_get(struct accounts *a, const struct ledger_budget *b, struct slice key, int64_t now_ms,
                 uint32_t *out);

/* The account if it is in memory, else ACCOUNT_NONE. */
uint32_t accounts_find(const struct accounts *a, const struct ledger_budget *b, struct slice key);

/* Moves its running window to that of now_ms. 0 or a negative SQLite code. */
int accounts_roll(struct accounts *a, uint32_t account, int64_t now_ms);

/* For a load: what the file has of one cell. */
void accounts_loaded(struct accounts *a, uint32_t account, int64_t start_ms, const struct ledger_cell *cell);

/* Adds what an event is worth (or takes it away) at post_ms. False: no memory. */
bool accounts_post(struct accounts *a, uint32_t account, int64_t post_ms, int64_t amount, int64_t calls,
                   int64_t unknown);

/* Changes what reservations hold of a cell, if it is of the running window. */
void accounts_hold(struct accounts *a, uint32_t account, int64_t start_ms, enum held_kind kind,
                   int64_t amount);

/* After a flush: nothing is owed. */
void accounts_flushed(struct accounts *a);

/* Keeps the list of those that do not allow. False: no memory. */
bool accounts_set_state(struct accounts *a, uint32_t account, enum action state);

/* A sum that no number holds is told as the greatest that one does: it is over every limit. */
static inline int64_t amount_add(int64_t a, int64_t b)
{
    int64_t sum;

    return !__builtin_add_overflow(a, b, &sum) ? sum : a > 0 ? INT64_MAX : -INT64_MAX;
}

/* Whether its state is to be found out: its window has moved, or what is held of it has changed. */
static inline bool account_is_stale(const struct account *c)
{
    return c->mark == INT64_MIN;
}

static inline int64_t account_spent(const struct account *c)
{
    return amount_add(amount_add(c->total.amount, c->total.held[HELD_TOLD]), c->total.held[HELD_PRESUMED]);
}

static inline int64_t account_committed(const struct account *c)
{
    return amount_add(account_spent(c), c->total.held[HELD_RESERVED]);
}

#endif
