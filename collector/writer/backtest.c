/* SPDX-License-Identifier: MIT
 *
 * backtest.c: the ledger's accounts without its file, as in simulate.c, and of each the window that is
 * measured. Nothing is loaded: what is late for a window that is over is not missed here.
 */
#include "backtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../govern/forecast.h"
#include "ledger_recount.h"
#include "ledger_subject.h"
#include "ledger_work.h"

#define TICK_ROWS     8192
#define DIRTY_MAX     4096 /* accounts whose deltas are dropped: nobody flushes them */
#define LOOK_ACCOUNTS 1000 /* with so many more a look comes that much later */

/* The window of an account that is measured; by the account's place. */
struct measure {
    int64_t start_ms, end_ms; /* UNKNOWN: none is */
    uint32_t generation;      /* of the account: another one may have taken its place */
    int64_t projected[3];     /* UNKNOWN */
    int64_t spent, calls;     /* at the last look */
    bool alarm, passed, learnt;
    struct curve curve;
};

struct backtest {
    const struct backtest_options *options;
    struct backtest_result *out;
    struct recount recount;
    struct accounts accounts;
    struct measure *measure; /* owned */
    uint32_t measures;
    int64_t now_ms, look_ms, rows;
};

/* ------------------------------------------------------------------- measuring */

static struct backtest_budget *told_of(const struct backtest *s, const struct account *c)
{
    for (size_t i = 0; i < s->recount.budget_count; i++)
        if (s->recount.budgets[i] == c->budget)
            return &s->out->budget[i];
    return NULL;
}

static int add_error(struct backtest_errors *e, int64_t projected, int64_t came)
{
    double off = ((double)projected - (double)came) / (double)came;

    if (e->kept == BACKTEST_ERRORS)
        return 0;
    if (e->kept == e->room) {
        size_t room = e->room == 0 ? 256 : 2 * e->room;
        float *more = realloc(e->all, room * sizeof *more);
        if (more == NULL)
            return -SQLITE_NOMEM;
        e->all = more;
        e->room = room;
    }
    e->all[e->kept++] = (float)(off < 0 ? -off : off);
    return 0;
}

/* The window is over. */
static int end_window(const struct backtest *s, const struct account *c, struct measure *m)
{
    struct backtest_budget *b = told_of(s, c);
    bool counts = m->start_ms >= s->options->from_ms && m->start_ms >= c->budget->counts_from_ms &&
                  m->end_ms <= s->options->to_ms && m->calls >= BACKTEST_CALLS && m->spent > 0 && b != NULL;
    int rc = 0;

    curve_finish(&m->curve, m->spent);
    if (!counts)
        return 0;
    b->windows++;
    b->learnt += m->learnt;
    for (int i = 0; rc == 0 && i < 3; i++)
        if (m->projected[i] != UNKNOWN)
            rc = add_error(&b->error[i], m->projected[i], m->spent);
    b->right += m->alarm && m->passed;
    b->wrong += m->alarm && !m->passed;
    b->missed += !m->alarm && m->passed;
    return rc;
}

/* Whole: the account would have been looked at before, had it had anything to look at. */
static void begin_window(const struct backtest *s, const struct account *c, struct measure *m)
{
    m->start_ms = c->start_ms;
    m->end_ms = c->until_ms;
    m->projected[0] = m->projected[1] = m->projected[2] = UNKNOWN;
    m->spent = m->calls = 0;
    m->alarm = m->passed = false;
    m->learnt = m->curve.windows > 0;
    curve_begin(&m->curve, c->start_ms, c->until_ms, c->start_ms >= s->options->from_ms);
    if (s->look_ms > c->start_ms)
        curve_look(&m->curve, s->look_ms, 0);
}

static void project(const struct backtest *s, const struct account *c, struct measure *m)
{
    struct forecast_input in = { .window = &c->budget->def->window,
                                 .burn = &c->burn,
                                 .curve = &m->curve,
                                 .start_ms = m->start_ms,
                                 .end_ms = m->end_ms,
                                 .now_ms = s->now_ms,
                                 .spent = c->total.amount,
                                 .limit = c->budget->def->limit,
                                 .calls = c->total.calls };
    int64_t quarters = 4 * (in.now_ms - in.start_ms) / (in.end_ms - in.start_ms);
    struct forecast f;

    forecast_make(&in, &f);
    m->alarm |= f.alarm && !m->passed;
    if (quarters >= 1 && quarters <= 3 && m->projected[quarters - 1] == UNKNOWN)
        m->projected[quarters - 1] = f.projected;
}

/* As the ledger's look; posted: a call has just been counted. */
static int look(struct backtest *s, uint32_t account)
{
    struct account *c = &s->accounts.all[account];
    struct measure *m = &s->measure[account];
    int rc = 0;

    if (c->budget == NULL || c->budget->def->window.kind > WINDOW_MONTH)
        return 0;
    if (m->generation != c->generation) {
        *m = (struct measure){ .generation = c->generation, .start_ms = UNKNOWN };
        curve_init(&m->curve);
    }
    if ((rc = accounts_roll(&s->accounts, account, s->now_ms)) != 0)
        return rc;
    if (m->start_ms != UNKNOWN && m->start_ms != c->start_ms)
        rc = end_window(s, c, m);
    if (rc != 0)
        return rc;
    if (m->start_ms != c->start_ms)
        begin_window(s, c, m);
    curve_look(&m->curve, s->now_ms, c->total.amount);
    m->spent = c->total.amount;
    m->calls = c->total.calls;
    m->passed |= m->spent >= c->budget->def->limit;
    project(s, c, m);
    return 0;
}

static bool make_room(struct backtest *s)
{
    if (s->measures >= s->accounts.room)
        return true;
    struct measure *more = realloc(s->measure, s->accounts.room * sizeof *more);
    if (more == NULL)
        return false;
    memset(more + s->measures, 0, (s->accounts.room - s->measures) * sizeof *more);
    s->measure = more;
    s->measures = s->accounts.room;
    return true;
}

/* Rounds until the clock stands at now_ms: each at the time at which it would have been. */
static int look_at_all(struct backtest *s, int64_t now_ms)
{
    int64_t step_ms = BACKTEST_LOOK_MS * (1 + s->accounts.used / LOOK_ACCOUNTS);
    int rc = 0;

    while (rc == 0 && s->look_ms + step_ms <= now_ms) {
        s->now_ms = s->look_ms + step_ms;
        for (uint32_t i = 0; rc == 0 && i < s->accounts.used; i++)
            rc = look(s, i);
        s->look_ms = s->now_ms;
    }
    s->now_ms = now_ms;
    return rc;
}

/* ----------------------------------------------------------------------- calls */

static int count_for(struct backtest *s, const struct ledger_budget *b, const struct subject *who,
                     int64_t post_ms, const struct worth *worth)
{
    uint8_t key[BUDGET_KEY_MAX];
    uint32_t len = (uint32_t)budget_key(b->def, who, key), account, used = s->accounts.used;
    int rc = accounts_get(&s->accounts, b, (struct slice){ key, len }, s->now_ms, &account);

    if (rc != 0 || !make_room(s))
        return rc != 0 ? rc : -SQLITE_NOMEM;
    s->out->cut |= used == s->accounts.most && s->measure[account].generation != 0 &&
                   s->measure[account].generation != s->accounts.all[account].generation;
    struct account *c = &s->accounts.all[account];
    if (!accounts_post(&s->accounts, account, post_ms, worth->amount[b->def->unit], 1,
                       worth->unknown[b->def->unit]))
        return -SQLITE_NOMEM;
    if (post_ms >= c->first_ms)
        burn_add(&c->burn, post_ms < s->now_ms ? post_ms : s->now_ms, worth->amount[b->def->unit]);
    if (s->accounts.dirty_used >= DIRTY_MAX)
        accounts_flushed(&s->accounts);
    return look(s, account);
}

static int see(struct backtest *s, const struct log_row *row)
{
    int64_t num[DISPATCH_NUMS], post_ms;
    struct log_row counted;
    struct subject who;
    struct worth worth;
    int rc;

    if (!row->counts || row->status == STATUS_blocked)
        return 0;
    if ((rc = recount_post_ms(&s->recount, row, &post_ms)) != 0 || post_ms >= s->options->to_ms ||
        post_ms < s->options->from_ms)
        return rc;
    if (post_ms > s->now_ms && post_ms <= row->received_ms && (rc = look_at_all(s, post_ms)) != 0)
        return rc;
    if ((rc = subject_reader_get(s->recount.subjects, row->dims, row->session, &who)) != 0 ||
        (rc = booked_row(&s->recount.booked, row, num, &counted)) < 0)
        return rc;
    rc = 0;
    worth_of(&counted, &worth);
    s->out->calls++;
    for (size_t i = 0; rc == 0 && i < s->recount.budget_count; i++) {
        const struct ledger_budget *b = s->recount.budgets[i];
        if (b->def->window.kind <= WINDOW_MONTH && scope_holds(&b->def->scope, &who))
            rc = count_for(s, b, &who, post_ms, &worth);
    }
    return rc;
}

/* ------------------------------------------------------------------- beginning */

/* When a budget came says nothing of what it would have said before. */
static int take_budgets(struct backtest *s)
{
    struct recount *r = &s->recount;

    s->out->budget = calloc(r->budget_count + 1, sizeof *s->out->budget);
    if (s->out->budget == NULL)
        return -SQLITE_NOMEM;
    for (size_t i = 0; i < r->budget_count; i++) {
        r->budgets[i]->since_ms = s->options->from_ms;
        if (r->budgets[i]->def->counts_from != COUNTS_AT)
            r->budgets[i]->counts_from_ms = s->options->from_ms;
    }
    return 0;
}

static int find_rows(struct backtest *s, int64_t *first_id, int64_t *last_id)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(
        s->recount.db,
        "SELECT ifnull(min(first_id), (SELECT ifnull(max(last_id), 0) + 1 FROM log_partition)),"
        " (SELECT ifnull(max(id), 0) FROM dispatch) FROM log_partition WHERE last_received_ms >= ?",
        -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, s->options->from_ms);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *first_id = sqlite3_column_int64(stmt, 0);
        *last_id = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? 0 : -rc;
}

static bool goes_on(struct backtest *s, int64_t done, int64_t of)
{
    const struct backtest_options *o = s->options;

    return ++s->rows % TICK_ROWS != 0 || o->progress == NULL || o->progress(o->progress_arg, done, of);
}

static int walk(struct backtest *s)
{
    int64_t first_id = 1, last_id = 0;
    struct log_row row;
    int rc = find_rows(s, &first_id, &last_id);

    s->now_ms = s->look_ms = s->accounts.seen_ms = s->options->from_ms;
    if (rc != 0 || (rc = recount_seek(&s->recount, first_id, last_id)) != 0)
        return rc;
    while (rc == 0 && (rc = log_reader_next(s->recount.reader, &row)) == 1)
        rc = goes_on(s, row.id - first_id, last_id - first_id + 1) ? see(s, &row) : -SQLITE_INTERRUPT;
    log_reader_rest(s->recount.reader);
    return rc != 0 ? rc : look_at_all(s, s->options->to_ms);
}

static int run(struct backtest *s, sqlite3 *db)
{
    int rc = recount_init(&s->recount, db, s->options->zone, false);

    if (rc != 0 || (rc = take_budgets(s)) != 0 || (rc = accounts_init(&s->accounts, NULL, NULL)) != 0)
        return rc;
    return walk(s);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* The definitions become the result's. */
static void hand_over(struct backtest *s)
{
    for (size_t i = 0; s->out->budget != NULL && i < s->recount.budget_count; i++) {
        struct backtest_budget *b = &s->out->budget[i];
        b->def = s->recount.budgets[i]->def;
        s->recount.budgets[i]->def = NULL;
        for (int q = 0; q < 3; q++)
            if (b->error[q].kept > 0)
                qsort(b->error[q].all, b->error[q].kept, sizeof(float), by_size);
        s->out->budgets++;
    }
}

int backtest(sqlite3 *db, const struct backtest_options *options, struct backtest_result *out)
{
    struct backtest s = { .options = options, .out = out };
    int rc = -sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);

    *out = (struct backtest_result){ .cut = false };
    if (rc == 0)
        rc = run(&s, db);
    if (rc != 0)
        snprintf(out->error, sizeof out->error, "%s", store_why(db, rc));
    accounts_fini(&s.accounts);
    hand_over(&s);
    recount_fini(&s.recount);
    free(s.measure);
    if (!sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

void backtest_fini(struct backtest_result *r)
{
    for (size_t i = 0; i < r->budgets; i++) {
        budget_free(r->budget[i].def);
        for (int q = 0; q < 3; q++)
            free(r->budget[i].error[q].all);
    }
    free(r->budget);
    *r = (struct backtest_result){ .cut = false };
}

double backtest_quantile(const struct backtest_errors *e, double part)
{
    size_t at = (size_t)((double)e->kept * part);

    if (e->kept == 0)
        return -1;
    return (double)e->all[at < e->kept ? at : e->kept - 1];
}
