/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "collector/query/when.h"

#define NOW   1795204491123LL /* 2026-11-20T19:54:51.123Z */
#define WRONG (-1)

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        { "now", NOW },
        { "-24h", NOW - 86400000 },
        { "-15m", NOW - 900000 },
        { "-7d", NOW - 7 * 86400000LL },
        { "-2w", NOW - 14 * 86400000LL },
        { "-90s", NOW - 90000 },
        { "-500ms", NOW - 500 },
        { "-100000d", WRONG },
        { "-30000d", 0 }, /* before 1970: 1970 */
        { "0", 0 },
        { "1795204491123", NOW },
        { "253402300799999", WHEN_MAX },
        { "253402300800000", WRONG },
        { "99999999999999999999999", WRONG },
        { "2026-11-20T19:54:51.123Z", NOW },
        { "2026-11-20t19:54:51.123z", NOW },
        { "2026-11-20 19:54:51.123Z", NOW },
        { "2026-11-20T19:54:51.1239999Z", NOW },
        { "2026-11-20T19:54:51.1Z", NOW - 23 },
        { "2026-11-20T19:54:51Z", NOW - 123 },
        { "2026-11-20T20:54:51+01:00", NOW - 123 },
        { "2026-11-20T20:54:51 01:00", NOW - 123 }, /* a plus that a query string swallowed */
        { "2026-11-20T14:24:51-05:30", NOW - 123 },
        { "2026-11-21T01:39:51+05:45", NOW - 123 },
        { "2026-11-20", 1795132800000 },
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01T00:30:00+01:00", WRONG }, /* before the epoch */
        { "2024-02-29T00:00:00Z", 1709164800000 },
        { "2023-02-29T00:00:00Z", WRONG },
        { "2100-02-29", WRONG },
        { "2000-02-29", 951782400000 },
        { "2016-12-31T23:59:60Z", 1483228800000 }, /* a leap second */
        { "2026-11-20T19:54:61Z", WRONG },
        { "2026-11-20T24:00:00Z", WRONG },
        { "2026-11-20T19:60:00Z", WRONG },
        { "2026-13-01", WRONG },
        { "2026-00-01", WRONG },
        { "2026-11-31", WRONG },
        { "2026-11-00", WRONG },
        { "2026-11-20T19:54:51", WRONG }, /* whose time? */
        { "2026-11-20T19:54Z", WRONG },
        { "2026-11-20T19:54:51.Z", WRONG },
        { "2026-11-20T19:54:51+0100", WRONG },
        { "2026-11-20T19:54:51+24:00", WRONG },
        { "2026-11-20T19:54:51Zjunk", WRONG },
        { "2026-11-20junk", WRONG },
        { "20261120T195451Z", WRONG },
        { "", WRONG },
        { "-", WRONG },
        { "-h", WRONG },
        { "-0h", WRONG },
        { "-1", WRONG },
        { "24h", WRONG },
        { "+1h", WRONG },
        { "-1y", WRONG },
        { "-1h30m", WRONG },
        { "-99999999999999999999h", WRONG },
        { "NOW", WRONG },
        { "yesterday", WRONG },
        { " now", WRONG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t ms = -77;
        int result = when_parse(table[i].text, NOW, &ms);
        int64_t want = table[i].ms == WRONG ? -77 : table[i].ms;
        if (result != (table[i].ms == WRONG ? -1 : 0) || ms != want)
            fail_msg("%s: %d, %lld instead of %lld", table[i].text, result, (long long)ms, (long long)want);
    }
}

static void test_span(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } table[] = {
        { "1m", 60000 },  { "15m", 900000 }, { "1h", 3600000 }, { "1d", 86400000 }, { "10s", 10000 },
        { "1ms", 1 },     { "0m", WRONG },   { "m", WRONG },    { "1", WRONG },     { "-1m", WRONG },
        { "1 m", WRONG }, { "1mm", WRONG },  { "", WRONG },     { "1M", WRONG },    { "1.5h", WRONG },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int64_t ms = WRONG;
        assert_int_equal(when_span(table[i].text, &ms), table[i].ms == WRONG ? -1 : 0);
        assert_true(ms == table[i].ms);
    }
}

static void test_format(void **state)
{
    char text[WHEN_TEXT];

    (void)state;
    when_format(NOW, text);
    assert_string_equal(text, "2026-11-20T19:54:51.123Z");
    when_format(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    when_format(WHEN_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    when_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    when_format(-5, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
}

/* What is written can be read, on every day from 1970 to 2200. */
static void test_round_trip(void **state)
{
    char text[WHEN_TEXT];
    int64_t ms;

    (void)state;
    for (int64_t day = 0; day < 84000; day++) {
        int64_t at = day * 86400000 + day % 86400000;
        when_format(at, text);
        assert_int_equal(when_parse(text, 0, &ms), 0);
        assert_true(ms == at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_span),
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
