/* SPDX-License-Identifier: MIT
 *
 * show_alert.h: one alert as JSON or a line of CSV, and which alerts a request asks for: what lists and the
 * live stream of alerts have in common.
 */
#ifndef COLLECTOR_HTTP_SHOW_ALERT_H
#define COLLECTOR_HTTP_SHOW_ALERT_H

#include "../query/alerts.h"
#include "request.h"

/* An object, without the end of a line. */
void alert_json(struct text *t, const struct alerts_row *row);

/* A line; subject and evidence are JSON, deliveries are left out. */
void alert_csv(struct text *t, const struct alerts_row *row);
void alert_head_csv(struct text *t);

/* Reads kind, severity, budget and the names into a zeroed filter, which is to be freed in any case. 0, or
 * -1 and *p filled. */
int alert_filter_read(const struct request *r, struct problem *p, struct alerts_filter *f);

#endif
