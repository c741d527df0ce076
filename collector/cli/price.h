/* SPDX-License-Identifier: MIT
 *
 * price.h: what the commands about prices share. They work without a daemon.
 */
#ifndef COLLECTOR_CLI_PRICE_H
#define COLLECTOR_CLI_PRICE_H

#include "../govern/price_list.h"
#include "cli.h"

/* The list in the binary, before it the prices of the file that --config names. NULL: has been told on
 * stderr, *status is the exit status. Owned by the caller. */
struct price_list *cli_prices(const struct cli *c, int *status);

/* Dollars, exactly, with two digits after the point or more: "$0.30"; UNKNOWN: "-". */
void human_rate_usd(int64_t nanousd, char out[CLI_TEXT]);

/* Names like this one among the list's models (of the provider, unless it is NULL), the nearest first, as
 * "a, b, c"; "" if none is like it. */
void price_near(const struct price_list *l, const char *provider, const char *model, char *out, size_t size);

#endif
