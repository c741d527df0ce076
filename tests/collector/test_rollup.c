/* SPDX-License-Identifier: MIT
 *
 * The projection 'usage' against a recount of the dispatch table. Both sides become a sorted list of
 * facts (time, combination, what, how much), which must be equal.
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

#include "collector/base/sketch.h"
#include "collector/base/stored.h"
#include "collector/writer/rollup.h"

#define DAY_MIN 1440LL
#define NOW_MIN (29918880LL + 600) /* 2026-11-19, 10:00 UTC */
#define DIMS    12
#define NUMBERS SLAB_LATENCY_SKETCH

static char dir[64], path[128];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tollgate-rollup-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static uint64_t seed = 7;

static uint32_t dice(uint32_t n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % n;
}

/* ------------------------------------------------------------------ fixture */

struct fixture {
    struct store store;
    struct zone *zone;
    struct rollup rollup;
    sqlite3_stmt *read_row;
    int64_t next_id;
};

static int64_t ask(struct fixture *f, const char *sql)
{
    int64_t n = -1;

    assert_int_equal(store_number(&f->store, sql, &n), 0);
    return n;
}

static void run(struct fixture *f, const char *sql)
{
    assert_int_equal(sqlite3_exec(f->store.db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* Gives the rollup what the log has behind the watermark. */
static void replay(struct fixture *f)
{
    struct log_reader reader;
    struct log_row row;
    int rc;

    assert_int_equal(log_reader_open(&reader, f->store.db, f->rollup.watermark + 1, INT64_MAX), 0);
    while ((rc = log_reader_next(&reader, &row)) == 1) {
        assert_false(rollup_is_full(&f->rollup));
        rollup_row(&f->rollup, &row);
    }
    assert_int_equal(rc, 0);
    log_reader_close(&reader);
}

/* Opens the file (again), in a transaction. The combinations are 1 ... DIMS; the odd ones beyond 8 are summed
 * under combination 1. */
static void fixture_open(struct fixture *f, const char *zone)
{
    char error[STORE_ERROR_MAX], sql[256];

    assert_int_equal(store_open(&f->store, path, "full", error), 0);
    run(f, "PRAGMA synchronous=OFF");
    assert_non_null(f->zone = zone_open(zone));
    assert_int_equal(rollup_init(&f->rollup, &f->store, f->zone), 0);
    assert_int_equal(log_row_prepare(f->store.db, &f->read_row), 0);
    if (ask(f, "SELECT count(*) FROM dims") == 0) {
        run(f, "INSERT INTO source VALUES(1, 'test', 0)");
        for (int i = 1; i <= DIMS; i++) {
            snprintf(sql, sizeof sql,
                     "INSERT INTO dims(id, key, rollup, source, status) VALUES(%d, %d, %d, 1, %d)", i, i,
                     i > 8 && i % 2 == 1 ? 1 : i, i % 6);
            run(f, sql);
        }
    }
    assert_int_equal(rollup_start(&f->rollup), 0);
    replay(f);
    f->next_id =
        ask(f, "SELECT 1 + max(ifnull((SELECT max(id) FROM dispatch), 0),"
               " ifnull((SELECT max(id) FROM message), 0), ifnull((SELECT max(id) FROM report), 0))");
    assert_int_equal(store_begin(&f->store), 0);
}

static void fixture_close(struct fixture *f)
{
    store_rollback(&f->store);
    rollup_fini(&f->rollup);
    store_close(&f->store);
    zone_close(f->zone);
}

static void commit(struct fixture *f)
{
    assert_int_equal(store_commit(&f->store), 0);
    assert_int_equal(store_begin(&f->store), 0);
}

static void flush(struct fixture *f, int64_t now_minute)
{
    assert_int_equal(rollup_flush(&f->rollup, now_minute * MINUTE_MS), 0);
    assert_false(rollup_is_dirty(&f->rollup));
    assert_false(rollup_must_flush(&f->rollup));
    commit(f);
}

static uint32_t rollup_of(uint32_t dims)
{
    return dims > 8 && dims <= DIMS && dims % 2 == 1 ? 1 : dims;
}

/* A dispatch; num NULL: all unknown. Returns its id. */
static int64_t put(struct fixture *f, int64_t ts_ms, uint32_t dims, const int64_t *num, bool counts)
{
    static const char insert[] =
        "INSERT INTO dispatch(id, ts_ms, received_after_ms, state, dims, event_id, partial"
#define X(name) "," #name
        DISPATCH_SUMMED(X)
#undef X
            ") VALUES(?,?,5,?,?,x'00',?"
#define X(name) ",?"
        DISPATCH_SUMMED(X)
#undef X
            ")";
    sqlite3_stmt *stmt;
    int64_t unknown[DISPATCH_NUMS];
    int at = 1;

    for (int i = 0; i < DISPATCH_NUMS; i++)
        unknown[i] = UNKNOWN;
    num = num != NULL ? num : unknown;
    assert_int_equal(store_prepare(&f->store, insert, &stmt), 0);
    sqlite3_bind_int64(stmt, at++, f->next_id);
    sqlite3_bind_int64(stmt, at++, ts_ms);
    sqlite3_bind_int(stmt, at++, counts ? (int)dice(2) * 8 : 2);
    sqlite3_bind_int64(stmt, at++, dims);
    bind_num(stmt, at++, num[D_partial]);
    const int sums = at;
#define X(name) bind_num(stmt, at++, num[D_##name]);
    DISPATCH_SUMMED(X)
#undef X
    stored_bind_total_tokens(stmt, sums + SUM_total_tokens, num[D_total_tokens], num[D_prompt_tokens],
                             num[D_completion_tokens]);
    assert_int_equal(store_run(stmt), 0);
    sqlite3_finalize(stmt);
    struct log_row row = { .id = f->next_id++,
                           .ts_ms = ts_ms,
                           .kind = LOG_DISPATCH,
                           .counts = counts,
                           .dims = dims,
                           .rollup = rollup_of(dims),
                           .num = num };
    rollup_row(&f->rollup, &row);
    return row.id;
}

static void put_other(struct fixture *f, int64_t ts_ms, enum log_kind kind)
{
    char sql[256];

    snprintf(sql, sizeof sql,
             kind == LOG_MESSAGE ? "INSERT INTO message(id, ts_ms, received_after_ms, kind, dims, event_id)"
                                   " VALUES(%lld, %lld, 0, 16, 1, x'00')"
                                 : "INSERT INTO report(id, ts_ms, received_after_ms, source, event_id, body)"
                                   " VALUES(%lld, %lld, 0, 1, x'00', '{}')",
             (long long)f->next_id, (long long)ts_ms);
    run(f, sql);
    struct log_row row = { .id = f->next_id++, .ts_ms = ts_ms, .kind = kind };
    rollup_row(&f->rollup, &row);
}

/* Takes a row out of the count, if it counts. */
static void retract(struct fixture *f, int64_t id)
{
    int64_t num[DISPATCH_NUMS];
    struct log_row row;
    char sql[128];
    int rc = log_row_read(f->read_row, id, num, &row);

    assert_true(rc >= 0);
    if (rc == 0 || !row.counts)
        return;
    assert_int_equal(rollup_retract(&f->rollup, &row), 0);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET state = state | 1 WHERE id=%lld", (long long)id);
    run(f, sql);
    if (rollup_must_flush(&f->rollup))
        assert_int_equal(rollup_flush(&f->rollup, 0), 0);
}

/* Prices a row anew, if it counts. */
static void reprice(struct fixture *f, int64_t id, int64_t cost)
{
    int64_t num[DISPATCH_NUMS];
    struct log_row row;
    char sql[160];
    int rc = log_row_read(f->read_row, id, num, &row);

    assert_true(rc >= 0);
    if (rc == 0 || !row.counts)
        return;
    assert_int_equal(rollup_retract(&f->rollup, &row), 0);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET price=%s, cost_nanousd=nullif(%lld, -1) WHERE id=%lld",
             cost >= 0 ? "7" : "NULL", (long long)cost, (long long)id);
    run(f, sql);
    assert_int_equal(log_row_read(f->read_row, id, num, &row), 1);
    assert_int_equal(num[D_cost_nanousd], cost);
    assert_int_equal(num[D_price], cost >= 0 ? 7 : UNKNOWN);
    assert_int_equal(rollup_restore(&f->rollup, &row), 0);
    if (id <= f->rollup.watermark)
        assert_true(rollup_must_flush(&f->rollup));
    if (rollup_must_flush(&f->rollup))
        assert_int_equal(rollup_flush(&f->rollup, 0), 0);
}

/* -------------------------------------------------------------------- facts */

enum { WHAT_FIRST_ID = 900, WHAT_LAST_ID, WHAT_POINT = 1000 }; /* below: enum slab_column */

struct fact {
    int64_t start, dims, what, value;
};

struct facts {
    struct fact *at; /* owned */
    size_t count, room;
};

static void add_fact(struct facts *facts, int64_t start, int64_t dims, int64_t what, int64_t value)
{
    if (value == 0)
        return;
    if (facts->count == facts->room) {
        facts->room = facts->room * 2 + 64;
        facts->at = realloc(facts->at, facts->room * sizeof *facts->at);
        assert_non_null(facts->at);
    }
    facts->at[facts->count++] = (struct fact){ start, dims, what, value };
}

static int compare_facts(const void *a, const void *b)
{
    const struct fact *x = a, *y = b;

    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->dims != y->dims)
        return x->dims < y->dims ? -1 : 1;
    return (x->what > y->what) - (x->what < y->what);
}

/* Sorts, and puts what is told of one thing together. */
static void close_facts(struct facts *facts)
{
    size_t used = 0;

    if (facts->count > 0)
        qsort(facts->at, facts->count, sizeof *facts->at, compare_facts);
    for (size_t i = 0; i < facts->count; i++) {
        struct fact *last = used > 0 ? &facts->at[used - 1] : NULL;
        if (last != NULL && compare_facts(last, &facts->at[i]) == 0) {
            if (last->what == WHAT_FIRST_ID)
                last->value = last->value < facts->at[i].value ? last->value : facts->at[i].value;
            else if (last->what == WHAT_LAST_ID)
                last->value = last->value > facts->at[i].value ? last->value : facts->at[i].value;
            else
                last->value += facts->at[i].value;
        } else {
            facts->at[used++] = facts->at[i];
        }
    }
    facts->count = used;
    for (used = 0; used < facts->count && facts->at[used].value != 0;)
        used++;
    for (size_t i = used; i < facts->count; i++)
        if (facts->at[i].value != 0)
            facts->at[used++] = facts->at[i];
    facts->count = used;
}

static void slab_facts(struct facts *facts, int64_t start, const void *body, size_t len, int64_t cells)
{
    struct slab_view v;

    assert_int_equal(slab_open(body, len, &v), 0);
    assert_int_equal(v.cells, cells);
    int64_t *dims = malloc((v.cells + 1) * sizeof *dims), *calls = malloc((v.cells + 1) * sizeof *calls),
            *n = malloc((v.cells + 1) * sizeof *n);
    assert_int_equal(slab_read(&v, SLAB_DIMS, NULL, dims), 0);
    assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, calls), 0);
    for (int c = SLAB_CALLS; c < NUMBERS; c++) {
        assert_int_equal(slab_read(&v, (enum slab_column)c, calls, n), 0);
        for (uint32_t i = 0; i < v.cells; i++)
            add_fact(facts, start, dims[i], c, n[i]);
    }
    for (int s = 0; s < SLAB_SKETCHES; s++) {
        struct slab_points p = slab_points(&v, (enum slab_column)(SLAB_LATENCY_SKETCH + s));
        uint16_t bucket;
        int64_t count;
        for (uint32_t i = 0; i < v.cells; i++) {
            assert_true(slab_points_cell(&p) >= 0);
            while (slab_points_next(&p, &bucket, &count))
                add_fact(facts, start, dims[i], WHAT_POINT * (s + 1) + bucket, count);
        }
    }
    free(dims);
    free(calls);
    free(n);
}

static struct facts told_facts(struct fixture *f, const char *table)
{
    struct facts facts = { 0 };
    sqlite3_stmt *stmt;
    char sql[128];
    int rc;

    snprintf(sql, sizeof sql, "SELECT start_minute, first_id, last_id, cells, body FROM %s", table);
    assert_int_equal(store_prepare(&f->store, sql, &stmt), 0);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t start = sqlite3_column_int64(stmt, 0);
        add_fact(&facts, start, 0, WHAT_FIRST_ID, sqlite3_column_int64(stmt, 1));
        add_fact(&facts, start, 0, WHAT_LAST_ID, sqlite3_column_int64(stmt, 2));
        slab_facts(&facts, start, sqlite3_column_blob(stmt, 4), (size_t)sqlite3_column_bytes(stmt, 4),
                   sqlite3_column_int64(stmt, 3));
    }
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(stmt);
    close_facts(&facts);
    return facts;
}

static struct facts told_day_rows(struct fixture *f)
{
    struct facts facts = { 0 };
    sqlite3_stmt *stmt;

    assert_int_equal(store_prepare(&f->store, "SELECT * FROM projection_day_row", &stmt), 0);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        int64_t start = sqlite3_column_int64(stmt, 0), dims = sqlite3_column_int64(stmt, 2);
        char date[ZONE_DATE_MAX];
        zone_date(f->zone, start * MINUTE_MS, date);
        assert_string_equal(sqlite3_column_text(stmt, 1), date);
        assert_true(sqlite3_column_int64(stmt, 3) > 0);
        add_fact(&facts, start, dims, SLAB_CALLS, sqlite3_column_int64(stmt, 3));
        add_fact(&facts, start, dims, SLAB_PARTIAL, sqlite3_column_int64(stmt, 4));
        for (int i = 0; i < DISPATCH_SUMS; i++) {
            add_fact(&facts, start, dims, SLAB_SUM + i, sqlite3_column_int64(stmt, 5 + 2 * i));
            add_fact(&facts, start, dims, SLAB_KNOWN + i, sqlite3_column_int64(stmt, 6 + 2 * i));
        }
    }
    sqlite3_finalize(stmt);
    close_facts(&facts);
    return facts;
}

/* When the quarter or day of a minute began, told by SQL and the zone's offset rather than by what is tested.
 */
static int64_t start_of(struct fixture *f, enum rollup_level level, int64_t minute)
{
    if (level != ROLLUP_DAY)
        return level == ROLLUP_MINUTE ? minute : minute / 15 * 15;
    int64_t start = minute;
    char today[ZONE_DATE_MAX], date[ZONE_DATE_MAX];
    zone_date(f->zone, minute * MINUTE_MS, today);
    for (start = minute / 15 * 15;; start -= 15) {
        zone_date(f->zone, (start - 15) * MINUTE_MS, date);
        if (strcmp(date, today) != 0)
            return start;
    }
}

/* What a level must hold: the log up to the watermark, above minutes only what has been folded. */
static struct facts recount(struct fixture *f, enum rollup_level level)
{
    static const char sql[] = "SELECT id, ts_ms/60000, 0, 0, 0 FROM message WHERE id <= ?1 UNION ALL"
                              " SELECT id, ts_ms/60000, 0, 0, 0 FROM report WHERE id <= ?1 UNION ALL"
                              " SELECT e.id, ts_ms/60000, e.state & 7 = 0, d.rollup, e.id FROM dispatch e "
                              "JOIN dims d ON d.id = e.dims"
                              " WHERE e.id <= ?1";
    static const char nums[] = "SELECT e.partial" STORED_SUMS " FROM dispatch e WHERE e.id=?";
    int64_t folded = ask(f, "SELECT value FROM projection_setting WHERE name='folded_minute'");
    struct facts facts = { 0 };
    sqlite3_stmt *stmt, *row;

    assert_int_equal(store_prepare(&f->store, sql, &stmt), 0);
    assert_int_equal(store_prepare(&f->store, nums, &row), 0);
    sqlite3_bind_int64(stmt, 1, ask(f, "SELECT watermark FROM projection WHERE name='usage'"));
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(stmt, 0), minute = sqlite3_column_int64(stmt, 1);
        int64_t dims = sqlite3_column_int64(stmt, 3);
        if (level != ROLLUP_MINUTE && minute >= folded)
            continue;
        int64_t start = start_of(f, level, minute);
        add_fact(&facts, start, 0, WHAT_FIRST_ID, id);
        add_fact(&facts, start, 0, WHAT_LAST_ID, id);
        if (sqlite3_column_int(stmt, 2) == 0)
            continue;
        sqlite3_bind_int64(row, 1, id);
        assert_int_equal(sqlite3_step(row), SQLITE_ROW);
        add_fact(&facts, start, dims, SLAB_CALLS, 1);
        add_fact(&facts, start, dims, SLAB_PARTIAL, sqlite3_column_int64(row, 0) == 1);
        for (int i = 0; i < DISPATCH_SUMS; i++)
            if (sqlite3_column_type(row, 1 + i) != SQLITE_NULL) {
                int64_t n = sqlite3_column_int64(row, 1 + i);
                add_fact(&facts, start, dims, SLAB_SUM + i, n);
                add_fact(&facts, start, dims, SLAB_KNOWN + i, 1);
                if (i == SUM_latency_ms || i == SUM_ttft_ms)
                    add_fact(&facts, start, dims, WHAT_POINT * (1 + (i == SUM_ttft_ms)) + sketch_bucket(n),
                             1);
            }
        sqlite3_reset(row);
    }
    sqlite3_finalize(stmt);
    sqlite3_finalize(row);
    close_facts(&facts);
    return facts;
}

static void assert_facts_equal(const char *what, struct facts *told, struct facts *want, int64_t from_what)
{
    size_t i = 0, j = 0;

    for (;; i++, j++) {
        while (j < want->count && want->at[j].what >= from_what)
            j++;
        while (i < told->count && told->at[i].what >= from_what)
            i++;
        if (i == told->count && j == want->count)
            break;
        struct fact none = { 0 }, *t = i < told->count ? &told->at[i] : &none,
                    *w = j < want->count ? &want->at[j] : &none;
        if (memcmp(t, w, sizeof *t) != 0)
            fail_msg("%s: told start %lld dims %lld what %lld value %lld, recounted %lld %lld %lld %lld",
                     what, (long long)t->start, (long long)t->dims, (long long)t->what, (long long)t->value,
                     (long long)w->start, (long long)w->dims, (long long)w->what, (long long)w->value);
    }
}

static void compare_with_recount(struct fixture *f)
{
    static const char *const table[] = { "projection_minute", "projection_quarter", "projection_day" };

    for (int level = 0; level < ROLLUP_LEVELS; level++) {
        struct facts told = told_facts(f, table[level]), want = recount(f, (enum rollup_level)level);
        assert_facts_equal(table[level], &told, &want, INT64_MAX);
        free(told.at);
        if (level == ROLLUP_DAY) {
            told = told_day_rows(f);
            assert_facts_equal("projection_day_row", &told, &want, WHAT_FIRST_ID);
            free(told.at);
        }
        free(want.at);
    }
}

/* -------------------------------------------------------------------- tests */

/* Numbers that one can add up by hand, so that the recount itself is not the only witness. */
static void sums_by_hand(void **state)
{
    struct fixture f;
    int64_t num[DISPATCH_NUMS];

    (void)state;
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = UNKNOWN;
    num[D_prompt_tokens] = 100;
    num[D_latency_ms] = 40;
    num[D_cost_reported_nanousd] = 0;
    fixture_open(&f, "UTC");
    put(&f, NOW_MIN * MINUTE_MS, 2, num, true);
    num[D_prompt_tokens] = 1;
    num[D_partial] = 1;
    put(&f, NOW_MIN * MINUTE_MS + 59999, 2, num, true);
    put(&f, NOW_MIN * MINUTE_MS + 1, 2, NULL, true);
    put(&f, NOW_MIN * MINUTE_MS + 1, 2, num, false);
    put_other(&f, NOW_MIN * MINUTE_MS, LOG_MESSAGE);
    put(&f, (NOW_MIN + 1) * MINUTE_MS, 2, NULL, true);
    assert_int_equal(f.rollup.pending, 6);
    flush(&f, NOW_MIN + 2);
    assert_int_equal(ask(&f, "SELECT watermark FROM projection WHERE name='usage'"), 6);
    struct facts told = told_facts(&f, "projection_minute");
    const struct fact want[] = {
        { NOW_MIN, 0, WHAT_FIRST_ID, 1 },
        { NOW_MIN, 0, WHAT_LAST_ID, 5 },
        { NOW_MIN, 2, SLAB_CALLS, 3 },
        { NOW_MIN, 2, SLAB_PARTIAL, 1 },
        { NOW_MIN, 2, SLAB_SUM + SUM_prompt_tokens, 101 },
        { NOW_MIN, 2, SLAB_SUM + SUM_latency_ms, 80 },
        { NOW_MIN, 2, SLAB_KNOWN + SUM_prompt_tokens, 2 },
        { NOW_MIN, 2, SLAB_KNOWN + SUM_latency_ms, 2 },
        { NOW_MIN, 2, SLAB_KNOWN + SUM_cost_reported_nanousd, 2 },
        { NOW_MIN, 2, WHAT_POINT + 36, 2 }, /* 40 and 41 share one: from 32 on in sixteenths of a doubling */
        { NOW_MIN + 1, 0, WHAT_FIRST_ID, 6 },
        { NOW_MIN + 1, 0, WHAT_LAST_ID, 6 },
        { NOW_MIN + 1, 2, SLAB_CALLS, 1 },
    };
    assert_int_equal(told.count, sizeof want / sizeof *want);
    assert_memory_equal(told.at, want, sizeof want);
    free(told.at);
    compare_with_recount(&f);
    fixture_close(&f);
}

static void minutes_are_folded_when_they_have_been_over_for_a_minute(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "UTC");
    assert_true(rollup_fold_due_ms(&f.rollup) == INT64_MAX);
    put(&f, NOW_MIN * MINUTE_MS + 5, 1, NULL, true);
    put(&f, (NOW_MIN + 1) * MINUTE_MS, 1, NULL, true);
    flush(&f, NOW_MIN + 1);
    assert_int_equal(rollup_fold_due_ms(&f.rollup), (NOW_MIN + 2) * MINUTE_MS);
    assert_false(rollup_fold_is_due(&f.rollup, (NOW_MIN + 2) * MINUTE_MS - 1));
    assert_true(rollup_fold_is_due(&f.rollup, (NOW_MIN + 2) * MINUTE_MS));
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_quarter"), 0);
    flush(&f, NOW_MIN + 2); /* with nothing else to write */
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_quarter"), 1);
    assert_int_equal(ask(&f, "SELECT calls FROM projection_day_row"), 1);
    assert_int_equal(ask(&f, "SELECT value FROM projection_setting WHERE name='folded_minute'"), NOW_MIN + 1);
    assert_int_equal(rollup_fold_due_ms(&f.rollup), (NOW_MIN + 3) * MINUTE_MS);
    compare_with_recount(&f);
    flush(&f, NOW_MIN + 300);
    assert_int_equal(ask(&f, "SELECT calls FROM projection_day_row"), 2);
    assert_true(rollup_fold_due_ms(&f.rollup) == INT64_MAX);
    compare_with_recount(&f);
    fixture_close(&f);
}

static void a_late_event_is_in_all_levels_at_once(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "UTC");
    put(&f, NOW_MIN * MINUTE_MS, 1, NULL, true);
    flush(&f, NOW_MIN + 5);
    put(&f, (NOW_MIN - 3 * DAY_MIN) * MINUTE_MS, 3, NULL, true);
    put(&f, (NOW_MIN - 20) * MINUTE_MS, 3, NULL, true);
    put(&f, NOW_MIN * MINUTE_MS, 3, NULL, true);
    put_other(&f, (NOW_MIN - 40) * MINUTE_MS, LOG_REPORT);
    put(&f, (NOW_MIN + 5) * MINUTE_MS, 3, NULL, true);
    flush(&f, NOW_MIN + 5);
    assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_day_row"), 4);
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_quarter"), 4);
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_day"), 2);
    compare_with_recount(&f);
    fixture_close(&f);
}

/* Taken out of memory, out of an open minute, out of a folded one; the last one of its combination. */
static void what_is_retracted_is_nowhere(void **state)
{
    struct fixture f;
    int64_t num[DISPATCH_NUMS];

    (void)state;
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = 1000 + i;
    num[D_partial] = 1;
    for (int stage = 0; stage < 3; stage++) {
        unlink(path);
        fixture_open(&f, "UTC");
        put(&f, NOW_MIN * MINUTE_MS, 2, num, true);
        int64_t id = put(&f, NOW_MIN * MINUTE_MS + 9, 3, num, true);
        if (stage > 0)
            flush(&f, NOW_MIN + (stage == 2 ? 9 : 0));
        int64_t num_read[DISPATCH_NUMS];
        struct log_row row;
        assert_int_equal(log_row_read(f.read_row, id, num_read, &row), 1);
        assert_int_equal(rollup_retract(&f.rollup, &row), 0);
        run(&f, "UPDATE dispatch SET state=1 WHERE id=2");
        assert_int_equal(rollup_must_flush(&f.rollup), stage > 0);
        assert_true(rollup_is_dirty(&f.rollup));
        flush(&f, NOW_MIN + (stage == 2 ? 9 : 0));
        compare_with_recount(&f);
        assert_int_equal(ask(&f, "SELECT cells FROM projection_minute"), 1);
        assert_int_equal(ask(&f, "SELECT count(*) FROM projection_day_row"), stage == 2);
        row.counts = false; /* it does not any more: nothing happens */
        assert_int_equal(rollup_retract(&f.rollup, &row), 0);
        assert_false(rollup_is_dirty(&f.rollup));
        retract(&f, 1);
        flush(&f, NOW_MIN + 9);
        compare_with_recount(&f);
        assert_int_equal(ask(&f, "SELECT cells FROM projection_minute"), 0);
        assert_int_equal(ask(&f, "SELECT cells FROM projection_day"), 0);
        fixture_close(&f);
    }
}

/* In memory, in an open minute, in a folded one: only the cost changes, known or not. */
static void what_is_restored_counts_as_it_is_now(void **state)
{
    static const int64_t costs[] = { 5000, 0, UNKNOWN, 40 };
    struct fixture f;
    int64_t num[DISPATCH_NUMS];

    (void)state;
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = 1000 + i;
    num[D_price] = num[D_cost_nanousd] = UNKNOWN;
    for (int stage = 0; stage < 3; stage++) {
        unlink(path);
        fixture_open(&f, "UTC");
        put(&f, NOW_MIN * MINUTE_MS, 2, num, true);
        int64_t id = put(&f, NOW_MIN * MINUTE_MS + 9, 3, num, true);
        if (stage > 0)
            flush(&f, NOW_MIN + (stage == 2 ? 9 : 0));
        for (size_t i = 0; i < sizeof costs / sizeof *costs; i++) {
            reprice(&f, id, costs[i]);
            assert_false(rollup_must_flush(&f.rollup));
            flush(&f, NOW_MIN + (stage == 2 ? 9 : 0));
            compare_with_recount(&f);
            assert_int_equal(ask(&f, "SELECT cells FROM projection_minute"), 2);
            if (stage == 2) {
                assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_day_row"), 2);
                assert_int_equal(ask(&f, "SELECT sum(cost_nanousd_known) FROM projection_day_row"),
                                 costs[i] >= 0);
                assert_int_equal(ask(&f, "SELECT sum(cost_nanousd) FROM projection_day_row"),
                                 costs[i] >= 0 ? costs[i] : 0);
            }
        }
        struct log_row row;
        int64_t num_read[DISPATCH_NUMS];
        assert_int_equal(log_row_read(f.read_row, id, num_read, &row), 1);
        row.counts = false; /* it never counted: nothing happens */
        assert_int_equal(rollup_restore(&f.rollup, &row), 0);
        assert_false(rollup_is_dirty(&f.rollup));
        fixture_close(&f);
    }
}

/* The process ends between a commit of events and the flush; or the flush is rolled back. */
static void the_tail_is_replayed(void **state)
{
    struct fixture f;

    (void)state;
    fixture_open(&f, "UTC");
    put(&f, NOW_MIN * MINUTE_MS, 1, NULL, true);
    flush(&f, NOW_MIN + 5);
    put(&f, NOW_MIN * MINUTE_MS, 1, NULL, true); /* late */
    put(&f, (NOW_MIN + 5) * MINUTE_MS, 9, NULL, true);
    put(&f, (NOW_MIN + 5) * MINUTE_MS, 9, NULL, false);
    put_other(&f, (NOW_MIN + 6) * MINUTE_MS, LOG_MESSAGE);
    commit(&f);
    assert_int_equal(rollup_flush(&f.rollup, (NOW_MIN + 20) * MINUTE_MS), 0);
    fixture_close(&f); /* rolls the flush back */
    fixture_open(&f, "UTC");
    assert_int_equal(f.rollup.watermark, 1);
    assert_int_equal(f.rollup.newest, 5);
    flush(&f, NOW_MIN + 20);
    compare_with_recount(&f);
    assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_day_row"), 3);
    struct log_row again = { .id = 5, .ts_ms = NOW_MIN * MINUTE_MS };
    rollup_row(&f.rollup, &again);
    assert_false(rollup_is_dirty(&f.rollup));
    fixture_close(&f);
}

static void random_nums(int64_t *num)
{
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = dice(3) == 0 ? UNKNOWN : (int64_t)dice(1u << dice(31));
    num[D_partial] = (int64_t)dice(3) - 1;
    num[D_latency_ms] = dice(5) == 0 ? UNKNOWN : (int64_t)dice(dice(2) ? 40 : 20000);
}

/* Mostly now, often some minutes ago, sometimes days. */
static int64_t random_time(int64_t now_minute)
{
    uint32_t kind = dice(10);
    int64_t minute = now_minute - (kind < 6 ? 0 : kind < 9 ? dice(30) : dice(4 * DAY_MIN));

    return minute * MINUTE_MS + dice(MINUTE_MS);
}

static void random_histories_are_exact(void **state)
{
    static const char *const zones[] = { "UTC", "UTC", "America/New_York", "Asia/Kathmandu" };
    struct fixture f;

    (void)state;
    for (uint64_t history = 1; history <= 6; history++) {
        int64_t now = NOW_MIN, num[DISPATCH_NUMS];
        seed = history;
        unlink(path);
        fixture_open(&f, "UTC");
        for (int i = 0; i < 400; i++) {
            uint32_t what = dice(44);
            if (what < 28) {
                random_nums(num);
                put(&f, random_time(now), 1 + dice(DIMS), num, dice(6) != 0);
            } else if (what < 31) {
                put_other(&f, random_time(now), dice(2) ? LOG_MESSAGE : LOG_REPORT);
            } else if (what < 35) {
                retract(&f, 1 + dice((uint32_t)f.next_id));
            } else if (what < 36) {
                now += dice(5) == 0 ? dice(100) : dice(3);
            } else if (what < 38) {
                flush(&f, now);
            } else if (what < 39) {
                commit(&f);
            } else if (what < 43) {
                reprice(&f, 1 + dice((uint32_t)f.next_id), dice(4) == 0 ? UNKNOWN : (int64_t)dice(1u << 20));
            } else { /* what was not committed is gone */
                fixture_close(&f);
                fixture_open(&f, zones[dice(4)]);
            }
            if (i % 10 == 9)
                compare_with_recount(&f);
        }
        flush(&f, now + 10);
        compare_with_recount(&f);
        fixture_close(&f);
    }
}

/* More combinations than memory holds, more minutes, more retractions in one transaction. */
static void memory_is_bounded(void **state)
{
    struct fixture f;
    struct log_row row = { .kind = LOG_DISPATCH, .counts = true };
    int64_t num[DISPATCH_NUMS];

    (void)state;
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = 3;
    row.num = num;
    fixture_open(&f, "UTC");
    for (row.rollup = 1; !rollup_is_full(&f.rollup); row.rollup++) {
        row.id++;
        row.ts_ms = NOW_MIN * MINUTE_MS;
        rollup_row(&f.rollup, &row);
    }
    assert_in_range(row.id, ROLLUP_CELLS_MAX - 2, ROLLUP_CELLS_MAX);
    flush(&f, NOW_MIN);
    assert_int_equal(ask(&f, "SELECT cells FROM projection_minute"), row.id);
    int64_t all = row.id;
    for (row.rollup = 1; !rollup_is_full(&f.rollup);) {
        row.id++;
        row.ts_ms += MINUTE_MS;
        rollup_row(&f.rollup, &row);
    }
    assert_in_range(row.id - all, ROLLUP_MINUTES_MAX - 2, ROLLUP_MINUTES_MAX);
    flush(&f, 0);
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_minute"), row.id - all + 1);
    all = row.id;
    for (; !rollup_is_full(&f.rollup); row.id++)
        rollup_row(&f.rollup, &row);
    assert_in_range(row.id - all, ROLLUP_POINTS_MAX / 2 - 3, ROLLUP_POINTS_MAX / 2 + 1);
    flush(&f, 0);
    row.ts_ms = NOW_MIN * MINUTE_MS;
    for (int64_t i = 1; i < ROLLUP_CELLS_MAX + 9; i++) { /* nobody asks whether it is full */
        row.id = i;
        row.rollup = (uint32_t)i;
        assert_int_equal(rollup_retract(&f.rollup, &row), 0);
    }
    assert_true(rollup_must_flush(&f.rollup));
    flush(&f, 0);
    fixture_close(&f);
}

/* A long time that was not folded is folded in pieces, each of them true. */
static void much_is_folded_in_pieces(void **state)
{
    enum { MINUTES = 110, CELLS = 1000 };
    struct log_row row = { .kind = LOG_DISPATCH, .counts = true };
    int64_t num[DISPATCH_NUMS], flushes = 0;
    struct fixture f;

    (void)state;
    fixture_open(&f, "UTC");
    row.num = num;
    for (int64_t minute = 0; minute < MINUTES; minute++)
        for (row.rollup = 1; row.rollup <= CELLS; row.rollup++) {
            for (int k = 0; k < DISPATCH_NUMS; k++)
                num[k] = (int64_t)dice(1u << 30) << 26;
            row.id++;
            row.ts_ms = (NOW_MIN + minute) * MINUTE_MS;
            if (rollup_is_full(&f.rollup))
                flush(&f, 0);
            rollup_row(&f.rollup, &row);
        }
    flush(&f, 0);
    for (; rollup_fold_is_due(&f.rollup, (NOW_MIN + 200) * MINUTE_MS); flushes++) {
        flush(&f, NOW_MIN + 200);
        int64_t folded = ask(&f, "SELECT value FROM projection_setting WHERE name='folded_minute'");
        assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_day_row"), (folded - NOW_MIN) * CELLS);
    }
    assert_true(flushes > 1);
    assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_day_row"), MINUTES * CELLS);
    fixture_close(&f);
}

/* ------------------------------------------------------------- another zone */

static void days_are_built_anew_for_another_zone(void **state)
{
    static const char *const zones[] = { "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC" };
    struct fixture f;
    int64_t num[DISPATCH_NUMS];

    (void)state;
    fixture_open(&f, "UTC");
    for (int i = 0; i < 600; i++) {
        random_nums(num);
        put(&f, (NOW_MIN - 21 * DAY_MIN + dice(3 * DAY_MIN)) * MINUTE_MS, 1 + dice(DIMS), num,
            true); /* 29-31 October */
        put(&f, (NOW_MIN - 18 * DAY_MIN + dice(4 * DAY_MIN)) * MINUTE_MS, 1 + dice(DIMS), num,
            true); /* 1 November */
    }
    put(&f, (NOW_MIN + 10) * MINUTE_MS, 1, NULL, true); /* not folded */
    flush(&f, NOW_MIN);
    compare_with_recount(&f);
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        fixture_close(&f);
        fixture_open(&f, zones[i]);
        compare_with_recount(&f);
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT value = '%s' FROM projection_setting WHERE name='reporting_zone'",
                 zones[i]);
        assert_int_equal(ask(&f, sql), 1);
    }
    fixture_close(&f);
}

static int64_t day_calls(struct fixture *f)
{
    struct facts told = told_facts(f, "projection_day");
    int64_t calls = 0, rows = ask(f, "SELECT ifnull(sum(calls), 0) FROM projection_day_row");

    for (size_t i = 0; i < told.count; i++)
        calls += told.at[i].what == SLAB_CALLS ? told.at[i].value : 0;
    free(told.at);
    assert_int_equal(calls, rows);
    return calls;
}

/* Quarters that retention has dropped stay in the old zone's days; nothing is lost or there twice. */
static void what_has_no_quarters_stays(void **state)
{
    static const char *const zones[] = { "America/New_York", "UTC", "Asia/Tokyo", "UTC" };
    struct fixture f;
    char sql[128];

    (void)state;
    fixture_open(&f, "UTC");
    for (int64_t i = 0; i < 5 * 96; i++)
        put(&f, (NOW_MIN - 10 * DAY_MIN + 15 * i) * MINUTE_MS, 1 + (uint32_t)(i % 8), NULL, true);
    flush(&f, NOW_MIN);
    snprintf(sql, sizeof sql, "DELETE FROM projection_quarter WHERE start_minute < %lld",
             (long long)(NOW_MIN - 8 * DAY_MIN));
    run(&f, sql);
    commit(&f);
    assert_int_equal(day_calls(&f), 5 * 96);
    for (int i = 0; i < 4; i++) {
        fixture_close(&f);
        fixture_open(&f, zones[i]);
        assert_int_equal(day_calls(&f), 5 * 96 + i);
        put(&f, (NOW_MIN - 9 * DAY_MIN) * MINUTE_MS, 1, NULL, true); /* a quarter of the late part only */
        flush(&f, NOW_MIN);
        assert_int_equal(day_calls(&f), 5 * 96 + i + 1);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sums_by_hand, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(minutes_are_folded_when_they_have_been_over_for_a_minute, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_late_event_is_in_all_levels_at_once, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_retracted_is_nowhere, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_is_restored_counts_as_it_is_now, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(the_tail_is_replayed, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(random_histories_are_exact, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(memory_is_bounded, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(much_is_folded_in_pieces, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(days_are_built_anew_for_another_zone, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(what_has_no_quarters_stays, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
