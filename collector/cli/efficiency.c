/* SPDX-License-Identifier: MIT
 *
 * efficiency: what models make of the money and the time.
 */
#include <string.h>

#include "rows.h"
#include "yield.h"

static const char help[] =
    "usage: tollgate efficiency [--by NAMES] [--from TIME] [--to TIME] [--order NAME] [--compare] "
    "[FILTER...]\n"
    "                           [--limit N] [--json]\n"
    "\n"
    "What each model makes of the money and the time, the dearest first:\n"
    "\n"
    "  $/M TOKENS      cost per million tokens really paid: of calls whose cost and tokens are both known\n"
    "  CACHED          tokens read from the cache, of the prompts of calls that told both\n"
    "  P50, P95        latency: half of the calls, 95 % of them took at most this\n"
    "  TOK/S           tokens of completions a second, of calls that told both\n"
    "  ERRORS          calls that ended in an error or a timeout\n"
    "\n"
    "A - is: not known. Calls that told their tokens and have no price are counted at the end.\n"
    "\n"
    "  --by NAMES      model if not given; agent, provider,model, tag:NAME, ... as in usage\n"
    "  --from, --to    RFC 3339, Unix milliseconds, or relative: -24h, -15m, -7d (default: -24h to now)\n"
    "  --order NAME    -cost_nanousd if not given; calls, error_rate, latency_ms_p95, ... as in usage\n"
    "  --compare       +/- against the equally long time before\n"
    "  --agent, --model, ...   only these: a,b or !a,b (all but these) or abc*; '' for unknown\n"
    "  --tag NAME=VALUE        likewise\n"
    "  --json          for programs (see tollgate(1))\n"
    "\n" COST_HELP "\n"
    "  tollgate efficiency --from -7d\n"
    "  tollgate efficiency --by agent --compare --from -30d\n"
    "  tollgate efficiency --by provider,model --agent researcher --json\n";

/* ------------------------------------------------------------------ showing */

static void heads_add(struct table *t, const json_t *by, bool compare)
{
    static const struct {
        const char *head;
        bool compared;
    } heads[] = { { "CALLS", true },   { "TOKENS", false }, { "COST", true }, { "$/M TOKENS", true },
                  { "CACHED", false }, { "P50", false },    { "P95", true },  { "TOK/S", false },
                  { "ERRORS", false }, { "", false } };

    for (size_t i = 0; i < json_array_size(by); i++)
        cell_head(t, json_string_value(json_array_get(by, i)));
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        table_add(t, heads[i].head);
        if (compare && heads[i].compared)
            table_add(t, "+/-");
    }
}

/* Against what it was before, where both are known. */
static void change_add(struct table *t, const json_t *row, const char *name)
{
    const json_t *before = json_object_get(row, "previous");

    if (json_is_object(before))
        cell_change(t, row_known(row, name) && row_known(before, name), row_number(row, name),
                    row_number(before, name));
}

/* "$3.42", or with a *: of what gateways reported. */
static void rate_add(struct table *t, const json_t *row)
{
    bool reported = strcmp(row_text(row, "paid_as", ""), "reported") == 0;
    char text[CLI_TEXT] = "-", usd[CLI_TEXT];

    if (row_known(row, "nanousd_per_million_tokens")) {
        human_usd(row_number(row, "nanousd_per_million_tokens"), usd);
        snprintf(text, sizeof text, "%.50s%s", usd, reported ? "*" : "");
    }
    table_add(t, text);
}

static void speed_add(struct table *t, const json_t *row)
{
    char text[CLI_TEXT] = "-";

    if (row_known(row, "completion_tokens_per_s"))
        snprintf(text, sizeof text, "%.1f",
                 json_number_value(json_object_get(row, "completion_tokens_per_s")));
    table_add(t, text);
}

/* As in usage, but calls are unpriced only if there was something to be priced, and those that failed or were
 * stopped had no tokens to tell. */
static void note_add(struct table *t, const json_t *row)
{
    json_t *told = json_pack("{s:I, s:I, s:I, s:I}", "calls", (json_int_t)row_number(row, "calls"),
                             "prompt_tokens_unknown", (json_int_t)row_number(row, "untold_calls"),
                             "cost_nanousd_unknown", (json_int_t)row_number(row, "unpriced_calls"), "partial",
                             (json_int_t)row_number(row, "partial"));

    cell_note(t, told);
    json_decref(told);
}

static void row_add(struct table *t, const json_t *by, const json_t *row)
{
    char text[CLI_TEXT] = "-";
    int64_t tokens;

    for (size_t i = 0; i < json_array_size(by); i++)
        cell_name(t, row, json_string_value(json_array_get(by, i)));
    cell_number(t, row, "calls", human_count);
    change_add(t, row, "calls");
    if (row_tokens(row, &tokens))
        human_si(tokens, text);
    table_add(t, text);
    cell_cost(t, row);
    change_add(t, row, "cost_nanousd");
    rate_add(t, row);
    change_add(t, row, "nanousd_per_million_tokens");
    cell_rate(t, row, "cache_hit_rate");
    cell_number(t, row, "latency_ms_p50", human_ms);
    cell_number(t, row, "latency_ms_p95", human_ms);
    change_add(t, row, "latency_ms_p95");
    speed_add(t, row);
    cell_rate(t, row, "error_rate");
    note_add(t, row);
}

static void show(const json_t *answer, bool compare)
{
    const json_t *by = json_object_get(answer, "group_by"), *rows = json_object_get(answer, "rows");
    unsigned names = (unsigned)json_array_size(by);
    struct table t;

    table_init(&t, names + 10 + (compare ? 4 : 0));
    for (unsigned i = 0; i < names; i++)
        table_left(&t, i);
    table_left(&t, t.columns - 1);
    heads_add(&t, by, compare);
    for (size_t i = 0; i < json_array_size(rows); i++)
        row_add(&t, by, json_array_get(rows, i));
    table_print(&t);
    usage_foot(answer, compare);
    if (json_is_true(json_object_get(answer, "parts_truncated")))
        puts("$/M TOKENS, CACHED and TOK/S are of the " YIELD_PARTS " most used combinations only");
}

int command_efficiency(int argc, char **argv)
{
    bool as_json = false, compare = false;
    const struct cli_option options[] = {
        { "by", "group_by", NULL }, { "from", "from", NULL },
        { "to", "to", NULL },       { "order", "order", NULL },
        { "limit", "limit", NULL }, { "compare", NULL, &compare },
        { "json", NULL, &as_json }, { 0 },
    };
    struct cli c = { 0 };
    int status = cli_options(&c, argc, argv, options, true, help);

    if (status >= 0)
        return status;
    cli_param_default(&c, "group_by", "model");
    cli_param_default(&c, "order", "-cost_nanousd");
    if (compare)
        cli_param_default(&c, "compare", "previous");
    json_t *answer = cli_json(&c, "/v1/usage", true, &status);
    if (!answer)
        return status;
    status = yield_add(&c, answer, false);
    if (status == CLI_OK && compare)
        status = yield_add(&c, answer, true);
    if (status == CLI_OK && as_json) {
        json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII); /* names are anybody's */
        putchar('\n');
    } else if (status == CLI_OK) {
        show(answer, compare);
    }
    json_decref(answer);
    return status;
}
