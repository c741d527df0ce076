/* SPDX-License-Identifier: MIT
 *
 * session_rows.c: reads the session index. Spans are pieces of the log that do not overlap, so they are
 * read in the order that is asked for and the search ends with the first one that has enough.
 */
#include <stdlib.h>
#include <string.h>

#include "../base/leb128.h"
#include "session_set.h"

/* What is being looked for. ids beyond `max` may be collected; they are cut off when there is no more room.
 */
struct search {
    const struct session_set *set;
    const struct session_tail *tail;
    struct pool_connection *c;
    struct problem *p;
    struct row_ids *out;
    int64_t lo, hi;
    int64_t first_id, last_id; /* where the index has rows of the set; none: last_id 0 */
    bool ascending;
    size_t max;
    struct reach {
        int64_t first_id, last_id; /* of the session's rows in the index; last_id 0: none */
    } * reach;                     /* owned; by number in the set */
};

void row_ids_fini(struct row_ids *r)
{
    free(r->id);
    *r = (struct row_ids){ 0 };
}

/* --------------------------------------------------------------- collecting */

static int upwards(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int downwards(const void *a, const void *b)
{
    return upwards(b, a);
}

/* Puts the ids in order and forgets all but the first max. */
static void settle(struct search *s)
{
    struct row_ids *r = s->out;

    if (r->count > 1)
        qsort(r->id, r->count, sizeof *r->id, s->ascending ? upwards : downwards);
    r->count = r->count < s->max ? r->count : s->max;
}

static int collect(struct search *s, int64_t id)
{
    struct row_ids *r = s->out;

    if (r->count == r->room && r->room >= 4 * s->max)
        settle(s);
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 256;
        int64_t *fresh = realloc(r->id, room * sizeof *fresh);
        if (!fresh)
            return problem_set(s->p, 503, "out of memory");
        r->id = fresh;
        r->room = room;
    }
    r->id[r->count++] = id;
    return 0;
}

/* ---------------------------------------------------------------------- spans */

/* How many ids of a slice are from lo to hi. */
static size_t slice_count(const struct search *s, const uint8_t *at, const uint8_t *end, int64_t id)
{
    size_t n = 0;
    uint64_t step;

    while (at < end && (at = leb128_get(at, end, &step)) != NULL) {
        id += (int64_t)step;
        n += id >= s->lo && id <= s->hi;
    }
    return n;
}

/* Takes the first max ids of a slice, or the last; of one session no more can be wanted. */
static int slice_take(struct search *s, int64_t span, const uint8_t *at, const uint8_t *end)
{
    size_t count = slice_count(s, at, end, span), seen = 0;
    size_t skip = s->ascending || count <= s->max ? 0 : count - s->max;
    int64_t id = span;
    uint64_t step;

    while (at < end && seen < skip + s->max && (at = leb128_get(at, end, &step)) != NULL) {
        id += (int64_t)step;
        if (id < s->lo || id > s->hi || seen++ < skip)
            continue;
        if (collect(s, id) != 0)
            return -1;
    }
    return at ? 0 : problem_set(s->p, 500, "the session index is damaged; tollgate rebuild makes it anew");
}

static int span_take(struct search *s, sqlite3_stmt *slice, int64_t span, int64_t last_id)
{
    int result = 0;

    sqlite3_bind_int64(slice, 1, span);
    for (size_t i = 0; result == 0 && i < session_set_count(s->set); i++) {
        if (s->reach[i].first_id > last_id || s->reach[i].last_id < span)
            continue;
        sqlite3_bind_int64(slice, 2, session_set_id(s->set, i));
        int rc = sqlite3_step(slice);
        const uint8_t *ids = rc == SQLITE_ROW ? sqlite3_column_blob(slice, 0) : NULL;
        if (ids)
            result = slice_take(s, span, ids, ids + sqlite3_column_bytes(slice, 0));
        else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            result = pool_problem(s->c, rc, s->p);
        sqlite3_reset(slice);
    }
    return result;
}

/* Where the index has each session's rows. */
static void reach_of(struct search *s, struct reach *r, sqlite3_stmt *stmt)
{
    *r = (struct reach){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1) };
    s->first_id = r->first_id < s->first_id ? r->first_id : s->first_id;
    s->last_id = r->last_id > s->last_id ? r->last_id : s->last_id;
}

static int reach_read(struct search *s)
{
    sqlite3_stmt *stmt;
    int rc = pool_prepare(s->c, "SELECT first_id, last_id FROM projection_session WHERE session=?", &stmt);

    s->reach = calloc(session_set_count(s->set) + 1, sizeof *s->reach);
    if (!s->reach)
        return problem_set(s->p, 503, "out of memory");
    for (size_t i = 0; i < session_set_count(s->set) && (rc == SQLITE_OK || rc == SQLITE_DONE); i++) {
        sqlite3_bind_int64(stmt, 1, session_set_id(s->set, i));
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW)
            reach_of(s, &s->reach[i], stmt);
        rc = sqlite3_reset(stmt);
    }
    return rc == SQLITE_OK || rc == SQLITE_DONE ? 0 : pool_problem(s->c, rc, s->p);
}

static int spans_take(struct search *s)
{
#define SPANS                                                                                    \
    "SELECT span, last_id FROM projection_session_span"                                          \
    " WHERE span >= ifnull((SELECT max(span) FROM projection_session_span WHERE span <= ?1), 0)" \
    " AND span <= ?2 ORDER BY span"
    sqlite3_stmt *spans, *slice;
    int result = 0, rc = pool_prepare(s->c, s->ascending ? SPANS : SPANS " DESC", &spans);

    if (rc == SQLITE_OK)
        rc =
            pool_prepare(s->c, "SELECT ids FROM projection_session_slice WHERE span=? AND session=?", &slice);
    if (rc != SQLITE_OK)
        return pool_problem(s->c, rc, s->p);
    sqlite3_bind_int64(spans, 1, s->lo > s->first_id ? s->lo : s->first_id);
    sqlite3_bind_int64(spans, 2, s->hi < s->last_id ? s->hi : s->last_id);
    while (result == 0 && s->out->count < s->max && (rc = sqlite3_step(spans)) != SQLITE_DONE)
        result = rc == SQLITE_ROW
                     ? span_take(s, slice, sqlite3_column_int64(spans, 0), sqlite3_column_int64(spans, 1))
                     : pool_problem(s->c, rc, s->p);
    sqlite3_reset(spans);
    return result;
}

/* ------------------------------------------------------------------- the tail */

static int tail_take(struct search *s)
{
    int result = 0;

    for (size_t i = 0; i < session_set_count(s->set); i++) {
        const struct tail_entry *e = session_tail_find(s->tail, session_set_id(s->set, i));
        uint32_t at = e ? e->newest : SESSION_TAIL_NONE;
        for (; at != SESSION_TAIL_NONE && result == 0; at = s->tail->row[at].before) {
            int64_t id = s->tail->row[at].id;
            if (id >= s->lo && id <= s->hi)
                result = collect(s, id);
        }
    }
    return result;
}

static int search_run(struct search *s)
{
    if (!s->ascending && tail_take(s) != 0)
        return -1;
    if (s->out->count < s->max && (reach_read(s) != 0 || spans_take(s) != 0))
        return -1;
    if (s->ascending && s->out->count < s->max && tail_take(s) != 0)
        return -1;
    settle(s);
    return 0;
}

int session_set_rows_beside(const struct session_set *set, const struct session_tail *tail,
                            struct pool_connection *c, int64_t lo, int64_t hi, bool ascending, size_t max,
                            struct problem *p, struct row_ids *out)
{
    struct search s = { .set = set,
                        .tail = tail,
                        .c = c,
                        .p = p,
                        .out = out,
                        .lo = lo,
                        .hi = hi,
                        .ascending = ascending,
                        .max = max,
                        .first_id = INT64_MAX };

    out->count = 0;
    int result = session_set_count(set) > 0 && max > 0 && lo <= hi ? search_run(&s) : 0;
    free(s.reach);
    return result;
}

int session_set_rows(const struct session_set *set, struct pool_connection *c, int64_t lo, int64_t hi,
                     bool ascending, size_t max, struct problem *p, struct row_ids *out)
{
    struct session_tail tail = { 0 };
    int result = session_tail_read(&tail, c, NULL, p);

    if (result == 0)
        result = session_set_rows_beside(set, &tail, c, lo, hi, ascending, max, p, out);
    session_tail_fini(&tail);
    return result;
}
