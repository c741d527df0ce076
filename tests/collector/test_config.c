/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/daemon/config.h"

static int parse(const char *text, struct config *c, char *error)
{
    return config_parse("f.yaml", text, strlen(text), c, error);
}

static void every_default_prints_back_to_itself(void **state)
{
    struct config c, again;
    char error[CONFIG_ERROR_MAX], *text = NULL, *second = NULL;
    size_t len, second_len;

    (void)state;
    assert_int_equal(
        parse("listen: {http: \"[::1]:9\", token: \"a\\\"b\\\\ \\x01\"}\nlimits: {query_ms: 77}\n"
              "listen2: {}\n",
              &c, error),
        -1);
    assert_int_equal(
        parse("listen: {http: \"[::1]:9\", token: \"a\\\"b\\\\ \\x01\"}\nlimits: {query_ms: 77}\n", &c,
              error),
        0);
    FILE *f = open_memstream(&text, &len);
    config_print(&c, f);
    fclose(f);
    if (config_parse("printed", text, len, &again, error) != 0)
        fail_msg("%s", error);
    f = open_memstream(&second, &second_len);
    config_print(&again, f);
    fclose(f);
    assert_string_equal(text, second);
    assert_memory_equal(&c, &again, sizeof c);
    free(text);
    free(second);
}

static void good_values_are_taken(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    assert_int_equal(parse("", &c, error), 0);
    assert_int_equal(c.queue_events, 8192);
    assert_int_equal(parse("# nothing\nlog:\n", &c, error), 0);
    assert_int_equal(
        parse("listen:\n  events: [ipc:///x/y, \"tcp://127.0.0.1:0\"]\n  http: off\n", &c, error), 0);
    assert_int_equal(c.event_endpoints, 2);
    assert_string_equal(c.events[1], "tcp://127.0.0.1:0");
    assert_string_equal(c.http, "off");
    assert_int_equal(parse("listen: {http: \"0.0.0.0:80\", token: secret}", &c, error), 0);
    setenv("TEST_TOKEN", "from-env", 1);
    assert_int_equal(parse("listen: {token_env: TEST_TOKEN}", &c, error), 0);
    assert_string_equal(c.token, "from-env");
}

static void durations_and_zones_are_taken(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
        const char *printed;
    } table[] = {
        { "30s", 30000, "30s" },
        { "90s", 90000, "90s" },
        { "120s", 120000, "2m" },
        { "15m", 900000, "15m" },
        { "12h", 43200000, "12h" },
        { "24h", 86400000, "1d" },
        { "400d", 34560000000, "400d" },
        { "36500d", 3153600000000, "36500d" },
        { "forever", CONFIG_FOREVER, "forever" },
    };
    char text[128], error[CONFIG_ERROR_MAX], *printed;
    struct config c;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(text, sizeof text, "retention: {report: %s}", table[i].text);
        assert_int_equal(parse(text, &c, error), 0);
        assert_int_equal(c.keep_report, table[i].ms);
        FILE *f = open_memstream(&printed, &len);
        config_print(&c, f);
        fclose(f);
        snprintf(text, sizeof text, "\n  report: %s  #", table[i].printed);
        if (strstr(printed, text) == NULL)
            fail_msg("%s is not printed as %s", table[i].text, table[i].printed);
        free(printed);
    }
    assert_int_equal(parse("", &c, error), 0);
    assert_int_equal(c.keep_dispatch, 90 * 86400000LL);
    assert_int_equal(c.keep_day, CONFIG_FOREVER);
    assert_string_equal(c.zone, "UTC");
    assert_int_equal(parse("rollups: {zone: Asia/Kolkata, combinations: 500}", &c, error), 0);
    assert_string_equal(c.zone, "Asia/Kolkata");
    assert_int_equal(c.combinations, 500);
    /* coarser is kept at least as long as finer: equal is enough */
    assert_int_equal(parse("retention: {minute: forever, quarter: forever}", &c, error), 0);
    assert_int_equal(parse("retention: {minute: 2d, quarter: 2d, day: 2d}", &c, error), 0);
}

static void errors_name_file_line_key_value_and_expectation(void **state)
{
    static const struct {
        const char *text, *parts[5];
    } table[] = {
        { "log:\n  level: loud\n", { "f.yaml:2:", "log.level", "\"loud\"", "error|warn|info|debug" } },
        { "log: {level: \"\"}", { "log.level", "expected" } },
        { "limits:\n  query_ms: 9\n", { "f.yaml:2:", "limits.query_ms", "\"9\"", "from 10 to 600000" } },
        { "limits: {query_ms: 10x}", { "limits.query_ms", "\"10x\"" } },
        { "limits: {query_ms: [1]}", { "limits.query_ms", "whole number" } },
        { "limits: {query_ms: 99999999999999999999}", { "limits.query_ms" } },
        { "\n\nlisten:\n  htp: 1\n", { "f.yaml:4:", "\"htp\"", "listen", "http" } },
        { "lsten: {}\n", { "f.yaml:1:", "\"lsten\"", "listen" } },
        { "log: {level: info, level: warn}", { "given before" } },
        { "log: {}\nlog: {}", { "f.yaml:2:", "given before" } },
        { "[1, 2]", { "f.yaml:1:", "map" } },
        { "log: [", { "f.yaml:" } },
        { "listen: {http: localhost}", { "listen.http", "\"localhost\"", "address:port" } },
        { "listen: {http: \"localhost:7448\"}", { "listen.http", "\"localhost:7448\"", "numeric" } },
        { "listen: {http: \"127.foo:7448\", token: x}", { "listen.http", "numeric" } },
        { "listen: {http: \"127.0.0.1:99999\"}", { "listen.http" } },
        { "listen:\n  http: \"0.0.0.0:7448\"", { "f.yaml:2:", "listen.http", "0.0.0.0:7448", "token" } },
        { "listen: {events: \"tcp://10.0.0.1:7447\"}",
          { "listen.events", "tcp://10.0.0.1:7447", "this machine only" } },
        { "listen: {events: []}", { "listen.events" } },
        { "listen:\n  token_env: NO_SUCH_VARIABLE_HERE",
          { "f.yaml:2:", "listen.token_env", "NO_SUCH_VARIABLE_HERE", "expected" } },
        { "retention:\n  dispatch: 90",
          { "f.yaml:2:", "retention.dispatch", "\"90\"", "90d, 12h", "forever" } },
        { "retention: {dispatch: 1.5d}", { "retention.dispatch", "\"1.5d\"" } },
        { "retention: {dispatch: 1w}", { "retention.dispatch", "\"1w\"" } },
        { "retention: {dispatch: -1d}", { "retention.dispatch", "\"-1d\"" } },
        { "retention: {dispatch: 0s}", { "retention.dispatch", "\"0s\"", "from 1s" } },
        { "retention: {dispatch: \"\"}", { "retention.dispatch" } },
        { "retention: {dispatch: d}", { "retention.dispatch", "\"d\"" } },
        { "retention: {dispatch: 12hours}", { "retention.dispatch", "\"12hours\"" } },
        { "retention: {dispatch: never}", { "retention.dispatch", "\"never\"" } },
        { "retention: {dispatch: 99999999999999999999d}", { "retention.dispatch" } },
        { "retention: {dispatch: 36501d}", { "retention.dispatch", "36500d" } },
        { "retention: {dispatch: [1d]}", { "retention.dispatch", "(a list or a map)" } },
        { "retention: {minute: 59m}", { "retention.minute", "\"59m\"", "from 1h" } },
        { "retention: {quarter: 47h}", { "retention.quarter", "\"47h\"", "from 2d" } },
        { "retention: {weekly: 1d}", { "\"weekly\"", "retention", "dispatch, message" } },
        { "retention:\n  minute: 401d",
          { "f.yaml:2:", "retention.quarter", "\"400d\"", "at least 401d", "retention.minute" } },
        { "retention:\n  quarter: 10d\n  minute: forever",
          { "f.yaml:2:", "retention.quarter", "\"10d\"", "forever", "retention.minute" } },
        { "retention:\n  quarter: 10d\n  day: 9d",
          { "f.yaml:3:", "retention.day", "\"9d\"", "at least 10d", "retention.quarter" } },
        { "limits: {http_timeout: forever}", { "limits.http_timeout", "\"forever\"", "from 1s to 1h" } },
        { "rollups:\n  zone: Europe/Atlantis",
          { "f.yaml:2:", "rollups.zone", "Europe/Atlantis", "time zone" } },
        { "rollups: {zone: \"\"}", { "rollups.zone", "\"\"" } },
        { "rollups: {zone: ../../etc/passwd}", { "rollups.zone" } },
        { "rollups: {combinations: 5}", { "rollups.combinations", "\"5\"", "from 100 to 30000" } },
        { "database: {path: relative.db}", { "database.path", "relative.db", "absolute path" } },
        { "database: {synchronous: off}", { "database.synchronous", "full|extra" } },
        { "database: {synchronous: ful}", { "database.synchronous" } },
    };
    struct config c, untouched;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    config_default(&c);
    untouched = c;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(parse(table[i].text, &c, error), -1);
        assert_null(strchr(error, '\n'));
        for (int k = 0; k < 5 && table[i].parts[k] != NULL; k++)
            if (strstr(error, table[i].parts[k]) == NULL)
                fail_msg("%s does not name %s", error, table[i].parts[k]);
        assert_memory_equal(&c, &untouched, sizeof c);
    }
}

static void a_reload_says_what_needs_a_restart(void **state)
{
    struct config a, b;
    char names[128];

    (void)state;
    config_default(&a);
    b = a;
    strcpy(b.log_level, "debug");
    assert_int_equal(config_frozen(&a, &b, names, sizeof names), 0);
    b.query_ms++;
    strcpy(b.events[0], "ipc:///other");
    assert_int_equal(config_frozen(&a, &b, names, sizeof names), 2);
    assert_string_equal(names, "listen.events,limits.query_ms");
    b.keep_minute = 7200000; /* these do not */
    assert_int_equal(config_frozen(&a, &b, names, sizeof names), 2);
    config_reload(&a, &b);
    assert_int_equal(a.keep_minute, 7200000);
    assert_string_equal(a.log_level, "debug");
    assert_int_equal(config_frozen(&a, &b, names, sizeof names), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_prints_back_to_itself),
        cmocka_unit_test(good_values_are_taken),
        cmocka_unit_test(durations_and_zones_are_taken),
        cmocka_unit_test(errors_name_file_line_key_value_and_expectation),
        cmocka_unit_test(a_reload_says_what_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
