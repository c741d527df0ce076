/* SPDX-License-Identifier: MIT */
#include "query_db.h"

#include "collector/base/event.h"
#include "collector/query/events.h"
#include "collector/query/when.h"

#define ALL_TABLES (1u << TABLE_DISPATCH | 1u << TABLE_MESSAGE | 1u << TABLE_REPORT)

struct ids {
    int64_t id[2 * DB_ROWS_MAX];
    unsigned count, reads;
};

static bool take(void *arg, const struct events_row *row)
{
    struct ids *ids = arg;

    assert_int_equal(sqlite3_column_int64(row->stmt, 0), row->id);
    ids->id[ids->count++] = row->id;
    return true;
}

/* Reads all of a request, page by page with a fresh cursor for each, as HTTP does. step: ids of the
 * first look. */
static void read_pages(struct query_pool *pool, const struct events_request *q, unsigned page, int64_t step,
                       struct ids *out)
{
    int64_t after = q->ascending ? 0 : INT64_MAX;
    struct events_cursor c;
    struct problem p;
    unsigned got;

    out->count = out->reads = 0;
    do {
        unsigned before = out->count;
        assert_int_equal(events_begin(pool, q, after, mono_after(mono_now(), 60000), &p, &c), 0);
        c.step = step;
        for (; out->count - before < page && !events_done(&c); out->reads++)
            assert_int_equal(events_read(pool, q, &c, page - (out->count - before),
                                         mono_after(mono_now(), 60000), &p, take, out, &got),
                             0);
        after = q->ascending ? c.lo - 1 : c.hi + 1;
    } while (!events_done(&c));
}

/* The ids that SQL finds, in order. */
static void read_sql(struct db *d, const char *where, bool ascending, struct ids *out)
{
    char sql[1024];

    snprintf(sql, sizeof sql, "SELECT id FROM (%s) ORDER BY id %s", where, ascending ? "ASC" : "DESC");
    sqlite3_stmt *s = db_prepare(d, sql);
    out->count = 0;
    while (sqlite3_step(s) == SQLITE_ROW)
        out->id[out->count++] = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
}

static void compare(struct query_pool *pool, struct db *d, const struct events_request *q, const char *sql)
{
    static struct ids got, want;

    read_sql(d, sql, q->ascending, &want);
    read_pages(pool, q, 1 + db_random(d, 40), 1 + db_random(d, 60), &got);
    assert_int_equal(got.count, want.count);
    assert_memory_equal(got.id, want.id, want.count * sizeof *want.id);
}

static void test_random(void **state)
{
    static struct db d;

    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 400);
        struct query_pool *pool = pool_new(d.path);
        for (int i = 0; i < 60; i++) {
            struct events_request q = { .tables = 1 + db_random(&d, 7),
                                        .ascending = db_random(&d, 2),
                                        .superseded = db_random(&d, 2),
                                        .from_ms = WHEN_MIN,
                                        .to_ms = INT64_MAX };
            char sql[1024];
            int used = 0;
            if (i % 8 == 0)
                db_project(&d, db_random(&d, (uint32_t)d.next_id));
            if (db_random(&d, 2))
                q.from_ms = DB_START + db_random(&d, (uint32_t)DB_SPAN);
            if (db_random(&d, 2))
                q.to_ms = d.row[db_random(&d, 400)].ts_ms;
            if (i % 4 == 0) { /* one event, the first after the watermark */
                const struct db_row *r = &d.row[db_random(&d, 400)];
                db_project(&d, r->id - 1);
                q.from_ms = r->ts_ms;
                q.to_ms = r->ts_ms + 1;
            }
            if (q.tables == 1u << TABLE_MESSAGE)
                q.message_kind = (int)(16 + db_random(&d, 5));
            const char *const names[] = { "dispatch", "message", "report" };
            for (int t = 0; t < 3; t++)
                if (q.tables & 1u << t)
                    used += snprintf(sql + used, sizeof sql - (size_t)used,
                                     "%sSELECT id FROM %s WHERE ts_ms>=%" PRId64 " AND ts_ms<%" PRId64 "%s%s",
                                     used ? " UNION ALL " : "", names[t], q.from_ms, q.to_ms,
                                     t == 0 && !q.superseded ? " AND state&7=0" : "",
                                     q.message_kind == 16   ? " AND kind=16"
                                     : q.message_kind == 17 ? " AND kind=17"
                                     : q.message_kind == 18 ? " AND kind=18"
                                     : q.message_kind == 19 ? " AND kind=19"
                                     : q.message_kind == 20 ? " AND kind=20"
                                                            : "");
            compare(pool, &d, &q, sql);
        }
        pool_free(pool);
        db_close(&d);
    }
}

static void test_filters(void **state)
{
    static const struct {
        enum field_id field;
        const char *list, *sql;
        unsigned tables;
    } table[] = {
        { FIELD_agent_id, "red,blue\\,sky",
          "SELECT id FROM v_dispatch WHERE agent_id IN ('red','blue,sky') AND state&7=0",
          1u << TABLE_DISPATCH },
        { FIELD_agent_id, ",green",
          "SELECT id FROM v_dispatch WHERE (agent_id IS NULL OR agent_id='green') AND state&7=0",
          1u << TABLE_DISPATCH },
        { FIELD_status, "ok", "SELECT id FROM v_dispatch WHERE status='ok' AND state&7=0",
          1u << TABLE_DISPATCH },
        { FIELD_granularity, "call",
          "SELECT id FROM v_dispatch WHERE coalesce(granularity,'call')='call' AND state&7=0",
          1u << TABLE_DISPATCH },
        { FIELD_session_id, "s-1,s-3",
          "SELECT id FROM v_dispatch WHERE session_id IN ('s-1','s-3') AND state&7=0", 1u << TABLE_DISPATCH },
        { FIELD_root_session_id, "",
          "SELECT id FROM v_dispatch WHERE coalesce(root_session_id,parent_session_id,session_id) IS NULL "
          "AND state&7=0",
          1u << TABLE_DISPATCH },
        { FIELD_run_id, "odd", "SELECT id FROM v_dispatch WHERE run_id='odd' AND state&7=0",
          1u << TABLE_DISPATCH | 1u << TABLE_REPORT },
        { FIELD_event_id, "07000000000000000000000000000000",
          "SELECT id FROM v_dispatch WHERE event_id='07000000000000000000000000000000' AND state&7=0",
          ALL_TABLES },
        { FIELD_source, "gw-1",
          "SELECT id FROM v_dispatch WHERE source='gw-1' AND state&7=0 UNION ALL SELECT id FROM v_report",
          5 },
        { FIELD_message_id, "none", "SELECT id FROM message WHERE 0", ALL_TABLES },
    };
    static struct db d;
    struct problem p;

    (void)state;
    db_open(&d, 11);
    db_names(&d);
    db_fill(&d, 500);
    db_project(&d, 300);
    struct query_pool *pool = pool_new(d.path);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct events_request q = { .tables = table[i].tables, .ascending = i % 2, .to_ms = INT64_MAX };
        assert_int_equal(filter_add(&q.filter, table[i].field, table[i].list, &p), 0);
        compare(pool, &d, &q, table[i].sql);
        filter_fini(&q.filter);
    }
    pool_free(pool);
    db_close(&d);
}

/* Ids far apart: the reader takes wider and wider steps instead of thousands of empty ones. */
static void test_sparse(void **state)
{
    static struct db d;
    static struct ids got;
    struct events_request q = { .tables = 1u << TABLE_DISPATCH, .to_ms = INT64_MAX };

    (void)state;
    db_open(&d, 12);
    db_names(&d);
    for (int i = 0; i < 4; i++)
        db_row_insert(&d, &(struct db_row){ .id = 1 + i * 400000000LL, .ts_ms = DB_START, .dims = 1 });
    struct query_pool *pool = pool_new(d.path);
    for (int ascending = 0; ascending < 2; ascending++) {
        q.ascending = ascending;
        read_pages(pool, &q, 2, 20000, &got);
        assert_int_equal(got.count, 4);
        assert_true(got.reads < 1000);
    }
    pool_free(pool);
    db_close(&d);
}

/* A reader at the end goes on with what was committed since. */
static void test_follow(void **state)
{
    static struct db d;
    static struct ids got;
    struct events_request q = {
        .tables = ALL_TABLES, .to_ms = INT64_MAX, .ascending = true, .superseded = true
    };
    struct events_cursor c;
    struct problem p;
    unsigned n;

    (void)state;
    db_open(&d, 13);
    db_names(&d);
    db_fill(&d, 20);
    struct query_pool *pool = pool_new(d.path);
    assert_int_equal(events_begin(pool, &q, INT64_MAX, mono_after(mono_now(), 60000), &p, &c), 0);
    assert_true(events_done(&c));
    int64_t after = c.lo - 1;
    assert_int_equal(after, d.next_id - 1);
    int64_t first = d.next_id;
    db_fill(&d, 20);
    assert_int_equal(events_begin(pool, &q, after, mono_after(mono_now(), 60000), &p, &c), 0);
    while (!events_done(&c))
        assert_int_equal(events_read(pool, &q, &c, 7, mono_after(mono_now(), 60000), &p, take, &got, &n), 0);
    assert_int_equal(got.count, d.next_id - first);
    for (unsigned i = 0; i < got.count; i++)
        assert_int_equal(got.id[i], first + i);
    pool_free(pool);
    db_close(&d);
}

static void test_cursor(void **state)
{
    static const char *const wrong[] = {
        "", "e", "7", "e-1", "e+1", "e07", "E7", "eZ", "e7 ", "effffffffffffffff", "e7fffffffffffffff0"
    };
    char text[EVENTS_CURSOR];
    int64_t id;

    (void)state;
    for (int64_t v = 0; v < INT64_MAX / 3; v = v * 3 + 1) {
        events_cursor_format(v, text);
        assert_int_equal(events_cursor_parse(text, &id), 0);
        assert_true(id == v);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(events_cursor_parse(wrong[i], &id), -1);
}

/* Every field of the contract is shown. */
static void test_columns(void **state)
{
    static const char *const names[] = {
#define TG_HEAD_TEXT(name)        #name,
#define TG_DIMS_TEXT(name)        #name,
#define TG_DIMS_ENUM(name)        #name,
#define TG_DIMS_TAGS(name)        #name,
#define TG_DISPATCH_TEXT(name)    #name,
#define TG_DISPATCH_NUM(name)     #name,
#define TG_DISPATCH_DERIVED(name) #name,
#define TG_MESSAGE_TEXT(name)     #name,
#define TG_MESSAGE_ENUM(name)     #name,
#define TG_MESSAGE_NUM(name)      #name,
#include "schema/event.def"
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int found = 0;
        for (int k = 0; k < events_columns_count; k++)
            found += strcmp(events_columns[k].name, names[i]) == 0;
        if (found != 1)
            fail_msg("%s is shown %d times", names[i], found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random), cmocka_unit_test(test_filters), cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_follow), cmocka_unit_test(test_cursor),  cmocka_unit_test(test_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
