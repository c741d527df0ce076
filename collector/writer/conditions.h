/* SPDX-License-Identifier: MIT
 *
 * conditions.h: alerts whose reason comes again and again. The first time raises one; the next times are
 * counted in memory and written now and then; after the quiet time of its kind (alarm/alert.h) it ends. Times
 * are those of arrival.
 *
 * Bounded: CONDITIONS_MAX are told apart; while so many are open, new ones of a kind are told together as one
 * under the mark "(other)". What was counted since the last write (CONDITIONS_WRITE_MS) is lost by a kill and
 * by a rollback. Owner: the writer, inside a transaction unless something else is said. Functions return 0 or
 * a negative SQLite code.
 */
#ifndef COLLECTOR_CONDITIONS_H
#define COLLECTOR_CONDITIONS_H

#include "alerts.h"

#define CONDITIONS_MAX      4096
#define CONDITIONS_WRITE_MS 10000
#define CONDITION_NOTE_MAX  95 /* bytes; a longer one is cut */
#define CONDITION_OTHER     "(other)"

struct condition;
struct condition_shortcut;

struct conditions {
    struct alerts *alerts; /* borrowed */
    int64_t most;          /* CONDITIONS_MAX; fewer in tests */
    /* owned */
    struct condition *all;
    uint16_t *index;                 /* places in all, from 1 on, by hash */
    struct condition_shortcut *near; /* conditions by number */
    uint32_t used;
    int64_t write_due_ms, end_due_ms; /* INT64_MAX: nothing waits */
    sqlite3_stmt *load, *evidence;
};

/* fini is due in any case. */
int conditions_init(struct conditions *c, struct alerts *alerts);
void conditions_fini(struct conditions *c);

/* Memory equal to the file: at the start and after a rollback. Not only inside transactions. */
int conditions_start(struct conditions *c);

/* What comes again. */
struct condition_more {
    int64_t now_ms;
    int64_t amount;   /* events that were lost, quarantined; else 0 */
    const char *note; /* the last fault, or NULL */
};

/* The reason that has this number within its kind (a combination's id, a source's) has come again. False: its
 * condition is not known by the number: conditions_meet is due. Any number but 0. Costs a few ns. */
bool conditions_again(struct conditions *c, enum alert_kind kind, uint32_t number,
                      const struct condition_more *more);

/* The same by its mark. False: there is no such open one: conditions_raise is due. */
bool conditions_meet(struct conditions *c, enum alert_kind kind, const char *mark, uint32_t number,
                     const struct condition_more *more);

/* Opens one. number: by which conditions_again is to know it; 0: by none. Its evidence has the amount in it
 * already. */
int conditions_raise(struct conditions *c, const struct alert *alert, uint32_t number,
                     const struct condition_more *more);

/* Time passes: writes what has been counted, if it is due or `all`, and ends what has been quiet. */
int conditions_tick(struct conditions *c, int64_t now_ms, bool all);

/* When conditions_tick has something to do; INT64_MAX. */
static inline int64_t conditions_due_ms(const struct conditions *c)
{
    return c->write_due_ms < c->end_due_ms ? c->write_due_ms : c->end_due_ms;
}

#endif
