/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/govern/budget.h"

#define USD NANOUSD_PER_USD

static json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &error);

    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    return json;
}

/* In Tokyo unless the definition says something else. */
static struct budget *budget_of(const char *text)
{
    struct budget *b = NULL;
    struct fault fault;
    json_t *json = json_of(text);

    if (budget_parse(json, "Asia/Tokyo", &b, &fault) != 0)
        fail_msg("%s: %s: \"%s\" where %s", text, fault.field, fault.value, fault.expected);
    json_decref(json);
    return b;
}

/* ------------------------------------------------------------------ amounts */

static void amounts_are_exact(void **state)
{
    static const struct {
        const char *text;
        enum unit given, unit;
        int64_t amount;
        const char *written;
    } table[] = {
        { "5 usd", UNIT_NONE, UNIT_USD, 5 * USD, "$5.00" },
        { "5 USD", UNIT_NONE, UNIT_USD, 5 * USD, "$5.00" },
        { "5usd", UNIT_NONE, UNIT_USD, 5 * USD, "$5.00" },
        { "$5", UNIT_NONE, UNIT_USD, 5 * USD, "$5.00" },
        { "$5", UNIT_USD, UNIT_USD, 5 * USD, "$5.00" },
        { "$5 usd", UNIT_NONE, UNIT_USD, 5 * USD, "$5.00" },
        { "5", UNIT_USD, UNIT_USD, 5 * USD, "$5.00" },
        { "0.10 usd", UNIT_NONE, UNIT_USD, USD / 10, "$0.10" },
        { "$1,000.50", UNIT_NONE, UNIT_USD, 1000 * USD + USD / 2, "$1,000.50" },
        { "1,234,567.125 usd", UNIT_NONE, UNIT_USD, 1234567 * USD + USD / 8, "$1,234,567.125" },
        { "0.000000001 usd", UNIT_NONE, UNIT_USD, 1, "$0.000000001" },
        { "$0.070000000", UNIT_NONE, UNIT_USD, 70000000, "$0.07" },
        { "0.1", UNIT_USD, UNIT_USD, 100000000, "$0.10" }, /* no double has this value */
        { "4611686018.427387904 usd", UNIT_NONE, UNIT_USD, AMOUNT_MAX, "$4,611,686,018.427387904" },
        { "0 usd", UNIT_NONE, UNIT_USD, 0, "$0.00" },
        { "200k tokens", UNIT_NONE, UNIT_TOKENS, 200000, "200,000 tokens" },
        { "200K", UNIT_TOKENS, UNIT_TOKENS, 200000, "200,000 tokens" },
        { "1.5m tokens", UNIT_NONE, UNIT_TOKENS, 1500000, "1,500,000 tokens" },
        { "2b tokens", UNIT_NONE, UNIT_TOKENS, 2000000000, "2,000,000,000 tokens" },
        { "1.234567891b tokens", UNIT_NONE, UNIT_TOKENS, 1234567891, "1,234,567,891 tokens" },
        { "1.0 tokens", UNIT_NONE, UNIT_TOKENS, 1, "1 token" },
        { "1 token", UNIT_NONE, UNIT_TOKENS, 1, "1 token" },
        { "100 calls", UNIT_NONE, UNIT_CALLS, 100, "100 calls" },
        { "1 call", UNIT_CALLS, UNIT_CALLS, 1, "1 call" },
        { "10k calls", UNIT_NONE, UNIT_CALLS, 10000, "10,000 calls" },
        { "007 calls", UNIT_NONE, UNIT_CALLS, 7, "7 calls" },
    };
    char text[AMOUNT_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        enum unit unit = table[i].given, again = UNIT_NONE;
        int64_t amount = -77, read = -77;
        if (!amount_parse(table[i].text, &unit, &amount))
            fail_msg("\"%s\" was not taken", table[i].text);
        if (unit != table[i].unit || amount != table[i].amount)
            fail_msg("\"%s\" is %lld", table[i].text, (long long)amount);
        amount_text(unit, amount, text);
        assert_string_equal(text, table[i].written);
        assert_true(amount_parse(text, &again, &read));
        assert_true(again == unit && read == amount);
    }
    amount_text(UNIT_USD, -5 * USD, text);
    assert_string_equal(text, "-$5.00");
    amount_text(UNIT_TOKENS, INT64_MIN, text);
    assert_string_equal(text, "-9,223,372,036,854,775,808 tokens");
    amount_text(UNIT_NONE, 1234, text);
    assert_string_equal(text, "1,234");
}

static void what_is_no_amount_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum unit given;
    } table[] = {
        { "", UNIT_USD },
        { "usd", UNIT_NONE },
        { "$", UNIT_NONE },
        { "5", UNIT_NONE }, /* a unit is needed */
        { "5 eur", UNIT_NONE },
        { "5 usd", UNIT_TOKENS },
        { "$5", UNIT_CALLS },
        { "$5 tokens", UNIT_NONE },
        { "5 $", UNIT_NONE },
        { "-5 usd", UNIT_NONE },
        { "+5 usd", UNIT_NONE },
        { "$-5", UNIT_NONE },
        { " 5 usd", UNIT_NONE },
        { "5 usd ", UNIT_NONE },
        { "5 usd per day", UNIT_NONE },
        { ".5 usd", UNIT_NONE },
        { "5. usd", UNIT_NONE },
        { "5.1.2 usd", UNIT_NONE },
        { "1e3 usd", UNIT_NONE },
        { "0x10 usd", UNIT_NONE },
        { "nan usd", UNIT_NONE },
        { "0.0000000001 usd", UNIT_NONE }, /* a tenth of a nano-dollar */
        { "0.1000000000 usd", UNIT_NONE }, /* ten decimals */
        { "4611686018.427387905 usd", UNIT_NONE },
        { "99999999999999999999 usd", UNIT_NONE },
        { "18446744073709551616 tokens", UNIT_NONE },
        { "4611686018427387905 tokens", UNIT_NONE },
        { "9999999999b tokens", UNIT_NONE },
        { "1,00 usd", UNIT_NONE },
        { "1,0000 usd", UNIT_NONE },
        { "1000,000 usd", UNIT_NONE },
        { ",100 usd", UNIT_NONE },
        { "1,,000 usd", UNIT_NONE },
        { "1,000, usd", UNIT_NONE },
        { "1.000,50 usd", UNIT_NONE },
        { "5k usd", UNIT_NONE },
        { "$5k", UNIT_NONE },
        { "5t tokens", UNIT_NONE },
        { "5 k tokens", UNIT_NONE },
        { "5kk tokens", UNIT_NONE },
        { "1.5 tokens", UNIT_NONE },
        { "1.0005k tokens", UNIT_NONE },
        { "0.5 calls", UNIT_NONE },
        { "5 us", UNIT_NONE },
        { "5 tokenss", UNIT_NONE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        enum unit unit = table[i].given;
        int64_t amount = -77;
        if (amount_parse(table[i].text, &unit, &amount))
            fail_msg("\"%s\" was taken as %lld", table[i].text, (long long)amount);
        assert_int_equal(unit, table[i].given);
        assert_int_equal(amount, -77);
    }
}

static void a_number_for_a_limit_is_what_was_written(void **state)
{
    static const struct {
        const char *number;
        int64_t nanousd; /* 0: refused */
    } table[] = {
        { "5", 5 * USD },
        { "0.1", USD / 10 },
        { "0.3", 3 * USD / 10 },
        { "1234567.89", 1234567 * USD + 89 * USD / 100 },
        { "0.000000001", 0 }, /* told as 1e-09: a text says it */
        { "0.123456789", 123456789 },
        { "0.1234567891", 0 },
        { "5.0", 5 * USD },
        { "-1", 0 },
        { "-0.5", 0 },
        { "0", 0 },
        { "0.0", 0 },
        { "1e300", 0 },
    };
    char text[128];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct budget *b = NULL;
        struct fault fault;
        snprintf(text, sizeof text, "{\"name\":\"n\",\"window\":\"day\",\"unit\":\"usd\",\"limit\":%s}",
                 table[i].number);
        json_t *json = json_of(text);
        int rc = budget_parse(json, "UTC", &b, &fault);
        if (rc != (table[i].nanousd == 0 ? -1 : 0) || (rc == 0 && b->limit != table[i].nanousd))
            fail_msg("%s is %lld", table[i].number, b != NULL ? (long long)b->limit : -1LL);
        if (rc != 0)
            assert_string_equal(fault.field, "limit");
        budget_free(b);
        json_decref(json);
    }
}

/* -------------------------------------------------------------- definitions */

#define REST(n, limit, window) "\"limit\":\"" limit "\",\"name\":\"" n "\",\"window\":\"" window "\""

static void defaults_are_as_promised(void **state)
{
    struct budget *b = budget_of("{" REST("daily", "5 usd", "day") "}");

    (void)state;
    assert_string_equal(b->name, "daily");
    assert_int_equal(b->scope.terms, 0);
    assert_int_equal(b->pers, 0);
    assert_true(b->unit == UNIT_USD && b->limit == 5 * USD);
    assert_true(b->window.kind == WINDOW_DAY && b->window.zone == b->zone);
    assert_string_equal(zone_name(b->zone), "Asia/Tokyo");
    assert_int_equal(b->alerts, 3);
    assert_memory_equal(b->alert, ((uint8_t[]){ 50, 80, 100 }), 3);
    assert_true(b->action == ACTION_BLOCK && b->use_model == NULL && b->use_lane == NULL);
    assert_int_equal(b->delay_ms, 0);
    assert_true(!b->strict && !b->on_error_closed && !b->shadow && b->forecast &&
                b->counts_from == COUNTS_WINDOW);
    budget_free(b);
    budget_free(NULL);
}

static void definitions_print_back(void **state)
{
    static const struct {
        const char *given, *parts[6]; /* that the printed text must have */
    } table[] = {
        { "{" REST("a", "5 usd", "day") "}",
          { "\"limit\":\"$5.00\"", "\"unit\":\"usd\"", "\"timezone\":\"Asia/Tokyo\"", "\"action\":\"block\"",
            "\"alerts\":[50,80,100]", "\"counts_from\":\"window\"" } },
        { "{" REST("A.b_c-9", "$0.10", "sliding 5h") ",\"timezone\":null}",
          { "\"limit\":\"$0.10\"", "\"window\":\"sliding 5h\"", "\"name\":\"A.b_c-9\"" } },
        { "{" REST("a", "200k tokens", "month") ",\"timezone\":\"Europe/Berlin\",\"per\":\"agent\"}",
          { "\"per\":[\"agent\"]", "\"timezone\":\"Europe/Berlin\"", "200,000 tokens" } },
        { "{" REST("a", "7", "total") ",\"unit\":\"calls\",\"per\":[\"agent_id\",\"tag.team\"]}",
          { "\"per\":[\"agent\",\"tag.team\"]", "\"limit\":\"7 calls\"", "\"window\":\"total\"" } },
        { "{\"limit\":7,\"name\":\"a\",\"window\":\"hour\",\"unit\":\"tokens\"}",
          { "\"limit\":\"7 tokens\"", "\"window\":\"hour\"" } },
        { "{" REST("a", "5 usd", "session") "}", { "\"per\":[\"session\"]" } },
        { "{" REST("a", "5 usd", "session") ",\"per\":\"root_session\"}", { "\"per\":[\"root_session\"]" } },
        { "{" REST("a", "5 usd", "session") ",\"per\":[\"agent\",\"model\",\"lane\"]}",
          { "\"per\":[\"session\",\"agent\",\"model\",\"lane\"]" } },
        { "{" REST("a", "5 usd",
                   "week") ",\"scope\":{\"agent\":[\"b*\",\"a\"],\"lane\":{\"not\":\"batch\"}}}",
          { "\"scope\":{\"agent\":[\"a\",\"b*\"],\"lane\":{\"not\":\"batch\"}}" } },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[90,1,100,50]}", { "\"alerts\":[1,50,90,100]" } },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":80}", { "\"alerts\":[80]" } },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[]}", { "\"alerts\":[]" } },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"alert\"}", { "\"action\":\"alert\"" } },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"model\":\"small\"}}",
          { "\"use\":{\"model\":\"small\"}" } },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"model\":\"s\",\"lane\":\"l\"}}",
          { "\"lane\":\"l\"", "\"model\":\"s\"" } },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"delay\",\"delay\":\"90s\"}", { "\"delay\":\"90s\"" } },
        { "{" REST("a", "5 usd", "day") ",\"strict\":true,\"on_error\":\"closed\",\"shadow\":true}",
          { "\"strict\":true", "\"on_error\":\"closed\"", "\"shadow\":true" } },
        { "{" REST("a", "5 usd", "day") ",\"forecast\":false}", { "\"forecast\":false" } },
        { "{" REST("a", "5 usd", "day") "}", { "\"forecast\":true" } },
        { "{" REST("a", "5 usd", "day") ",\"counts_from\":\"now\"}", { "\"counts_from\":\"now\"" } },
        { "{" REST("a", "5 usd", "day") ",\"counts_from\":\"2026-11-01T01:00:00+01:00\"}",
          { "\"counts_from\":\"2026-11-01T00:00:00Z\"" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct budget *b = budget_of(table[i].given);
        json_t *json = budget_json(b);
        assert_non_null(json);
        char *text = json_dumps(json, JSON_SORT_KEYS | JSON_COMPACT);
        for (int k = 0; k < 6 && table[i].parts[k] != NULL; k++)
            if (strstr(text, table[i].parts[k]) == NULL)
                fail_msg("%s has no %s", text, table[i].parts[k]);
        struct budget *again = budget_of(text);
        json_t *second = budget_json(again);
        char *printed = json_dumps(second, JSON_SORT_KEYS | JSON_COMPACT);
        assert_string_equal(text, printed);
        assert_true(budget_counts_alike(b, again));
        assert_true(again->limit == b->limit && again->action == b->action && again->delay_ms == b->delay_ms);
        free(text);
        free(printed);
        json_decref(json);
        json_decref(second);
        budget_free(b);
        budget_free(again);
    }
}

static void bad_definitions_name_field_value_and_expectation(void **state)
{
    static const struct {
        const char *given, *field, *value, *expected;
    } table[] = {
        { "[]", "budget", "[]", "a map" },
        { "{}", "name", "", "letters" },
        { "{\"name\":7}", "name", "7", "letters" },
        { "{\"name\":\"\"}", "name", "", "1 to 64" },
        { "{\"name\":\"two words\"}", "name", "two words", "letters" },
        { "{\"name\":\"caf\xc3\xa9\"}", "name", "caf\xc3\xa9", "letters" },
        { "{\"name\":\"a-name-that-is-much-longer-than-anybody-would-like-to-type-or-read-aloud\"}", "name",
          "a-name-that-is-much-longer-than-anybody-would-like-to-type-or-read-aloud", "1 to 64" },
        { "{\"name\":\"a\"}", "limit", "", "5 usd" },
        { "{\"name\":\"a\",\"window\":\"day\"}", "limit", "", "5 usd" },
        { "{\"name\":\"a\",\"limit\":\"5 usd\"}", "window", "", "hour, day" },
        { "{\"name\":\"a\",\"limit\":5}", "limit", "5", "5 usd" },
        { "{\"name\":\"a\",\"limit\":\"5\"}", "limit", "5", "5 usd" },
        { "{\"name\":\"a\",\"limit\":\"5 eur\"}", "limit", "5 eur", "5 usd" },
        { "{\"name\":\"a\",\"limit\":\"0 usd\"}", "limit", "0 usd", "more than nothing" },
        { "{\"name\":\"a\",\"limit\":true}", "limit", "true", "5 usd" },
        { "{\"name\":\"a\",\"limit\":[5]}", "limit", "[5]", "5 usd" },
        { "{\"name\":\"a\",\"limit\":\"5 usd\",\"unit\":\"tokens\"}", "limit", "5 usd", "of tokens" },
        { "{\"name\":\"a\",\"limit\":5,\"unit\":\"eur\"}", "unit", "eur", "usd|tokens|calls" },
        { "{\"name\":\"a\",\"limit\":5,\"unit\":1}", "unit", "1", "usd|tokens|calls" },
        { "{\"name\":\"a\",\"limits\":5}", "limits", "5", "name, scope, per, unit, limit, window" },
        { "{" REST("a", "5 usd", "year") "}", "window", "year", "sliding 5h" },
        { "{" REST("a", "5 usd", "sliding 30s") "}", "window", "sliding 30s", "1m to 366d" },
        { "{" REST("a", "5 usd", "sliding 1000d") "}", "window", "sliding 1000d", "1m to 366d" },
        { "{" REST("a", "5 usd", "day") ",\"timezone\":\"Europe/Atlantis\"}", "timezone", "Europe/Atlantis",
          "time zone" },
        { "{" REST("a", "5 usd", "day") ",\"timezone\":2}", "timezone", "2", "time zone" },
        { "{" REST("a", "5 usd", "sliding 5h") ",\"timezone\":\"UTC\"}", "timezone", "UTC", "only hour" },
        { "{" REST("a", "5 usd", "total") ",\"timezone\":\"UTC\"}", "timezone", "UTC", "only hour" },
        { "{" REST("a", "5 usd", "day") ",\"scope\":{\"agnt\":\"x\"}}", "scope.agnt", "x", "agent" },
        { "{" REST("a", "5 usd", "day") ",\"scope\":\"x\"}", "scope", "x", "a map" },
        { "{" REST("a", "5 usd", "day") ",\"per\":\"agnt\"}", "per", "agnt", "agent, session" },
        { "{" REST("a", "5 usd", "day") ",\"per\":\"tag\"}", "per", "tag", "tag.NAME" },
        { "{" REST("a", "5 usd", "day") ",\"per\":7}", "per", "7", "agent" },
        { "{" REST("a", "5 usd", "day") ",\"per\":[\"agent\",\"agent_id\"]}", "per", "agent_id", "once" },
        { "{" REST("a", "5 usd", "day") ",\"per\":[\"tag.a\",\"tag.a\"]}", "per", "tag.a", "once" },
        { "{" REST("a", "5 usd", "day") ",\"per\":[\"agent\",\"user\",\"model\",\"lane\",\"tag.a\"]}", "per",
          "tag.a", "at most 4" },
        { "{" REST("a", "5 usd", "session") ",\"per\":[\"agent\",\"user\",\"model\",\"lane\"]}", "per",
          "[\"agent\",\"user\",\"model\",\"lane\"]", "session or root_session" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[0]}", "alerts", "0", "1 to 100" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[101]}", "alerts", "101", "1 to 100" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[0.5]}", "alerts", "0.5", "whole numbers" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":\"80%\"}", "alerts", "80%", "whole numbers" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[50,80,50]}", "alerts", "50", "once" },
        { "{" REST("a", "5 usd", "day") ",\"alerts\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}", "alerts",
          "17", "at most 16" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"warn\"}", "action", "warn",
          "alert|downgrade|delay|block" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\"}", "use", "", "to downgrade to" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":\"small\"}", "use", "small",
          "to downgrade to" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{}}", "use", "{}",
          "a model or a lane" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"model\":\"\"}}", "use.model",
          "", "1 to 255" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"modl\":\"x\"}}", "modl", "x",
          "model, lane" },
        { "{" REST("a", "5 usd", "day") ",\"use\":{\"model\":\"x\"}}", "use", "{\"model\":\"x\"}",
          "only a downgrade" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"delay\"}", "delay", "", "as 30s" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"delay\",\"delay\":30}", "delay", "30", "as 30s" },
        { "{" REST("a", "5 usd", "day") ",\"action\":\"delay\",\"delay\":\"2h\"}", "delay", "2h", "1h" },
        { "{" REST("a", "5 usd", "day") ",\"delay\":\"30s\"}", "delay", "30s", "not delay" },
        { "{" REST("a", "5 usd", "day") ",\"strict\":\"yes\"}", "strict", "yes", "true or false" },
        { "{" REST("a", "5 usd", "day") ",\"shadow\":1}", "shadow", "1", "true or false" },
        { "{" REST("a", "5 usd", "day") ",\"forecast\":50}", "forecast", "50", "true or false" },
        { "{" REST("a", "5 usd", "day") ",\"on_error\":\"ignore\"}", "on_error", "ignore", "open|closed" },
        { "{" REST("a", "5 usd", "day") ",\"counts_from\":\"yesterday\"}", "counts_from", "yesterday",
          "window, now" },
        { "{" REST("a", "5 usd", "day") ",\"counts_from\":1793491200000}", "counts_from", "1793491200000",
          "window, now" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct budget untouched, *b = &untouched;
        struct fault fault = { "", "", "" };
        json_t *json = json_of(table[i].given);
        if (budget_parse(json, "UTC", &b, &fault) != -1)
            fail_msg("%s was taken", table[i].given);
        assert_ptr_equal(b, &untouched);
        if (strcmp(fault.field, table[i].field) != 0 || strcmp(fault.value, table[i].value) != 0 ||
            strstr(fault.expected, table[i].expected) == NULL)
            fail_msg("%s: %s: \"%s\" where %s", table[i].given, fault.field, fault.value, fault.expected);
        json_decref(json);
    }
}

/* --------------------------------------------------------------- comparing */

static void what_counts_alike_goes_on(void **state)
{
    static const struct {
        const char *more;
        bool alike;
    } table[] = {
        { "", true },
        { ",\"limit\":\"9 usd\"", true },
        { ",\"alerts\":[10]", true },
        { ",\"action\":\"alert\"", true },
        { ",\"strict\":true,\"shadow\":true,\"on_error\":\"closed\",\"forecast\":false", true },
        { ",\"scope\":{\"agent\":[\"b\",\"a\"]}", true },
        { ",\"scope\":{\"agent_id\":[\"a\",\"b\"]}", true },
        { ",\"scope\":{\"agent\":\"a\"}", false },
        { ",\"scope\":{\"agent\":{\"not\":[\"a\",\"b\"]}}", false },
        { ",\"scope\":{}", false },
        { ",\"per\":\"user\"", false },
        { ",\"per\":[\"model\",\"tag.x\"]", false },
        { ",\"per\":[\"tag.y\",\"model\"]", false },
        { ",\"per\":[\"tag.x\"]", false },
        { ",\"limit\":\"9 tokens\"", false },
        { ",\"window\":\"week\"", false },
        { ",\"window\":\"sliding 1d\",\"timezone\":null", false },
        { ",\"timezone\":\"Europe/Berlin\"", false },
        { ",\"timezone\":\"Asia/Tokyo\"", true },
        { ",\"counts_from\":\"now\"", false },
        { ",\"counts_from\":\"2026-11-01\"", false },
    };
    static const char base[] =
        "{\"scope\":{\"agent\":[\"a\",\"b\"]},\"per\":[\"tag.x\",\"model\"]," REST("a", "5 usd", "day");
    char text[512];

    (void)state;
    snprintf(text, sizeof text, "%s}", base);
    struct budget *a = budget_of(text);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(text, sizeof text, "%s%s}", base, table[i].more); /* the last of two equal keys counts */
        struct budget *b = budget_of(text);
        if (budget_counts_alike(a, b) != table[i].alike || budget_counts_alike(b, a) != table[i].alike)
            fail_msg("%s", table[i].more);
        budget_free(b);
    }
    budget_free(a);
}

static void contradictions_are_told(void **state)
{
    static const char down[] = ",\"action\":\"downgrade\",\"use\":{\"model\":\"small\"}";
    static const struct {
        const char *a, *b, *why; /* why NULL: none */
    } table[] = {
        { REST("hard", "5 usd", "day"), REST("soft", "10 usd", "day") "DOWN",
          "budget hard blocks at $5.00, so budget soft, which downgrades at $10.00, never acts" },
        { REST("hard", "5 usd", "day"), REST("soft", "5 usd", "day") "DOWN", "never acts" },
        { REST("hard", "5 usd", "day"), REST("soft", "4.99 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "day"), REST("slow", "6 usd", "day") ",\"action\":\"delay\",\"delay\":\"1s\"",
          "delays at $6.00" },
        { REST("slow", "5 usd", "day") ",\"action\":\"delay\",\"delay\":\"1s\"",
          REST("soft", "6 usd", "day") "DOWN", "budget slow delays at $5.00" },
        { REST("hard", "5 usd", "day"), REST("note", "6 usd", "day") ",\"action\":\"alert\"", NULL },
        { REST("hard", "5 usd", "day"), REST("hard2", "6 usd", "day"), NULL },
        { REST("hard", "5 usd", "day") ",\"shadow\":true", REST("soft", "10 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "day"), REST("soft", "10 usd", "day") "DOWN,\"shadow\":true", NULL },
        { REST("hard", "5 tokens", "day"), REST("soft", "10 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "week"), REST("soft", "10 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "day") ",\"timezone\":\"UTC\"", REST("soft", "10 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "sliding 1h"), REST("soft", "10 usd", "sliding 2h") "DOWN", NULL },
        { REST("hard", "5 usd", "sliding 1h"), REST("soft", "10 usd", "sliding 60m") "DOWN", "never acts" },
        { REST("hard", "5 usd", "day") ",\"counts_from\":\"now\"",
          REST("soft", "10 usd", "day") "DOWN,\"counts_from\":\"now\"", NULL },
        /* whoever is in the smaller one is in the larger one */
        { REST("hard", "5 usd", "day"), REST("soft", "10 usd", "day") "DOWN,\"scope\":{\"agent\":\"a\"}",
          "never acts" },
        { REST("hard", "5 usd", "day"), REST("soft", "10 usd", "day") "DOWN,\"per\":\"agent\"",
          "never acts" },
        { REST("hard", "5 usd", "day") ",\"per\":\"agent\"", REST("soft", "10 usd", "day") "DOWN", NULL },
        { REST("hard", "5 usd", "day") ",\"per\":\"agent\"",
          REST("soft", "10 usd", "day") "DOWN,\"per\":[\"model\",\"agent\"]", "never acts" },
        { REST("hard", "5 usd", "day") ",\"scope\":{\"agent\":\"a\"}", REST("soft", "10 usd", "day") "DOWN",
          NULL },
        { REST("hard", "5 usd", "day") ",\"scope\":{\"agent\":\"a\"}",
          REST("soft", "10 usd", "day") "DOWN,\"scope\":{\"agent\":\"a\",\"lane\":\"x\"}", "never acts" },
        { REST("hard", "5 usd", "day") ",\"scope\":{\"agent\":\"a\"}",
          REST("soft", "10 usd", "day") "DOWN,\"scope\":{\"agent\":\"b\"}", NULL },
        /* to different things at once */
        { REST("x", "5 usd", "day") "DOWN",
          REST("y", "5 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"model\":\"tiny\"}",
          "different things" },
        { REST("x", "5 usd", "day") "DOWN", REST("y", "5 usd", "day") "DOWN", NULL },
        { REST("x", "5 usd", "day") "DOWN",
          REST("y", "6 usd", "day") ",\"action\":\"downgrade\",\"use\":{\"model\":\"tiny\"}", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *const given[2] = { table[i].a, table[i].b };
        struct budget *b[2];
        for (int k = 0; k < 2; k++) {
            const char *mark = strstr(given[k], "DOWN");
            char text[512];
            int head = mark != NULL ? (int)(mark - given[k]) : (int)strlen(given[k]);
            snprintf(text, sizeof text, "{%.*s%s%s}", head, given[k], mark != NULL ? down : "",
                     mark != NULL ? mark + 4 : "");
            b[k] = budget_of(text);
        }
        for (int k = 0; k < 2; k++) {
            char why[256] = "untouched";
            if (budgets_contradict(b[k], b[!k], why, sizeof why) != (table[i].why != NULL))
                fail_msg("%s and %s: %s", table[i].a, table[i].b, why);
            if (table[i].why == NULL)
                assert_string_equal(why, "untouched");
            else if (strstr(why, table[i].why) == NULL || strstr(why, b[0]->name) == NULL ||
                     strstr(why, b[1]->name) == NULL)
                fail_msg("%s", why);
        }
        budget_free(b[0]);
        budget_free(b[1]);
    }
}

/* --------------------------------------------------------------------- keys */

static struct slice text_of(const char *text)
{
    return text != NULL ? (struct slice){ (const uint8_t *)text, (uint32_t)strlen(text) }
                        : (struct slice){ NULL, 0 };
}

static void keys_tell_calls_apart(void **state)
{
    struct budget *all = budget_of("{" REST("a", "5 usd", "day") "}");
    struct budget *two = budget_of("{" REST("a", "5 usd", "day") ",\"per\":[\"agent\",\"root_session\"]}");
    struct subject who = { .text = {
                               [SUBJECT_agent_id] = text_of("ab"), [SUBJECT_session_id] = text_of("s") } };
    uint8_t key[BUDGET_KEY_MAX];
    char text[64], tight[8];

    (void)state;
    assert_int_equal(budget_key(all, &who, key), 0);
    budget_key_text(all, key, 0, text, sizeof text);
    assert_string_equal(text, "");

    assert_int_equal(budget_key(two, &who, key), 5);
    assert_memory_equal(key,
                        "\x03"
                        "ab\x02"
                        "s",
                        5); /* these bytes are stored: they never change */
    budget_key_text(two, key, 5, text, sizeof text);
    assert_string_equal(text, "ab, s");
    budget_key_text(two, key, 4, text, sizeof text); /* no key: not read beyond its end */
    budget_key_text(two, (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, text, sizeof text);

    who.text[SUBJECT_agent_id] = text_of(NULL);
    who.text[SUBJECT_root_session_id] = text_of("r\xe2\x82\xac\xe2\x82\xac");
    assert_int_equal(budget_key(two, &who, key), 9);
    assert_memory_equal(key, "\x00\x08r", 3);
    budget_key_text(two, key, 9, text, sizeof text);
    assert_string_equal(text, "(unknown), r\xe2\x82\xac\xe2\x82\xac");
    who.text[SUBJECT_agent_id] = text_of(""); /* is unknown too */
    assert_int_equal(budget_key(two, &who, key), 9);
    who.text[SUBJECT_agent_id] = text_of("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac");
    budget_key_text(two, key, budget_key(two, &who, key), tight, sizeof tight);
    assert_string_equal(tight, "\xe2\x82\xac\xe2\x82\xac"); /* not half a character */
    budget_free(all);
    budget_free(two);
}

static void the_longest_key_has_room(void **state)
{
    struct budget *b =
        budget_of("{" REST("a", "5 usd", "day") ",\"per\":[\"agent\",\"user\",\"model\",\"lane\"]}");
    static char longest[300];
    struct subject who;
    struct {
        uint8_t key[BUDGET_KEY_MAX], guard[8];
    } room;

    (void)state;
    memset(&room, 0x5a, sizeof room);
    memset(longest, 'x', sizeof longest - 1);
    memset(&who, 0, sizeof who);
    for (int i = 0; i < SUBJECT_FIELDS; i++)
        who.text[i] = text_of(longest);
    assert_int_equal(budget_key(b, &who, room.key), BUDGET_KEY_MAX);
    for (size_t i = 0; i < sizeof room.guard; i++)
        assert_int_equal(room.guard[i], 0x5a);
    budget_free(b);
}

static void names_are_those_of_the_wire(void **state)
{
    (void)state;
    assert_null(unit_name(UNIT_NONE));
    assert_string_equal(unit_name(1), "usd");
    assert_string_equal(unit_name(3), "calls");
    assert_null(unit_name(4));
    assert_null(unit_name(-1));
    assert_string_equal(action_name(0), "allow");
    assert_string_equal(action_name(4), "block");
    assert_null(action_name(5));
    assert_null(action_name(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_are_exact),
        cmocka_unit_test(what_is_no_amount_is_refused),
        cmocka_unit_test(a_number_for_a_limit_is_what_was_written),
        cmocka_unit_test(defaults_are_as_promised),
        cmocka_unit_test(definitions_print_back),
        cmocka_unit_test(bad_definitions_name_field_value_and_expectation),
        cmocka_unit_test(what_counts_alike_goes_on),
        cmocka_unit_test(contradictions_are_told),
        cmocka_unit_test(keys_tell_calls_apart),
        cmocka_unit_test(the_longest_key_has_room),
        cmocka_unit_test(names_are_those_of_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
