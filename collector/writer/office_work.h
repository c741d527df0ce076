/* SPDX-License-Identifier: MIT
 *
 * office_work.h: what the office's parts share. Inside office*.c only. An op fills answer->... and returns 0
 * or a negative SQLite code; a wrong request is an answer too.
 */
#ifndef COLLECTOR_OFFICE_WORK_H
#define COLLECTOR_OFFICE_WORK_H

#include "ledger_budgets.h"
#include "ledger_work.h"
#include "office.h"

struct office_desk {
    struct ledger *l;
    const json_t *request;
    int status;     /* HTTP */
    json_t *answer; /* owned */
    bool reload;    /* something has changed that the ledger reads from its tables */
};

typedef int office_op(struct office_desk *d);
office_op office_budgets, office_put_budget, office_delete_budget, office_policies;
office_op office_check, office_admit, office_settle, office_renew, office_reservations;
office_op office_allow, office_allowances, office_end_allowance, office_pause, office_pauses, office_resume,
    office_audit, office_ack, office_forecast;

/* Each account of a budget's running window, the one that has spent most first, `most` at most, as it stands
 * now; of a budget without per its only one, whether anything has been spent or not. What is in memory must
 * have been flushed. *count: how many there are, if any. */
typedef void office_account(void *arg, struct office_desk *d, const struct account *c);
int office_accounts(struct office_desk *d, const struct ledger_budget *b, int64_t most, office_account *each,
                    void *arg, int64_t *count);

/* Answers with a problem document; are 0. */
int office_refuse(struct office_desk *d, int status, const char *detail);
int office_fault(struct office_desk *d, const struct fault *fault);
int office_wrong(struct office_desk *d, const char *field, const char *value, const char *expected);

/* Members of the request: NULL, or what it is when missing. */
const char *office_text(const struct office_desk *d, const char *name);
int64_t office_number(const struct office_desk *d, const char *name, int64_t missing);

/* Prepares, binds and is to be finalized by the caller: each of format is a text (s), a number (i; UNKNOWN is
 * NULL) */
int office_prepare(struct office_desk *d, const char *sql, sqlite3_stmt **out, const char *format, ...);
/* The same, run at once; *changes may be NULL. */
int office_run(struct office_desk *d, int *changes, const char *sql, const char *format, ...);
/* Rows of a query as JSON objects named by their columns, appended to list. */
int office_rows(struct office_desk *d, json_t *list, const char *sql, const char *format, ...);

/* An audit row; takes detail. */
int office_note(struct office_desk *d, const char *what, json_t *detail);

json_t *office_num(int64_t n);        /* UNKNOWN is null */
json_t *office_time(int64_t ms);      /* UNKNOWN, WINDOW_NEVER are null */
json_t *office_string(const char *s); /* NULL and "" are null; bytes that are no UTF-8 become U+FFFD */

#endif
