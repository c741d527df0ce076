/* SPDX-License-Identifier: MIT
 *
 * usage.h: sums over the calls of a time, by bucket and names, exact within one snapshot.
 */
#ifndef COLLECTOR_QUERY_USAGE_H
#define COLLECTOR_QUERY_USAGE_H

#include "../base/event.h"
#include "filter.h"
#include "intern.h"
#include "pool.h"

#define USAGE_GROUPS_MAX  100000 /* rows before the limit; over it: 422 */
#define USAGE_BUCKETS_MAX 100000 /* buckets between from and to; over it: 400 */
#define USAGE_LIMIT       1000
#define USAGE_LIMIT_MAX   10000

extern const char *const usage_num_names[DISPATCH_SUMS];

struct usage_request {
    int64_t from_ms, to_ms; /* [from, to) */
    int64_t bucket_ms;      /* whole minutes; 0: one bucket over all */
    unsigned groups;
    enum field_id group[FIELD_SESSION_END];
    struct filter filter;
    unsigned limit;
};

/* Sums stop at INT64_MAX: numbers come from peers and must not make an answer fail. */
struct usage_sums {
    int64_t calls;
    int64_t errors; /* status error or timeout */
    int64_t blocked, aborted;
    int64_t status_unknown;
    int64_t partial;
    int64_t sum[DISPATCH_SUMS];
    int64_t known[DISPATCH_SUMS]; /* calls that told it; 0: the sum is unknown */
};

struct usage_row {
    int64_t bucket; /* ts / bucket_ms */
    uint32_t dims_names, session_names;
    struct usage_sums sums;
};

struct usage_answer {
    const struct usage_request *request; /* borrowed */
    struct usage_row *row;               /* owned; sorted: by bucket, then calls downwards */
    size_t rows;
    bool truncated;           /* there were more than the limit */
    struct usage_sums totals; /* of all, the truncated too */
    struct intern dims_names, session_names;
};

/* Runs a request. 0, and *out is to be freed with usage_fini; or -1 and *p filled. */
int usage_run(struct query_pool *pool, const struct usage_request *request, struct monotime deadline,
              struct problem *p, struct usage_answer *out);
void usage_fini(struct usage_answer *a);

/* A row's name in request.group[i]: *len bytes, not terminated; NULL: unknown. */
const char *usage_name(const struct usage_answer *a, const struct usage_row *row, unsigned i, size_t *len);

#endif
