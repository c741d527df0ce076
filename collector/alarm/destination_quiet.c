/* SPDX-License-Identifier: MIT
 *
 * destination_quiet.c: quiet hours, by the clock on the wall: whatever it shows, on the days on which it is
 * changed too, decides. An hour of zone.h has no change within: so whole hours are gone through until one
 * is open.
 */
#include <string.h>

#include "destination_work.h"

#define MINUTE_MS ((int64_t)60000)
#define DAY_MS    (1440 * MINUTE_MS)
#define ALL_DAYS  0x7f
#define HOURS_MAX (9 * 25) /* longer than the longest quiet time, which ends within a week */

/* --------------------------------------------------------------------- reading */

/* "07:30"; -1: it is none. 24:00 is 1440. */
static int minute_of(const json_t *given)
{
    const char *t = json_string_value(given);

    if (t == NULL || json_string_length(given) != 5 || t[2] != ':')
        return -1;
    for (int i = 0; i < 5; i++)
        if (i != 2 && (t[i] < '0' || t[i] > '9'))
            return -1;
    int hours = (t[0] - '0') * 10 + t[1] - '0', minutes = (t[3] - '0') * 10 + t[4] - '0';
    return minutes > 59 || hours * 60 + minutes > 1440 ? -1 : hours * 60 + minutes;
}

static int read_times(struct destination_reading *r, const json_t *quiet)
{
    struct quiet *q = &r->d->quiet;
    const json_t *from = definition_get(quiet, "from"), *to = definition_get(quiet, "to");

    q->from_min = minute_of(from);
    q->to_min = minute_of(to);
    if (q->from_min < 0 || q->from_min == 1440)
        return definition_fault(r->fault, "quiet.from", from, "a time of day in quotes, as \"22:00\"");
    if (q->to_min < 0)
        return definition_fault(r->fault, "quiet.to", to,
                                "a time of day in quotes, as \"07:00\" or \"24:00\"");
    if (q->from_min == q->to_min)
        return definition_fault(r->fault, "quiet.to", to, "another time than from");
    return 0;
}

static int add_day(struct destination_reading *r, const json_t *given)
{
    static const char *const days[] = { "mon", "tue", "wed", "thu", "fri", "sat", "sun" };
    const char *text = json_string_value(given);

    for (int i = 0; i < 7; i++)
        if (text != NULL && strcmp(text, days[i]) == 0) {
            r->d->quiet.days |= (uint8_t)(1 << i);
            return 0;
        }
    return definition_fault(r->fault, "quiet.days", given, "days: mon, tue, wed, thu, fri, sat or sun");
}

static int read_days(struct destination_reading *r, const json_t *quiet)
{
    const json_t *given = definition_get(quiet, "days");

    if (given == NULL)
        r->d->quiet.days = ALL_DAYS;
    else if (!json_is_array(given))
        return add_day(r, given);
    else if (json_array_size(given) == 0)
        return definition_fault(r->fault, "quiet.days", given, "at least one day");
    for (size_t i = 0; i < json_array_size(given); i++)
        if (add_day(r, json_array_get(given, i)) != 0)
            return -1;
    return 0;
}

static int read_zone(struct destination_reading *r, const json_t *quiet)
{
    const json_t *given = definition_get(quiet, "timezone");
    const char *name = given == NULL ? r->zone : json_string_value(given);

    if (name == NULL || (given != NULL && strlen(name) != json_string_length(given)) ||
        (r->d->quiet.zone = zone_shared(name)) == NULL)
        return definition_fault(r->fault, "quiet.timezone", given,
                                "a time zone of this machine, as Europe/Berlin or UTC");
    return 0;
}

static int read_critical(struct destination_reading *r, const json_t *quiet)
{
    const json_t *given = definition_get(quiet, "critical");

    if (given != NULL && !json_is_boolean(given))
        return definition_fault(r->fault, "quiet.critical", given,
                                "true (what is critical waits too) or false");
    r->d->quiet.critical_too = json_is_true(given);
    return 0;
}

int destination_read_quiet(struct destination_reading *r)
{
    static const char *const known[] = { "from", "to", "timezone", "days", "critical", NULL };
    const json_t *quiet = definition_get(r->given, "quiet");
    struct quiet *q = &r->d->quiet;
    struct fault fault;

    if (quiet == NULL)
        return 0;
    if (!json_is_object(quiet))
        return definition_fault(r->fault, "quiet", quiet, "a map, as { from: \"22:00\", to: \"07:00\" }");
    if (definition_keys(quiet, known, &fault) != 0) {
        *r->fault = fault;
        snprintf(r->fault->field, sizeof r->fault->field, "quiet.%.80s", fault.field);
        return -1;
    }
    if (read_times(r, quiet) != 0 || read_days(r, quiet) != 0 || read_zone(r, quiet) != 0 ||
        read_critical(r, quiet) != 0)
        return -1;
    if (q->days == ALL_DAYS && q->from_min == 0 && q->to_min == 1440)
        return definition_fault(r->fault, "quiet.to", definition_get(quiet, "to"),
                                "a time at which the quiet ends (severity: critical tells only what is)");
    q->on = true;
    return 0;
}

/* ---------------------------------------------------------------------- asking */

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t local_ms(const struct quiet *q, int64_t ms)
{
    return ms + (int64_t)zone_offset(q->zone, ms) * 1000;
}

/* day: since 1970, which began on a Thursday. */
static bool is_its_day(const struct quiet *q, int64_t day)
{
    return (q->days >> (((day + 3) % 7 + 7) % 7) & 1) != 0;
}

static bool is_quiet(const struct quiet *q, int64_t ms)
{
    int64_t local = local_ms(q, ms), day = floor_div(local, DAY_MS);
    int64_t minute = (local - day * DAY_MS) / MINUTE_MS;

    if (q->from_min < q->to_min)
        return minute >= q->from_min && minute < q->to_min && is_its_day(q, day);
    return (minute >= q->from_min && is_its_day(q, day)) || (minute < q->to_min && is_its_day(q, day - 1));
}

/* When the clock shows to_min, if nobody changes it; or the next hour, if that comes first. */
static int64_t next_look(const struct quiet *q, int64_t ms)
{
    int64_t local = local_ms(q, ms), next = zone_next(q->zone, ZONE_HOUR, ms);
    int64_t end = ms + floor_div(local, DAY_MS) * DAY_MS + q->to_min * MINUTE_MS - local;

    return end > ms && end < next ? end : next;
}

int64_t destination_opens_ms(const struct destination *d, enum severity severity, int64_t now_ms)
{
    const struct quiet *q = &d->quiet;
    int64_t ms = now_ms;

    if (!q->on || (severity == SEVERITY_CRITICAL && !q->critical_too))
        return now_ms;
    for (int i = 0; i < HOURS_MAX && is_quiet(q, ms); i++)
        ms = next_look(q, ms);
    return ms;
}
