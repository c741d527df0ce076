/* SPDX-License-Identifier: MIT
 *
 * reprice: asks the collector to price stored calls again, waits, and shows what it came to.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/clock.h"
#include "../query/when.h"
#include "govern.h"

#define PATH    "/v1/reprice"
#define LOOK_MS 200

static const char help[] =
    "usage: tollgate reprice --from TIME [--to TIME] [--model NAME] [--dry-run] [--budgets] [--author NAME]\n"
    "                        [--json]\n"
    "\n"
    "Prices stored calls again, by the collector's price list of now, and shows what they cost before and\n"
    "after, by model. It goes on beside everything else; this command waits for the end. The audit keeps "
    "it.\n"
    "\n"
    "  --from, --to   RFC 3339, Unix milliseconds, or relative: -24h, -7d (default: to now)\n"
    "  --model NAME   only calls of this model, as events tell it\n"
    "  --dry-run      changes nothing\n"
    "  --budgets      budgets count the new costs too; without it they keep what they have counted\n"
    "  --author NAME  who decides; you, at this machine, if it is not given\n"
    "  --json         for programs\n"
    "\n"
    "  tollgate reprice --from 2026-11-01 --dry-run\n"
    "  tollgate reprice --from 2026-11-01 --model claude-sonnet-4-5\n";

/* ------------------------------------------------------------------- asking */

/* False: has been told on stderr. */
static bool time_put(json_t *body, const struct cli *c, const char *option, const char *name)
{
    const char *given = cli_param(c, option);
    int64_t ms;

    if (!given)
        return true;
    if (when_parse(given, wall_ms(), &ms) != 0) {
        cli_fail("--%s: \"%s\" where %s was expected", option, given, WHEN_EXPECTED);
        return false;
    }
    return json_object_set_new(body, name, json_integer(ms)) == 0;
}

/* NULL: has been told on stderr. */
static json_t *body_make(const struct cli *c, bool dry_run, bool budgets)
{
    json_t *body = govern_body(c);

    if (body && time_put(body, c, "from", "from_ms") && time_put(body, c, "to", "to_ms") &&
        govern_put(body, "model", cli_param(c, "model")) &&
        json_object_set_new(body, "dry_run", json_boolean(dry_run)) == 0 &&
        json_object_set_new(body, "budgets", json_boolean(budgets)) == 0)
        return body;
    json_decref(body);
    return NULL;
}

static bool is_running(const json_t *report)
{
    return strcmp(row_text(report, "state", ""), "running") == 0;
}

/* Looks until the run has ended; takes report. NULL: has been told on stderr. */
static json_t *wait_for_end(const struct cli *c, json_t *report, int *status)
{
    const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
    struct progress progress;

    progress_start(&progress, "pricing", NULL);
    while (report && is_running(report)) {
        progress_show(&progress, (int64_t)(1000 * json_real_value(json_object_get(report, "done"))), 1000);
        json_decref(report);
        nanosleep(&pause, NULL);
        report = cli_json(c, PATH, false, status);
    }
    progress_end(&progress);
    return report;
}

/* ------------------------------------------------------------------- showing */

static void cell_difference(struct table *t, int64_t nanousd)
{
    char amount[CLI_TEXT], text[CLI_TEXT];

    human_usd(nanousd < 0 ? -nanousd : nanousd, amount);
    snprintf(text, sizeof text, "%s%.60s", nanousd < 0 ? "-" : nanousd > 0 ? "+" : "", amount);
    table_add(t, text);
}

static void numbers_add(struct table *t, const json_t *row)
{
    int64_t before = row_number(row, "old_unknown"), after = row_number(row, "new_unknown");
    char note[CLI_TEXT] = "";

    cell_number(t, row, "calls", human_count);
    cell_number(t, row, "changed", human_count);
    cell_number(t, row, "old_nanousd", human_usd);
    cell_number(t, row, "new_nanousd", human_usd);
    cell_difference(t, row_number(row, "difference_nanousd"));
    if (before > 0 || after > 0)
        snprintf(note, sizeof note, "%lld calls unpriced, now %lld", (long long)before, (long long)after);
    table_add(t, note);
}

static void show(const json_t *report)
{
    static const char *const heads[] = { "PROVIDER", "MODEL", "CALLS",      "CHANGED",
                                         "OLD",      "NEW",   "DIFFERENCE", "" };
    const json_t *models = json_object_get(report, "models");
    struct table t;

    table_init(&t, sizeof heads / sizeof *heads);
    table_left(&t, 0);
    table_left(&t, 1);
    table_left(&t, t.columns - 1);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        table_add(&t, heads[i]);
    for (size_t i = 0; i < json_array_size(models); i++) {
        cell_name(&t, json_array_get(models, i), "provider");
        cell_name(&t, json_array_get(models, i), "model");
        numbers_add(&t, json_array_get(models, i));
    }
    table_add(&t, "all");
    table_add(&t, "");
    numbers_add(&t, report);
    table_print(&t);
    if (json_is_true(json_object_get(report, "dry_run")))
        printf("\nnothing has been changed (--dry-run)\n");
}

static int end(const json_t *report, bool as_json)
{
    if (as_json) {
        json_dumpf(report, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        show(report);
    }
    if (strcmp(row_text(report, "state", ""), "done") == 0)
        return CLI_OK;
    return cli_fail(
        "the collector's store failed on the way: the first calls are priced anew, the others not; "
        "ask again");
}

int command_reprice(int argc, char **argv)
{
    bool dry_run = false, budgets = false, as_json = false;
    const struct cli_option options[] = {
        { "from", "from", NULL },      { "to", "to", NULL },
        { "model", "model", NULL },    { "author", "author", NULL },
        { "dry-run", NULL, &dry_run }, { "budgets", NULL, &budgets },
        { "json", NULL, &as_json },    { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (!cli_param(&c, "from")) {
        cli_fail("reprice: --from TIME is missing (see --help)");
        return CLI_USAGE;
    }
    json_t *body = body_make(&c, dry_run, budgets);
    if (!body)
        return CLI_USAGE;
    json_t *report = govern_change(&c, "POST", PATH, body, false, &status);
    if ((report = wait_for_end(&c, report, &status)) == NULL)
        return status;
    status = end(report, as_json);
    json_decref(report);
    return status;
}
