/* SPDX-License-Identifier: MIT
 *
 * slab_sum.h: adds up slabs under new numbers. Whoever asks gives each cell of each slab a unit (0, 1,
 * 2, ...): all cells of a unit become one. Columns are added as the slabs come; sketches unit by
 * unit afterwards, so that one histogram is enough. The slabs' bytes must stay until then. Pure; no
 * thread owns anything here.
 */
#ifndef COLLECTOR_SLAB_SUM_H
#define COLLECTOR_SLAB_SUM_H

#include "slab.h"

#define SLAB_SUM_NONE    UINT32_MAX                         /* a cell that is left out */
#define SLAB_SUM_NUMBERS (SLAB_LATENCY_SKETCH - SLAB_CALLS) /* columns of numbers, from SLAB_CALLS on */

struct slab_sum_slab;
struct slab_sum_cell;

/* Zeroed is ready. */
struct slab_sum {
    uint32_t units, unit_room;
    int64_t *number[SLAB_SUM_NUMBERS]; /* owned; by unit; modulo 2^64 */
    struct slab_sum_slab *slab;        /* owned */
    uint32_t slabs, slab_room;
    struct slab_sum_cell *cell; /* owned; those that have sketches */
    uint32_t cells, cell_room;
    uint32_t *order, *first; /* owned; cells by unit, once sorted */
    uint32_t order_room, first_room;
    int64_t *column, *calls; /* owned; of the slab under way */
    uint32_t column_room;
};

void slab_sum_fini(struct slab_sum *s);

/* Forgets what has been added; keeps the room. */
void slab_sum_reset(struct slab_sum *s);

/* Adds (sign 1) or takes out (-1) a slab. unit: of each of its cells, below units, which never becomes
 * less. In the end no more may have been taken out than there was. 0, -1 damaged, -2 no memory. */
int slab_sum_add(struct slab_sum *s, const struct slab_view *v, int sign, const uint32_t *unit,
                 uint32_t units);

/* A column's sum of a unit. */
static inline int64_t slab_sum_number(const struct slab_sum *s, enum slab_column column, uint32_t unit)
{
    return s->number[column - SLAB_CALLS][unit];
}

/* When all slabs are added: prepares for the sketches. 0 or -2. */
int slab_sum_sort(struct slab_sum *s);

/* Which buckets of a histogram are not 0: from first on, before end. */
struct slab_sum_range {
    uint32_t first, end;
};
#define SLAB_SUM_NO_RANGE ((struct slab_sum_range){ UINT32_MAX, 0 })

/* Adds a unit's sketch to counts[SKETCH_BUCKETS], and widens the range to hold it. 0 or -1. */
int slab_sum_sketch(const struct slab_sum *s, uint32_t unit, enum slab_sketch which, int64_t *counts,
                    struct slab_sum_range *range);

/* Packs the sum, sorted. dims: what the units are to be called, each once. 0, -1 or -2. */
int slab_sum_pack(const struct slab_sum *s, const uint32_t *dims, struct slab_bytes *out);

#endif
