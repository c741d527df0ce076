/* SPDX-License-Identifier: MIT
 *
 * The command line is no library: the file under test is compiled in here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/yaml_json.c"

static void test_accepts(void **state)
{
    static const struct {
        const char *yaml, *json;
    } table[] = {
        { "a: 1", "{\"a\":1}" },
        { "{\"a\": [1, \"x\", null, true, {\"b\": {}}]}", "{\"a\":[1,\"x\",null,true,{\"b\":{}}]}" },
        { "--- \na: -5\nb: ~\nc:\nd: False\n", "{\"a\":-5,\"b\":null,\"c\":null,\"d\":false}" },
        { "- 5 usd\n- $5\n- 1.5\n- 1e3\n- 0x10\n- 2026-11-01T00:00:00Z\n",
          "[\"5 usd\",\"$5\",\"1.5\",\"1e3\",\"0x10\",\"2026-11-01T00:00:00Z\"]" },
        { "['1', \"true\", 'null', \"\", '~']", "[\"1\",\"true\",\"null\",\"\",\"~\"]" },
        { "[9223372036854775807, 9223372036854775808, -, --1, 1-2]",
          "[9223372036854775807,\"9223372036854775808\",\"-\",\"--1\",\"1-2\"]" },
        { "budgets:\n  - name: a # first\n    scope: { tag.team: [x, y], lane: { not: [z] } }\n",
          "{\"budgets\":[{\"name\":\"a\",\"scope\":{\"tag.team\":[\"x\",\"y\"],\"lane\":{\"not\":[\"z\"]}}}]"
          "}" },
        { "a: |\n  two\n  lines\n", "{\"a\":\"two\\nlines\\n\"}" },
        { "{1: x, true: y}", "{\"1\":\"x\",\"true\":\"y\"}" },
        { "word", "\"word\"" },
    };
    char error[YAML_ERROR_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        json_t *value = yaml_read_json(table[i].yaml, strlen(table[i].yaml), error);
        json_t *wanted = json_loads(table[i].json, JSON_DECODE_ANY, NULL);
        assert_non_null(wanted);
        if (!value)
            fail_msg("%s: %s", table[i].yaml, error);
        if (!json_equal(value, wanted))
            fail_msg("%s: %s", table[i].yaml, json_dumps(value, JSON_ENCODE_ANY));
        json_decref(value);
        json_decref(wanted);
    }
}

static void test_rejects(void **state)
{
    static const struct {
        const char *yaml, *says;
    } table[] = {
        { "", "nothing here" },
        { "# only this\n", "nothing here" },
        { "a: 1\na: 2\n", "line 2: this name comes twice" },
        { "a: [1\nb: 2\n", "line 2" },
        { "a: &x 1\nb: *x\n", "line 2: aliases" },
        { "a: !!int 1\n", "line 1: tags" },
        { "--- 1\n--- 2\n", "line 2: only one document" },
        { "{[1]: 2}", "line 1: a name" },
        { "a: \"x\\0y\"\nb\n", "line" },
        { "a: \xff\n", "line" },
        { "\t- a", "line" },
    };
    char error[YAML_ERROR_MAX], deep[2 * YAML_DEPTH_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (yaml_read_json(table[i].yaml, strlen(table[i].yaml), error))
            fail_msg("taken: %s", table[i].yaml);
        if (!strstr(error, table[i].says))
            fail_msg("%s: %s", table[i].yaml, error);
    }
    for (int i = 0; i < YAML_DEPTH_MAX; i++) {
        deep[i] = '[';
        deep[YAML_DEPTH_MAX + i] = ']';
    }
    json_t *value = yaml_read_json(deep, (size_t)2 * YAML_DEPTH_MAX, error);
    assert_non_null(value);
    json_decref(value);
    memmove(deep + 1, deep, YAML_DEPTH_MAX);
    assert_null(yaml_read_json(deep, (size_t)2 * YAML_DEPTH_MAX, error));
    assert_non_null(strstr(error, "too deep"));
}

static void test_too_much(void **state)
{
    size_t len = 2 * (size_t)YAML_NODES_MAX + 2;
    char error[YAML_ERROR_MAX], *text = malloc(len + 1);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = i % 2 ? '1' : ',';
    text[0] = '[';
    text[len - 1] = ']';
    assert_null(yaml_read_json(text, len, error)); /* the list itself is one too many */
    assert_non_null(strstr(error, "too much"));
    text[2] = ' ';
    text[3] = ' ';
    text[4] = ' ';
    text[5] = ' ';
    json_t *value = yaml_read_json(text, len, error);
    if (!value)
        fail_msg("%s", error);
    assert_true(json_array_size(value) < YAML_NODES_MAX);
    json_decref(value);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts),
        cmocka_unit_test(test_rejects),
        cmocka_unit_test(test_too_much),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
