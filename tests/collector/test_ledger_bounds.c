/* SPDX-License-Identifier: MIT
 *
 * The ledger at its bounds: hundreds of budgets for one call, amounts that no number holds, more accounts than
 * memory has places for, names with any bytes, clocks that jump, budgets that come in the middle.
 */
#include "ledger_db.h"

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

/* ------------------------------------------------------------ in the middle */

/* As the writer and its thread do it. */
static void count_the_past(struct ledger_db *d)
{
    struct recount r;
    int64_t first_id;

    db_begin(d);
    assert_int_equal(ledger_begin_counting(db_ledger(d)), 0);
    db_commit(d);
    assert_int_equal(recount_init(&r, d->store.db, "UTC", true), 0);
    assert_int_equal(recount_first(&r, &first_id), 0);
    assert_int_equal(recount_rows(&r, first_id, INT64_MAX), 0);
    db_begin(d);
    assert_int_equal(ledger_counted(db_ledger(d), &r), 0);
    db_commit(d);
    recount_fini(&r);
    assert_false(ledger_wants_count(db_ledger(d)));
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
        TEST(test_admitted_before_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
