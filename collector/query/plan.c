/* SPDX-License-Identifier: MIT
 *
 * A time is covered from the coarsest level down: whole days, at its ends whole quarters, at theirs
 * minutes, and of cut minutes the rows of the log. Where more of a unit is wanted than not, the unit is
 * taken and what is not wanted is taken out again: sums are exact integers. What is not folded yet is
 * covered by minutes alone.
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#define QUARTER   15 /* minutes */
#define DAY_COST  60 /* minutes of quarters that are quicker to read than one day */
#define UNIT_COST 2  /* minutes, that are quicker than one quarter */

/* ------------------------------------------------------------------- kept */

static void setting_take(struct plan *plan, sqlite3_stmt *stmt)
{
    struct plan_kept *k = &plan->kept;
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    int64_t value = sqlite3_column_int64(stmt, 1);

    if (strcmp(name, "folded_minute") == 0)
        k->folded = value;
    else if (strcmp(name, "minute_dropped_before") == 0)
        k->dropped_before[PLAN_MINUTE] = value;
    else if (strcmp(name, "quarter_dropped_before") == 0)
        k->dropped_before[PLAN_QUARTER] = value;
    else if (strcmp(name, "day_dropped_before") == 0)
        k->dropped_before[PLAN_DAY] = value;
    else if (strcmp(name, "session_dropped_before_ms") == 0)
        k->session_dropped_before_ms = value;
    else if (strcmp(name, "reporting_zone") == 0)
        k->zone = pool_zone(plan->c, (const char *)sqlite3_column_text(stmt, 1));
}

static int settings_read(struct plan *plan)
{
    sqlite3_stmt *stmt = plan->c->stmt[STMT_SETTINGS];
    int rc;

    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        setting_take(plan, stmt);
    sqlite3_reset(stmt);
    if (rc != SQLITE_DONE)
        return pool_problem(plan->c, rc, plan->p);
    return plan->kept.zone ? 0
                           : problem_set(plan->p, 500, "the reporting zone of the rollups is unknown here");
}

int plan_init(struct plan *plan, struct pool_connection *c, struct problem *p)
{
    sqlite3_stmt *stmt = c->stmt[STMT_WATERMARK];

    *plan = (struct plan){ .c = c, .p = p, .sign = 1, .refused_ms = -1 };
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        plan->kept.watermark = sqlite3_column_int64(stmt, 0);
        plan->kept.log_dropped_id = sqlite3_column_int64(stmt, 1);
        plan->kept.log_dropped_ms = sqlite3_column_int64(stmt, 2);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? settings_read(plan) : pool_problem(c, rc, p);
}

void plan_fini(struct plan *plan)
{
    free(plan->part);
    *plan = (struct plan){ 0 };
}

/* ------------------------------------------------------------------ units */

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The beginning of the unit that holds a minute. */
static int64_t unit_start(const struct plan *plan, enum plan_level level, int64_t minute)
{
    if (level == PLAN_DAY)
        return zone_floor(plan->kept.zone, ZONE_DAY, minute * PLAN_MINUTE_MS) / PLAN_MINUTE_MS;
    return level == PLAN_QUARTER ? minute / QUARTER * QUARTER : minute;
}

static int64_t unit_next(const struct plan *plan, enum plan_level level, int64_t start)
{
    if (level == PLAN_DAY)
        return zone_next(plan->kept.zone, ZONE_DAY, start * PLAN_MINUTE_MS) / PLAN_MINUTE_MS;
    return start + (level == PLAN_QUARTER ? QUARTER : 1);
}

/* How far the unit that begins here is filled. */
static int64_t unit_end(const struct plan *plan, enum plan_level level, int64_t start)
{
    int64_t next = unit_next(plan, level, start);

    return level == PLAN_MINUTE ? next : earlier(next, plan->kept.folded);
}

bool plan_is_growing(const struct plan *plan, enum plan_level level, int64_t start)
{
    return unit_next(plan, level, start) > plan->kept.folded;
}

/* ------------------------------------------------------------------ parts */

static int part_add(struct plan *plan, struct plan_part part)
{
    if (part.from >= part.to)
        return 0;
    if (plan->parts == plan->room) {
        size_t room = plan->room ? 2 * plan->room : 16;
        struct plan_part *fresh = realloc(plan->part, room * sizeof *fresh);
        if (!fresh)
            return problem_set(plan->p, 503, "out of memory");
        plan->part = fresh;
        plan->room = room;
    }
    part.sign = plan->sign;
    plan->part[plan->parts++] = part;
    return 0;
}

static int slabs_add(struct plan *plan, enum plan_level level, int64_t from, int64_t to)
{
    return part_add(plan, (struct plan_part){ .level = level, .from = from, .to = to });
}

/* Where the events of the unit that begins here are. 1, 0: there are none, or -1. */
static int level_ids(struct plan *plan, enum plan_level level, int64_t start, int64_t *first, int64_t *last)
{
    sqlite3_stmt *stmt = plan->c->stmt[STMT_IDS_MINUTE + level];

    sqlite3_bind_int64(stmt, 1, start);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *first = sqlite3_column_int64(stmt, 0);
        *last = sqlite3_column_int64(stmt, 1);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : pool_problem(plan->c, rc, plan->p);
}

/* Nothing that is left tells [from_ms, to_ms) apart from the rest of the unit from start to end. */
static int refuse(struct plan *plan, int64_t from_ms, int64_t to_ms, int64_t start, int64_t end)
{
    bool at_from = from_ms > start * PLAN_MINUTE_MS;

    plan->refused_ms = at_from ? from_ms : to_ms;
    plan->before_ms = start * PLAN_MINUTE_MS;
    plan->after_ms = end * PLAN_MINUTE_MS;
    return -1;
}

/* Not even days are kept at from_ms. */
static int refuse_gone(struct plan *plan, int64_t from_ms)
{
    plan->refused_ms = from_ms;
    plan->before_ms = plan->after_ms = plan->kept.dropped_before[PLAN_DAY] * PLAN_MINUTE_MS;
    return -1;
}

/* Whether a day's row begins within [start, end): after a change of the reporting zone old days stay where
 * the old zone had them. */
static bool has_day(struct plan *plan, int64_t start, int64_t end)
{
    sqlite3_stmt *stmt = plan->c->stmt[STMT_HEAD_DAY];

    sqlite3_bind_int64(stmt, 1, start);
    sqlite3_bind_int64(stmt, 2, end);
    bool found = sqlite3_step(stmt) == SQLITE_ROW;
    sqlite3_reset(stmt);
    return found;
}

/* [from_ms, to_ms), part of a unit, from the rows of the log that the unit's row points to. */
static int rows_add(struct plan *plan, enum plan_level level, int64_t from_ms, int64_t to_ms)
{
    const struct plan_kept *k = &plan->kept;
    struct plan_part part = { .raw = true, .from = from_ms, .to = to_ms };
    int64_t start = unit_start(plan, level, from_ms / PLAN_MINUTE_MS);
    int64_t end = unit_end(plan, level, start);
    int found;

    if (level == PLAN_DAY && start < k->dropped_before[PLAN_DAY])
        return refuse_gone(plan, from_ms);
    found = level_ids(plan, level, start, &part.first_id, &part.last_id);
    if (found == 0 && level == PLAN_DAY)
        found = has_day(plan, start, end) ? refuse(plan, from_ms, to_ms, start, end) : 0;
    if (found <= 0)
        return found;
    if (part.first_id <= k->log_dropped_id && from_ms <= k->log_dropped_ms)
        return refuse(plan, from_ms, to_ms, start, end);
    part.last_id = earlier(part.last_id, k->watermark);
    return part_add(plan, part);
}

/* The finest level whose rows are kept at this minute. */
static enum plan_level finest(const struct plan *plan, int64_t minute)
{
    enum plan_level level = PLAN_MINUTE;

    while (level < PLAN_DAY && minute < plan->kept.folded && minute < plan->kept.dropped_before[level])
        level++;
    return level;
}

/* [from, to), minutes, where the levels below `level` are dropped at its beginning. */
static int rows_add_minutes(struct plan *plan, enum plan_level level, int64_t from, int64_t to)
{
    while (from < to) {
        int64_t end = earlier(unit_end(plan, level, unit_start(plan, level, from)), to);
        if (rows_add(plan, level, from * PLAN_MINUTE_MS, end * PLAN_MINUTE_MS) != 0)
            return -1;
        from = end;
    }
    return 0;
}

/* ------------------------------------------------------------------ cover */

static int cover(struct plan *plan, enum plan_level level, int64_t from, int64_t to);

/* What lies before a level's dropped_before, from the level above; the rest from this one. */
static int cover_kept(struct plan *plan, enum plan_level level, int64_t from, int64_t to)
{
    int64_t dropped = plan->kept.dropped_before[level];

    if (from < dropped && level < PLAN_DAY) {
        int64_t end = earlier(to, dropped);
        if (rows_add_minutes(plan, finest(plan, from), from, end) != 0)
            return -1;
        from = end;
    }
    if (from < dropped)
        return refuse_gone(plan, from * PLAN_MINUTE_MS);
    return slabs_add(plan, level, from, to);
}

/* [from, to), which is a part of the unit that begins at start. */
static int cover_inside(struct plan *plan, enum plan_level level, int64_t start, int64_t from, int64_t to)
{
    int64_t end = unit_end(plan, level, start), wanted = to - from, unwanted = end - start - wanted;
    const int64_t *dropped = plan->kept.dropped_before;

    if (start < dropped[level] || start < dropped[level - 1] ||
        unwanted + (level == PLAN_DAY ? DAY_COST : UNIT_COST) >= wanted)
        return cover(plan, level - 1, from, to);
    if (slabs_add(plan, level, start, end) != 0)
        return -1;
    plan->sign = -plan->sign;
    int result = cover(plan, level - 1, start, from);
    if (result == 0)
        result = cover(plan, level - 1, to, end);
    plan->sign = -plan->sign;
    return result;
}

/* Minutes that have been folded, from the slabs of a level and those below it. */
static int cover(struct plan *plan, enum plan_level level, int64_t from, int64_t to)
{
    int64_t start, whole;

    if (from >= to)
        return 0;
    if (level == PLAN_MINUTE)
        return cover_kept(plan, level, from, to);
    start = unit_start(plan, level, from);
    if (start < from) {
        int64_t end = earlier(unit_end(plan, level, start), to);
        if (cover_inside(plan, level, start, from, end) != 0)
            return -1;
        from = end;
    }
    for (whole = from; whole < to && unit_end(plan, level, whole) <= to;)
        whole = unit_end(plan, level, whole);
    if (whole > from && cover_kept(plan, level, from, whole) != 0)
        return -1;
    return whole < to ? cover_inside(plan, level, whole, whole, to) : 0;
}

/* [from_ms, to_ms), part of one minute. */
static int cover_cut(struct plan *plan, int64_t from_ms, int64_t to_ms)
{
    if (from_ms >= to_ms)
        return 0;
    return rows_add(plan, finest(plan, from_ms / PLAN_MINUTE_MS), from_ms, to_ms);
}

int plan_cover(struct plan *plan, int64_t from_ms, int64_t to_ms)
{
    int64_t from = (from_ms + PLAN_MINUTE_MS - 1) / PLAN_MINUTE_MS, to = to_ms / PLAN_MINUTE_MS;
    int64_t folded = plan->kept.folded;

    plan->parts = 0;
    plan->from_ms = from_ms;
    plan->to_ms = to_ms;
    plan->sign = 1;
    plan->refused_ms = -1;
    if (from > to)
        return cover_cut(plan, from_ms, to_ms);
    if (cover_cut(plan, from_ms, from * PLAN_MINUTE_MS) != 0 ||
        cover(plan, PLAN_DAY, from, earlier(to, folded)) != 0 ||
        slabs_add(plan, PLAN_MINUTE, later(from, folded), to) != 0)
        return -1;
    return cover_cut(plan, to * PLAN_MINUTE_MS, to_ms);
}

int64_t plan_floor(const struct plan *plan, int64_t ms)
{
    int64_t minute = ms / PLAN_MINUTE_MS;

    return unit_start(plan, finest(plan, minute), minute) * PLAN_MINUTE_MS;
}
