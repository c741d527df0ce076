/* SPDX-License-Identifier: MIT
 *
 * risk: what speaks against each agent, as evidence, in an order that everybody can follow.
 */
#include <string.h>

#include "evidence.h"
#include "govern.h"

#define SHOWN 20 /* agents, if nobody says how many */
#define LABEL 14 /* characters before a line's words */

static const char help[] =
    "usage: tollgate risk [--from TIME] [--to TIME] [--agent NAMES] [--calls N] [--limit N] [--json]\n"
    "\n"
    "What speaks against each agent: alerts about it, failed and refused calls, calls whose price or\n"
    "tokens nobody knows, its budgets, pauses that hold, its largest call. There is no score; first comes\n"
    "who has\n"
    "\n"
    "  1. more critical alerts, then\n"
    "  2. more alerts that are warnings, then\n"
    "  3. the greater share of calls that ended in an error or a timeout, then\n"
    "  4. more calls, then by name.\n"
    "\n"
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -30d (default: -7d to now);\n"
    "                  alerts are those raised in that time\n"
    "  --agent NAMES   only these: a,b or !a,b (all but these) or abc*\n"
    "  --calls N       answers 402 and 429 and the largest call are looked for among the newest N calls\n"
    "                  of all (100000; 10000000 at most)\n"
    "  --limit N       agents that are shown (20; with --json all)\n"
    "  --json          for programs (see tollgate(1))\n"
    "\n"
    "  tollgate risk\n"
    "  tollgate risk --from -30d --agent 'research*'\n"
    "  tollgate risk --json | jq '.agents[0].alert_kinds'\n";

/* ------------------------------------------------------------------- one agent */

/* "  unpriced      3 calls" and more; something may follow. */
static void label(const char *text)
{
    printf("  ");
    human_text(stdout, text);
    printf("%*s", human_width(text) < LABEL ? (int)(LABEL - human_width(text)) : 1, "");
}

/* "3 calls", "1 call". */
static void counted(int64_t n, const char *one, const char *many)
{
    char text[CLI_TEXT];

    human_count(n, text);
    printf("%s %s", text, n == 1 ? one : many);
}

static void share(int64_t part, int64_t of, const char *words)
{
    char all[CLI_TEXT], percent[CLI_TEXT];

    counted(part, "call", "calls");
    human_count(of, all);
    human_percent(part, of, percent);
    printf(" of %s (%s)%s\n", all, percent, words);
}

static void head_show(const json_t *agent)
{
    const json_t *alerts = json_object_get(agent, "alerts");
    int64_t critical = row_number(alerts, "critical"), warning = row_number(alerts, "warning");
    char cost[CLI_TEXT];
    bool colour = cli_colour();

    fputs(colour ? critical > 0 ? "\033[1;31m" : "\033[1m" : "", stdout);
    human_text(stdout, row_text(agent, "agent_id", "(unknown)"));
    fputs(colour ? "\033[0m: " : ": ", stdout);
    counted(critical, "critical alert", "critical alerts");
    fputs(", ", stdout);
    counted(warning, "warning", "warnings");
    fputs("; ", stdout);
    counted(row_number(agent, "calls"), "call", "calls");
    if (row_cost(agent, cost))
        printf(", %s", cost);
    putchar('\n');
}

static void alerts_show(const json_t *agent)
{
    const json_t *kinds = json_object_get(agent, "alert_kinds");
    char last[CLI_TEXT];

    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const json_t *kind = json_array_get(kinds, i);
        label(row_text(kind, "kind", "?"));
        counted(row_number(kind, "alerts"), "alert", "alerts");
        printf(" (%s", row_text(kind, "severity", "?"));
        if (row_number(kind, "open") > 0)
            printf(", %lld open", (long long)row_number(kind, "open"));
        if (row_number(kind, "times") > row_number(kind, "alerts"))
            printf(", seen %lld times", (long long)row_number(kind, "times"));
        human_time(row_number(kind, "last_ms"), last);
        printf(", last %sZ): ", last);
        human_text(stdout, row_text(kind, "title", ""));
        putchar('\n');
    }
}

/* Calls that failed, were stopped, or of which something is not known. */
static void calls_show(const json_t *agent)
{
    static const struct {
        const char *name, *label, *words;
    } all[] = { { "errors", "errors", " ended in an error or a timeout" },
                { "blocked", "blocked", " were stopped before they were made" },
                { "unpriced_calls", "unpriced", " have no price" },
                { "untold_calls", "untold", " ended well, and nobody told their tokens" } };
    const json_t *looked = json_object_get(agent, "looked_at");

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (row_number(agent, all[i].name) <= 0)
            continue;
        label(all[i].label);
        share(row_number(agent, all[i].name), row_number(agent, "calls"), all[i].words);
    }
    if (row_number(looked, "http_402") > 0) {
        label("402");
        share(row_number(looked, "http_402"), row_number(looked, "calls"),
              " were refused for want of payment");
    }
    if (row_number(looked, "http_429") > 0) {
        label("429");
        share(row_number(looked, "http_429"), row_number(looked, "calls"), " were refused as too many");
    }
}

static void budgets_show(const json_t *agent)
{
    const json_t *budgets = json_object_get(agent, "budgets");
    char spent[CLI_TEXT], limit[CLI_TEXT], percent[CLI_TEXT];

    for (size_t i = 0; i < json_array_size(budgets); i++) {
        const json_t *b = json_array_get(budgets, i);
        const char *unit = row_text(b, "unit", "");
        amount_short(unit, row_number(b, "spent"), spent);
        amount_exact(unit, row_number(b, "limit"), limit);
        human_percent(row_number(b, "spent"), row_number(b, "limit"), percent);
        label("budget");
        human_text(stdout, row_text(b, "budget", "?"));
        printf(": %s of %s (%s): ", spent, limit, percent);
        human_text(stdout, row_text(b, "state", "?"));
        puts(json_is_true(json_object_get(b, "shadow")) ? ", shadow: stops nobody" : "");
    }
}

static void pauses_of_show(const json_t *agent)
{
    const json_t *pauses = json_object_get(agent, "pauses");
    char until[CLI_TEXT];

    for (size_t i = 0; i < json_array_size(pauses); i++) {
        const json_t *p = json_array_get(pauses, i);
        label("paused");
        fputs(row_text(p, "action", "block"), stdout);
        human_time(row_number(p, "until_ms"), until);
        printf(row_known(p, "until_ms") ? " until %sZ" : " until it is resumed", until);
        fputs(row_text(p, "rule", NULL) ? " by rule " : "", stdout);
        human_text(stdout, row_text(p, "rule", ""));
        fputs(row_text(p, "reason", NULL) ? ": " : "", stdout);
        human_text(stdout, row_text(p, "reason", ""));
        putchar('\n');
    }
}

static void largest_show(const json_t *agent)
{
    const json_t *call = json_object_get(agent, "largest");
    char text[CLI_TEXT];

    if (!json_is_object(call))
        return;
    label("largest call");
    if (row_known(call, "cost_nanousd")) {
        human_usd(row_number(call, "cost_nanousd"), text);
        printf("%s, ", text);
    }
    human_si(row_number(call, "tokens"), text);
    printf("%s tokens, ", row_known(call, "tokens") ? text : "unknown");
    human_text(stdout, row_text(call, "model", "(unknown)"));
    human_time(row_number(call, "ts_ms"), text);
    printf(", %sZ", text);
    fputs(row_text(call, "session_id", NULL) ? ", session " : "", stdout);
    human_text(stdout, row_text(call, "session_id", ""));
    putchar('\n');
}

/* ------------------------------------------------------------------------- all */

static void foot_show(const json_t *told, size_t shown)
{
    const json_t *agents = json_object_get(told, "agents"), *looked = json_object_get(told, "looked_at");
    char text[CLI_TEXT];

    if (json_array_size(agents) == 0)
        printf("no calls and no alerts about agents from %s to %s\n", row_text(told, "from", "?"),
               row_text(told, "to", "?"));
    if (json_array_size(agents) > shown)
        printf("there are %zu more (--limit)\n", json_array_size(agents) - shown);
    if (!json_is_true(json_object_get(looked, "all")) && row_known(looked, "since_ms")) {
        human_time(row_number(looked, "since_ms"), text);
        printf("402, 429 and the largest call: of the newest %lld calls, since %sZ (--calls)\n",
               (long long)row_number(looked, "calls"), text);
    }
    if (json_is_true(json_object_get(told, "alerts_truncated")))
        printf("of the alerts only the newest %d are counted\n", EVIDENCE_ALERTS_MAX);
    if (json_is_true(json_object_get(told, "agents_truncated")))
        puts("of the agents only the first 10,000 by calls are looked at");
}

static void show(const json_t *told, int64_t limit)
{
    const json_t *agents = json_object_get(told, "agents");
    size_t n = json_array_size(agents), shown = (int64_t)n > limit ? (size_t)limit : n;

    for (size_t i = 0; i < shown; i++) {
        const json_t *agent = json_array_get(agents, i);
        head_show(agent);
        alerts_show(agent);
        calls_show(agent);
        budgets_show(agent);
        pauses_of_show(agent);
        largest_show(agent);
    }
    foot_show(told, shown);
}

static void show_json(json_t *told, int64_t limit)
{
    json_t *agents = json_object_get(told, "agents");

    while ((int64_t)json_array_size(agents) > limit)
        json_array_remove(agents, json_array_size(agents) - 1);
    json_dumpf(told, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* names are anybody's */
    putchar('\n');
}

int command_risk(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "from", "from", NULL },
        { "to", "to", NULL },
        { "agent", "agent_id", NULL },
        { "calls", "calls", NULL },
        { "limit", "limit", NULL },
        { "json", NULL, &as_json },
        { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, false, help);
    int64_t calls = EVIDENCE_CALLS, limit = 0;
    json_t *told = NULL;

    if (status >= 0)
        return status;
    limit = as_json ? INT64_MAX : SHOWN;
    if (cli_number(&c, "calls", EVIDENCE_CALLS_MAX, &calls) != 0 ||
        cli_number(&c, "limit", INT64_MAX, &limit) != 0)
        return CLI_USAGE;
    cli_param_default(&c, "from", "-7d");
    status = evidence_gather(&c, calls, &told);
    if (status != CLI_OK)
        return status;
    if (as_json)
        show_json(told, limit);
    else
        show(told, limit);
    json_decref(told);
    return CLI_OK;
}
