/* SPDX-License-Identifier: MIT
 *
 * Calendar units of zones: known instants, and the rules that hold for every zone, walked through years.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/base/zone.h"

#define HOUR_MS    3600000LL
#define QUARTER_MS 900000LL

static int64_t utc(int year, int month, int day, int hour, int minute)
{
    struct tm tm = {
        .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute
    };

    return (int64_t)timegm(&tm) * 1000;
}

static struct zone *open_zone(const char *name)
{
    struct zone *z = zone_open(name);

    if (z == NULL)
        fail_msg("no zone %s: is tzdata installed?", name);
    return z;
}

static void days_where_clocks_change(void **state)
{
    static const struct {
        const char *zone;
        int year, month, day, hour, minute; /* UTC, when the local day begins */
        int hours_of_4;                     /* its length in quarters */
        const char *date;
    } table[] = {
        { "UTC", 2026, 11, 21, 0, 0, 96, "2026-11-21" },
        { "America/New_York", 2026, 3, 8, 5, 0, 92, "2026-03-08" },
        { "America/New_York", 2026, 11, 1, 4, 0, 100, "2026-11-01" },
        { "America/New_York", 2026, 11, 2, 5, 0, 96, "2026-11-02" },
        { "Europe/Berlin", 2026, 3, 28, 23, 0, 92, "2026-03-29" },
        { "Europe/Berlin", 2026, 10, 24, 22, 0, 100, "2026-10-25" },
        { "Asia/Tokyo", 2026, 11, 20, 15, 0, 96, "2026-11-21" },
        { "Asia/Kathmandu", 2026, 11, 20, 18, 15, 96, "2026-11-21" },
        { "Australia/Lord_Howe", 2026, 4, 4, 13, 0, 98, "2026-04-05" },
        { "Australia/Lord_Howe", 2026, 10, 3, 13, 30, 94, "2026-10-04" },
        { "America/Sao_Paulo", 2018, 11, 4, 3, 0, 92, "2018-11-04" },  /* begins at 01:00 */
        { "America/St_Johns", 2010, 11, 7, 2, 30, 100, "2010-11-07" }, /* 00:01 back to 23:01 */
        { "Pacific/Apia", 2011, 12, 29, 10, 0, 96, "2011-12-29" },     /* the 30th was skipped */
        { "Pacific/Apia", 2011, 12, 30, 10, 0, 96, "2011-12-31" },
        { "UTC", 2028, 2, 29, 0, 0, 96, "2028-02-29" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct zone *z = open_zone(table[i].zone);
        int64_t start = utc(table[i].year, table[i].month, table[i].day, table[i].hour, table[i].minute);
        int64_t end = start + table[i].hours_of_4 * QUARTER_MS;
        char date[ZONE_DATE_MAX];
        assert_int_equal(zone_floor(z, ZONE_DAY, start), start);
        assert_int_equal(zone_floor(z, ZONE_DAY, end - 1), start);
        assert_int_equal(zone_floor(z, ZONE_DAY, start + 30 * 60000), start);
        assert_int_equal(zone_floor(z, ZONE_DAY, start + 70 * 60000), start);
        assert_true(zone_floor(z, ZONE_DAY, start - 1) < start);
        assert_int_equal(zone_next(z, ZONE_DAY, start), end);
        assert_int_equal(zone_next(z, ZONE_DAY, end - 1), end);
        assert_int_equal(zone_next(z, ZONE_DAY, start - 1), start);
        zone_date(z, end - 1, date);
        assert_string_equal(date, table[i].date);
        zone_close(z);
    }
}

static void weeks_begin_on_monday_and_months_on_the_first(void **state)
{
    struct zone *ny = open_zone("America/New_York"), *u = open_zone("UTC");

    (void)state;
    assert_int_equal(zone_floor(u, ZONE_WEEK, utc(2026, 11, 22, 23, 59)), utc(2026, 11, 16, 0, 0));
    assert_int_equal(zone_next(u, ZONE_WEEK, utc(2026, 11, 16, 0, 0)), utc(2026, 11, 23, 0, 0));
    assert_int_equal(zone_floor(ny, ZONE_WEEK, utc(2026, 11, 2, 4, 59)), utc(2026, 10, 26, 4, 0));
    assert_int_equal(zone_next(ny, ZONE_WEEK, utc(2026, 10, 26, 4, 0)), utc(2026, 11, 2, 5, 0));
    assert_int_equal(zone_floor(u, ZONE_MONTH, utc(2026, 1, 31, 23, 59)), utc(2026, 1, 1, 0, 0));
    assert_int_equal(zone_next(u, ZONE_MONTH, utc(2026, 1, 31, 12, 0)), utc(2026, 2, 1, 0, 0));
    assert_int_equal(zone_next(u, ZONE_MONTH, utc(2028, 2, 29, 12, 0)), utc(2028, 3, 1, 0, 0));
    assert_int_equal(zone_floor(u, ZONE_MONTH, utc(2028, 2, 29, 12, 0)), utc(2028, 2, 1, 0, 0));
    assert_int_equal(zone_next(u, ZONE_MONTH, utc(2027, 2, 28, 12, 0)), utc(2027, 3, 1, 0, 0));
    assert_int_equal(zone_next(u, ZONE_MONTH, utc(2026, 12, 31, 12, 0)), utc(2027, 1, 1, 0, 0));
    assert_int_equal(zone_floor(ny, ZONE_MONTH, utc(2026, 11, 21, 0, 0)), utc(2026, 11, 1, 4, 0));
    assert_int_equal(zone_next(ny, ZONE_MONTH, utc(2026, 11, 21, 0, 0)), utc(2026, 12, 1, 5, 0));
    zone_close(ny);
    zone_close(u);
}

/* New York's second hour from one to two, and the hour that it leaves out; Lord Howe's half hours. */
static void hours_where_clocks_change(void **state)
{
    struct zone *ny = open_zone("America/New_York"), *lh = open_zone("Australia/Lord_Howe"),
                *np = open_zone("Asia/Kathmandu");

    (void)state;
    for (int hour = 3; hour < 9; hour++) {
        assert_int_equal(zone_floor(ny, ZONE_HOUR, utc(2026, 11, 1, hour, 59)), utc(2026, 11, 1, hour, 0));
        assert_int_equal(zone_next(ny, ZONE_HOUR, utc(2026, 11, 1, hour, 0)), utc(2026, 11, 1, hour + 1, 0));
        assert_int_equal(zone_floor(ny, ZONE_HOUR, utc(2026, 3, 8, hour, 59)), utc(2026, 3, 8, hour, 0));
    }
    assert_int_equal(zone_floor(np, ZONE_HOUR, utc(2026, 11, 21, 6, 14)), utc(2026, 11, 21, 5, 15));
    assert_int_equal(zone_next(np, ZONE_HOUR, utc(2026, 11, 21, 6, 14)), utc(2026, 11, 21, 6, 15));
    int64_t change = utc(2026, 4, 4, 15, 0); /* 02:00 back to 01:30 */
    assert_int_equal(zone_floor(lh, ZONE_HOUR, change - 1), change - HOUR_MS);
    assert_int_equal(zone_next(lh, ZONE_HOUR, change - HOUR_MS), change);
    assert_int_equal(zone_floor(lh, ZONE_HOUR, change), change);
    assert_int_equal(zone_next(lh, ZONE_HOUR, change), change + HOUR_MS / 2);
    change = utc(2026, 10, 3, 15, 30); /* 02:00 on to 02:30 */
    assert_int_equal(zone_floor(lh, ZONE_HOUR, change - 1), change - HOUR_MS);
    assert_int_equal(zone_next(lh, ZONE_HOUR, change), change + HOUR_MS / 2);
    zone_close(ny);
    zone_close(lh);
    zone_close(np);
}

/* Units follow each other without gap or overlap, days on whole quarters; a day is in one week and one month.
 */
static void units_tile_time(void **state)
{
    static const char *const names[] = { "UTC",
                                         "America/New_York",
                                         "Europe/Berlin",
                                         "Asia/Tokyo",
                                         "Asia/Kathmandu",
                                         "Australia/Lord_Howe",
                                         "Africa/Casablanca",
                                         "Pacific/Apia",
                                         "America/St_Johns",
                                         "America/Sao_Paulo",
                                         "Asia/Gaza",
                                         "Asia/Kolkata" };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct zone *z = open_zone(names[i]);
        for (int unit = ZONE_HOUR; unit <= ZONE_MONTH; unit++) {
            int64_t at = zone_floor(z, (enum zone_unit)unit, utc(2006, 1, 1, 0, 0));
            int64_t end = utc(unit == ZONE_HOUR ? 2012 : 2040, 1, 1, 0, 0);
            while (at < end) {
                int64_t next = zone_next(z, (enum zone_unit)unit, at);
                assert_true(next > at && at % (unit == ZONE_HOUR ? 60000 : QUARTER_MS) == 0);
                assert_int_equal(zone_floor(z, (enum zone_unit)unit, at), at);
                assert_int_equal(zone_floor(z, (enum zone_unit)unit, next - 1), at);
                assert_int_equal(zone_next(z, (enum zone_unit)unit, next - 1), next);
                if (unit > ZONE_DAY)
                    assert_int_equal(zone_floor(z, ZONE_DAY, at), at);
                at = next;
            }
        }
        zone_close(z);
    }
}

/* The C library's own idea of local time, at the same instants. */
static void offsets_are_the_systems(void **state)
{
    static const char *const names[] = { "America/New_York", "Europe/Berlin", "Australia/Lord_Howe",
                                         "Asia/Gaza" };
    const char *tz = getenv("TZ");
    char *before = tz != NULL ? strdup(tz) : NULL;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct zone *z = open_zone(names[i]);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t s = utc(1971, 1, 1, 0, 0) / 1000; s < utc(2037, 1, 1, 0, 0) / 1000; s += 36061) {
            time_t t = (time_t)s;
            struct tm local;
            localtime_r(&t, &local);
            assert_int_equal(zone_offset(z, s * 1000), local.tm_gmtoff);
        }
        zone_close(z);
    }
    if (before != NULL)
        setenv("TZ", before, 1);
    else
        unsetenv("TZ");
    tzset();
    free(before);
}

static void unknown_names_are_refused(void **state)
{
    static const char *const names[] = {
        "",
        "Lord_Howe",
        "Mars/Olympus",
        "/etc/localtime",
        "../UTC",
        ":UTC",
        "+01:00",
        "utc ",
        "Europe/Berlin\n",
        "A/name/that/is/longer/than/any/zone/has/ever/been/and/goes/on/for/long"
    };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (zone_open(names[i]) != NULL)
            fail_msg("\"%s\" was taken", names[i]);
    zone_close(NULL);
    struct zone *z = open_zone("Europe/Berlin");
    assert_string_equal(zone_name(z), "Europe/Berlin");
    zone_close(z);
}

static void far_times_do_no_harm(void **state)
{
    struct zone *z = open_zone("Europe/Berlin");
    char date[ZONE_DATE_MAX];

    (void)state;
    for (int unit = ZONE_HOUR; unit <= ZONE_MONTH; unit++)
        for (int i = 0; i < 4; i++) {
            int64_t ms = (int64_t[]){ INT64_MIN, INT64_MAX, -1, 0 }[i];
            assert_true(zone_next(z, (enum zone_unit)unit, ms) > zone_floor(z, (enum zone_unit)unit, ms));
            zone_date(z, ms, date);
        }
    zone_date(z, 0, date);
    assert_string_equal(date, "1970-01-01");
    zone_close(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_where_clocks_change),
        cmocka_unit_test(weeks_begin_on_monday_and_months_on_the_first),
        cmocka_unit_test(hours_where_clocks_change),
        cmocka_unit_test(units_tile_time),
        cmocka_unit_test(offsets_are_the_systems),
        cmocka_unit_test(unknown_names_are_refused),
        cmocka_unit_test(far_times_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
