/* SPDX-License-Identifier: MIT */
#include "session_match.h"

#include <stdlib.h>
#include <string.h>

#define DIMS_REMEMBERED (1u << 16)

void session_match_init(struct session_match *m, const struct filter *f, const char *search)
{
    *m = (struct session_match){ .filter = f, .search = search };
    m->by_dims = filter_touches(f, 0, FIELD_DIMS_END) || filter_touches(f, FIELD_tag, FIELD_tag + 1);
    m->by_names = search || filter_touches(f, FIELD_DIMS_END, FIELD_SESSION_END);
    intern_init(&m->dims, DIMS_REMEMBERED);
}

void session_match_fini(struct session_match *m)
{
    intern_fini(&m->dims);
    free(m->verdict);
}

bool session_match_search(const char *text, const char *part)
{
    return text && strcasestr(text, part) != NULL;
}

/* A column as text: an enumeration's name for its code. */
static const char *column_text(const struct filter_term *t, sqlite3_stmt *stmt, int column, size_t *len)
{
    const char *text;

    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return NULL;
    if (t->field < FIELDS && fields[t->field].code_name) {
        text = fields[t->field].code_name(sqlite3_column_int(stmt, column));
        *len = text ? strlen(text) : 0;
        return text;
    }
    text = (const char *)sqlite3_column_text(stmt, column);
    *len = (size_t)sqlite3_column_bytes(stmt, column);
    return text;
}

/* Whether all terms about fields from first to below end hold for the row. */
static bool row_matches(const struct filter *f, int first, int end, sqlite3_stmt *stmt)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        size_t len = 0;
        if ((int)t->field < first || (int)t->field >= end)
            continue;
        const char *text = stmt ? column_text(t, stmt, (int)t->field - first, &len) : NULL;
        if (!filter_match(t, text, len))
            return false;
    }
    return true;
}

/* The value of a tag, by SQL. */
static int tag_matches(const struct filter_term *t, struct pool_connection *c, int64_t dims,
                       struct problem *p)
{
    sqlite3_stmt *stmt;
    size_t len = 0;
    int rc = pool_prepare(c,
                          "SELECT (SELECT j.value FROM json_each(d.tags) j WHERE j.key=?2)"
                          " FROM dims d WHERE d.id=?1 AND json_valid(d.tags)",
                          &stmt);

    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, dims);
    sqlite3_bind_text(stmt, 2, t->tag, -1, SQLITE_STATIC);
    rc = sqlite3_step(stmt);
    const char *text = rc == SQLITE_ROW ? column_text(t, stmt, 0, &len) : NULL;
    int result = filter_match(t, text, len);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = pool_problem(c, rc, p);
    sqlite3_reset(stmt);
    return result;
}

/* Looks a row up by its id; *ok: whether the terms about first to end hold. 0 or -1. */
static int look_up(const struct filter *f, struct pool_connection *c, enum pool_statement which, int64_t id,
                   int first, int end, struct problem *p, const char *search, bool *ok)
{
    sqlite3_stmt *stmt = c->stmt[which];

    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt), result = 0;
    if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
        sqlite3_stmt *row = rc == SQLITE_ROW ? stmt : NULL;
        *ok = row_matches(f, first, end, row) &&
              (!search || (row && session_match_search((const char *)sqlite3_column_text(row, 0), search)));
    } else {
        result = pool_problem(c, rc, p);
    }
    sqlite3_reset(stmt);
    return result;
}

static int dims_judge(struct session_match *m, struct pool_connection *c, int64_t dims, struct problem *p)
{
    bool ok = false;

    if (look_up(m->filter, c, STMT_DIMS, dims, 0, FIELD_DIMS_END, p, NULL, &ok) != 0)
        return -1;
    int result = ok;
    for (unsigned i = 0; i < m->filter->count && result == 1; i++) {
        if (m->filter->term[i].field == FIELD_tag)
            result = tag_matches(&m->filter->term[i], c, dims, p);
    }
    return result;
}

static bool grow(struct session_match *m)
{
    size_t room = m->room ? 2 * m->room : 64;
    bool *fresh = realloc(m->verdict, room * sizeof *fresh);

    if (!fresh)
        return false;
    m->verdict = fresh;
    m->room = room;
    return true;
}

int session_match_dims(struct session_match *m, struct pool_connection *c, int64_t dims, struct problem *p)
{
    if (!m->by_dims)
        return 1;
    int64_t n = intern_find(&m->dims, &dims, sizeof dims);
    if (n >= 0)
        return m->verdict[n];
    int result = dims_judge(m, c, dims, p);
    if (result < 0)
        return -1;
    n = intern_number(&m->dims, &dims, sizeof dims); /* no room: judged anew each time */
    if (n == -2 || (n >= 0 && (size_t)n == m->room && !grow(m)))
        return problem_set(p, 503, "out of memory");
    if (n >= 0)
        m->verdict[n] = result == 1;
    return result;
}

int session_match_names(const struct session_match *m, struct pool_connection *c, int64_t session,
                        struct problem *p)
{
    bool ok = true;

    if (!m->by_names)
        return 1;
    if (look_up(m->filter, c, STMT_SESSION, session, FIELD_DIMS_END, FIELD_SESSION_END, p, m->search, &ok) !=
        0)
        return -1;
    return ok;
}
