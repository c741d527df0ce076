/* SPDX-License-Identifier: MIT
 *
 * combinations.h: the dictionary dims: every combination of low-cardinality names, stored once, and
 * under which combination it is summed. Owner: the writer, inside a transaction.
 *
 * Overflow. The rollups know a bounded number of combinations. A new one past the bound is summed
 * under a row like it in which the names that tend to be many (user_id, channel, tags, error_type,
 * requested_model; as far as known) are "(other)". Past twice the bound it is summed under a row in
 * which every text and the source are "(other)"; the enumerations stay, so that errors remain errors.
 * A combination keeps the row that it once got.
 */
#ifndef COLLECTOR_COMBINATIONS_H
#define COLLECTOR_COMBINATIONS_H

#include "memo.h"
#include "store.h"

#define COMBINATIONS_DEFAULT 10000
#define COMBINATION_OTHER    "(other)"

/* What the writer must know of a combination. */
struct combination {
    uint32_t id, rollup;
    uint8_t granularity; /* enum event_granularity, never 0 */
    uint8_t status;      /* 0: unknown */
    bool overflowed;     /* it is new and did not get its own */
};

struct combinations {
    struct store *store; /* borrowed */
    struct memo memo;
    int64_t bound, known; /* known: rows that something is summed under */
    int64_t next_id;
    sqlite3_stmt *find, *add, *find_source, *add_source;
};

/* bound: how many combinations the rollups know; 0: COMBINATIONS_DEFAULT. */
int combinations_init(struct combinations *c, struct store *store, int64_t bound);
void combinations_fini(struct combinations *c);

/* At the start and after a rollback: memory equal to the file. */
int combinations_recover(struct combinations *c);

/* wire: the names' bytes in an event. Adds the row if it is new. 0 or a negative SQLite code. */
int combinations_get(struct combinations *c, uint32_t source, struct slice wire, struct combination *out);

#endif
