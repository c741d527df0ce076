/* SPDX-License-Identifier: MIT
 *
 * Three ways, the first that will do:
 *   - sessions that the filter names are found by the session index, and their rows are read, if the log
 *     still has all of them;
 *   - if nothing but sessions is asked for: the totals of the sessions that lie within the time, and the
 *     rows of those that stick out of it; what the rollups have beside is the calls without a session;
 *   - the whole log of the time is read.
 */
#include "tally_sessions.h"

#include "events_range.h"
#include "session_set.h"
#include "sums.h"

#define ROWS 8192 /* of the log that are looked up at a time */

/* Nothing before this time is kept row by row, and rows it would take. */
static int refuse(struct tally *t)
{
    struct plan *plan = t->plan;

    plan->refused_ms = t->buckets.from_ms;
    plan->before_ms = plan->after_ms = plan->kept.log_dropped_ms + 1;
    return -1;
}

/* Whether rows of the time may be gone, of what began with this id at this time. */
static bool is_dropped(const struct tally *t, int64_t first_id, int64_t first_ms)
{
    const struct plan_kept *k = &t->plan->kept;

    return first_id <= k->log_dropped_id && t->buckets.from_ms <= k->log_dropped_ms &&
           first_ms <= k->log_dropped_ms;
}

static int read_between(struct tally *t, int64_t first_id, int64_t last_id)
{
    struct plan_part part = { .raw = true,
                              .sign = 1,
                              .from = t->buckets.from_ms,
                              .to = t->buckets.to_ms,
                              .first_id = first_id,
                              .last_id = last_id };

    return raw_scan(&t->raw, &part);
}

/* -------------------------------------------------------------- whole log */

static int read_all(struct tally *t)
{
    struct events_range range;

    if (events_range(t->c, t->buckets.from_ms, t->buckets.to_ms, t->p, &range) != 0)
        return -1;
    if (is_dropped(t, range.first_id, t->buckets.from_ms))
        return refuse(t);
    if (read_between(t, range.first_id, range.last_id) != 0)
        return -1;
    return read_between(t, range.watermark + 1, INT64_MAX);
}

/* --------------------------------------------------------------- by index */

/* The rows of the sessions of a set, up to an id. */
static int read_set(struct tally *t, const struct session_set *set, int64_t last_id)
{
    struct row_ids ids = { 0 };
    int64_t next = 1;
    int result = 0;

    for (bool more = session_set_count(set) > 0; more; more = result == 0 && ids.count == ROWS) {
        ids.count = 0;
        result = session_set_rows(set, t->c, next, last_id, true, ROWS, t->p, &ids);
        if (result == 0)
            result = raw_take(&t->raw, ids.id, ids.count);
        next = ids.count > 0 ? ids.id[ids.count - 1] + 1 : next;
    }
    row_ids_fini(&ids);
    return result;
}

/* Whether the log has lost rows of a set that are of the time. 1, 0 or -1. */
static int set_is_dropped(struct tally *t, const struct session_set *set)
{
    sqlite3_stmt *stmt;
    int rc = pool_prepare(
        t->c, "SELECT first_id, first_ms FROM projection_session WHERE session=? AND first_ms<?", &stmt);
    bool dropped = false;

    if (rc != SQLITE_OK)
        return pool_problem(t->c, rc, t->p);
    for (size_t i = 0; i < session_set_count(set) && !dropped; i++) {
        sqlite3_bind_int64(stmt, 1, session_set_id(set, i));
        sqlite3_bind_int64(stmt, 2, t->buckets.to_ms);
        rc = sqlite3_step(stmt);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return pool_problem(t->c, rc, t->p);
        dropped =
            rc == SQLITE_ROW && is_dropped(t, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1));
        sqlite3_reset(stmt);
    }
    return dropped;
}

/* ----------------------------------------------------------------- totals */

static bool of_session(enum field_id field)
{
    return field >= FIELD_DIMS_END && field < FIELD_SESSION_END;
}

/* Whether only sessions are asked for, and not, by a filter, those without a name among others. */
static bool totals_will_do(const struct usage_request *q)
{
    bool will_do = q->bucket == BUCKET_NONE, unnamed = q->filter.count > 0;

    for (unsigned i = 0; i < q->groups; i++)
        will_do = will_do && of_session(q->group[i]);
    for (unsigned i = 0; i < q->filter.count; i++) {
        will_do = will_do && of_session(q->filter.term[i].field);
        unnamed = unnamed && filter_match(&q->filter.term[i], NULL, 0);
    }
    return will_do && !unnamed;
}

#define TOTAL(name) "," #name "," #name "_known"
static const char totals_sql[] =
    "SELECT session,dims,first_ms,last_ms,first_id,calls,errors,partial" DISPATCH_SUMMED(
        TOTAL) " FROM projection_session WHERE last_ms>=? AND first_ms<? AND calls>0";

static void totals_read(sqlite3_stmt *stmt, struct usage_sums *out)
{
    *out = (struct usage_sums){ .calls = sqlite3_column_int64(stmt, 5),
                                .errors = sqlite3_column_int64(stmt, 6),
                                .blocked = USAGE_NOT_KEPT,
                                .aborted = USAGE_NOT_KEPT,
                                .status_unknown = USAGE_NOT_KEPT,
                                .partial = sqlite3_column_int64(stmt, 7) };
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        out->sum[i] = sqlite3_column_int64(stmt, 8 + 2 * i);
        out->known[i] = sqlite3_column_int64(stmt, 9 + 2 * i);
    }
}

/* A session that sticks out of the time: its rows are read, together with those of others. */
static int stick_out(struct tally *t, struct session_set *set, sqlite3_stmt *stmt, int64_t last_id)
{
    int64_t session = sqlite3_column_int64(stmt, 0);

    if (is_dropped(t, sqlite3_column_int64(stmt, 4), sqlite3_column_int64(stmt, 2)))
        return refuse(t);
    int added = session_set_add(set, session, t->p);
    if (added == 0) {
        if (read_set(t, set, last_id) != 0)
            return -1;
        session_set_fini(set);
        added = session_set_add(set, session, t->p);
    }
    return added < 0 ? -1 : 0;
}

static int total(struct tally *t, struct session_set *set, sqlite3_stmt *stmt, int64_t last_id)
{
    struct usage_sums sums;

    if (sqlite3_column_int64(stmt, 2) < t->buckets.from_ms ||
        sqlite3_column_int64(stmt, 3) >= t->buckets.to_ms)
        return stick_out(t, set, stmt, last_id);
    totals_read(stmt, &sums);
    return raw_add(&t->raw, 0, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 0), &sums);
}

/* The rows up to the watermark, in totals or one by one. */
static int read_totals(struct tally *t, struct session_set *set, int64_t watermark)
{
    sqlite3_stmt *stmt;
    int rc = pool_prepare(t->c, totals_sql, &stmt), result = 0;

    if (rc != SQLITE_OK)
        return pool_problem(t->c, rc, t->p);
    sqlite3_bind_int64(stmt, 1, t->buckets.from_ms);
    sqlite3_bind_int64(stmt, 2, t->buckets.to_ms);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? total(t, set, stmt, watermark) : pool_problem(t->c, rc, t->p);
    sqlite3_reset(stmt);
    return result == 0 ? read_set(t, set, watermark) : -1;
}

static int watermark_read(struct tally *t, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = pool_prepare(t->c, "SELECT watermark FROM projection WHERE name='session'", &stmt);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        return pool_problem(t->c, rc, t->p);
    *out = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return 0;
}

/* All calls of the time, from the rollups. */
static int count_all(struct tally *t, struct usage_sums *out)
{
    const struct usage_request q = { .order = ORDER_CALLS, .limit = 1 };
    struct grouping *g = grouping_new(&q, pool_dictionary(t->c));
    struct tally all;

    if (!g)
        return problem_set(t->p, 503, "out of memory");
    *out = (struct usage_sums){ 0 };
    int result = tally_init(&all, &q, t->plan, g, NULL, t->buckets.from_ms, t->buckets.to_ms, t->previous);
    if (result == 0)
        result = tally_bucket(&all, 0);
    for (size_t i = 0; i < all.rows && result == 0; i++)
        sums_add(out, &all.row[i].sums, 1);
    tally_fini(&all);
    grouping_free(g);
    return result;
}

/* Calls without a session are in no total: they are what is left of all. */
static int read_rest(struct tally *t)
{
    struct usage_sums rest;

    if (count_all(t, &rest) != 0)
        return -1;
    for (size_t i = 0; i < t->raw.rows; i++)
        sums_add(&rest, &t->raw.row[i].sums, -1);
    return rest.calls > 0 ? raw_add(&t->raw, 0, 0, 0, &rest) : 0;
}

static int read_by_totals(struct tally *t, struct session_set *set)
{
    int64_t watermark, gone = t->plan->kept.session_dropped_before_ms;

    if (t->buckets.from_ms < gone) {
        t->plan->refused_ms = t->buckets.from_ms;
        t->plan->before_ms = t->plan->after_ms = gone;
        return -1;
    }
    if (watermark_read(t, &watermark) != 0 || read_totals(t, set, watermark) != 0 ||
        read_between(t, watermark + 1, INT64_MAX) != 0)
        return -1;
    return t->grouping->request->filter.count == 0 ? read_rest(t) : 0;
}

/* found: whether the set holds all sessions that the filter names. */
static int read_some(struct tally *t, struct session_set *set, bool found)
{
    bool totals = totals_will_do(t->grouping->request);
    int dropped = found ? set_is_dropped(t, set) : 0;

    if (dropped < 0)
        return -1;
    if (found && !dropped)
        return read_set(t, set, INT64_MAX);
    if (totals && (found || !t->timed)) {
        t->timed = t->raw.timed = false;
        session_set_fini(set);
        return read_by_totals(t, set);
    }
    return read_all(t);
}

int tally_sessions(struct tally *t)
{
    struct session_set set;
    int result;

    session_set_init(&set);
    int found = session_set_of_filter(&set, &t->grouping->request->filter, t->c, t->p);
    result = found < 0 ? -1 : read_some(t, &set, found > 0);
    session_set_fini(&set);
    return result;
}
