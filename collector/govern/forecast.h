/* SPDX-License-Identifier: MIT
 *
 * forecast.h: what an account will have spent when its window ends, and when its limit will be reached. Pure.
 *
 * The method, for a window of the calendar:
 *   curve   (a day, week or month, where at least one whole window before is known) what is spent, plus what
 *           the windows before still spent from this point on, in the mean of up to seven, times how this
 *           window compares with them so far: (spent + u/4) / (theirs so far + u/4), where u is what they
 *           came to, so that a window's first calls say little
 *   rate    (an hour, or nothing before is known) what is spent, plus the rest of the window at the pace of
 *           the last hour or at the window's own mean so far, whichever is the smaller; if the hour's is not
 *           known yet, at the mean
 * Its limit is reached at the last hour's pace, or along this projection if that is earlier.
 * A sliding window's projection (basis rate) is the pace times its length: what it will hold if the pace goes
 * on; the pace is the hour's, the minute's where that is not known or the window is shorter than ten minutes.
 * Its limit is reached at that pace, less what goes out of it as it does in the next half hour, or in a
 * quarter of its length if that is less. A window that is a session or everything has no end to project to;
 * its pace is the hour's, else the minute's.
 *
 * The median error, and what nine of ten errors are below, over 18 weeks of five teams from six seeds
 * (tests/tools/history.h; tests/collector/test_forecast.c prints and checks them), and of the alarms how many
 * were right and how many of the windows that passed their limit had one before, with limits at the half,
 * three quarters and 95 % of the team's windows (of sliding ones, with limits at 80, 95 and
 * 99 %, right and told: 1h 79 and 79 %, 5h 88 and 92 %, 24h 88 and 94 %):
 */
/* clang-format off */
/*
 *   window   25 % over      50 % over      75 % over     alarms right   passed and told
 *   hour     33 %,  91 %    23 %,  71 %    14 %,  33 %    80 %            81 %
 *   day      12 %,  89 %     7 %,  51 %     2 %,  13 %    84 %            87 %
 *   week     10 %,  25 %     6 %,  17 %     3 %,   8 %    82 %            93 %
 *   month     7 %,  16 %     4 %,  11 %     3 %,   6 %    92 %            92 %
 */
/* clang-format on */
#ifndef COLLECTOR_FORECAST_H
#define COLLECTOR_FORECAST_H

#include "burn.h"
#include "curve.h"
#include "window.h"

#define FORECAST_PART_MIN  0.1  /* of the window must be over before there is a projection */
#define FORECAST_CALLS_MIN 10   /* calls of the window before there is an alarm */
#define FORECAST_MARGIN    0.25 /* of the limit, times the part of the window that is left, see over */
#define FORECAST_SHORT_MS  ((int64_t)10 * 60 * 1000)
#define FORECAST_NEAR_MS   ((int64_t)30 * 60 * 1000) /* see forecast_near_ms */

enum forecast_basis {
    FORECAST_CURVE,
    FORECAST_RATE,
    /* nothing is projected, because */
    FORECAST_NO_CALLS,  /* none has come in this window */
    FORECAST_TOO_YOUNG, /* too little of the window is over, or its pace is not known yet */
    FORECAST_COUNTING   /* what was before the budget is still being added: whoever has it says so */
};

/* An account as it stands. */
struct forecast_input {
    const struct window *window; /* borrowed, as the next two */
    const struct burn *burn;
    const struct curve *curve; /* NULL: nothing is known of windows before */
    int64_t start_ms, end_ms;  /* of a calendar window; counted from start_ms on */
    int64_t spent, reserved, limit, now_ms, calls;
    int64_t goes_out; /* of a sliding window: so much of spent will have gone out of it in forecast_near_ms */
};

struct forecast {
    int64_t per_minute, per_hour; /* UNKNOWN */
    int64_t projected;            /* UNKNOWN: basis says why, or the window has no end */
    int64_t exhausted_ms; /* when spent and reserved reach the limit; now_ms: they have; UNKNOWN: not in
                             this window, or nobody knows */
    enum forecast_basis basis;
    bool over; /* projected is more than the limit */
    /* It is worth to be told: FORECAST_CALLS_MIN have come, the limit has not been reached, and projected is
     * above limit * (1 + FORECAST_MARGIN * the part that is left), or a sliding window will be full in
     * forecast_near_ms. */
    bool alarm;
};

/* How far a sliding window is looked ahead for an alarm: a quarter of it, FORECAST_NEAR_MS at most. */
int64_t forecast_near_ms(const struct window *w);

void forecast_make(const struct forecast_input *in, struct forecast *out);

/* "curve", "rate", "no_calls", "too_young", "counting". */
const char *forecast_basis_name(int basis);

#endif
