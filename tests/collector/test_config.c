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
    assert_int_equal(c.queue_events, 16384);
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
        { "listen: {http: \"0.0.0.0:7448\"}", { "listen.http", "0.0.0.0:7448", "token" } },
        { "listen: {events: \"tcp://10.0.0.1:7447\"}",
          { "listen.events", "tcp://10.0.0.1:7447", "this machine only" } },
        { "listen: {events: []}", { "listen.events" } },
        { "listen: {token_env: NO_SUCH_VARIABLE_HERE}", { "listen.token_env", "NO_SUCH_VARIABLE_HERE" } },
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
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_prints_back_to_itself),
        cmocka_unit_test(good_values_are_taken),
        cmocka_unit_test(errors_name_file_line_key_value_and_expectation),
        cmocka_unit_test(a_reload_says_what_needs_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
