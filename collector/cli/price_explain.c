/* SPDX-License-Identifier: MIT
 *
 * price explain: what one call costs, line by line, and why.
 */
#include <inttypes.h>
#include <string.h>

#include "../base/clock.h"
#include "../query/when.h"
#include "price.h"
#include "rows.h"

static const char help[] =
    "usage: tollgate price explain MODEL --prompt N --completion N [--cached N] [--cache-write N]\n"
    "                      [--cache-write-1h N] [--reasoning N] [--provider NAME] [--at TIME]\n"
    "                      [--config FILE] [--json]\n"
    "\n"
    "What one call costs: the entry of the price list that prices it and why, each line of the sum, and the\n"
    "total, rounded once. Exit status 1 if the model has no price. No collector is asked.\n"
    "\n"
    "  --prompt N       tokens of the prompt, cached and cache-write tokens included\n"
    "  --cached N       of them, read from the cache; --cache-write N: written to it, all lifetimes;\n"
    "                   --cache-write-1h N: of these, kept for an hour\n"
    "  --completion N   tokens of the completion, reasoning included; --reasoning N: of them, reasoning\n"
    "  --provider NAME  as events tell it; without one, the model's name decides\n"
    "  --at TIME        when the call was made (default: now)\n"
    "  --config FILE    tollgated's configuration, for your own prices\n"
    "\n"
    "  tollgate price explain claude-sonnet-4-5 --prompt 250000 --cached 200000 --completion 1200\n"
    "  tollgate price explain openrouter/openai/gpt-5 --prompt 1000 --completion 10 --at 2026-06-01\n";

static struct slice text(const char *s)
{
    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

/* False: has been told on stderr. */
static bool read_usage(const struct cli *c, struct price_usage *u)
{
    const struct {
        const char *name;
        int64_t *to;
    } counts[] = {
        { "prompt", &u->prompt_tokens },
        { "completion", &u->completion_tokens },
        { "cached", &u->cached_tokens },
        { "cache-write", &u->cache_write_tokens },
        { "cache-write-1h", &u->cache_write_1h_tokens },
        { "reasoning", &u->reasoning_tokens },
    };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        *counts[i].to = UNKNOWN;
        if (cli_number(c, counts[i].name, INT64_MAX, counts[i].to) != 0)
            return false;
    }
    return true;
}

/* One sentence. */
static void why(const struct price_found *f, const char *provider, char *out, size_t size)
{
    switch (f->way) {
    case PRICE_BY_OPERATOR:
        snprintf(out, size, "one of your own prices, which stand first");
        return;
    case PRICE_BY_PROVIDER:
        snprintf(out, size, "the provider \"%s\" is %s, and \"%s\" fits the entry", provider, f->provider,
                 f->model.text);
        break;
    case PRICE_BY_PREFIX:
        snprintf(out, size, "the model's prefix names %s, and \"%s\" fits the entry", f->provider,
                 f->model.text);
        break;
    default:
        snprintf(out, size, "models so called are %s's, and \"%s\" fits the entry", f->provider,
                 f->model.text);
    }
    if (f->price != NULL && strcmp(f->provider, f->price->provider) != 0) {
        size_t used = strlen(out);
        snprintf(out + used, size - used, " of %s, whose models it has too", f->price->provider);
    }
}

/* ------------------------------------------------------------------ no price */

static int tell_none(const struct cli *c, const struct price_list *l, const struct price_found *f)
{
    const char *provider = cli_param(c, "provider"), *model = c->operand[0];
    char near[512], reason[256];

    if (f->entry != NULL)
        snprintf(reason, sizeof reason, "%s %s has the model, as %s, and does not know its price",
                 price_list_source(l), price_list_version(l), f->entry);
    else if (f->provider != NULL)
        snprintf(reason, sizeof reason, "%s %s knows no such model of %s", price_list_source(l),
                 price_list_version(l), f->provider);
    else if (provider != NULL)
        snprintf(reason, sizeof reason, "%s %s knows no provider \"%.100s\"", price_list_source(l),
                 price_list_version(l), provider);
    else
        snprintf(reason, sizeof reason, "%s %s knows no provider of it (--provider names one)",
                 price_list_source(l), price_list_version(l));
    price_near(l, f->provider, model, near, sizeof near);
    if (near[0] == 0)
        price_near(l, NULL, model, near, sizeof near);
    return cli_fail("%s: no price: %s%s%s", model, reason, near[0] ? "; near: " : "", near);
}

/* ------------------------------------------------------------------- showing */

static void cell_usd(struct table *t, femtousd amount)
{
    char decimal[PRICE_DECIMAL], text_out[CLI_TEXT];

    price_decimal_femto(amount, decimal);
    snprintf(text_out, sizeof text_out, "$%s", decimal);
    table_add(t, text_out);
}

static void line_add(struct table *t, const struct price_line *line)
{
    static const char *const names[PRICE_KINDS] = {
        [PRICE_INPUT] = "input",
        [PRICE_CACHE_READ] = "cached",
        [PRICE_CACHE_WRITE] = "cache write",
        [PRICE_CACHE_WRITE_1H] = "cache write, 1 h",
        [PRICE_OUTPUT] = "output",
        [PRICE_REASONING] = "reasoning",
        [PRICE_REQUEST] = "the call itself",
    };
    char cell[CLI_TEXT];

    table_add(t, names[line->kind]);
    human_count(line->tokens, cell);
    table_add(t, line->kind == PRICE_REQUEST ? "" : cell);
    human_rate_usd(line->rate_nanousd, cell);
    table_add(t, cell);
    cell_usd(t, line->amount);
    snprintf(cell, sizeof cell, "at the rate of %s", names[line->rate_of]);
    table_add(t, line->rate_of != line->kind ? cell : "");
}

static void show_head(const struct price *p, const struct price_bill *bill, const char *reason)
{
    char when[CLI_TEXT] = "";

    human_text(stdout, p->model[0] ? p->model : "*");
    printf(" of ");
    human_text(stdout, p->provider[0] ? p->provider : "*");
    printf(", %s", p->source);
    if (p->valid_from_ms != 0) {
        human_time(p->valid_from_ms, when);
        printf(", from %s UTC on", when);
    }
    printf("\nbecause ");
    human_text(stdout, reason);
    putchar('\n');
    if (bill->tier_above != UNKNOWN) {
        human_count(bill->tier_above, when);
        printf("in the tier of prompts above %s tokens\n", when);
    }
    putchar('\n');
}

static void show(const struct price *p, const struct price_bill *bill, const char *reason)
{
    char decimal[PRICE_DECIMAL];
    struct table t;

    show_head(p, bill, reason);
    table_init(&t, 5);
    table_left(&t, 0);
    table_left(&t, 4);
    table_add(&t, "KIND");
    table_add(&t, "TOKENS");
    table_add(&t, "PER MILLION");
    table_add(&t, "AMOUNT");
    table_add(&t, "");
    for (unsigned i = 0; i < bill->lines; i++)
        line_add(&t, &bill->line[i]);
    table_add(&t, "total");
    table_add(&t, "");
    table_add(&t, "");
    cell_usd(&t, bill->total);
    table_add(&t, p->free ? "free" : "");
    table_print(&t);
    price_decimal(bill->rounded.n, decimal);
    printf("\ncost: $%s%s\n", decimal,
           bill->total % 1000000 != 0 ? " (rounded once, to a billionth of a dollar)" : "");
}

static json_t *line_json(const struct price_line *line)
{
    char rate[PRICE_DECIMAL], amount[PRICE_DECIMAL];

    price_decimal(line->rate_nanousd, rate);
    price_decimal_femto(line->amount, amount);
    return json_pack("{s:s, s:s, s:I, s:s, s:s}", "kind", price_kind_name(line->kind), "rate_of",
                     price_kind_name(line->rate_of), "tokens", (json_int_t)line->tokens, "rate_usd", rate,
                     "amount_usd", amount);
}

static void show_json(const struct price *p, const struct price_bill *bill, const char *reason)
{
    char total[PRICE_DECIMAL];
    json_t *lines = json_array();

    for (unsigned i = 0; i < bill->lines; i++)
        json_array_append_new(lines, line_json(&bill->line[i]));
    price_decimal_femto(bill->total, total);
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:I, s:o, s:s, s:o, s:o, s:s, s:I}", "provider", p->provider, "model", p->model,
        "source", p->source, "valid_from_ms", (json_int_t)p->valid_from_ms, "rates", price_json(p), "because",
        reason, "tier_above", bill->tier_above != UNKNOWN ? json_integer(bill->tier_above) : json_null(),
        "lines", lines, "total_usd", total, "cost_nanousd", (json_int_t)bill->rounded.n);
    json_dumpf(all, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(all);
}

static int explain(const struct cli *c, const struct price_list *l, int64_t at_ms, bool as_json)
{
    const char *provider = cli_param(c, "provider");
    struct price_found found;
    struct price_usage usage;
    struct price_bill bill;
    char reason[768];

    if (!read_usage(c, &usage))
        return CLI_USAGE;
    price_list_search(l, text(provider), text(c->operand[0]), at_ms, &found);
    if (found.price == NULL)
        return tell_none(c, l, &found);
    if (!price_explain(found.price, &usage, &bill))
        return cli_fail("%s: unknown: its cost needs --prompt and --completion", c->operand[0]);
    why(&found, provider, reason, sizeof reason);
    if (as_json)
        show_json(found.price, &bill, reason);
    else
        show(found.price, &bill, reason);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "prompt", "prompt", NULL },
        { "completion", "completion", NULL },
        { "cached", "cached", NULL },
        { "cache-write", "cache-write", NULL },
        { "cache-write-1h", "cache-write-1h", NULL },
        { "reasoning", "reasoning", NULL },
        { "provider", "provider", NULL },
        { "at", "at", NULL },
        { "config", "config", NULL },
        { "json", NULL, &as_json },
        { 0 },
    };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    int status = cli_options(&c, argc, argv, options, false, help);
    int64_t at_ms = wall_ms();

    if (status >= 0)
        return status;
    if (cli_param(&c, "at") != NULL && when_parse(cli_param(&c, "at"), at_ms, &at_ms) != 0) {
        cli_fail("--at: \"%s\" where %s was expected", cli_param(&c, "at"), WHEN_EXPECTED);
        return CLI_USAGE;
    }
    struct price_list *l = cli_prices(&c, &status);
    if (l == NULL)
        return status;
    status = explain(&c, l, at_ms, as_json);
    price_list_free(l);
    return status;
}

int command_price(int argc, char **argv)
{
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if (argc < 2 || strcmp(argv[1], "explain") != 0) {
        cli_fail("price: %s where explain was expected (see --help)", argc < 2 ? "nothing" : argv[1]);
        return CLI_USAGE;
    }
    return run(argc - 1, argv + 1);
}
