/* SPDX-License-Identifier: MIT
 *
 * test_convert.c: each provider's way to count, in ours. Unknown is not zero.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tollgate.h"

enum { U = TG_UNKNOWN };

/* In the order of struct tg_usage: prompt, completion, total, cached, write, write 1h, reasoning. */
static void usage_is(const struct tg_usage *u, const int64_t e[7])
{
    const struct tg_usage expected = { e[0], e[1], e[2], e[3], e[4], e[5], e[6] };

    assert_memory_equal(u, &expected, sizeof expected);
}

static void test_openai(void **state)
{
    static const struct {
        int64_t in[5], out[7];
    } table[] = {
        { { 1200, 310, 1510, 1000, 64 }, { 1200, 310, 1510, 1000, U, U, 64 } },
        { { 1200, 310, U, U, U }, { 1200, 310, U, U, U, U, U } },
        { { 0, 0, 0, 0, 0 }, { 0, 0, 0, 0, U, U, 0 } },
        { { -7, U, U, U, U }, { U, U, U, U, U, U, U } },
    };
    struct tg_usage u;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const int64_t *v = table[i].in;
        tg_usage_openai(v[0], v[1], v[2], v[3], v[4], &u);
        usage_is(&u, table[i].out);
    }
}

static void test_anthropic(void **state)
{
    static const struct {
        int64_t in[5], out[7];
    } table[] = {
        { { 200, 310, 1000, 50, 20 }, { 1250, 310, 1560, 1000, 50, 20, U } },
        { { 200, 310, 0, 0, 0 }, { 200, 310, 510, 0, 0, 0, U } },
        { { 200, 310, U, 0, 0 }, { U, 310, U, U, 0, 0, U } },
        { { 200, 310, 10, U, 0 }, { U, 310, U, 10, U, 0, U } },
        { { 200, U, 10, 5, U }, { 215, U, U, 10, 5, U, U } },
        { { U, 310, 10, 5, 0 }, { U, 310, U, 10, 5, 0, U } },
        { { INT64_MAX, 1, 1, 0, 0 }, { U, 1, U, 1, 0, 0, U } },
    };
    struct tg_usage u;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const int64_t *v = table[i].in;
        tg_usage_anthropic(v[0], v[1], v[2], v[3], v[4], &u);
        usage_is(&u, table[i].out);
    }
}

static void test_openclaw(void **state)
{
    static const struct {
        int64_t in[5], out[7];
    } table[] = {
        { { 200, 310, 1000, 50, 1560 }, { 1250, 310, 1560, 1000, 50, U, U } },
        { { 200, 310, 1000, 50, U }, { 1250, 310, U, 1000, 50, U, U } },
        { { U, U, U, U, U }, { U, U, U, U, U, U, U } },
    };
    struct tg_usage u;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const int64_t *v = table[i].in;
        tg_usage_openclaw(v[0], v[1], v[2], v[3], v[4], &u);
        usage_is(&u, table[i].out);
    }
}

/* Each error has its own words, and a stranger gets some too. */
static void test_strerror(void **state)
{
    (void)state;
    for (int i = TG_OK; i <= TG_ERR_CLOSED; i++) {
        assert_non_null(tg_strerror(i));
        assert_string_not_equal(tg_strerror(i), tg_strerror(TG_ERR_CLOSED + 1));
        for (int j = TG_OK; j < i; j++)
            assert_string_not_equal(tg_strerror(i), tg_strerror(j));
    }
    assert_string_equal(tg_version(), TG_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openai),
        cmocka_unit_test(test_anthropic),
        cmocka_unit_test(test_openclaw),
        cmocka_unit_test(test_strerror),
    };

    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
