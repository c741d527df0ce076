/* SPDX-License-Identifier: MIT
 *
 * A point is one number: which row, which timing, whether it is taken out, which bucket of the sketch,
 * and, in the low bits, how often. Points of the same kind are put together whenever room runs out.
 */
#include "raw.h"

#include <stdlib.h>
#include <string.h>

#include "../base/sketch.h"
#include "sums.h"

#define COUNT_BITS  35
#define BUCKET_BITS 11
#define ROW_SHIFT   (COUNT_BITS + BUCKET_BITS + 2)
#define KEY_BITS    (64 - COUNT_BITS)
#define DIGIT_BITS  10 /* three digits are a key */
#define DIGITS      ((KEY_BITS + DIGIT_BITS - 1) / DIGIT_BITS)
#define COUNT_MASK  ((UINT64_C(1) << COUNT_BITS) - 1)
#define POINTS_MAX  (1u << 20)

_Static_assert(SKETCH_BUCKETS <= 1 << BUCKET_BITS, "a bucket does not fit");
_Static_assert(USAGE_ROWS_MAX < 1 << (64 - ROW_SHIFT), "a row does not fit");

void raw_init(struct raw *r, struct pool_connection *c, struct grouping *g, const struct buckets *b,
              bool timed, struct problem *p)
{
    *r = (struct raw){ .c = c, .grouping = g, .buckets = b, .timed = timed, .p = p };
    intern_init(&r->keys, USAGE_ROWS_MAX);
}

void raw_fini(struct raw *r)
{
    intern_fini(&r->keys);
    free(r->row);
    free(r->point);
    free(r->first);
    free(r->ordered);
    *r = (struct raw){ 0 };
}

static int no_memory(struct raw *r)
{
    return problem_set(r->p, 503, "out of memory");
}

/* ----------------------------------------------------------------- points */

/* Sorts by key, a digit at a time. 0, or -1: no memory. */
static int points_sort(struct raw *r)
{
    uint64_t *from = r->point, *to = NULL;

    if (r->points == 0)
        return 0;
    if (!(to = malloc(r->points * sizeof *to)))
        return -1;
    for (int digit = 0; digit < DIGITS; digit++) {
        int shift = COUNT_BITS + digit * DIGIT_BITS;
        uint32_t at[(1 << DIGIT_BITS) + 1] = { 0 };
        for (size_t i = 0; i < r->points; i++)
            at[(from[i] >> shift & ((1 << DIGIT_BITS) - 1)) + 1]++;
        for (int i = 0; i < 1 << DIGIT_BITS; i++)
            at[i + 1] += at[i];
        for (size_t i = 0; i < r->points; i++)
            to[at[from[i] >> shift & ((1 << DIGIT_BITS) - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    memcpy(to, from, r->points * sizeof *to);
    free(from);
    return 0;
}
_Static_assert(DIGITS == 3, "an odd number of passes ends in the new array");

/* Puts equal keys together. */
static int points_merge(struct raw *r)
{
    size_t n = 0;

    if (points_sort(r) != 0)
        return no_memory(r);
    for (size_t i = 0; i < r->points; i++) {
        if (n > 0 && r->point[n - 1] >> COUNT_BITS == r->point[i] >> COUNT_BITS)
            r->point[n - 1] += r->point[i] & COUNT_MASK;
        else
            r->point[n++] = r->point[i];
    }
    r->points = n;
    return 0;
}

static int points_room(struct raw *r)
{
    size_t room = r->point_room ? 2 * r->point_room : 4096;

    if (r->point_room >= POINTS_MAX / 8 && points_merge(r) != 0)
        return -1;
    if (r->points < r->point_room / 2)
        return 0;
    if (room > POINTS_MAX)
        return problem_set(r->p, 422, "too many calls to count one by one: take whole minutes or less time");
    uint64_t *fresh = realloc(r->point, room * sizeof *fresh);
    if (!fresh)
        return no_memory(r);
    r->point = fresh;
    r->point_room = room;
    return 0;
}

static int point_add(struct raw *r, uint32_t row, enum usage_timing timing, int64_t ms, int sign)
{
    uint64_t key = ((uint64_t)row << 2 | timing << 1 | (sign < 0)) << BUCKET_BITS | sketch_bucket(ms);

    if (r->points == r->point_room && points_room(r) != 0)
        return -1;
    r->point[r->points++] = key << COUNT_BITS | 1;
    return 0;
}

void raw_sketch(const struct raw *r, uint32_t row, enum usage_timing timing, int64_t *counts,
                struct slab_sum_range *range)
{
    for (uint32_t i = r->first[row]; i < r->first[row + 1]; i++) {
        uint64_t key = r->point[i] >> COUNT_BITS;
        uint32_t bucket = key & ((1 << BUCKET_BITS) - 1);
        int64_t count = (int64_t)(r->point[i] & COUNT_MASK);
        if ((key >> (BUCKET_BITS + 1) & 1) != timing)
            continue;
        counts[bucket] += key >> BUCKET_BITS & 1 ? -count : count;
        range->first = bucket < range->first ? bucket : range->first;
        range->end = bucket >= range->end ? bucket + 1 : range->end;
    }
}

/* ------------------------------------------------------------------- rows */

static int row_new(struct raw *r, uint32_t bucket, uint32_t group)
{
    if (r->rows == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        struct raw_row *fresh = realloc(r->row, room * sizeof *fresh);
        if (!fresh)
            return no_memory(r);
        r->row = fresh;
        r->room = room;
    }
    r->row[r->rows++] = (struct raw_row){ .bucket = bucket, .group = group };
    return 0;
}

static int row_find(struct raw *r, uint32_t bucket, uint32_t group, uint32_t *out)
{
    uint32_t key[2] = { bucket, group };
    int64_t n = intern_number(&r->keys, key, sizeof key);

    if (n == -1)
        return problem_set(r->p, 422,
                           "more than %d rows: narrow the filter, group by less or take longer buckets",
                           USAGE_ROWS_MAX);
    if (n < 0)
        return no_memory(r);
    *out = (uint32_t)n;
    return (size_t)n == r->rows ? row_new(r, bucket, group) : 0;
}

/* --------------------------------------------------------------- scanning */

static void read_sums(sqlite3_stmt *stmt, unsigned status, struct usage_sums *s)
{
    *s = (struct usage_sums){ .partial = sqlite3_column_int(stmt, 3) == 1 };
    sums_of_status(s, status, 1);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        s->known[i] = sqlite3_column_type(stmt, 4 + i) != SQLITE_NULL;
        s->sum[i] = sqlite3_column_int64(stmt, 4 + i);
    }
}

static int add_times(struct raw *r, uint32_t row, const struct usage_sums *s, int sign)
{
    if (s->known[SUM_latency_ms] && point_add(r, row, USAGE_LATENCY, s->sum[SUM_latency_ms], sign) != 0)
        return -1;
    return s->known[SUM_ttft_ms] ? point_add(r, row, USAGE_TTFT, s->sum[SUM_ttft_ms], sign) : 0;
}

static int add_row(struct raw *r, sqlite3_stmt *stmt, int sign)
{
    const struct dictionary_entry *entry;
    struct usage_sums s;
    uint32_t row;
    int group = grouping_raw(r->grouping, r->c, sqlite3_column_int64(stmt, 1), sqlite3_column_int64(stmt, 2),
                             r->p, &entry);

    if (group == GROUPING_NONE)
        return 0;
    if (group < 0 ||
        row_find(r, buckets_find(r->buckets, sqlite3_column_int64(stmt, 0)), (uint32_t)group, &row) != 0)
        return -1;
    read_sums(stmt, entry->status, &s);
    sums_add(&r->row[row].sums, &s, sign);
    return r->timed ? add_times(r, row, &s, sign) : 0;
}

int raw_scan(struct raw *r, const struct plan_part *part)
{
    sqlite3_stmt *stmt = r->c->stmt[STMT_RAW];
    int rc, result = 0;

    sqlite3_bind_int64(stmt, 1, part->first_id);
    sqlite3_bind_int64(stmt, 2, part->last_id);
    sqlite3_bind_int64(stmt, 3, part->from);
    sqlite3_bind_int64(stmt, 4, part->to);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE)
        result = rc == SQLITE_ROW ? add_row(r, stmt, part->sign) : pool_problem(r->c, rc, r->p);
    sqlite3_reset(stmt);
    return result;
}

int raw_take(struct raw *r, const int64_t *id, size_t ids)
{
    struct plan_part part = { .raw = true, .sign = 1, .from = r->buckets->from_ms, .to = r->buckets->to_ms };
    int result = 0;

    for (size_t i = 0; i < ids && result == 0; i++) {
        part.first_id = part.last_id = id[i];
        result = raw_scan(r, &part);
    }
    return result;
}

int raw_add(struct raw *r, uint32_t bucket, int64_t dims, int64_t session, const struct usage_sums *sums)
{
    const struct dictionary_entry *entry;
    uint32_t row;
    int group = grouping_raw(r->grouping, r->c, dims, session, r->p, &entry);

    if (group == GROUPING_NONE)
        return 0;
    if (group < 0 || row_find(r, bucket, (uint32_t)group, &row) != 0)
        return -1;
    sums_add(&r->row[row].sums, sums, 1);
    return 0;
}

/* ----------------------------------------------------------------- finish */

static int rows_compare(const void *a, const void *b, void *rows)
{
    const struct raw_row *row = rows;
    uint32_t x = row[*(const uint32_t *)a].bucket, y = row[*(const uint32_t *)b].bucket;

    return x < y ? -1 : x > y;
}

int raw_finish(struct raw *r)
{
    size_t at = 0;

    r->first = malloc((r->rows + 1) * sizeof *r->first);
    r->ordered = malloc((r->rows + 1) * sizeof *r->ordered);
    if (!r->first || !r->ordered)
        return no_memory(r);
    if (points_merge(r) != 0)
        return -1;
    for (uint32_t i = 0; i <= r->rows; i++) {
        while (at < r->points && r->point[at] >> ROW_SHIFT < i)
            at++;
        r->first[i] = (uint32_t)at;
    }
    for (uint32_t i = 0; i < r->rows; i++)
        r->ordered[i] = i;
    if (r->rows > 1 && r->buckets->count > 1)
        qsort_r(r->ordered, r->rows, sizeof *r->ordered, rows_compare, r->row);
    return 0;
}
