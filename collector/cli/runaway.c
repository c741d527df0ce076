/* SPDX-License-Identifier: MIT
 *
 * runaway: the rules by which loops are recognised, as a configuration has them.
 */
#include <stdlib.h>
#include <string.h>

#include "../govern/duration.h"
#include "definitions.h"
#include "runaway_rules.h"

#define SCOPE_SHOWN 200

static const char help[] =
    "usage: tollgate runaway [-c FILE] [--json]\n"
    "       tollgate runaway replay [DATABASE] ... (see tollgate runaway replay --help)\n"
    "\n"
    "The rules by which loops are recognised: how much each look may do, and what happens when it does\n"
    "more. Of the rules of one kind the first whose scope fits a call holds for it, at the end the default\n"
    "one. No collector is asked.\n"
    "\n"
    "  -c, --config FILE  a tollgate.yaml, or its section runaway alone; without it the default rules\n"
    "  --json             for programs: as a configuration has them, everything said\n"
    "\n"
    "  tollgate runaway\n"
    "  tollgate runaway -c tollgate.yaml\n"
    "  tollgate runaway replay -c draft.yaml --from -7d\n";

/* -------------------------------------------------------------------- reading */

void runaway_rules_option(int argc, char **argv)
{
    static char option[] = "--config";

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "-c") == 0)
            argv[i] = option;
}

static int take(struct runaway_rules *r, const char *path, const json_t *definition)
{
    struct fault fault;

    if (runaway_rule_parse(definition, &r->rule[r->count], &fault) == 0) {
        r->count++;
        return CLI_OK;
    }
    cli_fail("%s: runaway rule %zu: %s: \"%s\" where %s was expected", path, r->count + 1, fault.field,
             fault.value, fault.expected);
    return CLI_USAGE;
}

/* A configuration without the section, or with nothing in it, has the default rules. */
static bool has_none(const json_t *file)
{
    const json_t *section = json_object_get(file, "runaway");

    if (!json_is_object(file) || json_object_get(file, "rule"))
        return false;
    return !section || json_is_null(section) || (json_is_string(section) && json_string_length(section) == 0);
}

int runaway_rules_read(struct runaway_rules *r, const struct cli *c)
{
    const char *path = cli_param(c, "config");
    json_t *file = NULL;
    int status = CLI_OK;

    r->count = 0;
    if (!path)
        return CLI_OK;
    json_t *list = definitions_read(path, "runaway", &file, &status);
    if (!list)
        return status;
    status = CLI_OK;
    if (json_array_size(list) > RUNAWAY_RULES_MAX) {
        cli_fail("%s: %zu rules where %d are the most", path, json_array_size(list), RUNAWAY_RULES_MAX);
        status = CLI_USAGE;
    }
    for (size_t i = 0; status == CLI_OK && !has_none(file) && i < json_array_size(list); i++)
        status = take(r, path, json_array_get(list, i));
    json_decref(list);
    json_decref(file);
    return status;
}

void runaway_rules_fini(struct runaway_rules *r)
{
    while (r->count > 0)
        runaway_rule_free(r->rule[--r->count]);
}

const char *runaway_look_text(int look)
{
    return look == LOOK_ROOT_SESSION ? "root session" : runaway_look_name(look);
}

/* -------------------------------------------------------------------- showing */

/* Whether it is for every call: then no later one of its kind, nor the default, ever holds. */
static bool is_for_all(const struct runaway_rule *rule)
{
    return rule->scope.terms == 0;
}

static void add_limits(struct table *t, const struct runaway_rule *rule)
{
    char text[CLI_TEXT];

    for (int look = 0; look < LOOKS; look++) {
        if (!rule->on || (rule->looks & LOOK_BIT(look)) == 0)
            snprintf(text, sizeof text, "-");
        else
            human_count(rule->limit[look], text);
        table_add(t, text);
    }
}

static void add_action(struct table *t, const struct runaway_rule *rule)
{
    char text[CLI_TEXT], span[DURATION_TEXT_MAX];

    if (!rule->on) {
        snprintf(text, sizeof text, "off");
    } else if (rule->action == ACTION_DELAY) {
        duration_text(rule->delay_ms, span);
        snprintf(text, sizeof text, "delay %.20s", span);
    } else {
        snprintf(text, sizeof text, "%s", rule->action == ACTION_BLOCK ? "block" : "alert");
    }
    table_add(t, text);
    snprintf(span, sizeof span, "until resumed");
    if (rule->cooldown_ms > 0)
        duration_text(rule->cooldown_ms, span);
    table_add(t, rule->on ? span : "-");
}

static void add_scope(struct table *t, const struct runaway_rule *rule)
{
    json_t *scope = scope_json(&rule->scope);
    char *text = is_for_all(rule) || !scope ? NULL : json_dumps(scope, JSON_COMPACT);

    table_add(t, text ? text : "all calls");
    free(text);
    json_decref(scope);
}

static void add_rule(struct table *t, const struct runaway_rule *rule)
{
    table_add(t, runaway_kind_name((int)rule->kind));
    add_limits(t, rule);
    add_action(t, rule);
    add_scope(t, rule);
    table_add(t, runaway_kind_unit((int)rule->kind));
}

typedef void show_rule(void *to, const struct runaway_rule *rule, bool is_default);

/* By kind; in the order in which they are tried, those left out that are never reached. */
static void each_rule(const struct runaway_rules *r, show_rule *show, void *to)
{
    for (int kind = 0; kind < RUNAWAY_KIND_COUNT; kind++) {
        bool covered = false;
        for (size_t i = 0; i < r->count && !covered; i++) {
            if ((int)r->rule[i]->kind != kind)
                continue;
            show(to, r->rule[i], false);
            covered = is_for_all(r->rule[i]);
        }
        if (!covered)
            show(to, runaway_rule_default((enum runaway_kind)kind), true);
    }
}

static void show_row(void *to, const struct runaway_rule *rule, bool is_default)
{
    (void)is_default;
    add_rule(to, rule);
}

static void show_json(void *to, const struct runaway_rule *rule, bool is_default)
{
    json_t *json = runaway_rule_json(rule);

    json_object_set_new(json, "unit", json_string(runaway_kind_unit((int)rule->kind)));
    json_object_set_new(json, "default", json_boolean(is_default));
    json_array_append_new(to, json);
}

static void show_table(const struct runaway_rules *r)
{
    static const char *const heads[] = { "RULE",   "SESSION",  "ROOT SESSION", "AGENT",
                                         "ACTION", "COOLDOWN", "SCOPE",        "MORE THAN SO MANY" };
    struct table t;

    table_init(&t, 8);
    for (unsigned i = 0; i < 8; i++) {
        if (i == 0 || i > 3)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    each_rule(r, show_row, &t);
    table_print(&t);
}

int command_runaway(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { RUNAWAY_CONFIG_OPTION, { "json", NULL, &as_json }, { 0 } };
    struct cli c = { .operands_max = 1 };
    struct runaway_rules rules = { .count = 0 };

    if (argc > 1 && strcmp(argv[1], "replay") == 0)
        return command_runaway_replay(argc - 1, argv + 1);
    runaway_rules_option(argc, argv);
    int status = cli_options(&c, argc, argv, options, false, help);
    if (status >= 0)
        return status;
    if (c.operands > 0) {
        cli_fail("runaway %s: replay, or nothing, was expected (see --help)", c.operand[0]);
        return CLI_USAGE;
    }
    status = runaway_rules_read(&rules, &c);
    if (status == CLI_OK && as_json) {
        json_t *list = json_array();
        each_rule(&rules, show_json, list);
        json_dumpf(list, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(list);
    } else if (status == CLI_OK) {
        show_table(&rules);
    }
    runaway_rules_fini(&rules);
    return status;
}
