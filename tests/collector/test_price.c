/* SPDX-License-Identifier: MIT
 *
 * Prices: matching, dates, tiers, exact sums. Mostly with a list made for it; the one in the binary where
 * what it says is the point.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/govern/price_list.h"

#define DAY INT64_C(86400000)

static const char made[] =
    "{'source':'made','version':'1','date':'2026-01-01','providers':["
    "{'id':'acme','match':{'contains':'acme'},'model_match':{'starts_with':'ac-'},'fallback':['other'],'"
    "models':["
    " {'id':'ac-1','match':{'or':[{'equals':'AC-1'},{'regex':'^ac-1-\\\\d{4}-\\\\d{2}-\\\\d{2}$'}]},'context'"
    ":1000,"
    "  'prices':[{'input':'3','cache_read':'0.3','cache_write':'3.75','cache_write_1h':'6','output':'15',"
    "   'tiers':[{'above':200,'input':'6','output':'22.5'}]}]},"
    " {'id':'ac-dated','match':{'equals':'ac-dated'},'prices':[{'input':'1','output':'1'},"
    "  {'from':'2026-03-01','input':'2','output':'2'},{'from':'2026-05-01','input':'3','output':'3'}]},"
    " {'id':'ac-daily','match':{'equals':'ac-daily'},'prices':[{'input':'1','output':'1'},"
    "  {'daily':['22:00:00Z','04:00:00Z'],'input':'2','output':'2'}]},"
    " {'id':'ac-bare','match':{'equals':'ac-bare'},'prices':[{'input':'2','output':'8'}]},"
    " {'id':'ac-embed','match':{'equals':'ac-embed'},'prices':[{'input':'0.02'}]},"
    " {'id':'ac-call','match':{'equals':'ac-call'},'prices':[{'input':'1','output':'1','reasoning':'3',"
    "  'request':'0.012'}]},"
    " {'id':'ac-nobody-knows','match':{'starts_with':'ac-nobody'},'prices':[]},"
    " {'id':'ac-gift','match':{'equals':'ac-gift'},'prices':[{'free':true}]}]},"
    "{'id':'other','models':[{'id':'ot-1','match':{'and':[{'starts_with':'ot'},{'ends_with':'1'}]},"
    "  'prices':[{'input':'7','output':'7'}]}]},"
    "{'id':'router','models':[{'id':'acme/ac-1','match':{'equals':'acme/ac-1'},"
    "  'prices':[{'input':'4','output':'4'}]},{'id':'ac-routed','match':{'equals':'ac-routed'},"
    "  'prices':[{'input':'5','output':'5'}]}]}"
    "]}";

/* JSON with ' for ". Static. */
static const char *quoted(const char *text)
{
    static char out[16384];

    snprintf(out, sizeof out, "%s", text);
    for (char *at = out; *at != 0; at++)
        if (*at == '\'')
            *at = '"';
    return out;
}

static json_t *json(const char *text)
{
    json_t *value = json_loads(quoted(text), JSON_DECODE_ANY, NULL);

    assert_non_null(value);
    return value;
}

static struct price_list *list(const char *overrides)
{
    json_t *own = overrides != NULL ? json(overrides) : NULL;
    struct price_list *l = NULL;
    struct fault fault;

    if (price_list_load(quoted(made), own, &l, &fault) != 0)
        fail_msg("%s: \"%s\" where %s was expected", fault.field, fault.value, fault.expected);
    json_decref(own);
    return l;
}

static struct slice text(const char *s)
{
    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

static const struct price *find(const struct price_list *l, const char *provider, const char *model)
{
    return price_list_find(l, text(provider), text(model), 20000 * DAY);
}

static int64_t cost(const struct price *p, struct price_usage u)
{
    struct nanousd out = { UNKNOWN };

    assert_non_null(p);
    return price_cost(p, &u, &out) ? out.n : UNKNOWN;
}

#define USAGE(p, c) ((struct price_usage){ (p), (c), UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN })

/* ------------------------------------------------------------------- sums */

static void each_token_is_billed_once(void **state)
{
    struct price_list *l = list(NULL);
    const struct price *p = find(l, "acme", "ac-1");
    static const struct {
        struct price_usage u;
        int64_t nanousd;
    } table[] = {
        { { 100, 10, 0, 0, 0, 0 }, 100 * 3000 + 10 * 15000 },
        { { 100, 10, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN }, 100 * 3000 + 10 * 15000 },
        { { 100, 10, 60, 0, 0, 0 }, 40 * 3000 + 60 * 300 + 10 * 15000 },
        { { 100, 10, 60, 30, 0, 0 }, 10 * 3000 + 60 * 300 + 30 * 3750 + 10 * 15000 },
        { { 100, 10, 60, 30, 20, 4 }, 10 * 3000 + 60 * 300 + 10 * 3750 + 20 * 6000 + 10 * 15000 },
        /* contradictions: never more tokens than were told as the whole */
        { { 100, 10, 150, 30, 20, 40 }, 100 * 300 + 10 * 15000 },
        { { 100, 10, 60, 70, 90, 0 }, 60 * 300 + 40 * 6000 + 10 * 15000 },
        { { 100, 10, UNKNOWN, UNKNOWN, 20, 0 }, 80 * 3000 + 20 * 6000 + 10 * 15000 },
        { { 0, 0, 0, 0, 0, 0 }, 0 },
        /* unknown is not zero */
        { { UNKNOWN, 10, 0, 0, 0, 0 }, UNKNOWN },
        { { 100, UNKNOWN, 0, 0, 0, 0 }, UNKNOWN },
        { { UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN }, UNKNOWN },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (cost(p, table[i].u) != table[i].nanousd)
            fail_msg("row %zu: %lld where %lld was expected", i, (long long)cost(p, table[i].u),
                     (long long)table[i].nanousd);
    price_list_free(l);
}

static void kinds_without_a_rate(void **state)
{
    struct price_list *l = list(NULL);

    (void)state;
    struct price_usage u = { 100, 10, 60, 30, 20, 4 };
    assert_int_equal(cost(find(l, "acme", "ac-bare"), u), 100 * 2000 + 10 * 8000);
    assert_int_equal(cost(find(l, "acme", "ac-call"), u), 12000000 + 100 * 1000 + 6 * 1000 + 4 * 3000);
    /* What is not charged for need not be known. */
    assert_int_equal(cost(find(l, "acme", "ac-embed"), USAGE(1000, UNKNOWN)), 20000);
    assert_int_equal(cost(find(l, "acme", "ac-embed"), USAGE(UNKNOWN, 5)), UNKNOWN);
    assert_int_equal(cost(find(l, "acme", "ac-gift"), USAGE(UNKNOWN, UNKNOWN)), 0);
    price_list_free(l);
}

static void tiers_hold_for_the_whole_call(void **state)
{
    struct price_list *l =
        list("[{'match':{'model':'steps'},'input':1,'output':2,'cache_read':'0.1','tiers':["
             "{'above':0,'input':2},{'above':10,'input':3,'output':4},{'above':11,'input':1}]}]");
    const struct price *p = find(l, "acme", "ac-1"), *s = find(l, NULL, "steps");

    (void)state;
    assert_int_equal(cost(p, USAGE(199, 10)), 199 * 3000 + 10 * 15000);
    assert_int_equal(cost(p, USAGE(200, 10)), 200 * 3000 + 10 * 15000);
    assert_int_equal(cost(p, USAGE(201, 10)), 201 * 6000 + 10 * 22500);
    /* Cached tokens count towards the threshold; a rate that the tier does not have stays. */
    assert_int_equal(cost(p, ((struct price_usage){ 201, 10, 200, 0, 0, 0 })), 6000 + 200 * 300 + 10 * 22500);
    assert_int_equal(cost(p, ((struct price_usage){ 200, 10, 199, 0, 0, 0 })), 3000 + 199 * 300 + 10 * 15000);
    assert_int_equal(cost(s, USAGE(0, 1)), 2000);
    assert_int_equal(cost(s, USAGE(1, 1)), 2000 + 2000);
    assert_int_equal(cost(s, USAGE(10, 1)), 20000 + 2000);
    assert_int_equal(cost(s, USAGE(11, 1)), 33000 + 4000);
    assert_int_equal(cost(s, USAGE(12, 1)), 12000 + 4000);
    price_list_free(l);
}

static void rounded_once_half_up(void **state)
{
    struct price_list *l = list("[{'match':{'model':'tiny'},'input':'0.0000005','output':'0.0000004',"
                                "'cache_read':'0.000000001'},"
                                "{'match':{'model':'dear'},'input':1000000,'output':1000000}]");
    const struct price *tiny = find(l, NULL, "tiny"), *dear = find(l, NULL, "dear");

    (void)state;
    assert_int_equal(cost(tiny, USAGE(999, 0)), 0);   /* 499,500 femto-dollars */
    assert_int_equal(cost(tiny, USAGE(1000, 0)), 1);  /* half a nano-dollar */
    assert_int_equal(cost(tiny, USAGE(600, 500)), 1); /* 0.3 and 0.2: rounded apart they were none */
    assert_int_equal(cost(tiny, ((struct price_usage){ 1499, 0, 500, 0, 0, 0 })), 1);
    assert_int_equal(cost(tiny, ((struct price_usage){ 1498, 0, 500, 0, 0, 0 })), 0);
    /* Sums of more than 64 bits, and the most there is. */
    assert_int_equal(cost(dear, USAGE(1000000000, 1)), 1000000001 * NANOUSD_PER_USD);
    assert_int_equal(cost(dear, USAGE(INT64_MAX, INT64_MAX)), NANOUSD_MAX);
    price_list_free(l);
}

static void the_bill_adds_up(void **state)
{
    struct price_list *l = list(NULL);
    struct price_usage u = { 301, 7, 60, 30, 20, 4 };
    struct price_bill bill;
    char amount[PRICE_DECIMAL];
    femtousd sum = 0;

    (void)state;
    assert_true(price_explain(find(l, "acme", "ac-1"), &u, &bill));
    for (unsigned i = 0; i < bill.lines; i++)
        sum += bill.line[i].amount;
    assert_true(sum == bill.total);
    assert_int_equal(bill.lines, 6);
    assert_int_equal(bill.tier_above, 200);
    assert_int_equal(bill.line[5].kind, PRICE_REASONING);
    assert_int_equal(bill.line[5].rate_of, PRICE_OUTPUT);
    assert_int_equal(bill.line[5].tokens, 4);
    assert_int_equal(bill.rounded.n, cost(find(l, "acme", "ac-1"), u));
    price_decimal_femto(bill.line[1].amount, amount);
    assert_string_equal(amount, "0.000018");
    u.prompt_tokens = UNKNOWN;
    assert_false(price_explain(find(l, "acme", "ac-1"), &u, &bill));
    price_list_free(l);
}

/* No call with at most so many tokens may cost more, however they are made up. */
static void the_worst_case_is_a_bound(void **state)
{
    struct price_list *l = NULL;
    struct fault fault;
    unsigned seen = 0;

    (void)state;
    assert_int_equal(price_list_load(NULL, NULL, &l, &fault), 0);
    srand(7);
    for (size_t i = 0; price_list_at(l, i) != NULL; i++, seen++) {
        const struct price *p = price_list_at(l, i);
        for (int k = 0; k < 20; k++) {
            int64_t prompt = rand() % 500000, completion = rand() % 100000;
            struct price_usage u = { rand() % (prompt + 1), rand() % (completion + 1),
                                     rand() % (prompt + 1), rand() % (prompt + 1),
                                     rand() % (prompt + 1), rand() % (completion + 1) };
            assert_true(cost(p, u) <= price_worst(p, prompt, completion).n);
        }
    }
    assert_true(seen > 1500);
    assert_int_equal(price_worst(find(l, "anthropic", "claude-sonnet-4-5"), 1000000, 0).n,
                     12 * NANOUSD_PER_USD);
    price_list_free(l);
}

/* --------------------------------------------------------------- matching */

static void names_and_prefixes(void **state)
{
    static const struct {
        const char *provider, *model, *entry; /* entry NULL: no price */
        int64_t input;                        /* its rate in dollars */
    } table[] = {
        { "acme", "ac-1", "ac-1", 3 },
        { "ACME ", " Ac-1", "ac-1", 3 },
        { "my-acme-eu", "ac-1", "ac-1", 3 },
        { "acme", "ac-1-2026-01-31", "ac-1", 3 },
        { "acme", "ac-1-20260131", "ac-1", 3 }, /* the date is spelt out */
        { "acme", "ac-1-20260231", NULL, 0 },   /* no such day */
        { "acme", "ac-1-2026-01-31x", NULL, 0 },
        { "acme", "models/ac-1", "ac-1", 3 },
        { "acme", "acme/ac-1", "ac-1", 3 },
        { "acme", "router/acme/ac-1", "ac-1", 3 }, /* the provider is known: its own price */
        { "acme", "ot-1", "ot-1", 7 },             /* it has the other's models too */
        { "other", "ac-1", NULL, 0 },
        { "router", "acme/ac-1", "acme/ac-1", 4 },
        { "router", "acme/ac-routed", "ac-routed", 5 },
        { "router", "router/acme/ac-1", "acme/ac-1", 4 },
        { "nobody", "ac-1", NULL, 0 },      /* a provider that the list does not know */
        { "nobody", "acme/ac-1", NULL, 0 }, /* may be a machine of one's own */
        { NULL, "ac-1", "ac-1", 3 },
        { "", "ac-1", "ac-1", 3 },
        { NULL, "models/ac-1", "ac-1", 3 },
        { NULL, "ot-1", NULL, 0 }, /* no provider claims it */
        { NULL, "other/ot-1", "ot-1", 7 },
        { NULL, "acme/ac-1", "ac-1", 3 },
        { NULL, "router/acme/ac-1", "acme/ac-1", 4 },
        { NULL, "nobody/ac-1", NULL, 0 },
        { "litellm", "router/acme/ac-1", "acme/ac-1", 4 },
        { "litellm", "ac-1", "ac-1", 3 },
        { "acme", "ac-nobody-knows-it", NULL, 0 },
        { "acme", NULL, NULL, 0 },
        { "acme", "", NULL, 0 },
        { NULL, NULL, NULL, 0 },
        { NULL, "/", NULL, 0 },
        { NULL, "acme/", NULL, 0 },
    };
    struct price_list *l = list(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct price *p = find(l, table[i].provider, table[i].model);
        if ((p == NULL) != (table[i].entry == NULL) ||
            (p != NULL && (strcmp(p->model, table[i].entry) != 0 ||
                           p->tier[0].rate[PRICE_INPUT] != table[i].input * NANOUSD_PER_USD)))
            fail_msg("row %zu: %s where %s was expected", i, p != NULL ? p->model : "no price",
                     table[i].entry != NULL ? table[i].entry : "no price");
    }
    price_list_free(l);
}

static void a_name_too_long_has_no_price(void **state)
{
    struct price_list *l = list(NULL);
    char name[1000];

    (void)state;
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    assert_null(find(l, NULL, name));
    memcpy(name, "acme/", 5);
    name[PRICE_NAME_MAX] = 0;
    assert_null(find(l, "acme", name));
    memset(name, '/', sizeof name - 1);
    assert_null(find(l, NULL, name));
    price_list_free(l);
}

/* The price at a time, and that the span it names is the longest in which this is so. */
static void check_span(const struct price_list *l, const char *model, int64_t ts_ms, int64_t usd)
{
    struct price_found found, other;

    price_list_search(l, text("acme"), text(model), ts_ms, &found);
    assert_non_null(found.price);
    if (found.price->tier[0].rate[PRICE_INPUT] != usd * NANOUSD_PER_USD)
        fail_msg("%s at %lld", model, (long long)ts_ms);
    assert_true(found.since_ms <= ts_ms && ts_ms < found.until_ms);
    if (found.since_ms != INT64_MIN) {
        price_list_search(l, text("acme"), text(model), found.since_ms, &other);
        assert_ptr_equal(other.price, found.price);
        price_list_search(l, text("acme"), text(model), found.since_ms - 1, &other);
        assert_ptr_not_equal(other.price, found.price);
    }
    if (found.until_ms != INT64_MAX) {
        price_list_search(l, text("acme"), text(model), found.until_ms - 1, &other);
        assert_ptr_equal(other.price, found.price);
        price_list_search(l, text("acme"), text(model), found.until_ms, &other);
        assert_ptr_not_equal(other.price, found.price);
    }
}

static void prices_have_dates(void **state)
{
    const int64_t march = 20513 * DAY, may = 20574 * DAY, evening = 20600 * DAY + 22 * 3600000;
    struct price_list *l = list(NULL);

    (void)state;
    check_span(l, "ac-dated", 0, 1);
    check_span(l, "ac-dated", march - 1, 1);
    check_span(l, "ac-dated", march, 2);
    check_span(l, "ac-dated", may - 1, 2);
    check_span(l, "ac-dated", may, 3);
    check_span(l, "ac-dated", may + 400 * DAY, 3);
    check_span(l, "ac-daily", evening - 1, 1);
    check_span(l, "ac-daily", evening, 2);
    check_span(l, "ac-daily", evening + 6 * 3600000 - 1, 2); /* over midnight */
    check_span(l, "ac-daily", evening + 6 * 3600000, 1);
    check_span(l, "ac-daily", 0, 2);
    price_list_free(l);
}

/* --------------------------------------------------------------- operator */

static void the_operators_prices_stand_first(void **state)
{
    struct price_list *l =
        list("[{'match':{'provider':'ollama*'},'free':true},"
             "{'match':{'model':'ac-1'},'input':1,'output':'2.5','from':'2026-03-01'},"
             "{'match':{'provider':'acme','model':'*'},'input':9,'output':9,'from':'2026-05-01'},"
             "{'match':{'model':'AC-1'},'input':'0.5','output':2,'from':'2026-04-01T12:00:00Z'}]");
    const int64_t march = 20513 * DAY, april = 20544 * DAY + 12 * 3600000, may = 20574 * DAY;
    struct price_found found;

    (void)state;
    assert_true(find(l, "ollama-2", "whatever/it:is")->free);
    assert_true(find(l, "Ollama", NULL)->free);
    assert_string_equal(find(l, "ollama", "x")->source, "operator");
    assert_int_equal(price_list_find(l, text("acme"), text("ac-1"), march - 1)->tier[0].rate[0], 3000000000);
    assert_int_equal(price_list_find(l, text("acme"), text("ac-1"), march)->tier[0].rate[0], 1000000000);
    assert_int_equal(price_list_find(l, text(NULL), text("ac-1"), march)->tier[0].rate[PRICE_OUTPUT],
                     2500000000);
    assert_int_equal(price_list_find(l, text("acme"), text("ac-1"), april)->tier[0].rate[0], 500000000);
    assert_int_equal(price_list_find(l, text("acme"), text("ac-1"), may)->tier[0].rate[0], 500000000);
    assert_int_equal(price_list_find(l, text("acme"), text("ac-bare"), may)->tier[0].rate[0], 9000000000);
    price_list_search(l, text("acme"), text("ac-1"), march - 1, &found);
    assert_true(found.until_ms == march && found.since_ms == INT64_MIN && found.way == PRICE_BY_PROVIDER);
    price_list_search(l, text("acme"), text("ac-1"), march, &found);
    assert_true(found.since_ms == march && found.until_ms == april && found.way == PRICE_BY_OPERATOR);
    price_list_free(l);
}

static void bad_prices_say_what_is_wrong(void **state)
{
    static const struct {
        const char *own, *field, *value;
    } table[] = {
        { "{}", "prices", "" },
        { "[7]", "prices[0]", "" },
        { "[{}]", "prices[0].match", "" },
        { "[{'match':{}}]", "prices[0].match", "" },
        { "[{'match':{'modell':'x'}}]", "prices[0].match", "" },
        { "[{'match':{'model':'x','lane':'y'},'free':true}]", "prices[0].match", "" },
        { "[{'match':{'model':7},'free':true}]", "prices[0].match.model", "" },
        { "[{'match':{'model':'x'}}]", "prices[0].input", "" },
        { "[{'match':{'model':'x'},'input':1}]", "prices[0].output", "" },
        { "[{'match':{'model':'x'},'input':-1,'output':1}]", "prices[0].input", "-1" },
        { "[{'match':{'model':'x'},'input':'1,5','output':1}]", "prices[0].input", "1,5" },
        { "[{'match':{'model':'x'},'input':'1e3','output':1}]", "prices[0].input", "1e3" },
        { "[{'match':{'model':'x'},'input':'0.1234567891','output':1}]", "prices[0].input", "0.1234567891" },
        { "[{'match':{'model':'x'},'input':'1000001','output':1}]", "prices[0].input", "1000001" },
        { "[{'match':{'model':'x'},'input':'','output':1}]", "prices[0].input", "" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'free':'yes'}]", "prices[0].free", "yes" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'from':'soon'}]", "prices[0].from", "soon" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'from':'2026-02-30'}]", "prices[0].from",
          "2026-02-30" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'cached':1}]", "prices[0].cached", "" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'tiers':{}}]", "prices[0].tiers", "{}" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'tiers':[{'above':5},{'above':5}]}]",
          "prices[0].tiers[1].above", "5" },
        { "[{'match':{'model':'x'},'input':1,'output':1,'tiers':[{'above':5,'input':'x'}]}]",
          "prices[0].tiers[0].input", "x" },
        { "[{'match':{'model':'x'},'free':true},{'match':{'model':'x'},'input':1,'output':1}]",
          "prices[1].from", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        json_t *own = json(table[i].own);
        struct price_list *l = NULL;
        struct fault fault = { 0 };
        if (price_list_load(quoted(made), own, &l, &fault) == 0)
            fail_msg("%s was taken", table[i].own);
        assert_null(l);
        assert_string_equal(fault.field, table[i].field);
        assert_string_equal(fault.value, table[i].value);
        assert_true(fault.expected[0] != 0);
        json_decref(own);
    }
}

static void bad_lists_are_refused(void **state)
{
    static const char *const table[] = {
        "",
        "[]",
        "{'source':'a','version':'1'}",
        "{'source':'a','version':'1','date':'x'}",
        "{'source':'a','version':'1','date':'x','providers':[{}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','models':[{'id':'m'}]}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','match':{'like':'x'},'models':[]}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','match':{'regex':'('},'models':[]}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','match':{'or':[]},'models':[]}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','models':[{'id':'m','match':{'equals':"
        "'m'}}]}]}",
        "{'source':'a','version':'1','date':'x','providers':[{'id':'p','models':[{'id':'m','match':{'equals':"
        "'m'},"
        "'prices':[{'daily':['1','2'],'input':'1'}]}]}]}",
    };
    struct fault fault;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct price_list *l = NULL;
        if (price_list_load(quoted(table[i]), NULL, &l, &fault) == 0)
            fail_msg("%s was taken", table[i]);
        assert_null(l);
    }
}

/* --------------------------------------------------------------- decimals */

static void decimals_are_exact(void **state)
{
    static const struct {
        const char *json, *text;
        int64_t nanousd;
    } table[] = {
        { "'3'", "3", 3000000000 },
        { "3", "3", 3000000000 },
        { "0.28", "0.28", 280000000 },
        { "'0.0028'", "0.0028", 2800000 },
        { "0.1", "0.1", 100000000 },
        { "1e-9", "0.000000001", 1 },
        { "0.000000001", "0.000000001", 1 },
        { "123456.789012345", "123456.789012345", 123456789012345 },
        { "'1000000'", "1000000", PRICE_RATE_MAX },
        { "1e6", "1000000", PRICE_RATE_MAX },
        { "0", "0", 0 },
        { "'007.50'", "7.5", 7500000000 },
    };
    static const char *const bad[] = { "'.5'",  "'5.'", "'1.2.3'",        "' 1'",
                                       "'+1'",  "'-0'", "'1.0000000001'", "1e-10",
                                       "1e300", "true", "null",           "'99999999999999999999'" };
    char text_out[PRICE_DECIMAL];
    int64_t n;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        json_t *given = json(table[i].json);
        n = UNKNOWN;
        assert_true(price_decimal_parse(given, &n));
        assert_int_equal(n, table[i].nanousd);
        price_decimal(n, text_out);
        assert_string_equal(text_out, table[i].text);
        json_decref(given);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *given = json(bad[i]);
        if (price_decimal_parse(given, &n))
            fail_msg("%s was taken", bad[i]);
        json_decref(given);
    }
}

/* What price_json writes is what was read, for every price in the binary. */
static void json_says_it_all(void **state)
{
    struct price_list *l = NULL, *again;
    struct fault fault;
    unsigned seen = 0;

    (void)state;
    assert_int_equal(price_list_load(NULL, NULL, &l, &fault), 0);
    for (size_t i = 0; price_list_at(l, i) != NULL; i++, seen++) {
        json_t *rates = price_json(price_list_at(l, i)), *copy = json_deep_copy(rates);
        json_object_del(copy, "context");
        json_object_del(copy, "daily"); /* operators have none */
        json_object_set_new(copy, "match", json("{'model':'m'}"));
        if (json_object_get(copy, "output") == NULL)
            json_object_set_new(copy, "output", json_integer(0));
        if (json_object_get(copy, "input") == NULL)
            json_object_set_new(copy, "input", json_integer(0));
        json_t *own = json_pack("[o]", copy);
        assert_int_equal(price_list_load(quoted(made), own, &again, &fault), 0);
        struct price_usage u = { 300000, 5000, 1000, 900, 800, 700 };
        assert_int_equal(cost(price_list_at(l, i), u), cost(find(again, NULL, "m"), u));
        price_list_free(again);
        json_decref(own);
        json_decref(rates);
    }
    assert_true(seen > 1500);
    price_list_free(l);
}

/* --------------------------------------------------------- the one within */

static void the_list_in_the_binary(void **state)
{
    size_t before = mallinfo2().uordblks;
    struct price_list *l = NULL;
    struct fault fault;

    (void)state;
    assert_int_equal(price_list_load(NULL, NULL, &l, &fault), 0);
    size_t taken = mallinfo2().uordblks - before;
    (void)taken;
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    if (taken < 100000 || taken > 2 * 1024 * 1024)
        fail_msg("the list takes %zu bytes", taken);
#endif
    assert_string_equal(price_list_source(l), "genai-prices");
    assert_int_equal(strlen(price_list_date(l)), 10);
    const struct price *p = find(l, "anthropic", "claude-sonnet-4-5-20250929");
    assert_non_null(p);
    assert_int_equal(p->tier[0].rate[PRICE_INPUT], 3 * NANOUSD_PER_USD);
    assert_int_equal(p->tier[0].rate[PRICE_CACHE_WRITE_1H], 6 * NANOUSD_PER_USD);
    assert_int_equal(price_context_tokens(p), 200000);
    assert_string_equal(find(l, "google", "models/gemini-2.5-pro")->model, "gemini-2.5-pro");
    assert_string_equal(find(l, NULL, "openrouter/anthropic/claude-sonnet-4.5")->provider, "openrouter");
    assert_null(find(l, "ollama", "llama3.1"));
    price_list_free(l);
    price_list_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_token_is_billed_once),
        cmocka_unit_test(kinds_without_a_rate),
        cmocka_unit_test(tiers_hold_for_the_whole_call),
        cmocka_unit_test(rounded_once_half_up),
        cmocka_unit_test(the_bill_adds_up),
        cmocka_unit_test(the_worst_case_is_a_bound),
        cmocka_unit_test(names_and_prefixes),
        cmocka_unit_test(a_name_too_long_has_no_price),
        cmocka_unit_test(prices_have_dates),
        cmocka_unit_test(the_operators_prices_stand_first),
        cmocka_unit_test(bad_prices_say_what_is_wrong),
        cmocka_unit_test(bad_lists_are_refused),
        cmocka_unit_test(decimals_are_exact),
        cmocka_unit_test(json_says_it_all),
        cmocka_unit_test(the_list_in_the_binary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
