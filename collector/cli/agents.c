/* SPDX-License-Identifier: MIT
 *
 * agents and models: who has been calling what, one row each.
 */
#include <string.h>

#include "rows.h"

#define HELP(command, what, example)                                                                       \
    "usage: tollgate " command " [--from TIME] [--to TIME] [--order ORDER] [FILTER...] [--limit N]\n"      \
    "                       [--json | --csv]\n"                                                            \
    "\n" what "\n"                                                                                         \
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -7d (default: -24h to now)\n" \
    "  --order NAME    calls, errors, prompt_tokens, latency_ms_p95, ...; -NAME: downwards\n"              \
    "  --agent, --model, ...   only these: a,b or !a,b (all but these) or abc*; '' for unknown\n"          \
    "  --tag NAME=VALUE        likewise\n"                                                                 \
    "  --json, --csv   for programs\n"                                                                     \
    "\n" COST_HELP "\n" example

static const char agents_help[] =
    HELP("agents", "Each agent: its calls, tokens and errors, how many models it used, and when last.\n",
         "  tollgate agents --from -7d\n"
         "  tollgate agents --model 'claude-*' --order=-completion_tokens --limit 10\n");
static const char models_help[] = HELP(
    "models", "Each model of each provider: its calls, tokens and errors, and how many agents used it.\n",
    "  tollgate models --from -7d\n"
    "  tollgate models --agent researcher --order=-latency_ms_p95\n");

struct listing {
    const char *path, *rows, *help;
    const char *name[2]; /* of a row; the second may be NULL */
    const char *others;  /* how many of the other kind */
};
static const struct listing agents = { "/v1/agents", "agents", agents_help, { "agent_id", NULL }, "models" };
static const struct listing models = {
    "/v1/models", "models", models_help, { "provider", "model" }, "agents"
};

static void heads_add(const struct listing *l, struct table *t, bool cost)
{
    static const char *const heads[] = { "CALLS", "PROMPT",      "CACHED", "COMPLETION",
                                         "COST",  "P95 LATENCY", "ERRORS" };

    for (int i = 0; i < 2 && l->name[i]; i++)
        cell_head(t, l->name[i]);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (cost || strcmp(heads[i], "COST") != 0)
            table_add(t, heads[i]);
    }
    cell_head(t, l->others);
    table_add(t, "LAST");
    table_add(t, "");
}

static void row_add(const struct listing *l, struct table *t, const json_t *row, bool cost)
{
    for (int i = 0; i < 2 && l->name[i]; i++)
        cell_name(t, row, l->name[i]);
    cell_number(t, row, "calls", human_count);
    cell_number(t, row, "prompt_tokens", human_si);
    cell_rate(t, row, "cache_hit_rate");
    cell_number(t, row, "completion_tokens", human_si);
    if (cost)
        cell_cost(t, row);
    cell_number(t, row, "latency_ms_p95", human_ms);
    cell_rate(t, row, "error_rate");
    cell_number(t, row, l->others, human_count);
    cell_time(t, row, "last_ms");
    cell_note(t, row);
}

static void show(const struct listing *l, const json_t *answer)
{
    json_t *rows = json_object_get(answer, l->rows);
    char text[CLI_TEXT];
    bool cost = row_cost(json_object_get(answer, "totals"), text);
    unsigned names = l->name[1] ? 2 : 1;
    struct table t;

    table_init(&t, names + 9 + cost);
    for (unsigned c = 0; c < names; c++)
        table_left(&t, c);
    table_left(&t, t.columns - 1);
    heads_add(l, &t, cost);
    for (size_t i = 0; i < json_array_size(rows); i++)
        row_add(l, &t, json_array_get(rows, i), cost);
    table_print(&t);
    if (json_array_size(rows) == 0)
        printf("no calls from %s to %s\n", row_text(answer, "from", "?"), row_text(answer, "to", "?"));
    if (json_is_true(json_object_get(answer, "truncated")))
        printf("only the first %zu rows are shown (--limit)\n", json_array_size(rows));
}

static int run(const struct listing *l, int argc, char **argv)
{
    bool as_json = false, as_csv = false;
    const struct cli_option options[] = {
        { "from", "from", NULL },
        { "to", "to", NULL },
        { "order", "order", NULL },
        { "limit", "limit", NULL },
        { "json", NULL, &as_json },
        { "csv", NULL, &as_csv },
        { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, l->help);

    if (status >= 0)
        return status;
    if (as_csv || as_json) {
        cli_param_default(&c, "format", as_csv ? "csv" : "json");
        return cli_copy_list(&c, l->path);
    }
    json_t *answer = cli_json(&c, l->path, true, &status);
    if (!answer)
        return status;
    show(l, answer);
    json_decref(answer);
    return CLI_OK;
}

int command_agents(int argc, char **argv)
{
    return run(&agents, argc, argv);
}

int command_models(int argc, char **argv)
{
    return run(&models, argc, argv);
}
