/* SPDX-License-Identifier: MIT
 *
 * ledger_recount.h: counts the log anew for budgets, on any connection: for a budget that begins with what
 * was there before it, for `tollgate ledger verify`, and for the checkpoint that stands for rows which go.
 * Pure but for reading; one thread at a time.
 */
#ifndef COLLECTOR_LEDGER_RECOUNT_H
#define COLLECTOR_LEDGER_RECOUNT_H

#include "ledger_accounts.h"
#include "ledger_booked.h"
#include "ledger_cells.h"
#include "log_row.h"

struct recount {
    sqlite3 *db;                     /* borrowed */
    struct ledger_budget **budgets;  /* owned, and each of them */
    size_t budget_count;             /* neither changes once a row has been counted */
    struct recount_known *known;     /* owned; which budgets a combination of names is in the scope of */
    struct ledger_cells cells;       /* what the rows came to */
    struct subject_reader *subjects; /* owned */
    sqlite3_stmt *admitted;          /* owned */
    struct booked booked;
    struct log_reader *reader;                             /* owned */
    void (*progress)(void *arg, int64_t done, int64_t of); /* NULL: nobody looks */
    void *progress_arg;
};

/* Reads the budgets in force; only_uncounted: those whose past is not counted yet. zone: of budgets that name
 * none. 0 or a negative SQLite code; fini is due in any case. */
int recount_init(struct recount *r, sqlite3 *db, const char *zone, bool only_uncounted);
void recount_fini(struct recount *r);
/* The same for budgets that do not stand in the file: there are none yet, *budgets is the caller's to fill.
 */
int recount_open(struct recount *r, sqlite3 *db);

/* Adds the rows first_id to last_id to the cells. 0 or a negative SQLite code. */
int recount_rows(struct recount *r, int64_t first_id, int64_t last_id);
/* One row. */
int recount_row(struct recount *r, const struct log_row *row);

/* When a row counts: at the admission of the reservation that it names, if there is one, else at its own
 * time.
 */
int recount_post_ms(struct recount *r, const struct log_row *row, int64_t *post_ms);

/* For rows that are walked by hand with r->reader, open for dispatches and kept. */
int recount_seek(struct recount *r, int64_t first_id, int64_t last_id);

/* The first row that may count for any of the budgets. */
int recount_first(struct recount *r, int64_t *first_id);

#endif
