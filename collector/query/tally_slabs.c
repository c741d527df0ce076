/* SPDX-License-Identifier: MIT
 *
 * The parts of a bucket are cut into runs of slabs that change together: all that are over, and each one
 * that is still growing. What is worth it is added up by the request's units, once, and kept (kept.h)
 * as one slab, in which each unit is called by one of its combinations; so what is kept is read as any
 * slab is. A long run that is over is kept by itself, for it stays as it is; all of the bucket but the
 * minute that is under way, which changes all the time, is kept as one sum, made of those anew when any of it
 * changes: once a minute, mostly.
 *
 * The version of a run is made of the revisions of its slabs, of which the writer gives each slab another
 * one, drawn at random, whenever it writes it.
 */
#include "tally_slabs.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

/* A row of a level, without its slab. */
struct tally_head {
    int64_t start, revision, len;
};

enum run_kind { RUN_LONG, RUN_REST, RUN_LIVE };

/* Slabs of a level, one after the other. */
struct tally_run {
    enum plan_level level;
    int sign;
    size_t first, count; /* of t->head */
    size_t bytes;
    enum run_kind kind;
    struct kept_version version;
    const uint8_t *at; /* its sum, once it has been added up by itself; borrowed */
    size_t len;
};

static int no_memory(struct tally *t)
{
    return problem_set(t->p, 503, "out of memory");
}

static int damaged(struct tally *t)
{
    return problem_set(t->p, 500, TALLY_DAMAGED);
}

/* ------------------------------------------------------------------ bytes */

void tally_list_clear(struct tally_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->at[i].owned);
        kept_give(l->at[i].kept);
    }
    l->count = l->bytes = 0;
}

void tally_list_fini(struct tally_list *l)
{
    tally_list_clear(l);
    free(l->at);
    *l = (struct tally_list){ 0 };
}

/* Takes the bytes, whatever happens. */
static int list_add(struct tally *t, struct tally_list *l, struct tally_bytes bytes, size_t len)
{
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 16;
        struct tally_bytes *fresh = realloc(l->at, room * sizeof *fresh);
        if (!fresh) {
            free(bytes.owned);
            kept_give(bytes.kept);
            return no_memory(t);
        }
        l->at = fresh;
        l->room = room;
    }
    l->at[l->count++] = bytes;
    l->bytes += len;
    return 0;
}

/* ------------------------------------------------------------------ slabs */

static int cells_room(struct tally *t, size_t cells)
{
    if (cells <= t->cell_room)
        return 0;
    int64_t *dims = realloc(t->dims, cells * sizeof *dims);
    if (!dims)
        return no_memory(t);
    t->dims = dims;
    uint32_t *cell = realloc(t->cell, cells * sizeof *cell);
    if (!cell)
        return no_memory(t);
    t->cell = cell;
    t->cell_room = cells;
    return 0;
}

/* The unit of each of a slab's cells, into t->cell. */
static int units_find(struct tally *t, const struct slab_view *v)
{
    if (cells_room(t, v->cells) != 0)
        return -1;
    if (slab_read(v, SLAB_DIMS, NULL, t->dims) != 0)
        return damaged(t);
    for (uint32_t i = 0; i < v->cells; i++) {
        int unit = grouping_cell(t->grouping, t->c, (uint32_t)t->dims[i], t->p);
        if (unit < 0 && unit != GROUPING_NONE)
            return -1;
        t->cell[i] = unit == GROUPING_NONE ? SLAB_SUM_NONE : (uint32_t)unit;
    }
    return 0;
}

/* Adds a slab whose bytes stay. */
static int slab_add(struct tally *t, struct slab_sum *to, const void *at, size_t len, int sign)
{
    struct slab_view v;

    if (slab_open(at, len, &v) != 0)
        return damaged(t);
    if (units_find(t, &v) != 0)
        return -1;
    int rc = slab_sum_add(to, &v, sign, t->cell, (uint32_t)t->grouping->units.count);
    return rc == 0 ? 0 : rc == -1 ? damaged(t) : no_memory(t);
}

/* Adds a slab whose bytes are about to go; the list keeps a copy. */
static int slab_copy(struct tally *t, struct slab_sum *to, struct tally_list *list, const void *at,
                     size_t len, int sign)
{
    uint8_t *copy = malloc(len + 1);

    if (!copy)
        return no_memory(t);
    if (len > 0)
        memcpy(copy, at, len);
    return list_add(t, list, (struct tally_bytes){ .owned = copy }, len) == 0
               ? slab_add(t, to, copy, len, sign)
               : -1;
}

/* ------------------------------------------------------------- adding up */

/* Packs what t->part has come to. */
static int part_pack(struct tally *t, struct slab_bytes *out)
{
    int rc = slab_sum_sort(&t->part);

    if (rc == 0)
        rc = slab_sum_pack(&t->part, t->grouping->unit_dims, out);
    return rc == 0 ? 0 : rc == -1 ? damaged(t) : no_memory(t);
}

/* Puts one slab in the place of those that t->part has been given. */
static int part_fold(struct tally *t, struct tally_list *list)
{
    struct slab_bytes packed = { 0 };
    size_t len;

    if (part_pack(t, &packed) != 0) {
        slab_bytes_fini(&packed);
        return -1;
    }
    slab_sum_reset(&t->part);
    tally_list_clear(list);
    len = packed.len;
    if (list_add(t, list, (struct tally_bytes){ .owned = packed.at }, 0) != 0)
        return -1;
    return slab_add(t, &t->part, packed.at, len, 1);
}

/* Steps over the slabs of a run: into `to`, whose bytes the list keeps. */
static int run_read(struct tally *t, const struct tally_run *r, struct slab_sum *to, struct tally_list *list,
                    int sign)
{
    sqlite3_stmt *stmt = t->c->stmt[STMT_SLAB_MINUTE + r->level];
    int rc, result = 0;

    sqlite3_bind_int64(stmt, 1, t->head[r->first].start);
    sqlite3_bind_int64(stmt, 2, t->head[r->first + r->count - 1].start + 1);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE) {
        const void *at = rc == SQLITE_ROW ? sqlite3_column_blob(stmt, 0) : NULL;
        size_t len = at ? (size_t)sqlite3_column_bytes(stmt, 0) : 0;
        result = rc == SQLITE_ROW ? slab_copy(t, to, list, at, len, sign) : pool_problem(t->c, rc, t->p);
        if (result == 0 && to == &t->part && list->bytes > kept_batch(pool_sums(t->c)))
            result = part_fold(t, list);
    }
    sqlite3_reset(stmt);
    return result;
}

/* ---------------------------------------------------------------- version */

/* What its slabs are made of. */
static void run_version(const struct tally *t, struct tally_run *r)
{
    tg_hash128((const unsigned char *)&t->head[r->first], r->count * sizeof *t->head, r->version.hash);
}

/* The version of all that is not live. */
static void closed_version(struct tally *t, struct kept_version *out)
{
    struct {
        int64_t level, first, last, sign;
        struct kept_version run, before;
    } all = { .level = 0 };

    for (size_t i = 0; i < t->runs; i++) {
        struct tally_run *r = &t->run[i];
        if (r->kind == RUN_LIVE)
            continue;
        run_version(t, r);
        all.level = r->level;
        all.first = t->head[r->first].start;
        all.last = t->head[r->first + r->count - 1].start;
        all.sign = r->sign;
        all.run = r->version;
        tg_hash128((const unsigned char *)&all, sizeof all, all.before.hash);
    }
    *out = all.before;
}

/* ------------------------------------------------------------------- sums */

/* Packs what t->part has come to, and keeps it if it can be. The list gets the bytes. */
static int part_keep(struct tally *t, const struct kept_key *key, const struct kept_version *version,
                     struct tally_list *list, const uint8_t **at, size_t *len)
{
    struct slab_bytes made = { 0 };

    if (part_pack(t, &made) != 0) {
        slab_bytes_fini(&made);
        return -1;
    }
    const struct kept_sum *sum = kept_put(pool_sums(t->c), key, version, made.at, made.len);
    struct tally_bytes bytes = { .owned = sum ? NULL : made.at, .kept = sum };
    *at = sum ? sum->at : made.at;
    *len = made.len;
    if (sum)
        slab_bytes_fini(&made);
    return list_add(t, list, bytes, *len);
}

static struct kept_key key_of(const struct tally *t, int64_t from, int64_t to, uint64_t level)
{
    struct kept_key key = { .from = from, .to = to, .level = level };

    memcpy(key.shape, t->grouping->shape, sizeof key.shape);
    return key;
}

/* Adds up a long run that is over, by itself, unless that is kept. The list gets the bytes. */
static int long_sum(struct tally *t, struct tally_run *r, struct tally_list *list)
{
    struct kept_key key =
        key_of(t, t->head[r->first].start, t->head[r->first + r->count - 1].start + 1, r->level);
    struct tally_list read = { 0 };

    run_version(t, r);
    const struct kept_sum *sum = kept_get(pool_sums(t->c), &key, &r->version);
    if (sum) {
        r->at = sum->at;
        r->len = sum->len;
        return list_add(t, list, (struct tally_bytes){ .kept = sum }, sum->len);
    }
    slab_sum_reset(&t->part);
    int result = run_read(t, r, &t->part, &read, 1);
    if (result == 0)
        result = part_keep(t, &key, &r->version, list, &r->at, &r->len);
    tally_list_fini(&read);
    return result;
}

static int longs_sum(struct tally *t, struct tally_list *list)
{
    int result = 0;

    for (size_t i = 0; i < t->runs && result == 0; i++)
        result = t->run[i].kind == RUN_LONG ? long_sum(t, &t->run[i], list) : 0;
    return result;
}

static int longs_add(struct tally *t, struct slab_sum *to)
{
    int result = 0;

    for (size_t i = 0; i < t->runs && result == 0; i++) {
        const struct tally_run *r = &t->run[i];
        result = r->kind == RUN_LONG ? slab_add(t, to, r->at, r->len, r->sign) : 0;
    }
    return result;
}

static int runs_read(struct tally *t, enum run_kind kind, struct slab_sum *to, struct tally_list *list)
{
    int result = 0;

    for (size_t i = 0; i < t->runs && result == 0; i++) {
        if (t->run[i].kind == kind)
            result = run_read(t, &t->run[i], to, list, t->run[i].sign);
    }
    return result;
}

/* Adds up all that is not live into t->part. The rest comes first: what long runs are taken out of is in it.
 */
static int closed_sum(struct tally *t, const struct kept_key *key, const struct kept_version *version,
                      const uint8_t **at, size_t *len)
{
    struct tally_list longs = { 0 }, read = { 0 };
    int result = longs_sum(t, &longs);

    slab_sum_reset(&t->part);
    if (result == 0)
        result = runs_read(t, RUN_REST, &t->part, &read);
    if (result == 0)
        result = longs_add(t, &t->part);
    if (result == 0)
        result = part_keep(t, key, version, &t->bytes, at, len);
    tally_list_fini(&longs);
    tally_list_fini(&read);
    return result;
}

/* All that is not live, as one sum. */
static int closed_add(struct tally *t)
{
    struct kept_key key = key_of(t, t->plan->from_ms, t->plan->to_ms, PLAN_LEVELS);
    struct kept_version version;
    const uint8_t *at;
    size_t len;

    closed_version(t, &version);
    const struct kept_sum *sum = kept_get(pool_sums(t->c), &key, &version);
    if (!sum)
        return closed_sum(t, &key, &version, &at, &len) == 0 ? slab_add(t, &t->sum, at, len, 1) : -1;
    return list_add(t, &t->bytes, (struct tally_bytes){ .kept = sum }, sum->len) == 0
               ? slab_add(t, &t->sum, sum->at, sum->len, 1)
               : -1;
}

/* ------------------------------------------------------------------- runs */

static int run_new(struct tally *t, const struct plan_part *part, size_t first, size_t count,
                   enum run_kind kind)
{
    size_t bytes = 0;

    if (count == 0)
        return 0;
    if (t->runs == t->run_room) {
        size_t room = t->run_room ? 2 * t->run_room : 16;
        struct tally_run *fresh = realloc(t->run, room * sizeof *fresh);
        if (!fresh)
            return no_memory(t);
        t->run = fresh;
        t->run_room = room;
    }
    for (size_t i = first; i < first + count; i++)
        bytes += (size_t)t->head[i].len;
    if (kind == RUN_LONG && (count == 1 || bytes < kept_worth(pool_sums(t->c))))
        kind = RUN_REST;
    t->run[t->runs++] = (struct tally_run){
        .level = part->level, .sign = part->sign, .first = first, .count = count, .bytes = bytes, .kind = kind
    };
    return 0;
}

static int head_add(struct tally *t, sqlite3_stmt *stmt)
{
    if (t->heads == t->head_room) {
        size_t room = t->head_room ? 2 * t->head_room : 64;
        struct tally_head *fresh = realloc(t->head, room * sizeof *fresh);
        if (!fresh)
            return no_memory(t);
        t->head = fresh;
        t->head_room = room;
    }
    t->head[t->heads++] = (struct tally_head){ .start = sqlite3_column_int64(stmt, 0),
                                               .revision = sqlite3_column_int64(stmt, 1),
                                               .len = sqlite3_column_int64(stmt, 2) };
    return 0;
}

/* The rows of a part, without their slabs. */
static int heads_read(struct tally *t, const struct plan_part *part)
{
    sqlite3_stmt *stmt = t->c->stmt[STMT_HEAD_MINUTE + part->level];
    int rc, result = 0;

    sqlite3_bind_int64(stmt, 1, part->from);
    sqlite3_bind_int64(stmt, 2, part->to);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? head_add(t, stmt) : pool_problem(t->c, rc, t->p);
    sqlite3_reset(stmt);
    return result;
}

static int runs_find(struct tally *t, const struct plan_part *part)
{
    size_t first = t->heads, closed = first;

    if (heads_read(t, part) != 0)
        return -1;
    while (closed < t->heads && !plan_is_growing(t->plan, part->level, t->head[closed].start))
        closed++;
    if (run_new(t, part, first, closed - first, RUN_LONG) != 0)
        return -1;
    for (size_t i = closed; i < t->heads; i++) {
        bool live = part->level == PLAN_MINUTE && i + 1 == t->heads;
        if (run_new(t, part, i, 1, live ? RUN_LIVE : RUN_REST) != 0)
            return -1;
    }
    return 0;
}

/* A unit that something is taken out of is a part, and so a run, of its own, and belongs to the rest: what is
 * not live is never less than nothing, wherever what is taken out belongs. */
int tally_slabs(struct tally *t)
{
    const struct plan *plan = t->plan;
    size_t rest = 0, longs = 0;
    int result = 0;

    t->heads = t->runs = 0;
    for (size_t i = 0; i < plan->parts && result == 0; i++)
        result = plan->part[i].raw ? 0 : runs_find(t, &plan->part[i]);
    for (size_t i = 0; i < t->runs; i++) {
        rest += t->run[i].kind == RUN_REST ? t->run[i].bytes : 0;
        longs += t->run[i].kind == RUN_LONG;
    }
    if (result == 0 && (rest >= kept_worth(pool_sums(t->c)) || longs > 1)) {
        result = closed_add(t);
    } else if (result == 0) {
        result = runs_read(t, RUN_REST, &t->sum, &t->bytes);
        if (result == 0 && (result = longs_sum(t, &t->bytes)) == 0)
            result = longs_add(t, &t->sum);
    }
    return result == 0 ? runs_read(t, RUN_LIVE, &t->sum, &t->bytes) : -1;
}
