/* SPDX-License-Identifier: MIT
 *
 * values.h: lifelike dispatches, a pure function of (seed, thread, number): the load generator
 * publishes them, the bare SQLite loop of the benchmarks stores them, and anybody can say without
 * either what they add up to. Pure: any thread.
 *
 * One draw of 64 random bits decides all about an event, so that agent, model and numbers can be
 * told again from (seed, thread, number) alone. A response id is there when the call went well; the
 * span id always names run, thread and number.
 */
#ifndef TESTS_VALUES_H
#define TESTS_VALUES_H

#include <stdint.h>
#include <string.h>

#include "../../include/tollgate.h"

#define VALUES_MODELS 6
#define VALUES_TEXT   64

struct values_shape {
    uint64_t seed;
    unsigned agents, sessions;
    const char *run; /* tells one life of a gateway from the next; part of span and run ids */
};

/* Where the strings of one event live. Reused from event to event. */
struct values_text {
    char session[VALUES_TEXT], agent[VALUES_TEXT], run[VALUES_TEXT], span[VALUES_TEXT], response[VALUES_TEXT];
};

static const struct {
    const char *provider, *model;
} values_models[VALUES_MODELS] = {
    { "anthropic", "claude-sonnet-4-5" },
    { "anthropic", "claude-haiku-4-5" },
    { "openai", "gpt-5.1" },
    { "openai", "gpt-5-mini" },
    { "google", "gemini-2.5-pro" },
    { "openrouter", "qwen3-coder" },
};
static const char *const values_surfaces[] = { "chat_completions", "responses", "webchat", "telegram" };

static inline uint64_t values_draw(const struct values_shape *shape, unsigned thread, uint64_t i)
{
    uint64_t x = shape->seed * 0x9e3779b97f4a7c15ULL + ((uint64_t)thread << 48) + i + 1;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* Which agent and which model that is, for whoever keeps sums. */
static inline unsigned values_agent(const struct values_shape *shape, unsigned thread, uint64_t i)
{
    return (unsigned)(values_draw(shape, thread, i) % shape->agents);
}

static inline unsigned values_model(const struct values_shape *shape, unsigned thread, uint64_t i)
{
    return (unsigned)((values_draw(shape, thread, i) >> 16) % VALUES_MODELS);
}

static inline const char *values_model_name(unsigned model)
{
    return values_models[model].model;
}

/* A decimal after a prefix: snprintf costs more than the call that is measured. */
static inline const char *values_name(char out[VALUES_TEXT], const char *prefix, size_t len, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(out, prefix, len);
    memcpy(out + len, digits + at, sizeof digits - at);
    out[len + sizeof digits - at] = 0;
    return out;
}

/* "<word><run>-<thread>-<i>" */
static inline const char *values_place(char out[VALUES_TEXT], const char *word, const char *run,
                                       unsigned thread, uint64_t i)
{
    char prefix[VALUES_TEXT];
    size_t len = strlen(word), run_len = strnlen(run, VALUES_TEXT - 40);

    memcpy(prefix, word, len);
    memcpy(prefix + len, run, run_len);
    len += run_len;
    prefix[len++] = '-';
    values_name(prefix, prefix, len, thread);
    len = strlen(prefix);
    prefix[len++] = '-';
    return values_name(out, prefix, len, i);
}

static inline void values_make_usage(uint64_t r, struct tg_dispatch *d)
{
    d->usage.prompt_tokens = 200 + (int64_t)(r % 9000);
    d->usage.cached_tokens = d->usage.prompt_tokens * (int64_t)(r >> 20 & 7) / 8;
    d->usage.completion_tokens = 20 + (int64_t)(r >> 24 & 1023);
    d->usage.total_tokens = d->usage.prompt_tokens + d->usage.completion_tokens;
    if ((r >> 40 & 3) == 0)
        d->usage.reasoning_tokens = d->usage.completion_tokens / 2;
}

/* One in sixteen fails: nothing is known of its tokens. */
static inline void values_make_outcome(uint64_t r, struct tg_dispatch *d)
{
    d->latency_ms = 150 + (int64_t)(r >> 30 & 4095);
    if ((r >> 44 & 15) == 0) {
        d->status = (r >> 48 & 1) ? TG_STATUS_TIMEOUT : TG_STATUS_ERROR;
        d->error_type = (r >> 48 & 1) ? "timeout" : "rate_limit";
        d->http_status = (r >> 48 & 1) ? TG_UNKNOWN : 429;
        return;
    }
    d->status = TG_STATUS_OK;
    d->http_status = 200;
    d->ttft_ms = d->latency_ms / 3;
    d->tool_calls = (int64_t)(r >> 50 & 3);
    values_make_usage(r, d);
}

/* Fills *out with event number i of a thread; its strings lie in *text. */
static inline void values_make(const struct values_shape *shape, unsigned thread, uint64_t i,
                               struct values_text *text, struct tg_dispatch *out)
{
    const uint64_t r = values_draw(shape, thread, i);
    const unsigned model = (unsigned)((r >> 16) % VALUES_MODELS);
    struct tg_dispatch d = TG_DISPATCH_INIT;

    d.agent_id = values_name(text->agent, "agent-", 6, r % shape->agents);
    d.session_id = values_name(text->session, "session-", 8, (r >> 8) % shape->sessions);
    d.provider = values_models[model].provider;
    d.model = values_models[model].model;
    d.surface = values_surfaces[r >> 12 & 3];
    d.trigger = (r >> 14 & 3) == 0 ? TG_TRIGGER_HEARTBEAT : TG_TRIGGER_USER;
    d.run_id = values_place(text->run, "run-", shape->run, thread, i / 4);
    d.span_id = values_place(text->span, "", shape->run, thread, i);
    d.attempt = 1;
    values_make_outcome(r, &d);
    if (d.status == TG_STATUS_OK)
        d.response_id = values_place(text->response, "msg_", shape->run, thread, i);
    *out = d;
}

#endif
