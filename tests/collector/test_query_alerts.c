/* SPDX-License-Identifier: MIT
 *
 * Alerts in a real file: whatever is asked for, the pages are what a plain look at all of them says, each
 * once and in order, however many are of one moment.
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

#include "collector/base/event.h"
#include "collector/query/alerts.h"
#include "collector/writer/migrations.h"

#define ALERTS 10000
#define TIMES  40 /* distinct ones: hundreds of alerts are of one moment */
#define START  1795000000000LL
#define LONG   mono_after(mono_now(), 600000)

struct made {
    int64_t ts_ms;
    int kind, severity;
    bool ended, acked;
    int agent, budget, team; /* 0: not told */
};

static struct lab {
    char dir[64], path[96];
    sqlite3 *db;
    struct query_pool *pool;
    uint64_t seed;
    struct made made[ALERTS + 1]; /* by id */
} lab;

static uint32_t any(uint32_t below)
{
    lab.seed = lab.seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(lab.seed >> 33) % below;
}

static void run_sql(const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(lab.db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", error, sql);
}

/* -------------------------------------------------------------------- making */

static char *subject_of(const struct made *m)
{
    char name[32];
    json_t *subject = json_object();

    snprintf(name, sizeof name, "agent-%d", m->agent);
    if (m->agent)
        json_object_set_new(subject, "agent", json_string(name));
    snprintf(name, sizeof name, "budget-%d", m->budget);
    if (m->budget)
        json_object_set_new(subject, "budget", json_string(name));
    snprintf(name, sizeof name, "team-%d", m->team);
    if (m->team)
        json_object_set_new(subject, "tag.team", json_string(name));
    char *text = json_dumps(subject, JSON_COMPACT);
    json_decref(subject);
    return text;
}

static void insert(sqlite3_stmt *stmt, int64_t id, const struct made *m)
{
    sqlite3_bind_int64(stmt, 1, id);
    sqlite3_bind_text(stmt, 2, alert_kind_name(m->kind), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, severity_name(m->severity), -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, m->ts_ms);
    sqlite3_bind_text(stmt, 5, subject_of(m), -1, free);
    if (m->ended)
        sqlite3_bind_int64(stmt, 6, m->ts_ms + 5);
    if (m->acked)
        sqlite3_bind_int64(stmt, 7, m->ts_ms + 7);
    assert_int_equal(sqlite3_step(stmt), SQLITE_DONE);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

static void fill(void)
{
    sqlite3_stmt *stmt;

    run_sql("BEGIN");
    assert_int_equal(
        sqlite3_prepare_v2(lab.db,
                           "INSERT INTO alert (id, kind, severity, mark, ts_ms, last_ms, count,"
                           " title, subject, evidence, ended_ms, acked_ms, acked_by)"
                           " VALUES (?1,?2,?3,?1,?4,?4+1,2,'title '||?1,?5,'{\"n\":'||?1||'}',?6,"
                           "?7,iif(?7,'ann',NULL))",
                           -1, &stmt, NULL),
        SQLITE_OK);
    for (int64_t id = 1; id <= ALERTS; id++) {
        lab.made[id] = (struct made){ .ts_ms = START + any(TIMES),
                                      .kind = (int)any(ALERT_KIND_COUNT),
                                      .severity = (int)any(SEVERITIES),
                                      .ended = any(3) == 0,
                                      .acked = any(3) == 0,
                                      .agent = (int)any(12),
                                      .budget = (int)any(5),
                                      .team = (int)any(4) };
        insert(stmt, id, &lab.made[id]);
    }
    sqlite3_finalize(stmt);
    run_sql("COMMIT");
}

static int setup(void **state)
{
    (void)state;
    lab.seed = 7;
    snprintf(lab.dir, sizeof lab.dir, "/tmp/test_query_alerts.XXXXXX");
    assert_non_null(mkdtemp(lab.dir));
    snprintf(lab.path, sizeof lab.path, "%s/x.db", lab.dir);
    assert_int_equal(sqlite3_open(lab.path, &lab.db), SQLITE_OK);
    run_sql("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF");
    for (int i = 0; i < migrations_count; i++)
        run_sql(migrations[i]);
    fill();
    lab.pool = pool_new(lab.path);
    assert_non_null(lab.pool);
    return 0;
}

static int teardown(void **state)
{
    char command[160];

    (void)state;
    pool_free(lab.pool);
    sqlite3_close(lab.db);
    snprintf(command, sizeof command, "rm -rf %s", lab.dir);
    return system(command); /* NOLINT: the path is ours */
}

/* ------------------------------------------------------------------- reading */

struct taken {
    int64_t id[ALERTS];
    size_t count;
};

static bool take(void *arg, const struct alerts_row *row)
{
    struct taken *t = arg;
    const struct made *m = &lab.made[row->id];
    char title[32];

    snprintf(title, sizeof title, "title %" PRId64, row->id);
    assert_string_equal(row->title, title);
    assert_string_equal(row->kind, alert_kind_name(m->kind));
    assert_string_equal(row->severity, severity_name(m->severity));
    assert_int_equal(row->ts_ms, m->ts_ms);
    assert_int_equal(row->last_ms, m->ts_ms + 1);
    assert_int_equal(row->count, 2);
    assert_int_equal(row->ended_ms, m->ended ? m->ts_ms + 5 : UNKNOWN);
    assert_int_equal(row->acked_ms, m->acked ? m->ts_ms + 7 : UNKNOWN);
    assert_true(m->acked ? strcmp(row->acked_by, "ann") == 0 : row->acked_by == NULL);
    assert_null(row->acked_note);
    t->id[t->count++] = row->id;
    return true;
}

static bool take_none(void *arg, const struct alerts_row *row)
{
    (void)arg;
    (void)row;
    return false;
}

/* All pages of a request, each of another size. */
static void take_all(struct alerts_request *q, struct taken *t, int64_t *unacked)
{
    struct alerts_answer a = { .more = true };
    char text[ALERTS_CURSOR];
    struct problem p;

    t->count = 0;
    q->count = true;
    for (bool first = true; a.more; first = false) {
        size_t before = t->count;
        q->limit = 1 + any(ALERTS_LIMIT_MAX);
        q->has_after = !first;
        if (!first) {
            alerts_place_format(&a.next, text);
            assert_int_equal(alerts_place_parse(text, &q->after), 0);
        }
        assert_int_equal(alerts_list(lab.pool, q, LONG, &p, take, t, &a), 0);
        assert_true(t->count - before <= q->limit);
        assert_true(!a.more || t->count - before == q->limit);
        if (first)
            *unacked = a.unacked;
        assert_int_equal(a.unacked, *unacked);
    }
}

static int later(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    if (lab.made[x].ts_ms != lab.made[y].ts_ms)
        return lab.made[x].ts_ms < lab.made[y].ts_ms ? 1 : -1;
    return x < y ? 1 : -1;
}

typedef bool (*wanted_fn)(const struct made *m);

/* What the request finds is what `wanted` says of each alert, in order, both ways. */
static size_t check(struct alerts_request *q, wanted_fn wanted)
{
    static struct taken found, plain;
    int64_t unacked = 0, told;

    plain.count = 0;
    for (int64_t id = 1; id <= ALERTS; id++) {
        const struct made *m = &lab.made[id];
        if (m->ts_ms < q->from_ms || m->ts_ms >= q->to_ms || !wanted(m))
            continue;
        plain.id[plain.count++] = id;
        unacked += !m->acked;
    }
    qsort(plain.id, plain.count, sizeof *plain.id, later);
    for (int ascending = 0; ascending < 2; ascending++) {
        q->ascending = ascending;
        take_all(q, &found, &told);
        assert_int_equal(told, unacked);
        assert_int_equal(found.count, plain.count);
        for (size_t i = 0; i < found.count; i++)
            assert_int_equal(found.id[i], plain.id[ascending ? plain.count - 1 - i : i]);
    }
    alerts_filter_fini(&q->filter);
    return plain.count;
}

static struct alerts_request all(void)
{
    return (struct alerts_request){ .from_ms = 0, .to_ms = INT64_MAX };
}

/* --------------------------------------------------------------------- tests */

static bool each(const struct made *m)
{
    (void)m;
    return true;
}

static void test_pages_hold_everything_once(void **state)
{
    struct alerts_request q = all();

    (void)state;
    assert_int_equal(check(&q, each), ALERTS);
    for (int i = 0; i < 20; i++) {
        q = all();
        q.from_ms = START + any(TIMES);
        q.to_ms = q.from_ms + 1 + any(5);
        assert_true(check(&q, each) > 0);
    }
    q.from_ms = q.to_ms = START + TIMES;
    q.to_ms++;
    assert_int_equal(check(&q, each), 0);
}

static bool overrun_or_test(const struct made *m)
{
    return m->kind == ALERT_overrun || m->kind == ALERT_test;
}

static bool warning(const struct made *m)
{
    return m->severity >= SEVERITY_WARNING;
}

static bool open_unacked(const struct made *m)
{
    return !m->ended && !m->acked;
}

static bool ended_acked(const struct made *m)
{
    return m->ended && m->acked;
}

static void test_kinds_severities_states(void **state)
{
    struct alerts_request q = all();

    (void)state;
    q.filter.kinds = 1u << ALERT_overrun | 1u << ALERT_test;
    assert_true(check(&q, overrun_or_test) > 100);
    q = all();
    q.filter.least = SEVERITY_WARNING;
    assert_true(check(&q, warning) > 100);
    q = all();
    q.filter.states = ALERTS_OPEN | ALERTS_UNACKED;
    assert_true(check(&q, open_unacked) > 100);
    q = all();
    q.filter.states = ALERTS_ENDED | ALERTS_ACKED;
    assert_true(check(&q, ended_acked) > 100);
    q = all();
    q.filter.states = ALERTS_OPEN | ALERTS_ENDED;
    struct taken *none = calloc(1, sizeof *none);
    int64_t unacked;
    take_all(&q, none, &unacked);
    assert_int_equal(none->count, 0);
    free(none);
}

static bool agent_7(const struct made *m)
{
    return m->agent == 7;
}

static bool agent_1x_or_none(const struct made *m)
{
    return m->agent == 1 || m->agent >= 10 || m->agent == 0;
}

static bool neither_1_nor_2(const struct made *m)
{
    return m->budget != 1 && m->budget != 2;
}

static bool team_3_budget_4(const struct made *m)
{
    return m->team == 3 && m->budget == 4;
}

static void test_names(void **state)
{
    struct alerts_request q = all();
    struct problem p;

    (void)state;
    assert_int_equal(filter_add(&q.filter.names, FIELD_agent_id, "agent-7", &p), 0);
    assert_true(check(&q, agent_7) > 100);
    q = all();
    assert_int_equal(filter_add(&q.filter.names, FIELD_agent_id, "agent-1*,", &p), 0);
    assert_true(check(&q, agent_1x_or_none) > 100);
    q = all();
    assert_int_equal(filter_add_tag(&q.filter.budget, "budget", "!budget-1,budget-2", &p), 0);
    assert_true(check(&q, neither_1_nor_2) > 100);
    q = all();
    assert_int_equal(filter_add_tag(&q.filter.budget, "budget", "budget-4", &p), 0);
    assert_int_equal(filter_add_tag(&q.filter.names, "team", "team-3", &p), 0);
    assert_true(check(&q, team_3_budget_4) > 100);
}

/* -------------------------------------------------------------- one, followed */

static bool note_deliveries(void *arg, const struct alerts_row *row)
{
    struct alerts_delivery d;
    char *to = arg;

    for (int n = 0; alerts_delivery(row, &d); n++)
        to += sprintf(to, "%s %s %" PRId64 " %" PRId64 " %" PRId64 " %s;", d.destination, d.state, d.attempts,
                      d.due_ms, d.ended_ms, d.error ? d.error : "-");
    return true;
}

static void test_one_and_its_deliveries(void **state)
{
    char said[512] = "";
    struct taken *t = calloc(1, sizeof *t);
    struct problem p;

    (void)state;
    assert_int_equal(alerts_one(lab.pool, 17, LONG, &p, take, t), 0);
    assert_int_equal(t->count, 1);
    assert_int_equal(t->id[0], 17);
    free(t);
    assert_int_equal(alerts_one(lab.pool, 17, LONG, &p, note_deliveries, said), 0);
    assert_string_equal(said, "");
    run_sql("INSERT INTO message_out (id, key, destination, state, made_ms, due_ms, attempts, ended_ms, "
            "error) VALUES (1,'k','slack',3,1,100,9,50,'HTTP 500'),"
            "(2,'k','mail',0,1,200,0,NULL,NULL),(3,'k','mail',1,1,300,2,NULL,'refused'),"
            "(4,'k','pager',2,1,400,1,60,NULL),(5,'k','other',2,1,400,1,60,NULL);"
            "INSERT INTO message_alert VALUES (17,1),(17,2),(17,3),(17,4),(18,5)");
    assert_int_equal(alerts_one(lab.pool, 17, LONG, &p, note_deliveries, said), 0);
    assert_string_equal(said, "mail gathers 0 200 -1 -;mail waiting 2 300 -1 refused;pager told 1 -1 60 -;"
                              "slack given_up 9 -1 50 HTTP 500;");
    assert_int_equal(alerts_one(lab.pool, ALERTS + 1, LONG, &p, take, NULL), -1);
    assert_int_equal(p.status, 404);
}

/* Takes so many, then no more. */
struct few {
    struct taken t;
    size_t most;
};

static bool take_few(void *arg, const struct alerts_row *row)
{
    struct few *f = arg;

    take(&f->t, row);
    return f->t.count < f->most;
}

static void follow(const struct alerts_filter *filter, struct few *f, int64_t *id, bool *behind)
{
    struct pool_connection *c;
    struct problem p;

    f->t.count = 0;
    assert_int_equal(pool_borrow(lab.pool, LONG, &p, &c), 0);
    assert_int_equal(alerts_follow(c, filter, &p, take_few, f, id, behind), 0);
    pool_give(c);
}

static void test_followed_once_and_in_order(void **state)
{
    struct few *f = calloc(1, sizeof *f);
    struct alerts_filter none = { .states = ALERTS_OPEN | ALERTS_ENDED }, every = { 0 };
    int64_t id = 100, newest;
    bool behind;
    struct problem p;

    (void)state;
    f->most = 30;
    follow(&every, f, &id, &behind);
    assert_true(behind);
    assert_int_equal(f->t.count, 30);
    assert_int_equal(f->t.id[0], 101);
    assert_int_equal(id, 130);
    f->most = ALERTS;
    int64_t expected = 131;
    do {
        follow(&every, f, &id, &behind);
        for (size_t i = 0; i < f->t.count; i++)
            assert_int_equal(f->t.id[i], expected++);
    } while (behind);
    assert_int_equal(expected, ALERTS + 1);
    assert_int_equal(id, ALERTS);
    follow(&every, f, &id, &behind);
    assert_true(f->t.count == 0 && !behind && id == ALERTS);
    id = 0; /* what is not for it is left behind, too, a step at a time */
    follow(&none, f, &id, &behind);
    assert_true(f->t.count == 0 && behind && id == ALERTS_STEP);
    assert_int_equal(alerts_newest(lab.pool, LONG, &p, &newest), 0);
    assert_int_equal(newest, ALERTS);
    free(f);
}

/* --------------------------------------------------------------------- bounds */

static void test_a_deadline_ends_it(void **state)
{
    struct alerts_request q = all();
    struct alerts_answer a = { .unacked = 77 };
    struct taken *t = calloc(1, sizeof *t);
    struct problem p;

    (void)state;
    q.limit = ALERTS;
    assert_int_equal(alerts_list(lab.pool, &q, mono_now(), &p, take, t, &a), -1);
    assert_int_equal(p.status, 504);
    assert_int_equal(a.unacked, 77);
    assert_true(t->count < ALERTS);
    free(t);
}

static void test_places(void **state)
{
    static const char *const wrong[] = { "",
                                         "a",
                                         "a1",
                                         "a1.",
                                         "a.1",
                                         "b1.1",
                                         "a1.1x",
                                         "a1.1.1",
                                         "a-1.1",
                                         "1.1",
                                         "a9999999999999999999.1",
                                         "a1.9999999999999999999",
                                         "a 1.1" };
    struct alerts_place at = { 3, 4 };
    char text[ALERTS_CURSOR];

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(alerts_place_parse(wrong[i], &at), -1);
    assert_true(at.ts_ms == 3 && at.id == 4);
    alerts_place_format(&(struct alerts_place){ 253402300799999, 999999999999999999 }, text);
    assert_int_equal(alerts_place_parse(text, &at), 0);
    assert_true(at.ts_ms == 253402300799999 && at.id == 999999999999999999);
}

static void test_counting_has_an_end(void **state)
{
    struct alerts_request q = { .from_ms = START + 2 * TIMES, .to_ms = INT64_MAX, .limit = 1, .count = true };
    struct alerts_answer a;
    struct problem p;
    char sql[500];

    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(sql, sizeof sql,
                 "WITH RECURSIVE n(i) AS (VALUES (%d) UNION ALL SELECT i + 1 FROM n WHERE i < %d)"
                 " INSERT INTO alert (kind, severity, mark, ts_ms, last_ms, count, title, subject, evidence)"
                 " SELECT 'losses', 'info', 'm' || i, %lld + i, 1, 1, 't', '{}', '{}' FROM n",
                 i * (ALERTS_COUNT_MAX - 1) + 1, (i + 1) * (ALERTS_COUNT_MAX - 1), (long long)q.from_ms);
        run_sql(sql);
        assert_int_equal(alerts_list(lab.pool, &q, LONG, &p, take_none, NULL, &a), 0);
        assert_int_equal(a.unacked, i == 0 ? ALERTS_COUNT_MAX - 1 : ALERTS_COUNT_MAX);
    }
    run_sql("DELETE FROM alert WHERE kind = 'losses' AND title = 't'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_hold_everything_once),
        cmocka_unit_test(test_kinds_severities_states),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_one_and_its_deliveries),
        cmocka_unit_test(test_followed_once_and_in_order),
        cmocka_unit_test(test_a_deadline_ends_it),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_counting_has_an_end),
    };

    return cmocka_run_group_tests_name("query alerts", tests, setup, teardown);
}
