/* SPDX-License-Identifier: MIT
 *
 * payload_head.h: what is said of a whole message: how many, how grave, and where they can be looked at.
 * Pure.
 */
#ifndef COLLECTOR_PAYLOAD_HEAD_H
#define COLLECTOR_PAYLOAD_HEAD_H

#include "payload.h"

/* "12 alerts: 3 critical, 9 warning (threshold 8, runaway 4)". */
#define HEAD_MAX 400
void head_text(const struct payload_message *m, char out[HEAD_MAX]);

/* The gravest of all. */
enum severity head_severity(const struct payload_message *m);

/* LINK/v1/alerts/ID, and where all alerts of the message are listed. False: there is no link, or none that
 * could stand in any message; out is then "". */
#define HEAD_LINK_MAX 1024
bool head_link(const char *link, const struct told *t, char out[HEAD_LINK_MAX]);
bool head_list_link(const struct payload_message *m, char out[HEAD_LINK_MAX]);

#endif
