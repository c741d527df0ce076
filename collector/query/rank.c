/* SPDX-License-Identifier: MIT */
#include "rank.h"

#include <stdlib.h>
#include <string.h>

#include "sums.h"

#define RATE_STEPS 1e15 /* rates are ordered as whole numbers */

/* What a row is sorted by. */
struct place {
    struct tally_row *row;
    bool unknown;
    int64_t key;
};

/* ---------------------------------------------------------------- sorting */

static bool rate_key(double rate, int64_t *out)
{
    *out = (int64_t)(rate * RATE_STEPS);
    return rate >= 0;
}

static bool sum_key(const struct usage_sums *s, int i, int64_t *out)
{
    *out = s->sum[i] < 0 ? INT64_MAX : s->sum[i];
    return s->known[i] > 0;
}

static bool percentile_key(const struct usage_times *times, int i, int64_t *out)
{
    if (!times)
        return false;
    *out = times->ms[i / USAGE_PERCENTILES][i % USAGE_PERCENTILES];
    return *out != UNKNOWN;
}

/* False: unknown. */
static bool key_of(enum usage_order order, const struct usage_sums *s, const struct usage_times *times,
                   int64_t *out)
{
    const int64_t counts[] = {
        [ORDER_CALLS] = s->calls,     [ORDER_ERRORS] = s->errors,   [ORDER_BLOCKED] = s->blocked,
        [ORDER_ABORTED] = s->aborted, [ORDER_PARTIAL] = s->partial, [ORDER_STATUS_UNKNOWN] = s->status_unknown
    };

    if (order == ORDER_ERROR_RATE)
        return rate_key(usage_error_rate(s), out);
    if (order == ORDER_CACHE_HIT_RATE)
        return rate_key(usage_cache_hit_rate(s), out);
    if (order >= ORDER_PERCENTILE)
        return percentile_key(times, (int)(order - ORDER_PERCENTILE), out);
    if (order >= ORDER_SUM)
        return sum_key(s, (int)(order - ORDER_SUM), out);
    *out = counts[order];
    return *out >= 0;
}

static int names_compare(const struct grouping *g, uint32_t a, uint32_t b)
{
    for (unsigned i = 0; i < g->request->groups; i++) {
        size_t a_len = 0, b_len = 0;
        const char *x = grouping_name(g, a, i, &a_len), *y = grouping_name(g, b, i, &b_len);
        int order = x && y ? memcmp(x, y, a_len < b_len ? a_len : b_len) : (y != NULL) - (x != NULL);
        if (order != 0)
            return order;
        if (a_len != b_len)
            return a_len < b_len ? -1 : 1;
    }
    return 0;
}

static int places_compare(const void *a, const void *b, void *grouping)
{
    const struct place *x = a, *y = b;

    if (x->unknown != y->unknown)
        return x->unknown ? 1 : -1;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return names_compare(grouping, x->row->group, y->row->group);
}

/* All rows that have calls, sorted; owned by the caller. NULL: no memory. */
static struct place *sort(struct tally *t, const struct usage_times *times, size_t *count)
{
    const struct usage_request *q = t->grouping->request;
    struct place *place = malloc((t->rows + 1) * sizeof *place);
    size_t n = 0;

    for (size_t i = 0; place && i < t->rows; i++) {
        t->row[i].item = -1;
        if (t->row[i].sums.calls == 0)
            continue;
        struct place *p = &place[n++];
        p->row = &t->row[i];
        p->unknown = !key_of(q->order, &t->row[i].sums, times ? &times[i] : NULL, &p->key);
        p->key = p->unknown ? 0 : q->ascending ? p->key : -p->key;
    }
    if (n > 1)
        qsort_r(place, n, sizeof *place, places_compare, t->grouping);
    *count = n;
    return place;
}

/* ------------------------------------------------------------------ items */

static int items_room(struct rank *r, size_t items)
{
    if (items <= r->room)
        return 0;
    struct usage_row *fresh = realloc(r->row, items * sizeof *fresh);
    if (!fresh)
        return -1;
    r->row = fresh;
    r->room = items;
    return 0;
}

/* Makes a row one of the items, or a part of the others. */
static void item_add(struct rank *r, struct tally_row *row, uint32_t bucket, bool other, size_t limit)
{
    if (!other || r->others < 0) {
        if (r->rows == limit) {
            r->truncated = true;
            return;
        }
        if (other)
            r->others = (int32_t)r->rows;
        r->row[r->rows++] = (struct usage_row){ .bucket = bucket, .group = other ? USAGE_OTHER : row->group };
    }
    row->item = other ? r->others : (int32_t)r->rows - 1;
    sums_add(&r->row[row->item].sums, &row->sums, 1);
}

int rank_rows(struct rank *r, struct tally *t, uint32_t bucket, const struct usage_times *times, size_t limit)
{
    unsigned top = t->grouping->request->top;
    size_t places = 0;
    struct place *place = sort(t, times, &places);

    r->rows = 0;
    r->others = -1;
    r->truncated = false;
    if (!place || items_room(r, places) != 0) {
        free(place);
        return -1;
    }
    for (size_t i = 0; i < places; i++)
        item_add(r, place[i].row, bucket, top > 0 && i >= top, limit);
    for (size_t i = 0; i < r->rows; i++)
        sums_finish(&r->row[i].sums);
    free(place);
    return 0;
}

void rank_fini(struct rank *r)
{
    free(r->row);
    *r = (struct rank){ 0 };
}

void rank_follow(const struct rank *r, const struct tally *t, struct tally *other)
{
    for (size_t i = 0; i < other->rows; i++) {
        uint32_t group = other->row[i].group;
        int32_t n = group < t->groups ? t->row_of_group[group] : -1;
        bool counted = n >= 0 && (size_t)n < t->rows && t->row[n].sums.calls != 0;
        other->row[i].item = counted ? t->row[n].item : r->others;
    }
}
