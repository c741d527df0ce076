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

/* Owned by the caller. */
static char *printed(const struct config *c)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    config_print(c, f);
    fclose(f);
    return text;
}

static const char governing[] =
    "budgets:\n"
    "  - name: daily-research\n"
    "    scope: { agent: \"research*\", tag.team: [red, 007, 7, \"true\"], lane: {not: [batch, \"\"]} }\n"
    "    per: agent\n"
    "    limit: 5 usd\n"
    "    window: day\n"
    "    timezone: Europe/Berlin\n"
    "    alerts: [50, 80]\n"
    "    action: block\n"
    "  - { name: tokens, limit: 0.10, unit: usd, window: sliding 5h, strict: true, timezone: ~ }\n"
    "  - { name: odd, limit: 7, unit: calls, window: month, scope: { agent: \"a\\x01 \\x85 \\u2028 \\ufeff: "
    "#\" "
    "} }\n"
    "policies:\n"
    "  - { name: no-opus, deny_models: \"*opus*\", default_model: small }\n"
    "prices:\n"
    "  - { match: { model: \"local/*\" }, free: true }\n"
    "  - match: { provider: openai, model: gpt-5 }\n"
    "    input: 1.25\n"
    "    output: \"10\"\n"
    "    tiers: [ { above: 200000, input: 2.50 }, {} ]\n"
    "  - {}\n"
    "rollups: { zone: Asia/Kathmandu }\n"
    "estimate: { prompt_tokens: 1000, completion_tokens: 0 }\n"
    "reservations: { ttl: 90s, open: 5 }\n";

static void budgets_policies_and_prices_are_read(void **state)
{
    struct config c;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    if (parse(governing, &c, error) != 0)
        fail_msg("%s", error);
    assert_int_equal(c.budget_count, 3);
    assert_string_equal(c.budgets[0]->name, "daily-research");
    assert_int_equal(c.budgets[0]->limit, 5000000000);
    assert_string_equal(zone_name(c.budgets[0]->zone), "Europe/Berlin");
    assert_int_equal(c.budgets[0]->scope.terms, 3);
    assert_int_equal(c.budgets[0]->scope.term[2].patterns, 4);
    assert_string_equal(c.budgets[0]->scope.term[2].pattern[0], "007"); /* as it was written */
    assert_int_equal(c.budgets[1]->limit, 100000000);
    assert_true(c.budgets[1]->strict);
    /* the zone of the days, though it stands below */
    assert_string_equal(zone_name(c.budgets[2]->zone), "Asia/Kathmandu");
    assert_int_equal(c.policy_count, 1);
    assert_string_equal(c.policies[0]->use_model, "small");
    assert_int_equal(json_array_size(c.prices), 3);
    assert_string_equal(json_string_value(json_object_get(json_array_get(c.prices, 1), "input")), "1.25");
    assert_int_equal(c.estimate_prompt_tokens, 1000);
    assert_int_equal(c.estimate_completion_tokens, 0);
    assert_int_equal(c.reservation_ttl_ms, 90000);
    assert_int_equal(c.reservations_open, 5);
    config_fini(&c);
    assert_int_equal(c.budget_count + c.policy_count, 0);
    config_fini(&c); /* twice is fine */

    assert_int_equal(parse("budgets:\npolicies: []\nprices:\n", &c, error), 0);
    assert_int_equal(c.budget_count + c.policy_count, 0);
    assert_int_equal(c.estimate_prompt_tokens, 8192);
    assert_int_equal(c.reservation_ttl_ms, 600000);
    config_fini(&c);
}

static void budgets_print_back_to_themselves(void **state)
{
    struct config c, again;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    assert_int_equal(parse(governing, &c, error), 0);
    char *first = printed(&c);
    if (config_parse("printed", first, strlen(first), &again, error) != 0)
        fail_msg("%s in\n%s", error, first);
    char *second = printed(&again);
    assert_string_equal(first, second);
    assert_memory_equal(&c, &again, offsetof(struct config, budgets));
    assert_int_equal(again.budget_count, c.budget_count);
    for (size_t i = 0; i < c.budget_count; i++) {
        json_t *a = budget_json(c.budgets[i]), *b = budget_json(again.budgets[i]);
        assert_true(json_equal(a, b));
        json_decref(a);
        json_decref(b);
    }
    assert_true(json_equal(c.prices, again.prices));
    assert_non_null(
        strstr(first, "\n  - name: daily-research\n    scope: {agent: \"research*\", lane: {not: "));
    assert_non_null(
        strstr(first, "\n    limit: \"$5.00\"\n    window: day\n    timezone: \"Europe/Berlin\"\n"));
    free(first);
    free(second);
    config_fini(&c);
    config_fini(&again);
}

static void bad_lists_name_their_place(void **state)
{
#define LAUGH(a, b) "&" #a " [*" #b ",*" #b ",*" #b ",*" #b ",*" #b ",*" #b ",*" #b ",*" #b "]"
    static const struct {
        const char *text, *parts[6];
    } table[] = {
        { "budgets:\n  - name: ok\n    limit: 1 usd\n    window: day\n  - name: daily-research\n    window: "
          "day\n"
          "    limit: 5 eur\n",
          { "f.yaml:7: budgets[1] daily-research: limit: \"5 eur\" where an amount, as 5 usd" } },
        { "budgets:\n  - name: a\n    limit: 1 usd\n    window: day\n    scope:\n      agent: x\n      agnt: "
          "y\n",
          { "f.yaml:7: budgets[0] a: scope.agnt: \"y\"", "expected" } },
        { "budgets:\n  - limit: 1 usd\n    window: day\n",
          { "f.yaml:2: budgets[0]: name: \"\" where 1 to 64" } },
        { "budgets:\n  - name: a\n    window: day\n", { "f.yaml:2: budgets[0] a: limit: \"\" where" } },
        { "budgets:\n  - {name: a, limit: 1 usd, window: day}\n  - {name: b, limit: 1 usd, window: day}\n"
          "  -\n    name: a\n    limit: 1 usd\n    window: day\n",
          { "f.yaml:5: budgets[2] a: name: \"a\" where another name than in line 2" } },
        { "policies:\n  - {name: a, deny_models: x}\n  - {name: a, deny_models: y}\n",
          { "f.yaml:3: policies[1] a: name: \"a\" where another name than in line 2" } },
        { "policies:\n  - name: a\n", { "f.yaml:2: policies[0] a:", "at least one of allow_lanes" } },
        { "budgets: {name: a}\n", { "f.yaml:1: budgets: a list was expected" } },
        { "budgets: all\n", { "f.yaml:1: budgets: a list was expected" } },
        { "\nbudgets: [7]\n", { "f.yaml:2: budgets[0]: budget: \"7\" where a map" } },
        { "prices: [7]\n", { "f.yaml:1: prices[0]:", "a map" } },
        { "prices: [free]\n", { "f.yaml:1: prices[0]:", "\"free\"", "a map" } },
        { "budgets:\n  - name: a\n    name: b\n", { "f.yaml:3: budgets: a key that was given before" } },
        { "budgets:\n  - ? [a]\n    : b\n", { "f.yaml:2: budgets: a key was expected" } },
        { "budgets:\n  - \"a\\0b\": 1\n", { "f.yaml:2: budgets: a key was expected" } },
        { "budgets:\n  - name: \"a\\0b\"\n", { "f.yaml:2: budgets: a text without NUL" } },
        { "prices:\n  - &a [*a]\n", { "prices: nested deeper" } },
        { "prices:\n - " LAUGH(b, a) "\n", { "f.yaml:" } }, /* no such alias */
        { "prices:\n - {a: &a [x,x,x,x,x,x,x,x], b: " LAUGH(b, a) ", c: " LAUGH(c, b) ", d: " LAUGH(
              d, c) ", e: " LAUGH(e, d) "}\n",
          { "prices: more than the 8192 values" } },
        { "budgets: []\nbudgets: []\n", { "f.yaml:2:", "given before" } },
        { "bugdets: []\n", { "\"bugdets\"", "log, budgets, policies, prices" } },
        { "rollups: {zone: Nowhere}\nbudgets: [{}]\n", { "f.yaml:1: rollups.zone" } },
        { "estimate: {prompt_tokens: -1}", { "estimate.prompt_tokens", "from 0 to" } },
        { "reservations: {ttl: 2d}", { "reservations.ttl", "\"2d\"", "from 1s to 1d" } },
        { "reservations: {open: 0}", { "reservations.open", "from 1 to" } },
    };
    struct config c, untouched;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    config_default(&c);
    untouched = c;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (parse(table[i].text, &c, error) != -1)
            fail_msg("%s was taken", table[i].text);
        assert_null(strchr(error, '\n'));
        for (int k = 0; k < 6 && table[i].parts[k] != NULL; k++)
            if (strstr(error, table[i].parts[k]) == NULL)
                fail_msg("%s does not name %s", error, table[i].parts[k]);
        assert_memory_equal(&c, &untouched, sizeof c);
    }
}

static void lists_have_a_limit(void **state)
{
    static char text[CONFIG_FILE_MAX];
    char error[CONFIG_ERROR_MAX];
    struct config c;
    size_t n = 0;

    (void)state;
    n += (size_t)snprintf(text, sizeof text, "policies:\n");
    for (int i = 0; i < POLICIES_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, " - {name: p%d, deny_models: x}\n", i);
    assert_int_equal(parse(text, &c, error), 0);
    assert_int_equal(c.policy_count, POLICIES_MAX);
    config_fini(&c);
    snprintf(text + n, sizeof text - n, " - {name: last, deny_models: x}\n");
    assert_int_equal(parse(text, &c, error), -1);
    assert_non_null(strstr(error, "policies: more than the 1000"));
}

static int judge(const json_t *prices, struct fault *fault)
{
    if (json_object_get(json_array_get(prices, 1), "input") == NULL)
        return 0;
    snprintf(fault->field, sizeof fault->field, "prices[1].input");
    snprintf(fault->value, sizeof fault->value, "cheap");
    snprintf(fault->expected, sizeof fault->expected, "usd per million tokens");
    return -1;
}

static void who_knows_prices_is_asked(void **state)
{
    char error[CONFIG_ERROR_MAX];
    struct config c;

    (void)state;
    config_judge_prices = judge;
    int rc = parse("prices:\n  - {model: a}\n  - model: b\n    input: cheap\n", &c, error);
    assert_int_equal(rc, -1);
    assert_string_equal(error,
                        "f.yaml:4: prices[1].input: \"cheap\" where usd per million tokens was expected");
    rc = parse("prices:\n  - {model: a}\n  -\n    model: b\n    other: {}\n\n    input: cheap\n", &c, error);
    assert_int_equal(rc, -1);
    assert_non_null(strstr(error, "f.yaml:7: prices[1].input"));
    rc = parse("prices:\n  - {model: a}\n  - {model: b}\n", &c, error);
    assert_int_equal(rc, 0);
    config_fini(&c);
    config_judge_prices = NULL;
}

static void contradictions_are_shown(void **state)
{
    static const char down[] = "window: day, action: downgrade, use: {model: small}";
    char text[1024], error[CONFIG_ERROR_MAX], *told = NULL;
    struct config c;
    size_t len;

    (void)state;
    snprintf(text, sizeof text,
             "budgets: [{name: hard, limit: 5 usd, window: day}, {name: soft, limit: 9 usd, %s},"
             " {name: fine, limit: 4 usd, %s}]",
             down, down);
    assert_int_equal(parse(text, &c, error), 0);
    FILE *f = open_memstream(&told, &len);
    assert_int_equal(config_contradictions(&c, "x: ", f), 1);
    fclose(f);
    assert_string_equal(
        told, "x: budget hard blocks at $5.00, so budget soft, which downgrades at $9.00, never acts\n");
    free(told);
    config_fini(&c);
}

static void a_reload_changes_places(void **state)
{
    struct config running, wanted;
    char error[CONFIG_ERROR_MAX], names[128];

    (void)state;
    assert_int_equal(parse("budgets: [{name: old, limit: 1 usd, window: day}]", &running, error), 0);
    assert_int_equal(parse("budgets: [{name: new, limit: 1 usd, window: day}, {name: newer, limit: 1 usd,"
                           " window: day}]\npolicies: [{name: p, deny_models: x}]\nprices: [{a: b}]",
                           &wanted, error),
                     0);
    struct budget *old = running.budgets[0];
    config_reload(&running, &wanted);
    assert_int_equal(running.budget_count, 2);
    assert_string_equal(running.budgets[0]->name, "new");
    assert_int_equal(running.policy_count, 1);
    assert_int_equal(wanted.budget_count, 1);
    assert_ptr_equal(wanted.budgets[0], old); /* whoever still looks at it may */
    assert_int_equal(wanted.policy_count, 0);
    assert_int_equal(json_array_size(running.prices), 1);
    assert_int_equal(config_frozen(&running, &wanted, names, sizeof names), 0); /* none needs a restart */
    config_fini(&running);
    config_fini(&wanted);
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
        { "2w", 1209600000, "2w" },
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
    assert_int_equal(c.keep_alert, 400 * 86400000LL);
    assert_int_equal(c.silent_after_ms, 300000);
    assert_string_equal(c.link, "");
    assert_int_equal(parse("alarm: {silent_after: forever, link: \"https://t.example:7448/x\"}", &c, error),
                     0);
    assert_int_equal(c.silent_after_ms, CONFIG_FOREVER);
    assert_string_equal(c.link, "https://t.example:7448/x");
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
        { "retention: {dispatch: 1y}", { "retention.dispatch", "\"1y\"" } },
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
        { "retention: {alert: 59m}", { "retention.alert", "\"59m\"", "from 1h" } },
        { "alarm:\n  silent_after: 999ms", { "f.yaml:2:", "alarm.silent_after", "\"999ms\"", "from 1s" } },
        { "alarm: {silent_after: 0}", { "alarm.silent_after", "\"0\"", "forever" } },
        { "alarm: {link: \"tollgate.example\"}", { "alarm.link", "\"tollgate.example\"", "https://HOST" } },
        { "alarm: {link: \"https:///x\"}", { "alarm.link", "https://HOST" } },
        { "alarm: {link: \"http://a b\"}", { "alarm.link", "https://HOST" } },
        { "alarm: {link: \"http://a/?x=1\"}", { "alarm.link", "https://HOST" } },
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

static void links_lead_to_where_people_reach_it(void **state)
{
    static const struct {
        const char *text, *link; /* NULL: none */
    } all[] = {
        { "", "http://127.0.0.1:7448" },
        { "listen: {http: \"[::1]:9\"}\n", "http://[::1]:9" },
        { "listen: {http: \"127.0.0.1:0\"}\n", NULL },
        { "listen: {http: \"off\"}\n", NULL },
        { "listen: {http: \"0.0.0.0:80\", token: t}\n", NULL },
        { "listen: {http: \"[::]:80\", token: t}\n", NULL },
        { "listen: {http: off}\nalarm: {link: \"https://t.example.org/x\"}\n", "https://t.example.org/x" },
    };
    char error[CONFIG_ERROR_MAX], link[CONFIG_TEXT_MAX + 16];
    struct config c;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (parse(all[i].text, &c, error) != 0)
            fail_msg("%s", error);
        assert_int_equal(config_link(&c, link, sizeof link), all[i].link != NULL);
        if (all[i].link != NULL)
            assert_string_equal(link, all[i].link);
        config_fini(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_prints_back_to_itself),
        cmocka_unit_test(budgets_policies_and_prices_are_read),
        cmocka_unit_test(budgets_print_back_to_themselves),
        cmocka_unit_test(bad_lists_name_their_place),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(who_knows_prices_is_asked),
        cmocka_unit_test(contradictions_are_shown),
        cmocka_unit_test(a_reload_changes_places),
        cmocka_unit_test(good_values_are_taken),
        cmocka_unit_test(durations_and_zones_are_taken),
        cmocka_unit_test(errors_name_file_line_key_value_and_expectation),
        cmocka_unit_test(a_reload_says_what_needs_a_restart),
        cmocka_unit_test(links_lead_to_where_people_reach_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
