/* SPDX-License-Identifier: MIT
 *
 * rollup_cells.c: a point is kept as one word: the cell, which sketch, the bucket, and whether it is
 * taken out. Sorting the words brings the points of a bucket together.
 */
#include "rollup_cells.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../base/sketch.h"

#define CELL_SLOTS   (2 * ROLLUP_CELLS_MAX)
#define MINUTE_SLOTS (2 * ROLLUP_MINUTES_MAX)
#define CELL_BITS    13
#define BLOCK        16
#define DIGIT_BITS   9
#define DIGITS       (1u << DIGIT_BITS)

/* Of a point, from the lowest bit on: 1 sign, 11 bucket, 1 sketch, 13 cell. */
#define POINT_BUCKET 1
#define POINT_SKETCH 12
#define POINT_CELL   13

_Static_assert(ROLLUP_CELLS_MAX == 1 << CELL_BITS, "a cell's number has 13 bits");
_Static_assert(ROLLUP_MINUTES_MAX <= 1 << (64 - 32 - CELL_BITS), "order holds minute, combination and cell");
_Static_assert(SKETCH_BUCKETS <= 1 << (POINT_SKETCH - POINT_BUCKET), "a bucket has 11 bits");

struct rollup_cell {
    uint32_t dims, minute; /* index */
    int32_t calls, partial, known[DISPATCH_SUMS];
    int64_t sum[DISPATCH_SUMS];
};

struct rollup_minute {
    int64_t minute, first_id, last_id;
    uint32_t rank; /* in the order of time; while it is taken apart */
};

struct rollup_place {
    int64_t minute;
    uint32_t at; /* index */
};

int rollup_cells_init(struct rollup_cells *c)
{
    *c = (struct rollup_cells){
        .cells = malloc(ROLLUP_CELLS_MAX * sizeof *c->cells),
        .minutes = malloc(ROLLUP_MINUTES_MAX * sizeof *c->minutes),
        .points = malloc(ROLLUP_POINTS_MAX * sizeof *c->points),
        .cell_index = calloc(CELL_SLOTS, sizeof *c->cell_index),
        .minute_index = calloc(MINUTE_SLOTS, sizeof *c->minute_index),
        .by_time = malloc(ROLLUP_MINUTES_MAX * sizeof *c->by_time),
        .order = malloc(ROLLUP_CELLS_MAX * sizeof *c->order),
        .scratch = malloc(ROLLUP_POINTS_MAX * sizeof *c->scratch),
    };
    return c->cells != NULL && c->minutes != NULL && c->points != NULL && c->cell_index != NULL &&
                   c->minute_index != NULL && c->by_time != NULL && c->order != NULL && c->scratch != NULL
               ? 0
               : -1;
}

void rollup_cells_fini(struct rollup_cells *c)
{
    free(c->cells);
    free(c->minutes);
    free(c->points);
    free(c->cell_index);
    free(c->minute_index);
    free(c->by_time);
    free(c->order);
    free(c->scratch);
    free(c->cell);
    for (int i = 0; i < SLAB_SKETCHES; i++)
        free(c->point[i]);
    *c = (struct rollup_cells){ 0 };
}

void rollup_cells_clear(struct rollup_cells *c)
{
    if (c->cells_used > 0)
        memset(c->cell_index, 0, CELL_SLOTS * sizeof *c->cell_index);
    if (c->minutes_used > 0)
        memset(c->minute_index, 0, MINUTE_SLOTS * sizeof *c->minute_index);
    c->cells_used = c->minutes_used = c->points_used = c->recent = 0;
}

/* ------------------------------------------------------------------- adding */

bool rollup_cells_is_full(const struct rollup_cells *c)
{
    return c->cells_used + 2 > ROLLUP_CELLS_MAX || c->minutes_used + 2 > ROLLUP_MINUTES_MAX ||
           c->points_used + 2 * SLAB_SKETCHES > ROLLUP_POINTS_MAX;
}

static uint32_t slot_of(uint64_t key, uint32_t slots)
{
    return (uint32_t)(key * 0x9e3779b97f4a7c15ULL >> 40) & (slots - 1);
}

static uint32_t find_minute(struct rollup_cells *c, int64_t minute, int64_t id)
{
    uint32_t i = slot_of((uint64_t)minute, MINUTE_SLOTS);

    for (; c->minute_index[i] != 0; i = (i + 1) & (MINUTE_SLOTS - 1))
        if (c->minutes[c->minute_index[i] - 1].minute == minute)
            return c->minute_index[i] - 1;
    assert(c->minutes_used < ROLLUP_MINUTES_MAX);
    c->minutes[c->minutes_used] = (struct rollup_minute){ .minute = minute, .first_id = id, .last_id = id };
    c->minute_index[i] = ++c->minutes_used;
    return c->minutes_used - 1;
}

/* A row's minute, which now reaches to the row. */
static uint32_t note(struct rollup_cells *c, int64_t ts_ms, int64_t id)
{
    int64_t minute = ts_ms / MINUTE_MS;
    uint32_t at = c->recent;

    if (c->minutes_used == 0 || c->minutes[at].minute != minute)
        c->recent = at = find_minute(c, minute, id);
    struct rollup_minute *m = &c->minutes[at];
    m->first_id = id < m->first_id ? id : m->first_id;
    m->last_id = id > m->last_id ? id : m->last_id;
    return at;
}

/* Combinations are numbered from 1 on, so those of a minute lie in the index in blocks of neighbours:
 * it stays small in the processor's cache. A slot has 14 bits for the cell + 1, the rest is a tag, so
 * that other cells are seldom looked at. */
static uint32_t find_cell(struct rollup_cells *c, uint32_t minute, uint32_t dims)
{
    const uint64_t hash = ((uint64_t)minute << 32 | dims / BLOCK) * 0x9e3779b97f4a7c15ULL;
    const uint32_t tag = (uint32_t)(hash >> 20) + dims % BLOCK, mask = (1u << (CELL_BITS + 1)) - 1;
    uint32_t i = ((uint32_t)(hash >> 40) * BLOCK + dims % BLOCK) & (CELL_SLOTS - 1);

    for (; c->cell_index[i] != 0; i = (i + 1) & (CELL_SLOTS - 1)) {
        const uint32_t at = (c->cell_index[i] & mask) - 1;
        __builtin_prefetch((const char *)&c->cells[at] + 64);
        __builtin_prefetch((const char *)&c->cells[at] + 128);
        if ((c->cell_index[i] ^ tag << (CELL_BITS + 1)) <= mask && c->cells[at].dims == dims &&
            c->cells[at].minute == minute)
            return at;
    }
    assert(c->cells_used < ROLLUP_CELLS_MAX);
    c->cells[c->cells_used] = (struct rollup_cell){ .dims = dims, .minute = minute };
    c->cell_index[i] = tag << (CELL_BITS + 1) | ++c->cells_used;
    return c->cells_used - 1;
}

/* Without a branch: whether a number is known is anyone's guess. Sums are modulo 2^64. */
static inline void add_nums(struct rollup_cell *cell, const int64_t *num, int sign)
{
    cell->calls += sign;
    cell->partial += num[D_partial] == 1 ? sign : 0;
#define X(name)                                                                                         \
    {                                                                                                   \
        int64_t known = -(int64_t)(num[D_##name] >= 0);                                                 \
        cell->sum[SUM_##name] = (int64_t)((uint64_t)cell->sum[SUM_##name] +                             \
                                          (uint64_t)(int64_t)sign * (uint64_t)(num[D_##name] & known)); \
        cell->known[SUM_##name] += sign & (int32_t)known;                                               \
    }
    DISPATCH_SUMMED(X)
#undef X
}

static inline void add_point(struct rollup_cells *c, uint32_t cell, enum slab_sketch sketch, int64_t value,
                             int sign)
{
    c->points[c->points_used] = cell << POINT_CELL | sketch << POINT_SKETCH |
                                (uint32_t)sketch_bucket(value) << POINT_BUCKET | (sign < 0);
    c->points_used++;
}

static inline void add(struct rollup_cells *c, uint32_t cell, const int64_t *num, int sign)
{
    add_nums(&c->cells[cell], num, sign);
    assert(c->points_used + SLAB_SKETCHES <= ROLLUP_POINTS_MAX);
    if (num[D_latency_ms] >= 0)
        add_point(c, cell, SLAB_LATENCY, num[D_latency_ms], sign);
    if (num[D_ttft_ms] >= 0)
        add_point(c, cell, SLAB_TTFT, num[D_ttft_ms], sign);
}

void rollup_cells_add(struct rollup_cells *c, const struct log_row *row, int sign)
{
    uint32_t minute = note(c, row->ts_ms, row->id);

    if (row->kind != LOG_DISPATCH || !row->counts)
        return;
    uint32_t cell = find_cell(c, minute, row->rollup);
    if (sign > 0)
        add(c, cell, row->num, 1);
    else
        add(c, cell, row->num, -1);
}

/* ------------------------------------------------------------------ sorting */

static int compare_places(const void *a, const void *b)
{
    const struct rollup_place *x = a, *y = b;

    return (x->minute > y->minute) - (x->minute < y->minute);
}

static int compare_words(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* The minutes stay where they are, for cells name them by index; they get their ranks. */
static void sort_minutes(struct rollup_cells *c)
{
    for (uint32_t i = 0; i < c->minutes_used; i++)
        c->by_time[i] = (struct rollup_place){ c->minutes[i].minute, i };
    qsort(c->by_time, c->minutes_used, sizeof *c->by_time, compare_places);
    for (uint32_t i = 0; i < c->minutes_used; i++)
        c->minutes[c->by_time[i].at].rank = i;
}

static void sort_cells(struct rollup_cells *c)
{
    for (uint32_t i = 0; i < c->cells_used; i++)
        c->order[i] = (uint64_t)c->minutes[c->cells[i].minute].rank << (32 + CELL_BITS) |
                      (uint64_t)c->cells[i].dims << CELL_BITS | i;
    qsort(c->order, c->cells_used, sizeof *c->order, compare_words);
}

static uint32_t cell_at(const struct rollup_cells *c, uint32_t rank)
{
    return (uint32_t)c->order[rank] & ((1u << CELL_BITS) - 1);
}

/* Sorts by one digit, from points to scratch. */
static void sort_digit(struct rollup_cells *c, unsigned shift)
{
    uint32_t start[DIGITS] = { 0 }, sum = 0;

    for (uint32_t i = 0; i < c->points_used; i++)
        start[c->points[i] >> shift & (DIGITS - 1)]++;
    for (unsigned i = 0; i < DIGITS; i++) {
        uint32_t n = start[i];
        start[i] = sum;
        sum += n;
    }
    for (uint32_t i = 0; i < c->points_used; i++)
        c->scratch[start[c->points[i] >> shift & (DIGITS - 1)]++] = c->points[i];
    uint32_t *swap = c->points;
    c->points = c->scratch;
    c->scratch = swap;
}

/* Cells are named by their rank from here on. */
static void sort_points(struct rollup_cells *c)
{
    uint32_t *rank = c->cell_index; /* will be cleared anyway */

    for (uint32_t i = 0; i < c->cells_used; i++)
        rank[cell_at(c, i)] = i;
    for (uint32_t i = 0; i < c->points_used; i++)
        c->points[i] =
            rank[c->points[i] >> POINT_CELL] << POINT_CELL | (c->points[i] & ((1u << POINT_CELL) - 1));
    const uint32_t top = c->cells_used << POINT_CELL; /* above every word */
    for (unsigned shift = POINT_BUCKET; top >> shift != 0; shift += DIGIT_BITS)
        sort_digit(c, shift);
}

void rollup_cells_sort(struct rollup_cells *c)
{
    sort_minutes(c);
    sort_cells(c);
    sort_points(c);
    c->minutes_given = c->cells_given = c->points_given = 0;
}

/* -------------------------------------------------------------- taking apart */

/* Room for n of size bytes each; what was in it is lost. */
static void *grow(void *at, uint32_t *room, uint32_t n, size_t size)
{
    if (*room >= n)
        return at;
    free(at);
    at = malloc((size_t)n * size * 5 / 4);
    *room = at != NULL ? (uint32_t)((uint64_t)n * 5 / 4) : 0;
    return at;
}

static int make_room(struct rollup_cells *c, uint32_t cells, uint32_t points)
{
    c->cell = grow(c->cell, &c->cell_room, cells, sizeof *c->cell);
    for (int i = 0; i < SLAB_SKETCHES; i++)
        c->point[i] = grow(c->point[i], &c->point_room[i], points, sizeof *c->point[i]);
    return c->cell_room >= cells && c->point_room[SLAB_LATENCY] >= points &&
                   c->point_room[SLAB_TTFT] >= points
               ? 0
               : -1;
}

static void give_cell(const struct rollup_cell *from, struct slab_cell *to)
{
    to->dims = from->dims;
    to->calls = from->calls;
    to->partial = from->partial;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        to->sum[i] = from->sum[i];
        to->known[i] = from->known[i];
    }
}

/* A point, or one more of the last; one that comes to 0 is none. Returns the new number of points. */
static uint32_t give_point(struct slab_point *points, uint32_t used, uint32_t cell, uint32_t word)
{
    const uint16_t bucket = word >> POINT_BUCKET & ((1u << (POINT_SKETCH - POINT_BUCKET)) - 1);
    const int count = (word & 1) != 0 ? -1 : 1;

    if (used == 0 || points[used - 1].cell != cell || points[used - 1].bucket != bucket)
        points[used++] = (struct slab_point){ .cell = cell, .bucket = bucket };
    points[used - 1].count += count;
    return points[used - 1].count != 0 ? used : used - 1;
}

/* How many of the sorted cells and points belong to the minute that is next. */
static uint32_t cells_of_minute(const struct rollup_cells *c)
{
    uint32_t end = c->cells_given;

    while (end < c->cells_used && c->order[end] >> (32 + CELL_BITS) == c->minutes_given)
        end++;
    return end - c->cells_given;
}

static uint32_t points_of_minute(const struct rollup_cells *c, uint32_t cells)
{
    uint32_t end = c->points_given;

    while (end < c->points_used && c->points[end] >> POINT_CELL < c->cells_given + cells)
        end++;
    return end - c->points_given;
}

int rollup_cells_next(struct rollup_cells *c, struct rollup_slab *out)
{
    if (c->minutes_given == c->minutes_used)
        return 0;
    const struct rollup_minute *m = &c->minutes[c->by_time[c->minutes_given].at];
    const uint32_t cells = cells_of_minute(c), points = points_of_minute(c, cells);
    if (make_room(c, cells, points) != 0)
        return -1;
    struct slab s = { .cell = c->cell, .point = { c->point[0], c->point[1] }, .cells = cells };
    for (uint32_t i = 0; i < cells; i++)
        give_cell(&c->cells[cell_at(c, c->cells_given + i)], &c->cell[i]);
    for (uint32_t i = 0; i < points; i++) {
        uint32_t word = c->points[c->points_given + i], sketch = word >> POINT_SKETCH & 1;
        s.points[sketch] =
            give_point(c->point[sketch], s.points[sketch], (word >> POINT_CELL) - c->cells_given, word);
    }
    c->minutes_given++;
    c->cells_given += cells;
    c->points_given += points;
    out->start_minute = m->minute;
    out->first_id = m->first_id;
    out->last_id = m->last_id;
    return slab_pack(&s, &out->body) == 0 ? 1 : -1;
}
