/* SPDX-License-Identifier: MIT
 *
 * burn --replay: how far the projections would have been off, and which alarms would have been right.
 */
#include <string.h>

#include "../writer/backtest.h"
#include "burn.h"
#include "database.h"
#include "rows.h"

#define COLUMNS 8

static const double parts[2] = { 0.5, 0.9 };

/* ------------------------------------------------------------------- for people */

/* "12 % / 40 %": the median, and what nine of ten are below. */
static void error_add(struct table *t, const struct backtest_errors *e)
{
    char text[2 * CLI_TEXT] = "-";

    if (e->kept > 0)
        snprintf(text, sizeof text, "%.0f %% / %.0f %%", 100 * backtest_quantile(e, parts[0]),
                 100 * backtest_quantile(e, parts[1]));
    table_add(t, text);
}

static void alarms_add(struct table *t, const struct backtest_budget *b)
{
    char right[CLI_TEXT], wrong[CLI_TEXT], missed[CLI_TEXT];

    human_count(b->right, right);
    human_count(b->wrong, wrong);
    human_count(b->missed, missed);
    table_add(t, right);
    table_add(t, wrong);
    table_add(t, missed);
}

static void row_add(struct table *t, const struct backtest_budget *b)
{
    char text[CLI_TEXT];

    table_add(t, b->def->name);
    if (b->def->window.kind > WINDOW_MONTH) {
        table_add(t, "not measured");
        for (int i = 2; i < COLUMNS; i++)
            table_add(t, "-");
        return;
    }
    human_count(b->windows, text);
    table_add(t, text);
    for (int q = 0; q < 3; q++)
        error_add(t, &b->error[q]);
    alarms_add(t, b);
}

static void show(const struct backtest_options *o, const struct backtest_result *r)
{
    static const char *const heads[COLUMNS] = {
        "BUDGET", "WINDOWS", "ERROR AT 25 %", "50 %", "75 % OF A WINDOW", "ALARMS RIGHT", "WRONG", "MISSED"
    };
    char from[CLI_TEXT], to[CLI_TEXT], calls[CLI_TEXT];
    struct table t;

    table_init(&t, COLUMNS);
    table_left(&t, 0);
    for (int i = 0; i < COLUMNS; i++)
        table_add(&t, heads[i]);
    for (size_t i = 0; i < r->budgets; i++)
        row_add(&t, &r->budget[i]);
    if (r->budgets == 0)
        printf("there are no budgets\n");
    table_print(&t);
    human_time(o->from_ms, from);
    human_time(o->to_ms, to);
    human_count(r->calls, calls);
    printf(
        "\nThe median error, and what nine of ten are below, of the projection against what windows of at\n"
        "least %d calls came to. %s calls from %sZ to %sZ.\n",
        BACKTEST_CALLS, calls, from, to);
    if (r->cut)
        printf("There were more accounts than are kept in memory: some windows are not measured.\n");
}

/* ------------------------------------------------------------------- programs */

static json_t *error_json(const struct backtest_errors *e)
{
    if (e->kept == 0)
        return json_null();
    return json_pack("{s:f, s:f}", "median", backtest_quantile(e, parts[0]), "p90",
                     backtest_quantile(e, parts[1]));
}

static void show_json(const struct backtest_options *o, const struct backtest_result *r)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->budgets; i++) {
        const struct backtest_budget *b = &r->budget[i];
        char window[WINDOW_TEXT];
        window_text(&b->def->window, window);
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:b, s:I, s:I, s:{s:o, s:o, s:o}, s:{s:I, s:I, s:I}}", "budget",
                      b->def->name, "window", window, "measured", (int)(b->def->window.kind <= WINDOW_MONTH),
                      "windows", (json_int_t)b->windows, "windows_with_some_before", (json_int_t)b->learnt,
                      "error", "q25", error_json(&b->error[0]), "q50", error_json(&b->error[1]), "q75",
                      error_json(&b->error[2]), "alarms", "right", (json_int_t)b->right, "wrong",
                      (json_int_t)b->wrong, "missed", (json_int_t)b->missed));
    }
    json_t *all = json_pack("{s:I, s:I, s:I, s:b, s:o}", "from_ms", (json_int_t)o->from_ms, "to_ms",
                            (json_int_t)o->to_ms, "calls", (json_int_t)r->calls, "complete", (int)!r->cut,
                            "budgets", list);
    json_dumpf(all, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(all);
}

/* ------------------------------------------------------------------- running */

int burn_replay(struct cli *c, bool as_json)
{
    struct backtest_options options = { .zone = "UTC", .progress = database_progress };
    struct backtest_result result = { .cut = false };
    struct database d;

    if (c->operands > 0)
        cli_param_default(c, "database", c->operand[0]);
    int status = database_span(c, &options.from_ms, &options.to_ms);
    if (status != CLI_OK || (status = database_open(&d, c, "replaying")) != CLI_OK)
        return status;
    options.progress_arg = &d;
    int rc = backtest(d.db, &options, &result);
    database_close(&d);
    if (rc != 0)
        status = cli_fail("%s: %s", d.path, database_why(&d, result.error));
    else if (as_json)
        show_json(&options, &result);
    else
        show(&options, &result);
    backtest_fini(&result);
    return status;
}
