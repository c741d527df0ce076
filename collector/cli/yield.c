/* SPDX-License-Identifier: MIT */
#include "yield.h"

#include <stdlib.h>
#include <string.h>

#include "../govern/price.h"
#include "rows.h"

/* ------------------------------------------------------------------- ratios */

/* Parts of a row that are added up: numerators and denominators. */
enum sum {
    PAID_NANOUSD,
    PAID_TOKENS,
    PAID_CALLS,
    UNPRICED_CALLS,
    UNTOLD_CALLS,
    CACHED,
    CACHED_OF,
    WRITTEN,
    WRITTEN_MS,
    SUMS
};

struct yield {
    const char *cost; /* the member that is the cost */
    int64_t sum[SUMS];
};

static void add(struct yield *y, enum sum sum, int64_t n)
{
    if (__builtin_add_overflow(y->sum[sum], n, &y->sum[sum]))
        y->sum[sum] = INT64_MAX;
}

/* How many calls of a row did not tell a number. */
static int64_t untold(const json_t *row, const char *name)
{
    char unknown[CLI_TEXT];

    snprintf(unknown, sizeof unknown, "%.40s_unknown", name);
    return row_number(row, unknown);
}

/* Both are known, of the same calls as far as can be seen. */
static bool alike(const json_t *row, const char *a, const char *b)
{
    return row_known(row, a) && row_known(row, b) && untold(row, a) == untold(row, b);
}

static void part_add(struct yield *y, const json_t *part)
{
    static const char prompt[] = "prompt_tokens", completion[] = "completion_tokens";
    int64_t unpriced = untold(part, "cost_nanousd") - untold(part, prompt);

    /* Embeddings have no completions. */
    if (alike(part, y->cost, prompt) && (!row_known(part, completion) || alike(part, prompt, completion))) {
        add(y, PAID_NANOUSD, row_number(part, y->cost));
        add(y, PAID_TOKENS, row_number(part, prompt));
        add(y, PAID_TOKENS, row_number(part, completion));
        add(y, PAID_CALLS, row_number(part, "calls") - untold(part, prompt));
    }
    add(y, UNPRICED_CALLS, unpriced > 0 ? unpriced : 0);
    if (strcmp(row_text(part, "status", "ok"), "ok") == 0)
        add(y, UNTOLD_CALLS, untold(part, prompt));
    if (alike(part, "cached_tokens", prompt)) {
        add(y, CACHED, row_number(part, "cached_tokens"));
        add(y, CACHED_OF, row_number(part, prompt));
    }
    if (alike(part, completion, "latency_ms")) {
        add(y, WRITTEN, row_number(part, completion));
        add(y, WRITTEN_MS, row_number(part, "latency_ms"));
    }
}

/* Nano-dollars per million tokens, half up. */
static json_t *rate_json(int64_t nanousd, int64_t tokens)
{
    if (tokens <= 0)
        return json_null();
    femtousd rate = ((femtousd)nanousd * 1000000 + (femtousd)tokens / 2) / (femtousd)tokens;
    return json_integer(rate < INT64_MAX ? (json_int_t)rate : INT64_MAX);
}

static json_t *share_json(int64_t part, int64_t of, double times)
{
    return of > 0 ? json_real((double)part / (double)of * times) : json_null();
}

/* What is found out, into the row. */
static void yield_put(const struct yield *y, json_t *row)
{
    const int64_t *sum = y->sum;
    bool paid = sum[PAID_TOKENS] > 0;

    json_object_set_new(row, "nanousd_per_million_tokens", rate_json(sum[PAID_NANOUSD], sum[PAID_TOKENS]));
    json_object_set_new(row, "paid_nanousd", paid ? json_integer(sum[PAID_NANOUSD]) : json_null());
    json_object_set_new(row, "paid_tokens", json_integer(sum[PAID_TOKENS]));
    json_object_set_new(row, "paid_calls", json_integer(sum[PAID_CALLS]));
    json_object_set_new(row, "paid_as",
                        !paid                                  ? json_null()
                        : strcmp(y->cost, "cost_nanousd") == 0 ? json_string("priced")
                                                               : json_string("reported"));
    json_object_set_new(row, "unpriced_calls", json_integer(sum[UNPRICED_CALLS]));
    json_object_set_new(row, "untold_calls", json_integer(sum[UNTOLD_CALLS]));
    json_object_set_new(row, "cache_hit_rate", share_json(sum[CACHED], sum[CACHED_OF], 1));
    json_object_set_new(row, "completion_tokens_per_s", share_json(sum[WRITTEN], sum[WRITTEN_MS], 1000));
}

/* -------------------------------------------------------------------- parts */

/* The names of a row as one text, owned by the caller. */
static char *key_of(const json_t *by, const json_t *row)
{
    json_t *key = json_array();

    for (size_t i = 0; i < json_array_size(by); i++) {
        json_t *name = json_object_get(row, json_string_value(json_array_get(by, i)));
        json_array_append_new(key, name ? json_incref(name) : json_null());
    }
    char *text = json_dumps(key, JSON_COMPACT);
    json_decref(key);
    return text;
}

static bool is_among(const json_t *by, const char *name)
{
    for (size_t i = 0; i < json_array_size(by); i++) {
        if (strcmp(json_string_value(json_array_get(by, i)), name) == 0)
            return true;
    }
    return false;
}

/* The groups, and by what they are parted, as one text, owned by the caller. */
static char *groups_of(const json_t *by)
{
    static const char *const parts[] = { "provider", "model", "status" };
    char *out = NULL;
    size_t len;
    FILE *to = open_memstream(&out, &len);

    if (!to)
        return NULL;
    for (size_t i = 0; i < json_array_size(by); i++)
        fprintf(to, "%s%s", i > 0 ? "," : "", json_string_value(json_array_get(by, i)));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (!is_among(by, parts[i]))
            fprintf(to, ",%s", parts[i]);
    }
    fclose(to);
    return out;
}

/* The same question for another time, in parts. NULL: has been told. */
static json_t *parts_ask(const struct cli *c, const char *groups, int64_t from_ms, int64_t to_ms, int *status)
{
    static const char *const others[] = { "group_by", "from", "to", "order", "limit", "compare" };
    struct cli parts = *c;
    char from[CLI_TEXT], to[CLI_TEXT];

    parts.params = 0;
    for (unsigned i = 0; i < c->params; i++) {
        bool other = false;
        for (size_t k = 0; k < sizeof others / sizeof *others; k++)
            other |= !c->param[i].tag && strcmp(c->param[i].name, others[k]) == 0;
        if (!other)
            parts.param[parts.params++] = c->param[i];
    }
    snprintf(from, sizeof from, "%lld", (long long)from_ms);
    snprintf(to, sizeof to, "%lld", (long long)to_ms);
    cli_param_default(&parts, "group_by", groups);
    cli_param_default(&parts, "from", from);
    cli_param_default(&parts, "to", to);
    cli_param_default(&parts, "limit", YIELD_PARTS);
    return cli_json(&parts, "/v1/usage", true, status);
}

static struct yield yield_of(const json_t *row)
{
    bool reported = !row_known(row, "cost_nanousd") && row_known(row, "cost_reported_nanousd");

    return (struct yield){ .cost = reported ? "cost_reported_nanousd" : "cost_nanousd" };
}

/* Which rows there are: {key: place}. */
static json_t *places_of(const json_t *by, const json_t *rows)
{
    json_t *places = json_object();

    for (size_t i = 0; i < json_array_size(rows); i++) {
        char *key = key_of(by, json_array_get(rows, i));
        if (key)
            json_object_set_new(places, key, json_integer((json_int_t)i));
        free(key);
    }
    return places;
}

/* What of a row is looked at: itself, or what it was before. */
static json_t *side(json_t *row, bool before)
{
    return before ? json_object_get(row, "previous") : row;
}

/* Adds the parts to the rows, and all of them to the totals. */
static bool parts_put(json_t *answer, const json_t *parts, bool before)
{
    json_t *rows = json_object_get(answer, "rows"), *by = json_object_get(answer, "group_by");
    json_t *totals = side(json_object_get(answer, "totals"), before), *part, *places = places_of(by, rows);
    struct yield *yield = calloc(json_array_size(rows) + 1, sizeof *yield), all = yield_of(totals);
    size_t i;

    if (!yield || !places) {
        free(yield);
        json_decref(places);
        return false;
    }
    for (i = 0; i < json_array_size(rows); i++)
        yield[i] = yield_of(side(json_array_get(rows, i), before));
    json_array_foreach(json_object_get(parts, "rows"), i, part)
    {
        char *key = key_of(by, part);
        const json_t *place = key ? json_object_get(places, key) : NULL;
        if (place)
            part_add(&yield[json_integer_value(place)], part);
        part_add(&all, part);
        free(key);
    }
    for (i = 0; i < json_array_size(rows); i++)
        yield_put(&yield[i], side(json_array_get(rows, i), before));
    yield_put(&all, totals);
    free(yield);
    json_decref(places);
    return true;
}

int yield_add(const struct cli *c, json_t *answer, bool before)
{
    int64_t from = row_number(answer, "from_ms"), to = row_number(answer, "to_ms");
    int status = CLI_FAILED;
    char *groups = groups_of(json_object_get(answer, "group_by"));
    json_t *parts =
        groups ? parts_ask(c, groups, before ? from - (to - from) : from, before ? from : to, &status) : NULL;

    free(groups);
    if (!parts)
        return status;
    bool cut = json_is_true(json_object_get(parts, "truncated"));
    if (!before || cut)
        json_object_set_new(answer, "parts_truncated", json_boolean(cut));
    if (!parts_put(answer, parts, before))
        status = cli_fail("out of memory");
    else
        status = CLI_OK;
    json_decref(parts);
    return status;
}
