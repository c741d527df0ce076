/* SPDX-License-Identifier: MIT
 *
 * Every answer is counted again by hand over the same rows: random bounds, buckets, groups, filters
 * and watermarks.
 */
#include "query_db.h"

#include "collector/query/when.h"

#define KEYS_MAX 5000
#define KEY_MAX  512

struct expected {
    char key[KEYS_MAX][KEY_MAX];
    struct usage_sums sums[KEYS_MAX];
    bool seen[KEYS_MAX];
    int keys;
    struct usage_sums totals;
};

static void key_add(char key[KEY_MAX], const char *name, size_t len)
{
    size_t used = strlen(key);

    snprintf(key + used, KEY_MAX - used, "|%c%.*s", name ? '=' : '-', (int)len, name ? name : "");
}

static bool row_matches(const struct db *d, const struct db_row *r, const struct usage_request *q)
{
    if ((r->state & 7) != 0 || r->ts_ms < q->from_ms || r->ts_ms >= q->to_ms)
        return false;
    for (unsigned i = 0; i < q->filter.count; i++) {
        const struct filter_term *t = &q->filter.term[i];
        const char *name = db_name(d, r, (int)t->field);
        bool any = !name && t->unknown;
        for (unsigned k = 0; k < t->count && name; k++)
            any |= strcmp(t->value[k], name) == 0;
        if (!any)
            return false;
    }
    return true;
}

static void sums_count(struct usage_sums *s, const struct db *d, const struct db_row *r)
{
    int status = d->code[r->dims][FIELD_status];

    s->calls++;
    s->errors += status == 2 || status == 3;
    s->aborted += status == 4;
    s->blocked += status == 5;
    s->status_unknown += status == 0;
    s->partial += r->partial;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        s->sum[i] += r->num[i] >= 0 ? r->num[i] : 0;
        s->known[i] += r->num[i] >= 0;
    }
}

static int key_find(struct expected *e, const char *key)
{
    for (int i = 0; i < e->keys; i++) {
        if (strcmp(e->key[i], key) == 0)
            return i;
    }
    return -1;
}

static void count_by_hand(const struct db *d, const struct usage_request *q, struct expected *e)
{
    memset(e, 0, sizeof *e);
    for (int n = 0; n < d->rows; n++) {
        const struct db_row *r = &d->row[n];
        char key[KEY_MAX];
        if (!row_matches(d, r, q))
            continue;
        snprintf(key, sizeof key, "%" PRId64, q->bucket_ms ? r->ts_ms / q->bucket_ms : 0);
        for (unsigned i = 0; i < q->groups; i++) {
            const char *name = db_name(d, r, (int)q->group[i]);
            key_add(key, name, name ? strlen(name) : 0);
        }
        int at = key_find(e, key);
        if (at < 0) {
            assert_true(e->keys < KEYS_MAX);
            at = e->keys++;
            strcpy(e->key[at], key);
        }
        sums_count(&e->sums[at], d, r);
        sums_count(&e->totals, d, r);
    }
}

static void compare(const struct usage_answer *a, const struct usage_request *q, struct expected *e)
{
    for (size_t i = 0; i < a->rows; i++) {
        const struct usage_row *row = &a->row[i];
        char key[KEY_MAX];
        size_t len = 0;
        snprintf(key, sizeof key, "%" PRId64, row->bucket);
        for (unsigned g = 0; g < q->groups; g++) {
            const char *name = usage_name(a, row, g, &len);
            key_add(key, name, len);
        }
        int at = key_find(e, key);
        assert_true(at >= 0);
        assert_false(e->seen[at]);
        e->seen[at] = true;
        assert_memory_equal(&row->sums, &e->sums[at], sizeof row->sums);
        if (i > 0 && row[-1].bucket == row->bucket)
            assert_true(row[-1].sums.calls >= row->sums.calls);
        if (i > 0)
            assert_true(row[-1].bucket <= row->bucket);
    }
    assert_memory_equal(&a->totals, &e->totals, sizeof a->totals);
}

static void check(struct query_pool *pool, const struct db *d, const struct usage_request *q)
{
    static struct expected e;
    struct usage_answer a;
    struct problem p;

    if (usage_run(pool, q, mono_after(mono_now(), 60000), &p, &a) != 0)
        fail_msg("%d %s", p.status, p.detail);
    count_by_hand(d, q, &e);
    if (e.keys == 0 && q->groups == 0 && q->bucket_ms == 0) {
        assert_int_equal(a.rows, 1);
        assert_int_equal(a.row[0].sums.calls, 0);
    } else {
        assert_int_equal(a.rows, (size_t)e.keys < q->limit ? (size_t)e.keys : q->limit);
        assert_int_equal(a.truncated, (size_t)e.keys > q->limit);
        compare(&a, q, &e);
    }
    usage_fini(&a);
}

/* A random request; what it filters by is taken from the data, unknown included. */
static void request_make(struct db *d, struct usage_request *q)
{
    static const int64_t buckets[] = { 0, 0, 60000, 300000, 420000, 900000, 3600000, 86400000 };
    static const unsigned limits[] = { 10000, 10000, 3 };
    struct problem p;
    bool used[FIELDS] = { false };

    *q = (struct usage_request){ .bucket_ms = buckets[db_random(d, 8)], .limit = limits[db_random(d, 3)] };
    q->from_ms = DB_START + (int64_t)db_random(d, (uint32_t)DB_SPAN);
    q->to_ms = q->from_ms + 1 + (int64_t)db_random(d, db_random(d, 2) ? 200000 : (uint32_t)DB_SPAN);
    if (db_random(d, 3) == 0) {
        q->from_ms = q->from_ms / 60000 * 60000;
        q->to_ms = (q->to_ms / 60000 + 1) * 60000;
    }
    if (db_random(d, 3) == 0) /* bounds that are an event's own time */
        q->to_ms = d->row[db_random(d, (uint32_t)d->rows)].ts_ms;
    if (db_random(d, 3) == 0)
        q->from_ms = d->row[db_random(d, (uint32_t)d->rows)].ts_ms;
    if (q->from_ms >= q->to_ms)
        q->from_ms = q->to_ms - 1;
    for (uint32_t i = db_random(d, 4); i > 0; i--) {
        uint32_t f = db_random(d, FIELD_SESSION_END);
        if (!used[f])
            q->group[q->groups++] = (enum field_id)f;
        used[f] = true;
    }
    memset(used, 0, sizeof used);
    for (uint32_t i = db_random(d, 3); i > 0; i--) {
        uint32_t f = db_random(d, FIELD_SESSION_END);
        const struct db_row *r = &d->row[db_random(d, (uint32_t)d->rows)];
        const char *name = db_name(d, r, (int)f);
        char list[256] = "", *to = list;
        for (const char *c = name ? name : ""; *c; c++) {
            if (*c == ',' || *c == '\\')
                *to++ = '\\';
            *to++ = *c;
        }
        strcpy(to, db_random(d, 2) && fields[f].code_name == NULL ? ",green" : "");
        if (!used[f])
            assert_int_equal(filter_add(&q->filter, (enum field_id)f, list, &p), 0);
        used[f] = true;
    }
}

static void test_random(void **state)
{
    static struct db d;

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        db_open(&d, seed);
        db_names(&d);
        db_fill(&d, 600);
        struct query_pool *pool = pool_new(d.path);
        for (int i = 0; i < 150; i++) {
            struct usage_request q;
            if (i % 10 == 0)
                db_project(&d, db_random(&d, (uint32_t)d.next_id + 1));
            request_make(&d, &q);
            check(pool, &d, &q);
            filter_fini(&q.filter);
        }
        pool_free(pool);
        db_close(&d);
    }
}

/* Numbers come from peers: a sum that does not fit stops at the end of the range. */
static void test_huge_numbers(void **state)
{
    static struct db d;
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10 };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 5);
    db_names(&d);
    for (int i = 0; i < 3; i++) {
        struct db_row r = { .id = i + 1, .ts_ms = DB_START, .dims = 1 };
        r.num[0] = INT64_MAX;
        db_row_insert(&d, &r);
    }
    struct query_pool *pool = pool_new(d.path);
    for (int64_t watermark = 0; watermark <= 3; watermark++) {
        db_project(&d, watermark);
        assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
        assert_int_equal(a.totals.calls, 3);
        assert_true(a.totals.sum[0] == INT64_MAX);
        assert_int_equal(a.totals.known[0], 3);
        usage_fini(&a);
    }
    pool_free(pool);
    db_close(&d);
}

/* More groups than fit are refused, not cut. */
static void test_too_many_groups(void **state)
{
    static struct db d;
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10, .groups = 1 };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 6);
    db_names(&d);
    db_exec(&d, "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n WHERE i<100100)"
                "INSERT INTO session SELECT i,i,'s'||i,NULL,NULL FROM n");
    db_exec(&d, "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,session,event_id)"
                "SELECT id,1795000000000,0,0,1,id,zeroblob(16) FROM session WHERE id>=100");
    struct query_pool *pool = pool_new(d.path);
    q.group[0] = FIELD_session_id;
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
    assert_int_equal(p.status, 422);
    db_exec(&d, "DELETE FROM dispatch WHERE id=100"); /* exactly as many as fit */
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
    assert_int_equal(a.totals.calls, USAGE_GROUPS_MAX);
    assert_true(a.truncated);
    usage_fini(&a);
    pool_free(pool);
    db_close(&d);
}

static void test_deadline(void **state)
{
    static struct db d;
    struct usage_request q = {
        .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10, .groups = 1, .group = { FIELD_session_id }
    };
    struct usage_answer a;
    struct problem p;

    (void)state;
    db_open(&d, 7);
    db_names(&d);
    db_fill(&d, 3000);
    struct query_pool *pool = pool_new(d.path);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), 0);
    usage_fini(&a);
    struct monotime passed = mono_now(); /* the wait for a connection takes none, the scan is interrupted */
    assert_int_equal(usage_run(pool, &q, passed, &p, &a), -1);
    assert_int_equal(p.status, 504);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a),
                     0); /* and the pool is whole */
    usage_fini(&a);
    struct pool_connection *taken[POOL_CONNECTIONS];
    for (int i = 0; i < POOL_CONNECTIONS; i++)
        assert_int_equal(pool_borrow(pool, mono_after(mono_now(), 60000), &p, &taken[i]), 0);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 10), &p, &a), -1);
    assert_int_equal(p.status, 503); /* none is free */
    for (int i = 0; i < POOL_CONNECTIONS; i++)
        pool_give(taken[i]);
    pool_stop(pool);
    assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
    assert_int_equal(p.status, 503);
    pool_free(pool);
    db_close(&d);
}

static void test_no_database(void **state)
{
    struct usage_request q = { .from_ms = 0, .to_ms = WHEN_MAX, .limit = 10 };
    struct query_pool *pool = pool_new("/nonexistent/events.db");
    struct usage_answer a;
    struct problem p;

    (void)state;
    for (int i = 0; i < 2 * POOL_CONNECTIONS; i++) { /* a failed connection is given back */
        assert_int_equal(usage_run(pool, &q, mono_after(mono_now(), 60000), &p, &a), -1);
        assert_int_equal(p.status, 503);
    }
    pool_free(pool);
}

static void test_filter(void **state)
{
    static const struct {
        enum field_id field;
        const char *list;
        int result;
    } table[] = {
        { FIELD_agent_id, "a,b", 0 },
        { FIELD_status, "ok,error", 0 },
        { FIELD_status, "fine", -1 },
        { FIELD_status, "", 0 },
        { FIELD_event_id, "00112233445566778899aabbccddeeff", 0 },
        { FIELD_event_id, "00112233445566778899AABBCCDDEEFF", 0 },
        { FIELD_event_id, "00112233", -1 },
        { FIELD_event_id, "0011223344556677889gaabbccddeeff", -1 },
        { FIELD_trigger, "cron,", 0 },
        { FIELD_granularity, "call\\,run", -1 },
    };
    struct problem p;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct filter f = { 0 };
        assert_int_equal(filter_add(&f, table[i].field, table[i].list, &p), table[i].result);
        if (table[i].result != 0)
            assert_string_equal(p.parameter, fields[table[i].field].name);
        filter_fini(&f);
    }
    struct filter f = { 0 };
    assert_int_equal(filter_add(&f, FIELD_agent_id, "a\\,b,,c\\\\", &p), 0);
    assert_int_equal(f.term[0].count, 2);
    assert_string_equal(f.term[0].value[0], "a,b");
    assert_string_equal(f.term[0].value[1], "c\\");
    assert_true(f.term[0].unknown);
    assert_true(filter_match(&f.term[0], NULL, 0));
    assert_true(filter_match(&f.term[0], "a,b", 3));
    assert_false(filter_match(&f.term[0], "a", 1));
    filter_fini(&f);
}

static void test_fields(void **state)
{
    static const char *const names[] = { "from", "to", "bucket", "group_by" };

    (void)state;
    assert_int_equal(field_find("agent", 5, FIELDS), FIELD_agent_id);
    assert_int_equal(field_find("agent_id", 8, FIELDS), FIELD_agent_id);
    assert_int_equal(field_find("agent_", 6, FIELDS), -1);
    assert_int_equal(field_find("root_session", 12, FIELDS), FIELD_root_session_id);
    assert_int_equal(field_find("run", 3, FIELD_SESSION_END), -1);
    assert_int_equal(field_find("model", 5, FIELDS), FIELD_model);
    assert_string_equal(nearest_name("form", names, 4), "from");
    assert_string_equal(nearest_name("groupby", names, 4), "group_by");
    assert_null(nearest_name("completely_else", names, 4));
    assert_null(nearest_name("a_name_that_is_far_longer_than_any_that_there_is", names, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),          cmocka_unit_test(test_huge_numbers),
        cmocka_unit_test(test_too_many_groups), cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_no_database),     cmocka_unit_test(test_filter),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
