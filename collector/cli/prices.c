/* SPDX-License-Identifier: MIT
 *
 * prices: the price list, one row for each entry.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../daemon/config.h"
#include "price.h"
#include "rows.h"

static const char help[] =
    "usage: tollgate prices [MODEL] [--provider NAME] [--config FILE] [--json]\n"
    "\n"
    "The price list: US dollars per million tokens. It is the one in this program, and before it the prices\n"
    "of the configuration file that is named. No collector is asked.\n"
    "\n"
    "  MODEL            only entries whose model has this in its name\n"
    "  --provider NAME  only this provider's\n"
    "  --config FILE    tollgated's configuration, for your own prices\n"
    "  --json           for programs\n"
    "\n"
    "  tollgate prices sonnet --provider anthropic\n"
    "  tollgate prices --config /etc/tollgate/tollgate.yaml gpt-5\n";

/* The section `prices` of a configuration file; NULL: none. False: has been told on stderr. */
static bool own_prices(const char *path, json_t **own)
{
    char error[CONFIG_ERROR_MAX];
    struct config config;

    *own = NULL;
    if (path == NULL)
        return true;
    config_default(&config);
    if (config_read(path, &config, error) != 0) {
        cli_fail("%s", error);
        return false;
    }
    *own = json_incref(config.prices);
    config_fini(&config);
    return true;
}

struct price_list *cli_prices(const struct cli *c, int *status)
{
    const char *path = cli_param(c, "config");
    struct price_list *l = NULL;
    struct fault fault = { 0 };
    json_t *own;

    *status = CLI_FAILED;
    if (!own_prices(path, &own))
        return NULL;
    if (price_list_load(NULL, own, &l, &fault) != 0)
        cli_fail("%s%s%s: \"%s\" where %s was expected", path != NULL ? path : "", path != NULL ? ": " : "",
                 fault.field, fault.value, fault.expected);
    json_decref(own);
    return l;
}

void human_rate_usd(int64_t nanousd, char out[CLI_TEXT])
{
    char text[PRICE_DECIMAL];

    if (nanousd == UNKNOWN) {
        snprintf(out, CLI_TEXT, "-");
        return;
    }
    price_decimal(nanousd, text);
    const char *point = strchr(text, '.');
    snprintf(out, CLI_TEXT, "$%s%s", text, point == NULL ? ".00" : strlen(point) == 2 ? "0" : "");
}

/* ------------------------------------------------------------------- table */

static void add_rate(char *out, size_t size, const char *what, int64_t nanousd)
{
    size_t used = strlen(out);
    char rate[CLI_TEXT];

    if (nanousd == UNKNOWN)
        return;
    human_rate_usd(nanousd, rate);
    snprintf(out + used, size - used, "%s%s %s", used > 0 ? ", " : "", what, rate);
}

static void add_tier(char *out, size_t size, const struct price_tier *tier)
{
    char above[CLI_TEXT], rates[160] = "";
    size_t used = strlen(out);

    human_count(tier->above, above);
    add_rate(rates, sizeof rates, "input", tier->rate[PRICE_INPUT]);
    add_rate(rates, sizeof rates, "cached", tier->rate[PRICE_CACHE_READ]);
    add_rate(rates, sizeof rates, "output", tier->rate[PRICE_OUTPUT]);
    snprintf(out + used, size - used, "%sprompts above %s: %s", used > 0 ? "; " : "", above, rates);
}

/* What has no column of its own. */
static void cell_rest(struct table *t, const struct price *p)
{
    char text[512] = "";

    if (p->free)
        snprintf(text, sizeof text, "free");
    if (p->tiers > 0) {
        add_rate(text, sizeof text, "cache write 1 h", p->tier[0].rate[PRICE_CACHE_WRITE_1H]);
        add_rate(text, sizeof text, "reasoning", p->tier[0].rate[PRICE_REASONING]);
    }
    add_rate(text, sizeof text, "each call", p->request_nanousd);
    for (unsigned i = 1; i < p->tiers; i++)
        add_tier(text, sizeof text, &p->tier[i]);
    table_add(t, text);
}

static void cell_from(struct table *t, const struct price *p)
{
    char text[CLI_TEXT] = "";

    if (p->valid_from_ms != 0) {
        human_time(p->valid_from_ms, text);
        if (strstr(text, " 00:00:00") != NULL)
            text[10] = 0;
    } else if (p->daily_from_ms != UNKNOWN) {
        int from = p->daily_from_ms / 60000, to = p->daily_to_ms / 60000;
        snprintf(text, sizeof text, "%02d:%02d to %02d:%02d UTC", from / 60, from % 60, to / 60, to % 60);
    }
    table_add(t, text);
}

static void row_add(struct table *t, const struct price *p)
{
    static const enum price_kind kinds[] = { PRICE_INPUT, PRICE_CACHE_READ, PRICE_CACHE_WRITE, PRICE_OUTPUT };
    char text[CLI_TEXT];

    table_add(t, p->provider[0] ? p->provider : "*");
    table_add(t, p->model[0] ? p->model : "*");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        human_rate_usd(p->free ? 0 : p->tier[0].rate[kinds[i]], text);
        table_add(t, text);
    }
    cell_from(t, p);
    cell_rest(t, p);
}

static bool is_wanted(const struct cli *c, const struct price *p)
{
    const char *provider = cli_param(c, "provider");

    return (provider == NULL || strcasecmp(provider, p->provider) == 0) &&
           (c->operands == 0 || strcasestr(p->model, c->operand[0]) != NULL);
}

static size_t show(const struct cli *c, const struct price_list *l)
{
    static const char *const heads[] = { "PROVIDER",    "MODEL",  "INPUT", "CACHED",
                                         "CACHE WRITE", "OUTPUT", "FROM",  "" };
    struct table t;
    size_t shown = 0;

    table_init(&t, sizeof heads / sizeof *heads);
    table_left(&t, 0);
    table_left(&t, 1);
    table_left(&t, 6);
    table_left(&t, 7);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        table_add(&t, heads[i]);
    for (size_t i = 0; price_list_at(l, i) != NULL; i++)
        if (is_wanted(c, price_list_at(l, i))) {
            row_add(&t, price_list_at(l, i));
            shown++;
        }
    table_print(&t);
    printf("%zu prices, US dollars per million tokens; %s %s of %s\n", shown, price_list_source(l),
           price_list_version(l), price_list_date(l));
    return shown;
}

/* -------------------------------------------------------------------- JSON */

static size_t show_json(const struct cli *c, const struct price_list *l)
{
    json_t *rows = json_array();
    json_t *all = json_pack("{s:s, s:s, s:s, s:o}", "source", price_list_source(l), "version",
                            price_list_version(l), "date", price_list_date(l), "prices", rows);

    for (size_t i = 0; price_list_at(l, i) != NULL; i++) {
        const struct price *p = price_list_at(l, i);
        if (!is_wanted(c, p))
            continue;
        json_t *row = json_pack("{s:s, s:s, s:s, s:I}", "provider", p->provider, "model", p->model, "source",
                                p->source, "valid_from_ms", (json_int_t)p->valid_from_ms);
        json_t *rates = price_json(p);
        json_object_update(row, rates);
        json_decref(rates);
        json_array_append_new(rows, row);
    }
    size_t shown = json_array_size(rows);
    json_dumpf(all, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(all);
    return shown;
}

int command_prices(int argc, char **argv)
{
    bool as_json = false;
    const struct cli_option options[] = {
        { "provider", "provider", NULL }, { "config", "config", NULL }, { "json", NULL, &as_json }, { 0 }
    };
    struct cli c = { .operands_max = 1 };
    int status = cli_options(&c, argc, argv, options, false, help);
    char near[512];

    if (status >= 0)
        return status;
    struct price_list *l = cli_prices(&c, &status);
    if (l == NULL)
        return status;
    status = (as_json ? show_json(&c, l) : show(&c, l)) > 0 ? CLI_OK : CLI_FAILED;
    if (status != CLI_OK && c.operands > 0) {
        price_near(l, cli_param(&c, "provider"), c.operand[0], near, sizeof near);
        cli_fail("%s: the list has no such model%s%s", c.operand[0], near[0] ? "; near: " : "", near);
    } else if (status != CLI_OK) {
        cli_fail("%s: the list has no such provider", cli_param(&c, "provider"));
    }
    price_list_free(l);
    return status;
}
