/* SPDX-License-Identifier: MIT
 *
 * runaway_window.h: what came within the last minute, and within the last ten, in 16 buckets each: the last
 * 15 and the running one. A sum is never less than what came in that time, and covers one bucket more at the
 * most. For runaway*.c.
 */
#ifndef COLLECTOR_RUNAWAY_WINDOW_H
#define COLLECTOR_RUNAWAY_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define WINDOW_SLOTS     16
#define WINDOW_MINUTE_MS 4000
#define WINDOW_TEN_MS    40000

/* A time before 1970 is none that a call can have; 0 and below stand in one bucket. */
static inline int64_t window_bucket(int64_t ts_ms, int64_t length_ms)
{
    return ts_ms > 0 ? ts_ms / length_ms : 0;
}

/* What is more than fits is not counted: 16,000 calls a second of one subject. */
struct minute_slot {
    uint32_t tokens, growth;
    uint16_t calls, tool_calls;
};

struct minute {
    int64_t at, first_ms; /* the newest bucket; when the first came that is counted, or one before it */
    uint64_t tokens, growth;
    uint32_t calls, tool_calls;
};

static inline void minute_clear(struct minute *m, struct minute_slot slot[WINDOW_SLOTS])
{
    *m = (struct minute){ .at = m->at };
    memset(slot, 0, WINDOW_SLOTS * sizeof *slot);
}

/* Time goes on to a bucket. */
static inline void minute_roll(struct minute *m, struct minute_slot slot[WINDOW_SLOTS], int64_t bucket)
{
    if (bucket - m->at >= WINDOW_SLOTS)
        minute_clear(m, slot);
    else
        for (int64_t i = m->at + 1; i <= bucket; i++) {
            struct minute_slot *s = &slot[i % WINDOW_SLOTS];
            m->calls -= s->calls;
            m->tool_calls -= s->tool_calls;
            m->tokens -= s->tokens;
            m->growth -= s->growth;
            *s = (struct minute_slot){ .calls = 0 };
        }
    m->at = bucket;
}

/* A bucket in which a call is to be counted. NULL: it is older than what is counted. */
static inline struct minute_slot *minute_slot_of(struct minute *m, struct minute_slot slot[WINDOW_SLOTS],
                                                 int64_t bucket)
{
    if (bucket > m->at)
        minute_roll(m, slot, bucket);
    return bucket > m->at - WINDOW_SLOTS ? &slot[(uint64_t)bucket % WINDOW_SLOTS] : NULL;
}

/* Each adds to a bucket and its sum; a negative number is unknown. */
static inline void minute_few(uint32_t *sum, uint16_t *to, int64_t n)
{
    if (n <= 0)
        return;
    uint16_t most = (uint16_t)(UINT16_MAX - *to), more = n < most ? (uint16_t)n : most;
    *to = (uint16_t)(*to + more);
    *sum += more;
}

static inline void minute_many(uint64_t *sum, uint32_t *to, int64_t n)
{
    if (n <= 0)
        return;
    uint32_t most = UINT32_MAX - *to, more = n < most ? (uint32_t)n : most;
    *to += more;
    *sum += more;
}

/* When the first was; where others went out of the window before it, the start of its bucket. */
static inline int64_t minute_first_ms(const struct minute *m, const struct minute_slot slot[WINDOW_SLOTS])
{
    int64_t i = m->at - WINDOW_SLOTS + 1;

    while (i < m->at && (i < 0 || slot[i % WINDOW_SLOTS].calls == 0))
        i++;
    return i * WINDOW_MINUTE_MS > m->first_ms ? i * WINDOW_MINUTE_MS : m->first_ms;
}

/* Ten minutes of something that is counted one by one. */
struct ten {
    int64_t first_ms; /* as of a minute */
    uint32_t at, sum;
    uint16_t slot[WINDOW_SLOTS];
};

static inline void ten_clear(struct ten *t)
{
    *t = (struct ten){ .at = t->at };
}

static inline void ten_roll(struct ten *t, uint32_t bucket)
{
    if (bucket <= t->at)
        return;
    if (bucket - t->at >= WINDOW_SLOTS)
        ten_clear(t);
    for (uint32_t i = t->at + 1; t->sum > 0 && i <= bucket; i++) {
        t->sum -= t->slot[i % WINDOW_SLOTS];
        t->slot[i % WINDOW_SLOTS] = 0;
    }
    t->at = bucket;
}

static inline void ten_add(struct ten *t, int64_t ts_ms)
{
    uint32_t bucket = (uint32_t)window_bucket(ts_ms, WINDOW_TEN_MS);
    uint16_t *slot = &t->slot[bucket % WINDOW_SLOTS];

    ten_roll(t, bucket);
    if (t->at - bucket >= WINDOW_SLOTS || *slot == UINT16_MAX)
        return;
    if (t->sum == 0 || ts_ms < t->first_ms)
        t->first_ms = ts_ms;
    (*slot)++;
    t->sum++;
}

static inline int64_t ten_first_ms(const struct ten *t)
{
    int64_t i = (int64_t)t->at - WINDOW_SLOTS + 1;

    while (i < t->at && (i < 0 || t->slot[i % WINDOW_SLOTS] == 0))
        i++;
    return i * WINDOW_TEN_MS > t->first_ms ? i * WINDOW_TEN_MS : t->first_ms;
}

#endif
