/* SPDX-License-Identifier: MIT
 *
 * runaway_count.c: adds a call to what is remembered of a subject.
 */
#include <string.h>

#include "../govern/line.h"
#include "runaway_work.h"

#define COMPACTION_CHAIN 4 /* compactions in a row that end well are one: it may be done in stages */

static inline void weigh(struct looking *l, enum runaway_kind kind, int64_t value)
{
    if (value <= l->limit[kind])
        return;
    l->value[kind] = value;
    l->broken |= 1u << kind;
}

/* -------------------------------------------------------------- errors' names */

/* Letters and digits, small; anything else is "_". */
static char plain(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : '_');
}

static bool has_one_of(const char *text, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strstr(text, *names) != NULL)
            return true;
    return false;
}

void names_of_error(struct slice error_type, bool *overflow, bool *payment)
{
    static const char *const overflows[] = { "context_length",   "context_window",
                                             "context_overflow", "context_limit",
                                             "context_size",     "maximum_context",
                                             "prompt_too_long",  "prompt_is_too_l",
                                             "input_too_long",   "input_is_too_lon",
                                             "too_many_tokens",  "request_too_large",
                                             "http_413",         NULL };
    static const char *const payments[] = { "http_402",     "http_429",         "rate_limit",
                                            "ratelimit",    "payment",          "billing",
                                            "quota",        "credit",           "insufficient_",
                                            "too_many_req", "resource_exhaust", NULL };
    char text[128];
    size_t n = error_type.len < sizeof text - 1 ? error_type.len : sizeof text - 1;

    for (size_t i = 0; i < n; i++)
        text[i] = plain(error_type.at[i]);
    text[n] = '\0';
    *overflow = has_one_of(text, overflows);
    *payment = has_one_of(text, payments);
}

/* ------------------------------------------------------------------ in a row */

static void keep_error(struct looking *l, uint64_t error)
{
    struct seen_error *e = &l->r->seen.errors[error & (ERRORS_KEPT - 1)];
    struct slice type = { NULL, 0 };

    if (e->error == error)
        return;
    if (looking_ask(l) == 0)
        type = l->names.error_type;
    e->error = error;
    struct line line = line_of(e->type, sizeof e->type);
    if (type.len > 0)
        line_add(&line, (const char *)type.at, type.len);
    e->http_status =
        (int16_t)(l->call->http_status > 0 && l->call->http_status < 1000 ? l->call->http_status : UNKNOWN);
}

static void fail(struct looking *l, struct seen *s)
{
    uint64_t error = l->known->error + (uint64_t)(l->call->http_status + 1) * 0x9e3779b97f4a7c15ULL +
                     (uint64_t)l->known->status;

    error ^= error >> 32;
    error = error != 0 ? error : 1;
    if (s->errors == 0 || s->error != error) {
        s->error = error;
        s->errors = 0;
        s->error_first_ms = l->call->ts_ms;
        keep_error(l, error);
    }
    s->errors += s->errors < UINT32_MAX;
    weigh(l, RUNAWAY_identical_errors, s->errors);
}

static bool is_payment(const struct looking *l)
{
    int64_t http = l->call->http_status;

    return http == 402 || http == 429 || (http == UNKNOWN && l->known->payment);
}

static void count_end(struct looking *l, struct seen *s)
{
    if (l->end == END_WELL) {
        s->errors = 0;
        if (s->payment.sum > 0)
            ten_clear(&s->payment);
    }
    if (l->end != END_FAILED)
        return;
    fail(l, s);
    if (!is_payment(l))
        return;
    ten_add(&s->payment, l->call->ts_ms);
    weigh(l, RUNAWAY_payment_retries, s->payment.sum);
}

/* ------------------------------------------------------------------ contexts */

/* The narrowest subject says whether the call counts as one: of compactions in a row that end well only the
 * first, and every fourth after it. */
static bool is_one_more(const struct looking *l, struct seen *s)
{
    bool overflow = l->end == END_FAILED && (l->known->overflow || l->call->http_status == 413);

    if (l->known->trigger != TRIGGER_compaction) {
        s->compactions = 0;
        return overflow;
    }
    if (l->end == END_FAILED) {
        s->compactions = 0;
        return true;
    }
    s->compactions = (uint8_t)(s->compactions % COMPACTION_CHAIN + 1);
    return s->compactions == 1;
}

static void count_compaction(struct looking *l, struct seen *s, bool narrowest)
{
    if (narrowest)
        l->compacts = is_one_more(l, s);
    if (!l->compacts)
        return;
    ten_add(&s->compaction, l->call->ts_ms);
    weigh(l, RUNAWAY_compaction_loop, s->compaction.sum);
}

/* By how much the prompt is larger than it ever was, in this sitting and since the last compaction. Another
 * chain of calls in the same session with a shorter prompt (a heartbeat) changes nothing. */
static int64_t grow(const struct looking *l, struct seen *s)
{
    int64_t prompt = l->call->prompt_tokens, most = s->prompt_most;

    if (l->known->trigger == TRIGGER_compaction)
        s->prompt_most = UNKNOWN;
    if (prompt < 0 || l->known->trigger == TRIGGER_compaction || (most != UNKNOWN && prompt <= most))
        return 0;
    s->prompt_most = prompt;
    return most != UNKNOWN ? prompt - most : 0;
}

/* Of the mean of the calls before it; by tokens as soon as one tells them. A call below the floor is none,
 * whatever the mean. */
static void count_outlier(struct looking *l, struct seen *s)
{
    bool by_cost = l->call->tokens < 0;
    int64_t n = by_cost ? l->call->cost_nanousd : l->call->tokens;
    int64_t floor = by_cost ? RUNAWAY_OUTLIER_NANOUSD : RUNAWAY_OUTLIER_TOKENS;

    if (n < 0 || (by_cost && !s->by_cost && s->mean_calls > 0))
        return;
    if (by_cost != s->by_cost) {
        s->by_cost = by_cost;
        s->mean_sum = s->mean_calls = 0;
    }
    if (s->mean_calls >= RUNAWAY_OUTLIER_AFTER && n >= floor && s->mean_sum > 0)
        weigh(l, RUNAWAY_outlier_call, (int64_t)((__int128)n * s->mean_calls / s->mean_sum));
    if (s->mean_sum < INT64_MAX / 2 && s->mean_calls < UINT32_MAX) {
        s->mean_sum += n;
        s->mean_calls++;
    }
}

/* --------------------------------------------------------------------- times */

/* What a clock asks for is no work that goes on: it neither begins a sitting nor prolongs it. */
static void count_sitting(struct looking *l, struct seen *s)
{
    int64_t ts_ms = l->call->ts_ms;

    if (l->known->trigger == TRIGGER_heartbeat || l->known->trigger == TRIGGER_cron)
        return;
    if (s->active_ms == 0 || ts_ms - s->active_ms > RUNAWAY_PAUSE_MS) {
        s->since_ms = ts_ms;
        s->sitting_calls = 0;
        s->prompt_most = UNKNOWN;
    }
    s->active_ms = ts_ms > s->active_ms ? ts_ms : s->active_ms;
    s->sitting_calls += !l->call->final && s->sitting_calls < UINT32_MAX;
    weigh(l, RUNAWAY_session_duration, (s->active_ms - s->since_ms) / 60000);
}

static void count_rates(struct looking *l, struct seen *s, enum runaway_look look)
{
    const struct runaway_call *c = l->call;
    struct minute_slot *slot = minute_slot_of(&s->minute, s->slot, l->bucket);

    if (slot == NULL)
        return;
    if (s->minute.calls == 0 || c->ts_ms < s->minute.first_ms)
        s->minute.first_ms = c->ts_ms;
    if (!c->final)
        minute_few(&s->minute.calls, &slot->calls, 1);
    weigh(l, RUNAWAY_calls_per_minute, s->minute.calls);
    if (c->partial)
        return;
    minute_few(&s->minute.tool_calls, &slot->tool_calls, c->tool_calls);
    minute_many(&s->minute.tokens, &slot->tokens, c->tokens);
    weigh(l, RUNAWAY_tokens_per_minute, (int64_t)s->minute.tokens);
    weigh(l, RUNAWAY_tool_calls_per_minute, s->minute.tool_calls);
    if (look != LOOK_SESSION || l->known->sum)
        return;
    minute_many(&s->minute.growth, &slot->growth, grow(l, s));
    weigh(l, RUNAWAY_context_growth, (int64_t)s->minute.growth);
}

static inline void count_outcome(struct looking *l, struct seen *s, enum runaway_look look)
{
    bool alone = look == LOOK_AGENT && l->at[LOOK_SESSION] == SEEN_NONE;

    if (l->end != END_UNKNOWN)
        count_end(l, s);
    count_compaction(l, s, look == LOOK_SESSION || alone);
    if (look == LOOK_SESSION && !l->known->sum)
        count_outlier(l, s);
}

void runaway_count(struct looking *l, enum runaway_look look)
{
    uint32_t session = l->at[LOOK_SESSION];
    struct seen *s = &l->r->seen.all[l->at[look]];
    int64_t ts_ms = l->call->ts_ms;

    l->limit =
        l->set->limit[look == LOOK_SESSION && l->at[LOOK_ROOT_SESSION] == SEEN_NONE ? LOOK_ALONE : look];
    l->broken = 0;
    if (ts_ms < s->newest_ms - RUNAWAY_LATE_MS)
        return;
    s->newest_ms = ts_ms > s->newest_ms ? ts_ms : s->newest_ms;
    count_sitting(l, s);
    count_rates(l, s, look);
    if (!l->call->partial)
        count_outcome(l, s, look);
    if (look != LOOK_AGENT && session != SEEN_NONE)
        weigh(l, RUNAWAY_subagent_depth, l->r->seen.all[session].depth);
}
