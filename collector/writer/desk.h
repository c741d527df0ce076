/* SPDX-License-Identifier: MIT
 *
 * desk.h: the governor's place in the writer: serves orders inside the transaction, has the past of new
 * budgets counted, publishes verdicts after the commit. Owner: the writer.
 */
#ifndef COLLECTOR_DESK_H
#define COLLECTOR_DESK_H

#include "../base/board.h"
#include "../base/clock.h"
#include "../base/counters.h"
#include "../base/ticker.h"
#include "../govern/order.h"
#include "ledger.h"
#include "outbox.h"
#include "pricer.h"
#include "repricer.h"
#include "watch.h"

#define DESK_ORDERS 256 /* of one transaction */

struct counting;

struct desk {
    /* borrowed */
    struct store *store;
    struct ledger *ledger;
    struct pricer *pricer;
    struct repricer *repricer;
    struct watch *watch;
    struct ticker *alerts;     /* ticks when an alert has been committed; NULL: nobody waits for it */
    struct queue *queue;       /* the writer's: where what has been counted comes back */
    struct board_stand *stand; /* NULL: nobody is told verdicts */
    struct counters *counters;

    struct outbox outbox;
    char *path, *zone; /* owned: of the file, and of budgets that name none */
    struct order *orders[DESK_ORDERS];
    size_t count;
    struct counting *counting; /* owned; NULL: nothing is being counted */
    bool counted;              /* its order has come, */
    bool count_failed;         /* and said so: the next one waits */
    struct monotime count_due;
};

/* Copies path and zone; the borrowed ones have been set. 0 or a negative SQLite code; fini is due in any
 * case. */
int desk_init(struct desk *d, const char *path, const char *zone);
void desk_fini(struct desk *d);

void desk_take(struct desk *d, struct order *o); /* not more than DESK_ORDERS */

/* Inside the transaction, before its events: time passes, orders are served; last: no other one comes. 0 or a
 * negative SQLite code. */
int desk_serve(struct desk *d, int64_t now_ms, bool last);

/* After the commit, or (busy) after a rollback: the answers. */
void desk_answer(struct desk *d, bool busy);

/* After the commit: verdicts, if they have changed, alerts, and counters. */
void desk_publish(struct desk *d);

/* Between two transactions: begins to count the past of budgets that want it. 0 or a negative SQLite code. */
int desk_count_past(struct desk *d);

/* Whether it wants a transaction though nobody asks, and milliseconds until then; -1: never. */
bool desk_is_due(const struct desk *d);
int64_t desk_wait_ms(const struct desk *d);

#endif
