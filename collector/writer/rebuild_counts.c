/* SPDX-License-Identifier: MIT */
#include "rebuild_counts.h"

#include <stdlib.h>
#include <string.h>

#include "../base/sketch.h"

#define CELLS_MAX   (96 * 1024) /* with the points and the index: REBUILD_MEMORY_MAX */
#define POINTS_MAX  (1024 * 1024)
#define POINTS_KEPT (768 * 1024) /* if folding leaves more, they are spilled */
#define POINTS_EACH 2            /* that one event can add */
#define INDEX_SLOTS (256 * 1024)

_Static_assert(CELLS_MAX * sizeof(struct count_cell) + POINTS_MAX * sizeof(struct count_point) +
                       INDEX_SLOTS * sizeof(uint32_t) <=
                   REBUILD_MEMORY_MAX,
               "the counts are larger than promised");

void counts_fini(struct counts *c)
{
    free(c->cell);
    free(c->point);
    *c = (struct counts){ 0 };
}

void counts_clear(struct counts *c)
{
    c->cells = c->points = 0;
}

static int reserve(struct counts *c, size_t cells, size_t points)
{
    if (c->cell == NULL || c->cells + cells > c->cell_room) {
        size_t room = (c->cells + cells) * 3 / 2 + 1;
        struct count_cell *cell = realloc(c->cell, room * sizeof *cell);
        if (cell == NULL)
            return -SQLITE_NOMEM;
        c->cell = cell;
        c->cell_room = room;
    }
    if (c->point == NULL || c->points + points > c->point_room) {
        size_t room = (c->points + points) * 3 / 2 + 1;
        struct count_point *point = realloc(c->point, room * sizeof *point);
        if (point == NULL)
            return -SQLITE_NOMEM;
        c->point = point;
        c->point_room = room;
    }
    return 0;
}

/* ------------------------------------------------------------------ folding */

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_cell(const void *a, const void *b)
{
    const struct count_cell *x = a, *y = b;
    int order = compare((uint64_t)x->start, (uint64_t)y->start);

    return order != 0 ? order : compare((uint64_t)x->cell.dims, (uint64_t)y->cell.dims);
}

static int by_point(const void *a, const void *b)
{
    const struct count_point *x = a, *y = b;
    int order = compare(x->at, y->at);

    return order != 0 ? order : compare(x->bucket, y->bucket);
}

static void add_cell(struct count_cell *into, const struct count_cell *from)
{
    into->first_id = from->first_id < into->first_id ? from->first_id : into->first_id;
    into->last_id = from->last_id > into->last_id ? from->last_id : into->last_id;
    into->cell.calls += from->cell.calls;
    into->cell.partial += from->cell.partial;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        into->cell.sum[i] += from->cell.sum[i];
        into->cell.known[i] += from->cell.known[i];
    }
}

static void fold_cells(struct counts *c)
{
    size_t n = 0;

    if (c->cells > 1)
        qsort(c->cell, c->cells, sizeof *c->cell, by_cell);
    for (size_t i = 0; i < c->cells; i++)
        if (n > 0 && by_cell(&c->cell[n - 1], &c->cell[i]) == 0)
            add_cell(&c->cell[n - 1], &c->cell[i]);
        else
            c->cell[n++] = c->cell[i];
    c->cells = n;
}

static void fold_points(struct counts *c)
{
    size_t n = 0;

    if (c->points > 1)
        qsort(c->point, c->points, sizeof *c->point, by_point);
    for (size_t i = 0; i < c->points; i++)
        if (n > 0 && by_point(&c->point[n - 1], &c->point[i]) == 0)
            c->point[n - 1].count += c->point[i].count;
        else
            c->point[n++] = c->point[i];
    c->points = n;
}

void counts_fold(struct counts *c)
{
    fold_cells(c);
    fold_points(c);
}

/* Both merges: two folded lists become one; from's times are all set to start before. */
static size_t merge_cells(const struct counts *a, const struct counts *b, struct count_cell *out)
{
    size_t i = 0, k = 0, n = 0;

    while (i < a->cells || k < b->cells) {
        int order = i == a->cells ? 1 : k == b->cells ? -1 : by_cell(&a->cell[i], &b->cell[k]);
        out[n] = order <= 0 ? a->cell[i++] : b->cell[k++];
        if (order == 0)
            add_cell(&out[n], &b->cell[k++]);
        n++;
    }
    return n;
}

static size_t merge_points(const struct counts *a, const struct counts *b, struct count_point *out)
{
    size_t i = 0, k = 0, n = 0;

    while (i < a->points || k < b->points) {
        int order = i == a->points ? 1 : k == b->points ? -1 : by_point(&a->point[i], &b->point[k]);
        out[n] = order <= 0 ? a->point[i++] : b->point[k++];
        if (order == 0)
            out[n].count += b->point[k++].count;
        n++;
    }
    return n;
}

int counts_add(struct counts *into, struct counts *from, int64_t start)
{
    struct counts sum = { 0 };
    int rc = reserve(&sum, into->cells + from->cells, into->points + from->points);

    for (size_t i = 0; i < from->cells; i++)
        from->cell[i].start = start;
    for (size_t i = 0; i < from->points; i++)
        from->point[i].at = (uint64_t)start << 32 | (uint32_t)from->point[i].at;
    if (rc == 0) {
        sum.cells = merge_cells(into, from, sum.cell);
        sum.points = merge_points(into, from, sum.point);
        counts_fini(into);
        *into = sum;
    } else {
        counts_fini(&sum);
    }
    return rc;
}

void counts_range(const struct counts *c, int64_t *first_id, int64_t *last_id)
{
    *first_id = *last_id = 0;
    for (size_t i = 0; i < c->cells; i++) {
        if (i == 0 || c->cell[i].first_id < *first_id)
            *first_id = c->cell[i].first_id;
        if (c->cell[i].last_id > *last_id)
            *last_id = c->cell[i].last_id;
    }
}

/* ------------------------------------------------------------------ counting */

int counter_open(struct counter *c, struct rebuild *r)
{
    *c = (struct counter){ .counts = { .cell_room = CELLS_MAX, .point_room = POINTS_MAX } };
    c->counts.cell = malloc(CELLS_MAX * sizeof *c->counts.cell);
    c->counts.point = malloc(POINTS_MAX * sizeof *c->counts.point);
    c->index = calloc(INDEX_SLOTS, sizeof *c->index);
    if (c->counts.cell == NULL || c->counts.point == NULL || c->index == NULL)
        return -SQLITE_NOMEM;
    return spill_open(&c->spill, r);
}

void counter_close(struct counter *c, struct rebuild *r)
{
    counts_fini(&c->counts);
    free(c->index);
    spill_close(&c->spill, r);
}

/* A piece is how many cells and points it holds, then they themselves. */
struct piece_head {
    uint64_t cells, points;
};

static int put_piece(struct counter *c, const struct count_cell *cell, size_t cells,
                     const struct count_point *point, size_t points)
{
    struct piece_head head = { cells, points };
    size_t cell_bytes = cells * sizeof *cell, point_bytes = points * sizeof *point;
    uint8_t *body = malloc(sizeof head + cell_bytes + point_bytes);

    if (body == NULL)
        return -SQLITE_NOMEM;
    memcpy(body, &head, sizeof head);
    memcpy(body + sizeof head, cell, cell_bytes);
    memcpy(body + sizeof head + cell_bytes, point, point_bytes);
    int rc = spill_put(&c->spill, cell->start, body, sizeof head + cell_bytes + point_bytes);
    free(body);
    return rc;
}

/* Everything in memory, one piece for each time. */
static int spill_all(struct counter *c)
{
    struct counts *k = &c->counts;
    size_t cell = 0, point = 0;
    int rc = 0;

    counts_fold(k);
    while (rc == 0 && cell < k->cells) {
        size_t first = cell, first_point = point;
        int64_t start = k->cell[cell].start;
        while (cell < k->cells && k->cell[cell].start == start)
            cell++;
        while (point < k->points && (int64_t)(k->point[point].at >> 32) == start)
            point++;
        rc = put_piece(c, k->cell + first, cell - first, k->point + first_point, point - first_point);
    }
    c->spill.part++;
    counts_clear(k);
    memset(c->index, 0, INDEX_SLOTS * sizeof *c->index);
    return rc;
}

/* Room for one event. Points that are many, but few different ones, become few again. */
static int make_room(struct counter *c)
{
    if (c->counts.points + POINTS_EACH > POINTS_MAX)
        fold_points(&c->counts);
    return c->counts.cells == CELLS_MAX || c->counts.points > POINTS_KEPT ? spill_all(c) : 0;
}

int counter_cell(struct counter *c, int64_t start, int64_t dims, int64_t id, struct slab_cell **out)
{
    if (c->counts.cells == CELLS_MAX || c->counts.points + POINTS_EACH > POINTS_MAX) {
        int rc = make_room(c);
        if (rc != 0)
            return rc;
    }
    uint64_t hash = ((uint64_t)start << 32 ^ (uint64_t)dims) * 0x9e3779b97f4a7c15ULL;
    uint32_t i = (uint32_t)(hash >> 40) & (INDEX_SLOTS - 1);
    for (; c->index[i] != 0; i = (i + 1) & (INDEX_SLOTS - 1)) {
        struct count_cell *known = &c->counts.cell[c->index[i] - 1];
        if (known->start == start && known->cell.dims == dims) {
            known->first_id = id < known->first_id ? id : known->first_id;
            known->last_id = id > known->last_id ? id : known->last_id;
            *out = &known->cell;
            return 0;
        }
    }
    struct count_cell *fresh = &c->counts.cell[c->counts.cells++];
    *fresh = (struct count_cell){ .start = start, .first_id = id, .last_id = id, .cell.dims = dims };
    c->index[i] = (uint32_t)c->counts.cells;
    *out = &fresh->cell;
    return 0;
}

void counter_value(struct counter *c, const struct slab_cell *cell, int64_t start, enum slab_sketch sketch,
                   int64_t value)
{
    c->counts.point[c->counts.points++] =
        (struct count_point){ .at = (uint64_t)start << 32 | (uint32_t)cell->dims,
                              .bucket = (uint32_t)sketch << 16 | sketch_bucket(value),
                              .count = 1 };
}

/* ------------------------------------------------------------------- reading */

static int read_piece(struct counter *c)
{
    int rc = spill_next(&c->spill, &c->next, &c->piece, &c->piece_len);

    if (rc == 0)
        c->piece = NULL;
    return rc < 0 ? rc : 0;
}

int counter_done(struct counter *c)
{
    int rc = spill_all(c);

    return rc != 0 ? rc : read_piece(c);
}

static int take_piece(struct counter *c, struct counts *out)
{
    struct piece_head head;
    const uint8_t *at = c->piece;
    int rc;

    memcpy(&head, at, sizeof head);
    if ((rc = reserve(out, head.cells, head.points)) != 0)
        return rc;
    at += sizeof head;
    memcpy(out->cell + out->cells, at, head.cells * sizeof *out->cell);
    if (head.points > 0)
        memcpy(out->point + out->points, at + head.cells * sizeof *out->cell,
               head.points * sizeof *out->point);
    out->cells += head.cells;
    out->points += head.points;
    return 0;
}

int counter_next(struct counter *c, int64_t *start, struct counts *out)
{
    int rc = 0;

    counts_clear(out);
    if (c->piece == NULL)
        return 0;
    *start = c->next;
    while (rc == 0 && c->piece != NULL && c->next == *start)
        if ((rc = take_piece(c, out)) == 0)
            rc = read_piece(c);
    counts_fold(out);
    return rc != 0 ? rc : 1;
}
