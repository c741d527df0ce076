/* SPDX-License-Identifier: MIT
 *
 * runaway_work.h: what the parts of the recogniser share. Inside runaway*.c only.
 */
#ifndef COLLECTOR_RUNAWAY_WORK_H
#define COLLECTOR_RUNAWAY_WORK_H

#include "runaway_seen.h"

#define RUNAWAY_RULES_ALL (RUNAWAY_RULES_MAX + RUNAWAY_KIND_COUNT) /* the default ones stand behind */

enum { /* why a call was made */
#define TG_TRIGGER(code, name) TRIGGER_##name = (code),
#include "../../schema/event.def"
};

enum call_end { END_UNKNOWN, END_WELL, END_FAILED };

/* What a combination of names says of its calls. */
struct known_names {
    uint32_t dims; /* 0: nothing is known here */
    uint8_t status, trigger;
    uint8_t end;            /* enum call_end, as far as the names say it */
    bool overflow, payment; /* its error's name says so */
    bool sum;
    struct seen_place agent;
    uint64_t error; /* hash of its error's name */
    uint32_t set;   /* of rules */
};

/* The rules that hold together for some calls. */
struct rule_set {
    uint8_t rule[RUNAWAY_KIND_COUNT];
    int64_t limit[LOOKS + 1][RUNAWAY_KIND_COUNT]; /* INT64_MAX: it does not look there; LOOK_ALONE */
    uint8_t alone[RUNAWAY_KIND_COUNT];            /* as what a session that stands alone is told of */
};
/* A session that is its own root, without others below it as far as is known: one subject for both looks,
 * held to the smaller of both limits. As soon as another session names it as its root, there are two, and
 * what has been seen of the session is where the root begins. */
#define LOOK_ALONE LOOKS
#define RULE_SETS  256 /* that are remembered; when they are used up, all are found anew */

struct known_session {
    uint32_t session; /* 0: nothing is known here */
    struct seen_place self, root;
};

struct runaway {
    struct seen_table seen;
    struct known_names *names;      /* owned */
    struct known_session *sessions; /* owned */
    const struct runaway_rule *rule[RUNAWAY_RULES_ALL];
    size_t rules; /* of them those that were given */
    struct rule_set set[RULE_SETS];
    uint32_t sets;
    bool rules_need_session;        /* names alone do not say which rule holds */
    struct runaway_finding finding; /* the last one */
};

/* A call that is being looked at. */
struct looking {
    struct runaway *r;
    const struct runaway_call *call;
    const struct known_names *known;
    const struct rule_set *set;
    int64_t bucket; /* of the minute */
    uint32_t ts_s;
    bool quiet, asked;
    runaway_found *found;
    void *arg;
    struct runaway_names names;          /* if asked */
    uint32_t at[LOOKS];                  /* its subjects; SEEN_NONE: unknown */
    uint8_t end;                         /* enum call_end */
    bool compacts;                       /* it counts as a compaction or an overflow */
    const int64_t *limit;                /* of the subject at hand */
    unsigned broken;                     /* by kind: its value is more */
    int64_t value[RUNAWAY_KIND_COUNT];   /* of those that are broken */
    unsigned told;                       /* by kind: a narrower subject has been told of, */
    int64_t covered[RUNAWAY_KIND_COUNT]; /* which amounts to so much */
};

/* The names, asked for once. 0, or what names gave. */
int looking_ask(struct looking *l);

/* What an error's name, in whatever spelling, says. */
void names_of_error(struct slice error_type, bool *overflow, bool *payment);

/* Adds the call to one subject, and fills broken and value. */
void runaway_count(struct looking *l, enum runaway_look look);

/* Something is broken at a subject: tells it, unless it has been told. 0, or what names or found gave. */
int runaway_judge(struct looking *l, enum runaway_look look);

#endif
