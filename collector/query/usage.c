/* SPDX-License-Identifier: MIT
 *
 * What makes an answer exact (all of it read in one transaction, so from one commit):
 *  - projection_minute holds precisely the dispatches with id <= watermark and state & 7 = 0. When
 *    the writer takes such a row out of the count, it takes it out of the projection in the same
 *    transaction.
 *  - The tail, id > watermark, is added from the log.
 *  - The minutes that [from, to) covers only in part are counted from the log, up to the watermark;
 *    projection_minute_range says where in the log they are.
 *  - Sessions are not in the projection: a request that names one is counted from the log alone.
 * Rows are grouped here and not by SQL: a combination is looked up once, not once per row.
 */
#include "usage.h"

#include <stdlib.h>
#include <string.h>

#include "../base/event.h"

#define MINUTE_MS        60000
#define SESSION_INFO_MAX (1u << 20) /* sessions remembered at a time */
#define NAMES_BYTES      ((FIELD_SESSION_END)*258)

const char *const usage_num_names[DISPATCH_SUMS] = {
#define NUM_NAME(name) #name,
    DISPATCH_SUMMED(NUM_NAME)
};

/* What is known of a combination or a session: whether the filter takes it, and its names. */
struct info {
    bool match;
    uint8_t status;
    uint32_t names;
};

/* Infos by row id, filled as the ids come. */
struct lookup {
    struct intern ids;
    struct info *info; /* owned */
    size_t room;
    enum pool_statement stmt;
    int first, end; /* the fields that the statement tells */
    struct intern *names;
};

struct run {
    struct pool_connection *c;
    const struct usage_request *request;
    struct usage_answer *answer;
    struct problem *p;
    struct intern groups; /* (bucket, dims names, session names) -> row */
    size_t room;          /* rows allocated */
    struct lookup dims, session;
    bool by_session;
    int64_t watermark;
};

static bool groups_touch(const struct usage_request *q, int first, int end)
{
    for (unsigned i = 0; i < q->groups; i++) {
        if ((int)q->group[i] >= first && (int)q->group[i] < end)
            return true;
    }
    return false;
}

static void run_init(struct run *r)
{
    intern_init(&r->groups, USAGE_GROUPS_MAX);
    intern_init(&r->answer->dims_names, USAGE_GROUPS_MAX);
    intern_init(&r->answer->session_names, USAGE_GROUPS_MAX);
    r->dims = (struct lookup){
        .stmt = STMT_DIMS, .first = 0, .end = FIELD_DIMS_END, .names = &r->answer->dims_names
    };
    r->session = (struct lookup){ .stmt = STMT_SESSION,
                                  .first = FIELD_DIMS_END,
                                  .end = FIELD_SESSION_END,
                                  .names = &r->answer->session_names };
    intern_init(&r->dims.ids, UINT32_MAX - 1);
    intern_init(&r->session.ids, SESSION_INFO_MAX);
    r->by_session = groups_touch(r->request, FIELD_DIMS_END, FIELD_SESSION_END) ||
                    filter_touches(&r->request->filter, FIELD_DIMS_END, FIELD_SESSION_END);
}

static void run_fini(struct run *r)
{
    intern_fini(&r->groups);
    intern_fini(&r->dims.ids);
    intern_fini(&r->session.ids);
    free(r->dims.info);
    free(r->session.info);
}

/* ------------------------------------------------------------------ names */

/* A field of the looked-up row as text; NULL: unknown. stmt NULL: no such row. */
static const char *field_text(const struct lookup *l, sqlite3_stmt *stmt, int field, size_t *len)
{
    int column = field - l->first;

    if (!stmt || sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return NULL;
    if (fields[field].code_name) {
        const char *name = fields[field].code_name(sqlite3_column_int(stmt, column));
        *len = name ? strlen(name) : 0;
        return name;
    }
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    *len = (size_t)sqlite3_column_bytes(stmt, column);
    return text;
}

static bool info_match(const struct run *r, const struct lookup *l, sqlite3_stmt *stmt)
{
    const struct filter *f = &r->request->filter;

    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        size_t len = 0;
        if ((int)t->field < l->first || (int)t->field >= l->end)
            continue;
        const char *text = field_text(l, stmt, (int)t->field, &len);
        if (!filter_match(t, text, len))
            return false;
    }
    return true;
}

/* The names that the request groups by, each as its length in two bytes (0xffff: unknown) and its
 * text, as one string. Names are at most 255 bytes on the wire; longer ones are cut. */
static int64_t names_number(const struct run *r, const struct lookup *l, sqlite3_stmt *stmt)
{
    unsigned char key[NAMES_BYTES];
    size_t used = 0;

    for (unsigned i = 0; i < r->request->groups; i++) {
        int field = (int)r->request->group[i];
        size_t len = 0;
        if (field < l->first || field >= l->end)
            continue;
        const char *text = field_text(l, stmt, field, &len);
        len = len > 255 ? 255 : len;
        uint16_t head = text ? (uint16_t)len : 0xffff;
        memcpy(key + used, &head, 2);
        if (text)
            memcpy(key + used + 2, text, len);
        used += 2 + (text ? len : 0);
    }
    return intern_number(l->names, key, used);
}

static int info_fill(struct run *r, struct lookup *l, sqlite3_stmt *stmt, struct info *out)
{
    int64_t names = 0;

    out->match = info_match(r, l, stmt);
    if (out->match)
        names = names_number(r, l, stmt);
    if (names == -1)
        return problem_set(r->p, 422, "more than %d groups: narrow the filter or group by less",
                           USAGE_GROUPS_MAX);
    if (names < 0)
        return problem_set(r->p, 503, "out of memory");
    out->names = (uint32_t)names;
    out->status = stmt && l->stmt == STMT_DIMS ? (uint8_t)sqlite3_column_int(stmt, FIELD_status) : 0;
    return 0;
}

/* Reads the row with this id (0: none, all names unknown) and judges it. */
static int info_read(struct run *r, struct lookup *l, int64_t id, struct info *out)
{
    sqlite3_stmt *stmt = r->c->stmt[l->stmt];
    int rc = SQLITE_DONE, result;

    if (id != 0) {
        sqlite3_bind_int64(stmt, 1, id);
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        result = info_fill(r, l, rc == SQLITE_ROW ? stmt : NULL, out);
    else
        result = pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result;
}

static int lookup_grow(struct lookup *l)
{
    size_t room = l->room ? 2 * l->room : 64;
    struct info *fresh = realloc(l->info, room * sizeof *fresh);

    if (!fresh)
        return -1;
    l->info = fresh;
    l->room = room;
    return 0;
}

static int lookup(struct run *r, struct lookup *l, int64_t id, const struct info **out)
{
    size_t before = l->ids.count;
    int64_t n = intern_number(&l->ids, &id, sizeof id);

    if (n == -1) { /* full: forget all, the names stay */
        intern_fini(&l->ids);
        before = 0;
        n = intern_number(&l->ids, &id, sizeof id);
    }
    if (n < 0 || ((size_t)n == l->room && lookup_grow(l) != 0))
        return problem_set(r->p, 503, "out of memory");
    if ((size_t)n == before && info_read(r, l, id, &l->info[n]) != 0)
        return -1;
    *out = &l->info[n];
    return 0;
}

/* ------------------------------------------------------------------- sums */

static void add(int64_t *to, int64_t n)
{
    if (__builtin_add_overflow(*to, n, to))
        *to = INT64_MAX;
}

static void sums_add(struct usage_sums *to, const struct usage_sums *from)
{
    add(&to->calls, from->calls);
    add(&to->errors, from->errors);
    add(&to->blocked, from->blocked);
    add(&to->aborted, from->aborted);
    add(&to->status_unknown, from->status_unknown);
    add(&to->partial, from->partial);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        add(&to->sum[i], from->sum[i]);
        add(&to->known[i], from->known[i]);
    }
}

static void sums_by_status(struct usage_sums *s, int status)
{
    s->errors = status == 2 || status == 3 ? s->calls : 0;
    s->aborted = status == 4 ? s->calls : 0;
    s->blocked = status == 5 ? s->calls : 0;
    s->status_unknown = status == 0 ? s->calls : 0;
}

static int row_new(struct run *r, struct usage_row **out)
{
    struct usage_answer *a = r->answer;

    if (a->rows == r->room) {
        size_t room = r->room ? 2 * r->room : 16;
        struct usage_row *fresh = realloc(a->row, room * sizeof *fresh);
        if (!fresh)
            return problem_set(r->p, 503, "out of memory");
        a->row = fresh;
        r->room = room;
    }
    *out = &a->row[a->rows++];
    memset(*out, 0, sizeof **out);
    return 0;
}

static int row_find(struct run *r, int64_t bucket, uint32_t dims_names, uint32_t session_names,
                    struct usage_row **out)
{
    struct {
        int64_t bucket;
        uint32_t dims_names, session_names;
    } key = { bucket, dims_names, session_names };
    int64_t n = intern_number(&r->groups, &key, sizeof key);

    if (n == -1)
        return problem_set(r->p, 422,
                           "more than %d rows: narrow the filter, group by less or take longer buckets",
                           USAGE_GROUPS_MAX);
    if (n == -2)
        return problem_set(r->p, 503, "out of memory");
    if ((size_t)n < r->answer->rows) {
        *out = &r->answer->row[n];
        return 0;
    }
    if (row_new(r, out) != 0)
        return -1;
    (*out)->bucket = bucket;
    (*out)->dims_names = dims_names;
    (*out)->session_names = session_names;
    return 0;
}

/* Posts sums of one minute, combination and session. */
static int post(struct run *r, int64_t minute, int64_t dims, int64_t session, struct usage_sums *s)
{
    static const struct info no_session = { .match = true };
    const struct info *d, *n = &no_session;
    struct usage_row *row;
    int64_t bucket_ms = r->request->bucket_ms;

    if (lookup(r, &r->dims, dims, &d) != 0)
        return -1;
    if (!d->match)
        return 0;
    if (r->by_session && lookup(r, &r->session, session, &n) != 0)
        return -1;
    if (!n->match)
        return 0;
    if (row_find(r, bucket_ms ? minute * MINUTE_MS / bucket_ms : 0, d->names, n->names, &row) != 0)
        return -1;
    sums_by_status(s, d->status);
    sums_add(&row->sums, s);
    sums_add(&r->answer->totals, s);
    return 0;
}

/* ------------------------------------------------------------------ scans */

static int minutes_row(struct run *r, sqlite3_stmt *stmt)
{
    struct usage_sums s = { .calls = sqlite3_column_int64(stmt, 2),
                            .partial = sqlite3_column_int64(stmt, 3) };

    for (int i = 0; i < DISPATCH_SUMS; i++) {
        s.sum[i] = sqlite3_column_int64(stmt, 4 + 2 * i);
        s.known[i] = sqlite3_column_int64(stmt, 5 + 2 * i);
    }
    return post(r, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1), 0, &s);
}

static int raw_row(struct run *r, sqlite3_stmt *stmt)
{
    struct usage_sums s = { .calls = 1, .partial = sqlite3_column_int64(stmt, 3) != 0 };

    for (int i = 0; i < DISPATCH_SUMS; i++) {
        s.known[i] = sqlite3_column_type(stmt, 4 + i) != SQLITE_NULL;
        s.sum[i] = sqlite3_column_int64(stmt, 4 + i);
    }
    return post(r, sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                sqlite3_column_int64(stmt, 2), &s);
}

/* Steps a bound statement to its end and hands each row on. */
static int scan(struct run *r, sqlite3_stmt *stmt, int (*row)(struct run *, sqlite3_stmt *))
{
    int rc, result = 0;

    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? row(r, stmt) : pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result;
}

static int scan_minutes(struct run *r, int64_t first, int64_t end)
{
    sqlite3_stmt *stmt = r->c->stmt[STMT_MINUTES];

    sqlite3_bind_int64(stmt, 1, first);
    sqlite3_bind_int64(stmt, 2, end);
    return scan(r, stmt, minutes_row);
}

static int scan_raw(struct run *r, int64_t first_id, int64_t last_id, int64_t from_ms, int64_t to_ms)
{
    sqlite3_stmt *stmt = r->c->stmt[STMT_RAW];

    sqlite3_bind_int64(stmt, 1, first_id);
    sqlite3_bind_int64(stmt, 2, last_id);
    sqlite3_bind_int64(stmt, 3, from_ms);
    sqlite3_bind_int64(stmt, 4, to_ms);
    return scan(r, stmt, raw_row);
}

/* Counts [from, to) from the log, up to the watermark. */
static int scan_span(struct run *r, int64_t from_ms, int64_t to_ms)
{
    sqlite3_stmt *stmt = r->c->stmt[STMT_RANGE];
    int64_t first = 0, last = 0;

    if (from_ms >= to_ms)
        return 0;
    sqlite3_bind_int64(stmt, 1, from_ms / MINUTE_MS);
    sqlite3_bind_int64(stmt, 2, (to_ms - 1) / MINUTE_MS);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        first = sqlite3_column_int64(stmt, 0);
        last = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW)
        return pool_problem(r->c, rc, r->p);
    return first > 0 ? scan_raw(r, first, last, from_ms, to_ms) : 0;
}

static int scan_all(struct run *r)
{
    int64_t from = r->request->from_ms, to = r->request->to_ms;
    int64_t first = (from + MINUTE_MS - 1) / MINUTE_MS, end = to / MINUTE_MS; /* whole minutes inside */
    int result;

    if (r->by_session || first >= end) {
        result = scan_span(r, from, to);
    } else {
        result = scan_minutes(r, first, end);
        if (result == 0)
            result = scan_span(r, from, first * MINUTE_MS);
        if (result == 0)
            result = scan_span(r, end * MINUTE_MS, to);
    }
    return result == 0 ? scan_raw(r, r->watermark + 1, INT64_MAX, from, to) : result;
}

static int read_watermark(struct run *r)
{
    sqlite3_stmt *stmt = r->c->stmt[STMT_WATERMARK];
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        r->watermark = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : pool_problem(r->c, rc, r->p);
}

/* ----------------------------------------------------------------- answer */

static int row_order(const void *a, const void *b)
{
    const struct usage_row *x = a, *y = b;

    if (x->bucket != y->bucket)
        return x->bucket < y->bucket ? -1 : 1;
    if (x->sums.calls != y->sums.calls)
        return x->sums.calls > y->sums.calls ? -1 : 1;
    if (x->dims_names != y->dims_names)
        return x->dims_names < y->dims_names ? -1 : 1;
    return x->session_names < y->session_names ? -1 : x->session_names > y->session_names;
}

static int answer_finish(struct run *r)
{
    struct usage_answer *a = r->answer;
    struct usage_row *row;

    /* Nothing to group by: the one row is there even when it is empty. */
    if (a->rows == 0 && r->request->bucket_ms == 0 && r->request->groups == 0 && row_new(r, &row) != 0)
        return -1;
    if (a->rows > 0)
        qsort(a->row, a->rows, sizeof *a->row, row_order);
    a->truncated = a->rows > r->request->limit;
    if (a->truncated)
        a->rows = r->request->limit;
    return 0;
}

int usage_run(struct query_pool *pool, const struct usage_request *request, struct monotime deadline,
              struct problem *p, struct usage_answer *out)
{
    struct usage_answer answer = { .request = request };
    struct run r = { .request = request, .answer = &answer, .p = p };
    int result;

    if (pool_borrow(pool, deadline, p, &r.c) != 0)
        return -1;
    run_init(&r);
    result = read_watermark(&r);
    if (result == 0)
        result = scan_all(&r);
    pool_give(r.c);
    if (result == 0)
        result = answer_finish(&r);
    run_fini(&r);
    if (result == 0)
        *out = answer;
    else
        usage_fini(&answer);
    return result;
}

void usage_fini(struct usage_answer *a)
{
    free(a->row);
    intern_fini(&a->dims_names);
    intern_fini(&a->session_names);
}

const char *usage_name(const struct usage_answer *a, const struct usage_row *row, unsigned i, size_t *len)
{
    const struct usage_request *q = a->request;
    bool of_dims = q->group[i] < FIELD_DIMS_END;
    size_t size;
    const char *key = of_dims ? intern_key(&a->dims_names, row->dims_names, &size)
                              : intern_key(&a->session_names, row->session_names, &size);
    uint16_t head;

    for (unsigned k = 0;; k++) {
        if ((q->group[k] < FIELD_DIMS_END) != of_dims)
            continue;
        memcpy(&head, key, 2);
        if (k == i)
            break;
        key += 2 + (head == 0xffff ? 0 : head);
    }
    *len = head == 0xffff ? 0 : head;
    return head == 0xffff ? NULL : key + 2;
}
