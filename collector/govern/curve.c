/* SPDX-License-Identifier: MIT */
#include "curve.h"

#include <string.h>

#include "../base/event.h"

/* The nearest number that an amount can be. */
static int64_t amount_of(double value)
{
    return value < 0.5 ? 0 : value >= 9.2233720368547e18 ? INT64_MAX : (int64_t)(value + 0.5);
}

void curve_init(struct curve *c)
{
    *c = (struct curve){ .start_ms = UNKNOWN, .end_ms = UNKNOWN };
}

void curve_begin(struct curve *c, int64_t start_ms, int64_t end_ms, bool whole)
{
    c->start_ms = c->look_ms = start_ms;
    c->end_ms = end_ms;
    c->look = 0;
    c->whole = whole;
    memset(c->now, 0, sizeof c->now);
}

/* How many sixteenths are over. */
static int slots_over(const struct curve *c, int64_t ms)
{
    double part = (double)(ms - c->start_ms) / (double)(c->end_ms - c->start_ms);

    return part <= 0 ? 0 : part >= 1 ? CURVE_SLOTS : (int)(part * CURVE_SLOTS);
}

bool curve_look(struct curve *c, int64_t now_ms, int64_t spent)
{
    int from = slots_over(c, c->look_ms), until = slots_over(c, now_ms);

    spent = spent > 0 ? spent : 0;
    for (int i = from; i < until; i++) {
        double at_ms =
            (double)c->start_ms + (double)(c->end_ms - c->start_ms) * (i + 1) / (double)CURVE_SLOTS;
        double part = now_ms > c->look_ms ? (at_ms - (double)c->look_ms) / (double)(now_ms - c->look_ms) : 1;
        c->now[i] = amount_of((double)c->look + ((double)spent - (double)c->look) * part);
    }
    if (now_ms >= c->look_ms) {
        c->look_ms = now_ms;
        c->look = spent;
    }
    return until > from;
}

void curve_finish(struct curve *c, int64_t total)
{
    if (c->start_ms == UNKNOWN)
        return;
    curve_look(c, c->end_ms, total);
    if (c->whole) {
        if (c->windows < CURVE_WINDOWS)
            c->windows++;
        for (int i = 0; i < CURVE_SLOTS; i++)
            c->mean[i] += (c->now[i] - c->mean[i]) / c->windows;
    }
    c->start_ms = c->end_ms = UNKNOWN;
}

double curve_at(const struct curve *c, double part)
{
    double place = part <= 0 ? 0 : part >= 1 ? CURVE_SLOTS : part * CURVE_SLOTS;
    int slot = (int)place;

    if (slot >= CURVE_SLOTS)
        return (double)c->mean[CURVE_SLOTS - 1];
    double before = slot > 0 ? (double)c->mean[slot - 1] : 0;
    return before + ((double)c->mean[slot] - before) * (place - slot);
}
