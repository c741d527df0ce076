/* SPDX-License-Identifier: MIT
 *
 * govern.h: what the commands about budgets, allowances and pauses share.
 */
#ifndef COLLECTOR_CLI_GOVERN_H
#define COLLECTOR_CLI_GOVERN_H

#include "rows.h"

#define AUTHOR_TEXT 200 /* bytes of an author, as the collector takes it */

/* A request's body with its author: --author, or who runs this: user@host. NULL: has been told. */
json_t *govern_body(const struct cli *c);

/* Adds an option's value under this name, if it was given, and any text. False: has been told. */
bool govern_put(json_t *body, const char *name, const char *text);

/* Does what cli_change does and shows nothing but, with as_json, the answer. NULL: *status is the exit
 * status. Takes the body. */
json_t *govern_change(const struct cli *c, const char *method, const char *path, json_t *body, bool as_json,
                      int *status);

/* An amount of the unit with this name: exactly and with its unit, or short, for a column. */
void amount_exact(const char *unit, int64_t amount, char out[CLI_TEXT]);
void amount_short(const char *unit, int64_t amount, char out[CLI_TEXT]);
void cell_amount(struct table *t, const json_t *row, const char *name, const char *unit);

/* "blocked", ...: the colour of an action; NULL: none. */
const char *action_colour(const char *action);

/* "2026-11-22 00:00:00Z (in 3 h 12 m)"; or when it was. */
void human_until(int64_t ms, int64_t now_ms, char out[CLI_TEXT]);

/* The lists of allowances and of pauses as tables, or `none` if it is empty. */
void allowances_show(const json_t *answer, const char *none);
void pauses_show(const json_t *answer, const char *none);

#endif
