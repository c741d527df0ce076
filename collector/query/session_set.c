/* SPDX-License-Identifier: MIT */
#include "session_set.h"

#include <string.h>

#include "../base/session_name.h"

void session_set_init(struct session_set *s)
{
    intern_init(&s->ids, SESSION_SET_MAX);
}

void session_set_fini(struct session_set *s)
{
    intern_fini(&s->ids);
}

int64_t session_set_id(const struct session_set *s, size_t i)
{
    int64_t id;
    size_t len;

    memcpy(&id, intern_key(&s->ids, i, &len), sizeof id);
    return id;
}

bool session_set_has(const struct session_set *s, int64_t id)
{
    return intern_find(&s->ids, &id, sizeof id) >= 0;
}

int session_set_add(struct session_set *s, int64_t id, struct problem *p)
{
    int64_t n = intern_number(&s->ids, &id, sizeof id);

    if (n == -2)
        return problem_set(p, 503, "out of memory");
    return n >= 0;
}

/* Steps a bound statement and adds its first column of each row; resets it. */
static int add_all(struct session_set *s, struct pool_connection *c, sqlite3_stmt *stmt, struct problem *p)
{
    int rc, result = 1;

    while (result == 1 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result =
            rc == SQLITE_ROW ? session_set_add(s, sqlite3_column_int64(stmt, 0), p) : pool_problem(c, rc, p);
    sqlite3_reset(stmt);
    return result;
}

int session_set_named(struct session_set *s, struct pool_connection *c, const char *session_id,
                      struct problem *p)
{
    struct slice name = { (const uint8_t *)session_id, (uint32_t)strlen(session_id) };
    sqlite3_stmt *stmt;
    int rc = pool_prepare(c, "SELECT id FROM session WHERE name=? AND session_id=?", &stmt);

    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, session_name(name));
    sqlite3_bind_text(stmt, 2, session_id, (int)name.len, SQLITE_STATIC);
    return add_all(s, c, stmt, p);
}

int session_set_below(struct session_set *s, size_t first, struct pool_connection *c, struct problem *p)
{
    sqlite3_stmt *stmt;
    int rc = pool_prepare(c, "SELECT id FROM session WHERE root=?1 AND root<>id", &stmt), result = 1;

    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    for (size_t i = first, end = s->ids.count; result == 1 && i < end; i++) {
        sqlite3_bind_int64(stmt, 1, session_set_id(s, i));
        result = add_all(s, c, stmt, p);
    }
    return result;
}

static bool is_exact(const struct filter_term *t)
{
    return t->count > 0 && !t->unknown && !t->negated && t->prefix == 0;
}

/* A root is named by its own rows and by the column root of those below. */
int session_set_of_filter(struct session_set *s, const struct filter *f, struct pool_connection *c,
                          struct problem *p)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        int result = 1;
        if ((t->field != FIELD_session_id && t->field != FIELD_root_session_id) || !is_exact(t))
            continue;
        for (unsigned k = 0; result == 1 && k < t->count; k++)
            result = session_set_named(s, c, t->value[k], p);
        if (result == 1 && t->field == FIELD_root_session_id)
            result = session_set_below(s, 0, c, p);
        return result;
    }
    return 0;
}
