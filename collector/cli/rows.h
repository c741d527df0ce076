/* SPDX-License-Identifier: MIT
 *
 * rows.h: the numbers of a JSON row (usage, sessions, agents, models) as cells of a table. A number
 * that is missing or null is not known and shown as a dash, never as 0.
 */
#ifndef COLLECTOR_CLI_ROWS_H
#define COLLECTOR_CLI_ROWS_H

#include "cli.h"

int64_t row_number(const json_t *row, const char *name); /* 0 if it is not known */
bool row_known(const json_t *row, const char *name);
const char *row_text(const json_t *row, const char *name, const char *otherwise);

/* A column's head: "agent_id" is AGENT, "tag:team" is TEAM. */
void cell_head(struct table *t, const char *name);

void cell_name(struct table *t, const json_t *row, const char *name); /* or (unknown) */
void cell_number(struct table *t, const json_t *row, const char *name, human_fn human);
void cell_rate(struct table *t, const json_t *row, const char *name);
void cell_cost(struct table *t, const json_t *row); /* row_cost, or a dash */
void cell_note(struct table *t, const json_t *row); /* what the sums do not contain */

/* What a row or an event cost: by the collector's prices; where these tell nothing, what the gateway
 * reported, marked: $12.35*. COST_HELP says so to people. False, and an empty text: not known. */
bool row_cost(const json_t *row, char out[CLI_TEXT]);
#define COST_HELP                                                                                   \
    "COST is by the collector's prices; with a *: what the gateway reported, where nothing has a\n" \
    "price; a -: not known. Calls that have no price are not in it and are counted at the end.\n"

/* Its calls that have no price: "3 calls unpriced". False, and an empty text: there are none. */
bool row_unpriced(const json_t *row, char out[CLI_TEXT]);

/* "2026-11-20 08:00:05Z". */
void cell_time(struct table *t, const json_t *row, const char *name_ms);

/* UTC, seconds: "2026-11-20 08:00:05". */
void human_time(int64_t ms, char out[CLI_TEXT]);

/* The line after a page that was not the last. */
void rows_more(const json_t *answer, const char *after_option);

#endif
