/* SPDX-License-Identifier: MIT
 *
 * govern.h: a request that the governor answers, and its answer as HTTP. What may be asked stands in
 * govern/office.h.
 */
#ifndef COLLECTOR_HTTP_GOVERN_H
#define COLLECTOR_HTTP_GOVERN_H

#include <jansson.h>

#include "request.h"

#define GOVERN_ROWS_MAX 1000 /* rows of a list, and cells of a budget */
#define GOVERN_CELLS    20   /* of a budget, where nobody says how many */

/* Asks. Returns the HTTP status; *answer is a new reference, NULL without memory. May block. */
int govern_ask(const struct request *r, const char *op, const json_t *question, json_t **answer);

/* Asks for the budget of this name with so many cells at most: it stands alone in the answer's list, or the
 * status is not 200. */
int govern_ask_budget(const struct request *r, const json_t *name, unsigned cells, json_t **answer);

/* Answers with a document that was asked for, which it takes; one of a status from 400 is a problem, and what
 * every problem has and it does not is added. NULL: 503. */
void govern_answer(struct request *r, int status, json_t *answer);

/* The name or id in the path as JSON text; NULL and *p filled: it cannot be one. */
json_t *govern_rest(const struct request *r, struct problem *p);

#endif
