/* SPDX-License-Identifier: MIT
 *
 * Invariants: ids are one sequence over the three tables, so a merge by id is the order of arrival,
 * and an id is a cursor. What is committed later has a greater id: an ascending reader that has come
 * to the end goes on from there. A row read twice may differ only in its state
 * and its price.
 */
#include "events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"
#include "../base/stored.h"
#include "events_range.h"
#include "field.h"
#include "when.h"

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
    { "event_id", EVENTS_HEX, NULL, { FIELD_EVENT_ID_SQL, "e.event_id", "e.event_id" } },
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
    { "run_id", EVENTS_TEXT, NULL, BOTH("identifier(e.run_id)") },
    { "call_id", EVENTS_TEXT, NULL, ONLY_D("call_identifier(e.call_id, e.run_id)") },
    { "response_id", EVENTS_TEXT, NULL, ONLY_D("identifier(e.response_id)") },
    { "trace_id", EVENTS_TEXT, NULL, ONLY_D("identifier(e.trace_id)") },
    { "span_id", EVENTS_TEXT, NULL, ONLY_D("identifier(e.span_id)") },
    { "reservation_id", EVENTS_TEXT, NULL, ONLY_D("identifier(e.reservation_id)") },
    { "tool_used", EVENTS_TEXT, NULL, ONLY_D("e.tool_used") },
    { "message_id", EVENTS_TEXT, NULL, ONLY_M("identifier(e.message_id)") },
    { "outcome", EVENTS_CODE, outcome_name, ONLY_M("nullif(e.outcome, 0)") },
    { "bytes", EVENTS_INT, NULL, ONLY_M("e.bytes") },
    { "attempt", EVENTS_INT, NULL, ONLY_D("e.attempt") },
    { "prompt_tokens", EVENTS_INT, NULL, ONLY_D("e.prompt_tokens") },
    { "completion_tokens", EVENTS_INT, NULL, ONLY_D("e.completion_tokens") },
    { "total_tokens", EVENTS_INT, NULL, ONLY_D(STORED_TOTAL_TOKENS) },
    { "cached_tokens", EVENTS_INT, NULL, ONLY_D("e.cached_tokens") },
    { "cache_write_tokens", EVENTS_INT, NULL, ONLY_D("e.cache_write_tokens") },
    { "cache_write_1h_tokens", EVENTS_INT, NULL, ONLY_D("e.cache_write_1h_tokens") },
    { "reasoning_tokens", EVENTS_INT, NULL, ONLY_D("e.reasoning_tokens") },
    { "tool_calls", EVENTS_INT, NULL, ONLY_D("e.tool_calls") },
    { "latency_ms", EVENTS_INT, NULL, BOTH("e.latency_ms") },
    { "ttft_ms", EVENTS_INT, NULL, ONLY_D("e.ttft_ms") },
    { "http_status", EVENTS_INT, NULL, ONLY_D(STORED_HTTP_STATUS) },
    { "partial", EVENTS_INT, NULL, ONLY_D("e.partial") },
    { "cost_reported_nanousd", EVENTS_INT, NULL, ONLY_D("e.cost_reported_nanousd") },
    { "price", EVENTS_INT, NULL, ONLY_D("e.price") },
    { "cost_nanousd", EVENTS_INT, NULL, ONLY_D("e.cost_nanousd") },
    { "superseded", EVENTS_CODE, superseded_name, ONLY_D("nullif(e.state & 7, 0)") },
    { "epoch", EVENTS_INT, NULL, ONLY_R("e.epoch") },
    { "body", EVENTS_JSON, NULL, ONLY_R("e.body") },
};
const int events_columns_count = sizeof events_columns / sizeof *events_columns;

/* Where each table's rows come from, and which fields can be filtered there. */
#define BIT(name) (1u << FIELD_##name)
#define NAMED     (((1u << FIELD_SESSION_END) - 1) | BIT(tag))
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

static int read_last_id(struct pool_connection *c, struct problem *p, int64_t *id)
{
    sqlite3_stmt *stmt = c->stmt[STMT_LAST_ID];
    int rc = sqlite3_step(stmt);

    *id = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 0 : pool_problem(c, rc, p);
}

/* Narrows c to where the events of the request's time are: those of the rollups up to their watermark,
 * and all after it. */
static int bound_by_time(struct pool_connection *conn, const struct events_request *q, struct problem *p,
                         struct events_cursor *c)
{
    struct events_range range;

    if (q->from_ms <= WHEN_MIN && q->to_ms == INT64_MAX)
        return 0;
    if (events_range(conn, q->from_ms, q->to_ms, p, &range) != 0)
        return -1;
    c->lo = range.first_id > c->lo ? range.first_id : c->lo;
    c->gap_lo = range.last_id + 1;
    c->gap_hi = range.watermark;
    return 0;
}

/* A row of log_dropped: what of it c had still to read. */
static void note_dropped(const struct events_request *q, struct events_cursor *c, int t, int64_t through,
                         int64_t newest_ms)
{
    int64_t first = c->dropped[t] + 1 > c->lo ? c->dropped[t] + 1 : c->lo;
    int64_t last = through < c->hi ? through : c->hi;

    c->dropped[t] = through > c->dropped[t] ? through : c->dropped[t];
    if (!(q->tables & 1u << t) || first > last || newest_ms < q->from_ms ||
        (first >= c->gap_lo && last <= c->gap_hi))
        return;
    if (c->missed[t].last == 0)
        c->missed[t].first = first;
    c->missed[t].last = last;
}

static int read_dropped(struct pool_connection *conn, const struct events_request *q, struct events_cursor *c,
                        struct problem *p)
{
    static const char *const kinds[EVENTS_TABLES] = { "dispatch", "message", "report" };
    sqlite3_stmt *stmt;
    int rc = pool_prepare(conn, "SELECT kind, through_id, newest_ms FROM log_dropped", &stmt);

    while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *kind = (const char *)sqlite3_column_text(stmt, 0);
        for (int t = 0; t < EVENTS_TABLES; t++) {
            if (kind && strcmp(kind, kinds[t]) == 0)
                note_dropped(q, c, t, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2));
        }
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_DONE)
        return pool_problem(conn, rc, p);
    sqlite3_reset(stmt);
    return 0;
}

int events_begin_on(struct pool_connection *conn, const struct events_request *q, int64_t after,
                    struct problem *p, struct events_cursor *c)
{
    struct events_cursor fresh = { .lo = 1, .gap_lo = 1, .gap_hi = 0, .step = STEP_FIRST };

    if (read_last_id(conn, p, &fresh.hi) != 0 || bound_by_time(conn, q, p, &fresh) != 0 ||
        read_dropped(conn, q, &fresh, p) != 0)
        return -1;
    memset(fresh.missed, 0, sizeof fresh.missed);
    for (int t = 0; t < EVENTS_TABLES; t++) /* ids that were given stay behind, also when nothing is left */
        fresh.hi = fresh.dropped[t] > fresh.hi ? fresh.dropped[t] : fresh.hi;
    if (q->ascending && after >= fresh.lo)
        fresh.lo = (after < fresh.hi ? after : fresh.hi) + 1;
    if (!q->ascending && after <= fresh.hi)
        fresh.hi = after - 1;
    *c = fresh;
    return 0;
}

int events_begin(struct query_pool *pool, const struct events_request *q, int64_t after,
                 struct monotime deadline, struct problem *p, struct events_cursor *c)
{
    struct pool_connection *conn;

    if (pool_borrow(pool, deadline, p, &conn) != 0)
        return -1;
    int result = events_begin_on(conn, q, after, p, c);
    pool_give(conn);
    return result;
}

/* ------------------------------------------------------------------- rows */

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

/* The statement of a table, bound but for its first two parameters: the ids. */
static int table_prepare(struct pool_connection *conn, const struct events_request *q, enum events_table t,
                         sqlite3_stmt **out)
{
    char *sql = table_sql(q, t);
    int at = 3, rc = SQLITE_NOMEM;

    if (sql)
        rc = pool_prepare(conn, sql, out);
    sqlite3_free(sql);
    if (rc != SQLITE_OK)
        return rc;
    sqlite3_bind_int64(*out, at++, q->from_ms);
    sqlite3_bind_int64(*out, at++, q->to_ms);
    return filter_bind(&q->filter, tables[t].has, *out, &at);
}

static void table_bind(sqlite3_stmt *stmt, int64_t lo, int64_t hi)
{
    sqlite3_reset(stmt);
    sqlite3_bind_int64(stmt, 1, lo);
    sqlite3_bind_int64(stmt, 2, hi);
}

static void moved_past(struct events_cursor *c, bool ascending, int64_t id)
{
    if (ascending)
        c->lo = id + 1;
    else
        c->hi = id - 1;
}

/* ------------------------------------------------------------ through the log */

/* The tables' rows, merged by id. */
struct merge {
    sqlite3_stmt *stmt[EVENTS_TABLES]; /* borrowed; NULL: this one has no more */
    bool ascending;
};

static int merge_step(struct merge *m, int t)
{
    int rc = sqlite3_step(m->stmt[t]);

    if (rc == SQLITE_DONE) {
        sqlite3_reset(m->stmt[t]);
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
        rc = table_prepare(conn, q, (enum events_table)t, &m->stmt[t]);
        if (rc != SQLITE_OK)
            break;
        table_bind(m->stmt[t], lo, hi);
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

/* The next ids to look at; steps over the gap. */
static void window(const struct events_cursor *c, bool ascending, int64_t *lo, int64_t *hi)
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

static int read_scan(struct pool_connection *conn, const struct events_request *q, struct events_cursor *c,
                     unsigned max, struct problem *p, events_fn fn, void *arg, unsigned *got)
{
    struct merge m = { .ascending = q->ascending };
    struct monotime begun = mono_now();
    int64_t lo, hi;
    bool ended = false;

    window(c, q->ascending, &lo, &hi);
    if (lo > hi) {
        moved_past(c, q->ascending, q->ascending ? c->hi : c->lo);
        return 0;
    }
    int rc = merge_open(&m, conn, q, lo, hi);
    if (rc == SQLITE_OK)
        rc = read_rows(&m, c, max, fn, arg, got, &ended);
    if (rc != SQLITE_OK)
        return pool_problem(conn, rc, p);
    if (ended)
        moved_past(c, q->ascending, q->ascending ? hi : lo);
    if (*got == 0 && c->step < STEP_MAX && mono_now().ms - begun.ms < STEP_QUICK_MS)
        c->step *= 2;
    return 0;
}

/* ---------------------------------------------------------- through the index */

/* Hands on the row of this id, if there is one that the request wants. *more: fn wants another. */
static int read_id(sqlite3_stmt *const stmt[EVENTS_TABLES], int64_t id, events_fn fn, void *arg,
                   unsigned *got, bool *more)
{
    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (!stmt[t])
            continue;
        table_bind(stmt[t], id, id);
        int rc = sqlite3_step(stmt[t]);
        if (rc == SQLITE_ROW) {
            *more = fn(arg, &(struct events_row){ stmt[t], id, (enum events_table)t });
            ++*got;
            return SQLITE_OK;
        }
        if (rc != SQLITE_DONE)
            return rc;
    }
    return SQLITE_OK;
}

static int read_ids(struct pool_connection *conn, const struct events_request *q, struct events_cursor *c,
                    const struct row_ids *ids, unsigned max, events_fn fn, void *arg, unsigned *got)
{
    sqlite3_stmt *stmt[EVENTS_TABLES] = { NULL };
    bool more = true;
    int rc = SQLITE_OK;

    for (int t = 0; t < EVENTS_TABLES && rc == SQLITE_OK; t++) {
        if (q->tables & 1u << t && t != TABLE_REPORT) /* a report is of no session */
            rc = table_prepare(conn, q, (enum events_table)t, &stmt[t]);
    }
    for (size_t i = 0; i < ids->count && rc == SQLITE_OK && more; i++) {
        rc = read_id(stmt, ids->id[i], fn, arg, got, &more);
        if (rc == SQLITE_OK)
            moved_past(c, q->ascending, ids->id[i]);
    }
    if (more && rc == SQLITE_OK && ids->count < max) /* these were the last ones */
        moved_past(c, q->ascending, q->ascending ? c->hi : c->lo);
    return rc;
}

int events_read_set(struct pool_connection *conn, const struct events_request *q,
                    const struct session_set *set, const struct session_tail *tail, struct events_cursor *c,
                    unsigned max, struct problem *p, events_fn fn, void *arg, unsigned *got)
{
    struct row_ids ids = { 0 };

    *got = 0;
    int result = session_set_rows_beside(set, tail, conn, c->lo, c->hi, q->ascending, max, p, &ids);

    if (result == 0) {
        int rc = read_ids(conn, q, c, &ids, max, fn, arg, got);
        if (rc != SQLITE_OK)
            result = pool_problem(conn, rc, p);
    }
    row_ids_fini(&ids);
    return result;
}

int events_read_on(struct pool_connection *conn, const struct events_request *q, struct events_cursor *c,
                   unsigned max, struct problem *p, events_fn fn, void *arg, unsigned *got)
{
    struct session_set set;
    struct session_tail tail = { 0 };
    int result = -1;

    *got = 0;
    session_set_init(&set);
    int named = session_set_of_filter(&set, &q->filter, conn, p);
    if (named >= 0 && read_dropped(conn, q, c, p) == 0) {
        if (!named)
            result = read_scan(conn, q, c, max, p, fn, arg, got);
        else if (session_tail_read(&tail, conn, NULL, p) == 0)
            result = events_read_set(conn, q, &set, &tail, c, max, p, fn, arg, got);
    }
    session_tail_fini(&tail);
    session_set_fini(&set);
    return result;
}

int events_read(struct query_pool *pool, const struct events_request *q, struct events_cursor *c,
                unsigned max, struct monotime deadline, struct problem *p, events_fn fn, void *arg,
                unsigned *got)
{
    struct pool_connection *conn;

    *got = 0;
    if (pool_borrow(pool, deadline, p, &conn) != 0)
        return -1;
    int result = events_read_on(conn, q, c, max, p, fn, arg, got);
    pool_give(conn);
    return result;
}
