/* SPDX-License-Identifier: MIT
 *
 * Windows: known instants, and what must hold for any instant, whatever the clock did before.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/govern/instant.h"
#include "collector/govern/window.h"

#define SECOND_MS 1000LL
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)

static const char *const zones[] = { "UTC", "America/New_York", "Asia/Tokyo", "Asia/Kathmandu",
                                     "Europe/Berlin" };
#define ZONES (sizeof zones / sizeof *zones)

static int64_t at(const char *text)
{
    int64_t ms;

    if (!instant_parse(text, &ms))
        fail_msg("%s is no time", text);
    return ms;
}

static struct window window_of(const char *text, const char *zone)
{
    struct window w = { .zone = zone_shared(zone) };

    assert_non_null(w.zone);
    if (!window_parse(text, &w))
        fail_msg("%s is no window", text);
    return w;
}

static void calendar_windows_at_known_instants(void **state)
{
    static const struct {
        const char *zone, *window, *instant, *start, *end;
    } table[] = {
        { "UTC", "day", "2026-11-21T12:34:56.789Z", "2026-11-21", "2026-11-22" },
        { "UTC", "day", "2026-11-21T00:00:00Z", "2026-11-21", "2026-11-22" },
        { "UTC", "day", "2026-11-20T23:59:59.999Z", "2026-11-20", "2026-11-21" },
        { "UTC", "hour", "2026-11-21T12:34:56.789Z", "2026-11-21T12:00:00Z", "2026-11-21T13:00:00Z" },
        { "UTC", "week", "2026-11-22T23:59:59.999Z", "2026-11-16", "2026-11-23" }, /* a Sunday */
        { "UTC", "week", "2026-11-23T00:00:00Z", "2026-11-23", "2026-11-30" },
        { "UTC", "month", "2026-01-31T12:00:00Z", "2026-01-01", "2026-02-01" },
        { "UTC", "month", "2028-02-29T23:59:59.999Z", "2028-02-01", "2028-03-01" },
        { "UTC", "day", "2028-02-29T12:00:00Z", "2028-02-29", "2028-03-01" },
        { "UTC", "month", "2026-12-31T23:59:59.999Z", "2026-12-01", "2027-01-01" },
        { "UTC", "day", "2026-12-31T23:59:59.999Z", "2026-12-31", "2027-01-01" },
        { "UTC", "week", "2027-01-01T12:00:00Z", "2026-12-28", "2027-01-04" }, /* over the year's end */
        /* the day that has 23 hours */
        { "America/New_York", "day", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z" },
        { "America/New_York", "day", "2026-03-08T04:59:59.999Z", "2026-03-07T05:00:00Z",
          "2026-03-08T05:00:00Z" },
        { "America/New_York", "hour", "2026-03-08T06:59:59.999Z", "2026-03-08T06:00:00Z",
          "2026-03-08T07:00:00Z" }, /* 01:00 EST */
        { "America/New_York", "hour", "2026-03-08T07:00:00Z", "2026-03-08T07:00:00Z",
          "2026-03-08T08:00:00Z" }, /* 03:00 EDT */
        { "America/New_York", "week", "2026-03-08T12:00:00Z", "2026-03-02T05:00:00Z",
          "2026-03-09T04:00:00Z" },
        { "America/New_York", "month", "2026-03-08T12:00:00Z", "2026-03-01T05:00:00Z",
          "2026-04-01T04:00:00Z" },
        /* the day that has 25 */
        { "America/New_York", "day", "2026-11-01T12:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z" },
        { "America/New_York", "day", "2026-11-02T04:59:59.999Z", "2026-11-01T04:00:00Z",
          "2026-11-02T05:00:00Z" },
        { "America/New_York", "hour", "2026-11-01T05:30:00Z", "2026-11-01T05:00:00Z",
          "2026-11-01T06:00:00Z" }, /* 01:30 EDT */
        { "America/New_York", "hour", "2026-11-01T06:30:00Z", "2026-11-01T06:00:00Z",
          "2026-11-01T07:00:00Z" }, /* 01:30 EST: the same hands, another hour */
        { "America/New_York", "month", "2026-11-01T04:00:00Z", "2026-11-01T04:00:00Z",
          "2026-12-01T05:00:00Z" },
        { "America/New_York", "month", "2026-02-01T04:59:59.999Z", "2026-01-01T05:00:00Z",
          "2026-02-01T05:00:00Z" }, /* still 31 January there */
        { "America/New_York", "month", "2028-02-29T12:00:00Z", "2028-02-01T05:00:00Z",
          "2028-03-01T05:00:00Z" },
        { "America/New_York", "day", "2027-01-01T04:59:59.999Z", "2026-12-31T05:00:00Z",
          "2027-01-01T05:00:00Z" },
        { "Asia/Tokyo", "day", "2026-11-21T15:00:00Z", "2026-11-21T15:00:00Z", "2026-11-22T15:00:00Z" },
        { "Asia/Tokyo", "month", "2026-01-31T14:59:59.999Z", "2025-12-31T15:00:00Z", "2026-01-31T15:00:00Z" },
        { "Asia/Tokyo", "month", "2028-02-29T14:59:59.999Z", "2028-01-31T15:00:00Z", "2028-02-29T15:00:00Z" },
        { "Asia/Tokyo", "week", "2026-11-22T15:00:00Z", "2026-11-22T15:00:00Z", "2026-11-29T15:00:00Z" },
        { "Asia/Kathmandu", "day", "2026-11-21T18:14:59.999Z", "2026-11-20T18:15:00Z",
          "2026-11-21T18:15:00Z" },
        { "Asia/Kathmandu", "hour", "2026-11-21T12:00:00Z", "2026-11-21T11:15:00Z", "2026-11-21T12:15:00Z" },
        { "Asia/Kathmandu", "month", "2026-01-31T18:15:00Z", "2026-01-31T18:15:00Z", "2026-02-28T18:15:00Z" },
        { "Asia/Kathmandu", "month", "2028-02-29T18:14:59.999Z", "2028-01-31T18:15:00Z",
          "2028-02-29T18:15:00Z" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct window w = window_of(table[i].window, table[i].zone);
        int64_t ms = at(table[i].instant), start = at(table[i].start), end = at(table[i].end);
        if (window_start(&w, ms) != start || window_end(&w, start) != end)
            fail_msg("%s %s at %s", table[i].zone, table[i].window, table[i].instant);
        assert_int_equal(window_first(&w, ms), start);
        assert_int_equal(window_gone(&w, start), end);
        assert_int_equal(window_start(&w, end - 1), start);
        assert_int_equal(window_start(&w, end), end);
    }
}

static void sessions_and_totals_are_one_cell(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct window w = { .zone = NULL };
        assert_true(window_parse(i == 0 ? "session" : "total", &w));
        assert_int_equal(window_start(&w, at("2026-11-21")), 0);
        assert_int_equal(window_first(&w, at("2026-11-21")), 0);
        assert_true(window_end(&w, 0) == WINDOW_NEVER);
        assert_true(window_gone(&w, 0) == WINDOW_NEVER);
    }
}

/* A window of five hours is five hours, whatever the hands do: over both changes, and at the year's end. */
static void sliding_windows_count_hours_that_passed(void **state)
{
    static const char *const instants[] = { "2026-03-08T07:30:00Z", "2026-11-01T06:30:00Z",
                                            "2027-01-01T00:00:00Z", "2026-11-21T12:34:56.789Z" };
    struct window w = { .zone = NULL };

    (void)state;
    assert_true(window_parse("sliding 5h", &w));
    assert_int_equal(w.length_ms, 5 * HOUR_MS);
    for (size_t i = 0; i < sizeof instants / sizeof *instants; i++) {
        int64_t now = at(instants[i]), width = 5 * MINUTE_MS, start = window_start(&w, now), held = 0;
        assert_int_equal(start % width, 0);
        assert_in_range(now - start, 0, width - 1);
        assert_int_equal(window_end(&w, start), start + width);
        for (int64_t piece = start - 100 * width; piece <= start; piece += width) {
            bool in = piece >= window_first(&w, now);
            held += in;
            /* held exactly as long as some of it is less than five hours old */
            assert_true(in == (piece + width > now - 5 * HOUR_MS));
            assert_true(in == (now < window_gone(&w, piece)));
        }
        assert_int_equal(held, WINDOW_BUCKETS + 1);
        /* never less than the time it names: what was five hours ago, less a millisecond, is in it */
        assert_true(window_start(&w, now - 5 * HOUR_MS + 1) >= window_first(&w, now));
    }
}

/* Any pseudo-random instant from 1970 to 2100, in no order: a clock that jumps back and forth. */
static int64_t any_instant(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int64_t)((*seed >> 16) % (uint64_t)at("2100-01-01"));
}

static void any_instant_is_in_one_cell(void **state)
{
    static const char *const windows[] = { "hour",       "day",         "week",
                                           "month",      "sliding 60s", "sliding 5h",
                                           "sliding 7d", "sliding 97s", "sliding 366d" };
    uint64_t seed = 20261121;

    (void)state;
    for (size_t z = 0; z < ZONES; z++)
        for (size_t k = 0; k < sizeof windows / sizeof *windows; k++) {
            struct window w = window_of(windows[k], zones[z]);
            for (int i = 0; i < 2000; i++) {
                int64_t ms = any_instant(&seed), start = window_start(&w, ms), end = window_end(&w, start);
                assert_true(start <= ms && ms < end);
                assert_int_equal(window_start(&w, start), start);
                assert_int_equal(window_start(&w, end - 1), start);
                assert_int_equal(window_start(&w, end), end);
                assert_int_equal(window_end(&w, window_start(&w, start - 1)), start);
                assert_true(window_first(&w, ms) <= start && window_gone(&w, start) >= end);
                assert_true(ms < window_gone(&w, window_first(&w, ms)));
                assert_true(ms >= window_gone(&w, window_start(&w, window_first(&w, ms) - 1)));
            }
        }
}

static void extreme_instants_do_no_harm(void **state)
{
    static const int64_t extremes[] = { INT64_MIN, -1, 0, INT64_MAX };

    (void)state;
    for (int kind = WINDOW_HOUR; kind <= WINDOW_TOTAL; kind++) {
        struct window w = { .kind = (enum window_kind)kind, .zone = zone_shared("UTC") };
        w.length_ms = kind == WINDOW_SLIDING ? WINDOW_SLIDING_MAX : 0;
        for (size_t i = 0; i < 4; i++) {
            int64_t start = window_start(&w, extremes[i]);
            assert_true(window_gone(&w, start) > start);
            assert_true(window_first(&w, extremes[i]) <= start);
        }
    }
}

static void windows_read_and_write(void **state)
{
    static const struct {
        const char *text, *written;
        int64_t length_ms;
    } good[] = {
        { "hour", "hour", 0 },
        { "day", "day", 0 },
        { "week", "week", 0 },
        { "month", "month", 0 },
        { "session", "session", 0 },
        { "total", "total", 0 },
        { "sliding 5h", "sliding 5h", 5 * HOUR_MS },
        { "sliding   5h", "sliding 5h", 5 * HOUR_MS },
        { "sliding 60s", "sliding 1m", MINUTE_MS },
        { "sliding 61s", "sliding 63s", 63 * SECOND_MS }, /* pieces of whole milliseconds, never less */
        { "sliding 60001ms", "sliding 63s", 63 * SECOND_MS },
        { "sliding 90m", "sliding 90m", 90 * MINUTE_MS },
        { "sliding 14d", "sliding 2w", 14 * DAY_MS },
        { "sliding 366d", "sliding 366d", 366 * DAY_MS },
    };
    static const char *const bad[] = {
        "",
        "Day",
        "days",
        "year",
        "sliding",
        "sliding ",
        "sliding5h",
        "sliding 5",
        "sliding 5 h",
        "sliding -5h",
        "sliding 0h",
        "sliding 59s",
        "sliding 367d",
        "sliding 5y",
        "sliding 1.5h",
        "sliding 5h 3m",
        "day ",
        " day",
        "sliding 99999999999999h",
    };
    char text[WINDOW_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct window w = { .kind = WINDOW_SESSION, .length_ms = 77 }, again = { .zone = NULL };
        if (!window_parse(good[i].text, &w))
            fail_msg("%s was not taken", good[i].text);
        assert_int_equal(w.length_ms, good[i].length_ms);
        assert_int_equal(w.length_ms % (WINDOW_BUCKETS), 0);
        window_text(&w, text);
        assert_string_equal(text, good[i].written);
        assert_true(window_parse(text, &again));
        assert_true(again.kind == w.kind && again.length_ms == w.length_ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct window w = { .kind = WINDOW_WEEK, .length_ms = 77 };
        if (window_parse(bad[i], &w))
            fail_msg("%s was taken", bad[i]);
        assert_true(w.kind == WINDOW_WEEK && w.length_ms == 77);
    }
}

static void durations_read_and_write(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *written;
    } good[] = {
        { "90s", 90 * SECOND_MS, "90s" },
        { "5m", 5 * MINUTE_MS, "5m" },
        { "300s", 5 * MINUTE_MS, "5m" },
        { "12h", 12 * HOUR_MS, "12h" },
        { "24h", DAY_MS, "1d" },
        { "30d", 30 * DAY_MS, "30d" },
        { "2w", 14 * DAY_MS, "2w" },
        { "1500ms", 1500, "1500ms" },
        { "1ms", 1, "1ms" },
        { "007s", 7 * SECOND_MS, "7s" },
        { "36500d", 36500 * DAY_MS, "36500d" },
    };
    static const char *const bad[] = { "",    "0s",   "-1s",    "1",
                                       "s",   "1.5h", "1 s",    "1S",
                                       "1sm", "1mss", "+1s",    " 1s",
                                       "1y",  "1s ",  "36501d", "99999999999999999999s",
                                       "ms",  "1h3m" };
    char text[DURATION_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms = 0;
        if (!duration_parse(good[i].text, &ms) || ms != good[i].ms)
            fail_msg("%s", good[i].text);
        duration_text(ms, text);
        assert_string_equal(text, good[i].written);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 77;
        if (duration_parse(bad[i], &ms) || ms != 77)
            fail_msg("%s was taken", bad[i]);
    }
}

static void instants_read_and_write(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *written;
    } good[] = {
        { "1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z" },
        { "2026-11-01", 1793491200000, "2026-11-01T00:00:00Z" },
        { "2026-11-01T05:45:00+05:45", 1793491200000, "2026-11-01T00:00:00Z" },
        { "2026-10-31T20:00:00-04:00", 1793491200000, "2026-11-01T00:00:00Z" },
        { "2026-11-01T00:00:00.5Z", 1793491200500, "2026-11-01T00:00:00.500Z" },
        { "2028-02-29T23:59:59.999Z", 1835481599999, "2028-02-29T23:59:59.999Z" },
        { "9999-12-31T23:59:59.999Z", 253402300799999, "9999-12-31T23:59:59.999Z" },
    };
    static const char *const bad[] = { "",
                                       "now",
                                       "2026",
                                       "2026-11",
                                       "2026-13-01",
                                       "2026-02-29",
                                       "2026-11-31",
                                       "1969-12-31",
                                       "1970-01-01T00:00:00+00:01",
                                       "9999-12-31T23:59:59-00:01",
                                       "2026-11-01T00:00:00",
                                       "2026-11-01 00:00:00Z",
                                       "2026-11-01T24:00:00Z",
                                       "2026-11-01T00:60:00Z",
                                       "2026-11-01T00:00:60Z",
                                       "2026-11-01T00:00:00.Z",
                                       "2026-11-01T00:00:00.1234Z",
                                       "2026-11-01T00:00:00z",
                                       "2026-11-01T00:00:00+5:45",
                                       "2026-11-01T00:00:00+0545",
                                       "2026-11-01T00:00:00ZZ",
                                       "1793491200000",
                                       "+026-11-01" };
    char text[INSTANT_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t ms = 77;
        if (!instant_parse(good[i].text, &ms) || ms != good[i].ms)
            fail_msg("%s is %lld", good[i].text, (long long)ms);
        instant_text(ms, text);
        assert_string_equal(text, good[i].written);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t ms = 77;
        if (instant_parse(bad[i], &ms) || ms != 77)
            fail_msg("%s was taken", bad[i]);
    }
}

static void a_shared_zone_is_opened_once(void **state)
{
    const struct zone *berlin = zone_shared("Europe/Berlin");

    (void)state;
    assert_non_null(berlin);
    assert_string_equal(zone_name(berlin), "Europe/Berlin");
    assert_ptr_not_equal(zone_shared("Asia/Tokyo"), berlin);
    assert_ptr_equal(zone_shared("Europe/Berlin"), berlin);
    assert_null(zone_shared("Europe/Atlantis"));
    assert_null(zone_shared(""));
    assert_null(zone_shared("/etc/localtime"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calendar_windows_at_known_instants),
        cmocka_unit_test(sessions_and_totals_are_one_cell),
        cmocka_unit_test(sliding_windows_count_hours_that_passed),
        cmocka_unit_test(any_instant_is_in_one_cell),
        cmocka_unit_test(extreme_instants_do_no_harm),
        cmocka_unit_test(windows_read_and_write),
        cmocka_unit_test(durations_read_and_write),
        cmocka_unit_test(instants_read_and_write),
        cmocka_unit_test(a_shared_zone_is_opened_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
