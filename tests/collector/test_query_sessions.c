/* SPDX-License-Identifier: MIT
 *
 * Sessions from random histories: whatever part of them the projection holds, every page, every session
 * and every tree must be what a plain recount of all rows says.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/base/leb128.h"
#include "collector/base/session_name.h"
#include "collector/base/stored.h"
#include "collector/query/session.h"
#include "collector/query/session_list.h"
#include "collector/query/session_tree.h"
#include "collector/query/when.h"
#include "collector/writer/migrations.h"

#define NAMES    14
#define SESSIONS 24
#define DIMS     9
#define ROWS_MAX 3000
#define START    1795000000000LL
#define LONG     mono_after(mono_now(), 600000)

struct row {
    int64_t ms;
    int session, dims, state, partial; /* session 0: none */
    bool message;
    int64_t num[DISPATCH_SUMS]; /* -1: unknown */
};

static struct lab {
    char dir[64], path[96];
    sqlite3 *db;
    uint64_t seed;
    char name[SESSIONS + 1][24], parent[SESSIONS + 1][24]; /* "": unknown */
    int root[SESSIONS + 1];
    int status[DIMS + 1], granularity[DIMS + 1];
    struct row row[ROWS_MAX + 1]; /* by id */
    int rows, watermark;
} lab;

static uint32_t any(uint32_t below)
{
    lab.seed = lab.seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(lab.seed >> 33) % below;
}

static void run_sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void run_sql(const char *fmt, ...)
{
    char *error = NULL;
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    if (sqlite3_exec(lab.db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", error, sql);
    sqlite3_free(sql);
}

static sqlite3_stmt *prepared(const char *sql)
{
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(lab.db, sql, -1, &stmt, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sqlite3_errmsg(lab.db), sql);
    return stmt;
}

static void done(sqlite3_stmt *stmt)
{
    if (sqlite3_step(stmt) != SQLITE_DONE)
        fail_msg("%s", sqlite3_errmsg(lab.db));
    sqlite3_finalize(stmt);
}

static void lab_open(uint64_t seed)
{
    memset(&lab, 0, sizeof lab);
    lab.seed = seed;
    snprintf(lab.dir, sizeof lab.dir, "%s/tollgate-test-XXXXXX",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(lab.dir));
    snprintf(lab.path, sizeof lab.path, "%s/events.db", lab.dir);
    assert_int_equal(sqlite3_open(lab.path, &lab.db), SQLITE_OK);
    run_sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF");
    for (int i = 0; i < migrations_count; i++)
        run_sql("%s", migrations[i]);
    run_sql("INSERT INTO source VALUES(1,'gw-1',0),(2,'gw-2',0)");
}

static void lab_close(void)
{
    const char *ends[] = { "", "-wal", "-shm" };
    char path[128];

    assert_int_equal(sqlite3_close(lab.db), SQLITE_OK);
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", lab.path, ends[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(lab.dir), 0);
}

/* ------------------------------------------------------------------ filling */

static void dims_make(void)
{
    for (int i = 1; i <= DIMS; i++) {
        lab.status[i] = (int)any(6);
        lab.granularity[i] = (int)any(3);
        run_sql("INSERT INTO dims(id,key,rollup,source,agent_id,model,status,granularity,tags)"
                " VALUES(%d,%d,%d,%d,%s,'m-%d',nullif(%d,0),nullif(%d,0),%s)",
                i, i, i, 1 + i % 2, i % 3 ? i % 3 == 1 ? "'red'" : "'blue'" : "NULL", i % 4, lab.status[i],
                lab.granularity[i], i % 2 ? "'{\"team\":\"x\"}'" : "NULL");
    }
}

static void session_insert(int i, const char *name, const char *parent, int root)
{
    struct slice s = { (const uint8_t *)name, (uint32_t)strlen(name) };

    snprintf(lab.name[i], sizeof lab.name[i], "%s", name);
    snprintf(lab.parent[i], sizeof lab.parent[i], "%s", parent);
    lab.root[i] = root ? root : i;
    run_sql("INSERT INTO session VALUES(%d,%d,%lld,%d,nullif('%s',''),nullif('%s',''),%s)", i, i,
            (long long)session_name(s), lab.root[i], name, parent,
            root ? "(SELECT session_id FROM session WHERE id=1)" : "NULL");
}

/* Some names twice, with other parents and roots. */
static void sessions_make(void)
{
    for (int i = 1; i <= SESSIONS; i++) {
        char name[24], parent[24] = "";
        snprintf(name, sizeof name, "Run-%02u", i <= NAMES ? (unsigned)i : 1 + any(NAMES));
        if (i > 1 && any(2))
            snprintf(parent, sizeof parent, "Run-%02u", 1 + any(NAMES + 1));
        session_insert(i, name, parent, i > 1 && any(3) == 0 ? 1 + (int)any((uint32_t)i - 1) : 0);
    }
}

static void row_insert(int id, const struct row *r)
{
    static const char dispatch[] =
        "INSERT INTO dispatch(id,ts_ms,received_after_ms,state,dims,session,event_id,partial,"
        "prompt_tokens,completion_tokens,total_tokens,cached_tokens,cache_write_tokens,"
        "cache_write_1h_tokens,reasoning_tokens,tool_calls,latency_ms,ttft_ms,cost_reported_nanousd,"
        "cost_nanousd)VALUES(?,?,5,?,?,nullif(?,0),randomblob(16),nullif(?,0),?,?,?,?,?,?,?,?,?,?,?,?)";

    if (r->message) {
        run_sql("INSERT INTO message(id,ts_ms,received_after_ms,kind,dims,session,event_id)"
                "VALUES(%d,%lld,0,16,%d,nullif(%d,0),randomblob(16))",
                id, (long long)r->ms, r->dims, r->session);
        return;
    }
    sqlite3_stmt *s = prepared(dispatch);
    sqlite3_bind_int(s, 1, id);
    sqlite3_bind_int64(s, 2, r->ms);
    sqlite3_bind_int(s, 3, r->state);
    sqlite3_bind_int(s, 4, r->dims);
    sqlite3_bind_int(s, 5, r->session);
    sqlite3_bind_int(s, 6, r->partial);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        if (r->num[i] >= 0)
            sqlite3_bind_int64(s, 7 + i, r->num[i]);
    }
    stored_bind_total_tokens(s, 7 + SUM_total_tokens, r->num[SUM_total_tokens], r->num[SUM_prompt_tokens],
                             r->num[SUM_completion_tokens]);
    done(s);
}

static void rows_add(int n)
{
    static const int states[] = { 0, 0, 0, 0, 0, 8, 1, 2, 9 };

    run_sql("BEGIN");
    for (; n > 0 && lab.rows < ROWS_MAX; n--) {
        struct row *r = &lab.row[++lab.rows];
        *r = (struct row){ .ms = START + any(1000) * 100, /* many at the same time */
                           .session = any(20) ? 1 + (int)any(SESSIONS) : 0,
                           .dims = 1 + (int)any(DIMS),
                           .state = states[any(9)],
                           .partial = any(5) == 0,
                           .message = any(6) == 0 };
        r->state = r->message ? 0 : r->state;
        for (int i = 0; i < DISPATCH_SUMS; i++)
            r->num[i] = any(3) ? (int64_t)any(50) * 10 : -1;
        row_insert(lab.rows, r);
    }
    run_sql("COMMIT");
}

/* A final record comes for an interim one, or calls for a run, that stand behind the watermark. */
static void rows_retire(void)
{
    for (int id = lab.watermark + 1; id <= lab.rows; id++) {
        struct row *r = &lab.row[id];
        if (r->message || r->state & 7 || any(2) || !(r->partial || lab.granularity[r->dims] > 1))
            continue;
        r->state |= 1;
        run_sql("UPDATE dispatch SET state=%d WHERE id=%d", r->state, id);
    }
    rows_add(1); /* such a thing never happens alone */
}

/* ------------------------------------------------------------------- recount */

static void count_row(struct session_totals *t, int id, bool only_source, int source)
{
    const struct row *r = &lab.row[id];

    if (only_source && 1 + r->dims % 2 != source)
        return;
    bool first = t->rows_seen == 0;
    if (!r->message || first)
        t->dims = r->dims;
    if (!r->message)
        t->dispatched = true;
    t->first_ms = first || r->ms < t->first_ms ? r->ms : t->first_ms;
    t->last_ms = first || r->ms > t->last_ms ? r->ms : t->last_ms;
    t->first_id = first ? id : t->first_id;
    t->last_id = id;
    t->rows_seen = 1;
    t->messages += r->message;
    if (r->message || r->state & 7)
        return;
    t->calls++;
    t->partial += r->partial;
    t->errors += lab.status[r->dims] == 2 || lab.status[r->dims] == 3;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        t->known[i] += r->num[i] >= 0;
        t->sum[i] += r->num[i] >= 0 ? r->num[i] : 0;
    }
    int64_t prompt = r->num[SUM_prompt_tokens], completion = r->num[SUM_completion_tokens];
    t->tokens += r->num[SUM_total_tokens] >= 0
                     ? r->num[SUM_total_tokens]
                     : (prompt > 0 ? prompt : 0) + (completion > 0 ? completion : 0);
}

static struct session_totals counted(int session, int first_id, int last_id)
{
    struct session_totals t = { 0 };

    for (int id = first_id; id <= last_id; id++) {
        if (lab.row[id].session == session)
            count_row(&t, id, false, 0);
    }
    return t;
}

static void assert_same_totals(const struct session_totals *a, const struct session_totals *b, bool dims)
{
    assert_int_equal(a->rows_seen != 0, b->rows_seen != 0);
    if (!a->rows_seen)
        return;
    if (dims)
        assert_int_equal(a->dims, b->dims);
    assert_int_equal(a->first_ms, b->first_ms);
    assert_int_equal(a->last_ms, b->last_ms);
    assert_int_equal(a->first_id, b->first_id);
    assert_int_equal(a->last_id, b->last_id);
    assert_int_equal(a->messages, b->messages);
    assert_int_equal(a->calls, b->calls);
    assert_int_equal(a->errors, b->errors);
    assert_int_equal(a->partial, b->partial);
    assert_int_equal(a->tokens, b->tokens);
    assert_memory_equal(a->sum, b->sum, sizeof a->sum);
    assert_memory_equal(a->known, b->known, sizeof a->known);
}

/* ---------------------------------------------------------------- projection */

static void slice_insert(int64_t span, int session, int last_id)
{
    static uint8_t packed[ROWS_MAX * LEB128_MAX];
    uint8_t *at = packed;
    int64_t before = span;

    for (int id = (int)span; id <= last_id; id++) {
        if (lab.row[id].session != session)
            continue;
        at = leb128_put(at, (uint64_t)(id - before));
        before = id;
    }
    if (at == packed)
        return;
    sqlite3_stmt *s = prepared("INSERT INTO projection_session_slice VALUES(?,?,?)");
    sqlite3_bind_int64(s, 1, span);
    sqlite3_bind_int(s, 2, session);
    sqlite3_bind_blob(s, 3, packed, (int)(at - packed), SQLITE_STATIC);
    done(s);
}

/* Spans begin with a row that has a session. */
static void spans_make(int last)
{
    for (int id = 1; id <= last;) {
        int end = id + (int)any(200);
        end = end < last ? end : last;
        while (id <= end && lab.row[id].session == 0)
            id++;
        if (id <= end) {
            run_sql("INSERT INTO projection_session_span VALUES(%d,%d,0)", id, end);
            for (int s = 1; s <= SESSIONS; s++)
                slice_insert(id, s, end);
        }
        id = end + 1;
    }
}

static void totals_insert(int session, const struct session_totals *t)
{
    sqlite3_stmt *s =
        prepared("INSERT INTO projection_session VALUES(?,?,?,?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?,?,?,?,"
                 "?,?,?,?,?,?,?,?,?,?,?,?,?)");
    const int64_t head[] = { session,     t->dims,  t->first_ms, t->last_ms, t->first_id, t->last_id,
                             t->messages, t->calls, t->errors,   t->partial, t->tokens };
    int at = 1;

    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        sqlite3_bind_int64(s, at++, head[i]);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        sqlite3_bind_int64(s, at++, t->sum[i]);
        sqlite3_bind_int64(s, at++, t->known[i]);
    }
    done(s);
}

/* Makes the projection what the writer would have flushed up to this row. */
static void project(int watermark)
{
    run_sql("BEGIN; DELETE FROM projection_session; DELETE FROM projection_session_span;"
            "DELETE FROM projection_session_slice; UPDATE projection SET watermark=%d WHERE name='session'",
            watermark);
    for (int s = 1; s <= SESSIONS; s++) {
        struct session_totals t = counted(s, 1, watermark);
        if (t.rows_seen)
            totals_insert(s, &t);
    }
    spans_make(watermark);
    run_sql("COMMIT");
    lab.watermark = watermark;
}

/* ---------------------------------------------------------------------- lists */

static const struct session_list_request *sorting;

static int64_t key_of(const struct session_totals *t)
{
    switch (sorting->order) {
    case ORDER_BY_LAST:
        return t->last_ms;
    case ORDER_BY_FIRST:
        return t->first_ms;
    case ORDER_BY_TOKENS:
        return t->tokens;
    case ORDER_BY_CALLS:
        return t->calls;
    case ORDER_BY_ERRORS:
        return t->errors;
    case ORDER_BY_COST:
        return t->sum[SUM_cost_nanousd];
    default:
        return t->sum[SUM_cost_reported_nanousd];
    }
}

struct expected {
    int session;
    struct session_totals totals;
};

static int in_order(const void *a, const void *b)
{
    const struct expected *x = a, *y = b;
    int64_t kx = key_of(&x->totals), ky = key_of(&y->totals);
    int way = kx < ky ? -1 : kx > ky ? 1 : x->session < y->session ? -1 : 1;

    return sorting->ascending ? way : -way;
}

/* What the filter of test i asks of a session. */
static bool wanted(int i, int session, int dims)
{
    static const char *const agents[] = { NULL, "red", "blue" };
    const char *name = lab.name[session], *root = lab.name[lab.root[session]];

    switch (i % 8) {
    case 1:
        return agents[dims % 3] && strcmp(agents[dims % 3], "red") == 0;
    case 2:
        return strstr(name, "un-1") != NULL;
    case 3:
        return strcmp(name, "Run-03") == 0 || strcmp(name, "Run-05") == 0;
    case 4:
        return strcmp(root, "Run-01") == 0;
    case 5:
        return strncmp(name, "Run-0", 5) != 0;
    case 6:
        return dims % 2 == 1; /* the tag */
    default:
        return true;
    }
}

static void filter_make(int i, struct session_list_request *q)
{
    struct problem p;
    int result = 0;

    if (i % 8 == 1)
        result = filter_add(&q->filter, FIELD_agent_id, "red", &p);
    if (i % 8 == 2)
        q->search = "UN-1";
    if (i % 8 == 3)
        result = filter_add(&q->filter, FIELD_session_id, "Run-03,Run-05", &p);
    if (i % 8 == 4)
        result = filter_add(&q->filter, FIELD_root_session_id, "Run-01", &p);
    if (i % 8 == 5)
        result = filter_add(&q->filter, FIELD_session_id, "!Run-0*", &p);
    if (i % 8 == 6)
        result = filter_add_tag(&q->filter, "team", "x", &p);
    assert_int_equal(result, 0);
}

static int expect(int i, const struct session_list_request *q, struct expected *out)
{
    int n = 0;

    for (int s = 1; s <= SESSIONS; s++) {
        struct session_totals t = counted(s, 1, lab.rows);
        if (t.rows_seen && t.last_ms >= q->from_ms && t.first_ms < q->to_ms && wanted(i, s, (int)t.dims))
            out[n++] = (struct expected){ s, t };
    }
    sorting = q;
    qsort(out, (size_t)n, sizeof *out, in_order);
    return n;
}

static void compare_pages(struct query_pool *pool, int i, struct session_list_request *q)
{
    static struct expected want[SESSIONS];
    int n = expect(i, q, want), at = 0;
    struct session_list a;
    struct problem p;
    char text[SESSION_PLACE_TEXT];

    do {
        if (session_list_run(pool, q, LONG, &p, &a) != 0)
            fail_msg("%s", p.detail);
        for (size_t k = 0; k < a.items; k++, at++) {
            assert_true(at < n);
            assert_int_equal(a.item[k].session, want[at].session);
            assert_same_totals(&a.item[k].totals, &want[at].totals, true);
            assert_string_equal((const char *)a.item[k].name[0].at, lab.name[want[at].session]);
        }
        assert_int_equal(a.more, at < n);
        q->has_after = a.more;
        session_place_format(q, &a.next, text);
        if (a.more)
            assert_int_equal(session_place_parse(q, text, &q->after), 0);
        session_list_fini(&a);
    } while (q->has_after);
    assert_int_equal(at, n);
}

static void test_lists(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        lab_open(seed);
        dims_make();
        sessions_make();
        rows_add(30 + (int)any(200));
        struct query_pool *pool = pool_new(lab.path);
        for (int i = 0; i < 300; i++) {
            struct session_list_request q = { .to_ms = INT64_MAX, .limit = 1 + any(SESSIONS) };
            if (any(4) == 0)
                rows_add((int)any(8));
            if (any(4) == 0)
                rows_retire();
            if (any(10) == 0)
                project(any(3) ? lab.watermark + (int)any((uint32_t)(lab.rows - lab.watermark) + 1)
                               : lab.rows);
            q.order = (enum session_order)any(SESSION_ORDERS);
            q.ascending = any(2);
            if (any(3) == 0)
                q.from_ms = START + any(100000);
            if (any(3) == 0)
                q.to_ms = START + any(100000);
            filter_make(i, &q);
            compare_pages(pool, i, &q);
            filter_fini(&q.filter);
        }
        pool_free(pool);
        lab_close();
    }
}

/* ------------------------------------------------------------------ one session */

struct taken {
    int64_t id[ROWS_MAX];
    int count;
};

static bool take(void *arg, const struct events_row *row)
{
    struct taken *t = arg;

    assert_int_equal(sqlite3_column_int64(row->stmt, 0), row->id);
    t->id[t->count++] = row->id;
    return true;
}

static bool is_of(int id, const char *name, int source)
{
    const struct row *r = &lab.row[id];

    return r->session && strcmp(lab.name[r->session], name) == 0 && (!source || 1 + r->dims % 2 == source);
}

static struct session_totals counted_name(const char *name, int source)
{
    struct session_totals t = { 0 };

    for (int id = 1; id <= lab.rows; id++) {
        if (is_of(id, name, source))
            count_row(&t, id, false, 0);
    }
    return t;
}

/* Whether any session that is reached belongs to the group of this root. */
static bool known_group(int root, const bool reached[NAMES + 2])
{
    for (int i = 1; i <= SESSIONS; i++) {
        if (reached[atoi(lab.name[i] + 4)] && (i == root || lab.root[i] == root))
            return true;
    }
    return false;
}

/* What is beneath a session, by name: the slow way. */
static void reach(const char *from, bool reached[NAMES + 2])
{
    bool more = true;

    reached[atoi(from + 4)] = true;
    while (more) {
        more = false;
        for (int i = 1; i <= SESSIONS; i++) {
            int self = atoi(lab.name[i] + 4), parent = lab.parent[i][0] ? atoi(lab.parent[i] + 4) : 0;
            int root = atoi(lab.name[lab.root[i]] + 4);
            if (lab.root[i] == i || reached[self] || !known_group(lab.root[i], reached))
                continue;
            if (reached[root] || (parent && reached[parent]))
                reached[self] = more = true;
        }
    }
}

static void compare_session(struct query_pool *pool, const char *name, int source)
{
    static struct events_request events = { .tables = 1u << TABLE_DISPATCH | 1u << TABLE_MESSAGE,
                                            .to_ms = INT64_MAX,
                                            .ascending = true };
    static struct taken got;
    struct session_request q = { .session_id = name, .events = &events, .limit = 1 + any(40) };
    struct session_answer a;
    struct problem p;
    struct session_totals own = counted_name(name, source), tree = own;
    bool reached[NAMES + 2] = { false };
    size_t beneath = 0;
    int at = 0, result;

    events.filter.count = 0;
    if (source)
        assert_int_equal(filter_add(&events.filter, FIELD_source, source == 1 ? "gw-1" : "gw-2", &p), 0);
    reach(name, reached);
    for (int n = 1; n <= NAMES + 1; n++) {
        char other[24];
        snprintf(other, sizeof other, "Run-%02d", n);
        if (!reached[n] || strcmp(other, name) == 0)
            continue;
        struct session_totals t = counted_name(other, source);
        beneath += t.rows_seen != 0;
        session_totals_add(&tree, &t);
    }
    do {
        got.count = 0;
        result = session_run(pool, &q, LONG, &p, take, &got, &a);
        if (result != 0) {
            if (p.status != 404)
                fail_msg("%s", p.detail);
            assert_false(own.rows_seen || beneath > 0);
            break;
        }
        assert_same_totals(&a.item.totals, &own, false);
        assert_int_equal(a.beneaths, beneath);
        assert_same_totals(&a.tree, &tree, false);
        assert_false(a.truncated);
        for (int k = 0; k < got.count; k++, at++) {
            while (at < lab.rows && (!is_of(at + 1, name, source) || lab.row[at + 1].state & 7))
                at++;
            assert_int_equal(got.id[k], at + 1);
        }
        q.after = a.cursor.lo - 1;
        result = events_done(&a.cursor);
        session_answer_fini(&a);
    } while (!result);
    for (; at < lab.rows; at++)
        assert_true(!is_of(at + 1, name, source) || lab.row[at + 1].state & 7);
    filter_fini(&events.filter);
}

static void test_one(void **state)
{
    (void)state;
    for (uint64_t seed = 11; seed <= 18; seed++) {
        lab_open(seed);
        dims_make();
        sessions_make();
        rows_add(30 + (int)any(200));
        struct query_pool *pool = pool_new(lab.path);
        for (int i = 0; i < 60; i++) {
            char name[24];
            rows_add((int)any(8));
            if (any(4) == 0)
                rows_retire();
            if (any(5) == 0)
                project(lab.watermark + (int)any((uint32_t)(lab.rows - lab.watermark) + 1));
            snprintf(name, sizeof name, "Run-%02u", 1 + any(NAMES + 1));
            compare_session(pool, name, any(3) ? 0 : 1 + (int)any(2));
        }
        pool_free(pool);
        lab_close();
    }
}

/* -------------------------------------------------------------------- trees */

static unsigned depth_of(struct session_tree *t, const char *name)
{
    for (size_t i = 0; i < t->found; i++) {
        if (strcmp(session_tree_name(t, t->order[i]), name) == 0)
            return t->node[t->order[i]].depth;
    }
    return 99;
}

static void tree_read(struct query_pool *pool, const char *name, unsigned max, struct session_tree *t)
{
    struct pool_connection *c;
    struct problem p;

    assert_int_equal(pool_borrow(pool, LONG, &p, &c), 0);
    assert_int_equal(session_tree_read(t, c, name, max, &p), 0);
    pool_give(c);
}

static void test_trees(void **state)
{
    struct session_tree t;

    (void)state;
    lab_open(1);
    session_insert(1, "top", "", 0);
    session_insert(2, "a", "top", 1);
    session_insert(3, "b", "a", 1);
    session_insert(4, "c", "b", 1);
    session_insert(5, "lost", "never seen", 1);
    session_insert(6, "loop", "loop", 1);
    session_insert(7, "x", "y", 1); /* x and y are each other's parents */
    session_insert(8, "y", "x", 1);
    session_insert(9, "under a", "a", 2); /* told a as its root */
    session_insert(10, "deeper", "", 9);
    session_insert(11, "elsewhere", "", 0);
    struct query_pool *pool = pool_new(lab.path);
    static const struct {
        const char *of;
        size_t found;
        const char *name;
        unsigned depth;
    } table[] = {
        { "top", 10, "c", 3 },        { "top", 10, "lost", 1 }, { "top", 10, "loop", 1 },
        { "top", 10, "x", 1 },        { "top", 10, "y", 2 },    { "top", 10, "deeper", 3 },
        { "a", 5, "b", 1 },           { "a", 5, "c", 2 },       { "a", 5, "under a", 1 },
        { "a", 5, "deeper", 2 },      { "a", 5, "lost", 99 },   { "c", 1, "c", 0 },
        { "x", 2, "y", 1 },           { "loop", 1, "loop", 0 }, { "elsewhere", 1, "a", 99 },
        { "nobody", 1, "nobody", 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        tree_read(pool, table[i].of, 100, &t);
        if (t.found != table[i].found || depth_of(&t, table[i].name) != table[i].depth || t.truncated)
            fail_msg("%s: %zu found, %s at %u", table[i].of, t.found, table[i].name,
                     depth_of(&t, table[i].name));
        session_tree_fini(&t);
    }
    tree_read(pool, "top", 9, &t);
    assert_false(t.truncated);
    session_tree_fini(&t);
    tree_read(pool, "top", 3, &t);
    assert_true(t.truncated && t.found == 4);
    session_tree_fini(&t);
    pool_free(pool);
    lab_close();
}

/* ------------------------------------------------------------------ at the edges */

/* Events by session, through the index, against a plain look at all rows. */
static void test_events_by_session(void **state)
{
    (void)state;
    lab_open(21);
    dims_make();
    sessions_make();
    rows_add(800);
    project(600);
    struct query_pool *pool = pool_new(lab.path);
    for (int i = 0; i < 200; i++) {
        static struct events_request q;
        static struct taken got;
        struct events_cursor c;
        struct problem p;
        unsigned n;
        char name[24];
        bool by_root = any(2);
        q = (struct events_request){ .tables = 1 + any(3), .to_ms = INT64_MAX, .ascending = any(2) };
        if (any(2))
            q.from_ms = START + any(100000);
        snprintf(name, sizeof name, "Run-%02u", 1 + any(NAMES + 1));
        assert_int_equal(filter_add(&q.filter, by_root ? FIELD_root_session_id : FIELD_session_id, name, &p),
                         0);
        got.count = 0;
        assert_int_equal(events_begin(pool, &q, q.ascending ? 0 : INT64_MAX, LONG, &p, &c), 0);
        while (!events_done(&c))
            assert_int_equal(events_read(pool, &q, &c, 1 + any(30), LONG, &p, take, &got, &n), 0);
        int at = 0;
        for (int k = 1; k <= lab.rows; k++) {
            int id = q.ascending ? k : lab.rows + 1 - k;
            const struct row *r = &lab.row[id];
            const char *of = !r->session ? ""
                             : by_root   ? lab.name[lab.root[r->session]]
                                         : lab.name[r->session];
            if (strcmp(of, name) != 0 || r->state & 7 || r->ms < q.from_ms || !(q.tables & 1u << r->message))
                continue;
            assert_true(at < got.count);
            assert_int_equal(got.id[at++], id);
        }
        assert_int_equal(at, got.count);
        filter_fini(&q.filter);
    }
    pool_free(pool);
    lab_close();
}

static void test_cursors(void **state)
{
    static const char *const wrong[] = { "",
                                         "A",
                                         "A1",
                                         "A1.",
                                         "A1.-1",
                                         "A1.1ffffffff",
                                         "A01.1",
                                         "a1.1",
                                         "B1.1",
                                         "A1.1x",
                                         "A1.11111111111111111111111111111111111111" };
    struct session_list_request q = { .order = ORDER_BY_LAST };
    struct session_place at;
    char text[SESSION_PLACE_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(session_place_parse(&q, wrong[i], &at), -1);
    for (int order = 0; order < SESSION_ORDERS; order++) {
        for (int ascending = 0; ascending < 2; ascending++) {
            q = (struct session_list_request){ .order = (enum session_order)order, .ascending = ascending };
            session_place_format(&q, &(struct session_place){ INT64_MAX, UINT32_MAX }, text);
            assert_int_equal(session_place_parse(&q, text, &at), 0);
            assert_true(at.key == INT64_MAX && at.session == UINT32_MAX);
            q.ascending = !ascending;
            assert_int_equal(session_place_parse(&q, text, &at), -1);
        }
    }
    assert_int_equal(session_order_find("tokens"), ORDER_BY_TOKENS);
    assert_int_equal(session_order_find("latest"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),   cmocka_unit_test(test_one),
        cmocka_unit_test(test_trees),   cmocka_unit_test(test_events_by_session),
        cmocka_unit_test(test_cursors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
