/* SPDX-License-Identifier: MIT */
#include "ledger_verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_recount.h"
#include "ledger_work.h"

/* As the table reservation has them. */
enum { OPEN, TOLD, BY_EVENT, RELEASED, EXPIRED, STATES };
static const char *const state_name[STATES] = { "open", "settled by what was told", "settled by an event",
                                                "not called", "expired" };
static const char *const held_name[HELD_KINDS] = { "reserved", "presumed spent", "told" };

struct verify {
    sqlite3 *db; /* borrowed, as all here but recount */
    struct recount recount;
    int64_t dropped_before_ms;
    ledger_progress progress;
    void *arg;
    bool stopped;
    struct ledger_report *report;
};

static int number(sqlite3 *db, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    return -sqlite3_finalize(stmt);
}

static void on_progress(void *arg, int64_t done, int64_t of)
{
    struct verify *v = arg;

    if (v->progress != NULL && !v->progress(v->arg, done, of)) {
        v->stopped = true;
        sqlite3_interrupt(v->db);
    }
}

/* ------------------------------------------------------------------ telling */

/* A place for it, named; NULL: only its number is told. */
static struct ledger_difference *differ(struct verify *v, int64_t budget, const void *key, int key_len,
                                        int64_t start_ms)
{
    const struct ledger_budget *b = ledger_budget_of(v->recount.budgets, v->recount.budget_count, budget);

    if (v->report->differences++ >= LEDGER_DIFFERENCES)
        return NULL;
    struct ledger_difference *d = &v->report->difference[v->report->differences - 1];
    *d = (struct ledger_difference){ .budget_id = budget, .start_ms = start_ms };
    if (b == NULL) {
        snprintf(d->budget, sizeof d->budget, "(%lld)", (long long)budget);
        return d;
    }
    d->unit = b->def->unit;
    snprintf(d->budget, sizeof d->budget, "%s", b->def->name);
    budget_key_text(b->def, key, (size_t)key_len, d->key, sizeof d->key);
    return d;
}

/* -------------------------------------------------------------------- cells */

/* Retention may have deleted it. */
static bool is_dropped(const struct verify *v, int64_t budget, int64_t start_ms)
{
    const struct ledger_budget *b = ledger_budget_of(v->recount.budgets, v->recount.budget_count, budget);

    return b != NULL && v->dropped_before_ms > 0 &&
           start_ms < window_first(&b->def->window, v->dropped_before_ms);
}

static struct recount_cell *cell_at(struct verify *v, sqlite3_stmt *stmt, bool make)
{
    const uint8_t *key = sqlite3_column_blob(stmt, 1);
    uint32_t len = (uint32_t)sqlite3_column_bytes(stmt, 1);
    int64_t budget = sqlite3_column_int64(stmt, 0), start_ms = sqlite3_column_int64(stmt, 2);

    key = key != NULL ? key : (const uint8_t *)"";
    return make ? ledger_cells_get(&v->recount.cells, budget, key, len, start_ms)
                : ledger_cells_find(&v->recount.cells, budget, key, len, start_ms);
}

static int prepare_cells(struct verify *v, const char *table, sqlite3_stmt **out)
{
    char sql[200];

    snprintf(sql, sizeof sql,
             "SELECT budget, key, start_ms, amount, calls, unknown FROM %s WHERE budget IN"
             " (SELECT id FROM budget WHERE ended_ms IS NULL AND counted <> 0)",
             table);
    return -sqlite3_prepare_v2(v->db, sql, -1, out, NULL);
}

static int add_checkpoint(struct verify *v)
{
    sqlite3_stmt *stmt;
    int rc = prepare_cells(v, "ledger_checkpoint", &stmt);

    if (rc != 0)
        return rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct recount_cell *c = cell_at(v, stmt, true);
        if (c == NULL) {
            rc = SQLITE_NOMEM;
            break;
        }
        c->amount += sqlite3_column_int64(stmt, 3);
        c->calls += sqlite3_column_int64(stmt, 4);
        c->unknown += sqlite3_column_int64(stmt, 5);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

/* What the file has of a cell, beside what it should have (NULL: nothing). */
static void compare_one(struct verify *v, sqlite3_stmt *stmt, const struct recount_cell *c)
{
    int64_t amount = sqlite3_column_int64(stmt, 3), calls = sqlite3_column_int64(stmt, 4),
            unknown = sqlite3_column_int64(stmt, 5);
    struct recount_cell none = { .amount = 0 };

    c = c != NULL ? c : &none;
    v->report->cells++;
    v->report->calls += calls;
    if (c->amount == amount && c->calls == calls && c->unknown == unknown)
        return;
    struct ledger_difference *d = differ(v, sqlite3_column_int64(stmt, 0), sqlite3_column_blob(stmt, 1),
                                         sqlite3_column_bytes(stmt, 1), sqlite3_column_int64(stmt, 2));
    if (d == NULL)
        return;
    d->is.amount = amount;
    d->is.calls = calls;
    d->is.unknown = unknown;
    d->should.amount = c->amount;
    d->should.calls = c->calls;
    d->should.unknown = c->unknown;
}

static int compare_stored(struct verify *v)
{
    sqlite3_stmt *stmt;
    int rc = prepare_cells(v, "projection_ledger", &stmt);

    if (rc != 0)
        return rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct recount_cell *c = cell_at(v, stmt, false);
        if (c != NULL)
            c->seen = true;
        if (!is_dropped(v, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 2)))
            compare_one(v, stmt, c);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

/* Cells that should be there and are not. */
static void compare_missing(struct verify *v)
{
    for (uint32_t i = 0; i < v->recount.cells.used; i++) {
        const struct recount_cell *c = &v->recount.cells.all[i];
        if (c->seen || (c->amount == 0 && c->calls == 0 && c->unknown == 0) ||
            is_dropped(v, c->budget, c->start_ms))
            continue;
        v->report->cells++;
        struct ledger_difference *d = differ(v, c->budget, c->key, (int)c->key_len, c->start_ms);
        if (d == NULL)
            continue;
        d->should.amount = c->amount;
        d->should.calls = c->calls;
        d->should.unknown = c->unknown;
    }
}

/* Of a budget whose past is not counted yet nothing is known. */
static void leave_uncounted(struct verify *v)
{
    struct recount *r = &v->recount;
    size_t n = 0;

    for (size_t i = 0; i < r->budget_count; i++) {
        if (r->budgets[i]->counted) {
            r->budgets[n++] = r->budgets[i];
        } else {
            ledger_budget_free(r->budgets[i]);
            v->report->counting++;
        }
    }
    r->budget_count = n;
    v->report->budgets = (int64_t)n;
}

static int verify_cells(struct verify *v)
{
    int64_t first_id = 1;
    int rc = number(v->db, "SELECT watermark FROM projection WHERE name='ledger'", &v->report->watermark);

    if (rc != 0 ||
        (rc = number(v->db,
                     "SELECT ifnull(max(value), 0) FROM projection_setting"
                     " WHERE name='ledger_dropped_before_ms'",
                     &v->dropped_before_ms)) != 0 ||
        (rc = number(v->db, "SELECT ifnull(min(id), 1) FROM dispatch", &first_id)) != 0)
        return rc;
    leave_uncounted(v);
    if (v->recount.budget_count > 0 && (rc = recount_rows(&v->recount, first_id, v->report->watermark)) != 0)
        return rc;
    if ((rc = add_checkpoint(v)) != 0 || (rc = compare_stored(v)) != 0)
        return rc;
    compare_missing(v);
    return 0;
}

/* ----------------------------------------------------------------- postings */

enum {
    POSTING_BUDGET,
    POSTING_KEY,
    POSTING_START,
    POSTING_KIND,
    POSTING_AMOUNT,
    POSTING_NR,
    POSTING_STATE,
    POSTING_ID,
    POSTING_TOKENS,
    POSTING_NANOUSD,
    POSTING_SETTLED
};

static bool is_allowed(int state, int kind, int64_t amount)
{
    switch (state) {
    case OPEN:
        return kind == HELD_RESERVED;
    case TOLD:
        return kind == HELD_TOLD;
    case EXPIRED: /* of a budget that is not strict it holds nothing, until somebody tells */
        return kind == HELD_PRESUMED || (kind == HELD_RESERVED && amount == 0);
    default:
        return false;
    }
}

/* What the reservation says that it holds of a budget in this unit; UNKNOWN: it does not say. */
static int64_t should_hold(sqlite3_stmt *stmt, int state, enum unit unit)
{
    int column = unit == UNIT_TOKENS ? POSTING_TOKENS : POSTING_NANOUSD;

    if (state == TOLD)
        return unit == UNIT_CALLS ? 1
               : unit == UNIT_USD && sqlite3_column_type(stmt, POSTING_SETTLED) != SQLITE_NULL
                   ? sqlite3_column_int64(stmt, POSTING_SETTLED)
                   : UNKNOWN;
    if (state != OPEN)
        return UNKNOWN;
    return unit == UNIT_CALLS ? 1 : sqlite3_column_int64(stmt, column); /* nobody knows: it holds 0 */
}

static void posting_differs(struct verify *v, sqlite3_stmt *stmt, int64_t should, const char *what)
{
    struct ledger_difference *d =
        differ(v, sqlite3_column_int64(stmt, POSTING_BUDGET), sqlite3_column_blob(stmt, POSTING_KEY),
               sqlite3_column_bytes(stmt, POSTING_KEY), sqlite3_column_int64(stmt, POSTING_START));
    const char *id = (const char *)sqlite3_column_text(stmt, POSTING_ID);

    if (d == NULL)
        return;
    d->is_posting = true;
    d->is.amount = sqlite3_column_int64(stmt, POSTING_AMOUNT);
    d->should.amount = should;
    snprintf(d->reservation, sizeof d->reservation, "%s", id != NULL ? id : "");
    snprintf(d->what, sizeof d->what, "%s", what);
}

static void verify_posting(struct verify *v, sqlite3_stmt *stmt)
{
    const struct ledger_budget *b = ledger_budget_of(v->recount.budgets, v->recount.budget_count,
                                                     sqlite3_column_int64(stmt, POSTING_BUDGET));
    int state = sqlite3_column_int(stmt, POSTING_STATE), kind = sqlite3_column_int(stmt, POSTING_KIND);
    int64_t amount = sqlite3_column_int64(stmt, POSTING_AMOUNT);
    char what[LEDGER_VERIFY_TEXT];

    v->report->postings++;
    if (sqlite3_column_type(stmt, POSTING_STATE) == SQLITE_NULL) {
        snprintf(what, sizeof what, "there is no reservation %lld",
                 (long long)sqlite3_column_int64(stmt, POSTING_NR));
        posting_differs(v, stmt, 0, what);
    } else if (!is_allowed(state, kind, amount)) {
        snprintf(what, sizeof what, "the reservation is %s, and this is %s",
                 state >= 0 && state < STATES ? state_name[state] : "in no known state",
                 kind >= 0 && kind < HELD_KINDS ? held_name[kind] : "of no known kind");
        posting_differs(v, stmt, 0, what);
    } else if (b != NULL) {
        int64_t should = should_hold(stmt, state, b->def->unit);
        if (should != UNKNOWN && should != amount)
            posting_differs(v, stmt, should,
                            state == OPEN ? "the reservation reserved another amount"
                                          : "another amount was told");
    }
}

static int verify_postings(struct verify *v)
{
    static const char sql[] =
        "SELECT p.budget, p.key, p.start_ms, p.kind, p.amount, p.reservation, r.state, r.id, r.tokens,"
        " r.nanousd, r.settled_nanousd FROM reservation_posting p LEFT JOIN reservation r"
        " ON r.nr = p.reservation";
    sqlite3_stmt *stmt;
    int rc = number(v->db, "SELECT count(*) FROM reservation", &v->report->reservations);

    if (rc != 0 || (rc = -sqlite3_prepare_v2(v->db, sql, -1, &stmt, NULL)) != 0)
        return rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        verify_posting(v, stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

static int verify(struct verify *v)
{
    int rc = recount_init(&v->recount, v->db, "UTC", false);

    v->recount.progress = on_progress;
    v->recount.progress_arg = v;
    if (rc == 0)
        rc = verify_cells(v);
    return rc != 0 ? rc : verify_postings(v);
}

int ledger_verify(sqlite3 *db, ledger_progress progress, void *arg, struct ledger_report *report)
{
    struct verify v = { .db = db, .progress = progress, .arg = arg, .report = report };
    int rc = -sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

    *report = (struct ledger_report){ .watermark = 0 };
    if (rc == 0)
        rc = verify(&v);
    if (rc != 0)
        snprintf(report->error, sizeof report->error, "%s", store_why(db, rc));
    recount_fini(&v.recount);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return v.stopped ? -SQLITE_INTERRUPT : rc;
}
