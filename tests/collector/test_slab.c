/* SPDX-License-Identifier: MIT
 *
 * Slabs against a plain model: a table of every (combination, column) and (combination, sketch, bucket).
 * Packed cells are read back through the reading functions alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/base/leb128.h"
#include "collector/base/sketch.h"
#include "collector/base/slab.h"

#define DIMS    40 /* combinations 1 ... of the model */
#define NUMBERS SLAB_LATENCY_SKETCH
#define SPREAD  300 /* buckets that the model uses, from the low end and the high one */

struct model {
    int64_t number[DIMS + 1][NUMBERS]; /* by combination; [SLAB_DIMS] is not used */
    int64_t point[SLAB_SKETCHES][DIMS + 1][SKETCH_BUCKETS];
};

static uint64_t seed = 42;

static uint32_t dice(uint32_t n)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % n;
}

/* Numbers of every length in bytes, small ones most often. */
static int64_t any_number(void)
{
    uint64_t n = (uint64_t)dice(1u << 31) << 32 | (uint64_t)dice(1u << 31) << 1;

    return (int64_t)(n >> (dice(3) == 0 ? dice(64) : 50 + dice(14)));
}

static uint16_t any_bucket(void)
{
    uint32_t n = dice(SPREAD);

    return (uint16_t)(dice(4) == 0 ? SKETCH_BUCKETS - 1 - n : n);
}

/* What one event or its retraction does, in the manner of a dispatch. */
static void model_event(struct model *m, int sign)
{
    uint32_t dims = 1 + dice(DIMS);
    int64_t *n = m->number[dims];

    n[SLAB_CALLS] += sign;
    n[SLAB_PARTIAL] += dice(8) == 0 ? sign : 0;
    for (uint32_t i = 0; i < DISPATCH_SUMS; i++)
        if (i < 2 || dice(3) == 0) {
            n[SLAB_SUM + i] = (int64_t)((uint64_t)n[SLAB_SUM + i] + (uint64_t)(sign * any_number()));
            n[SLAB_KNOWN + i] += sign;
        }
    for (int s = 0; s < SLAB_SKETCHES; s++)
        for (uint32_t i = dice(4); i > 0; i--)
            m->point[s][dims][any_bucket()] += sign * (1 + (dice(5) == 0 ? any_number() / 1000 : dice(3)));
}

static void model_add(struct model *to, const struct model *m, int sign)
{
    for (int d = 0; d <= DIMS; d++) {
        for (int c = 0; c < NUMBERS; c++)
            to->number[d][c] =
                (int64_t)((uint64_t)to->number[d][c] + (uint64_t)sign * (uint64_t)m->number[d][c]);
        for (int s = 0; s < SLAB_SKETCHES; s++)
            for (int b = 0; b < SKETCH_BUCKETS; b++)
                to->point[s][d][b] =
                    (int64_t)((uint64_t)to->point[s][d][b] + (uint64_t)sign * (uint64_t)m->point[s][d][b]);
    }
}

/* How many combinations are not all 0. */
static uint32_t model_cells(const struct model *m)
{
    static const struct model zero;
    uint32_t cells = 0;

    for (int d = 1; d <= DIMS; d++)
        cells += memcmp(m->number[d], zero.number[d], sizeof zero.number[d]) != 0 ||
                 memcmp(m->point[0][d], zero.point[0][d], sizeof zero.point[0][d]) != 0 ||
                 memcmp(m->point[1][d], zero.point[1][d], sizeof zero.point[1][d]) != 0;
    return cells;
}

/* Every combination, the empty ones too: merging drops them. */
static void model_pack(const struct model *m, struct slab_bytes *out)
{
    static struct slab_point point[SLAB_SKETCHES][DIMS * SKETCH_BUCKETS];
    struct slab_cell cell[DIMS];
    struct slab s = { .cell = cell, .point = { point[0], point[1] }, .cells = DIMS };

    for (uint32_t d = 1; d <= DIMS; d++) {
        memcpy(&cell[d - 1], m->number[d], sizeof cell[0]);
        cell[d - 1].dims = d;
        for (int k = 0; k < SLAB_SKETCHES; k++)
            for (uint32_t b = 0; b < SKETCH_BUCKETS; b++)
                if (m->point[k][d][b] != 0)
                    point[k][s.points[k]++] = (struct slab_point){ d - 1, (uint16_t)b, m->point[k][d][b] };
    }
    assert_int_equal(slab_pack(&s, out), 0);
}

static int read_sketch(const struct slab_view *v, int sketch, const int64_t *dims, struct model *out)
{
    struct slab_points p = slab_points(v, (enum slab_column)(SLAB_LATENCY_SKETCH + sketch));
    uint16_t bucket;
    int64_t count;
    int n, got;

    for (uint32_t i = 0; i < v->cells; i++) {
        if ((n = slab_points_cell(&p)) < 0)
            return -1;
        for (got = 0; slab_points_next(&p, &bucket, &count); got++)
            out->point[sketch][dims[i] <= DIMS ? dims[i] : 0][bucket] = count;
        if (got != n)
            return -1;
    }
    return 0;
}

/* 0, or -1: damaged. Combinations that the model does not have are put together in its row 0. */
static int model_read(const struct slab_bytes *b, struct model *out)
{
    int64_t *dims, *calls, *n;
    struct slab_view v;
    int rc = 0;

    memset(out, 0, sizeof *out);
    if (slab_open(b->at, b->len, &v) != 0)
        return -1;
    dims = malloc((v.cells + 1) * sizeof *dims); /* exactly: ASan sees the next */
    calls = malloc((v.cells + 1) * sizeof *calls);
    n = malloc((v.cells + 1) * sizeof *n);
    rc = slab_read(&v, SLAB_DIMS, NULL, dims) | slab_read(&v, SLAB_CALLS, NULL, calls);
    for (int c = SLAB_CALLS; rc == 0 && c < NUMBERS; c++) {
        rc = slab_read(&v, (enum slab_column)c, c == SLAB_PARTIAL || c >= SLAB_KNOWN ? calls : NULL, n);
        for (uint32_t i = 0; rc == 0 && i < v.cells; i++)
            out->number[dims[i] <= DIMS ? dims[i] : 0][c] = n[i];
    }
    for (int s = 0; rc == 0 && s < SLAB_SKETCHES; s++)
        rc = read_sketch(&v, s, dims, out);
    free(dims);
    free(calls);
    free(n);
    return rc;
}

static void assert_slab_is(const struct slab_bytes *b, const struct model *want)
{
    static struct model got;
    struct slab_view v;

    assert_int_equal(model_read(b, &got), 0);
    assert_memory_equal(&got, want, sizeof got);
    assert_int_equal(slab_open(b->at, b->len, &v), 0);
    assert_int_equal(v.cells, model_cells(want));
}

static void assert_bytes_equal(const struct slab_bytes *a, const struct slab_bytes *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->at, b->at, a->len);
}

/* ------------------------------------------------------------------ histories */

/* The sum of random differences, in random groupings, is the model's; its bytes depend on the cells alone. */
static void sums_and_differences_are_exact(void **state)
{
    static struct model all, part;
    struct slab_bytes sum = { 0 }, packed = { 0 }, next = { 0 }, direct = { 0 };
    struct slab_merger m = { 0 };

    (void)state;
    for (int round = 0; round < 60; round++) {
        int sign = dice(3) == 0 ? -1 : 1;
        memset(&part, 0, sizeof part);
        for (uint32_t i = dice(40); i > 0; i--)
            model_event(&part, dice(4) == 0 ? -1 : 1);
        model_pack(&part, &packed);
        assert_int_equal(slab_merge(&m, sum.at, sum.len, packed.at, packed.len, sign, &next), 0);
        struct slab_bytes swap = sum;
        sum = next;
        next = swap;
        model_add(&all, &part, sign);
        assert_slab_is(&sum, &all);
        model_pack(&all, &packed);
        assert_int_equal(slab_merge(&m, NULL, 0, packed.at, packed.len, 1, &direct), 0);
        assert_bytes_equal(&sum, &direct);
    }
    assert_int_equal(slab_merge(&m, sum.at, sum.len, sum.at, sum.len, -1, &next), 0);
    memset(&all, 0, sizeof all);
    assert_slab_is(&next, &all);
    assert_int_equal(slab_merge(&m, NULL, 0, NULL, 0, 1, &direct), 0);
    assert_bytes_equal(&next, &direct);
    slab_bytes_fini(&sum);
    slab_bytes_fini(&packed);
    slab_bytes_fini(&next);
    slab_bytes_fini(&direct);
    slab_merger_fini(&m);
}

/* A cell whose numbers are all 0 stays as long as it has a point. */
static void a_point_keeps_its_cell(void **state)
{
    static struct model a, b;
    struct slab_bytes pa = { 0 }, pb = { 0 }, out = { 0 };
    struct slab_merger m = { 0 };

    (void)state;
    a.number[7][SLAB_CALLS] = b.number[7][SLAB_CALLS] = 2;
    a.point[1][7][10] = a.point[1][7][20] = 1;
    b.point[1][7][15] = 2;
    model_pack(&a, &pa);
    model_pack(&b, &pb);
    assert_int_equal(slab_merge(&m, pa.at, pa.len, pb.at, pb.len, -1, &out), 0);
    model_add(&a, &b, -1);
    assert_slab_is(&out, &a);
    assert_int_equal(model_cells(&a), 1);
    slab_bytes_fini(&pa);
    slab_bytes_fini(&pb);
    slab_bytes_fini(&out);
    slab_merger_fini(&m);
}

static void numbers_of_every_length_come_back(void **state)
{
    struct slab_cell cell[257];
    struct slab s = { .cell = cell };
    struct slab_bytes b = { 0 };
    struct slab_view v;

    (void)state;
    for (int round = 0; round < 400; round++) {
        memset(cell, 0, sizeof cell);
        s.cells = dice(257);
        for (uint32_t i = 0; i < s.cells; i++) {
            cell[i].dims = (i > 0 ? cell[i - 1].dims : 0) + 1 + (dice(9) == 0 ? dice(1 << 20) : 0);
            cell[i].calls = round % 3 == 0 ? any_number() : dice(200);
            cell[i].sum[3] = round % 4 == 0 ? (int64_t)(UINT64_MAX >> dice(64)) : any_number();
            cell[i].known[3] = round % 2 ? cell[i].calls : any_number();
        }
        assert_int_equal(slab_pack(&s, &b), 0);
        assert_int_equal(slab_open(b.at, b.len, &v), 0);
        assert_int_equal(v.cells, s.cells);
        int64_t *out = malloc((v.cells + 1) * sizeof *out), *calls = malloc((v.cells + 1) * sizeof *out);
        assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, calls), 0);
        assert_int_equal(slab_read(&v, SLAB_DIMS, NULL, out), 0);
        for (uint32_t i = 0; i < s.cells; i++)
            assert_true(out[i] == cell[i].dims && calls[i] == cell[i].calls);
        assert_int_equal(slab_read(&v, SLAB_SUM + 3, NULL, out), 0);
        for (uint32_t i = 0; i < s.cells; i++)
            assert_true(out[i] == cell[i].sum[3]);
        assert_int_equal(slab_read(&v, SLAB_KNOWN + 3, calls, out), 0);
        for (uint32_t i = 0; i < s.cells; i++)
            assert_true(out[i] == cell[i].known[3]);
        assert_int_equal(slab_read(&v, SLAB_SUM, NULL, out), 0);
        for (uint32_t i = 0; i < s.cells; i++)
            assert_true(out[i] == 0);
        free(out);
        free(calls);
    }
    slab_bytes_fini(&b);
}

/* Adding a cell's points at once is adding them one by one; skipping cells leads to the same place. */
static void points_add_up(void **state)
{
    static struct model model;
    static int64_t counts[SKETCH_BUCKETS];
    struct slab_bytes b = { 0 };
    struct slab_view v;

    (void)state;
    for (int round = 0; round < 30; round++) {
        memset(&model, 0, sizeof model);
        for (int i = 0; i < 400; i++)
            model_event(&model, 1);
        model_pack(&model, &b);
        assert_int_equal(slab_open(b.at, b.len, &v), 0);
        struct slab_points p = slab_points(&v, SLAB_TTFT_SKETCH);
        for (int d = 1; d <= DIMS; d++) {
            uint16_t bucket;
            int64_t count;
            assert_true(slab_points_cell(&p) >= 0);
            if (dice(3) == 0)
                continue;
            memset(counts, 0, sizeof counts);
            for (uint32_t first = dice(4); first > 0 && slab_points_next(&p, &bucket, &count); first--)
                counts[bucket] += count;
            slab_points_add(&p, counts);
            assert_memory_equal(counts, model.point[SLAB_TTFT][d], sizeof counts);
        }
    }
    slab_bytes_fini(&b);
}

/* -------------------------------------------------------------------- format */

/* The bytes of the header's description, written by hand. */
static void the_format_is_the_written_one(void **state)
{
    struct slab_cell cell[3] = { { .dims = 5, .calls = 300, .sum[0] = 1, .known[0] = 300, .known[2] = 7 },
                                 { .dims = 205, .calls = 1, .sum[0] = 128, .known[0] = 1, .known[1] = 1 },
                                 { .dims = 206, .calls = 1, .sum[1] = 1LL << 62, .known[0] = 1 } };
    struct slab_point point = { 1, 700, 2 };
    struct slab s = { .cell = cell, .point = { &point }, .cells = 3, .points = { 1 } };
    const struct {
        uint8_t bytes[16], len;
    } columns[SLAB_COLUMNS] = {
        [SLAB_DIMS] = { { 5, 0xc8, 1, 1 }, 4 },
        [SLAB_CALLS] = { { SLAB_FIXED, 2, 0x2c, 1, 1, 0, 1, 0 }, 8 },
        [SLAB_SUM] = { { SLAB_FIXED, 1, 1, 0x80, 0 }, 5 },
        [SLAB_SUM + 1] = { { SLAB_PLAIN, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40 }, 12 },
        [SLAB_KNOWN] = { { SLAB_CALLS_ALL }, 1 },
        [SLAB_KNOWN + 1] = { { SLAB_CALLS_SOME, 2 }, 2 },
        [SLAB_KNOWN + 2] = { { SLAB_FIXED, 1, 7, 0, 0 }, 5 },
        [SLAB_LATENCY_SKETCH] = { { 0, 1, 0xbc, 5, 2, 0 }, 6 },
        [SLAB_TTFT_SKETCH] = { { 0 }, 0 },
    };
    uint8_t want[256] = { SLAB_VERSION, 3, SLAB_COLUMNS };
    struct slab_bytes b = { 0 };
    size_t n = 3;

    (void)state;
    for (int c = 0; c < SLAB_COLUMNS; c++)
        want[n++] = columns[c].len != 0 ? columns[c].len : c != SLAB_TTFT_SKETCH;
    for (int c = 0; c < SLAB_COLUMNS; n += want[3 + c], c++)
        memcpy(want + n, columns[c].bytes, sizeof columns[c].bytes); /* SLAB_ZERO where nothing is said */
    assert_int_equal(slab_pack(&s, &b), 0);
    assert_int_equal(b.len, n);
    assert_memory_equal(b.at, want, n);
    slab_bytes_fini(&b);
}

/* A reader from before a column was added, and one from after. */
static void columns_may_be_missing_or_unknown(void **state)
{
    const uint8_t few[] = { SLAB_VERSION, 1, 2, 1, 2, 9, SLAB_PLAIN, 4 };
    uint8_t more[64] = { SLAB_VERSION, 1, SLAB_COLUMNS + 1, 1, 2 };
    struct slab_view v;
    int64_t n = -1;

    (void)state;
    assert_int_equal(slab_open(few, sizeof few, &v), 0);
    assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(slab_read(&v, SLAB_KNOWN, NULL, &n), 0);
    assert_int_equal(n, 0);
    struct slab_points p = slab_points(&v, SLAB_TTFT_SKETCH);
    for (int i = 0; i < 3; i++)
        assert_int_equal(slab_points_cell(&p), 0);
    size_t len = 3 + SLAB_COLUMNS;
    more[len++] = 2; /* the length of what we do not know */
    memcpy(more + len, (uint8_t[]){ 9, SLAB_PLAIN, 4, 0xff, 0xff }, 5);
    len += 5;
    assert_int_equal(slab_open(more, len, &v), 0);
    assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(slab_open(more, len - 1, &v), -1);
}

static void what_is_damaged_is_refused(void **state)
{
    static const struct {
        const char *what;
        uint8_t bytes[24];
        size_t len;
        enum slab_column column;
    } table[] = {
        { "another version", { 2, 0, 0 }, 3, SLAB_DIMS },
        { "the end within the head", { 1, 1, 2, 1 }, 4, SLAB_DIMS },
        { "a column beyond the end", { 1, 1, 1, 2, 9 }, 5, SLAB_DIMS },
        { "bytes behind the last column", { 1, 1, 1, 1, 9, 9 }, 6, SLAB_DIMS },
        { "too many cells", { 1, 0x81, 0x80, 4, 1, 1, 9 }, 7, SLAB_DIMS },
        { "two cells of one combination", { 1, 2, 1, 2, 9, 0 }, 6, SLAB_DIMS },
        { "a combination past 32 bits", { 1, 1, 1, 5, 0x80, 0x80, 0x80, 0x80, 0x10 }, 9, SLAB_DIMS },
        { "fewer combinations than cells", { 1, 2, 1, 1, 9 }, 5, SLAB_DIMS },
        { "more of them", { 1, 1, 1, 2, 9, 1 }, 6, SLAB_DIMS },
        { "an unknown mode", { 1, 1, 2, 1, 1, 9, 7 }, 7, SLAB_CALLS },
        { "numbers behind a mode without", { 1, 1, 2, 1, 2, 9, SLAB_ZERO, 4 }, 8, SLAB_CALLS },
        { "calls that are said to be the calls", { 1, 1, 2, 1, 1, 9, SLAB_CALLS_ALL }, 7, SLAB_CALLS },
        { "a number that does not end", { 1, 1, 2, 1, 2, 9, SLAB_PLAIN, 0x80 }, 8, SLAB_CALLS },
        { "no numbers", { 1, 1, 2, 1, 1, 9, SLAB_PLAIN }, 7, SLAB_CALLS },
        { "no width", { 1, 1, 2, 1, 1, 9, SLAB_FIXED }, 7, SLAB_CALLS },
        { "a width of 0", { 1, 1, 2, 1, 2, 9, SLAB_FIXED, 0 }, 8, SLAB_CALLS },
        { "a width of 9", { 1, 1, 2, 1, 11, 9, SLAB_FIXED, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 17, SLAB_CALLS },
        { "a number too few", { 1, 2, 2, 2, 3, 9, 1, SLAB_FIXED, 1, 7 }, 10, SLAB_CALLS },
        { "half a number", { 1, 1, 2, 1, 3, 9, SLAB_FIXED, 2, 7 }, 9, SLAB_CALLS },
        { "calls that are some of the calls", { 1, 1, 2, 1, 2, 9, SLAB_CALLS_SOME, 1 }, 8, SLAB_CALLS },
        { "no bits", { 1, 1, 3, 1, 1, 1, 9, SLAB_ZERO, SLAB_CALLS_SOME }, 9, SLAB_PARTIAL },
        { "a byte too many", { 1, 1, 3, 1, 1, 3, 9, SLAB_ZERO, SLAB_CALLS_SOME, 1, 0 }, 11, SLAB_PARTIAL },
        { "a bit too many", { 1, 1, 3, 1, 1, 2, 9, SLAB_ZERO, SLAB_CALLS_SOME, 2 }, 10, SLAB_PARTIAL },
    };
    struct slab_view v;
    int64_t out[2], calls[2] = { 1, 1 };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (slab_open(table[i].bytes, table[i].len, &v) == 0 &&
            slab_read(&v, table[i].column, table[i].column == SLAB_CALLS ? NULL : calls, out) == 0)
            fail_msg("%s passed", table[i].what);
    assert_int_equal(slab_open(NULL, 0, &v), -1);
}

/* Damaged points: too many, too far, none of something, cut. */
static void damaged_points_are_told(void **state)
{
    static const struct {
        uint8_t bytes[12];
        size_t len;
    } table[] = {
        { { 0x80 }, 1 },
        { { 1 }, 1 },
        { { 1, 5 }, 2 },
        { { 1, 5, 0 }, 3 },
        { { 2, 5, 1 }, 3 },
        { { 2, 5, 1, 0, 1 }, 5 },
        { { 1, 0xe0, 0x0e, 1 }, 4 },
        { { 0xe1, 0x0e }, 2 },
        { { 2, 0xdf, 0x0e, 1, 1, 1 }, 6 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t *copy = malloc(table[i].len);
        memcpy(copy, table[i].bytes, table[i].len);
        struct slab_points p = { .at = copy, .end = copy + table[i].len };
        uint16_t bucket;
        int64_t count;
        int n = slab_points_cell(&p), got = 0;
        while (slab_points_next(&p, &bucket, &count))
            got++;
        assert_true(n < 0 || got < n);
        assert_int_equal(slab_points_cell(&p), -1);
        assert_int_equal(slab_points_cell(&p), -1);
        free(copy);
    }
}

/* Any byte changed, any length cut: nothing outside is touched (ASan looks on), nothing loops. */
static void damaged_bytes_are_never_left(void **state)
{
    static struct model model, got;
    static int64_t counts[SKETCH_BUCKETS];
    struct slab_bytes whole = { 0 }, out = { 0 };
    struct slab_merger m = { 0 };
    int refused = 0;

    (void)state;
    for (int i = 0; i < 25; i++)
        model_event(&model, 1);
    model_pack(&model, &whole);
    for (int round = 0; round < 3000; round++) {
        size_t len = dice(3) == 0 ? dice((uint32_t)whole.len) : whole.len;
        struct slab_bytes b = { malloc(len + (len == 0)), len, len };
        memcpy(b.at, whole.at, len);
        for (uint32_t k = len != 0 ? dice(4) : 0; k > 0; k--)
            b.at[dice(dice(2) ? (uint32_t)len : (uint32_t)(len < 60 ? len : 60))] = (uint8_t)dice(256);
        refused += model_read(&b, &got) != 0;
        struct slab_view v;
        if (slab_open(b.at, b.len, &v) == 0) {
            struct slab_points p = slab_points(&v, SLAB_LATENCY_SKETCH);
            for (uint32_t i = 0; i < v.cells && slab_points_cell(&p) >= 0; i++)
                slab_points_add(&p, counts);
        }
        int rc = slab_merge(&m, whole.at, whole.len, b.at, b.len, dice(2) ? 1 : -1, &out);
        assert_true(rc == 0 || (rc == -1 && out.len == 0));
        rc = slab_merge(&m, b.at, b.len, whole.at, whole.len, 1, &out);
        assert_true(rc == 0 || (rc == -1 && out.len == 0));
        free(b.at);
    }
    assert_true(refused > 1000);
    slab_bytes_fini(&whole);
    slab_bytes_fini(&out);
    slab_merger_fini(&m);
}

static void leb128_sizes_are_those_written(void **state)
{
    uint8_t bytes[LEB128_MAX];
    uint64_t back;

    (void)state;
    for (int bits = 0; bits <= 64; bits++)
        for (int off = -1; off <= 1; off++) {
            uint64_t n = (bits == 64 ? 0 : (uint64_t)1 << bits) + (uint64_t)off;
            const uint8_t *end = leb128_put(bytes, n);
            assert_int_equal(end - bytes, leb128_size(n));
            assert_ptr_equal(leb128_get(bytes, end, &back), end);
            assert_true(back == n);
            assert_null(leb128_get(bytes, end - 1, &back));
        }
    memset(bytes, 0xff, sizeof bytes);
    bytes[9] = 2; /* a 65th bit */
    assert_null(leb128_get(bytes, bytes + 10, &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leb128_sizes_are_those_written),
        cmocka_unit_test(numbers_of_every_length_come_back),
        cmocka_unit_test(the_format_is_the_written_one),
        cmocka_unit_test(columns_may_be_missing_or_unknown),
        cmocka_unit_test(sums_and_differences_are_exact),
        cmocka_unit_test(a_point_keeps_its_cell),
        cmocka_unit_test(points_add_up),
        cmocka_unit_test(what_is_damaged_is_refused),
        cmocka_unit_test(damaged_points_are_told),
        cmocka_unit_test(damaged_bytes_are_never_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
