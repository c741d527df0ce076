/* SPDX-License-Identifier: MIT
 *
 * The command line is no library: the two files under test are compiled in here.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/exposition.c"
#include "collector/cli/human.c"

struct human_case {
    int64_t n;
    const char *text;
};

static void check(const struct human_case *table, size_t n, void (*human)(int64_t, char *))
{
    char text[CLI_TEXT];

    for (size_t i = 0; i < n; i++) {
        human(table[i].n, text);
        assert_string_equal(text, table[i].text);
    }
}
#define CHECK(table, human) check(table, sizeof(table) / sizeof *(table), human)

static void test_numbers(void **state)
{
    static const struct human_case counts[] = { { 0, "0" },
                                                { 999, "999" },
                                                { 1000, "1,000" },
                                                { 1234567, "1,234,567" },
                                                { -1000, "-1,000" },
                                                { -100, "-100" },
                                                { INT64_MAX, "9,223,372,036,854,775,807" } };
    static const struct human_case si[] = {
        { 0, "0" },          { 999, "999" },      { 1000, "1.0 k" },      { 1049, "1.0 k" },
        { 1051, "1.1 k" },   { 99949, "99.9 k" }, { 99960, "100 k" },     { 402000, "402 k" },
        { 999499, "999 k" }, { 999600, "1.0 M" }, { 18200000, "18.2 M" }, { INT64_MAX, "9.2 E" }
    };
    static const struct human_case bytes[] = {
        { 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.0 KiB" }, { 1536, "1.5 KiB" }, { 254803968, "243 MiB" }
    };
    static const struct human_case usd[] = { { 0, "$0.00" },
                                             { 1, "$0.000000" },
                                             { 4900000, "$0.004900" },
                                             { 5000000, "$0.01" },
                                             { 12414999999, "$12.41" },
                                             { 12415000000, "$12.42" },
                                             { 1234567890000000, "$1,234,567.89" } };
    static const struct human_case times[] = { { 0, "0 ms" },           { 840, "840 ms" },
                                               { 3100, "3.1 s" },       { 59949, "59.9 s" },
                                               { 60000, "1 m 00 s" },   { 7500000, "2 h 05 m" },
                                               { 93600000, "1 d 02 h" } };

    (void)state;
    CHECK(counts, human_count);
    CHECK(si, human_si);
    CHECK(bytes, human_bytes);
    CHECK(usd, human_usd);
    CHECK(times, human_ms);
}

static void test_percent(void **state)
{
    static const struct {
        int64_t part, of;
        const char *text;
    } table[] = {
        { 0, 0, "-" },         { 0, 10, "0 %" },       { 1, 1000000, "< 0.1 %" }, { 4, 1000, "0.4 %" },
        { 94, 1000, "9.4 %" }, { 996, 10000, "10 %" }, { 81, 100, "81 %" },       { 5, 5, "100 %" },
    };
    char text[CLI_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        human_percent(table[i].part, table[i].of, text);
        assert_string_equal(text, table[i].text);
    }
}

static void test_change(void **state)
{
    static const struct {
        int64_t now, before;
        const char *text;
    } table[] = {
        { 0, 0, "-" },           { 5, 0, "new" },        { 0, 5, "-100 %" },
        { 112, 100, "+12 %" },   { 88, 100, "-12 %" },   { 1012, 1000, "+1.2 %" },
        { 10001, 10000, "0 %" }, { 990, 100, "+890 %" }, { 1200, 100, "x 12" },
    };
    char text[CLI_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        human_change(table[i].now, table[i].before, text);
        assert_string_equal(text, table[i].text);
    }
    human_rate(0.812, text);
    assert_string_equal(text, "81 %");
    assert_int_equal(human_width("K\xc3\xb6ln \xe2\x96\x88"), 6);
}

/* However a text is cut in two, the same is written. */
static void test_pieces(void **state)
{
    static const char from[] = "a\033[1m\x7f\r\n\t\xc2\x9b K\xc3\xb6ln\xc2\xa0\xc2\xc2\x80.";
    static const char want[] = "a?[1m?\r\n\t? K\xc3\xb6ln\xc2\xa0\xc2?.";

    (void)state;
    for (size_t cut = 0; cut < sizeof from; cut++) {
        char *text = NULL;
        size_t len = 0;
        bool held = false;
        FILE *to = open_memstream(&text, &len);
        human_piece(to, from, cut, &held);
        human_piece(to, from + cut, sizeof from - 1 - cut, &held);
        fclose(to);
        assert_string_equal(text, want);
        assert_false(held);
        free(text);
    }
}

static void test_whole_characters(void **state)
{
    static const char *const table[][2] = {
        { "", "" },           { "abc", "abc" },         { "K\xc3\xb6", "K\xc3\xb6" },
        { "K\xc3", "K" },     { "\xc3", "" },           { "a\xe2\x96\x88", "a\xe2\x96\x88" },
        { "a\xe2\x96", "a" }, { "a\xf0\x9f\x98", "a" }, { "a\xf0\x9f\x98\x80", "a\xf0\x9f\x98\x80" },
    };
    char text[16];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(text, sizeof text, "%s", table[i][0]);
        human_whole(text);
        assert_string_equal(text, table[i][1]);
    }
}

static void test_exposition(void **state)
{
    static const char text[] = "# HELP a_total An a.\n# TYPE a_total counter\n"
                               "a_total{x=\"}\\\" b_total 9\",y=\"1\"} 2\na_total 3.5\nab_total 7\n"
                               "b_total 1e3\nbroken{x=\"";

    (void)state;
    assert_true(fabs(exposition_sum(text, "a_total") - 5.5) < 1e-9);
    assert_true(fabs(exposition_sum(text, "ab_total") - 7) < 1e-9);
    assert_true(fabs(exposition_sum(text, "b_total") - 1000) < 1e-9);
    assert_true(isnan(exposition_sum(text, "a")));
    assert_true(isnan(exposition_sum(text, "broken")));
    assert_true(isnan(exposition_sum("", "a")));
}

static void test_labels_and_histograms(void **state)
{
    static const char text[] = "lag{projection=\"usage\"} 3\nlag{projection=\"session\",x=\"1\"} 4\n"
                               "t_bucket{route=\"a\",le=\"0.01\"} 90\nt_bucket{route=\"a\",le=\"0.1\"} 98\n"
                               "t_bucket{route=\"a\",le=\"+Inf\"} 100\nt_sum{route=\"a\"} 7\n"
                               "t_bucket{route=\"b\",le=\"0.01\"} 100\nt_bucket{route=\"b\",le=\"0.1\"} 100\n"
                               "t_bucket{route=\"b\",le=\"+Inf\"} 100\ne_bucket{le=\"1\"} 0\n";
    double count;

    (void)state;
    assert_true(fabs(exposition_sum_of(text, "lag", "projection", "session") - 4) < 1e-9);
    assert_true(isnan(exposition_sum_of(text, "lag", "projection", "sess")));
    assert_true(isnan(exposition_sum_of(text, "lag", "x", "2")));
    assert_true(fabs(exposition_quantile(text, "t", 0.5, &count) - 0.01) < 1e-9);
    assert_true(fabs(count - 200) < 1e-9);
    assert_true(fabs(exposition_quantile(text, "t", 0.99, &count) - 0.1) < 1e-9);
    assert_true(isinf(exposition_quantile(text, "t", 1.0, &count)));
    assert_true(isnan(exposition_quantile(text, "e", 0.5, &count)));
    assert_true(isnan(exposition_quantile(text, "none", 0.5, &count)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_percent),
        cmocka_unit_test(test_change),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_whole_characters),
        cmocka_unit_test(test_exposition),
        cmocka_unit_test(test_labels_and_histograms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
