/* SPDX-License-Identifier: MIT
 *
 * payload_facts.h: what an alert says, in words: its evidence as a few lines, and its times. Pure. Nothing
 * here is clean: payload_prose.h makes it so.
 */
#ifndef COLLECTOR_PAYLOAD_FACTS_H
#define COLLECTOR_PAYLOAD_FACTS_H

#include "payload.h"

#define FACT_LABEL_MAX 48
#define FACT_VALUE_MAX 160
#define FACTS_MAX      10 /* of one alert; more are left to who follows its link */

struct fact {
    char label[FACT_LABEL_MAX], value[FACT_VALUE_MAX];
};

/* Returns how many. Amounts are in the unit that the evidence names, times in its "timezone", else UTC; what
 * the title says already, what is unknown and what is nothing is left out. */
unsigned facts_of(const struct told *t, struct fact out[FACTS_MAX]);

/* "2026-11-21 19:04:05 UTC". zone NULL: UTC. */
#define FACT_TIME_MAX (40 + ZONE_NAME_MAX)
void fact_time(int64_t ms, const struct zone *zone, char out[FACT_TIME_MAX]);

/* "2026-11-21T19:04:05.000Z": in UTC, for machines. */
#define FACT_INSTANT 32
void fact_instant(int64_t ms, char out[FACT_INSTANT]);

/* "2026-11-21 19:04:05 UTC, 12 times, last ..., over since ...": when an alert came. */
#define FACT_WHEN_MAX 400
void fact_when(const struct told *t, char out[FACT_WHEN_MAX]);

#endif
