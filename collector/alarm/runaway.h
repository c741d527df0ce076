/* SPDX-License-Identifier: MIT
 *
 * runaway.h: recognises loops, from calls as they come, whether or not anybody tells tokens. Pure but for its
 * memory: bounded, one owner, no clock of its own (the calls' times are the time).
 *
 * Each call is looked at as part of its session, its root session (the session itself where none is told) and
 * its agent: its subjects. A rule that is broken at one of them is told once, with its evidence, and again
 * only after its cool-down, if a call breaks it then. What a session has been told of is not told again of
 * its root session and its agent, unless they break the rule without that session, too.
 *
 * Rates are counted in 4 seconds at a time, over the last 15 of these and the running one: never less than
 * what came within 60 s, and at most 4 s of it more. More than 16,000 calls a second of one subject are not
 * counted. Findings say how long it really was. What is counted over ten minutes covers up to 40 s more in
 * the same way.
 *
 * A call that is more than RUNAWAY_LATE_MS older than the newest of a subject is not looked at there; one
 * that is older than the minute counts for what comes in a row, and not for rates. Calls that were blocked
 * have not been made: they are not looked at. A call that was aborted, or of which nobody tells how it ended,
 * neither continues nor ends what comes in a row.
 *
 * RUNAWAY_SUBJECTS are remembered; another one takes the place of the one that had no call for the longest:
 * that one, if it comes again, is looked at as if it were new.
 */
#ifndef COLLECTOR_RUNAWAY_H
#define COLLECTOR_RUNAWAY_H

#include "runaway_rule.h"

#define RUNAWAY_SUBJECTS        4096 /* half a KiB each */
#define RUNAWAY_LATE_MS         ((int64_t)5 * 60 * 1000)
#define RUNAWAY_PAUSE_MS        ((int64_t)15 * 60 * 1000) /* without a call: the sitting has ended */
#define RUNAWAY_OUTLIER_AFTER   10                        /* calls of the session */
#define RUNAWAY_OUTLIER_TOKENS  100000                    /* a call below both is none */
#define RUNAWAY_OUTLIER_NANOUSD ((int64_t)500000000)

struct runaway;

/* Names of a call; borrowed. */
struct runaway_names {
    struct subject who; /* agent, session, root session, and what scopes look at */
    struct slice parent_session, error_type;
    uint8_t status, trigger; /* enum event_status, codes of event.def; 0: unknown */
    bool sum;                /* of several calls (a run or a turn): its size says nothing of one */
};

/* A call. Numbers are UNKNOWN where nobody told them. Names are asked for only when they are not remembered:
 * dims stands for all of them but the session's, session for those of the session (row ids of the log, which
 * stay what they are until runaway_forget_ids). dims 0: they are asked for each time; session 0 beside other
 * dims: it has none. */
struct runaway_call {
    int64_t ts_ms, row;
    uint32_t dims, session;
    int64_t http_status, tokens, prompt_tokens, tool_calls, cost_nanousd;
    bool partial;                                       /* it goes on: what it comes to is told later, */
    bool final;                                         /* as one that has been looked at as a partial one */
    int (*names)(void *arg, struct runaway_names *out); /* 0, or a negative error, which ends the look */
    void *arg;
};

#define RUNAWAY_ERROR_MAX 60

/* What has been recognised. Texts are borrowed until the next call. */
struct runaway_finding {
    const struct runaway_rule *rule;
    enum runaway_look look;
    struct slice name;                 /* of the session, root session or agent */
    const struct runaway_names *names; /* of the call that broke it */
    int64_t value, limit;              /* in the rule's unit */
    int64_t calls;                     /* of those that break it, up to this one */
    int64_t first_ms, last_ms, row;
    const char *error; /* the type of the subject's last error; "": none */
    int64_t error_http_status;
    char text[ALERT_TITLE_MAX +
              1]; /* "session s-42: 121 calls within 23 s, where 120 a minute are the limit" */
};

int runaway_new(struct runaway **out); /* -1: no memory */
void runaway_free(struct runaway *r);  /* NULL is fine */

/* From now on these rules, borrowed: what has been seen stays. Before the first time the default ones hold.
 */
void runaway_use(struct runaway *r, struct runaway_rule *const *rules, size_t count);

/* Looks at a call; calls found for each rule that it breaks. quiet: remembers, also what would have been
 * told, and tells nothing (what is read again at the start). 0, or what names or found gave, if it was not 0.
 */
typedef int runaway_found(void *arg, const struct runaway_finding *f);
int runaway_look_at(struct runaway *r, const struct runaway_call *c, bool quiet, runaway_found *found,
                    void *arg);

/* What was seen of it is forgotten: it has been resumed, or its pause is over. */
void runaway_forget(struct runaway *r, enum runaway_look look, struct slice name);

/* The ids of dims and sessions may stand for other names now. */
void runaway_forget_ids(struct runaway *r);

/* Everything. */
void runaway_clear(struct runaway *r);

#endif
