/* SPDX-License-Identifier: MIT
 *
 * rebuild_index.c: the session index, span by span. A span's rows are read from the log and sorted by
 * session; its slices come in the same order.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../base/leb128.h"
#include "rebuild_work.h"
#include "spans.h"

#define ENTRIES_FIRST 4096
#define ENTRIES_MAX   (2 * SPANS_ROOM) /* no span of ours has more */

struct entry {
    int64_t session, id;
};

struct index {
    struct rebuild *r;
    struct entry *entry; /* owned; the rows of a span */
    size_t used, room;
    int64_t dropped; /* up to it nothing is in the log any more */
    int64_t thinned; /* up to it something may have been dropped */
    uint8_t *packed; /* owned; one slice */
    size_t packed_room;
    sqlite3_stmt *rows[2];                       /* owned: dispatches and messages of a piece of the log */
    sqlite3_stmt *slices, *add_span, *add_slice; /* owned */
};

static int add_entry(struct index *x, int64_t session, int64_t id)
{
    if (x->used == x->room) {
        size_t room = x->room == 0 ? ENTRIES_FIRST : 2 * x->room;
        struct entry *entry = realloc(x->entry, room * sizeof *entry);
        if (entry == NULL)
            return -SQLITE_NOMEM;
        x->entry = entry;
        x->room = room;
    }
    x->entry[x->used++] = (struct entry){ session, id };
    return 0;
}

static int by_session(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->session != y->session)
        return x->session < y->session ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* ----------------------------------------------------------------- comparing */

/* The rows with a session in a piece of the log. keep: into the entries, up to ENTRIES_MAX. */
static int walk_rows(struct index *x, int64_t first_id, int64_t last_id, bool keep, size_t *count)
{
    int rc = 0;

    *count = 0;
    for (int table = 0; rc == 0 && table < 2; table++) {
        sqlite3_stmt *stmt = x->rows[table];
        sqlite3_bind_int64(stmt, 1, first_id);
        sqlite3_bind_int64(stmt, 2, last_id);
        while (rc == 0 && (rc = rebuild_row(x->r, stmt)) == 1) {
            rc = keep && *count < ENTRIES_MAX
                     ? add_entry(x, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 0))
                     : 0;
            ++*count;
        }
        sqlite3_reset(stmt);
    }
    return rc;
}

/* Rows of the log between two spans, behind the last or before the first one. */
static int compare_gap(struct index *x, int64_t first_id, int64_t last_id)
{
    size_t count = 0;
    int rc = first_id <= last_id ? walk_rows(x, first_id, last_id, false, &count) : 0;

    if (rc == 0 && count > 0)
        rebuild_differ(x->r, "index: %zu rows of sessions from id %lld to %lld are in no span", count,
                       (long long)first_id, (long long)last_id);
    return rc;
}

/* One slice against the rows of its session, from *at on. */
static void compare_slice(struct index *x, int64_t span, int64_t session, const uint8_t *ids, size_t len,
                          size_t *at)
{
    const uint8_t *end = ids + len;
    int64_t id = span;
    bool same = true;
    uint64_t step;

    while (ids != NULL && ids < end) {
        if ((ids = leb128_get(ids, end, &step)) == NULL)
            break;
        id += (int64_t)step;
        if (*at < x->used && x->entry[*at].session == session && x->entry[*at].id == id)
            (*at)++;
        else if (id > x->thinned)
            same = false;
    }
    for (; *at < x->used && x->entry[*at].session == session; (*at)++)
        same = false;
    if (!same || ids == NULL)
        rebuild_differ(x->r, "index: span %lld, session %lld: not the rows that the log has", (long long)span,
                       (long long)session);
}

/* Sessions before this one that the log has and the span has not. */
static void tell_missing(struct index *x, int64_t span, int64_t session, size_t *at)
{
    while (*at < x->used && x->entry[*at].session < session) {
        int64_t missing = x->entry[*at].session;
        rebuild_differ(x->r, "index: span %lld: session %lld is missing", (long long)span,
                       (long long)missing);
        while (*at < x->used && x->entry[*at].session == missing)
            (*at)++;
    }
}

static int compare_span(struct index *x, int64_t span, int64_t last_id)
{
    sqlite3_stmt *stmt = x->slices;
    size_t at = 0, count;

    x->used = 0;
    int rc = walk_rows(x, span, last_id, true, &count);
    if (rc != 0)
        return rc;
    x->r->report->spans++;
    if (count > ENTRIES_MAX)
        rebuild_differ(x->r, "index: span %lld reaches over %zu rows", (long long)span, count);
    if (x->used > 1)
        qsort(x->entry, x->used, sizeof *x->entry, by_session);
    sqlite3_bind_int64(stmt, 1, span);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        int64_t session = sqlite3_column_int64(stmt, 0);
        tell_missing(x, span, session, &at);
        compare_slice(x, span, session, sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1),
                      &at);
    }
    sqlite3_reset(stmt);
    tell_missing(x, span, INT64_MAX, &at);
    return rc == SQLITE_DONE ? 0 : -rc;
}

static int compare_all(struct index *x)
{
    int64_t next = x->dropped + 1;
    sqlite3_stmt *spans = NULL;
    int rc = rebuild_prepare(x->r, "SELECT span, last_id FROM projection_session_span ORDER BY span", &spans);

    while (rc == 0 && (rc = sqlite3_step(spans)) == SQLITE_ROW) {
        int64_t span = sqlite3_column_int64(spans, 0), last_id = sqlite3_column_int64(spans, 1);
        rc = 0;
        if (last_id <= x->dropped)
            continue;
        if (span < next && span > x->dropped)
            rebuild_differ(x->r, "index: span %lld begins in the one before it", (long long)span);
        if ((rc = compare_gap(x, next, span - 1)) == 0)
            rc = compare_span(x, span, last_id);
        next = last_id + 1;
    }
    sqlite3_finalize(spans);
    if (rc != SQLITE_DONE)
        return rc > 0 ? -rc : rc;
    return compare_gap(x, next, x->r->watermark);
}

/* ------------------------------------------------------------------ writing */

static int write_slice(struct index *x, int64_t span, const struct entry *e, size_t count)
{
    int64_t from = span;

    if (x->packed_room < count * LEB128_MAX) {
        uint8_t *packed = realloc(x->packed, count * LEB128_MAX);
        if (packed == NULL)
            return -SQLITE_NOMEM;
        x->packed = packed;
        x->packed_room = count * LEB128_MAX;
    }
    uint8_t *end = x->packed;
    for (size_t i = 0; i < count; i++) {
        end = leb128_put(end, (uint64_t)(e[i].id - from));
        from = e[i].id;
    }
    sqlite3_bind_int64(x->add_slice, 1, span);
    sqlite3_bind_int64(x->add_slice, 2, e->session);
    sqlite3_bind_blob64(x->add_slice, 3, x->packed, (sqlite3_uint64)(end - x->packed), SQLITE_STATIC);
    return store_run(x->add_slice);
}

/* The entries, which are in the order of ids, as one final span. */
static int write_span(struct index *x)
{
    int rc = 0;

    if (x->used == 0)
        return 0;
    int64_t span = x->entry[0].id, last_id = x->entry[x->used - 1].id;
    qsort(x->entry, x->used, sizeof *x->entry, by_session);
    for (size_t i = 0, next; rc == 0 && i < x->used; i = next) {
        for (next = i + 1; next < x->used && x->entry[next].session == x->entry[i].session;)
            next++;
        rc = write_slice(x, span, x->entry + i, next - i);
    }
    x->used = 0;
    x->r->report->spans++;
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(x->add_span, 1, span);
    sqlite3_bind_int64(x->add_span, 2, last_id);
    sqlite3_bind_int(x->add_span, 3, SPANS_FINAL_TIER);
    return store_run(x->add_span);
}

static int clear(struct index *x)
{
    char sql[256];

    snprintf(sql, sizeof sql,
             "DELETE FROM projection_session_slice WHERE span IN"
             " (SELECT span FROM projection_session_span WHERE last_id > %lld) OR span > %lld;"
             "DELETE FROM projection_session_span WHERE last_id > %lld",
             (long long)x->dropped, (long long)x->dropped, (long long)x->dropped);
    return rebuild_exec(x->r, sql);
}

static int write_all(struct index *x)
{
    static const char sql[] = "SELECT id, session FROM dispatch WHERE id BETWEEN ?1 AND ?2 AND session > 0"
                              " UNION ALL SELECT id, session FROM message WHERE id BETWEEN ?1 AND ?2"
                              " AND session > 0 ORDER BY 1";
    sqlite3_stmt *stmt = NULL;
    int rc;

    if ((rc = clear(x)) != 0 || (rc = rebuild_walk(x->r, sql, &stmt)) != 0)
        return rc;
    while (rc == 0 && (rc = rebuild_row(x->r, stmt)) == 1)
        if ((rc = add_entry(x, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 0))) == 0 &&
            x->used == SPANS_FINAL_ROWS)
            rc = write_span(x);
    rc = rebuild_walked(x->r, stmt, rc);
    return rc != 0 ? rc : write_span(x);
}

/* ------------------------------------------------------------------- running */

static int prepare_all(struct index *x)
{
    struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } all[] = {
        { &x->rows[0], "SELECT id, session FROM dispatch WHERE id BETWEEN ? AND ? AND session > 0" },
        { &x->rows[1], "SELECT id, session FROM message WHERE id BETWEEN ? AND ? AND session > 0" },
        { &x->slices, "SELECT session, ids FROM projection_session_slice WHERE span=? ORDER BY session" },
        { &x->add_span, "INSERT INTO projection_session_span VALUES(?,?,?)" },
        { &x->add_slice, "INSERT INTO projection_session_slice VALUES(?,?,?)" },
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
        rc = rebuild_prepare(x->r, all[i].sql, all[i].stmt);
    return rc;
}

int rebuild_index(struct rebuild *r)
{
    int64_t dispatch = r->through[LOG_DISPATCH], message = r->through[LOG_MESSAGE];
    struct index x = { .r = r,
                       .dropped = dispatch < message ? dispatch : message,
                       .thinned = dispatch > message ? dispatch : message };
    int64_t events = r->report->events;
    int rc = prepare_all(&x);

    if (rc == 0)
        rc = r->writes ? write_all(&x) : compare_all(&x);
    r->report->events = events; /* the same rows once more */
    sqlite3_finalize(x.rows[0]);
    sqlite3_finalize(x.rows[1]);
    sqlite3_finalize(x.slices);
    sqlite3_finalize(x.add_span);
    sqlite3_finalize(x.add_slice);
    free(x.entry);
    free(x.packed);
    return rc;
}
