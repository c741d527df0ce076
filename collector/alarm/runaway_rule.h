/* SPDX-License-Identifier: MIT
 *
 * runaway_rule.h: when is it a runaway, and what is done. Immutable once made; pure.
 */
#ifndef COLLECTOR_RUNAWAY_RULE_H
#define COLLECTOR_RUNAWAY_RULE_H

#include "../govern/scope.h"
#include "../govern/verdict.h"
#include "alert.h"

#define RUNAWAY_RULES_MAX 200

/* name, default limit, unit of the limit. calls: blocked ones are none. */
#define RUNAWAY_KINDS(X)                                                                                 \
    X(calls_per_minute, 120, "calls within 60 s")                                                        \
    X(tokens_per_minute, 2000000, "tokens within 60 s")                                                  \
    X(context_growth, 400000, "tokens by which the prompt of a session grew within 60 s")                \
    X(tool_calls_per_minute, 120, "tool calls within 60 s")                                              \
    X(identical_errors, 10, "calls in a row that ended in the same error")                               \
    X(payment_retries, 10, "calls answered 402 or 429 within 10 minutes, none ending well between them") \
    X(compaction_loop, 5, "compactions or overflows of the context within 10 minutes")                   \
    X(outlier_call, 20, "times the mean of the session's calls before it (tokens, or cost)")             \
    X(session_duration, 360, "minutes without a pause of 15 minutes")                                    \
    X(subagent_depth, 5, "sessions above this one")

enum runaway_kind {
#define X(name, limit, unit) RUNAWAY_##name,
    RUNAWAY_KINDS(X)
#undef X
        RUNAWAY_KIND_COUNT
};

enum runaway_look { LOOK_SESSION, LOOK_ROOT_SESSION, LOOK_AGENT, LOOKS };

/* {"rule": NAME, "on": true, "limit": N, "look": ["session", "root_session", "agent"], "scope": {...},
 * "action": "alert|delay|block", "delay": "30s", "cooldown": "10m", "severity": "warning"}. What is left out
 * is the default; the first rule of a kind whose scope fits a call is the one that holds for it; where none
 * does, the default rule holds. */
struct runaway_rule {
    enum runaway_kind kind;
    bool on;
    uint8_t looks; /* bits by enum runaway_look */
    struct scope scope;
    int64_t limit;
    enum action action;  /* ACTION_WARN: alert only */
    int64_t delay_ms;    /* of ACTION_DELAY, each call */
    int64_t cooldown_ms; /* how long a delay or block holds; 0: until it is resumed. Not told again before it
                            is over */
    enum severity severity;
};

int runaway_rule_parse(const json_t *definition, struct runaway_rule **out, struct fault *fault);
void runaway_rule_free(struct runaway_rule *r); /* NULL is fine */
json_t *runaway_rule_json(const struct runaway_rule *r);

/* What holds where nobody says anything: on, alert only. Static. */
const struct runaway_rule *runaway_rule_default(enum runaway_kind kind);

const char *runaway_kind_name(int kind);
const char *runaway_kind_unit(int kind);
const char *runaway_look_name(int look); /* "session", "root_session", "agent" */

#endif
