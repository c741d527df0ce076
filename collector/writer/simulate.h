/* SPDX-License-Identifier: MIT
 *
 * simulate.h: what budgets that are not in force would have said of the calls that are stored, had they been.
 * Reads one state of the file, on any connection, and writes nothing; one thread at a time.
 *
 * The calls come in the order in which they arrived, and the time is that of their arrival. A budget counts
 * from where it would if it had come at from_ms: the start of the window that ran then; what came before
 * from_ms is counted and not told of. A call that a budget would have blocked does not count, for that is
 * what blocking does; what it cost would not have been spent. Downgrades, delays and shadows let a call be
 * made, so it counts. Reservations, allowances, pauses and policies are left out.
 */
#ifndef COLLECTOR_SIMULATE_H
#define COLLECTOR_SIMULATE_H

#include <sqlite3.h>

#include "ledger_cells.h"
#include "../govern/budget.h"

#define SIMULATE_MOMENTS_MAX 200000 /* crossings, and periods, that are kept; all are counted */
#define SIMULATE_ERROR       240
#define SIMULATE_NONE        UINT32_MAX

struct simulate_sum {
    int64_t calls, amount, unknown; /* in the budget's unit; calls whose amount nobody knows */
};

/* A threshold was reached. */
struct simulate_crossing {
    uint32_t account;
    uint8_t percent;
    int64_t at_ms, spent;
};

/* At its limit: what came meanwhile was blocked, downgraded or delayed, or in shadow would have been. */
struct simulate_period {
    uint32_t account;
    int64_t from_ms, until_ms; /* WINDOW_NEVER: it does not open by itself; may be after to_ms */
    struct simulate_sum held;
};

/* One that has reached something. */
struct simulate_account {
    uint32_t budget;                     /* place in the options' list */
    int64_t first_ms[BUDGET_ALERTS_MAX]; /* by threshold; UNKNOWN: not reached */
    uint32_t times[BUDGET_ALERTS_MAX];
    uint32_t periods, first_period, last_period, current; /* SIMULATE_NONE */
    struct simulate_sum held;
};

struct simulate_budget {
    struct simulate_sum all, held; /* calls in its scope; of them those at its limit */
    int64_t crossings, periods;
};

struct simulate_options {
    struct budget **budgets; /* borrowed */
    size_t budget_count;
    int64_t from_ms, to_ms;                                /* from_ms <= arrival < to_ms */
    bool (*progress)(void *arg, int64_t done, int64_t of); /* false: stop; NULL: nobody looks */
    void *progress_arg;
};

/* All that is in it is owned; simulate_fini. */
struct simulate_result {
    struct simulate_budget *budget;     /* by budget */
    struct simulate_account *account;   /* in the order in which they reached something */
    struct ledger_cells names;          /* their keys: budget is the place + 1 */
    struct simulate_crossing *crossing; /* in the order of time, as the next */
    struct simulate_period *period;
    uint32_t accounts, account_room, crossings, crossing_room, periods, period_room;
    bool cut;       /* there were more crossings or periods */
    int64_t log_ms; /* the log begins here, later than the windows do: less was counted; else UNKNOWN */
    struct simulate_sum all, blocked, shadow; /* each call once, in nano-dollars; what shadows alone would
                                                 have blocked */
    char error[SIMULATE_ERROR];
};

/* 0, or a negative SQLite code (-SQLITE_INTERRUPT: progress said stop) and out->error. simulate_fini is due
 * in any case. The connection must not be in a transaction. */
int simulate(sqlite3 *db, const struct simulate_options *options, struct simulate_result *out);
void simulate_fini(struct simulate_result *r);

/* An account's key as people write it; "" without per. */
void simulate_key_text(const struct simulate_options *options, const struct simulate_result *r,
                       uint32_t account, char *out, size_t size);

#endif
