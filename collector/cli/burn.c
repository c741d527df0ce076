/* SPDX-License-Identifier: MIT
 *
 * burn: how fast budgets are spent, what they will come to, and when they are gone.
 */
#include "burn.h"

#include <string.h>

#include "govern.h"

#define COLUMNS 8

static const char help[] =
    "usage: tollgate burn [BUDGET] [--limit N] [--json]\n"
    "       tollgate burn --replay [DATABASE] [--from TIME] [--to TIME] [--json]\n"
    "\n"
    "How fast each budget is spent now, by the calls of the last minute and the last hour; what it will "
    "have\n"
    "spent when its window ends; and in how long its limit is reached at this pace, what is reserved taken "
    "as\n"
    "spent. Those that run out first come first.\n"
    "\n"
    "PROJECTED is, of a day, week or month, what is spent plus what the windows before (up to seven) still\n"
    "spent from this point on, times how this one compares with them so far. In an hour's window, or where "
    "no\n"
    "window before is known, the rest goes on at the pace of the last hour or at the window's own mean,\n"
    "whichever is the smaller. A sliding window: its pace times its length. A tenth of the window must be "
    "over.\n"
    "\n"
    "--replay goes through the calls that are stored, for the budgets in force, and says how far the\n"
    "projection was off when a quarter, a half and three quarters of each window were over (the median, and\n"
    "what nine of ten errors are below), and whether its alarms came true. Nothing is changed.\n"
    "\n"
    "  --limit N        rows at most (100)\n"
    "  --from TIME      from when on (-30d)\n"
    "  --to TIME        until when (now)\n"
    "  --json           for programs: exact amounts in the budget's unit (10^-9 USD, tokens or calls)\n"
    "\n"
    "DATABASE is the collector's file (default: the one that tollgated uses if it is not told).\n"
    "\n"
    "  tollgate burn\n"
    "  tollgate burn daily-research\n"
    "  tollgate burn --replay --from -60d\n";

/* "$4.10 of $5.00" */
static void spent_add(struct table *t, const json_t *row, const char *unit)
{
    char spent[CLI_TEXT], limit[CLI_TEXT], text[2 * CLI_TEXT + 8];

    amount_short(unit, row_number(row, "spent"), spent);
    amount_short(unit, row_number(row, "limit"), limit);
    snprintf(text, sizeof text, "%s of %s", spent, limit);
    table_add(t, text);
}

/* Why there is none, for people. */
static const char *basis_text(const json_t *row)
{
    const char *basis = row_text(row, "basis", "");

    return strcmp(basis, "no_calls") == 0    ? "no calls yet"
           : strcmp(basis, "too_young") == 0 ? "too early"
           : strcmp(basis, "counting") == 0  ? "still counting"
                                             : "-";
}

static void projected_add(struct table *t, const json_t *row, const char *unit)
{
    char text[CLI_TEXT];

    if (!row_known(row, "projected")) {
        table_add(t, basis_text(row));
        return;
    }
    amount_short(unit, row_number(row, "projected"), text);
    table_add(t, text);
    if (json_is_true(json_object_get(row, "over")))
        table_colour(t, "31");
}

static void exhausted_add(struct table *t, const json_t *row, int64_t now_ms)
{
    int64_t at_ms = row_number(row, "exhausted_ms");
    char text[CLI_TEXT] = "-";

    if (row_known(row, "exhausted_ms") && at_ms > now_ms)
        human_ms(at_ms - now_ms, text);
    else if (row_known(row, "exhausted_ms"))
        snprintf(text, sizeof text, "now");
    table_add(t, text);
    if (row_known(row, "exhausted_ms"))
        table_colour(t, at_ms > now_ms ? "33" : "31");
}

static void burn_row(struct table *t, const json_t *row, int64_t now_ms)
{
    const char *unit = row_text(row, "unit", "");
    char text[CLI_TEXT] = "-";

    table_add(t, row_text(row, "budget", "?"));
    table_add(t, row_text(row, "key", ""));
    spent_add(t, row, unit);
    cell_amount(t, row, "per_minute", unit);
    cell_amount(t, row, "per_hour", unit);
    projected_add(t, row, unit);
    exhausted_add(t, row, now_ms);
    if (row_known(row, "window_end_ms"))
        human_until(row_number(row, "window_end_ms"), now_ms, text);
    table_add(t, text);
}

static void show(const json_t *answer)
{
    static const char *const heads[COLUMNS] = { "BUDGET", "KEY",       "SPENT",        "RATE/MIN",
                                                "RATE/H", "PROJECTED", "EXHAUSTED IN", "WINDOW ENDS" };
    const json_t *rows = json_object_get(answer, "forecasts");
    char all[CLI_TEXT];
    struct table t;

    if (json_array_size(rows) == 0) {
        printf("there is nothing to tell: no budget, or nobody has spent anything yet\n");
        return;
    }
    table_init(&t, COLUMNS);
    for (unsigned i = 0; i < COLUMNS; i++) {
        if (i < 2 || i == COLUMNS - 1)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        burn_row(&t, json_array_get(rows, i), row_number(answer, "now_ms"));
    table_print(&t);
    if (row_number(answer, "accounts") > (int64_t)json_array_size(rows)) {
        human_count(row_number(answer, "accounts"), all);
        printf("%zu of %s are shown (--limit)\n", json_array_size(rows), all);
    }
}

static int ask(struct cli *c, bool as_json)
{
    int status = CLI_OK;

    if (c->operands > 0)
        cli_param_default(c, "budget", c->operand[0]);
    if (as_json)
        return cli_copy(c, "/v1/forecast");
    json_t *answer = cli_json(c, "/v1/forecast", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}

int command_burn(int argc, char **argv)
{
    bool as_json = false, replay = false;
    const struct cli_option options[] = { { "limit", "limit", NULL }, { "from", "from", NULL },
                                          { "to", "to", NULL },       { "replay", NULL, &replay },
                                          { "json", NULL, &as_json }, { 0 } };
    struct cli c = { .operands_max = 1 };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (replay)
        return burn_replay(&c, as_json);
    if (cli_param(&c, "from") || cli_param(&c, "to")) {
        cli_fail("burn: --from and --to are for --replay (see --help)");
        return CLI_USAGE;
    }
    return ask(&c, as_json);
}
