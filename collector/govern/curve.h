/* SPDX-License-Identifier: MIT
 *
 * curve.h: how an account's windows were spent over their length: in the mean of the last ones, up to
 * CURVE_WINDOWS, by sixteenths of the window. It learns by being looked at; what lies between two looks is
 * taken to have been even. Amounts in the account's unit. Pure.
 */
#ifndef COLLECTOR_CURVE_H
#define COLLECTOR_CURVE_H

#include <stdbool.h>
#include <stdint.h>

#define CURVE_SLOTS   16
#define CURVE_WINDOWS 7

struct curve {
    int64_t start_ms, end_ms;  /* the window that runs; UNKNOWN: none does */
    int64_t look_ms, look;     /* the last look at it, and what was spent then */
    bool whole;                /* it has been looked at from its beginning */
    uint8_t windows;           /* over how many the mean goes */
    int64_t mean[CURVE_SLOTS]; /* spent when 1/16, 2/16, ... of the window were over */
    int64_t now[CURVE_SLOTS];  /* the same of the window that runs, as far as it was looked at */
};

/* Nothing is known. */
void curve_init(struct curve *c);

/* A window begins, or one that runs is seen for the first time; whole: nothing of it has been missed. */
void curve_begin(struct curve *c, int64_t start_ms, int64_t end_ms, bool whole);

/* What is spent of it at a time. True: a sixteenth more is over. */
bool curve_look(struct curve *c, int64_t now_ms, int64_t spent);

/* It is over, and came to so much: it joins the mean if it was seen whole. */
void curve_finish(struct curve *c, int64_t total);

/* What was spent, in the mean, when part (0 to 1) of the window was over. windows must not be 0. */
double curve_at(const struct curve *c, double part);

#endif
