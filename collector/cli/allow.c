/* SPDX-License-Identifier: MIT
 *
 * allow: raises a budget for a while, or ends that.
 */
#include <stdlib.h>
#include <string.h>

#include "govern.h"

static const char help[] =
    "usage: tollgate allow BUDGET +AMOUNT --for TIME --reason TEXT [--key KEY] [--author NAME] [--json]\n"
    "       tollgate allow --end ID [--author NAME] [--json]\n"
    "\n"
    "Raises a budget's limit by AMOUNT (5usd, \"$5\", 200k tokens, 100 calls, or a number of the\n"
    "budget's unit) for a time. It holds at once, ends by itself, and stands in the audit.\n"
    "\n"
    "  --for TIME      how long: 30m, 2h, 1d\n"
    "  --reason TEXT   why, for whoever reads the audit\n"
    "  --key KEY       only for this one of the budget's accounts, as `tollgate budgets` shows it\n"
    "  --end ID        ends an allowance now\n"
    "  --author NAME   who decides; you, at this machine, if it is not given\n"
    "  --json          for programs\n"
    "\n"
    "  tollgate allow daily-research +5usd --for 2h --reason \"the release\" --key researcher\n"
    "  tollgate allow --end 17\n";

/* "5usd" as "5 usd": people leave the blank out. NULL: no memory. */
static char *amount_spaced(const char *given)
{
    char *out = malloc(strlen(given) + 2);
    size_t number, used = 0;

    if (!out)
        return NULL;
    given += *given == '+';
    number = strspn(given, "$0123456789.,");
    number +=
        given[number] && strchr("kKmMbB", given[number]) && (!given[number + 1] || given[number + 1] == ' ');
    memcpy(out, given, number);
    used = number;
    if (given[number] && given[number] != ' ')
        out[used++] = ' ';
    memcpy(out + used, given + number, strlen(given + number) + 1);
    return out;
}

static int end(const struct cli *c, const char *id, bool as_json)
{
    char *path = cli_path("/v1/allowances/", id);
    json_t *body = path ? govern_body(c) : NULL;
    int status = CLI_FAILED;
    json_t *answer = body ? govern_change(c, "DELETE", path, body, as_json, &status) : NULL;

    free(path);
    if (!answer)
        return status;
    if (!as_json) {
        printf("allowance ");
        human_text(stdout, id);
        printf(" has ended\n");
    }
    json_decref(answer);
    return CLI_OK;
}

static void show(const json_t *answer)
{
    char amount[CLI_TEXT], until[CLI_TEXT];

    amount_exact(row_text(answer, "unit", ""), row_number(answer, "amount"), amount);
    human_time(row_number(answer, "until_ms"), until);
    printf("allowance %" JSON_INTEGER_FORMAT ": ", json_integer_value(json_object_get(answer, "id")));
    human_text(stdout, row_text(answer, "budget", "?"));
    if (row_text(answer, "key", NULL)) {
        printf(" of ");
        human_text(stdout, row_text(answer, "key", ""));
    }
    printf(" may have %s more until %sZ\n", amount, until);
}

/* The options of this name as fields of a body; false: has been told. */
static bool options_put(const struct cli *c, json_t *body)
{
    static const char *const names[] = { "for", "reason", "key" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!govern_put(body, names[i], cli_param(c, names[i])))
            return false;
    }
    return true;
}

static int allow(const struct cli *c, bool as_json)
{
    char *amount = amount_spaced(c->operand[1]);
    json_t *body = amount ? govern_body(c) : NULL;
    int status = CLI_FAILED;
    json_t *answer = NULL;

    if (body && govern_put(body, "budget", c->operand[0]) && govern_put(body, "amount", amount) &&
        options_put(c, body))
        answer = govern_change(c, "POST", "/v1/allowances", json_incref(body), as_json, &status);
    json_decref(body);
    free(amount);
    if (!answer)
        return status;
    if (!as_json)
        show(answer);
    json_decref(answer);
    return CLI_OK;
}

int command_allow(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "for", "for", NULL },
        { "reason", "reason", NULL },
        { "key", "key", NULL },
        { "end", "end", NULL },
        { "author", "author", NULL },
        { "json", NULL, &as_json },
        { 0 },
    };
    struct cli c = { .operands_max = 2 };
    int status = cli_options(&c, argc, argv, options, false, help);
    const char *ended = status < 0 ? cli_param(&c, "end") : NULL;

    if (status >= 0)
        return status;
    if (ended ? c.operands > 0 : c.operands < 2) {
        cli_fail("allow: %s (see --help)", ended ? "--end stands alone" : "BUDGET and +AMOUNT were expected");
        return CLI_USAGE;
    }
    return ended ? end(&c, ended, as_json) : allow(&c, as_json);
}
