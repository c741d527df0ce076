/* SPDX-License-Identifier: MIT
 *
 * timeline.h: a session in the terminal, one line for each call, message and sub-agent, in the order
 * of their times. Pure.
 */
#ifndef COLLECTOR_CLI_TIMELINE_H
#define COLLECTOR_CLI_TIMELINE_H

#include "cli.h"

struct timeline_row {
    int64_t ts_ms;
    unsigned depth;   /* how far beneath the session that is shown */
    bool session;     /* of is a session (a sub-agent that begins), else an event */
    const json_t *of; /* borrowed */
    size_t order;     /* of those of one time; timeline_print sets it */
};

struct timeline_style {
    unsigned width;    /* characters in a line; 0: no end */
    bool colour, utf8; /* what the terminal can show */
};

/* Sorts the rows by time (those of one time stay in their order) and prints them with a head. Offsets
 * count from begin_ms. */
void timeline_print(FILE *to, struct timeline_row *rows, size_t n, int64_t begin_ms,
                    const struct timeline_style *style);

#endif
