/* SPDX-License-Identifier: MIT
 *
 * explain_filter.h: a budget's scope in the terms of the log's reader, as far as it has them, so that most
 * calls that a budget is not about are never looked at; and the tags of a call as rules want them. Pure.
 */
#ifndef COLLECTOR_HTTP_EXPLAIN_FILTER_H
#define COLLECTOR_HTTP_EXPLAIN_FILTER_H

#include "../govern/budget.h"
#include "../query/filter.h"
#include "text.h"

/* Adds to f what certainly holds for every call that counts in the budget, in the account with this key if it
 * is not NULL. What f takes must still be held against the scope. 0, or -1 and *p filled. */
int explain_filter(const struct budget *b, const char *key, struct problem *p, struct filter *f);

/* Tags as JSON into the MessagePack map of struct subject, in t, which it clears before. at NULL: none. */
struct slice explain_tags(struct text *t, struct slice json);

#endif
