/* SPDX-License-Identifier: MIT
 *
 * The command line is no library: the file under test is compiled in here, and what it tells is kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/doctor_growth.c"
#include "collector/cli/exposition.c"
#include "collector/cli/human.c"
#include "collector/cli/rows.c"

#define GIB (1024.0 * 1024 * 1024)

static enum verdict told;
static char text[1024];

void doctor_tell(struct doctor *d, enum verdict v, const char *what, const char *fmt, ...)
{
    va_list args;

    (void)d;
    assert_string_equal(what, "growth");
    told = v;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
}

void doctor_fact(struct doctor *d, const char *name, int64_t n)
{
    (void)d, (void)name, (void)n;
}

const char *doctor_said(const struct doctor *d, const char *name)
{
    (void)d, (void)name;
    return "";
}

int64_t doctor_number(sqlite3 *db, const char *sql, int64_t otherwise)
{
    (void)db, (void)sql;
    return otherwise;
}

bool cli_is_local(const struct cli *c)
{
    (void)c;
    return false;
}

void table_add(struct table *t, const char *cell)
{
    (void)t, (void)cell;
}

/* A file of 10 GiB that grows by 1 GiB a day. */
static struct growth growth(double room, double age_days)
{
    return (struct growth){ .per_event = 100,
                            .events_per_day = GIB / 100,
                            .span_ms = 7 * 86400000LL,
                            .used = 10 * GIB,
                            .room = room,
                            .age_days = age_days };
}

static void check(double room, double age_days, enum verdict v, const char *begin)
{
    struct growth g = growth(room, age_days);
    struct doctor d = { .metrics = "" };

    text[0] = 0;
    growth_tell(&d, &g);
    if (told != v || strncmp(text, begin, strlen(begin)) != 0)
        fail_msg("verdict %d: %s", told, text);
}

#define RATE "1.0 GiB a day (as in the last 7 d 00 h)"

static void test_kept_for_ever(void **state)
{
    (void)state;
    check(5000 * GIB, INFINITY, VERDICT_OK, RATE "; the disk has 4.9 TiB left, enough for years");
    check(100 * GIB, INFINITY, VERDICT_OK, RATE "; the disk has 100 GiB left and is full in 100 d 00 h (20");
    check(29 * GIB, INFINITY, VERDICT_WARN, RATE "; the disk has 29.0 GiB left and is full in 29 d 00 h (20");
    check(GIB, INFINITY, VERDICT_FAIL, RATE "; the disk has 1.0 GiB left and is full in 1 d 00 h (20");
    assert_non_null(strstr(text, "shorten retention.dispatch"));
}

/* What is kept for a time comes to an end of growing, if there is room until then. */
static void test_kept_for_a_time(void **state)
{
    (void)state;
    check(100 * GIB, 90, VERDICT_OK,
          RATE "; with this retention the file stops at about 99.0 GiB, which fits");
    check(100 * GIB, 5, VERDICT_OK,
          RATE "; with this retention the file stops at about 10.0 GiB, which fits");
    check(20 * GIB, 90, VERDICT_WARN, RATE "; the disk has 20.0 GiB left and is full in 20 d 00 h (20");
    check(20 * GIB, 20, VERDICT_OK,
          RATE "; with this retention the file stops at about 22.0 GiB, which fits");
}

static void test_what_nobody_knows(void **state)
{
    (void)state;
    check(NAN, INFINITY, VERDICT_OK, RATE);
    check(NAN, 30, VERDICT_OK, RATE "; with this retention the file stops at about 33.0 GiB");
    check(20 * GIB, NAN, VERDICT_WARN, RATE "; the disk has 20.0 GiB left");
}

static void test_age_from_metrics(void **state)
{
    static const struct {
        const char *metrics;
        double days;
    } table[] = { { "tollgate_retention_age_seconds{kind=\"dispatch\"} 86400\n", 1 },
                  { "tollgate_retention_age_seconds{kind=\"dispatch\"} 0\n", INFINITY },
                  { "tollgate_retention_age_seconds{kind=\"message\"} 86400\n", NAN } };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct doctor d = { .metrics = table[i].metrics };
        struct growth g;
        age_read(&d, &g);
        assert_true(isnan(table[i].days)   ? isnan(g.age_days)
                    : isinf(table[i].days) ? isinf(g.age_days)
                                           : fabs(g.age_days - table[i].days) < 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_for_ever),
        cmocka_unit_test(test_kept_for_a_time),
        cmocka_unit_test(test_what_nobody_knows),
        cmocka_unit_test(test_age_from_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
