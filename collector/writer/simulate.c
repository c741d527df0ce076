/* SPDX-License-Identifier: MIT
 *
 * simulate.c: the ledger's accounts and limits without its file: what an account has counted in other windows
 * than its running one stands in a table of cells in memory, where the ledger has projection_ledger.
 */
#include "simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_limits.h"
#include "ledger_recount.h"
#include "ledger_subject.h"
#include "ledger_work.h"

#define PENDING_MAX 256 /* deltas beside the accounts' own */
#define TICK_ROWS   8192

struct simulate {
    const struct simulate_options *options;
    struct simulate_result *out;
    struct recount recount; /* its budgets are those that are tried, its cells what they have counted */
    struct accounts accounts;
    int64_t now_ms, latest_ms; /* of the cells, the latest one's start */
    int64_t rows;
    bool stopped;
};

/* A call, and the accounts in which it counts. */
struct call {
    struct worth worth;
    int64_t post_ms;
    bool told; /* it is in the time that is asked for */
    struct reach reach[LEDGER_REACH_MAX];
    int count;
};

static bool grow(void **array, uint32_t used, uint32_t *room, size_t size)
{
    uint32_t wanted = *room == 0 ? 64 : 2 * *room;

    if (used < *room)
        return true;
    void *more = realloc(*array, wanted * size);
    if (more == NULL)
        return false;
    *array = more;
    *room = wanted;
    return true;
}

static void add(struct simulate_sum *sum, const struct worth *w, enum unit unit)
{
    sum->calls++;
    sum->amount += w->amount[unit];
    sum->unknown += w->unknown[unit];
}

/* ----------------------------------------------------------- other windows */

/* Of a sliding window a load asks for what is ahead, too: that there may be something is enough, then the
 * account is loaded again when its window goes on. */
static int load(void *arg, struct accounts *a, uint32_t account, int64_t first_ms, int64_t last_ms)
{
    const struct simulate *s = arg;
    const struct account *c = &a->all[account];
    int64_t step = c->budget->def->window.length_ms / WINDOW_BUCKETS, start_ms = first_ms;

    last_ms = last_ms > c->start_ms ? c->start_ms : last_ms;
    do {
        const struct recount_cell *cell =
            ledger_cells_find(&s->recount.cells, c->budget->id, c->key, c->key_len, start_ms);
        if (cell != NULL)
            accounts_loaded(a, account, start_ms,
                            &(struct ledger_cell){
                                .amount = cell->amount, .calls = cell->calls, .unknown = cell->unknown });
        start_ms += step;
    } while (step > 0 && start_ms <= last_ms);
    if (step > 0 && s->latest_ms > c->start_ms)
        accounts_loaded(a, account, s->latest_ms, &(struct ledger_cell){ .amount = 0 });
    return 0;
}

static bool keep(struct simulate *s, const struct delta *d)
{
    const struct account *c = &s->accounts.all[d->account];
    struct recount_cell *cell =
        ledger_cells_get(&s->recount.cells, c->budget->id, c->key, c->key_len, d->start_ms);

    if (cell == NULL)
        return false;
    cell->amount += d->amount;
    cell->calls += d->calls;
    cell->unknown += d->unknown;
    if (d->start_ms > s->latest_ms)
        s->latest_ms = d->start_ms;
    return true;
}

/* Where the ledger would flush to its file. */
static int flush(struct simulate *s)
{
    struct accounts *a = &s->accounts;
    bool ok = true;

    if (a->deltas_used < PENDING_MAX && a->dirty_used < ACCOUNTS_MAX / 2)
        return 0;
    for (uint32_t i = 0; ok && i < a->dirty_used; i++)
        ok = keep(s, &a->all[a->dirty[i]].delta);
    for (uint32_t i = 0; ok && i < a->deltas_used; i++)
        ok = keep(s, &a->deltas[i]);
    accounts_flushed(a);
    return ok ? 0 : -SQLITE_NOMEM;
}

/* -------------------------------------------------------- what is reached */

static size_t place_of(const struct account *c)
{
    return (size_t)(c->budget->id - 1);
}

/* What is told of an account; NULL: no memory. */
static struct simulate_account *told_of(struct simulate *s, const struct account *c)
{
    struct simulate_result *r = s->out;
    struct recount_cell *name = ledger_cells_get(&r->names, c->budget->id, c->key, c->key_len, 0);

    if (name == NULL)
        return NULL;
    uint32_t at = (uint32_t)(name - r->names.all);
    if (at < r->accounts)
        return &r->account[at];
    if (!grow((void **)&r->account, r->accounts, &r->account_room, sizeof *r->account))
        return NULL;
    struct simulate_account *t = &r->account[r->accounts++];
    *t = (struct simulate_account){ .budget = (uint32_t)place_of(c),
                                    .first_period = SIMULATE_NONE,
                                    .last_period = SIMULATE_NONE,
                                    .current = SIMULATE_NONE };
    for (int i = 0; i < BUDGET_ALERTS_MAX; i++)
        t->first_ms[i] = UNKNOWN;
    return t;
}

static int cross(struct simulate *s, const struct account *c, unsigned threshold)
{
    struct simulate_result *r = s->out;
    struct simulate_account *t = told_of(s, c);

    if (t == NULL)
        return -SQLITE_NOMEM;
    r->budget[t->budget].crossings++;
    if (t->times[threshold]++ == 0)
        t->first_ms[threshold] = s->now_ms;
    if (r->crossings == SIMULATE_MOMENTS_MAX) {
        r->cut = true;
        return 0;
    }
    if (!grow((void **)&r->crossing, r->crossings, &r->crossing_room, sizeof *r->crossing))
        return -SQLITE_NOMEM;
    r->crossing[r->crossings++] = (struct simulate_crossing){ .account = (uint32_t)(t - r->account),
                                                              .percent = c->budget->def->alert[threshold],
                                                              .at_ms = s->now_ms,
                                                              .spent = account_spent(c) };
    return 0;
}

/* A period begins; one that is too many is counted only. */
static int begin(struct simulate *s, const struct account *c, struct simulate_account *t, int64_t from_ms)
{
    struct simulate_result *r = s->out;

    t->periods++;
    r->budget[t->budget].periods++;
    if (r->periods == SIMULATE_MOMENTS_MAX) {
        r->cut = true;
        return 0;
    }
    if (!grow((void **)&r->period, r->periods, &r->period_room, sizeof *r->period))
        return -SQLITE_NOMEM;
    t->current = t->last_period = r->periods;
    if (t->first_period == SIMULATE_NONE)
        t->first_period = r->periods;
    r->period[r->periods++] =
        (struct simulate_period){ .account = (uint32_t)(t - r->account),
                                  .from_ms = from_ms,
                                  .until_ms = limit_opens_ms(c, 0, c->budget->def->limit) };
    return 0;
}

static bool is_held(const struct account *c)
{
    return c->state > ACTION_WARN;
}

/* It is at its limit: a period begins or goes on. */
static int note_held(struct simulate *s, const struct account *c)
{
    struct simulate_account *t = told_of(s, c);

    if (t == NULL)
        return -SQLITE_NOMEM;
    if (t->current == SIMULATE_NONE)
        return begin(s, c, t, s->now_ms);
    s->out->period[t->current].until_ms = limit_opens_ms(c, 0, c->budget->def->limit);
    return 0;
}

/* It is at its limit, or is not any more. */
static int note_period(struct simulate *s, const struct account *c)
{
    struct simulate_account *t;

    if (is_held(c))
        return note_held(s, c);
    const struct recount_cell *name = ledger_cells_find(&s->out->names, c->budget->id, c->key, c->key_len, 0);
    if (name == NULL)
        return 0;
    t = &s->out->account[name - s->out->names.all];
    if (t->current != SIMULATE_NONE && s->out->period[t->current].until_ms > s->now_ms)
        s->out->period[t->current].until_ms = s->now_ms;
    t->current = SIMULATE_NONE;
    return 0;
}

/* As ledger_look; tell: it is in the time that is asked for. */
static int look(struct simulate *s, uint32_t account, bool posted, bool tell)
{
    struct account *c = &s->accounts.all[account];
    const struct budget *def = c->budget->def;
    unsigned n = limit_reached(def, account_spent(c), def->limit);
    int rc = 0;

    for (unsigned i = c->alerted; rc == 0 && posted && tell && i < n; i++)
        rc = cross(s, c, i);
    c->fresh = false;
    c->alerted = (uint8_t)n;
    c->mark = 0;
    if (rc != 0)
        return rc;
    if (!accounts_set_state(&s->accounts, account, limit_state(def, n, account_spent(c), def->limit)))
        return -SQLITE_NOMEM;
    return tell ? note_period(s, c) : 0;
}

/* ------------------------------------------------------------------ calls */

static int reach(struct simulate *s, const struct subject *who, struct call *call)
{
    uint8_t key[BUDGET_KEY_MAX];

    for (size_t i = 0; i < s->recount.budget_count && call->count < LEDGER_REACH_MAX; i++) {
        const struct ledger_budget *b = s->recount.budgets[i];
        if (!scope_holds(&b->def->scope, who))
            continue;
        struct reach *r = &call->reach[call->count++];
        size_t len = budget_key(b->def, who, key);
        int rc = accounts_get(&s->accounts, b, (struct slice){ key, (uint32_t)len }, s->now_ms, &r->account);
        if (rc != 0)
            return rc;
        r->budget = b;
        const struct account *c = &s->accounts.all[r->account];
        if ((c->fresh || c->mark == INT64_MIN) && (rc = look(s, r->account, false, call->told)) != 0)
            return rc;
    }
    return 0;
}

/* Whether a budget that is no shadow, or one that is, blocks it. */
static bool is_blocked(const struct simulate *s, const struct call *call, bool shadow)
{
    for (int i = 0; i < call->count; i++)
        if (call->reach[i].budget->def->shadow == shadow &&
            s->accounts.all[call->reach[i].account].state == ACTION_BLOCK)
            return true;
    return false;
}

/* It came while this account was at its limit. */
static int hold(struct simulate *s, const struct account *c, const struct worth *w)
{
    enum unit unit = c->budget->def->unit;
    struct simulate_account *t = told_of(s, c);
    int rc = 0;

    if (t == NULL)
        return -SQLITE_NOMEM;
    if (t->current == SIMULATE_NONE && (rc = begin(s, c, t, s->options->from_ms)) != 0)
        return rc;
    add(&t->held, w, unit);
    add(&s->out->budget[t->budget].held, w, unit);
    if (t->current != SIMULATE_NONE)
        add(&s->out->period[t->current].held, w, unit);
    return 0;
}

/* Of a call that is blocked only those hear that block it. */
static int tell(struct simulate *s, const struct call *call, bool blocked)
{
    int rc = 0;

    add(&s->out->all, &call->worth, UNIT_USD);
    if (blocked)
        add(&s->out->blocked, &call->worth, UNIT_USD);
    else if (is_blocked(s, call, true))
        add(&s->out->shadow, &call->worth, UNIT_USD);
    for (int i = 0; rc == 0 && i < call->count; i++) {
        const struct account *c = &s->accounts.all[call->reach[i].account];
        const struct budget *def = c->budget->def;
        add(&s->out->budget[place_of(c)].all, &call->worth, def->unit);
        bool hears = blocked ? c->state == ACTION_BLOCK && !def->shadow : is_held(c);
        if (hears)
            rc = hold(s, c, &call->worth);
    }
    return rc;
}

static int count(struct simulate *s, const struct call *call)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < call->count; i++) {
        const struct ledger_budget *b = call->reach[i].budget;
        if (call->post_ms < b->counts_from_ms)
            continue;
        if (!accounts_post(&s->accounts, call->reach[i].account, call->post_ms,
                           call->worth.amount[b->def->unit], 1, call->worth.unknown[b->def->unit]))
            return -SQLITE_NOMEM;
        rc = look(s, call->reach[i].account, true, call->told);
    }
    return rc;
}

static int see(struct simulate *s, const struct log_row *row)
{
    struct call call = { .told = row->received_ms >= s->options->from_ms };
    struct subject who;
    int rc;

    if (!row->counts || row->status == STATUS_blocked || row->received_ms >= s->options->to_ms)
        return 0;
    if (row->received_ms > s->now_ms)
        s->now_ms = row->received_ms; /* a clock that went back: time stands still */
    if ((rc = flush(s)) != 0 || (rc = recount_post_ms(&s->recount, row, &call.post_ms)) != 0 ||
        (rc = subject_reader_get(s->recount.subjects, row->dims, row->session, &who)) != 0)
        return rc;
    worth_of(row, &call.worth);
    if ((rc = reach(s, &who, &call)) != 0)
        return rc;
    bool blocked = is_blocked(s, &call, false);
    if (call.told && (rc = tell(s, &call, blocked)) != 0)
        return rc;
    return blocked ? 0 : count(s, &call);
}

/* --------------------------------------------------------------- beginning */

/* From when a budget counts that came at from_ms. */
static int64_t counts_from_ms(const struct budget *def, int64_t from_ms)
{
    if (def->counts_from == COUNTS_NOW)
        return from_ms;
    return def->counts_from == COUNTS_AT ? def->counts_from_ms : window_first(&def->window, from_ms);
}

/* The budgets as the ledger has them; their definitions are the caller's. *first_ms: when the first begins.
 */
static int take_budgets(struct simulate *s, int64_t *first_ms)
{
    const struct simulate_options *o = s->options;
    struct recount *r = &s->recount;

    r->budgets = calloc(o->budget_count + 1, sizeof(struct ledger_budget *));
    s->out->budget = calloc(o->budget_count + 1, sizeof *s->out->budget);
    if (r->budgets == NULL || s->out->budget == NULL)
        return -SQLITE_NOMEM;
    *first_ms = o->from_ms;
    for (size_t i = 0; i < o->budget_count; i++) {
        struct ledger_budget *b = calloc(1, sizeof *b);
        if (b == NULL)
            return -SQLITE_NOMEM;
        r->budgets[r->budget_count++] = b;
        *b = (struct ledger_budget){ .id = (int64_t)i + 1,
                                     .def = o->budgets[i],
                                     .counts_from_ms = counts_from_ms(o->budgets[i], o->from_ms) };
        if (b->counts_from_ms < *first_ms)
            *first_ms = b->counts_from_ms;
    }
    return 0;
}

static int number(sqlite3 *db, const char *sql, int64_t bound, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, bound);
    if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        *out = sqlite3_column_int64(stmt, 0);
    return -sqlite3_finalize(stmt);
}

/* The rows from the first that may have come at first_ms; whether they all are still there. */
static int find_rows(struct simulate *s, int64_t first_ms, int64_t *first_id, int64_t *last_id)
{
    sqlite3 *db = s->recount.db;
    int64_t dropped = 0, begins_ms = UNKNOWN;
    int rc = number(db,
                    "SELECT ifnull(min(first_id), (SELECT ifnull(max(last_id), 0) + 1 FROM log_partition))"
                    " FROM log_partition WHERE last_received_ms >= ?",
                    first_ms, first_id);

    if (rc != 0 || (rc = number(db, "SELECT max(id) FROM dispatch", 0, last_id)) != 0 ||
        (rc = number(db, "SELECT through_id FROM log_dropped WHERE kind='dispatch'", 0, &dropped)) != 0 ||
        (rc = number(db, "SELECT ts_ms + received_after_ms FROM dispatch ORDER BY id LIMIT 1", 0,
                     &begins_ms)) != 0)
        return rc;
    if (dropped > 0 && (begins_ms == UNKNOWN || begins_ms > first_ms))
        s->out->log_ms = begins_ms;
    return 0;
}

static bool goes_on(struct simulate *s, int64_t done, int64_t of)
{
    const struct simulate_options *o = s->options;

    if (++s->rows % TICK_ROWS != 0 || o->progress == NULL)
        return true;
    s->stopped = !o->progress(o->progress_arg, done, of);
    return !s->stopped;
}

static int walk(struct simulate *s)
{
    int64_t first_ms = 0, first_id = 1, last_id = 0;
    struct log_row row;
    int rc = take_budgets(s, &first_ms);

    if (rc != 0 || (rc = find_rows(s, first_ms, &first_id, &last_id)) != 0 ||
        (rc = recount_seek(&s->recount, first_id, last_id)) != 0)
        return rc;
    s->now_ms = first_ms;
    while (rc == 0 && (rc = log_reader_next(s->recount.reader, &row)) == 1)
        rc = goes_on(s, row.id - first_id, last_id - first_id + 1) ? see(s, &row) : -SQLITE_INTERRUPT;
    log_reader_rest(s->recount.reader);
    return rc;
}

static int run(struct simulate *s, sqlite3 *db)
{
    int rc = recount_open(&s->recount, db);

    if (rc != 0 || (rc = accounts_init(&s->accounts, load, s)) != 0)
        return rc;
    return walk(s);
}

int simulate(sqlite3 *db, const struct simulate_options *options, struct simulate_result *out)
{
    struct simulate s = { .options = options, .out = out };
    int rc = -sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

    *out = (struct simulate_result){ .log_ms = UNKNOWN };
    if (rc == 0)
        rc = run(&s, db);
    if (rc != 0)
        snprintf(out->error, sizeof out->error, "%s", store_why(db, rc));
    for (size_t i = 0; s.recount.budgets != NULL && i < s.recount.budget_count; i++)
        if (s.recount.budgets[i] != NULL)
            s.recount.budgets[i]->def = NULL; /* the caller's */
    accounts_fini(&s.accounts);
    recount_fini(&s.recount);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

void simulate_fini(struct simulate_result *r)
{
    free(r->budget);
    free(r->account);
    free(r->crossing);
    free(r->period);
    ledger_cells_fini(&r->names);
    *r = (struct simulate_result){ .log_ms = UNKNOWN };
}

void simulate_key_text(const struct simulate_options *options, const struct simulate_result *r,
                       uint32_t account, char *out, size_t size)
{
    const struct recount_cell *name = &r->names.all[account];

    budget_key_text(options->budgets[name->budget - 1], name->key, name->key_len, out, size);
}
