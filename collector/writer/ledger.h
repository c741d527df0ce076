/* SPDX-License-Identifier: MIT
 *
 * ledger.h: the projection 'ledger': what the calls came to, by budget and account, and what reservations
 * hold of it; which accounts do not allow the next call. The verbs are those of log_row.h. Owner: the
 * writer, inside a transaction unless something else is said. Functions return 0 or a negative SQLite
 * code.
 *
 * True at every commit, for each budget that has been counted:
 *   projection_ledger = what the dispatches that count with id <= watermark are worth, by the cell in which
 * each falls: at the time of its reservation's admission, else at its own; from counts_from_ms on. A call
 * that was blocked is worth nothing. What a call costs is our price, else what the gateway reported, else
 * unknown. Its tokens are the total, else prompt and completion as far as known.
 */
#ifndef COLLECTOR_LEDGER_H
#define COLLECTOR_LEDGER_H

#include "../base/board.h"
#include "../base/counters.h"
#include "../govern/policy.h"
#include "../govern/price_list.h"
#include "alerts.h"
#include "ledger_accounts.h"
#include "ledger_booked.h"
#include "log_row.h"
#include "store.h"

#define LEDGER_TTL_DEFAULT_MS ((int64_t)10 * 60 * 1000)
#define LEDGER_TTL_MIN_MS     1000
#define LEDGER_TTL_MAX_MS     ((int64_t)24 * 3600 * 1000)

struct ledger_options {
    const struct price_list *prices;          /* borrowed; NULL: nothing has a price */
    int64_t prompt_tokens, completion_tokens; /* what is reserved when nothing is known */
    int64_t ttl_ms;                           /* of a reservation that names none */
    int64_t open_max;                         /* reservations */
    const char *zone;                         /* of budgets that name none; borrowed */
};

/* Who may not call, or not without waiting: see ledger_pauses.h. */
struct pause {
    int64_t id;
    int64_t until_ms; /* WINDOW_NEVER: until it is resumed */
    int64_t delay_ms; /* before each call; 0: it blocks */
    int64_t alert;    /* UNKNOWN: none */
    uint8_t field;
    char *value, *reason; /* owned */
    char *rule;           /* owned: the runaway rule that made it; NULL: a person did */
};

/* A pause is over, in the transaction in which it ends: its time has come, or (resumed) a person said so.
 * p: until it returns. */
typedef void ledger_pause_over(void *arg, const struct pause *p, bool resumed);

/* A rule of a policy, and whether it only records. */
struct ledger_rule {
    struct rule rule; /* owned; its policy is in policies */
    bool shadow;
};

struct ledger_match;
struct order;

/* An admission has been denied. 0 or a negative SQLite code. */
typedef int ledger_denied(void *arg, const struct order *o, int64_t now_ms);

/* ledger_forecast.c: accounts are looked at one after the other, again and again. */
struct ledger_foresight {
    bool recalled;                   /* the paces are those of the last hour of the log */
    int64_t began_ms, due_ms;        /* of the round; when a look is due */
    uint32_t at, saved;              /* the account that is next; curves written in this slice */
    sqlite3_stmt *load, *save, *sum; /* the store's */
};

struct ledger {
    struct store *store; /* borrowed */
    struct ledger_options options;
    int64_t watermark, newest, now_ms;
    uint32_t pending;
    bool running;       /* what is posted now happens now, and is told of; false: it is read again */
    bool owes, changed; /* see ledger_must_flush; what does not allow has changed since the last board */
    struct accounts accounts;
    struct ledger_budget **budgets;    /* owned, and each of them */
    struct ledger_budget **by_session; /* owned; borrowed are those of budgets that look at sessions */
    size_t budget_count, session_budgets;
    size_t uncounted;         /* budgets whose past is to be counted */
    struct policy **policies; /* borrowed: the configuration's */
    size_t policy_count;
    struct ledger_rule *rules; /* owned */
    size_t rule_count;
    struct pause *pauses; /* owned; the hardest first */
    size_t pause_count;
    int64_t next_pause_ms; /* when the first of them ends; INT64_MAX */
    struct {
        ledger_pause_over *call; /* NULL: nobody wants to know */
        void *arg;
    } pause_over;                 /* set by the writer after ledger_init */
    struct ledger_match *matches; /* owned: accounts by combination */
    int64_t next_change_ms; /* when an account that does not allow, or a raise, is to be looked at again */
    int64_t reservations_open, reservations_known, next_expiry_ms;
    struct ledger_hint *hints;     /* owned: the last prompt of sessions */
    uint64_t *early;               /* owned: reservations whose event came before their admission, by hash */
    struct ledger_statements *sql; /* owned */
    struct booked booked;
    struct alerts alerts;            /* for all who raise them */
    struct subject_reader *subjects; /* owned */
    ledger_denied *denied;           /* NULL: nobody is told */
    void *denied_arg;                /* borrowed */
    uint64_t version;                /* of the board */
    struct ledger_foresight foresight;
    struct {
        int64_t admitted, denied, settled, expired, alerts, overruns;
    } tally; /* since the last look */
};

int ledger_init(struct ledger *l, struct store *store, const struct ledger_options *options);
void ledger_fini(struct ledger *l);

/* Makes memory equal to the file up to the watermark; rows after it are to be given again. Not inside a
 * transaction: it makes its own where something is to be ended. */
int ledger_start(struct ledger *l, int64_t now_ms);

/* A transaction begins at this time: windows and pauses that are over end, reservations expire. */
int ledger_tick(struct ledger *l, int64_t now_ms);

/* A row that has just been written. e NULL: it is read again. */
int ledger_row(struct ledger *l, const struct log_row *row, const struct event *e);
int ledger_retract(struct ledger *l, const struct log_row *row);
int ledger_restore(struct ledger *l, const struct log_row *row);
/* The cost of a row that counts is going to change: budgets keep what they have counted of it
 * (ledger_booked.h). */
int ledger_keep(struct ledger *l, const struct log_row *row);
/* Or they count it as it is now; was: as it stood in the log until now. */
int ledger_adopt(struct ledger *l, const struct log_row *was, const struct log_row *is);
bool ledger_must_flush(const struct ledger *l);
bool ledger_is_full(const struct ledger *l);
bool ledger_is_dirty(const struct ledger *l);
int ledger_flush(struct ledger *l);

/* After the start, when all rows have been given: from now on what happens is told of. */
static inline void ledger_run(struct ledger *l)
{
    l->running = true;
}

/* When ledger_tick has something to do; INT64_MAX. */
int64_t ledger_due_ms(const struct ledger *l);

/* What is published when something has changed: NULL: no memory. Outside transactions. */
struct board *ledger_board(struct ledger *l);

#endif
