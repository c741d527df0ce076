/* SPDX-License-Identifier: MIT
 *
 * slab_merge.c: writing. Columns are merged one after the other as numbers; a sketch that only one
 * side has is copied as it is. The columns are written behind room for the longest possible head,
 * and moved to the head once their lengths are known.
 */
#include <stdlib.h>
#include <string.h>

#include "leb128.h"
#include "sketch.h"
#include "slab.h"

#define HEAD_MAX  (1 + (2 + SLAB_COLUMNS) * LEB128_MAX)
#define NUMBERS   SLAB_LATENCY_SKETCH /* columns before the sketches */
#define POINT_MAX (2 * LEB128_MAX)
#define DAMAGED   (-1)
#define NO_MEMORY (-2)
#define SPARSE    8 /* a side with this many times fewer points than the other has few */

void slab_bytes_fini(struct slab_bytes *b)
{
    free(b->at);
    *b = (struct slab_bytes){ 0 };
}

void slab_merger_fini(struct slab_merger *m)
{
    free(m->numbers);
    free(m->from);
    *m = (struct slab_merger){ 0 };
}

static int reserve(struct slab_bytes *b, size_t more)
{
    if (b->room - b->len >= more)
        return 0;
    size_t room = (b->len + more) * 3 / 2 + 256;
    uint8_t *at = realloc(b->at, room);
    if (at == NULL)
        return NO_MEMORY;
    b->at = at;
    b->room = room;
    return 0;
}

int slab_bytes_copy(struct slab_bytes *b, const void *from, size_t len)
{
    b->len = 0;
    if (reserve(b, len) != 0)
        return NO_MEMORY;
    memcpy(b->at, from, len);
    b->len = len;
    return 0;
}

/* ------------------------------------------------------------------ packing */

struct packer {
    struct slab_bytes *out;
    size_t size[SLAB_COLUMNS];
};

static int packer_start(struct packer *p, struct slab_bytes *out)
{
    *p = (struct packer){ .out = out };
    out->len = 0;
    if (reserve(out, HEAD_MAX) != 0)
        return NO_MEMORY;
    out->len = HEAD_MAX;
    return 0;
}

/* rc: what went wrong on the way, or 0. */
static int packer_end(struct packer *p, uint32_t cells, int rc)
{
    uint8_t head[HEAD_MAX], *at = head;
    struct slab_bytes *out = p->out;

    if (rc != 0) {
        out->len = 0;
        return rc;
    }
    *at++ = SLAB_VERSION;
    at = leb128_put(at, cells);
    at = leb128_put(at, SLAB_COLUMNS);
    for (int i = 0; i < SLAB_COLUMNS; i++)
        at = leb128_put(at, p->size[i]);
    size_t head_len = (size_t)(at - head), rest = out->len - HEAD_MAX;
    memcpy(out->at, head, head_len);
    memmove(out->at + head_len, out->at + HEAD_MAX, rest);
    out->len = head_len + rest;
    return 0;
}

/* Numbers that lie some bytes apart. */
struct numbers {
    const void *at;
    size_t stride;
};

static inline uint64_t number(struct numbers n, uint32_t i)
{
    return *(const uint64_t *)(const void *)((const char *)n.at + i * n.stride);
}

/* What a column needs to be known of before it is written. */
struct extent {
    uint64_t all;   /* bits that any number has */
    size_t plain;   /* bytes as LEB128 */
    bool are_calls; /* each is its cell's calls */
    bool are_some;  /* each is that, or 0 */
};

static struct extent extent_of(struct numbers n, uint32_t cells, struct numbers calls)
{
    struct extent e = { 0 };
    uint64_t other = 0, neither = 0;

    for (uint32_t i = 0; i < cells; i++) {
        uint64_t this = number(n, i), distance = this ^ number(calls, i);
        e.all |= this;
        other |= distance;
        neither |= this != 0 ? distance : 0;
    }
    e.are_calls = other == 0;
    e.are_some = neither == 0;
    for (uint32_t i = 0; e.all != 0 && i < cells; i++)
        e.plain += leb128_size(number(n, i));
    return e;
}

static uint8_t *put_plain(uint8_t *at, struct numbers n, uint32_t cells)
{
    *at++ = SLAB_PLAIN;
    for (uint32_t i = 0; i < cells; i++)
        at = leb128_put(at, number(n, i));
    return at;
}

/* Writes up to seven bytes more than it says. */
static uint8_t *put_fixed(uint8_t *at, struct numbers n, uint32_t cells, unsigned w)
{
    *at++ = SLAB_FIXED;
    *at++ = (uint8_t)w;
    for (uint32_t i = 0; i < cells; i++, at += w) {
        uint64_t le = number(n, i);
        if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
            le = __builtin_bswap64(le);
        memcpy(at, &le, sizeof le);
    }
    return at;
}

/* May its numbers be told by the cells' calls? */
static bool is_of_calls(enum slab_column column)
{
    return column == SLAB_PARTIAL || column >= SLAB_KNOWN;
}

static uint8_t *put_some(uint8_t *at, struct numbers n, uint32_t cells)
{
    const size_t bytes = (cells + 7) / 8;

    *at++ = SLAB_CALLS_SOME;
    memset(at, 0, bytes);
    for (uint32_t i = 0; i < cells; i++)
        at[i / 8] |= (uint8_t)((number(n, i) != 0) << i % 8);
    return at + bytes;
}

static int put_numbers(struct packer *p, enum slab_column column, struct numbers n, uint32_t cells,
                       struct numbers calls)
{
    const struct extent e = extent_of(n, cells, calls);
    const unsigned w = (71 - (unsigned)__builtin_clzll(e.all | 1)) / 8;
    struct slab_bytes *out = p->out;

    if (reserve(out, 16 + (size_t)cells * LEB128_MAX) != 0)
        return NO_MEMORY;
    uint8_t *start = out->at + out->len, *at = start;
    if (e.all == 0)
        *at++ = SLAB_ZERO;
    else if (e.are_calls && is_of_calls(column))
        *at++ = SLAB_CALLS_ALL;
    else if (e.are_some && is_of_calls(column))
        at = put_some(at, n, cells);
    else if (2 * (size_t)w * cells <= 3 * e.plain)
        at = put_fixed(at, n, cells, w);
    else
        at = put_plain(at, n, cells);
    p->size[column] = (size_t)(at - start);
    out->len += p->size[column];
    return 0;
}

static int put_dims(struct packer *p, struct numbers dims, uint32_t cells)
{
    struct slab_bytes *out = p->out;
    uint64_t before = 0;

    if (reserve(out, (size_t)cells * LEB128_MAX) != 0)
        return NO_MEMORY;
    uint8_t *at = out->at + out->len, *start = at;
    for (uint32_t i = 0; i < cells; i++) {
        at = leb128_put(at, number(dims, i) - before);
        before = number(dims, i);
    }
    p->size[SLAB_DIMS] = (size_t)(at - start);
    out->len += p->size[SLAB_DIMS];
    return 0;
}

/* ------------------------------------------------------- packing of sketches */

/* One sketch column being written. */
struct sketch_out {
    struct slab_bytes *out;
    size_t start, cell; /* where the column and its last cell begin */
    uint32_t n, bucket; /* points of the cell; its last bucket */
    bool any;           /* a cell had a point */
};

static struct sketch_out sketch_start(struct slab_bytes *out)
{
    return (struct sketch_out){ .out = out, .start = out->len };
}

/* Begins a cell of at most max points. One byte is left for their number. */
static int cell_start(struct sketch_out *s, uint32_t max)
{
    if (reserve(s->out, LEB128_MAX + (size_t)max * POINT_MAX) != 0)
        return NO_MEMORY;
    s->cell = s->out->len++;
    s->n = 0;
    s->bucket = 0;
    return 0;
}

static inline void put_point(struct sketch_out *s, uint32_t bucket, uint64_t count)
{
    uint8_t *at = s->out->at + s->out->len;

    at = leb128_put(at, bucket - s->bucket);
    at = leb128_put(at, count);
    s->out->len = (size_t)(at - s->out->at);
    s->bucket = bucket;
    s->n++;
}

static void cell_end(struct sketch_out *s)
{
    uint8_t *at = s->out->at + s->cell;
    size_t more = leb128_size(s->n) - 1;

    if (more > 0)
        memmove(at + 1 + more, at + 1, s->out->len - s->cell - 1);
    leb128_put(at, s->n);
    s->out->len += more;
    s->any |= s->n != 0;
}

static void sketch_end(struct sketch_out *s, size_t *size)
{
    if (!s->any)
        s->out->len = s->start;
    *size = s->out->len - s->start;
}

static int put_sketch(struct packer *p, const struct slab *s, enum slab_sketch sketch)
{
    const struct slab_point *at = s->point[sketch], *next = at;
    uint32_t left = s->points[sketch];
    struct sketch_out out = sketch_start(p->out);

    for (uint32_t i = 0; i < s->cells; i++) {
        for (; left > 0 && next->cell == i; left--)
            next++;
        if (cell_start(&out, (uint32_t)(next - at)) != 0)
            return NO_MEMORY;
        for (; at < next; at++)
            put_point(&out, at->bucket, (uint64_t)at->count);
        cell_end(&out);
    }
    sketch_end(&out, &p->size[SLAB_LATENCY_SKETCH + sketch]);
    return 0;
}

int slab_pack(const struct slab *s, struct slab_bytes *out)
{
    static const struct slab_cell none;
    const struct slab_cell *cell = s->cells > 0 ? s->cell : &none;
    const struct numbers calls = { &cell->calls, sizeof *cell };
    struct packer p;
    int rc;

    out->len = 0;
    if (s->cells > SLAB_CELLS_MAX)
        return DAMAGED;
    if ((rc = packer_start(&p, out)) == 0 &&
        (rc = put_dims(&p, (struct numbers){ &cell->dims, sizeof *cell }, s->cells)) == 0 &&
        (rc = put_numbers(&p, SLAB_CALLS, calls, s->cells, calls)) == 0)
        rc = put_numbers(&p, SLAB_PARTIAL, (struct numbers){ &cell->partial, sizeof *cell }, s->cells, calls);
    for (unsigned i = 0; rc == 0 && i < DISPATCH_SUMS; i++)
        rc = put_numbers(&p, SLAB_SUM + i, (struct numbers){ &cell->sum[i], sizeof *cell }, s->cells, calls);
    for (unsigned i = 0; rc == 0 && i < DISPATCH_SUMS; i++)
        rc = put_numbers(&p, SLAB_KNOWN + i, (struct numbers){ &cell->known[i], sizeof *cell }, s->cells,
                         calls);
    for (unsigned i = 0; rc == 0 && i < SLAB_SKETCHES; i++)
        rc = put_sketch(&p, s, i);
    return packer_end(&p, s->cells, rc);
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
    return m->numbers != NULL && m->from != NULL ? 0 : NO_MEMORY;
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
        return NO_MEMORY;
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
        return DAMAGED;
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
            return DAMAGED;
        for (uint32_t i = 0; i < g->cells; i++) {
            out[i] = (int64_t)((uint64_t)a[g->a.from[i]] + g->sign * (uint64_t)b[g->b.from[i]]);
            g->alive[i] |= out[i];
        }
    }
    return 0;
}

/* ------------------------------------------------------ merging of sketches */

/* Copies the points in buckets below limit; most as they are, for their distances do not change. */
static void copy_below(struct sketch_out *out, struct slab_points *p, uint32_t limit)
{
    uint16_t bucket;
    int64_t count;

    if (out->n == 0 || p->bucket != out->bucket + 1) { /* the one before is not the one it was */
        if (!slab_points_next_below(p, limit, &bucket, &count))
            return;
        put_point(out, bucket, (uint64_t)count);
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

/* Writes the counts that are not 0, and makes them 0. */
static void put_counts(struct sketch_out *out, int64_t *counts, struct range r)
{
    uint8_t *at = out->out->at + out->out->len;
    uint32_t before = 0;

    for (uint32_t i = r.low; i < r.end; i++) {
        if (counts[i] == 0)
            continue;
        at = leb128_put(at, i - before);
        at = leb128_put(at, (uint64_t)counts[i]);
        counts[i] = 0;
        before = i;
        out->n++;
    }
    out->out->len = (size_t)(at - out->out->at);
}

/* Fast if both have many points. counts: all 0, before and (unless a side is damaged) after. */
static void merge_many(struct sketch_out *out, struct slab_points *a, struct slab_points *b, uint64_t sign,
                       int64_t *counts)
{
    struct range r = { SKETCH_BUCKETS, 0 };

    add_counts(b, counts, &r);
    for (uint32_t i = r.low; sign != 1 && i < r.end; i++)
        counts[i] = (int64_t)(sign * (uint64_t)counts[i]);
    add_counts(a, counts, &r);
    put_counts(out, counts, r);
}

/* Fast if b has few points. */
static void merge_few(struct sketch_out *out, struct slab_points *a, struct slab_points *b, uint64_t sign)
{
    uint16_t bucket;
    int64_t count, count_a;

    while (slab_points_next(b, &bucket, &count)) {
        copy_below(out, a, bucket);
        uint64_t sum = sign * (uint64_t)count;
        if (slab_points_next_below(a, bucket + 1u, &bucket, &count_a))
            sum += (uint64_t)count_a;
        if (sum != 0)
            put_point(out, bucket, sum);
    }
    copy_below(out, a, SKETCH_BUCKETS);
}

/* Goes to a side's part of the next merged cell; how many points it has, or DAMAGED. */
static int side_cell(const struct side *s, uint32_t cell, struct slab_points *p)
{
    if (s->from[cell] != s->view.cells)
        return slab_points_cell(p);
    return slab_points_skip(p) ? 0 : DAMAGED;
}

static bool side_is_over(struct slab_points *p)
{
    return slab_points_skip(p) && p->at == (p->at != NULL ? p->end : NULL);
}

/* Merges one sketch column into out; or, asking, only marks the cells alive that have nothing else. */
static int merge_sketch(struct merge *g, enum slab_column column, struct sketch_out *out, bool asking)
{
    struct slab_points pa = slab_points(&g->a.view, column), pb = slab_points(&g->b.view, column);
    int64_t counts[SKETCH_BUCKETS] = { 0 };

    for (uint32_t i = 0; i < g->cells; i++) {
        int na = side_cell(&g->a, i, &pa), nb = side_cell(&g->b, i, &pb);
        if (na < 0 || nb < 0)
            return DAMAGED;
        if ((g->alive[i] != 0) == asking)
            continue;
        if (cell_start(out, (uint32_t)(na + nb)) != 0)
            return NO_MEMORY;
        if (nb <= na / SPARSE)
            merge_few(out, &pa, &pb, g->sign);
        else
            merge_many(out, &pa, &pb, g->sign, counts);
        g->alive[i] |= out->n;
        if (asking)
            out->out->len = out->cell;
        else
            cell_end(out);
    }
    return side_is_over(&pa) && side_is_over(&pb) ? 0 : DAMAGED;
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
    struct sketch_out ask = sketch_start(scratch);
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

static struct numbers merged(const struct merge *g, enum slab_column column)
{
    return (struct numbers){ g->number + (size_t)column * g->cells, sizeof *g->number };
}

static int merge_pack(struct merge *g, struct packer *p)
{
    int rc = find_alive(g, p->out);

    if (rc == 0 && g->kept > SLAB_CELLS_MAX)
        rc = DAMAGED;
    if (rc == 0)
        rc = put_dims(p, merged(g, SLAB_DIMS), g->kept);
    for (unsigned c = SLAB_CALLS; rc == 0 && c < NUMBERS; c++)
        rc = put_numbers(p, c, merged(g, c), g->kept, merged(g, SLAB_CALLS));
    for (unsigned i = 0; rc == 0 && i < SLAB_SKETCHES; i++) {
        struct sketch_out out = sketch_start(p->out);
        rc = merge_sketch(g, SLAB_LATENCY_SKETCH + i, &out, false);
        sketch_end(&out, &p->size[SLAB_LATENCY_SKETCH + i]);
    }
    return rc;
}

int slab_merge(struct slab_merger *m, const void *a, size_t a_len, const void *b, size_t b_len, int sign,
               struct slab_bytes *out)
{
    struct merge g = { .sign = (uint64_t)(int64_t)sign };
    struct packer p;
    int rc;

    out->len = 0;
    if ((a_len != 0 && slab_open(a, a_len, &g.a.view) != 0) ||
        (b_len != 0 && slab_open(b, b_len, &g.b.view) != 0))
        return DAMAGED;
    if ((rc = merge_place(&g, m)) != 0 || (rc = merge_dims(&g)) != 0 || (rc = merge_numbers(&g)) != 0 ||
        (rc = packer_start(&p, out)) != 0)
        return rc;
    rc = merge_pack(&g, &p);
    return packer_end(&p, g.kept, rc);
}
