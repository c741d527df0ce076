/* SPDX-License-Identifier: MIT
 *
 * slab.h: the cells of one time (a minute, a quarter, a day), packed by column: what a rollup row's
 * body is. The writer merges slabs as they are, column by column; queries read only the columns they
 * need. Sums are exact integers modulo 2^64: slabs add and subtract in any order. In a slab that
 * stands for a time no number is negative, unless a sum has passed 2^63. Pure; no thread owns
 * anything here.
 *
 * Format. LEB128 is little-endian base 128.
 *   byte     1, the version
 *   LEB128   number of cells, then the number of columns, then for each column its length in bytes
 *   columns, in the order of enum slab_column, one number for each cell, cells by dims upwards:
 *     dims      LEB128: the first, then distances (never 0)
 *     calls, partial, each sum and each known: a mode byte, then what it says
 *               SLAB_ZERO nothing: all are 0      SLAB_CALLS_ALL nothing: each is the cell's calls
 *               SLAB_CALLS_SOME a bit for each cell, from the lowest of the first byte: is it the cell's
 *               calls, or 0? Bits left over are 0
 *               SLAB_PLAIN LEB128 for each cell   SLAB_FIXED a byte w, 1 to 8, then w bytes for each
 *               cell, little-endian (only partial and each known may be SLAB_CALLS_ALL or _SOME)
 *     sketches  for each cell LEB128 n, then n pairs of LEB128: distance to the bucket before (the
 *               first: the bucket) and count (never 0); an empty column: no cell has any
 * A reader skips columns that it does not know; missing ones are 0. Where more than one way would
 * do, the writer takes the first of: an empty sketch column, SLAB_ZERO, SLAB_CALLS_ALL, SLAB_CALLS_SOME,
 * SLAB_FIXED unless SLAB_PLAIN takes less than two thirds of its bytes, SLAB_PLAIN; and always the least w
 * and the shortest LEB128. No cell is all 0. So the same cells always give the same bytes.
 */
#ifndef COLLECTOR_SLAB_H
#define COLLECTOR_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

#define SLAB_VERSION   1
#define SLAB_CELLS_MAX 65536 /* of one slab; the writer bounds combinations long before */

enum slab_mode { SLAB_ZERO, SLAB_CALLS_ALL, SLAB_PLAIN, SLAB_FIXED, SLAB_CALLS_SOME };

enum slab_column {
    SLAB_DIMS,
    SLAB_CALLS,
    SLAB_PARTIAL,
    SLAB_SUM,                              /* + enum dispatch_sum */
    SLAB_KNOWN = SLAB_SUM + DISPATCH_SUMS, /* + enum dispatch_sum */
    SLAB_LATENCY_SKETCH = SLAB_KNOWN + DISPATCH_SUMS,
    SLAB_TTFT_SKETCH,
    SLAB_COLUMNS
};

/* ------------------------------------------------------------------ reading */

/* A packed slab, borrowed from whoever owns the bytes. */
struct slab_view {
    uint32_t cells;
    struct {
        const uint8_t *at, *end;
    } column[SLAB_COLUMNS];
};

/* 0, or -1: damaged. Checks the frame; the columns are checked as they are read. */
int slab_open(const void *body, size_t len, struct slab_view *out);

/* Reads one column of numbers (not a sketch) into out[cells]. calls: the cells' calls as read
 * before, needed for partial and every known; else may be NULL. 0, or -1: damaged. */
int slab_read(const struct slab_view *v, enum slab_column column, const int64_t *calls, int64_t *out);

/* Walks a sketch column cell by cell. */
struct slab_points {
    const uint8_t *at, *end;
    uint32_t left;   /* points left of this cell */
    uint32_t bucket; /* the last one + 1 */
    bool damaged;
};
struct slab_points slab_points(const struct slab_view *v, enum slab_column column);
/* Goes to the next cell, past what is left of this one; its number of points, or -1: damaged. An empty
 * column gives 0 for ever. */
int slab_points_cell(struct slab_points *p);
/* The cell's next point. False: no more (or damaged, which the next slab_points_cell tells). The other
 * takes it only if it is in a bucket below limit. */
bool slab_points_next(struct slab_points *p, uint16_t *bucket, int64_t *count);
bool slab_points_next_below(struct slab_points *p, uint32_t limit, uint16_t *bucket, int64_t *count);
/* Goes past what is left of the cell. False: damaged. */
bool slab_points_skip(struct slab_points *p);
/* Goes past the cell's next points in buckets below limit; how many. */
uint32_t slab_points_skip_below(struct slab_points *p, uint32_t limit);
/* Adds what is left of the cell to counts[SKETCH_BUCKETS]: much faster than one by one. */
void slab_points_add(struct slab_points *p, int64_t *counts);

/* ------------------------------------------------------------------ writing */

enum slab_sketch { SLAB_LATENCY, SLAB_TTFT, SLAB_SKETCHES };

struct slab_point {
    uint32_t cell; /* index */
    uint16_t bucket;
    int64_t count; /* may be negative in a difference */
};

struct slab_cell {
    int64_t dims; /* above 0 */
    int64_t calls, partial;
    int64_t sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
};

/* Cells taken apart, borrowed: by dims upwards; points by cell, then bucket, each once. */
struct slab {
    const struct slab_cell *cell;
    const struct slab_point *point[SLAB_SKETCHES];
    uint32_t cells, points[SLAB_SKETCHES];
};

/* A packed slab that grows as needed. Zeroed is none, which stands for an empty slab. */
struct slab_bytes {
    uint8_t *at; /* owned */
    size_t len, room;
};
void slab_bytes_fini(struct slab_bytes *b);
/* 0, or -2: no memory. */
int slab_bytes_copy(struct slab_bytes *b, const void *from, size_t len);

/* Room that merging needs; kept from one merge to the next. Zeroed is ready. */
struct slab_merger {
    int64_t *numbers; /* owned */
    uint32_t *from;   /* owned */
    size_t numbers_room, from_room;
};
void slab_merger_fini(struct slab_merger *m);

/* Both: 0, -1 damaged (or more than SLAB_CELLS_MAX cells), -2 no memory; then out->len is 0. */
int slab_pack(const struct slab *s, struct slab_bytes *out);

/* out = a + sign * b, exactly; sign is 1 or -1. Cells and points that become 0 disappear. Length 0 is
 * an empty slab. out is neither a nor b. */
int slab_merge(struct slab_merger *m, const void *a, size_t a_len, const void *b, size_t b_len, int sign,
               struct slab_bytes *out);

#endif
