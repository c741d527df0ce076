/* SPDX-License-Identifier: MIT
 *
 * Alerts whose reason comes again and again, and publishers that fall silent, over a real journal and file,
 * in the test's time.
 */
#include "collector/base/identifier.h"
#include "collector/writer/ledger_pauses.h"
#include "collector/writer/desk.h"
#include "collector/writer/migrations.h"
#include "collector/writer/office.h"
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

/* What is said of one call of this kind: the names of the alerts, in the order of alert.h. */
static void test_which_calls_are_odd(void **state)
{
    static const struct {
        const char *model;
        int64_t prompt, completion, partial;
        uint8_t status;
        const char *alert; /* NULL: none */
    } cases[] = {
        { "cheap", 10, 5, UNKNOWN, STATUS_ok, NULL },
        { "free", 10, 5, UNKNOWN, STATUS_ok, NULL },
        { "nobodys", 10, 5, UNKNOWN, STATUS_ok, "unpriced" },
        { "nobodys", 10, UNKNOWN, UNKNOWN, STATUS_ok, "unpriced" },
        { "nobodys", 10, 5, UNKNOWN, 0, "unpriced" },
        { NULL, 10, 5, UNKNOWN, STATUS_ok, "unpriced" },
        { "nobodys", 10, 5, UNKNOWN, STATUS_error, NULL },
        { "nobodys", 10, 5, 1, STATUS_ok, NULL },
        { "cheap", 10, UNKNOWN, UNKNOWN, STATUS_ok, NULL }, /* its price is known, its cost is not */
        { "cheap", UNKNOWN, UNKNOWN, UNKNOWN, STATUS_ok, "unknown_usage" },
        { "nobodys", UNKNOWN, UNKNOWN, UNKNOWN, STATUS_ok, "unknown_usage" },
        { "cheap", UNKNOWN, UNKNOWN, UNKNOWN, STATUS_error, NULL },
        { "cheap", UNKNOWN, UNKNOWN, UNKNOWN, 0, NULL },
        { "cheap", UNKNOWN, UNKNOWN, 1, STATUS_ok, NULL },
        { "cheap", UNKNOWN, UNKNOWN, UNKNOWN, STATUS_blocked, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct made_call c = dear(cases[i].model);
        struct ledger_db d;
        begin(&d);
        c.names.status = cases[i].status;
        c.prompt = cases[i].prompt;
        c.completion = cases[i].completion;
        c.partial = cases[i].partial == 1;
        call(&d, &c);
        int64_t all = ASK("SELECT count(*) FROM alert%s", "");
        if (all != (cases[i].alert != NULL) || (cases[i].alert != NULL && open_of(&d, cases[i].alert) != 1))
            fail_msg("case %zu: %lld alerts", i, (long long)all);
        db_stop(&d);
        db_remove();
    }
}

static void test_an_alert_says_who_and_what(void **state)
{
    struct made_call c = dear("odd/\"model\"");
    struct ledger_db d;

    (void)state;
    begin(&d);
    call(&d, &c);
    assert_int_equal(ASK("SELECT severity='warning' AND mark=CAST('1:p11:odd/\"model\"' AS BLOB) AND"
                         " title LIKE 'odd/\"model\" of p has no price%%' AND"
                         " json_extract(subject, '$.provider')='p' AND"
                         " json_extract(subject, '$.model')='odd/\"model\"' AND"
                         " json_extract(evidence, '$.example_event')=1 AND"
                         " json_extract(evidence, '$.example_session')='s-1' AND"
                         " json_extract(evidence, '$.example_agent')='a' FROM alert%s",
                         ""),
                     1);
    db_stop(&d);
}

static void test_nothing_is_unpriced_without_a_list(void **state)
{
    struct made_call c = dear("nobodys");
    struct ledger_db d;

    (void)state;
    begin(&d);
    d.journal.pricer.list = NULL;
    call(&d, &c);
    assert_int_equal(ASK("SELECT count(*) FROM alert%s", ""), 0);
    db_stop(&d);
}

/* ------------------------------------------------------- restart and rollback */

static void test_a_restart_knows_what_is_open(void **state)
{
    struct made_call c = dear("nobodys"), other = dear("others");
    struct ledger_db d;

    (void)state;
    begin(&d);
    call(&d, &c);
    call(&d, &c);
    later(&d, CONDITIONS_WRITE_MS);
    restart(&d);
    call(&d, &c);
    call(&d, &other);
    assert_int_equal(alerts_of(&d, "unpriced"), 2);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(ASK("SELECT count FROM alert WHERE kind='%s' ORDER BY id LIMIT 1", "unpriced"), 3);
    restart(&d);
    later(&d, 25 * HOUR_MS); /* nobody came any more */
    assert_int_equal(open_of(&d, "unpriced"), 0);
    restart(&d);
    call(&d, &c);
    assert_int_equal(open_of(&d, "unpriced"), 1);
    assert_int_equal(alerts_of(&d, "unpriced"), 3);
    db_stop(&d);
}

static void test_the_last_transaction_writes_what_was_counted(void **state)
{
    struct made_call c = dear("nobodys");
    struct ledger_db d;

    (void)state;
    begin(&d);
    call(&d, &c);
    assert_false(watch_is_dirty(watch_of(&d)));
    call(&d, &c);
    assert_true(watch_is_dirty(watch_of(&d)));
    db_begin(&d);
    assert_int_equal(watch_tick(watch_of(&d), d.now_ms, true), 0);
    db_commit(&d);
    assert_false(watch_is_dirty(watch_of(&d)));
    assert_int_equal(count_of(&d, "unpriced"), 2);
    db_stop(&d);
}

static void test_a_rollback_forgets_what_was_not_committed(void **state)
{
    struct made_call c = dear("nobodys"), other = dear("others");
    struct ledger_db d;
    struct counters counters = { .alerts_unpriced = 0 };

    (void)state;
    begin(&d);
    call(&d, &c);
    assert_true(watch_publish(watch_of(&d), &counters));
    db_begin(&d);
    db_call_in(&d, &other);
    assert_int_equal(alerts_of(&d, "unpriced"), 2);
    db_rollback(&d);
    assert_int_equal(alerts_of(&d, "unpriced"), 1);
    assert_false(watch_publish(watch_of(&d), &counters));
    call(&d, &other);
    call(&d, &c);
    assert_int_equal(alerts_of(&d, "unpriced"), 2);
    assert_true(watch_publish(watch_of(&d), &counters));
    assert_false(watch_publish(watch_of(&d), &counters));
    assert_int_equal(count_get(&counters.alerts_unpriced), 2);
    assert_int_equal(count_get(&counters.alerts_silent), 0);
    db_stop(&d);
}

/* ----------------------------------------------------------------- the bound */

static void call_of(struct ledger_db *d, int model)
{
    char name[32];

    snprintf(name, sizeof name, "model-%d", model);
    struct made_call c = dear(name);
    call(d, &c);
}

static int64_t others(struct ledger_db *d, const char *column)
{
    return db_ask_of(d, "SELECT ifnull(sum(%s), 0) FROM alert WHERE mark=CAST('(other)' AS BLOB)", column);
}

static void test_what_has_no_room_is_told_together(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    watch_of(&d)->conditions.most = 3;
    for (int i = 0; i < 10; i++)
        call_of(&d, i);
    call_of(&d, 0); /* has its own */
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(alerts_of(&d, "unpriced"), 4);
    assert_int_equal(others(&d, "1"), 1);
    assert_int_equal(others(&d, "count"), 7);
    assert_int_equal(ASK("SELECT count(*) FROM alert WHERE kind='%s' AND subject='{}'", "unpriced"), 1);
    restart(&d);
    watch_of(&d)->conditions.most = 3;
    call_of(&d, 9);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(others(&d, "count"), 8);
    assert_int_equal(alerts_of(&d, "unpriced"), 4);
    later(&d, 25 * HOUR_MS);
    assert_int_equal(open_of(&d, "unpriced"), 0);
    call_of(&d, 9); /* there is room again */
    assert_int_equal(alerts_of(&d, "unpriced"), 5);
    assert_int_equal(others(&d, "1"), 1);
    db_stop(&d);
}

/* All that there may be, with repeats among them, and half of them ending before the others. */
static void test_the_whole_table(void **state)
{
    int models = SCALE(CONDITIONS_MAX) + 10;
    struct ledger_db d;
    char name[32];

    (void)state;
    begin(&d);
    watch_of(&d)->conditions.most = SCALE(CONDITIONS_MAX);
    for (int round = 0; round < 2; round++) {
        db_begin(&d);
        for (int i = 0; i < models; i++) {
            snprintf(name, sizeof name, "model-%d", i);
            struct made_call c = dear(name);
            if (round == 0 || i % 2 == 1)
                db_call_in(&d, &c);
        }
        db_commit(&d);
        later(&d, 12 * HOUR_MS);
    }
    assert_int_equal(alerts_of(&d, "unpriced"), SCALE(CONDITIONS_MAX) + 1);
    assert_int_equal(ASK("SELECT sum(count) FROM alert WHERE kind='%s'", "unpriced"), models + models / 2);
    assert_int_equal(others(&d, "count"), 15);
    later(&d, 60000); /* a day after the first round */
    assert_int_equal(open_of(&d, "unpriced"), SCALE(CONDITIONS_MAX) / 2 + 1);
    call_of(&d, 1);
    call_of(&d, 0);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(alerts_of(&d, "unpriced"), SCALE(CONDITIONS_MAX) + 2);
    assert_int_equal(ASK("SELECT count FROM alert WHERE mark=CAST('1:p7:model-%s' AS BLOB)", "1"), 3);
    db_stop(&d);
}

/* ------------------------------------------------------------------- reports */

struct made_report {
    const char *source;
    uint64_t epoch;
    uint32_t full, damaged; /* lost since the epoch began */
    uint32_t every_ms;      /* 0: not told */
    const char *last;       /* "closed", "left_over"; NULL */
};

static void put_number(struct made_event *m, const char *name, uint32_t n)
{
    made_text(m, name);
    made_byte(m, 0xce);
    for (int shift = 24; shift >= 0; shift -= 8)
        made_byte(m, (uint8_t)(n >> shift));
}

static void set_source(struct ledger_db *d, const char *source, uint64_t epoch)
{
    static uint64_t seq;

    d->from =
        (struct journal_origin){ .has_stream = true, .epoch = epoch, .seq = ++seq, .now_ms = d->now_ms };
    assert_int_equal(names_source(&d->journal.names, source, d->now_ms, &d->from.source), 0);
}

static void report(struct ledger_db *d, const struct made_report *r)
{
    static int64_t reports;
    struct made_event m;
    enum event_result result;

    db_begin(d);
    assert_int_equal(watch_tick(watch_of(d), d->now_ms, false), 0);
    set_source(d, r->source, r->epoch);
    assert_int_equal(watch_heard(watch_of(d), d->from.source, r->epoch, d->now_ms), 0);
    made_event(&m, KIND_report, NULL);
    m.used = 0;
    made_byte(&m, (uint8_t)(0x81 + (r->every_ms != 0) + (r->last != NULL)));
    if (r->every_ms != 0)
        put_number(&m, "report_ms", r->every_ms);
    if (r->last != NULL)
        put_number(&m, r->last, 1);
    made_text(&m, "dropped");
    made_byte(&m, 0x82);
    put_number(&m, "full", r->full);
    put_number(&m, "damaged", r->damaged);
    m.event.body = made_since(&m, 0);
    m.event.has_id = true;
    memcpy(m.event.id, &(int64_t){ ++reports }, sizeof reports);
    m.event.id[15] = 2;
    m.event.ts_ms = d->now_ms;
    assert_int_equal(journal_append(&d->journal, &d->from, &m.event, &result), 0);
    assert_int_equal(result, EVENT_STORED);
    db_commit(d);
}

static int64_t lost_of(struct ledger_db *d, const char *reason)
{
    return db_ask_of(d,
                     "SELECT json_extract(evidence, '$.lost_events') FROM alert WHERE kind='losses' AND"
                     " json_extract(evidence, '$.reason')='%s'",
                     reason);
}

static void test_losses_are_told_by_source_and_reason(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    assert_int_equal(alerts_of(&d, "losses"), 0);
    report(&d, &(struct made_report){ "g-1", 1, .full = 5 });
    report(&d, &(struct made_report){ "g-1", 1, .full = 5 });
    report(&d, &(struct made_report){ "g-1", 1, .full = 8, .damaged = 2 });
    report(&d, &(struct made_report){ "g-2", 2, .full = 1 });
    assert_int_equal(alerts_of(&d, "losses"), 3);
    assert_int_equal(lost_of(&d, "damaged"), 2);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(ASK("SELECT count FROM alert WHERE mark=CAST('3:g-14:full%s' AS BLOB)", ""), 2);
    assert_int_equal(ASK("SELECT json_extract(evidence, '$.lost_events') FROM alert"
                         " WHERE mark=CAST('3:g-14:full%s' AS BLOB)",
                         ""),
                     8);
    assert_int_equal(ASK("SELECT title='publisher g-1 lost 5 events: full' AND"
                         " json_extract(subject, '$.source')='g-1' FROM alert"
                         " WHERE mark=CAST('3:g-14:full%s' AS BLOB)",
                         ""),
                     1);
    later(&d, HOUR_MS);
    assert_int_equal(open_of(&d, "losses"), 0);
    report(&d, &(struct made_report){ "g-1", 1, .full = 8, .damaged = 2 });
    assert_int_equal(open_of(&d, "losses"), 0);
    report(&d, &(struct made_report){ "g-1", 1, .full = 9, .damaged = 2 });
    assert_int_equal(open_of(&d, "losses"), 1);
    db_stop(&d);
}

/* ----------------------------------------------------------------- quarantine */

static void quarantine(struct ledger_db *d, const char *source, uint32_t events, const char *fault)
{
    struct batch_event piece = { .fault = fault,
                                 .fault_count = events,
                                 .event.body = { (const uint8_t *)"junk", 4 } };

    db_begin(d);
    assert_int_equal(watch_tick(watch_of(d), d->now_ms, false), 0);
    set_source(d, source, 1);
    assert_int_equal(journal_quarantine(&d->journal, &d->from, &piece), 0);
    db_commit(d);
}

static void test_what_cannot_be_understood_is_told_by_source(void **state)
{
    char fault[200];
    struct ledger_db d;

    (void)state;
    begin(&d);
    quarantine(&d, "g-1", 1, "no kind");
    quarantine(&d, "g-2", 3, "no kind");
    quarantine(&d, "g-1", 7, "a time of the past");
    assert_int_equal(open_of(&d, "quarantine"), 2);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(ASK("SELECT count=2 AND json_extract(evidence, '$.quarantined_events')=8 AND"
                         " json_extract(evidence, '$.last_fault')='a time of the past' FROM alert"
                         " WHERE mark=CAST('3:%s' AS BLOB)",
                         "g-1"),
                     1);
    memset(fault, 'x', sizeof fault); /* what does not fit is cut at a character */
    memcpy(fault + CONDITION_NOTE_MAX - 1, "\xc3\xa4", 2);
    fault[sizeof fault - 1] = '\0';
    quarantine(&d, "g-1", 1, fault);
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(ASK("SELECT length(json_extract(evidence, '$.last_fault')) FROM alert"
                         " WHERE mark=CAST('3:%s' AS BLOB)",
                         "g-1"),
                     CONDITION_NOTE_MAX - 1);
    later(&d, HOUR_MS);
    assert_int_equal(open_of(&d, "quarantine"), 0);
    db_stop(&d);
}

/* --------------------------------------------------------------- stopped calls */

static void nothing_to_do(struct order *o)
{
    o->owner = NULL;
}

static void admit(struct ledger_db *d, struct desk *desk, const char *id, const char *agent)
{
    struct order o = made_order(id, agent, "cheap");

    o.kind = ORDER_ADMIT;
    o.done = nothing_to_do;
    db_begin(d);
    desk_take(desk, &o);
    assert_int_equal(desk_serve(desk, d->now_ms, false), 0);
    db_commit(d);
    desk_answer(desk, false);
}

static void test_stopped_calls_are_told(void **state)
{
    struct made_call blocked = dear("cheap");
    struct repricer repricer = { 0 };
    struct desk desk = { 0 };
    struct ledger_db d;
    int64_t pause;

    (void)state;
    begin(&d);
    desk = (struct desk){
        .store = &d.store, .ledger = db_ledger(&d), .watch = watch_of(&d), .repricer = &repricer
    };
    assert_int_equal(desk_init(&desk, path, "UTC"), 0);
    blocked.names.status = STATUS_blocked;
    blocked.prompt = blocked.completion = UNKNOWN;
    call(&d, &blocked); /* by a budget, or by what is gone by now */
    assert_int_equal(alerts_of(&d, "policy"), 0);
    db_begin(&d);
    assert_int_equal(ledger_pause_put(db_ledger(&d),
                                      &(struct pause_new){ .field = SUBJECT_agent_id,
                                                           .value = "a",
                                                           .until_ms = WINDOW_NEVER,
                                                           .alert = UNKNOWN,
                                                           .author = "me",
                                                           .reason = "it loops" },
                                      &pause),
                     0);
    db_commit(&d);
    admit(&d, &desk, "r-1", "a");
    assert_int_equal(open_of(&d, "policy"), 1);
    call(&d, &blocked);
    blocked.reservation = "r-1"; /* was denied */
    call(&d, &blocked);
    admit(&d, &desk, "r-2", "b");
    later(&d, CONDITIONS_WRITE_MS);
    assert_int_equal(alerts_of(&d, "policy"), 1);
    assert_int_equal(count_of(&d, "policy"), 2);
    assert_int_equal(ASK("SELECT severity='info' AND title='a pause stopped a call of a: agent a is paused:"
                         " it loops' AND json_extract(subject, '$.agent')='a' AND"
                         " json_extract(subject, '$.policy')='pause' FROM alert WHERE kind='%s'",
                         "policy"),
                     1);
    later(&d, HOUR_MS);
    assert_int_equal(open_of(&d, "policy"), 0);
    desk_fini(&desk);
    db_stop(&d);
}

/* ---------------------------------------------------------------------- store */

static void test_an_outage_is_told_when_it_is_over(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    watch_failed(watch_of(&d), "disk is full", d.now_ms);
    d.now_ms += 3000;
    watch_failed(watch_of(&d), "still", d.now_ms);
    d.now_ms += 9300;
    watch_revived(watch_of(&d), d.now_ms);
    assert_int_equal(journal_recover(&d.journal), 0);
    db_begin(&d);
    assert_int_equal(watch_tick(watch_of(&d), d.now_ms, false), 0);
    assert_int_equal(alerts_of(&d, "store"), 1);
    db_rollback(&d); /* it failed again */
    assert_int_equal(alerts_of(&d, "store"), 0);
    tick(&d);
    struct counters counters = { .alerts_store = 0 };
    assert_true(watch_publish(watch_of(&d), &counters));
    tick(&d);
    assert_int_equal(alerts_of(&d, "store"), 1);
    assert_int_equal(ASK("SELECT severity='critical' AND ended_ms IS NOT NULL AND title ="
                         " 'the store could not write for 12.3 s: disk is full' AND"
                         " json_extract(evidence, '$.duration_ms')=12300 FROM alert WHERE kind='%s'",
                         "store"),
                     1);
    db_stop(&d);
}

/* -------------------------------------------------------------------- silence */

/* Every minute up to and with the last one. */
static void minutes(struct ledger_db *d, int n)
{
    for (int i = 0; i < n; i++)
        later(d, 60000);
}

static void hear(struct ledger_db *d, const char *source, uint64_t epoch)
{
    db_begin(d);
    assert_int_equal(watch_tick(watch_of(d), d->now_ms, false), 0);
    set_source(d, source, epoch);
    assert_int_equal(watch_heard(watch_of(d), d->from.source, epoch, d->now_ms), 0);
    db_commit(d);
}

static void test_a_silent_publisher_is_told_once_and_heard_again(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    minutes(&d, 4);
    assert_int_equal(open_of(&d, "silent"), 0);
    assert_in_range(watch_due_ms(watch_of(&d)), d.now_ms + 1, START_MS + SILENT_MS);
    minutes(&d, 1);
    assert_int_equal(open_of(&d, "silent"), 1);
    assert_int_equal(ASK("SELECT severity='critical' AND mark=CAST('g-1' AS BLOB) AND title ="
                         " 'publisher g-1 is not heard any more: nothing has come from it for 5 min' AND"
                         " json_extract(subject, '$.source')='g-1' AND"
                         " json_extract(evidence, '$.silent_ms')=300000 FROM alert WHERE kind='%s'",
                         "silent"),
                     1);
    minutes(&d, 30);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    hear(&d, "g-1", 1);
    assert_int_equal(open_of(&d, "silent"), 0);
    minutes(&d, 6);
    assert_int_equal(open_of(&d, "silent"), 1);
    assert_int_equal(alerts_of(&d, "silent"), 2);
    db_stop(&d);
}

static void test_who_left_in_order_is_not_missed(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    report(&d, &(struct made_report){ "g-1", 1, .last = "closed" });
    minutes(&d, 1);
    hear(&d, "g-1", 1); /* sent once more, its acknowledgement was lost */
    minutes(&d, 30);
    assert_int_equal(alerts_of(&d, "silent"), 0);
    restart(&d);
    minutes(&d, 30);
    assert_int_equal(alerts_of(&d, "silent"), 0);
    hear(&d, "g-1", 2);
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    db_stop(&d);
}

/* Two processes of one name: one that leaves does not take the other one along. */
static void test_who_left_leaves_others_behind(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    report(&d, &(struct made_report){ "g-1", 2, .full = 0 });
    minutes(&d, 1);
    report(&d, &(struct made_report){ "g-1", 1, .last = "closed" });
    minutes(&d, 6);
    assert_int_equal(open_of(&d, "silent"), 1);
    /* one is killed, its successor tells what it left behind, and closes */
    report(&d, &(struct made_report){ "g-1", 3, .full = 0 });
    report(&d, &(struct made_report){ "g-1", 2, .last = "left_over" });
    minutes(&d, 1);
    report(&d, &(struct made_report){ "g-1", 3, .last = "closed" });
    minutes(&d, 30);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    /* one is killed, and who tells of it is no successor */
    report(&d, &(struct made_report){ "g-1", 4, .full = 0 });
    report(&d, &(struct made_report){ "g-1", 4, .last = "left_over" });
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 2);
    db_stop(&d);
}

static void test_strangers_are_judged_when_they_were_steady(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    hear(&d, "rare", 1);
    for (int i = 0; i < 62; i++) {
        hear(&d, "steady", 1);
        if (i % 20 == 0)
            hear(&d, "rare", 1);
        minutes(&d, 1);
    }
    assert_int_equal(alerts_of(&d, "silent"), 0);
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    assert_int_equal(ASK("SELECT count(*) FROM alert WHERE mark=CAST('%s' AS BLOB)", "steady"), 1);
    db_stop(&d);
}

static void test_who_reports_seldom_is_awaited_longer(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .every_ms = 600000 });
    minutes(&d, 29);
    assert_int_equal(alerts_of(&d, "silent"), 0);
    minutes(&d, 1);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    db_stop(&d);
}

/* The time in which the collector was not there itself is nobody's silence. */
static void test_a_collector_that_was_away_waits_first(void **state)
{
    struct ledger_db d;

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    db_sleep(&d);
    d.now_ms += 20 * HOUR_MS;
    db_wake(&d);
    watch_of(&d)->silence.silent_ms = SILENT_MS;
    tick(&d);
    minutes(&d, 4);
    assert_int_equal(alerts_of(&d, "silent"), 0);
    minutes(&d, 1); /* it died in the meantime, or before */
    assert_int_equal(alerts_of(&d, "silent"), 1);
    hear(&d, "g-1", 1);
    later(&d, 3 * HOUR_MS); /* the machine slept */
    assert_int_equal(open_of(&d, "silent"), 0);
    minutes(&d, 4);
    assert_int_equal(open_of(&d, "silent"), 0);
    minutes(&d, 1);
    assert_int_equal(open_of(&d, "silent"), 1);
    restart(&d);
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 2); /* told before the restart */
    hear(&d, "g-1", 1);
    assert_int_equal(open_of(&d, "silent"), 0);
    db_sleep(&d);
    d.now_ms += 30 * HOUR_MS; /* not of the last day */
    db_wake(&d);
    watch_of(&d)->silence.silent_ms = SILENT_MS;
    minutes(&d, 10);
    assert_int_equal(alerts_of(&d, "silent"), 2);
    hear(&d, "g-1", 1); /* a stranger now, who reports again */
    report(&d, &(struct made_report){ "g-1", 1, .full = 0 });
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 3);
    d.now_ms += 30 * HOUR_MS;
    restart(&d);
    minutes(&d, 6);
    assert_int_equal(open_of(&d, "silent"), 1); /* however long ago it was told */
    hear(&d, "g-1", 2);
    assert_int_equal(open_of(&d, "silent"), 0);
    db_stop(&d);
}

static void test_nobody_is_missed_when_it_is_off(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    tick(&d);
    report(&d, &(struct made_report){ "g-1", 1, .every_ms = 1000 });
    assert_true(watch_due_ms(watch_of(&d)) == INT64_MAX);
    minutes(&d, 60);
    assert_int_equal(alerts_of(&d, "silent"), 0);
    db_stop(&d);
}

/* More publishers than places: who left gives way, who is awaited stays. */
static void test_more_publishers_than_places(void **state)
{
    struct ledger_db d;
    char name[32];

    (void)state;
    begin(&d);
    report(&d, &(struct made_report){ "awaited", 1, .full = 0 });
    db_begin(&d);
    for (int i = 0; i < SILENCE_PUBLISHERS + 100; i++) {
        snprintf(name, sizeof name, "stranger-%d", i);
        set_source(&d, name, 1);
        assert_int_equal(watch_heard(watch_of(&d), d.from.source, 1, d.now_ms), 0);
    }
    db_commit(&d);
    assert_int_equal(watch_of(&d)->silence.used, SILENCE_PUBLISHERS);
    minutes(&d, 6);
    assert_int_equal(alerts_of(&d, "silent"), 1);
    db_stop(&d);
}

/* ------------------------------------------------------------------------ ack */

static int ack(struct ledger_db *d, int64_t id, const char *author, const char *note, json_t **answer)
{
    json_t *request = json_pack("{s:I, s:s?, s:s?}", "id", (json_int_t)id, "author", author, "note", note);
    struct order o = { .op = "ack", .request = request };

    db_begin(d);
    assert_int_equal(office_serve(db_ledger(d), &o), 0);
    db_commit(d);
    json_decref(request);
    *answer = o.answer;
    return o.http_status;
}

static void test_people_acknowledge_an_alert(void **state)
{
    struct made_call c = dear("nobodys");
    struct ledger_db d;
    json_t *answer;

    (void)state;
    begin(&d);
    call(&d, &c);
    assert_int_equal(ack(&d, 2, "me", NULL, &answer), 404);
    json_decref(answer);
    assert_int_equal(ack(&d, 0, "me", NULL, &answer), 400);
    assert_string_equal(json_string_value(json_object_get(answer, "field")), "id");
    json_decref(answer);
    assert_int_equal(ack(&d, 1, "me", "seen", &answer), 200);
    assert_int_equal(json_integer_value(json_object_get(answer, "acked_ms")), START_MS);
    json_decref(answer);
    d.now_ms += 1000;
    assert_int_equal(ack(&d, 1, "you", "too", &answer), 200); /* the first one stays */
    assert_int_equal(json_integer_value(json_object_get(answer, "acked_ms")), START_MS);
    assert_string_equal(json_string_value(json_object_get(answer, "acked_by")), "me");
    assert_string_equal(json_string_value(json_object_get(answer, "note")), "seen");
    json_decref(answer);
    assert_int_equal(ASK("SELECT count(*) FROM audit WHERE what='%s' AND author='me' AND"
                         " json_extract(detail, '$.alert')=1",
                         "acknowledged"),
                     1);
    assert_int_equal(ASK("SELECT count(*) FROM audit%s", ""), 1);
    db_stop(&d);
}

/* ------------------------------------------------------------------ migration */

/* A file as it was before alerts had words, with what had been told in it. */
static void make_old_file(void)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(identifier_functions(db), 0);
    assert_int_equal(sqlite3_exec(db, "PRAGMA page_size=8192", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sqlite3_exec(db, migrations[i], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db,
                     "PRAGMA application_id=1952932212; PRAGMA user_version=3;"
                     "INSERT INTO budget VALUES (7, 'daily', '{\"name\": \"daily\", \"per\": \"agent\","
                     " \"limit\": \"1 usd\", \"window\": \"day\", \"alerts\": [50, 80]}', 'api', 0, 0, 1, 0,"
                     " NULL);"
                     "INSERT INTO alert VALUES (3, 1763683260000, 'threshold', 7, x'0261', 1763683200000, 50,"
                     " 500000000, 1000000000), (4, 1763683270000, 'overrun', 7, x'0261', 1763683200000, 100,"
                     " 1100000000, 1000000000), (5, 1763683280000, 'threshold', 8, x'', 0, 80, 8, 10);"
                     "INSERT INTO pause VALUES (1, 'agent', 'b', 5, NULL, 'me', 'why'),"
                     " (2, 'agent', 'c', 5, 6, 'me', '')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
}

static void test_an_old_file_keeps_its_alerts_and_pauses(void **state)
{
    struct ledger_db d = { .now_ms = START_MS + 600000 };
    struct order o;

    (void)state;
    make_old_file();
    d.options = (struct ledger_options){ .zone = "UTC" };
    db_wake(&d);
    tick(&d);
    assert_int_equal(ASK("SELECT count(*) FROM alert WHERE ended_ms IS NULL AND count=1 AND"
                         " last_ms=ts_ms AND json_valid(subject) AND json_valid(evidence)%s",
                         ""),
                     3);
    assert_int_equal(ASK("SELECT ts_ms=1763683260000 AND title='budget daily: threshold 50 %%' AND"
                         " json_extract(subject, '$.budget')='daily' AND"
                         " json_extract(evidence, '$.spent')=500000000 FROM alert WHERE id=3%s",
                         ""),
                     1);
    /* what is told of this window has been told: the same mark again */
    struct made_call c = { .names = { .agent_id = "a", .model = "m" }, .prompt = 1, .completion = 1 };
    c.reported = 1100000000;
    db_call(&d, &c);
    assert_int_equal(alerts_of(&d, "overrun"), 1);
    assert_int_equal(ASK("SELECT count(*) FROM alert WHERE kind='threshold' AND mark=CAST('7/0261/"
                         "1763683200000/%s' AS BLOB)",
                         "80"),
                     1);
    assert_int_equal(ASK("SELECT count(*) FROM alert WHERE kind='threshold'%s", ""), 3);
    o = made_order("r", "b", "m");
    assert_int_equal(db_admit_order(&d, &o), ORDER_DENIED);
    assert_int_equal(db_admit(&d, "r-2", "c", "m"), ORDER_DONE);
    assert_int_equal(
        ASK("SELECT count(*) FROM pause WHERE until_ms IS NULL AND rule IS NULL AND alert IS NULL"
            " AND delay_ms IS NULL%s",
            ""),
        2);
    db_sleep(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_condition_is_told_once_counted_and_ended),
        TEST(test_which_calls_are_odd),
        TEST(test_an_alert_says_who_and_what),
        TEST(test_nothing_is_unpriced_without_a_list),
        TEST(test_a_restart_knows_what_is_open),
        TEST(test_the_last_transaction_writes_what_was_counted),
        TEST(test_a_rollback_forgets_what_was_not_committed),
        TEST(test_what_has_no_room_is_told_together),
        TEST(test_the_whole_table),
        TEST(test_losses_are_told_by_source_and_reason),
        TEST(test_what_cannot_be_understood_is_told_by_source),
        TEST(test_stopped_calls_are_told),
        TEST(test_an_outage_is_told_when_it_is_over),
        TEST(test_a_silent_publisher_is_told_once_and_heard_again),
        TEST(test_who_left_in_order_is_not_missed),
        TEST(test_who_left_leaves_others_behind),
        TEST(test_strangers_are_judged_when_they_were_steady),
        TEST(test_who_reports_seldom_is_awaited_longer),
        TEST(test_a_collector_that_was_away_waits_first),
        TEST(test_nobody_is_missed_when_it_is_off),
        TEST(test_more_publishers_than_places),
        TEST(test_people_acknowledge_an_alert),
        TEST(test_an_old_file_keeps_its_alerts_and_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
