/* SPDX-License-Identifier: MIT
 *
 * names.h: the dictionary tables (source, session, dims): from names to row ids, through bounded
 * caches keyed by the names' wire bytes. Owner: the writer, inside a transaction.
 */
#ifndef COLLECTOR_NAMES_H
#define COLLECTOR_NAMES_H

#include "memo.h"
#include "store.h"

struct names {
    struct store *store; /* borrowed */
    struct memo sources, sessions, dims;
    sqlite3_stmt *find_source, *add_source, *find_session, *add_session, *find_dims, *add_dims;
};

int names_init(struct names *n, struct store *store);
void names_fini(struct names *n);

/* After a rollback: what was added is not there any more. */
void names_forget(struct names *n);

/* Each gives the row's id, adding the row if it is new. 0 or a negative SQLite code. */
int names_source(struct names *n, const char *name, int64_t now_ms, uint32_t *out);
int names_session(struct names *n, struct slice wire, uint32_t *out);

/* The granularity is the one name the writer itself must know: enum tg_granularity, never 0. */
int names_dims(struct names *n, uint32_t source, struct slice wire, uint32_t *out, uint8_t *granularity);

#endif
