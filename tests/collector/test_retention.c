/* SPDX-License-Identifier: MIT
 *
 * Slice by slice: what is too old goes, nothing else does, and after each slice the file is consistent.
 */
#include "collector/writer/retention.h"
#include "writer_db.h"

#define SECOND    1000LL
#define DAY_MS    86400000LL
#define NOW_MS    (20000 * DAY_MS)
#define STEPS_MAX 100000

static struct store store;
static struct retention retention;
static struct retention_ages ages;

static int open_store(void **state)
{
    make_dir(state);
    db_open(&store);
    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        retention_set_age(&ages, (enum retention_kind)kind, RETENTION_FOREVER);
    return retention_init(&retention, &store, NULL, &ages);
}

static int close_store(void **state)
{
    retention_fini(&retention);
    store_close(&store);
    return remove_dir(state);
}

static int64_t ask(const char *sql)
{
    return db_ask(&store, sql);
}

static void run(const char *format, ...)
{
    char sql[1024], *error = NULL;
    va_list args;

    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    if (sqlite3_exec(store.db, sql, NULL, NULL, &error) != 0)
        fail_msg("%s: %s", sql, error);
}

/* Rows of the log from first to last, every second one a message, every hundredth a report; one piece. */
static void add_piece(int64_t first, int64_t last, int64_t received_ms)
{
    run("WITH RECURSIVE i(id) AS (SELECT %lld UNION ALL SELECT id + 1 FROM i WHERE id < %lld)"
        " INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, event_id)"
        " SELECT id, %lld, 0, 0, 1, zeroblob(16) FROM i WHERE id %% 2 = 1",
        (long long)first, (long long)last, (long long)received_ms);
    run("WITH RECURSIVE i(id) AS (SELECT %lld UNION ALL SELECT id + 1 FROM i WHERE id < %lld)"
        " INSERT INTO message(id, ts_ms, received_after_ms, kind, dims, event_id)"
        " SELECT id, %lld, 0, 16, 1, zeroblob(16) FROM i WHERE id %% 2 = 0 AND id %% 100 <> 0",
        (long long)first, (long long)last, (long long)received_ms);
    run("WITH RECURSIVE i(id) AS (SELECT %lld UNION ALL SELECT id + 1 FROM i WHERE id < %lld)"
        " INSERT INTO report(id, ts_ms, received_after_ms, source, event_id, body)"
        " SELECT id, %lld, 0, 1, zeroblob(16), '{}' FROM i WHERE id %% 100 = 0",
        (long long)first, (long long)last, (long long)received_ms);
    run("INSERT INTO log_partition VALUES(%lld, %lld, %lld, %lld, %lld, 0, 0, 0)", (long long)first,
        (long long)last, (long long)received_ms, (long long)received_ms, (long long)(received_ms + 77));
    run("UPDATE projection SET watermark = %lld", (long long)last);
    assert_int_equal(store_reload(&store), 0);
}

/* Until nothing is to do any more; returns the number of slices. check is called after each. */
static int settle(int64_t now_ms, void (*check)(void))
{
    bool more = true;
    int steps = 0;

    for (; more && steps < STEPS_MAX; steps++) {
        assert_int_equal(retention_step(&retention, now_ms, &more), 0);
        assert_true(sqlite3_get_autocommit(store.db));
        if (check != NULL)
            check();
    }
    assert_false(more);
    return steps;
}

/* What log_dropped says is gone is gone, and all the rest is there. */
static void check_log(void)
{
    assert_int_equal(ask("SELECT count(*) FROM dispatch WHERE id <= (SELECT through_id FROM log_dropped"
                         " WHERE kind='dispatch')"),
                     0);
    assert_int_equal(ask("SELECT max(last_id) / 2 - (through_id + 1) / 2 FROM log_partition, log_dropped"
                         " WHERE kind='dispatch'"),
                     ask("SELECT count(*) FROM dispatch"));
    assert_int_equal(
        ask("SELECT count(*) FROM log_dropped WHERE through_id > 0 AND newest_ms < 20000*86400000"
            " - 20*86400000"),
        0);
}

static void rows_go_piece_by_piece_and_kind_by_kind(void **state)
{
    (void)state;
    add_piece(1, 40000, NOW_MS - 20 * DAY_MS);
    add_piece(40001, 50000, NOW_MS - 10 * DAY_MS);
    add_piece(50001, 60000, NOW_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, 20 * DAY_MS);
    settle(NOW_MS, check_log);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 30000); /* not older than: as old as */
    settle(NOW_MS + 1, check_log);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 10000);
    assert_int_equal(ask("SELECT min(id) FROM dispatch"), 40001);
    assert_int_equal(ask("SELECT min(id) FROM message"), 2);
    assert_int_equal(ask("SELECT through_id FROM log_dropped WHERE kind='dispatch'"), 40000);
    assert_int_equal(ask("SELECT newest_ms FROM log_dropped WHERE kind='dispatch'"),
                     NOW_MS - 20 * DAY_MS + 77);
    assert_int_equal(ask("SELECT sum(through_id) FROM log_dropped"), 40000);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 3); /* the other kinds still are in it */
    retention_set_age(&ages, RETAIN_MESSAGE, 10 * DAY_MS);
    retention_set_age(&ages, RETAIN_REPORT, 10 * DAY_MS);
    settle(NOW_MS + 1, check_log);
    assert_int_equal(ask("SELECT min(id) FROM message"), 50002);
    assert_int_equal(ask("SELECT min(id) FROM report"), 50100);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 2);
    settle(NOW_MS + 1000 * DAY_MS, NULL);
    assert_int_equal(ask("SELECT (SELECT count(*) FROM dispatch) + (SELECT count(*) FROM message)"
                         " + (SELECT count(*) FROM report)"),
                     0);
    assert_int_equal(ask("SELECT first_id FROM log_partition"), 50001); /* the newest one stays */
}

static void a_backlog_goes_in_many_slices(void **state)
{
    (void)state;
    add_piece(1, 400000, NOW_MS - 20 * DAY_MS);
    add_piece(400001, 400002, NOW_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    assert_true(settle(NOW_MS, check_log) > 1);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 1);
}

static void nothing_goes_before_it_is_in_every_projection(void **state)
{
    (void)state;
    add_piece(1, 1000, NOW_MS - 20 * DAY_MS);
    add_piece(1001, 2000, NOW_MS - 20 * DAY_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    run("UPDATE projection SET watermark = 1999 WHERE name='session'");
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT min(id) FROM dispatch"), 1001);
    run("UPDATE projection SET watermark = 2000 WHERE name='session'");
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 0);
}

/* A clock that was wrong for a while: what came before younger rows is as old as they at least. */
static void a_clock_that_was_ahead_keeps_nothing(void **state)
{
    (void)state;
    add_piece(1, 1000, NOW_MS + 5000 * DAY_MS);
    add_piece(1001, 2000, NOW_MS - 20 * DAY_MS);
    add_piece(2001, 2002, NOW_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT min(id) FROM dispatch"), 2001);
}

static void the_quarantine_loses_what_is_old(void **state)
{
    (void)state;
    run("WITH RECURSIVE i(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i WHERE n < 99) INSERT INTO quarantine"
        " SELECT NULL, %lld + n * 1000, NULL, NULL, NULL, NULL, 1, 'test', zeroblob(30000) FROM i",
        NOW_MS);
    retention_set_age(&ages, RETAIN_QUARANTINE, DAY_MS);
    settle(NOW_MS + DAY_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM quarantine"), 100);
    if (settle(NOW_MS + DAY_MS + 50 * SECOND, NULL) == 1) /* the tally is of the last slice */
        assert_int_equal(retention.tally.rows[RETAIN_QUARANTINE], 50);
    assert_int_equal(ask("SELECT count(*) FROM quarantine"), 50);
    settle(NOW_MS + DAY_MS + 500 * SECOND, NULL);
    assert_int_equal(ask("SELECT count(*) FROM quarantine"), 0);
}

/* ------------------------------------------------------------------ alerts */

static void add_alert(int64_t id, const char *kind, int64_t ts_ms, int64_t last_ms, int64_t ended_ms)
{
    run("INSERT INTO alert (id, kind, severity, mark, ts_ms, last_ms, count, ended_ms, title, subject, "
        "evidence)"
        " VALUES (%lld, '%s', 'info', CAST('%lld' AS BLOB), %lld, %lld, 1, nullif(%lld, 0), '', '{}', '{}')",
        (long long)id, kind, (long long)id, (long long)ts_ms, (long long)last_ms, (long long)ended_ms);
}

static void add_message(int64_t id, int state, int64_t ended_ms, int64_t alert)
{
    run("INSERT INTO message_out (id, key, destination, state, made_ms, due_ms, attempts, ended_ms) VALUES"
        " (%lld, 'k', 'd', %d, 0, 0, 1, nullif(%lld, 0))",
        (long long)id, state, (long long)ended_ms);
    run("INSERT INTO message_alert VALUES (%lld, %lld)", (long long)alert, (long long)id);
}

static void alerts_that_are_over_go_with_their_messages(void **state)
{
    const int64_t old = NOW_MS - 2 * DAY_MS, young = NOW_MS - 3600 * SECOND;

    (void)state;
    add_alert(1, "threshold", old, old, 0); /* cannot end */
    add_alert(2, "silent", old, old, 0);    /* still silent */
    add_alert(3, "silent", old, old, old);
    add_alert(4, "unpriced", old, young, young);
    add_alert(5, "test", old, old, 0); /* a message under way names it */
    add_alert(6, "forecast", young, young, 0);
    add_alert(7, "runaway", old, old, 0); /* goes on */
    add_message(1, 2, old, 1);
    add_message(2, 3, old, 3);
    add_message(3, 1, 0, 5);
    add_message(4, 2, young, 3);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM alert"), 7); /* kept for ever */
    retention_set_age(&ages, RETAIN_ALERT, DAY_MS);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM (SELECT id FROM alert ORDER BY id)"), 24567);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM (SELECT id FROM message_out ORDER BY id)"), 34);
    assert_int_equal(ask("SELECT group_concat(alert || message, '') FROM message_alert"), 53);
    run("UPDATE message_out SET state=2, ended_ms=%lld WHERE id=3", (long long)NOW_MS);
    run("UPDATE alert SET ended_ms=%lld WHERE ended_ms IS NULL", (long long)NOW_MS);
    settle(NOW_MS + 2 * DAY_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM alert"), 7); /* no id comes twice */
    assert_int_equal(ask("SELECT count(*) FROM message_out") + ask("SELECT count(*) FROM message_alert"), 0);
}

/* What was told once in a window would be told again in it. */
static void alerts_of_a_window_that_runs_stay(void **state)
{
    const int64_t old = NOW_MS - 2 * DAY_MS;

    (void)state;
    retention_set_age(&ages, RETAIN_ALERT, DAY_MS);
    for (int64_t id = 1; id <= 4; id++)
        add_alert(id, "forecast", old, old, 0);
    run("UPDATE alert SET until_ms=%lld WHERE id < 3", (long long)(NOW_MS + DAY_MS));
    run("UPDATE alert SET until_ms=%lld, ended_ms=%lld WHERE id=2", (long long)old, (long long)old);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM (SELECT id FROM alert ORDER BY id)"), 14);
    run("UPDATE alert SET ended_ms=until_ms WHERE id=1");
    settle(NOW_MS + 3 * DAY_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM alert"), 4);
}

static void a_backlog_of_alerts_goes_in_slices(void **state)
{
    (void)state;
    run("WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 20000) INSERT INTO alert"
        " (id, kind, severity, mark, ts_ms, last_ms, count, ended_ms, title, subject, evidence) SELECT n,"
        " 'silent', 'info', CAST(n AS BLOB), %lld, %lld, 1, %lld, '', '{}', '{}' FROM i",
        (long long)(NOW_MS - 9 * DAY_MS), (long long)(NOW_MS - 9 * DAY_MS), (long long)(NOW_MS - 9 * DAY_MS));
    run("INSERT INTO message_out (id, key, destination, state, made_ms, due_ms, attempts, ended_ms) SELECT "
        "id,"
        " 'k', 'd', 2, 0, 0, 1, ts_ms FROM alert");
    run("INSERT INTO message_alert SELECT id, id FROM alert");
    retention_set_age(&ages, RETAIN_ALERT, DAY_MS);
    assert_true(settle(NOW_MS, NULL) > 1);
    assert_int_equal(ask("SELECT count(*) FROM alert"), 1);
    assert_int_equal(ask("SELECT count(*) FROM message_out") + ask("SELECT count(*) FROM message_alert"), 0);
}

/* ----------------------------------------------------------------- rollups */

#define NOW_MINUTE (NOW_MS / 60000)

/* Ten days up to now: a slab each minute of a kind, with a body of a few pages. */
static void add_rollups(void)
{
    static const char *const level[] = { "minute", "quarter", "day" };
    static const int step[] = { 1, 15, 1440 };

    for (int i = 0; i < 3; i++)
        run("WITH RECURSIVE i(m) AS (SELECT %lld UNION ALL SELECT m + %d FROM i WHERE m + %d < %lld)"
            " INSERT INTO projection_%s(start_minute, first_id, last_id, cells, body) SELECT m, 1, 1, 1, "
            "zeroblob(%d) FROM i",
            NOW_MINUTE - 14400, step[i], step[i], NOW_MINUTE, level[i], i == 0 ? 100 : 20000);
    for (int dims = 1; dims <= 300; dims++) {
        run("INSERT INTO projection_day_row(start_minute, date, dims, calls, partial, prompt_tokens,"
            " prompt_tokens_known, completion_tokens, completion_tokens_known, total_tokens,"
            " total_tokens_known, cached_tokens, cached_tokens_known, cache_write_tokens,"
            " cache_write_tokens_known, cache_write_1h_tokens, cache_write_1h_tokens_known,"
            " reasoning_tokens, reasoning_tokens_known, tool_calls, tool_calls_known, latency_ms,"
            " latency_ms_known, ttft_ms, ttft_ms_known, cost_reported_nanousd, cost_reported_nanousd_known,"
            " cost_nanousd, cost_nanousd_known) SELECT start_minute, '', %d, "
            "1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0 FROM "
            "projection_day",
            dims);
    }
    run("UPDATE projection_setting SET value=%lld WHERE name='folded_minute'", NOW_MINUTE - 2);
}

static int64_t setting(const char *name)
{
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT ifnull(max(value), 0) FROM projection_setting WHERE name='%s'", name);
    return ask(sql);
}

static void minutes_go_by_whole_quarters_once_folded(void **state)
{
    (void)state;
    add_rollups();
    retention_set_age(&ages, RETAIN_MINUTE, 3600 * SECOND);
    run("UPDATE projection_setting SET value=%lld WHERE name='folded_minute'", NOW_MINUTE - 100);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT min(start_minute) FROM projection_minute"), NOW_MINUTE - 105);
    assert_int_equal(setting("minute_dropped_before"), NOW_MINUTE - 105);
    run("UPDATE projection_setting SET value=%lld WHERE name='folded_minute'", NOW_MINUTE);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT min(start_minute) FROM projection_minute"), NOW_MINUTE - 60);
    settle(NOW_MS + 14 * 60 * SECOND, NULL);
    assert_int_equal(setting("minute_dropped_before"), NOW_MINUTE - 60);
    settle(NOW_MS + 15 * 60 * SECOND, NULL);
    assert_int_equal(setting("minute_dropped_before"), NOW_MINUTE - 45);
    assert_int_equal(ask("SELECT count(*) FROM projection_quarter"), 960);
    assert_int_equal(setting("quarter_dropped_before"), 0);
}

static void quarters_go_by_whole_days(void **state)
{
    (void)state;
    add_rollups();
    retention_set_age(&ages, RETAIN_QUARTER, 2 * DAY_MS);
    settle(NOW_MS + 12 * 3600 * SECOND, NULL);
    assert_int_equal(ask("SELECT min(start_minute) FROM projection_quarter"), NOW_MINUTE - 2 * 1440);
    assert_int_equal(setting("quarter_dropped_before"), NOW_MINUTE - 2 * 1440);
    assert_int_equal(ask("SELECT count(*) FROM projection_day"), 10);
    assert_int_equal(ask("SELECT count(*) FROM projection_minute"), 14400);
}

static void days_go_with_their_rows(void **state)
{
    (void)state;
    add_rollups();
    retention_set_age(&ages, RETAIN_DAY, 3 * DAY_MS);
    settle(NOW_MS + 3 * 3600 * SECOND, NULL); /* a day may have 26 hours */
    assert_int_equal(ask("SELECT count(*) FROM projection_day"), 3);
    assert_int_equal(ask("SELECT count(*) FROM projection_day_row"), 900);
    assert_int_equal(ask("SELECT min(start_minute) FROM projection_day_row"), NOW_MINUTE - 3 * 1440);
    assert_in_range(setting("day_dropped_before"), NOW_MINUTE - 4 * 1440 + 1, NOW_MINUTE - 3 * 1440);
}

static void what_is_kept_for_ever_stays(void **state)
{
    (void)state;
    add_piece(1, 1000, 0);
    add_rollups();
    assert_int_equal(settle(NOW_MS + 30000 * DAY_MS, NULL), 1);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 500);
    assert_int_equal(ask("SELECT count(*) FROM projection_minute"), 14400);
    assert_int_equal(ask("SELECT count(*) FROM projection_setting"), 2);
    assert_true(retention_wait_ms(&retention) > 0);
    assert_false(retention_is_due(&retention));
}

/* ---------------------------------------------------------------- sessions */

static void add_session(int64_t id, int64_t root, int64_t last_ms, int64_t last_id)
{
    run("INSERT INTO session VALUES(%lld, zeroblob(%lld), %lld, %lld, 's-%lld', NULL, NULL)", (long long)id,
        (long long)(16 + id), (long long)id, (long long)root, (long long)id);
    if (last_id != 0)
        run("INSERT INTO projection_session(session, dims, first_ms, last_ms, first_id, last_id, messages,"
            " calls, errors, partial, tokens, prompt_tokens, prompt_tokens_known, completion_tokens,"
            " completion_tokens_known, total_tokens, total_tokens_known, cached_tokens, cached_tokens_known,"
            " cache_write_tokens, cache_write_tokens_known, cache_write_1h_tokens,"
            " cache_write_1h_tokens_known, reasoning_tokens, reasoning_tokens_known, tool_calls,"
            " tool_calls_known, latency_ms, latency_ms_known, ttft_ms, ttft_ms_known, cost_reported_nanousd,"
            " cost_reported_nanousd_known, cost_nanousd, cost_nanousd_known) VALUES(%lld,1,0,%lld,1,%lld"
            ",0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0)",
            (long long)id, (long long)last_ms, (long long)last_id);
}

/* All log rows up to id 1000 are gone. */
static void begin_sessions(void)
{
    add_piece(1, 1000, NOW_MS - 9 * DAY_MS);
    add_piece(1001, 1100, NOW_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    retention_set_age(&ages, RETAIN_MESSAGE, DAY_MS);
    retention_set_age(&ages, RETAIN_SESSION, 5 * DAY_MS);
}

static void again(void)
{
    retention.sessions_due = (struct monotime){ 0 };
}

static void silent_sessions_go_with_their_names(void **state)
{
    int64_t old = NOW_MS - 6 * DAY_MS;

    (void)state;
    begin_sessions();
    add_session(1, 1, old, 500);
    add_session(2, 2, old, 1000);
    add_session(3, 3, old, 1001);                /* silent by its events' times, but they came just now */
    add_session(4, 4, NOW_MS - 4 * DAY_MS, 500); /* not silent for long enough */
    add_session(5, 5, old, 500);                 /* the newest name */
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(session, '') FROM projection_session"), 345);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM session"), 345);
    assert_int_equal(setting("session_dropped_before_ms"), old + 1);
    add_session(6, 6, NOW_MS, 1100);
    again();
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM session"), 346);
    /* as long as the log's rows, if those are kept longer */
    retention_set_age(&ages, RETAIN_MESSAGE, 100 * DAY_MS);
    again();
    settle(NOW_MS + 50 * DAY_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM session"), 346);
}

static void a_root_stays_while_it_is_needed(void **state)
{
    int64_t old = NOW_MS - 6 * DAY_MS;

    (void)state;
    begin_sessions();
    add_session(1, 1, old, 500);     /* a root with two children, silent */
    add_session(2, 1, old, 500);     /* a silent one */
    add_session(3, 1, NOW_MS, 1100); /* one that is not */
    add_session(4, 4, 0, 0);         /* a root that no event was of */
    add_session(5, 4, old, 500);
    add_session(6, 6, NOW_MS, 1100);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(session, '') FROM projection_session"), 36);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM session"), 136);
    run("UPDATE projection_session SET last_ms=%lld, last_id=500 WHERE session=3", (long long)old);
    again();
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT group_concat(id, '') FROM session"), 6);
}

static void sessions_wait_for_what_is_not_flushed(void **state)
{
    bool more;

    (void)state;
    begin_sessions();
    add_session(1, 1, NOW_MS - 6 * DAY_MS, 500);
    add_session(2, 2, NOW_MS, 1100);
    store.next_id = 1102; /* a row that no projection has yet: perhaps of session 1 */
    for (int i = 0; i < 50; i++)
        assert_int_equal(retention_step(&retention, NOW_MS, &more), 0);
    assert_true(more);
    assert_int_equal(ask("SELECT count(*) FROM projection_session"), 2);
    store.next_id = 1101;
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM projection_session"), 1);
}

/* A session comes back after its name has been deleted: it gets a new one. */
static void the_cache_of_names_forgets_with_them(void **state)
{
    static const uint8_t wire[] = { 0xa2, 's', '1', 0xc0, 0xc0 };
    static const uint8_t other[] = { 0xa2, 's', '2', 0xc0, 0xc0 };
    struct names names;
    uint32_t first, newest, again_id;

    (void)state;
    retention_fini(&retention);
    assert_int_equal(names_init(&names, &store, 0), 0);
    assert_int_equal(names_recover(&names), 0);
    assert_int_equal(retention_init(&retention, &store, &names, &ages), 0);
    begin_sessions();
    assert_int_equal(names_session(&names, (struct slice){ wire, sizeof wire }, &first), 0);
    assert_int_equal(names_session(&names, (struct slice){ other, sizeof other }, &newest), 0);
    add_session(100, 100, NOW_MS, 1100);
    run("INSERT INTO projection_session SELECT %u, dims, first_ms, %lld, first_id, 500, messages, calls,"
        " errors, partial, tokens, 0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0 FROM projection_session"
        " WHERE session=100",
        first, (long long)(NOW_MS - 6 * DAY_MS));
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM session WHERE session_id='s1'"), 0);
    assert_int_equal(names_session(&names, (struct slice){ wire, sizeof wire }, &again_id), 0);
    assert_int_not_equal(again_id, first);
    assert_int_equal(ask("SELECT id FROM session WHERE session_id='s1'"), again_id);
    names_fini(&names);
}

static void spans_follow_the_log(void **state)
{
    (void)state;
    begin_sessions();
    run("INSERT INTO projection_session_span VALUES(1, 600, 16), (601, 1000, 16), (1001, 1100, 16)");
    run("WITH RECURSIVE i(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM i WHERE n < 3000)"
        " INSERT INTO projection_session_slice SELECT span, n, x'00' FROM i, projection_session_span");
    retention.turn = 8; /* the index first: what the log leaves to it comes later */
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT span FROM projection_session_span"), 1001);
    assert_int_equal(ask("SELECT count(*) FROM projection_session_slice"), 3000);
    assert_int_equal(ask("SELECT min(span) FROM projection_session_slice"), 1001);
    /* one that the writer may still merge stays */
    run("UPDATE projection_session_span SET tier=3");
    retention_set_age(&ages, RETAIN_DISPATCH, SECOND);
    retention_set_age(&ages, RETAIN_MESSAGE, SECOND);
    settle(NOW_MS + DAY_MS, NULL);
    assert_int_equal(ask("SELECT through_id FROM log_dropped WHERE kind='message'"), 1100);
    assert_int_equal(ask("SELECT count(*) FROM projection_session_slice"), 3000);
}

/* ----------------------------------------------------------------- failures */

static int refuse(void *arg)
{
    return --*(int *)arg < 0;
}

static void a_slice_that_fails_leaves_no_trace(void **state)
{
    int commits = 0;
    bool more = false;

    (void)state;
    add_piece(1, 1000, NOW_MS - 9 * DAY_MS);
    add_piece(1001, 1002, NOW_MS);
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    sqlite3_commit_hook(store.db, refuse, &commits);
    assert_int_not_equal(retention_step(&retention, NOW_MS, &more), 0);
    assert_true(sqlite3_get_autocommit(store.db));
    assert_int_equal(retention.tally.rows[RETAIN_DISPATCH], 0);
    assert_false(retention_is_due(&retention));
    sqlite3_commit_hook(store.db, NULL, NULL);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 501);
    assert_int_equal(ask("SELECT sum(through_id) FROM log_dropped"), 0);
    settle(NOW_MS, NULL);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 1);
}

/* ---------------------------------------------------------------------- size */

/* Ten rounds of rows come and go: the file is as large as two of them. */
static void freed_pages_are_used_again(void **state)
{
    int64_t after_two = 0;

    (void)state;
    retention_set_age(&ages, RETAIN_DISPATCH, DAY_MS);
    retention_set_age(&ages, RETAIN_MESSAGE, DAY_MS);
    retention_set_age(&ages, RETAIN_REPORT, DAY_MS);
    for (int64_t round = 0; round < 10; round++) {
        add_piece(round * 20000 + 1, round * 20000 + 20000, NOW_MS + round * DAY_MS);
        settle(NOW_MS + round * DAY_MS + 1, NULL);
        if (round == 1)
            after_two = ask("PRAGMA page_count");
    }
    assert_true(ask("PRAGMA page_count") <= after_two + after_two / 20);
    assert_int_equal(ask("SELECT count(*) FROM dispatch"), 10000);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 1);
}

int main(void)
{

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)
    const struct CMUnitTest tests[] = {
        STORE_TEST(rows_go_piece_by_piece_and_kind_by_kind),
        STORE_TEST(a_backlog_goes_in_many_slices),
        STORE_TEST(nothing_goes_before_it_is_in_every_projection),
        STORE_TEST(a_clock_that_was_ahead_keeps_nothing),
        STORE_TEST(the_quarantine_loses_what_is_old),
        STORE_TEST(alerts_that_are_over_go_with_their_messages),
        STORE_TEST(alerts_of_a_window_that_runs_stay),
        STORE_TEST(a_backlog_of_alerts_goes_in_slices),
        STORE_TEST(minutes_go_by_whole_quarters_once_folded),
        STORE_TEST(quarters_go_by_whole_days),
        STORE_TEST(days_go_with_their_rows),
        STORE_TEST(what_is_kept_for_ever_stays),
        STORE_TEST(silent_sessions_go_with_their_names),
        STORE_TEST(a_root_stays_while_it_is_needed),
        STORE_TEST(sessions_wait_for_what_is_not_flushed),
        STORE_TEST(the_cache_of_names_forgets_with_them),
        STORE_TEST(spans_follow_the_log),
        STORE_TEST(a_slice_that_fails_leaves_no_trace),
        STORE_TEST(freed_pages_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
