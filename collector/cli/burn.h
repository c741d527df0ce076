/* SPDX-License-Identifier: MIT
 *
 * burn.h: what the parts of `tollgate burn` share.
 */
#ifndef COLLECTOR_CLI_BURN_H
#define COLLECTOR_CLI_BURN_H

#include "cli.h"

/* --replay, with its options read. Returns the exit status. */
int burn_replay(struct cli *c, bool as_json);

#endif
