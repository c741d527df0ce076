/* SPDX-License-Identifier: MIT
 *
 * What makes an answer exact (all of it read in one transaction, so from one commit): the rollups hold
 * precisely the dispatches with id <= watermark that count, and the log's tail is added to them; what
 * they cannot tell apart (parts of a minute, sessions) is counted from the log.
 */
#include "usage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rank.h"
#include "sums.h"
#include "tally.h"
#include "when.h"

const char *const usage_num_names[DISPATCH_SUMS] = {
#define NUM_NAME(name) #name,
    DISPATCH_SUMMED(NUM_NAME)
};

const char *const usage_percentile_names[USAGE_TIMINGS * USAGE_PERCENTILES] = {
    "latency_ms_p50", "latency_ms_p95", "latency_ms_p99", "ttft_ms_p50", "ttft_ms_p95", "ttft_ms_p99",
};

static const char *const order_names[ORDER_SUM] = {
    "calls", "errors", "blocked", "aborted", "status_unknown", "partial", "error_rate", "cache_hit_rate",
};

const char *usage_order_name(enum usage_order order)
{
    if (order >= ORDER_PERCENTILE)
        return usage_percentile_names[order - ORDER_PERCENTILE];
    return order >= ORDER_SUM ? usage_num_names[order - ORDER_SUM] : order_names[order];
}

int usage_order_find(const char *name, size_t len)
{
    for (int i = 0; i < ORDERS; i++) {
        const char *known = usage_order_name((enum usage_order)i);
        if (strlen(known) == len && memcmp(known, name, len) == 0)
            return i;
    }
    return -1;
}

double usage_error_rate(const struct usage_sums *s)
{
    return s->calls > 0 ? (double)s->errors / (double)s->calls : -1;
}

double usage_cache_hit_rate(const struct usage_sums *s)
{
    double cached = (double)s->sum[SUM_cached_tokens], prompt = (double)s->sum[SUM_prompt_tokens];

    if (s->known[SUM_cached_tokens] == 0 || s->known[SUM_prompt_tokens] == 0 || prompt <= 0 || cached < 0)
        return -1;
    return cached < prompt ? cached / prompt : 1;
}

/* A period of the request: the one that is asked for, or the one before. */
struct period {
    struct tally tally;
    struct usage_row totals;
    struct tally_counts times;
};

/* One request. */
struct run {
    const struct usage_request *q;
    struct problem *p;
    struct plan plan;
    const struct zone *zone;
    struct rank rank;
    struct usage_answer *answer;
    size_t room;               /* of its rows */
    struct period now, before; /* before: only to compare with */
};

static int no_memory(struct run *r)
{
    return problem_set(r->p, 503, "out of memory");
}

/* ---------------------------------------------------------------- periods */

static int period_count(struct period *d, size_t bucket)
{
    struct tally *t = &d->tally;

    if (tally_bucket(t, bucket) != 0)
        return -1;
    for (size_t i = 0; i < t->rows; i++)
        sums_add(&d->totals.sums, &t->row[i].sums, 1);
    return 0;
}

static void period_finish(struct period *d)
{
    d->totals.group = USAGE_OTHER;
    sums_finish(&d->totals.sums);
    for (enum usage_timing t = 0; t < USAGE_TIMINGS; t++)
        sums_percentiles(d->times.count[t], 0, SKETCH_BUCKETS, d->totals.times.ms[t]);
}

/* The percentiles of items, into rows. */
static int period_times(struct run *r, struct period *d, struct usage_row *row, size_t rows)
{
    struct usage_times *times = malloc((rows + 1) * sizeof *times);

    if (!times)
        return no_memory(r);
    int result = tally_times(&d->tally, rows, times, &d->times);
    for (size_t i = 0; i < rows && result == 0; i++)
        row[i].times = times[i];
    free(times);
    return result;
}

/* ------------------------------------------------------------------- rows */

static int rank_by_times(struct run *r, uint32_t bucket, size_t limit)
{
    struct tally *t = &r->now.tally;
    struct usage_times *times = malloc((t->rows + 1) * sizeof *times);

    if (!times)
        return no_memory(r);
    for (size_t i = 0; i < t->rows; i++)
        t->row[i].item = (int32_t)i;
    int result = tally_times(t, t->rows, times, NULL);
    if (result == 0 && rank_rows(&r->rank, t, bucket, times, limit) != 0)
        result = no_memory(r);
    free(times);
    return result;
}

/* Which of the bucket's rows are shown, and all that is told of them. */
static int bucket_rank(struct run *r, uint32_t bucket)
{
    size_t limit = r->q->limit - r->answer->rows;

    if (r->q->order >= ORDER_PERCENTILE) {
        if (rank_by_times(r, bucket, limit) != 0)
            return -1;
    } else if (rank_rows(&r->rank, &r->now.tally, bucket, NULL, limit) != 0) {
        return no_memory(r);
    }
    r->answer->truncated |= r->rank.truncated;
    return period_times(r, &r->now, r->rank.row, r->rank.rows);
}

static int rows_room(struct run *r, size_t more)
{
    struct usage_answer *a = r->answer;
    size_t room = 2 * r->room + more + 1; /* + 1: the totals of the time before */

    if (r->room >= a->rows + more + 1)
        return 0;
    struct usage_row *row = realloc(a->row, room * sizeof *row);
    if (!row)
        return no_memory(r);
    a->row = row;
    if (r->q->compare) {
        row = realloc(a->previous, room * sizeof *row);
        if (!row)
            return no_memory(r);
        a->previous = row;
    }
    r->room = room;
    return 0;
}

/* What the bucket's items were in the time before. */
static int bucket_compare(struct run *r, struct usage_row *row)
{
    struct tally *before = &r->before.tally;

    for (size_t i = 0; i < r->rank.rows; i++) {
        row[i] = (struct usage_row){ .bucket = r->rank.row[i].bucket, .group = r->rank.row[i].group };
        sums_no_times(&row[i].times);
    }
    if (before->rows == 0)
        return 0;
    rank_follow(&r->rank, &r->now.tally, before);
    for (size_t i = 0; i < before->rows; i++) {
        if (before->row[i].item >= 0)
            sums_add(&row[before->row[i].item].sums, &before->row[i].sums, 1);
    }
    for (size_t i = 0; i < r->rank.rows; i++)
        sums_finish(&row[i].sums);
    return period_times(r, &r->before, row, r->rank.rows);
}

static int bucket_show(struct run *r, size_t bucket)
{
    struct usage_answer *a = r->answer;

    r->now.tally.rows = r->before.tally.rows = r->rank.rows = 0;
    if (bucket < r->now.tally.buckets.count && period_count(&r->now, bucket) != 0)
        return -1;
    if (bucket < r->before.tally.buckets.count && period_count(&r->before, bucket) != 0)
        return -1;
    if (bucket_rank(r, (uint32_t)bucket) != 0 || rows_room(r, r->rank.rows) != 0)
        return -1;
    if (r->rank.rows > 0)
        memcpy(a->row + a->rows, r->rank.row, r->rank.rows * sizeof *a->row);
    if (r->q->compare && bucket_compare(r, a->previous + a->rows) != 0)
        return -1;
    a->rows += r->rank.rows;
    return 0;
}

/* Nothing to group by: the one row is there even when it is empty. */
static int empty_row(struct run *r)
{
    struct usage_answer *a = r->answer;

    if (rows_room(r, 1) != 0)
        return -1;
    if (a->rows > 0 || r->q->bucket != BUCKET_NONE || r->q->groups > 0)
        return 0;
    a->row[0] = (struct usage_row){ 0 };
    sums_no_times(&a->row[0].times);
    if (r->q->compare)
        a->previous[0] = r->before.totals;
    a->rows = 1;
    return 0;
}

/* -------------------------------------------------------------------- run */

static int bounds_set(struct run *r)
{
    const struct usage_request *q = r->q;
    struct usage_answer *a = r->answer;

    r->zone = q->tz ? pool_zone(r->plan.c, q->tz) : r->plan.kept.zone;
    if (!r->zone)
        return problem_parameter(r->p, "tz", q->tz, "the IANA name of a time zone: Europe/Berlin");
    snprintf(a->tz, sizeof a->tz, "%s", zone_name(r->zone));
    a->from_ms = q->from_loose ? plan_floor(&r->plan, q->from_ms) : q->from_ms;
    a->to_ms = q->to_loose ? plan_floor(&r->plan, q->to_ms) : q->to_ms;
    if (a->from_ms >= a->to_ms) {
        char to[WHEN_TEXT];
        when_format(q->to_ms, to);
        return problem_parameter(
            r->p, "to", to,
            "a time in a later piece of what is kept (a minute, 15 minutes, a day) than from");
    }
    return 0;
}

/* The equally long time just before, as far back as there is time. */
static int before_init(struct run *r)
{
    const struct usage_answer *a = r->answer;
    int64_t from = a->from_ms - (a->to_ms - a->from_ms);

    from = from > WHEN_MIN ? from : WHEN_MIN;
    if (r->q->from_loose)
        from = plan_floor(&r->plan, from);
    return tally_init(&r->before.tally, r->q, &r->plan, a->grouping, r->zone, from, a->from_ms, true);
}

static int count(struct run *r)
{
    struct usage_answer *a = r->answer;

    if (bounds_set(r) != 0)
        return -1;
    a->grouping = grouping_new(r->q, pool_dictionary(r->plan.c));
    if (!a->grouping)
        return no_memory(r);
    if (tally_init(&r->now.tally, r->q, &r->plan, a->grouping, r->zone, a->from_ms, a->to_ms, false) != 0 ||
        (r->q->compare && before_init(r) != 0))
        return -1;
    size_t now = r->now.tally.buckets.count, before = r->before.tally.buckets.count;
    for (size_t i = 0; i < (now > before ? now : before); i++) {
        if (bucket_show(r, i) != 0)
            return -1;
    }
    period_finish(&r->now);
    period_finish(&r->before);
    if (empty_row(r) != 0)
        return -1;
    a->totals = r->now.totals;
    if (r->q->compare)
        a->previous[a->rows] = r->before.totals;
    a->bucket_ms = r->now.tally.buckets.begin_ms;
    r->now.tally.buckets.begin_ms = NULL;
    return 0;
}

/* With a seat: one borrowed connection, one transaction. */
static int run(struct query_pool *pool, struct run *r, struct monotime deadline)
{
    struct pool_connection *c;

    if (pool_borrow(pool, deadline, r->p, &c) != 0)
        return -1;
    int result = plan_init(&r->plan, c, r->p);
    if (result == 0)
        result = count(r);
    tally_fini(&r->now.tally);
    tally_fini(&r->before.tally);
    pool_give(c);
    plan_fini(&r->plan);
    rank_fini(&r->rank);
    return result;
}

int usage_run(struct query_pool *pool, const struct usage_request *request, struct monotime deadline,
              struct problem *p, struct usage_answer *out)
{
    enum pool_work work = grouping_is_by_session(request) ? WORK_LOG : WORK_SLABS;
    struct usage_answer answer = { .request = request };
    struct run *r = calloc(1, sizeof *r);
    struct queue_item *seat;
    int result = -1;

    if (!r)
        return problem_set(p, 503, "out of memory");
    r->q = request;
    r->p = p;
    r->answer = &answer;
    if (pool_sit(pool, work, deadline, p, &seat) == 0) {
        result = run(pool, r, deadline);
        pool_stand(pool, work, seat);
    }
    free(r);
    if (result == 0)
        *out = answer;
    else
        usage_fini(&answer);
    return result;
}

void usage_fini(struct usage_answer *a)
{
    free(a->row);
    free(a->previous);
    free(a->bucket_ms);
    grouping_free(a->grouping);
}

const char *usage_name(const struct usage_answer *a, const struct usage_row *row, unsigned i, size_t *len)
{
    return row->group == USAGE_OTHER ? NULL : grouping_name(a->grouping, row->group, i, len);
}
