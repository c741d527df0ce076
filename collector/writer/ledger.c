/* SPDX-License-Identifier: MIT */
#include "ledger.h"

#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "ledger_cells.h"
#include "ledger_subject.h"
#include "ledger_work.h"

#define PENDING_MAX (32 * 1024) /* deltas beside the accounts' own: then it is full */

/* A clock that moves by less goes on; else it has been set, or nothing has happened for long. */
#define STEP_BACK_MS  1000
#define STEP_AHEAD_MS ((int64_t)3600 * 1000)

/* --------------------------------------------------------------------- file */

static void bind_cells(sqlite3_stmt *stmt, const struct account *c, int64_t first_ms, int64_t last_ms)
{
    sqlite3_bind_int64(stmt, 1, c->budget->id);
    bind_key(stmt, 2, c->key, c->key_len);
    sqlite3_bind_int64(stmt, 3, first_ms);
    sqlite3_bind_int64(stmt, 4, last_ms);
}

/* What reservations hold of an account's cells. */
static int load_held(struct ledger *l, struct accounts *a, uint32_t account, int64_t first_ms,
                     int64_t last_ms)
{
    const struct account *c = &a->all[account];
    sqlite3_stmt *stmt = l->sql->load_held;
    int rc;

    bind_cells(stmt, c, first_ms, last_ms);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct ledger_cell cell = { .amount = 0 };
        cell.held[sqlite3_column_int(stmt, 1)] = sqlite3_column_int64(stmt, 2);
        accounts_loaded(a, account, sqlite3_column_int64(stmt, 0), &cell);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

static int load_account(void *arg, struct accounts *a, uint32_t account, int64_t first_ms, int64_t last_ms)
{
    struct ledger *l = arg;
    const struct account *c = &a->all[account];
    sqlite3_stmt *stmt = l->sql->load_cells;
    int rc;

    bind_cells(stmt, c, first_ms, last_ms);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct ledger_cell cell = { .amount = sqlite3_column_int64(stmt, 1),
                                    .calls = sqlite3_column_int64(stmt, 2),
                                    .unknown = sqlite3_column_int64(stmt, 3) };
        accounts_loaded(a, account, sqlite3_column_int64(stmt, 0), &cell);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? load_held(l, a, account, first_ms, last_ms) : -rc;
}

static int prepare(struct ledger *l)
{
    struct ledger_statements *s = l->sql;
    const struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } all[] = {
        { &s->load_cells, "SELECT start_ms, amount, calls, unknown FROM projection_ledger"
                          " WHERE budget=? AND key=? AND start_ms BETWEEN ? AND ?" },
        { &s->load_held, "SELECT start_ms, kind, amount FROM reservation_posting"
                         " WHERE budget=? AND key=? AND start_ms BETWEEN ? AND ?" },
        { &s->save_cell,
          "INSERT INTO projection_ledger VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
          " amount = min(amount + excluded.amount, 9223372036854775807), calls = calls + excluded.calls,"
          " unknown = unknown + excluded.unknown" },
        { &s->save_watermark, "UPDATE projection SET watermark=? WHERE name='ledger'" },
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
        rc = store_prepare(l->store, all[i].sql, all[i].stmt);
    return rc;
}

int ledger_init(struct ledger *l, struct store *store, const struct ledger_options *options)
{
    int rc;

    *l = (struct ledger){ .store = store,
                          .options = *options,
                          .next_change_ms = INT64_MAX,
                          .next_expiry_ms = INT64_MAX,
                          .next_pause_ms = INT64_MAX,
                          .version = (uint64_t)wall_ms() << 16 };
    if ((l->sql = calloc(1, sizeof *l->sql)) == NULL ||
        (l->subjects = calloc(1, sizeof *l->subjects)) == NULL)
        return -SQLITE_NOMEM;
    if ((rc = accounts_init(&l->accounts, load_account, l)) != 0 || (rc = ledger_match_init(l)) != 0 ||
        (rc = prepare(l)) != 0 || (rc = alerts_init(&l->alerts, store)) != 0 ||
        (rc = ledger_prepare_pauses(l)) != 0 || (rc = booked_init(&l->booked, store->db)) != 0 ||
        (rc = subject_reader_open(l->subjects, store->db)) != 0)
        return rc;
    rc = ledger_forecast_prepare(l);
    return rc != 0 ? rc : ledger_prepare_reservations(l);
}

void ledger_fini(struct ledger *l)
{
    accounts_fini(&l->accounts);
    ledger_free_budgets(l);
    ledger_free_pauses(l);
    if (l->subjects != NULL)
        subject_reader_close(l->subjects);
    free(l->subjects);
    ledger_match_fini(l);
    free(l->hints);
    free(l->early);
    booked_fini(&l->booked);
    free(l->sql);
    *l = (struct ledger){ .store = NULL };
}

/* ------------------------------------------------------------------- events */

void worth_of(const struct log_row *row, struct worth *out)
{
    const int64_t *num = row->num;
    bool split = num[D_prompt_tokens] != UNKNOWN && num[D_completion_tokens] != UNKNOWN;
    int64_t parts = (num[D_prompt_tokens] != UNKNOWN ? num[D_prompt_tokens] : 0) +
                    (num[D_completion_tokens] != UNKNOWN ? num[D_completion_tokens] : 0);
    int64_t usd = num[D_cost_nanousd] != UNKNOWN ? num[D_cost_nanousd] : num[D_cost_reported_nanousd];

    *out = (struct worth){
        .amount = { [UNIT_USD] = usd != UNKNOWN ? usd : 0,
                    [UNIT_TOKENS] = num[D_total_tokens] != UNKNOWN ? num[D_total_tokens] : parts,
                    [UNIT_CALLS] = 1 },
        .unknown = { [UNIT_USD] = usd == UNKNOWN, [UNIT_TOKENS] = num[D_total_tokens] == UNKNOWN && !split }
    };
}

/* An event that is posted: what it is worth, and when. */
struct posting {
    struct worth worth;
    int64_t post_ms;
    int sign;
    bool pace_only; /* it has been counted: see ledger_recall_row */
};

/* What comes for a window that is over says nothing of the pace of now. Before the accounts run, it is
 * ledger_recall_row that says it. */
static void pace(const struct ledger *l, struct account *c, const struct posting *p, int64_t amount)
{
    if (p->post_ms >= c->first_ms && (l->running || p->pace_only))
        burn_add(&c->burn, p->post_ms < l->now_ms ? p->post_ms : l->now_ms, p->sign * amount);
}

static int post_to(struct ledger *l, const struct reach *r, const struct posting *p)
{
    struct account *c = &l->accounts.all[r->account];
    const struct ledger_budget *b = r->budget;

    if (p->post_ms < b->counts_from_ms)
        return 0;
    pace(l, c, p, p->worth.amount[b->def->unit]);
    if (p->pace_only)
        return 0;
    if (!accounts_post(&l->accounts, r->account, p->post_ms, p->sign * p->worth.amount[b->def->unit], p->sign,
                       p->sign * p->worth.unknown[b->def->unit]))
        return -SQLITE_NOMEM;
    if (p->sign > 0 && account_spent(c) < c->mark && account_committed(c) < c->full)
        return 0;
    return ledger_look(l, r->account, l->running);
}

static int post_all(struct ledger *l, const struct log_row *row, const struct subject *who,
                    const struct posting *p)
{
    struct reach reach[LEDGER_REACH_MAX];
    int count = ledger_reach(l, row->dims, who, reach), rc = 0;

    for (int i = 0; rc == 0 && i < count; i++)
        rc = post_to(l, &reach[i], p);
    return count < 0 ? count : rc;
}

/* The ordinary case: no budget looks at sessions and the combination is remembered. */
static bool post_remembered(struct ledger *l, const struct log_row *row, const struct posting *p, int *rc)
{
    struct reach reach[LEDGER_RECALL_MAX];
    int count;

    if (l->session_budgets > 0 || !ledger_recall(l, row->dims, reach, &count))
        return false;
    *rc = count < 0 ? count : 0;
    for (int i = 0; *rc == 0 && i < count; i++)
        *rc = post_to(l, &reach[i], p);
    return true;
}

/* e: the event as it came, or NULL: its names are read from the dictionaries. */
static int post(struct ledger *l, const struct log_row *row, const struct event *e, struct posting *p)
{
    struct subject who;
    int rc = 0;

    worth_of(row, &p->worth);
    if (post_remembered(l, row, p, &rc))
        return rc;
    if (e != NULL)
        subject_of_event(e, &who);
    else if ((rc = subject_reader_get(l->subjects, row->dims, row->session, &who)) != 0)
        return rc;
    return post_all(l, row, &who, p);
}

static bool is_worth(const struct log_row *row)
{
    return row->kind == LOG_DISPATCH && row->counts && row->status != STATUS_blocked;
}

/* The time at which a dispatch counts: that of its reservation's admission. e: it has just come; NULL: it is
 * read again. */
static int time_of(struct ledger *l, const struct log_row *row, const struct event *e, int64_t *out)
{
    *out = row->ts_ms;
    if (row->kind != LOG_DISPATCH || row->reservation_len == 0)
        return 0;
    int rc = ledger_reservation(l, row, e, out);
    return rc < 0 ? rc : 0;
}

/* A row that is in the log already: what budgets count of it. */
static int post_again(struct ledger *l, const struct log_row *row, struct posting *p)
{
    int64_t num[DISPATCH_NUMS];
    struct log_row counted;
    int rc = booked_row(&l->booked, row, num, &counted);

    return rc < 0 ? rc : post(l, &counted, NULL, p);
}

int ledger_row(struct ledger *l, const struct log_row *row, const struct event *e)
{
    struct posting p = { .sign = 1 };

    if (row->id <= l->watermark)
        return 0;
    l->newest = row->id;
    l->pending++;
    int rc = time_of(l, row, e, &p.post_ms);
    if (rc != 0 || l->budget_count == 0 || !is_worth(row))
        return rc;
    if (e == NULL)
        return post_again(l, row, &p);
    if (l->hints != NULL)
        ledger_hint(l, e, row);
    return post(l, row, e, &p);
}

int ledger_recall_row(struct ledger *l, const struct log_row *row)
{
    struct posting p = { .sign = 1, .pace_only = true };

    if (!is_worth(row))
        return 0;
    int rc = time_of(l, row, NULL, &p.post_ms);
    return rc != 0 ? rc : post_again(l, row, &p);
}

static int repost(struct ledger *l, const struct log_row *row, int sign)
{
    struct posting p = { .sign = sign };

    if (!is_worth(row) || l->budget_count == 0)
        return 0;
    l->pending++;
    l->owes |= row->id <= l->watermark;
    int rc = time_of(l, row, NULL, &p.post_ms);
    return rc != 0 ? rc : post_again(l, row, &p);
}

int ledger_retract(struct ledger *l, const struct log_row *row)
{
    return repost(l, row, -1);
}

int ledger_restore(struct ledger *l, const struct log_row *row)
{
    return repost(l, row, 1);
}

int ledger_keep(struct ledger *l, const struct log_row *row)
{
    return is_worth(row) && l->budget_count > 0 ? booked_keep(&l->booked, row) : 0;
}

int ledger_adopt(struct ledger *l, const struct log_row *was, const struct log_row *is)
{
    int rc = ledger_retract(l, was);

    if (rc == 0)
        rc = booked_drop(&l->booked, is->id);
    return rc != 0 ? rc : ledger_restore(l, is);
}

/* ----------------------------------------------------------------- flushing */

bool ledger_must_flush(const struct ledger *l)
{
    return l->owes;
}

bool ledger_is_full(const struct ledger *l)
{
    return l->accounts.deltas_used >= PENDING_MAX || l->accounts.dirty_used >= l->accounts.most / 2;
}

bool ledger_is_dirty(const struct ledger *l)
{
    return l->newest > l->watermark || l->accounts.dirty_used > 0;
}

static int save_delta(struct ledger *l, const struct delta *d)
{
    const struct account *c = &l->accounts.all[d->account];
    struct recount_cell cell = { .budget = c->budget->id,
                                 .key = c->key,
                                 .key_len = c->key_len,
                                 .start_ms = d->start_ms,
                                 .amount = d->amount,
                                 .calls = d->calls,
                                 .unknown = d->unknown };

    if (d->amount == 0 && d->calls == 0 && d->unknown == 0)
        return 0;
    return ledger_cell_save(l->sql->save_cell, &cell);
}

int ledger_flush(struct ledger *l)
{
    const struct accounts *a = &l->accounts;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < a->dirty_used; i++)
        rc = save_delta(l, &a->all[a->dirty[i]].delta);
    for (uint32_t i = 0; rc == 0 && i < a->deltas_used; i++)
        rc = save_delta(l, &a->deltas[i]);
    if (rc != 0)
        return rc;
    accounts_flushed(&l->accounts);
    l->watermark = l->newest;
    l->pending = 0;
    l->owes = false;
    sqlite3_bind_int64(l->sql->save_watermark, 1, l->watermark);
    return store_run(l->sql->save_watermark);
}

/* --------------------------------------------------------------------- time */

/* When a raise ends, accounts that are not in memory may be over their limits again. */
static bool raise_ends(const struct ledger *l, int64_t now_ms)
{
    for (size_t i = 0; i < l->budget_count; i++)
        for (unsigned k = 0; k < l->budgets[i]->raises; k++)
            if (l->budgets[i]->raise[k].until_ms <= now_ms)
                return true;
    return false;
}

static void plan_change(struct ledger *l)
{
    l->next_change_ms = INT64_MAX;
    for (uint32_t i = 0; i < l->accounts.hot_used; i++) {
        const struct account *c = &l->accounts.all[l->accounts.hot[i]];
        if (c->until_ms < l->next_change_ms)
            l->next_change_ms = c->until_ms;
    }
    for (size_t i = 0; i < l->budget_count; i++)
        for (unsigned k = 0; k < l->budgets[i]->raises; k++)
            if (l->budgets[i]->raise[k].until_ms < l->next_change_ms)
                l->next_change_ms = l->budgets[i]->raise[k].until_ms;
}

/* Those that did not allow, in the windows of now. */
static int look_at_hot(struct ledger *l)
{
    int rc = 0;

    for (uint32_t i = l->accounts.hot_used; rc == 0 && i-- > 0;) {
        uint32_t account = l->accounts.hot[i];
        if ((rc = accounts_roll(&l->accounts, account, l->now_ms)) == 0)
            rc = ledger_look(l, account, l->running);
    }
    return rc;
}

/* Then other windows may run than those that memory knows of, and what is full in them nobody has looked at.
 */
static bool has_jumped(int64_t before_ms, int64_t now_ms)
{
    return now_ms < before_ms - STEP_BACK_MS || now_ms > before_ms + STEP_AHEAD_MS;
}

/* What time alone has changed. */
static int look_again(struct ledger *l, bool jumped)
{
    int rc = jumped || raise_ends(l, l->now_ms) ? ledger_reload(l) : look_at_hot(l);

    plan_change(l);
    l->changed = true; /* what was told of opening times may not hold any more */
    return rc;
}

int ledger_tick(struct ledger *l, int64_t now_ms)
{
    bool back = now_ms < l->now_ms, jumped = has_jumped(l->now_ms, now_ms);
    int rc = 0;

    l->now_ms = now_ms;
    l->foresight.recalled &= !jumped;
    if (now_ms >= l->next_expiry_ms && (rc = ledger_expire(l)) != 0)
        return rc;
    if (now_ms >= l->next_pause_ms && (rc = ledger_end_pauses(l)) != 0)
        return rc;
    if (back || jumped || now_ms >= l->next_change_ms)
        rc = look_again(l, jumped);
    return rc != 0 ? rc : ledger_forecast_tick(l);
}

int64_t ledger_due_ms(const struct ledger *l)
{
    const int64_t due_ms[] = { l->next_change_ms, l->next_pause_ms, ledger_forecast_due_ms(l) };
    int64_t first_ms = l->next_expiry_ms;

    for (size_t i = 0; i < sizeof due_ms / sizeof *due_ms; i++)
        first_ms = due_ms[i] < first_ms ? due_ms[i] : first_ms;
    return first_ms;
}

/* -------------------------------------------------------------------- start */

int ledger_reload(struct ledger *l)
{
    int rc = ledger_flush(l);

    if (rc == 0)
        rc = ledger_restart(l);
    return rc;
}

/* Everything from the file; nothing in memory may be owed to it. */
int ledger_restart(struct ledger *l)
{
    int rc;

    accounts_keep_burns(&l->accounts);
    accounts_clear(&l->accounts);
    ledger_match_forget(l);
    l->owes = false;
    if ((rc = ledger_load_budgets(l)) != 0 || (rc = ledger_load_pauses(l)) != 0 ||
        (rc = ledger_count_reservations(l)) != 0 || (rc = ledger_find_hot(l)) != 0)
        return rc;
    plan_change(l);
    l->changed = true;
    return 0;
}

int ledger_start(struct ledger *l, int64_t now_ms)
{
    int rc = store_number(l->store, "SELECT watermark FROM projection WHERE name='ledger'", &l->watermark);

    l->now_ms = now_ms;
    l->newest = l->watermark;
    l->pending = 0;
    memset(&l->tally, 0, sizeof l->tally);
    l->running = false;
    l->foresight.recalled = false;
    if (rc == 0)
        rc = booked_recover(&l->booked);
    return rc != 0 ? rc : ledger_restart(l);
}
