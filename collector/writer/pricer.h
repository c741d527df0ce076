/* SPDX-License-Identifier: MIT
 *
 * pricer.h: gives an event its price and its cost, both by the event's own time, and keeps the prices that
 * were used in the table price. Owner: the writer, inside a transaction. What prices a combination of names
 * is remembered, with the span of time in which it does: a known one costs some 20 ns.
 *
 * The model that answered decides, never the one that was asked for: a call without a model has no price,
 * unless the operator gave all models of its provider one. What cannot be priced keeps price and cost
 * UNKNOWN. A call that was blocked and tells no tokens never reached its provider: it costs 0, by no price.
 */
#ifndef COLLECTOR_PRICER_H
#define COLLECTOR_PRICER_H

#include "../govern/price_list.h"
#include "store.h"

struct pricer_slot;

struct pricer {
    struct store *store;           /* borrowed */
    const struct price_list *list; /* borrowed; NULL: nothing is priced */
    struct pricer_slot *slots;     /* owned */
    sqlite3_stmt *find, *add, *names;
};

/* 0 or a negative SQLite code. */
int pricer_init(struct pricer *p, struct store *store, const struct price_list *list);
void pricer_fini(struct pricer *p);

/* At the start and after a rollback: memory equal to the file. */
void pricer_recover(struct pricer *p);

/* From now on another list, borrowed, which may be NULL. */
void pricer_use(struct pricer *p, const struct price_list *list);

/* Sets num[D_price] and num[D_cost_nanousd] of a dispatch from its other numbers; adds the price's row if it
 * is used for the first time. Without a list both stay as they are. dims: the id of the combination, wire:
 * its names. 0 or a negative SQLite code.
 */
int pricer_price(struct pricer *p, uint32_t dims, struct slice wire, int64_t ts_ms, int64_t *num);

/* The same of a row that is read again: its names are those that stand in dims. */
int pricer_price_again(struct pricer *p, uint32_t dims, int64_t ts_ms, int64_t *num);

/* Whether a combination that has just been priced has a price; true if that is not remembered, or without a
 * list. */
bool pricer_has_price(const struct pricer *p, uint32_t dims);

#endif
