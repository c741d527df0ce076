/* SPDX-License-Identifier: MIT
 *
 * slab_merge.c: columns are merged one after the other as numbers; a sketch that only one side has is
 * copied as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "sketch.h"
#include "slab_pack.h"

#define NUMBERS SLAB_LATENCY_SKETCH /* columns before the sketches */
#define SPARSE  8                   /* a side with this many times fewer points than the other has few */

void slab_merger_fini(struct slab_merger *m)
{
    free(m->numbers);
    free(m->from);
    *m = (struct slab_merger){ 0 };
}

/* ------------------------------------------------------------------ merging */

/* One of the two sides. An absent cell is read from behind the last one, where there is a 0. */
struct side {
    struct slab_view view;
    int64_t *dims, *calls, *column; /* [cells + 1], borrowed from the merger */
    uint32_t *from;                 /* for each merged cell: index of this side's, or cells */
};

struct merge {
    struct side a, b;
    uint64_t sign;  /* 1, or -1 modulo 2^64 */
    uint32_t cells; /* merged, those that became 0 included */
    uint32_t kept;
    int64_t *number; /* [NUMBERS][cells], without the dropped ones */
    int64_t *alive;  /* [cells]; 0: all its numbers are 0 */
};

static int merger_reserve(struct slab_merger *m, size_t numbers, size_t from)
{
    if (m->numbers_room < numbers) {
        free(m->numbers);
        m->numbers = malloc(numbers * sizeof *m->numbers);
        m->numbers_room = m->numbers != NULL ? numbers : 0;
    }
    if (m->from_room < from) {
        free(m->from);
        m->from = malloc(from * sizeof *m->from);
        m->from_room = m->from != NULL ? from : 0;
    }
    return m->numbers != NULL && m->from != NULL ? 0 : SLAB_NO_MEMORY;
}

static int64_t *side_place(struct side *s, int64_t *at)
{
    const size_t n = s->view.cells + 1;

    s->dims = at;
    s->calls = at + n;
    s->column = at + 2 * n;
    s->calls[s->view.cells] = s->column[s->view.cells] = 0;
    s->dims[s->view.cells] = INT64_MAX;
    return at + 3 * n;
}

/* Gives both sides their places; the merged cells are not counted yet, so there is room for all. */
static int merge_place(struct merge *g, struct slab_merger *m)
{
    const size_t na = g->a.view.cells, nb = g->b.view.cells, all = na + nb;

    if (merger_reserve(m, 3 * (na + 1) + 3 * (nb + 1) + (1 + NUMBERS) * all, 2 * all + 2) != 0)
        return SLAB_NO_MEMORY;
    g->alive = side_place(&g->b, side_place(&g->a, m->numbers));
    g->number = g->alive + all;
    g->a.from = m->from;
    g->b.from = m->from + all + 1;
    return 0;
}

/* Pairs the cells of both sides by dims. */
static int merge_dims(struct merge *g)
{
    const int64_t *a = g->a.dims, *b = g->b.dims;
    uint32_t n = 0, i = 0, j = 0;

    if (slab_read(&g->a.view, SLAB_DIMS, NULL, g->a.dims) != 0 ||
        slab_read(&g->b.view, SLAB_DIMS, NULL, g->b.dims) != 0)
        return SLAB_DAMAGED;
    for (; i < g->a.view.cells || j < g->b.view.cells; n++) {
        bool from_a = a[i] <= b[j], from_b = b[j] <= a[i];
        g->number[n] = from_a ? a[i] : b[j];
        g->a.from[n] = from_a ? i : g->a.view.cells;
        g->b.from[n] = from_b ? j : g->b.view.cells;
        i += from_a;
        j += from_b;
    }
    g->cells = n;
    memset(g->alive, 0, n * sizeof *g->alive);
    return 0;
}

static int side_read(struct side *s, enum slab_column column)
{
    return slab_read(&s->view, column, s->calls, column == SLAB_CALLS ? s->calls : s->column);
}

static int merge_numbers(struct merge *g)
{
    for (enum slab_column c = SLAB_CALLS; c < NUMBERS; c++) {
        const int64_t *a = c == SLAB_CALLS ? g->a.calls : g->a.column;
        const int64_t *b = c == SLAB_CALLS ? g->b.calls : g->b.column;
        int64_t *out = g->number + (size_t)c * g->cells;
        if (side_read(&g->a, c) != 0 || side_read(&g->b, c) != 0)
            return SLAB_DAMAGED;
        for (uint32_t i = 0; i < g->cells; i++) {
            out[i] = (int64_t)((uint64_t)a[g->a.from[i]] + g->sign * (uint64_t)b[g->b.from[i]]);
            g->alive[i] |= out[i];
        }
    }
    return 0;
}

/* ------------------------------------------------------ merging of sketches */

/* Copies the points in buckets below limit; most as they are, for their distances do not change. */
static void copy_below(struct slab_sketch_out *out, struct slab_points *p, uint32_t limit)
{
    uint16_t bucket;
    int64_t count;

    if (out->n == 0 || p->bucket != out->bucket + 1) { /* the one before is not the one it was */
        if (!slab_points_next_below(p, limit, &bucket, &count))
            return;
        slab_sketch_point(out, bucket, (uint64_t)count);
    }
    const uint8_t *at = p->at;
    uint32_t n = slab_points_skip_below(p, limit);
    if (n > 0) {
        memcpy(out->out->at + out->out->len, at, (size_t)(p->at - at));
        out->out->len += (size_t)(p->at - at);
        out->bucket = p->bucket - 1;
        out->n += n;
    }
}

/* Buckets that are in use. */
struct range {
    uint32_t low, end;
};

static void add_counts(struct slab_points *p, int64_t *counts, struct range *r)
{
    uint16_t bucket;
    int64_t count;

    if (!slab_points_next(p, &bucket, &count))
        return;
    counts[bucket] = (int64_t)((uint64_t)counts[bucket] + (uint64_t)count);
    slab_points_add(p, counts);
    r->low = bucket < r->low ? bucket : r->low;
    r->end = p->bucket > r->end ? p->bucket : r->end;
}

/* Fast if both have many points. counts: all 0, before and (unless a side is damaged) after. */
static void merge_many(struct slab_sketch_out *out, struct slab_points *a, struct slab_points *b,
                       uint64_t sign, int64_t *counts)
{
    struct range r = { SKETCH_BUCKETS, 0 };

    add_counts(b, counts, &r);
    for (uint32_t i = r.low; sign != 1 && i < r.end; i++)
        counts[i] = (int64_t)(sign * (uint64_t)counts[i]);
    add_counts(a, counts, &r);
    slab_sketch_counts(out, counts, r.low, r.end);
}

/* Fast if b has few points. */
static void merge_few(struct slab_sketch_out *out, struct slab_points *a, struct slab_points *b,
                      uint64_t sign)
{
    uint16_t bucket;
    int64_t count, count_a;

    while (slab_points_next(b, &bucket, &count)) {
        copy_below(out, a, bucket);
        uint64_t sum = sign * (uint64_t)count;
        if (slab_points_next_below(a, bucket + 1u, &bucket, &count_a))
            sum += (uint64_t)count_a;
        if (sum != 0)
            slab_sketch_point(out, bucket, sum);
    }
    copy_below(out, a, SKETCH_BUCKETS);
}

/* Goes to a side's part of the next merged cell; how many points it has, or SLAB_DAMAGED. */
static int side_cell(const struct side *s, uint32_t cell, struct slab_points *p)
{
    if (s->from[cell] != s->view.cells)
        return slab_points_cell(p);
    return slab_points_skip(p) ? 0 : SLAB_DAMAGED;
}

static bool side_is_over(struct slab_points *p)
{
    return slab_points_skip(p) && p->at == (p->at != NULL ? p->end : NULL);
}

/* Merges one sketch column into out; or, asking, only marks the cells alive that have nothing else. */
static int merge_sketch(struct merge *g, enum slab_column column, struct slab_sketch_out *out, bool asking)
{
    struct slab_points pa = slab_points(&g->a.view, column), pb = slab_points(&g->b.view, column);
    int64_t counts[SKETCH_BUCKETS] = { 0 };

    for (uint32_t i = 0; i < g->cells; i++) {
        int na = side_cell(&g->a, i, &pa), nb = side_cell(&g->b, i, &pb);
        if (na < 0 || nb < 0)
            return SLAB_DAMAGED;
        if ((g->alive[i] != 0) == asking)
            continue;
        if (slab_sketch_cell(out, (uint32_t)(na + nb)) != 0)
            return SLAB_NO_MEMORY;
        if (nb <= na / SPARSE)
            merge_few(out, &pa, &pb, g->sign);
        else
            merge_many(out, &pa, &pb, g->sign, counts);
        g->alive[i] |= out->n;
        if (asking)
            out->out->len = out->cell;
        else
            slab_sketch_cell_end(out);
    }
    return side_is_over(&pa) && side_is_over(&pb) ? 0 : SLAB_DAMAGED;
}

/* Takes the cells that became 0 out of the columns of numbers. */
static void drop_cells(struct merge *g)
{
    for (int c = 0; c < NUMBERS; c++) {
        int64_t *at = g->number + (size_t)c * g->cells, *to = at;
        for (uint32_t i = 0; i < g->cells; i++)
            if (g->alive[i] != 0)
                *to++ = at[i];
    }
}

static int find_alive(struct merge *g, struct slab_bytes *scratch)
{
    struct slab_sketch_out ask = slab_sketch_start(scratch);
    int rc = 0;

    g->kept = 0;
    for (uint32_t i = 0; i < g->cells; i++)
        g->kept += g->alive[i] != 0;
    if (g->kept == g->cells)
        return 0;
    for (unsigned i = 0; rc == 0 && i < SLAB_SKETCHES; i++)
        rc = merge_sketch(g, SLAB_LATENCY_SKETCH + i, &ask, true);
    g->kept = 0;
    for (uint32_t i = 0; i < g->cells; i++)
        g->kept += g->alive[i] != 0;
    drop_cells(g);
    return rc;
}

static struct slab_numbers merged(const struct merge *g, enum slab_column column)
{
    return (struct slab_numbers){ g->number + (size_t)column * g->cells, sizeof *g->number };
}

static int merge_pack(struct merge *g, struct slab_packer *p)
{
    int rc = find_alive(g, p->out);

    if (rc == 0 && g->kept > SLAB_CELLS_MAX)
        rc = SLAB_DAMAGED;
    if (rc == 0)
        rc = slab_pack_dims(p, merged(g, SLAB_DIMS), g->kept);
    for (unsigned c = SLAB_CALLS; rc == 0 && c < NUMBERS; c++)
        rc = slab_pack_numbers(p, c, merged(g, c), g->kept, merged(g, SLAB_CALLS));
    for (unsigned i = 0; rc == 0 && i < SLAB_SKETCHES; i++) {
        struct slab_sketch_out out = slab_sketch_start(p->out);
        rc = merge_sketch(g, SLAB_LATENCY_SKETCH + i, &out, false);
        slab_sketch_end(&out, &p->size[SLAB_LATENCY_SKETCH + i]);
    }
    return rc;
}

int slab_merge(struct slab_merger *m, const void *a, size_t a_len, const void *b, size_t b_len, int sign,
               struct slab_bytes *out)
{
    struct merge g = { .sign = (uint64_t)(int64_t)sign };
    struct slab_packer p;
    int rc;

    out->len = 0;
    if ((a_len != 0 && slab_open(a, a_len, &g.a.view) != 0) ||
        (b_len != 0 && slab_open(b, b_len, &g.b.view) != 0))
        return SLAB_DAMAGED;
    if ((rc = merge_place(&g, m)) != 0 || (rc = merge_dims(&g)) != 0 || (rc = merge_numbers(&g)) != 0 ||
        (rc = slab_packer_start(&p, out)) != 0)
        return rc;
    rc = merge_pack(&g, &p);
    return slab_packer_end(&p, g.kept, rc);
}
