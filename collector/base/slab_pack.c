/* SPDX-License-Identifier: MIT */
#include "slab_pack.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_MAX (1 + (2 + SLAB_COLUMNS) * LEB128_MAX)

void slab_bytes_fini(struct slab_bytes *b)
{
    free(b->at);
    *b = (struct slab_bytes){ 0 };
}

static int reserve(struct slab_bytes *b, size_t more)
{
    if (b->room - b->len >= more)
        return 0;
    size_t room = (b->len + more) * 3 / 2 + 256;
    uint8_t *at = realloc(b->at, room);
    if (at == NULL)
        return SLAB_NO_MEMORY;
    b->at = at;
    b->room = room;
    return 0;
}

int slab_bytes_copy(struct slab_bytes *b, const void *from, size_t len)
{
    b->len = 0;
    if (reserve(b, len) != 0)
        return SLAB_NO_MEMORY;
    memcpy(b->at, from, len);
    b->len = len;
    return 0;
}

/* ------------------------------------------------------------------ packing */

int slab_packer_start(struct slab_packer *p, struct slab_bytes *out)
{
    *p = (struct slab_packer){ .out = out };
    out->len = 0;
    if (reserve(out, HEAD_MAX) != 0)
        return SLAB_NO_MEMORY;
    out->len = HEAD_MAX;
    return 0;
}

int slab_packer_end(struct slab_packer *p, uint32_t cells, int rc)
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

static inline uint64_t number(struct slab_numbers n, uint32_t i)
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

static struct extent extent_of(struct slab_numbers n, uint32_t cells, struct slab_numbers calls)
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

static uint8_t *put_plain(uint8_t *at, struct slab_numbers n, uint32_t cells)
{
    *at++ = SLAB_PLAIN;
    for (uint32_t i = 0; i < cells; i++)
        at = leb128_put(at, number(n, i));
    return at;
}

/* Writes up to seven bytes more than it says. */
static uint8_t *put_fixed(uint8_t *at, struct slab_numbers n, uint32_t cells, unsigned w)
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

static uint8_t *put_some(uint8_t *at, struct slab_numbers n, uint32_t cells)
{
    const size_t bytes = (cells + 7) / 8;

    *at++ = SLAB_CALLS_SOME;
    memset(at, 0, bytes);
    for (uint32_t i = 0; i < cells; i++)
        at[i / 8] |= (uint8_t)((number(n, i) != 0) << i % 8);
    return at + bytes;
}

int slab_pack_numbers(struct slab_packer *p, enum slab_column column, struct slab_numbers n, uint32_t cells,
                      struct slab_numbers calls)
{
    const struct extent e = extent_of(n, cells, calls);
    const unsigned w = (71 - (unsigned)__builtin_clzll(e.all | 1)) / 8;
    struct slab_bytes *out = p->out;

    if (reserve(out, 16 + (size_t)cells * LEB128_MAX) != 0)
        return SLAB_NO_MEMORY;
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

int slab_pack_dims(struct slab_packer *p, struct slab_numbers dims, uint32_t cells)
{
    struct slab_bytes *out = p->out;
    uint64_t before = 0;

    if (reserve(out, (size_t)cells * LEB128_MAX) != 0)
        return SLAB_NO_MEMORY;
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

struct slab_sketch_out slab_sketch_start(struct slab_bytes *out)
{
    return (struct slab_sketch_out){ .out = out, .start = out->len };
}

/* One byte is left for the number of points. */
int slab_sketch_cell(struct slab_sketch_out *s, uint32_t max)
{
    if (reserve(s->out, LEB128_MAX + (size_t)max * SLAB_POINT_MAX) != 0)
        return SLAB_NO_MEMORY;
    s->cell = s->out->len++;
    s->n = 0;
    s->bucket = 0;
    return 0;
}

void slab_sketch_cell_end(struct slab_sketch_out *s)
{
    uint8_t *at = s->out->at + s->cell;
    size_t more = leb128_size(s->n) - 1;

    if (more > 0)
        memmove(at + 1 + more, at + 1, s->out->len - s->cell - 1);
    leb128_put(at, s->n);
    s->out->len += more;
    s->any |= s->n != 0;
}

void slab_sketch_end(struct slab_sketch_out *s, size_t *size)
{
    if (!s->any)
        s->out->len = s->start;
    *size = s->out->len - s->start;
}

void slab_sketch_counts(struct slab_sketch_out *s, int64_t *counts, uint32_t low, uint32_t end)
{
    uint8_t *at = s->out->at + s->out->len;
    uint32_t before = 0;

    for (uint32_t i = low; i < end; i++) {
        if (counts[i] == 0)
            continue;
        at = leb128_put(at, i - before);
        at = leb128_put(at, (uint64_t)counts[i]);
        counts[i] = 0;
        before = i;
        s->n++;
    }
    s->out->len = (size_t)(at - s->out->at);
}

static int put_sketch(struct slab_packer *p, const struct slab *s, enum slab_sketch sketch)
{
    const struct slab_point *at = s->point[sketch], *next = at;
    uint32_t left = s->points[sketch];
    struct slab_sketch_out out = slab_sketch_start(p->out);

    for (uint32_t i = 0; i < s->cells; i++) {
        for (; left > 0 && next->cell == i; left--)
            next++;
        if (slab_sketch_cell(&out, (uint32_t)(next - at)) != 0)
            return SLAB_NO_MEMORY;
        for (; at < next; at++)
            slab_sketch_point(&out, at->bucket, (uint64_t)at->count);
        slab_sketch_cell_end(&out);
    }
    slab_sketch_end(&out, &p->size[SLAB_LATENCY_SKETCH + sketch]);
    return 0;
}

int slab_pack(const struct slab *s, struct slab_bytes *out)
{
    static const struct slab_cell none;
    const struct slab_cell *cell = s->cells > 0 ? s->cell : &none;
    const struct slab_numbers calls = { &cell->calls, sizeof *cell };
    struct slab_packer p;
    int rc;

    out->len = 0;
    if (s->cells > SLAB_CELLS_MAX)
        return SLAB_DAMAGED;
    if ((rc = slab_packer_start(&p, out)) == 0 &&
        (rc = slab_pack_dims(&p, (struct slab_numbers){ &cell->dims, sizeof *cell }, s->cells)) == 0 &&
        (rc = slab_pack_numbers(&p, SLAB_CALLS, calls, s->cells, calls)) == 0)
        rc = slab_pack_numbers(&p, SLAB_PARTIAL, (struct slab_numbers){ &cell->partial, sizeof *cell },
                               s->cells, calls);
    for (unsigned i = 0; rc == 0 && i < DISPATCH_SUMS; i++)
        rc = slab_pack_numbers(&p, SLAB_SUM + i, (struct slab_numbers){ &cell->sum[i], sizeof *cell },
                               s->cells, calls);
    for (unsigned i = 0; rc == 0 && i < DISPATCH_SUMS; i++)
        rc = slab_pack_numbers(&p, SLAB_KNOWN + i, (struct slab_numbers){ &cell->known[i], sizeof *cell },
                               s->cells, calls);
    for (unsigned i = 0; rc == 0 && i < SLAB_SKETCHES; i++)
        rc = put_sketch(&p, s, i);
    return slab_packer_end(&p, s->cells, rc);
}
