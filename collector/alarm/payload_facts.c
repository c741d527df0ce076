/* SPDX-License-Identifier: MIT
 *
 * payload_facts.c: evidence is JSON whose names say what is in it: NAME_ms is a time or a span, "spent" and
 * the like are amounts of "unit", and so on. What is not known here is shown as it is.
 */
#include "payload_facts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../base/event.h"
#include "../base/utf8.h"
#include "../govern/verdict.h"

#define INSTANT_MAX INT64_C(253402300799000) /* the end of the year 9999 */
#define INSTANT_MIN INT64_C(100000000000)    /* as a time 1973, as a span three years */
#define SECOND_MS   INT64_C(1000)
#define MINUTE_MS   (60 * SECOND_MS)
#define HOUR_MS     (60 * MINUTE_MS)
#define DAY_MS      (24 * HOUR_MS)

/* ----------------------------------------------------------------------- times */

/* A time that no calendar has is taken for the nearest that one has. */
static void calendar(int64_t ms, struct tm *out)
{
    time_t s = (time_t)((ms < 0 ? 0 : ms > INSTANT_MAX ? INSTANT_MAX : ms) / 1000);

    gmtime_r(&s, out);
}

void fact_time(int64_t ms, const struct zone *zone, char out[FACT_TIME_MAX])
{
    int64_t local_ms =
        (ms > INSTANT_MAX ? INSTANT_MAX : ms) + (zone != NULL ? (int64_t)zone_offset(zone, ms) * 1000 : 0);
    struct tm tm;

    calendar(local_ms, &tm);
    size_t n = strftime(out, FACT_TIME_MAX, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, FACT_TIME_MAX - n, " %s", zone != NULL ? zone_name(zone) : "UTC");
}

/* "2 d 3 h", "5 min", "350 ms". */
static void span_text(int64_t ms, char *out, size_t size)
{
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = { { DAY_MS, "d" }, { HOUR_MS, "h" }, { MINUTE_MS, "min" }, { SECOND_MS, "s" }, { 1, "ms" } };
    size_t i = 0;

    while (i < 4 && ms < units[i].ms)
        i++;
    int64_t rest = i < 3 ? ms % units[i].ms / units[i + 1].ms : 0;
    int n = snprintf(out, size, "%lld %s", (long long)(ms / units[i].ms), units[i].name);
    if (rest > 0 && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, " %lld %s", (long long)rest, units[i + 1].name);
}

void fact_instant(int64_t ms, char out[FACT_INSTANT])
{
    struct tm tm;

    calendar(ms, &tm);
    size_t n = strftime(out, FACT_INSTANT, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, FACT_INSTANT - n, ".%03dZ", (int)((ms < 0 ? 0 : ms) % 1000));
}

static const struct zone *zone_of(const struct told *t)
{
    const char *name = json_string_value(json_object_get(t->evidence, "timezone"));

    return name != NULL ? zone_shared(name) : NULL;
}

void fact_when(const struct told *t, char out[FACT_WHEN_MAX])
{
    const struct zone *zone = zone_of(t);
    char when[FACT_TIME_MAX];
    size_t n;

    fact_time(t->ts_ms, zone, when);
    n = (size_t)snprintf(out, FACT_WHEN_MAX, "%s", when);
    if (t->count > 1 && t->last_ms > t->ts_ms) {
        fact_time(t->last_ms, zone, when);
        n += (size_t)snprintf(out + n, FACT_WHEN_MAX - n, ", %lld times, last %s", (long long)t->count, when);
    }
    if (t->ended_ms != UNKNOWN) {
        fact_time(t->ended_ms, zone, when);
        snprintf(out + n, FACT_WHEN_MAX - n, ", over since %s", when);
    }
}
_Static_assert(3 * FACT_TIME_MAX + 64 <= FACT_WHEN_MAX, "three times and the words between them fit");

/* --------------------------------------------------------------------- numbers */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), tail = strlen(end);

    return len >= tail && strcmp(text + len - tail, end) == 0;
}

/* Whether the first word of a name is one for amounts: "limit", "projected_low". */
static bool is_amount_name(const char *name)
{
    static const char *const words[] = { "spent",   "reserved", "presumed",  "limit",
                                         "allowed", "left",     "projected", "forecast",
                                         "value",   "amount",   "expected",  "projection",
                                         "rate",    "overrun",  "over",      "per" };
    size_t len = strcspn(name, "_");

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == len && strncmp(name, words[i], len) == 0)
            return true;
    return false;
}

static enum unit unit_of(const char *name)
{
    for (int i = UNIT_USD; name != NULL && i <= UNIT_CALLS; i++)
        if (strcmp(name, unit_name(i)) == 0)
            return (enum unit)i;
    return UNIT_NONE;
}

/* unit: the evidence's own; NULL: it has none. */
static void number_text(const char *name, int64_t n, const char *unit, const struct zone *zone, char *out)
{
    char text[FACT_TIME_MAX > AMOUNT_TEXT ? FACT_TIME_MAX : AMOUNT_TEXT];

    if (ends_with(name, "_ms") && n >= INSTANT_MIN) {
        fact_time(n, zone, text);
        snprintf(out, FACT_VALUE_MAX, "%s", text);
    } else if (ends_with(name, "_ms") && n >= 0) {
        span_text(n, out, FACT_VALUE_MAX);
    } else if (ends_with(name, "_nanousd")) {
        verdict_amount_text(UNIT_USD, n, text);
        snprintf(out, FACT_VALUE_MAX, "%s", text);
    } else if (is_amount_name(name) && unit != NULL) {
        verdict_amount_text(unit_of(unit), n, text);
        snprintf(out, FACT_VALUE_MAX, "%s%s%.80s", text, unit_of(unit) == UNIT_NONE ? " " : "",
                 unit_of(unit) == UNIT_NONE ? unit : "");
    } else if (ends_with(name, "event") || ends_with(name, "id")) {
        snprintf(out, FACT_VALUE_MAX, "%lld", (long long)n);
    } else {
        amount_text(UNIT_NONE, n, text);
        snprintf(out, FACT_VALUE_MAX, "%s%s", text,
                 ends_with(name, "percent")  ? " %"
                 : ends_with(name, "_bytes") ? " bytes"
                                             : "");
    }
}

/* -------------------------------------------------------------------- evidence */

struct telling {
    const struct told *told;
    const char *unit;
    const struct zone *zone;
    struct fact *out;
    unsigned count;
};

/* "window_start_ms" as "window start". */
static void write_label(const char *name, char out[FACT_LABEL_MAX])
{
    static const char *const units[] = { "_ms", "_nanousd", "_bytes", "_percent" };
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (ends_with(name, units[i]) && len > strlen(units[i])) {
            len -= strlen(units[i]);
            break;
        }
    len = utf8_cut(name, len, FACT_LABEL_MAX - 1);
    memcpy(out, name, len);
    out[len] = '\0';
    for (char *at = out; *at != '\0'; at++)
        if (*at == '_')
            *at = ' ';
}

static bool write_value(const struct telling *t, const char *name, const json_t *value,
                        char out[FACT_VALUE_MAX])
{
    const char *text = json_string_value(value);

    if (json_is_integer(value))
        number_text(name, (int64_t)json_integer_value(value), t->unit, t->zone, out);
    else if (json_is_real(value))
        snprintf(out, FACT_VALUE_MAX, "%.6g", json_real_value(value));
    else if (json_is_true(value))
        snprintf(out, FACT_VALUE_MAX, "yes");
    else if (text == NULL || text[0] == '\0' || strstr(t->told->title, text) != NULL)
        return false;
    else {
        size_t len = utf8_cut(text, strlen(text), FACT_VALUE_MAX - 1);
        memcpy(out, text, len);
        out[len] = '\0';
    }
    return true;
}

/* Values that would tell nothing, or are part of another line. */
static bool is_silent(const char *name, const json_t *value)
{
    static const char *const never[] = { "unit", "timezone", "window_end_ms" };
    static const char *const not_zero[] = { "reserved", "presumed", "unknown_calls" };

    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (strcmp(name, never[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof not_zero / sizeof *not_zero; i++)
        if (strcmp(name, not_zero[i]) == 0 && json_is_integer(value) && json_integer_value(value) == 0)
            return true;
    return false;
}

/* "$4.20 of $5.00"; the window as "from to until". */
static void join(const struct telling *t, const char *other, const char *between, char value[FACT_VALUE_MAX])
{
    const json_t *more = json_object_get(t->told->evidence, other);
    char second[FACT_VALUE_MAX];
    size_t n = strlen(value);

    if (json_is_integer(more) && write_value(t, other, more, second))
        snprintf(value + n, FACT_VALUE_MAX - n, "%s%.80s", between, second);
}

static void add(struct telling *t, const char *name, const json_t *value)
{
    struct fact *f = &t->out[t->count];

    if (t->count == FACTS_MAX || is_silent(name, value))
        return;
    if (strcmp(name, "limit") == 0 && json_is_integer(json_object_get(t->told->evidence, "spent")))
        return;
    if (!write_value(t, name, value, f->value))
        return;
    write_label(name, f->label);
    if (strcmp(name, "spent") == 0)
        join(t, "limit", " of ", f->value);
    if (strcmp(name, "window_start_ms") == 0) {
        snprintf(f->label, sizeof f->label, "window");
        join(t, "window_end_ms", " to ", f->value);
    }
    t->count++;
}

unsigned facts_of(const struct told *told, struct fact out[FACTS_MAX])
{
    struct telling t = { .told = told, .out = out, .zone = zone_of(told) };
    const char *name;
    json_t *value;

    t.unit = json_string_value(json_object_get(told->evidence, "unit"));
    json_object_foreach(told->subject, name, value)
    {
        add(&t, name, value);
    }
    json_object_foreach(told->evidence, name, value)
    {
        if (!json_is_string(value) || json_object_get(told->subject, name) == NULL)
            add(&t, name, value);
    }
    return t.count;
}
