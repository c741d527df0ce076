/* SPDX-License-Identifier: MIT
 *
 * ledger_limits.h: what so much spent means to a budget: which thresholds it has reached, what its account
 * then says of the next call, and when that ends by itself. Pure.
 */
#ifndef COLLECTOR_LEDGER_LIMITS_H
#define COLLECTOR_LEDGER_LIMITS_H

#include "ledger_accounts.h"

/* The amount at which a threshold is reached: the least of which percent of what is allowed is not more. */
int64_t limit_threshold(int64_t allowed, unsigned percent);

/* How many of a budget's thresholds that much has reached. */
unsigned limit_reached(const struct budget *def, int64_t spent, int64_t allowed);

/* What an account says that has reached so many thresholds. */
enum action limit_state(const struct budget *def, unsigned reached, int64_t committed, int64_t allowed);

/* When needed more fits in again by itself (0: anything at all), in the account's running window. */
int64_t limit_opens_ms(const struct account *c, int64_t needed, int64_t allowed);

#endif
