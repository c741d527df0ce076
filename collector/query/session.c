/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "session_tree.h"

#define COUNTED_AT_ONCE 1000 /* rows, where they are counted one by one */

struct run {
    struct pool_connection *c;
    const struct session_request *q;
    struct problem *p;
    struct session_tail tail;
    struct session_answer *out;
};

/* ----------------------------------------------------------- of one source */

static int source_prepare(struct run *r, const char *columns, const char *table, sqlite3_stmt **out)
{
    sqlite3_str *sql = sqlite3_str_new(NULL);
    int at = 2, rc = SQLITE_NOMEM;

    sqlite3_str_appendf(sql,
                        "SELECT %s FROM %s e CROSS JOIN dims d ON d.id=e.dims"
                        " CROSS JOIN source src ON src.id=d.source WHERE e.id=?",
                        columns, table);
    filter_sql(&r->q->events->filter, 1u << FIELD_source, sql);
    char *text = sqlite3_str_finish(sql);
    if (text)
        rc = pool_prepare(r->c, text, out);
    sqlite3_free(text);
    return rc == SQLITE_OK ? filter_bind(&r->q->events->filter, 1u << FIELD_source, *out, &at) : rc;
}

static int count_rows(struct run *r, const struct row_ids *ids, struct session_totals *to)
{
    sqlite3_stmt *stmt[2];
    int rc = source_prepare(r, SESSION_DISPATCH_COLUMNS, "dispatch", &stmt[0]);

    if (rc == SQLITE_OK)
        rc = source_prepare(r, SESSION_MESSAGE_COLUMNS, "message", &stmt[1]);
    for (size_t i = 0; i < 2 * ids->count && rc == SQLITE_OK; i++) {
        bool message = i % 2;
        sqlite3_bind_int64(stmt[message], 1, ids->id[i / 2]);
        if (sqlite3_step(stmt[message]) == SQLITE_ROW)
            (message ? session_totals_message : session_totals_dispatch)(to, stmt[message]);
        rc = sqlite3_reset(stmt[message]);
    }
    return rc == SQLITE_OK ? 0 : pool_problem(r->c, rc, r->p);
}

/* The projection does not tell sources apart: the set's rows are counted one by one. */
static int count_set(struct run *r, const struct session_set *set, struct session_totals *to)
{
    struct row_ids ids = { 0 };
    int64_t lo = 1;
    int result;

    do {
        result =
            session_set_rows_beside(set, &r->tail, r->c, lo, INT64_MAX, true, COUNTED_AT_ONCE, r->p, &ids);
        if (result == 0 && ids.count > 0) {
            lo = ids.id[ids.count - 1] + 1;
            result = count_rows(r, &ids, to);
        }
    } while (result == 0 && ids.count == COUNTED_AT_ONCE);
    row_ids_fini(&ids);
    return result;
}

/* ------------------------------------------------------------------- items */

/* The row of the set whose names are shown: the one with the latest event. */
static int sum_set(struct run *r, const struct session_set *set, struct session_item *item)
{
    int64_t latest = -1;

    for (size_t i = 0; i < session_set_count(set); i++) {
        struct session_totals t;
        int64_t id = session_set_id(set, i);
        if (session_item_totals(r->c, &r->tail, id, r->p, &t) != 0)
            return -1;
        if (t.last_id > latest) { /* 0 where there is nothing */
            latest = t.last_id;
            item->session = id;
        }
        session_totals_add(&item->totals, &t);
    }
    if (r->q->events->filter.count > 0) {
        item->totals = (struct session_totals){ 0 };
        return count_set(r, set, &item->totals);
    }
    return 0;
}

/* Sums all rows of a name. *known: there are any. */
static int item_read(struct run *r, const char *session_id, struct session_item *item, bool *known)
{
    struct session_set set;
    int result = -1;

    session_set_init(&set);
    if (session_set_named(&set, r->c, session_id, r->p) >= 0 && sum_set(r, &set, item) == 0)
        result = session_set_count(&set) > 0 ? session_item_names(r->c, &r->out->arena, r->p, item) : 0;
    *known = session_set_count(&set) > 0;
    session_set_fini(&set);
    return result;
}

static int read_tree(struct run *r, struct session_tree *t)
{
    struct session_answer *a = r->out;
    bool known;

    if (session_tree_read(t, r->c, r->q->session_id, SESSION_TREE_MAX, r->p) != 0)
        return -1;
    a->truncated = t->truncated;
    a->beneath = calloc(t->found, sizeof *a->beneath);
    if (!a->beneath)
        return problem_set(r->p, 503, "out of memory");
    for (size_t i = 1; i < t->found; i++) {
        struct session_item *item = &a->beneath[a->beneaths];
        *item = (struct session_item){ .depth = t->node[t->order[i]].depth };
        if (item_read(r, session_tree_name(t, t->order[i]), item, &known) != 0)
            return -1;
        a->beneaths += item->totals.rows_seen > 0; /* else it was only told of */
    }
    a->tree = a->item.totals;
    for (size_t i = 0; i < a->beneaths; i++)
        session_totals_add(&a->tree, &a->beneath[i].totals);
    return 0;
}

/* ------------------------------------------------------------------ events */

static int read_events(struct run *r, events_fn fn, void *arg)
{
    struct session_set set;
    unsigned got, rows = 0;

    session_set_init(&set);
    int result = session_set_named(&set, r->c, r->q->session_id, r->p) < 0
                     ? -1
                     : events_begin_on(r->c, r->q->events, r->q->after, r->p, &r->out->cursor);
    while (result == 0 && rows < r->q->limit && !events_done(&r->out->cursor)) {
        result = events_read_set(r->c, r->q->events, &set, &r->tail, &r->out->cursor, r->q->limit - rows,
                                 r->p, fn, arg, &got);
        rows += got;
    }
    session_set_fini(&set);
    return result;
}

/* ----------------------------------------------------------------- session */

static int session_read(struct run *r, events_fn fn, void *arg)
{
    struct session_tree tree = { 0 };
    bool known;

    if (session_tail_read(&r->tail, r->c, NULL, r->p) != 0 ||
        item_read(r, r->q->session_id, &r->out->item, &known) != 0)
        return -1;
    int result = known ? read_tree(r, &tree) : 0;
    session_tree_fini(&tree);
    if (result != 0)
        return -1;
    if (r->out->item.totals.rows_seen == 0 && r->out->beneaths == 0)
        return problem_set(r->p, 404, "no session has this name%s",
                           r->q->events->filter.count ? " there" : "");
    return read_events(r, fn, arg);
}

int session_run(struct query_pool *pool, const struct session_request *q, struct monotime deadline,
                struct problem *p, events_fn fn, void *arg, struct session_answer *out)
{
    struct run r = { .q = q, .p = p, .out = out };

    *out = (struct session_answer){ 0 };
    if (pool_borrow(pool, deadline, p, &r.c) != 0)
        return -1;
    int result = session_read(&r, fn, arg);
    pool_give(r.c);
    session_tail_fini(&r.tail);
    if (result != 0)
        session_answer_fini(out);
    return result;
}

void session_answer_fini(struct session_answer *a)
{
    free(a->beneath);
    arena_fini(&a->arena);
    *a = (struct session_answer){ 0 };
}
