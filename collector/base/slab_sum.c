/* SPDX-License-Identifier: MIT */
#include "slab_sum.h"

#include <stdlib.h>
#include <string.h>

#include "leb128.h"
#include "sketch.h"

#define DAMAGED   (-1)
#define NO_MEMORY (-2)
#define HEAD_MAX  (1 + (2 + SLAB_COLUMNS) * LEB128_MAX)

struct slab_sum_slab {
    struct slab_view view;
    int sign;
};

/* Where a cell's sketches begin in their columns; SLAB_SUM_NONE: it has none. */
struct slab_sum_cell {
    uint32_t unit, slab;
    uint32_t at[SLAB_SKETCHES];
};

void slab_sum_fini(struct slab_sum *s)
{
    for (int i = 0; i < SLAB_SUM_NUMBERS; i++)
        free(s->number[i]);
    free(s->slab);
    free(s->cell);
    free(s->order);
    free(s->first);
    free(s->column);
    free(s->calls);
    *s = (struct slab_sum){ 0 };
}

void slab_sum_reset(struct slab_sum *s)
{
    for (int i = 0; i < SLAB_SUM_NUMBERS && s->units > 0; i++)
        memset(s->number[i], 0, s->units * sizeof **s->number);
    s->slabs = s->cells = 0;
}

/* ------------------------------------------------------------------- room */

/* An array with room for `wanted`, and some more than that when it grows. NULL: no memory, it stays. */
static void *room_for(void *array, uint32_t *room, size_t wanted, size_t size)
{
    size_t more = wanted + wanted / 2 + 16;

    if (wanted <= *room && array)
        return array;
    void *fresh = more <= UINT32_MAX ? realloc(array, more * size) : NULL;
    if (fresh)
        *room = (uint32_t)more;
    return fresh;
}

static bool units_room(struct slab_sum *s, uint32_t units)
{
    uint32_t room = s->unit_room;

    for (int i = 0; i < SLAB_SUM_NUMBERS && units > s->unit_room; i++) {
        room = s->unit_room;
        int64_t *fresh = room_for(s->number[i], &room, units, sizeof *fresh);
        if (!fresh)
            return false;
        s->number[i] = fresh;
    }
    s->unit_room = room;
    for (int i = 0; i < SLAB_SUM_NUMBERS && units > s->units; i++)
        memset(s->number[i] + s->units, 0, (units - s->units) * sizeof **s->number);
    s->units = units > s->units ? units : s->units;
    return true;
}

static bool columns_room(struct slab_sum *s, uint32_t cells)
{
    uint32_t room = s->column_room;
    int64_t *column = room_for(s->column, &room, cells, sizeof *column);

    if (!column)
        return false;
    s->column = column;
    room = s->column_room;
    column = room_for(s->calls, &room, cells, sizeof *column);
    if (!column)
        return false;
    s->calls = column;
    s->column_room = room;
    return true;
}

static bool slab_room(struct slab_sum *s, uint32_t cells)
{
    struct slab_sum_slab *slab = room_for(s->slab, &s->slab_room, s->slabs + 1, sizeof *slab);
    struct slab_sum_cell *cell =
        slab ? room_for(s->cell, &s->cell_room, s->cells + cells, sizeof *cell) : NULL;

    s->slab = slab ? slab : s->slab;
    s->cell = cell ? cell : s->cell;
    return cell != NULL;
}

/* ----------------------------------------------------------------- adding */

static void column_add(int64_t *to, const int64_t *from, const uint32_t *unit, uint32_t cells, int sign)
{
    for (uint32_t i = 0; i < cells; i++) {
        if (unit[i] != SLAB_SUM_NONE)
            to[unit[i]] = (int64_t)((uint64_t)to[unit[i]] + (uint64_t)(int64_t)sign * (uint64_t)from[i]);
    }
}

static int numbers_add(struct slab_sum *s, const struct slab_view *v, int sign, const uint32_t *unit)
{
    for (unsigned c = SLAB_CALLS; c < SLAB_LATENCY_SKETCH; c++) {
        const uint8_t *at = v->column[c].at, *end = v->column[c].end;
        int64_t *column = c == SLAB_CALLS ? s->calls : s->column;
        if (c != SLAB_CALLS && (at == end || (*at == SLAB_ZERO && end - at == 1)))
            continue;
        if (c != SLAB_CALLS && *at == SLAB_CALLS_ALL && end - at == 1)
            column = s->calls;
        else if (slab_read(v, c, s->calls, column) != 0)
            return DAMAGED;
        column_add(s->number[c - SLAB_CALLS], column, unit, v->cells, sign);
    }
    return 0;
}

/* Remembers where the cells' sketches of one kind are. */
static int sketches_find(struct slab_sum *s, const struct slab_view *v, enum slab_sketch which,
                         const uint32_t *unit, struct slab_sum_cell *cell)
{
    unsigned column = SLAB_LATENCY_SKETCH + which;
    struct slab_points points = slab_points(v, column);
    const uint8_t *from = v->column[column].at;

    for (uint32_t i = 0; i < v->cells; i++) {
        int n = slab_points_cell(&points);
        if (n < 0)
            return DAMAGED;
        if (unit[i] == SLAB_SUM_NONE)
            continue;
        cell->unit = unit[i];
        cell->slab = s->slabs;
        cell->at[which] = SLAB_SUM_NONE;
        if (n > 0) /* back to before the number n */
            cell->at[which] = (uint32_t)(points.at - from) - (uint32_t)leb128_size((uint64_t)n);
        cell++;
    }
    return (int)(cell - (s->cell + s->cells));
}

int slab_sum_add(struct slab_sum *s, const struct slab_view *v, int sign, const uint32_t *unit,
                 uint32_t units)
{
    int found = 0;

    if (!units_room(s, units) || !columns_room(s, v->cells) || !slab_room(s, v->cells))
        return NO_MEMORY;
    if (numbers_add(s, v, sign, unit) != 0)
        return DAMAGED;
    for (enum slab_sketch i = 0; i < SLAB_SKETCHES && found >= 0; i++)
        found = sketches_find(s, v, i, unit, s->cell + s->cells);
    if (found < 0)
        return DAMAGED;
    s->slab[s->slabs++] = (struct slab_sum_slab){ *v, sign };
    s->cells += (uint32_t)found;
    return 0;
}

/* --------------------------------------------------------------- sketches */

int slab_sum_sort(struct slab_sum *s)
{
    uint32_t *order = room_for(s->order, &s->order_room, s->cells + 1, sizeof *order);
    uint32_t *first = order ? room_for(s->first, &s->first_room, (size_t)s->units + 2, sizeof *first) : NULL;

    s->order = order ? order : s->order;
    s->first = first ? first : s->first;
    if (!first)
        return NO_MEMORY;
    memset(first, 0, ((size_t)s->units + 2) * sizeof *first);
    for (uint32_t i = 0; i < s->cells; i++)
        first[s->cell[i].unit + 2]++;
    for (uint32_t i = 2; i < s->units + 2; i++)
        first[i] += first[i - 1];
    /* first[u + 1] is where unit u goes on, and at the end where the next one begins. */
    for (uint32_t i = 0; i < s->cells; i++)
        order[first[s->cell[i].unit + 1]++] = i;
    return 0;
}

static void points_take_out(struct slab_points *p, int64_t *counts)
{
    uint16_t bucket;
    int64_t count;

    while (slab_points_next(p, &bucket, &count))
        counts[bucket] -= count;
}

int slab_sum_sketch(const struct slab_sum *s, uint32_t unit, enum slab_sketch which, int64_t *counts,
                    struct slab_sum_range *range)
{
    for (uint32_t i = s->first[unit]; i < s->first[unit + 1]; i++) {
        const struct slab_sum_cell *cell = &s->cell[s->order[i]];
        const struct slab_sum_slab *slab = &s->slab[cell->slab];
        uint64_t first;
        if (cell->at[which] == SLAB_SUM_NONE)
            continue;
        struct slab_points p = slab_points(&slab->view, SLAB_LATENCY_SKETCH + which);
        p.at += cell->at[which];
        if (slab_points_cell(&p) <= 0 || leb128_get(p.at, p.end, &first) == NULL)
            return DAMAGED;
        if (slab->sign > 0)
            slab_points_add(&p, counts);
        else
            points_take_out(&p, counts);
        if (p.damaged)
            return DAMAGED;
        range->first = first < range->first ? (uint32_t)first : range->first;
        range->end = p.bucket > range->end ? p.bucket : range->end;
    }
    return 0;
}

/* ---------------------------------------------------------------- packing */

static bool reserve(struct slab_bytes *b, size_t more)
{
    size_t room = (b->len + more) * 3 / 2 + 4096;

    if (b->room - b->len >= more)
        return true;
    uint8_t *fresh = realloc(b->at, room);
    if (fresh) {
        b->at = fresh;
        b->room = room;
    }
    return fresh != NULL;
}

static void put(struct slab_bytes *b, uint64_t n)
{
    b->len = (size_t)(leb128_put(b->at + b->len, n) - b->at);
}

/* A cell of the sum: a unit that has anything, and its name. */
struct named {
    uint32_t dims, unit;
};

static int named_order(const void *a, const void *b)
{
    const struct named *x = a, *y = b;

    return x->dims < y->dims ? -1 : x->dims > y->dims;
}

/* The units with calls, by name; owned by the caller. NULL: no memory. */
static struct named *name(const struct slab_sum *s, const uint32_t *dims, uint32_t *cells)
{
    struct named *named = malloc((s->units + 1) * sizeof *named);
    uint32_t n = 0;

    for (uint32_t i = 0; named && i < s->units; i++) {
        if (s->number[0][i] != 0)
            named[n++] = (struct named){ dims[i], i };
    }
    if (n > 1)
        qsort(named, n, sizeof *named, named_order);
    *cells = n;
    return named;
}

static void fixed_put(struct slab_bytes *b, uint64_t n, unsigned width)
{
    for (unsigned i = 0; i < width; i++, n >>= 8)
        b->at[b->len++] = (uint8_t)n;
}

/* The mode is chosen as slab.h says, but that none is SLAB_CALLS_ALL or SLAB_CALLS_SOME. */
static bool numbers_pack(const int64_t *number, const struct named *cell, uint32_t cells,
                         struct slab_bytes *out)
{
    uint64_t any = 0;
    size_t plain = 0;

    if (!reserve(out, 2 + (size_t)cells * LEB128_MAX))
        return false;
    for (uint32_t i = 0; i < cells; i++) {
        any |= (uint64_t)number[cell[i].unit];
        plain += leb128_size((uint64_t)number[cell[i].unit]);
    }
    unsigned width = any ? (71 - (unsigned)__builtin_clzll(any)) / 8 : 0;
    bool fixed = any && 3 * plain >= 2 * (size_t)width * cells;
    out->at[out->len++] = !any ? SLAB_ZERO : fixed ? SLAB_FIXED : SLAB_PLAIN;
    if (fixed)
        out->at[out->len++] = (uint8_t)width;
    for (uint32_t i = 0; i < cells && any; i++) {
        if (fixed)
            fixed_put(out, (uint64_t)number[cell[i].unit], width);
        else
            put(out, (uint64_t)number[cell[i].unit]);
    }
    return true;
}

static bool dims_pack(const struct named *cell, uint32_t cells, struct slab_bytes *out)
{
    if (!reserve(out, (size_t)cells * LEB128_MAX))
        return false;
    for (uint32_t i = 0; i < cells; i++)
        put(out, cell[i].dims - (i > 0 ? cell[i - 1].dims : 0));
    return true;
}

/* Packs counts and clears them. */
static bool sketch_pack(int64_t *counts, struct slab_sum_range range, struct slab_bytes *out)
{
    uint32_t points = 0, last = 0;

    for (uint32_t i = range.first; i < range.end; i++)
        points += counts[i] != 0;
    if (!reserve(out, (1 + 2 * (size_t)points) * LEB128_MAX))
        return false;
    put(out, points);
    for (uint32_t i = range.first; i < range.end; i++) {
        if (counts[i] == 0)
            continue;
        put(out, i - last);
        put(out, (uint64_t)counts[i]);
        counts[i] = 0;
        last = i;
    }
    return true;
}

static int sketches_pack(const struct slab_sum *s, const struct named *cell, uint32_t cells,
                         enum slab_sketch which, struct slab_bytes *out)
{
    int64_t counts[SKETCH_BUCKETS] = { 0 };

    for (uint32_t i = 0; i < cells; i++) {
        struct slab_sum_range range = SLAB_SUM_NO_RANGE;
        if (slab_sum_sketch(s, cell[i].unit, which, counts, &range) != 0)
            return DAMAGED;
        if (!sketch_pack(counts, range, out))
            return NO_MEMORY;
    }
    return 0;
}

static int column_pack(const struct slab_sum *s, const struct named *cell, uint32_t cells, unsigned column,
                       struct slab_bytes *out)
{
    if (column == SLAB_DIMS)
        return dims_pack(cell, cells, out) ? 0 : NO_MEMORY;
    if (column >= SLAB_LATENCY_SKETCH)
        return sketches_pack(s, cell, cells, column - SLAB_LATENCY_SKETCH, out);
    return numbers_pack(s->number[column - SLAB_CALLS], cell, cells, out) ? 0 : NO_MEMORY;
}

/* Writes the head before the columns, for which HEAD_MAX bytes have been left. */
static void head_pack(uint32_t cells, const size_t size[SLAB_COLUMNS], struct slab_bytes *out)
{
    uint8_t head[HEAD_MAX], *at = head;

    *at++ = SLAB_VERSION;
    at = leb128_put(at, cells);
    at = leb128_put(at, SLAB_COLUMNS);
    for (int i = 0; i < SLAB_COLUMNS; i++)
        at = leb128_put(at, size[i]);
    size_t len = (size_t)(at - head);
    memmove(out->at + len, out->at + HEAD_MAX, out->len - HEAD_MAX);
    memcpy(out->at, head, len);
    out->len -= HEAD_MAX - len;
}

int slab_sum_pack(const struct slab_sum *s, const uint32_t *dims, struct slab_bytes *out)
{
    size_t size[SLAB_COLUMNS];
    uint32_t cells;
    struct named *cell = name(s, dims, &cells);
    int rc = cell && reserve(out, HEAD_MAX) ? 0 : NO_MEMORY;

    out->len = HEAD_MAX;
    for (unsigned i = 0; i < SLAB_COLUMNS && rc == 0; i++) {
        size_t before = out->len;
        rc = column_pack(s, cell, cells, i, out);
        size[i] = out->len - before;
    }
    if (rc == 0)
        head_pack(cells, size, out);
    else
        out->len = 0;
    free(cell);
    return rc;
}
