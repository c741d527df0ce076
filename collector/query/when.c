/* SPDX-License-Identifier: MIT */
#include "when.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SPAN_MAX_MS (200LL * 366 * 86400 * 1000) /* two centuries */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads exactly n digits at *p and moves on. */
static bool number(const char **p, int n, int *out)
{
    int v = 0;

    for (int i = 0; i < n; i++) {
        if (!digit((*p)[i]))
            return false;
        v = v * 10 + ((*p)[i] - '0');
    }
    *p += n;
    *out = v;
    return true;
}

static bool literal(const char **p, const char *any)
{
    if (**p == 0 || !strchr(any, **p))
        return false;
    (*p)++;
    return true;
}

static int month_days(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool date(const char **p, int64_t *out_s)
{
    struct tm tm = { 0 };

    if (!number(p, 4, &tm.tm_year) || !literal(p, "-") || !number(p, 2, &tm.tm_mon) || !literal(p, "-") ||
        !number(p, 2, &tm.tm_mday))
        return false;
    if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > month_days(tm.tm_year, tm.tm_mon))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    *out_s = timegm(&tm);
    return true;
}

/* hh:mm:ss, and a fraction of which milliseconds count. Second 60 is a leap second. */
static bool time_of_day(const char **p, int64_t *out_ms)
{
    int h, m, s, ms = 0;

    if (!number(p, 2, &h) || !literal(p, ":") || !number(p, 2, &m) || !literal(p, ":") || !number(p, 2, &s))
        return false;
    if (h > 23 || m > 59 || s > 60)
        return false;
    if (literal(p, ".")) {
        if (!digit(**p))
            return false;
        for (int scale = 100; digit(**p); (*p)++, scale /= 10)
            ms += (**p - '0') * scale;
    }
    *out_ms = ((h * 60 + m) * 60 + s) * 1000LL + ms;
    return true;
}

/* Z or +hh:mm. A space stands for the plus that a query string swallowed. */
static bool offset(const char **p, int64_t *out_ms)
{
    int h, m, sign = **p == '-' ? -1 : 1;

    if (literal(p, "Zz")) {
        *out_ms = 0;
        return true;
    }
    if (!literal(p, "+- ") || !number(p, 2, &h) || !literal(p, ":") || !number(p, 2, &m) || h > 23 || m > 59)
        return false;
    *out_ms = sign * (h * 60 + m) * 60000LL;
    return true;
}

static bool rfc3339(const char *p, int64_t *out_ms)
{
    int64_t day_s, time_ms = 0, offset_ms = 0;

    if (!date(&p, &day_s))
        return false;
    if (*p != 0 && (!literal(&p, "Tt ") || !time_of_day(&p, &time_ms) || !offset(&p, &offset_ms)))
        return false;
    *out_ms = day_s * 1000 + time_ms - offset_ms;
    return *p == 0;
}

static bool unix_ms(const char *p, int64_t *out_ms)
{
    int64_t v = 0;

    for (; digit(*p); p++) {
        v = v * 10 + (*p - '0');
        if (v > WHEN_MAX)
            return false;
    }
    *out_ms = v;
    return *p == 0;
}

int when_span(const char *text, int64_t *out_ms)
{
    static const struct {
        char unit[3];
        int64_t ms;
    } units[] = { { "ms", 1 },      { "s", 1000 },     { "m", 60000 },
                  { "h", 3600000 }, { "d", 86400000 }, { "w", 7 * 86400000LL } };
    int64_t n = 0;
    const char *p = text;

    for (; digit(*p); p++) {
        n = n * 10 + (*p - '0');
        if (n > SPAN_MAX_MS)
            return -1;
    }
    for (size_t i = 0; p > text && n > 0 && i < sizeof units / sizeof *units; i++) {
        if (strcmp(p, units[i].unit) != 0)
            continue;
        if (n > SPAN_MAX_MS / units[i].ms)
            return -1;
        *out_ms = n * units[i].ms;
        return 0;
    }
    return -1;
}

int when_parse(const char *text, int64_t now_ms, int64_t *out_ms)
{
    int64_t ms;

    if (strcmp(text, "now") == 0)
        ms = now_ms;
    else if (text[0] == '-' && when_span(text + 1, &ms) == 0)
        ms = now_ms > ms ? now_ms - ms : WHEN_MIN;
    else if (!digit(text[0]) || (!unix_ms(text, &ms) && !rfc3339(text, &ms)))
        return -1;
    if (ms < WHEN_MIN || ms > WHEN_MAX)
        return -1;
    *out_ms = ms;
    return 0;
}

/* Writes n so that it ends before `end`: this is done for every row that is shown. */
static void put_digits(char *end, int n)
{
    for (; n > 0; n /= 10)
        *--end = (char)('0' + n % 10);
}

void when_format(int64_t ms, char out[WHEN_TEXT])
{
    struct tm tm;

    ms = ms < WHEN_MIN ? WHEN_MIN : ms > WHEN_MAX ? WHEN_MAX : ms;
    time_t s = (time_t)(ms / 1000);
    gmtime_r(&s, &tm);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    put_digits(out + 4, tm.tm_year + 1900);
    put_digits(out + 7, tm.tm_mon + 1);
    put_digits(out + 10, tm.tm_mday);
    put_digits(out + 13, tm.tm_hour);
    put_digits(out + 16, tm.tm_min);
    put_digits(out + 19, tm.tm_sec);
    put_digits(out + 23, (int)(ms % 1000));
}
