/* SPDX-License-Identifier: MIT
 *
 * ledger_booked.h: calls whose price was corrected while budgets were to keep what they had counted: what
 * each is worth to them still, in the table ledger_booked. Usually there is none, and nobody looks. Works on
 * any connection; functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_LEDGER_BOOKED_H
#define COLLECTOR_LEDGER_BOOKED_H

#include "log_row.h"

struct booked {
    sqlite3_stmt *find, *add, *drop; /* owned */
    bool any;                        /* there may be rows */
};

/* fini is due in any case. */
int booked_init(struct booked *b, sqlite3 *db);
void booked_fini(struct booked *b);

/* Looks whether there are any: at the start, and after a rollback. */
int booked_recover(struct booked *b);

/* A row as budgets count it: *out is row, with num in place of its numbers if its cost is another one. 1: it
 * is, 0. */
int booked_row(struct booked *b, const struct log_row *row, int64_t num[DISPATCH_NUMS], struct log_row *out);

/* The row's cost is going to change and budgets are to keep this one, unless they keep another already. */
int booked_keep(struct booked *b, const struct log_row *row);
/* From now on budgets count its cost as it stands in the log. */
int booked_drop(struct booked *b, int64_t id);

#endif
