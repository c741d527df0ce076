/* SPDX-License-Identifier: MIT
 *
 * budgets: what is spent of what, and who is stopped or may have more.
 */
#include <stdlib.h>
#include <string.h>

#include "govern.h"

#define BAR_CELLS 10
#define COLUMNS   10

static const char help[] =
    "usage: tollgate budgets [NAME] [--cells N] [--json]\n"
    "       tollgate budgets simulate FILE ... (see tollgate budgets simulate --help)\n"
    "\n"
    "What each budget has spent in its running window, what open calls have reserved, and what is left;\n"
    "below, who is paused and which allowances hold. Of a budget per agent, per session, ... each has a\n"
    "row, the nearest to its limit first. LIMIT is with allowances.\n"
    "\n"
    "  --cells N       rows of one budget at most (20)\n"
    "  --json          for programs: exact amounts in the budget's unit (10^-9 USD, tokens or calls)\n"
    "\n"
    "  tollgate budgets\n"
    "  tollgate budgets daily-research --cells 100\n";

/* "#####----- 52 %". */
static void bar_text(int64_t used, int64_t limit, char out[CLI_TEXT])
{
    char percent[CLI_TEXT];
    const char *full = cli_utf8() ? "\u2588" : "#", *empty = cli_utf8() ? "\u2591" : "-";
    int64_t cells = limit > 0 ? (int64_t)((double)used / (double)limit * BAR_CELLS) : 0;
    size_t at = 0;

    cells = cells < 0 ? 0 : cells > BAR_CELLS ? BAR_CELLS : cells;
    for (int i = 0; i < BAR_CELLS; i++)
        at += (size_t)snprintf(out + at, CLI_TEXT - at, "%s", i < cells ? full : empty);
    human_percent(used > 0 ? used : 0, limit, percent);
    snprintf(out + at, CLI_TEXT - at, " %s", percent);
}

/* What the sums are without, and what else is to be known. */
static void note_add(struct table *t, const json_t *budget, const json_t *cell, const char *unit)
{
    char note[320] = "", text[CLI_TEXT];
    size_t used = 0;

    if (json_is_true(json_object_get(json_object_get(budget, "definition"), "shadow")))
        used += (size_t)snprintf(note + used, sizeof note - used, ", shadow: stops nobody");
    if (json_is_true(json_object_get(budget, "counting")))
        used += (size_t)snprintf(note + used, sizeof note - used, ", still counting the past");
    if (row_number(cell, "unknown_calls") > 0) {
        amount_exact("calls", row_number(cell, "unknown_calls"), text);
        used += (size_t)snprintf(note + used, sizeof note - used, ", %s of unknown %s", text,
                                 strcmp(unit, "usd") == 0 ? "cost" : "size");
    }
    if (row_number(cell, "presumed") > 0) {
        amount_short(unit, row_number(cell, "presumed"), text);
        used += (size_t)snprintf(note + used, sizeof note - used, ", %s of it presumed", text);
    }
    table_add(t, used > 0 ? note + 2 : "");
}

/* When it opens again, or, of what is open, nothing. */
static void opens_add(struct table *t, const json_t *cell, int64_t now_ms)
{
    char text[CLI_TEXT] = "-";

    if (row_known(cell, "opens_ms"))
        human_until(row_number(cell, "opens_ms"), now_ms, text);
    table_add(t, text);
}

static void cell_row(struct table *t, const json_t *budget, const json_t *cell, int64_t now_ms)
{
    const char *unit = row_text(budget, "unit", ""), *state = row_text(cell, "state", "-");
    char text[CLI_TEXT] = "-";

    table_add(t, row_text(budget, "name", "?"));
    table_add(t, row_text(cell, "key", ""));
    cell_amount(t, cell, "spent", unit);
    cell_amount(t, cell, "reserved", unit);
    cell_amount(t, cell, "left", unit);
    if (row_known(cell, "limit"))
        amount_exact(unit, row_number(cell, "limit"), text);
    table_add(t, text);
    if (row_known(cell, "limit") && row_known(cell, "left"))
        bar_text(row_number(cell, "limit") - row_number(cell, "left"), row_number(cell, "limit"), text);
    table_add(t, text);
    table_colour(t, action_colour(state));
    table_add(t, row_text(json_object_get(budget, "definition"), "window", "-"));
    table_add(t, state);
    table_colour(t, action_colour(state));
    opens_add(t, cell, now_ms);
    note_add(t, budget, cell, unit);
}

/* A budget in which nobody has spent anything yet. */
static void empty_row(struct table *t, const json_t *budget)
{
    char limit[CLI_TEXT];

    table_add(t, row_text(budget, "name", "?"));
    for (int i = 0; i < 4; i++)
        table_add(t, i == 0 ? "(nobody yet)" : "-");
    amount_exact(row_text(budget, "unit", ""), row_number(budget, "limit"), limit);
    table_add(t, limit);
    table_add(t, "-");
    table_add(t, row_text(json_object_get(budget, "definition"), "window", "-"));
    table_add(t, "-");
    table_add(t, "-");
    note_add(t, budget, NULL, "");
}

/* After the table: of which budgets not every account is shown. */
static void rest_show(const json_t *budget)
{
    size_t shown = json_array_size(json_object_get(budget, "cells"));
    char all[CLI_TEXT];

    if (row_number(budget, "accounts") <= (int64_t)shown)
        return;
    human_count(row_number(budget, "accounts"), all);
    human_text(stdout, row_text(budget, "name", "?"));
    printf(": %zu of %s are shown (--cells)\n", shown, all);
}

static void show(const json_t *answer)
{
    static const char *const heads[] = { "BUDGET", "KEY",    "SPENT", "RESERVED",    "LEFT", "LIMIT",
                                         "USED",   "WINDOW", "STATE", "OPENS AGAIN", "" };
    const json_t *budgets = json_object_get(answer, "budgets");
    struct table t;

    if (json_array_size(budgets) == 0) {
        printf("there are no budgets\n");
        return;
    }
    table_init(&t, COLUMNS + 1);
    for (unsigned i = 0; i <= COLUMNS; i++) {
        if (i < 2 || i > 5)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    for (size_t i = 0; i < json_array_size(budgets); i++) {
        const json_t *budget = json_array_get(budgets, i), *cells = json_object_get(budget, "cells");
        for (size_t k = 0; k < json_array_size(cells); k++)
            cell_row(&t, budget, json_array_get(cells, k), row_number(answer, "now_ms"));
        if (json_array_size(cells) == 0)
            empty_row(&t, budget);
    }
    table_print(&t);
    for (size_t i = 0; i < json_array_size(budgets); i++)
        rest_show(json_array_get(budgets, i));
}

/* Below: what somebody has decided by hand, if anything. */
static int beside_show(const struct cli *c, const char *path, const char *rows,
                       void (*rows_show)(const json_t *, const char *))
{
    int status = CLI_OK;
    json_t *answer = cli_json(c, path, false, &status);

    if (json_array_size(json_object_get(answer, rows)) > 0) {
        putchar('\n');
        rows_show(answer, "");
    }
    json_decref(answer);
    return status;
}

int command_budgets(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = { { "cells", "cells", NULL }, { "json", NULL, &as_json }, { 0 } };
    struct cli c = { .operands_max = 1 };

    if (argc > 1 && strcmp(argv[1], "simulate") == 0)
        return command_simulate(argc - 1, argv + 1);
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    char *path = c.operands ? cli_path("/v1/budgets/", c.operand[0]) : strdup("/v1/budgets");
    if (!path)
        return cli_fail("out of memory");
    if (as_json) {
        status = cli_copy(&c, path);
        free(path);
        return status;
    }
    json_t *answer = cli_json(&c, path, true, &status);
    free(path);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    status = beside_show(&c, "/v1/pauses", "pauses", pauses_show);
    return status == CLI_OK ? beside_show(&c, "/v1/allowances", "allowances", allowances_show) : status;
}
