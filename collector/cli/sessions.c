/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "rows.h"

static const char help[] =
    "usage: tollgate sessions [--search TEXT] [--from TIME] [--to TIME] [--order ORDER] [FILTER...]\n"
    "                         [--limit N] [--after CURSOR] [--json | --csv]\n"
    "\n"
    "  --search TEXT   only those with TEXT in their id\n"
    "  --from, --to    those that did something then: RFC 3339, Unix milliseconds, -24h, -15m, -7d\n"
    "  --order ORDER   last, first, tokens, calls, errors, cost, cost_reported; -ORDER: downwards\n"
    "                  (default: -last)\n"
    "  --agent, --model, ...   only these: a,b or !a,b (all but these) or abc*; '' for unknown\n"
    "  --tag NAME=VALUE        likewise\n"
    "  --limit N       50 if not given, 1000 at most\n"
    "  --after CURSOR  goes on where the page before ended, which says the cursor\n"
    "  --json, --csv   for programs\n"
    "\n" COST_HELP "\n"
    "  tollgate sessions --from -24h --order=-tokens --limit 10\n"
    "  tollgate sessions --search telegram: --agent researcher\n"
    "  tollgate session s-42\n";

static void heads_add(struct table *t, bool cost)
{
    static const char *const heads[] = { "SESSION", "AGENT",  "MODEL", "LAST",   "DURATION", "CALLS",
                                         "TOKENS",  "CACHED", "COST",  "ERRORS", "MESSAGES", "" };

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        if (cost || strcmp(heads[i], "COST") != 0)
            table_add(t, heads[i]);
    }
}

/* What it is beneath, and what its sums do not contain. */
static void note_add(struct table *t, const json_t *row)
{
    const char *parent = row_text(row, "parent_session_id", NULL);
    char note[320 + CLI_TEXT], unpriced[CLI_TEXT];

    if (!parent) {
        cell_note(t, row);
        return;
    }
    row_unpriced(row, unpriced);
    snprintf(note, sizeof note, "beneath %.300s%s%s", parent, unpriced[0] ? ", " : "", unpriced);
    table_add(t, note);
}

static void row_add(struct table *t, const json_t *row, bool cost)
{
    cell_name(t, row, "session_id");
    cell_name(t, row, "agent_id");
    table_add(t, row_text(row, "model", "-"));
    cell_time(t, row, "last_ms");
    cell_number(t, row, "duration_ms", human_ms);
    cell_number(t, row, "calls", human_count);
    cell_number(t, row, "tokens", human_si);
    cell_rate(t, row, "cache_hit_rate");
    if (cost)
        cell_cost(t, row);
    cell_rate(t, row, "error_rate");
    cell_number(t, row, "messages", human_count);
    note_add(t, row);
}

static void show(const json_t *answer)
{
    json_t *sessions = json_object_get(answer, "sessions");
    bool cost = false;
    char text[CLI_TEXT];
    struct table t;

    for (size_t i = 0; i < json_array_size(sessions); i++)
        cost = row_cost(json_array_get(sessions, i), text) || cost;
    table_init(&t, 11 + cost);
    for (unsigned c = 0; c < 4; c++)
        table_left(&t, c);
    table_left(&t, t.columns - 1);
    heads_add(&t, cost);
    for (size_t i = 0; i < json_array_size(sessions); i++)
        row_add(&t, json_array_get(sessions, i), cost);
    table_print(&t);
    if (json_array_size(sessions) == 0)
        printf("no sessions\n");
    rows_more(answer, "--after");
}

int command_sessions(int argc, char **argv)
{
    bool as_json = false, as_csv = false;
    const struct cli_option options[] = {
        { "search", "search", NULL }, { "from", "from", NULL },   { "to", "to", NULL },
        { "order", "order", NULL },   { "limit", "limit", NULL }, { "after", "after", NULL },
        { "json", NULL, &as_json },   { "csv", NULL, &as_csv },   { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    cli_param_default(&c, "format", as_csv ? "csv" : "json");
    if (as_csv || as_json)
        return cli_copy_list(&c, "/v1/sessions");
    json_t *answer = cli_json(&c, "/v1/sessions", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}
