/* SPDX-License-Identifier: MIT
 *
 * budget: one budget: what it counted, and changing it.
 */
#include <stdlib.h>
#include <string.h>

#include "govern.h"
#include "definitions.h"

static const char help[] =
    "usage: tollgate budget explain NAME [--key KEY] [--limit N] [--json]\n"
    "       tollgate budget set FILE|- [--author NAME] [--json]\n"
    "       tollgate budget delete NAME [--author NAME] [--json]\n"
    "\n"
    "  explain NAME    which calls count in the running window, the newest first, each with its amount,\n"
    "                  and what is reserved\n"
    "  set FILE        makes or changes budgets: YAML or JSON, one definition, a list of them, or a list\n"
    "                  under `budgets:` as in tollgate.yaml; - is standard input. Budgets of the\n"
    "                  collector's own file can only be changed there\n"
    "  delete NAME     deletes one that was set so\n"
    "\n"
    "  --key KEY       only this one of its accounts, as `tollgate budgets` shows it\n"
    "  --limit N       calls at most\n"
    "  --author NAME   who decides; you, at this machine, if it is not given\n"
    "  --json          for programs\n"
    "\n"
    "  tollgate budget explain daily-research --key researcher\n"
    "  echo '{name: team, scope: {tag.team: search}, limit: 20 usd, window: week}' | tollgate budget set -\n"
    "  tollgate budget delete team\n";

/* ---------------------------------------------------------------------- explain */

static void calls_show(const json_t *answer)
{
    static const char *const heads[] = { "TIME", "SESSION", "AGENT", "MODEL", "KEY", "AMOUNT" };
    const json_t *calls = json_object_get(answer, "calls");
    const char *unit = row_text(answer, "unit", "");
    char amount[CLI_TEXT];
    struct table t;

    table_init(&t, 6);
    for (unsigned i = 0; i < 6; i++) {
        if (i < 5)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        bool known = row_known(call, "amount");
        cell_time(&t, call, "ts_ms");
        cell_name(&t, call, "session_id");
        cell_name(&t, call, "agent_id");
        cell_name(&t, call, "model");
        table_add(&t, row_text(call, "key", ""));
        amount_exact(unit, row_number(call, "amount"), amount);
        table_add(&t, known ? amount : "unknown");
        table_colour(&t, known ? NULL : "33");
    }
    table_print(&t);
}

/* "listed: 12 calls, $1.20; 2 of them unknown". */
static void sum_show(const json_t *answer)
{
    const json_t *listed = json_object_get(answer, "listed");
    char amount[CLI_TEXT], calls[CLI_TEXT], unknown[CLI_TEXT];

    amount_exact("calls", row_number(listed, "calls"), calls);
    amount_exact(row_text(answer, "unit", ""), row_number(listed, "amount"), amount);
    printf("listed: %s, %s", calls, amount);
    if (row_number(listed, "unknown_calls") > 0) {
        human_count(row_number(listed, "unknown_calls"), unknown);
        printf("; %s of them unknown", unknown);
    }
    printf("%s\n", json_is_true(json_object_get(answer, "truncated")) ? "; there are more (--limit)" : "");
}

static void cell_show(const json_t *answer)
{
    const json_t *cell = json_object_get(answer, "cell");
    const char *unit = row_text(answer, "unit", "");
    char spent[CLI_TEXT], reserved[CLI_TEXT], limit[CLI_TEXT];

    if (!row_known(cell, "spent"))
        return;
    amount_exact(unit, row_number(cell, "spent"), spent);
    amount_exact(unit, row_number(cell, "reserved"), reserved);
    amount_exact(unit, row_number(cell, "limit"), limit);
    printf("spent: %s of %s, reserved: %s, state: ", spent, limit, reserved);
    human_text(stdout, row_text(cell, "state", "?"));
    putchar('\n');
}

static void reservations_show(const json_t *answer)
{
    const json_t *rows = json_object_get(answer, "reservations");
    char at[CLI_TEXT], worth[CLI_TEXT];

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        human_time(row_number(row, "expires_ms"), at);
        snprintf(worth, sizeof worth, "unknown");
        if (row_known(row, "nanousd"))
            amount_exact("usd", row_number(row, "nanousd"), worth);
        printf("reservation ");
        human_text(stdout, row_text(row, "id", "?"));
        printf(": %s, ", worth);
        human_text(stdout, row_text(row, "state", "?"));
        printf(", expires %sZ\n", at);
    }
}

static int explain(struct cli *c, bool as_json)
{
    char *path = cli_path("/v1/budgets/", c->operand[1]), *whole = NULL;
    int status = CLI_FAILED;

    if (!path || asprintf(&whole, "%s/explain", path) < 0) {
        free(path);
        return cli_fail("out of memory");
    }
    free(path);
    json_t *answer = NULL;
    if (as_json)
        status = cli_copy(c, whole);
    else if ((answer = cli_json(c, whole, true, &status)) != NULL) {
        calls_show(answer);
        sum_show(answer);
        cell_show(answer);
        reservations_show(answer);
        json_decref(answer);
        status = CLI_OK;
    }
    free(whole);
    return status;
}

/* -------------------------------------------------------------------------- set */

static int put_one(const struct cli *c, const json_t *definition, bool as_json)
{
    const char *name = json_string_value(json_object_get(definition, "name"));
    json_t *body = name ? govern_body(c) : NULL;
    char *path = body ? cli_path("/v1/budgets/", name) : NULL;
    int status = CLI_FAILED;

    if (!name) {
        cli_fail("%s: a budget needs a name", c->operand[1]);
        return CLI_USAGE;
    }
    if (!path || json_object_update_missing(body, (json_t *)(uintptr_t)definition) != 0) {
        json_decref(body);
        free(path);
        return cli_fail("out of memory");
    }
    json_t *answer = govern_change(c, "PUT", path, body, as_json, &status);
    free(path);
    if (!answer)
        return status;
    if (!as_json) {
        printf("budget ");
        human_text(stdout, name);
        printf(json_is_true(json_object_get(answer, "created")) ? " is new\n" : " is changed\n");
    }
    json_decref(answer);
    return CLI_OK;
}

/* Up to the first that is refused. */
static int set(const struct cli *c, bool as_json)
{
    json_t *file = NULL;
    int status;
    json_t *list = definitions_read(c->operand[1], "budgets", &file, &status);

    if (list)
        status = CLI_OK;
    for (size_t i = 0; i < json_array_size(list) && status == CLI_OK; i++)
        status = put_one(c, json_array_get(list, i), as_json);
    json_decref(list);
    json_decref(file);
    return status;
}

static int erase(const struct cli *c, bool as_json)
{
    char *path = cli_path("/v1/budgets/", c->operand[1]);
    json_t *body = path ? govern_body(c) : NULL;
    int status = CLI_FAILED;
    json_t *answer = body ? govern_change(c, "DELETE", path, body, as_json, &status) : NULL;

    free(path);
    if (!answer)
        return status;
    if (!as_json) {
        printf("budget ");
        human_text(stdout, c->operand[1]);
        printf(" is deleted\n");
    }
    json_decref(answer);
    return CLI_OK;
}

int command_budget(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "key", "key", NULL },
        { "limit", "limit", NULL },
        { "author", "author", NULL },
        { "json", NULL, &as_json },
        { 0 },
    };
    struct cli c = { .operands_min = 2, .operands_max = 2 };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (strcmp(c.operand[0], "explain") == 0)
        return explain(&c, as_json);
    if (strcmp(c.operand[0], "set") == 0)
        return set(&c, as_json);
    if (strcmp(c.operand[0], "delete") == 0)
        return erase(&c, as_json);
    cli_fail("budget %s: explain, set or delete was expected (see --help)", c.operand[0]);
    return CLI_USAGE;
}
