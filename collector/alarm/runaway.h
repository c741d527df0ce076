/* SPDX-License-Identifier: MIT
 *
 * runaway.h: recognises loops, from calls as they come, whether or not anybody tells tokens. Pure but for its
 * memory: bounded, one owner, no clock of its own (the calls' times are the time).
 *
 * Each call is looked at as part of its session, its root session and its agent (LOOK_*). A rule that is
 * broken at one of them is told once, with its evidence, and again only after its cool-down.
 */
#ifndef COLLECTOR_RUNAWAY_H
#define COLLECTOR_RUNAWAY_H

#include "runaway_rule.h"

struct runaway;

/* A call. Texts are borrowed; numbers UNKNOWN where nobody told them. */
struct runaway_call {
    int64_t ts_ms, row;
    struct slice agent, session, parent_session, root_session, provider, model, error_type;
    const struct subject *who; /* for the rules' scopes */
    uint8_t status, trigger;   /* enum event_status, codes of event.def; 0: unknown */
    int64_t http_status, tokens, prompt_tokens, tool_calls, cost_nanousd;
};

/* What has been recognised. Texts are borrowed until the next call. */
struct runaway_finding {
    const struct runaway_rule *rule;
    enum runaway_look look;
    struct slice name;                              /* of the session, root session or agent */
    int64_t value, limit, calls, first_ms, last_ms; /* in the rule's unit; calls: that it took to be caught */
    char text[ALERT_TITLE_MAX + 1]; /* "session s-42: 121 calls within a minute, where 120 are the limit" */
};

int runaway_new(struct runaway **out); /* -1: no memory */
void runaway_free(struct runaway *r);  /* NULL is fine */

/* From now on these rules, borrowed: what has been seen stays. */
void runaway_use(struct runaway *r, struct runaway_rule *const *rules, size_t count);

/* Looks at a call; calls found for each rule that it breaks. quiet: remembers, tells nothing (what is read
 * again at the start). */
typedef int runaway_found(void *arg, const struct runaway_finding *f);
int runaway_look_at(struct runaway *r, const struct runaway_call *c, bool quiet, runaway_found *found,
                    void *arg);

/* A person has resumed it: what was seen of it is forgotten. */
void runaway_forget(struct runaway *r, enum runaway_look look, struct slice name);

#endif
