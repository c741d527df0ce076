/* SPDX-License-Identifier: MIT */
#include "slab_sum.h"

#include <stdlib.h>
#include <string.h>

#include "sketch.h"
#include "slab_pack.h"

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
            return SLAB_DAMAGED;
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
            return SLAB_DAMAGED;
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
        return SLAB_NO_MEMORY;
    if (numbers_add(s, v, sign, unit) != 0)
        return SLAB_DAMAGED;
    for (enum slab_sketch i = 0; i < SLAB_SKETCHES && found >= 0; i++)
        found = sketches_find(s, v, i, unit, s->cell + s->cells);
    if (found < 0)
        return SLAB_DAMAGED;
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
        return SLAB_NO_MEMORY;
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
            return SLAB_DAMAGED;
        if (slab->sign > 0)
            slab_points_add(&p, counts);
        else
            points_take_out(&p, counts);
        if (p.damaged)
            return SLAB_DAMAGED;
        range->first = first < range->first ? (uint32_t)first : range->first;
        range->end = p.bucket > range->end ? p.bucket : range->end;
    }
    return 0;
}

/* ---------------------------------------------------------------- packing */

/* A cell of the sum: a unit that has anything, and its name. */
struct named {
    int64_t dims;
    uint32_t unit;
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

/* A column of the cells, in their order. */
static struct slab_numbers gather(const int64_t *number, const struct named *cell, uint32_t cells,
                                  int64_t *to)
{
    for (uint32_t i = 0; i < cells; i++)
        to[i] = number[cell[i].unit];
    return (struct slab_numbers){ to, sizeof *to };
}

static int numbers_pack(const struct slab_sum *s, const struct named *cell, uint32_t cells,
                        struct slab_packer *p)
{
    int64_t *column = malloc((2 * (size_t)cells + 1) * sizeof *column);
    int rc = column ? 0 : SLAB_NO_MEMORY;

    for (unsigned c = SLAB_CALLS; c < SLAB_LATENCY_SKETCH && rc == 0; c++) {
        int64_t *to = c == SLAB_CALLS ? column : column + cells;
        rc = slab_pack_numbers(p, c, gather(s->number[c - SLAB_CALLS], cell, cells, to), cells,
                               (struct slab_numbers){ column, sizeof *column });
    }
    free(column);
    return rc;
}

static int sketches_pack(const struct slab_sum *s, const struct named *cell, uint32_t cells,
                         enum slab_sketch which, struct slab_packer *p)
{
    struct slab_sketch_out out = slab_sketch_start(p->out);
    int64_t counts[SKETCH_BUCKETS] = { 0 };

    for (uint32_t i = 0; i < cells; i++) {
        struct slab_sum_range range = SLAB_SUM_NO_RANGE;
        if (slab_sum_sketch(s, cell[i].unit, which, counts, &range) != 0)
            return SLAB_DAMAGED;
        if (slab_sketch_cell(&out, range.end > range.first ? range.end - range.first : 0) != 0)
            return SLAB_NO_MEMORY;
        slab_sketch_counts(&out, counts, range.first, range.end);
        slab_sketch_cell_end(&out);
    }
    slab_sketch_end(&out, &p->size[SLAB_LATENCY_SKETCH + which]);
    return 0;
}

int slab_sum_pack(const struct slab_sum *s, const uint32_t *dims, struct slab_bytes *out)
{
    struct slab_packer p;
    uint32_t cells;
    struct named *cell = name(s, dims, &cells);
    int rc = cell ? slab_packer_start(&p, out) : SLAB_NO_MEMORY;

    out->len = rc == 0 ? out->len : 0;
    if (rc == 0 && (rc = slab_pack_dims(&p, (struct slab_numbers){ &cell->dims, sizeof *cell }, cells)) == 0)
        rc = numbers_pack(s, cell, cells, &p);
    for (enum slab_sketch i = 0; i < SLAB_SKETCHES && rc == 0; i++)
        rc = sketches_pack(s, cell, cells, i, &p);
    if (cell)
        rc = slab_packer_end(&p, cells, rc);
    free(cell);
    return rc;
}
