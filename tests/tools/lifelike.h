/* SPDX-License-Identifier: MIT
 *
 * lifelike.h: the traffic of a gateway with many users, as a pure function of (seed, number): whoever
 * knows both can say again what event that was, so that sums can be checked exactly. Pure: any thread.
 *
 * LIFE_SLOTS sessions live at any time. A slot is one session after another, cut at random places,
 * so that a session lasts between a few and some hundred rounds; a round is LIFE_SLOTS events, each in
 * a slot of its own draw: few slots are busy, most are not. Everything else hangs on the session: its
 * user (few have many sessions), who keeps to one or two agents and models, and, in every other slot,
 * now and then a parent in the slot before it, which may have one itself. Identifiers have the forms and
 * lengths that OpenClaw and the providers give them. Tokens and times have long tails. A combination
 * of names fails in its own one way, one call in 25.
 *
 * With 1,000 users and 50 agents that makes 4,000 to 5,000 combinations of names.
 */
#ifndef TESTS_LIFELIKE_H
#define TESTS_LIFELIKE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../../include/tollgate.h"

#define LIFE_SLOTS  512 /* sessions that live at the same time */
#define LIFE_CUTS   8   /* sessions of one slot in one block of rounds */
#define LIFE_RUN    4   /* rounds that one run lasts */
#define LIFE_MODELS 10
#define LIFE_TEXT   80

struct life_shape {
    uint64_t seed;
    unsigned agents, users;
    unsigned calls; /* of a session, in the mean; > 0 */
};

/* Where the strings of one event live. Reused from event to event. */
struct life_text {
    char session[LIFE_TEXT], parent[LIFE_TEXT], root[LIFE_TEXT], agent[LIFE_TEXT], user[LIFE_TEXT];
    char run[LIFE_TEXT], call[LIFE_TEXT], response[LIFE_TEXT], trace[LIFE_TEXT], span[LIFE_TEXT];
    char team[LIFE_TEXT];
    struct tg_tag tag;
};

/* An event, and what it is to be summed under. */
struct life_event {
    struct tg_dispatch d;
    unsigned agent, user, model;
};

static const struct {
    const char *provider, *model, *alias, *response;
    unsigned response_len; /* random characters after the prefix */
} life_models[LIFE_MODELS] = {
    { "anthropic", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5", "msg_01", 22 },
    { "anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5", "msg_01", 22 },
    { "anthropic", "claude-opus-4-1-20250805", NULL, "msg_01", 22 },
    { "openai", "gpt-5.1", NULL, "chatcmpl-", 29 },
    { "openai", "gpt-5-mini", NULL, "chatcmpl-", 29 },
    { "openai", "gpt-5-codex", NULL, "resp_", 48 },
    { "google", "gemini-2.5-pro", NULL, "", 22 },
    { "google", "gemini-2.5-flash", NULL, "", 22 },
    { "openrouter", "qwen/qwen3-coder", "openrouter/auto", "gen-1795204516-", 20 },
    { "ollama", "llama3.3:70b", NULL, "chatcmpl-", 12 },
};
static const char *const life_roles[] = { "main",      "researcher", "coder", "reviewer",
                                          "secretary", "support",    "ops" };
static const char *const life_places[] = { "telegram", "slack", "discord", "whatsapp", "webchat", "msteams" };
static const struct {
    enum tg_status status;
    const char *error_type;
    int http_status;
} life_failures[8] = {
    { TG_STATUS_ERROR, "rate_limit", 429 }, { TG_STATUS_ERROR, "rate_limit", 429 },
    { TG_STATUS_ERROR, "overloaded", 529 }, { TG_STATUS_ERROR, "http_500", 500 },
    { TG_STATUS_TIMEOUT, "timeout", -1 },   { TG_STATUS_TIMEOUT, "timeout", -1 },
    { TG_STATUS_ABORTED, "aborted", -1 },   { TG_STATUS_BLOCKED, "content_filter", 400 },
};

/* -------------------------------------------------------------------- draws */

static inline uint64_t life_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

/* 64 random bits for the nth thing of a kind. */
static inline uint64_t life_draw(const struct life_shape *shape, unsigned kind, uint64_t n)
{
    return life_mix((n + 1) * 0x9e3779b97f4a7c15ULL + (shape->seed << 8 | kind) * 0xd1b54a32d192ed03ULL);
}

/* 0 <= result < n, the low ones far likelier: the first of a thousand has 3 % of all. */
static inline unsigned life_skewed(uint32_t bits, unsigned n)
{
    const uint64_t u = bits >> 4; /* 28 bits */

    return (unsigned)((u * u >> 28) * n >> 28);
}

/* From 2^least to 2^(least + bits + 1), as a log-normal: most in the middle, a long tail. */
static inline int64_t life_long_tailed(uint64_t r, unsigned least, unsigned bits)
{
    const unsigned k = least + (unsigned)__builtin_popcountll(r & ((1U << bits) - 1));

    return ((int64_t)1 << k) + (int64_t)(r >> bits & (((uint64_t)1 << k) - 1));
}

/* -------------------------------------------------------------------- texts */

static inline char *life_append(char *at, const char *text)
{
    const size_t len = strlen(text);

    memcpy(at, text, len + 1);
    return at + len;
}

/* Eight hexadecimal digits. */
static inline char *life_hex8(char *at, uint32_t bits)
{
    uint64_t x = bits;

    x = (x << 16 | x) & 0x0000ffff0000ffffULL;
    x = (x << 8 | x) & 0x00ff00ff00ff00ffULL;
    x = (x << 4 | x) & 0x0f0f0f0f0f0f0f0fULL;
    x += 0x3030303030303030ULL + ((x + 0x0606060606060606ULL) >> 4 & 0x0101010101010101ULL) * 0x27;
    memcpy(at, &x, 8);
    at[8] = 0;
    return at + 8;
}

static inline char *life_hex16(char *at, uint64_t bits)
{
    return life_hex8(life_hex8(at, (uint32_t)bits), (uint32_t)(bits >> 32));
}

static inline char *life_uuid(char *at, uint64_t bits)
{
    char hex[40];

    life_hex16(life_hex16(hex, bits), life_mix(bits));
    memcpy(at, hex, 8);
    memcpy(at + 9, hex + 8, 4);
    memcpy(at + 14, hex + 12, 4);
    memcpy(at + 19, hex + 16, 4);
    memcpy(at + 24, hex + 20, 13);
    at[8] = at[13] = at[18] = at[23] = '-';
    at[14] = '4';
    return at + 36;
}

/* n random letters and digits, ten from each mix. */
static inline char *life_letters(char *at, uint64_t seed, unsigned n)
{
    static const char set[65] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzAZ";
    uint64_t bits = seed;

    for (unsigned i = 0; i < n; i++, bits >>= 6) {
        if (i % 10 == 0)
            bits = life_mix(seed + i + 1);
        at[i] = set[bits & 63];
    }
    at[n] = 0;
    return at + n;
}

static inline char *life_decimal(char *at, uint64_t n, unsigned width)
{
    char digits[20];
    unsigned len = 0;

    do
        digits[len++] = (char)('0' + n % 10);
    while ((n /= 10) > 0 || len < width);
    while (len > 0)
        *at++ = digits[--len];
    *at = 0;
    return at;
}

/* ----------------------------------------------------------------- sessions */

/* The session that lives in a slot in this round; sessions are counted over all slots. */
static inline uint64_t life_session_at(const struct life_shape *shape, unsigned slot, uint64_t round)
{
    const uint64_t length = (uint64_t)LIFE_CUTS * shape->calls, block = round / length,
                   place = round % length;
    const uint64_t first = (block * LIFE_SLOTS + slot) * LIFE_CUTS;
    uint64_t bits = 0;
    unsigned passed = 0;

    for (unsigned i = 0; i < LIFE_CUTS - 1; i++, bits >>= 16) {
        if (i % 4 == 0)
            bits = life_draw(shape, 1, first + i);
        passed += (bits & 0xffff) * length >> 16 <= place;
    }
    return first + passed;
}

struct life_who {
    uint64_t draw; /* of the session */
    unsigned user, profile;
    bool child;
};

/* Three ways to work: what the user does most, a second one that half of them have, sub-agents. */
static inline struct life_who life_who(const struct life_shape *shape, uint64_t session, bool child)
{
    const uint64_t r = life_draw(shape, 2, session);
    struct life_who who = { .draw = r, .child = child };

    who.user = life_skewed((uint32_t)r, shape->users);
    who.profile = child ? 2 : (r >> 32 & 3) == 0 && who.user % 2 == 0 ? 1 : 0;
    return who;
}

static inline unsigned life_agent_of(const struct life_shape *shape, const struct life_who *who)
{
    return (who->user + (who->profile == 1 ? 7 : 0)) % shape->agents;
}

static inline char *life_agent_name(char *at, unsigned agent)
{
    return life_decimal(life_append(life_append(at, life_roles[agent % 7]), "-"), agent, 2);
}

static inline char *life_user_name(char *at, unsigned user)
{
    return life_decimal(life_append(at, "user-"), user, 4);
}

/* A session's own id: OpenClaw's UUID, or a key, as gateways make them that have nothing else. */
static inline void life_session_name(const struct life_shape *shape, uint64_t session, bool child, char *out)
{
    const struct life_who who = life_who(shape, session, child);

    if ((who.draw >> 40 & 3) != 0) {
        life_uuid(out, life_mix(who.draw));
        return;
    }
    out = life_append(life_agent_name(life_append(out, "agent:"), life_agent_of(shape, &who)), ":");
    out = life_append(life_append(out, child ? "subagent" : life_places[who.user % 6]), ":");
    life_hex16(out, who.draw);
}

/* Slots 1 and 3 of four have sub-agents now and then; 3's may have them from 2's, which are 1's. */
static inline bool life_is_child(const struct life_shape *shape, unsigned slot, uint64_t session)
{
    const uint64_t r = life_draw(shape, 3, session);

    return slot % 4 == 1 ? r % 10 < 4 : slot % 4 == 2 ? r % 10 < 1 : slot % 4 == 3 ? r % 10 < 3 : false;
}

/* Names the session, its parent and its root. The parent is the session that stands at the same place of
 * the slot before: the same one for all of a child's events. */
static inline void life_family(const struct life_shape *shape, unsigned slot, uint64_t session, bool child,
                               struct life_text *text, struct tg_dispatch *d)
{
    d->session_id = text->session;
    life_session_name(shape, session, child, text->session);
    if (!child)
        return;
    const uint64_t parent = session - LIFE_CUTS;
    const bool grandchild = life_is_child(shape, slot - 1, parent);
    d->parent_session_id = text->parent;
    life_session_name(shape, parent, grandchild, text->parent);
    d->root_session_id = text->parent;
    for (uint64_t at = parent; life_is_child(shape, --slot, at); d->root_session_id = text->root) {
        at -= LIFE_CUTS;
        life_session_name(shape, at, life_is_child(shape, slot - 1, at), text->root);
    }
}

/* ------------------------------------------------------------------- events */

static inline void life_names(const struct life_shape *shape, const struct life_who *who,
                              struct life_text *text, struct life_event *e)
{
    struct tg_dispatch *d = &e->d;
    const unsigned place = who->user % 6;

    e->user = who->user;
    e->agent = life_agent_of(shape, who);
    e->model = (who->user + who->user / 7 + who->profile * 3) % LIFE_MODELS;
    life_agent_name(text->agent, e->agent);
    life_user_name(text->user, e->user);
    d->agent_id = text->agent;
    d->user_id = text->user;
    d->provider = life_models[e->model].provider;
    d->model = life_models[e->model].model;
    d->requested_model = who->user % 4 == 0 ? life_models[e->model].alias : NULL;
    d->trigger = who->profile == 2 ? TG_TRIGGER_SUBAGENT : TG_TRIGGER_USER;
    if (who->profile == 1)
        d->trigger = who->user % 4 == 0 ? TG_TRIGGER_HEARTBEAT : TG_TRIGGER_CRON;
    d->lane = d->trigger == TG_TRIGGER_USER       ? "main"
              : d->trigger == TG_TRIGGER_SUBAGENT ? "subagent"
                                                  : "cron";
    if (d->trigger == TG_TRIGGER_USER) {
        d->surface = who->user % 5 == 0   ? "chat_completions"
                     : who->user % 5 == 1 ? "responses"
                                          : life_places[place];
        d->channel = who->user % 5 < 2 ? NULL : life_places[place];
    }
    if (who->user % 3 == 0) {
        life_decimal(life_append(text->team, "team-"), who->user % 12, 2);
        text->tag = (struct tg_tag){ "team", text->team };
        d->tags = &text->tag;
        d->tag_count = 1;
    }
}

/* A run is some calls one after the other; n tells its calls apart. */
static inline void life_ids(const struct life_shape *shape, uint64_t session, uint64_t round, uint64_t n,
                            const struct life_who *who, struct life_text *text, struct tg_dispatch *d)
{
    const uint64_t run = life_draw(shape, 4, session | (round / LIFE_RUN) << 32), r = life_draw(shape, 5, n);

    life_uuid(who->user % 5 == 0 && who->profile == 0 ? life_append(text->run, "chatcmpl_") : text->run, run);
    life_decimal(life_append(life_append(text->call, text->run), ":model:"), 1 + round % LIFE_RUN, 1);
    life_hex16(life_hex16(text->trace, life_mix(run + 2)), life_mix(run + 3));
    life_hex16(text->span, r);
    d->run_id = text->run;
    d->call_id = text->call;
    d->trace_id = text->trace;
    d->span_id = text->span;
    d->attempt = 1 + ((r & 63) == 0);
}

static inline void life_usage(uint64_t r, unsigned model, struct tg_dispatch *d)
{
    struct tg_usage *u = &d->usage;

    u->prompt_tokens = life_long_tailed(r, 9, 8);
    u->completion_tokens = life_long_tailed(r >> 20, 4, 7);
    u->total_tokens = u->prompt_tokens + u->completion_tokens;
    u->cached_tokens = u->prompt_tokens / 16 * (int64_t)(r >> 36 & 15);
    if (model < 3) { /* Anthropic */
        u->cache_write_tokens = (u->prompt_tokens - u->cached_tokens) / 2;
        u->cache_write_1h_tokens = 0;
    } else {
        u->reasoning_tokens = u->completion_tokens / 2;
    }
    d->tool_calls = (int64_t)(r >> 40 & 7) < 5 ? 1 : (int64_t)(r >> 44 & 3);
    if (model == 8) /* OpenRouter tells what it takes */
        d->cost_reported_nanousd = u->prompt_tokens * 220 + u->completion_tokens * 950;
}

static inline void life_outcome(const struct life_shape *shape, uint64_t n, unsigned model,
                                const struct life_who *who, struct life_text *text, struct tg_dispatch *d)
{
    const uint64_t r = life_draw(shape, 6, n);

    d->latency_ms = life_long_tailed(r >> 8, 8, 8);
    if (r % 25 == 0) {
        const unsigned how = (who->user + who->profile) % 8;
        d->status = life_failures[how].status;
        d->error_type = life_failures[how].error_type;
        d->http_status = life_failures[how].http_status;
        return;
    }
    d->status = TG_STATUS_OK;
    d->http_status = 200;
    d->ttft_ms = d->latency_ms / 16 * (1 + (int64_t)(r >> 60 & 3));
    life_usage(life_mix(r), model, d);
    life_letters(life_append(text->response, life_models[model].response), r,
                 life_models[model].response_len);
    d->response_id = text->response;
}

/* Fills *out with event number n; its strings lie in *text. Its time is the caller's to set. */
static inline void life_make(const struct life_shape *shape, uint64_t n, struct life_text *text,
                             struct life_event *out)
{
    const uint64_t round = n / LIFE_SLOTS;
    const unsigned slot = life_skewed((uint32_t)life_draw(shape, 7, n), LIFE_SLOTS);
    const uint64_t session = life_session_at(shape, slot, round);
    const struct life_who who = life_who(shape, session, life_is_child(shape, slot, session));

    *out = (struct life_event){ .d = TG_DISPATCH_INIT };
    life_family(shape, slot, session, who.child, text, &out->d);
    life_names(shape, &who, text, out);
    life_ids(shape, session, round, n, &who, text, &out->d);
    life_outcome(shape, n, out->model, &who, text, &out->d);
}

#endif
