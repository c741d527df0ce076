/* SPDX-License-Identifier: MIT
 *
 * tally_sessions.h: the part of tally.h for requests that ask for sessions, which rollups do not know.
 */
#ifndef COLLECTOR_QUERY_TALLY_SESSIONS_H
#define COLLECTOR_QUERY_TALLY_SESSIONS_H

#include "tally.h"

/* Reads all that the tally comes to. 0, or -1: *p is filled, or the plan says what it refuses. */
int tally_sessions(struct tally *t);

#endif
