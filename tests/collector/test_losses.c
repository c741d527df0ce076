/* SPDX-License-Identifier: MIT
 *
 * What emitters lost, as counters: totals become differences, each counted once, whatever comes
 * twice, late, or from another life of a gateway.
 */
#include "writer_db.h"

#include "collector/writer/losses.h"

static struct store store;
static struct losses *losses;

static void open_all(void)
{
    db_open(&store);
    assert_int_equal(losses_open(&store, &losses), 0);
}

static void close_all(void)
{
    losses_close(losses);
    store_close(&store);
}

static void sources(void)
{
    db_exec(&store, "INSERT INTO source VALUES(1,'one',0),(2,'two',0),(3,'other',0)");
}

static void report(uint32_t source, int64_t epoch, const char *json)
{
    int64_t more[LOSSES_REASONS];

    assert_int_equal(losses_report(losses, source, epoch, json, more), 0);
}

struct wanted {
    const char *source, *reason;
    int64_t value;
    bool met;
};

static void look(void *sink, const struct metric *m)
{
    struct wanted *w = sink;

    assert_string_equal(m->name, "tollgate_emitter_lost_events_total");
    if (strcmp(m->labels[0].value, w->source) != 0 || strcmp(m->labels[1].value, w->reason) != 0)
        return;
    assert_false(w->met); /* one series, one sample */
    w->met = true;
    w->value = m->value;
}

static int64_t lost(const char *source, const char *reason)
{
    struct wanted w = { source, reason, -1, false };

    losses_emit(losses, look, &w);
    return w.value;
}

static void test_differences(void **state)
{
    (void)state;
    open_all();
    sources();
    report(1, 7, "{\"dropped\":{\"full\":5,\"evicted\":0}}");
    assert_int_equal(lost("one", "full"), 0); /* not yet committed */
    losses_commit(losses);
    assert_int_equal(lost("one", "full"), 5);
    assert_int_equal(lost("one", "evicted"), 0);
    assert_int_equal(lost("two", "full"), -1);
    report(1, 7, "{\"dropped\":{\"full\":5}}");                    /* again */
    report(1, 7, "{\"dropped\":{\"full\":8,\"too_big\":1}}");      /* three more */
    report(1, 8, "{\"dropped\":{\"full\":2,\"strange\":4}}");      /* another life */
    report(2, 7, "{\"dropped\":3}");                               /* another source */
    report(1, 7, "{\"dropped\":{\"full\":6}}");                    /* late: adds nothing */
    report(2, 7, "{\"version\":\"1\"}");                           /* says nothing */
    report(2, 7, "{\"dropped\":{\"full\":-4,\"damaged\":\"x\"}}"); /* nonsense */
    losses_commit(losses);
    assert_int_equal(lost("one", "full"), 10);
    assert_int_equal(lost("one", "too_big"), 1);
    assert_int_equal(lost("one", "other"), 4);
    assert_int_equal(lost("two", "other"), 3);
    assert_int_equal(lost("two", "full"), 0);
    report(3, 1, "{\"dropped\":{\"full\":1}}"); /* its name is that of the rest */
    losses_commit(losses);
    assert_int_equal(lost("other", "full"), 1);
    close_all();
}

static void test_rollback(void **state)
{
    (void)state;
    open_all();
    db_exec(&store, "BEGIN");
    sources();
    report(1, 7, "{\"dropped\":{\"full\":5}}");
    db_exec(&store, "ROLLBACK");
    losses_rollback(losses);
    db_exec(&store, "INSERT INTO source VALUES(1,'two',0)"); /* the id is given anew */
    report(1, 7, "{\"dropped\":{\"full\":5}}");
    losses_commit(losses);
    losses_rollback(losses);
    assert_int_equal(lost("two", "full"), 5);
    assert_true(lost("one", "full") <= 0);
    close_all();
}

/* Who reports it hears what is new, by reason; a later report of less takes nothing back. */
static void test_what_is_new(void **state)
{
    static const struct {
        const char *json;
        int64_t full, other;
    } steps[] = {
        { "{\"dropped\":{\"full\":5,\"odd\":2}}", 5, 2 }, { "{\"dropped\":{\"full\":5,\"odd\":2}}", 0, 0 },
        { "{\"dropped\":{\"full\":9}}", 4, 0 },           { "{\"pid\":1}", 0, 0 },
        { "{\"dropped\":{\"full\":9,\"odd\":3}}", 0, 3 },
    };
    int64_t more[LOSSES_REASONS];

    (void)state;
    open_all();
    sources();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        memset(more, 0x55, sizeof more);
        assert_int_equal(losses_report(losses, 1, 7, steps[i].json, more), 0);
        for (int reason = 0; reason < LOSSES_REASONS; reason++) {
            const char *name = losses_reason_name(reason);
            int64_t want = strcmp(name, "full") == 0    ? steps[i].full
                           : strcmp(name, "other") == 0 ? steps[i].other
                                                        : 0;
            assert_int_equal(more[reason], want);
        }
    }
    close_all();
}

/* After a restart the totals of a known epoch are not counted again; what it lost since then is. */
static void test_restart(void **state)
{
    (void)state;
    open_all();
    sources();
    db_exec(&store,
            "INSERT INTO report(id,ts_ms,received_after_ms,source,epoch,event_id,body) VALUES"
            "(1,0,0,1,7,x'00','{\"dropped\":{\"full\":3}}'),(2,0,0,1,7,x'00','{\"dropped\":{\"full\":9}}'),"
            "(3,0,0,2,NULL,x'00','{\"dropped\":4}'),(4,0,0,2,8,x'00','not json')");
    close_all();
    open_all();
    report(1, 7, "{\"dropped\":{\"full\":11}}");
    report(2, 0, "{\"dropped\":5}");
    report(2, 8, "{\"dropped\":6}");
    losses_commit(losses);
    assert_int_equal(lost("one", "full"), 2);
    assert_int_equal(lost("two", "other"), 7);
    close_all();
}

static void test_bounds(void **state)
{
    int64_t all = 0;
    char name[32], sql[128];

    (void)state;
    open_all();
    db_exec(&store, "BEGIN");
    for (uint32_t i = 1; i <= 2 * LOSSES_SOURCES; i++) {
        snprintf(name, sizeof name, "gateway-%u", i);
        snprintf(sql, sizeof sql, "INSERT INTO source VALUES(%u,'%s',0)", i, name);
        db_exec(&store, sql);
        report(i, 1, "{\"dropped\":{\"full\":1}}");
    }
    for (int64_t epoch = 2; epoch < 2 + 2 * LOSSES_EPOCHS; epoch++)
        report(1, epoch, "{\"dropped\":{\"evicted\":1}}");
    report(1, 1 + 2 * LOSSES_EPOCHS, "{\"dropped\":{\"evicted\":1}}"); /* still known */
    losses_commit(losses);
    db_exec(&store, "COMMIT");
    for (uint32_t i = 1; i <= 2 * LOSSES_SOURCES; i++) {
        snprintf(name, sizeof name, "gateway-%u", i);
        int64_t n = lost(name, "full");
        assert_int_equal(n, i <= LOSSES_SOURCES ? 1 : -1);
        all += n > 0 ? n : 0;
    }
    assert_int_equal(all + lost("other", "full"), 2 * LOSSES_SOURCES);
    assert_int_equal(lost("gateway-1", "evicted"), 2 * LOSSES_EPOCHS);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(test_differences), TEST(test_rollback), TEST(test_what_is_new),
                                        TEST(test_restart), TEST(test_bounds) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
