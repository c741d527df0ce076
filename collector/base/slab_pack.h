/* SPDX-License-Identifier: MIT
 *
 * slab_pack.h: writing a slab column by column, for slab_merge.c and slab_sum.c. The columns come in their
 * order, behind room for the longest possible head, and are moved to the head once their lengths are known.
 * Functions give 0 or SLAB_NO_MEMORY.
 */
#ifndef COLLECTOR_SLAB_PACK_H
#define COLLECTOR_SLAB_PACK_H

#include "leb128.h"
#include "slab.h"

#define SLAB_DAMAGED   (-1)
#define SLAB_NO_MEMORY (-2)
#define SLAB_POINT_MAX (2 * LEB128_MAX) /* bytes of a point */

struct slab_packer {
    struct slab_bytes *out; /* borrowed */
    size_t size[SLAB_COLUMNS];
};

/* Numbers that lie some bytes apart. */
struct slab_numbers {
    const void *at;
    size_t stride;
};

int slab_packer_start(struct slab_packer *p, struct slab_bytes *out);

/* Writes the head. rc: what went wrong on the way, or 0; it is given back. */
int slab_packer_end(struct slab_packer *p, uint32_t cells, int rc);

int slab_pack_dims(struct slab_packer *p, struct slab_numbers dims, uint32_t cells);
int slab_pack_numbers(struct slab_packer *p, enum slab_column column, struct slab_numbers n, uint32_t cells,
                      struct slab_numbers calls);

/* One sketch column being written: for each cell begin, points, end. */
struct slab_sketch_out {
    struct slab_bytes *out; /* borrowed */
    size_t start, cell;     /* where the column and its last cell begin */
    uint32_t n, bucket;     /* points of the cell; its last bucket */
    bool any;               /* a cell had a point */
};

struct slab_sketch_out slab_sketch_start(struct slab_bytes *out);
void slab_sketch_end(struct slab_sketch_out *s, size_t *size);

/* Begins a cell of at most max points. */
int slab_sketch_cell(struct slab_sketch_out *s, uint32_t max);
void slab_sketch_cell_end(struct slab_sketch_out *s);

/* Writes the counts of the buckets from low to before end that are not 0, and makes them 0. */
void slab_sketch_counts(struct slab_sketch_out *s, int64_t *counts, uint32_t low, uint32_t end);

static inline void slab_sketch_point(struct slab_sketch_out *s, uint32_t bucket, uint64_t count)
{
    uint8_t *at = s->out->at + s->out->len;

    at = leb128_put(at, bucket - s->bucket);
    at = leb128_put(at, count);
    s->out->len = (size_t)(at - s->out->at);
    s->bucket = bucket;
    s->n++;
}

#endif
