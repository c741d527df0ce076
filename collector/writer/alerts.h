/* SPDX-License-Identifier: MIT
 *
 * alerts.h: the table of alerts. Owner: the writer, inside a transaction. Functions return 0 or a negative
 * SQLite code.
 */
#ifndef COLLECTOR_ALERTS_H
#define COLLECTOR_ALERTS_H

#include "../alarm/alert.h"
#include "store.h"

struct alerts {
    struct store *store; /* borrowed */
    sqlite3_stmt *add, *find, *again, *end, *end_windows, *next_end;
    int64_t due_ms; /* when a window is over with which one ends; INT64_MAX */
    int64_t raised; /* since the last look (whoever publishes takes it back to 0) */
    int64_t raised_of[ALERT_KIND_COUNT];
};

int alerts_init(struct alerts *a, struct store *store);

/* Writes it, unless one with its kind and mark is there that has not ended, or that ends with its window:
 * then *id is that one's, and nothing is written. *fresh: it was written. Both may be NULL. */
int alerts_raise(struct alerts *a, const struct alert *alert, int64_t now_ms, int64_t *id, bool *fresh);

/* The reason of an open one was seen again `more` times. evidence NULL: stays. */
int alerts_again(struct alerts *a, int64_t id, int64_t more, int64_t last_ms, const json_t *evidence);

/* Time passes: ends those whose window is over, if alerts.due_ms has come. */
int alerts_tick(struct alerts *a, int64_t now_ms);

/* Its reason is gone. */
int alerts_end(struct alerts *a, int64_t id, int64_t now_ms);

#endif
