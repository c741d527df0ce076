/* SPDX-License-Identifier: MIT */
#include "govern.h"

#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../govern/budget.h"

static void author_text(const struct cli *c, char out[AUTHOR_TEXT])
{
    const char *given = cli_param(c, "author"), *user = getenv("USER");
    const struct passwd *entry = user && user[0] ? NULL : getpwuid(getuid());
    char host[AUTHOR_TEXT / 2] = "";

    user = entry ? entry->pw_name : user && user[0] ? user : "somebody";
    gethostname(host, sizeof host - 1);
    if (given)
        snprintf(out, AUTHOR_TEXT, "%s", given);
    else
        snprintf(out, AUTHOR_TEXT, "%.90s@%s", user, host);
    human_whole(out);
}

bool govern_put(json_t *body, const char *name, const char *text)
{
    if (!text)
        return true;
    json_t *value = json_string(text);
    if (!value) {
        cli_fail("%s: \"%s\" where text in UTF-8 was expected", name, text);
        return false;
    }
    if (json_object_set_new(body, name, value) == 0)
        return true;
    cli_fail("out of memory");
    return false;
}

json_t *govern_body(const struct cli *c)
{
    char author[AUTHOR_TEXT];
    json_t *body = json_object();

    author_text(c, author);
    if (body && govern_put(body, "author", author))
        return body;
    json_decref(body);
    return NULL;
}

json_t *govern_change(const struct cli *c, const char *method, const char *path, json_t *body, bool as_json,
                      int *status)
{
    json_t *answer = cli_change(c, method, path, body, status);

    json_decref(body);
    if (answer && as_json) {
        json_dumpf(answer, stdout, JSON_COMPACT);
        putchar('\n');
    }
    return answer;
}

/* -------------------------------------------------------------------- amounts */

static enum unit unit_code(const char *name)
{
    for (int unit = UNIT_USD; unit_name(unit); unit++) {
        if (name && strcmp(name, unit_name(unit)) == 0)
            return (enum unit)unit;
    }
    return UNIT_NONE;
}

void amount_exact(const char *unit, int64_t amount, char out[CLI_TEXT])
{
    char text[AMOUNT_TEXT];

    amount_text(unit_code(unit), amount, text);
    snprintf(out, CLI_TEXT, "%s", text);
}

void amount_short(const char *unit, int64_t amount, char out[CLI_TEXT])
{
    char text[CLI_TEXT];
    int64_t size = amount < 0 ? -amount : amount;

    if (unit_code(unit) == UNIT_USD)
        human_usd(size, text);
    else if (unit_code(unit) == UNIT_TOKENS)
        human_si(size, text);
    else
        human_count(size, text);
    snprintf(out, CLI_TEXT, "%s%.60s", amount < 0 ? "-" : "", text);
}

void cell_amount(struct table *t, const json_t *row, const char *name, const char *unit)
{
    char text[CLI_TEXT] = "-";

    if (row_known(row, name))
        amount_short(unit, row_number(row, name), text);
    table_add(t, text);
}

const char *action_colour(const char *action)
{
    if (strcmp(action, "block") == 0)
        return "31";
    return strcmp(action, "allow") == 0 ? NULL : "33";
}

void human_until(int64_t ms, int64_t now_ms, char out[CLI_TEXT])
{
    char at[CLI_TEXT], span[CLI_TEXT];

    human_time(ms, at);
    human_ms(ms > now_ms ? ms - now_ms : now_ms - ms, span);
    snprintf(out, CLI_TEXT, ms > now_ms ? "%.24sZ (in %.24s)" : "%.24sZ (%.24s ago)", at, span);
}

/* ---------------------------------------------------------------------- lists */

/* A number that is an id. */
static void cell_id(struct table *t, const json_t *row)
{
    char text[CLI_TEXT];

    snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(row, "id")));
    table_add(t, row_known(row, "id") ? text : row_text(row, "id", "-"));
}

static void heads_add(struct table *t, const char *const *heads, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        table_add(t, heads[i]);
}

/* Until when an allowance or a pause holds; or that it does not. */
static void cell_until(struct table *t, const json_t *row, int64_t now_ms)
{
    char text[CLI_TEXT] = "it is resumed", at[CLI_TEXT];

    if (row_known(row, "until_ms"))
        human_until(row_number(row, "until_ms"), now_ms, text);
    if (row_known(row, "ended_ms")) {
        human_time(row_number(row, "ended_ms"), at);
        snprintf(text, sizeof text, "ended %.24sZ", at);
    }
    table_add(t, text);
}

void allowances_show(const json_t *answer, const char *none)
{
    static const char *const heads[] = {
        "ALLOWANCE", "BUDGET", "KEY", "AMOUNT", "UNTIL", "AUTHOR", "REASON"
    };
    const json_t *rows = json_object_get(answer, "allowances");
    char amount[CLI_TEXT];
    struct table t;

    if (json_array_size(rows) == 0) {
        fputs(none, stdout);
        return;
    }
    table_init(&t, 7);
    heads_add(&t, heads, 7);
    for (unsigned i = 0; i < 7; i++) {
        if (i != 3)
            table_left(&t, i);
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        amount_exact(row_text(row, "unit", ""), row_number(row, "amount"), amount);
        cell_id(&t, row);
        cell_name(&t, row, "budget");
        table_add(&t, row_text(row, "key", "(all)"));
        table_add(&t, amount);
        cell_until(&t, row, wall_ms());
        cell_name(&t, row, "author");
        cell_name(&t, row, "reason");
    }
    table_print(&t);
}

/* "block", "delay 30 s". */
static void cell_action(struct table *t, const json_t *row)
{
    char text[CLI_TEXT], wait[CLI_TEXT];

    snprintf(text, sizeof text, "%.30s", row_text(row, "action", "block"));
    if (row_known(row, "delay_ms")) {
        human_ms(row_number(row, "delay_ms"), wait);
        snprintf(text, sizeof text, "delay %.30s", wait);
    }
    table_add(t, text);
    table_colour(t, row_known(row, "ended_ms") ? NULL : action_colour(row_text(row, "action", "block")));
}

void pauses_show(const json_t *answer, const char *none)
{
    static const char *const heads[] = { "PAUSE", "FIELD", "VALUE",  "ACTION", "SINCE",
                                         "UNTIL", "RULE",  "AUTHOR", "REASON" };
    const json_t *rows = json_object_get(answer, "pauses");
    struct table t;

    if (json_array_size(rows) == 0) {
        fputs(none, stdout);
        return;
    }
    table_init(&t, 9);
    heads_add(&t, heads, 9);
    for (unsigned i = 0; i < 9; i++)
        table_left(&t, i);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        cell_id(&t, row);
        cell_name(&t, row, "field");
        cell_name(&t, row, "value");
        cell_action(&t, row);
        cell_time(&t, row, "from_ms");
        cell_until(&t, row, wall_ms());
        table_add(&t, row_text(row, "rule", "-"));
        cell_name(&t, row, "author");
        cell_name(&t, row, "reason");
    }
    table_print(&t);
}
