/* SPDX-License-Identifier: MIT
 *
 * ledger_forecast.c: every account in memory is looked at about every LOOK_MS, LOOK_SLICE of them in one
 * transaction: its curve learns, and what its pace will come to is told before it does. Over 65,536 accounts
 * a round takes about 5 ms in 128 transactions, 120 ms in the one in which a day begins; a slice ends early
 * when it has written SAVES_MAX curves.
 *
 * Paces are not stored. After a start, or when the clock was set, they are read from the last hour of the
 * log, RECALL_ROWS of it at most, which takes up to 0.2 s; then they are known from the first of these rows
 * on.
 */
#include <stdlib.h>
#include <string.h>

#include "ledger_cells.h"
#include "ledger_work.h"

#define LOOK_MS      ((int64_t)10 * 1000)
#define LOOK_SLICE   512
#define SAVES_MAX    64
#define RECALL_MS    ((int64_t)3600 * 1000)
#define RECALL_ROWS  50000
#define CURVE_AGE_MS ((int64_t)70 * 24 * 3600 * 1000)
#define CURVE_GAP    4 /* a window of which more than a fourth was not looked at teaches nothing */

int ledger_forecast_prepare(struct ledger *l)
{
    struct ledger_foresight *f = &l->foresight;
    int rc = store_prepare(l->store, "SELECT start_ms, body FROM forecast_curve WHERE budget=? AND key=?",
                           &f->load);

    if (rc == 0)
        rc = store_prepare(l->store, "INSERT OR REPLACE INTO forecast_curve VALUES (?, ?, ?, ?)", &f->save);
    if (rc == 0)
        rc = store_prepare(l->store,
                           "SELECT amount FROM projection_ledger WHERE budget=? AND key=? AND start_ms=?",
                           &f->sum);
    return rc;
}

/* ----------------------------------------------------------------- the last hour */

/* When the first row from an id on was received; UNKNOWN: there is none. */
static int received_ms(sqlite3_stmt *stmt, int64_t id, int64_t *out)
{
    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);

    *out = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : UNKNOWN;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* The first row that is to be read, of those from `low` to `high`; they came in the order of time. */
static int find_first(sqlite3_stmt *stmt, int64_t from_ms, int64_t low, int64_t high, int64_t *out)
{
    int64_t ms;
    int rc = 0;

    while (rc == 0 && low < high) {
        int64_t middle = low + (high - low) / 2;
        rc = received_ms(stmt, middle, &ms);
        if (ms != UNKNOWN && ms < from_ms)
            low = middle + 1;
        else
            high = middle;
    }
    *out = low;
    return rc;
}

/* Which rows, and from when on nothing is missing. */
static int plan_recall(struct ledger *l, int64_t *first_id, int64_t *last_id, int64_t *seen_ms)
{
    int64_t from_ms = l->now_ms - RECALL_MS, oldest_ms, first_ms, low;
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(
        l->store->db, "SELECT ts_ms + received_after_ms FROM dispatch WHERE id >= ? ORDER BY id LIMIT 1", -1,
        &stmt, NULL);

    if (rc != 0)
        return rc;
    *last_id = 0;
    if ((rc = store_number(l->store, "SELECT ifnull(max(id), 0) FROM dispatch", last_id)) == 0 &&
        (rc = received_ms(stmt, 0, &oldest_ms)) == 0) {
        low = *last_id > RECALL_ROWS ? *last_id - RECALL_ROWS + 1 : 1;
        if ((rc = find_first(stmt, from_ms, low, *last_id + 1, first_id)) == 0)
            rc = received_ms(stmt, *first_id, &first_ms);
    }
    sqlite3_finalize(stmt);
    if (rc != 0)
        return rc;
    *seen_ms = oldest_ms == UNKNOWN ? l->now_ms : oldest_ms > from_ms ? oldest_ms : from_ms;
    if (*first_id == low && low > 1 && first_ms != UNKNOWN && first_ms > *seen_ms)
        *seen_ms = first_ms;
    return 0;
}

static int read_rows(struct ledger *l, int64_t first_id, int64_t last_id)
{
    struct log_reader reader;
    struct log_row row;
    int rc = log_reader_open_kind(&reader, l->store->db, LOG_DISPATCH, first_id, last_id);

    if (rc != 0)
        return rc;
    while ((rc = log_reader_next(&reader, &row)) == 1)
        if ((rc = ledger_recall_row(l, &row)) != 0)
            break;
    log_reader_close(&reader);
    return rc;
}

static int recall(struct ledger *l)
{
    int64_t first_id = 1, last_id = 0, seen_ms = l->now_ms;
    int rc = plan_recall(l, &first_id, &last_id, &seen_ms);

    if (rc != 0)
        return rc;
    accounts_forget_burns(&l->accounts, seen_ms < l->now_ms ? seen_ms : l->now_ms);
    if (first_id <= last_id && (rc = read_rows(l, first_id, last_id)) != 0)
        return rc;
    sqlite3_stmt *stmt;
    if ((rc = -sqlite3_prepare_v2(l->store->db, "DELETE FROM forecast_curve WHERE start_ms < ?", -1, &stmt,
                                  NULL)) != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, l->now_ms - CURVE_AGE_MS);
    rc = store_run(stmt);
    sqlite3_finalize(stmt);
    l->foresight.recalled = rc == 0;
    l->foresight.at = 0;
    l->foresight.due_ms = l->now_ms;
    return rc;
}

/* -------------------------------------------------------------------- curves */

static void read_amounts(const json_t *list, int64_t out[CURVE_SLOTS])
{
    for (size_t i = 0; i < CURVE_SLOTS; i++) {
        int64_t amount = (int64_t)json_integer_value(json_array_get(list, i));
        out[i] = amount > 0 ? amount : 0;
    }
}

static void read_curve(const char *body, int64_t start_ms, struct curve *out)
{
    json_t *o = body != NULL ? json_loads(body, 0, NULL) : NULL;
    int64_t windows = (int64_t)json_integer_value(json_object_get(o, "windows"));

    if (json_is_object(o) && windows >= 0 && windows <= CURVE_WINDOWS) {
        out->start_ms = start_ms;
        out->end_ms = (int64_t)json_integer_value(json_object_get(o, "end_ms"));
        out->look_ms = (int64_t)json_integer_value(json_object_get(o, "look_ms"));
        out->look = (int64_t)json_integer_value(json_object_get(o, "look"));
        out->whole = json_is_true(json_object_get(o, "whole"));
        out->windows = (uint8_t)windows;
        read_amounts(json_object_get(o, "mean"), out->mean);
        read_amounts(json_object_get(o, "now"), out->now);
        if (out->end_ms <= start_ms || out->look_ms < start_ms)
            curve_init(out);
    }
    json_decref(o);
}

static int load_curve(struct ledger *l, struct account *c)
{
    sqlite3_stmt *stmt = l->foresight.load;

    if ((c->curve = malloc(sizeof *c->curve)) == NULL)
        return -SQLITE_NOMEM;
    curve_init(c->curve);
    sqlite3_bind_int64(stmt, 1, c->budget->id);
    bind_key(stmt, 2, c->key, c->key_len);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        read_curve((const char *)sqlite3_column_text(stmt, 1), sqlite3_column_int64(stmt, 0), c->curve);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static json_t *amounts_json(const int64_t amount[CURVE_SLOTS])
{
    json_t *list = json_array();

    for (int i = 0; i < CURVE_SLOTS; i++)
        json_array_append_new(list, json_integer(amount[i]));
    return list;
}

static int save_curve(struct ledger *l, const struct account *c)
{
    const struct curve *v = c->curve;
    sqlite3_stmt *stmt = l->foresight.save;
    json_t *o =
        json_pack("{s:I, s:I, s:I, s:b, s:i, s:o, s:o}", "end_ms", (json_int_t)v->end_ms, "look_ms",
                  (json_int_t)v->look_ms, "look", (json_int_t)v->look, "whole", (int)v->whole, "windows",
                  (int)v->windows, "mean", amounts_json(v->mean), "now", amounts_json(v->now));
    char *body = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    if (body == NULL)
        return -SQLITE_NOMEM;
    sqlite3_bind_int64(stmt, 1, c->budget->id);
    bind_key(stmt, 2, c->key, c->key_len);
    sqlite3_bind_int64(stmt, 3, v->start_ms);
    sqlite3_bind_text(stmt, 4, body, -1, free);
    return store_run(stmt);
}

/* The window that the curve stands in is over: what it came to stands in the file. */
static int end_curve(struct ledger *l, const struct account *c)
{
    struct curve *v = c->curve;
    sqlite3_stmt *stmt = l->foresight.sum;

    if (v->start_ms == UNKNOWN)
        return 0;
    sqlite3_bind_int64(stmt, 1, c->budget->id);
    bind_key(stmt, 2, c->key, c->key_len);
    sqlite3_bind_int64(stmt, 3, v->start_ms);
    int rc = sqlite3_step(stmt);
    int64_t total = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (v->end_ms - v->look_ms > (v->end_ms - v->start_ms) / CURVE_GAP)
        v->whole = false;
    curve_finish(v, total > v->look ? total : v->look);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* Nothing of it has been missed. */
static bool is_whole(const struct ledger *l, const struct account *c)
{
    return (l->now_ms - c->start_ms) <= (c->until_ms - c->start_ms) / CURVE_SLOTS ||
           (c->burn.since_ms <= c->start_ms && c->budget->counts_from_ms <= c->start_ms);
}

static bool has_curve(const struct budget *def)
{
    if (def->window.kind < WINDOW_DAY || def->window.kind > WINDOW_MONTH)
        return false;
    for (unsigned i = 0; i < def->pers; i++)
        if (def->per[i].field == SUBJECT_session_id || def->per[i].field == SUBJECT_root_session_id)
            return false;
    return true;
}

/* Saved when a sixteenth of the window is over, once there is something to remember. */
static int learn(struct ledger *l, struct account *c)
{
    int rc = 0;

    if (!has_curve(c->budget->def) || (c->curve == NULL && c->total.calls == 0))
        return 0;
    if (c->curve == NULL && (rc = load_curve(l, c)) != 0)
        return rc;
    if (c->curve->start_ms != c->start_ms) {
        if ((rc = end_curve(l, c)) != 0)
            return rc;
        curve_begin(c->curve, c->start_ms, c->until_ms, is_whole(l, c));
        if (c->curve->whole && l->now_ms - LOOK_MS > c->start_ms)
            curve_look(c->curve, l->now_ms - LOOK_MS, 0); /* or it would have been looked at before */
    }
    if (!curve_look(c->curve, l->now_ms, c->total.amount) || c->curve->windows == 0)
        return 0;
    l->foresight.saved++;
    return save_curve(l, c);
}

/* ------------------------------------------------------------------- looking */

/* Of a sliding window: what is in the pieces that will be wholly out then. */
static int64_t goes_out(const struct account *c, int64_t then_ms)
{
    int64_t first_ms = window_first(&c->budget->def->window, then_ms), sum = 0;

    for (int i = 0; c->piece != NULL && i <= WINDOW_BUCKETS; i++)
        if (c->piece[i].start_ms != INT64_MIN && c->piece[i].start_ms < first_ms)
            sum = amount_add(sum, c->piece[i].cell.amount);
    return sum;
}

void ledger_forecast(const struct ledger *l, const struct account *c, struct forecast *out)
{
    const struct ledger_budget *b = c->budget;
    struct forecast_input in = { .window = &b->def->window,
                                 .burn = &c->burn,
                                 .curve = c->curve,
                                 .start_ms =
                                     b->counts_from_ms > c->start_ms ? b->counts_from_ms : c->start_ms,
                                 .end_ms = c->until_ms,
                                 .now_ms = l->now_ms,
                                 .spent = account_spent(c),
                                 .reserved = c->total.held[HELD_RESERVED],
                                 .limit = ledger_allowed(l, c),
                                 .calls = c->total.calls };

    if (c->piece != NULL)
        in.goes_out = goes_out(c, l->now_ms + forecast_near_ms(in.window));
    if (in.start_ms > c->start_ms)
        in.curve = NULL; /* it tells of whole windows */
    forecast_make(&in, out);
    if (b->counted)
        return;
    out->projected = out->exhausted_ms = UNKNOWN;
    out->basis = FORECAST_COUNTING;
    out->over = out->alarm = false;
}

/* Of a sliding window, which has no beginning: once in each stretch of its length. */
static int64_t told_start_ms(const struct ledger *l, const struct account *c)
{
    int64_t length_ms = c->budget->def->window.length_ms;

    return length_ms > 0 ? l->now_ms - l->now_ms % length_ms : c->start_ms;
}

static int foretell(struct ledger *l, struct account *c)
{
    int64_t start_ms = told_start_ms(l, c);
    struct forecast f;

    if (!c->budget->def->forecast || c->foretold_ms == start_ms || c->total.calls < FORECAST_CALLS_MIN ||
        c->budget->def->window.kind > WINDOW_SLIDING)
        return 0;
    ledger_forecast(l, c, &f);
    if (!f.alarm)
        return 0;
    int rc = ledger_foretell(l, c, start_ms, ledger_allowed(l, c), &f);
    if (rc == 0)
        c->foretold_ms = start_ms;
    return rc;
}

static int look(struct ledger *l, uint32_t account)
{
    struct account *c = &l->accounts.all[account];

    if (c->budget == NULL || !c->budget->counted || (c->total.calls == 0 && c->curve == NULL))
        return 0;
    int rc = accounts_roll(&l->accounts, account, l->now_ms);
    if (rc == 0 && account_is_stale(c))
        rc = ledger_look(l, account, l->running);
    if (rc == 0)
        rc = learn(l, c);
    return rc != 0 ? rc : foretell(l, c);
}

int ledger_forecast_tick(struct ledger *l)
{
    struct ledger_foresight *f = &l->foresight;
    int rc = 0;

    if (!l->running || l->budget_count == 0 || (!f->recalled && (rc = recall(l)) != 0) ||
        l->now_ms < f->due_ms)
        return rc;
    if (f->at == 0)
        f->began_ms = l->now_ms;
    uint32_t until = f->at + LOOK_SLICE < l->accounts.used ? f->at + LOOK_SLICE : l->accounts.used;
    for (f->saved = 0; rc == 0 && f->at < until && f->saved < SAVES_MAX; f->at++)
        rc = look(l, f->at);
    if (rc == 0 && f->at >= l->accounts.used) {
        f->at = 0;
        f->due_ms = f->began_ms + LOOK_MS > l->now_ms ? f->began_ms + LOOK_MS : l->now_ms + 1;
    }
    return rc;
}

int64_t ledger_forecast_due_ms(const struct ledger *l)
{
    return l->running && l->budget_count > 0 && l->accounts.used > 0 ? l->foresight.due_ms : INT64_MAX;
}
