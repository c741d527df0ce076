/* SPDX-License-Identifier: MIT
 *
 * office_forecast.c: which accounts run out first. Of all that are looked at, the best are kept in order.
 */
#include <stdlib.h>
#include <string.h>

#include "office_work.h"

#define LINES_DEFAULT 100
#define LINES_MAX     1000
#define LOOKS_MAX     10000
#define KEY_TEXT      512

struct line {
    const struct ledger_budget *b;
    int64_t start_ms, end_ms, calls, spent, reserved, limit;
    struct forecast f;
    double share; /* of the limit: projected, or where nothing is, spent */
    char key[KEY_TEXT];
};

struct lines {
    struct line *all; /* owned */
    size_t count, most;
    int64_t looks, accounts;
};

/* The order in which they are told: those that run out first, then those nearest to their limits. */
static bool is_before(const struct line *a, const struct line *b)
{
    if (a->f.exhausted_ms != b->f.exhausted_ms)
        return b->f.exhausted_ms == UNKNOWN ||
               (a->f.exhausted_ms != UNKNOWN && a->f.exhausted_ms < b->f.exhausted_ms);
    return a->share > b->share;
}

static void keep(struct lines *l, const struct line *one)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(one, &l->all[middle]))
            high = middle;
        else
            low = middle + 1;
    }
    if (low == l->most)
        return;
    l->count += l->count < l->most;
    memmove(&l->all[low + 1], &l->all[low], (l->count - 1 - low) * sizeof *one);
    l->all[low] = *one;
}

static void add_line(void *arg, struct office_desk *d, const struct account *c)
{
    const struct budget *def = c->budget->def;
    bool slides = def->window.kind == WINDOW_SLIDING;
    struct lines *l = arg;
    struct line one = { .b = c->budget,
                        .start_ms = c->first_ms,
                        .end_ms = slides ? WINDOW_NEVER : c->until_ms,
                        .calls = c->total.calls,
                        .spent = account_spent(c),
                        .reserved = c->total.held[HELD_RESERVED],
                        .limit = ledger_allowed(d->l, c) };

    ledger_forecast(d->l, c, &one.f);
    one.share = (double)(one.f.projected != UNKNOWN ? one.f.projected : one.spent) / (double)one.limit;
    budget_key_text(def, c->key, c->key_len, one.key, sizeof one.key);
    l->looks++;
    keep(l, &one);
}

static json_t *line_json(const struct line *one)
{
    const struct forecast *f = &one->f;

    return json_pack(
        "{s:s, s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:s, s:b, s:o}", "budget",
        one->b->def->name, "key", one->key[0] == '\0' ? json_string("") : office_string(one->key), "unit",
        unit_name((int)one->b->def->unit), "window_start_ms", json_integer(one->start_ms), "window_end_ms",
        office_time(one->end_ms), "calls", (json_int_t)one->calls, "spent", (json_int_t)one->spent,
        "reserved", (json_int_t)one->reserved, "limit", (json_int_t)one->limit, "per_minute",
        office_num(f->per_minute), "per_hour", office_num(f->per_hour), "projected", office_num(f->projected),
        "basis", forecast_basis_name((int)f->basis), "over", (int)f->over, "exhausted_ms",
        office_time(f->exhausted_ms));
}

static int look_at_all(struct office_desk *d, const char *name, struct lines *lines, bool *any)
{
    int rc = ledger_flush(d->l);

    for (size_t i = 0; rc == 0 && i < d->l->budget_count; i++) {
        const struct ledger_budget *b = d->l->budgets[i];
        int64_t count = 0;
        if (lines->looks >= LOOKS_MAX || (name != NULL && strcmp(name, b->def->name) != 0))
            continue;
        *any = true;
        rc = office_accounts(d, b, LOOKS_MAX - lines->looks, add_line, lines, &count);
        lines->accounts += count;
    }
    return rc;
}

int office_forecast(struct office_desk *d)
{
    const char *name = office_text(d, "budget");
    int64_t most = office_number(d, "limit", LINES_DEFAULT);
    struct lines lines = { .most = (size_t)(most < 1 || most > LINES_MAX ? LINES_MAX : most) };
    bool any = name == NULL;

    if ((lines.all = malloc(lines.most * sizeof *lines.all)) == NULL)
        return -SQLITE_NOMEM;
    int rc = look_at_all(d, name, &lines, &any);
    json_t *list = json_array();
    for (size_t i = 0; i < lines.count; i++)
        json_array_append_new(list, line_json(&lines.all[i]));
    free(lines.all);
    if (!any) {
        json_decref(list);
        return office_refuse(d, 404, "there is no budget of this name");
    }
    d->answer = json_pack("{s:I, s:I, s:o}", "now_ms", (json_int_t)d->l->now_ms, "accounts",
                          (json_int_t)lines.accounts, "forecasts", list);
    return rc;
}
