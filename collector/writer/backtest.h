/* SPDX-License-Identifier: MIT
 *
 * backtest.h: how far the forecasts of the budgets in force would have been off, on the calls that are
 * stored. Reads one state of the file, on any connection, and writes nothing; one thread at a time.
 *
 * The calls come in the order in which they arrived, and the time is their own (imported ones came all at
 * once), as far as it goes on: what is late counts where its window still runs. Every account is looked at
 * once in BACKTEST_LOOK_MS of that time, less often where there are more than a thousand accounts, as the
 * collector would have looked at it: its pace, its curve, its projection, its alarm. A budget is taken to
 * have been there all the time, unless it counts from a time. A window is measured that lies wholly in the
 * time asked for and has BACKTEST_CALLS calls. An alarm was right if the limit that is in force now was
 * reached before the window ended. Allowances and reservations are left out; windows without an end (session,
 * total) and sliding ones are not measured.
 */
#ifndef COLLECTOR_BACKTEST_H
#define COLLECTOR_BACKTEST_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../govern/budget.h"

#define BACKTEST_LOOK_MS ((int64_t)60 * 1000)
#define BACKTEST_CALLS   10
#define BACKTEST_ERROR   240
#define BACKTEST_ERRORS  1000000 /* of one budget and quarter that are kept; all are counted */

/* Errors of one budget when a quarter, a half, three quarters of a window were over. */
struct backtest_errors {
    float *all; /* owned, in order when done; |projected - came| / came */
    size_t kept, room;
};

struct backtest_budget {
    struct budget *def; /* owned */
    int64_t windows;    /* measured */
    int64_t learnt;     /* of them those that had windows before them */
    struct backtest_errors error[3];
    int64_t right, wrong; /* alarms */
    int64_t missed;       /* windows that reached the limit without one */
};

struct backtest_options {
    const char *zone;                                      /* of budgets that name none; borrowed */
    int64_t from_ms, to_ms;                                /* from_ms <= time of a call < to_ms */
    bool (*progress)(void *arg, int64_t done, int64_t of); /* false: stop; NULL: nobody looks */
    void *progress_arg;
};

/* All that is in it is owned; backtest_fini. */
struct backtest_result {
    struct backtest_budget *budget;
    size_t budgets;
    int64_t calls;
    bool cut; /* more accounts than are kept in memory: some windows are not measured */
    char error[BACKTEST_ERROR];
};

/* 0, or a negative SQLite code (-SQLITE_INTERRUPT: progress said stop) and out->error. fini is due in any
 * case. The connection must not be in a transaction. */
int backtest(sqlite3 *db, const struct backtest_options *options, struct backtest_result *out);
void backtest_fini(struct backtest_result *r);

/* What this part (0 to 1) of the errors is not above; a negative number: there are none. */
double backtest_quantile(const struct backtest_errors *e, double part);

#endif
