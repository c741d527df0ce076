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

/* Tokens of a call or of many: the total, unless fewer calls told it than told their prompt: then prompt and
 * completion as far as known. False: none is. */
bool row_tokens(const json_t *row, int64_t *out);

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

/* "+12 %" of what was before; known false: a dash. */
void cell_change(struct table *t, bool known, int64_t now, int64_t before);

/* Below a table of usage: that there were no calls, what is compared, that there is more. */
void usage_foot(const json_t *answer, bool compare);

/* "2026-11-20 08:00:05Z". */
void cell_time(struct table *t, const json_t *row, const char *name_ms);

/* UTC, seconds: "2026-11-20 08:00:05". */
void human_time(int64_t ms, char out[CLI_TEXT]);

/* The line after a page that was not the last. */
void rows_more(const json_t *answer, const char *after_option);

#endif
