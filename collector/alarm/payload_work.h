/* SPDX-License-Identifier: MIT
 *
 * payload_work.h: the templates, and what they share. Each makes a message of which at most `shown` alerts
 * are told with all they have, the rest as a count. A new reference; NULL: no memory.
 */
#ifndef COLLECTOR_PAYLOAD_WORK_H
#define COLLECTOR_PAYLOAD_WORK_H

#include "payload.h"
#include "payload_facts.h"
#include "payload_head.h"
#include "payload_prose.h"

#define PAYLOAD_TITLE_MAX 500 /* bytes of a title that are shown */

typedef json_t *payload_template(const struct payload_message *m, const struct destination *d, size_t shown);
payload_template payload_json, payload_slack, payload_discord, payload_teams, payload_pagerduty;

/* "CRITICAL overrun" */
#define PAYLOAD_BADGE_MAX 48
void payload_badge(const struct told *t, char out[PAYLOAD_BADGE_MAX]);

/* The title, or that there is none. */
void payload_add_title(struct prose *w, const struct told *t);

/* What one reads first: of one alert its badge and its title, of many the head line. */
void payload_add_headline(struct prose *w, const struct payload_message *m);

/* "Label: value", the facts of an alert, `before` before each. */
void payload_add_facts(struct prose *w, const struct told *t, const char *before);

/* "and 490 more"; false: there are no more. */
#define PAYLOAD_MORE_MAX 48
bool payload_more(const struct payload_message *m, size_t shown, char out[PAYLOAD_MORE_MAX]);

/* A text as JSON, with what is no UTF-8 in it replaced. */
json_t *payload_string(const char *text);

#endif
