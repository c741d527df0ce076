/* SPDX-License-Identifier: MIT
 *
 * Reading the log again: every row once, in the order of ids, whatever its kind; unknown is not 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/writer/log_row.h"
#include "collector/writer/store.h"

#define ROWS 500

static char dir[64];
static struct store store;
static enum log_kind kinds[ROWS + 1];

static uint64_t seed = 3;

static uint32_t dice(uint32_t n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % n;
}

static void run(const char *sql)
{
    assert_int_equal(sqlite3_exec(store.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* Row i tells numbers that follow from i. Combinations 1 ... 9000, summed under their number modulo 100. */
static uint32_t dims_of(int64_t i)
{
    return (uint32_t)(1 + i * 4096 % 9000);
}

static void put(int64_t i)
{
    char sql[512];

    kinds[i] = dice(3);
    snprintf(sql, sizeof sql,
             kinds[i] == LOG_REPORT
                 ? "INSERT INTO report(id, ts_ms, received_after_ms, source, event_id, body)"
                   " VALUES(%lld, %lld, 7, 1, x'00', '{}')"
             : kinds[i] == LOG_MESSAGE
                 ? "INSERT INTO message(id, ts_ms, received_after_ms, kind, dims, session, event_id)"
                   " VALUES(%lld, %lld, -7, 16, %u, %s, x'00')"
                 : "INSERT INTO dispatch(id, ts_ms, received_after_ms, dims, session, state, event_id, "
                   "prompt_tokens,"
                   " cached_tokens, latency_ms, cost_reported_nanousd, partial, price, cost_nanousd)"
                   " VALUES(%lld, %lld, 7, %u, %s, %d, x'00', %d, %s, %d, %s, %s, %s, %s)",
             (long long)i, (long long)(1000 * i), dims_of(i), i % 5 == 0 ? "NULL" : "77",
             (int)(i % 4) + 8 * (int)(i % 3), (int)i, i % 7 == 0 ? "NULL" : "0", (int)(2 * i),
             i % 2 == 0 ? "NULL" : "0", i % 3 == 0 ? "NULL" : "1", i % 9 == 0 ? "NULL" : "6",
             i % 11 == 0 ? "NULL" : "13");
    run(sql);
}

static int make(void **state)
{
    char path[128], error[STORE_ERROR_MAX], sql[128];

    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tollgate-log-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    assert_int_equal(store_open(&store, path, "full", error), 0);
    run("BEGIN; INSERT INTO source VALUES(1, 'test', 0)");
    for (int i = 1; i <= 9000; i++) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO dims(id, key, rollup, source, status) VALUES(%d, %d, %d, 1, %d)", i, i,
                 1 + i % 100, i % 6);
        run(sql);
    }
    for (int64_t i = 1; i <= ROWS; i++)
        put(i);
    run("DELETE FROM dispatch WHERE id = 250; DELETE FROM message WHERE id = 250; DELETE FROM report WHERE "
        "id = 250;"
        "COMMIT");
    return 0;
}

static int clean(void **state)
{
    char command[128];

    (void)state;
    store_close(&store);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static void assert_dispatch(const struct log_row *row)
{
    const int64_t i = row->id;

    assert_int_equal(row->status, dims_of(i) % 6);
    assert_int_equal(row->counts, i % 4 == 0);
    assert_int_equal(row->num[D_prompt_tokens], i);
    assert_int_equal(row->num[D_cached_tokens], i % 7 == 0 ? UNKNOWN : 0);
    assert_int_equal(row->num[D_latency_ms], 2 * i);
    assert_int_equal(row->num[D_cost_reported_nanousd], i % 2 == 0 ? UNKNOWN : 0);
    assert_int_equal(row->num[D_price], i % 9 == 0 ? UNKNOWN : 6);
    assert_int_equal(row->num[D_cost_nanousd], i % 11 == 0 ? UNKNOWN : 13);
    assert_int_equal(row->num[D_partial], i % 3 == 0 ? UNKNOWN : 1);
    assert_int_equal(row->num[D_completion_tokens], UNKNOWN);
    assert_int_equal(row->num[D_http_status], UNKNOWN);
}

static void assert_row(const struct log_row *row)
{
    const int64_t i = row->id;

    assert_int_equal(row->kind, kinds[i]);
    assert_int_equal(row->ts_ms, 1000 * i);
    assert_int_equal(row->received_ms, 1000 * i + (row->kind == LOG_MESSAGE ? -7 : 7));
    assert_int_equal(row->dims, row->kind == LOG_REPORT ? 0 : dims_of(i));
    assert_int_equal(row->rollup, row->kind == LOG_REPORT ? 0 : 1 + dims_of(i) % 100);
    assert_int_equal(row->session, row->kind == LOG_REPORT || i % 5 == 0 ? 0 : 77);
    if (row->kind == LOG_DISPATCH) {
        assert_dispatch(row);
    } else {
        assert_false(row->counts);
        assert_null(row->num);
    }
}

static void rows_come_in_the_order_of_ids(void **state)
{
    static const int64_t ranges[][2] = { { 1, ROWS }, { 0, INT64_MAX }, { 249, 251 },           { 250, 250 },
                                         { 7, 7 },    { 400, 399 },     { ROWS + 1, INT64_MAX } };

    (void)state;
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        int64_t next = ranges[k][0] < 1 ? 1 : ranges[k][0], last = ranges[k][1] < ROWS ? ranges[k][1] : ROWS;
        struct log_reader r;
        struct log_row row;
        int rc;
        assert_int_equal(log_reader_open(&r, store.db, ranges[k][0], ranges[k][1]), 0);
        while ((rc = log_reader_next(&r, &row)) == 1) {
            next += next == 250;
            assert_int_equal(row.id, next++);
            assert_row(&row);
        }
        assert_int_equal(rc, 0);
        next += next == 250 && last == 250;
        assert_true(next > last);
        assert_int_equal(log_reader_next(&r, &row), 0); /* the end stays the end */
        log_reader_close(&r);
    }
}

static void one_dispatch_by_its_id(void **state)
{
    int64_t num[DISPATCH_NUMS];
    sqlite3_stmt *stmt;
    struct log_row row;

    (void)state;
    assert_int_equal(log_row_prepare(store.db, &stmt), 0);
    for (int64_t i = 1; i <= ROWS + 1; i++) {
        bool is_one = i <= ROWS && i != 250 && kinds[i] == LOG_DISPATCH;
        assert_int_equal(log_row_read(stmt, i, num, &row), is_one);
        if (is_one)
            assert_row(&row);
    }
    sqlite3_finalize(stmt);
}

static void a_broken_file_is_told(void **state)
{
    struct log_reader r;

    (void)state;
    run("ALTER TABLE message RENAME TO gone");
    assert_true(log_reader_open(&r, store.db, 1, ROWS) < 0);
    run("ALTER TABLE gone RENAME TO message");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_come_in_the_order_of_ids),
        cmocka_unit_test(one_dispatch_by_its_id),
        cmocka_unit_test(a_broken_file_is_told),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
