/* SPDX-License-Identifier: MIT
 *
 * A minute is told by its own row, once it is folded by its quarter's, too, and by its day's. What lies
 * between is looked up in the coarsest level, the ends in the finest that retention has left: a year
 * is some hundred rows. A level's rows before its dropped_before are the late part of what was
 * dropped and tell nothing.
 */
#include "rollup_cover.h"

#define MINUTE_MS  60000
#define QUARTER    15
#define DAY_LONG   (25 * 60) /* minutes of the longest day */
#define DAY_SHORT  (22 * 60) /* the clocks of a research station move by two hours */
#define MINUTE_END (INT64_MAX / MINUTE_MS)

/* Times are Unix minutes here. */
struct search {
    struct pool_connection *c;
    struct problem *p;
    int64_t folded, dropped[COVER_LEVELS];
    cover_fn fn;
    void *arg;
    struct cover *out;
};

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int settings_read(struct search *s)
{
#define SETTING(name) ",(SELECT value FROM projection_setting WHERE name='" name "')"
    static const char sql[] =
        "SELECT (SELECT watermark FROM projection WHERE name='usage')" SETTING("folded_minute")
            SETTING("minute_dropped_before") SETTING("quarter_dropped_before") SETTING("day_dropped_before");
    sqlite3_stmt *stmt;
    int rc = pool_prepare(s->c, sql, &stmt);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        return pool_problem(s->c, rc, s->p);
    s->out->watermark = sqlite3_column_int64(stmt, 0);
    s->folded = sqlite3_column_int64(stmt, 1);
    for (int level = 0; level < COVER_LEVELS; level++)
        s->dropped[level] = sqlite3_column_int64(stmt, 2 + level);
    sqlite3_reset(stmt);
    return 0;
}

static int rows(struct search *s, enum cover_level level, int64_t from, int64_t to)
{
    return from < to ? s->fn(s->arg, level, from, to) : 0;
}

/* Whole quarters, and minutes at the ends; the quarters of the ends where their minutes are dropped. */
static int quarters(struct search *s, int64_t from, int64_t to)
{
    int64_t q1 = from / QUARTER * QUARTER, q2 = (to + QUARTER - 1) / QUARTER * QUARTER;

    if (from >= to)
        return 0;
    if (from > q1 && q1 >= s->dropped[COVER_MINUTE]) {
        q1 += QUARTER;
        if (rows(s, COVER_MINUTE, from, earlier(q1, to)) != 0)
            return -1;
    }
    if (to < q2 && q2 - QUARTER >= s->dropped[COVER_MINUTE]) {
        q2 -= QUARTER;
        if (rows(s, COVER_MINUTE, later(from, q2), to) != 0)
            return -1;
    }
    return rows(s, COVER_QUARTER, q1, q2);
}

/* The first and the last day that begin in [from, to). 1, 0: none do, or -1. */
static int days_within(struct search *s, int64_t from, int64_t to, int64_t *first, int64_t *last)
{
    sqlite3_stmt *stmt;
    int found = 0, rc = pool_prepare(s->c,
                                     "SELECT min(start_minute),max(start_minute) FROM projection_day"
                                     " WHERE start_minute>=? AND start_minute<?",
                                     &stmt);

    if (rc == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, from);
        sqlite3_bind_int64(stmt, 2, to);
        rc = sqlite3_step(stmt);
        found = rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL;
        *first = sqlite3_column_int64(stmt, 0);
        *last = sqlite3_column_int64(stmt, 1);
        sqlite3_reset(stmt);
    }
    return rc == SQLITE_ROW ? found : pool_problem(s->c, rc, s->p);
}

/* The same a level higher; a day begins when its zone says, so its row tells. */
static int days(struct search *s, int64_t from, int64_t to)
{
    int64_t first = 0, last = 0;
    int found = 0;

    if (from < s->dropped[COVER_QUARTER]) { /* no quarters at this end: all days that may hold a part of it */
        s->out->complete = from >= s->dropped[COVER_DAY];
        return rows(s, COVER_DAY, from - DAY_LONG, to);
    }
    if (to - from > DAY_LONG)
        found = days_within(s, from, to - DAY_LONG, &first, &last);
    if (found <= 0)
        return found < 0 ? -1 : quarters(s, from, to);
    if (rows(s, COVER_DAY, first, last + 1) != 0 || quarters(s, from, first) != 0)
        return -1;
    return quarters(s, last + DAY_SHORT, to);
}

int rollup_cover(struct pool_connection *c, int64_t from_ms, int64_t to_ms, struct problem *p, cover_fn fn,
                 void *arg, struct cover *out)
{
    struct search s = { .c = c, .p = p, .fn = fn, .arg = arg, .out = out };
    int64_t from = from_ms / MINUTE_MS, to = to_ms == INT64_MAX ? MINUTE_END : (to_ms - 1) / MINUTE_MS + 1;

    *out = (struct cover){ .complete = true };
    if (settings_read(&s) != 0)
        return -1;
    if (from < s.folded && days(&s, from, earlier(to, s.folded)) != 0)
        return -1;
    return rows(&s, COVER_MINUTE, later(from, s.folded), to);
}
