/* SPDX-License-Identifier: MIT
 *
 * Random slabs are added up under random units, and once more by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/base/sketch.h"
#include "collector/base/slab_sum.h"

#define CELLS_MAX  40
#define POINTS_MAX 12 /* of a cell and sketch */
#define SLABS      6
#define UNITS      9
#define BUCKETS    700

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(seed >> 33) % below;
}

/* A slab taken apart. */
struct apart {
    struct slab_cell cell[CELLS_MAX];
    struct slab_point point[SLAB_SKETCHES][CELLS_MAX * POINTS_MAX];
    struct slab slab;
};

static int64_t number(void)
{
    static const uint32_t most[] = { 2, 100, 40000, UINT32_MAX };

    return draw(most[draw(4)]);
}

static void make(struct apart *a)
{
    uint32_t cells = draw(CELLS_MAX + 1), dims = 0;

    *a = (struct apart){ .slab = { .cell = a->cell, .point = { a->point[0], a->point[1] }, .cells = cells } };
    for (uint32_t i = 0; i < cells; i++) {
        struct slab_cell *c = &a->cell[i];
        c->dims = dims += 1 + draw(300);
        c->calls = 1 + number();
        c->partial = draw(3) ? 0 : number();
        for (int k = 0; k < DISPATCH_SUMS; k++) {
            c->known[k] = k % 3 == 0 ? c->calls : k % 3 == 1 ? number() : 0;
            c->sum[k] = k % 3 == 2 ? 0 : number();
        }
        for (int s = 0; s < SLAB_SKETCHES; s++) {
            uint32_t points = draw(3) ? draw(POINTS_MAX + 1) : 0, bucket = 0;
            for (uint32_t k = 0; k < points && (bucket += draw(60)) < BUCKETS; k++, bucket++)
                a->point[s][a->slab.points[s]++] =
                    (struct slab_point){ .cell = i, .bucket = (uint16_t)bucket, .count = 1 + number() };
        }
    }
}

static int64_t column_of(const struct slab_cell *c, unsigned column)
{
    if (column == SLAB_CALLS)
        return c->calls;
    if (column == SLAB_PARTIAL)
        return c->partial;
    return column < SLAB_KNOWN ? c->sum[column - SLAB_SUM] : c->known[column - SLAB_KNOWN];
}

/* What the units came to, by hand. */
struct expected {
    int64_t number[SLAB_LATENCY_SKETCH][UNITS];
    int64_t count[SLAB_SKETCHES][UNITS][SKETCH_BUCKETS];
};

static void add_by_hand(struct expected *e, const struct apart *a, const uint32_t *unit, int sign)
{
    for (uint32_t i = 0; i < a->slab.cells; i++)
        for (unsigned c = SLAB_CALLS; c < SLAB_LATENCY_SKETCH && unit[i] != SLAB_SUM_NONE; c++)
            e->number[c][unit[i]] += sign * column_of(&a->cell[i], c);
    for (int s = 0; s < SLAB_SKETCHES; s++)
        for (uint32_t i = 0; i < a->slab.points[s]; i++) {
            const struct slab_point *p = &a->point[s][i];
            if (unit[p->cell] != SLAB_SUM_NONE)
                e->count[s][unit[p->cell]][p->bucket] += sign * p->count;
        }
}

static void compare(struct slab_sum *s, const struct expected *e)
{
    for (uint32_t u = 0; u < s->units; u++)
        for (unsigned c = SLAB_CALLS; c < SLAB_LATENCY_SKETCH; c++)
            assert_int_equal(slab_sum_number(s, c, u), e->number[c][u]);
    assert_int_equal(slab_sum_sort(s), 0);
    for (uint32_t u = 0; u < s->units; u++)
        for (enum slab_sketch k = 0; k < SLAB_SKETCHES; k++) {
            int64_t counts[SKETCH_BUCKETS] = { 0 };
            struct slab_sum_range range = SLAB_SUM_NO_RANGE;
            assert_int_equal(slab_sum_sketch(s, u, k, counts, &range), 0);
            assert_memory_equal(counts, e->count[k][u], sizeof counts);
            for (uint32_t i = 0; i < SKETCH_BUCKETS; i++)
                assert_true(counts[i] == 0 || (i >= range.first && i < range.end));
        }
}

/* What has been packed says the same again. */
static void compare_packed(const struct slab_sum *s, const struct expected *e)
{
    static const uint32_t dims[UNITS] = { 70, 3, 900, 12, 5, 41, 1000000, 77, 8 };
    uint32_t unit[UNITS];
    int64_t column[UNITS];
    struct slab_bytes bytes = { 0 };
    struct slab_sum again = { 0 };
    struct slab_view v;

    assert_int_equal(slab_sum_pack(s, dims, &bytes), 0);
    assert_int_equal(slab_open(bytes.at, bytes.len, &v), 0);
    assert_true(v.cells <= UNITS);
    assert_int_equal(slab_read(&v, SLAB_DIMS, NULL, column), 0);
    for (uint32_t i = 0; i < v.cells; i++) {
        assert_true(i == 0 || column[i] > column[i - 1]);
        for (unit[i] = 0; dims[unit[i]] != column[i]; unit[i]++)
            assert_true(unit[i] < UNITS - 1);
    }
    assert_int_equal(slab_sum_add(&again, &v, 1, unit, UNITS), 0);
    compare(&again, e);
    slab_sum_fini(&again);
    slab_bytes_fini(&bytes);
}

static void test_random(void **state)
{
    static struct apart apart[SLABS];
    static struct expected e;
    struct slab_sum s = { 0 };

    (void)state;
    for (uint64_t n = 1; n < 300; n++) {
        struct slab_bytes bytes[SLABS] = { 0 };
        memset(&e, 0, sizeof e);
        slab_sum_reset(&s);
        for (int i = 0; i < SLABS; i++) {
            uint32_t unit[CELLS_MAX];
            bool out = i == 3; /* the second one is taken out again, under the same units */
            struct apart *a = &apart[out ? 1 : i];
            struct slab_view v;
            seed = (n + (out ? 1 : (uint64_t)i)) * 77;
            for (int k = 0; k < CELLS_MAX; k++)
                unit[k] = draw(8) ? draw(UNITS) : SLAB_SUM_NONE;
            if (!out)
                make(a);
            assert_int_equal(slab_pack(&a->slab, &bytes[i]), 0);
            assert_int_equal(slab_open(bytes[i].at, bytes[i].len, &v), 0);
            assert_int_equal(slab_sum_add(&s, &v, out ? -1 : 1, unit, UNITS), 0);
            add_by_hand(&e, a, unit, out ? -1 : 1);
        }
        compare(&s, &e);
        compare_packed(&s, &e);
        for (int i = 0; i < SLABS; i++)
            slab_bytes_fini(&bytes[i]);
    }
    slab_sum_fini(&s);
}

/* Bytes that are not what they seem are refused, or come to something; nothing is read beyond them. */
static void test_damaged(void **state)
{
    static struct apart a;
    struct slab_sum s = { 0 };
    uint32_t unit[CELLS_MAX], dims[UNITS] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
    int refused = 0;

    (void)state;
    for (uint64_t n = 1; n < 3000; n++) {
        struct slab_bytes bytes = { 0 }, packed = { 0 };
        struct slab_view v;
        seed = n * 7919;
        make(&a);
        for (int k = 0; k < CELLS_MAX; k++)
            unit[k] = draw(UNITS);
        assert_int_equal(slab_pack(&a.slab, &bytes), 0);
        uint8_t *copy = malloc(bytes.len); /* exactly as long as it is */
        memcpy(copy, bytes.at, bytes.len);
        for (uint32_t k = 1 + draw(3); k > 0; k--)
            copy[draw((uint32_t)bytes.len)] = (uint8_t)draw(256);
        slab_sum_reset(&s);
        if (slab_open(copy, bytes.len, &v) != 0 || v.cells > CELLS_MAX ||
            slab_sum_add(&s, &v, 1, unit, UNITS) != 0 || slab_sum_sort(&s) != 0 ||
            slab_sum_pack(&s, dims, &packed) != 0)
            refused++;
        slab_bytes_fini(&bytes);
        slab_bytes_fini(&packed);
        free(copy);
    }
    assert_true(refused > 100);
    slab_sum_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
