/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "../base/zone.h"
#include "rows.h"

#define DAY_MS 86400000

static const char help[] =
    "usage: tollgate usage [--by NAMES] [--from TIME] [--to TIME] [--bucket SPAN] [--tz ZONE]\n"
    "                      [--order NAME] [--top N] [--compare] [FILTER...] [--limit N]\n"
    "                      [--json | --csv]\n"
    "\n"
    "  --by NAMES      group by: agent, session, root_session, user, model, requested_model, provider,\n"
    "                  surface, channel, trigger, lane, status, error_type, source, granularity,\n"
    "                  tag:NAME; several separated by commas\n"
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -7d (default: -24h to now)\n"
    "  --bucket SPAN   a row for each 1m, 5m, 15m, 1h, 1d, ... or each hour, day, week, month\n"
    "  --tz ZONE       whose days they are: Europe/Berlin, ... (default: the collector's)\n"
    "  --order NAME    calls, errors, prompt_tokens, latency_ms_p95, ...; -NAME: downwards\n"
    "  --top N         the first N of each bucket; all others are one row, (other)\n"
    "  --compare       +/- against the equally long time before\n"
    "  --agent, --model, ...   only these: a,b or !a,b (all but these) or abc*; '' for unknown\n"
    "  --tag NAME=VALUE        likewise\n"
    "  --json, --csv   for programs\n"
    "\n" COST_HELP "\n"
    "  tollgate usage --by agent,model --from -24h\n"
    "  tollgate usage --by model --top 5 --order=-completion_tokens --compare --from -7d\n"
    "  tollgate usage --by status --bucket day --tz Europe/Berlin --from -7d --provider anthropic\n"
    "  tollgate usage --by session --agent researcher --csv > sessions.csv\n";

struct report {
    struct table table;
    json_t *by;        /* borrowed: the names of group_by */
    const char *every; /* borrowed: the bucket; NULL: none */
    struct zone *zone; /* owned: whose time the buckets have; NULL: UTC */
    bool cost, compare;
};

/* The columns of sums, each of which can be compared. */
static const struct sum_column {
    const char *name, *head;
    human_fn human;
} sums[] = {
    { "calls", "CALLS", human_count },
    { "prompt_tokens", "PROMPT", human_si },
    { "completion_tokens", "COMPLETION", human_si },
    { "cost_nanousd", "COST", human_usd },
};
enum { SUM_CALLS, SUM_PROMPT, SUM_COMPLETION, SUM_COST };

static void sum_head(struct report *r, int sum)
{
    table_add(&r->table, sums[sum].head);
    if (r->compare)
        table_add(&r->table, "+/-");
}

/* What is not known is no 0: it can be compared only where there were no calls that could have told. */
static bool comparable(const json_t *row, const char *name)
{
    return row_known(row, name) || row_number(row, "calls") == 0;
}

static void sum_cell(struct report *r, const json_t *row, int sum)
{
    const json_t *before = json_object_get(row, "previous");
    const char *name = sums[sum].name;

    if (sum != SUM_COST)
        cell_number(&r->table, row, name, sums[sum].human);
    else
        cell_cost(&r->table, row);
    if (sum == SUM_COST && !row_known(row, name) && !row_known(before, name))
        name = "cost_reported_nanousd";
    if (r->compare)
        cell_change(&r->table, comparable(row, name) && comparable(before, name), row_number(row, name),
                    row_number(before, name));
}

static void heads_add(struct report *r)
{
    char from[CLI_TEXT + ZONE_NAME_MAX];

    snprintf(from, sizeof from, r->zone ? "FROM (%s)" : "FROM", r->zone ? zone_name(r->zone) : "");
    if (r->every)
        table_add(&r->table, from);
    for (size_t i = 0; i < json_array_size(r->by); i++)
        cell_head(&r->table, json_string_value(json_array_get(r->by, i)));
    sum_head(r, SUM_CALLS);
    sum_head(r, SUM_PROMPT);
    table_add(&r->table, "CACHED");
    sum_head(r, SUM_COMPLETION);
    if (r->cost)
        sum_head(r, SUM_COST);
    table_add(&r->table, "P95 LATENCY");
    table_add(&r->table, "ERRORS");
    table_add(&r->table, "");
}

/* Days, weeks and months, for which a date is enough if they begin at midnight. */
static bool is_days(const char *every)
{
    char last = every[strlen(every) - 1];

    return strcmp(every, "day") == 0 || strcmp(every, "week") == 0 || strcmp(every, "month") == 0 ||
           (every[0] >= '0' && every[0] <= '9' && (last == 'd' || last == 'w'));
}

static void bucket_add(struct report *r, const json_t *row)
{
    int64_t ms = row_number(row, "bucket_ms");
    int64_t local = ms + (r->zone ? zone_offset(r->zone, ms) * 1000LL : 0);
    char text[CLI_TEXT];

    human_time(local, text);
    if (is_days(r->every) && local % DAY_MS == 0)
        text[10] = 0;
    else
        snprintf(text + 16, 2, "%s", r->zone ? "" : "Z");
    table_add(&r->table, text);
}

static void names_add(struct report *r, const json_t *row)
{
    bool other = json_is_true(json_object_get(row, "other"));

    for (size_t i = 0; i < json_array_size(r->by); i++) {
        if (other)
            table_add(&r->table, i == 0 ? "(other)" : "");
        else
            cell_name(&r->table, row, json_string_value(json_array_get(r->by, i)));
    }
}

static void row_add(struct report *r, const json_t *row)
{
    if (r->every)
        bucket_add(r, row);
    names_add(r, row);
    sum_cell(r, row, SUM_CALLS);
    sum_cell(r, row, SUM_PROMPT);
    cell_rate(&r->table, row, "cache_hit_rate");
    sum_cell(r, row, SUM_COMPLETION);
    if (r->cost)
        sum_cell(r, row, SUM_COST);
    cell_number(&r->table, row, "latency_ms_p95", human_ms);
    cell_rate(&r->table, row, "error_rate");
    cell_note(&r->table, row);
}

static void report_init(struct report *r, const json_t *answer)
{
    json_t *totals = json_object_get(answer, "totals"), *before = json_object_get(totals, "previous");
    const char *tz = row_text(answer, "tz", "UTC");
    char cost[CLI_TEXT];

    *r = (struct report){ .by = json_object_get(answer, "group_by"),
                          .every = json_string_value(json_object_get(answer, "bucket")),
                          .zone = strcmp(tz, "UTC") != 0 ? zone_open(tz) : NULL,
                          .cost = row_cost(totals, cost) || row_cost(before, cost),
                          .compare = json_is_object(before) };
    unsigned names = (unsigned)json_array_size(r->by) + (r->every != NULL);
    table_init(&r->table, names + 7 + r->cost + (r->compare ? 3u + r->cost : 0));
    for (unsigned c = 0; c < names; c++)
        table_left(&r->table, c);
    table_left(&r->table, r->table.columns - 1);
}

static void show(const json_t *answer)
{
    json_t *rows = json_object_get(answer, "rows");
    struct report r;

    report_init(&r, answer);
    heads_add(&r);
    for (size_t i = 0; i < json_array_size(rows); i++)
        row_add(&r, json_array_get(rows, i));
    table_print(&r.table);
    usage_foot(answer, r.compare);
    zone_close(r.zone);
}

int command_usage(int argc, char **argv)
{
    bool as_json = false, as_csv = false, compare = false;
    const struct cli_option options[] = {
        { "by", "group_by", NULL },   { "from", "from", NULL },   { "to", "to", NULL },
        { "bucket", "bucket", NULL }, { "tz", "tz", NULL },       { "order", "order", NULL },
        { "top", "top", NULL },       { "limit", "limit", NULL }, { "compare", NULL, &compare },
        { "json", NULL, &as_json },   { "csv", NULL, &as_csv },   { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    if (compare)
        cli_param_default(&c, "compare", "previous");
    cli_param_default(&c, "format", as_csv ? "csv" : "json");
    if (as_csv || as_json)
        return cli_copy_list(&c, "/v1/usage");
    json_t *answer = cli_json(&c, "/v1/usage", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}
