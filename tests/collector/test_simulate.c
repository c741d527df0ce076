/* SPDX-License-Identifier: MIT
 *
 * What budgets would have said: by hand for small days, and for random budgets beside a simulation that adds
 * up every window anew from a list.
 */
#include <time.h>

#include "collector/base/clock.h"
#include "collector/base/event.h"
#include "collector/writer/simulate.h"
#include "writer_db.h"

#define HOUR_MS 3600000LL
#define DAY_MS  (24 * HOUR_MS)
#define DAY0_MS (20000 * DAY_MS)
#define USD     1000000000LL
#define CENTS   (USD / 100)
#define BUDGETS 12
#define CALLS   SCALE(3000)

static struct store store;
static struct budget *budget[BUDGETS];
static struct simulate_options options;
static struct simulate_result result;
static int64_t next_id;
static unsigned seed;

static int open_store(void **state)
{
    char sql[256];

    make_dir(state);
    db_open(&store);
    for (int i = 0; i < 6; i++) {
        snprintf(
            sql, sizeof sql,
            "INSERT INTO dims(id, key, rollup, source, agent_id, model, status) VALUES(%d, zeroblob(%d), %d,"
            " 1, 'agent-%d', 'm%d', %d)",
            i + 1, i + 1, i + 1, i % 3, i / 3, STATUS_ok);
        db_exec(&store, sql);
    }
    db_exec(
        &store,
        "INSERT INTO dims(id, key, rollup, source, agent_id, status) VALUES(9, x'09', 9, 1, 'agent-0', 5)");
    next_id = 1;
    options =
        (struct simulate_options){ .budgets = budget, .from_ms = DAY0_MS, .to_ms = DAY0_MS + 2 * DAY_MS };
    result = (struct simulate_result){ .cut = false };
    return 0;
}

static int close_store(void **state)
{
    simulate_fini(&result);
    for (size_t i = 0; i < options.budget_count; i++)
        budget_free(budget[i]);
    store_close(&store);
    return remove_dir(state);
}

static void add_budget(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct fault fault;

    assert_non_null(json);
    if (budget_parse(json, "UTC", &budget[options.budget_count], &fault) != 0)
        fail_msg("%s %s: %s", fault.field, fault.value, fault.expected);
    json_decref(json);
    options.budget_count++;
}

/* cost UNKNOWN: it has none. */
static void add_call(int dims, int64_t ts_ms, int64_t received_ms, int64_t cost)
{
    char sql[300], text[24] = "NULL";

    if (cost != UNKNOWN)
        snprintf(text, sizeof text, "%lld", (long long)cost);
    snprintf(
        sql, sizeof sql,
        "INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, prompt_tokens, completion_tokens,"
        " total_tokens, cost_nanousd) VALUES(%lld, %lld, %lld, 0, %d, 10, 5, 0, %s)",
        (long long)next_id++, (long long)ts_ms, (long long)(received_ms - ts_ms), dims, text);
    db_exec(&store, sql);
}

static void run(void)
{
    simulate_fini(&result);
    if (simulate(store.db, &options, &result) != 0)
        fail_msg("%s", result.error);
    assert_true(sqlite3_get_autocommit(store.db));
}

/* Each hour of so many days a call of 10 cents. */
static void add_days(int days)
{
    for (int hour = 0; hour < 24 * days; hour++)
        add_call(1, DAY0_MS + hour * HOUR_MS, DAY0_MS + hour * HOUR_MS, 10 * CENTS);
}

/* ------------------------------------------------------------------ by hand */

static void a_day_is_warned_of_and_blocked(void **state)
{
    (void)state;
    add_days(2);
    add_budget(
        "{\"name\":\"daily\",\"per\":\"agent\",\"limit\":\"1 usd\",\"window\":\"day\",\"alerts\":[50,80]}");
    run();
    assert_int_equal(result.all.calls, 48);
    assert_int_equal(result.all.amount, 480 * CENTS);
    assert_int_equal(result.blocked.calls, 28);
    assert_int_equal(result.blocked.amount, 280 * CENTS);
    assert_int_equal(result.accounts, 1);
    assert_int_equal(result.crossings, 4);
    const struct simulate_account *a = &result.account[0];
    assert_int_equal(a->first_ms[0], DAY0_MS + 4 * HOUR_MS);
    assert_int_equal(a->first_ms[1], DAY0_MS + 7 * HOUR_MS);
    assert_int_equal(a->times[0], 2);
    assert_int_equal(a->periods, 2);
    assert_int_equal(result.periods, 2);
    assert_int_equal(result.period[0].from_ms, DAY0_MS + 9 * HOUR_MS);
    assert_int_equal(result.period[0].until_ms, DAY0_MS + DAY_MS);
    assert_int_equal(result.period[0].held.calls, 14);
    assert_int_equal(result.period[1].from_ms, DAY0_MS + 33 * HOUR_MS);
    assert_int_equal(result.crossing[3].at_ms, DAY0_MS + 31 * HOUR_MS);
    assert_int_equal(result.crossing[3].spent, 80 * CENTS);
    assert_int_equal(result.crossing[3].percent, 80);
    char key[64];
    simulate_key_text(&options, &result, 0, key, sizeof key);
    assert_string_equal(key, "agent-0");
}

/* From the middle of the first day: what came before counts, and is not told. */
static void what_came_before_counts(void **state)
{
    (void)state;
    add_days(2);
    add_budget("{\"name\":\"daily\",\"limit\":\"1 usd\",\"window\":\"day\",\"alerts\":[50,80]}");
    options.from_ms = DAY0_MS + 6 * HOUR_MS;
    options.to_ms = DAY0_MS + 12 * HOUR_MS;
    run();
    assert_int_equal(result.all.calls, 6);
    assert_int_equal(result.account[0].first_ms[0], UNKNOWN);
    assert_int_equal(result.account[0].first_ms[1], DAY0_MS + 7 * HOUR_MS);
    assert_int_equal(result.blocked.calls, 2);
    options.from_ms = DAY0_MS + 11 * HOUR_MS;
    run();
    assert_int_equal(result.blocked.calls, 1);
    assert_int_equal(result.crossings, 0);
    assert_int_equal(result.period[0].from_ms, options.from_ms); /* it was before */
}

static void a_budget_from_now_begins_with_nothing(void **state)
{
    (void)state;
    add_days(1);
    add_budget("{\"name\":\"daily\",\"limit\":\"1 usd\",\"window\":\"day\",\"counts_from\":\"now\"}");
    options.from_ms = DAY0_MS + 6 * HOUR_MS;
    run();
    assert_int_equal(result.all.calls, 18);
    assert_int_equal(result.blocked.calls, 8);
}

static void shadows_and_softer_actions_let_calls_be_made(void **state)
{
    (void)state;
    add_days(1);
    add_budget("{\"name\":\"a\",\"limit\":\"1 usd\",\"window\":\"day\",\"shadow\":true}");
    add_budget("{\"name\":\"b\",\"limit\":\"2 usd\",\"window\":\"day\",\"action\":\"downgrade\","
               "\"use\":{\"model\":\"m1\"}}");
    add_budget(
        "{\"name\":\"c\",\"limit\":\"20 calls\",\"window\":\"day\",\"action\":\"alert\",\"alerts\":[100]}");
    run();
    assert_int_equal(result.blocked.calls, 0);
    assert_int_equal(result.shadow.calls, 14);
    assert_int_equal(result.shadow.amount, 140 * CENTS);
    assert_int_equal(result.budget[0].held.calls, 14);
    assert_int_equal(result.budget[1].held.calls, 4);
    assert_int_equal(result.budget[2].held.calls, 0);
    assert_int_equal(result.budget[2].crossings, 1);
    assert_int_equal(result.budget[2].periods, 0);
    assert_int_equal(result.budget[1].all.amount, 240 * CENTS);
}

/* What one budget blocks does not count in another. */
static void a_blocked_call_counts_nowhere(void **state)
{
    (void)state;
    add_days(1);
    add_budget("{\"name\":\"a\",\"limit\":\"1 usd\",\"window\":\"day\"}");
    add_budget("{\"name\":\"b\",\"limit\":\"11 calls\",\"window\":\"total\",\"alerts\":[50,100]}");
    run();
    assert_int_equal(result.budget[0].held.calls, 14);
    assert_int_equal(result.budget[1].held.calls, 0);
    assert_int_equal(result.budget[1].crossings, 1);
    assert_int_equal(result.budget[1].all.calls, 24);
}

static void what_nobody_knows_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        add_call(1, DAY0_MS + i, DAY0_MS + i, i < 2 ? 50 * CENTS : UNKNOWN);
    add_call(9, DAY0_MS + 20, DAY0_MS + 20, 5 * CENTS); /* was blocked when it came */
    add_budget("{\"name\":\"a\",\"limit\":\"1 usd\",\"window\":\"total\"}");
    run();
    assert_int_equal(result.all.calls, 10);
    assert_int_equal(result.blocked.calls, 8);
    assert_int_equal(result.blocked.amount, 0);
    assert_int_equal(result.blocked.unknown, 8);
    assert_true(result.period[0].until_ms == WINDOW_NEVER);
    assert_int_equal(result.log_ms, UNKNOWN);
    db_exec(&store, "DELETE FROM dispatch WHERE id < 5; UPDATE log_dropped SET through_id=4");
    run();
    assert_int_equal(result.log_ms, DAY0_MS + 4);
}

static void a_sliding_window_opens_again(void **state)
{
    (void)state;
    for (int minute = 0; minute < 120; minute++)
        add_call(1, DAY0_MS + minute * 60000, DAY0_MS + minute * 60000, USD);
    add_budget("{\"name\":\"a\",\"limit\":\"10 usd\",\"window\":\"sliding 1h\"}");
    run();
    /* ten calls, then none until the first has wholly gone out: its minute, and an hour */
    assert_int_equal(result.period[0].from_ms, DAY0_MS + 9 * 60000);
    assert_int_equal(result.period[0].until_ms, DAY0_MS + 61 * 60000);
    assert_int_equal(result.period[0].held.calls, 51);
    assert_int_equal(result.blocked.calls, 120 - 20);
}

/* --------------------------------------------------------------- at random */

struct made {
    int dims;
    int64_t ts_ms, received_ms, cost;
    bool blocked;
};

static bool is_in(const struct budget *b, int number, const struct made *m)
{
    (void)b;
    return number % 3 == 0 || (m->dims - 1) % 3 == number % 3; /* as the scopes below */
}

static bool is_same(int number, const struct made *a, const struct made *b)
{
    return number % 2 == 0 || (a->dims - 1) % 3 == (b->dims - 1) % 3; /* as per below */
}

/* What has been counted of a call's account when it comes. */
static int64_t spent_before(int number, const struct made *all, int at)
{
    const struct budget *b = budget[number];
    int64_t now_ms = all[at].received_ms, first = window_first(&b->window, now_ms),
            last = window_start(&b->window, now_ms), sum = 0;

    for (int i = 0; i < at; i++) {
        int64_t start = window_start(&b->window, all[i].ts_ms);
        if (all[i].blocked || !is_in(b, number, &all[i]) || !is_same(number, &all[i], &all[at]) ||
            start < first || start > last)
            continue;
        sum += b->unit == UNIT_CALLS ? 1 : b->unit == UNIT_TOKENS ? 15 : all[i].cost;
    }
    return sum;
}

static void random_budgets(void)
{
    static const char *const window[] = { "hour", "day", "sliding 3h", "sliding 1d", "total", "week" };
    static const char *const limit[] = { "40 calls", "3000 tokens", "3 usd" };
    char text[400], scope[64];

    for (int i = 0; i < BUDGETS; i++) {
        snprintf(scope, sizeof scope, i % 3 == 0 ? "{}" : "{\"agent\":\"agent-%d\"}", i % 3);
        snprintf(text, sizeof text,
                 "{\"name\":\"b%d\",\"scope\":%s%s,\"limit\":\"%s\",\"window\":\"%s\",\"shadow\":%s}", i,
                 scope, i % 2 ? ",\"per\":\"agent\"" : "", limit[rand_r(&seed) % 3],
                 window[rand_r(&seed) % 6], rand_r(&seed) % 3 ? "false" : "true");
        add_budget(text);
    }
}

/* Calls come a few minutes apart; some are late, some are ahead of our clock. */
static struct made *random_calls(void)
{
    struct made *all = calloc(CALLS, sizeof *all);
    int64_t now_ms = DAY0_MS;

    assert_non_null(all);
    db_exec(&store, "BEGIN");
    for (int i = 0; i < CALLS; i++) {
        now_ms += rand_r(&seed) % 300000;
        all[i] = (struct made){ .dims = 1 + rand_r(&seed) % 6,
                                .ts_ms = now_ms,
                                .received_ms = now_ms,
                                .cost = rand_r(&seed) % 10 * CENTS };
        if (rand_r(&seed) % 8 == 0)
            all[i].ts_ms += (rand_r(&seed) % 8 - 6) * HOUR_MS / 2;
        if (all[i].ts_ms < DAY0_MS)
            all[i].ts_ms = DAY0_MS;
        add_call(all[i].dims, all[i].ts_ms, all[i].received_ms, all[i].cost);
    }
    db_exec(&store, "COMMIT");
    options.to_ms = now_ms + 1;
    return all;
}

static void as_adding_up_every_window_says(void **state)
{
    int64_t held[BUDGETS] = { 0 }, blocked = 0, saved = 0;

    (void)state;
    seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    random_budgets();
    struct made *all = random_calls();
    for (int i = 0; i < CALLS; i++) {
        bool full[BUDGETS];
        for (int b = 0; b < BUDGETS; b++) {
            full[b] = is_in(budget[b], b, &all[i]) && spent_before(b, all, i) >= budget[b]->limit;
            all[i].blocked |= full[b] && !budget[b]->shadow;
        }
        for (int b = 0; b < BUDGETS; b++)
            held[b] += full[b] && (!all[i].blocked || !budget[b]->shadow);
        blocked += all[i].blocked;
        saved += all[i].blocked ? all[i].cost : 0;
    }
    run();
    assert_int_equal(result.all.calls, CALLS);
    assert_int_equal(result.blocked.calls, blocked);
    assert_int_equal(result.blocked.amount, saved);
    assert_true(blocked > 0 && blocked < CALLS);
    for (int b = 0; b < BUDGETS; b++)
        assert_int_equal(result.budget[b].held.calls, held[b]);
    free(all);
}

static bool stop(void *arg, int64_t done, int64_t of)
{
    assert_true(done <= of);
    ++*(int *)arg;
    return false;
}

static void it_stops_when_it_is_told(void **state)
{
    int asked = 0;

    (void)state;
    db_exec(&store,
            "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000) INSERT INTO"
            " dispatch(id, ts_ms, received_after_ms, state, dims) SELECT n, 20000*86400000, 0, 0, 1 FROM i");
    add_budget("{\"name\":\"a\",\"limit\":\"10 usd\",\"window\":\"total\"}");
    options.progress = stop;
    options.progress_arg = &asked;
    assert_int_equal(simulate(store.db, &options, &result), -SQLITE_INTERRUPT);
    assert_int_equal(asked, 1);
    assert_true(sqlite3_get_autocommit(store.db));
}

int main(void)
{
#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)
    const struct CMUnitTest tests[] = {
        STORE_TEST(a_day_is_warned_of_and_blocked),
        STORE_TEST(what_came_before_counts),
        STORE_TEST(a_budget_from_now_begins_with_nothing),
        STORE_TEST(shadows_and_softer_actions_let_calls_be_made),
        STORE_TEST(a_blocked_call_counts_nowhere),
        STORE_TEST(what_nobody_knows_is_told),
        STORE_TEST(a_sliding_window_opens_again),
        STORE_TEST(as_adding_up_every_window_says),
        STORE_TEST(it_stops_when_it_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
