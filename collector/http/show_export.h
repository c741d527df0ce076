/* SPDX-License-Identifier: MIT
 *
 * show_export.h: events without end, as NDJSON or CSV.
 */
#ifndef COLLECTOR_HTTP_SHOW_EXPORT_H
#define COLLECTOR_HTTP_SHOW_EXPORT_H

#include "listing.h"

/* Answers r. Takes the listing's filter, whatever happens. */
void show_export(struct request *r, struct listing *l);

#endif
