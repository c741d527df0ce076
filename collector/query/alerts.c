/* SPDX-License-Identifier: MIT */
#include "alerts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/event.h"

#define DELIVERIES_MAX 256 /* of one alert, shown; there are no more destinations at a time */

#define COLUMNS                                                                                          \
    "id, ts_ms, last_ms, count, ended_ms, acked_ms, kind, severity, title, subject, evidence, acked_by," \
    " acked_note"
#define SELECT "SELECT " COLUMNS " FROM alert "

/* One bound at either end, so that the index is entered where the page begins. %s: an index, and the
 * condition that makes it fit. */
static const char page_down[] = SELECT "%s WHERE ts_ms BETWEEN ?1 AND ?2 AND (ts_ms < ?3 OR id < ?4)%s"
                                       " ORDER BY ts_ms DESC, id DESC";
static const char page_up[] = SELECT "%s WHERE ts_ms BETWEEN ?1 AND ?2 AND (ts_ms > ?3 OR id > ?4)%s"
                                     " ORDER BY ts_ms, id";
static const char count_of[] = SELECT "%s WHERE ts_ms BETWEEN ?1 AND ?2%s";
#define SQL_MAX (sizeof page_down + 100)
static const char one[] = SELECT "WHERE id = ?1";
static const char newer[] = SELECT "WHERE id > ?1 ORDER BY id LIMIT ?2";
static const char newest[] = "SELECT ifnull(max(id), 0) FROM alert";
static const char told[] = "SELECT m.destination, m.state, m.attempts, m.due_ms, m.ended_ms, m.error"
                           " FROM message_alert a JOIN message_out m ON m.id = a.message WHERE a.alert = ?1"
                           " ORDER BY m.destination, m.id LIMIT ?2";

/* The walk over one statement. */
struct walk {
    struct pool_connection *c;
    struct problem *p;
    sqlite3_stmt *stmt, *told;
    const struct alerts_filter *filter; /* NULL: all */
    struct alerts_row row;
};

void alerts_filter_fini(struct alerts_filter *f)
{
    filter_fini(&f->names);
    filter_fini(&f->budget);
}

/* ----------------------------------------------------------------- matching */

/* The name of the subject that a term is about, as an alert gives it: "agent" of agent_id. */
static const char *subject_name(const struct filter_term *t, char out[FIELD_TAG_MAX + sizeof "tag."])
{
    const char *name = t->field == FIELD_tag ? t->tag : fields[t->field].name;
    size_t len = strlen(name);

    if (t->field != FIELD_tag && len > 3 && strcmp(name + len - 3, "_id") == 0)
        len -= 3;
    snprintf(out, FIELD_TAG_MAX + sizeof "tag.", "%s%.*s", t->field == FIELD_tag ? "tag." : "", (int)len,
             name);
    return out;
}

static bool term_fits(const struct filter_term *t, const json_t *subject, const char *name)
{
    const json_t *value = json_object_get(subject, name);

    return filter_match(t, json_string_value(value), json_string_length(value));
}

static bool subject_fits(const struct alerts_filter *f, const char *text)
{
    char name[FIELD_TAG_MAX + sizeof "tag."];
    bool fits = true;

    if (f->names.count + f->budget.count == 0)
        return true;
    json_t *subject = json_loads(text, 0, NULL);
    for (unsigned i = 0; i < f->names.count && fits; i++)
        fits = term_fits(&f->names.term[i], subject, subject_name(&f->names.term[i], name));
    if (fits && f->budget.count > 0)
        fits = term_fits(&f->budget.term[0], subject, "budget");
    json_decref(subject);
    return fits;
}

static bool states_fit(unsigned states, const struct alerts_row *row)
{
    return !((states & ALERTS_OPEN && row->ended_ms != UNKNOWN) ||
             (states & ALERTS_ENDED && row->ended_ms == UNKNOWN) ||
             (states & ALERTS_ACKED && row->acked_ms == UNKNOWN) ||
             (states & ALERTS_UNACKED && row->acked_ms != UNKNOWN));
}

static bool fits(const struct alerts_filter *f, const struct alerts_row *row)
{
    int kind = alert_kind_code(row->kind), severity = severity_code(row->severity);

    if (f->kinds != 0 && (kind < 0 || !(f->kinds >> kind & 1)))
        return false;
    if (f->least != SEVERITY_INFO && severity < (int)f->least)
        return false;
    return states_fit(f->states, row) && subject_fits(f, row->subject);
}

/* ------------------------------------------------------------------ walking */

static int64_t known(sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, column);
}

/* A text that must be there; whoever wrote NULL past the schema gets otherwise. */
static const char *text(sqlite3_stmt *stmt, int column, const char *otherwise)
{
    const char *s = (const char *)sqlite3_column_text(stmt, column);

    return s ? s : otherwise;
}

static void row_read(struct walk *w)
{
    sqlite3_stmt *s = w->stmt;

    w->row = (struct alerts_row){ .id = sqlite3_column_int64(s, 0),
                                  .ts_ms = sqlite3_column_int64(s, 1),
                                  .last_ms = sqlite3_column_int64(s, 2),
                                  .count = sqlite3_column_int64(s, 3),
                                  .ended_ms = known(s, 4),
                                  .acked_ms = known(s, 5),
                                  .kind = text(s, 6, ""),
                                  .severity = text(s, 7, ""),
                                  .title = text(s, 8, ""),
                                  .subject = text(s, 9, "{}"),
                                  .evidence = text(s, 10, "{}"),
                                  .acked_by = text(s, 11, NULL),
                                  .acked_note = text(s, 12, NULL),
                                  .told = w->told };
}

static int walk_begin(struct walk *w, const char *sql)
{
    int rc = pool_prepare(w->c, sql, &w->stmt);

    if (rc == SQLITE_OK)
        rc = pool_prepare(w->c, told, &w->told);
    return rc == SQLITE_OK ? 0 : pool_problem(w->c, rc, w->p);
}

/* The next row that fits into w->row. 1; 0 after the last; -1 and *p filled. */
static int walk_next(struct walk *w)
{
    int rc;

    while ((rc = sqlite3_step(w->stmt)) == SQLITE_ROW) {
        row_read(w);
        if (w->filter == NULL || fits(w->filter, &w->row))
            return 1;
    }
    return rc == SQLITE_DONE ? 0 : pool_problem(w->c, rc, w->p);
}

/* Hands the row over with its deliveries ready to be asked for. 1; 0: no more is wanted; -1 and *p filled. */
static int walk_hand(struct walk *w, alerts_fn fn, void *arg)
{
    sqlite3_bind_int64(w->told, 1, w->row.id);
    sqlite3_bind_int(w->told, 2, DELIVERIES_MAX);
    bool wanted = fn(arg, &w->row);
    int rc = sqlite3_reset(w->told); /* what went wrong in between */
    return rc == SQLITE_OK ? (int)wanted : pool_problem(w->c, rc, w->p);
}

bool alerts_delivery(const struct alerts_row *row, struct alerts_delivery *out)
{
    static const char *const states[] = { "gathers", "waiting", "told", "given_up" };
    sqlite3_stmt *s = row->told;

    if (sqlite3_step(s) != SQLITE_ROW)
        return false;
    int state = sqlite3_column_int(s, 1);
    bool is_over = state >= 2;
    *out = (struct alerts_delivery){ .destination = text(s, 0, ""),
                                     .state = state >= 0 && state < 4 ? states[state] : "given_up",
                                     .attempts = sqlite3_column_int64(s, 2),
                                     .due_ms = is_over ? UNKNOWN : known(s, 3),
                                     .ended_ms = known(s, 4),
                                     .error = text(s, 5, NULL) };
    return true;
}

/* ------------------------------------------------------------------ answers */

/* The statement with the smallest index that holds all that these states let through. */
static const char *sql_for(const char *format, unsigned states, char out[SQL_MAX])
{
    const char *index = "", *condition = "";

    if (states & ALERTS_OPEN) {
        index = "INDEXED BY alert_going_on";
        condition = " AND ended_ms IS NULL";
    } else if (states & ALERTS_UNACKED) {
        index = "INDEXED BY alert_unacked";
        condition = " AND acked_ms IS NULL";
    }
    snprintf(out, SQL_MAX, format, index, condition);
    return out;
}

/* Binds the times that are asked for; what is before the place of after is not looked at. */
static void times_bind(const struct walk *w, const struct alerts_request *q, const struct alerts_place *after)
{
    int64_t lo = q->from_ms, hi = q->to_ms - 1;

    if (after && q->ascending && after->ts_ms > lo)
        lo = after->ts_ms;
    if (after && !q->ascending && after->ts_ms < hi)
        hi = after->ts_ms;
    sqlite3_bind_int64(w->stmt, 1, lo);
    sqlite3_bind_int64(w->stmt, 2, hi);
    if (after) {
        sqlite3_bind_int64(w->stmt, 3, after->ts_ms);
        sqlite3_bind_int64(w->stmt, 4, after->id);
    }
}

static int page_run(struct walk *w, const struct alerts_request *q, alerts_fn fn, void *arg,
                    struct alerts_answer *out)
{
    struct alerts_place first =
        q->ascending ? (struct alerts_place){ -1, -1 } : (struct alerts_place){ INT64_MAX, INT64_MAX };
    char sql[SQL_MAX];
    int more, wanted = 1;

    if (walk_begin(w, sql_for(q->ascending ? page_up : page_down, q->filter.states, sql)) != 0)
        return -1;
    times_bind(w, q, q->has_after ? &q->after : &first);
    for (unsigned n = 0; (more = walk_next(w)) == 1 && n < q->limit && wanted == 1; n++) {
        out->next = (struct alerts_place){ w->row.ts_ms, w->row.id };
        wanted = walk_hand(w, fn, arg);
    }
    out->more = more == 1;
    return more < 0 || wanted < 0 ? -1 : 0;
}

static int count_run(struct walk *w, const struct alerts_request *q, struct alerts_answer *out)
{
    char sql[SQL_MAX];
    int64_t n = 0;
    int more = 1;

    if (walk_begin(w, sql_for(count_of, q->filter.states | ALERTS_UNACKED, sql)) != 0)
        return -1;
    times_bind(w, q, NULL);
    while (n < ALERTS_COUNT_MAX && (more = walk_next(w)) == 1)
        n += w->row.acked_ms == UNKNOWN;
    out->unacked = n;
    return more < 0 ? -1 : 0;
}

int alerts_list(struct query_pool *pool, const struct alerts_request *q, struct monotime deadline,
                struct problem *p, alerts_fn fn, void *arg, struct alerts_answer *out)
{
    struct alerts_answer a = { .unacked = UNKNOWN };
    struct walk w = { .p = p, .filter = &q->filter };

    if (pool_borrow(pool, deadline, p, &w.c) != 0)
        return -1;
    int result = page_run(&w, q, fn, arg, &a);
    if (result == 0 && q->count)
        result = count_run(&w, q, &a);
    pool_give(w.c);
    if (result == 0)
        *out = a;
    return result;
}

int alerts_one(struct query_pool *pool, int64_t id, struct monotime deadline, struct problem *p, alerts_fn fn,
               void *arg)
{
    struct walk w = { .p = p };
    int result;

    if (pool_borrow(pool, deadline, p, &w.c) != 0)
        return -1;
    if ((result = walk_begin(&w, one)) == 0) {
        sqlite3_bind_int64(w.stmt, 1, id);
        if ((result = walk_next(&w)) == 1)
            result = walk_hand(&w, fn, arg);
        else if (result == 0)
            result = problem_set(p, 404, "there is no alert %" PRId64, id);
    }
    pool_give(w.c);
    return result < 0 ? -1 : 0;
}

int alerts_newest(struct query_pool *pool, struct monotime deadline, struct problem *p, int64_t *id)
{
    struct pool_connection *c;
    sqlite3_stmt *stmt;

    if (pool_borrow(pool, deadline, p, &c) != 0)
        return -1;
    int rc = pool_prepare(c, newest, &stmt);
    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        *id = sqlite3_column_int64(stmt, 0);
    int result = rc == SQLITE_ROW ? 0 : pool_problem(c, rc, p);
    pool_give(c);
    return result;
}

int alerts_follow(struct pool_connection *c, const struct alerts_filter *f, struct problem *p, alerts_fn fn,
                  void *arg, int64_t *id, bool *behind)
{
    struct walk w = { .c = c, .p = p };
    int more = 1, wanted = 1, looked = 0;

    if (walk_begin(&w, newer) != 0)
        return -1;
    sqlite3_bind_int64(w.stmt, 1, *id);
    sqlite3_bind_int(w.stmt, 2, ALERTS_STEP);
    for (; wanted == 1 && (more = walk_next(&w)) == 1; looked++) {
        wanted = fits(f, &w.row) ? walk_hand(&w, fn, arg) : 1;
        *id = wanted < 0 ? *id : w.row.id;
    }
    if (more < 0 || wanted < 0)
        return -1;
    *behind = wanted == 0 || looked == ALERTS_STEP;
    return 0;
}

/* ------------------------------------------------------------------- places */

void alerts_place_format(const struct alerts_place *at, char out[ALERTS_CURSOR])
{
    snprintf(out, ALERTS_CURSOR, "a%" PRId64 ".%" PRId64, at->ts_ms, at->id);
}

/* A whole number from 0 on; *end: the byte after it. */
static bool number_read(const char *from, const char **end, int64_t *out)
{
    size_t digits = strspn(from, "0123456789");

    *end = from + digits;
    *out = digits > 0 && digits <= 18 ? strtoll(from, NULL, 10) : -1;
    return *out >= 0;
}

int alerts_place_parse(const char *from, struct alerts_place *at)
{
    struct alerts_place place;
    const char *end = from;

    if (from[0] != 'a' || !number_read(from + 1, &end, &place.ts_ms) || *end != '.' ||
        !number_read(end + 1, &end, &place.id) || *end != 0)
        return -1;
    *at = place;
    return 0;
}
