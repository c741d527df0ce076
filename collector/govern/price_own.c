/* SPDX-License-Identifier: MIT
 *
 * The operator's prices: they stand before the list.
 */
#include <stdio.h>
#include <string.h>

#include "pattern.h"
#include "price_book.h"

/* ------------------------------------------------------------------ loading */

static int wrong(struct fault *fault, const char *name, const char *field, const char *given,
                 const char *expected)
{
    char where[96];

    snprintf(where, sizeof where, "%s%s%s", name, field[0] ? "." : "", field);
    fault_set(fault, where, given, "%s", expected);
    return -1;
}

static int check_keys(const json_t *given, const char *name, struct fault *fault)
{
    static const char known[] = " match input output cache_read cache_write cache_write_1h reasoning request "
                                "free from tiers ";
    char word[64];

    for (void *at = json_object_iter((json_t *)(uintptr_t)given); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)given, at)) {
        snprintf(word, sizeof word, " %.60s ", json_object_iter_key(at));
        if (strstr(known, word) == NULL)
            return wrong(fault, name, json_object_iter_key(at), "",
                         "one of match, input, output, cache_read, cache_write, cache_write_1h, reasoning, "
                         "request, free, from, tiers");
    }
    return 0;
}

/* A pattern, its letters small. Missing: NULL, any. */
static int load_pattern(struct price_list *l, const json_t *match, const char *name, const char *field,
                        char **out, struct fault *fault)
{
    const json_t *given = json_object_get(match, field);
    struct price_name folded = { 0 };

    *out = NULL;
    if (given == NULL)
        return 0;
    struct slice text = { (const uint8_t *)json_string_value(given), (uint32_t)json_string_length(given) };
    if (!json_is_string(given) || (text.len != 0 && !price_name_read(text, &folded)))
        return wrong(fault, name, field, json_is_string(given) ? json_string_value(given) : "",
                     "a pattern of at most 255 bytes, * stands for any");
    *out = price_keep(&l->arena, folded.text);
    return *out != NULL ? 0 : wrong(fault, name, field, "", "memory");
}

static int load_match(struct price_list *l, const json_t *given, const char *name, struct price_own *own,
                      struct fault *fault)
{
    const json_t *match = json_object_get(given, "match");
    size_t told = (json_object_get(match, "provider") != NULL ? 1u : 0u) +
                  (json_object_get(match, "model") != NULL ? 1u : 0u);
    char at[64];

    snprintf(at, sizeof at, "%s.match", name);
    if (told == 0 || json_object_size(match) != told)
        return wrong(fault, at, "", "", "provider and model, or one of them");
    if (load_pattern(l, match, at, "provider", &own->provider, fault) != 0 ||
        load_pattern(l, match, at, "model", &own->model, fault) != 0)
        return -1;
    own->price.provider = own->provider != NULL ? own->provider : "";
    own->price.model = own->model != NULL ? own->model : "";
    return 0;
}

static int load_own(struct price_list *l, const json_t *given, const char *name, struct price_own *own,
                    struct fault *fault)
{
    *own = (struct price_own){ .price = { .source = "operator", .context_tokens = UNKNOWN } };
    if (!json_is_object(given))
        return wrong(fault, name, "", "", "an object with match and rates");
    if (check_keys(given, name, fault) != 0 || load_match(l, given, name, own, fault) != 0 ||
        price_entry_parse(given, name, &l->arena, &own->price, fault) != 0)
        return -1;
    if (own->price.free)
        return 0;
    if (own->price.tier[0].rate[PRICE_INPUT] == UNKNOWN)
        return wrong(fault, name, "input", "", "US dollars per million tokens, or free: true");
    if (own->price.tier[0].rate[PRICE_OUTPUT] == UNKNOWN)
        return wrong(fault, name, "output", "", "US dollars per million tokens, or free: true");
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Puts the last entry behind those with its match. */
static int group_last(struct price_list *l, const char *name, struct fault *fault)
{
    struct price_own last = l->own[l->owns - 1];
    unsigned at = 0, end;

    while (!same_text(l->own[at].provider, last.provider) || !same_text(l->own[at].model, last.model))
        at++;
    if (at == l->owns - 1) {
        l->own[at].group = at == 0 ? 0 : l->own[at - 1].group + 1;
        return 0;
    }
    last.group = l->own[at].group;
    for (end = at; end < l->owns - 1 && l->own[end].group == last.group; end++)
        if (l->own[end].price.valid_from_ms == last.price.valid_from_ms)
            return wrong(fault, name, "from", "",
                         "another time than that of the entry before with this match");
    memmove(&l->own[end + 1], &l->own[end], (l->owns - 1 - end) * sizeof *l->own);
    l->own[end] = last;
    return 0;
}

int price_own_load(struct price_list *l, const json_t *overrides, struct fault *fault)
{
    size_t count = json_array_size(overrides);
    char name[32];

    if (overrides == NULL)
        return 0;
    if (!json_is_array(overrides) || count > PRICE_OVERRIDES_MAX)
        return wrong(fault, "prices", "", "", "a list of at most 1000 entries");
    if ((l->own = arena_take(&l->arena, (count + 1) * sizeof *l->own)) == NULL)
        return wrong(fault, "prices", "", "", "memory");
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "prices[%zu]", i);
        if (load_own(l, json_array_get(overrides, i), name, &l->own[l->owns], fault) != 0)
            return -1;
        l->owns++;
        if (group_last(l, name, fault) != 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------- search */

/* The latest of a group that has begun; *end: the entry after the group. */
static const struct price_own *latest(const struct price_list *l, unsigned first, int64_t ts_ms,
                                      int64_t *since_ms, int64_t *until_ms, unsigned *end)
{
    const struct price_own *best = NULL;
    unsigned at = first;

    for (; at < l->owns && l->own[at].group == l->own[first].group; at++) {
        int64_t from = l->own[at].price.valid_from_ms;
        if (from != 0 && from > ts_ms)
            *until_ms = from < *until_ms ? from : *until_ms;
        else if (best == NULL || from > best->price.valid_from_ms)
            best = &l->own[at];
    }
    if (best != NULL && best->price.valid_from_ms != 0 && best->price.valid_from_ms > *since_ms)
        *since_ms = best->price.valid_from_ms;
    *end = at;
    return best;
}

static bool fits(const char *pattern, const struct price_name *name)
{
    struct slice text = { (const uint8_t *)name->text, name->len };

    return pattern == NULL || pattern_fits(pattern, text);
}

const struct price_own *price_own_find(const struct price_list *l, const struct price_name *provider,
                                       const struct price_name *model, int64_t ts_ms, int64_t *since_ms,
                                       int64_t *until_ms)
{
    for (unsigned i = 0; i < l->owns;) {
        const struct price_own *own = &l->own[i], *best;
        unsigned end = i + 1;
        if (fits(own->provider, provider) && fits(own->model, model) &&
            (best = latest(l, i, ts_ms, since_ms, until_ms, &end)) != NULL)
            return best;
        i = end;
    }
    return NULL;
}
