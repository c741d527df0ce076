/* SPDX-License-Identifier: MIT
 *
 * Alerts whose reason comes again and again, and publishers that fall silent, over a real journal and file,
 * in the test's time.
 */
#include "ledger_db.h"

#define HOUR_MS   (60 * MINUTE_MS)
#define START_MS  ((int64_t)1763683200000)
#define SILENT_MS (5 * MINUTE_MS)

#define ASK(...) db_ask_of(&d, __VA_ARGS__)

static struct watch *watch_of(struct ledger_db *d)
{
    return &d->journal.watch;
}

static void tick(struct ledger_db *d)
{
    db_begin(d);
    assert_int_equal(watch_tick(watch_of(d), d->now_ms, false), 0);
    db_commit(d);
}

static void later(struct ledger_db *d, int64_t ms)
{
    d->now_ms += ms;
    tick(d);
}

static void begin(struct ledger_db *d)
{
    db_start(d, START_MS);
    watch_of(d)->silence.silent_ms = SILENT_MS;
    tick(d);
}

static void restart(struct ledger_db *d)
{
    db_restart(d);
    watch_of(d)->silence.silent_ms = SILENT_MS;
    tick(d);
}

/* One number; %s in the query is the kind. */
static int64_t db_ask_of(struct ledger_db *d, const char *format, const char *kind)
{
    char sql[512];

    snprintf(sql, sizeof sql, format, kind);
    return db_ask(&d->store, sql);
}

static int64_t alerts_of(struct ledger_db *d, const char *kind)
{
    return db_ask_of(d, "SELECT count(*) FROM alert WHERE kind='%s'", kind);
}

static int64_t open_of(struct ledger_db *d, const char *kind)
{
    return db_ask_of(d, "SELECT count(*) FROM alert WHERE kind='%s' AND ended_ms IS NULL", kind);
}

static int64_t count_of(struct ledger_db *d, const char *kind)
{
    return db_ask_of(d, "SELECT count FROM alert WHERE kind='%s' ORDER BY id DESC LIMIT 1", kind);
}

static struct made_call dear(const char *model)
{
    return (struct made_call){ .names = { .agent_id = "a",
                                          .session_id = "s-1",
                                          .provider = "p",
                                          .model = model,
                                          .status = STATUS_ok },
                               .prompt = 10,
                               .completion = 5 };
}

static void call(struct ledger_db *d, const struct made_call *c)
{
    db_begin(d);
    assert_int_equal(watch_tick(watch_of(d), d->now_ms, false), 0);
    db_call_in(d, c);
    db_commit(d);
}

/* ------------------------------------------------------------------ unpriced */

static void test_a_condition_is_told_once_counted_and_ended(void **state)
{
    struct made_call c = dear("unheard-of");
    struct ledger_db d;

    (void)state;
    begin(&d);
    call(&d, &c);
    assert_int_equal(open_of(&d, "unpriced"), 1);
    for (int i = 0; i < 4; i++)
        call(&d, &c);
    assert_int_equal(count_of(&d, "unpriced"), 1); /* the rest is in memory */
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(count_of(&d, "unpriced"), 5);
    assert_int_equal(ASK("SELECT last_ms FROM alert WHERE kind='%s'", "unpriced"), START_MS);
    later(&d, 23 * HOUR_MS);
    call(&d, &c);
    later(&d, 23 * HOUR_MS); /* a day after the first, not after the last */
    assert_int_equal(open_of(&d, "unpriced"), 1);
    assert_int_equal(count_of(&d, "unpriced"), 6);
    later(&d, HOUR_MS);
    assert_int_equal(open_of(&d, "unpriced"), 0);
    call(&d, &c);
    assert_int_equal(alerts_of(&d, "unpriced"), 2);
    assert_int_equal(open_of(&d, "unpriced"), 1);
    db_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_condition_is_told_once_counted_and_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
