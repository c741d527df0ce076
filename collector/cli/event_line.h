/* SPDX-License-Identifier: MIT
 *
 * event_line.h: one event for people: what `events` has in a row and `tail` in a line.
 */
#ifndef COLLECTOR_CLI_EVENT_LINE_H
#define COLLECTOR_CLI_EVENT_LINE_H

#include "cli.h"

#define EVENT_COLUMNS 10
extern const char *const event_heads[EVENT_COLUMNS];

#define EVENT_CELL 272 /* a name is at most 255 bytes */

/* Writes the cells of an event. */
void event_cells(const json_t *event, char cell[EVENT_COLUMNS][EVENT_CELL]);

#endif
