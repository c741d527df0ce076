/* SPDX-License-Identifier: MIT
 *
 * The ledger from the log and its checkpoint: equal before, during and after retention; and every difference
 * is found. Budgets and calls are random, the seed is told.
 */
#include <time.h>

#include "collector/writer/ledger_recount.h"
#include "collector/writer/ledger_verify.h"
#include "collector/writer/retention.h"
#include "writer_db.h"

#define DAY_MS  86400000LL
#define HOUR_MS 3600000LL
#define NOW_MS  (20000 * DAY_MS)
#define CALLS   SCALE(6000)
#define AGENTS  5
#define MODELS  4
#define DIMS    (AGENTS * MODELS * 2)
#define HELD    40 /* reservations */

static struct store store;
static struct retention retention;
static struct retention_ages ages;
static struct ledger_report report;
static unsigned seed;
static int64_t told; /* postings that the last settling moved */

static void run(const char *format, ...)
{
    char sql[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    db_exec(&store, sql);
}

static int64_t ask(const char *sql)
{
    return db_ask(&store, sql);
}

static int64_t at_random(int64_t n)
{
    return rand_r(&seed) % n;
}

static int open_store(void **state)
{
    make_dir(state);
    db_open(&store);
    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        retention_set_age(&ages, (enum retention_kind)kind, RETENTION_FOREVER);
    seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    return retention_init(&retention, &store, NULL, &ages);
}

static int close_store(void **state)
{
    retention_fini(&retention);
    store_close(&store);
    return remove_dir(state);
}

/* ------------------------------------------------------------------ the log */

/* Half of the combinations are of calls that were blocked. */
static void add_names(void)
{
    for (int i = 0; i < DIMS; i++)
        run("INSERT INTO dims(id, key, rollup, source, agent_id, provider, model, status, tags) VALUES(%d,"
            " zeroblob(%d), %d, 1, 'agent-%d', 'p', %s, %d, '{\"team\":\"t%d\"}')",
            i + 1, i + 1, i + 1, i % AGENTS,
            i / AGENTS % MODELS == 3 ? "NULL"
            : i % 2                  ? "'m1'"
                                     : "'m2'",
            i < DIMS / 2 ? STATUS_ok : STATUS_blocked, i % 3);
    for (int i = 1; i <= 9; i++)
        run("INSERT INTO session VALUES(%d, zeroblob(%d), %d, %d, 's-%d', NULL, NULL)", i, 16 + i, i, i, i);
}

/* A call an hour before the other, five minutes apart, ten days in all; one partition for each tenth. */
static void add_calls(void)
{
    int64_t piece = CALLS / 10;

    for (int64_t id = 1; id <= CALLS; id++) {
        int64_t ts_ms = NOW_MS - 10 * DAY_MS + id * 10 * DAY_MS / CALLS;
        char cost[32] = "NULL", held[32] = "NULL";
        if (at_random(5) > 0)
            snprintf(cost, sizeof cost, "%lld", (long long)at_random(1000000));
        if (at_random(20) == 0)
            snprintf(held, sizeof held, "'r-%lld'", (long long)at_random(HELD));
        run("INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, session, event_id, "
            "reservation_id,"
            " prompt_tokens, completion_tokens, total_tokens, cost_nanousd) VALUES(%lld, %lld, 0, %d, %lld, "
            "%lld,"
            " zeroblob(16), %s, %lld, %s, 0, %s)",
            (long long)id, (long long)ts_ms, at_random(10) == 0, (long long)at_random(DIMS) + 1,
            (long long)at_random(10), held, (long long)at_random(5000), at_random(9) ? "7" : "NULL", cost);
    }
    for (int64_t n = 0; n < 10; n++) {
        int64_t last_ms = NOW_MS - 10 * DAY_MS + (n + 1) * DAY_MS;
        run("INSERT INTO log_partition VALUES(%lld, %lld, %lld, %lld, %lld, 0, 0, 0)",
            (long long)(n * piece + 1), (long long)((n + 1) * piece), (long long)(last_ms - DAY_MS),
            (long long)last_ms, (long long)last_ms);
    }
    run("UPDATE projection SET watermark = %lld", (long long)(10 * piece));
    assert_int_equal(store_reload(&store), 0);
}

/* Each was admitted some hours before its first row. */
static void add_reservations(void)
{
    for (int i = 0; i < HELD; i++)
        run("INSERT INTO reservation(id, state, admitted_ms, expires_ms, ended_ms, last_id, nanousd, subject)"
            " SELECT 'r-%d', 2, min(ts_ms) - %lld, 0, max(ts_ms), max(id), 5, '{}' FROM dispatch"
            " WHERE reservation_id='r-%d' HAVING count(*) > 0",
            i, (long long)(at_random(30) * HOUR_MS), i);
}

static void add_budget(const char *name, const char *definition, bool counted)
{
    run("INSERT INTO budget(name, definition, origin, counts_from_ms, first_id, counted, since_ms) "
        "VALUES('%s',"
        " '{\"name\":\"%s\",%s}', 'api', %lld, 0, %d, 0)",
        name, name, definition, (long long)(NOW_MS - 9 * DAY_MS), counted);
}

static void add_random_budgets(int count)
{
    static const char *const window[] = { "hour\",\"timezone\":\"Asia/Kathmandu",
                                          "day\",\"timezone\":\"America/New_York",
                                          "week\",\"timezone\":\"UTC",
                                          "month\",\"timezone\":\"Asia/Tokyo",
                                          "sliding 5h",
                                          "sliding 3d",
                                          "session",
                                          "total" };
    static const char *const limit[] = { "5 usd", "1000 tokens", "10 calls" };
    static const char *const scope[] = { "{}", "{\"agent\":\"agent-1\"}", "{\"model\":[\"m1\",\"x*\"]}",
                                         "{\"tag.team\":{\"not\":[\"t1\"]}}", "{\"session\":\"s-*\"}" };
    static const char *const per[] = { "", ",\"per\":\"agent\"", ",\"per\":[\"model\",\"tag.team\"]",
                                       ",\"per\":\"user\"" };
    char name[16], definition[400];

    for (int i = 0; i < count; i++) {
        const char *of = window[i % 8];
        snprintf(name, sizeof name, "b%d", i);
        snprintf(definition, sizeof definition, "\"scope\":%s%s,\"limit\":\"%s\",\"window\":\"%s\"",
                 scope[at_random(5)], strcmp(of, "session") == 0 ? "" : per[at_random(4)],
                 limit[at_random(3)], of);
        add_budget(name, definition, true);
    }
}

/* What the whole log is worth, put where the writer would have put it. */
static void fill_ledger(void)
{
    struct recount r;

    assert_int_equal(recount_init(&r, store.db, "UTC", false), 0);
    assert_int_equal(recount_rows(&r, 1, INT64_MAX), 0);
    sqlite3_stmt *stmt = db_prepare(&store, "INSERT INTO projection_ledger VALUES(?,?,?,?,?,?)");
    for (uint32_t i = 0; i < r.cells.used; i++) {
        const struct recount_cell *c = &r.cells.all[i];
        sqlite3_bind_int64(stmt, 1, c->budget);
        sqlite3_bind_blob(stmt, 2, c->key, (int)c->key_len, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 3, c->start_ms);
        sqlite3_bind_int64(stmt, 4, c->amount);
        sqlite3_bind_int64(stmt, 5, c->calls);
        sqlite3_bind_int64(stmt, 6, c->unknown);
        assert_int_equal(store_run(stmt), 0);
    }
    recount_fini(&r);
}

static void fill(int budgets)
{
    run("BEGIN");
    add_names();
    add_calls();
    add_reservations();
    add_random_budgets(budgets);
    fill_ledger();
    run("COMMIT");
}

/* ------------------------------------------------------------------ looking */

static int64_t verify(void)
{
    if (ledger_verify(store.db, NULL, NULL, &report) != 0)
        fail_msg("%s", report.error);
    return report.differences;
}

static void assert_equal(void)
{
    if (verify() != 0) {
        const struct ledger_difference *d = &report.difference[0];
        fail_msg("%s [%s] %lld: %lld (%lld calls) where %lld (%lld calls) should be; %s", d->budget, d->key,
                 (long long)d->start_ms, (long long)d->is.amount, (long long)d->is.calls,
                 (long long)d->should.amount, (long long)d->should.calls, d->what);
    }
}

/* Until nothing is to do any more; each slice leaves a file that is equal. */
static void settle(int64_t now_ms)
{
    bool more = true;

    told = 0;
    retention.reservations_due = retention.cells_due = (struct monotime){ 0 };
    while (more) {
        assert_int_equal(retention_step(&retention, now_ms, &more), 0);
        told += retention.tally.told;
        assert_equal();
    }
}

static int64_t whole(void)
{
    return ask("SELECT sum(amount) + 1000003 * sum(calls) + 7919 * sum(unknown) + count(*) FROM"
               " projection_ledger");
}

/* -------------------------------------------------------------------- tests */

static void a_recount_is_what_plain_sums_say(void **state)
{
    (void)state;
    run("BEGIN");
    add_names();
    add_calls();
    add_budget("all", "\"limit\":\"5 usd\",\"window\":\"total\"", true);
    add_budget("one", "\"limit\":\"5 calls\",\"window\":\"total\",\"scope\":{\"agent\":\"agent-2\"}", true);
    fill_ledger();
    run("COMMIT");
    assert_int_equal(ask("SELECT amount FROM projection_ledger WHERE budget=1"),
                     ask("SELECT sum(cost_nanousd) FROM dispatch JOIN dims ON dims.id=dims WHERE state=0 AND"
                         " status<>5 AND ts_ms >= (SELECT counts_from_ms FROM budget)"));
    assert_int_equal(ask("SELECT calls FROM projection_ledger WHERE budget=2"),
                     ask("SELECT count(*) FROM dispatch JOIN dims ON dims.id=dims WHERE state=0 AND status<>5"
                         " AND agent_id='agent-2' AND ts_ms >= (SELECT counts_from_ms FROM budget)"));
    assert_equal();
    assert_int_equal(report.budgets, 2);
    assert_int_equal(report.cells, 2);
    assert_int_equal(report.calls, ask("SELECT sum(calls) FROM projection_ledger"));
    assert_int_equal(report.watermark, CALLS);
}

static void retention_keeps_it_exact(void **state)
{
    (void)state;
    fill(24);
    assert_equal();
    assert_int_equal(report.budgets, 24);
    int64_t before = whole();
    for (int day = 9; day >= 0; day--) {
        retention_set_age(&ages, RETAIN_DISPATCH, day * DAY_MS + HOUR_MS);
        settle(NOW_MS);
        assert_int_equal(whole(), before);
    }
    assert_int_equal(ask("SELECT min(id) FROM dispatch"), CALLS * 9 / 10 + 1);
    assert_true(ask("SELECT count(*) FROM reservation") < HELD);
    settle(NOW_MS + DAY_MS);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 0);
    assert_int_equal(whole(), before);
    assert_int_equal(before, ask("SELECT sum(amount) + 1000003 * sum(calls) + 7919 * sum(unknown) + count(*)"
                                 " FROM ledger_checkpoint"));
    assert_int_equal(ask("SELECT count(*) FROM projection_ledger p JOIN ledger_checkpoint c USING"
                         " (budget, key, start_ms) WHERE p.amount=c.amount AND p.calls=c.calls"),
                     ask("SELECT count(*) FROM projection_ledger"));
    settle(NOW_MS + 3 * DAY_MS);
    settle(NOW_MS + 3 * DAY_MS);
    assert_int_equal(ask("SELECT count(*) FROM reservation"), 0);
}

/* A reservation is older than what is kept, but a row still names it. */
static void a_reservation_stays_as_long_as_its_rows(void **state)
{
    (void)state;
    fill(8);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS / 2);
    run("UPDATE projection SET watermark = %d WHERE name='session'", CALLS / 2);
    run("UPDATE reservation SET ended_ms = 1");
    settle(NOW_MS);
    settle(NOW_MS); /* reservations may have been looked at before the last of the rows went */
    assert_int_equal(ask("SELECT min(id) FROM dispatch"), CALLS / 2 + 1);
    assert_int_equal(ask("SELECT count(*) FROM reservation"),
                     ask("SELECT count(DISTINCT reservation_id) FROM dispatch"));
}

static void budgets_come_and_go_meanwhile(void **state)
{
    (void)state;
    fill(6);
    retention_set_age(&ages, RETAIN_DISPATCH, 7 * DAY_MS);
    settle(NOW_MS);
    run("UPDATE budget SET ended_ms=1 WHERE id=2");
    add_budget("late", "\"limit\":\"5 calls\",\"window\":\"total\"", true);
    run("INSERT INTO projection_ledger SELECT 7, x'', 0, count(*), count(*), 0 FROM dispatch JOIN dims ON"
        " dims.id=dims WHERE state=0 AND status<>5");
    add_budget("counting", "\"limit\":\"5 calls\",\"window\":\"total\"", false);
    run("UPDATE budget SET counts_from_ms = 0 WHERE id IN (7, 8)");
    assert_equal();
    retention_set_age(&ages, RETAIN_DISPATCH, 4 * DAY_MS);
    settle(NOW_MS);
    assert_int_equal(report.budgets, 6);
    assert_int_equal(report.counting, 1);
    assert_true(ask("SELECT calls FROM ledger_checkpoint WHERE budget=7") > 0);
    assert_int_equal(ask("SELECT calls FROM ledger_checkpoint WHERE budget=7"),
                     ask("SELECT calls FROM ledger_checkpoint WHERE budget=8"));
    assert_int_equal(ask("SELECT count(*) FROM projection_ledger WHERE budget=2"), 0);
    assert_int_equal(ask("SELECT count(*) FROM ledger_checkpoint WHERE budget=2"), 0);
}

static int refuse(void *arg)
{
    (void)arg;
    return 1;
}

static void a_slice_that_fails_counts_once(void **state)
{
    bool more;

    (void)state;
    fill(8);
    retention_set_age(&ages, RETAIN_DISPATCH, 5 * DAY_MS);
    sqlite3_commit_hook(store.db, refuse, NULL);
    assert_int_not_equal(retention_step(&retention, NOW_MS, &more), 0);
    sqlite3_commit_hook(store.db, NULL, NULL);
    assert_int_equal(ask("SELECT count(*) FROM ledger_checkpoint"), 0);
    settle(NOW_MS);
    assert_true(ask("SELECT count(*) FROM ledger_checkpoint") > 0);
}

/* -------------------------------------------------------------- reservations */

static void add_held(int nr, int state, int64_t ended_ms, int budget, int64_t start_ms, int kind, int amount)
{
    run("INSERT OR IGNORE INTO reservation(nr, id, state, admitted_ms, expires_ms, ended_ms, nanousd,"
        " settled_nanousd, subject) VALUES(%d, 'h-%d', %d, 0, 0, %lld, %d, %d, '{}')",
        nr, nr, state, (long long)ended_ms, amount, amount);
    run("INSERT INTO reservation_posting VALUES(%d, x'', %lld, %d, %d, %d)", budget, (long long)start_ms, nr,
        kind, amount);
}

static void what_was_told_becomes_a_sum(void **state)
{
    int64_t today = NOW_MS, old = NOW_MS - 9 * DAY_MS;

    (void)state;
    add_budget("total", "\"limit\":\"5 usd\",\"window\":\"total\",\"strict\":true", true);
    add_budget("day", "\"limit\":\"5 usd\",\"window\":\"day\",\"timezone\":\"UTC\",\"strict\":true", true);
    add_budget("ended", "\"limit\":\"5 usd\",\"window\":\"total\"", true);
    run("UPDATE budget SET ended_ms=1 WHERE name='ended'");
    run("INSERT INTO projection_ledger VALUES(1, x'', 0, 1000, 2, 1); INSERT INTO ledger_checkpoint"
        " VALUES(1, x'', 0, 1000, 2, 1)");
    add_held(1, 1, old, 1, 0, 2, 70); /* told: both budgets */
    add_held(1, 1, old, 2, old, 2, 70);
    add_held(1, 1, old, 3, 0, 2, 70);    /* of one that has ended */
    add_held(2, 1, today, 1, 0, 2, 5);   /* not old enough */
    add_held(3, 4, old, 1, 0, 1, 30);    /* presumed: of a window that runs */
    add_held(3, 4, old, 2, old, 1, 30);  /* and of one that is over */
    add_held(4, 4, old, 2, old, 1, 30);  /* only that */
    add_held(5, 4, old, 2, today, 0, 0); /* not strict when it expired */
    add_held(6, 0, old, 1, 0, 0, 40);    /* open */
    run("UPDATE reservation SET ended_ms=NULL WHERE nr=6");
    run("INSERT INTO reservation(nr, id, state, admitted_ms, expires_ms, ended_ms, subject) VALUES"
        "(7, 'h-7', 3, 0, 0, %lld, '{}')",
        (long long)old);
    assert_equal();
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    settle(NOW_MS);
    assert_int_equal(told, 2);
    assert_int_equal(ask("SELECT group_concat(nr, '') FROM reservation"), 236);
    assert_int_equal(ask("SELECT group_concat(reservation, '') FROM reservation_posting"), 236);
    assert_int_equal(ask("SELECT amount * 100 + calls * 10 + unknown FROM projection_ledger WHERE budget=1"),
                     1070 * 100 + 31);
    assert_int_equal(ask("SELECT amount * 100 + calls * 10 + unknown FROM ledger_checkpoint WHERE budget=1"),
                     1070 * 100 + 31);
    assert_int_equal(ask("SELECT amount FROM projection_ledger WHERE budget=2"), 70);
    assert_int_equal(ask("SELECT count(*) FROM projection_ledger WHERE budget=3"), 0);
    settle(NOW_MS);
    assert_int_equal(told, 0);
}

static void many_reservations_go_in_slices(void **state)
{
    (void)state;
    add_budget("total", "\"limit\":\"5 usd\",\"window\":\"total\",\"strict\":true", true);
    run("BEGIN");
    for (int i = 1; i <= 1000; i++)
        add_held(i, i % 3 ? 1 : 4, NOW_MS - 9 * DAY_MS + i % 7, 1, 0, i % 3 ? 2 : 1, i);
    run("COMMIT");
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    settle(NOW_MS);
    assert_int_equal(ask("SELECT count(*) FROM reservation"), 333);
    assert_int_equal(ask("SELECT amount FROM projection_ledger"), 500500 - 3 * 333 * 334 / 2);
    assert_int_equal(ask("SELECT calls FROM projection_ledger"), 667);
    settle(NOW_MS);
    assert_int_equal(ask("SELECT count(*) FROM reservation"), 333);
}

static void old_cells_go(void **state)
{
    (void)state;
    fill(16);
    retention_set_age(&ages, RETAIN_DAY, 3 * DAY_MS);
    settle(NOW_MS);
    assert_int_equal(
        ask("SELECT count(*) FROM projection_ledger JOIN budget ON id=budget WHERE definition LIKE"
            " '%\"hour\"%' AND start_ms < 20000*86400000 - 3*86400000 - 3600000"),
        0);
    assert_true(ask("SELECT count(*) FROM projection_ledger JOIN budget ON id=budget WHERE definition LIKE"
                    " '%\"hour\"%'") > 0);
    assert_true(ask("SELECT count(*) FROM projection_ledger WHERE start_ms = 0") > 0);
    int64_t months =
        ask("SELECT count(*) FROM projection_ledger JOIN budget ON id=budget WHERE definition LIKE"
            " '%\"month\"%'");
    assert_true(months > 0);
    retention_set_age(&ages, RETAIN_DISPATCH, 2 * DAY_MS);
    settle(NOW_MS);
    settle(NOW_MS + DAY_MS);
    assert_int_equal(ask("SELECT count(*) FROM ledger_checkpoint c WHERE NOT EXISTS (SELECT 1 FROM"
                         " projection_ledger p WHERE p.budget=c.budget AND p.key=c.key AND"
                         " p.start_ms=c.start_ms) AND start_ms >= 20000*86400000 - 2*86400000"),
                     0);
}

/* --------------------------------------------------------------- differences */

static void every_difference_is_found(void **state)
{
    static const char *const wrong[] = {
        "UPDATE projection_ledger SET amount = amount + 1",
        "UPDATE projection_ledger SET calls = calls - 1",
        "UPDATE projection_ledger SET unknown = unknown + 1",
        "UPDATE ledger_checkpoint SET amount = amount - 1",
        "DELETE FROM projection_ledger",
        "UPDATE dispatch SET cost_nanousd = cost_nanousd + 1 WHERE id = (SELECT max(d.id) FROM dispatch d "
        "JOIN"
        " dims ON dims.id=d.dims WHERE state=0 AND status<>5 AND cost_nanousd > 0)",
        "INSERT INTO projection_ledger VALUES(1, x'00', 0, 1, 1, 0)",
        "INSERT INTO reservation_posting VALUES(1, x'', 0, 999, 0, 5)",
    };

    (void)state;
    run("BEGIN");
    add_names();
    add_calls();
    add_budget("all", "\"limit\":\"5 usd\",\"window\":\"total\"", true);
    fill_ledger();
    run("COMMIT");
    retention_set_age(&ages, RETAIN_DISPATCH, 5 * DAY_MS);
    settle(NOW_MS);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        run("SAVEPOINT wrong");
        run("%s", wrong[i]);
        run("RELEASE wrong");
        assert_int_equal(verify(), 1);
        assert_string_equal(report.difference[0].budget, "all");
        /* and back */
        run("DELETE FROM projection_ledger; DELETE FROM ledger_checkpoint; DELETE FROM reservation_posting");
        fill_ledger();
        if (ask("SELECT count(*) FROM ledger_checkpoint") == 0)
            run("INSERT INTO ledger_checkpoint VALUES(1, x'', 0, 1000, 10, 1);"
                "UPDATE projection_ledger SET amount = amount + 1000, calls = calls + 10, unknown = unknown "
                "+ 1");
        assert_equal();
    }
}

static void postings_must_be_what_their_reservations_are(void **state)
{
    static const struct {
        int state, kind, amount;
        bool wrong;
    } cases[] = { { 0, 0, 10, false }, { 0, 1, 10, true },  { 0, 2, 10, true }, { 0, 0, 11, true },
                  { 1, 2, 10, false }, { 1, 0, 10, true },  { 1, 2, 9, true },  { 2, 2, 10, true },
                  { 3, 0, 10, true },  { 4, 1, 10, false }, { 4, 0, 0, false }, { 4, 0, 10, true } };

    (void)state;
    add_budget("all", "\"limit\":\"5 usd\",\"window\":\"total\"", true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run("DELETE FROM reservation; DELETE FROM reservation_posting");
        run("INSERT INTO reservation(nr, id, state, admitted_ms, expires_ms, nanousd, settled_nanousd, "
            "subject)"
            " VALUES(1, 'x', %d, 0, 0, 10, 10, '{}')",
            cases[i].state);
        run("INSERT INTO reservation_posting VALUES(1, x'', 0, 1, %d, %d)", cases[i].kind, cases[i].amount);
        if (verify() != cases[i].wrong)
            fail_msg("state %d, kind %d, amount %d", cases[i].state, cases[i].kind, cases[i].amount);
        assert_int_equal(report.postings, 1);
        if (cases[i].wrong)
            assert_string_equal(report.difference[0].reservation, "x");
    }
}

static bool stop(void *arg, int64_t done, int64_t of)
{
    (void)done;
    (void)of;
    ++*(int *)arg;
    return false;
}

static void it_stops_when_it_is_told(void **state)
{
    int asked = 0;

    (void)state;
    run("INSERT INTO dims(id, key, rollup, source) VALUES(1, x'01', 1, 1)");
    run("WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 300000) INSERT INTO "
        "dispatch"
        "(id, ts_ms, received_after_ms, state, dims) SELECT n, %lld, 0, 0, 1 FROM i",
        (long long)NOW_MS);
    run("UPDATE projection SET watermark = 300000");
    add_budget("all", "\"limit\":\"5 usd\",\"window\":\"total\"", true);
    assert_int_equal(ledger_verify(store.db, stop, &asked, &report), -SQLITE_INTERRUPT);
    assert_int_equal(asked, 1);
    assert_true(sqlite3_get_autocommit(store.db));
    assert_int_equal(verify(), 1);
    assert_int_equal(report.difference[0].should.calls, 300000);
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_recount_is_what_plain_sums_say),
        STORE_TEST(retention_keeps_it_exact),
        STORE_TEST(a_reservation_stays_as_long_as_its_rows),
        STORE_TEST(budgets_come_and_go_meanwhile),
        STORE_TEST(a_slice_that_fails_counts_once),
        STORE_TEST(what_was_told_becomes_a_sum),
        STORE_TEST(many_reservations_go_in_slices),
        STORE_TEST(old_cells_go),
        STORE_TEST(every_difference_is_found),
        STORE_TEST(postings_must_be_what_their_reservations_are),
        STORE_TEST(it_stops_when_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
