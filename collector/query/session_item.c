/* SPDX-License-Identifier: MIT */
#include "session_item.h"

#include <string.h>

#define OWN_NAMES 3

const enum field_id session_item_fields[SESSION_NAMES] = {
    FIELD_session_id, FIELD_parent_session_id, FIELD_root_session_id, FIELD_source,  FIELD_agent_id,
    FIELD_user_id,    FIELD_provider,          FIELD_model,           FIELD_surface, FIELD_channel,
};

int session_item_totals(struct pool_connection *c, const struct session_tail *tail, int64_t session,
                        struct problem *p, struct session_totals *out)
{
    const struct tail_entry *e = session_tail_find(tail, session);
    sqlite3_stmt *stmt;
    int rc =
        pool_prepare(c, "SELECT " SESSION_TOTALS_COLUMNS " FROM projection_session WHERE session=?", &stmt);

    *out = (struct session_totals){ 0 };
    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, session);
        if (sqlite3_step(stmt) == SQLITE_ROW)
            session_totals_read(stmt, 0, out);
        rc = sqlite3_reset(stmt);
    }
    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    return e ? session_tail_totals(tail, e, c, p, out) : 0;
}

static int keep(struct arena *arena, sqlite3_stmt *stmt, int column, struct problem *p, struct slice *out)
{
    const void *text = sqlite3_column_text(stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(stmt, column);

    if (!text)
        return 0;
    char *to = arena_take(arena, len + 1);
    if (!to)
        return problem_set(p, 503, "out of memory");
    memcpy(to, text, len);
    to[len] = 0;
    *out = (struct slice){ (const uint8_t *)to, (uint32_t)len };
    return 0;
}

/* The names of one row, from the statement's columns. */
static int read_names(struct pool_connection *c, struct arena *arena, enum pool_statement which, int64_t id,
                      struct problem *p, struct session_item *item)
{
    bool own = which == STMT_SESSION;
    int first = own ? 0 : OWN_NAMES, end = own ? OWN_NAMES : SESSION_NAMES, base = own ? FIELD_DIMS_END : 0;
    sqlite3_stmt *stmt = c->stmt[which];
    int result = 0;

    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    for (int i = first; i < end && rc == SQLITE_ROW && result == 0; i++)
        result = keep(arena, stmt, (int)session_item_fields[i] - base, p, &item->name[i]);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = pool_problem(c, rc, p);
    sqlite3_reset(stmt);
    return result;
}

int session_item_names(struct pool_connection *c, struct arena *arena, struct problem *p,
                       struct session_item *item)
{
    if (read_names(c, arena, STMT_SESSION, item->session, p, item) != 0)
        return -1;
    return read_names(c, arena, STMT_DIMS, item->totals.dims, p, item);
}
