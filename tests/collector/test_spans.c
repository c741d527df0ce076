/* SPDX-License-Identifier: MIT
 *
 * The session index: whatever the flushes and restarts, the slices name each row of the log with a
 * session once, and few spans stand beside the final ones.
 */
#include "writer_db.h"

#include "collector/writer/spans.h"

#define IDS SCALE(400000)

struct fixture {
    struct store store;
    struct spans spans;
    sqlite3_stmt *dispatch, *message;
    int64_t next_id, watermark;
    unsigned seed;
};

static uint32_t logged[IDS + 1], indexed[IDS + 1]; /* session of each id */

static void open_all(struct fixture *f)
{
    db_open(&f->store);
    assert_int_equal(spans_init(&f->spans, &f->store), 0);
    assert_int_equal(spans_start(&f->spans, f->watermark), 0);
    f->dispatch = db_prepare(&f->store, "INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims,"
                                        " session, event_id) VALUES(?1, 0, 0, 0, 1, ?2, x'00')");
    f->message = db_prepare(&f->store, "INSERT INTO message(id, ts_ms, received_after_ms, kind, dims,"
                                       " session, event_id) VALUES(?1, 0, 0, 16, 1, ?2, x'00')");
}

static void close_all(struct fixture *f)
{
    spans_fini(&f->spans);
    store_close(&f->store);
}

static void begin(struct fixture *f)
{
    memset(logged, 0, sizeof logged);
    *f = (struct fixture){ .next_id = 1, .seed = 1 };
    open_all(f);
    assert_int_equal(store_begin(&f->store), 0);
}

static void flush(struct fixture *f)
{
    assert_int_equal(spans_flush(&f->spans), 0);
    f->watermark = f->next_id - 1;
}

/* One more row; session 0: one without. */
static void row(struct fixture *f, uint32_t session)
{
    sqlite3_stmt *stmt = f->next_id % 5 == 0 ? f->message : f->dispatch;

    assert_true(f->next_id <= IDS);
    if (spans_is_full(&f->spans))
        flush(f);
    sqlite3_bind_int64(stmt, 1, f->next_id);
    if (session != 0)
        sqlite3_bind_int64(stmt, 2, session);
    else
        sqlite3_bind_null(stmt, 2);
    assert_int_equal(store_run(stmt), 0);
    if (session != 0)
        spans_add(&f->spans, f->next_id, session);
    logged[f->next_id++] = session;
}

static void compare(struct fixture *f)
{
    int64_t expected = 0;

    for (int64_t id = 1; id <= f->watermark; id++)
        expected += logged[id] != 0;
    assert_int_equal(db_read_index(&f->store, indexed, IDS + 1), expected);
    for (int64_t id = 1; id <= f->watermark; id++)
        if (indexed[id] != logged[id])
            fail_msg("id %lld: session %u in the log, %u in the index", (long long)id, logged[id],
                     indexed[id]);
    assert_int_equal(db_ask(&f->store,
                            "SELECT count(*) FROM (SELECT 1 FROM projection_session_span WHERE tier"
                            " < 16 GROUP BY tier HAVING count(*) > 7)"),
                     0);
}

/* The writer stops without a flush: memory is gone, the log keeps what is behind the watermark. */
static void restart(struct fixture *f)
{
    assert_int_equal(store_commit(&f->store), 0);
    close_all(f);
    open_all(f);
    assert_int_equal(store_begin(&f->store), 0);
    for (int64_t id = f->watermark + 1; id < f->next_id; id++) /* the replay, which journal.c does */
        if (logged[id] != 0)
            spans_add(&f->spans, id, logged[id]);
}

static void end(struct fixture *f)
{
    assert_int_equal(store_commit(&f->store), 0);
    close_all(f);
}

static void small_flushes_become_larger_spans(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int i = 1; i <= 64; i++) {
        row(&f, 1 + (uint32_t)i % 3);
        flush(&f);
        if (i == 8)
            assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span WHERE tier=1"),
                             1);
    }
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span"), 1);
    assert_int_equal(db_ask(&f.store, "SELECT tier FROM projection_session_span"), 2);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_slice"), 3);
    compare(&f);
    row(&f, 1);
    flush(&f);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span"), 2);
    compare(&f);
    end(&f);
}

static void nothing_new_writes_nothing(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    flush(&f);
    row(&f, 0);
    flush(&f);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span"), 0);
    row(&f, 7);
    flush(&f);
    flush(&f);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span"), 1);
    assert_int_equal(db_ask(&f.store, "SELECT span FROM projection_session_span"), 2);
    end(&f);
}

/* A restart in the middle reads the rows of the small spans again, and goes on merging them. */
static void any_flushes_and_restarts_give_the_same_index(void **state)
{
    (void)state;
    for (unsigned history = 1; history <= 10; history++) {
        struct fixture f;
        db_remove();
        begin(&f);
        f.seed = history;
        uint32_t sessions = 1 + (uint32_t)rand_r(&f.seed) % 5000;
        for (int i = 0; i < SCALE(3000); i++) {
            uint32_t session = rand_r(&f.seed) % 10 == 0 ? 0 : 1 + (uint32_t)rand_r(&f.seed) % sessions;
            row(&f, session == sessions ? UINT32_MAX : session);
            if ((unsigned)rand_r(&f.seed) % (1 + history * 7) == 0)
                flush(&f);
            if (rand_r(&f.seed) % 500 == 0)
                restart(&f);
        }
        flush(&f);
        compare(&f);
        end(&f);
    }
}

static void a_large_span_is_final(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    while (f.next_id <= IDS) {
        row(&f, 1 + (uint32_t)rand_r(&f.seed) % 70000);
        if (f.next_id % SCALE(30000) == 0)
            flush(&f);
        if (f.next_id == IDS / 2)
            restart(&f);
    }
    flush(&f);
    compare(&f);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span WHERE tier=16"),
                     IDS / SPANS_FINAL_ROWS);
    assert_true(f.spans.used < SPANS_FINAL_ROWS);
    end(&f);
}

/* As much as memory holds, in one flush. */
static void memory_is_bounded(void **state)
{
    struct fixture f;
    int64_t id = 0;

    (void)state;
    begin(&f);
    while (!spans_is_full(&f.spans)) {
        id++;
        spans_add(&f.spans, id, 1 + (uint32_t)(id * 7919 % 1000003));
    }
    assert_int_equal(id, SPANS_ROOM);
    assert_int_equal(spans_flush(&f.spans), 0);
    assert_false(spans_is_full(&f.spans));
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span WHERE tier=16"), 1);
    assert_int_equal(db_ask(&f.store, "SELECT sum(length(ids)) >= 131072 FROM projection_session_slice"), 1);
    spans_add(&f.spans, id + 1, 1); /* ids that lie far apart make a span final too */
    spans_add(&f.spans, id + 1 + (1LL << 31), 1);
    assert_true(spans_is_full(&f.spans));
    assert_int_equal(spans_flush(&f.spans), 0);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM projection_session_span WHERE tier=16"), 2);
    end(&f);
}

/* Retention took the first rows out of the log: the slices that are written next do without them. */
static void rows_that_are_gone_do_no_harm(void **state)
{
    struct fixture f;

    (void)state;
    begin(&f);
    for (int i = 1; i <= 70; i++) {
        row(&f, 1 + (uint32_t)i % 4);
        flush(&f);
    }
    db_exec(&f.store, "DELETE FROM dispatch WHERE id <= 30; DELETE FROM message WHERE id <= 30");
    memset(logged, 0, 31 * sizeof *logged);
    restart(&f);
    for (int i = 0; i < 500; i++) {
        row(&f, 1 + (uint32_t)i % 4);
        flush(&f);
    }
    compare(&f);
    end(&f);
}

/* ------------------------------------------------------------------ finding */

static int is_odd(void *arg, int64_t id)
{
    ++*(int *)arg;
    return (int)(id % 2);
}

/* Final spans and memory alike; at most as many as asked for, and nobody looks at other sessions' rows. */
static void rows_of_a_session_are_found(void **state)
{
    int64_t found[64], from, expected;
    struct fixture f;
    int looks = 0;

    (void)state;
    begin(&f);
    while (f.next_id <= IDS) {
        row(&f, f.next_id % 1000 == 1 ? 7 : 8);
        if (f.next_id % SCALE(50000) == 0)
            flush(&f);
    }
    for (int i = 0; i < 2; i++, flush(&f)) {
        assert_int_equal(spans_find(&f.spans, 7, 1, IDS, is_odd, &looks, found, 1), 1);
        assert_int_equal(found[0], 1);
        from = expected = 1001;
        looks = 0;
        for (int n = 64; n == 64; from = found[n - 1] + 1) {
            n = spans_find(&f.spans, 7, from, IDS - 999, is_odd, &looks, found, 64);
            assert_in_range(n, 1, 64);
            for (int k = 0; k < n; k++, expected += 1000)
                assert_int_equal(found[k], expected);
        }
        assert_int_equal(expected, IDS + 1);
        assert_int_equal(looks, IDS / 1000 - 1);
        assert_int_equal(spans_find(&f.spans, 7, 2, 1000, is_odd, &looks, found, 64), 0);
        assert_int_equal(spans_find(&f.spans, 9, 1, IDS, is_odd, &looks, found, 64), 0);
    }
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(small_flushes_become_larger_spans),
        TEST(nothing_new_writes_nothing),
        TEST(any_flushes_and_restarts_give_the_same_index),
        TEST(a_large_span_is_final),
        TEST(memory_is_bounded),
        TEST(rows_that_are_gone_do_no_harm),
        TEST(rows_of_a_session_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
