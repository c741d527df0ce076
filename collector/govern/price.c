/* SPDX-License-Identifier: MIT */
#include "price.h"

#include <string.h>

#define FEMTO_PER_NANO 1000000u

/* The tokens of a call, each in one kind only. */
struct split {
    int64_t prompt, tokens[PRICE_RATES];
};

static int64_t cut(int64_t n, int64_t most)
{
    return n == UNKNOWN || n < 0 ? 0 : n < most ? n : most;
}

static const struct price_tier *tier_of(const struct price *p, int64_t prompt)
{
    unsigned at = p->tiers - 1;

    while (at > 0 && prompt <= p->tier[at].above)
        at--;
    return &p->tier[at];
}

enum price_kind price_rate_of(const struct price_tier *t, enum price_kind kind)
{
    static const uint8_t general[PRICE_RATES] = {
        [PRICE_INPUT] = PRICE_INPUT,       [PRICE_CACHE_READ] = PRICE_INPUT,
        [PRICE_CACHE_WRITE] = PRICE_INPUT, [PRICE_CACHE_WRITE_1H] = PRICE_CACHE_WRITE,
        [PRICE_OUTPUT] = PRICE_OUTPUT,     [PRICE_REASONING] = PRICE_OUTPUT,
    };

    while (t->rate[kind] == UNKNOWN && general[kind] != kind)
        kind = general[kind];
    return kind;
}

/* Whether any tier charges for tokens of the kinds from first to last. */
static bool charges(const struct price *p, enum price_kind first, enum price_kind last)
{
    for (unsigned i = 0; i < p->tiers; i++)
        for (enum price_kind kind = first; kind <= last; kind++)
            if (p->tier[i].charge[kind] > 0)
                return true;
    return false;
}

/* False: what a call costs depends on tokens that nobody told. */
static bool split(const struct price *p, const struct price_usage *u, struct split *s)
{
    int64_t prompt = u->prompt_tokens, completion = u->completion_tokens;

    if (prompt < 0 && (p->tiers > 1 || charges(p, PRICE_INPUT, PRICE_CACHE_WRITE_1H)))
        return false;
    if (completion < 0 && charges(p, PRICE_OUTPUT, PRICE_REASONING))
        return false;
    prompt = prompt < 0 ? 0 : prompt;
    completion = completion < 0 ? 0 : completion;
    int64_t cached = cut(u->cached_tokens, prompt);
    int64_t told = u->cache_write_tokens < 0 ? u->cache_write_1h_tokens : u->cache_write_tokens;
    int64_t write = cut(told, prompt - cached);
    int64_t hour = cut(u->cache_write_1h_tokens, write);
    int64_t reasoning = cut(u->reasoning_tokens, completion);
    *s = (struct split){
        prompt, { prompt - cached - write, cached, write - hour, hour, completion - reasoning, reasoning }
    };
    return true;
}

static struct nanousd rounded(femtousd sum, unsigned add)
{
    /* A division in 64 bits is much quicker, and nearly every sum has room there. */
    femtousd n = sum >> 63 == 0 ? ((uint64_t)sum + add) / FEMTO_PER_NANO : (sum + add) / FEMTO_PER_NANO;

    return (struct nanousd){ n < (femtousd)NANOUSD_MAX ? (int64_t)n : NANOUSD_MAX };
}

bool price_cost(const struct price *p, const struct price_usage *u, struct nanousd *out)
{
    struct split s;
    femtousd sum;

    if (p->free) {
        *out = (struct nanousd){ 0 };
        return true;
    }
    if (!split(p, u, &s))
        return false;
    const struct price_tier *t = tier_of(p, s.prompt);
    sum = p->request_nanousd == UNKNOWN ? 0 : (femtousd)p->request_nanousd * FEMTO_PER_NANO;
    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++)
        if (s.tokens[kind] != 0)
            sum += (femtousd)s.tokens[kind] * (femtousd)t->charge[kind];
    *out = rounded(sum, FEMTO_PER_NANO / 2);
    return true;
}

static void add_line(struct price_bill *b, const struct price_tier *t, enum price_kind kind, int64_t tokens)
{
    struct price_line *line = &b->line[b->lines];

    if (tokens == 0 && kind != PRICE_INPUT && kind != PRICE_OUTPUT)
        return;
    *line = (struct price_line){ kind, price_rate_of(t, kind), tokens, t->charge[kind], 0 };
    line->amount = (femtousd)tokens * (femtousd)line->rate_nanousd;
    b->total += line->amount;
    b->lines++;
}

bool price_explain(const struct price *p, const struct price_usage *u, struct price_bill *out)
{
    struct price_bill b = { .tier_above = UNKNOWN };
    struct split s;

    if (p->free) {
        *out = b;
        return true;
    }
    if (!split(p, u, &s))
        return false;
    const struct price_tier *t = tier_of(p, s.prompt);
    b.tier_above = t->above;
    for (enum price_kind kind = 0; kind < PRICE_RATES; kind++)
        add_line(&b, t, kind, s.tokens[kind]);
    if (p->request_nanousd != UNKNOWN) {
        femtousd amount = (femtousd)p->request_nanousd * FEMTO_PER_NANO;
        b.line[b.lines++] =
            (struct price_line){ PRICE_REQUEST, PRICE_REQUEST, 1, p->request_nanousd, amount };
        b.total += amount;
    }
    b.rounded = rounded(b.total, FEMTO_PER_NANO / 2);
    *out = b;
    return true;
}

static int64_t dearest(const struct price_tier *t, enum price_kind first, enum price_kind last)
{
    int64_t most = 0;

    for (enum price_kind kind = first; kind <= last; kind++)
        if (t->charge[kind] > most)
            most = t->charge[kind];
    return most;
}

struct nanousd price_worst(const struct price *p, int64_t prompt_tokens, int64_t completion_tokens)
{
    femtousd most = 0;

    if (p->free)
        return (struct nanousd){ 0 };
    for (unsigned i = 0; i < p->tiers; i++) {
        const struct price_tier *t = &p->tier[i];
        femtousd sum = (femtousd)prompt_tokens * (femtousd)dearest(t, PRICE_INPUT, PRICE_CACHE_WRITE_1H) +
                       (femtousd)completion_tokens * (femtousd)dearest(t, PRICE_OUTPUT, PRICE_REASONING);
        most = sum > most ? sum : most;
    }
    if (p->request_nanousd != UNKNOWN)
        most += (femtousd)p->request_nanousd * FEMTO_PER_NANO;
    return rounded(most, FEMTO_PER_NANO - 1);
}

int64_t price_context_tokens(const struct price *p)
{
    return p->context_tokens;
}

const char *price_kind_name(enum price_kind kind)
{
    static const char *const names[PRICE_KINDS] = { "input",  "cache_read", "cache_write", "cache_write_1h",
                                                    "output", "reasoning",  "request" };

    return (unsigned)kind < PRICE_KINDS ? names[kind] : NULL;
}
