/* SPDX-License-Identifier: MIT
 *
 * ledger_cells.h: sums by cell (a budget's id, a key, a start) in memory, to find and to add to. Grows as it
 * needs to; one thread at a time.
 */
#ifndef COLLECTOR_LEDGER_CELLS_H
#define COLLECTOR_LEDGER_CELLS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct recount_cell {
    int64_t budget; /* id */
    uint8_t *key;   /* owned */
    uint32_t key_len;
    int64_t start_ms, amount, calls, unknown;
    bool seen; /* for who compares */
};

/* Zeroed: empty. */
struct ledger_cells {
    struct recount_cell *all; /* owned; in the order in which they came */
    uint32_t used, room;
    uint32_t *index; /* owned; hash to place + 1 */
    uint32_t index_room;
};

void ledger_cells_fini(struct ledger_cells *c);  /* it is then empty */
void ledger_cells_clear(struct ledger_cells *c); /* keeps the memory of the index */

/* The cell; NULL: there is none. Valid until the next one is made. */
struct recount_cell *ledger_cells_find(const struct ledger_cells *c, int64_t budget, const uint8_t *key,
                                       uint32_t len, int64_t start_ms);

/* The same, made if need be, all sums 0; NULL: no memory. */
struct recount_cell *ledger_cells_get(struct ledger_cells *c, int64_t budget, const uint8_t *key,
                                      uint32_t len, int64_t start_ms);

/* Binds a cell to a statement whose parameters are budget, key, start_ms, amount, calls, unknown, and runs
 * it. */
int ledger_cell_save(sqlite3_stmt *stmt, const struct recount_cell *c);

/* A key that has no bytes is an empty blob, not NULL. */
static inline void bind_key(sqlite3_stmt *stmt, int at, const uint8_t *key, uint32_t len)
{
    sqlite3_bind_blob(stmt, at, len > 0 ? (const void *)key : "", (int)len, SQLITE_STATIC);
}

#endif
