/* SPDX-License-Identifier: MIT
 *
 * runaway_rule.h: when is it a runaway, and what is done. Immutable once made; pure.
 *
 * A rule is broken by more than its limit. The limit that is given is that of the narrowest thing that the
 * rule looks at; a root session is allowed some times that, and an agent some times more, as several sessions
 * of one may well be busy at once (the columns root and agent below).
 */
#ifndef COLLECTOR_RUNAWAY_RULE_H
#define COLLECTOR_RUNAWAY_RULE_H

#include "../govern/scope.h"
#include "../govern/verdict.h"
#include "alert.h"

#define RUNAWAY_RULES_MAX    200
#define RUNAWAY_COOLDOWN_MAX ((int64_t)30 * 24 * 3600 * 1000)
#define RUNAWAY_DELAY_MAX    ((int64_t)3600 * 1000)
#define RUNAWAY_TOKENS_MAX   4000000000LL

enum runaway_look { LOOK_SESSION, LOOK_ROOT_SESSION, LOOK_AGENT, LOOKS };
#define LOOK_BIT(look) (1u << (look))
#define LOOKS_ALL      (LOOK_BIT(LOOK_SESSION) | LOOK_BIT(LOOK_ROOT_SESSION) | LOOK_BIT(LOOK_AGENT))
#define LOOKS_ONE      LOOK_BIT(LOOK_SESSION)
#define LOOKS_TREE     (LOOK_BIT(LOOK_SESSION) | LOOK_BIT(LOOK_ROOT_SESSION))
#define LOOKS_ROOT     LOOK_BIT(LOOK_ROOT_SESSION)

/* clang-format off */
/*
 * name, default limit of the narrowest look, the largest that may be given, times of it for a root session
 * and an agent, what it may look at, what it looks at by default, unit of the limit.
 */
#define RUNAWAY_KINDS(X)                                                                                     \
    X(calls_per_minute,      120, 900000,            2, 4, LOOKS_ALL,  LOOKS_ALL,  "calls a minute")        \
    X(tokens_per_minute, 8000000, RUNAWAY_TOKENS_MAX, 2, 4, LOOKS_ALL,  LOOKS_ALL,  "tokens a minute")       \
    X(context_growth,     400000, RUNAWAY_TOKENS_MAX, 1, 1, LOOKS_ONE,  LOOKS_ONE,                           \
      "tokens a minute by which the prompt grows beyond its largest")                                        \
    X(tool_calls_per_minute, 120, 900000,            2, 4, LOOKS_ALL,  LOOKS_ALL,  "tool calls a minute")   \
    X(identical_errors,       10, 1000000,            2, 4, LOOKS_ALL,  LOOKS_ALL,                           \
      "calls in a row that ended in the same error")                                                         \
    X(payment_retries,        10, 60000,              2, 4, LOOKS_ALL,  LOOKS_ALL,                           \
      "calls answered 402 or 429 within 10 minutes, none ending well between them")                          \
    X(compaction_loop,         5, 60000,              2, 4, LOOKS_ALL,  LOOKS_ALL,                           \
      "compactions or overflows of the context within 10 minutes")                                           \
    X(outlier_call,           20, 1000000,            1, 1, LOOKS_ONE,  LOOKS_ONE,                           \
      "times the mean of the session's calls before it (tokens, or cost)")                                   \
    X(session_duration,      360, 5256000,            1, 4, LOOKS_ALL,  LOOKS_TREE,                          \
      "minutes without a pause of 15 minutes")                                                               \
    X(subagent_depth,          5, 100,                1, 1, LOOKS_TREE, LOOKS_ROOT, "sessions above a session")
/* clang-format on */

enum runaway_kind {
#define X(name, ...) RUNAWAY_##name,
    RUNAWAY_KINDS(X)
#undef X
        RUNAWAY_KIND_COUNT
};

/* {"rule": NAME, "on": true, "limit": N or {"session": N, "root_session": N, "agent": N}, "look":
 * ["session", "root_session", "agent"], "scope": {...}, "action": "alert|delay|block", "delay": "30s",
 * "cooldown": "10m" or "until resumed", "severity": "warning"}. What is left out is the default (of a limit
 * that is a map: what is left out is not looked at); the first rule of a kind whose scope fits a call is the
 * one that holds for it; where none does, the default rule holds. The limit of session_duration may be a
 * duration, as 6h. */
struct runaway_rule {
    enum runaway_kind kind;
    bool on;
    uint8_t looks; /* LOOK_BIT */
    struct scope scope;
    int64_t limit[LOOKS]; /* of those that it looks at; else 0 */
    enum action action;   /* ACTION_WARN: alert only; ACTION_DELAY, ACTION_BLOCK */
    int64_t delay_ms;     /* of ACTION_DELAY, each call; else 0 */
    int64_t cooldown_ms;  /* how long a delay or block holds, and nothing is told again; 0: until resumed
                             (of a delay or a block) */
    enum severity severity;
};

/* 0, or -1 and *fault; the caller owns *out. */
int runaway_rule_parse(const json_t *definition, struct runaway_rule **out, struct fault *fault);
void runaway_rule_free(struct runaway_rule *r); /* NULL is fine */

/* As runaway_rule_parse takes it, everything said; a new reference, NULL: no memory. */
json_t *runaway_rule_json(const struct runaway_rule *r);

/* What holds where nobody says anything: on, alert only, ten minutes. Static. */
const struct runaway_rule *runaway_rule_default(enum runaway_kind kind);

/* Static; NULL and -1: there is no such one. */
const char *runaway_kind_name(int kind);
int runaway_kind_code(const char *name);
const char *runaway_kind_unit(int kind);
const char *runaway_look_name(int look); /* "session", "root_session", "agent" */

#endif
