/* SPDX-License-Identifier: MIT
 *
 * burn.h: how fast an account spends: two sums that fade, with time constants of a minute and of an hour,
 * in the account's unit. By the time of the calls, to the second. 40 bytes, nothing is allocated. Pure;
 * whoever has it owns it.
 *
 * A rate is what the sum says, corrected for the time that was not seen: it is known once a minute
 * (the minute's), or ten (the hour's), has been seen; until then it is UNKNOWN, not 0.
 */
#ifndef COLLECTOR_BURN_H
#define COLLECTOR_BURN_H

#include <stdbool.h>
#include <stdint.h>

enum burn_span { BURN_MINUTE, BURN_HOUR, BURN_SPANS };

#define BURN_FIRST        INT64_MAX /* seen from the first call on: there was nothing before it */
#define BURN_MINUTE_KNOWN ((int64_t)60 * 1000)
#define BURN_HOUR_KNOWN   ((int64_t)10 * 60 * 1000)

struct burn {
    double sum[BURN_SPANS]; /* as of the second */
    int64_t second;         /* Unix, of the latest call */
    int64_t since_ms;       /* all calls of this time and after it are in the sums; BURN_FIRST */
};

/* Nothing yet. */
void burn_begin(struct burn *b, int64_t since_ms);

/* What burn_add does where the second is another one. */
void burn_move(struct burn *b, int64_t second, int64_t amount);

/* A call of this time; amount < 0: it is taken back, at the time that it had. Of before since_ms: nothing
 * happens. */
static inline void burn_add(struct burn *b, int64_t ms, int64_t amount)
{
    int64_t second = ms / 1000;

    if (second != b->second || ms < b->since_ms) {
        if (ms >= b->since_ms || b->since_ms == BURN_FIRST)
            burn_move(b, second, amount);
        return;
    }
    for (int i = 0; i < BURN_SPANS; i++)
        b->sum[i] += (double)amount;
}

/* What is spent in a minute, or in an hour, at the pace of now; UNKNOWN. Not below 0; at most INT64_MAX. */
int64_t burn_rate(const struct burn *b, enum burn_span span, int64_t now_ms);

/* There has been nothing for so long that nothing is left. */
bool burn_is_out(const struct burn *b, int64_t now_ms);

#endif
