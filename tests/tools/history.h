/* SPDX-License-Identifier: MIT
 *
 * history.h: when the calls of some teams come, over weeks, and what they cost: a pure function of (seed,
 * team, minute), so that whoever knows the seed has the same history. Pure: any thread.
 *
 * A team's day has a curve in UTC (office hours with a noon, an even hum, a batch at night, customers all
 * day long), its weekends are quieter, its days differ (a factor between half and double), and it grows
 * or shrinks slowly; in one quarter of a day in six a burst begins, which lasts 10 to 90 minutes and is 4
 * to 18 times the curve. What a call costs has lifelike.h's long tails.
 */
#ifndef TESTS_HISTORY_H
#define TESTS_HISTORY_H

#include "lifelike.h"

#define HISTORY_TEAMS   5
#define HISTORY_DAY     1440 /* minutes; a history begins on a Monday at 00:00 UTC */
#define HISTORY_QUARTER 360
#define HISTORY_TRIES   32 /* calls of one minute at most */

struct history {
    uint64_t seed;
    unsigned pace; /* calls of a team in the mean hour of its busy time; up to 200 */
};

static const struct history_team {
    const char *name;
    uint8_t hour[24]; /* percent of its pace */
    uint8_t weekend;  /* percent of that */
    int drift;        /* thousandths a day */
    bool bursts;
} history_teams[HISTORY_TEAMS] = {
    { "office",
      { 1, 1, 1, 1, 1, 2, 8, 30, 70, 100, 110, 100, 55, 80, 105, 100, 90, 60, 30, 15, 10, 6, 3, 2 },
      12,
      4,
      true },
    { "hum",
      { 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50, 50 },
      100,
      0,
      false },
    { "night",
      { 5, 100, 180, 140, 40, 5, 2, 2, 4, 5, 5, 5, 4, 5, 5, 5, 5, 4, 2, 2, 2, 2, 2, 2 },
      100,
      -2,
      false },
    { "customers",
      { 25, 18, 12, 10, 10, 14, 25, 40, 55, 65, 70, 75, 80, 75, 70, 70, 75, 85, 95, 100, 95, 80, 55, 38 },
      80,
      6,
      true },
    { "research",
      { 4, 3, 2, 2, 2, 2, 3, 8, 20, 30, 35, 35, 30, 35, 35, 35, 30, 28, 25, 22, 20, 15, 10, 6 },
      40,
      2,
      true },
};

static inline uint64_t history_draw(const struct history *h, unsigned team, unsigned kind, uint64_t n)
{
    const struct life_shape shape = { .seed = h->seed * HISTORY_TEAMS + team };

    return life_draw(&shape, 32 + kind, n);
}

/* How many times the curve, if a burst that began in this quarter of a day still lasts; else 0. */
static inline unsigned history_burst(const struct history *h, unsigned team, int64_t quarter, int64_t minute)
{
    const uint64_t r = quarter >= 0 ? history_draw(h, team, 1, (uint64_t)quarter) : 1;
    const int64_t begins = quarter * HISTORY_QUARTER + (int64_t)(r >> 16) % HISTORY_QUARTER;
    const int64_t lasts = 10 + (int64_t)(r >> 40 & 0xff) * 80 / 255;

    return r % 24 < 4 && minute >= begins && minute < begins + lasts ? 4 + (unsigned)(r >> 50) % 15 : 0;
}

/* Thousandths of its pace in this minute. */
static inline uint64_t history_level(const struct history *h, unsigned team, int64_t minute)
{
    const struct history_team *t = &history_teams[team];
    const int64_t day = minute / HISTORY_DAY, hour = minute % HISTORY_DAY / 60,
                  quarter = minute / HISTORY_QUARTER;
    const int64_t part = minute % 60;
    uint64_t level = (uint64_t)(t->hour[hour] * (60 - part) + t->hour[(hour + 1) % 24] * part) / 6;

    if (day % 7 >= 5)
        level = level * t->weekend / 100;
    /* the mean of two draws, each from half to double, as powers of two are */
    const uint64_t r = history_draw(h, team, 2, (uint64_t)day);
    level = level * (500 + (r & 0x3ff) * 500 / 1023 + (r >> 10 & 0x3ff) * 500 / 1023) / 1000;
    level = (uint64_t)((int64_t)level * (1000 + t->drift * day) / 1000);
    if (t->bursts) {
        const unsigned now = history_burst(h, team, quarter, minute),
                       before = history_burst(h, team, quarter - 1, minute);
        level *= now > before ? now : before > 0 ? before : 1;
    }
    return level;
}

/* The calls of one minute. */
static inline unsigned history_calls(const struct history *h, unsigned team, int64_t minute)
{
    const uint64_t level = history_level(h, team, minute);
    /* of HISTORY_TRIES each with this chance of 2^16 */
    const uint64_t chance = level * h->pace * 65536 / 1000 / 60 / HISTORY_TRIES;
    unsigned calls = 0;
    uint64_t bits = 0;

    for (unsigned i = 0; i < HISTORY_TRIES; i++, bits >>= 16) {
        if (i % 4 == 0)
            bits = history_draw(h, team, 3, (uint64_t)minute * 8 + i / 4);
        calls += (bits & 0xffff) < chance;
    }
    return calls;
}

/* The tokens of call number `call` of a minute. */
static inline void history_usage(const struct history *h, unsigned team, int64_t minute, unsigned call,
                                 struct tg_dispatch *d)
{
    life_usage(history_draw(h, team, 4, (uint64_t)minute * HISTORY_TRIES + call), 3, d);
}

/* In nano-dollars, at $1.25 and $10 for a million tokens of prompt and completion. */
static inline int64_t history_cost(const struct tg_dispatch *d)
{
    return d->usage.prompt_tokens * 1250 + d->usage.completion_tokens * 10000;
}

#endif
