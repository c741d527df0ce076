/* SPDX-License-Identifier: MIT
 *
 * runaways.h: what the recogniser (alarm/runaway.h) finds becomes an alert and, if the rule says so, a pause.
 *
 * The mark of an alert is its rule, its look and its name. One with a pause ends with the pause: after the
 * cool-down, or when somebody resumes it; then what was seen of the subject is forgotten. One without ends
 * when the rule was not broken again for a cool-down and RUNAWAYS_SLACK_MS more; broken again before, it
 * counts up. While RUNAWAYS_OPEN of these are open, what is found of a rule and a look is told together, as
 * one under the name "(other)".
 *
 * Not looked at: calls whose time was out of range, and those told later than RUNAWAYS_LATE_MS. A partial
 * record is a call as soon as it comes; what it came to is told by the final one. What breaks a rule but is
 * older than RUNAWAYS_ACT_MS when it comes is told, and nothing is paused: it is over. A call from the future
 * is taken as one of now.
 *
 * After a start and after a rollback the calls of RUNAWAYS_PAST_MS, RUNAWAYS_PAST_ROWS of the log at the
 * most, are looked at quietly, so that what was going on goes on. A session that lasts for longer begins anew
 * there.
 *
 * Owner: the writer, inside a transaction unless something else is said. Functions return 0 or a negative
 * SQLite code.
 */
#ifndef COLLECTOR_RUNAWAYS_H
#define COLLECTOR_RUNAWAYS_H

#include "../alarm/runaway.h"
#include "ledger.h"
#include "log_row.h"

#define RUNAWAYS_OPEN      4096
#define RUNAWAYS_OTHERS    (RUNAWAY_KIND_COUNT * LOOKS)
#define RUNAWAYS_OTHER     "(other)"
#define RUNAWAYS_SLACK_MS  ((int64_t)60 * 1000)
#define RUNAWAYS_LATE_MS   ((int64_t)60 * 60 * 1000)
#define RUNAWAYS_ACT_MS    ((int64_t)5 * 60 * 1000)
#define RUNAWAYS_PAST_MS   ((int64_t)7 * 60 * 60 * 1000)
#define RUNAWAYS_PAST_ROWS 100000
#define RUNAWAYS_DAY_MS    ((int64_t)24 * 60 * 60 * 1000) /* of an endless cool-down without a pause */
#define RUNAWAYS_NAME      256                            /* bytes of a name, and its end */

/* An alert that ends by itself. */
struct runaways_open {
    int64_t alert, due_ms;
};

struct runaways {
    struct store *store;        /* borrowed, as the next */
    struct ledger *ledger;      /* its alerts are everybody's */
    struct runaway *seen;       /* owned */
    struct runaways_open *open; /* owned; RUNAWAYS_OPEN and RUNAWAYS_OTHERS at the most */
    size_t open_count;
    int64_t due_ms; /* when the first of them ends; INT64_MAX */
    bool reads;     /* the past is still to be read */
    bool forgets;   /* what was told and would be never again, although nothing is paused: */
    enum runaway_look forget_look;
    char forget_name[RUNAWAYS_NAME];
    const struct log_row *row; /* that is being looked at */
    sqlite3_stmt *load;
};

/* Takes the ledger's pause_over. fini is due in any case. */
int runaways_init(struct runaways *r, struct store *store, struct ledger *ledger);
void runaways_fini(struct runaways *r);

/* Memory equal to the file; the past is read with the first row, or with the next rules. */
int runaways_start(struct runaways *r, int64_t now_ms);

/* From now on these rules, borrowed until others come. */
int runaways_use(struct runaways *r, struct runaway_rule *const *rules, size_t count, int64_t now_ms);

/* Alerts that are due end. */
int runaways_tick(struct runaways *r, int64_t now_ms);

/* A dispatch that has just been written. */
int runaways_row(struct runaways *r, const struct log_row *row, const struct event *e);

#endif
