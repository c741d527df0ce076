/* SPDX-License-Identifier: MIT
 *
 * What makes a page exact: a session's place is that of its flushed row and its rows behind the
 * watermark together. Both are looked at in one transaction; the tail is read first, by session.
 *
 * A walk follows two lists, each in the order that is asked for: the flushed rows along their index,
 * and the tail's entries. Whichever of them names a session first, it is judged by its whole key. What
 * neither list has named yet cannot stand before `bound`: the better of the two next keys, or, where keys
 * are sums, both together. The walk ends when the page is full of better ones. So it looks at little
 * more than a page, however many sessions there are and however many of them are in the tail; unless a
 * filter passes only few.
 *
 * A scan judges all sessions that may be meant: those that the filter or the search name, those with
 * an event since `from` if they are few, else all.
 */
#include "session_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "session_match.h"
#include "session_set.h"
#include "when.h"

#define FEW_SESSIONS 20000 /* so many at most are taken one by one instead of walking all */
#define WALK_MAX     40000 /* steps, each to another place of the file; after them a scan is quicker */

/* How the two parts of a key come together. */
enum joint { JOINT_LATEST, JOINT_EARLIEST, JOINT_SUM };

static const struct order {
    const char *name, *column, *tail; /* tail: of a dispatch that counts */
    enum joint joint;
} orders[SESSION_ORDERS] = {
    [ORDER_BY_LAST] = { "last", "last_ms", NULL, JOINT_LATEST },
    [ORDER_BY_TOKENS] = { "tokens", "tokens", NULL, JOINT_SUM },
    [ORDER_BY_FIRST] = { "first", "first_ms", NULL, JOINT_EARLIEST },
    [ORDER_BY_CALLS] = { "calls", "calls", "1", JOINT_SUM },
    [ORDER_BY_ERRORS] = { "errors", "errors", "(SELECT d.status IN(2,3) FROM dims d WHERE d.id=e.dims)",
                          JOINT_SUM },
    [ORDER_BY_COST] = { "cost", "cost_nanousd", "coalesce(e.cost_nanousd,0)", JOINT_SUM },
    [ORDER_BY_COST_REPORTED] = { "cost_reported", "cost_reported_nanousd",
                                 "coalesce(e.cost_reported_nanousd,0)", JOINT_SUM },
};

/* A flushed row, as far as it decides whether a session is on the page. */
struct base {
    bool is;
    int64_t key, dims, first_ms, last_ms;
};
#define BASE_COLUMNS "dims,first_ms,last_ms"

struct run {
    struct pool_connection *c;
    const struct session_list_request *q;
    struct problem *p;
    const struct order *order;
    struct session_tail tail;
    struct session_match match;
    sqlite3_stmt *base;         /* session -> as base_of reads it */
    struct session_place *pick; /* owned; the best so far, in order; one more than the page has */
    unsigned picks, room;
};

int session_order_find(const char *name)
{
    for (int i = 0; i < SESSION_ORDERS; i++) {
        if (strcmp(orders[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* ---------------------------------------------------------------- cursors */

/* The order's place in the list, its direction, key and session. */
void session_place_format(const struct session_list_request *q, const struct session_place *at,
                          char out[SESSION_PLACE_TEXT])
{
    snprintf(out, SESSION_PLACE_TEXT, "%c%" PRIx64 ".%" PRIx64, (q->ascending ? 'a' : 'A') + (int)q->order,
             (uint64_t)at->key, (uint64_t)at->session);
}

int session_place_parse(const struct session_list_request *q, const char *text, struct session_place *at)
{
    char again[SESSION_PLACE_TEXT], *dot, *end;
    struct session_place place;

    if (text[0] == 0 || strlen(text) >= SESSION_PLACE_TEXT)
        return -1;
    place.key = (int64_t)strtoull(text + 1, &dot, 16);
    place.session = *dot == '.' ? (int64_t)strtoull(dot + 1, &end, 16) : -1;
    if (place.session < 0 || place.session > UINT32_MAX)
        return -1;
    session_place_format(q, &place, again);
    if (strcmp(again, text) != 0)
        return -1;
    *at = place;
    return 0;
}

/* ------------------------------------------------------------------ places */

/* Whether a stands before b in the order. */
static bool before(const struct run *r, struct session_place a, struct session_place b)
{
    if (r->q->ascending)
        return a.key < b.key || (a.key == b.key && a.session < b.session);
    return a.key > b.key || (a.key == b.key && a.session > b.session);
}

/* The worst place that can still be on the page. */
static bool fits(const struct run *r, struct session_place at)
{
    return r->picks < r->room || before(r, at, r->pick[r->picks - 1]);
}

static void pick(struct run *r, struct session_place at)
{
    unsigned lo = 0, hi = r->picks;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        if (before(r, r->pick[mid], at))
            lo = mid + 1;
        else
            hi = mid;
    }
    r->picks += r->picks < r->room;
    memmove(&r->pick[lo + 1], &r->pick[lo], (r->picks - 1 - lo) * sizeof *r->pick);
    r->pick[lo] = at;
}

static int64_t join(const struct order *o, int64_t a, int64_t b)
{
    if (o->joint == JOINT_LATEST)
        return a > b ? a : b;
    if (o->joint == JOINT_EARLIEST)
        return a < b ? a : b;
    return __builtin_add_overflow(a, b, &a) ? INT64_MAX : a;
}

static int64_t tail_key(const struct order *o, const struct tail_entry *e)
{
    return o->joint == JOINT_LATEST ? e->last_ms : o->joint == JOINT_EARLIEST ? e->first_ms : e->key;
}

/* What the tail adds to a flushed row, which may be none. */
static void merge(const struct run *r, const struct tail_entry *e, struct base *b)
{
    if (!b->is) {
        *b = (struct base){ true, tail_key(r->order, e), e->dims, e->first_ms, e->last_ms };
        return;
    }
    b->key = join(r->order, b->key, tail_key(r->order, e));
    b->first_ms = e->first_ms < b->first_ms ? e->first_ms : b->first_ms;
    b->last_ms = e->last_ms > b->last_ms ? e->last_ms : b->last_ms;
    b->dims = e->dispatched ? e->dims : b->dims;
}

/* Judges a session, once. 0 or -1. */
static int consider(struct run *r, int64_t session, struct base b)
{
    struct tail_entry *e = session_tail_find(&r->tail, session);
    struct session_place at;
    int ok = 1;

    if (e && e->seen)
        return 0;
    if (e) {
        e->seen = true;
        merge(r, e, &b);
    }
    at = (struct session_place){ b.key, session };
    if (!b.is || b.last_ms < r->q->from_ms || b.first_ms >= r->q->to_ms || !fits(r, at) ||
        (r->q->has_after && !before(r, r->q->after, at)))
        return 0;
    ok = session_match_dims(&r->match, r->c, b.dims, r->p);
    if (ok == 1)
        ok = session_match_names(&r->match, r->c, session, r->p);
    if (ok == 1)
        pick(r, at);
    return ok < 0 ? -1 : 0;
}

/* --------------------------------------------------------------- flushed rows */

static int prepare(struct run *r, sqlite3_stmt **out, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int prepare(struct run *r, sqlite3_stmt **out, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    char *sql = sqlite3_vmprintf(fmt, args);
    va_end(args);
    int rc = sql ? pool_prepare(r->c, sql, out) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return rc == SQLITE_OK ? 0 : pool_problem(r->c, rc, r->p);
}

/* Columns: session, key, BASE_COLUMNS. */
static struct base base_of(sqlite3_stmt *stmt)
{
    return (struct base){ true, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2),
                          sqlite3_column_int64(stmt, 3), sqlite3_column_int64(stmt, 4) };
}

/* Judges a session whose flushed row, if there is one, has not been read. */
static int look_up(struct run *r, int64_t session)
{
    struct base b = { .is = false };

    sqlite3_bind_int64(r->base, 1, session);
    if (sqlite3_step(r->base) == SQLITE_ROW)
        b = base_of(r->base);
    int rc = sqlite3_reset(r->base);
    return rc == SQLITE_OK ? consider(r, session, b) : pool_problem(r->c, rc, r->p);
}

/* -------------------------------------------------------------------- scan */

/* The tail's sessions that no list has named. */
static int scan_tail(struct run *r)
{
    int result = 0;

    for (size_t i = 0; i < r->tail.entries && result == 0; i++) {
        if (!r->tail.entry[i].seen)
            result = look_up(r, r->tail.entry[i].session);
    }
    return result;
}

/* All flushed rows, or those with an event since from, and the tail's. */
static int scan(struct run *r, bool since)
{
    sqlite3_stmt *stmt;
    int rc, result;

    if (prepare(r, &stmt, "SELECT session,%s," BASE_COLUMNS " FROM projection_session %s", r->order->column,
                since ? "INDEXED BY projection_session_by_last WHERE last_ms>=?" : "NOT INDEXED") != 0)
        return -1;
    if (since)
        sqlite3_bind_int64(stmt, 1, r->q->from_ms);
    for (result = 0; result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE;)
        result = rc == SQLITE_ROW ? consider(r, sqlite3_column_int64(stmt, 0), base_of(stmt))
                                  : pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result == 0 ? scan_tail(r) : -1;
}

/* Few pass the filter: a walk has found out and begins again as a scan. */
static int scan_instead(struct run *r)
{
    r->picks = 0;
    for (size_t i = 0; i < r->tail.entries; i++)
        r->tail.entry[i].seen = false;
    return scan(r, false);
}

/* -------------------------------------------------------------------- walk */

/* The tail's entries as a heap: the one that stands first in the order is on top. */
struct heap {
    const struct run *r;
    struct tail_entry **at; /* owned */
    size_t count;
};

static struct session_place entry_place(const struct run *r, const struct tail_entry *e)
{
    return (struct session_place){ tail_key(r->order, e), e->session };
}

static void sift(struct heap *h, size_t i)
{
    struct tail_entry *e = h->at[i];

    for (size_t child; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count &&
            before(h->r, entry_place(h->r, h->at[child + 1]), entry_place(h->r, h->at[child])))
            child++;
        if (!before(h->r, entry_place(h->r, h->at[child]), entry_place(h->r, e)))
            break;
        h->at[i] = h->at[child];
    }
    h->at[i] = e;
}

/* Without those that stand before `from`: with what is flushed of them they do all the more, or else
 * the index names them, too. */
static bool heap_init(struct heap *h, const struct run *r, struct session_place from)
{
    *h = (struct heap){ r, malloc((r->tail.entries + 1) * sizeof(void *)), 0 };
    if (!h->at)
        return false;
    for (size_t i = 0; i < r->tail.entries; i++) {
        if (!before(r, entry_place(r, &r->tail.entry[i]), from))
            h->at[h->count++] = &r->tail.entry[i];
    }
    for (size_t i = h->count / 2; i-- > 0;)
        sift(h, i);
    return true;
}

static struct tail_entry *heap_take(struct heap *h)
{
    struct tail_entry *top = h->at[0];

    h->at[0] = h->at[--h->count];
    if (h->count > 0)
        sift(h, 0);
    return top;
}

struct walk {
    struct run *r;
    sqlite3_stmt *index; /* on a row, or NULL: no more */
    struct heap heap;
};

static int walk_step(struct walk *w)
{
    int rc = sqlite3_step(w->index);

    if (rc != SQLITE_ROW) {
        sqlite3_reset(w->index);
        w->index = NULL;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : pool_problem(w->r->c, rc, w->r->p);
}

static int walk_open(struct walk *w, struct session_place from)
{
    const char *column = w->r->order->column, *way = w->r->q->ascending ? "ASC" : "DESC";

    if (prepare(w->r, &w->index,
                "SELECT session,%s," BASE_COLUMNS " FROM projection_session"
                " WHERE (%s,session)%s(?,?) ORDER BY %s %s,session %s",
                column, column, w->r->q->ascending ? ">=" : "<=", column, way, way) != 0)
        return -1;
    sqlite3_bind_int64(w->index, 1, from.key);
    sqlite3_bind_int64(w->index, 2, from.session);
    return walk_step(w);
}

/* Whether nothing that is still to come can be on the page. */
static bool walk_done(const struct walk *w)
{
    const struct run *r = w->r;
    struct session_place index = { 0 }, tail = { 0 }, both;

    if (!w->index && w->heap.count == 0)
        return true;
    if (w->index)
        index =
            (struct session_place){ sqlite3_column_int64(w->index, 1), sqlite3_column_int64(w->index, 0) };
    if (w->heap.count > 0)
        tail = entry_place(r, w->heap.at[0]);
    if (!w->index)
        both = tail;
    else if (w->heap.count == 0)
        both = index;
    else if (r->order->joint == JOINT_SUM && tail.key > 0)
        both = (struct session_place){ join(r->order, index.key, tail.key), INT64_MAX };
    else
        both = before(r, index, tail) ? index : tail;
    if (r->order->joint == JOINT_LATEST && !r->q->ascending && both.key < r->q->from_ms)
        return true;
    return !fits(r, both);
}

/* The better one of the two next; of sums one of each in turn. */
static int walk_on(struct walk *w, bool tail_turn)
{
    struct run *r = w->r;
    bool tail = !w->index;

    if (w->index && w->heap.count > 0) {
        struct session_place index = { sqlite3_column_int64(w->index, 1), sqlite3_column_int64(w->index, 0) };
        tail = r->order->joint == JOINT_SUM ? tail_turn : before(r, entry_place(r, w->heap.at[0]), index);
    }
    if (tail) {
        const struct tail_entry *e = heap_take(&w->heap);
        return e->seen ? 0 : look_up(r, e->session);
    }
    if (consider(r, sqlite3_column_int64(w->index, 0), base_of(w->index)) != 0)
        return -1;
    return walk_step(w);
}

static int walk(struct run *r)
{
    struct session_place from = r->q->ascending ? (struct session_place){ INT64_MIN, 0 }
                                                : (struct session_place){ INT64_MAX, INT64_MAX };
    struct walk w = { .r = r };
    unsigned steps = 0;
    int result = 0;

    if (r->q->has_after)
        from = r->q->after;
    if (r->order->joint == JOINT_LATEST && r->q->ascending && from.key < r->q->from_ms)
        from = (struct session_place){ r->q->from_ms, 0 };
    if (!heap_init(&w.heap, r, from))
        return problem_set(r->p, 503, "out of memory");
    result = walk_open(&w, from);
    for (; result == 0 && steps < WALK_MAX && !walk_done(&w); steps++)
        result = walk_on(&w, steps % 2);
    free(w.heap.at);
    return result != 0 ? -1 : steps == WALK_MAX ? scan_instead(r) : 0;
}

/* -------------------------------------------------------------------- find */

static int scan_set(struct run *r, const struct session_set *set)
{
    int result = 0;

    for (size_t i = 0; i < session_set_count(set) && result == 0; i++)
        result = look_up(r, session_set_id(set, i));
    return result;
}

/* Puts the sessions whose name has the part that is searched for into the set. 1, 0: too many, or -1. */
static int search(struct run *r, struct session_set *set)
{
    sqlite3_stmt *stmt;
    int rc, result = 1;

    if (prepare(r, &stmt, "SELECT id,session_id FROM session") != 0)
        return -1;
    while (result == 1 && (rc = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            result = pool_problem(r->c, rc, r->p);
        else if (session_match_search((const char *)sqlite3_column_text(stmt, 1), r->q->search))
            result = session_set_add(set, sqlite3_column_int64(stmt, 0), r->p);
    }
    sqlite3_reset(stmt);
    return result;
}

/* Whether there are at most FEW_SESSIONS with an event at ms or later; -1. */
static int few_since(struct run *r, int64_t ms)
{
    sqlite3_stmt *stmt;
    int64_t n = 0;

    if (prepare(r, &stmt, "SELECT count(*) FROM (SELECT 1 FROM projection_session WHERE last_ms>=? LIMIT %d)",
                FEW_SESSIONS + 1) != 0)
        return -1;
    sqlite3_bind_int64(stmt, 1, ms);
    if (sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    int rc = sqlite3_reset(stmt);
    return rc == SQLITE_OK ? n <= FEW_SESSIONS : pool_problem(r->c, rc, r->p);
}

/* Walks where that is short: not if it has to pass by many that are too late for `to`, or too old. */
static int walk_or_scan(struct run *r)
{
    const struct session_list_request *q = r->q;
    bool last = q->order == ORDER_BY_LAST, walks = last || (q->order == ORDER_BY_TOKENS && !q->ascending);
    int few = 0;

    if (q->from_ms > WHEN_MIN && !last)
        few = few_since(r, q->from_ms);
    if (few != 0)
        return few < 0 ? -1 : scan(r, true);
    if (last && !q->ascending && q->to_ms < INT64_MAX) {
        few = few_since(r, q->to_ms);
        if (few < 0)
            return -1;
        walks = few;
    }
    return walks ? walk(r) : scan(r, false);
}

/* -------------------------------------------------------------------- page */

static int find(struct run *r)
{
    struct session_set set;
    int named;

    if (prepare(r, &r->base, "SELECT session,%s," BASE_COLUMNS " FROM projection_session WHERE session=?",
                r->order->column) != 0)
        return -1;
    session_set_init(&set);
    named = session_set_of_filter(&set, &r->q->filter, r->c, r->p);
    if (named == 0 && r->q->search) {
        session_set_fini(&set); /* what it may hold by now is a part */
        named = search(r, &set);
    }
    int result = named < 0 ? -1 : named ? scan_set(r, &set) : walk_or_scan(r);
    session_set_fini(&set);
    return result;
}

static int fill(struct run *r, struct session_list *a)
{
    size_t n = r->picks < r->q->limit ? r->picks : r->q->limit;

    a->item = calloc(n + 1, sizeof *a->item);
    if (!a->item)
        return problem_set(r->p, 503, "out of memory");
    for (; a->items < n; a->items++) {
        struct session_item *item = &a->item[a->items];
        item->session = r->pick[a->items].session;
        if (session_item_totals(r->c, &r->tail, item->session, r->p, &item->totals) != 0 ||
            session_item_names(r->c, &a->arena, r->p, item) != 0)
            return -1;
    }
    a->more = r->picks > n;
    if (n > 0)
        a->next = r->pick[n - 1];
    return 0;
}

int session_list_run(struct query_pool *pool, const struct session_list_request *q, struct monotime deadline,
                     struct problem *p, struct session_list *out)
{
    struct run r = { .q = q, .p = p, .order = &orders[q->order], .room = q->limit + 1 };
    int result = -1;

    *out = (struct session_list){ 0 };
    if (pool_borrow(pool, deadline, p, &r.c) != 0)
        return -1;
    session_match_init(&r.match, &q->filter, q->search);
    r.pick = malloc((r.room + 1) * sizeof *r.pick);
    if (!r.pick)
        problem_fill(p, 503, "out of memory");
    else if (session_tail_read(&r.tail, r.c, r.order->tail, p) == 0 && find(&r) == 0)
        result = fill(&r, out);
    pool_give(r.c);
    session_tail_fini(&r.tail);
    session_match_fini(&r.match);
    free(r.pick);
    if (result != 0)
        session_list_fini(out);
    return result;
}

void session_list_fini(struct session_list *a)
{
    free(a->item);
    arena_fini(&a->arena);
    *a = (struct session_list){ 0 };
}
