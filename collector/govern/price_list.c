/* SPDX-License-Identifier: MIT
 *
 * Searching a price list: see price_list.h for the order. What the source's own calculation finds is found
 * here too; beyond it only prefixes, and the operator's entries.
 */
#include "price_list.h"

#include <string.h>
#include <time.h>

#include "price_book.h"

#define PREFIXES_MAX 3

/* ---------------------------------------------------------------- providers */

static const struct price_provider *provider_by_id(const struct price_list *l, const char *id, size_t len)
{
    for (unsigned i = 0; i < l->providers; i++)
        if (strlen(l->provider[i].id) == len && memcmp(l->provider[i].id, id, len) == 0)
            return &l->provider[i];
    return NULL;
}

static const struct price_provider *provider_by_name(const struct price_list *l,
                                                     const struct price_name *name)
{
    const struct price_provider *p = provider_by_id(l, name->text, name->len);

    for (unsigned i = 0; p == NULL && i < l->providers; i++)
        if (l->provider[i].rule != NULL && price_rule_fits(l->provider[i].rule, name))
            p = &l->provider[i];
    return p;
}

static const struct price_provider *provider_by_model(const struct price_list *l,
                                                      const struct price_name *model)
{
    for (unsigned i = 0; i < l->providers; i++)
        if (l->provider[i].model_rule != NULL && price_rule_fits(l->provider[i].model_rule, model))
            return &l->provider[i];
    return NULL;
}

/* The provider that a prefix of the model names, and the rest; NULL: there is none. */
static const struct price_provider *
provider_by_prefix(const struct price_list *l, const struct price_name *model, struct price_name *rest)
{
    const char *slash = memchr(model->text, '/', model->len);
    struct price_name prefix;

    if (slash == NULL || slash == model->text || slash[1] == 0)
        return NULL;
    price_name_read((struct slice){ (const uint8_t *)model->text, (uint32_t)(slash - model->text) }, &prefix);
    price_name_rest(model, (uint32_t)(slash - model->text) + 1, rest);
    return provider_by_name(l, &prefix);
}

/* ------------------------------------------------------------------- models */

static const struct price_model *model_of(const struct price_provider *p, const struct price_name *name)
{
    for (unsigned i = 0; i < p->models; i++)
        if (price_rule_fits(p->model[i].rule, name))
            return &p->model[i];
    return NULL;
}

static const struct price_model *model_or_fallback(const struct price_list *l, const struct price_provider *p,
                                                   const struct price_name *name)
{
    const struct price_model *m = model_of(p, name);

    for (unsigned i = 0; m == NULL && i < p->fallbacks; i++) {
        const struct price_provider *other = provider_by_id(l, p->fallback[i], strlen(p->fallback[i]));
        m = other != NULL ? model_of(other, name) : NULL;
    }
    return m;
}

/* Whether eight digits are a day of this century's calendar. */
static bool is_day(const char *d)
{
    struct tm tm = { 0 }, same;

    for (int i = 0; i < 8; i++)
        if (d[i] < '0' || d[i] > '9')
            return false;
    tm.tm_year = 1000 * (d[0] - '0') + 100 * (d[1] - '0') + 10 * (d[2] - '0') + (d[3] - '0') - 1900;
    tm.tm_mon = 10 * (d[4] - '0') + (d[5] - '0') - 1;
    tm.tm_mday = 10 * (d[6] - '0') + (d[7] - '0');
    same = tm;
    timegm(&same);
    return d[0] == '2' && d[1] == '0' && same.tm_mon == tm.tm_mon && same.tm_mday == tm.tm_mday;
}

/* Writes each -20250514 that ends there as -2025-05-14. False: there is none, or no room. */
static bool spell_dates(const struct price_name *n, struct price_name *out)
{
    bool any = false;

    out->len = 0;
    for (uint32_t i = 0; i < n->len;) {
        const char *d = n->text + i;
        bool date =
            n->len - i >= 9 && d[0] == '-' && (d[9] == 0 || d[9] == '-' || d[9] == ':') && is_day(d + 1);
        if (out->len + 11 > PRICE_NAME_MAX)
            return false;
        if (date) {
            char *to = out->text + out->len;
            memcpy(to, d, 5);
            memcpy(to + 5, (char[]){ '-', d[5], d[6], '-', d[7], d[8] }, 6);
        } else {
            out->text[out->len] = *d;
        }
        out->len += date ? 11 : 1;
        i += date ? 9 : 1;
        any = any || date;
    }
    out->text[out->len] = 0;
    return any;
}

static const struct price_model *model_dated(const struct price_list *l, const struct price_provider *p,
                                             const struct price_name *name)
{
    const struct price_model *m = model_or_fallback(l, p, name);
    struct price_name spelt;

    return m == NULL && spell_dates(name, &spelt) ? model_or_fallback(l, p, &spelt) : m;
}

/* With what stands before slashes, then without it. The way is not changed: the provider is known. */
static const struct price_model *model_prefixed(const struct price_list *l, const struct price_provider *p,
                                                struct price_name *name)
{
    const struct price_model *m = model_dated(l, p, name);

    for (int i = 0; m == NULL && i < PREFIXES_MAX; i++) {
        struct price_name rest;
        if (strncmp(name->text, "models/", 7) == 0 && name->len > 7)
            price_name_rest(name, 7, &rest);
        else if (provider_by_prefix(l, name, &rest) == NULL)
            break;
        *name = rest;
        m = model_dated(l, p, name);
    }
    return m;
}

static const struct price_model *search_in(const struct price_list *l, const struct price_provider *p,
                                           const struct price_name *model, enum price_way way,
                                           struct price_found *out)
{
    if (p == NULL)
        return NULL;
    out->way = way;
    out->provider = p->id;
    out->model = *model;
    return model_prefixed(l, p, &out->model);
}

/* provider is empty if nobody told it. */
static const struct price_model *search_model(const struct price_list *l, const struct price_name *provider,
                                              const struct price_name *model, struct price_found *out)
{
    const struct price_provider *p = provider->len != 0 ? provider_by_name(l, provider) : NULL;
    const struct price_model *m;
    struct price_name rest;

    if (model->len == 0)
        return NULL;
    if (p != NULL || (provider->len != 0 && strcmp(provider->text, "litellm") != 0))
        return search_in(l, p, model, PRICE_BY_PROVIDER, out);
    p = provider_by_prefix(l, model, &rest);
    if ((m = search_in(l, p, &rest, PRICE_BY_PREFIX, out)) != NULL)
        return m;
    p = provider_by_model(l, model);
    if (p == NULL && strncmp(model->text, "models/", 7) == 0 && model->len > 7) {
        price_name_rest(model, 7, &rest);
        p = provider_by_model(l, &rest);
    }
    return search_in(l, p, model, PRICE_BY_MODEL, out);
}

/* -------------------------------------------------------------------- times */

static void narrow(struct price_found *f, int64_t since_ms, int64_t until_ms)
{
    if (since_ms > f->since_ms)
        f->since_ms = since_ms;
    if (until_ms < f->until_ms)
        f->until_ms = until_ms;
}

/* The last and the next time at which the clock shows ms. */
static void narrow_daily(struct price_found *f, int64_t ts_ms, int32_t ms)
{
    int64_t day = ts_ms - (ts_ms % PRICE_DAY_MS + PRICE_DAY_MS) % PRICE_DAY_MS;
    int64_t last = day + ms <= ts_ms ? day + ms : day + ms - PRICE_DAY_MS;

    narrow(f, last, last + PRICE_DAY_MS);
}

/* Whether a price is valid at a time; narrows the span to that in which this stays so. */
static bool is_valid(const struct price *p, int64_t ts_ms, struct price_found *f)
{
    int64_t of_day = (ts_ms % PRICE_DAY_MS + PRICE_DAY_MS) % PRICE_DAY_MS;

    if (p->valid_from_ms != 0) {
        bool begun = ts_ms >= p->valid_from_ms;
        narrow(f, begun ? p->valid_from_ms : INT64_MIN, begun ? INT64_MAX : p->valid_from_ms);
        return begun;
    }
    if (p->daily_from_ms == UNKNOWN)
        return true;
    narrow_daily(f, ts_ms, p->daily_from_ms);
    narrow_daily(f, ts_ms, p->daily_to_ms);
    if (p->daily_to_ms < p->daily_from_ms)
        return of_day >= p->daily_from_ms || of_day < p->daily_to_ms;
    return of_day >= p->daily_from_ms && of_day < p->daily_to_ms;
}

static const struct price *price_at(const struct price_model *m, int64_t ts_ms, struct price_found *f)
{
    for (unsigned i = m->prices; i > 0; i--)
        if (is_valid(&m->price[i - 1], ts_ms, f))
            return &m->price[i - 1];
    return m->price;
}

/* ------------------------------------------------------------------- public */

void price_list_search(const struct price_list *l, struct slice provider, struct slice model, int64_t ts_ms,
                       struct price_found *out)
{
    struct price_name p, m;

    *out = (struct price_found){ .since_ms = INT64_MIN, .until_ms = INT64_MAX };
    if (!price_name_read(provider, &p))
        p.text[p.len = 0] = 0;
    if (!price_name_read(model, &m))
        m.text[m.len = 0] = 0;
    const struct price_own *own = price_own_find(l, &p, &m, ts_ms, &out->since_ms, &out->until_ms);
    if (own != NULL) {
        out->price = &own->price;
        out->entry = own->price.model;
        out->model = m;
        out->way = PRICE_BY_OPERATOR;
        return;
    }
    const struct price_model *found = search_model(l, &p, &m, out);
    if (found == NULL)
        return;
    out->entry = found->id;
    out->price = price_at(found, ts_ms, out);
}

const struct price *price_list_find(const struct price_list *l, struct slice provider, struct slice model,
                                    int64_t ts_ms)
{
    struct price_found found;

    price_list_search(l, provider, model, ts_ms, &found);
    return found.price;
}

const char *price_list_source(const struct price_list *l)
{
    return l->source;
}

const char *price_list_version(const struct price_list *l)
{
    return l->version;
}

const char *price_list_date(const struct price_list *l)
{
    return l->date;
}
