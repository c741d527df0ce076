/* SPDX-License-Identifier: MIT
 *
 * price.h: what one model costs over one span of time, and what a call costs by it. Immutable once made, so
 * any thread may ask; nothing here blocks or allocates but price_json.
 *
 * Rates are nano-dollars per million tokens, so an amount is tokens * rate in femto-dollars (1e-15 USD),
 * exact in 128 bits. A cost is the sum of its amounts, rounded once to nano-dollars, half up.
 *
 * Tokens are counted as schema/wire.md says: the prompt includes cached and cache-write tokens, these
 * include the ones kept for an hour, the completion includes reasoning tokens. Each token is billed once,
 * at the rate of the most special kind it is of. A kind without a rate of its own is billed as the next more
 * general one: cache_write_1h as cache_write, that and cache_read as input, reasoning as output; an entry
 * without input (output) charges nothing for prompts (completions), as one for embeddings.
 *
 * A tier holds for all tokens of a call, completion included, if the whole prompt, cached tokens included,
 * is longer than its threshold: a prompt of exactly `above` tokens is still below.
 */
#ifndef COLLECTOR_PRICE_H
#define COLLECTOR_PRICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/event.h"
#include "../base/money.h"

__extension__ typedef unsigned __int128 femtousd;

#define PRICE_RATE_MAX  (INT64_C(1000000) * NANOUSD_PER_USD) /* a dollar a token */
#define PRICE_TIERS_MAX 16
#define PRICE_DAY_MS    INT64_C(86400000)

enum price_kind {
    PRICE_INPUT,
    PRICE_CACHE_READ,
    PRICE_CACHE_WRITE,
    PRICE_CACHE_WRITE_1H,
    PRICE_OUTPUT,
    PRICE_REASONING,
    PRICE_RATES,
    PRICE_REQUEST = PRICE_RATES, /* per call */
    PRICE_KINDS
};

struct price_tier {
    int64_t above;               /* tokens of the prompt; of the first tier UNKNOWN: it holds from 0 on */
    int64_t rate[PRICE_RATES];   /* of each kind; UNKNOWN: it has no rate of its own */
    int64_t charge[PRICE_RATES]; /* what a token of each kind is charged in the end */
};

struct price {
    const char *source; /* "genai-prices 0.1.8" or "operator"; borrowed from the list, as all text here */
    const char *provider, *model;       /* the entry's ids, or the operator's patterns; "": any */
    int64_t valid_from_ms;              /* 0: ever since */
    int32_t daily_from_ms, daily_to_ms; /* time of day, UTC, over midnight if from > to; UNKNOWN: all day */
    int64_t context_tokens;             /* UNKNOWN */
    int64_t request_nanousd;            /* per call; UNKNOWN: none */
    bool free;                          /* declared so: it costs nothing whatever the tokens */
    unsigned tiers;                     /* at least 1 unless free; upwards by threshold */
    const struct price_tier *tier;
};

/* What a call used; UNKNOWN where nobody told it. */
struct price_usage {
    int64_t prompt_tokens, completion_tokens;
    int64_t cached_tokens, cache_write_tokens, cache_write_1h_tokens, reasoning_tokens;
};

/* What a call costs. False, *out untouched: unknown, because prompt or completion tokens are unknown and are
 * charged for (or decide the tier). Unknown parts of them (cached, cache-write, reasoning) count as none.
 * Contradictions are billed as the whole that was told: cached tokens are cut to the prompt, cache-write
 * tokens to what is left of it, one-hour tokens to the cache-write tokens (and stand in for them where those
 * are unknown), reasoning tokens to the completion. More than NANOUSD_MAX is told as that. */
bool price_cost(const struct price *p, const struct price_usage *u, struct nanousd *out);

/* The same, line by line. Lines without tokens are left out, but of input and output. */
struct price_line {
    enum price_kind kind, rate_of; /* rate_of: the kind whose rate is charged, the same unless it has none */
    int64_t tokens;                /* of PRICE_REQUEST: calls */
    int64_t rate_nanousd;          /* per million tokens; of PRICE_REQUEST: per call */
    femtousd amount;
};
struct price_bill {
    struct price_line line[PRICE_KINDS];
    unsigned lines;
    int64_t tier_above; /* of the tier that holds; UNKNOWN: the first */
    femtousd total;
    struct nanousd rounded;
};
bool price_explain(const struct price *p, const struct price_usage *u, struct price_bill *out);

/* A call with at most so many tokens costs at most this: the dearest tier whatever the prompt, every token of
 * the kind with the highest rate; rounded up. Neither may be UNKNOWN. */
struct nanousd price_worst(const struct price *p, int64_t prompt_tokens, int64_t completion_tokens);

/* The kind whose rate is charged for one: itself, or the next more general one that has a rate. */
enum price_kind price_rate_of(const struct price_tier *t, enum price_kind kind);

/* The model's context window, or UNKNOWN. */
int64_t price_context_tokens(const struct price *p);

/* "input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "request". Static. */
const char *price_kind_name(enum price_kind kind);

/* Everything that decides a cost, as schema/prices.json writes it: {"input": "3", "output": "15", "tiers":
 * [...]}. A new reference; NULL: no memory. The same price gives the same text when dumped with
 * JSON_SORT_KEYS. */
json_t *price_json(const struct price *p);

/* Dollars as a decimal: exact, from nano-dollars ("0.28") and femto-dollars. */
#define PRICE_DECIMAL 48
void price_decimal(int64_t nanousd, char out[PRICE_DECIMAL]);
void price_decimal_femto(femtousd amount, char out[PRICE_DECIMAL]);

/* And back: dollars as a string or a number, at most nine digits after the point, 0 to PRICE_RATE_MAX. A JSON
 * number is read as its shortest decimal, which is what was written up to 15 digits. False: it is none. */
bool price_decimal_parse(const json_t *given, int64_t *nanousd);

#endif
