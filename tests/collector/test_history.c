/* SPDX-License-Identifier: MIT
 *
 * Random histories of a writer's life against a recount from the raw tables: sessions and sub-agents,
 * partial records and their final ones, coarser records, duplicates, late and misdated events, new prices,
 * combinations past the bound, flushes at any time, crashes and rollbacks. After each, every level
 * of the rollups, the day rows, the totals and the index of the sessions, the roots, the
 * combinations and the partitions must be what the rows of the log come to.
 */
#include "writer_db.h"

#include "collector/base/clock.h"
#include "collector/base/sketch.h"
#include "collector/base/slab.h"
#include "collector/base/stored.h"
#include "collector/writer/journal.h"
#include "made_event.h"

#define START_MS    1795132800000LL
#define HISTORIES   SCALE(20)
#define LIVES       5
#define LIFE_EVENTS 150
#define ROWS_MAX    (LIVES * LIFE_EVENTS + 1)
#define BOUND       12 /* of combinations */

struct history {
    unsigned seed;
    struct store store;
    struct journal journal;
    struct journal_origin from;
    struct zone *zone;
    int64_t now_ms;
};

/* What all histories together have been through. */
static struct journal_tally met;
static int64_t rollbacks, repriced, folded_rows, unfolded_rows;

static unsigned below(struct history *h, unsigned n)
{
    return (unsigned)rand_r(&h->seed) % n;
}

/* ------------------------------------------------------------------- living */

static void wake(struct history *h)
{
    struct journal_options options = { .past_ms = 2 * 86400000LL,
                                       .future_ms = 600000,
                                       .quarantine_rows = 100,
                                       .combinations = BOUND,
                                       .zone = h->zone };

    db_open(&h->store);
    assert_int_equal(journal_init(&h->journal, &h->store, &options), 0);
    assert_int_equal(journal_recover(&h->journal), 0);
}

static void begin(struct history *h)
{
    assert_int_equal(store_begin(&h->store), 0);
    h->from = (struct journal_origin){ .now_ms = h->now_ms };
    assert_int_equal(
        names_source(&h->journal.names, h->seed % 2 == 0 ? "even" : "odd", h->now_ms, &h->from.source), 0);
}

static void commit(struct history *h)
{
    assert_int_equal(journal_settle(&h->journal, h->now_ms), 0);
    assert_int_equal(store_commit(&h->store), 0);
    journal_committed(&h->journal);
    const struct journal_tally *t = &h->journal.tally;
    met.replaced += t->replaced;
    met.duplicate += t->duplicate;
    met.conflict += t->conflict;
    met.coarser += t->coarser;
    met.misdated += t->misdated;
    met.overflowed += t->overflowed;
    h->journal.tally = (struct journal_tally){ 0 };
}

static void sleep_for_good(struct history *h)
{
    journal_fini(&h->journal);
    store_close(&h->store);
}

/* One of a few, or none. */
static const char *pick(struct history *h, const char *const *names, unsigned n)
{
    unsigned i = below(h, n + 1);

    return i < n ? names[i] : NULL;
}

static struct made_names random_names(struct history *h)
{
    static const char *const sessions[] = { "s-1", "s-2", "s-3", "s-4", "s-5", "s-6" };
    static const char *const users[] = { "u-1", "u-2", "u-3", "(other)" };
    static const char *const models[] = { "m-1", "m-2" };
    struct made_names n = { .session_id = pick(h, sessions, 6),
                            .agent_id = "a",
                            .model = pick(h, models, 2) };

    if (below(h, 3) == 0) {
        n.parent_session_id = pick(h, sessions, 3);
        n.root_session_id = pick(h, sessions, 3);
    }
    n.user_id = pick(h, users, 4);
    n.tag = below(h, 4) == 0 ? pick(h, users, 3) : NULL;
    n.error_type = below(h, 8) == 0 ? "timeout" : NULL;
    n.status = (uint8_t)below(h, 6);
    n.granularity = (uint8_t)(below(h, 3) == 0 ? below(h, 4) : 0);
    return n;
}

/* Near the present, late, or out of range. */
static int64_t random_time(struct history *h)
{
    switch (below(h, 12)) {
    case 0:
        return UNKNOWN;
    case 1:
        return h->now_ms - 86400000LL + below(h, 86400000);
    case 2:
        return h->now_ms - 3 * 86400000LL;
    case 3:
        return h->now_ms + 500000;
    default:
        return h->now_ms - (int64_t)below(h, 1800000);
    }
}

static void random_numbers(struct history *h, int64_t num[DISPATCH_NUMS])
{
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = below(h, 3) == 0 ? UNKNOWN : (int64_t)below(h, i == D_latency_ms ? 100000 : 50);
    num[D_partial] = below(h, 3) == 0 ? 1 : UNKNOWN;
}

static void random_event(struct history *h)
{
    static const enum event_kind kinds[] = { KIND_dispatch, KIND_dispatch, KIND_dispatch,
                                             KIND_dispatch, KIND_report,   KIND_message_received,
                                             KIND_agent_end };
    static const char *const runs[] = { "r-1", "r-2", "r-3", "r-4", "r-5" };
    struct made_names names = random_names(h);
    enum event_kind kind = kinds[below(h, 7)];
    enum event_result result;
    struct made_event m;

    made_event(&m, kind, &names);
    m.event.ts_ms = random_time(h);
    m.event.has_id = below(h, 4) != 0;
    m.event.id[0] = (uint8_t)below(h, 250);
    m.event.id[1] = 1 + (kind == KIND_dispatch);
    if (kind == KIND_dispatch) {
        random_numbers(h, m.event.num);
        if (below(h, 3) != 0)
            made_run(&m, runs[below(h, 5)]);
    }
    assert_int_equal(journal_append(&h->journal, &h->from, &m.event, &result), 0);
}

/* Another price for a row of any age, if it counts. */
static void random_price(struct history *h)
{
    struct projections *p = &h->journal.projections;
    int64_t num[DISPATCH_NUMS], id = 1 + below(h, (unsigned)h->store.next_id);
    struct log_row row;
    char sql[128];

    assert_int_equal(projections_make_room(p, h->now_ms), 0);
    int rc = log_row_read(h->journal.read_row, id, num, &row);
    assert_true(rc >= 0);
    if (rc == 0 || !row.counts)
        return;
    assert_int_equal(projections_retract(p, &row), 0);
    snprintf(sql, sizeof sql, "UPDATE dispatch SET price = %s, cost_nanousd = %s%u WHERE id = %lld",
             below(h, 3) == 0 ? "NULL" : "2", below(h, 4) == 0 ? "NULL + " : "", below(h, 70), (long long)id);
    db_exec(&h->store, sql);
    assert_int_equal(log_row_read(h->journal.read_row, id, num, &row), 1);
    assert_int_equal(projections_restore(p, &row), 0);
    repriced++;
}

/* A transaction of some events and new prices; then perhaps a flush; then the commit, or not. */
static void live_a_moment(struct history *h)
{
    bool lost = below(h, 10) == 0;

    h->now_ms += below(h, 4) == 0 ? (int64_t)below(h, 2000000) : (int64_t)below(h, 1000);
    begin(h);
    for (unsigned i = below(h, 8); i > 0; i--)
        below(h, 5) == 0 ? random_price(h) : random_event(h);
    if (below(h, 3) == 0)
        assert_int_equal(journal_flush_usage(&h->journal, h->now_ms), 0);
    if (below(h, 3) == 0)
        assert_int_equal(journal_flush_sessions(&h->journal), 0);
    if (!lost) {
        commit(h);
        return;
    }
    rollbacks++;
    store_rollback(&h->store);
    assert_int_equal(journal_recover(&h->journal), 0);
}

/* ---------------------------------------------------------------- recounting */

struct raw {
    int64_t id, ts_ms, num[DISPATCH_SUMS];
    enum log_kind kind;
    bool counts, partial;
    uint32_t dims, rollup, session;
    int status;
};

static struct raw rows[ROWS_MAX];
static int rows_n;

static void read_rows(struct history *h)
{
    sqlite3_stmt *s = db_prepare(
        &h->store,
        "SELECT e.id, ts_ms, 0, state & 7 = 0, ifnull(partial, 0), e.dims, d.rollup, ifnull(session, 0),"
        " ifnull(d.status, 0)" STORED_SUMS " FROM dispatch e JOIN dims d ON d.id = e.dims UNION ALL"
        " SELECT id, ts_ms, 1, 0, 0, dims, 0, ifnull(session, 0), 0,"
        " 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM message UNION ALL"
        " SELECT id, ts_ms, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM report"
        " ORDER BY 1");

    for (rows_n = 0; sqlite3_step(s) == SQLITE_ROW; rows_n++) {
        assert_true(rows_n < ROWS_MAX);
        struct raw *r = &rows[rows_n];
        *r = (struct raw){ .id = sqlite3_column_int64(s, 0),
                           .ts_ms = sqlite3_column_int64(s, 1),
                           .kind = (enum log_kind)sqlite3_column_int(s, 2),
                           .counts = sqlite3_column_int(s, 3),
                           .partial = sqlite3_column_int(s, 4) == 1,
                           .dims = (uint32_t)sqlite3_column_int64(s, 5),
                           .rollup = (uint32_t)sqlite3_column_int64(s, 6),
                           .session = (uint32_t)sqlite3_column_int64(s, 7),
                           .status = sqlite3_column_int(s, 8) };
        for (int i = 0; i < DISPATCH_SUMS; i++)
            r->num[i] = sqlite3_column_type(s, 9 + i) == SQLITE_NULL ? -1 : sqlite3_column_int64(s, 9 + i);
    }
    sqlite3_finalize(s);
}

/* A cell as it is expected: of one time and one rollup combination. */
struct cell {
    int64_t calls, partial, sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
    uint16_t bucket[SLAB_SKETCHES][ROWS_MAX];
    uint32_t buckets[SLAB_SKETCHES];
};

static void add_row(struct cell *c, const struct raw *r)
{
    static const int sketched[SLAB_SKETCHES] = { SUM_latency_ms, SUM_ttft_ms };

    c->calls++;
    c->partial += r->partial;
    for (int i = 0; i < DISPATCH_SUMS; i++)
        if (r->num[i] >= 0) {
            c->sum[i] += r->num[i];
            c->known[i]++;
        }
    for (int k = 0; k < SLAB_SKETCHES; k++)
        if (r->num[sketched[k]] >= 0)
            c->bucket[k][c->buckets[k]++] = sketch_bucket(r->num[sketched[k]]);
}

static int by_bucket(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

enum level { MINUTE, QUARTER, DAY, LEVELS };
static const char *const tables[LEVELS] = { "projection_minute", "projection_quarter", "projection_day" };

static int64_t start_of(const struct history *h, enum level level, int64_t ms)
{
    int64_t minute = ms / 60000;

    return level == MINUTE    ? minute
           : level == QUARTER ? minute / 15 * 15
                              : zone_floor(h->zone, ZONE_DAY, ms) / 60000;
}

/* What a level holds: counting rows up to the watermark; of quarters and days only folded minutes. */
struct expectation {
    enum level level;
    int64_t watermark, folded;
};

static bool is_in(const struct history *h, const struct expectation *x, const struct raw *r, int64_t start)
{
    return r->id <= x->watermark && start_of(h, x->level, r->ts_ms) == start &&
           (x->level == MINUTE || r->ts_ms / 60000 < x->folded);
}

static void compare_points(struct slab_points *p, struct cell *expected, enum slab_sketch sketch)
{
    uint16_t bucket;
    int64_t count;
    uint32_t at = 0;

    qsort(expected->bucket[sketch], expected->buckets[sketch], sizeof(uint16_t), by_bucket);
    assert_true(slab_points_cell(p) >= 0);
    while (slab_points_next(p, &bucket, &count))
        for (; count > 0; count--, at++)
            assert_int_equal(expected->bucket[sketch][at], bucket);
    assert_int_equal(at, expected->buckets[sketch]);
}

static void compare_slab(struct history *h, const struct expectation *x, int64_t start, const void *body,
                         int len)
{
    static int64_t dims[SLAB_CELLS_MAX], calls[SLAB_CELLS_MAX], value[SLAB_CELLS_MAX];
    static struct cell cells[64];
    struct slab_view v;
    int64_t counting = 0, all_calls = 0;

    assert_int_equal(slab_open(body, (size_t)len, &v), 0);
    assert_int_equal(slab_read(&v, SLAB_DIMS, NULL, dims), 0);
    assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, calls), 0);
    assert_true(v.cells <= 64);
    memset(cells, 0, v.cells * sizeof *cells);
    for (int i = 0; i < rows_n; i++)
        if (rows[i].counts && is_in(h, x, &rows[i], start)) {
            counting++;
            for (uint32_t c = 0; c < v.cells; c++)
                if (dims[c] == rows[i].rollup)
                    add_row(&cells[c], &rows[i]);
        }
    for (uint32_t c = 0; c < v.cells; c++) {
        assert_true(calls[c] > 0); /* no ghosts */
        assert_int_equal(calls[c], cells[c].calls);
        all_calls += calls[c];
    }
    assert_int_equal(all_calls, counting); /* and none is missing */
    assert_int_equal(slab_read(&v, SLAB_PARTIAL, calls, value), 0);
    for (uint32_t c = 0; c < v.cells; c++)
        assert_int_equal(value[c], cells[c].partial);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        assert_int_equal(slab_read(&v, (enum slab_column)(SLAB_SUM + i), calls, value), 0);
        for (uint32_t c = 0; c < v.cells; c++)
            assert_int_equal(value[c], cells[c].sum[i]);
        assert_int_equal(slab_read(&v, (enum slab_column)(SLAB_KNOWN + i), calls, value), 0);
        for (uint32_t c = 0; c < v.cells; c++)
            assert_int_equal(value[c], cells[c].known[i]);
    }
    struct slab_points latency = slab_points(&v, SLAB_LATENCY_SKETCH),
                       ttft = slab_points(&v, SLAB_TTFT_SKETCH);
    for (uint32_t c = 0; c < v.cells; c++) {
        compare_points(&latency, &cells[c], SLAB_LATENCY);
        compare_points(&ttft, &cells[c], SLAB_TTFT);
    }
}

/* Every slab, and that each row that should be in one has one, with its id in the slab's range. */
static void compare_level(struct history *h, enum level level)
{
    struct expectation x = { level, db_ask(&h->store, "SELECT watermark FROM projection WHERE name='usage'"),
                             db_ask(&h->store,
                                    "SELECT value FROM projection_setting WHERE name='folded_minute'") };
    char sql[128];

    snprintf(sql, sizeof sql, "SELECT start_minute, first_id, last_id, cells, body FROM %s", tables[level]);
    sqlite3_stmt *s = db_prepare(&h->store, sql);
    static bool covered[ROWS_MAX];
    memset(covered, 0, sizeof covered);
    while (sqlite3_step(s) == SQLITE_ROW) {
        int64_t start = sqlite3_column_int64(s, 0);
        compare_slab(h, &x, start, sqlite3_column_blob(s, 4), sqlite3_column_bytes(s, 4));
        for (int i = 0; i < rows_n; i++)
            if (is_in(h, &x, &rows[i], start)) {
                assert_in_range(rows[i].id, sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2));
                covered[i] = true;
            }
    }
    sqlite3_finalize(s);
    for (int i = 0; i < rows_n; i++)
        if (!covered[i] && is_in(h, &x, &rows[i], start_of(h, level, rows[i].ts_ms)))
            fail_msg("row %lld is in no row of %s", (long long)rows[i].id, tables[level]);
}

static void compare_day_rows(struct history *h)
{
    int64_t folded = db_ask(&h->store, "SELECT value FROM projection_setting WHERE name='folded_minute'"),
            watermark = db_ask(&h->store, "SELECT watermark FROM projection WHERE name='usage'"), calls = 0;
    sqlite3_stmt *s = db_prepare(&h->store, "SELECT * FROM projection_day_row");
    int64_t counting = 0;

    while (sqlite3_step(s) == SQLITE_ROW) {
        int64_t start = sqlite3_column_int64(s, 0), sum[DISPATCH_SUMS] = { 0 }, n = 0, partial = 0,
                known[DISPATCH_SUMS] = { 0 };
        char date[ZONE_DATE_MAX];
        zone_date(h->zone, start * 60000, date);
        assert_string_equal(sqlite3_column_text(s, 1), date);
        for (int i = 0; i < rows_n; i++) {
            const struct raw *r = &rows[i];
            if (!r->counts || r->id > watermark || r->ts_ms / 60000 >= folded ||
                start_of(h, DAY, r->ts_ms) != start || r->rollup != sqlite3_column_int64(s, 2))
                continue;
            n++;
            partial += r->partial;
            for (int k = 0; k < DISPATCH_SUMS; k++) {
                sum[k] += r->num[k] >= 0 ? r->num[k] : 0;
                known[k] += r->num[k] >= 0;
            }
        }
        assert_true(n > 0);
        calls += n;
        assert_int_equal(sqlite3_column_int64(s, 3), n);
        assert_int_equal(sqlite3_column_int64(s, 4), partial);
        for (int k = 0; k < DISPATCH_SUMS; k++) {
            assert_int_equal(sqlite3_column_int64(s, 5 + 2 * k), sum[k]);
            assert_int_equal(sqlite3_column_int64(s, 6 + 2 * k), known[k]);
        }
    }
    sqlite3_finalize(s);
    for (int i = 0; i < rows_n; i++)
        counting += rows[i].counts && rows[i].id <= watermark && rows[i].ts_ms / 60000 < folded;
    assert_int_equal(calls, counting);
    folded_rows += calls;
    unfolded_rows += rows_n - calls;
}

/* ----------------------------------------------------------------- sessions */

struct total {
    int64_t n, dims, first_ms, last_ms, first_id, last_id, messages, calls, errors, partial, tokens;
    int64_t sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
    bool has_dispatch;
};

static void add_total(struct total *t, const struct raw *r)
{
    if (t->n++ == 0)
        *t = (struct total){
            .n = 1, .dims = r->dims, .first_ms = r->ts_ms, .last_ms = r->ts_ms, .first_id = r->id
        };
    t->first_ms = r->ts_ms < t->first_ms ? r->ts_ms : t->first_ms;
    t->last_ms = r->ts_ms > t->last_ms ? r->ts_ms : t->last_ms;
    t->last_id = r->id;
    t->messages += r->kind == LOG_MESSAGE;
    if (r->kind == LOG_DISPATCH)
        t->dims = r->dims;
    if (!r->counts)
        return;
    t->calls++;
    t->errors += r->status == STATUS_error || r->status == STATUS_timeout;
    t->partial += r->partial;
    for (int k = 0; k < DISPATCH_SUMS; k++)
        if (r->num[k] >= 0) {
            t->sum[k] += r->num[k];
            t->known[k]++;
        }
    if (r->num[SUM_total_tokens] >= 0)
        t->tokens += r->num[SUM_total_tokens];
    else
        t->tokens += (r->num[SUM_prompt_tokens] >= 0 ? r->num[SUM_prompt_tokens] : 0) +
                     (r->num[SUM_completion_tokens] >= 0 ? r->num[SUM_completion_tokens] : 0);
}

static void compare_totals(struct history *h, int64_t watermark)
{
    sqlite3_stmt *s = db_prepare(&h->store, "SELECT * FROM projection_session");
    int64_t sessions = 0;

    for (; sqlite3_step(s) == SQLITE_ROW; sessions++) {
        struct total t = { 0 };
        for (int i = 0; i < rows_n; i++)
            if (rows[i].session == sqlite3_column_int64(s, 0) && rows[i].id <= watermark)
                add_total(&t, &rows[i]);
        const int64_t expected[] = { t.dims,     t.first_ms, t.last_ms, t.first_id, t.last_id,
                                     t.messages, t.calls,    t.errors,  t.partial,  t.tokens };
        for (int i = 0; i < 10; i++)
            assert_int_equal(sqlite3_column_int64(s, 1 + i), expected[i]);
        for (int k = 0; k < DISPATCH_SUMS; k++) {
            assert_int_equal(sqlite3_column_int64(s, 11 + 2 * k), t.sum[k]);
            assert_int_equal(sqlite3_column_int64(s, 12 + 2 * k), t.known[k]);
        }
    }
    sqlite3_finalize(s);
    assert_int_equal(sessions,
                     db_ask(&h->store, "SELECT count(*) FROM (SELECT session FROM dispatch WHERE id <="
                                       " (SELECT watermark FROM projection WHERE name='session')"
                                       " AND session > 0 UNION SELECT session FROM message WHERE id <="
                                       " (SELECT watermark FROM projection WHERE name='session')"
                                       " AND session > 0)"));
}

static void compare_sessions(struct history *h)
{
    static uint32_t indexed[ROWS_MAX + 1];
    int64_t watermark = db_ask(&h->store, "SELECT watermark FROM projection WHERE name='session'"),
            expected = 0;

    compare_totals(h, watermark);
    for (int i = 0; i < rows_n; i++)
        expected += rows[i].session != 0 && rows[i].id <= watermark;
    assert_int_equal(db_read_index(&h->store, indexed, ROWS_MAX + 1), expected);
    for (int i = 0; i < rows_n; i++)
        if (rows[i].id <= watermark)
            assert_int_equal(indexed[rows[i].id], rows[i].session);
    /* the root: itself, or a row of the name it told */
    assert_int_equal(db_ask(&h->store,
                            "SELECT count(*) FROM session s JOIN session r ON r.id = s.root WHERE"
                            " CASE WHEN s.root_session_id IS NULL OR s.root_session_id = s.session_id"
                            " THEN r.id <> s.id ELSE r.session_id <> s.root_session_id END"),
                     0);
    assert_int_equal(db_ask(&h->store, "SELECT count(*) FROM session s LEFT JOIN session r ON r.id = s.root"
                                       " WHERE r.id IS NULL"),
                     0);
}

/* --------------------------------------------------------------- the others */

static void compare_combinations(struct history *h)
{
    /* who sums others is summed under itself; there are few of them, and each stands for what is like it */
    assert_int_equal(
        db_ask(&h->store,
               "SELECT count(*) FROM dims d JOIN dims r ON r.id = d.rollup WHERE r.rollup <> r.id"),
        0);
    assert_true(db_ask(&h->store, "SELECT count(*) FROM dims WHERE rollup = id AND model <> '(other)'") <=
                2 * BOUND);
    assert_int_equal(
        db_ask(&h->store,
               "SELECT count(*) FROM dims d JOIN dims r ON r.id = d.rollup WHERE d.id <> r.id AND NOT ("
               " d.status IS r.status AND d.granularity IS r.granularity AND d.trigger IS r.trigger AND ("
               "  r.user_id IS '(other)' AND r.model IS '(other)' AND r.tags IS '(other)' OR"
               "  r.source = d.source AND r.model IS d.model AND r.agent_id IS d.agent_id AND"
               "  r.user_id IS iif(d.user_id IS NULL, NULL, '(other)') AND"
               "  r.error_type IS iif(d.error_type IS NULL, NULL, '(other)') AND"
               "  r.tags IS iif(d.tags IS NULL, NULL, '(other)')))"),
        0);
}

static void compare_partitions(struct history *h)
{
    static const char sql[] =
        "SELECT count(*) FROM log_partition p WHERE"
        " dispatches <> (SELECT count(*) FROM dispatch WHERE id BETWEEN first_id AND last_id) OR"
        " messages <> (SELECT count(*) FROM message WHERE id BETWEEN first_id AND last_id) OR"
        " reports <> (SELECT count(*) FROM report WHERE id BETWEEN first_id AND last_id)";

    assert_int_equal(db_ask(&h->store, sql), 0);
    assert_int_equal(
        db_ask(&h->store, "SELECT ifnull(sum(dispatches + messages + reports), 0) FROM log_partition"),
        rows_n);
}

/* What a query adds up at any commit: the flushed part and the tail behind it. */
static void compare_table_and_tail(struct history *h)
{
    int64_t calls =
        db_ask(&h->store, "SELECT ifnull(sum(calls), 0) FROM projection_session") +
        db_ask(&h->store, "SELECT count(*) FROM dispatch WHERE session > 0 AND state & 7 = 0 AND id >"
                          " (SELECT watermark FROM projection WHERE name='session')");

    assert_int_equal(calls,
                     db_ask(&h->store, "SELECT count(*) FROM dispatch WHERE session > 0 AND state & 7 = 0"));
    read_rows(h);
    compare_level(h, MINUTE);
    compare_level(h, QUARTER);
    compare_level(h, DAY);
}

/* The same spend counts once. */
static void compare_states(struct history *h)
{
    assert_int_equal(db_ask(&h->store, "SELECT count(*) FROM (SELECT 1 FROM dispatch WHERE state & 7 <> 1"
                                       " GROUP BY event_id HAVING count(*) > 1)"),
                     0);
    assert_int_equal(
        db_ask(&h->store,
               "SELECT count(*) FROM (SELECT 1 FROM dispatch e JOIN dims d ON d.id = e.dims WHERE"
               " state & 7 = 0 AND run_id IS NOT NULL AND session IS NOT NULL GROUP BY session, run_id"
               " HAVING count(DISTINCT ifnull(granularity, 1)) > 1)"),
        0);
}

static void compare_all(struct history *h)
{
    h->now_ms += 1000;
    begin(h);
    assert_int_equal(journal_flush_usage(&h->journal, h->now_ms), 0);
    assert_int_equal(journal_flush_sessions(&h->journal), 0);
    commit(h);
    compare_table_and_tail(h);
    compare_day_rows(h);
    compare_sessions(h);
    compare_combinations(h);
    compare_partitions(h);
    compare_states(h);
    assert_int_equal(db_ask(&h->store, "SELECT min(watermark) FROM projection"), h->store.next_id - 1);
}

static void random_histories_equal_their_recount(void **state)
{
    static const char *const zones[] = { "UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati" };

    (void)state;
    for (unsigned seed = 1; seed <= HISTORIES; seed++) {
        struct history h = { .seed = seed, .now_ms = START_MS, .zone = zone_open(zones[seed % 4]) };
        assert_non_null(h.zone);
        for (int life = 0; life < LIVES; life++) {
            wake(&h);
            for (int events = 0; events < LIFE_EVENTS; events += 7)
                live_a_moment(&h);
            if (life % 2 == 1)
                compare_table_and_tail(&h);
            if (life == LIVES - 1 || below(&h, 2) == 0)
                compare_all(&h);
            sleep_for_good(&h); /* what was not flushed is gone from memory */
        }
        zone_close(h.zone);
        db_remove();
    }
    assert_true(met.replaced > 0 && met.duplicate > 0 && met.conflict > 0 && met.coarser > 0);
    assert_true(met.misdated > 0 && met.overflowed > 0 && rollbacks > 0 && repriced > 0 && folded_rows > 0 &&
                unfolded_rows > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(random_histories_equal_their_recount) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
