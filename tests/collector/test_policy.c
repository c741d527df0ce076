/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/govern/policy.h"

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    return json;
}

static struct policy *policy_of(const char *text)
{
    struct policy *p = NULL;
    struct fault fault;
    json_t *json = json_of(text);

    if (policy_parse(json, &p, &fault) != 0)
        fail_msg("%s: %s: \"%s\" where %s", text, fault.field, fault.value, fault.expected);
    json_decref(json);
    return p;
}

static void policies_print_back(void **state)
{
    static const struct {
        const char *given, *printed;
    } table[] = {
        { "{\"name\":\"a\",\"allow_lanes\":[\"main\",\"batch\",\"main\"]}",
          "{\"allow_lanes\":[\"batch\",\"main\"],\"name\":\"a\",\"scope\":{},\"shadow\":false}" },
        { "{\"name\":\"a\",\"deny_models\":\"*opus*\",\"default_model\":\"small\",\"shadow\":true,"
          "\"scope\":{\"agent_id\":\"x\"}}",
          "{\"default_model\":\"small\",\"deny_models\":\"*opus*\",\"name\":\"a\",\"scope\":{\"agent\":\"x\"}"
          ","
          "\"shadow\":true}" },
        { "{\"name\":\"a\",\"allow_models\":[\"gpt-*\",\"small\"],\"default_model\":\"small\","
          "\"default_lane\":\"l\"}",
          "{\"allow_models\":[\"gpt-*\",\"small\"],\"default_lane\":\"l\",\"default_model\":\"small\","
          "\"name\":\"a\",\"scope\":{},\"shadow\":false}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct policy *p = policy_of(table[i].given), *again = policy_of(table[i].printed);
        struct policy *both[2] = { p, again };
        for (int k = 0; k < 2; k++) {
            json_t *json = policy_json(both[k]);
            char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
            assert_string_equal(text, table[i].printed);
            free(text);
            json_decref(json);
            policy_free(both[k]);
        }
    }
    policy_free(NULL);
}

static void bad_policies_name_field_value_and_expectation(void **state)
{
    static const struct {
        const char *given, *field, *value, *expected;
    } table[] = {
        { "7", "policy", "7", "a map" },
        { "{}", "name", "", "letters" },
        { "{\"name\":\"a b\",\"deny_models\":\"x\"}", "name", "a b", "letters" },
        { "{\"name\":\"a\"}", "policy", "", "at least one of allow_lanes, allow_models and deny_models" },
        { "{\"name\":\"a\",\"deny_lanes\":\"x\"}", "deny_lanes", "x", "allow_lanes, allow_models" },
        { "{\"name\":\"a\",\"allow_lanes\":[]}", "allow_lanes", "[]", "1 to 256" },
        { "{\"name\":\"a\",\"allow_models\":[true]}", "allow_models", "true", "a text" },
        { "{\"name\":\"a\",\"deny_models\":{\"not\":\"x\"}}", "deny_models", "{\"not\":\"x\"}", "a text" },
        { "{\"name\":\"a\",\"deny_models\":\"x\",\"scope\":{\"modle\":\"x\"}}", "scope.modle", "x", "model" },
        { "{\"name\":\"a\",\"deny_models\":\"x\",\"shadow\":0}", "shadow", "0", "true or false" },
        { "{\"name\":\"a\",\"deny_models\":\"x\",\"default_model\":7}", "default_model", "7", "a text" },
        { "{\"name\":\"a\",\"allow_lanes\":\"x\",\"default_model\":\"y\"}", "default_model", "y",
          "allow_models or deny_models" },
        { "{\"name\":\"a\",\"deny_models\":\"x*\",\"default_model\":\"xy\"}", "default_model", "xy",
          "the policy allows" },
        { "{\"name\":\"a\",\"allow_models\":\"x*\",\"default_model\":\"y\"}", "default_model", "y",
          "the policy allows" },
        { "{\"name\":\"a\",\"allow_lanes\":\"x*\",\"default_lane\":\"y\"}", "default_lane", "y",
          "the policy allows" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct policy untouched, *p = &untouched;
        struct fault fault = { "", "", "" };
        json_t *json = json_of(table[i].given);
        if (policy_parse(json, &p, &fault) != -1)
            fail_msg("%s was taken", table[i].given);
        assert_ptr_equal(p, &untouched);
        if (strcmp(fault.field, table[i].field) != 0 || strcmp(fault.value, table[i].value) != 0 ||
            strstr(fault.expected, table[i].expected) == NULL)
            fail_msg("%s: %s: \"%s\" where %s", table[i].given, fault.field, fault.value, fault.expected);
        json_decref(json);
    }
}

static struct slice text_of(const char *text)
{
    return text != NULL ? (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) }
                        : (struct slice){ NULL, 0 };
}

/* What a policy says about a call: the outcome of the first rule that holds. */
static void rules_say_what_a_policy_means(void **state)
{
    static const char lanes[] =
        "{\"name\":\"l\",\"scope\":{\"agent\":\"a\"},\"allow_lanes\":[\"main\",\"b*\"]}";
    static const char lanes_default[] = "{\"name\":\"l\",\"allow_lanes\":\"main\",\"default_lane\":\"main\"}";
    static const char models[] = "{\"name\":\"m\",\"allow_models\":[\"gpt-*\",\"small\"],\"deny_models\":\"*-"
                                 "pro\",\"default_model\":\"small\"}";
    static const char by_lane[] = "{\"name\":\"m\",\"scope\":{\"lane\":\"batch\"},\"deny_models\":\"opus\"}";
    static const char known[] = "{\"name\":\"k\",\"deny_models\":[\"\",\"x\"]}";
    static const char open[] = "{\"name\":\"k\",\"allow_models\":[\"\",\"x\"]}";
    static const char cheap_lane[] = "{\"name\":\"k\",\"deny_models\":\"opus\",\"default_lane\":\"cheap\"}";
    static const struct {
        const char *policy, *agent, *lane, *model;
        enum action action; /* ACTION_ALLOW: no rule holds */
        const char *use_model, *use_lane, *text;
    } table[] = {
        { lanes, "a", "main", NULL, ACTION_ALLOW, NULL, NULL, NULL },
        { lanes, "a", "batch", NULL, ACTION_ALLOW, NULL, NULL, NULL },
        { lanes, "a", "side", NULL, ACTION_BLOCK, NULL, NULL,
          "policy l: only lanes b*, main are allowed here" },
        { lanes, "a", NULL, NULL, ACTION_ALLOW, NULL, NULL, NULL }, /* what is not known cannot be judged */
        { lanes, "other", "side", NULL, ACTION_ALLOW, NULL, NULL, NULL },
        { lanes_default, NULL, "side", NULL, ACTION_DOWNGRADE, NULL, "main",
          "policy l: only lane main is allowed here; use lane main" },
        { models, NULL, NULL, "gpt-5", ACTION_ALLOW, NULL, NULL, NULL },
        { models, NULL, NULL, "gpt-5-pro", ACTION_DOWNGRADE, "small", NULL,
          "policy m: model *-pro is not allowed here; use model small" },
        { models, NULL, NULL, "opus", ACTION_DOWNGRADE, "small", NULL,
          "policy m: only models gpt-*, small are allowed here; use model small" },
        { models, NULL, NULL, NULL, ACTION_ALLOW, NULL, NULL, NULL },
        { by_lane, NULL, "batch", "opus", ACTION_BLOCK, NULL, NULL,
          "policy m: model opus is not allowed here" },
        { by_lane, NULL, "main", "opus", ACTION_ALLOW, NULL, NULL, NULL },
        { by_lane, NULL, NULL, "opus", ACTION_ALLOW, NULL, NULL, NULL },
        { known, NULL, NULL, NULL, ACTION_BLOCK, NULL, NULL,
          "policy k: models (unknown), x are not allowed here" },
        { known, NULL, NULL, "y", ACTION_ALLOW, NULL, NULL, NULL },
        { open, NULL, NULL, NULL, ACTION_ALLOW, NULL, NULL, NULL },
        { open, NULL, NULL, "y", ACTION_BLOCK, NULL, NULL, "only models (unknown), x are allowed here" },
        { cheap_lane, NULL, "main", "opus", ACTION_DOWNGRADE, NULL, "cheap",
          "policy k: model opus is not allowed here; use lane cheap" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct policy *p = policy_of(table[i].policy);
        struct rule rules[POLICY_RULES_MAX];
        const struct rule *found = NULL;
        struct subject who = { .text = { [SUBJECT_agent_id] = text_of(table[i].agent),
                                         [SUBJECT_lane] = text_of(table[i].lane),
                                         [SUBJECT_model] = text_of(table[i].model) } };
        int count = policy_rules(p, rules);
        assert_int_equal(count, (p->allow_lanes > 0) + (p->allow_models > 0) + (p->deny_models > 0));
        for (int k = 0; k < count && found == NULL; k++)
            found = scope_holds(&rules[k].when, &who) ? &rules[k] : NULL;
        if ((found != NULL ? found->action : ACTION_ALLOW) != table[i].action)
            fail_msg("%s: line %zu: %s", table[i].policy, i, found != NULL ? found->text : "allowed");
        if (found != NULL) {
            assert_string_equal(found->name, p->name);
            if (strstr(found->text, table[i].text) == NULL)
                fail_msg("%s", found->text);
            assert_true((found->use_model != NULL) == (table[i].use_model != NULL));
            assert_true((found->use_lane != NULL) == (table[i].use_lane != NULL));
            if (table[i].use_model != NULL)
                assert_string_equal(found->use_model, table[i].use_model);
            if (table[i].use_lane != NULL)
                assert_string_equal(found->use_lane, table[i].use_lane);
        }
        for (int k = 0; k < count; k++)
            rule_fini(&rules[k]);
        policy_free(p);
    }
}

static void a_long_list_is_told_short(void **state)
{
    json_t *json = json_pack("{s:s, s:[]}", "name", "long", "deny_models");
    json_t *list = json_object_get(json, "deny_models");
    struct rule rules[POLICY_RULES_MAX];
    struct fault fault;
    struct policy *p;
    char name[64];

    (void)state;
    for (int i = 0; i < PATTERNS_MAX; i++) {
        snprintf(name, sizeof name, "a-model-with-a-name-%03d", i);
        json_array_append_new(list, json_string(name));
    }
    assert_int_equal(policy_parse(json, &p, &fault), 0);
    assert_int_equal(policy_rules(p, rules), 1);
    assert_non_null(strstr(rules[0].text, "a-model-with-a-name-000, a-model-with-a-name-001"));
    assert_non_null(strstr(rules[0].text, " more are not allowed here"));
    assert_int_equal(rules[0].when.term[0].patterns, PATTERNS_MAX);
    rule_fini(&rules[0]);
    policy_free(p);
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_print_back),
        cmocka_unit_test(bad_policies_name_field_value_and_expectation),
        cmocka_unit_test(rules_say_what_a_policy_means),
        cmocka_unit_test(a_long_list_is_told_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
