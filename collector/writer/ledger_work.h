/* SPDX-License-Identifier: MIT
 *
 * ledger_work.h: what the ledger's parts share. Inside ledger*.c only.
 */
#ifndef COLLECTOR_LEDGER_WORK_H
#define COLLECTOR_LEDGER_WORK_H

#include "../govern/forecast.h"
#include "../govern/order.h"
#include "ledger.h"

#define LEDGER_REACH_MAX  BUDGETS_MAX /* budgets that one call may count against: all there may be */
#define LEDGER_RECALL_MAX 64          /* accounts of a combination that are remembered */

struct ledger_statements {
    sqlite3_stmt *load_cells, *load_held, *save_cell, *save_watermark;
    sqlite3_stmt *dims, *session;
    sqlite3_stmt *find, *subject, *add, *end, *name, *renew, *add_posting, *postings, *drop_postings,
        *set_kind, *due, *next_due;
    sqlite3_stmt *put_pause, *end_pause, *trim_pauses, *note;
};

/* An account that a call counts against. */
struct reach {
    uint32_t account;
    const struct ledger_budget *budget;
    int64_t amount; /* of a reservation; UNKNOWN */
};

/* What a dispatch is worth. */
struct worth {
    int64_t amount[UNIT_CALLS + 1]; /* by enum unit */
    bool unknown[UNIT_CALLS + 1];
};
void worth_of(const struct log_row *row, struct worth *out);

/* ledger_match.c: the accounts of a call, made and rolled to l->now_ms. dims 0: not remembered. The count, or
 * a negative SQLite code. */
int ledger_reach(struct ledger *l, uint32_t dims, const struct subject *who,
                 struct reach out[LEDGER_REACH_MAX]);
/* The same without asking who it is: false if it is not remembered. *count: as what ledger_reach returns;
 * without the budgets that look at sessions. */
bool ledger_recall(struct ledger *l, uint32_t dims, struct reach out[LEDGER_RECALL_MAX], int *count);
int ledger_match_init(struct ledger *l);
void ledger_match_fini(struct ledger *l);
void ledger_match_forget(struct ledger *l);

/* ledger_judge.c: looks at an account: its state, when to look again; alerts: tells of thresholds that have
 * been passed, else they are taken as told. 0 or a negative SQLite code. */
int ledger_look(struct ledger *l, uint32_t account, bool alerts);
int64_t ledger_allowed(const struct ledger *l, const struct account *c);
/* What the account says of the next call. */
void ledger_verdict(const struct ledger *l, const struct account *c, struct verdict *out);
/* When it allows again by itself. */
int64_t ledger_opens_ms(const struct ledger *l, const struct account *c, int64_t needed);
void ledger_pause_verdict(const struct pause *p, struct verdict *out);
void ledger_rule_verdict(const struct rule *r, struct verdict *out);
/* What pauses and policies say; then budgets, of the accounts in reach. The first of the highest action. */
void ledger_judge_rules(const struct ledger *l, const struct subject *who, bool shadow, struct verdict *out);
void ledger_judge(const struct ledger *l, const struct subject *who, const struct reach *reach, int count,
                  struct verdict *out);

/* ledger_alert.c: raises an alert about an account, once for its window (and percent). */
int ledger_tell(struct ledger *l, const struct account *c, enum alert_kind kind, int percent,
                int64_t allowed);

/* The same of its forecast, once for the window that began at start_ms. */
int ledger_foretell(struct ledger *l, const struct account *c, int64_t start_ms, int64_t allowed,
                    const struct forecast *f);

/* {"budget": NAME} and the values of its `per`, by which destinations are chosen; a new reference. */
json_t *ledger_subject_json(const struct budget *def, const uint8_t *key, size_t len);

/* ledger_forecast.c: a slice of the round in which every account is looked at; after a start, or when the
 * clock was set, the paces are read from the log first. */
int ledger_forecast_prepare(struct ledger *l);
int ledger_forecast_tick(struct ledger *l);
int64_t ledger_forecast_due_ms(const struct ledger *l);
/* What is to be said of an account that has been rolled to l->now_ms. */
void ledger_forecast(const struct ledger *l, const struct account *c, struct forecast *out);

/* ledger.c: a row of the log in the paces of its accounts, and nowhere else. */
int ledger_recall_row(struct ledger *l, const struct log_row *row);

/* ledger_early.c: the event of this reservation has come, and there is no such reservation. */
int ledger_note_early(struct ledger *l, const char *id, size_t len);
bool ledger_came_early(const struct ledger *l, const char *id);
int ledger_load_early(struct ledger *l);

/* ledger_pauses.c: pauses as they stand in the file; those whose end has come. */
int ledger_prepare_pauses(struct ledger *l);
int ledger_load_pauses(struct ledger *l);
int ledger_end_pauses(struct ledger *l);
void ledger_free_pauses(struct ledger *l);
/* An audit row; takes detail. */
int ledger_note(struct ledger *l, const char *author, const char *what, json_t *detail);

/* ledger_admit.c */
int ledger_admit(struct ledger *l, struct order *o);
void ledger_hint(struct ledger *l, const struct event *e, const struct log_row *row);

/* ledger_reservations.c */
enum reservation_state {
    RESERVATION_OPEN,
    RESERVATION_TOLD,
    RESERVATION_BY_EVENT,
    RESERVATION_RELEASED,
    RESERVATION_EXPIRED
};
struct reservation {
    int64_t nr, admitted_ms, expires_ms, tokens, nanousd, settled_nanousd;
    enum reservation_state state;
};
/* 1: there is one, 0: none, or a negative SQLite code. */
int ledger_find_reservation(struct ledger *l, const char *id, size_t len, struct reservation *out);
int64_t ledger_ttl_ms(const struct ledger *l, const struct order *o);
int ledger_prepare_reservations(struct ledger *l);
int ledger_count_reservations(struct ledger *l);
int ledger_expire(struct ledger *l);
int ledger_settle(struct ledger *l, struct order *o);
int ledger_renew(struct ledger *l, struct order *o);
/* Whether there is such a reservation and when it was admitted. e: the event that has just come for it with
 * this row; one with a final record settles it. NULL: the row is read again. 1, 0: there is none, or a
 * negative SQLite code. */
int ledger_reservation(struct ledger *l, const struct log_row *row, const struct event *e,
                       int64_t *admitted_ms);

/* ledger_recount.c: budgets as they stand in the file, on any connection. */
#define LEDGER_BUDGET_COLUMNS \
    "SELECT id, definition, origin, counts_from_ms, first_id, counted, since_ms FROM budget"
int ledger_budget_read(sqlite3_stmt *stmt, const char *zone, struct ledger_budget **out);
void ledger_budget_free(struct ledger_budget *b); /* NULL is fine */
/* NULL: there is none: it has ended. */
const struct ledger_budget *ledger_budget_of(struct ledger_budget *const *all, size_t count, int64_t id);
int ledger_budgets_read(sqlite3 *db, const char *zone, bool only_uncounted, struct ledger_budget ***out,
                        size_t *count);

/* ledger_budgets.c: budgets, raises as they stand in the file. */
int ledger_load_budgets(struct ledger *l);
void ledger_free_budgets(struct ledger *l);
int ledger_find_hot(struct ledger *l);
/* All in memory again, after a change of any of them: inside a transaction. */
int ledger_reload(struct ledger *l);
/* The same when nothing is owed to the file: at the start. */
int ledger_restart(struct ledger *l);
const struct ledger_budget *ledger_budget_named(const struct ledger *l, const char *name);

#endif
