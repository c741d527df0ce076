/* SPDX-License-Identifier: MIT
 *
 * Invariants: ids are one sequence over the three tables, so a merge by id is the order of arrival,
 * and an id is a cursor. What is committed later has a greater id: an ascending reader that has come
 * to the end goes on from there. A row read twice may differ only in its state.
 */
#include "events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "field.h"
#include "when.h"

#define MINUTE_MS     60000
#define STEP_FIRST    20000 /* ids of the first look */
#define STEP_MAX      (1 << 26)
#define STEP_QUICK_MS 50 /* an empty look that was quicker doubles the step */

static const char *superseded_name(int code)
{
    return code == 1 ? "replaced" : code == 2 ? "coarser" : NULL;
}

static const char *ts_flag_name(int code)
{
    return code == 8 ? "out_of_range" : NULL;
}

#define BOTH(e)    \
    {              \
        e, e, NULL \
    }
#define ALL(e)  \
    {           \
        e, e, e \
    }
#define ONLY_D(e)     \
    {                 \
        e, NULL, NULL \
    }
#define ONLY_M(e)     \
    {                 \
        NULL, e, NULL \
    }
#define ONLY_R(e)     \
    {                 \
        NULL, NULL, e \
    }

const struct events_column events_columns[] = {
    { "id", EVENTS_INT, NULL, ALL("e.id") },
    { "kind", EVENTS_CODE, kind_name, { "1", "e.kind", "2" } },
    { "event_id", EVENTS_HEX, NULL, ALL("e.event_id") },
    { "ts", EVENTS_TIME, NULL, ALL("e.ts_ms") },
    { "ts_ms", EVENTS_INT, NULL, ALL("e.ts_ms") },
    { "ts_flag", EVENTS_CODE, ts_flag_name, ONLY_D("nullif(e.state & 8, 0)") },
    { "received_ms", EVENTS_INT, NULL, ALL("e.ts_ms + e.received_after_ms") },
    { "source", EVENTS_TEXT, NULL, ALL("src.name") },
#define TG_HEAD_TEXT(name) { #name, EVENTS_TEXT, NULL, BOTH("s." #name) },
#include "../../schema/event.def"
#define TG_DIMS_TEXT(name) { #name, EVENTS_TEXT, NULL, BOTH("d." #name) },
#define TG_DIMS_ENUM(name) { #name, EVENTS_CODE, name##_name, BOTH("nullif(d.\"" #name "\", 0)") },
#define TG_DIMS_TAGS(name) { #name, EVENTS_JSON, NULL, BOTH("d." #name) },
#include "../../schema/event.def"
    { "run_id", EVENTS_TEXT, NULL, BOTH("e.run_id") },
    { "call_id", EVENTS_TEXT, NULL, ONLY_D("e.call_id") },
    { "response_id", EVENTS_TEXT, NULL, ONLY_D("e.response_id") },
    { "trace_id", EVENTS_TEXT, NULL, ONLY_D("e.trace_id") },
    { "span_id", EVENTS_TEXT, NULL, ONLY_D("e.span_id") },
    { "reservation_id", EVENTS_TEXT, NULL, ONLY_D("e.reservation_id") },
    { "tool_used", EVENTS_TEXT, NULL, ONLY_D("e.tool_used") },
    { "message_id", EVENTS_TEXT, NULL, ONLY_M("e.message_id") },
    { "outcome", EVENTS_CODE, outcome_name, ONLY_M("nullif(e.outcome, 0)") },
    { "bytes", EVENTS_INT, NULL, ONLY_M("e.bytes") },
    { "attempt", EVENTS_INT, NULL, ONLY_D("e.attempt") },
    { "prompt_tokens", EVENTS_INT, NULL, ONLY_D("e.prompt_tokens") },
    { "completion_tokens", EVENTS_INT, NULL, ONLY_D("e.completion_tokens") },
    { "total_tokens", EVENTS_INT, NULL, ONLY_D("e.total_tokens") },
    { "cached_tokens", EVENTS_INT, NULL, ONLY_D("e.cached_tokens") },
    { "cache_write_tokens", EVENTS_INT, NULL, ONLY_D("e.cache_write_tokens") },
    { "cache_write_1h_tokens", EVENTS_INT, NULL, ONLY_D("e.cache_write_1h_tokens") },
    { "reasoning_tokens", EVENTS_INT, NULL, ONLY_D("e.reasoning_tokens") },
    { "tool_calls", EVENTS_INT, NULL, ONLY_D("e.tool_calls") },
    { "latency_ms", EVENTS_INT, NULL, BOTH("e.latency_ms") },
    { "ttft_ms", EVENTS_INT, NULL, ONLY_D("e.ttft_ms") },
    { "http_status", EVENTS_INT, NULL, ONLY_D("e.http_status") },
    { "partial", EVENTS_INT, NULL, ONLY_D("e.partial") },
    { "cost_reported_nanousd", EVENTS_INT, NULL, ONLY_D("e.cost_reported_nanousd") },
    { "superseded", EVENTS_CODE, superseded_name, ONLY_D("nullif(e.state & 7, 0)") },
    { "epoch", EVENTS_INT, NULL, ONLY_R("e.epoch") },
    { "body", EVENTS_JSON, NULL, ONLY_R("e.body") },
};
const int events_columns_count = sizeof events_columns / sizeof *events_columns;

/* Where each table's rows come from, and which fields can be filtered there. */
#define BIT(name) (1u << FIELD_##name)
#define NAMED     ((1u << FIELD_SESSION_END) - 1)
static const struct {
    const char *from;
    unsigned has;
} tables[EVENTS_TABLES] = {
    [TABLE_DISPATCH] = { " FROM dispatch e CROSS JOIN dims d ON d.id = e.dims CROSS JOIN source src ON "
                         "src.id = d.source"
                         " LEFT JOIN session s ON s.id = e.session",
                         NAMED | BIT(run_id) | BIT(call_id) | BIT(response_id) | BIT(trace_id) |
                             BIT(span_id) | BIT(event_id) },
    [TABLE_MESSAGE] = { " FROM message e CROSS JOIN dims d ON d.id = e.dims CROSS JOIN source src ON src.id "
                        "= d.source"
                        " LEFT JOIN session s ON s.id = e.session",
                        NAMED | BIT(run_id) | BIT(message_id) | BIT(event_id) },
    [TABLE_REPORT] = { " FROM report e CROSS JOIN source src ON src.id = e.source",
                       BIT(source) | BIT(event_id) },
};

/* ---------------------------------------------------------------- cursors */

void events_cursor_format(int64_t id, char out[EVENTS_CURSOR])
{
    snprintf(out, EVENTS_CURSOR, "e%" PRIx64, (uint64_t)id);
}

int events_cursor_parse(const char *text, int64_t *id)
{
    char again[EVENTS_CURSOR], *end;

    if (text[0] != 'e')
        return -1;
    int64_t v = (int64_t)strtoull(text + 1, &end, 16);
    events_cursor_format(v, again);
    if (v < 0 || strcmp(again, text) != 0)
        return -1;
    *id = v;
    return 0;
}

bool events_done(const struct events_cursor *c)
{
    return c->lo > c->hi;
}

/* ------------------------------------------------------------------ begin */

/* Up to two numbers of the first row; NULL is 0. */
static int read_numbers(struct pool_connection *c, enum pool_statement which, struct problem *p, int64_t *a,
                        int64_t *b)
{
    sqlite3_stmt *stmt = c->stmt[which];
    int rc = sqlite3_step(stmt);

    *a = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    if (b)
        *b = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 1) : 0;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : pool_problem(c, rc, p);
}

/* Narrows c to where the events of the request's time are: those of the minutes up to the watermark,
 * and all after it. */
static int bound_by_time(struct pool_connection *conn, const struct events_request *q, struct problem *p,
                         struct events_cursor *c)
{
    sqlite3_stmt *range = conn->stmt[STMT_RANGE];
    int64_t watermark, first, last;

    if (q->from_ms <= WHEN_MIN && q->to_ms == INT64_MAX)
        return 0;
    sqlite3_bind_int64(range, 1, q->from_ms / MINUTE_MS);
    sqlite3_bind_int64(range, 2, q->to_ms == INT64_MAX ? INT64_MAX : (q->to_ms - 1) / MINUTE_MS);
    if (read_numbers(conn, STMT_WATERMARK, p, &watermark, NULL) != 0 ||
        read_numbers(conn, STMT_RANGE, p, &first, &last) != 0)
        return -1;
    if (first == 0 || first > watermark) { /* none that is projected */
        first = watermark + 1;
        last = watermark;
    }
    c->lo = first > c->lo ? first : c->lo;
    c->gap_lo = last + 1;
    c->gap_hi = watermark;
    return 0;
}

int events_begin(struct query_pool *pool, const struct events_request *q, int64_t after,
                 struct monotime deadline, struct problem *p, struct events_cursor *c)
{
    struct events_cursor fresh = { .lo = 1, .gap_lo = 1, .gap_hi = 0, .step = STEP_FIRST };
    struct pool_connection *conn;
    int result;

    if (pool_borrow(pool, deadline, p, &conn) != 0)
        return -1;
    result = read_numbers(conn, STMT_LAST_ID, p, &fresh.hi, NULL);
    if (result == 0)
        result = bound_by_time(conn, q, p, &fresh);
    pool_give(conn);
    if (result != 0)
        return -1;
    if (q->ascending && after >= fresh.lo)
        fresh.lo = (after < fresh.hi ? after : fresh.hi) + 1;
    if (!q->ascending && after <= fresh.hi)
        fresh.hi = after - 1;
    *c = fresh;
    return 0;
}

/* ------------------------------------------------------------------- read */

static char *table_sql(const struct events_request *q, enum events_table t)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);

    sqlite3_str_appendall(sql, "SELECT ");
    for (int i = 0; i < events_columns_count; i++)
        sqlite3_str_appendf(sql, "%s%s", i ? ", " : "",
                            events_columns[i].sql[t] ? events_columns[i].sql[t] : "NULL");
    sqlite3_str_appendf(sql, "%s WHERE e.id BETWEEN ? AND ? AND e.ts_ms >= ? AND e.ts_ms < ?",
                        tables[t].from);
    if (t == TABLE_DISPATCH && !q->superseded)
        sqlite3_str_appendall(sql, " AND e.state & 7 = 0");
    if (t == TABLE_MESSAGE && q->message_kind)
        sqlite3_str_appendf(sql, " AND e.kind = %d", q->message_kind);
    filter_sql(&q->filter, tables[t].has, sql);
    sqlite3_str_appendf(sql, " ORDER BY e.id %s", q->ascending ? "ASC" : "DESC");
    return sqlite3_str_finish(sql);
}

static int table_prepare(struct pool_connection *conn, const struct events_request *q, enum events_table t,
                         int64_t lo, int64_t hi, sqlite3_stmt **out)
{
    char *sql = table_sql(q, t);
    int at = 1, rc = SQLITE_NOMEM;

    if (sql)
        rc = sqlite3_prepare_v2(conn->db, sql, -1, out, NULL);
    sqlite3_free(sql);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_int64(*out, at++, lo);
    sqlite3_bind_int64(*out, at++, hi);
    sqlite3_bind_int64(*out, at++, q->from_ms);
    sqlite3_bind_int64(*out, at++, q->to_ms);
    return filter_bind(&q->filter, tables[t].has, *out, &at);
}

/* The tables' rows, merged by id. */
struct merge {
    sqlite3_stmt *stmt[EVENTS_TABLES]; /* owned; NULL: this one has no more */
    bool ascending;
};

static int merge_step(struct merge *m, int t)
{
    int rc = sqlite3_step(m->stmt[t]);

    if (rc == SQLITE_DONE) {
        sqlite3_finalize(m->stmt[t]);
        m->stmt[t] = NULL;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int merge_open(struct merge *m, struct pool_connection *conn, const struct events_request *q,
                      int64_t lo, int64_t hi)
{
    int rc = SQLITE_OK;

    for (int t = 0; t < EVENTS_TABLES && rc == SQLITE_OK; t++) {
        if (!(q->tables & 1u << t))
            continue;
        rc = table_prepare(conn, q, (enum events_table)t, lo, hi, &m->stmt[t]);
        if (rc == SQLITE_OK)
            rc = merge_step(m, t);
    }
    return rc;
}

/* The table whose row is next, or -1. */
static int merge_next(const struct merge *m)
{
    int best = -1;

    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (!m->stmt[t])
            continue;
        if (best < 0 ||
            (sqlite3_column_int64(m->stmt[t], 0) < sqlite3_column_int64(m->stmt[best], 0)) == m->ascending)
            best = t;
    }
    return best;
}

static void merge_close(struct merge *m)
{
    for (int t = 0; t < EVENTS_TABLES; t++)
        sqlite3_finalize(m->stmt[t]);
}

/* The next ids to look at; steps over the gap. */
static void window(struct events_cursor *c, bool ascending, int64_t *lo, int64_t *hi)
{
    *lo = c->lo;
    *hi = c->hi;
    if (ascending) {
        if (*lo >= c->gap_lo && *lo <= c->gap_hi)
            *lo = c->gap_hi + 1;
        if (*lo <= c->hi && *hi - *lo >= c->step)
            *hi = *lo + c->step - 1;
    } else {
        if (*hi >= c->gap_lo && *hi <= c->gap_hi)
            *hi = c->gap_lo - 1;
        if (*hi >= c->lo && *hi - *lo >= c->step)
            *lo = *hi - c->step + 1;
    }
}

static void moved_past(struct events_cursor *c, bool ascending, int64_t id)
{
    if (ascending)
        c->lo = id + 1;
    else
        c->hi = id - 1;
}

/* Hands rows on until max, the end of the window, or fn has enough. True: the window is empty now. */
static int read_rows(struct merge *m, struct events_cursor *c, unsigned max, events_fn fn, void *arg,
                     unsigned *got, bool *ended)
{
    int t = -1, rc = SQLITE_OK;
    bool more = true;

    while (rc == SQLITE_OK && more && *got < max && (t = merge_next(m)) >= 0) {
        struct events_row row = { m->stmt[t], sqlite3_column_int64(m->stmt[t], 0), (enum events_table)t };
        more = fn(arg, &row);
        ++*got;
        moved_past(c, m->ascending, row.id);
        rc = merge_step(m, t);
    }
    *ended = rc == SQLITE_OK && merge_next(m) < 0;
    return rc;
}

int events_read(struct query_pool *pool, const struct events_request *q, struct events_cursor *c,
                unsigned max, struct monotime deadline, struct problem *p, events_fn fn, void *arg,
                unsigned *got)
{
    struct merge m = { .ascending = q->ascending };
    struct monotime begun = mono_now();
    struct pool_connection *conn;
    int64_t lo, hi;
    bool ended = false;

    *got = 0;
    window(c, q->ascending, &lo, &hi);
    if (lo > hi) {
        moved_past(c, q->ascending, q->ascending ? c->hi : c->lo);
        return 0;
    }
    if (pool_borrow(pool, deadline, p, &conn) != 0)
        return -1;
    int rc = merge_open(&m, conn, q, lo, hi);
    if (rc == SQLITE_OK)
        rc = read_rows(&m, c, max, fn, arg, got, &ended);
    merge_close(&m);
    if (rc != SQLITE_OK)
        pool_fill_problem(conn, rc, p);
    pool_give(conn);
    if (rc != SQLITE_OK)
        return -1;
    if (ended)
        moved_past(c, q->ascending, q->ascending ? hi : lo);
    if (*got == 0 && c->step < STEP_MAX && mono_now().ms - begun.ms < STEP_QUICK_MS)
        c->step *= 2;
    return 0;
}
