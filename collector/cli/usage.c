/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define BY_MAX 16

static const char help[] =
    "usage: tollgate usage [--by NAMES] [--from TIME] [--to TIME] [--bucket SPAN] [FILTER...]\n"
    "                      [--limit N] [--json | --csv]\n"
    "\n"
    "  --by NAMES      group by: agent, session, root_session, user, model, requested_model, provider,\n"
    "                  surface, channel, trigger, lane, status, error_type, source, granularity\n"
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -7d (default: -24h to now)\n"
    "  --bucket SPAN   a row for each 1m, 5m, 15m, 1h, 1d, ... (UTC)\n"
    "  --agent, --model, ...   only these; several separated by commas; '' for unknown\n"
    "  --json, --csv   for programs\n"
    "\n"
    "  tollgate usage --by agent,model --from -24h\n"
    "  tollgate usage --by status --bucket 1h --from -7d --provider anthropic\n"
    "  tollgate usage --by session --agent researcher --csv > sessions.csv\n";

struct report {
    struct table table;
    json_t *by; /* borrowed: the names of group_by */
    bool bucket, cost;
};

static int64_t number(const json_t *row, const char *name)
{
    return json_integer_value(json_object_get(row, name));
}

static bool known(const json_t *row, const char *name)
{
    return json_is_integer(json_object_get(row, name));
}

/* A column's head: "agent_id" is AGENT. */
static void head_add(struct table *t, const char *name)
{
    char head[CLI_TEXT];
    size_t len = strlen(name);

    len = len > 3 && strcmp(name + len - 3, "_id") == 0 ? len - 3 : len;
    len = len < sizeof head ? len : sizeof head - 1;
    for (size_t i = 0; i < len; i++)
        head[i] = name[i] == '_' ? ' ' : (char)toupper((unsigned char)name[i]);
    head[len] = 0;
    table_add(t, head);
}

static void heads_add(struct report *r)
{
    static const char *const heads[] = { "CALLS", "PROMPT", "CACHED", "COMPLETION" };

    if (r->bucket)
        table_add(&r->table, "FROM");
    for (size_t i = 0; i < json_array_size(r->by); i++)
        head_add(&r->table, json_string_value(json_array_get(r->by, i)));
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        table_add(&r->table, heads[i]);
    if (r->cost)
        table_add(&r->table, "REPORTED COST");
    table_add(&r->table, "AVG LATENCY");
    table_add(&r->table, "ERRORS");
    table_add(&r->table, "");
}

static void si_add(struct table *t, const json_t *row, const char *name)
{
    char text[CLI_TEXT] = "-";

    if (known(row, name))
        human_si(number(row, name), text);
    table_add(t, text);
}

static void average_add(struct table *t, const json_t *row)
{
    int64_t told = number(row, "calls") - number(row, "latency_ms_unknown");
    char text[CLI_TEXT] = "-";

    if (told > 0)
        human_ms(number(row, "latency_ms") / told, text);
    table_add(t, text);
}

/* What the sums do not contain: a number that is missing is not 0. */
static void note_add(struct table *t, const json_t *row)
{
    int64_t calls = number(row, "calls"), untold = number(row, "prompt_tokens_unknown");
    char note[160] = "", count[CLI_TEXT];
    size_t used = 0;

    if (untold > 0) {
        human_count(untold, count);
        used = untold == calls ? (size_t)snprintf(note, sizeof note, "no token counts")
                               : (size_t)snprintf(note, sizeof note, "%s without token counts", count);
    }
    if (number(row, "partial") > 0) {
        human_count(number(row, "partial"), count);
        snprintf(note + used, sizeof note - used, "%s%s partial", used ? ", " : "", count);
    }
    table_add(t, note);
}

static void row_add(struct report *r, const json_t *row, const char *when)
{
    struct table *t = &r->table;
    char text[CLI_TEXT];

    if (r->bucket)
        table_add(t, when);
    for (size_t i = 0; i < json_array_size(r->by); i++) {
        const char *name = json_string_value(json_array_get(r->by, i));
        const char *value = json_string_value(json_object_get(row, name));
        table_add(t, value ? value : "(unknown)");
    }
    human_count(number(row, "calls"), text);
    table_add(t, text);
    si_add(t, row, "prompt_tokens");
    snprintf(text, sizeof text, "-");
    if (known(row, "cached_tokens"))
        human_percent(number(row, "cached_tokens"), number(row, "prompt_tokens"), text);
    table_add(t, text);
    si_add(t, row, "completion_tokens");
    snprintf(text, sizeof text, "-");
    if (known(row, "cost_reported_nanousd"))
        human_usd(number(row, "cost_reported_nanousd"), text);
    if (r->cost)
        table_add(t, text);
    average_add(t, row);
    human_percent(number(row, "errors"), number(row, "calls"), text);
    table_add(t, text);
    note_add(t, row);
}

/* "2026-11-20T08:00:00.000Z" without what a bucket always lacks. */
static void bucket_text(const json_t *row, char out[CLI_TEXT])
{
    const char *from = json_string_value(json_object_get(row, "bucket"));

    snprintf(out, CLI_TEXT, "%.16sZ", from ? from : "");
    if (strlen(out) > 10)
        out[10] = ' ';
}

static void show(const json_t *answer)
{
    json_t *rows = json_object_get(answer, "rows"), *totals = json_object_get(answer, "totals");
    struct report r = { .by = json_object_get(answer, "group_by"),
                        .bucket = json_is_string(json_object_get(answer, "bucket")),
                        .cost = known(totals, "cost_reported_nanousd") };
    unsigned names = (unsigned)json_array_size(r.by) + r.bucket;
    char when[CLI_TEXT] = "";

    table_init(&r.table, names + 7 + r.cost);
    for (unsigned c = 0; c < names; c++)
        table_left(&r.table, c);
    table_left(&r.table, r.table.columns - 1);
    heads_add(&r);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        bucket_text(json_array_get(rows, i), when);
        row_add(&r, json_array_get(rows, i), when);
    }
    table_print(&r.table);
    if (number(totals, "calls") == 0)
        printf("no calls from %s to %s\n", json_string_value(json_object_get(answer, "from")),
               json_string_value(json_object_get(answer, "to")));
    if (json_is_true(json_object_get(answer, "truncated")))
        printf("only the first %zu rows are shown (--limit)\n", json_array_size(rows));
}

int command_usage(int argc, char **argv)
{
    bool as_json = false, as_csv = false;
    const struct cli_option options[] = {
        { "by", "group_by", NULL }, { "from", "from", NULL },
        { "to", "to", NULL },       { "bucket", "bucket", NULL },
        { "limit", "limit", NULL }, { "json", NULL, &as_json },
        { "csv", NULL, &as_csv },   { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    cli_param_default(&c, "format", as_csv ? "csv" : "json");
    if (as_csv || as_json)
        return cli_copy(&c, "/v1/usage");
    json_t *answer = cli_json(&c, "/v1/usage", true, &status);
    if (!answer)
        return status;
    show(answer);
    json_decref(answer);
    return CLI_OK;
}
