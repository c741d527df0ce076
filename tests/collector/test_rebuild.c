/* SPDX-License-Identifier: MIT
 *
 * The recount against what the writer has stored: they are equal after any history; whatever is changed
 * in the file is found, and mended; what is older than the log stays.
 */
#include "writer_db.h"

#include "collector/base/clock.h"
#include "collector/writer/journal.h"
#include "collector/writer/rebuild.h"
#include "collector/writer/retention.h"
#include "made_event.h"

#define DAY_MS 86400000LL
#define NOW_MS (20000 * DAY_MS + DAY_MS / 2)
#define EVENTS 2000

struct life {
    unsigned seed;
    struct store store;
    struct journal journal;
    struct zone *zone;
    struct journal_origin from;
    int64_t now_ms;
};

static unsigned below(struct life *l, unsigned n)
{
    return (unsigned)rand_r(&l->seed) % n;
}

static void wake(struct life *l)
{
    struct journal_options options = {
        .past_ms = 30 * DAY_MS, .future_ms = 600000, .quarantine_rows = 9, .combinations = 20
    };

    options.zone = l->zone = zone_open("Asia/Kathmandu"); /* its days begin at a quarter past */
    db_open(&l->store);
    assert_int_equal(journal_init(&l->journal, &l->store, &options), 0);
    assert_int_equal(journal_recover(&l->journal), 0);
}

static void rest(struct life *l)
{
    journal_fini(&l->journal);
    store_close(&l->store);
    zone_close(l->zone);
}

static void random_event(struct life *l)
{
    char session[16], user[16], root[16];
    enum event_kind kind = below(l, 8) == 0   ? KIND_report
                           : below(l, 3) == 0 ? KIND_message_received
                                              : KIND_dispatch;
    struct made_names names = { .agent_id = below(l, 2) == 0 ? "a" : "b",
                                .user_id = user,
                                .session_id = below(l, 9) == 0 ? NULL : session,
                                .root_session_id = below(l, 3) == 0 ? root : NULL,
                                .status = (uint8_t)below(l, 6) };
    enum event_result result;
    struct made_event m;

    snprintf(session, sizeof session, "s-%u", below(l, 300));
    snprintf(root, sizeof root, "s-%u", below(l, 10));
    snprintf(user, sizeof user, "u-%u", below(l, 30));
    made_event(&m, kind, &names);
    m.event.ts_ms = l->now_ms - (below(l, 10) == 0 ? (int64_t)below(l, 3 * DAY_MS) : (int64_t)below(l, 5000));
    m.event.has_id = below(l, 3) == 0;
    m.event.id[0] = (uint8_t)below(l, 200);
    m.event.id[1] = (uint8_t)kind;
    for (int i = 0; kind == KIND_dispatch && i < DISPATCH_NUMS; i++)
        m.event.num[i] = below(l, 4) == 0 ? UNKNOWN : (int64_t)below(l, 5000);
    m.event.num[D_partial] = below(l, 3) == 0 && kind == KIND_dispatch ? 1 : UNKNOWN;
    assert_int_equal(journal_append(&l->journal, &l->from, &m.event, &result), 0);
}

static void flush(struct life *l)
{
    assert_int_equal(store_begin(&l->store), 0);
    assert_int_equal(journal_flush_usage(&l->journal, l->now_ms), 0);
    assert_int_equal(journal_flush_sessions(&l->journal), 0);
    assert_int_equal(store_commit(&l->store), 0);
    journal_committed(&l->journal);
}

/* Events over a day and a half, flushed now and then; the last ones are only in the log. */
static void live(struct life *l)
{
    *l = (struct life){ .seed = 7, .now_ms = NOW_MS };
    wake(l);
    for (int i = 0; i < EVENTS; i++) {
        assert_int_equal(store_begin(&l->store), 0);
        l->now_ms += 36 * 3600000 / EVENTS;
        l->from.now_ms = l->now_ms;
        assert_int_equal(names_source(&l->journal.names, "test", l->now_ms, &l->from.source), 0);
        random_event(l);
        assert_int_equal(journal_settle(&l->journal, l->now_ms), 0);
        assert_int_equal(store_commit(&l->store), 0);
        journal_committed(&l->journal);
        if (below(l, 20) == 0 && i < EVENTS - 20)
            flush(l);
    }
}

static struct rebuild_report check(struct store *store, enum rebuild_projection projection)
{
    struct rebuild_report report;

    if (rebuild_check(store->db, projection, NULL, NULL, &report) != 0)
        fail_msg("%s", report.error);
    assert_true(sqlite3_get_autocommit(store->db));
    return report;
}

static void expect_equal(struct store *store)
{
    for (int p = 0; p < REBUILD_PROJECTIONS; p++) {
        struct rebuild_report report = check(store, (enum rebuild_projection)p);
        if (report.differences != 0)
            fail_msg("%lld differences, the first: %s", (long long)report.differences, report.difference[0]);
    }
}

static struct rebuild_report rebuild(struct store *store, enum rebuild_projection projection)
{
    struct rebuild_report report;

    if (rebuild_write(store, projection, NULL, NULL, &report) != 0)
        fail_msg("%s", report.error);
    return report;
}

/* ------------------------------------------------------------------ equality */

static void what_the_writer_stores_equals_the_recount(void **state)
{
    struct life l;

    (void)state;
    live(&l);
    expect_equal(&l.store); /* in the middle: rows behind the watermark, minutes that are not folded */
    flush(&l);
    expect_equal(&l.store);
    l.now_ms += 3 * 60000;
    flush(&l);
    expect_equal(&l.store);
    struct rebuild_report usage = check(&l.store, REBUILD_USAGE), session = check(&l.store, REBUILD_SESSION);
    assert_int_equal(usage.events, db_ask(&l.store, "SELECT max(watermark) FROM projection"));
    assert_int_equal(usage.minutes, db_ask(&l.store, "SELECT count(*) FROM projection_minute"));
    assert_int_equal(usage.quarters, db_ask(&l.store, "SELECT count(*) FROM projection_quarter"));
    assert_int_equal(usage.days, db_ask(&l.store, "SELECT count(*) FROM projection_day"));
    assert_int_equal(usage.day_rows, db_ask(&l.store, "SELECT count(*) FROM projection_day_row"));
    assert_int_equal(session.sessions, db_ask(&l.store, "SELECT count(*) FROM projection_session"));
    assert_int_equal(session.spans, db_ask(&l.store, "SELECT count(*) FROM projection_session_span"));
    assert_true(usage.days > 3 && usage.quarters > 100 && session.sessions > 100 && session.spans > 2);
    assert_int_equal(usage.skipped + session.skipped, 0);
    rest(&l);
}

static void an_empty_store_equals_the_recount(void **state)
{
    struct store store;

    (void)state;
    db_open(&store);
    expect_equal(&store);
    assert_int_equal(rebuild(&store, REBUILD_USAGE).minutes, 0);
    assert_int_equal(rebuild(&store, REBUILD_SESSION).sessions, 0);
    expect_equal(&store);
    store_close(&store);
}

/* ---------------------------------------------------------------- differences */

/* Each is found, put in words, and mended. */
static void every_change_is_found_and_mended(void **state)
{
    static const struct {
        enum rebuild_projection projection;
        const char *sql, *words[3];
    } table[] = {
        { REBUILD_USAGE,
          "UPDATE projection_minute SET body = (SELECT body FROM projection_minute ORDER BY cells DESC LIMIT "
          "1)"
          " WHERE start_minute = (SELECT start_minute FROM projection_minute WHERE cells = 1 LIMIT 1)",
          { "minute 20", "UTC, combination", "the log" } },
        { REBUILD_USAGE,
          "DELETE FROM projection_minute WHERE start_minute = (SELECT max(start_minute) FROM "
          "projection_minute)",
          { "minute 20", "missing, the log has" } },
        { REBUILD_USAGE,
          "INSERT INTO projection_minute(start_minute, first_id, last_id, cells, body) SELECT start_minute + "
          "100000, 1, 2, cells, body"
          " FROM projection_minute LIMIT 1",
          { "minute 20", "the log has nothing there" } },
        { REBUILD_USAGE, "UPDATE projection_minute SET first_id = first_id + 1", { "its events are" } },
        { REBUILD_USAGE, "UPDATE projection_quarter SET last_id = 0", { "quarter 20", "its events are" } },
        { REBUILD_USAGE,
          "UPDATE projection_quarter SET body = (SELECT body FROM projection_quarter ORDER BY cells DESC "
          "LIMIT 1)",
          { "quarter 20", "combination" } },
        { REBUILD_USAGE, "UPDATE projection_day SET body = x'00'", { "day 20", "damaged" } },
        { REBUILD_USAGE, "UPDATE projection_day SET body = substr(body, 1, length(body) - 1)", { "day 20" } },
        { REBUILD_USAGE, "DELETE FROM projection_day", { "day 20", "missing" } },
        { REBUILD_USAGE,
          "UPDATE projection_day_row SET ttft_ms = ttft_ms + 1 WHERE dims = 3",
          { "day row 20", "combination 3", "not what the log says" } },
        { REBUILD_USAGE, "UPDATE projection_day_row SET date = 'x' WHERE dims = 3", { "day row 20" } },
        { REBUILD_USAGE, "DELETE FROM projection_day_row WHERE dims = 4", { "combination 4", "missing" } },
        { REBUILD_USAGE,
          "INSERT INTO projection_day_row SELECT start_minute, date, 999999, "
          "1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
          ",0,0,0,0,0,0 FROM projection_day_row LIMIT 1",
          { "day rows: 1 of which the log has nothing" } },
        { REBUILD_SESSION,
          "UPDATE projection_session SET errors = errors + 1 WHERE session = 17",
          { "session 17", "errors is", "the log says" } },
        { REBUILD_SESSION,
          "UPDATE projection_session SET latency_ms_known = 77 WHERE session = 17",
          { "session 17", "latency_ms_known is 77" } },
        { REBUILD_SESSION,
          "UPDATE projection_session SET dims = 1 - dims WHERE session = 17",
          { "session 17", "dims is" } },
        { REBUILD_SESSION, "DELETE FROM projection_session WHERE session = 17", { "session 17", "missing" } },
        { REBUILD_SESSION,
          "INSERT INTO projection_session SELECT 999999, dims, 0, 0, 7, 7, "
          "0,9,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
          ",0,0,0,0,0,0,0,0,0 FROM projection_session LIMIT 1",
          { "session 999999", "9 calls", "the log has none" } },
        { REBUILD_SESSION,
          "DELETE FROM projection_session_slice WHERE session = 17",
          { "index: span", "session 17 is missing" } },
        { REBUILD_SESSION,
          "UPDATE projection_session_slice SET ids = x'00' WHERE session = 17",
          { "index: span", "session 17", "not the rows" } },
        { REBUILD_SESSION,
          "UPDATE projection_session_slice SET ids = ids || x'81' WHERE session = 17",
          { "index: span", "session 17", "not the rows" } },
        { REBUILD_SESSION,
          "UPDATE projection_session_slice SET session = 999999 WHERE session = 17",
          { "session 17 is missing" } },
        { REBUILD_SESSION,
          "DELETE FROM projection_session_span WHERE span = (SELECT min(span) FROM"
          " projection_session_span)",
          { "rows of sessions from id", "in no span" } },
        { REBUILD_SESSION, "DELETE FROM projection_session_span", { "in no span" } },
    };
    struct life l;

    (void)state;
    live(&l);
    flush(&l);
    l.now_ms += 3 * 60000;
    flush(&l);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        db_exec(&l.store, table[i].sql);
        assert_true(sqlite3_changes(l.store.db) > 0);
        struct rebuild_report report = check(&l.store, table[i].projection);
        if (report.differences == 0)
            fail_msg("not found: %s", table[i].sql);
        for (int w = 0; w < 3 && table[i].words[w] != NULL; w++)
            if (strstr(report.difference[0], table[i].words[w]) == NULL)
                fail_msg("\"%s\" does not say \"%s\"", report.difference[0], table[i].words[w]);
        assert_int_equal(
            check(&l.store, (enum rebuild_projection)(REBUILD_SESSION - table[i].projection)).differences, 0);
        rebuild(&l.store, table[i].projection);
        expect_equal(&l.store);
    }
    rest(&l);
}

/* The writer goes on with what a rebuild has stored. */
static void life_goes_on_after_a_rebuild(void **state)
{
    struct life l;

    (void)state;
    live(&l);
    journal_fini(&l.journal);
    for (int p = 0; p < REBUILD_PROJECTIONS; p++)
        rebuild(&l.store, (enum rebuild_projection)p);
    store_close(&l.store);
    zone_close(l.zone);
    wake(&l);
    expect_equal(&l.store);
    for (int i = 0; i < 200; i++) {
        l.from.now_ms = l.now_ms += 1000;
        assert_int_equal(store_begin(&l.store), 0);
        random_event(&l);
        assert_int_equal(journal_settle(&l.journal, l.now_ms), 0);
        assert_int_equal(store_commit(&l.store), 0);
        journal_committed(&l.journal);
        if (i % 30 == 0)
            flush(&l);
    }
    flush(&l);
    expect_equal(&l.store);
    rest(&l);
}

static bool stop(void *arg, int64_t done, int64_t of)
{
    assert_true(done <= of);
    ++*(int *)arg;
    return false;
}

static void a_rebuild_that_ends_early_changes_nothing(void **state)
{
    struct rebuild_report report;
    struct store store;
    int calls = 0;

    (void)state;
    db_open(&store);
    db_exec(&store, "WITH RECURSIVE i(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM i WHERE id < 20000)"
                    " INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, session, event_id)"
                    " SELECT id, id * 1000, 0, 0, 1, 1, zeroblob(16) FROM i;"
                    "UPDATE projection SET watermark = 20000;"
                    "INSERT INTO projection_minute(start_minute, first_id, last_id, cells, body) VALUES(7, "
                    "1, 1, 0, x'00')");
    assert_int_equal(rebuild_write(&store, REBUILD_USAGE, stop, &calls, &report), -SQLITE_INTERRUPT);
    assert_int_equal(calls, 1);
    assert_true(sqlite3_get_autocommit(store.db));
    assert_string_equal(report.error, "interrupted");
    assert_int_equal(db_ask(&store, "SELECT count(*) FROM projection_minute WHERE start_minute = 7"
                                    " AND length(body) = 1"),
                     1);
    assert_int_equal(db_ask(&store, "SELECT count(*) FROM projection_minute"), 1);
    assert_int_equal(rebuild_check(store.db, REBUILD_SESSION, stop, &calls, &report), -SQLITE_INTERRUPT);
    assert_int_equal(rebuild(&store, REBUILD_USAGE).events, 20000);
    store_close(&store);
}

/* ------------------------------------------------------------------ retention */

static void drop(struct life *l, enum retention_kind kind, int64_t age, int64_t now_ms)
{
    struct retention_ages ages;
    struct retention r;
    bool more = true;

    for (int k = 0; k < RETENTION_KINDS; k++)
        retention_set_age(&ages, (enum retention_kind)k, RETENTION_FOREVER);
    retention_set_age(&ages, kind, age);
    assert_int_equal(retention_init(&r, &l->store, NULL, &ages), 0);
    while (more)
        assert_int_equal(retention_step(&r, now_ms, &more), 0);
    retention_fini(&r);
}

static int64_t old_calls(struct life *l)
{
    return db_slab_sum(&l->store, "projection_day", SLAB_CALLS) * 1000000 +
           db_ask(&l->store, "SELECT sum(calls) FROM projection_session");
}

/* What can be counted again is; what is older than the log is left alone, wrong or right. */
static void the_older_part_stays(void **state)
{
    struct life l;

    (void)state;
    live(&l);
    flush(&l);
    l.now_ms += 3 * 60000;
    flush(&l);
    int64_t before = old_calls(&l);
    drop(&l, RETAIN_MESSAGE, 1000, l.now_ms + 1000 * DAY_MS);
    expect_equal(&l.store);
    drop(&l, RETAIN_DISPATCH, 1000, l.now_ms - DAY_MS);
    assert_true(db_ask(&l.store, "SELECT min(id) FROM dispatch") > EVENTS / 20);
    expect_equal(&l.store);
    struct rebuild_report usage = rebuild(&l.store, REBUILD_USAGE),
                          session = rebuild(&l.store, REBUILD_SESSION);
    assert_true(usage.skipped > 0 && usage.minutes > 0);
    assert_true(session.skipped > 0);
    expect_equal(&l.store);
    assert_int_equal(old_calls(&l), before);
    drop(&l, RETAIN_DISPATCH, 1000, l.now_ms + DAY_MS);
    assert_int_equal(db_ask(&l.store, "SELECT count(*) FROM dispatch"), 0);
    assert_int_equal(rebuild(&l.store, REBUILD_USAGE).minutes, 0);
    rebuild(&l.store, REBUILD_SESSION);
    expect_equal(&l.store);
    assert_int_equal(old_calls(&l), before);
    rest(&l);
}

/* What a partial record said stays in the sums when its row has gone: the final one comes too late. */
static void the_final_record_of_a_dropped_one_adds_nothing(void **state)
{
    struct made_names names = { .session_id = "s-1", .agent_id = "a" };
    struct life l = { .seed = 1, .now_ms = NOW_MS };
    enum event_result result;
    struct made_event m;

    (void)state;
    wake(&l);
    for (int i = 0; i < 2; i++) {
        l.from.now_ms = l.now_ms;
        assert_int_equal(store_begin(&l.store), 0);
        assert_int_equal(names_source(&l.journal.names, "test", l.now_ms, &l.from.source), 0);
        made_event(&m, KIND_dispatch, &names);
        m.event.ts_ms = NOW_MS;
        m.event.has_id = true;
        m.event.num[D_prompt_tokens] = 5 + i;
        m.event.num[D_partial] = i == 0 ? 1 : UNKNOWN;
        assert_int_equal(journal_append(&l.journal, &l.from, &m.event, &result), 0);
        assert_int_equal(result, i == 0 ? EVENT_STORED : EVENT_DUPLICATE);
        assert_int_equal(journal_settle(&l.journal, l.now_ms), 0);
        assert_int_equal(store_commit(&l.store), 0);
        flush(&l);
        drop(&l, RETAIN_DISPATCH, 1000, l.now_ms + 2000);
        l.now_ms += 3000;
    }
    assert_int_equal(db_ask(&l.store, "SELECT count(*) FROM dispatch"), 0);
    assert_int_equal(db_ask(&l.store, "SELECT prompt_tokens * 10 + calls FROM projection_session"), 51);
    assert_int_equal(
        db_slab_sum(&l.store, "projection_minute", (enum slab_column)(SLAB_SUM + SUM_prompt_tokens)), 5);
    rest(&l);
}

/* Minutes and quarters that retention dropped are not missed, and not made again. */
static void dropped_levels_are_not_missed(void **state)
{
    struct life l;

    (void)state;
    live(&l);
    flush(&l);
    l.now_ms += 3 * 60000;
    flush(&l);
    drop(&l, RETAIN_MINUTE, 3600000, l.now_ms);
    drop(&l, RETAIN_QUARTER, DAY_MS, l.now_ms);
    int64_t minutes = db_ask(&l.store, "SELECT count(*) FROM projection_minute"),
            quarters = db_ask(&l.store, "SELECT count(*) FROM projection_quarter");
    expect_equal(&l.store);
    rebuild(&l.store, REBUILD_USAGE);
    expect_equal(&l.store);
    assert_int_equal(db_ask(&l.store, "SELECT count(*) FROM projection_minute"), minutes);
    assert_int_equal(db_ask(&l.store, "SELECT count(*) FROM projection_quarter"), quarters);
    assert_true(check(&l.store, REBUILD_USAGE).days > 3);
    rest(&l);
}

/* --------------------------------------------------------------------- size */

/* More times, combinations and sessions than fit into memory at once, in no order at all. */
static void what_does_not_fit_is_spilled(void **state)
{
    static const char fill[] =
        "WITH RECURSIVE i(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM i WHERE id < 150000)"
        " INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, session, event_id, prompt_tokens,"
        " latency_ms, ttft_ms) SELECT id, (id * 7919 % 43200) * 60000, 0, id % 11 = 0, 1 + id * 31 % 17,"
        " 1 + id * 104729 % 140009, zeroblob(16), id % 100, id % 50000, nullif(id % 3, 0) FROM i;"
        "WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 17)"
        " INSERT INTO dims(id, key, rollup, source, status) SELECT n, zeroblob(n), n - n % 2 + 1, 1, n % 6 "
        "FROM i;"
        "UPDATE projection SET watermark = 150000; UPDATE projection_setting SET value = 40000 WHERE"
        " name = 'folded_minute'";
    struct store store;

    (void)state;
    db_open(&store);
    db_exec(&store, fill);
    rebuild(&store, REBUILD_USAGE);
    rebuild(&store, REBUILD_SESSION);
    expect_equal(&store);
    int64_t calls = db_ask(&store, "SELECT count(*) FROM dispatch WHERE state = 0");
    assert_int_equal(db_slab_sum(&store, "projection_minute", SLAB_CALLS), calls);
    assert_int_equal(db_slab_sum(&store, "projection_minute", SLAB_DIMS),
                     db_ask(&store, "SELECT count(*) FROM (SELECT DISTINCT ts_ms, rollup FROM dispatch e"
                                    " JOIN dims d ON d.id = e.dims WHERE e.state = 0)"));
    assert_int_equal(db_slab_sum(&store, "projection_quarter", (enum slab_column)(SLAB_SUM + SUM_latency_ms)),
                     db_ask(&store, "SELECT sum(latency_ms) FROM dispatch WHERE state = 0 AND"
                                    " ts_ms < 40000 * 60000"));
    assert_int_equal(
        db_ask(&store, "SELECT sum(ttft_ms) FROM projection_day_row"),
        db_ask(&store, "SELECT sum(ttft_ms) FROM dispatch WHERE state = 0 AND ts_ms < 40000 * 60000"));
    assert_int_equal(db_ask(&store, "SELECT sum(prompt_tokens) FROM projection_session"),
                     db_ask(&store, "SELECT sum(prompt_tokens) FROM dispatch WHERE state = 0"));
    assert_int_equal(db_ask(&store, "SELECT count(*) FROM projection_session"),
                     db_ask(&store, "SELECT count(DISTINCT session) FROM dispatch"));
    assert_int_equal(db_ask(&store, "SELECT count(*) FROM projection_session_span"), 2);
    store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_the_writer_stores_equals_the_recount),
        TEST(an_empty_store_equals_the_recount),
        TEST(every_change_is_found_and_mended),
        TEST(life_goes_on_after_a_rebuild),
        TEST(a_rebuild_that_ends_early_changes_nothing),
        TEST(the_older_part_stays),
        TEST(the_final_record_of_a_dropped_one_adds_nothing),
        TEST(dropped_levels_are_not_missed),
        TEST(what_does_not_fit_is_spilled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
