/* SPDX-License-Identifier: MIT
 *
 * The ledger's paces and what it foretells, with a clock of the test's own.
 */
#include "collector/writer/backtest.h"
#include "ledger_db.h"

#define HOUR_MS  (60 * (int64_t)MINUTE_MS)
#define START_MS ((int64_t)1780272000000) /* Monday, 2026-06-01 00:00 UTC */

static struct made_call call_of(const char *agent)
{
    return (struct made_call){ .names = { .agent_id = agent, .model = "cheap" }, .prompt = 70 };
}

/* A call every so often, until before a time. */
static void call_every(struct ledger_db *d, const char *agent, int64_t step_ms, int64_t until_ms)
{
    struct made_call call = call_of(agent);

    for (; d->now_ms < until_ms; d->now_ms += step_ms)
        db_call(d, &call);
}

/* Nothing happens, but time passes; the file is what the writer would make it. */
static void wait_until(struct ledger_db *d, int64_t until_ms)
{
    for (; d->now_ms < until_ms; d->now_ms += 5 * MINUTE_MS) {
        db_begin(d);
        db_commit(d);
    }
    d->now_ms = until_ms;
    db_flush(d);
}

static int64_t foretold(struct ledger_db *d)
{
    return db_ask(&d->store, "SELECT count(*) FROM alert WHERE kind='forecast'");
}

static struct forecast forecast_of(struct ledger_db *d, const char *budget, const char *agent)
{
    const struct account *c = db_account(d, budget, agent);
    struct forecast f;

    ledger_forecast(db_ledger(d), c, &f);
    return f;
}

static void assert_near(int64_t got, int64_t wanted, double part)
{
    double off = (double)(got - wanted);

    if (off > part * (double)wanted || off < -part * (double)wanted)
        fail_msg("%lld, not %lld", (long long)got, (long long)wanted);
}

/* 288 calls a day where 100 may be made. */
static void it_is_told_once_in_each_window(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"100 calls\", \"window\": \"day\", \"action\": \"alert\","
               " \"alerts\": [100]}");
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 2 * HOUR_MS);
    assert_int_equal(foretold(&d), 0); /* too young */
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 3 * HOUR_MS);
    assert_int_equal(foretold(&d), 1);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert"), 1); /* it came before the limit */
    assert_int_equal(db_ask(&d.store, "SELECT evidence ->> 'limit' FROM alert"), 100);
    assert_near(db_ask(&d.store, "SELECT evidence ->> 'projected' FROM alert"), 288, 0.05);
    assert_near(db_ask(&d.store, "SELECT evidence ->> 'per_hour' FROM alert"), 12, 0.1);
    assert_near(db_ask(&d.store, "SELECT evidence ->> 'exhausted_ms' FROM alert") - START_MS, 500 * MINUTE_MS,
                0.05);
    assert_int_equal(
        db_ask(&d.store, "SELECT evidence ->> 'basis' = 'rate' AND severity = 'warning' FROM alert"), 1);
    assert_int_equal(db_ask(&d.store, "SELECT title LIKE 'budget b: at its pace 2__ calls of 100 calls by"
                                      " 2026-06-02T00:00:00Z' FROM alert"),
                     1);
    db_restart(&d);
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 26 * HOUR_MS);
    assert_int_equal(foretold(&d), 1);
    db_restart(&d); /* in the middle of the next one */
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 28 * HOUR_MS);
    assert_int_equal(foretold(&d), 2);
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 40 * HOUR_MS);
    assert_int_equal(foretold(&d), 2);
    db_stop(&d);
}

static void nobody_hears_what_he_does_not_want(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"off\", \"limit\": \"100 calls\", \"window\": \"day\", \"forecast\": false}");
    db_put(&d, "{\"name\": \"enough\", \"limit\": \"300 calls\", \"window\": \"day\"}");
    db_put(&d,
           "{\"name\": \"ever\", \"limit\": \"100 calls\", \"window\": \"total\", \"action\": \"alert\"}");
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 8 * HOUR_MS);
    assert_int_equal(foretold(&d), 0);
    struct forecast f = forecast_of(&d, "ever", NULL);
    assert_int_equal(f.projected, UNKNOWN);
    assert_near(f.exhausted_ms - d.now_ms, 20 * MINUTE_MS, 0.3); /* four more */
    db_stop(&d);
}

static void a_sliding_window_is_told_once_in_its_length(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"s\", \"limit\": \"20 calls\", \"window\": \"sliding 2h\", \"per\": \"agent\","
               " \"action\": \"alert\"}");
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 80 * MINUTE_MS);
    assert_int_equal(foretold(&d), 1);
    assert_int_equal(db_ask(&d.store, "SELECT evidence ->> 'spent' < 20 AND subject ->> 'agent' = 'a' AND"
                                      " title LIKE 'budget s (a): full at 2026-06-01T01:4%Z at its pace: 1_ "
                                      "calls of 20 calls in any 2h' FROM alert WHERE kind='forecast'"),
                     1);
    db_restart(&d);
    call_every(&d, "a", 5 * MINUTE_MS, START_MS + 110 * MINUTE_MS);
    assert_int_equal(foretold(&d), 1);
    db_stop(&d);
}

/* What the log does not say is not known; what it says is. */
static void a_pace_survives_what_it_can(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1000 calls\", \"window\": \"day\", \"per\": \"agent\"}");
    call_every(&d, "a", MINUTE_MS, START_MS + 5 * MINUTE_MS);
    assert_int_equal(forecast_of(&d, "b", "a").per_hour, UNKNOWN);
    assert_near(forecast_of(&d, "b", "a").per_minute, 1, 1);
    call_every(&d, "a", MINUTE_MS, START_MS + 6 * HOUR_MS);
    assert_near(forecast_of(&d, "b", "a").per_hour, 60, 0.05);
    db_put(&d, "{\"name\": \"other\", \"limit\": \"5 calls\", \"window\": \"day\"}"); /* all is read again */
    assert_near(forecast_of(&d, "b", "a").per_hour, 60, 0.05);
    db_restart(&d);
    assert_near(forecast_of(&d, "b", "a").per_hour, 60, 0.05);
    assert_int_equal(forecast_of(&d, "b", "b").per_hour, 0); /* nobody has called, and that is known */
    d.now_ms += 20 * HOUR_MS;                                /* nothing came */
    assert_int_equal(forecast_of(&d, "b", "a").per_hour, 0);
    d.now_ms -= 15 * HOUR_MS; /* the clock was set back */
    assert_int_equal(forecast_of(&d, "b", "a").per_hour, 0);
    db_begin(&d);
    db_rollback(&d);
    assert_int_equal(forecast_of(&d, "b", "a").per_hour, 0);
    db_stop(&d);
}

/* One that made room comes back without its pace, also where it was kept over a change of budgets. */
static void a_pace_that_was_lost_is_not_known(void **state)
{
    struct ledger_db d;
    char name[8];

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"9999 calls\", \"window\": \"day\", \"per\": \"agent\"}");
    call_every(&d, "a", 1000, START_MS + 3 * MINUTE_MS);
    db_put(
        &d,
        "{\"name\": \"other\", \"limit\": \"5 calls\", \"window\": \"day\", \"scope\": {\"agent\": \"x\"}}");
    assert_near(forecast_of(&d, "b", "a").per_minute, 60, 0.05);
    db_ledger(&d)->accounts.most = 4;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "n%d", i);
        struct made_call call = call_of(name);
        db_call(&d, &call);
        db_flush(&d);
    }
    assert_int_equal(db_ledger(&d)->accounts.used, 4);
    const struct slice key = { (const uint8_t *)"\2a", 2 };
    const struct ledger_budget *b = ledger_budget_named(db_ledger(&d), "b");
    assert_true(accounts_find(&db_ledger(&d)->accounts, b, key) == ACCOUNT_NONE);
    assert_int_equal(forecast_of(&d, "b", "a").per_minute, UNKNOWN);
    assert_int_equal(forecast_of(&d, "b", "never").per_minute, UNKNOWN); /* who knows */
    d.now_ms += 2 * MINUTE_MS;
    assert_int_equal(forecast_of(&d, "b", "a").per_minute, 0);
    db_restart(&d); /* the log knows */
    assert_true(forecast_of(&d, "b", "a").per_hour == UNKNOWN && forecast_of(&d, "b", "a").per_minute > 0);
    db_stop(&d);
}

static void what_is_taken_back_is_taken_off_the_pace(void **state)
{
    struct ledger_db d;
    sqlite3_stmt *stmt;
    int64_t num[DISPATCH_NUMS];
    struct log_row row;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1000 calls\", \"window\": \"day\", \"per\": \"agent\"}");
    call_every(&d, "a", MINUTE_MS, START_MS + 2 * HOUR_MS);
    assert_near(forecast_of(&d, "b", "a").per_hour, 60, 0.05);
    assert_int_equal(log_row_prepare(d.store.db, &stmt), 0);
    db_begin(&d);
    for (int64_t id = 1; id <= 120; id += 2)
        if (log_row_read(stmt, id, num, &row) == 1)
            assert_int_equal(ledger_retract(db_ledger(&d), &row), 0);
    const struct account *c = &db_ledger(&d)->accounts.all[0];
    assert_near(burn_rate(&c->burn, BURN_HOUR, d.now_ms), 30, 0.1);
    for (int64_t id = 1; id <= 120; id += 2)
        if (log_row_read(stmt, id, num, &row) == 1)
            assert_int_equal(ledger_restore(db_ledger(&d), &row), 0);
    assert_near(burn_rate(&c->burn, BURN_HOUR, d.now_ms), 60, 0.05);
    db_commit(&d);
    sqlite3_finalize(stmt);
    db_stop(&d);
}

/* Two days with calls in their first halves; the third is foreseen to be one of them, a restart or not. */
static void the_curve_of_days_is_remembered(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1000 calls\", \"window\": \"day\", \"per\": \"agent\"}");
    for (int day = 0; day < 2; day++) {
        call_every(&d, "a", 10 * MINUTE_MS, START_MS + day * DAY_MS + 12 * HOUR_MS);
        wait_until(&d, START_MS + (day + 1) * DAY_MS);
    }
    call_every(&d, "a", 10 * MINUTE_MS, START_MS + 2 * DAY_MS + 6 * HOUR_MS);
    for (int again = 0; again < 2; again++) {
        struct forecast f = forecast_of(&d, "b", "a");
        assert_int_equal(f.basis, FORECAST_CURVE);
        assert_near(f.projected, 72, 0.05);
        db_restart(&d);
        wait_until(&d, d.now_ms + 10 * MINUTE_MS);
    }
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM forecast_curve"), 1);
    d.now_ms += 100 * DAY_MS;
    db_begin(&d);
    db_commit(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM forecast_curve WHERE start_ms < 1785000000000"),
                     0);
    db_stop(&d);
}

/* A round is made of slices; the clock may stand still meanwhile. */
static void many_accounts_are_looked_at_in_slices(void **state)
{
    enum { AGENTS = 1500 };
    struct ledger_db d;
    char name[32];

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"20 calls\", \"window\": \"hour\", \"per\": \"agent\","
               " \"alerts\": [100], \"action\": \"alert\"}");
    d.now_ms += 20 * MINUTE_MS;
    db_begin(&d);
    for (int agent = 0; agent < AGENTS; agent++)
        for (int i = 0; i < FORECAST_CALLS_MIN; i++) {
            snprintf(name, sizeof name, "a%d", agent);
            struct made_call call = call_of(name);
            db_call_in(&d, &call);
        }
    db_commit(&d);
    d.now_ms += 11 * 1000;
    int64_t most = 0, before = 0, turns = 0;
    for (; turns < 20 && foretold(&d) < AGENTS; turns++) {
        assert_true(ledger_due_ms(db_ledger(&d)) <= d.now_ms);
        db_begin(&d);
        db_commit(&d);
        most = foretold(&d) - before > most ? foretold(&d) - before : most;
        before = foretold(&d);
    }
    assert_int_equal(before, AGENTS);
    assert_true(most <= 512 && turns >= 3);
    assert_true(ledger_due_ms(db_ledger(&d)) > d.now_ms);
    db_stop(&d);
}

/* Three days and a half of 144 calls each (the budgets come in the order of their names), of which the first
 * has nothing before it and the last is not over. */
static void a_replay_measures_what_is_over(void **state)
{
    struct ledger_db d;
    struct backtest_result r;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"over\", \"limit\": \"100 calls\", \"window\": \"day\", \"action\": \"alert\"}");
    db_put(&d, "{\"name\": \"roomy\", \"limit\": \"200 calls\", \"window\": \"day\", \"per\": \"agent\"}");
    db_put(&d, "{\"name\": \"total\", \"limit\": \"9999 calls\", \"window\": \"total\"}");
    call_every(&d, "a", 10 * MINUTE_MS, START_MS + 3 * DAY_MS + 12 * HOUR_MS);
    struct backtest_options o = { .zone = "UTC", .from_ms = START_MS, .to_ms = d.now_ms };
    assert_int_equal(backtest(d.store.db, &o, &r), 0);
    assert_int_equal(r.budgets, 3);
    assert_int_equal(r.calls, 7 * 72);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r.budget[i].windows, 3);
        assert_int_equal(r.budget[i].learnt, 2);
        for (int q = 0; q < 3; q++) {
            assert_int_equal(r.budget[i].error[q].kept, 3);
            assert_true(backtest_quantile(&r.budget[i].error[q], 0.9) < 0.05);
        }
    }
    assert_true(r.budget[0].right == 3 && r.budget[0].wrong == 0 && r.budget[0].missed == 0);
    assert_true(r.budget[1].right == 0 && r.budget[1].wrong == 0 && r.budget[1].missed == 0);
    assert_int_equal(r.budget[2].windows, 0);
    backtest_fini(&r);
    o.from_ms = START_MS + HOUR_MS; /* then the first day is not whole */
    assert_int_equal(backtest(d.store.db, &o, &r), 0);
    assert_int_equal(r.budget[0].windows, 2);
    assert_true(backtest_quantile(&r.budget[2].error[0], 0.5) < 0);
    backtest_fini(&r);
    db_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_is_told_once_in_each_window),
        TEST(nobody_hears_what_he_does_not_want),
        TEST(a_sliding_window_is_told_once_in_its_length),
        TEST(a_pace_survives_what_it_can),
        TEST(a_pace_that_was_lost_is_not_known),
        TEST(what_is_taken_back_is_taken_off_the_pace),
        TEST(the_curve_of_days_is_remembered),
        TEST(a_replay_measures_what_is_over),
        TEST(many_accounts_are_looked_at_in_slices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
