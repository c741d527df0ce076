/* SPDX-License-Identifier: MIT
 *
 * Runaways in the writer: what is found becomes alerts and pauses, which end; restarts, rollbacks, and what
 * is not looked at.
 */
#include "ledger_db.h"

#include "collector/writer/ledger_pauses.h"

#define START_MS 1795132800000LL /* 2026-11-20 00:00 UTC */
#define LIMIT    5               /* identical errors of a session */

static struct runaway_rule *rule[2];

static struct runaways *runaways_of(struct ledger_db *d)
{
    return &d->journal.watch.runaways;
}

static void begin(struct ledger_db *d)
{
    db_begin(d);
    assert_int_equal(watch_tick(&d->journal.watch, d->now_ms, false), 0);
}

/* The rule of the tests: more than LIMIT identical errors of a session; what else it says. */
static void use(struct ledger_db *d, const char *more)
{
    char text[256];
    struct fault fault;

    for (int i = 0; i < 2; i++) {
        if (i == 0)
            snprintf(text, sizeof text, "{\"rule\":\"identical_errors\",\"limit\":{\"session\":%d}%s}", LIMIT,
                     more);
        else
            snprintf(text, sizeof text, "{\"rule\":\"session_duration\",\"on\":false}");
        json_t *json = json_loads(text, 0, NULL);
        assert_non_null(json);
        runaway_rule_free(rule[i]);
        rule[i] = NULL;
        assert_int_equal(runaway_rule_parse(json, &rule[i], &fault), 0);
        json_decref(json);
    }
    begin(d);
    assert_int_equal(runaways_use(runaways_of(d), rule, 2, d->now_ms), 0);
    db_commit(d);
}

static void start(struct ledger_db *d, const char *more)
{
    db_start(d, START_MS);
    use(d, more);
}

static void stop(struct ledger_db *d)
{
    db_stop(d);
    for (int i = 0; i < 2; i++) {
        runaway_rule_free(rule[i]);
        rule[i] = NULL;
    }
}

static void restart(struct ledger_db *d, const char *more)
{
    db_restart(d);
    use(d, more);
}

static struct made_call failing(const char *session)
{
    return (struct made_call){ .names = { .session_id = session,
                                          .agent_id = "a",
                                          .model = "cheap",
                                          .provider = "p",
                                          .status = STATUS_error,
                                          .error_type = "boom" },
                               .prompt = UNKNOWN,
                               .completion = UNKNOWN };
}

static void fail_times(struct ledger_db *d, const char *session, int n, int64_t before_ms)
{
    struct made_call call = failing(session);

    begin(d);
    for (int i = 0; i < n; i++) {
        call.ts_ms = d->now_ms - before_ms;
        db_call_in(d, &call);
    }
    db_commit(d);
}

static void pass(struct ledger_db *d, int64_t ms)
{
    d->now_ms += ms;
    begin(d);
    db_commit(d);
}

static int64_t number(struct ledger_db *d, const char *sql)
{
    int64_t n = -1;

    assert_int_equal(store_number(&d->store, sql, &n), 0);
    return n;
}

static int64_t alerts(struct ledger_db *d)
{
    return number(d, "SELECT count(*) FROM alert WHERE kind='runaway'");
}

static int64_t open_alerts(struct ledger_db *d)
{
    return number(d, "SELECT count(*) FROM alert WHERE kind='runaway' AND ended_ms IS NULL");
}

static enum action said_to(struct ledger_db *d, const char *session)
{
    struct subject who = {
        .text = { [SUBJECT_agent_id] = made_slice("a"), [SUBJECT_session_id] = made_slice(session) }
    };
    struct verdict v;

    begin(d);
    ledger_judge(db_ledger(d), &who, NULL, 0, &v);
    db_commit(d);
    return v.action;
}

/* ----------------------------------------------------------------------- ends */

static void an_alert_ends_when_it_is_calm(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, "");
    fail_times(&d, "s", LIMIT, 0);
    assert_int_equal(alerts(&d), 0);
    fail_times(&d, "s", 1, 0);
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(runaways_of(&d)->due_ms, START_MS + 11 * MINUTE_MS);
    fail_times(&d, "s", 20, 0);
    assert_int_equal(number(&d, "SELECT count FROM alert"), 1);
    pass(&d, 10 * MINUTE_MS);
    fail_times(&d, "s", 3, 0); /* it goes on */
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(number(&d, "SELECT count FROM alert"), 2);
    assert_int_equal(number(&d, "SELECT evidence ->> 'value' FROM alert"), LIMIT + 22);
    pass(&d, 11 * MINUTE_MS - 1);
    assert_int_equal(open_alerts(&d), 1);
    pass(&d, 1);
    assert_int_equal(open_alerts(&d), 0);
    assert_int_equal(number(&d, "SELECT ended_ms FROM alert"), d.now_ms);
    assert_true(runaways_of(&d)->due_ms == INT64_MAX);
    fail_times(&d, "s", 1, 0); /* and again: another one */
    assert_int_equal(alerts(&d), 2);
    assert_int_equal(open_alerts(&d), 1);
    stop(&d);
}

static void a_restart_knows_when_alerts_end(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, "");
    fail_times(&d, "s", LIMIT + 1, 0);
    d.now_ms += 5 * MINUTE_MS;
    restart(&d, "");
    assert_int_equal(runaways_of(&d)->due_ms, START_MS + 11 * MINUTE_MS);
    fail_times(&d, "s", 3, 0); /* it has been told, before the restart */
    assert_int_equal(number(&d, "SELECT count FROM alert"), 1);
    pass(&d, 6 * MINUTE_MS);
    assert_int_equal(open_alerts(&d), 0);
    stop(&d);
}

static void a_pause_ends_and_all_is_forgotten(void **state)
{
    struct ledger_db d;
    int ended;

    (void)state;
    start(&d, ",\"action\":\"block\",\"cooldown\":\"10m\"");
    fail_times(&d, "s", LIMIT + 1, 0);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    assert_int_equal(said_to(&d, "t"), ACTION_ALLOW);
    assert_int_equal(number(&d, "SELECT until_ms FROM pause"), START_MS + 10 * MINUTE_MS);
    assert_int_equal(number(&d, "SELECT alert FROM pause"), number(&d, "SELECT id FROM alert"));
    assert_true(runaways_of(&d)->due_ms == INT64_MAX); /* the pause ends it */
    pass(&d, 10 * MINUTE_MS);
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    assert_int_equal(open_alerts(&d), 0);
    fail_times(&d, "s", LIMIT, 0);
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    fail_times(&d, "s", 1, 0);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    db_begin(&d);
    assert_int_equal(ledger_pause_resume(db_ledger(&d), 0, SUBJECT_session_id, "s", "ann", &ended), 0);
    db_commit(&d);
    assert_int_equal(ended, 1);
    assert_int_equal(open_alerts(&d), 0);
    d.now_ms += 1000;
    fail_times(&d, "s", LIMIT, 0);
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    d.now_ms += 1000;
    restart(&d, ",\"action\":\"block\",\"cooldown\":\"10m\""); /* which forgets what had been forgotten, and
                                                                  no more */
    assert_int_equal(alerts(&d), 2);
    fail_times(&d, "s", 1, 0);
    assert_int_equal(alerts(&d), 3);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    stop(&d);
}

static void a_person_pause_is_not_ours(void **state)
{
    struct ledger_db d;
    const struct pause_new p = { .field = SUBJECT_session_id,
                                 .value = "s",
                                 .until_ms = START_MS + MINUTE_MS,
                                 .alert = UNKNOWN,
                                 .author = "ann",
                                 .reason = "" };
    int64_t id;

    (void)state;
    start(&d, "");
    fail_times(&d, "s", LIMIT, 0);
    db_begin(&d);
    assert_int_equal(ledger_pause_put(db_ledger(&d), &p, &id), 0);
    db_commit(&d);
    pass(&d, 2 * MINUTE_MS);
    fail_times(&d, "s", 1, 0); /* nothing has been forgotten */
    assert_int_equal(alerts(&d), 1);
    stop(&d);
}

/* ------------------------------------------------------------ what is looked at */

static void some_calls_are_not_looked_at(void **state)
{
    struct ledger_db d;
    struct made_call call = failing("s");

    (void)state;
    start(&d, "");
    fail_times(&d, "s", 2 * LIMIT, 41 * DAY_MS); /* misdated */
    fail_times(&d, "s", 2 * LIMIT, RUNAWAYS_LATE_MS + 1);
    call.names.status = STATUS_blocked;
    for (int i = 0; i < 2 * LIMIT; i++) {
        begin(&d);
        db_call_in(&d, &call);
        db_commit(&d);
    }
    assert_int_equal(alerts(&d), 0);
    restart(&d, ""); /* nor when they are read again */
    fail_times(&d, "s", LIMIT, 0);
    assert_int_equal(alerts(&d), 0);
    fail_times(&d, "s", 1, -100000); /* a clock that is ahead: as of now */
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(number(&d, "SELECT evidence ->> 'last_ms' FROM alert"), d.now_ms);
    stop(&d);
}

/* A call of a publisher that tells it twice: while it runs, and how it ended. */
static void tell_twice(struct ledger_db *d, const char *session, uint8_t id)
{
    struct made_call call = failing(session);
    enum event_result result;

    for (int partial = 1; partial >= 0; partial--) {
        struct made_event m;
        begin(d);
        call.names.status = partial ? 0 : STATUS_error;
        call.names.error_type = partial ? NULL : "boom";
        made_event(&m, KIND_dispatch, &call.names);
        m.event.ts_ms = d->now_ms;
        m.event.has_id = true;
        m.event.id[0] = id;
        m.event.num[D_partial] = partial;
        assert_int_equal(journal_append(&d->journal, &d->from, &m.event, &result), 0);
        assert_int_equal(result, partial ? EVENT_STORED : EVENT_REPLACED);
        db_commit(d);
    }
}

static void a_final_record_is_no_second_call(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, "");
    for (uint8_t i = 1; i <= LIMIT; i++)
        tell_twice(&d, "s", i);
    assert_int_equal(alerts(&d), 0); /* LIMIT calls, and what they really were */
    tell_twice(&d, "s", LIMIT + 1);
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(number(&d, "SELECT evidence ->> 'calls' FROM alert"), LIMIT + 1);
    for (uint8_t i = 1; i <= LIMIT; i++)
        tell_twice(&d, "t", (uint8_t)(100 + i));
    restart(&d, "");
    tell_twice(&d, "t", 100);
    assert_int_equal(alerts(&d), 2);
    assert_int_equal(number(&d, "SELECT max(evidence ->> 'calls') FROM alert"), LIMIT + 1);
    stop(&d);
}

static void a_final_record_adds_no_call_to_a_rate(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, "");
    for (uint8_t i = 1; i <= 120; i++)
        tell_twice(&d, "s", i);
    assert_int_equal(number(&d, "SELECT count(*) FROM alert WHERE CAST(mark AS TEXT) LIKE 'calls%'"), 0);
    tell_twice(&d, "s", 121);
    assert_int_equal(number(&d, "SELECT count(*) FROM alert WHERE CAST(mark AS TEXT) LIKE 'calls%'"), 1);
    stop(&d);
}

static void what_is_over_is_told_and_not_paused(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, ",\"action\":\"block\",\"cooldown\":\"until resumed\"");
    fail_times(&d, "s", LIMIT + 1, RUNAWAYS_ACT_MS + 1);
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(number(&d, "SELECT count(*) FROM pause"), 0);
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    fail_times(&d, "s", LIMIT, 0); /* forgotten, as nobody could resume it */
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    fail_times(&d, "s", 1, 0);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    assert_int_equal(number(&d, "SELECT until_ms IS NULL FROM pause"), 1);
    pass(&d, 5 * DAY_MS);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    stop(&d);
}

/* ------------------------------------------------------------------- rollbacks */

static void a_rollback_takes_it_back(void **state)
{
    struct ledger_db d;
    struct made_call call = failing("s");

    (void)state;
    start(&d, ",\"action\":\"block\"");
    fail_times(&d, "s", LIMIT, 0);
    begin(&d);
    db_call_in(&d, &call);
    assert_int_equal(alerts(&d), 1);
    db_rollback(&d);
    assert_int_equal(alerts(&d), 0);
    assert_int_equal(said_to(&d, "s"), ACTION_ALLOW);
    fail_times(&d, "s", 1, 0); /* what was committed is known, the rest comes again */
    assert_int_equal(alerts(&d), 1);
    assert_int_equal(said_to(&d, "s"), ACTION_BLOCK);
    stop(&d);
}

/* --------------------------------------------------------------------- clocks */

static void a_clock_that_is_put_back_blinds_nobody(void **state)
{
    struct ledger_db d;

    (void)state;
    start(&d, "");
    fail_times(&d, "s", 1, 0);
    d.now_ms += DAY_MS; /* by mistake */
    fail_times(&d, "s", 1, 0);
    fail_times(&d, "t", LIMIT + 1, 0);
    assert_int_equal(alerts(&d), 1);
    d.now_ms -= DAY_MS - MINUTE_MS;
    fail_times(&d, "s", LIMIT - 1, 0);
    assert_int_equal(alerts(&d), 1); /* what was told for tomorrow is no call of today */
    fail_times(&d, "s", 1, 0);
    assert_int_equal(alerts(&d), 2);
    fail_times(&d, "t", LIMIT + 1, 0); /* it is open still */
    assert_int_equal(number(&d, "SELECT sum(count) FROM alert WHERE kind='runaway'"), 3);
    pass(&d, 12 * MINUTE_MS);
    assert_int_equal(open_alerts(&d), 0);
    stop(&d);
}

static void open_ones_are_bounded(void **state)
{
    struct ledger_db d;
    char session[32];

    (void)state;
    start(&d, "");
    for (int i = 0; i < RUNAWAYS_OPEN + 50; i++) {
        snprintf(session, sizeof session, "s-%d", i);
        d.now_ms += 1;
        struct made_call call = failing(session);
        if (i % 64 == 0)
            begin(&d);
        for (int k = 0; k <= LIMIT; k++)
            db_call_in(&d, &call);
        if (i % 64 == 63)
            db_commit(&d);
    }
    db_commit(&d);
    assert_int_equal(runaways_of(&d)->open_count, RUNAWAYS_OPEN + 1);
    assert_int_equal(open_alerts(&d), RUNAWAYS_OPEN + 1);
    assert_int_equal(
        number(&d, "SELECT count FROM alert WHERE CAST(mark AS TEXT) = 'identical_errors/session/(other)'"),
        51); /* one of the open ones is of the agent's calls a minute */
    pass(&d, 12 * MINUTE_MS);
    assert_int_equal(open_alerts(&d), 0);
    stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_alert_ends_when_it_is_calm),
        TEST(a_restart_knows_when_alerts_end),
        TEST(a_pause_ends_and_all_is_forgotten),
        TEST(a_person_pause_is_not_ours),
        TEST(some_calls_are_not_looked_at),
        TEST(a_final_record_is_no_second_call),
        TEST(a_final_record_adds_no_call_to_a_rate),
        TEST(what_is_over_is_told_and_not_paused),
        TEST(a_rollback_takes_it_back),
        TEST(a_clock_that_is_put_back_blinds_nobody),
        TEST(open_ones_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
