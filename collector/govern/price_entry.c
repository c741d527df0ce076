/* SPDX-License-Identifier: MIT
 *
 * One entry of a price list, from JSON.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "instant.h"
#include "price_book.h"

#define FIELD_MAX 96

/* What was given, for a fault; owned. */
static char *given_text(const json_t *given)
{
    return json_is_string(given) ? strdup(json_string_value(given)) : json_dumps(given, JSON_ENCODE_ANY);
}

__attribute__((format(printf, 5, 6))) static int wrong(struct fault *fault, const char *name,
                                                       const char *field, const json_t *given,
                                                       const char *expected, ...)
{
    char *text = given_text(given), where[FIELD_MAX], wanted[sizeof fault->expected];
    va_list args;

    va_start(args, expected);
    vsnprintf(wanted, sizeof wanted, expected, args);
    va_end(args);
    snprintf(where, sizeof where, "%s%s%s", name, field[0] ? "." : "", field);
    fault_set(fault, where, text != NULL ? text : "", "%s", wanted);
    free(text);
    return -1;
}

static int parse_rate(const json_t *given, const char *name, const char *field, int64_t *out,
                      struct fault *fault)
{
    const json_t *value = json_object_get(given, field);

    *out = UNKNOWN;
    if (value == NULL || price_decimal_parse(value, out))
        return 0;
    return wrong(fault, name, field, value,
                 "US dollars, 0 to 1000000, with at most 9 digits after the point");
}

static int parse_rates(const json_t *given, const char *name, struct price_tier *tier, struct fault *fault)
{
    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++)
        if (parse_rate(given, name, price_kind_name(kind), &tier->rate[kind], fault) != 0)
            return -1;
    return 0;
}

static void set_charges(struct price_tier *tier)
{
    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++) {
        int64_t rate = tier->rate[price_rate_of(tier, kind)];
        tier->charge[kind] = rate != UNKNOWN ? rate : 0;
    }
}

/* What a tier does not say is as in the one below it. */
static void inherit(const struct price_tier *below, struct price_tier *tier)
{
    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++)
        if (tier->rate[kind] == UNKNOWN)
            tier->rate[kind] = below->rate[kind];
}

static int parse_tier(const json_t *given, const char *name, size_t i, const struct price_tier *below,
                      struct price_tier *tier, struct fault *fault)
{
    const json_t *value = json_object_get(given, "above");
    char at[FIELD_MAX / 2 + 32];

    snprintf(at, sizeof at, "%.*s.tiers[%zu]", FIELD_MAX / 2, name, i);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) <= below->above)
        return wrong(fault, at, "above", value, "a number of tokens above that of the tier before");
    tier->above = json_integer_value(value);
    if (parse_rates(given, at, tier, fault) != 0)
        return -1;
    inherit(below, tier);
    return 0;
}

static int parse_tiers(const json_t *given, const char *name, struct arena *arena, struct price *p,
                       struct fault *fault)
{
    const json_t *tiers = json_object_get(given, "tiers");
    size_t count = json_array_size(tiers);
    struct price_tier *tier = arena_take(arena, (count + 1) * sizeof *tier);

    if ((tiers != NULL && !json_is_array(tiers)) || count >= PRICE_TIERS_MAX || tier == NULL)
        return wrong(fault, name, "tiers", tiers, "a list of at most %d tiers", PRICE_TIERS_MAX - 1);
    tier[0].above = UNKNOWN;
    if (parse_rates(given, name, &tier[0], fault) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (parse_tier(json_array_get(tiers, i), name, i, &tier[i], &tier[i + 1], fault) != 0)
            return -1;
    for (size_t i = 0; i <= count; i++)
        set_charges(&tier[i]);
    p->tier = tier;
    p->tiers = (unsigned)count + 1;
    return 0;
}

static int parse_from(const json_t *given, const char *name, struct price *p, struct fault *fault)
{
    const json_t *value = json_object_get(given, "from");
    const char *text = json_string_value(value);

    if (value == NULL || (text != NULL && instant_parse(text, &p->valid_from_ms)))
        return 0;
    return wrong(fault, name, "from", value, "a date (2026-08-21) or a time as in RFC 3339");
}

static bool time_of_day(const json_t *given, int32_t *ms)
{
    const char *text = json_string_value(given);
    struct tm tm = { 0 };
    const char *end = text != NULL ? strptime(text, "%H:%M:%SZ", &tm) : NULL;

    *ms = (tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec) * 1000;
    return end != NULL && *end == 0;
}

static int parse_daily(const json_t *given, const char *name, struct price *p, struct fault *fault)
{
    const json_t *value = json_object_get(given, "daily");

    if (value == NULL)
        return 0;
    if (json_array_size(value) == 2 && time_of_day(json_array_get(value, 0), &p->daily_from_ms) &&
        time_of_day(json_array_get(value, 1), &p->daily_to_ms))
        return 0;
    return wrong(fault, name, "daily", value, "two times of day, [\"00:30:00Z\", \"16:30:00Z\"]");
}

int price_entry_parse(const json_t *given, const char *name, struct arena *arena, struct price *out,
                      struct fault *fault)
{
    const json_t *free_of_charge = json_object_get(given, "free");
    struct price p = *out;

    if (!json_is_object(given))
        return wrong(fault, name, "", given, "an object with rates");
    p.daily_from_ms = p.daily_to_ms = UNKNOWN;
    p.valid_from_ms = 0;
    if (free_of_charge != NULL && !json_is_boolean(free_of_charge))
        return wrong(fault, name, "free", free_of_charge, "true or false");
    p.free = json_is_true(free_of_charge);
    p.request_nanousd = UNKNOWN;
    if (parse_from(given, name, &p, fault) != 0 || parse_daily(given, name, &p, fault) != 0 ||
        parse_rate(given, name, "request", &p.request_nanousd, fault) != 0 ||
        parse_tiers(given, name, arena, &p, fault) != 0)
        return -1;
    if (p.free)
        p.tiers = 0;
    *out = p;
    return 0;
}
