/* SPDX-License-Identifier: MIT
 *
 * Pauses: they hold at once, end by themselves or by a person's word, block or delay, and leave their trace.
 */
#include "ledger_db.h"

#include "collector/base/utf8.h"
#include "collector/writer/ledger_pauses.h"
#include "collector/writer/office.h"

#define START_MS  1795132800000LL /* 2026-11-20 00:00 UTC */
#define MINUTE_MS 60000

/* What the hook was told. */
struct over {
    int calls, resumed;
    int64_t id, alert;
    char value[64], rule[64];
};

static void is_over(void *arg, const struct pause *p, bool resumed)
{
    struct over *o = arg;

    o->calls++;
    o->resumed += resumed;
    o->id = p->id;
    o->alert = p->alert;
    snprintf(o->value, sizeof o->value, "%s", p->value);
    snprintf(o->rule, sizeof o->rule, "%s", p->rule != NULL ? p->rule : "");
}

static void watch(struct ledger_db *d, struct over *o)
{
    *o = (struct over){ .calls = 0 };
    db_ledger(d)->pause_over.call = is_over;
    db_ledger(d)->pause_over.arg = o;
}

/* "agent a"; until_ms 0: until it is resumed. */
static struct pause_new made_pause(const char *agent, int64_t delay_ms, int64_t until_ms, const char *rule)
{
    return (struct pause_new){ .field = SUBJECT_agent_id,
                               .value = agent,
                               .delay_ms = delay_ms,
                               .until_ms = until_ms != 0 ? until_ms : WINDOW_NEVER,
                               .rule = rule,
                               .alert = UNKNOWN,
                               .author = "ann",
                               .reason = "loops" };
}

static int64_t put(struct ledger_db *d, const struct pause_new *p)
{
    int64_t id = -1;

    db_begin(d);
    assert_int_equal(ledger_pause_put(db_ledger(d), p, &id), 0);
    db_commit(d);
    return id;
}

static int resume(struct ledger_db *d, const char *agent)
{
    int ended = -1;

    db_begin(d);
    assert_int_equal(ledger_pause_resume(db_ledger(d), 0, SUBJECT_agent_id, agent, "bob", &ended), 0);
    db_commit(d);
    return ended;
}

/* What is said to an agent's call at this time, after whatever is due has been done. */
static struct verdict judge(struct ledger_db *d, const char *agent)
{
    struct subject who = { .text = { [SUBJECT_agent_id] = made_slice(agent) } };
    struct verdict v;

    db_begin(d);
    ledger_judge(db_ledger(d), &who, NULL, 0, &v);
    db_commit(d);
    return v;
}

static void expect_open(struct ledger_db *d, const char *agent)
{
    struct verdict v = judge(d, agent);

    assert_int_equal(v.action, ACTION_ALLOW);
    assert_int_equal(v.kind, VERDICT_NONE);
}

static int64_t in_force(struct ledger_db *d)
{
    return db_ask(&d->store, "SELECT count(*) FROM pause WHERE ended_ms IS NULL");
}

static int64_t noted(struct ledger_db *d, const char *what, const char *author)
{
    char sql[160];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM audit WHERE what='%s' AND author='%s'", what, author);
    return db_ask(&d->store, sql);
}

/* ------------------------------------------------------------------ in time */

static void test_ends_by_itself(void **state)
{
    struct ledger_db d;
    struct over over;

    (void)state;
    db_start(&d, START_MS);
    watch(&d, &over);
    assert_int_equal(ledger_due_ms(db_ledger(&d)), INT64_MAX);
    struct pause_new p = made_pause("a", 0, START_MS + 7200000, NULL);
    int64_t id = put(&d, &p);
    struct verdict v = judge(&d, "a");
    assert_int_equal(v.action, ACTION_BLOCK);
    assert_int_equal(v.kind, VERDICT_PAUSE);
    assert_string_equal(v.name, "pause");
    assert_int_equal(v.opens_ms, START_MS + 7200000);
    assert_string_equal(v.text, "agent a is paused until 2026-11-20 02:00 UTC: loops");
    expect_open(&d, "b");
    assert_int_equal(ledger_due_ms(db_ledger(&d)), START_MS + 7200000);
    d.now_ms = START_MS + 7199999;
    assert_int_equal(judge(&d, "a").action, ACTION_BLOCK);
    assert_int_equal(over.calls, 0);
    board_release(ledger_board(db_ledger(&d))); /* told: nothing has changed since */
    assert_false(db_ledger(&d)->changed);
    d.now_ms = START_MS + 7200000;
    expect_open(&d, "a");
    assert_true(db_ledger(&d)->changed);
    assert_int_equal(ledger_due_ms(db_ledger(&d)), INT64_MAX);
    assert_int_equal(db_ask(&d.store, "SELECT ended_ms FROM pause"), START_MS + 7200000);
    assert_int_equal(noted(&d, "paused", "ann"), 1);
    assert_int_equal(noted(&d, "pause_ended", "tollgated"), 1);
    assert_int_equal(
        db_ask(&d.store, "SELECT json_extract(detail, '$.id') FROM audit WHERE what='pause_ended'"), id);
    assert_int_equal(over.calls, 1);
    assert_int_equal(over.resumed, 0);
    assert_int_equal(over.id, id);
    assert_string_equal(over.value, "a");
    d.now_ms++;
    expect_open(&d, "a");
    assert_int_equal(over.calls, 1);
    db_stop(&d);
}

/* A judgement between the end and the next transaction does not hold it against anybody. */
static void test_over_before_it_is_ended(void **state)
{
    struct subject who = { .text = { [SUBJECT_agent_id] = made_slice("a") } };
    struct ledger_db d;
    struct verdict v;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new p = made_pause("a", 0, START_MS + 1000, NULL);
    put(&d, &p);
    db_ledger(&d)->now_ms = START_MS + 999;
    ledger_judge(db_ledger(&d), &who, NULL, 0, &v);
    assert_int_equal(v.action, ACTION_BLOCK);
    db_ledger(&d)->now_ms = START_MS + 1000;
    ledger_judge(db_ledger(&d), &who, NULL, 0, &v);
    assert_int_equal(v.action, ACTION_ALLOW);
    assert_int_equal(in_force(&d), 1);
    db_stop(&d);
}

/* What the end of a pause that is over while nobody runs comes to; one that holds goes on; a rollback takes
 * back what it did not commit. */
static void test_across_restarts(void **state)
{
    struct ledger_db d;
    struct over over;
    int64_t id;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new first = made_pause("a", 0, START_MS + MINUTE_MS, NULL);
    struct pause_new second = made_pause("b", 5000, START_MS + 60 * MINUTE_MS, "calls_per_minute");
    struct pause_new third = made_pause("c", 0, 0, NULL);
    put(&d, &first);
    put(&d, &second);
    put(&d, &third);
    d.now_ms += 10 * MINUTE_MS;
    db_restart(&d);
    watch(&d, &over);
    expect_open(&d, "a");
    assert_int_equal(over.calls, 1);
    assert_string_equal(over.value, "a");
    assert_int_equal(db_ask(&d.store, "SELECT ended_ms FROM pause WHERE value='a'"), START_MS + MINUTE_MS);
    struct verdict v = judge(&d, "b");
    assert_int_equal(v.action, ACTION_DELAY);
    assert_int_equal(v.delay_ms, 5000);
    assert_int_equal(judge(&d, "c").action, ACTION_BLOCK);
    assert_int_equal(judge(&d, "c").opens_ms, WINDOW_NEVER);
    assert_string_equal(db_ledger(&d)->pauses[1].rule, "calls_per_minute");
    assert_int_equal(ledger_due_ms(db_ledger(&d)), START_MS + 60 * MINUTE_MS);
    db_begin(&d);
    struct pause_new lost = made_pause("d", 0, 0, NULL);
    assert_int_equal(ledger_pause_put(db_ledger(&d), &lost, &id), 0);
    db_rollback(&d);
    db_tick(&d);
    expect_open(&d, "d");
    assert_int_equal(judge(&d, "c").action, ACTION_BLOCK);
    d.now_ms = START_MS + 60 * MINUTE_MS;
    expect_open(&d, "b");
    assert_int_equal(in_force(&d), 1);
    db_stop(&d);
}

/* ------------------------------------------------------------- which counts */

static void test_block_beats_delay(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new slow = made_pause("a", 1000, 0, "outlier_call");
    struct pause_new slower = made_pause("a", 90000, START_MS + 30 * MINUTE_MS + 1, "tokens_per_minute");
    struct pause_new block = made_pause("a", 0, START_MS + 10 * MINUTE_MS, NULL);
    put(&d, &slow);
    put(&d, &slower);
    struct verdict v = judge(&d, "a");
    assert_int_equal(v.action, ACTION_DELAY);
    assert_int_equal(v.delay_ms, 90000);
    assert_string_equal(v.text, "agent a has to wait 90s before each call until 2026-11-20 00:31 UTC: loops");
    assert_int_equal(db_admit(&d, "r-1", "a", "free"), ORDER_DONE); /* a delay denies nothing */
    put(&d, &block);
    v = judge(&d, "a");
    assert_int_equal(v.action, ACTION_BLOCK);
    assert_int_equal(v.delay_ms, 0);
    assert_int_equal(db_admit(&d, "r-2", "a", "free"), ORDER_DENIED);
    d.now_ms += 10 * MINUTE_MS;
    assert_int_equal(judge(&d, "a").delay_ms, 90000);
    d.now_ms += 20 * MINUTE_MS + 1;
    assert_int_equal(judge(&d, "a").delay_ms, 1000);
    assert_int_equal(resume(&d, "a"), 1);
    expect_open(&d, "a");
    db_stop(&d);
}

/* A session stands for its root where none is told. */
static void test_roots(void **state)
{
    struct subject who = { .text = { [SUBJECT_session_id] = made_slice("s") } };
    struct ledger_db d;
    struct verdict v;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new p = made_pause("s", 0, 0, NULL);
    p.field = SUBJECT_root_session_id;
    put(&d, &p);
    ledger_judge(db_ledger(&d), &who, NULL, 0, &v);
    assert_int_equal(v.action, ACTION_BLOCK);
    who.text[SUBJECT_root_session_id] = made_slice("t");
    ledger_judge(db_ledger(&d), &who, NULL, 0, &v);
    assert_int_equal(v.action, ACTION_ALLOW);
    db_stop(&d);
}

/* ---------------------------------------------------------------- prolonging */

static void test_prolonging(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new p = made_pause("a", 1000, START_MS + 10 * MINUTE_MS, "calls_per_minute");
    int64_t id = put(&d, &p);
    p.until_ms = START_MS + 5 * MINUTE_MS; /* shorter and softer: nothing */
    p.delay_ms = 500;
    p.reason = "other";
    assert_int_equal(put(&d, &p), id);
    assert_int_equal(noted(&d, "paused", "ann"), 1);
    assert_int_equal(judge(&d, "a").delay_ms, 1000);
    p.until_ms = START_MS + 20 * MINUTE_MS;
    p.reason = "again";
    assert_int_equal(put(&d, &p), id);
    struct verdict v = judge(&d, "a");
    assert_int_equal(v.delay_ms, 1000);
    assert_int_equal(v.opens_ms, START_MS + 20 * MINUTE_MS);
    assert_non_null(strstr(v.text, ": again"));
    assert_int_equal(noted(&d, "paused", "ann"), 2);
    p.delay_ms = 0; /* harder, not longer */
    p.until_ms = START_MS + MINUTE_MS;
    assert_int_equal(put(&d, &p), id);
    v = judge(&d, "a");
    assert_int_equal(v.action, ACTION_BLOCK);
    assert_int_equal(v.opens_ms, START_MS + 20 * MINUTE_MS);
    struct pause_new person = made_pause("a", 0, 0, NULL);
    assert_true(put(&d, &person) != id);
    assert_int_equal(in_force(&d), 2);
    p.until_ms = WINDOW_NEVER;
    assert_int_equal(put(&d, &p), id);
    assert_int_equal(db_ledger(&d)->pause_count, 2);
    d.now_ms += 30 * MINUTE_MS;
    assert_int_equal(judge(&d, "a").action, ACTION_BLOCK);
    assert_int_equal(in_force(&d), 2);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM pause WHERE until_ms IS NULL"), 2);
    db_restart(&d);
    assert_int_equal(judge(&d, "a").action, ACTION_BLOCK);
    assert_int_equal(resume(&d, "a"), 2);
    expect_open(&d, "a");
    p.until_ms = START_MS + 40 * MINUTE_MS; /* after its end it is another one */
    assert_true(put(&d, &p) > id);
    db_stop(&d);
}

/* -------------------------------------------------------------------- alerts */

static int64_t raise_alert(struct ledger_db *d, const char *mark)
{
    json_t *empty = json_object();
    struct alert alert = { ALERT_runaway, SEVERITY_WARNING, mark, "a loop", empty, empty, 0 };
    int64_t id = 0;

    db_begin(d);
    assert_int_equal(alerts_raise(&db_ledger(d)->alerts, &alert, d->now_ms, &id, NULL), 0);
    db_commit(d);
    json_decref(empty);
    return id;
}

static int64_t alert_ended_ms(struct ledger_db *d, int64_t id)
{
    char sql[80];

    snprintf(sql, sizeof sql, "SELECT ifnull(ended_ms, 0) FROM alert WHERE id=%lld", (long long)id);
    return db_ask(&d->store, sql);
}

static void test_alert_ends_with_it(void **state)
{
    struct ledger_db d;
    struct over over;

    (void)state;
    db_start(&d, START_MS);
    watch(&d, &over);
    int64_t first = raise_alert(&d, "a"), second = raise_alert(&d, "b"), other = raise_alert(&d, "c");
    struct pause_new p = made_pause("a", 0, START_MS + MINUTE_MS, "payment_retries");
    struct pause_new q = made_pause("b", 0, 0, "payment_retries");
    p.alert = first;
    q.alert = second;
    put(&d, &p);
    int64_t id = put(&d, &q);
    assert_int_equal(alert_ended_ms(&d, first), 0);
    d.now_ms += MINUTE_MS + 7;
    expect_open(&d, "a");
    assert_int_equal(alert_ended_ms(&d, first), START_MS + MINUTE_MS + 7);
    assert_int_equal(alert_ended_ms(&d, second), 0);
    assert_int_equal(over.alert, first);
    assert_string_equal(over.rule, "payment_retries");
    assert_int_equal(over.resumed, 0);
    assert_int_equal(resume(&d, "b"), 1);
    assert_int_equal(alert_ended_ms(&d, second), d.now_ms);
    assert_int_equal(alert_ended_ms(&d, other), 0);
    assert_int_equal(over.calls, 2);
    assert_int_equal(over.resumed, 1);
    assert_int_equal(over.id, id);
    assert_int_equal(noted(&d, "resumed", "bob"), 1);
    assert_int_equal(resume(&d, "b"), 0);
    assert_int_equal(over.calls, 2);
    db_stop(&d);
}

/* -------------------------------------------------------------------- bounds */

static void test_text_is_bounded(void **state)
{
    char name[256], reason[2000] = "";
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    memset(name, 'n', 255);
    name[255] = '\0';
    for (int i = 0; i < 600; i++)
        strcat(reason, "\xe2\x82\xac"); /* three bytes each: a cut may fall into one */
    struct pause_new p = made_pause(name, 3600000, START_MS + 10 * DAY_MS, NULL);
    p.reason = reason;
    put(&d, &p);
    struct verdict v = judge(&d, name);
    assert_int_equal(v.action, ACTION_DELAY);
    assert_true(strlen(v.text) > VERDICT_TEXT_MAX - 3 && strlen(v.text) <= VERDICT_TEXT_MAX);
    assert_true(utf8_valid((const uint8_t *)v.text, strlen(v.text)));
    assert_non_null(strstr(v.text, "until 2026-11-30 00:00 UTC: "));
    db_stop(&d);
}

/* As many as there may be; the next one is told so, and one that holds can still be prolonged. What has ended
 * long ago is forgotten. */
static void test_number_is_bounded(void **state)
{
    char name[16], sql[160];
    struct ledger_db d;
    int64_t id;

    (void)state;
    db_start(&d, START_MS);
    db_begin(&d);
    for (int i = 0; i < PAUSES_MAX; i++) {
        snprintf(name, sizeof name, "a-%d", i);
        struct pause_new p = made_pause(name, 0, START_MS + MINUTE_MS, NULL);
        assert_int_equal(ledger_pause_put(db_ledger(&d), &p, &id), 0);
        assert_true(id > 0);
    }
    db_commit(&d);
    struct pause_new more = made_pause("more", 0, 0, NULL), known = made_pause("a-7", 0, 0, NULL);
    assert_int_equal(put(&d, &more), 0);
    expect_open(&d, "more");
    assert_true(put(&d, &known) > 0);
    d.now_ms += MINUTE_MS;
    expect_open(&d, "a-8");
    assert_int_equal(in_force(&d), 1);
    assert_true(put(&d, &more) > 0);
    snprintf(sql, sizeof sql, "UPDATE pause SET id = id + %d WHERE value='more'", PAUSES_ENDED_MAX);
    db_exec(&d.store, sql);
    db_restart(&d);
    struct pause_new last = made_pause("last", 0, 0, NULL);
    put(&d, &last);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM pause"), 3);
    db_stop(&d);
}

/* -------------------------------------------------------------------- office */

static json_t *ask(struct ledger_db *d, const char *op, const char *request, int status)
{
    json_t *given = json_loads(request, 0, NULL);
    struct order o = { .op = op, .request = given };

    assert_non_null(given);
    db_begin(d);
    assert_int_equal(office_serve(db_ledger(d), &o), 0);
    db_commit(d);
    json_decref(given);
    if (o.http_status != status)
        fail_msg("%s: %d %s", request, o.http_status, json_dumps(o.answer, 0));
    return o.answer;
}

static void expect_json(json_t *answer, const char *expected)
{
    json_t *json = json_loads(expected, 0, NULL);

    assert_non_null(json);
    if (!json_equal(answer, json))
        fail_msg("%s\n%s", json_dumps(answer, JSON_SORT_KEYS), expected);
    json_decref(json);
    json_decref(answer);
}

static void expect_wrong(struct ledger_db *d, const char *request, const char *field, const char *value)
{
    json_t *answer = ask(d, "pause", request, 400);

    assert_string_equal(json_string_value(json_object_get(answer, "field")), field);
    if (value != NULL)
        assert_string_equal(json_string_value(json_object_get(answer, "value")), value);
    assert_non_null(json_string_value(json_object_get(answer, "expected")));
    json_decref(answer);
}

static void test_office(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    expect_json(
        ask(&d, "pause",
            "{\"field\": \"agent\", \"value\": \"a\", \"for_ms\": 7200000, \"delay_ms\": 30000,"
            " \"reason\": \"fast\", \"author\": \"ann\"}",
            200),
        "{\"id\": 1, \"field\": \"agent\", \"value\": \"a\", \"action\": \"delay\", \"delay_ms\": 30000,"
        " \"from_ms\": 1795132800000, \"until_ms\": 1795140000000, \"ended_ms\": null, \"rule\": null,"
        " \"alert\": null, \"author\": \"ann\", \"reason\": \"fast\"}");
    struct pause_new rule = made_pause("a", 0, START_MS + MINUTE_MS, "compaction_loop");
    rule.alert = 12;
    put(&d, &rule);
    expect_json(
        ask(&d, "pauses", "{}", 200),
        "{\"pauses\": [{\"id\": 2, \"field\": \"agent\", \"value\": \"a\", \"action\": \"block\","
        " \"delay_ms\": null, \"from_ms\": 1795132800000, \"until_ms\": 1795132860000, \"ended_ms\": null,"
        " \"rule\": \"compaction_loop\", \"alert\": 12, \"author\": \"ann\", \"reason\": \"loops\"},"
        "{\"id\": 1, \"field\": \"agent\", \"value\": \"a\", \"action\": \"delay\", \"delay_ms\": 30000,"
        " \"from_ms\": 1795132800000, \"until_ms\": 1795140000000, \"ended_ms\": null, \"rule\": null,"
        " \"alert\": null, \"author\": \"ann\", \"reason\": \"fast\"}]}");
    json_t *check = ask(&d, "check", "{\"agent_id\": \"a\"}", 200);
    assert_int_equal(json_integer_value(json_object_get(check, "opens_ms")), START_MS + MINUTE_MS);
    json_decref(check);
    d.now_ms += MINUTE_MS;
    check = ask(&d, "check", "{\"agent_id\": \"a\"}", 200);
    assert_string_equal(json_string_value(json_object_get(check, "action")), "delay");
    assert_string_equal(json_string_value(json_object_get(check, "kind")), "pause");
    assert_int_equal(json_integer_value(json_object_get(check, "delay_ms")), 30000);
    json_decref(check);
    put(&d, &(struct pause_new){ rule.field, "a", 0, WINDOW_NEVER, "outlier_call", UNKNOWN, "", "" });
    expect_json(ask(&d, "resume", "{\"field\": \"agent\", \"value\": \"a\", \"author\": \"bob\"}", 200),
                "{\"ended\": 2}");
    json_decref(ask(&d, "resume", "{\"field\": \"agent\", \"value\": \"a\"}", 404));
    json_decref(ask(&d, "resume", "{\"id\": 1}", 404));
    expect_json(ask(&d, "pauses", "{}", 200), "{\"pauses\": []}");
    json_t *all = ask(&d, "pauses", "{\"all\": true}", 200);
    assert_int_equal(json_array_size(json_object_get(all, "pauses")), 3);
    json_decref(all);
    db_stop(&d);
}

static void test_office_refuses(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    expect_wrong(&d, "{\"field\": \"agnt\", \"value\": \"a\"}", "field", "agnt");
    expect_wrong(&d, "{\"field\": \"tag\", \"value\": \"a\"}", "field", "tag");
    expect_wrong(&d, "{\"field\": \"agent\", \"value\": \"\"}", "value", NULL);
    expect_wrong(&d, "{\"field\": \"agent\", \"value\": \"a\", \"for_ms\": 999}", "for_ms", "999");
    expect_wrong(&d, "{\"field\": \"agent\", \"value\": \"a\", \"for_ms\": 31622400001}", "for_ms",
                 "31622400001");
    expect_wrong(&d, "{\"field\": \"agent\", \"value\": \"a\", \"delay_ms\": 0}", "delay_ms", "0");
    expect_wrong(&d, "{\"field\": \"agent\", \"value\": \"a\", \"delay_ms\": 3600001}", "delay_ms",
                 "3600001");
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM pause"), 0);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM audit"), 0);
    db_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ends_by_itself),
        TEST(test_over_before_it_is_ended),
        TEST(test_across_restarts),
        TEST(test_block_beats_delay),
        TEST(test_roots),
        TEST(test_prolonging),
        TEST(test_alert_ends_with_it),
        TEST(test_text_is_bounded),
        TEST(test_number_is_bounded),
        TEST(test_office),
        TEST(test_office_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
