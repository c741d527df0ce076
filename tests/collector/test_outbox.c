/* SPDX-License-Identifier: MIT */
#include "writer_db.h"

#include "collector/alarm/outbox.h"
#include "collector/writer/alerts.h"
#include "collector/writer/outbox.h"

#define NOW 1000000

struct box {
    struct store store;
    struct alerts alerts;
    struct outbox outbox;
};

static void box_open(struct box *b)
{
    db_open(&b->store);
    assert_int_equal(alerts_init(&b->alerts, &b->store), 0);
    assert_int_equal(outbox_init(&b->outbox, &b->store), 0);
}

static void raise_alerts(struct box *b, int count)
{
    json_t *nothing = json_object();
    char mark[32];

    for (int i = 0; i < count; i++) {
        snprintf(mark, sizeof mark, "%lld", (long long)db_ask(&b->store, "SELECT count(*) FROM alert"));
        struct alert a = { .kind = ALERT_losses,
                           .severity = i % 2 ? SEVERITY_CRITICAL : SEVERITY_INFO,
                           .mark = mark,
                           .title = "t",
                           .subject = nothing,
                           .evidence = nothing };
        assert_int_equal(alerts_raise(&b->alerts, &a, NOW, NULL, NULL), 0);
    }
    json_decref(nothing);
}

/* Twice: an order may be repeated. Whether it was refused. */
static bool serve(struct box *b, struct outbox_change c)
{
    bool refused, again;

    c.now_ms = c.now_ms == 0 ? NOW : c.now_ms;
    assert_int_equal(store_begin(&b->store), 0);
    assert_int_equal(outbox_serve(&b->outbox, &c, &refused), 0);
    assert_int_equal(outbox_serve(&b->outbox, &c, &again), 0);
    assert_int_equal(store_commit(&b->store), 0);
    assert_int_equal(refused, again);
    return refused;
}

static void know(struct box *b, const char *first, const char *second)
{
    const char *names[] = { first, second };

    serve(b, (struct outbox_change){ .verb = OUTBOX_KNOW, .name = names, .names = second != NULL ? 2 : 1 });
}

/* Alerts first to last, due then, to destination d. */
static bool route(struct box *b, int64_t first, int64_t last, int64_t due_ms, int64_t now_ms, bool begin)
{
    static struct outbox_alert alert[PAYLOAD_ALERTS_MAX];
    size_t n = 0;

    for (int64_t id = first; id <= last; id++)
        alert[n++] = (struct outbox_alert){ id, due_ms };
    return serve(b, (struct outbox_change){ .verb = OUTBOX_ROUTE,
                                            .now_ms = now_ms,
                                            .destination = "d",
                                            .upto = last,
                                            .alert = alert,
                                            .alerts = n,
                                            .begin = begin });
}

#define ASK(b, sql) ((int)db_ask(&(b)->store, "SELECT " sql))

static void each_order_counts_once(void **state)
{
    struct box b;

    (void)state;
    box_open(&b);
    raise_alerts(&b, 3);
    assert_true(route(&b, 1, 3, NOW, NOW, false)); /* nobody knows it */
    assert_int_equal(ASK(&b, "count(*) FROM message_out"), 0);
    know(&b, "d", NULL);
    assert_int_equal(ASK(&b, "upto FROM destination"), 3);
    raise_alerts(&b, 4);
    assert_false(route(&b, 4, 6, NOW, NOW, false));
    assert_int_equal(ASK(&b, "count(*) FROM message_alert"), 3);
    assert_int_equal(ASK(&b, "count(*) FROM message_out WHERE state = 0 AND length(key) = 32"), 1);
    route(&b, 1, 2, NOW, NOW, false); /* never back */
    assert_int_equal(ASK(&b, "upto FROM destination"), 6);
    serve(&b, (struct outbox_change){ .verb = OUTBOX_FREEZE, .message = 1 });
    assert_int_equal(ASK(&b, "began_ms FROM message_out WHERE state = 1"), NOW);
    serve(&b, (struct outbox_change){
                  .verb = OUTBOX_AGAIN, .message = 1, .attempts = 1, .due_ms = NOW + 5, .error = "no" });
    assert_int_equal(ASK(&b, "due_ms FROM message_out WHERE state = 1 AND attempts = 1 AND error = 'no'"),
                     NOW + 5);
    route(&b, 7, 7, NOW, NOW + 9, false); /* not into one that is being told */
    assert_int_equal(ASK(&b, "count(*) FROM message_out"), 2);
    serve(&b, (struct outbox_change){ .verb = OUTBOX_TOLD, .message = 1, .attempts = 2 });
    assert_int_equal(
        ASK(&b, "ended_ms FROM message_out WHERE id = 1 AND state = 2 AND attempts = 2 AND error IS NULL"),
        NOW);
    serve(&b, (struct outbox_change){ .verb = OUTBOX_GIVE_UP, .message = 1, .attempts = 3, .error = "late" });
    assert_int_equal(ASK(&b, "state FROM message_out WHERE id = 1"), MESSAGE_TOLD);
    store_close(&b.store);
}

static void alerts_of_one_time_go_together(void **state)
{
    struct box b;

    (void)state;
    box_open(&b);
    know(&b, "d", NULL);
    raise_alerts(&b, 1200);
    route(&b, 1, 10, NOW + 50, NOW, true); /* not due: it gathers */
    assert_int_equal(ASK(&b, "state FROM message_out"), MESSAGE_GATHERS);
    route(&b, 11, 20, NOW + 60, NOW, false); /* another time */
    assert_int_equal(ASK(&b, "count(*) FROM message_out"), 2);
    route(&b, 21, 30, NOW + 100, NOW + 100, false); /* both times have passed: they are one now */
    assert_int_equal(ASK(&b, "count(*) FROM message_out"), 2);
    assert_int_equal(ASK(&b, "count(*) FROM message_alert WHERE message = 2"), 20);
    route(&b, 31, 530, NOW + 110, NOW + 110, false); /* and 20 of these are too many */
    assert_int_equal(ASK(&b, "count(*) FROM message_alert WHERE message = 2"), PAYLOAD_ALERTS_MAX);
    assert_int_equal(ASK(&b, "count(*) FROM message_alert WHERE message = 3"), 20);
    route(&b, 531, 540, NOW + 120, NOW + 120, true); /* due: it begins at once */
    assert_int_equal(ASK(&b, "state FROM message_out WHERE id = 3"), MESSAGE_BEGUN);
    assert_int_equal(ASK(&b, "count(*) FROM message_alert WHERE message = 3"), 30);
    assert_int_equal(ASK(&b, "count(*) FROM message_out WHERE state = 1"), 1);
    assert_int_equal(ASK(&b, "count(DISTINCT alert) = count(*) FROM message_alert"), 1);
    store_close(&b.store);
}

static void who_is_gone_is_not_told(void **state)
{
    struct box b;

    (void)state;
    box_open(&b);
    know(&b, "d", "e");
    raise_alerts(&b, 2);
    route(&b, 1, 1, NOW, NOW, true);
    route(&b, 2, 2, NOW, NOW, false);
    know(&b, "e", "f");
    assert_int_equal(
        ASK(&b, "count(*) FROM message_out WHERE state = 3 AND ended_ms NOT NULL AND error NOT NULL"), 2);
    assert_int_equal(ASK(&b, "upto FROM destination WHERE name = 'e'"), 0); /* it goes on where it was */
    assert_int_equal(ASK(&b, "upto FROM destination WHERE name = 'f'"), 2);
    assert_int_equal(ASK(&b, "count(*) FROM destination"), 2);
    db_exec(&b.store, "DELETE FROM alert WHERE id = 2"); /* a file that was put back */
    know(&b, "e", "f");
    assert_int_equal(ASK(&b, "upto FROM destination WHERE name = 'f'"), 1);
    store_close(&b.store);
}

static void see(void *arg, const struct told *t)
{
    int64_t *sum = arg;
    *sum += t->id;
}

static bool first_one(void *arg, const struct outbox_message *m)
{
    *(struct outbox_message *)arg = *m;
    return true;
}

static void the_view_sees_what_was_written(void **state)
{
    struct outbox_message m = { .id = 0 };
    struct outbox_view *view;
    int64_t sum = 0, upto, began_ms, waiting;
    enum severity severity;
    struct told *told;
    size_t count;
    struct box b;

    (void)state;
    box_open(&b);
    know(&b, "d", NULL);
    raise_alerts(&b, 600);
    assert_int_equal(outbox_open(path, &view), 0);
    assert_int_equal(outbox_place(view, "x", &upto, &began_ms), 0);
    assert_int_equal(upto, UNKNOWN);
    assert_int_equal(outbox_alerts(view, 0, see, &sum), 0);
    assert_int_equal(sum, 500 * 501 / 2);
    route(&b, 1, 5, NOW + 7, NOW, false);
    route(&b, 6, 7, NOW, NOW, true);
    assert_int_equal(outbox_place(view, "d", &upto, &began_ms), 0);
    assert_true(upto == 7 && began_ms == NOW);
    assert_int_equal(outbox_messages(view, "d", first_one, &m), 0);
    assert_true(m.id == 2 && m.state == MESSAGE_BEGUN && m.began_ms == NOW && strlen(m.key) == 32);
    assert_int_equal(outbox_severity(view, 1, &severity), 0);
    assert_int_equal((int)severity, (int)SEVERITY_CRITICAL);
    assert_int_equal(outbox_message_alerts(view, 1, &told, &count), 0);
    assert_int_equal(count, 5);
    assert_true(told[0].id == 2 && told[1].id == 4 && told[2].id == 1); /* the gravest first */
    outbox_free_alerts(told, count);
    assert_int_equal(outbox_waiting(view, &waiting), 0);
    assert_int_equal(waiting, 2);
    outbox_close(view);
    outbox_close(NULL);
    store_close(&b.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_order_counts_once),
        TEST(alerts_of_one_time_go_together),
        TEST(who_is_gone_is_not_told),
        TEST(the_view_sees_what_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
