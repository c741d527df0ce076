/* SPDX-License-Identifier: MIT
 *
 * tally.c: buckets become rows, and rows become percentiles. How slabs are read is in tally_slabs.c.
 */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sums.h"
#include "tally_sessions.h"
#include "tally_slabs.h"
#include "when.h"

static int no_memory(struct tally *t)
{
    return problem_set(t->p, 503, "out of memory");
}

/* ---------------------------------------------------------------- refusal */

/* What the plan cannot find, in the terms of the request. */
static int refused(const struct tally *t)
{
    const struct plan *plan = t->plan;
    bool gone = plan->before_ms == plan->after_ms;
    bool at_from = plan->refused_ms == t->buckets.from_ms, at_to = plan->refused_ms == t->buckets.to_ms;
    char at[WHEN_TEXT], before[WHEN_TEXT], after[WHEN_TEXT], expected[128];

    if (plan->refused_ms < 0)
        return -1;
    when_format(plan->refused_ms, at);
    when_format(plan->before_ms, before);
    when_format(plan->after_ms, after);
    if (gone)
        snprintf(expected, sizeof expected, "%s or later", before);
    else
        snprintf(expected, sizeof expected, "%s or %s%s", before, after,
                 at_from || at_to ? "" : ", and so on: whole pieces of what is kept");
    problem_fill_parameter(t->p,
                           t->previous ? "compare"
                           : at_from   ? "from"
                           : at_to     ? "to"
                                       : "bucket",
                           at, expected);
    t->p->status = 422;
    if (gone)
        snprintf(t->p->detail, sizeof t->p->detail, "nothing before %s is kept any more", before);
    else
        snprintf(t->p->detail, sizeof t->p->detail,
                 "of %s to %s only the whole is kept any more, and %s lies within", before, after, at);
    return -1;
}

/* ---------------------------------------------------------------- the log */

/* What each bucket needs of the log beside slabs. */
static int read_parts(struct tally *t)
{
    struct plan *plan = t->plan;

    for (size_t i = 0; i < t->buckets.count; i++) {
        if (plan_cover(plan, buckets_from(&t->buckets, i), buckets_to(&t->buckets, i)) != 0)
            return refused(t);
        for (size_t k = 0; k < plan->parts; k++) {
            if (plan->part[k].raw && raw_scan(&t->raw, &plan->part[k]) != 0)
                return -1;
        }
    }
    return 0;
}

static int read_tail(struct tally *t)
{
    struct plan_part tail = { .raw = true,
                              .sign = 1,
                              .from = t->buckets.from_ms,
                              .to = t->buckets.to_ms,
                              .first_id = t->plan->kept.watermark + 1,
                              .last_id = INT64_MAX };

    return raw_scan(&t->raw, &tail);
}

static int read_log(struct tally *t)
{
    if (t->grouping->by_session) {
        t->plan->refused_ms = -1;
        if (tally_sessions(t) != 0)
            return refused(t);
    } else if (read_parts(t) != 0 || read_tail(t) != 0) {
        return -1;
    }
    return raw_finish(&t->raw);
}

/* ------------------------------------------------------------------- life */

static bool by_session(const struct usage_request *q)
{
    bool found = false;

    for (unsigned i = 0; i < q->groups; i++)
        found |= q->group[i] >= FIELD_DIMS_END && q->group[i] < FIELD_SESSION_END;
    return found;
}

int tally_init(struct tally *t, const struct usage_request *q, struct plan *plan, struct grouping *g,
               const struct zone *zone, int64_t from_ms, int64_t to_ms, bool previous)
{
    *t = (struct tally){
        .c = plan->c, .grouping = g, .plan = plan, .p = plan->p, .timed = !by_session(q), .previous = previous
    };
    raw_init(&t->raw, t->c, g, &t->buckets, t->timed, t->p);
    return buckets_init(&t->buckets, q, zone, from_ms, to_ms, t->p) == 0 ? read_log(t) : -1;
}

void tally_fini(struct tally *t)
{
    buckets_fini(&t->buckets);
    raw_fini(&t->raw);
    slab_sum_fini(&t->sum);
    slab_sum_fini(&t->part);
    tally_list_fini(&t->bytes);
    free(t->row);
    free(t->row_of_group);
    free(t->unit);
    free(t->unit_first);
    free(t->dims);
    free(t->cell);
    free(t->head);
    free(t->run);
    *t = (struct tally){ 0 };
}

/* ------------------------------------------------------------------- rows */

static int groups_room(struct tally *t)
{
    size_t groups = t->grouping->keys.count;

    if (groups > t->group_room) {
        int32_t *fresh = realloc(t->row_of_group, 2 * groups * sizeof *fresh);
        if (!fresh)
            return no_memory(t);
        t->row_of_group = fresh;
        t->group_room = 2 * groups;
    }
    for (size_t i = 0; i < groups; i++)
        t->row_of_group[i] = -1;
    t->groups = groups;
    return 0;
}

static int row_of(struct tally *t, uint32_t group, struct tally_row **out)
{
    if (t->row_of_group[group] < 0) {
        if (t->rows == t->row_room) {
            size_t room = t->row_room ? 2 * t->row_room : 64;
            struct tally_row *fresh = realloc(t->row, room * sizeof *fresh);
            if (!fresh)
                return no_memory(t);
            t->row = fresh;
            t->row_room = room;
        }
        t->row_of_group[group] = (int32_t)t->rows;
        t->row[t->rows++] = (struct tally_row){ .group = group, .item = -1, .raw = -1 };
    }
    *out = &t->row[t->row_of_group[group]];
    return 0;
}

static void unit_read(const struct slab_sum *s, uint32_t unit, unsigned status, struct usage_sums *out)
{
    *out = (struct usage_sums){ .partial = slab_sum_number(s, SLAB_PARTIAL, unit) };
    sums_of_status(out, status, slab_sum_number(s, SLAB_CALLS, unit));
    for (unsigned i = 0; i < DISPATCH_SUMS; i++) {
        out->sum[i] = slab_sum_number(s, SLAB_SUM + i, unit);
        out->known[i] = slab_sum_number(s, SLAB_KNOWN + i, unit);
    }
}

static int rows_of_slabs(struct tally *t)
{
    struct usage_sums sums;
    struct tally_row *row;

    for (uint32_t unit = 0; unit < t->sum.units; unit++) {
        const struct grouping_unit *u = &t->grouping->unit[unit];
        if (slab_sum_number(&t->sum, SLAB_CALLS, unit) == 0)
            continue;
        if (row_of(t, u->group, &row) != 0)
            return -1;
        unit_read(&t->sum, unit, u->status, &sums);
        sums_add(&row->sums, &sums, 1);
    }
    return 0;
}

static int rows_of_log(struct tally *t, size_t bucket)
{
    const struct raw *raw = &t->raw;
    struct tally_row *row;

    for (; t->raw_next < raw->rows && raw->row[raw->ordered[t->raw_next]].bucket == bucket; t->raw_next++) {
        uint32_t n = raw->ordered[t->raw_next];
        if (row_of(t, raw->row[n].group, &row) != 0)
            return -1;
        sums_add(&row->sums, &raw->row[n].sums, 1);
        row->raw = (int32_t)n;
    }
    return 0;
}

int tally_bucket(struct tally *t, size_t bucket)
{
    struct plan *plan = t->plan;

    t->rows = 0;
    t->sorted = false;
    slab_sum_reset(&t->sum);
    tally_list_clear(&t->bytes);
    if (!t->grouping->by_session) {
        if (plan_cover(plan, buckets_from(&t->buckets, bucket), buckets_to(&t->buckets, bucket)) != 0)
            return refused(t);
        if (tally_slabs(t) != 0)
            return -1;
    }
    if (groups_room(t) != 0 || rows_of_slabs(t) != 0)
        return -1;
    return rows_of_log(t, bucket);
}

/* ------------------------------------------------------------ percentiles */

/* Numbers sorted by the place that each belongs to: those of place i are sorted[first[i]] and on. */
static int sort_by_place(const int32_t *place, uint32_t count, uint32_t places, uint32_t **sorted,
                         uint32_t **first)
{
    *sorted = malloc(((size_t)count + 1) * sizeof **sorted);
    *first = calloc((size_t)places + 2, sizeof **first);
    if (!*sorted || !*first)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        (*first)[place[i] >= 0 ? (uint32_t)place[i] + 2 : 0] += place[i] >= 0;
    for (uint32_t i = 2; i < places + 2; i++)
        (*first)[i] += (*first)[i - 1];
    for (uint32_t i = 0; i < count; i++) {
        if (place[i] >= 0)
            (*sorted)[(*first)[place[i] + 1]++] = i;
    }
    return 0;
}

/* Prepares the bucket's sketches: the units of each row. */
static int units_sort(struct tally *t)
{
    uint32_t units = t->sum.units;
    int32_t *place = malloc((units + 1) * sizeof *place);

    if (!place || slab_sum_sort(&t->sum) != 0) {
        free(place);
        return no_memory(t);
    }
    for (uint32_t i = 0; i < units; i++)
        place[i] = t->row_of_group[t->grouping->unit[i].group];
    free(t->unit);
    free(t->unit_first);
    int result = sort_by_place(place, units, (uint32_t)t->rows, &t->unit, &t->unit_first);
    free(place);
    t->sorted = true;
    return result == 0 ? 0 : no_memory(t);
}

/* Adds the times of a row to counts. */
static int row_times(struct tally *t, uint32_t row, enum usage_timing timing, int64_t *counts,
                     struct slab_sum_range *range)
{
    for (uint32_t i = t->unit_first[row]; i < t->unit_first[row + 1]; i++) {
        if (slab_sum_sketch(&t->sum, t->unit[i], (enum slab_sketch)timing, counts, range) != 0)
            return problem_set(t->p, 500, TALLY_DAMAGED);
    }
    if (t->row[row].raw >= 0)
        raw_sketch(&t->raw, (uint32_t)t->row[row].raw, timing, counts, range);
    return 0;
}

/* The times of some rows together; counts is all 0 before and after. */
static int item_times(struct tally *t, const uint32_t *row, uint32_t rows, enum usage_timing timing,
                      int64_t *counts, int64_t out[USAGE_PERCENTILES], struct tally_counts *all)
{
    struct slab_sum_range range = SLAB_SUM_NO_RANGE;

    for (uint32_t i = 0; i < rows; i++) {
        if (row_times(t, row[i], timing, counts, &range) != 0)
            return -1;
    }
    if (range.first >= range.end)
        return 0;
    if (out)
        sums_percentiles(counts, range.first, range.end, out);
    for (uint32_t i = range.first; i < range.end && all; i++)
        all->count[timing][i] += counts[i];
    memset(counts + range.first, 0, (range.end - range.first) * sizeof *counts);
    return 0;
}

/* place: of each row its item, or `items` for those that have none. */
static int items_times(struct tally *t, const int32_t *place, uint32_t items, struct usage_times *out,
                       struct tally_counts *all)
{
    int64_t counts[SKETCH_BUCKETS] = { 0 };
    uint32_t *row = NULL, *first = NULL;
    int result = sort_by_place(place, (uint32_t)t->rows, items + 1, &row, &first);

    if (result != 0)
        no_memory(t);
    for (uint32_t i = 0; i < items + (all != NULL) && result == 0; i++) {
        for (enum usage_timing timing = 0; timing < USAGE_TIMINGS && result == 0; timing++)
            result = item_times(t, row + first[i], first[i + 1] - first[i], timing, counts,
                                i < items ? out[i].ms[timing] : NULL, all);
    }
    free(row);
    free(first);
    return result;
}

int tally_times(struct tally *t, size_t items, struct usage_times *out, struct tally_counts *all)
{
    for (size_t i = 0; i < items; i++)
        sums_no_times(&out[i]);
    if (!t->timed || t->rows == 0)
        return 0;
    if (!t->sorted && units_sort(t) != 0)
        return -1;
    int32_t *place = malloc(t->rows * sizeof *place);
    if (!place)
        return no_memory(t);
    for (size_t i = 0; i < t->rows; i++)
        place[i] = t->row[i].item >= 0 ? t->row[i].item : (int32_t)items;
    int result = items_times(t, place, (uint32_t)items, out, all);
    free(place);
    return result;
}
