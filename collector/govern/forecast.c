/* SPDX-License-Identifier: MIT */
#include "forecast.h"

#include <stddef.h>

#include "../base/event.h"

#define HOUR_MS   3600000.0
#define MINUTE_MS 60000.0
#define PRIOR     0.25 /* of a usual window, added to both sides of the comparison */

static int64_t amount_of(double value)
{
    return value < 0.5 ? 0 : value >= 9.2233720368547e18 ? INT64_MAX : (int64_t)(value + 0.5);
}

/* Of now, in a millisecond. False: it is not known. */
static bool pace_of(const struct forecast_input *in, const struct forecast *f, double *per_ms)
{
    bool brief = in->window->kind == WINDOW_SLIDING && in->window->length_ms < FORECAST_SHORT_MS;

    if (f->per_hour != UNKNOWN && !brief)
        *per_ms = (double)f->per_hour / HOUR_MS;
    else if (f->per_minute != UNKNOWN)
        *per_ms = (double)f->per_minute / MINUTE_MS;
    else
        return false;
    return true;
}

/* When so much more is spent at this pace; UNKNOWN: not before end_ms. */
static int64_t reached_ms(const struct forecast_input *in, double per_ms, int64_t end_ms)
{
    double left = (double)in->limit - (double)in->spent - (double)in->reserved;

    if (left <= 0)
        return in->now_ms;
    double after_ms = per_ms > 0 ? left / per_ms : 1e18;
    if (after_ms >= (double)(end_ms < INT64_MAX ? end_ms - in->now_ms : WINDOW_SLIDING_MAX * 100))
        return UNKNOWN;
    return in->now_ms + (int64_t)after_ms;
}

/* ----------------------------------------------------------------- calendar */

static double by_curve(const struct forecast_input *in, double part)
{
    double usual = curve_at(in->curve, 1), so_far = curve_at(in->curve, part);
    double likeness = usual > 0 ? ((double)in->spent + PRIOR * usual) / (so_far + PRIOR * usual) : 1;

    return (usual - so_far) * likeness;
}

static double by_rate(const struct forecast_input *in, const struct forecast *f)
{
    double left_ms = (double)(in->end_ms - in->now_ms);
    double mean = (double)in->spent / (double)(in->now_ms - in->start_ms);
    double hour = f->per_hour != UNKNOWN ? (double)f->per_hour / HOUR_MS : mean;

    return left_ms * (hour < mean ? hour : mean);
}

static bool is_curved(const struct forecast_input *in)
{
    return in->window->kind != WINDOW_HOUR && in->curve != NULL && in->curve->windows > 0 &&
           curve_at(in->curve, 1) > 0;
}

/* At the last hour's pace, as far as the window goes. */
static int64_t reached_by_pace_ms(const struct forecast_input *in, const struct forecast *f)
{
    return f->per_hour != UNKNOWN ? reached_ms(in, (double)f->per_hour / HOUR_MS, in->end_ms) : UNKNOWN;
}

static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
    return a_ms == UNKNOWN || (b_ms != UNKNOWN && b_ms < a_ms) ? b_ms : a_ms;
}

static void calendar(const struct forecast_input *in, struct forecast *out)
{
    double part = (double)(in->now_ms - in->start_ms) / (double)(in->end_ms - in->start_ms);

    out->exhausted_ms = reached_by_pace_ms(in, out);
    if (part < FORECAST_PART_MIN || in->now_ms >= in->end_ms) {
        out->basis = FORECAST_TOO_YOUNG;
        return;
    }
    out->basis = is_curved(in) ? FORECAST_CURVE : FORECAST_RATE;
    double rest = is_curved(in) ? by_curve(in, part) : by_rate(in, out);
    out->projected = amount_of((double)in->spent + rest);
    out->exhausted_ms =
        earlier(out->exhausted_ms, reached_ms(in, rest / (double)(in->end_ms - in->now_ms), in->end_ms));
    out->alarm = (double)in->spent + rest > (double)in->limit * (1 + FORECAST_MARGIN * (1 - part));
}

/* ------------------------------------------------------------------- others */

int64_t forecast_near_ms(const struct window *w)
{
    return w->length_ms / 4 < FORECAST_NEAR_MS ? w->length_ms / 4 : FORECAST_NEAR_MS;
}

static void sliding(const struct forecast_input *in, struct forecast *out)
{
    double near_ms = (double)forecast_near_ms(in->window), per_ms;

    if (!pace_of(in, out, &per_ms)) {
        out->basis = FORECAST_TOO_YOUNG;
        return;
    }
    out->basis = FORECAST_RATE;
    double grows = per_ms - (double)in->goes_out / near_ms;
    out->projected = amount_of(per_ms * (double)in->window->length_ms);
    out->exhausted_ms = reached_ms(in, grows, INT64_MAX);
    out->alarm = (double)in->spent + grows * near_ms > (double)in->limit;
}

static void endless(const struct forecast_input *in, struct forecast *out)
{
    double per_ms;

    out->basis = pace_of(in, out, &per_ms) ? FORECAST_RATE : FORECAST_TOO_YOUNG;
    if (out->basis == FORECAST_RATE)
        out->exhausted_ms = reached_ms(in, per_ms, INT64_MAX);
}

void forecast_make(const struct forecast_input *in, struct forecast *out)
{
    *out = (struct forecast){ .per_minute = burn_rate(in->burn, BURN_MINUTE, in->now_ms),
                              .per_hour = burn_rate(in->burn, BURN_HOUR, in->now_ms),
                              .projected = UNKNOWN,
                              .exhausted_ms = UNKNOWN,
                              .basis = FORECAST_NO_CALLS };
    if (in->calls > 0 && in->window->kind <= WINDOW_MONTH)
        calendar(in, out);
    else if (in->calls > 0 && in->window->kind == WINDOW_SLIDING)
        sliding(in, out);
    else if (in->calls > 0)
        endless(in, out);
    if (in->spent >= in->limit || (double)in->spent + (double)in->reserved >= (double)in->limit)
        out->exhausted_ms = in->now_ms;
    out->over = out->projected != UNKNOWN && out->projected > in->limit;
    out->alarm = out->alarm && in->calls >= FORECAST_CALLS_MIN && in->spent < in->limit;
}

const char *forecast_basis_name(int basis)
{
    static const char *const names[] = { "curve", "rate", "no_calls", "too_young", "counting" };

    return basis >= 0 && (size_t)basis < sizeof names / sizeof *names ? names[basis] : NULL;
}
