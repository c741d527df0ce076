/* SPDX-License-Identifier: MIT
 *
 * Random histories of the ledger against a recount that this file writes itself, over its own list of calls:
 * budgets of every kind of window, unit and per; calls that are late or ahead, errors, partial records,
 * coarser and finer ones, new prices; reservations; flushes, rollbacks, restarts, clocks that jump. After
 * each moment what is in the file, in memory and what recount.c finds must all be that.
 */
#include "ledger_db.h"

#include "collector/base/queue.h"
#include "collector/writer/counting.h"
#include "collector/writer/ledger_recount.h"

#define START_MS   1795132800000LL
#define HISTORIES  SCALE(30)
#define MOMENTS    60
#define CALLS_MAX  4096
#define ADMITS_MAX 1024
#define CELLS_MAX  8192
#define KEY_MAX    64

/* ------------------------------------------------------------------ the model */

/* What the test knows of a call that it has sent. */
struct call {
    int64_t row, ts_ms, num[DISPATCH_NUMS];
    const char *agent, *model, *session, *root, *team, *lane;
    bool blocked;
    int reservation; /* place in admits, or -1 */
};

struct admitted {
    char id[16];
    int64_t at_ms;
};

struct life {
    unsigned seed;
    struct ledger_db db;
    struct call calls[CALLS_MAX], *saved_calls;
    struct admitted admits[ADMITS_MAX];
    bool early[ADMITS_MAX], saved_early[ADMITS_MAX]; /* by number of id: its event is in the log */
    int called, admitted, asked;
    uint32_t places; /* for accounts; 0: as many as there are */
    struct queue *queue;
    struct counting *counting;
};

/* What all histories together have been through. */
static struct {
    int64_t cells, held_cells, hot, alerts, rollbacks, counted, denied, granted, settled, expired, repriced,
        late, ahead, early;
} met;

struct known {
    const char *definition, *name;
    bool (*in)(const struct call *c);
    const char *(*key1)(const struct call *c), *(*key2)(const struct call *c);
};

static bool everything(const struct call *c)
{
    (void)c;
    return true;
}

static bool not_batch(const struct call *c)
{
    return c->lane == NULL || strcmp(c->lane, "batch") != 0;
}

static bool team_x(const struct call *c)
{
    return c->team != NULL && strcmp(c->team, "x") == 0;
}

static bool cheap_of_session(const struct call *c)
{
    return c->model != NULL && strcmp(c->model, "cheap") == 0 && c->session != NULL &&
           strncmp(c->session, "s-", 2) == 0;
}

static const char *agent(const struct call *c)
{
    return c->agent;
}

static const char *model(const struct call *c)
{
    return c->model;
}

static const char *session(const struct call *c)
{
    return c->session;
}

static const char *team(const struct call *c)
{
    return c->team;
}

static const char *root(const struct call *c)
{
    return c->root != NULL ? c->root : c->session;
}

#define SCOPE_OF(text) ", \"scope\": {" text "}"
static const struct known known[] = {
    { "{\"name\": \"total\", \"limit\": \"3 usd\", \"window\": \"total\"}", "total", everything, NULL, NULL },
    { "{\"name\": \"hour\", \"limit\": \"9k tokens\", \"window\": \"hour\", \"per\": \"agent\", \"strict\": "
      "true}",
      "hour", everything, agent, NULL },
    { "{\"name\": \"day\", \"limit\": \"40 calls\", \"window\": \"day\", \"per\": [\"agent\", \"model\"],"
      " \"timezone\": \"America/New_York\", \"action\": \"delay\", \"delay\": \"1s\"}",
      "day", everything, agent, model },
    { "{\"name\": \"week\", \"limit\": \"1 usd\", \"window\": \"week\", \"per\": \"tag.team\","
      " \"timezone\": \"Asia/Kathmandu\", \"action\": \"alert\"}",
      "week", everything, team, NULL },
    { "{\"name\": \"month\", \"limit\": \"2m tokens\", \"window\": \"month\"" SCOPE_OF(
          "\"lane\": {\"not\": [\"batch\"]}") ", \"timezone\": \"Asia/Tokyo\"}",
      "month", not_batch, NULL, NULL },
    { "{\"name\": \"session\", \"limit\": \"20k tokens\", \"window\": \"session\", \"counts_from\": \"now\"}",
      "session", everything, session, NULL },
    { "{\"name\": \"root\", \"limit\": \"0.5 usd\", \"window\": \"session\", \"per\": \"root_session\", "
      "\"shadow\": true}",
      "root", everything, root, NULL },
    { "{\"name\": \"slide\", \"limit\": \"30 calls\", \"window\": \"sliding 1h\", \"per\": \"agent\"}",
      "slide", everything, agent, NULL },
    { "{\"name\": \"minute\", \"limit\": \"0.3 usd\", \"window\": \"sliding 1m\"" SCOPE_OF(
          "\"tag.team\": \"x\"") ", \"strict\": true}",
      "minute", team_x, NULL, NULL },
    { "{\"name\": \"scoped\", \"limit\": \"50k tokens\", \"window\": \"sliding 5h\"" SCOPE_OF(
          "\"model\": \"cheap\", \"session\": \"s-*\"") ", \"per\": \"session\", \"action\": \"downgrade\","
                                                        " \"use\": {\"model\": \"free\"}}",
      "scoped", cheap_of_session, session, NULL },
};
#define KNOWN (sizeof known / sizeof *known)

static const struct known *known_of(const struct ledger_budget *b)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known[i].name, b->def->name) == 0)
            return &known[i];
    fail_msg("%s", b->def->name);
    return NULL;
}

struct cell {
    int64_t budget, start_ms, amount, calls, unknown, held[HELD_KINDS];
    uint8_t key[KEY_MAX];
    uint32_t len;
};

struct cells {
    struct cell at[CELLS_MAX];
    int used;
};

static struct cell *cell_of(struct cells *all, int64_t budget, const uint8_t *key, uint32_t len,
                            int64_t start_ms)
{
    assert_true(len <= KEY_MAX);
    for (int i = 0; i < all->used; i++) {
        struct cell *c = &all->at[i];
        if (c->budget == budget && c->start_ms == start_ms && c->len == len &&
            (len == 0 || memcmp(c->key, key, len) == 0))
            return c;
    }
    assert_true(all->used < CELLS_MAX);
    struct cell *c = &all->at[all->used++];
    *c = (struct cell){ .budget = budget, .start_ms = start_ms, .len = len };
    if (len > 0)
        memcpy(c->key, key, len);
    return c;
}

static uint32_t put_value(uint8_t *key, const char *value)
{
    size_t len = value != NULL ? strlen(value) : 0;

    key[0] = value != NULL && len > 0 ? (uint8_t)(len + 1) : 0;
    if (len > 0)
        memcpy(key + 1, value, len);
    return (uint32_t)len + 1;
}

static int64_t known_or(int64_t n, int64_t other)
{
    return n != UNKNOWN ? n : other;
}

static void count_call(struct life *h, struct cells *all, const struct ledger_budget *b, const struct call *c)
{
    const struct known *k = known_of(b);
    int64_t at_ms = c->reservation >= 0 ? h->admits[c->reservation].at_ms : c->ts_ms;
    const int64_t *n = c->num;
    uint8_t key[2 * KEY_MAX];
    uint32_t len = 0;

    if (c->blocked || !k->in(c) || at_ms < b->counts_from_ms)
        return;
    len += k->key1 != NULL ? put_value(key, k->key1(c)) : 0;
    len += k->key2 != NULL ? put_value(key + len, k->key2(c)) : 0;
    struct cell *cell = cell_of(all, b->id, key, len, window_start(&b->def->window, at_ms));
    cell->calls++;
    switch (b->def->unit) {
    case UNIT_USD:
        cell->amount += known_or(n[D_cost_nanousd], known_or(n[D_cost_reported_nanousd], 0));
        cell->unknown += n[D_cost_nanousd] == UNKNOWN && n[D_cost_reported_nanousd] == UNKNOWN;
        break;
    case UNIT_TOKENS:
        cell->amount += known_or(n[D_total_tokens],
                                 known_or(n[D_prompt_tokens], 0) + known_or(n[D_completion_tokens], 0));
        cell->unknown += n[D_total_tokens] == UNKNOWN &&
                         (n[D_prompt_tokens] == UNKNOWN || n[D_completion_tokens] == UNKNOWN);
        break;
    default:
        cell->amount++;
    }
}

/* Whether the journal lets it count: replaced, coarser and finer is not the ledger's affair. */
static bool *read_states(struct life *h)
{
    bool *counts = calloc((size_t)h->db.store.next_id + 1, sizeof *counts);
    sqlite3_stmt *s = db_prepare(&h->db.store, "SELECT id FROM dispatch WHERE state & 7 = 0");

    while (sqlite3_step(s) == SQLITE_ROW)
        counts[sqlite3_column_int64(s, 0)] = true;
    sqlite3_finalize(s);
    return counts;
}

static void expect_cells(struct life *h, struct cells *all)
{
    struct ledger *l = db_ledger(&h->db);
    bool *counts = read_states(h);

    all->used = 0;
    for (int i = 0; i < h->called; i++)
        for (size_t k = 0; counts[h->calls[i].row] && k < l->budget_count; k++)
            if (l->budgets[k]->counted)
                count_call(h, all, l->budgets[k], &h->calls[i]);
    free(counts);
}

/* ------------------------------------------------------------------ comparing */

static void compare_file(struct life *h, struct cells *all)
{
    sqlite3_stmt *s =
        db_prepare(&h->db.store, "SELECT l.budget, l.key, l.start_ms, l.amount, l.calls, l.unknown"
                                 " FROM projection_ledger l JOIN budget b ON b.id = l.budget"
                                 " WHERE b.ended_ms IS NULL AND b.counted = 1");
    int found = 0, wanted = 0;

    while (sqlite3_step(s) == SQLITE_ROW) {
        if (sqlite3_column_int64(s, 4) == 0 && sqlite3_column_int64(s, 3) == 0 &&
            sqlite3_column_int64(s, 5) == 0)
            continue;
        const struct cell *c = cell_of(all, sqlite3_column_int64(s, 0), sqlite3_column_blob(s, 1),
                                       (uint32_t)sqlite3_column_bytes(s, 1), sqlite3_column_int64(s, 2));
        assert_int_equal(sqlite3_column_int64(s, 4), c->calls);
        assert_int_equal(sqlite3_column_int64(s, 3), c->amount);
        assert_int_equal(sqlite3_column_int64(s, 5), c->unknown);
        found++;
    }
    sqlite3_finalize(s);
    for (int i = 0; i < all->used; i++)
        wanted += all->at[i].calls > 0;
    assert_int_equal(found, wanted);
    met.cells += found;
}

static void compare_recount(struct life *h, struct cells *all)
{
    struct recount r;
    int64_t first_id;
    int found = 0, wanted = 0;

    assert_int_equal(recount_init(&r, h->db.store.db, "UTC", false), 0);
    assert_int_equal(recount_first(&r, &first_id), 0);
    assert_int_equal(recount_rows(&r, first_id, INT64_MAX), 0);
    for (uint32_t i = 0; i < r.cells.used; i++) {
        const struct recount_cell *got = &r.cells.all[i];
        bool counted = false;
        for (size_t k = 0; k < r.budget_count; k++)
            counted |= r.budgets[k]->id == got->budget && r.budgets[k]->counted;
        if (!counted)
            continue;
        const struct cell *c = cell_of(all, got->budget, got->key, got->key_len, got->start_ms);
        assert_int_equal(got->calls, c->calls);
        assert_int_equal(got->amount, c->amount);
        assert_int_equal(got->unknown, c->unknown);
        found++;
    }
    for (int i = 0; i < all->used; i++)
        wanted += all->at[i].calls > 0;
    assert_int_equal(found, wanted);
    recount_fini(&r);
}

/* What reservations hold, from their own table. */
static void add_held(struct life *h, struct cells *all)
{
    sqlite3_stmt *s =
        db_prepare(&h->db.store, "SELECT budget, key, start_ms, kind, amount FROM reservation_posting");

    while (sqlite3_step(s) == SQLITE_ROW) {
        struct cell *c = cell_of(all, sqlite3_column_int64(s, 0), sqlite3_column_blob(s, 1),
                                 (uint32_t)sqlite3_column_bytes(s, 1), sqlite3_column_int64(s, 2));
        c->held[sqlite3_column_int(s, 3)] += sqlite3_column_int64(s, 4);
        met.held_cells++;
    }
    sqlite3_finalize(s);
}

static enum action expected_state(const struct ledger_budget *b, const struct cell *sum)
{
    int64_t spent = sum->amount + sum->held[HELD_PRESUMED] + sum->held[HELD_TOLD];
    int64_t limit = b->def->limit;

    if (spent + sum->held[HELD_RESERVED] >= limit)
        return b->def->action;
    for (unsigned i = 0; i < b->def->alerts; i++)
        if (spent * 100 >= limit * b->def->alert[i])
            return ACTION_WARN;
    return ACTION_ALLOW;
}

static void compare_memory(struct life *h, const struct cells *all)
{
    const struct accounts *a = &db_ledger(&h->db)->accounts;

    for (uint32_t i = 0; i < a->used; i++) {
        const struct account *c = &a->all[i];
        struct cell sum = { .budget = 0 };
        if (c->budget == NULL || !c->budget->counted)
            continue;
        for (int k = 0; k < all->used; k++) {
            const struct cell *e = &all->at[k];
            if (e->budget != c->budget->id || e->len != c->key_len || memcmp(e->key, c->key, e->len) != 0 ||
                e->start_ms < c->first_ms || e->start_ms > c->start_ms)
                continue;
            sum.amount += e->amount;
            sum.calls += e->calls;
            sum.unknown += e->unknown;
            for (int n = 0; n < HELD_KINDS; n++)
                sum.held[n] += e->held[n];
        }
        if (c->total.calls != sum.calls)
            fail_msg("budget %s: %lld calls, expected %lld", c->budget->def->name, (long long)c->total.calls,
                     (long long)sum.calls);
        assert_int_equal(c->total.amount, sum.amount);
        assert_int_equal(c->total.unknown, sum.unknown);
        for (int n = 0; n < HELD_KINDS; n++)
            assert_int_equal(c->total.held[n], sum.held[n]);
        assert_int_equal(c->hot != 0, c->state != ACTION_ALLOW);
        if (account_is_stale(c) || h->db.now_ms < c->start_ms || h->db.now_ms >= c->until_ms)
            continue;
        if (c->state != expected_state(c->budget, &sum))
            fail_msg("budget %s: state %d, expected %d: %lld + %lld + %lld + %lld of %lld",
                     c->budget->def->name, (int)c->state, (int)expected_state(c->budget, &sum),
                     (long long)sum.amount, (long long)sum.held[0], (long long)sum.held[1],
                     (long long)sum.held[2], (long long)c->budget->def->limit);
        met.hot += c->state != ACTION_ALLOW;
    }
}

/* An alert is of the window that ran when it was told. */
static void compare_alerts(struct life *h)
{
    const struct ledger *l = db_ledger(&h->db);
    sqlite3_stmt *s = db_prepare(
        &h->db.store,
        "SELECT b.id, evidence ->> 'window_start_ms', ts_ms, evidence ->> 'spent', evidence ->> 'limit',"
        " ifnull(evidence ->> 'percent', 100), a.kind = 'forecast', ifnull(evidence ->> 'exhausted_ms', 0) "
        "FROM alert a"
        " JOIN budget b ON CAST(a.mark AS TEXT) LIKE b.id || '/%'");

    met.alerts = 0;
    while (sqlite3_step(s) == SQLITE_ROW) {
        met.alerts++;
        if (sqlite3_column_int(s, 6) != 0)
            assert_true(sqlite3_column_int64(s, 3) < sqlite3_column_int64(s, 4) &&
                        sqlite3_column_int64(s, 7) >= sqlite3_column_int64(s, 2));
        else
            assert_true(sqlite3_column_int64(s, 3) * 100 >=
                        sqlite3_column_int64(s, 4) * sqlite3_column_int64(s, 5));
        for (size_t i = 0; i < l->budget_count; i++)
            if (l->budgets[i]->id == sqlite3_column_int64(s, 0))
                assert_int_equal(sqlite3_column_int64(s, 1),
                                 window_start(&l->budgets[i]->def->window, sqlite3_column_int64(s, 2)));
    }
    sqlite3_finalize(s);
}

static void compare(struct life *h)
{
    static struct cells all;

    expect_cells(h, &all);
    compare_file(h, &all);
    compare_recount(h, &all);
    add_held(h, &all);
    compare_memory(h, &all);
    compare_alerts(h);
    assert_int_equal(
        db_ask(&h->db.store,
               "SELECT count(*) FROM reservation_posting p JOIN reservation r ON"
               " r.nr = p.reservation WHERE (r.state IN (2, 3)) OR (r.state = 0 AND p.kind <> 0)"),
        0);
}

/* --------------------------------------------------------------------- living */

static unsigned below(struct life *h, unsigned n)
{
    return (unsigned)rand_r(&h->seed) % n;
}

static const char *pick(struct life *h, const char *const *names, unsigned n)
{
    unsigned i = below(h, n + 1);

    return i < n ? names[i] : NULL;
}

static const char *const agents[] = { "a-1", "a-2", "a-3" };
static const char *const models[] = { "cheap", "dear", "free", "nobody's" };
static const char *const sessions[] = { "s-1", "s-2", "t-3" };
static const char *const teams[] = { "x", "y" };
static const char *const lanes[] = { "batch", "fast" };

static struct made_names random_names(struct life *h)
{
    struct made_names n = { .agent_id = pick(h, agents, 3),
                            .model = pick(h, models, 4),
                            .session_id = pick(h, sessions, 3),
                            .tag = pick(h, teams, 2),
                            .lane = pick(h, lanes, 2),
                            .status = below(h, 9) == 0 ? STATUS_blocked : (uint8_t)below(h, 3),
                            .granularity = below(h, 4) == 0 ? (uint8_t)below(h, 4) : 0 };

    if (n.session_id != NULL && below(h, 3) == 0)
        n.root_session_id = sessions[below(h, 3)];
    return n;
}

static int64_t random_time(struct life *h)
{
    switch (below(h, 10)) {
    case 0:
        met.ahead++;
        return h->db.now_ms + below(h, 600000);
    case 1:
        met.late++;
        return h->db.now_ms - below(h, 20) * DAY_MS - below(h, 86400000);
    case 2:
        return h->db.now_ms - below(h, 7200000);
    default:
        return h->db.now_ms - below(h, 2000);
    }
}

static void random_call(struct life *h)
{
    static const char *const runs[] = { "r-1", "r-2", "r-3" };
    struct made_names names = random_names(h);
    enum event_result result;
    struct made_event m;
    int r = h->admitted > 0 && below(h, 2) == 0 ? (int)below(h, (unsigned)h->admitted) : -1;
    int early = below(h, 10) == 0 ? h->asked + (int)below(h, 3) : -1; /* it comes before its admission */
    char id[16];
    int64_t row = h->db.store.next_id;

    made_event(&m, KIND_dispatch, &names);
    m.event.ts_ms = random_time(h);
    m.event.has_id = below(h, 3) == 0;
    m.event.id[0] = (uint8_t)below(h, 100);
    for (int i = 0; i < DISPATCH_WIRE_NUMS; i++)
        m.event.num[i] = below(h, 3) == 0 ? UNKNOWN : (int64_t)below(h, 3000);
    m.event.num[D_cost_reported_nanousd] = below(h, 3) != 0 ? UNKNOWN : (int64_t)below(h, 100000000);
    m.event.num[D_partial] = m.event.has_id && below(h, 2) == 0 ? 1 : UNKNOWN;
    if (below(h, 4) == 0)
        made_run(&m, runs[below(h, 3)]);
    snprintf(id, sizeof id, "r-%d", early);
    if (early >= 0)
        r = -1;
    if (early >= 0 || r >= 0)
        m.event.text[D_reservation_id] = made_slice(early >= 0 ? id : h->admits[r].id);
    assert_int_equal(journal_append(&h->db.journal, &h->db.from, &m.event, &result), 0);
    if (result != EVENT_STORED && result != EVENT_REPLACED)
        return;
    if (early >= 0)
        h->early[early] = true;
    assert_true(h->called < CALLS_MAX);
    struct call *c = &h->calls[h->called++];
    *c = (struct call){ .row = row,
                        .ts_ms = m.event.ts_ms,
                        .agent = names.agent_id,
                        .model = names.model,
                        .session = names.session_id,
                        .root = names.root_session_id,
                        .team = names.tag,
                        .lane = names.lane,
                        .blocked = names.status == STATUS_blocked,
                        .reservation = r };
    memcpy(c->num, m.event.num, sizeof c->num);
}

/* Another cost for a call of any age, if it counts. */
static void random_price(struct life *h)
{
    struct projections *p = &h->db.journal.projections;
    int64_t num[DISPATCH_NUMS];
    struct log_row row;
    char sql[128];

    if (h->called == 0)
        return;
    struct call *c = &h->calls[below(h, (unsigned)h->called)];
    assert_int_equal(projections_make_room(p, h->db.now_ms), 0);
    int rc = log_row_read(h->db.journal.read_row, c->row, num, &row);
    assert_true(rc >= 0);
    if (rc == 0 || !row.counts)
        return;
    assert_int_equal(projections_retract(p, &row), 0);
    c->num[D_cost_nanousd] = below(h, 4) == 0 ? UNKNOWN : (int64_t)below(h, 90000000);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET cost_nanousd = nullif(%lld, -1) WHERE id = %lld",
             (long long)c->num[D_cost_nanousd], (long long)c->row);
    db_exec(&h->db.store, sql);
    assert_int_equal(log_row_read(h->db.journal.read_row, c->row, num, &row), 1);
    assert_int_equal(projections_restore(p, &row), 0);
    met.repriced++;
}

static void random_admission(struct life *h)
{
    struct order o = made_order("", pick(h, agents, 3), pick(h, models, 4));

    int number = h->asked++;
    assert_true(number + 3 < ADMITS_MAX);
    snprintf(o.id, sizeof o.id, "r-%d", number);
    o.who.text[SUBJECT_session_id] = made_slice(pick(h, sessions, 3));
    o.prompt_tokens = below(h, 2) == 0 ? UNKNOWN : (int64_t)below(h, 2000);
    o.max_tokens = below(h, 2) == 0 ? UNKNOWN : (int64_t)below(h, 2000);
    o.ttl_ms = 1000 + below(h, 200000);
    assert_int_equal(ledger_admit(db_ledger(&h->db), &o), 0);
    assert_int_equal(o.status == ORDER_SETTLED, h->early[number]);
    assert_true(o.status == ORDER_DONE || o.status == ORDER_DENIED || o.status == ORDER_SETTLED);
    met.early += h->early[number];
    met.granted += o.status == ORDER_DONE;
    met.denied += o.status == ORDER_DENIED;
    if (o.status != ORDER_DONE)
        return;
    assert_true(h->admitted < ADMITS_MAX);
    struct admitted *a = &h->admits[h->admitted++];
    snprintf(a->id, sizeof a->id, "%.15s", o.id);
    a->at_ms = h->db.now_ms;
}

static void random_settlement(struct life *h)
{
    if (h->admitted == 0)
        return;
    struct order o = made_order(h->admits[below(h, (unsigned)h->admitted)].id, NULL, NULL);
    o.called = below(h, 3) != 0;
    o.num[D_prompt_tokens] = below(h, 4) == 0 ? UNKNOWN : (int64_t)below(h, 3000);
    o.num[D_completion_tokens] = below(h, 4) == 0 ? UNKNOWN : (int64_t)below(h, 3000);
    o.num[D_cost_reported_nanousd] = below(h, 3) != 0 ? UNKNOWN : (int64_t)below(h, 100000000);
    assert_int_equal(ledger_settle(db_ledger(&h->db), &o), 0);
    met.settled += o.status == ORDER_DONE;
}

static void define_some(struct life *h)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (below(h, 3) == 0 && ledger_budget_named(db_ledger(&h->db), known[i].name) == NULL)
            db_define(&h->db, known[i].definition);
}

static void end_some(struct life *h)
{
    struct ledger *l = db_ledger(&h->db);

    if (l->budget_count == 0)
        return;
    assert_int_equal(ledger_end_budget(l, l->budgets[below(h, (unsigned)l->budget_count)]), 0);
    assert_int_equal(ledger_reload(l), 0);
}

/* The thread that counts the past is ready: its result is taken in this transaction. */
static void end_counting(struct life *h)
{
    struct queue_item *item;

    assert_int_equal(queue_pop(h->queue, -1, &item), QUEUE_OK);
    struct order *o = (struct order *)(void *)item;
    assert_int_equal(o->kind, ORDER_COUNTED);
    assert_non_null(o->what);
    assert_int_equal(ledger_counted(db_ledger(&h->db), o->what), 0);
    met.counted++;
}

static void begin_counting(struct life *h)
{
    db_begin(&h->db);
    assert_int_equal(ledger_begin_counting(db_ledger(&h->db)), 0);
    db_commit(&h->db);
    h->counting = counting_start(path, "UTC", h->queue);
    assert_non_null(h->counting);
}

static void move_clock(struct life *h)
{
    switch (below(h, 12)) {
    case 0:
        h->db.now_ms += 86400000 / 4 + below(h, 86400000);
        break;
    case 1:
        h->db.now_ms += below(h, 7200000);
        break;
    case 2:
        h->db.now_ms -= below(h, 300000);
        break;
    case 3:
        h->db.now_ms -= below(h, 30000000);
        break;
    default:
        h->db.now_ms += below(h, 20000);
    }
}

static void act(struct life *h)
{
    switch (below(h, 10)) {
    case 0:
        random_price(h);
        break;
    case 1:
    case 2:
        random_admission(h);
        break;
    case 3:
        random_settlement(h);
        break;
    default:
        random_call(h);
    }
}

/* A transaction of some of everything; then perhaps a flush; then the commit, or not. */
static void live_a_moment(struct life *h)
{
    int called = h->called, admitted = h->admitted;
    bool lost = below(h, 10) == 0, ends = h->counting != NULL && below(h, 2) == 0;

    memcpy(h->saved_calls, h->calls, sizeof h->calls);
    memcpy(h->saved_early, h->early, sizeof h->early);
    move_clock(h);
    db_begin(&h->db);
    if (below(h, 12) == 0)
        define_some(h);
    if (below(h, 40) == 0)
        end_some(h);
    for (unsigned i = below(h, 10); i > 0; i--)
        act(h);
    if (ends && !lost)
        end_counting(h);
    if (below(h, 3) == 0)
        assert_int_equal(journal_flush_usage(&h->db.journal, h->db.now_ms), 0);
    if (lost) {
        met.rollbacks++;
        db_rollback(&h->db);
        memcpy(h->calls, h->saved_calls, sizeof h->calls);
        memcpy(h->early, h->saved_early, sizeof h->early);
        h->called = called;
        h->admitted = admitted;
    } else {
        db_commit(&h->db);
        if (ends) {
            counting_stop(h->counting);
            h->counting = NULL;
        }
    }
    if (h->counting == NULL && ledger_wants_count(db_ledger(&h->db)) && below(h, 2) == 0)
        begin_counting(h);
}

/* Few: accounts are read from the file again and again. */
static void have_places(struct life *h)
{
    if (h->places > 0)
        db_ledger(&h->db)->accounts.most = h->places;
}

static void die_and_wake(struct life *h)
{
    struct queue_item *item;

    if (h->counting != NULL) {
        assert_int_equal(queue_pop(h->queue, -1, &item), QUEUE_OK);
        counting_stop(h->counting);
        h->counting = NULL;
    }
    db_restart(&h->db);
    have_places(h);
}

static void live(struct life *h)
{
    db_start(&h->db, START_MS);
    have_places(h);
    h->queue = queue_new(1000);
    h->saved_calls = malloc(sizeof h->calls);
    assert_non_null(h->saved_calls);
    db_begin(&h->db);
    define_some(h);
    db_commit(&h->db);
    for (int i = 0; i < MOMENTS; i++) {
        live_a_moment(h);
        if (below(h, 15) == 0)
            die_and_wake(h);
        if (below(h, 4) != 0)
            continue;
        db_flush(&h->db);
        compare(h);
    }
    die_and_wake(h);
    db_flush(&h->db);
    compare(h);
    met.expired += db_ask(&h->db.store, "SELECT count(*) FROM reservation WHERE state = 4");
    free(h->saved_calls);
    queue_free(h->queue);
    db_stop(&h->db);
}

static void test_histories(void **state)
{
    static struct life h;

    (void)state;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        h = (struct life){ .seed = seed * 7919, .places = seed % 3 * 8 };
        db_remove();
        print_message("history %u\n", seed);
        live(&h);
    }
    print_message(
        "cells %lld, held %lld, hot %lld, alerts %lld, rollbacks %lld, counted %lld, granted %lld, denied "
        "%lld, settled %lld, expired %lld, repriced %lld\n",
        (long long)met.cells, (long long)met.held_cells, (long long)met.hot, (long long)met.alerts,
        (long long)met.rollbacks, (long long)met.counted, (long long)met.granted, (long long)met.denied,
        (long long)met.settled, (long long)met.expired, (long long)met.repriced);
    assert_true(met.cells > 0 && met.held_cells > 0 && met.hot > 0 && met.alerts > 0 && met.rollbacks > 0);
    assert_true(met.counted > 0 && met.granted > 0 && met.denied > 0 && met.settled > 0 && met.expired > 0);
    assert_true(met.repriced > 0 && met.late > 0 && met.ahead > 0 && met.early > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_histories) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
