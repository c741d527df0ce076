/* SPDX-License-Identifier: MIT
 *
 * Prices as decimals and as JSON: exact both ways.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "price.h"

#define DIGITS_NANO  9
#define DIGITS_FEMTO 15

/* amount / 10^digits without superfluous zeros. */
static void decimal(femtousd amount, unsigned digits, char out[PRICE_DECIMAL])
{
    char text[PRICE_DECIMAL];
    size_t at = sizeof text - 1;

    text[at] = 0;
    for (unsigned done = 0; at > 0 && (amount != 0 || done <= digits); done++) {
        if (done == digits && text[at] != 0)
            text[--at] = '.';
        char digit = (char)('0' + (int)(amount % 10));
        if (digit != '0' || done >= digits || text[at] != 0)
            text[--at] = digit;
        amount /= 10;
    }
    memcpy(out, text + at, sizeof text - at);
}

void price_decimal(int64_t nanousd, char out[PRICE_DECIMAL])
{
    decimal((femtousd)nanousd, DIGITS_NANO, out);
}

void price_decimal_femto(femtousd amount, char out[PRICE_DECIMAL])
{
    decimal(amount, DIGITS_FEMTO, out);
}

/* Digits, perhaps a point and at most nine more. */
static bool parse(const char *text, int64_t *nanousd)
{
    int64_t n = 0;
    int point = -1, digits = 0;

    for (; *text != 0; text++) {
        if (*text == '.' && point < 0 && digits > 0) {
            point = 0;
            continue;
        }
        if (*text < '0' || *text > '9' || n > PRICE_RATE_MAX || point == DIGITS_NANO)
            return false;
        n = 10 * n + (*text - '0');
        digits++;
        point += point >= 0;
    }
    if (digits == 0 || point == 0)
        return false;
    for (int i = point < 0 ? 0 : point; i < DIGITS_NANO; i++) {
        if (n > PRICE_RATE_MAX)
            return false;
        n *= 10;
    }
    if (n > PRICE_RATE_MAX)
        return false;
    *nanousd = n;
    return true;
}

/* The shortest decimal that is this number, without an exponent. */
static void shortest(double value, char *out, size_t size)
{
    char text[64];
    int digits = 1;

    do
        snprintf(text, sizeof text, "%.*e", digits - 1, value);
    while (strtod(text, NULL) != value && ++digits <= 17);
    int exponent = atoi(strchr(text, 'e') + 1), places = digits - 1 - exponent;
    snprintf(out, size, "%.*f", places > 0 ? places : 0, value);
}

bool price_decimal_parse(const json_t *given, int64_t *nanousd)
{
    char text[400];

    if (json_is_string(given))
        return parse(json_string_value(given), nanousd);
    if (json_is_integer(given))
        snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(given));
    else if (json_is_real(given))
        shortest(json_real_value(given), text, sizeof text);
    else
        return false;
    return parse(text, nanousd);
}

/* --------------------------------------------------------------------- JSON */

static int set_rate(json_t *to, const char *name, int64_t nanousd)
{
    char text[PRICE_DECIMAL];

    if (nanousd == UNKNOWN)
        return 0;
    price_decimal(nanousd, text);
    return json_object_set_new(to, name, json_string(text));
}

static int set_rates(json_t *to, const struct price_tier *t)
{
    int rc = 0;

    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++)
        rc |= set_rate(to, price_kind_name(kind), t->rate[kind]);
    return rc;
}

static int set_tiers(json_t *to, const struct price *p)
{
    json_t *tiers = json_array();
    int rc = 0;

    for (unsigned i = 1; i < p->tiers; i++) {
        json_t *tier = json_object();
        rc |= json_object_set_new(tier, "above", json_integer(p->tier[i].above));
        rc |= set_rates(tier, &p->tier[i]);
        rc |= json_array_append_new(tiers, tier);
    }
    return rc | json_object_set_new(to, "tiers", tiers);
}

static int set_daily(json_t *to, const struct price *p)
{
    const int32_t ms[2] = { p->daily_from_ms, p->daily_to_ms };
    json_t *daily = json_array();
    int rc = 0;

    for (int i = 0; i < 2; i++) {
        int s = (int)(ms[i] / 1000);
        rc |= json_array_append_new(daily, json_sprintf("%02d:%02d:%02dZ", s / 3600, s / 60 % 60, s % 60));
    }
    return rc | json_object_set_new(to, "daily", daily);
}

json_t *price_json(const struct price *p)
{
    json_t *to = json_object();
    int rc = 0;

    if (p->free)
        rc |= json_object_set_new(to, "free", json_true());
    if (p->tiers > 0)
        rc |= set_rates(to, &p->tier[0]);
    rc |= set_rate(to, price_kind_name(PRICE_REQUEST), p->request_nanousd);
    if (p->tiers > 1)
        rc |= set_tiers(to, p);
    if (p->daily_from_ms != UNKNOWN)
        rc |= set_daily(to, p);
    if (p->context_tokens != UNKNOWN)
        rc |= json_object_set_new(to, "context", json_integer(p->context_tokens));
    if (rc == 0)
        return to;
    json_decref(to);
    return NULL;
}
