/* SPDX-License-Identifier: MIT */
#include "grouping.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define SESSIONS_KEPT     65536 /* remembered at a time; then they are forgotten and asked for again */
#define IDS_KEPT          65536
#define NAMES_MAX         (4 * USAGE_ROWS_MAX)
#define FAILED            (-2)
#define GROUPING_STATUSES 8

bool grouping_is_by_session(const struct usage_request *q)
{
    bool found = filter_touches(&q->filter, FIELD_DIMS_END, FIELD_SESSION_END);

    for (unsigned i = 0; i < q->groups; i++)
        found |= q->group[i] >= FIELD_DIMS_END && q->group[i] < FIELD_SESSION_END;
    return found;
}

/* A text as bytes that no other text begins with. */
static void shape_text(sqlite3_str *to, const char *text)
{
    sqlite3_str_append(to, text ? text : "", text ? (int)strlen(text) + 1 : 1);
}

static int shape_make(struct grouping *g)
{
    const struct usage_request *q = g->request;
    sqlite3_str *to = sqlite3_str_new(NULL);

    for (unsigned i = 0; i < q->groups; i++) {
        sqlite3_str_appendf(to, "%d:", (int)q->group[i]);
        shape_text(to, q->tag[i]);
    }
    for (unsigned i = 0; i < q->filter.count; i++) {
        const struct filter_term *t = &q->filter.term[i];
        sqlite3_str_appendf(to, "|%d:%d:%d:%lld:", (int)t->field, t->unknown, t->negated,
                            (long long)t->prefix);
        shape_text(to, t->tag);
        for (unsigned k = 0; k < t->count; k++)
            shape_text(to, t->value[k]);
    }
    int len = sqlite3_str_length(to), rc = sqlite3_str_errcode(to);
    char *text = sqlite3_str_finish(to);
    if (rc == SQLITE_OK)
        tg_hash128((const unsigned char *)(text ? text : ""), (size_t)len, g->shape);
    sqlite3_free(text);
    return rc == SQLITE_OK ? 0 : -1;
}

struct grouping *grouping_new(const struct usage_request *q, struct dictionary *d)
{
    struct grouping *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    g->request = q;
    g->dictionary = d;
    intern_init(&g->units, DICTIONARY_MAX);
    intern_init(&g->ids, IDS_KEPT);
    intern_init(&g->sessions, SESSIONS_KEPT);
    intern_init(&g->keys, USAGE_ROWS_MAX);
    intern_init(&g->names, NAMES_MAX);
    g->by_session = grouping_is_by_session(q);
    if (shape_make(g) == 0)
        return g;
    grouping_free(g);
    return NULL;
}

void grouping_free(struct grouping *g)
{
    if (!g)
        return;
    intern_fini(&g->units);
    intern_fini(&g->ids);
    intern_fini(&g->sessions);
    intern_fini(&g->keys);
    intern_fini(&g->names);
    free(g->of_entry);
    free(g->unit);
    free(g->unit_dims);
    free(g->entry_of_id);
    free(g->session);
    free(g);
}

static int no_memory(struct problem *p)
{
    problem_fill(p, 503, "out of memory");
    return FAILED;
}

static int too_many(struct problem *p)
{
    problem_fill(p, 422, "more than %d groups: narrow the filter or group by less", USAGE_ROWS_MAX);
    return FAILED;
}

/* An array with room for number `used`, new room zeroed; NULL: no memory, the old one stays. */
static void *room_for(void *array, size_t *room, size_t used, size_t size)
{
    size_t more = *room ? 2 * *room : 1024;

    if (used < *room)
        return array;
    while (more <= used)
        more *= 2;
    char *fresh = realloc(array, more * size);
    if (!fresh)
        return NULL;
    memset(fresh + *room * size, 0, (more - *room) * size);
    *room = more;
    return fresh;
}

/* ---------------------------------------------------------------- entries */

static bool entry_match(const struct grouping *g, const struct dictionary_entry *e)
{
    const struct filter *f = &g->request->filter;

    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        size_t len = 0;
        if (t->field >= FIELD_DIMS_END && t->field < FIELD_SESSION_END)
            continue;
        const char *text =
            dictionary_text(g->dictionary, dictionary_field(g->dictionary, e, t->field, t->tag), &len);
        if (!filter_match(t, text, len))
            return false;
    }
    return true;
}

/* The group of an entry and a session (NULL: none is asked for). */
static int group_of(struct grouping *g, const struct dictionary_entry *e, const struct grouping_session *s,
                    struct problem *p)
{
    const struct usage_request *q = g->request;
    uint32_t key[USAGE_BY_MAX];

    for (unsigned i = 0; i < q->groups; i++) {
        if (s && q->group[i] >= FIELD_DIMS_END && q->group[i] < FIELD_SESSION_END)
            key[i] = s->text[q->group[i] - FIELD_DIMS_END];
        else
            key[i] = dictionary_field(g->dictionary, e, q->group[i], q->tag[i]);
    }
    int64_t n = intern_number(&g->keys, key, q->groups * sizeof *key);
    return n >= 0 ? (int)n : n == -1 ? too_many(p) : no_memory(p);
}

/* A unit for a group and the status of an entry. */
static int unit_of(struct grouping *g, const struct dictionary_entry *e, uint32_t group, struct problem *p)
{
    struct grouping_unit key = { group, e->status < GROUPING_STATUSES ? e->status : 0 };
    int64_t n = intern_number(&g->units, &key, sizeof key);
    struct grouping_unit *unit = NULL;
    uint32_t *dims = NULL;

    if (n >= 0)
        unit = room_for(g->unit, &g->unit_room, (size_t)n, sizeof *unit);
    if (unit) {
        g->unit = unit;
        dims = room_for(g->unit_dims, &g->unit_dims_room, (size_t)n, sizeof *dims);
    }
    if (!dims)
        return no_memory(p);
    g->unit_dims = dims;
    if (dims[n] == 0) {
        unit[n] = key;
        dims[n] = e->id;
    }
    return (int)n;
}

/* Whether the filter takes an entry, and its unit; remembered. */
static int unit_of_entry(struct grouping *g, uint32_t entry, struct problem *p)
{
    const struct dictionary_entry *e = dictionary_entry(g->dictionary, entry);
    int32_t *all = room_for(g->of_entry, &g->room, entry, sizeof *all);
    int unit = GROUPING_NONE;

    if (!all)
        return no_memory(p);
    g->of_entry = all;
    if (all[entry] == 0) {
        if (entry_match(g, e)) {
            int group = g->by_session ? 0 : group_of(g, e, NULL, p);
            unit = group < 0 ? group : unit_of(g, e, (uint32_t)group, p);
        }
        if (unit == FAILED)
            return FAILED;
        all[entry] = unit + 2;
    }
    return all[entry] - 2;
}

int grouping_cell(struct grouping *g, struct pool_connection *c, uint32_t rollup, struct problem *p)
{
    int64_t n = dictionary_find(g->dictionary, c, rollup, p);
    int unit = n < 0 ? FAILED : unit_of_entry(g, (uint32_t)n, p);

    if (unit >= 0 && g->unit_dims[unit] == 0) /* there is no such row: any name will do */
        g->unit_dims[unit] = rollup;
    return unit;
}

/* --------------------------------------------------------------- raw rows */

static int rollup_read(struct pool_connection *c, int64_t dims, struct problem *p, uint32_t *out)
{
    sqlite3_stmt *stmt = c->stmt[STMT_ROLLUP];

    sqlite3_bind_int64(stmt, 1, dims);
    int rc = sqlite3_step(stmt);
    *out = rc == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : pool_problem(c, rc, p);
}

/* The number that an id has in a table of limited size; a full one is emptied. Negative: no memory. */
static int64_t number_of(struct intern *t, int64_t id)
{
    int64_t n = intern_number(t, &id, sizeof id);

    if (n != -1)
        return n;
    intern_fini(t);
    return intern_number(t, &id, sizeof id);
}

/* The entry that a row of dims is summed under; remembered. */
static int entry_of_dims(struct grouping *g, struct pool_connection *c, int64_t dims, struct problem *p,
                         uint32_t *out)
{
    size_t before = g->ids.count;
    int64_t n = number_of(&g->ids, dims), entry;
    uint32_t rollup, *all = NULL;

    if (n >= 0)
        all = room_for(g->entry_of_id, &g->ids_room, (size_t)n, sizeof *all);
    if (!all)
        return no_memory(p);
    g->entry_of_id = all;
    if ((size_t)n == before || g->ids.count < before) {
        /* Only those that something is summed under are in the dictionary: themselves. */
        entry = dims > 0 && dims <= UINT32_MAX ? dictionary_known(g->dictionary, (uint32_t)dims) : 0;
        if (entry == DICTIONARY_UNKNOWN && (rollup_read(c, dims, p, &rollup) != 0 ||
                                            (entry = dictionary_find(g->dictionary, c, rollup, p)) < 0))
            return FAILED;
        all[n] = (uint32_t)entry;
    }
    *out = all[n];
    return 0;
}

/* --------------------------------------------------------------- sessions */

static int session_text(struct grouping *g, sqlite3_stmt *stmt, int column, struct problem *p, uint32_t *out)
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);

    if (!text)
        return 0;
    int64_t n = intern_number(&g->names, text, (size_t)sqlite3_column_bytes(stmt, column));
    if (n < 0)
        return n == -1 ? too_many(p) : no_memory(p);
    *out = (uint32_t)n + 1;
    return 0;
}

/* Whether a group is made of this field of sessions. */
static bool is_group(const struct grouping *g, int field)
{
    for (unsigned i = 0; i < g->request->groups; i++) {
        if ((int)g->request->group[i] == field)
            return true;
    }
    return false;
}

static bool session_match(const struct grouping *g, sqlite3_stmt *stmt)
{
    const struct filter *f = &g->request->filter;

    for (unsigned i = 0; i < f->count; i++) {
        int column = (int)f->term[i].field - FIELD_DIMS_END;
        if (column < 0 || f->term[i].field >= FIELD_SESSION_END)
            continue;
        const char *text = stmt ? (const char *)sqlite3_column_text(stmt, column) : NULL;
        if (!filter_match(&f->term[i], text, text ? (size_t)sqlite3_column_bytes(stmt, column) : 0))
            return false;
    }
    return true;
}

/* stmt NULL: there is no such session. */
static int session_judge(struct grouping *g, sqlite3_stmt *stmt, struct problem *p,
                         struct grouping_session *out)
{
    *out = (struct grouping_session){ .match = session_match(g, stmt) };
    for (int f = FIELD_DIMS_END; stmt && out->match && f < FIELD_SESSION_END; f++) {
        if (is_group(g, f) &&
            session_text(g, stmt, f - FIELD_DIMS_END, p, &out->text[f - FIELD_DIMS_END]) != 0)
            return FAILED;
    }
    return 0;
}

static int session_read(struct grouping *g, struct pool_connection *c, int64_t id, struct problem *p,
                        struct grouping_session *out)
{
    sqlite3_stmt *stmt = c->stmt[STMT_SESSION];
    int rc = SQLITE_DONE, result = 0;

    if (id != 0) {
        sqlite3_bind_int64(stmt, 1, id);
        rc = sqlite3_step(stmt);
    }
    if (rc == SQLITE_ROW || rc == SQLITE_DONE)
        result = session_judge(g, rc == SQLITE_ROW ? stmt : NULL, p, out);
    else
        result = pool_problem(c, rc, p);
    sqlite3_reset(stmt);
    return result == 0 ? 0 : FAILED;
}

static int session_of(struct grouping *g, struct pool_connection *c, int64_t id, struct problem *p,
                      const struct grouping_session **out)
{
    size_t before = g->sessions.count;
    int64_t n = number_of(&g->sessions, id);
    struct grouping_session *all = NULL;

    if (n >= 0)
        all = room_for(g->session, &g->session_room, (size_t)n, sizeof *all);
    if (!all)
        return no_memory(p);
    g->session = all;
    if (((size_t)n == before || g->sessions.count < before) && session_read(g, c, id, p, &all[n]) != 0)
        return FAILED;
    *out = &all[n];
    return 0;
}

/* The group of an entry and a session. */
static int group_of_both(struct grouping *g, struct pool_connection *c, uint32_t entry, int64_t session,
                         struct problem *p)
{
    const struct grouping_session *s;
    int unit = unit_of_entry(g, entry, p);

    if (unit < 0 || !g->by_session)
        return unit < 0 ? unit : (int)g->unit[unit].group;
    if (session_of(g, c, session, p, &s) != 0)
        return FAILED;
    return s->match ? group_of(g, dictionary_entry(g->dictionary, entry), s, p) : GROUPING_NONE;
}

int grouping_raw(struct grouping *g, struct pool_connection *c, int64_t dims, int64_t session,
                 struct problem *p, const struct dictionary_entry **entry)
{
    uint32_t n;

    if (entry_of_dims(g, c, dims, p, &n) != 0)
        return FAILED;
    *entry = dictionary_entry(g->dictionary, n);
    return group_of_both(g, c, n, session, p);
}

const char *grouping_name(const struct grouping *g, uint32_t group, unsigned i, size_t *len)
{
    enum field_id field = g->request->group[i];
    uint32_t text;
    size_t size;

    memcpy(&text, (const char *)intern_key(&g->keys, group, &size) + i * sizeof text, sizeof text);
    if (field < FIELD_DIMS_END || field >= FIELD_SESSION_END)
        return dictionary_text(g->dictionary, text, len);
    return text == 0 ? NULL : intern_key(&g->names, text - 1, len);
}
