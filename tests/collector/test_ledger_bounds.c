/* SPDX-License-Identifier: MIT
 *
 * The ledger at its bounds: hundreds of budgets for one call, amounts that no number holds, more accounts
 * than memory has places for, names with any bytes, clocks that jump, budgets that come in the middle.
 */
#include "ledger_db.h"

#include "collector/writer/desk.h"
#include "collector/writer/ledger_recount.h"

#define START_MS 1795132800000LL /* 2026-11-20 00:00 UTC */

/* Every budget counts a call, however many there are. */
static void test_many_budgets(void **state)
{
    enum { BUDGETS = 300 };
    struct made_call call = { .names = { .agent_id = "a", .session_id = "s" }, .prompt = 3, .completion = 4 };
    struct ledger_db d;
    char definition[128];

    (void)state;
    db_start(&d, START_MS);
    db_begin(&d);
    for (int i = 0; i < BUDGETS; i++) {
        bool created;
        snprintf(definition, sizeof definition,
                 "{\"name\": \"b-%d\", \"limit\": \"7 tokens\", \"window\": \"total\", \"per\": \"%s\"}", i,
                 i % 2 == 0 ? "agent" : "session");
        struct budget *def = made_budget(definition);
        assert_int_equal(ledger_put_budget(db_ledger(&d), def, false, &created), 0);
        budget_free(def);
    }
    assert_int_equal(ledger_reload(db_ledger(&d)), 0);
    db_commit(&d);
    db_call(&d, &call);
    db_flush(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM projection_ledger WHERE amount = 7"), BUDGETS);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, BUDGETS);
    db_stop(&d);
}

/* ------------------------------------------------------------------ amounts */

/* Only the ledger hears what it costs: other sums have no limits to keep. */
static void call_that_costs_most(struct ledger_db *d)
{
    struct made_call call = { .names = { .agent_id = "a" }, .prompt = 1, .completion = 1 };
    int64_t num[DISPATCH_NUMS], id = d->store.next_id;
    struct log_row row;
    char sql[96];

    db_call(d, &call);
    db_flush(d);
    db_begin(d);
    assert_int_equal(log_row_read(d->journal.read_row, id, num, &row), 1);
    assert_int_equal(ledger_retract(db_ledger(d), &row), 0);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET cost_nanousd = %lld WHERE id = %lld",
             (long long)NANOUSD_MAX, (long long)id);
    db_exec(&d->store, sql);
    assert_int_equal(log_row_read(d->journal.read_row, id, num, &row), 1);
    assert_int_equal(ledger_restore(db_ledger(d), &row), 0);
    db_commit(d);
}

/* A call costs more than any budget: the sum of three is no number any more, and stays over the limit. */
static void huge_amounts(const char *window, int64_t limit)
{
    struct ledger_db d;
    char definition[128];

    db_remove();
    db_start(&d, START_MS);
    snprintf(definition, sizeof definition,
             "{\"name\": \"b\", \"limit\": \"%lld.427387904 usd\", \"window\": \"%s\"}", (long long)limit,
             window);
    db_put(&d, definition);
    struct order big = made_order("r-0", "a", "huge");
    big.prompt_tokens = big.max_tokens = 1000000000000;
    assert_int_equal(db_admit_order(&d, &big), limit == NANOUSD_MAX / USD ? ORDER_DONE : ORDER_DENIED);
    for (int i = 0; i < 5; i++) {
        call_that_costs_most(&d);
        assert_int_equal(db_account(&d, "b", NULL)->state, ACTION_BLOCK);
        assert_int_equal(db_admit(&d, "r-1", "a", "huge"), ORDER_DENIED);
        assert_int_equal(db_admit(&d, "r-2", "a", "dear"), ORDER_DENIED);
        if (i == 3)
            db_restart(&d);
        db_begin(&d);
        db_commit(&d);
        assert_int_equal(db_ledger(&d)->accounts.hot_used, 1);
    }
    db_flush(&d);
    assert_int_equal(db_ask(&d.store,
                            "SELECT count(*) FROM projection_ledger WHERE typeof(amount) = 'integer'"
                            " AND amount = 9223372036854775807"),
                     1);
    db_stop(&d);
}

static void test_huge_amounts(void **state)
{
    (void)state;
    huge_amounts("total", NANOUSD_MAX / USD);
    huge_amounts("sliding 1h", NANOUSD_MAX / USD);
    huge_amounts("day", NANOUSD_MAX / USD - 1);
}

/* What is more than the limit does not fit when the window ends either. */
static void test_never_opens(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\"}");
    struct order o = made_order("r-1", "a", "free");
    assert_int_equal(db_admit_order(&d, &o), ORDER_DENIED);
    assert_int_equal(o.verdict.opens_ms, WINDOW_NEVER);
    o.prompt_tokens = o.max_tokens = 500;
    assert_int_equal(db_admit_order(&d, &o), ORDER_DONE);
    snprintf(o.id, sizeof o.id, "r-2");
    assert_int_equal(db_admit_order(&d, &o), ORDER_DENIED);
    assert_int_equal(o.verdict.opens_ms, START_MS + DAY_MS);
    db_stop(&d);
}

/* ------------------------------------------------------------------ accounts */

static void call_of(struct ledger_db *d, int agent, int64_t tokens)
{
    char name[16], session[16];
    struct made_call call = { .prompt = tokens, .completion = 0 };

    snprintf(name, sizeof name, "a-%d", agent);
    snprintf(session, sizeof session, "s-%d", agent);
    call.names.agent_id = name;
    call.names.session_id = session;
    db_call_in(d, &call);
}

/* More accounts than there are places, some of them full for ever: memory stays in its bound and nothing is
 * counted wrong or let in. */
static void test_more_accounts_than_places(void **state)
{
    enum { PLACES = 64, AGENTS = 400, ROUNDS = 6 };
    struct ledger_db d;
    char id[16], name[16];

    (void)state;
    db_start(&d, START_MS);
    db_ledger(&d)->accounts.most = PLACES;
    db_put(&d,
           "{\"name\": \"agents\", \"limit\": \"100 tokens\", \"window\": \"total\", \"per\": \"agent\"}");
    db_put(&d, "{\"name\": \"sessions\", \"limit\": \"1k tokens\", \"window\": \"session\"}");
    db_put(
        &d,
        "{\"name\": \"slides\", \"limit\": \"1k tokens\", \"window\": \"sliding 1h\", \"per\": \"agent\"}");
    for (int round = 0; round < ROUNDS; round++) {
        db_begin(&d);
        for (int i = 0; i < AGENTS; i++) {
            call_of(&d, i, i % 2 == 0 ? 20 : 1);
            assert_true(db_ledger(&d)->accounts.used <= PLACES);
        }
        db_commit(&d);
        d.now_ms += 1000;
    }
    for (int i = 0; i < AGENTS; i++) { /* the even ones have spent 120 of 100 */
        snprintf(id, sizeof id, "r-%d", i);
        snprintf(name, sizeof name, "a-%d", i);
        struct order o = made_order(id, name, "free");
        o.prompt_tokens = o.max_tokens = 1;
        assert_int_equal(db_admit_order(&d, &o), i % 2 == 0 ? ORDER_DENIED : ORDER_DONE);
        assert_int_equal(db_account(&d, "agents", name)->total.amount, i % 2 == 0 ? 120 : 6);
        assert_int_equal(db_account(&d, "slides", name)->total.amount, i % 2 == 0 ? 120 : 6);
    }
    assert_true(db_ledger(&d)->accounts.used <= PLACES);
    assert_true(db_ledger(&d)->accounts.hot_used <= PLACES);
    db_flush(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM projection_ledger"), 3 * AGENTS);
    assert_int_equal(db_ask(&d.store, "SELECT sum(amount) FROM projection_ledger"),
                     3 * (200 * 120 + 200 * 6));
    db_stop(&d);
}

/* A call with more budgets than places keeps what it has found. */
static void test_a_call_keeps_its_accounts(void **state)
{
    enum { BUDGETS = 40 };
    struct ledger_db d;
    char definition[128];

    (void)state;
    db_start(&d, START_MS);
    db_ledger(&d)->accounts.most = BUDGETS / 2;
    for (int i = 0; i < BUDGETS; i++) {
        snprintf(definition, sizeof definition,
                 "{\"name\": \"b-%d\", \"limit\": \"1k tokens\", \"window\": \"total\", \"per\": \"agent\"}",
                 i);
        db_put(&d, definition);
    }
    for (int i = 0; i < 100; i++) {
        db_begin(&d);
        call_of(&d, i % 10, 1);
        db_commit(&d);
    }
    db_flush(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM projection_ledger WHERE amount = 10"),
                     10 * BUDGETS);
    db_stop(&d);
}

/* --------------------------------------------------------------------- names */

/* A call whose names are these bytes. */
static void call_named(struct ledger_db *d, struct made_event *m)
{
    enum event_result result;

    m->event.has_id = true;
    d->calls_made++;
    memcpy(m->event.id, &d->calls_made, sizeof d->calls_made);
    m->event.ts_ms = d->now_ms;
    m->event.num[D_total_tokens] = 7;
    db_begin(d);
    assert_int_equal(journal_append(&d->journal, &d->from, &m->event, &result), 0);
    assert_int_equal(result, EVENT_STORED);
    db_commit(d);
}

/* Everything that a recount finds is in the file, and the other way round. */
static void assert_recounted(struct ledger_db *d, int64_t cells)
{
    struct recount r;

    db_flush(d);
    assert_int_equal(recount_init(&r, d->store.db, "UTC", false), 0);
    assert_int_equal(recount_rows(&r, 1, INT64_MAX), 0);
    assert_int_equal(r.cells.used, cells);
    assert_int_equal(db_ask(&d->store, "SELECT count(*) FROM projection_ledger"), cells);
    sqlite3_stmt *s = db_prepare(&d->store, "SELECT amount FROM projection_ledger WHERE budget=? AND key=?");
    for (uint32_t i = 0; i < r.cells.used; i++) {
        sqlite3_bind_int64(s, 1, r.cells.all[i].budget);
        sqlite3_bind_blob(s, 2, r.cells.all[i].key, (int)r.cells.all[i].key_len, SQLITE_STATIC);
        assert_int_equal(sqlite3_step(s), SQLITE_ROW);
        assert_int_equal(sqlite3_column_int64(s, 0), r.cells.all[i].amount);
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    recount_fini(&r);
}

/* A name may hold any bytes and be of any length up to the wire's; a tag's name may come twice. */
static void test_names_of_any_bytes(void **state)
{
    static const uint8_t tags[] = { 0x83, 0xa4, 't', 'e', 'a',  'm', 0xa1, 'x', 0xa4, 't', 'e',  'a', 'm',
                                    0xa3, 'y',  0,   'z', 0xa5, 'o', 't',  'h', 'e',  'r', 0xa1, 'o' };
    struct made_names names = { .agent_id = "plain" };
    struct made_event m;
    struct ledger_db d;
    char longest[256];

    (void)state;
    memset(longest, 'n', 255);
    longest[255] = '\0';
    db_start(&d, START_MS);
    db_put(
        &d,
        "{\"name\": \"b\", \"limit\": \"10 tokens\", \"window\": \"total\", \"per\": [\"agent\", \"session\","
        " \"tag.team\", \"tag.other\"]}");
    db_put(&d, "{\"name\": \"x\", \"limit\": \"10 tokens\", \"window\": \"total\", \"scope\": {\"tag.team\": "
               "\"x\"}}");
    made_event(&m, KIND_dispatch, &names);
    m.used--; /* nil: no tags */
    memcpy(m.bytes + m.used, tags, sizeof tags);
    m.event.dims.len += (uint32_t)sizeof tags - 1;
    call_named(&d, &m);
    call_named(&d, &m);
    names = (struct made_names){ .agent_id = longest, .session_id = longest, .tag = longest };
    made_event(&m, KIND_dispatch, &names);
    call_named(&d, &m);
    names = (struct made_names){ .agent_id = "ab", .session_id = "cd" };
    made_event(&m, KIND_dispatch, &names);
    for (size_t i = 0; i < m.used; i++)
        if (m.bytes[i] == 'b' || m.bytes[i] == 'd')
            m.bytes[i] = 0;
    call_named(&d, &m);
    assert_recounted(&d, 3);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 3);
    db_restart(&d);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 3);
    db_stop(&d);
}

/* -------------------------------------------------------------------- clocks */

/* Full in a window, which is over, and comes again when the clock is set back: publishers are told of it,
 * though nobody asks. */
static void test_clock_set_back(void **state)
{
    struct made_call call = { .names = { .agent_id = "a" }, .prompt = 500, .completion = 500 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS + 1000);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\", \"per\": \"agent\"}");
    db_call(&d, &call);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 1);
    d.now_ms += DAY_MS;
    db_begin(&d);
    db_commit(&d);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 0);
    db_restart(&d);
    d.now_ms -= 3600000;
    db_begin(&d);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 1);
    db_rollback(&d);
    d.now_ms += 3600000;
    db_begin(&d);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 0);
    db_commit(&d);
    db_stop(&d);
}

static void allow(struct ledger_db *d, const char *budget, const char *key, int64_t amount, int64_t until_ms)
{
    char sql[1024];

    db_begin(d);
    snprintf(sql, sizeof sql,
             "INSERT INTO allowance (budget, key, amount, from_ms, until_ms, author, reason)"
             " VALUES ('%s', nullif('%s', ''), %lld, %lld, %lld, '', '')",
             budget, key, (long long)amount, (long long)d->now_ms, (long long)until_ms);
    db_exec(&d->store, sql);
    assert_int_equal(ledger_reload(db_ledger(d)), 0);
    db_commit(d);
}

/* A raise holds from when it was given to its end, to the millisecond, for its key; also if the clock was
 * ahead when it was given. */
static void test_raises(void **state)
{
    struct made_call call = { .names = { .agent_id = "a" }, .prompt = 500, .completion = 500 };
    struct made_call other = { .names = { .agent_id = "b" }, .prompt = 500, .completion = 500 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS + 7200000);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\", \"per\": \"agent\"}");
    db_call(&d, &call);
    db_call(&d, &other);
    assert_int_equal(db_account(&d, "b", "a")->state, ACTION_BLOCK);
    allow(&d, "b", "a", 1000, d.now_ms + 60000);
    assert_int_equal(db_account(&d, "b", "a")->state, ACTION_WARN);
    assert_int_equal(db_account(&d, "b", "b")->state, ACTION_BLOCK);
    d.now_ms -= 3600000;
    assert_int_equal(db_account(&d, "b", "a")->state, ACTION_WARN);
    db_restart(&d);
    d.now_ms += 3600000 + 59999;
    assert_int_equal(db_account(&d, "b", "a")->state, ACTION_WARN);
    assert_int_equal(ledger_due_ms(db_ledger(&d)), d.now_ms + 1);
    d.now_ms += 1;
    db_begin(&d);
    db_commit(&d);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 2);
    assert_int_equal(db_account(&d, "b", "a")->state, ACTION_BLOCK);
    db_stop(&d);
}

/* The key of a raise may be as long as a key is. */
static void test_raise_of_a_long_key(void **state)
{
    struct ledger_db d;
    char agent[201], session[201], key[404];
    struct made_call call = { .prompt = 500, .completion = 500 };

    (void)state;
    memset(agent, 'a', 200);
    memset(session, 's', 200);
    agent[200] = session[200] = '\0';
    snprintf(key, sizeof key, "%s, %s", agent, session);
    call.names.agent_id = agent;
    call.names.session_id = session;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\", \"per\": [\"agent\", "
               "\"session\"]}");
    db_call(&d, &call);
    assert_int_equal(db_ledger(&d)->accounts.all[0].state, ACTION_BLOCK);
    allow(&d, "b", key, 1000, d.now_ms + 60000);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 1);
    assert_int_equal(db_ledger(&d)->accounts.all[0].state, ACTION_WARN);
    db_stop(&d);
}

/* ------------------------------------------------------------ in the middle */

/* As the writer and its thread do it: what is there at the beginning is counted. */
static void begin_counting(struct ledger_db *d, struct recount *r)
{
    int64_t first_id;

    db_begin(d);
    assert_int_equal(ledger_begin_counting(db_ledger(d)), 0);
    db_commit(d);
    assert_int_equal(recount_init(r, d->store.db, "UTC", true), 0);
    assert_int_equal(recount_first(r, &first_id), 0);
    assert_int_equal(recount_rows(r, first_id, INT64_MAX), 0);
}

static void end_counting(struct ledger_db *d, struct recount *r)
{
    db_begin(d);
    assert_int_equal(ledger_counted(db_ledger(d), r), 0);
    db_commit(d);
    recount_fini(r);
}

static void count_the_past(struct ledger_db *d)
{
    struct recount r;

    begin_counting(d, &r);
    end_counting(d, &r);
    assert_false(ledger_wants_count(db_ledger(d)));
}

/* Another cost for a row. */
static void price_anew(struct ledger_db *d, int64_t id, int64_t nanousd)
{
    struct projections *p = &d->journal.projections;
    int64_t num[DISPATCH_NUMS];
    struct log_row row;
    char sql[96];

    db_begin(d);
    assert_int_equal(log_row_read(d->journal.read_row, id, num, &row), 1);
    assert_int_equal(projections_retract(p, &row), 0);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET cost_nanousd = %lld WHERE id = %lld", (long long)nanousd,
             (long long)id);
    db_exec(&d->store, sql);
    assert_int_equal(log_row_read(d->journal.read_row, id, num, &row), 1);
    assert_int_equal(projections_restore(p, &row), 0);
    db_commit(d);
}

static int64_t spent_of(struct ledger_db *d, const char *budget)
{
    return account_spent(db_account(d, budget, NULL));
}

/* A call whose clock is ahead counts tomorrow: what it passes is told of when that has begun, once. */
static void test_ahead_of_midnight(void **state)
{
    struct made_call call = { .names = { .agent_id = "a", .model = "dear" },
                              .prompt = 1,
                              .completion = 1,
                              .ts_ms = START_MS + DAY_MS + 60000 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS + DAY_MS - 60000);
    db_put(&d, "{\"name\": \"day\", \"limit\": \"1 usd\", \"window\": \"day\", \"per\": \"agent\"}");
    db_put(&d, "{\"name\": \"slide\", \"limit\": \"1 usd\", \"window\": \"sliding 1h\", \"per\": \"agent\"}");
    for (int i = 0; i < 9; i++)
        db_call(&d, &call);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 0);
    d.now_ms += 60000;
    db_account(&d, "day", "a");
    assert_int_equal(db_admit(&d, "r-1", "a", "dear"), ORDER_DONE);
    assert_int_equal(db_admit(&d, "r-2", "a", "dear"), ORDER_DENIED);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert WHERE subject ->> 'budget' = 'day'"), 2);
    d.now_ms += 60000;
    assert_int_equal(db_admit(&d, "r-2", "a", "dear"), ORDER_DENIED);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 4);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 2);
    d.now_ms += 600000;
    call.ts_ms = 0;
    assert_int_equal(db_settle(&d, "r-1", false, UNKNOWN), ORDER_DONE);
    db_call(&d, &call);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 6);
    db_stop(&d);
}

#define DEFINED(name, more) "{\"name\": \"" name "\", \"limit\": \"50 usd\", " more "}"

/* A budget that comes in the middle has counted what it would have counted from the beginning, also while
 * calls come, prices change, another budget comes, and the collector restarts. */
/* It wants a transaction at once, or, after a failure, when its time has come: the thread must not spin
 * meanwhile. */
static void the_desk_waits_for_what_is_to_be_counted(struct ledger_db *d)
{
    struct desk desk = { .ledger = db_ledger(d), .watch = &d->journal.watch };
    int64_t change_ms = desk.ledger->next_change_ms, expiry_ms = desk.ledger->next_expiry_ms;

    db_begin(d);
    assert_int_equal(watch_tick(desk.watch, d->now_ms, false), 0);
    db_commit(d);
    desk.ledger->next_change_ms = desk.ledger->next_expiry_ms = INT64_MAX;
    assert_true(desk_is_due(&desk));
    assert_int_equal(desk_wait_ms(&desk), 0);
    desk.count_due = mono_after(mono_now(), 60000);
    assert_false(desk_is_due(&desk));
    assert_in_range(desk_wait_ms(&desk), 1, 60000);
    desk.ledger->next_change_ms = change_ms;
    desk.ledger->next_expiry_ms = expiry_ms;
}

static void test_budgets_in_the_middle(void **state)
{
    struct made_call call = { .names = { .agent_id = "a", .model = "dear" }, .prompt = 1, .completion = 1 };
    struct recount r;
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, DEFINED("day-1", "\"window\": \"day\""));
    db_put(&d, DEFINED("slide-1", "\"window\": \"sliding 30h\""));
    for (int i = 0; i < 60; i++) {
        db_call(&d, &call);
        d.now_ms += 3600000;
    }
    assert_true(db_put(&d, DEFINED("day-2", "\"window\": \"day\"")));
    assert_true(db_put(&d, DEFINED("slide-2", "\"window\": \"sliding 30h\"")));
    assert_true(db_put(&d, DEFINED("now", "\"window\": \"total\", \"counts_from\": \"now\"")));
    assert_true(db_put(&d, DEFINED("all", "\"window\": \"total\"")));
    assert_true(
        db_put(&d, DEFINED("date", "\"window\": \"total\", \"counts_from\": \"2026-11-21T12:00:00Z\"")));
    db_call(&d, &call);
    begin_counting(&d, &r);
    d.now_ms += 1000;
    db_call(&d, &call);
    price_anew(&d, 58, 3 * USD / 10); /* one that is being counted */
    price_anew(&d, 62, 3 * USD / 10); /* and one that has come since */
    db_put(&d, DEFINED("other", "\"window\": \"day\""));
    db_flush(&d);
    db_call(&d, &call);
    end_counting(&d, &r);
    assert_true(ledger_wants_count(db_ledger(&d)));
    the_desk_waits_for_what_is_to_be_counted(&d);
    begin_counting(&d, &r); /* dies before it is ready */
    recount_fini(&r);
    db_restart(&d);
    db_call(&d, &call);
    count_the_past(&d);
    assert_int_equal(spent_of(&d, "day-1"), (12 + 4 + 2 + 2) * USD / 10);
    assert_int_equal(spent_of(&d, "day-2"), spent_of(&d, "day-1"));
    assert_int_equal(spent_of(&d, "other"), spent_of(&d, "day-1"));
    assert_int_equal(spent_of(&d, "slide-1"), (30 + 4 + 2 + 2) * USD / 10);
    assert_int_equal(spent_of(&d, "slide-2"), spent_of(&d, "slide-1"));
    assert_int_equal(spent_of(&d, "now"), (4 + 2) * USD / 10);
    assert_int_equal(spent_of(&d, "all"), (60 + 4 + 2 + 2) * USD / 10);
    assert_int_equal(spent_of(&d, "date"), (60 - 36 + 4 + 2 + 2) * USD / 10);
    db_stop(&d);
}

/* Another limit goes on with what was counted, another scope begins anew. */
static void test_edits(void **state)
{
    struct made_call call = { .names = { .agent_id = "a", .model = "dear" }, .prompt = 1, .completion = 1 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    assert_true(
        db_put(&d, "{\"name\": \"b\", \"limit\": \"5 usd\", \"window\": \"day\", \"counts_from\": \"now\"}"));
    for (int i = 0; i < 4; i++)
        db_call(&d, &call);
    int64_t id = db_budget_id(&d, "b");
    assert_false(db_put(
        &d, "{\"name\": \"b\", \"limit\": \"0.4 usd\", \"window\": \"day\", \"counts_from\": \"now\"}"));
    assert_int_equal(db_budget_id(&d, "b"), id);
    assert_int_equal(spent_of(&d, "b"), 4 * USD / 10);
    assert_int_equal(db_ledger(&d)->accounts.hot_used, 1);
    assert_int_equal(db_admit(&d, "r-1", "a", "dear"), ORDER_DENIED);
    assert_false(
        db_put(&d, "{\"name\": \"b\", \"limit\": \"0.4 usd\", \"window\": \"day\", \"counts_from\": \"now\","
                   " \"scope\": {\"agent\": \"a\"}}"));
    assert_int_not_equal(db_budget_id(&d, "b"), id);
    count_the_past(&d);
    assert_int_equal(spent_of(&d, "b"), 4 * USD / 10); /* of this very millisecond */
    d.now_ms++;
    assert_false(
        db_put(&d, "{\"name\": \"b\", \"limit\": \"0.4 usd\", \"window\": \"day\", \"counts_from\": \"now\","
                   " \"scope\": {\"agent\": \"a*\"}}"));
    count_the_past(&d);
    assert_int_equal(spent_of(&d, "b"), 0);
    assert_int_equal(db_admit(&d, "r-1", "a", "dear"), ORDER_DONE);
    db_stop(&d);
}

/* That a budget has been counted is no reason to tell of others again. */
static void test_alerts_are_told_once(void **state)
{
    struct made_call call = { .names = { .agent_id = "a", .model = "dear" }, .prompt = 1, .completion = 1 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"slide\", \"limit\": \"1 usd\", \"window\": \"sliding 1h\"}");
    db_put(&d, "{\"name\": \"day\", \"limit\": \"1 usd\", \"window\": \"day\"}");
    for (int i = 0; i < 9; i++)
        db_call(&d, &call);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 4);
    d.now_ms += 300000;
    db_put(&d, "{\"name\": \"late\", \"limit\": \"1 usd\", \"window\": \"day\"}");
    count_the_past(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 6);
    db_restart(&d);
    db_call(&d, &call);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 9);
    call.ts_ms = d.now_ms - DAY_MS; /* late: of a window that is over */
    for (int i = 0; i < 20; i++)
        db_call(&d, &call);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 9);
    db_stop(&d);
}

/* A call of yesterday by its own clock counts where it was admitted, for a budget that comes later too. */
static void test_admitted_before_the_budget(void **state)
{
    struct made_call call = { .names = { .agent_id = "a" }, .prompt = 5, .completion = 5 };
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS - 3600000);
    db_put(&d, "{\"name\": \"first\", \"limit\": \"10k tokens\", \"window\": \"day\"}");
    db_call(&d, &call);
    d.now_ms = START_MS + 300000;
    assert_int_equal(db_admit(&d, "r-1", "a", "free"), ORDER_DONE);
    call.ts_ms = START_MS - 600000;
    call.reservation = "r-1";
    db_call(&d, &call);
    db_flush(&d);
    assert_int_equal(db_account(&d, "first", NULL)->total.amount, 10);
    db_put(&d, "{\"name\": \"second\", \"limit\": \"10k tokens\", \"window\": \"day\"}");
    assert_int_equal(db_account(&d, "second", NULL)->total.amount, 0);
    count_the_past(&d);
    assert_int_equal(db_account(&d, "second", NULL)->total.amount, 10);
    db_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many_budgets),
        TEST(test_huge_amounts),
        TEST(test_never_opens),
        TEST(test_more_accounts_than_places),
        TEST(test_a_call_keeps_its_accounts),
        TEST(test_names_of_any_bytes),
        TEST(test_clock_set_back),
        TEST(test_raises),
        TEST(test_raise_of_a_long_key),
        TEST(test_budgets_in_the_middle),
        TEST(test_edits),
        TEST(test_ahead_of_midnight),
        TEST(test_alerts_are_told_once),
        TEST(test_admitted_before_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
