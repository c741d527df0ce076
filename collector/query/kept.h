/* SPDX-License-Identifier: MIT
 *
 * kept.h: sums that requests have made of slabs and may need again, shared by all of them: a run of
 * slabs (a month of days, say) added up by the groups of one shape of request. Each is kept with a
 * version of the slabs it was made of, so that what has changed since is never used. Bounded by
 * KEPT_BYTES; what was not used for the longest time goes. Any thread, a short turn at a time.
 */
#ifndef COLLECTOR_QUERY_KEPT_H
#define COLLECTOR_QUERY_KEPT_H

#include <stddef.h>
#include <stdint.h>

#define KEPT_BYTES     (8u << 20)
#define KEPT_ONE_BYTES (2u << 20)  /* more than that is not kept */
#define KEPT_WORTH     (48u << 10) /* bytes of slabs that are worth adding up once for all */
#define KEPT_BATCH     (2u << 20)  /* of slabs that are in memory at a time while they are added up */
#define KEPT_HASH      16

/* Which sum: the shape of the request, and the slabs of a level that begin in [from, to). */
struct kept_key {
    unsigned char shape[KEPT_HASH];
    int64_t from, to;
    uint64_t level;
};

struct kept_version {
    unsigned char hash[KEPT_HASH];
};

/* A sum, packed as a slab is. */
struct kept_sum {
    const uint8_t *at;
    size_t len;
};

struct kept;

struct kept *kept_new(void);    /* NULL: no memory */
void kept_free(struct kept *k); /* NULL is fine; all sums given back */

/* KEPT_WORTH and KEPT_BATCH, or what a test says before anything is used. */
size_t kept_worth(const struct kept *k);
size_t kept_batch(const struct kept *k);
void kept_tune(struct kept *k, size_t worth, size_t batch);

/* The sum of this key and version, to be given back; NULL: not here. */
const struct kept_sum *kept_get(struct kept *k, const struct kept_key *key, const struct kept_version *v);

/* Keeps a copy. The same, to be given back; NULL: it is too large, or there is no memory. */
const struct kept_sum *kept_put(struct kept *k, const struct kept_key *key, const struct kept_version *v,
                                const void *at, size_t len);

void kept_give(const struct kept_sum *sum); /* NULL is fine */

#endif
