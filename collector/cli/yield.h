/* SPDX-License-Identifier: MIT
 *
 * yield.h: ratios of what calls came to. A ratio of two sums is right only if both are over the same calls.
 * Sums do not say that, so the calls of a row are also asked for in parts, by provider, model and status: a
 * part is in a ratio if as many of its calls told the one number as told the other.
 */
#ifndef COLLECTOR_CLI_YIELD_H
#define COLLECTOR_CLI_YIELD_H

#include "cli.h"

#define YIELD_PARTS "10000" /* the most that the collector gives of them: the most used */

/* Adds to each row of an answer to GET /v1/usage that was asked for with c, and to its totals (before: to
 * their `previous`), and to the answer parts_truncated: there were more than YIELD_PARTS parts. CLI_OK; else
 * it has been told. */
/* clang-format off */
/*
 * nanousd_per_million_tokens   paid_nanousd for paid_tokens; null: not known
 * paid_nanousd, paid_tokens    of paid_calls: those whose cost and tokens are known
 * paid_as                      "priced": by the collector's prices; "reported": by gateways, where nothing has a
 *                              price; null: neither
 * unpriced_calls               told their tokens and have no price
 * untold_calls                 ended well, or nobody knows how, and told no tokens
 * cache_hit_rate               instead of the answer's own: of calls that told cached and prompt tokens
 * completion_tokens_per_s      of calls that told completion tokens and latency
 */
/* clang-format on */
int yield_add(const struct cli *c, json_t *answer, bool before);

#endif
