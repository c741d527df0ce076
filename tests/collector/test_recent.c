/* SPDX-License-Identifier: MIT
 *
 * The set of recent ids: the last RECENT_MIN are always known, with their rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "collector/writer/recent.h"

#define FIRST_ROW 5000000000LL

static void make_id(int64_t n, uint8_t id[16])
{
    memset(id, 0, 16);
    memcpy(id + 8, &n, sizeof n); /* as a publisher that counts */
}

static void add(struct recent *r, int64_t n, int64_t row)
{
    uint8_t id[16];

    make_id(n, id);
    recent_add(r, id, (struct recent_entry){ row, n % 3 == 0 });
}

static bool find(const struct recent *r, int64_t n, struct recent_entry *out)
{
    uint8_t id[16];

    make_id(n, id);
    return recent_find(r, id, out);
}

static void the_last_ids_are_known(void **state)
{
    const int64_t n = 3 * RECENT_MIN + RECENT_MIN / 2;
    struct recent_entry e;
    struct recent r;

    (void)state;
    assert_int_equal(recent_init(&r), 0);
    for (int64_t i = 0; i < n; i++)
        add(&r, i, FIRST_ROW + i);
    for (int64_t i = n - RECENT_MIN; i < n; i++) {
        assert_true(find(&r, i, &e));
        assert_int_equal(e.row, FIRST_ROW + i);
        assert_int_equal(e.partial, i % 3 == 0);
    }
    for (int64_t i = n; i < n + RECENT_MIN; i++)
        assert_false(find(&r, i, &e));
    assert_false(find(&r, 0, &e));
    recent_clear(&r);
    assert_false(find(&r, n - 1, &e));
    recent_fini(&r);
}

/* The final record's row takes the place of the partial one's. */
static void an_id_that_comes_again_has_its_new_row(void **state)
{
    struct recent_entry e;
    struct recent r;

    (void)state;
    assert_int_equal(recent_init(&r), 0);
    add(&r, 3, 10);
    add(&r, 4, 11);
    add(&r, 3, 12);
    assert_true(find(&r, 3, &e));
    assert_int_equal(e.row, 12);
    assert_int_equal(r.used, 2);
    recent_fini(&r);
}

/* Retention left gaps between the rows. */
static void rows_may_lie_far_apart(void **state)
{
    struct recent_entry e;
    struct recent r;

    (void)state;
    assert_int_equal(recent_init(&r), 0);
    add(&r, 1, 1);
    add(&r, 2, 10000000);
    add(&r, 3, 10000001);
    assert_true(find(&r, 1, &e));
    assert_int_equal(e.row, 1);
    assert_true(find(&r, 2, &e));
    assert_int_equal(e.row, 10000000);
    assert_true(find(&r, 3, &e));
    assert_int_equal(e.row, 10000001);
    recent_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_ids_are_known),
        cmocka_unit_test(an_id_that_comes_again_has_its_new_row),
        cmocka_unit_test(rows_may_lie_far_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
