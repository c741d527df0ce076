/* SPDX-License-Identifier: MIT
 *
 * alerts.h: what the forms of `tollgate alerts` share.
 */
#ifndef COLLECTOR_CLI_ALERTS_H
#define COLLECTOR_CLI_ALERTS_H

#include "govern.h"

/* The colour of "critical", ... on a terminal; NULL: none. */
const char *severity_colour(const char *severity);

/* So many that nobody has acknowledged: "1,204"; "10,000 or more", over which the collector counts no more.
 */
void unacked_count(int64_t n, char out[CLI_TEXT]);

/* One alert with all that is known of it. */
void alert_show(const json_t *alert);

/* The forms; each returns the exit status. operand[0] is the form's name, the others follow it. */
int alerts_follow(struct cli *c, bool as_json);
int alerts_ack(const struct cli *c, bool as_json);
int alerts_test(struct cli *c, bool as_json);

#endif
