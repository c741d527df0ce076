/* SPDX-License-Identifier: MIT */
#include "rebuild_slab.h"

#include <stdio.h>
#include <stdlib.h>

#define NUMBERS SLAB_LATENCY_SKETCH /* columns before the sketches */

static const char *const column_name[SLAB_COLUMNS] = {
    [SLAB_CALLS] = "calls",
    [SLAB_PARTIAL] = "partial",
#define X(name) [SLAB_SUM + SUM_##name] = #name,
    DISPATCH_SUMMED(X)
#undef X
#define X(name) [SLAB_KNOWN + SUM_##name] = #name "_known",
        DISPATCH_SUMMED(X)
#undef X
            [SLAB_LATENCY_SKETCH] = "latency_ms sketch",
    [SLAB_TTFT_SKETCH] = "ttft_ms sketch",
};

/* A stored slab, with its numbers read. */
struct stored {
    struct slab_view view;
    int64_t *number; /* owned; by column, then by cell */
};

static const int64_t *numbers(const struct stored *s, enum slab_column column)
{
    return s->number + (size_t)column * s->view.cells;
}

/* 0, -1: damaged, -SQLITE_NOMEM. */
static int stored_open(struct stored *s, const void *body, size_t len)
{
    *s = (struct stored){ .number = NULL };
    if (slab_open(body, len, &s->view) != 0)
        return -1;
    s->number = calloc((size_t)NUMBERS * s->view.cells + 1, sizeof *s->number);
    if (s->number == NULL)
        return -SQLITE_NOMEM;
    for (int column = 0; column < NUMBERS; column++)
        if (slab_read(&s->view, (enum slab_column)column, numbers(s, SLAB_CALLS),
                      s->number + (size_t)column * s->view.cells) != 0)
            return -1;
    return 0;
}

static void stored_close(struct stored *s)
{
    free(s->number);
}

static int64_t counted(const struct slab_cell *cell, enum slab_column column)
{
    if (column == SLAB_CALLS)
        return cell->calls;
    if (column == SLAB_PARTIAL)
        return cell->partial;
    return column < SLAB_KNOWN ? cell->sum[column - SLAB_SUM] : cell->known[column - SLAB_KNOWN];
}

/* Only the first column that differs is put in words. */
static void compare_cell(struct rebuild *r, const char *what, const struct stored *s, uint32_t at,
                         const struct slab_cell *cell)
{
    for (int column = SLAB_CALLS; column < NUMBERS; column++) {
        int64_t have = numbers(s, (enum slab_column)column)[at],
                want = counted(cell, (enum slab_column)column);
        if (have != want) {
            rebuild_differ(r, "%s, combination %lld: %s is %lld, the log says %lld", what,
                           (long long)cell->dims, column_name[column], (long long)have, (long long)want);
            return;
        }
    }
}

static void compare_cells(struct rebuild *r, const char *what, const struct stored *s, const struct counts *c)
{
    const int64_t *dims = numbers(s, SLAB_DIMS), *calls = numbers(s, SLAB_CALLS);
    uint32_t at = 0;
    size_t i = 0;

    while (i < c->cells || at < s->view.cells) {
        const struct slab_cell *cell = i < c->cells ? &c->cell[i].cell : NULL;
        if (cell != NULL && cell->dims == 0) {
            i++; /* events that are not summed */
        } else if (cell == NULL || (at < s->view.cells && dims[at] < cell->dims)) {
            rebuild_differ(r, "%s, combination %lld: %lld calls, the log has none", what, (long long)dims[at],
                           (long long)calls[at]);
            at++;
        } else if (at == s->view.cells || dims[at] > cell->dims) {
            rebuild_differ(r, "%s, combination %lld: missing, the log has %lld calls", what,
                           (long long)cell->dims, (long long)cell->calls);
            i++;
        } else {
            compare_cell(r, what, s, at++, cell);
            i++;
        }
    }
}

/* ------------------------------------------------------------------ sketches */

static int64_t dims_of(const struct count_point *p)
{
    return (int64_t)(uint32_t)p->at;
}

/* The points of one cell's sketch: from *at on those with its dims and sketch. Whether they are equal. */
static bool same_points(struct slab_points *stored, const struct counts *c, size_t *at, int64_t dims,
                        uint32_t sketch)
{
    bool same = true;
    uint16_t bucket;
    int64_t count;

    while (*at < c->points && (dims_of(&c->point[*at]) < dims ||
                               (dims_of(&c->point[*at]) == dims && c->point[*at].bucket >> 16 < sketch)))
        (*at)++;
    for (; *at < c->points && dims_of(&c->point[*at]) == dims && c->point[*at].bucket >> 16 == sketch;
         (*at)++)
        same = same && slab_points_next(stored, &bucket, &count) &&
               bucket == (uint16_t)c->point[*at].bucket && count == c->point[*at].count;
    return same && !slab_points_next(stored, &bucket, &count);
}

static void compare_sketch(struct rebuild *r, const char *what, const struct stored *s,
                           const struct counts *c, enum slab_sketch sketch)
{
    enum slab_column column = (enum slab_column)(SLAB_LATENCY_SKETCH + (int)sketch);
    struct slab_points p = slab_points(&s->view, column);
    size_t at = 0;

    for (uint32_t i = 0; i < s->view.cells; i++) {
        int64_t dims = numbers(s, SLAB_DIMS)[i];
        if (slab_points_cell(&p) < 0) {
            rebuild_differ(r, "%s: the %s is damaged", what, column_name[column]);
            return;
        }
        if (!same_points(&p, c, &at, dims, sketch))
            rebuild_differ(r, "%s, combination %lld: the %s is not what the log says", what, (long long)dims,
                           column_name[column]);
    }
}

int slab_compare(struct rebuild *r, const char *what, const void *body, size_t len, const struct counts *c)
{
    struct stored s;
    int rc = stored_open(&s, body, len);

    if (rc == 0) {
        compare_cells(r, what, &s, c);
        for (int sketch = 0; sketch < SLAB_SKETCHES; sketch++)
            compare_sketch(r, what, &s, c, (enum slab_sketch)sketch);
    } else if (rc == -1) {
        rebuild_differ(r, "%s: the slab is damaged", what);
        rc = 0;
    }
    stored_close(&s);
    return rc;
}

/* ------------------------------------------------------------------ packing */

struct unpacked {
    struct slab_cell *cell;                  /* owned */
    struct slab_point *point[SLAB_SKETCHES]; /* owned */
    uint32_t cells, points[SLAB_SKETCHES];
};

static void take_points(struct unpacked *u, const struct counts *c, size_t *at, uint32_t cell)
{
    for (; *at < c->points && dims_of(&c->point[*at]) == u->cell[cell].dims; (*at)++) {
        const struct count_point *p = &c->point[*at];
        uint32_t sketch = p->bucket >> 16;
        u->point[sketch][u->points[sketch]++] =
            (struct slab_point){ .cell = cell, .bucket = (uint16_t)p->bucket, .count = p->count };
    }
}

int slab_of_counts(const struct counts *c, struct slab_bytes *out, uint32_t *cells)
{
    struct unpacked u = { .cell = malloc((c->cells + 1) * sizeof *u.cell) };
    int rc = u.cell == NULL ? -SQLITE_NOMEM : 0;
    size_t at = 0;

    for (int sketch = 0; sketch < SLAB_SKETCHES; sketch++)
        if ((u.point[sketch] = malloc((c->points + 1) * sizeof *u.point[sketch])) == NULL)
            rc = -SQLITE_NOMEM;
    for (size_t i = 0; rc == 0 && i < c->cells; i++)
        if (c->cell[i].cell.dims != 0) {
            u.cell[u.cells] = c->cell[i].cell;
            take_points(&u, c, &at, u.cells++);
        }
    struct slab slab = { u.cell, { u.point[0], u.point[1] }, u.cells, { u.points[0], u.points[1] } };
    if (rc == 0 && slab_pack(&slab, out) != 0)
        rc = -SQLITE_NOMEM;
    *cells = u.cells;
    free(u.cell);
    for (int sketch = 0; sketch < SLAB_SKETCHES; sketch++)
        free(u.point[sketch]);
    return rc;
}
