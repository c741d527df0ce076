/* SPDX-License-Identifier: MIT */
#include "collector/writer/partitions.h"
#include "writer_db.h"

#define DAY_MS 86400000LL
#define NOW_MS (20000 * DAY_MS)

static struct store store;

static int open_store(void **state)
{
    make_dir(state);
    db_open(&store);
    return 0;
}

static int close_store(void **state)
{
    store_close(&store);
    return remove_dir(state);
}

static int64_t ask(const char *sql)
{
    return db_ask(&store, sql);
}

static struct retention_ages *ages_of(struct retention_ages *ages, int64_t dispatch, int64_t message,
                                      int64_t report)
{
    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        retention_set_age(ages, (enum retention_kind)kind, RETENTION_FOREVER);
    retention_set_age(ages, RETAIN_DISPATCH, dispatch);
    retention_set_age(ages, RETAIN_MESSAGE, message);
    retention_set_age(ages, RETAIN_REPORT, report);
    return ages;
}

static void row(struct partitions *p, int64_t id, int64_t received_ms, int64_t ts_ms, enum log_kind kind)
{
    struct log_row r = { .id = id, .ts_ms = ts_ms, .received_ms = received_ms, .kind = kind };

    assert_false(partitions_is_full(p));
    partitions_row(p, &r);
}

static void the_pieces_say_what_is_in_them(void **state)
{
    struct partitions p;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, NULL), 0);
    assert_int_equal(partitions_start(&p), 0);
    assert_false(partitions_is_dirty(&p));
    row(&p, 5, NOW_MS, NOW_MS - 10, LOG_DISPATCH);
    row(&p, 6, NOW_MS + 1, NOW_MS + 99, LOG_MESSAGE); /* an event's time may be ahead */
    row(&p, 7, NOW_MS - 5, NOW_MS, LOG_REPORT);       /* and the clock may step back */
    assert_true(partitions_is_dirty(&p));
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 0);
    assert_int_equal(partitions_flush(&p), 0);
    assert_false(partitions_is_dirty(&p));
    assert_int_equal(p.watermark, 7);
    assert_int_equal(
        ask("SELECT count(*) FROM log_partition WHERE first_id=5 AND last_id=7 AND dispatches=1 AND"
            " messages=1 AND reports=1 AND first_received_ms=20000*86400000 AND"
            " last_received_ms=20000*86400000+1 AND newest_ms=20000*86400000+99"),
        1);
    row(&p, 8, NOW_MS + 2, 0, LOG_DISPATCH); /* the same piece goes on */
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT last_id FROM log_partition WHERE dispatches=2"), 8);
    partitions_fini(&p);
}

static void a_new_day_begins_a_new_piece(void **state)
{
    struct partitions p;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, NULL), 0);
    assert_int_equal(partitions_start(&p), 0);
    row(&p, 1, NOW_MS - 1, 0, LOG_DISPATCH);
    row(&p, 2, NOW_MS, 0, LOG_DISPATCH);
    row(&p, 3, NOW_MS + DAY_MS - 1, 0, LOG_DISPATCH);
    row(&p, 4, NOW_MS + DAY_MS, 0, LOG_DISPATCH);
    row(&p, 5, NOW_MS + DAY_MS - 1, 0, LOG_DISPATCH); /* a step back over midnight begins none */
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 3);
    assert_int_equal(ask("SELECT group_concat(last_id, '') FROM log_partition"), 135);
    partitions_fini(&p);
}

static void pieces_are_a_tenth_of_the_shortest_age(void **state)
{
    struct retention_ages ages;
    struct partitions p;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, ages_of(&ages, 90 * DAY_MS, RETENTION_FOREVER, 100000)), 0);
    assert_int_equal(partitions_start(&p), 0);
    row(&p, 1, NOW_MS, 0, LOG_DISPATCH);
    row(&p, 2, NOW_MS + 9999, 0, LOG_DISPATCH);
    row(&p, 3, NOW_MS + 10000, 0, LOG_DISPATCH);
    retention_set_age(&ages, RETAIN_REPORT, 1); /* but no shorter than is of use */
    row(&p, 4, NOW_MS + 10000 + PARTITION_MIN_MS - 1, 0, LOG_DISPATCH);
    row(&p, 5, NOW_MS + 10000 + PARTITION_MIN_MS, 0, LOG_DISPATCH);
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT group_concat(last_id, '') FROM log_partition"), 245);
    partitions_fini(&p);
}

static void a_piece_has_a_bounded_number_of_rows(void **state)
{
    struct partitions p;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, NULL), 0);
    assert_int_equal(partitions_start(&p), 0);
    for (int64_t id = 1; id <= PARTITION_ROWS + 1; id++)
        row(&p, id, NOW_MS, 0, id % 2 == 0 ? LOG_MESSAGE : LOG_DISPATCH);
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 2);
    assert_int_equal(ask("SELECT min(last_id) FROM log_partition"), PARTITION_ROWS);
    partitions_fini(&p);
}

/* A replay may go over many days between two flushes: then one must come. */
static void memory_is_bounded(void **state)
{
    struct partitions p;
    int64_t id = 0;
    int flushes = 0;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, NULL), 0);
    assert_int_equal(partitions_start(&p), 0);
    while (id < 100) {
        if (partitions_is_full(&p)) {
            assert_int_equal(partitions_flush(&p), 0);
            assert_int_equal(p.watermark, id);
            flushes++;
        }
        id++;
        row(&p, id, NOW_MS + id * DAY_MS, 0, LOG_DISPATCH);
    }
    assert_true(flushes >= 100 / PARTITION_PENDING);
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT count(*) FROM log_partition WHERE first_id = last_id"), 100);
    partitions_fini(&p);
}

static void a_restart_goes_on_where_the_file_ends(void **state)
{
    struct partitions p;

    (void)state;
    assert_int_equal(partitions_init(&p, &store, NULL), 0);
    assert_int_equal(partitions_start(&p), 0);
    row(&p, 1, NOW_MS, 7, LOG_DISPATCH);
    row(&p, 2, NOW_MS, 7, LOG_DISPATCH);
    assert_int_equal(partitions_flush(&p), 0);
    row(&p, 3, NOW_MS, 7, LOG_DISPATCH); /* is not flushed */
    assert_int_equal(partitions_start(&p), 0);
    assert_int_equal(p.watermark, 2);
    assert_false(partitions_is_dirty(&p));
    row(&p, 1, NOW_MS, 7, LOG_DISPATCH); /* the replay begins somewhere before */
    row(&p, 2, NOW_MS, 7, LOG_DISPATCH);
    assert_false(partitions_is_dirty(&p));
    row(&p, 3, NOW_MS, 7, LOG_DISPATCH);
    row(&p, 4, NOW_MS, 8, LOG_MESSAGE);
    assert_int_equal(partitions_flush(&p), 0);
    assert_int_equal(ask("SELECT count(*) FROM log_partition"), 1);
    assert_int_equal(ask("SELECT dispatches * 10 + messages FROM log_partition"), 31);
    assert_int_equal(ask("SELECT newest_ms FROM log_partition"), 8);
    partitions_fini(&p);
}

int main(void)
{

#define STORE_TEST(f) cmocka_unit_test_setup_teardown(f, open_store, close_store)
    const struct CMUnitTest tests[] = {
        STORE_TEST(the_pieces_say_what_is_in_them),
        STORE_TEST(a_new_day_begins_a_new_piece),
        STORE_TEST(pieces_are_a_tenth_of_the_shortest_age),
        STORE_TEST(a_piece_has_a_bounded_number_of_rows),
        STORE_TEST(memory_is_bounded),
        STORE_TEST(a_restart_goes_on_where_the_file_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
