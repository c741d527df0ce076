/* SPDX-License-Identifier: MIT */
#include "events_range.h"

#include "rollup_cover.h"

struct search {
    struct pool_connection *c;
    struct problem *p;
    struct events_range *out;
};

static int take(void *arg, enum cover_level level, int64_t from, int64_t to)
{
#define LEVEL(table) \
    "SELECT min(first_id),max(last_id) FROM " table " WHERE start_minute>=? AND start_minute<?"
    static const char *const sql[COVER_LEVELS] = { [COVER_MINUTE] = LEVEL("projection_minute"),
                                                   [COVER_QUARTER] = LEVEL("projection_quarter"),
                                                   [COVER_DAY] = LEVEL("projection_day") };
    struct search *s = arg;
    sqlite3_stmt *stmt;
    int rc = pool_prepare(s->c, sql[level], &stmt);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, from);
        sqlite3_bind_int64(stmt, 2, to);
        rc = sqlite3_step(stmt);
    }
    if (rc != SQLITE_ROW)
        return pool_problem(s->c, rc, s->p);
    int64_t first_id = sqlite3_column_int64(stmt, 0), last_id = sqlite3_column_int64(stmt, 1);
    if (last_id > 0) {
        s->out->first_id = first_id < s->out->first_id ? first_id : s->out->first_id;
        s->out->last_id = last_id > s->out->last_id ? last_id : s->out->last_id;
    }
    sqlite3_reset(stmt);
    return 0;
}

int events_range(struct pool_connection *c, int64_t from_ms, int64_t to_ms, struct problem *p,
                 struct events_range *out)
{
    struct cover cover;

    *out = (struct events_range){ .first_id = INT64_MAX };
    struct search s = { c, p, out };
    if (rollup_cover(c, from_ms, to_ms, p, take, &s, &cover) != 0)
        return -1;
    out->watermark = cover.watermark;
    if (!cover.complete) { /* anywhere */
        out->first_id = 1;
        out->last_id = out->watermark;
    }
    if (out->first_id > out->watermark) { /* none, or all of them are behind the watermark */
        out->first_id = out->watermark + 1;
        out->last_id = out->watermark;
    }
    return 0;
}
