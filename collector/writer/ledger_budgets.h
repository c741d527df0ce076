/* SPDX-License-Identifier: MIT
 *
 * ledger_budgets.h: budgets and raises come and go. Owner: the writer, inside a transaction; after a
 * change ledger_reload is due. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_LEDGER_BUDGETS_H
#define COLLECTOR_LEDGER_BUDGETS_H

#include "ledger.h"

/* Puts a budget in force; *created: it was not there. What was counted goes on where it counts the same. */
int ledger_put_budget(struct ledger *l, const struct budget *def, bool from_file, bool *created);
/* Its budget ends: what it counted stays in the file. */
int ledger_end_budget(struct ledger *l, const struct ledger_budget *b);
/* The same where no other of its name follows: its allowances end too. */
int ledger_drop_budget(struct ledger *l, const struct ledger_budget *b);

/* The configuration's, all of them: others that came from it before end. Policies are borrowed until the next
 * call. */
struct ledger_file {
    struct budget **budgets;
    size_t budget_count;
    struct policy **policies;
    size_t policy_count;
    const struct price_list *prices;     /* borrowed as the policies are */
    struct runaway_rule *const *runaway; /* borrowed likewise; for runaways.h */
    size_t runaway_count;
};
int ledger_put_file(struct ledger *l, const struct ledger_file *file);

/* A recount of what was there before a budget came has ended: see ledger_recount.h. */
struct recount;
int ledger_counted(struct ledger *l, const struct recount *r);

/* Budgets whose past is to be counted now: after a start, all that were not finished begin again. */
int ledger_begin_counting(struct ledger *l);
static inline bool ledger_wants_count(const struct ledger *l)
{
    return l->uncounted > 0;
}

#endif
