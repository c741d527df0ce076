/* SPDX-License-Identifier: MIT
 *
 * show_event.h: one event as JSON, a line of NDJSON, or a line of CSV.
 */
#ifndef COLLECTOR_HTTP_SHOW_EVENT_H
#define COLLECTOR_HTTP_SHOW_EVENT_H

#include "../query/events.h"
#include "request.h"

/* tables: the kinds that are listed; they decide the columns of CSV. first: no comma before it. */
void event_show(struct text *t, enum format format, unsigned tables, const struct events_row *row,
                bool first);

void event_head_csv(struct text *t, unsigned tables);

#endif
