/* SPDX-License-Identifier: MIT
 *
 * names.h: the dictionary tables (source, session, dims): from names to row ids, through bounded
 * caches keyed by the names' wire bytes. Owner: the writer, inside a transaction.
 */
#ifndef COLLECTOR_NAMES_H
#define COLLECTOR_NAMES_H

#include "combinations.h"
#include "memo.h"
#include "store.h"

struct names {
    struct store *store; /* borrowed */
    struct memo sources, sessions;
    struct combinations combinations;
    int64_t next_session, known; /* known: sessions in the store */
    sqlite3_stmt *find_source, *add_source, *find_session, *find_root, *add_session;
};

/* bound: how many combinations the rollups know; 0: COMBINATIONS_DEFAULT. */
int names_init(struct names *n, struct store *store, int64_t bound);
void names_fini(struct names *n);

/* At the start and after a rollback: memory equal to the file. */
int names_recover(struct names *n);

/* Sessions have been deleted, so many of their names: nothing may give their ids any more. */
void names_forget_sessions(struct names *n, int64_t deleted);

/* Each gives the row's id, adding the row if it is new. 0 or a negative SQLite code. */
int names_source(struct names *n, const char *name, int64_t now_ms, uint32_t *out);
int names_session(struct names *n, struct slice wire, uint32_t *out);

static inline int names_dims(struct names *n, uint32_t source, struct slice wire, struct combination *out)
{
    return combinations_get(&n->combinations, source, wire, out);
}

#endif
