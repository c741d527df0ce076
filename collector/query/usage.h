/* SPDX-License-Identifier: MIT
 *
 * usage.h: sums over the calls of a time, by bucket and names, exact within one snapshot.
 */
#ifndef COLLECTOR_QUERY_USAGE_H
#define COLLECTOR_QUERY_USAGE_H

#include "../base/event.h"
#include "../base/zone.h"
#include "filter.h"
#include "pool.h"

#define USAGE_ROWS_MAX    50000  /* before top and limit; over it: 422 */
#define USAGE_BUCKETS_MAX 100000 /* between from and to; over it: 400 */
#define USAGE_LIMIT       1000
#define USAGE_LIMIT_MAX   10000
#define USAGE_BY_MAX      (FIELD_SESSION_END + FILTER_TAGS_MAX)

extern const char *const usage_num_names[DISPATCH_SUMS];

enum usage_bucket { BUCKET_NONE, BUCKET_FIXED, BUCKET_CALENDAR };

enum usage_timing { USAGE_LATENCY, USAGE_TTFT, USAGE_TIMINGS };
enum usage_percentile { USAGE_P50, USAGE_P95, USAGE_P99, USAGE_PERCENTILES };
extern const char *const usage_percentile_names[USAGE_TIMINGS * USAGE_PERCENTILES];

/* What rows can be ordered by: these, then the sums, then the percentiles. */
enum usage_order {
    ORDER_CALLS,
    ORDER_ERRORS,
    ORDER_BLOCKED,
    ORDER_ABORTED,
    ORDER_STATUS_UNKNOWN,
    ORDER_PARTIAL,
    ORDER_ERROR_RATE,
    ORDER_CACHE_HIT_RATE,
    ORDER_SUM,
    ORDER_PERCENTILE = ORDER_SUM + DISPATCH_SUMS,
    ORDERS = ORDER_PERCENTILE + USAGE_TIMINGS * USAGE_PERCENTILES
};

struct usage_request {
    int64_t from_ms, to_ms;    /* [from, to) */
    bool from_loose, to_loose; /* told as `-24h`: may move back to a boundary that is quick to find */
    enum usage_bucket bucket;
    const char *bucket_text;    /* as it was asked for, for what is said of it; borrowed; NULL: none was */
    int64_t bucket_ms;          /* BUCKET_FIXED: whole minutes, counted from 1970, UTC */
    enum zone_unit bucket_unit; /* BUCKET_CALENDAR */
    const char *tz;             /* of calendar buckets, an IANA name; borrowed; NULL: the reporting zone */
    unsigned groups;
    enum field_id group[USAGE_BY_MAX];
    const char *tag[USAGE_BY_MAX]; /* borrowed; of FIELD_tag */
    struct filter filter;
    enum usage_order order; /* within a bucket; buckets come in the order of time */
    bool ascending;
    unsigned top;   /* rows of each bucket, and one for all others; 0: no such limit */
    unsigned limit; /* rows */
    bool compare;   /* with the equally long time just before */
};

#define USAGE_NOT_KEPT INT64_MIN

/* Sums are modulo 2^64 in the store; one that comes out negative is shown as INT64_MAX: numbers come
 * from peers and must not make an answer fail. */
struct usage_sums {
    int64_t calls;
    int64_t errors;           /* status error or timeout */
    int64_t blocked, aborted; /* these three are USAGE_NOT_KEPT where only a session's totals are known */
    int64_t status_unknown;
    int64_t partial;
    int64_t sum[DISPATCH_SUMS];
    int64_t known[DISPATCH_SUMS]; /* calls that told it; 0: the sum is unknown */
};

struct usage_times {
    int64_t ms[USAGE_TIMINGS][USAGE_PERCENTILES]; /* UNKNOWN: none is known */
};

#define USAGE_OTHER UINT32_MAX /* as a row's group: the rest of its bucket */

struct usage_row {
    uint32_t bucket; /* 0, 1, 2, ... */
    uint32_t group;  /* of the names; USAGE_OTHER */
    struct usage_sums sums;
    struct usage_times times;
};

struct grouping;

struct usage_answer {
    const struct usage_request *request; /* borrowed */
    int64_t from_ms, to_ms;              /* the request's, or where its loose ones came to be */
    char tz[ZONE_NAME_MAX];
    struct usage_row *row; /* owned; sorted */
    size_t rows;
    bool truncated;             /* there were more than the limit */
    struct usage_row totals;    /* of all, the truncated too */
    struct usage_row *previous; /* owned; of each row, then of the totals; NULL without compare */
    int64_t *bucket_ms;         /* owned; when each bucket begins */
    struct grouping *grouping;  /* owned */
};

/* Runs a request. 0, and *out is to be freed with usage_fini; or -1 and *p filled. */
int usage_run(struct query_pool *pool, const struct usage_request *request, struct monotime deadline,
              struct problem *p, struct usage_answer *out);
void usage_fini(struct usage_answer *a);

/* A row's name in request.group[i]: *len bytes, not terminated; NULL: unknown, or the row of the others. */
const char *usage_name(const struct usage_answer *a, const struct usage_row *row, unsigned i, size_t *len);

/* Shares between 0 and 1; negative: unknown. */
double usage_error_rate(const struct usage_sums *s);
double usage_cache_hit_rate(const struct usage_sums *s);

/* The order of a name (`calls`, `prompt_tokens`, `latency_ms_p95`), or -1; the name of an order. */
int usage_order_find(const char *name, size_t len);
const char *usage_order_name(enum usage_order order);

#endif
