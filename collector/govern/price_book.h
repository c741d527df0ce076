/* SPDX-License-Identifier: MIT
 *
 * price_book.h: the inside of a price list: what price_load.c and price_own.c build and price_list.c
 * searches. For these files only.
 */
#ifndef COLLECTOR_PRICE_BOOK_H
#define COLLECTOR_PRICE_BOOK_H

#include "price_list.h"

struct price_model {
    const char *id;
    struct price_rule *rule;
    const struct price *price; /* later ones are tried first; NULL: it has none */
    unsigned prices;
};

struct price_provider {
    const char *id;
    struct price_rule *rule;       /* of names by which it is called too; NULL: none */
    struct price_rule *model_rule; /* of models that are its own; NULL: it claims none */
    const char **fallback;         /* ids of the providers whose models it has too */
    unsigned fallbacks, models;
    struct price_model *model;
};

/* An entry of the operator. Those with the same match stand together, in the place of their first. */
struct price_own {
    char *provider, *model; /* patterns, their letters small; NULL: any, the unknown too */
    unsigned group;
    struct price price;
};

/* All memory but the regexes is the arena's. */
struct price_list {
    struct arena arena;
    const char *source, *version, *date;
    const char *label; /* source and version */
    struct price_provider *provider;
    unsigned providers;
    struct price_own *own;
    unsigned owns;
    const struct price **all;
    size_t count, room;
};

/* A copy in the arena; NULL: no memory, or text is NULL. */
char *price_keep(struct arena *arena, const char *text);

/* Rates, tiers, request, free, from and daily of an entry, into *out (of which source, provider, model and
 * context are left alone). name: the entry's, for *fault. */
int price_entry_parse(const json_t *given, const char *name, struct arena *arena, struct price *out,
                      struct fault *fault);

int price_own_load(struct price_list *l, const json_t *overrides, struct fault *fault);

/* The operator's price, or NULL; narrows the span in which the answer is the same. An unknown name is empty.
 */
const struct price_own *price_own_find(const struct price_list *l, const struct price_name *provider,
                                       const struct price_name *model, int64_t ts_ms, int64_t *since_ms,
                                       int64_t *until_ms);

#endif
