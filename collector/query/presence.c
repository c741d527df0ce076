/* SPDX-License-Identifier: MIT
 *
 * Of the slabs only the combinations are read. First each combination gets the latest row of the rollups
 * that has it, whatever its level; then each group the latest of its combinations'; where that is a
 * day or a quarter, its quarters or minutes are looked through from the last one on.
 */
#include "presence.h"

#include <stdlib.h>
#include <string.h>

#include "../base/slab.h"
#include "rollup_cover.h"

#define MINUTE_MS 60000
#define DAY_LONG  (25 * 60)
#define QUARTER   15
#define NONE      UINT32_MAX
#define NAME_MAX  256
#define KEY_MAX   (2 * (NAME_MAX + 3))

/* The latest row of the rollups that has a combination, or any of a group. */
struct place {
    int64_t start; /* Unix minute; -1: none */
    enum cover_level level;
};

/* A combination, by its number in the dictionary. */
struct seen {
    struct place last;
    uint32_t group; /* NONE: filtered out */
};

struct run {
    struct pool_connection *c;
    struct problem *p;
    const struct presence_request *q;
    struct dictionary *dictionary; /* borrowed */
    struct presence *out;
    struct seen *seen; /* owned */
    size_t seen_room;
    struct place *last; /* owned; by group */
    size_t group_room, last_room;
    struct intern pairs;  /* (group, the other's names) */
    struct intern rollup; /* dims of raw rows */
    uint32_t *rollup_of;  /* owned; of each */
    size_t rollup_room;
    int64_t *ids; /* owned; a slab's combinations */
    size_t ids_room;
};

static int no_memory(struct run *r)
{
    return problem_set(r->p, 503, "out of memory");
}

static bool grow(void *array, size_t *room, size_t want, size_t size)
{
    size_t more = *room ? *room : 64;

    if (want <= *room)
        return true;
    while (more < want)
        more *= 2;
    void *fresh = realloc(*(void **)array, more * size);
    if (!fresh)
        return false;
    *(void **)array = fresh;
    *room = more;
    return true;
}

/* The combination with this row id. */
static int seen_of(struct run *r, int64_t id, struct seen **out)
{
    int64_t n = dictionary_find(r->dictionary, r->c, (uint32_t)id, r->p);
    size_t before = r->seen_room;

    if (n < 0)
        return -1;
    if (!grow(&r->seen, &r->seen_room, (size_t)n + 1, sizeof *r->seen))
        return no_memory(r);
    for (; before < r->seen_room; before++)
        r->seen[before] = (struct seen){ { -1, COVER_MINUTE }, NONE };
    *out = &r->seen[n];
    return 0;
}

/* ------------------------------------------------------------------- slabs */

typedef int (*cell_fn)(struct run *r, struct seen *s, struct place at);

/* Hands each combination of the slab under the statement to fn. */
static int slab_walk(struct run *r, sqlite3_stmt *stmt, enum cover_level level, cell_fn fn)
{
    struct place at = { sqlite3_column_int64(stmt, 0), level };
    struct slab_view view;
    struct seen *s;

    if (slab_open(sqlite3_column_blob(stmt, 1), (size_t)sqlite3_column_bytes(stmt, 1), &view) != 0)
        return problem_set(r->p, 500, "the rollups are damaged; tollgate rebuild makes them anew");
    if (!grow(&r->ids, &r->ids_room, view.cells, sizeof *r->ids))
        return no_memory(r);
    if (slab_read(&view, SLAB_DIMS, NULL, r->ids) != 0)
        return problem_set(r->p, 500, "the rollups are damaged; tollgate rebuild makes them anew");
    for (uint32_t i = 0; i < view.cells; i++) {
        if (seen_of(r, r->ids[i], &s) != 0 || fn(r, s, at) != 0)
            return -1;
    }
    return 0;
}

/* Walks the slabs that begin in [from, to), the last one first. */
static int slabs_walk(struct run *r, enum cover_level level, int64_t from, int64_t to, cell_fn fn)
{
#define SLABS(table) \
    "SELECT start_minute,body FROM " table " WHERE start_minute>=? AND start_minute<? ORDER BY 1 DESC"
    static const char *const sql[COVER_LEVELS] = { [COVER_MINUTE] = SLABS("projection_minute"),
                                                   [COVER_QUARTER] = SLABS("projection_quarter"),
                                                   [COVER_DAY] = SLABS("projection_day") };
    sqlite3_stmt *stmt;
    int result = 0, rc = pool_prepare(r->c, sql[level], &stmt);

    if (rc != SQLITE_OK)
        return pool_problem(r->c, rc, r->p);
    sqlite3_bind_int64(stmt, 1, from);
    sqlite3_bind_int64(stmt, 2, to);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? slab_walk(r, stmt, level, fn) : pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result;
}

static int note(struct run *r, struct seen *s, struct place at)
{
    (void)r;
    if (at.start > s->last.start)
        s->last = at;
    return 0;
}

static int note_slabs(void *arg, enum cover_level level, int64_t from, int64_t to)
{
    return slabs_walk(arg, level, from, to, note);
}

/* -------------------------------------------------------------------- tail */

/* The combination that a raw row is summed under. */
static int rollup_of(struct run *r, int64_t dims, int64_t *out)
{
    size_t before = r->rollup.count;
    int64_t n = intern_number(&r->rollup, &dims, sizeof dims);
    sqlite3_stmt *stmt = r->c->stmt[STMT_ROLLUP];
    int rc = SQLITE_OK;

    if (n < 0 || !grow(&r->rollup_of, &r->rollup_room, (size_t)n + 1, sizeof *r->rollup_of))
        return no_memory(r);
    if ((size_t)n == before) {
        sqlite3_bind_int64(stmt, 1, dims);
        r->rollup_of[n] = sqlite3_step(stmt) == SQLITE_ROW ? (uint32_t)sqlite3_column_int64(stmt, 0) : 0;
        rc = sqlite3_reset(stmt);
    }
    *out = r->rollup_of[n];
    return rc == SQLITE_OK ? 0 : pool_problem(r->c, rc, r->p);
}

static int note_row(struct run *r, sqlite3_stmt *stmt)
{
    struct place at = { sqlite3_column_int64(stmt, 0), COVER_MINUTE };
    struct seen *s;
    int64_t id;

    if (rollup_of(r, sqlite3_column_int64(stmt, 1), &id) != 0 || seen_of(r, id, &s) != 0)
        return -1;
    return note(r, s, at);
}

static int note_tail(struct run *r, int64_t watermark)
{
    sqlite3_stmt *stmt;
    int result = 0, rc = pool_prepare(r->c,
                                      "SELECT ts_ms/60000,dims FROM dispatch"
                                      " WHERE id>? AND ts_ms>=? AND ts_ms<? AND state&7=0",
                                      &stmt);

    if (rc != SQLITE_OK)
        return pool_problem(r->c, rc, r->p);
    sqlite3_bind_int64(stmt, 1, watermark);
    sqlite3_bind_int64(stmt, 2, r->q->from_ms);
    sqlite3_bind_int64(stmt, 3, r->q->to_ms);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? note_row(r, stmt) : pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result;
}

/* ------------------------------------------------------------------ groups */

static bool entry_matches(const struct run *r, const struct dictionary_entry *e)
{
    const struct filter *f = r->q->filter;

    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        size_t len = 0;
        const char *text =
            dictionary_text(r->dictionary, dictionary_field(r->dictionary, e, t->field, t->tag), &len);
        if (!filter_match(t, text, len))
            return false;
    }
    return true;
}

/* Two names as one string. NULL: unknown; longer ones than there are on the wire are cut. */
static size_t key_make(char key[KEY_MAX], const char *const name[2], const size_t len[2])
{
    size_t used = 0;

    for (int i = 0; i < 2; i++) {
        size_t n = !name[i] ? 0 : len[i] < NAME_MAX ? len[i] : NAME_MAX;
        uint16_t head = name[i] ? (uint16_t)n : UINT16_MAX;
        memcpy(key + used, &head, sizeof head);
        if (n > 0)
            memcpy(key + used + sizeof head, name[i], n);
        used += sizeof head + n;
    }
    return used;
}

static int group_of(struct run *r, const uint32_t text[2], uint32_t *out)
{
    size_t before = r->out->keys.count, len[2] = { 0, 0 };
    const char *name[2] = { dictionary_text(r->dictionary, text[0], &len[0]),
                            dictionary_text(r->dictionary, text[1], &len[1]) };
    char key[KEY_MAX];
    int64_t n = intern_number(&r->out->keys, key, key_make(key, name, len));

    if (n < 0 || !grow(&r->out->group, &r->group_room, (size_t)n + 1, sizeof *r->out->group) ||
        !grow(&r->last, &r->last_room, (size_t)n + 1, sizeof *r->last))
        return no_memory(r);
    if ((size_t)n == before) {
        r->out->group[n] = (struct presence_group){ .name = { text[0], text[1] } };
        r->last[n] = (struct place){ -1, COVER_MINUTE };
    }
    *out = (uint32_t)n;
    return 0;
}

static int pair_note(struct run *r, uint32_t group, uint32_t a, uint32_t b)
{
    uint32_t pair[3] = { group, a, b };
    size_t before = r->pairs.count;

    if (intern_number(&r->pairs, pair, sizeof pair) < 0)
        return no_memory(r);
    r->out->group[group].others += r->pairs.count > before;
    return 0;
}

/* Gives a combination to its group. */
static int seen_group(struct run *r, struct seen *s, const struct dictionary_entry *e)
{
    const uint32_t agent[2] = { e->text[FIELD_agent_id], 0 },
                   model[2] = { e->text[FIELD_provider], e->text[FIELD_model] };
    bool by_agent = r->q->by == PRESENCE_AGENTS;

    if (s->last.start < 0 || !entry_matches(r, e))
        return 0;
    if (group_of(r, by_agent ? agent : model, &s->group) != 0)
        return -1;
    if (s->last.start > r->last[s->group].start)
        r->last[s->group] = s->last;
    if (by_agent)
        return model[1] ? pair_note(r, s->group, model[0], model[1]) : 0;
    return agent[0] ? pair_note(r, s->group, agent[0], 0) : 0;
}

static int seen_groups(struct run *r)
{
    for (size_t n = 0; n < r->seen_room; n++) {
        if (r->seen[n].last.start >= 0 &&
            seen_group(r, &r->seen[n], dictionary_entry(r->dictionary, (uint32_t)n)) != 0)
            return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------- refining */

static int refine(struct run *r, struct seen *s, struct place at)
{
    if (s->group == NONE)
        return 0;
    struct place *last = &r->last[s->group];
    int64_t length = last->level == COVER_DAY ? DAY_LONG : QUARTER;
    if (last->level == at.level + 1 && at.start >= last->start && at.start < last->start + length)
        *last = at; /* the latest one, as they come */
    return 0;
}

/* Looks each coarse place through, once. */
static int refine_level(struct run *r, enum cover_level level)
{
    int64_t length = level == COVER_DAY ? DAY_LONG : QUARTER;

    for (size_t g = 0; g < r->out->keys.count; g++) {
        struct place at = r->last[g];
        if (at.level != level)
            continue;
        if (slabs_walk(r, level - 1, at.start, at.start + length, refine) != 0)
            return -1;
        for (size_t k = g; k < r->out->keys.count; k++) { /* what was not found is not looked for again */
            if (r->last[k].level == level && r->last[k].start == at.start)
                r->last[k].level = COVER_LEVELS;
        }
    }
    return 0;
}

/* -------------------------------------------------------------------- run */

static int run(struct run *r)
{
    struct cover cover;

    if (rollup_cover(r->c, r->q->from_ms, r->q->to_ms, r->p, note_slabs, r, &cover) != 0 ||
        note_tail(r, cover.watermark) != 0 || seen_groups(r) != 0 || refine_level(r, COVER_DAY) != 0 ||
        refine_level(r, COVER_QUARTER) != 0)
        return -1;
    for (size_t g = 0; g < r->out->keys.count; g++) {
        int64_t ms = r->last[g].start * MINUTE_MS;
        r->out->group[g].last_ms = ms > r->q->from_ms ? ms : r->q->from_ms;
    }
    return 0;
}

int presence_read(struct query_pool *pool, const struct presence_request *q, struct monotime deadline,
                  struct problem *p, struct presence *out)
{
    struct run r = { .p = p, .q = q, .out = out };

    *out = (struct presence){ 0 };
    intern_init(&out->keys, UINT32_MAX - 1);
    intern_init(&r.pairs, UINT32_MAX - 1);
    intern_init(&r.rollup, UINT32_MAX - 1);
    if (pool_borrow(pool, deadline, p, &r.c) != 0)
        return -1;
    out->dictionary = r.dictionary = pool_dictionary(r.c);
    int result = run(&r);
    pool_give(r.c);
    intern_fini(&r.pairs);
    intern_fini(&r.rollup);
    free(r.rollup_of);
    free(r.seen);
    free(r.last);
    free(r.ids);
    if (result != 0)
        presence_fini(out);
    return result;
}

void presence_fini(struct presence *pr)
{
    intern_fini(&pr->keys);
    free(pr->group);
    pr->group = NULL;
}

const struct presence_group *presence_find(const struct presence *pr, const char *const name[2],
                                           const size_t len[2])
{
    char key[KEY_MAX];
    int64_t n = intern_find(&pr->keys, key, key_make(key, name, len));

    return n < 0 ? NULL : &pr->group[n];
}
