/* SPDX-License-Identifier: MIT */
#include "columns.h"

#include <stdio.h>
#include <string.h>

#include "../query/when.h"

static const char *const unknown_names[DISPATCH_SUMS] = {
#define UNKNOWN_NAME(name) #name "_unknown",
    DISPATCH_SUMMED(UNKNOWN_NAME)
};

/* What stands before a value. */
static void head(struct columns *c, const char *name)
{
    if (c->begun)
        text_add(c->t, ",", 1);
    c->begun = true;
    if (c->csv)
        return;
    text_add(c->t, "\"", 1);
    text_str(c->t, name);
    text_add(c->t, "\":", 2);
}

static void unknown(struct columns *c)
{
    if (!c->csv)
        text_add(c->t, "null", 4);
}

void column_text(struct columns *c, const char *name, const char *at, size_t len)
{
    head(c, name);
    if (!at)
        unknown(c);
    else if (c->csv)
        text_csv(c->t, true, at, len);
    else
        text_json(c->t, at, len);
}

void column_int(struct columns *c, const char *name, bool known, int64_t n)
{
    head(c, name);
    if (known)
        text_int(c->t, n);
    else
        unknown(c);
}

void column_bool(struct columns *c, const char *name, bool value)
{
    head(c, name);
    text_str(c->t, value ? "true" : "false");
}

/* ------------------------------------------------------------------- numbers */

#define DIGITS_MAX 20 /* of a number, its sign included */
#define RATE_STEPS 1000000000
#define RATE_MAX   11 /* "0." and nine digits */

/* Writes a number; the byte after it. */
static char *put_number(char *to, int64_t n)
{
    char digits[DIGITS_MAX], *at = digits + sizeof digits;
    uint64_t v = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;

    do
        *--at = (char)('0' + v % 10);
    while ((v /= 10) > 0);
    if (n < 0)
        *--at = '-';
    memcpy(to, at, (size_t)(digits + sizeof digits - at));
    return to + (digits + sizeof digits - at);
}

/* Writes a share from 0 to 1 with up to nine decimals, as many as it takes. */
static char *put_rate(char *to, double rate)
{
    int64_t n = (int64_t)(rate * RATE_STEPS + 0.5);

    if (n >= RATE_STEPS || n <= 0) {
        *to++ = n > 0 ? '1' : '0';
        return to;
    }
    char *last = to + RATE_MAX - 1;
    to[0] = '0';
    to[1] = '.';
    for (char *at = last; at > to + 1; at--, n /= 10)
        *at = (char)('0' + n % 10);
    while (*last == '0')
        last--;
    return last + 1;
}

void column_rate(struct columns *c, const char *name, double rate)
{
    char digits[RATE_MAX];

    head(c, name);
    if (rate >= 0)
        text_add(c->t, digits, (size_t)(put_rate(digits, rate) - digits));
    else
        unknown(c);
}

void column_time(struct columns *c, const char *name, const char *name_ms, bool known, int64_t ms)
{
    char when[WHEN_TEXT];

    when_format(ms, when);
    column_text(c, name, known ? when : NULL, strlen(when));
    column_int(c, name_ms, known, ms);
}

void column_sums(struct columns *c, int64_t calls, const int64_t sum[DISPATCH_SUMS],
                 const int64_t known[DISPATCH_SUMS])
{
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        column_int(c, usage_num_names[i], known[i] > 0, sum[i]);
        column_int(c, unknown_names[i], true, calls - known[i]);
    }
}

/* --------------------------------------------------------------------- usage */

/* A column's name as it stands before a JSON value. */
struct member {
    const char *at;
    size_t len;
};
#define QUOTES 4 /* characters around the name */
#define MEMBER(name)                                  \
    {                                                 \
        ",\"" name "\":", sizeof ",\"" name "\":" - 1 \
    }
#define SUM_MEMBERS(name) MEMBER(#name), MEMBER(#name "_unknown"),

static const struct member members[] = { MEMBER("calls"),
                                         MEMBER("errors"),
                                         MEMBER("blocked"),
                                         MEMBER("aborted"),
                                         MEMBER("status_unknown"),
                                         MEMBER("partial"),
                                         DISPATCH_SUMMED(SUM_MEMBERS) MEMBER("error_rate"),
                                         MEMBER("cache_hit_rate"),
                                         MEMBER("latency_ms_p50"),
                                         MEMBER("latency_ms_p95"),
                                         MEMBER("latency_ms_p99"),
                                         MEMBER("ttft_ms_p50"),
                                         MEMBER("ttft_ms_p95"),
                                         MEMBER("ttft_ms_p99") };
#define MEMBERS    (sizeof members / sizeof *members)
#define MEMBER_MAX 64 /* bytes of one, its value and all */

/* A value: a number, or a share. */
struct value {
    bool known, is_rate;
    int64_t n;
    double rate;
};

static struct value number(bool known, int64_t n)
{
    return (struct value){ .known = known, .n = n };
}

static struct value share(double rate)
{
    return (struct value){ .known = rate >= 0, .is_rate = true, .rate = rate };
}

/* In the order of members. */
static void usage_values(const struct usage_row *row, struct value v[MEMBERS])
{
    const struct usage_sums *s = &row->sums;
    const int64_t counts[] = { s->calls, s->errors, s->blocked, s->aborted, s->status_unknown, s->partial };

    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        *v++ = number(counts[i] >= 0, counts[i]);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        *v++ = number(s->known[i] > 0, s->sum[i]);
        *v++ = number(true, s->calls - s->known[i]);
    }
    *v++ = share(usage_error_rate(s));
    *v++ = share(usage_cache_hit_rate(s));
    for (int i = 0; i < USAGE_TIMINGS * USAGE_PERCENTILES; i++) {
        int64_t ms = row->times.ms[i / USAGE_PERCENTILES][i % USAGE_PERCENTILES];
        *v++ = number(ms != UNKNOWN, ms);
    }
}

static char *put_value(char *to, const struct value *v, const char *unknown_text)
{
    if (v->known)
        return v->is_rate ? put_rate(to, v->rate) : put_number(to, v->n);
    return stpcpy(to, unknown_text);
}

/* Rows come by the thousand: each is written in one piece. */
void column_usage(struct columns *c, const struct usage_row *row)
{
    struct value value[MEMBERS];
    char all[MEMBERS * MEMBER_MAX], *to = all;
    size_t skip = !c->begun; /* the first one has no comma */

    usage_values(row, value);
    for (size_t i = 0; i < MEMBERS; i++) {
        size_t len = c->csv ? 1 : members[i].len;
        memcpy(to, members[i].at, len);
        to = put_value(to + len, &value[i], c->csv ? "" : "null");
    }
    text_add(c->t, all + skip, (size_t)(to - all) - skip);
    c->begun = true;
}

void column_head(struct columns *c, const char *name)
{
    column_text(c, name, name, strlen(name));
}

void column_usage_heads(struct columns *c, const char *before)
{
    char whole[96];

    for (size_t i = 0; i < MEMBERS; i++) {
        snprintf(whole, sizeof whole, "%s%.*s", before, (int)(members[i].len - QUOTES), members[i].at + 2);
        column_head(c, whole);
    }
}
