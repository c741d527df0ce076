/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "collector/http/metrics.h"
#include "collector/http/text.h"

static void expect(struct text *t, const char *want, size_t len)
{
    assert_false(t->failed);
    if (t->len != len || memcmp(t->at, want, len) != 0)
        fail_msg("got %.*s, not %s", (int)t->len, t->at, want);
    text_fini(t);
}
#define EXPECT(t, want) expect(t, want, sizeof(want) - 1)

static void test_json(void **state)
{
    static const struct {
        const char *in;
        size_t len;
        const char *out;
    } table[] = {
#define CASE(in, out) { in, sizeof(in) - 1, out }
        CASE("", "\"\""),
        CASE("plain", "\"plain\""),
        CASE("q\"b\\", "\"q\\\"b\\\\\""),
        CASE("\n\t\r\x01\x7f", "\"\\n\\t\\u000d\\u0001\\u007f\""),
        CASE("a\0b", "\"a\\u0000b\""),
        CASE("\xc3\xbc \xe2\x82\xac \xf0\x9f\x9a\xa7", "\"\xc3\xbc \xe2\x82\xac \xf0\x9f\x9a\xa7\""),
        CASE("\xff", "\"\xef\xbf\xbd\""),
        CASE("\xc3", "\"\xef\xbf\xbd\""),                                                 /* cut */
        CASE("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""),                                 /* overlong */
        CASE("\xe0\x9f\xbf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""),                 /* overlong */
        CASE("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""),                 /* a surrogate */
        CASE("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""), /* past the last */
        CASE("x\xe2\x82y", "\"x\xef\xbf\xbd\xef\xbf\xbdy\""),
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct text t = { 0 };
        text_json(&t, table[i].in, table[i].len);
        expect(&t, table[i].out, strlen(table[i].out));
    }
}

/* Every byte string of up to two bytes becomes JSON that a parser takes. */
static void test_json_parses(void **state)
{
    (void)state;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            char in[2] = { (char)a, (char)b };
            struct text t = { 0 };
            text_json(&t, in, 2);
            json_t *value = json_loadb(t.at, t.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
            if (!json_is_string(value))
                fail_msg("%02x %02x", a, b);
            json_decref(value);
            text_fini(&t);
        }
}

static void test_numbers(void **state)
{
    struct text t = { 0 };

    (void)state;
    text_int(&t, 0);
    text_str(&t, " ");
    text_int(&t, INT64_MAX);
    text_str(&t, " ");
    text_int(&t, INT64_MIN);
    text_str(&t, " ");
    text_hex(&t, "\x00\x7f\xff", 3);
    EXPECT(&t, "0 9223372036854775807 -9223372036854775808 007fff");
}

static void test_keys(void **state)
{
    struct text t = { 0 };

    (void)state;
    text_str(&t, "{");
    text_key_int(&t, "a", 1);
    text_key_str(&t, "b", "x");
    text_key(&t, "c");
    text_str(&t, "{");
    text_key_int(&t, "d", -2);
    text_str(&t, "}}");
    EXPECT(&t, "{\"a\":1,\"b\":\"x\",\"c\":{\"d\":-2}}");
}

static void test_csv(void **state)
{
    static const char *const cells[] = { "", "a", "a,b", "q\"q", "line\nline", "\r", "" };
    struct text t = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        text_csv(&t, i == 0, cells[i], strlen(cells[i]));
    EXPECT(&t, ",a,\"a,b\",\"q\"\"q\",\"line\nline\",\"\r\",");
}

static void hook(void *arg, metric_fn emit, void *sink)
{
    static const int64_t bounds[] = { 5, 1000 }, counts[] = { 1, 0, 2 };
    struct metric_histogram h = { bounds, counts, 2, 7005 };
    const struct {
        int64_t value, per;
    } numbers[] = {
        { 9007199254740993, 0 }, { -25, 100 }, { 1, 1000000000 }, { 30000000000, 1000000000 }, { 0, 1000 }
    };

    (void)arg;
    emit(sink, &(struct metric){ .name = "x_total",
                                 .help = "An x.",
                                 .type = "counter",
                                 .value = 3,
                                 .labels = { { "a", "q\"\\\n\xff" }, { "b", "" } } });
    emit(sink, &(struct metric){ .name = "x_total", .help = "An x.", .type = "counter", .value = 4 });
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        emit(sink, &(struct metric){ .name = "y",
                                     .help = "A y.",
                                     .type = "gauge",
                                     .value = numbers[i].value,
                                     .per = numbers[i].per });
    emit(sink,
         &(struct metric){ .name = "z", .help = "A z.", .type = "histogram", .per = 1000, .histogram = &h });
    emit(sink,
         &(struct metric){
             .name = "z", .help = "A z.", .type = "histogram", .labels = { { "a", "b" } }, .histogram = &h });
}

/* Every HELP stands once; numbers are exact; buckets add up. */
static void test_exposition(void **state)
{
    static struct http_counters counters;
    static const char *const names[METRICS_ROUTES] = { "/a" };
    struct http_hooks hooks = { .metrics = hook };
    struct text t = { 0 };

    (void)state;
    metrics_write(&(struct metrics_sources){ &counters, names, NULL, 9, 8, &hooks }, &t);
    text_add(&t, "", 1);
    const char *at = strstr(t.at, "# HELP x_total");
    assert_non_null(at);
    assert_string_equal(at, "# HELP x_total An x.\n# TYPE x_total counter\n"
                            "x_total{a=\"q\\\"\\\\\\n\xef\xbf\xbd\",b=\"\"} 3\nx_total 4\n"
                            "# HELP y A y.\n# TYPE y gauge\n"
                            "y 9007199254740993\ny -0.25\ny 0.000000001\ny 30\ny 0\n"
                            "# HELP z A z.\n# TYPE z histogram\n"
                            "z_bucket{le=\"0.005\"} 1\nz_bucket{le=\"1\"} 1\nz_bucket{le=\"+Inf\"} 3\n"
                            "z_sum 7.005\nz_count 3\n"
                            "z_bucket{a=\"b\",le=\"5\"} 1\nz_bucket{a=\"b\",le=\"1000\"} 1\n"
                            "z_bucket{a=\"b\",le=\"+Inf\"} 3\nz_sum{a=\"b\"} 7005\nz_count{a=\"b\"} 3\n");
    text_fini(&t);
}

static void test_own_metrics(void **state)
{
    static struct http_counters counters;
    static struct histogram queries;
    static const char *const names[METRICS_ROUTES] = { "/a", "/b" };
    struct http_hooks none = { 0 };
    struct text t = { 0 };

    (void)state;
    histogram_add(&counters.duration_us[1], 2500);
    histogram_add(&counters.duration_us[1], 2501);
    histogram_add(&counters.duration_us[1], 20000000);
    histogram_add(&queries, 0);
    atomic_store(&counters.requests[0][404], 2);
    atomic_store(&counters.streams, 5);
    metrics_write(&(struct metrics_sources){ &counters, names, &queries, 9, 8, &none }, &t);
    text_add(&t, "", 1);
    assert_non_null(strstr(t.at, "tollgate_http_requests_total{route=\"/a\",status=\"404\"} 2\n"));
    assert_non_null(strstr(t.at,
                           "tollgate_http_request_duration_seconds_bucket{route=\"/b\",le=\"0.001\"} 0\n"
                           "tollgate_http_request_duration_seconds_bucket{route=\"/b\",le=\"0.0025\"} 1\n"
                           "tollgate_http_request_duration_seconds_bucket{route=\"/b\",le=\"0.005\"} 2\n"));
    assert_non_null(strstr(t.at, "tollgate_http_request_duration_seconds_bucket{route=\"/b\",le=\"10\"} 2\n"
                                 "tollgate_http_request_duration_seconds_bucket{route=\"/b\",le=\"+Inf\"} 3\n"
                                 "tollgate_http_request_duration_seconds_sum{route=\"/b\"} 20.005001\n"));
    assert_null(strstr(t.at, "tollgate_http_request_duration_seconds_bucket{route=\"/a\""));
    assert_non_null(strstr(t.at, "tollgate_http_connections_limit 9\n"));
    assert_non_null(strstr(t.at, "tollgate_http_streams 5\n"));
    assert_non_null(strstr(t.at, "tollgate_http_streams_limit 8\n"));
    assert_non_null(strstr(t.at, "tollgate_query_duration_seconds_bucket{le=\"0.0001\"} 1\n"));
    text_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),        cmocka_unit_test(test_json_parses),
        cmocka_unit_test(test_numbers),     cmocka_unit_test(test_keys),
        cmocka_unit_test(test_csv),         cmocka_unit_test(test_exposition),
        cmocka_unit_test(test_own_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
