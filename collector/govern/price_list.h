/* SPDX-License-Identifier: MIT
 *
 * price_list.h: what every model costs, and since when: the operator's own prices, then the list that is
 * generated into schema/prices.json and travels in the binary. Immutable once loaded; any thread may ask.
 *
 * Which entry prices a call, by its provider, its model and its own time:
 *   1. The operator's entries, in their order; of entries with the same match the latest that has begun.
 *   2. The list. A named provider is the entry with that id, or the first whose match fits; a provider that
 *      the list does not know has no prices, whatever the model is called. Without a provider (or with
 *      "litellm", which stands for any) a prefix of the model that names a provider decides
 *      ("openrouter/anthropic/..."), else the first provider that claims the model by its name.
 *      Of the provider the first model that fits; then those of the providers it falls back to; then the same
 *      with a date -20250514 in the model written as -2025-05-14; then without prefixes: "models/", and any
 *      that names a provider. Of a model's prices the last whose date or time of day fits, else the first.
 * Letters of ASCII match in both cases. A model that the list knows without a price has none.
 */
#ifndef COLLECTOR_PRICE_LIST_H
#define COLLECTOR_PRICE_LIST_H

#include "fault.h"
#include "price.h"
#include "price_rule.h"

#define PRICE_OVERRIDES_MAX 1000

struct price_list;

/* json: text as in schema/prices.json (borrowed for the call; NULL: the one in the binary). overrides: the
 * operator's prices, NULL: none; a list of {"match": {"provider": pattern, "model": pattern}, "input": usd
 * per million tokens, "output", "cache_read", "cache_write", "cache_write_1h", "reasoning", "request": usd
 * per call, "free": true, "from": date, "tiers": [{"above": tokens, "input": ...}]}, where input and output
 * are needed unless it is free. On success *out is owned by the caller; on failure -1, *fault says why (of
 * overrides its field begins with "prices["), *out is untouched. */
int price_list_load(const char *json, const json_t *overrides, struct price_list **out, struct fault *fault);
void price_list_free(struct price_list *l); /* NULL is fine */

/* The price of a model at a time (Unix milliseconds), NULL: none. Tens of microseconds: remember the answer.
 */
const struct price *price_list_find(const struct price_list *l, struct slice provider, struct slice model,
                                    int64_t ts_ms);

enum price_way { PRICE_BY_NOTHING, PRICE_BY_OPERATOR, PRICE_BY_PROVIDER, PRICE_BY_PREFIX, PRICE_BY_MODEL };

/* The same, and how it came about. */
struct price_found {
    const struct price *price;  /* NULL: none */
    int64_t since_ms, until_ms; /* the answer is the same from since_ms to before until_ms */
    enum price_way way;         /* what decided on the provider */
    const char *provider;       /* the list's id of it, NULL: it knows none; borrowed from the list */
    const char *entry;          /* the model's entry, which may have no price; NULL: there is none */
    struct price_name model;    /* the name that fitted it, or was tried last */
};
void price_list_search(const struct price_list *l, struct slice provider, struct slice model, int64_t ts_ms,
                       struct price_found *out);

/* Every price, in the order in which they are tried; NULL: past the last. */
const struct price *price_list_at(const struct price_list *l, size_t i);

const char *price_list_source(const struct price_list *l);  /* "genai-prices" */
const char *price_list_version(const struct price_list *l); /* "0.1.8" */
const char *price_list_date(const struct price_list *l);    /* "2026-09-23" */

/* The text of schema/prices.json, terminated. */
extern const char prices_text[];

#endif
