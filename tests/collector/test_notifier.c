/* SPDX-License-Identifier: MIT
 *
 * A writer, a notifier and a receiver, all of them real; only the notifier's clock is the test's.
 */
#include "notifier_lab.h"

#include <glib.h>
#include <sys/stat.h>

#define HOOK(path) "'webhook': {'url': 'http://127.0.0.1:PORT/" path "'}, 'kinds': ['threshold']"
#define A          "{'name': 'a', " HOOK("a") ", 'group': '1m'}"
#define B          "{'name': 'b', " HOOK("b") ", 'group': '1m'}"
#define ALL        "kind = 'threshold'"
#define TOLD       "SELECT count(*) = %d FROM message_out WHERE state = 2"

static _Atomic int changes_done;

static void wait_told(struct lab *l, int messages)
{
    char sql[100];

    snprintf(sql, sizeof sql, TOLD, messages);
    lab_wait(l, sql);
}

/* ------------------------------------------------------------------------ telling */

static void one_alert_is_told_once_and_signed(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', 'webhook': {'url': 'http://127.0.0.1:PORT/a', 'secret': 's3cret'}, 'kinds': "
            "['threshold']}");
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', true, 1);
    wait_told(&l, 1);
    lab_step(&l, 25 * HOUR_MS);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1);

    const struct received *got = &l.receiver.got[0];
    char *hmac = g_compute_hmac_for_data(G_CHECKSUM_SHA256, (const guchar *)"s3cret", 6,
                                         (const guchar *)got->text, strlen(got->text));
    assert_int_equal(strncmp(got->signature, "sha256=", 7), 0);
    assert_string_equal(got->signature + 7, hmac);
    g_free(hmac);
    assert_int_equal(strncmp(got->agent, "tollgate/", 9), 0);
    assert_int_equal(strspn(got->key, "0123456789abcdef"), 32);
    json_t *alert = json_array_get(json_object_get(got->body, "alerts"), 0);
    assert_string_equal(json_string_value(json_object_get(alert, "kind")), "threshold");
    assert_string_equal(json_string_value(json_object_get(json_object_get(alert, "subject"), "agent")),
                        "soft-0");
    assert_int_equal(lab_check(&l, 'a', ALL), 1);
    assert_int_equal(lab_ask(&l, "SELECT attempts FROM message_out"), 1);
    lab_expect(&l, "a", "told", 1);
    lab_stop(&l);
}

static void what_comes_meanwhile_goes_together(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', true, 1);
    wait_told(&l, 1);
    for (int i = 0; i < 5; i++) {
        lab_raise(&l, "soft", 2);
        lab_step(&l, 5 * SECOND_MS);
    }
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1);
    lab_step(&l, 35 * SECOND_MS); /* a minute after the first */
    receiver_wait(&l.receiver, 'a', true, 2);
    assert_int_equal(json_array_size(json_object_get(l.receiver.got[1].body, "alerts")), 10);
    wait_told(&l, 2);
    lab_step(&l, HOUR_MS);
    lab_raise(&l, "soft", 1); /* nothing was told for a minute: at once */
    receiver_wait(&l.receiver, 'a', true, 3);
    assert_int_equal(lab_check(&l, 'a', ALL), 3);
    lab_stop(&l);
}

static void many_at_once_go_in_few_messages(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    for (int i = 0; i < 4; i++)
        lab_raise(&l, "soft", 600);
    lab_settle(&l);
    lab_step(&l, MINUTE_MS);
    lab_step(&l, MINUTE_MS);
    size_t messages = lab_check(&l, 'a', ALL);
    assert_in_range(messages, 5, 7);
    assert_int_equal(
        lab_ask(&l, "SELECT max(n) FROM (SELECT count(*) n FROM message_alert GROUP BY message)"),
        PAYLOAD_ALERTS_MAX);
    lab_stop(&l);
}

static void each_destination_hears_what_it_wants(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A, "{'name': 'b', " HOOK("b") ", 'severity': 'critical'}",
        "{'name': 'c', " HOOK("c") ", 'scope': {'agent': 'soft-1'}}");
    lab_raise(&l, "soft", 2);
    lab_raise(&l, "hard", 2);
    lab_step(&l, MINUTE_MS);
    lab_check(&l, 'a', ALL);
    lab_check(&l, 'b', ALL " AND severity = 'critical'");
    lab_check(&l, 'c', ALL " AND subject LIKE '%\"soft-1\"%'");
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM alert WHERE " ALL " AND severity = 'critical'"), 2);
    lab_stop(&l);
}

/* ----------------------------------------------------------------------- failures */

static void an_hour_of_failures_loses_and_repeats_nothing(void **state)
{
    static const unsigned bad[] = { 503, 0, 429, 500 };
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    for (int i = 0; i < 30; i++) {
        receiver_set(&l.receiver, 'a', bad[i % 4], false);
        if (i % 5 == 0)
            lab_raise(&l, i % 2 == 0 ? "soft" : "hard", 3);
        lab_step(&l, 2 * MINUTE_MS);
    }
    int64_t failed = lab_ask(&l, "SELECT attempts FROM message_out WHERE state = 1");
    assert_in_range(failed, 6, 20); /* 5, 10, 20, ... seconds, then a quarter of an hour */
    lab_expect(&l, "a", "failed", failed);
    assert_true(receiver_seen(&l.receiver, 'a') >= (size_t)failed);
    receiver_set(&l.receiver, 'a', 200, false);
    lab_step(&l, 15 * MINUTE_MS);
    lab_step(&l, MINUTE_MS);
    assert_int_equal(lab_check(&l, 'a', ALL), 2); /* what came meanwhile went together */
    lab_check_keys(&l, 'a');
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM message_out WHERE state < 2"), 0);
    lab_expect_waiting(&l, 0);
    lab_stop(&l);
}

static void it_gives_up_after_a_day(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    receiver_set(&l.receiver, 'a', 503, false);
    lab_raise(&l, "soft", 1);
    for (int i = 0; i < 23 * 4; i++)
        lab_step(&l, 15 * MINUTE_MS);
    assert_int_equal(lab_ask(&l, "SELECT state FROM message_out"), MESSAGE_BEGUN);
    lab_raise(&l, "soft", 1); /* this one has a day of its own */
    for (int i = 0; i < 5; i++)
        lab_step(&l, 15 * MINUTE_MS);
    assert_int_equal(lab_ask(&l, "SELECT state FROM message_out WHERE id = 1"), MESSAGE_GIVEN_UP);
    assert_int_equal(lab_ask(&l, "SELECT error LIKE '%503%' FROM message_out WHERE id = 1"), 1);
    assert_int_equal(lab_ask(&l, "SELECT ended_ms - began_ms >= 86400000 FROM message_out WHERE id = 1"), 1);
    lab_expect(&l, "a", "given_up", 1);
    receiver_set(&l.receiver, 'a', 200, false);
    lab_step(&l, 15 * MINUTE_MS);
    receiver_wait(&l.receiver, 'a', true, 1);
    wait_told(&l, 1);
    lab_check(&l, 'a', ALL " AND id = (SELECT max(id) FROM alert)");
    lab_stop(&l);
}

/* The collector was away, or the clock was set ahead: that day was no day of attempts. */
static void a_day_that_was_not_there_gives_nothing_up(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    receiver_set(&l.receiver, 'a', 503, false);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            lab_step(&l, 25 * HOUR_MS);
        } else {
            lab_sleep(&l);
            lab_clock_ms += 25 * HOUR_MS;
            lab_wake(&l);
            USE(&l, A);
            lab_settle(&l);
        }
        assert_int_equal(lab_ask(&l, "SELECT state FROM message_out"), MESSAGE_BEGUN);
        assert_int_equal(lab_ask(&l, "SELECT attempts FROM message_out"), 2 + i);
    }
    for (int i = 0; i < 4; i++)
        lab_step(&l, 15 * MINUTE_MS);
    assert_int_equal(lab_ask(&l, "SELECT state FROM message_out"), MESSAGE_GIVEN_UP);
    assert_int_equal(lab_ask(&l, "SELECT attempts FROM message_out"), 7);
    lab_stop(&l);
}

static void each_answer_has_its_consequence(void **state)
{
    static const struct {
        unsigned status;
        const char *retry_after;
        int64_t least_ms, most_ms; /* until the next attempt; 0: it is given up */
    } cases[] = {
        { 400, NULL, 0, 0 },
        { 413, NULL, 0, 0 },
        { 422, NULL, 0, 0 },
        { 408, NULL, 4000, 5000 },
        { 425, NULL, 4000, 5000 },
        { 429, NULL, 4000, 5000 },
        { 429, "70", 70000, 70000 },
        { 503, "7200", NOTIFIER_AGAIN_MOST_MS, NOTIFIER_AGAIN_MOST_MS },
        { 500, NULL, 4000, 5000 },
        { 0, NULL, 4000, 5000 },
        { 301, NULL, NOTIFIER_AGAIN_MOST_MS * 4 / 5, NOTIFIER_AGAIN_MOST_MS },
        { 401, NULL, NOTIFIER_AGAIN_MOST_MS * 4 / 5, NOTIFIER_AGAIN_MOST_MS },
        { 403, NULL, NOTIFIER_AGAIN_MOST_MS * 4 / 5, NOTIFIER_AGAIN_MOST_MS },
        { 404, NULL, NOTIFIER_AGAIN_MOST_MS * 4 / 5, NOTIFIER_AGAIN_MOST_MS },
        { 410, NULL, NOTIFIER_AGAIN_MOST_MS * 4 / 5, NOTIFIER_AGAIN_MOST_MS },
    };
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        l.receiver.path[0].retry_after = cases[i].retry_after; /* nobody looks: the last answer is out */
        receiver_set(&l.receiver, 'a', cases[i].status, false);
        lab_raise(&l, "soft", 1);
        lab_settle(&l);
        int64_t state_is = lab_ask(&l, "SELECT state FROM message_out ORDER BY id DESC LIMIT 1");
        int64_t due_ms = lab_ask(&l, "SELECT due_ms FROM message_out ORDER BY id DESC LIMIT 1");
        assert_int_equal(lab_ask(&l, "SELECT attempts FROM message_out ORDER BY id DESC LIMIT 1"), 1);
        if (cases[i].most_ms == 0) {
            assert_int_equal(state_is, MESSAGE_GIVEN_UP);
        } else {
            assert_int_equal(state_is, MESSAGE_BEGUN);
            assert_in_range(due_ms - lab_clock_ms, cases[i].least_ms, cases[i].most_ms);
        }
        receiver_set(&l.receiver, 'a', 200, false);
        lab_step(&l, HOUR_MS);
    }
    assert_int_equal(receiver_seen(&l.receiver, 'z'), 0); /* where the redirect led */
    lab_stop(&l);
}

static void an_answer_counts_though_its_body_breaks_off(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A, B);
    l.receiver.path[0].broken = l.receiver.path[1].broken = true; /* nobody looks yet */
    receiver_set(&l.receiver, 'b', 422, false);
    lab_raise(&l, "soft", 1);
    lab_wait(&l, "SELECT count(*) = 2 FROM message_out WHERE attempts = 1");
    assert_int_equal(lab_ask(&l, "SELECT state FROM message_out WHERE destination = 'a'"), MESSAGE_TOLD);
    assert_int_equal(lab_ask(&l, "SELECT state FROM message_out WHERE destination = 'b'"), MESSAGE_GIVEN_UP);
    lab_step(&l, HOUR_MS);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1);
    lab_stop(&l);
}

static void a_slow_destination_holds_up_nobody(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A, B);
    receiver_set(&l.receiver, 'a', 200, true);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', false, 1);
    for (int i = 0; i < 3; i++) {
        receiver_wait(&l.receiver, 'b', true, (size_t)i + 1);
        lab_wait(&l, "SELECT count(*) = 0 FROM message_out WHERE destination = 'b' AND state < 2");
        lab_pass(&l, HOUR_MS);
        lab_raise(&l, "soft", 1);
    }
    receiver_wait(&l.receiver, 'b', true, 4);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1); /* one at a time */
    receiver_set(&l.receiver, 'a', 200, false);
    lab_settle(&l);
    lab_step(&l, HOUR_MS);
    lab_check(&l, 'a', ALL);
    lab_check(&l, 'b', ALL);
    lab_stop(&l);
}

static void an_attempt_has_its_time(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', " HOOK("a") ", 'timeout': '1s'}");
    receiver_set(&l.receiver, 'a', 200, true);
    lab_raise(&l, "soft", 1);
    lab_wait(&l, "SELECT error LIKE '%timed out%' FROM message_out WHERE state = 1 AND attempts = 1");
    lab_stop(&l);
}

/* ------------------------------------------------------------------ quiet hours */

static void quiet_hours_hold_warnings(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', " HOOK("a") ", 'quiet': {'from': '22:00', 'to': '07:00'}}");
    lab_step(&l, 11 * HOUR_MS); /* 23:00 */
    lab_raise(&l, "soft", 2);
    lab_settle(&l);
    lab_raise(&l, "hard", 1);
    receiver_wait(&l.receiver, 'a', true, 1);
    lab_check(&l, 'a', ALL " AND severity = 'critical'");
    lab_step(&l, 7 * HOUR_MS + 59 * MINUTE_MS);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1);
    lab_step(&l, MINUTE_MS); /* 07:00 */
    receiver_wait(&l.receiver, 'a', true, 2);
    assert_int_equal(json_array_size(json_object_get(l.receiver.got[1].body, "alerts")), 2);
    lab_stop(&l);
}

static void a_clock_that_was_ahead_delays_nothing(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    lab_step(&l, 100 * 24 * HOUR_MS);
    receiver_set(&l.receiver, 'a', 503, false);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    receiver_set(&l.receiver, 'a', 200, false);
    lab_pass(&l, -100 * 24 * HOUR_MS);
    wait_told(&l, 2);
    lab_raise(&l, "soft", 1);
    lab_settle(&l); /* it is due in a minute from now */
    lab_step(&l, MINUTE_MS);
    wait_told(&l, 3);
    lab_check(&l, 'a', ALL);
    lab_stop(&l);
}

static void a_warning_that_failed_waits_for_the_end_of_quiet(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', " HOOK("a") ", 'quiet': {'from': '12:10', 'to': '13:00'}}");
    receiver_set(&l.receiver, 'a', 404, false);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    receiver_set(&l.receiver, 'a', 200, false);
    lab_step(&l, 20 * MINUTE_MS);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 1);
    lab_step(&l, 40 * MINUTE_MS);
    receiver_wait(&l.receiver, 'a', true, 1);
    lab_stop(&l);
}

/* --------------------------------------------------------------------- restarts */

static void restart(struct lab *l)
{
    lab_sleep(l);
    lab_wake(l);
    USE(l, A);
}

static void a_restart_in_each_state_repeats_under_the_same_key_at_most(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', true, 1);
    wait_told(&l, 1);

    lab_raise(&l, "soft", 2); /* it gathers */
    lab_settle(&l);
    restart(&l);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    lab_step(&l, MINUTE_MS);
    wait_told(&l, 2);
    assert_int_equal(json_array_size(json_object_get(l.receiver.got[1].body, "alerts")), 3);

    lab_pass(&l, HOUR_MS); /* the receiver holds it */
    receiver_set(&l.receiver, 'a', 200, true);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', false, 3);
    lab_sleep(&l);
    receiver_set(&l.receiver, 'a', 503, false);
    lab_wake(&l);
    USE(&l, A);
    receiver_wait(&l.receiver, 'a', false, 4);
    lab_settle(&l);
    assert_string_equal(l.receiver.got[2].key, l.receiver.got[3].key);
    assert_int_equal(lab_ask(&l, "SELECT attempts FROM message_out WHERE state = 1"), 1);

    restart(&l); /* it waits for its next attempt: whoever starts us may have mended something */
    receiver_set(&l.receiver, 'a', 200, false);
    lab_step(&l, 15 * MINUTE_MS);
    wait_told(&l, 3);
    lab_check_keys(&l, 'a');
    lab_stop(&l);
}

/* The receiver has taken it, and the kill came before that was written down. */
static void what_was_told_and_not_written_down_is_repeated(void **state)
{
    static struct lab l;
    sqlite3 *db;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    lab_raise(&l, "soft", 3);
    receiver_wait(&l.receiver, 'a', true, 1);
    wait_told(&l, 1);
    lab_sleep(&l);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(db, "UPDATE message_out SET state = 1, attempts = 0, ended_ms = NULL", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    lab_wake(&l);
    USE(&l, A);
    receiver_wait(&l.receiver, 'a', true, 2);
    wait_told(&l, 1);
    assert_string_equal(l.receiver.got[0].key, l.receiver.got[1].key);
    assert_true(json_equal(l.receiver.got[0].body, l.receiver.got[1].body));
    lab_stop(&l);
}

static void what_nobody_had_looked_at_is_told_after_the_restart(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    notifier_stop(l.notifier); /* the writer goes on */
    lab_raise(&l, "soft", 3);
    queue_close(l.queue);
    writer_stop(l.writer);
    notifier_free(l.notifier);
    ticker_fini(&l.alerts);
    sqlite3_close(l.db);
    queue_free(l.queue);
    queue_free(l.back);
    lab_wake(&l);
    USE(&l, A);
    receiver_wait(&l.receiver, 'a', true, 1);
    assert_int_equal(lab_check(&l, 'a', ALL), 1);
    lab_stop(&l);
}

/* ------------------------------------------------------------------ destinations */

static void a_destination_comes_and_goes(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, A);
    receiver_set(&l.receiver, 'a', 503, false);
    lab_raise(&l, "soft", 2);
    lab_settle(&l);
    lab_raise(&l, "soft", 2); /* one is being told, one gathers */
    lab_settle(&l);
    USE(&l, B);
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM message_out WHERE destination = 'a' AND state = 3 AND"
                                 " error LIKE '%not in the configuration%'"),
                     2);
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM destination"), 1);
    size_t before = receiver_seen(&l.receiver, 'a');
    lab_step(&l, HOUR_MS);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), before);
    assert_int_equal(receiver_seen(&l.receiver, 'b'),
                     0); /* it begins at the newest alert of its first moment */
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'b', true, 1);
    lab_check(&l, 'b', ALL " AND id = (SELECT max(id) FROM alert)");
    receiver_set(&l.receiver, 'a', 200, false);
    USE(&l, A, B); /* so does the one that comes again */
    lab_step(&l, HOUR_MS);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'a', true, 1);
    receiver_wait(&l.receiver, 'b', true, 2);
    lab_check(&l, 'a', ALL " AND id = (SELECT max(id) FROM alert)");
    lab_settle(&l);
    notifier_use(l.notifier, NULL, 0); /* none at all */
    lab_raise(&l, "soft", 1);
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM destination"), 0);
    lab_stop(&l);
}

/* Which change comes while the writer has something of a courier's is up to chance: many of them. */
static void *change_often(void *arg)
{
    struct lab *l = arg;

    for (int i = 0; i < 300; i++) {
        USE(l, "{'name': 'a', " HOOK("a") ", 'group': 0}", "{'name': 'b', " HOOK("b") ", 'group': 0}");
        lab_raise(l, "soft", 1);
        changes_done++;
    }
    return NULL;
}

static void a_change_waits_for_nothing_but_answers(void **state)
{
    struct timespec pause = { 0, POLL_NS };
    static struct lab l;
    pthread_t thread;

    (void)state;
    lab_start(&l);
    changes_done = 0;
    assert_int_equal(pthread_create(&thread, NULL, change_often, &l), 0);
    for (int64_t i = 0; changes_done < 300; i++) {
        if (i > RECEIVER_WAIT_S * 1000000000LL / POLL_NS)
            fail_msg("%d of 300 changes", (int)changes_done);
        nanosleep(&pause, NULL);
    }
    pthread_join(thread, NULL);
    lab_settle(&l);
    lab_check(&l, 'a', ALL);
    lab_stop(&l);
}

static void a_new_address_is_tried_at_once(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', " HOOK("x") "}");
    receiver_set(&l.receiver, 'x', 404, false);
    lab_raise(&l, "soft", 1);
    receiver_wait(&l.receiver, 'x', false, 1);
    lab_settle(&l);
    USE(&l, A);
    receiver_wait(&l.receiver, 'a', true, 1);
    lab_settle(&l);
    assert_string_equal(l.receiver.got[0].key, l.receiver.got[1].key);
    lab_stop(&l);
}

/* ---------------------------------------------------------------------- commands */

static void write_script(const char *name, const char *body)
{
    char file[200];

    snprintf(file, sizeof file, "%s/%s", dir, name);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\ncd %s\n%s\n", dir, body);
    fclose(f);
    assert_int_equal(chmod(file, 0700), 0);
}

static char *read_whole(const char *name)
{
    static char text[100000];
    char file[200];

    snprintf(file, sizeof file, "%s/%s", dir, name);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    return text;
}

static void use_command(struct lab *l, const char *name)
{
    char text[300];

    snprintf(text, sizeof text,
             "{'name': 'c', 'command': ['%s/%s', 'one arg'], 'kinds': ['threshold'], 'timeout': '1s'}", dir,
             name);
    USE(l, text);
}

static void a_command_gets_the_alerts(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    setenv("TOLLGATE_TEST_SECRET", "x", 1);
    write_script("take", "cat >in.json; env >env.txt; echo \"$1\" >arg.txt; ls -l /proc/self/fd >fds.txt");
    use_command(&l, "take");
    lab_raise(&l, "hard", 2);
    wait_told(&l, 1);
    json_t *body = json_loads(read_whole("in.json"), 0, NULL);
    assert_int_equal(json_array_size(json_object_get(body, "alerts")), 2);
    json_decref(body);
    assert_string_equal(read_whole("arg.txt"), "one arg\n");
    const char *env = read_whole("env.txt");
    assert_non_null(strstr(env, "TOLLGATE_ALERT_COUNT=2\n"));
    assert_non_null(strstr(env, "TOLLGATE_ALERT_SEVERITY=critical\n"));
    assert_non_null(strstr(env, "TOLLGATE_ALERT_KIND=threshold\n"));
    assert_null(strstr(env, "TOLLGATE_TEST_SECRET"));
    assert_null(strstr(read_whole("fds.txt"), "t.db"));
    lab_stop(&l);
}

/* Or dead, and nobody has buried it. */
static bool is_gone(int pid)
{
    char file[64], command[16];

    snprintf(file, sizeof file, "/proc/%d/cmdline", pid);
    FILE *f = fopen(file, "r");
    if (f == NULL)
        return true;
    size_t n = fread(command, 1, sizeof command, f);
    fclose(f);
    return n == 0;
}

static void a_command_that_fails_is_run_again(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    write_script(
        "fail",
        "[ -e second ] && exit 0; touch second; echo out; yes complaint | head -c 300000 >&2; exit 3");
    use_command(&l, "fail");
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    assert_int_equal(
        lab_ask(&l, "SELECT error LIKE 'it ended with status 3: \"complaint%' AND length(error) < 512"
                    " FROM message_out WHERE state = 1"),
        1);
    lab_step(&l, 5 * SECOND_MS);
    wait_told(&l, 1);

    write_script("babble", "printf 'a\\377\\nb\\303\\251' >&2; kill -TERM $$");
    use_command(&l, "babble");
    lab_step(&l, HOUR_MS);
    lab_raise(&l, "soft", 1);
    lab_settle(&l);
    assert_int_equal(
        lab_ask(&l, "SELECT error LIKE 'signal 15 ended it: \"a\\xff\\x0ab_\"' FROM message_out WHERE"
                    " state = 1"),
        1);
    write_script("fine", "exit 0");
    use_command(&l, "fine");
    lab_settle(&l);

    write_script("slow", "sleep 1000 & echo $! >pid.txt; wait");
    use_command(&l, "slow");
    lab_step(&l, HOUR_MS);
    lab_raise(&l, "soft", 1);
    lab_wait(&l, "SELECT count(*) = 1 FROM message_out WHERE state = 1 AND error LIKE '%was killed%'");
    assert_true(is_gone(atoi(read_whole("pid.txt")))); /* its children too */

    use_command(&l, "nothing");
    lab_wait(&l, "SELECT count(*) = 1 FROM message_out WHERE state = 1 AND error LIKE '%cannot be started%'");
    lab_stop(&l);
}

/* ------------------------------------------------------------------- tests, trouble */

static void a_test_goes_past_the_outbox(void **state)
{
    static struct lab l;
    json_t *answer, *one;

    (void)state;
    lab_start(&l);
    USE(&l, A, B);
    receiver_set(&l.receiver, 'b', 500, false);
    assert_int_equal(notifier_test(l.notifier, "a", &answer), 200);
    assert_int_equal(json_array_size(json_object_get(answer, "results")), 1);
    one = json_array_get(json_object_get(answer, "results"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "destination")), "a");
    assert_string_equal(json_string_value(json_object_get(one, "type")), "webhook");
    assert_true(json_is_true(json_object_get(one, "ok")) && json_is_null(json_object_get(one, "error")));
    json_decref(answer);
    assert_int_equal(notifier_test(l.notifier, NULL, &answer), 200);
    assert_int_equal(json_array_size(json_object_get(answer, "results")), 2);
    size_t i, failed = 0;
    json_array_foreach(json_object_get(answer, "results"), i, one) failed +=
        json_is_string(json_object_get(one, "error"));
    assert_int_equal(failed, 1);
    json_decref(answer);
    assert_int_equal(notifier_test(l.notifier, "nobody", &answer), 404);
    json_decref(answer);
    assert_int_equal(lab_ask(&l, "SELECT count(*) FROM message_out"), 0);
    notifier_stop(l.notifier);
    assert_int_equal(notifier_test(l.notifier, "a", &answer), 503);
    json_decref(answer);
    queue_close(l.queue);
    writer_stop(l.writer);
    notifier_free(l.notifier);
    ticker_fini(&l.alerts);
    sqlite3_close(l.db);
    queue_free(l.queue);
    queue_free(l.back);
    receiver_stop(&l.receiver);
}

static void an_outage_of_the_store_is_told_once(void **state)
{
    static struct lab l;

    (void)state;
    lab_start(&l);
    USE(&l, "{'name': 'a', 'webhook': {'url': 'http://127.0.0.1:PORT/a'}, 'kinds': ['store']}", B);
    receiver_set(&l.receiver, 'a', 503, false);
    count_set(&l.counters.store_writable, 0);
    lab_pass(&l, 0);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), 0); /* a moment is no outage */
    struct timespec pause = { 0, POLL_NS };
    while (receiver_seen(&l.receiver, 'a') == 0) { /* the notifier sees it when it sees it */
        lab_pass(&l, SECOND_MS);
        nanosleep(&pause, NULL);
    }
    receiver_set(&l.receiver, 'a', 200, false);
    while (receiver_taken(&l.receiver, 'a') == 0) {
        lab_pass(&l, SECOND_MS);
        nanosleep(&pause, NULL);
    }
    size_t seen = receiver_seen(&l.receiver, 'a');
    for (size_t i = 1; i < seen; i++)
        assert_string_equal(l.receiver.got[0].key, l.receiver.got[i].key);
    for (int i = 0; i < 20; i++) {
        lab_pass(&l, HOUR_MS);
        nanosleep(&pause, NULL);
    }
    count_set(&l.counters.store_writable, 1);
    lab_pass(&l, SECOND_MS);
    lab_raise(&l, "soft", 1); /* somebody else's */
    receiver_wait(&l.receiver, 'b', true, 1);
    assert_int_equal(receiver_seen(&l.receiver, 'a'), seen);
    lab_stop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(one_alert_is_told_once_and_signed),
        TEST(what_comes_meanwhile_goes_together),
        TEST(many_at_once_go_in_few_messages),
        TEST(each_destination_hears_what_it_wants),
        TEST(an_hour_of_failures_loses_and_repeats_nothing),
        TEST(it_gives_up_after_a_day),
        TEST(a_day_that_was_not_there_gives_nothing_up),
        TEST(each_answer_has_its_consequence),
        TEST(an_answer_counts_though_its_body_breaks_off),
        TEST(a_slow_destination_holds_up_nobody),
        TEST(an_attempt_has_its_time),
        TEST(quiet_hours_hold_warnings),
        TEST(a_clock_that_was_ahead_delays_nothing),
        TEST(a_warning_that_failed_waits_for_the_end_of_quiet),
        TEST(a_restart_in_each_state_repeats_under_the_same_key_at_most),
        TEST(what_was_told_and_not_written_down_is_repeated),
        TEST(what_nobody_had_looked_at_is_told_after_the_restart),
        TEST(a_destination_comes_and_goes),
        TEST(a_change_waits_for_nothing_but_answers),
        TEST(a_new_address_is_tried_at_once),
        TEST(a_command_gets_the_alerts),
        TEST(a_command_that_fails_is_run_again),
        TEST(a_test_goes_past_the_outbox),
        TEST(an_outage_of_the_store_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
