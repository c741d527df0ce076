/* SPDX-License-Identifier: MIT
 *
 * burn.c: a sum fades by a product over the octal digits of the seconds that have passed: mostly one or two
 * multiplications instead of exp().
 */
#include "burn.h"

#include "../base/event.h"

#define FADE_PLACES 6 /* more than 72 hours: nothing is left of anything */

static const int64_t known_ms[BURN_SPANS] = { BURN_MINUTE_KNOWN, BURN_HOUR_KNOWN };

/* exp(-digit * 8^place / constant), of a minute and of an hour: so a sum is a rate for that long. */
static const double fades[BURN_SPANS][FADE_PLACES][8] = {
    { { 1, 0.9834714538216175, 0.9672161004820059, 0.951229424500714, 0.9355069850316178, 0.9200444146293233,
        0.9048374180359595, 0.8898817709880238 },
      { 1, 0.8751733190429475, 0.7659283383646487, 0.6703200460356393, 0.5866462195100318, 0.513417119032592,
        0.44932896411722156, 0.39324072086859824 },
      { 1, 0.34415378686541237, 0.1184418290138037, 0.04076220397836621, 0.014028466860135112,
        0.004827949993831441, 0.001661557273173934, 0.000571831227656578 },
      { 1, 0.0001967978824459091, 3.8729406535193856e-08, 7.62186519451289e-12, 1.4999669305683165e-15,
        2.9519031567473517e-19, 5.809282904332702e-23, 1.1432545741018985e-26 },
      { 1, 2.2499007927985368e-30, 5.062053577435484e-60, 1.1389118357060604e-89, 2.5624386420827384e-119,
        5.765232732319641e-149, 1.2971201695113483e-178, 2.9183916977385963e-208 },
      { 1, 6.566091794438829e-238, 0, 0, 0, 0, 0, 0 } },
    { { 1, 0.9997222607988971, 0.9994445987368581, 0.9991670137924583, 0.9988895059442793, 0.9986120751709083,
        0.9983347214509387, 0.9980574447629696 },
      { 1, 0.9977802450856064, 0.9955654174830928, 0.9933555062550344, 0.9911505004882849, 0.9889503892939223,
        0.9867551618071957, 0.984564807187471 },
      { 1, 0.9823793146181776, 0.9650691177896804, 0.9480639384933955, 0.931358402111352, 0.914947228730031,
        0.8988252314716089, 0.8829873148546039 },
      { 1, 0.8674284731834108, 0.7524321560893033, 0.6526810763306461, 0.5661541495171976, 0.4910982295021551,
        0.4259925874001307, 0.36951809967594607 },
      { 1, 0.32053052101554125, 0.10273981490249434, 0.032931246399736776, 0.0105554695661988,
        0.00338335015961739, 0.0010844669894401766, 0.0003476047691494155 },
      { 1, 0.00011141793776294907, 1.2413956855348393e-08, 1.3831374723011397e-12, 1.5410632480645135e-16,
        1.7170208906161982e-20, 1.913069267283586e-24, 2.1315023255841433e-28 } }
};

static double fade(enum burn_span span, int64_t seconds)
{
    double left = fades[span][0][seconds & 7];

    if (seconds >= (int64_t)1 << (3 * FADE_PLACES))
        return 0;
    for (int place = 1; (seconds >>= 3) > 0; place++)
        left *= fades[span][place][seconds & 7];
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
    if (b->second == INT64_MIN || b->second >= now_ms / 1000)
        return 0;
    return (now_ms - b->second * 1000) / 1000;
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
