/* SPDX-License-Identifier: MIT
 *
 * zone.c: GLib knows the zones' rules; it is asked once, when a zone is opened, for the instants at
 * which its clocks change. From then on a zone is a sorted table, so reading needs no lock. A span is
 * the time from one change to the next; the local time of an instant is the instant plus its span's
 * offset. All in seconds.
 */
#include "zone.h"

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define FIRST_S    0            /* 1970: before it the first span's offset goes on */
#define LAST_S     4102444800LL /* 2100: after it the last one's */
#define SPANS_MAX  1024
#define DAY_S      86400
#define HOUR_S     3600
#define OFFSET_MAX 86400 /* no zone is further from UTC */

#define JULIAN_1970 719163              /* as GLib counts days */
#define MS_MIN      (-62000000000000LL) /* the year 5 */
#define MS_MAX      253000000000000LL   /* the year 9987 */

struct zone_span {
    int64_t start; /* of the first one: INT64_MIN */
    int32_t offset;
};

struct zone {
    char name[ZONE_NAME_MAX];
    struct zone *next; /* of the shared ones; owned by nobody: they stay */
    uint32_t count;
    struct zone_span span[SPANS_MAX];
};

/* ------------------------------------------------------------------ opening */

static int interval_at(GTimeZone *tz, int64_t s)
{
    return g_time_zone_find_interval(tz, G_TIME_TYPE_UNIVERSAL, s);
}

/* When an interval that lies after one at `from` begins: the first second that is in it or later. */
static int64_t interval_start(GTimeZone *tz, int interval, int64_t from)
{
    int64_t step = 183 * DAY_S, before = from, after = from + step;

    for (; after < LAST_S && interval_at(tz, after) < interval; after += step)
        before = after;
    while (after - before > 1) {
        int64_t middle = before + (after - before) / 2;
        if (interval_at(tz, middle) >= interval)
            after = middle;
        else
            before = middle;
    }
    return after;
}

static void add_span(struct zone *z, int64_t start, int32_t offset)
{
    if (z->count > 0 && z->span[z->count - 1].offset == offset)
        return; /* only the name or the season changed */
    if (z->count < SPANS_MAX)
        z->span[z->count++] = (struct zone_span){ start, offset };
}

static void read_spans(struct zone *z, GTimeZone *tz)
{
    int first = interval_at(tz, FIRST_S), last = interval_at(tz, LAST_S);
    int64_t start = FIRST_S;

    add_span(z, INT64_MIN, g_time_zone_get_offset(tz, first));
    for (int i = first + 1; i <= last; i++) {
        start = interval_start(tz, i, start);
        add_span(z, start, g_time_zone_get_offset(tz, i));
    }
}

/* GLib would open any path. */
static bool name_is_plain(const char *name)
{
    return strlen(name) < ZONE_NAME_MAX && g_ascii_isalpha(name[0]) &&
           name[strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_+-/")] == '\0';
}

struct zone *zone_open(const char *iana)
{
    if (!name_is_plain(iana))
        return NULL;
    GTimeZone *tz = g_time_zone_new_identifier(iana);
    if (tz == NULL)
        return NULL;
    struct zone *z = g_try_malloc0(sizeof *z);
    if (z != NULL) {
        memcpy(z->name, iana, strlen(iana) + 1);
        read_spans(z, tz);
    }
    g_time_zone_unref(tz);
    return z;
}

void zone_close(struct zone *z)
{
    g_free(z);
}

/* A list that only grows needs no lock: two threads may open the same zone at once, then one copy is never
 * found again. */
const struct zone *zone_shared(const char *iana)
{
    static _Atomic(struct zone *) first;
    struct zone *head = atomic_load_explicit(&first, memory_order_acquire);

    for (const struct zone *z = head; z != NULL; z = z->next)
        if (strcmp(z->name, iana) == 0)
            return z;
    struct zone *z = zone_open(iana);
    if (z != NULL) {
        z->next = head;
        while (!atomic_compare_exchange_weak_explicit(&first, &z->next, z, memory_order_release,
                                                      memory_order_acquire))
            ;
    }
    return z;
}

const char *zone_name(const struct zone *z)
{
    return z->name;
}

/* ------------------------------------------------------------------ reading */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t seconds(int64_t ms)
{
    return floor_div(ms < MS_MIN ? MS_MIN : ms > MS_MAX ? MS_MAX : ms, 1000);
}

/* The span that s lies in. */
static uint32_t span_at(const struct zone *z, int64_t s)
{
    uint32_t low = 0, high = z->count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (z->span[middle].start <= s)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int64_t span_end(const struct zone *z, uint32_t i)
{
    return i + 1 < z->count ? z->span[i + 1].start : INT64_MAX;
}

/* The first instant at which local clocks show `local` or more. */
static int64_t first_at(const struct zone *z, int64_t local)
{
    for (uint32_t i = span_at(z, local - OFFSET_MAX);; i++) {
        int64_t s = local - z->span[i].offset;
        if (s < z->span[i].start)
            return z->span[i].start;
        if (s < span_end(z, i))
            return s;
    }
}

/* A civil date of days since 1970. */
static GDate date_of(int64_t day)
{
    GDate d;

    g_date_clear(&d, 1);
    g_date_set_julian(&d, (guint32)(day + JULIAN_1970));
    return d;
}

/* The first day of the unit that a day is in. */
static int64_t unit_floor(enum zone_unit unit, int64_t day)
{
    GDate d = date_of(day);

    if (unit == ZONE_WEEK)
        return day - (g_date_get_weekday(&d) - G_DATE_MONDAY);
    return unit == ZONE_MONTH ? day - g_date_get_day(&d) + 1 : day;
}

static int64_t unit_next(enum zone_unit unit, int64_t first)
{
    GDate d = date_of(first);

    if (unit == ZONE_MONTH)
        return first + g_date_get_days_in_month(g_date_get_month(&d), g_date_get_year(&d));
    return first + (unit == ZONE_WEEK ? 7 : 1);
}

/* The local day of an instant: clocks that go back over midnight do not lead back into the day before. */
static int64_t day_at(const struct zone *z, int64_t s)
{
    int64_t day = floor_div(s + z->span[span_at(z, s)].offset, DAY_S);

    return first_at(z, (day + 1) * DAY_S) <= s ? day + 1 : day;
}

static int64_t hour_floor(const struct zone *z, int64_t s)
{
    const struct zone_span *span = &z->span[span_at(z, s)];
    int64_t hour = floor_div(s + span->offset, HOUR_S) * HOUR_S - span->offset;

    return hour > span->start ? hour : span->start;
}

static int64_t hour_next(const struct zone *z, int64_t s)
{
    uint32_t i = span_at(z, s);
    int64_t hour = (floor_div(s + z->span[i].offset, HOUR_S) + 1) * HOUR_S - z->span[i].offset;

    return hour < span_end(z, i) ? hour : span_end(z, i);
}

int64_t zone_floor(const struct zone *z, enum zone_unit unit, int64_t ms)
{
    int64_t s = seconds(ms);

    if (unit == ZONE_HOUR)
        return hour_floor(z, s) * 1000;
    return first_at(z, unit_floor(unit, day_at(z, s)) * DAY_S) * 1000;
}

int64_t zone_next(const struct zone *z, enum zone_unit unit, int64_t ms)
{
    int64_t s = seconds(ms), next;

    if (unit == ZONE_HOUR)
        return hour_next(z, s) * 1000;
    for (int64_t day = unit_floor(unit, day_at(z, s));;) { /* a zone may skip a day */
        day = unit_next(unit, day);
        if ((next = first_at(z, day * DAY_S)) > s)
            return next * 1000;
    }
}

int32_t zone_offset(const struct zone *z, int64_t ms)
{
    return z->span[span_at(z, seconds(ms))].offset;
}

void zone_date(const struct zone *z, int64_t ms, char out[ZONE_DATE_MAX])
{
    GDate d = date_of(day_at(z, seconds(ms)));

    snprintf(out, ZONE_DATE_MAX, "%04u-%02u-%02u", g_date_get_year(&d) % 10000u,
             (unsigned)g_date_get_month(&d) % 100, g_date_get_day(&d) % 100u);
}
