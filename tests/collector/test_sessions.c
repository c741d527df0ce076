/* SPDX-License-Identifier: MIT
 *
 * Session totals: what the table says after any flushes is what the rows come to. (test_history.c
 * compares whole random histories; here are the cases one by one.)
 */
#include "writer_db.h"

#include "collector/writer/sessions.h"

struct fixture {
    struct store store;
    struct session_totals sessions;
    int64_t num[DISPATCH_NUMS];
    int64_t next_id;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){ .next_id = 1 };
    db_open(&f->store);
    assert_int_equal(session_totals_init(&f->sessions, &f->store), 0);
    assert_int_equal(session_totals_start(&f->sessions), 0);
    assert_int_equal(store_begin(&f->store), 0);
    for (int i = 0; i < DISPATCH_NUMS; i++)
        f->num[i] = UNKNOWN;
}

static void end(struct fixture *f)
{
    assert_int_equal(store_commit(&f->store), 0);
    session_totals_fini(&f->sessions);
    store_close(&f->store);
}

static struct log_row dispatch(struct fixture *f, uint32_t session, int64_t ts_ms)
{
    return (struct log_row){ .id = f->next_id++,
                             .ts_ms = ts_ms,
                             .received_ms = ts_ms,
                             .kind = LOG_DISPATCH,
                             .counts = true,
                             .status = STATUS_ok,
                             .dims = 3,
                             .rollup = 3,
                             .session = session,
                             .num = f->num };
}

static struct log_row message(struct fixture *f, uint32_t session, int64_t ts_ms)
{
    return (struct log_row){ .id = f->next_id++,
                             .ts_ms = ts_ms,
                             .received_ms = ts_ms,
                             .kind = LOG_MESSAGE,
                             .dims = 9,
                             .session = session };
}

static void give(struct fixture *f, struct log_row row)
{
    assert_false(session_totals_is_full(&f->sessions));
    session_totals_row(&f->sessions, &row);
}

static void flush(struct fixture *f)
{
    assert_int_equal(session_totals_flush(&f->sessions), 0);
    assert_false(session_totals_is_dirty(&f->sessions));
}

static int64_t of(struct fixture *f, const char *column, uint32_t session)
{
    char sql[160];

    snprintf(sql, sizeof sql, "SELECT ifnull((SELECT %s FROM projection_session WHERE session=%u), -1)",
             column, session);
    return db_ask(&f->store, sql);
}

static void totals_add_up_over_flushes(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int i = 0; i < 6; i++) {
        struct log_row row = dispatch(&f, 1 + (uint32_t)i % 2, 1000 + i);
        f.num[D_prompt_tokens] = i % 3 == 0 ? UNKNOWN : 10;
        f.num[D_partial] = i == 5 ? 1 : UNKNOWN;
        row.status = i < 2 ? STATUS_error : i < 4 ? STATUS_timeout : STATUS_aborted;
        give(&f, row);
        if (i % 2 == 0)
            flush(&f);
    }
    flush(&f);
    assert_int_equal(of(&f, "calls", 1), 3);
    assert_int_equal(of(&f, "errors", 1), 2); /* error and timeout; aborted is none */
    assert_int_equal(of(&f, "partial", 2), 1);
    assert_int_equal(of(&f, "prompt_tokens", 1), 20);
    assert_int_equal(of(&f, "prompt_tokens_known", 1), 2);
    assert_int_equal(of(&f, "completion_tokens_known", 1), 0);
    assert_int_equal(of(&f, "first_ms", 2), 1001);
    assert_int_equal(of(&f, "last_ms", 2), 1005);
    assert_int_equal(of(&f, "first_id", 2), 2);
    assert_int_equal(of(&f, "last_id", 2), 6);
    assert_int_equal(db_ask(&f.store, "SELECT watermark FROM projection WHERE name='session'"), 6);
    end(&f);
}

static void tokens_are_the_total_or_its_parts(void **state)
{
    static const int64_t cases[][4] = { /* prompt, completion, total, tokens */
                                        { 5, 7, 12, 12 },
                                        { 5, 7, 20, 20 },
                                        { 5, 7, UNKNOWN, 12 },
                                        { UNKNOWN, 7, UNKNOWN, 7 },
                                        { 5, UNKNOWN, UNKNOWN, 5 },
                                        { UNKNOWN, UNKNOWN, UNKNOWN, 0 },
                                        { 5, 7, 0, 0 }
    };
    struct fixture f;

    (void)state;
    begin(&f);
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        f.num[D_prompt_tokens] = cases[i][0];
        f.num[D_completion_tokens] = cases[i][1];
        f.num[D_total_tokens] = cases[i][2];
        give(&f, dispatch(&f, i + 1, 1));
        flush(&f);
        assert_int_equal(of(&f, "tokens", i + 1), cases[i][3]);
    }
    end(&f);
}

/* A late event widens the span to the front; what does not count widens it too. */
static void spans_are_over_all_rows(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int flushed = 0; flushed < 2; flushed++) {
        uint32_t session = 1 + (uint32_t)flushed;
        give(&f, dispatch(&f, session, 5000));
        if (flushed)
            flush(&f);
        struct log_row superseded = dispatch(&f, session, 3000);
        superseded.counts = false;
        give(&f, superseded);
        if (flushed)
            flush(&f);
        give(&f, message(&f, session, 9000));
        flush(&f);
        assert_int_equal(of(&f, "first_ms", session), 3000);
        assert_int_equal(of(&f, "last_ms", session), 9000);
        assert_int_equal(of(&f, "last_id - first_id", session), 2);
        assert_int_equal(of(&f, "calls", session), 1);
        assert_int_equal(of(&f, "messages", session), 1);
    }
    end(&f);
}

/* A message says nothing of provider and model: a session shows its last call's combination. */
static void the_combination_is_the_last_calls(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    give(&f, message(&f, 1, 1));
    flush(&f);
    assert_int_equal(of(&f, "dims", 1), 9);
    give(&f, dispatch(&f, 1, 2));
    give(&f, message(&f, 1, 3));
    flush(&f);
    assert_int_equal(of(&f, "dims", 1), 3);
    give(&f, message(&f, 1, 4));
    flush(&f);
    assert_int_equal(of(&f, "dims", 1), 3);
    struct log_row other = dispatch(&f, 1, 5);
    other.dims = 4;
    give(&f, other);
    flush(&f);
    assert_int_equal(of(&f, "dims", 1), 4);
    end(&f);
}

static void a_retracted_row_is_taken_out(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int flushed = 0; flushed < 2; flushed++) {
        uint32_t session = 1 + (uint32_t)flushed;
        f.num[D_total_tokens] = 100;
        f.num[D_partial] = 1;
        struct log_row partial = dispatch(&f, session, 1);
        partial.status = STATUS_error;
        give(&f, partial);
        if (flushed)
            flush(&f);
        assert_int_equal(session_totals_retract(&f.sessions, &partial), 0);
        if (flushed) /* at once: no query sees both the old row and the new one */
            assert_int_equal(of(&f, "calls", session), 0);
        f.num[D_total_tokens] = 130;
        f.num[D_partial] = UNKNOWN;
        give(&f, dispatch(&f, session, 2));
        flush(&f);
        assert_int_equal(of(&f, "calls", session), 1);
        assert_int_equal(of(&f, "errors", session), 0);
        assert_int_equal(of(&f, "partial", session), 0);
        assert_int_equal(of(&f, "tokens", session), 130);
        assert_int_equal(of(&f, "total_tokens_known", session), 1);
        assert_int_equal(of(&f, "first_ms", session), 1); /* its row is still in the log */
    }
    end(&f);
}

/* The row is priced anew, in memory or in the file; or not at all any more. */
static void a_restored_row_counts_as_it_is_now(void **state)
{
    static const int64_t costs[] = { 900, UNKNOWN, 0, 12 };
    struct fixture f;

    (void)state;
    begin(&f);
    for (int flushed = 0; flushed < 2; flushed++) {
        uint32_t session = 1 + (uint32_t)flushed;
        f.num[D_total_tokens] = 100;
        f.num[D_cost_nanousd] = UNKNOWN;
        struct log_row row = dispatch(&f, session, 1);
        give(&f, row);
        if (flushed)
            flush(&f);
        for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
            assert_int_equal(session_totals_retract(&f.sessions, &row), 0);
            f.num[D_cost_nanousd] = costs[i];
            assert_int_equal(session_totals_restore(&f.sessions, &row), 0);
            if (!flushed)
                continue;
            assert_int_equal(of(&f, "calls", session), 1);
            assert_int_equal(of(&f, "tokens", session), 100);
            assert_int_equal(of(&f, "cost_nanousd", session), costs[i] >= 0 ? costs[i] : 0);
            assert_int_equal(of(&f, "cost_nanousd_known", session), costs[i] >= 0);
        }
        flush(&f);
        assert_int_equal(of(&f, "calls", session), 1);
        assert_int_equal(of(&f, "cost_nanousd", session), 12);
        assert_int_equal(of(&f, "cost_nanousd_known", session), 1);
    }
    end(&f);
}

static void rows_up_to_the_watermark_and_rows_without_session_are_ignored(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    struct log_row row = dispatch(&f, 1, 1);
    give(&f, row);
    flush(&f);
    give(&f, row);
    assert_false(session_totals_is_dirty(&f.sessions));
    give(&f, dispatch(&f, 0, 1));
    assert_true(session_totals_is_dirty(&f.sessions)); /* the watermark has to move */
    struct log_row report = { .id = f.next_id++, .kind = LOG_REPORT };
    give(&f, report);
    flush(&f);
    assert_int_equal(of(&f, "calls", 1), 1);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session"), 1);
    assert_int_equal(db_ask(&f.store, "SELECT watermark FROM projection WHERE name='session'"), 3);
    end(&f);
}

static void memory_is_bounded(void **state)
{
    struct fixture f;
    uint32_t n = 0;

    (void)state;
    begin(&f);
    while (!session_totals_is_full(&f.sessions))
        give(&f, dispatch(&f, ++n * 2654435761U, 1));
    assert_int_equal(n, SESSIONS_CELLS_MAX);
    flush(&f);
    assert_false(session_totals_is_full(&f.sessions));
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session"), n);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_slice"), n);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(totals_add_up_over_flushes),
        TEST(tokens_are_the_total_or_its_parts),
        TEST(spans_are_over_all_rows),
        TEST(the_combination_is_the_last_calls),
        TEST(a_retracted_row_is_taken_out),
        TEST(a_restored_row_counts_as_it_is_now),
        TEST(rows_up_to_the_watermark_and_rows_without_session_are_ignored),
        TEST(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
