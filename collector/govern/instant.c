/* SPDX-License-Identifier: MIT */
#include "instant.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_MS 253402300799999LL /* the last millisecond of 9999 */

/* Reads exactly n digits with a value from min to max; then text stands behind them. */
static bool digits(const char **text, int n, int min, int max, int *out)
{
    int v = 0;

    for (int i = 0; i < n; i++, (*text)++) {
        if (**text < '0' || **text > '9')
            return false;
        v = v * 10 + (**text - '0');
    }
    *out = v;
    return v >= min && v <= max;
}

static bool sign(const char **text, char expected)
{
    return *(*text)++ == expected;
}

static bool date(const char **text, struct tm *tm)
{
    int year, month, day;

    if (!digits(text, 4, 1970, 9999, &year) || !sign(text, '-') || !digits(text, 2, 1, 12, &month) ||
        !sign(text, '-') || !digits(text, 2, 1, 31, &day))
        return false;
    *tm = (struct tm){ .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };
    return g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year);
}

static bool fraction(const char **text, int *ms)
{
    *ms = 0;
    if (**text != '.')
        return true;
    (*text)++;
    size_t n = strspn(*text, "0123456789");
    if (n < 1 || n > 3 || !digits(text, (int)n, 0, 999, ms))
        return false;
    for (; n < 3; n++)
        *ms *= 10;
    return true;
}

/* Seconds ahead of UTC. */
static bool offset(const char **text, int *s)
{
    int hours, minutes, direction = **text == '-' ? -1 : 1;

    *s = 0;
    if (**text == 'Z') {
        (*text)++;
        return true;
    }
    if ((**text != '+' && **text != '-') || !sign(text, **text))
        return false;
    if (!digits(text, 2, 0, 23, &hours) || !sign(text, ':') || !digits(text, 2, 0, 59, &minutes))
        return false;
    *s = direction * (hours * 3600 + minutes * 60);
    return true;
}

bool instant_parse(const char *text, int64_t *out)
{
    struct tm tm;
    int ms = 0, ahead_s = 0;

    if (!date(&text, &tm))
        return false;
    if (*text != '\0' &&
        (!sign(&text, 'T') || !digits(&text, 2, 0, 23, &tm.tm_hour) || !sign(&text, ':') ||
         !digits(&text, 2, 0, 59, &tm.tm_min) || !sign(&text, ':') || !digits(&text, 2, 0, 59, &tm.tm_sec) ||
         !fraction(&text, &ms) || !offset(&text, &ahead_s) || *text != '\0'))
        return false;
    int64_t at = ((int64_t)timegm(&tm) - ahead_s) * 1000 + ms;
    if (at < 0 || at > MAX_MS)
        return false;
    *out = at;
    return true;
}

void instant_text(int64_t ms, char out[INSTANT_TEXT])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&s, &tm);
    size_t n = strftime(out, INSTANT_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
    if (ms % 1000 != 0)
        snprintf(out + n, INSTANT_TEXT - n, ".%03dZ", (int)(ms % 1000));
    else
        snprintf(out + n, INSTANT_TEXT - n, "Z");
}
