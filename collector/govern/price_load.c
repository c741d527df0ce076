/* SPDX-License-Identifier: MIT
 *
 * A price list from JSON, as schema/prices.mjs makes it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "price_book.h"

char *price_keep(struct arena *arena, const char *text)
{
    size_t size = text != NULL ? strlen(text) + 1 : 0;
    char *copy = text != NULL ? arena_take(arena, size) : NULL;

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

static int lacks(struct fault *fault, const char *name, const char *expected)
{
    fault_set(fault, name, "", "%s", expected);
    return -1;
}

static const char *keep_text(struct price_list *l, const json_t *object, const char *name)
{
    return price_keep(&l->arena, json_string_value(json_object_get(object, name)));
}

/* A rule that may be missing. */
static int load_rule(struct price_list *l, const json_t *object, const char *name, struct price_rule **out,
                     struct fault *fault)
{
    const json_t *given = json_object_get(object, name);

    *out = given != NULL ? price_rule_parse(given, name, &l->arena, fault) : NULL;
    return given != NULL && *out == NULL ? -1 : 0;
}

static int load_prices(struct price_list *l, const struct price_provider *provider, const json_t *given,
                       struct price_model *m, struct fault *fault)
{
    const json_t *prices = json_object_get(given, "prices"), *context = json_object_get(given, "context");
    size_t count = json_array_size(prices);
    struct price *price = count != 0 ? arena_take(&l->arena, count * sizeof *price) : NULL;

    if (!json_is_array(prices) || (count != 0 && price == NULL))
        return lacks(fault, "prices", "a list of prices");
    for (size_t i = 0; i < count; i++) {
        price[i] = (struct price){ .source = l->label, .provider = provider->id, .model = m->id };
        price[i].context_tokens = json_is_integer(context) ? json_integer_value(context) : UNKNOWN;
        if (price_entry_parse(json_array_get(prices, i), m->id, &l->arena, &price[i], fault) != 0)
            return -1;
    }
    m->price = price;
    m->prices = (unsigned)count;
    return 0;
}

static int load_model(struct price_list *l, struct price_provider *p, const json_t *given,
                      struct fault *fault)
{
    struct price_model *m = &p->model[p->models];

    *m = (struct price_model){ .id = keep_text(l, given, "id") };
    p->models++;
    if (m->id == NULL)
        return lacks(fault, "models", "an id in each");
    if (load_rule(l, given, "match", &m->rule, fault) != 0)
        return -1;
    return m->rule != NULL ? load_prices(l, p, given, m, fault) : lacks(fault, m->id, "a match");
}

static int load_fallbacks(struct price_list *l, struct price_provider *p, const json_t *given,
                          struct fault *fault)
{
    size_t count = json_array_size(given);

    if (count == 0)
        return 0;
    if ((p->fallback = arena_take(&l->arena, count * sizeof *p->fallback)) == NULL)
        return lacks(fault, "fallback", "memory");
    for (; p->fallbacks < count; p->fallbacks++) {
        const char *id = json_string_value(json_array_get(given, p->fallbacks));
        if ((p->fallback[p->fallbacks] = price_keep(&l->arena, id)) == NULL)
            return lacks(fault, "fallback", "ids of providers");
    }
    return 0;
}

static int load_provider(struct price_list *l, const json_t *given, struct fault *fault)
{
    const json_t *models = json_object_get(given, "models");
    size_t count = json_array_size(models);
    struct price_provider *p = &l->provider[l->providers++];

    *p = (struct price_provider){ .id = keep_text(l, given, "id") };
    p->model = arena_take(&l->arena, (count + 1) * sizeof *p->model);
    if (p->id == NULL || p->model == NULL)
        return lacks(fault, "providers", "an id in each");
    if (load_rule(l, given, "match", &p->rule, fault) != 0 ||
        load_rule(l, given, "model_match", &p->model_rule, fault) != 0 ||
        load_fallbacks(l, p, json_object_get(given, "fallback"), fault) != 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (load_model(l, p, json_array_get(models, i), fault) != 0)
            return -1;
    return 0;
}

static int load_head(struct price_list *l, const json_t *root, struct fault *fault)
{
    char label[128];

    l->source = keep_text(l, root, "source");
    l->version = keep_text(l, root, "version");
    l->date = keep_text(l, root, "date");
    if (l->source == NULL || l->version == NULL || l->date == NULL)
        return lacks(fault, "source", "the list's source, version and date");
    snprintf(label, sizeof label, "%.60s %.60s", l->source, l->version);
    return (l->label = price_keep(&l->arena, label)) != NULL ? 0 : lacks(fault, "source", "memory");
}

static int load_list(struct price_list *l, const json_t *root, struct fault *fault)
{
    const json_t *providers = json_object_get(root, "providers");
    size_t count = json_array_size(providers);

    if (load_head(l, root, fault) != 0)
        return -1;
    if (!json_is_array(providers) ||
        (l->provider = arena_take(&l->arena, (count + 1) * sizeof *l->provider)) == NULL)
        return lacks(fault, "providers", "a list of providers");
    for (size_t i = 0; i < count; i++)
        if (load_provider(l, json_array_get(providers, i), fault) != 0)
            return -1;
    return 0;
}

/* ---------------------------------------------------------------------- all */

static void count_model(struct price_list *l, const struct price_model *m)
{
    for (unsigned i = 0; i < m->prices; i++) {
        if (l->all != NULL)
            l->all[l->count] = &m->price[i];
        l->count++;
    }
}

static void count_all(struct price_list *l)
{
    l->count = 0;
    for (unsigned i = 0; i < l->owns; i++, l->count++)
        if (l->all != NULL)
            l->all[l->count] = &l->own[i].price;
    for (unsigned i = 0; i < l->providers; i++)
        for (unsigned k = 0; k < l->provider[i].models; k++)
            count_model(l, &l->provider[i].model[k]);
}

/* The list of all prices: counted, then filled. */
static int collect(struct price_list *l, struct fault *fault)
{
    count_all(l);
    if ((l->all = arena_take(&l->arena, (l->count + 1) * sizeof(void *))) == NULL)
        return lacks(fault, "prices", "memory");
    count_all(l);
    return 0;
}

const struct price *price_list_at(const struct price_list *l, size_t i)
{
    return i < l->count ? l->all[i] : NULL;
}

int price_list_load(const char *json, const json_t *overrides, struct price_list **out, struct fault *fault)
{
    struct price_list *l = calloc(1, sizeof *l);
    json_error_t error;
    json_t *root = json_loads(json != NULL ? json : prices_text, 0, &error);
    int rc = -1;

    if (l == NULL)
        lacks(fault, "prices", "memory");
    else if (root == NULL)
        fault_set(fault, "prices", error.source, "JSON (line %d: %s)", error.line, error.text);
    else if (load_list(l, root, fault) == 0 && price_own_load(l, overrides, fault) == 0 &&
             collect(l, fault) == 0)
        rc = 0;
    json_decref(root);
    if (rc == 0)
        *out = l;
    else
        price_list_free(l);
    return rc;
}

void price_list_free(struct price_list *l)
{
    if (l == NULL)
        return;
    for (unsigned i = 0; i < l->providers; i++) {
        struct price_provider *p = &l->provider[i];
        price_rule_fini(p->rule);
        price_rule_fini(p->model_rule);
        for (unsigned k = 0; k < p->models; k++)
            price_rule_fini(p->model[k].rule);
    }
    arena_fini(&l->arena);
    free(l);
}
