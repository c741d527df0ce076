/* SPDX-License-Identifier: MIT
 *
 * ledger_verify.h: counts the ledger again from the log and its checkpoint, and compares; looks whether what
 * reservations hold is what their states allow. Reads one state of the file, on any connection; no thread
 * owns anything here.
 *
 * Compared, cell by cell and exactly, for each budget in force whose past has been counted:
 *   rows of the log up to the watermark + ledger_checkpoint = projection_ledger
 * Cells that retention may have deleted (ledger_dropped_before_ms) are left out.
 */
#ifndef COLLECTOR_LEDGER_VERIFY_H
#define COLLECTOR_LEDGER_VERIFY_H

#include <sqlite3.h>

#include "../govern/budget.h"

#define LEDGER_DIFFERENCES 64 /* that are told; all are counted */
#define LEDGER_KEY_TEXT    200
#define LEDGER_VERIFY_TEXT 240

/* A cell, or what a reservation holds of one, that is not what it should be. */
struct ledger_difference {
    char budget[BUDGET_NAME_MAX + 1], key[LEDGER_KEY_TEXT];
    int64_t budget_id, start_ms; /* of the cell */
    enum unit unit;              /* UNIT_NONE: the budget is not in force */
    bool is_posting;             /* then `what` says what is wrong, and calls and unknown are 0 */
    char reservation[65], what[LEDGER_VERIFY_TEXT];
    struct {
        int64_t amount, calls, unknown;
    } is, should;
};

struct ledger_report {
    int64_t watermark;
    int64_t budgets, counting; /* compared; whose past is still being counted */
    int64_t cells, calls;      /* compared; a call counts in each budget */
    int64_t reservations, postings;
    int64_t differences;
    struct ledger_difference difference[LEDGER_DIFFERENCES];
    char error[LEDGER_VERIFY_TEXT]; /* of a failure, in words */
};

/* Called now and then: how much has been done, of how much. False: stop. */
typedef bool (*ledger_progress)(void *arg, int64_t done, int64_t of);

/* In one read transaction; the connection must not be in one. progress NULL: nobody looks. 0: done, see
 * report->differences; else a negative SQLite code (-SQLITE_INTERRUPT: progress said stop) and report->error.
 * While it reads, a running collector's write-ahead log cannot shrink. */
int ledger_verify(sqlite3 *db, ledger_progress progress, void *arg, struct ledger_report *report);

#endif
