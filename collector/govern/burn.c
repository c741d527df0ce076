/* SPDX-License-Identifier: MIT
 *
 * burn.c: a sum fades by a product over the bits of the seconds that have passed: at most
 * FADE_BITS multiplications, mostly one to four, instead of exp().
 */
#include "burn.h"

#include "../base/event.h"

#define FADE_BITS 18 /* more than 72 hours: nothing is left of anything */

static const int64_t known_ms[BURN_SPANS] = { BURN_MINUTE_KNOWN, BURN_HOUR_KNOWN };

/* exp(-2^bit / constant), of a minute and of an hour: so a sum is a rate for that long */
static const double fades[BURN_SPANS][FADE_BITS] = {
    { 0.9834714538216175, 0.9672161004820059, 0.9355069850316178, 0.8751733190429475, 0.7659283383646487,
      0.5866462195100318, 0.34415378686541237, 0.1184418290138037, 0.014028466860135112,
      0.0001967978824459091, 3.8729406535193856e-08, 1.4999669305683165e-15, 2.2499007927985368e-30,
      5.062053577435484e-60, 2.5624386420827384e-119, 6.566091794438829e-238, 0, 0 },
    { 0.9997222607988971, 0.9994445987368581, 0.9988895059442793, 0.9977802450856064, 0.9955654174830928,
      0.9911505004882849, 0.9823793146181776, 0.9650691177896804, 0.931358402111352, 0.8674284731834108,
      0.7524321560893033, 0.5661541495171976, 0.32053052101554125, 0.10273981490249434, 0.0105554695661988,
      0.00011141793776294907, 1.2413956855348393e-08, 1.5410632480645135e-16 },
};

static double fade(enum burn_span span, int64_t seconds)
{
    double left = 1;

    if (seconds >= (int64_t)1 << FADE_BITS)
        return 0;
    for (int bit = 0; seconds > 0; bit++, seconds >>= 1)
        if (seconds & 1)
            left *= fades[span][bit];
    return left;
}

void burn_begin(struct burn *b, int64_t since_ms)
{
    *b = (struct burn){ .second = INT64_MIN, .since_ms = since_ms };
}

void burn_move(struct burn *b, int64_t second, int64_t amount)
{
    if (b->since_ms == BURN_FIRST)
        b->since_ms = second * 1000;
    if (b->second == INT64_MIN)
        b->second = second;
    for (int i = 0; i < BURN_SPANS; i++) {
        if (second > b->second)
            b->sum[i] = b->sum[i] * fade((enum burn_span)i, second - b->second) + (double)amount;
        else
            b->sum[i] += (double)amount * fade((enum burn_span)i, b->second - second);
    }
    if (second > b->second)
        b->second = second;
}

/* A call counts as in the middle of its second. */
static int64_t age_s(const struct burn *b, int64_t now_ms)
{
    int64_t ms = now_ms - b->second * 1000 - 500;

    return b->second == INT64_MIN || ms < 0 ? 0 : (ms + 500) / 1000;
}

int64_t burn_rate(const struct burn *b, enum burn_span span, int64_t now_ms)
{
    if (b->since_ms == BURN_FIRST || now_ms - b->since_ms < known_ms[span])
        return UNKNOWN;
    double seen = 1 - fade(span, (now_ms - b->since_ms) / 1000);
    double rate = b->sum[span] * fade(span, age_s(b, now_ms)) / seen;

    if (rate < 0.5)
        return 0;
    return rate >= 9.2233720368547e18 ? INT64_MAX : (int64_t)(rate + 0.5);
}

bool burn_is_out(const struct burn *b, int64_t now_ms)
{
    return b->sum[BURN_HOUR] * fade(BURN_HOUR, age_s(b, now_ms)) < 0.5;
}
