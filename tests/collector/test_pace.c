/* SPDX-License-Identifier: MIT
 *
 * When projections are flushed: lazily, eagerly, and not for more than a tenth of the time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "collector/writer/pace.h"

#define LAZY  1000000
#define EAGER 100000

static void a_flush_is_due_a_while_after_the_first_change(void **state)
{
    struct pace p = { .lazy_us = LAZY, .eager_us = EAGER };

    (void)state;
    assert_int_equal(pace_left(&p, true, 5), -1);
    pace_note(&p, true, 1000);
    pace_note(&p, true, 500000); /* more came: it was dirty before */
    assert_int_equal(pace_left(&p, false, 1000), LAZY);
    assert_int_equal(pace_left(&p, true, 1000), EAGER);
    assert_int_equal(pace_left(&p, true, 1000 + EAGER), 0);
    assert_int_equal(pace_left(&p, false, 1000 + LAZY - 1), 1);
    assert_int_equal(pace_left(&p, false, 5000 + LAZY), 0);
}

static void a_long_flush_is_followed_by_a_long_pause(void **state)
{
    struct pace p = { .lazy_us = LAZY, .eager_us = EAGER };

    (void)state;
    pace_note(&p, true, 0);
    pace_flushed(&p, LAZY, 2 * LAZY); /* it took a second */
    assert_int_equal(pace_left(&p, true, 3 * LAZY), -1);
    pace_note(&p, true, 3 * LAZY);
    assert_int_equal(pace_left(&p, true, 3 * LAZY), 8 * LAZY); /* until 9 times as long after its end */
    assert_int_equal(pace_left(&p, true, 11 * LAZY), 0);
    pace_flushed(&p, 11 * LAZY, 11 * LAZY + 1000); /* a short one is paid off long before */
    pace_note(&p, true, 12 * LAZY);
    assert_int_equal(pace_left(&p, false, 12 * LAZY), LAZY);
    pace_note(&p, false, 12 * LAZY); /* somebody else flushed it */
    assert_int_equal(pace_left(&p, true, 20 * LAZY), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flush_is_due_a_while_after_the_first_change),
        cmocka_unit_test(a_long_flush_is_followed_by_a_long_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
