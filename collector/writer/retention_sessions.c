/* SPDX-License-Identifier: MIT
 *
 * retention_sessions.c: totals and names of sessions, and the session index.
 */
#include "retention_work.h"
#include "spans.h"

#define SESSION_CHUNK        64
#define SLICE_CHUNK          256
#define SESSIONS_LOOK_MAX_MS 3600000

int retention_prepare_sessions(struct retention *r)
{
    struct retention_statements *q = r->sql;
    const struct retention_prepare all[] = {
        { &q->session_watermark, "SELECT watermark FROM projection WHERE name='session'" },
        { &q->old_sessions,
          "SELECT session, last_ms, last_id FROM projection_session INDEXED BY projection_session_by_last"
          " WHERE last_ms >= ?1 AND (last_ms > ?1 OR session > ?2) AND last_ms < ?3"
          " ORDER BY last_ms, session LIMIT " RETENTION_TEXT(SESSION_CHUNK) },
        { &q->root_of, "SELECT root FROM session WHERE id=?" },
        { &q->drop_totals, "DELETE FROM projection_session WHERE session=?" },
        { &q->drop_name, "DELETE FROM session WHERE id=?1"
                         " AND NOT EXISTS (SELECT 1 FROM session c WHERE c.root=?1 AND c.root <> c.id)"
                         " AND NOT EXISTS (SELECT 1 FROM projection_session WHERE session=?1)" },
        { &q->max_session, "SELECT ifnull(max(id), 0) FROM session" },
        { &q->first_span, "SELECT span, last_id, tier FROM projection_session_span ORDER BY span LIMIT 1" },
        { &q->drop_slices,
          "DELETE FROM projection_session_slice WHERE span=?1 AND session IN (SELECT session"
          " FROM projection_session_slice WHERE span=?1 ORDER BY session LIMIT " RETENTION_TEXT(
              SLICE_CHUNK) ")" },
        { &q->drop_span, "DELETE FROM projection_session_span WHERE span=?" },
    };

    r->session_at.last_ms = INT64_MIN;
    return retention_prepare_all(r, all, sizeof all / sizeof *all);
}

/* Rows of the log with an id up to this one are gone, whatever their kind. Reports have no session. */
static int gone_through(struct retention *r, int64_t *out)
{
    int64_t dispatch = 0, message = 0;
    int rc;

    if ((rc = retention_through(r, LOG_DISPATCH, &dispatch)) != 0 ||
        (rc = retention_through(r, LOG_MESSAGE, &message)) != 0)
        return rc;
    *out = dispatch < message ? dispatch : message;
    return 0;
}

/* A session is kept at least as long as its rows. */
static int64_t session_age(const struct retention *r)
{
    int64_t age = retention_age_of(r, RETAIN_SESSION);

    for (int kind = RETAIN_DISPATCH; kind <= RETAIN_MESSAGE; kind++)
        if (retention_age_of(r, (enum retention_kind)kind) > age)
            age = retention_age_of(r, (enum retention_kind)kind);
    return age;
}

static int drop_name(struct retention *r, int64_t session)
{
    sqlite3_bind_int64(r->sql->drop_name, 1, session);
    return retention_drop(r, r->sql->drop_name, &r->tally.names, NULL);
}

/* Its totals, its name, and its root's name if nothing else needs that. */
static int drop_session(struct retention *r, int64_t session)
{
    int64_t root = session;
    int rc;

    sqlite3_bind_int64(r->sql->root_of, 1, session);
    if ((rc = retention_number(r->sql->root_of, &root, NULL)) != 0)
        return rc;
    sqlite3_bind_int64(r->sql->drop_totals, 1, session);
    if ((rc = retention_drop(r, r->sql->drop_totals, &r->tally.rows[RETAIN_SESSION], NULL)) != 0 ||
        (rc = drop_name(r, session)) != 0)
        return rc;
    return root != session ? drop_name(r, root) : 0;
}

/* The next sessions behind *from that were silent since before_ms. Returns how many, or a negative SQLite
 * code. */
static int old_sessions(struct retention *r, const struct retention_session *from, int64_t before_ms,
                        struct retention_session out[SESSION_CHUNK])
{
    sqlite3_stmt *stmt = r->sql->old_sessions;
    int n = 0, rc;

    sqlite3_bind_int64(stmt, 1, from->last_ms);
    sqlite3_bind_int64(stmt, 2, from->session);
    sqlite3_bind_int64(stmt, 3, before_ms);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        out[n++] = (struct retention_session){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                                               sqlite3_column_int64(stmt, 2) };
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? n : -rc;
}

/* The newest name stays, so that its id is not given away again after a restart. */
static int drop_sessions(struct retention *r, int64_t before_ms, int64_t through, bool *more)
{
    struct retention_session found[SESSION_CHUNK] = { 0 };
    int64_t newest = 0;
    int rc = retention_number(r->sql->max_session, &newest, NULL), n = SESSION_CHUNK;

    while (rc == 0 && n == SESSION_CHUNK && !(*more = retention_is_time_up(r))) {
        if ((n = old_sessions(r, &r->session_at, before_ms, found)) < 0)
            return n;
        int64_t gone_ms = -1;
        for (int i = 0; rc == 0 && i < n; i++)
            if (found[i].last_id <= through && found[i].session < newest) {
                rc = drop_session(r, found[i].session);
                gone_ms = found[i].last_ms; /* they come in this order */
            }
        if (rc == 0 && gone_ms >= 0)
            rc = retention_save_setting(r, "session_dropped_before_ms", gone_ms + 1);
        if (n > 0)
            r->session_at = found[n - 1];
    }
    return rc;
}

/* Only when every row is in the totals: a session that a waiting row belongs to is not silent. */
static bool is_flushed(struct retention *r, int *rc)
{
    int64_t watermark = 0;

    *rc = retention_number(r->sql->session_watermark, &watermark, NULL);
    return watermark >= r->store->next_id - 1;
}

int retention_session(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t age = session_age(r), through = 0;
    int rc;

    if (age == RETENTION_FOREVER || mono_left(r->sessions_due) > 0)
        return 0;
    if (!is_flushed(r, &rc) || rc != 0) {
        *more = true;
        return rc;
    }
    if ((rc = gone_through(r, &through)) != 0 || (rc = drop_sessions(r, now_ms - age, through, more)) != 0)
        return rc;
    if (r->names != NULL && r->tally.names > 0)
        names_forget_sessions(r->names, r->tally.names);
    if (!*more) {
        r->session_at = (struct retention_session){ .session = 0, .last_ms = INT64_MIN };
        r->sessions_due =
            mono_after(mono_now(), retention_between(RETENTION_LOOK_MIN_MS, age / RETENTION_LOOKS_PER_AGE,
                                                     SESSIONS_LOOK_MAX_MS));
    }
    return 0;
}

struct span {
    int64_t span, last_id;
    int tier;
};

/* 1: there is one, 0: none, or a negative SQLite code. */
static int first_span(struct retention *r, struct span *out)
{
    sqlite3_stmt *stmt = r->sql->first_span;
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        *out = (struct span){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                              sqlite3_column_int(stmt, 2) };
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* A span's slices, then the span. */
static int drop_span(struct retention *r, int64_t span, bool *more)
{
    int rc = 0, changes = SLICE_CHUNK;

    sqlite3_bind_int64(r->sql->drop_slices, 1, span);
    while (rc == 0 && changes > 0 && !(*more = retention_is_time_up(r)))
        rc = retention_drop(r, r->sql->drop_slices, &r->tally.index_rows, &changes);
    if (rc != 0 || changes > 0)
        return rc;
    sqlite3_bind_int64(r->sql->drop_span, 1, span);
    return store_run(r->sql->drop_span);
}

int retention_index(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t through = 0;
    struct span first = { 0 };
    int rc = gone_through(r, &through);

    (void)now_ms; /* it follows the log */
    while (rc == 0 && !*more && (rc = first_span(r, &first)) == 1) {
        if (first.last_id > through || first.tier < SPANS_FINAL_TIER)
            return 0;
        if ((*more = retention_is_time_up(r)))
            return 0;
        rc = drop_span(r, first.span, more);
    }
    return rc;
}
