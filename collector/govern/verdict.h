/* SPDX-License-Identifier: MIT
 *
 * verdict.h: what the governor says of a call: the action, who says so, and a sentence for a person.
 */
#ifndef COLLECTOR_VERDICT_H
#define COLLECTOR_VERDICT_H

#include "budget.h"

#define VERDICT_TEXT_MAX  500
#define VERDICT_MODEL_MAX 255
#define VERDICT_LANE_MAX  63

enum verdict_kind { VERDICT_NONE, VERDICT_BUDGET, VERDICT_POLICY, VERDICT_PAUSE };

struct verdict {
    enum action action;
    enum verdict_kind kind;         /* who says so; VERDICT_NONE: nobody, it is allowed */
    char name[BUDGET_NAME_MAX + 1]; /* of the budget or policy; "pause" */
    char text[VERDICT_TEXT_MAX + 1];
    char use_model[VERDICT_MODEL_MAX + 1], use_lane[VERDICT_LANE_MAX + 1]; /* "": none */
    int64_t delay_ms;                                                      /* 0: none */
    int64_t spent, limit; /* of a budget, in unit; else UNKNOWN */
    enum unit unit;
    int64_t opens_ms; /* wall time; WINDOW_NEVER: not by itself */
};

/* "2026-11-21 00:00 Europe/Berlin"; zone NULL: UTC. */
#define VERDICT_TIME_TEXT 88
void verdict_time_text(int64_t ms, const struct zone *zone, char out[VERDICT_TIME_TEXT]);

/* An amount for people: dollars to the cent, less than a cent to a thousandth of one. */
void verdict_amount_text(enum unit unit, int64_t amount, char out[AMOUNT_TEXT]);

/* The sentence "budget daily: $5.00 of $5.00 spent (researcher), opens 2026-11-21 00:00 Europe/Berlin".
 * reserved: of spent. zone NULL: UTC. */
void verdict_budget_text(struct verdict *v, const struct budget *b, const char *key, int64_t reserved);

#endif
