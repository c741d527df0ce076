/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "collector/govern/scope.h"

static struct slice text_of(const char *text)
{
    return text != NULL ? (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) }
                        : (struct slice){ NULL, 0 };
}

static void patterns_fit_bytes(void **state)
{
    static const struct {
        const char *pattern, *text; /* text NULL: unknown */
        bool fits;
    } table[] = {
        { "a", "a", true },
        { "a", "A", false },
        { "a", "ab", false },
        { "ab", "a", false },
        { "*", "a", true },
        { "*", "anything at all", true },
        { "*", NULL, false }, /* what is not known fits the empty pattern only */
        { "*", "", false },
        { "", NULL, true },
        { "", "", true },
        { "", "a", false },
        { "a*", NULL, false },
        { "a*", "a", true },
        { "a*", "abc", true },
        { "a*", "ba", false },
        { "*a", "ba", true },
        { "*a", "ab", false },
        { "a*c", "abc", true },
        { "a*c", "ac", true },
        { "a*c", "abcd", false },
        { "a*b*c", "a-b-b-c", true },
        { "a*b*c", "a-c-b", false },
        { "**a**", "xax", true },
        { "*ab", "aab", true },
        { "*aab", "aaab", true },
        { "*a*b", "aaabab", true },
        { "\\*", "*", true },
        { "\\*", "a", false },
        { "a\\*b", "a*b", true },
        { "a\\*b", "axb", false },
        { "\\\\", "\\", true },
        { "\\a", "a", true },
        { "*\\*", "x*", true },
        { "*\\*", "xy", false },
        { "a\\", "a\\", true }, /* a \ at the end stands for itself */
        { "a?", "ab", false },
        { "[ab]", "a", false },
        { "gpt-*-mini", "gpt-5-mini", true },
        { "caf\xc3\xa9", "caf\xc3\xa9", true },
        { "caf*", "caf\xc3\xa9", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (pattern_fits(table[i].pattern, text_of(table[i].text)) != table[i].fits)
            fail_msg("\"%s\" and \"%s\"", table[i].pattern,
                     table[i].text != NULL ? table[i].text : "(unknown)");
}

/* A matcher that tries each star's every length would need more time than the universe has. */
static void many_stars_take_little_time(void **state)
{
    char pattern[PATTERN_MAX + 1] = "", text[256];
    struct timespec began, ended;

    (void)state;
    for (int i = 0; i < 120; i++)
        strcat(pattern, "*a");
    strcat(pattern, "*b");
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &began);
    for (int i = 0; i < 100; i++)
        assert_false(pattern_fits(pattern, text_of(text)));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ended);
    assert_in_range(ended.tv_sec - began.tv_sec, 0, 5);
    text[sizeof text - 2] = 'b';
    assert_true(pattern_fits(pattern, text_of(text)));
}

/* ------------------------------------------------------------------- scopes */

/* {"team": "red", "empty": ""} */
static const uint8_t tags[] = "\x82\xa4team\xa3red\xa5"
                              "empty\xa0";

static const struct subject someone = {
    .text = { [SUBJECT_agent_id] = { (const uint8_t *)"researcher", 10 },
              [SUBJECT_session_id] = { (const uint8_t *)"s-1", 3 },
              [SUBJECT_model] = { (const uint8_t *)"gpt-5", 5 },
              [SUBJECT_lane] = { (const uint8_t *)"", 0 },
              [SUBJECT_trigger] = { (const uint8_t *)"cron", 4 } },
    .tags = { tags, sizeof tags - 1 },
};

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    return json;
}

static struct scope scope_of(const char *text)
{
    struct scope s;
    struct fault fault;
    json_t *json = json_of(text);

    if (scope_parse(json, &s, &fault) != 0)
        fail_msg("%s: %s: %s", text, fault.field, fault.expected);
    json_decref(json);
    return s;
}

static void scopes_hold_and_print_back(void **state)
{
    static const struct {
        const char *scope;
        bool holds, needs_session;
        const char *printed; /* NULL: as it was */
    } table[] = {
        { "{}", true, false, NULL },
        { "null", true, false, "{}" },
        { "{\"agent\":\"researcher\"}", true, false, NULL },
        { "{\"agent_id\":\"researcher\"}", true, false, "{\"agent\":\"researcher\"}" },
        { "{\"agent\":\"Researcher\"}", false, false, NULL },
        { "{\"agent\":[\"coder\",\"re*\"]}", true, false, NULL },
        { "{\"agent\":[\"re*\",\"coder\",\"coder\"]}", true, false, "{\"agent\":[\"coder\",\"re*\"]}" },
        { "{\"agent\":{\"not\":\"coder\"}}", true, false, NULL },
        { "{\"agent\":{\"not\":[\"coder\",\"re*\"]}}", false, false, NULL },
        { "{\"agent\":\"re*\",\"model\":\"gpt-4\"}", false, false, NULL },
        { "{\"agent\":\"re*\",\"model\":\"gpt-5\"}", true, false, NULL },
        { "{\"session\":\"s-1\"}", true, true, NULL },
        { "{\"root_session\":\"s-1\"}", true, true, NULL }, /* unknown: the session stands in for it */
        { "{\"root_session\":\"\"}", false, true, NULL },
        { "{\"user\":\"\"}", true, false, NULL },
        { "{\"user\":\"*\"}", false, false, NULL },
        { "{\"user\":{\"not\":\"\"}}", false, false, NULL },
        { "{\"user\":{\"not\":\"eve\"}}", true, false, NULL },
        { "{\"lane\":\"\"}", true, false, NULL }, /* an empty text is unknown */
        { "{\"trigger\":\"cron\"}", true, false, NULL },
        { "{\"trigger\":[\"heart*\",\"user\"]}", false, false, NULL },
        { "{\"tag.team\":\"red\"}", true, false, NULL },
        { "{\"tag.team\":\"blue\"}", false, false, NULL },
        { "{\"tag.empty\":\"\"}", true, false, NULL },
        { "{\"tag.none\":\"\"}", true, false, NULL },
        { "{\"tag.none\":\"*\"}", false, false, NULL },
        { "{\"tag.team\":\"red\",\"tag.none\":{\"not\":\"x\"}}", true, false, NULL },
        { "{\"user\":42}", false, false, "{\"user\":\"42\"}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct scope s = scope_of(table[i].scope), again;
        json_t *json = scope_json(&s);
        char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
        json_t *wanted = json_of(table[i].printed != NULL ? table[i].printed : table[i].scope);
        if (scope_holds(&s, &someone) != table[i].holds || !json_equal(json, wanted))
            fail_msg("%s printed as %s", table[i].scope, text);
        assert_int_equal(scope_needs_session(&s), table[i].needs_session);
        again = scope_of(text);
        assert_true(scopes_equal(&s, &again));
        scope_fini(&again);
        scope_fini(&s);
        json_decref(json);
        json_decref(wanted);
        free(text);
    }
}

static void a_root_session_of_its_own_counts(void **state)
{
    struct subject who = someone;
    struct scope root = scope_of("{\"root_session\":\"r-1\"}"), session = scope_of("{\"session\":\"s-1\"}");

    (void)state;
    assert_false(scope_holds(&root, &who));
    who.text[SUBJECT_root_session_id] = text_of("r-1");
    assert_true(scope_holds(&root, &who));
    assert_true(scope_holds(&session, &who));
    scope_fini(&root);
    scope_fini(&session);
}

static void bad_scopes_name_field_value_and_expectation(void **state)
{
    static const struct {
        const char *scope, *field, *value, *expected;
    } table[] = {
        { "[]", "scope", "[]", "a map" },
        { "\"researcher\"", "scope", "researcher", "a map" },
        { "{\"agnt\":\"a\"}", "scope.agnt", "a", "agent, session, root_session, user" },
        { "{\"tag\":\"a\"}", "scope.tag", "a", "tag.NAME" },
        { "{\"tag.\":\"a\"}", "scope.tag.", "a", "tag.NAME" },
        { "{\"model_id\":\"a\"}", "scope.model_id", "a", "model" },
        { "{\"\":\"a\"}", "scope.", "a", "agent" },
        { "{\"agent\":null}", "scope.agent", "null", "a text" },
        { "{\"agent\":true}", "scope.agent", "true", "a text" },
        { "{\"agent\":1.5}", "scope.agent", "1.5", "a text" },
        { "{\"agent\":[]}", "scope.agent", "[]", "1 to 256" },
        { "{\"agent\":[\"a\",[\"b\"]]}", "scope.agent", "[\"b\"]", "a text" },
        { "{\"agent\":{\"is\":\"a\"}}", "scope.agent", "{\"is\":\"a\"}", "not" },
        { "{\"agent\":{}}", "scope.agent", "{}", "not" },
        { "{\"agent\":{\"not\":\"a\",\"is\":\"b\"}}", "scope.agent", "{\"is\":\"b\",\"not\":\"a\"}", "not" },
        { "{\"agent\":{\"not\":{\"not\":\"a\"}}}", "scope.agent", "{\"not\":\"a\"}", "a text" },
        { "{\"agent\":\"a\\\\\"}", "scope.agent", "a\\", "after the last \\" },
        { "{\"agent\":\"a\",\"agent_id\":\"b\"}", "scope.agent", "", "once" },
        { "{\"trigger\":\"crno\"}", "scope.trigger", "crno", "heartbeat" },
        { "{\"trigger\":[\"cron\",\"unknown\"]}", "scope.trigger", "unknown", "\"\" for unknown" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct scope s = { .terms = 77 };
        struct fault fault = { "", "", "" };
        json_t *json = json_of(table[i].scope);
        if (scope_parse(json, &s, &fault) != -1)
            fail_msg("%s was taken", table[i].scope);
        assert_string_equal(fault.field, table[i].field);
        assert_string_equal(fault.value, table[i].value);
        if (strstr(fault.expected, table[i].expected) == NULL)
            fail_msg("%s: \"%s\" does not say %s", table[i].scope, fault.expected, table[i].expected);
        assert_true(s.term == NULL && s.terms == 77);
        json_decref(json);
    }
}

static void limits_of_scopes_hold(void **state)
{
    json_t *many = json_object(), *list = json_array(), *one = json_object();
    char name[16], longest[PATTERN_MAX + 2];
    struct fault fault;
    struct scope s;

    (void)state;
    for (int i = 0; i < SCOPE_TERMS_MAX; i++) {
        snprintf(name, sizeof name, "tag.%d", i);
        json_object_set_new(many, name, json_string("x"));
    }
    assert_int_equal(scope_parse(many, &s, &fault), 0);
    assert_int_equal(s.terms, SCOPE_TERMS_MAX);
    scope_fini(&s);
    json_object_set_new(many, "agent", json_string("x"));
    assert_int_equal(scope_parse(many, &s, &fault), -1);
    assert_non_null(strstr(fault.expected, "16"));

    for (int i = 0; i < PATTERNS_MAX; i++)
        json_array_append_new(list, json_integer(i));
    json_object_set(one, "agent", list);
    assert_int_equal(scope_parse(one, &s, &fault), 0);
    assert_int_equal(s.term[0].patterns, PATTERNS_MAX);
    scope_fini(&s);
    json_array_append_new(list, json_string("x"));
    assert_int_equal(scope_parse(one, &s, &fault), -1);

    memset(longest, 'a', sizeof longest - 1);
    longest[PATTERN_MAX + 1] = '\0';
    json_object_set_new(one, "agent", json_string(longest));
    assert_int_equal(scope_parse(one, &s, &fault), -1);
    assert_true(strlen(fault.value) < sizeof fault.value);
    json_object_set_new(one, "agent", json_stringn_nocheck("a\0b", 3));
    assert_int_equal(scope_parse(one, &s, &fault), -1);
    json_decref(many);
    json_decref(list);
    json_decref(one);
}

/* A value that is quoted in a fault is cut between characters, so that it is still a text. */
static void a_long_value_is_cut_at_a_character(void **state)
{
    for (int shift = 0; shift < 4; shift++) {
        json_t *one = json_object();
        char text[600] = "";
        struct fault fault;
        struct scope s;
        (void)state;
        memset(text, 'a', (size_t)shift);
        while (strlen(text) < 550)
            strcat(text, "\xe2\x82\xac");
        json_object_set_new(one, "agent", json_string(text));
        assert_int_equal(scope_parse(one, &s, &fault), -1);
        json_t *quoted = json_string(fault.value);
        assert_non_null(quoted);
        assert_in_range(strlen(fault.value), sizeof fault.value - 4, sizeof fault.value - 1);
        json_decref(quoted);
        json_decref(one);
    }
}

static void scopes_that_cannot_meet_are_told(void **state)
{
    static const struct {
        const char *a, *b;
        bool meet;
    } table[] = {
        { "{}", "{}", true },
        { "{}", "{\"agent\":\"a\"}", true },
        { "{\"agent\":\"a\"}", "{\"agent\":\"a\"}", true },
        { "{\"agent\":\"a\"}", "{\"agent\":\"b\"}", false },
        { "{\"agent\":\"a\"}", "{\"model\":\"b\"}", true },
        { "{\"agent\":[\"a\",\"b\"]}", "{\"agent\":[\"b\",\"c\"]}", true },
        { "{\"agent\":\"a*\"}", "{\"agent\":\"abc\"}", true },
        { "{\"agent\":\"a*\"}", "{\"agent\":\"bcd\"}", false },
        { "{\"agent\":\"a\\\\*\"}", "{\"agent\":\"a*\"}", true },
        { "{\"agent\":\"a\\\\*\"}", "{\"agent\":\"ab\"}", false },
        { "{\"agent\":\"a*\"}", "{\"agent\":\"b*\"}", false },
        { "{\"agent\":\"a*\"}", "{\"agent\":\"*b\"}", true },
        { "{\"agent\":\"\"}", "{\"agent\":\"*\"}", false },
        { "{\"agent\":\"\"}", "{\"agent\":\"\"}", true },
        { "{\"agent\":\"a\"}", "{\"agent\":{\"not\":\"a\"}}", false },
        { "{\"agent\":\"a\"}", "{\"agent\":{\"not\":\"a*\"}}", false },
        { "{\"agent\":\"a*\"}", "{\"agent\":{\"not\":\"a\"}}", true },
        { "{\"agent\":\"a*\"}", "{\"agent\":{\"not\":\"*\"}}", false },
        { "{\"agent\":\"\"}", "{\"agent\":{\"not\":\"*\"}}", true },
        { "{\"agent\":{\"not\":\"a\"}}", "{\"agent\":{\"not\":\"*\"}}", true },
        { "{\"tag.x\":\"a\"}", "{\"tag.y\":\"b\"}", true },
        { "{\"tag.x\":\"a\"}", "{\"tag.x\":\"b\"}", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct scope a = scope_of(table[i].a), b = scope_of(table[i].b);
        if (scopes_may_meet(&a, &b) != table[i].meet || scopes_may_meet(&b, &a) != table[i].meet)
            fail_msg("%s and %s", table[i].a, table[i].b);
        scope_fini(&a);
        scope_fini(&b);
    }
}

static void fields_have_names(void **state)
{
    (void)state;
    for (int i = 0; i <= SUBJECT_TAG; i++)
        assert_int_equal(subject_field_code(subject_field_name(i), strlen(subject_field_name(i))), i);
    assert_null(subject_field_name(-1));
    assert_null(subject_field_name(SUBJECT_TAG + 1));
    assert_int_equal(subject_field_code("root_session_id", 15), SUBJECT_root_session_id);
    assert_int_equal(subject_field_code("lane_id", 7), -1);
    assert_int_equal(subject_field_code("agents", 6), -1);
    assert_int_equal(subject_field_code("agents", 5), SUBJECT_agent_id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_fit_bytes),
        cmocka_unit_test(many_stars_take_little_time),
        cmocka_unit_test(scopes_hold_and_print_back),
        cmocka_unit_test(a_root_session_of_its_own_counts),
        cmocka_unit_test(bad_scopes_name_field_value_and_expectation),
        cmocka_unit_test(limits_of_scopes_hold),
        cmocka_unit_test(a_long_value_is_cut_at_a_character),
        cmocka_unit_test(scopes_that_cannot_meet_are_told),
        cmocka_unit_test(fields_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
