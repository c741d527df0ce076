/* SPDX-License-Identifier: MIT
 *
 * alerts: what an operator is to hear of: a list, one, as they come, acknowledging, testing.
 */
#include "alerts.h"

#include <stdlib.h>
#include <string.h>

#define UNACKED_MAX 10000 /* as schema/openapi.yaml says */

static const char help[] =
    "usage: tollgate alerts [--from TIME] [--to TIME] [--kind KIND] [--severity SEVERITY] [--open]\n"
    "                       [--unacked] [--budget NAME] [FILTER...] [--limit N] [--after CURSOR]\n"
    "                       [--json | --csv]\n"
    "       tollgate alerts ID [--json]\n"
    "       tollgate alerts --follow [--kind KIND] [--severity SEVERITY] [--budget NAME] [FILTER...] "
    "[--json]\n"
    "       tollgate alerts ack ID... [--note TEXT] [--author NAME] [--json]\n"
    "       tollgate alerts test [DESTINATION] [--json]\n"
    "\n"
    "What somebody is to hear of, the newest first; one with its evidence; as they are raised; says that\n"
    "somebody has seen to them; sends a test to a destination, or to each.\n"
    "\n"
    "  --from, --to         raised then: RFC 3339, Unix milliseconds, -24h, -15m, -7d\n"
    "  --kind KIND          threshold, overrun, forecast, runaway, unpriced, unknown_usage, silent, losses,\n"
    "                       quarantine, store, policy, test; several separated by commas\n"
    "  --severity SEVERITY  info, warning, critical: at least that\n"
    "  --open               only those whose reason has not gone\n"
    "  --unacked            only those that nobody has acknowledged\n"
    "  --agent, --session, --budget, --source, ...   only about these: a,b or !a,b (all but these) or abc*;\n"
    "                       '' for those that name none\n"
    "  --limit N            100 if not given, 1000 at most\n"
    "  --after CURSOR       goes on where the page before ended, which says the cursor\n"
    "  --follow             begins with the next one; ends with an interrupt; waits for a collector that\n"
    "                       restarts\n"
    "  --note TEXT          what was done about it\n"
    "  --author NAME        who has seen to it; you, at this machine, if it is not given\n"
    "  --json, --csv        for programs\n"
    "\n"
    "The exit status of test is 1 if a destination could not be told.\n"
    "\n"
    "  tollgate alerts --open --severity critical\n"
    "  tollgate alerts 17\n"
    "  tollgate alerts --follow --json | jq .title\n"
    "  tollgate alerts ack 17 18 --note \"limit raised for the release\"\n"
    "  tollgate alerts test slack\n";

enum {
    COLUMN_ID,
    COLUMN_TIME,
    COLUMN_SEVERITY,
    COLUMN_KIND,
    COLUMN_TITLE,
    COLUMN_COUNT,
    COLUMN_STATE,
    COLUMNS
};

const char *severity_colour(const char *severity)
{
    if (strcmp(severity, "critical") == 0)
        return "31";
    return strcmp(severity, "warning") == 0 ? "33" : NULL;
}

/* ---------------------------------------------------------------------- list */

static const char *state_text(const json_t *alert)
{
    bool ended = row_known(alert, "ended_ms"), acked = row_known(alert, "acked_ms");

    if (ended)
        return acked ? "ended, acked" : "ended";
    return acked ? "acked" : "open";
}

static void row_add(struct table *t, const json_t *alert)
{
    char id[CLI_TEXT];

    snprintf(id, sizeof id, "%" JSON_INTEGER_FORMAT, json_integer_value(json_object_get(alert, "id")));
    table_add(t, id);
    cell_time(t, alert, "ts_ms");
    cell_name(t, alert, "severity");
    table_colour(t, severity_colour(row_text(alert, "severity", "")));
    cell_name(t, alert, "kind");
    cell_name(t, alert, "title");
    cell_number(t, alert, "count", human_count);
    table_add(t, state_text(alert));
}

void unacked_count(int64_t n, char out[CLI_TEXT])
{
    human_count(n, out);
    if (n >= UNACKED_MAX)
        strncat(out, " or more", CLI_TEXT - strlen(out) - 1);
}

static void unacked_tell(const json_t *answer)
{
    char count[CLI_TEXT];

    if (!row_known(answer, "unacked")) /* told with the first page only */
        return;
    unacked_count(row_number(answer, "unacked"), count);
    printf("%s not acknowledged\n", count);
}

static void list_show(const json_t *answer)
{
    static const char *const heads[COLUMNS] = { "ID", "TIME", "SEVERITY", "KIND", "TITLE", "COUNT", "STATE" };
    const json_t *alerts = json_object_get(answer, "alerts");
    struct table t;

    if (json_array_size(alerts) == 0) {
        printf("no alerts\n");
        return;
    }
    table_init(&t, COLUMNS);
    for (unsigned i = 0; i < COLUMNS; i++) {
        if (i != COLUMN_ID && i != COLUMN_COUNT)
            table_left(&t, i);
        table_add(&t, heads[i]);
    }
    table_fit(&t, COLUMN_TITLE);
    for (size_t i = 0; i < json_array_size(alerts); i++)
        row_add(&t, json_array_get(alerts, i));
    table_print(&t);
    rows_more(answer, "--after");
    unacked_tell(answer);
}

static int list(struct cli *c, bool as_json, bool as_csv)
{
    int status;

    cli_param_default(c, "format", as_csv ? "csv" : "json");
    if (as_csv || as_json)
        return cli_copy_list(c, "/v1/alerts");
    json_t *answer = cli_json(c, "/v1/alerts", true, &status);
    if (!answer)
        return status;
    list_show(answer);
    json_decref(answer);
    return CLI_OK;
}

static int one(const struct cli *c, bool as_json)
{
    char *path = cli_path("/v1/alerts/", c->operand[0]);
    int status = CLI_FAILED;

    if (!path)
        return cli_fail("out of memory");
    if (as_json) {
        status = cli_copy(c, path);
    } else {
        json_t *alert = cli_json(c, path, true, &status);
        if (alert) {
            alert_show(alert);
            status = CLI_OK;
        }
        json_decref(alert);
    }
    free(path);
    return status;
}

/* --------------------------------------------------------------------- forms */

/* The first option given that is none of a form's (NULL: none is), or NULL. */
static const char *foreign_option(const struct cli *c, const char *a, const char *b)
{
    for (unsigned i = 0; i < c->params; i++) {
        const char *name = c->param[i].name;
        if (!(a && strcmp(name, a) == 0) && !(b && strcmp(name, b) == 0))
            return name;
    }
    return NULL;
}

static int refuse(const char *option, const char *form)
{
    cli_fail("--%s: not an option of tollgate alerts %s (see --help)", option, form);
    return CLI_USAGE;
}

struct flags {
    bool json, csv, open, unacked, follow;
};

/* Everything but the list and the stream. */
static int run_form(struct cli *c, const struct flags *f)
{
    const char *form = c->operand[0], *foreign;
    bool ack = strcmp(form, "ack") == 0, test = strcmp(form, "test") == 0;

    form = ack ? "ack" : test ? "test" : "ID";
    if ((foreign = foreign_option(c, ack ? "note" : NULL, ack ? "author" : NULL)) != NULL)
        return refuse(foreign, form);
    if (f->csv || f->open || f->unacked || f->follow)
        return refuse(f->csv ? "csv" : f->open ? "open" : f->unacked ? "unacked" : "follow", form);
    if (ack && c->operands < 2)
        return cli_fail("ack: the ID of an alert was expected (see --help)"), CLI_USAGE;
    if (!ack && c->operands > (test ? 2 : 1))
        return cli_fail("%s: unknown argument (see --help)", c->operand[test ? 2 : 1]), CLI_USAGE;
    if (ack)
        return alerts_ack(c, f->json);
    return test ? alerts_test(c, f->json) : one(c, f->json);
}

static int run_list(struct cli *c, const struct flags *f)
{
    const char *foreign = cli_param(c, "note") ? "note" : cli_param(c, "author") ? "author" : NULL;

    if (foreign)
        return refuse(foreign, "without ack");
    if (f->follow && (f->csv || f->open || f->unacked))
        return refuse(f->csv ? "csv" : f->open ? "open" : "unacked", "--follow");
    if (f->follow)
        return alerts_follow(c, f->json);
    if (f->open || f->unacked)
        cli_param_default(c, "state", f->open && f->unacked ? "open,unacked" : f->open ? "open" : "unacked");
    return list(c, f->json, f->csv);
}

int command_alerts(int argc, char **argv)
{
    struct flags f = { 0 };
    const struct cli_option options[] = {
        { "from", "from", NULL },
        { "to", "to", NULL },
        { "kind", "kind", NULL },
        { "severity", "severity", NULL },
        { "budget", "budget", NULL },
        { "limit", "limit", NULL },
        { "after", "after", NULL },
        { "note", "note", NULL },
        { "author", "author", NULL },
        { "open", NULL, &f.open },
        { "unacked", NULL, &f.unacked },
        { "follow", NULL, &f.follow },
        { "json", NULL, &f.json },
        { "csv", NULL, &f.csv },
        { 0 },
    };
    struct cli c = { .operands_max = CLI_OPERANDS_MAX };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    return c.operands > 0 ? run_form(&c, &f) : run_list(&c, &f);
}
