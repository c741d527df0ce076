/* SPDX-License-Identifier: MIT
 *
 * evidence.h: what is known of each agent in a time: its calls, the alerts about it, its budgets and pauses,
 * its largest call; put together from what the collector answers. One thread.
 */
#ifndef COLLECTOR_CLI_EVIDENCE_H
#define COLLECTOR_CLI_EVIDENCE_H

#include "cli.h"

#define EVIDENCE_CALLS      100000 /* the newest calls that are looked at one by one, if nobody says otherwise */
#define EVIDENCE_CALLS_MAX  10000000
#define EVIDENCE_ALERTS_MAX 100000 /* the newest ones */

/* What c asks for: from, to, agent_id. *out, a new reference:
 *   {from, from_ms, to, to_ms,
 *    looked_at: {calls, since_ms: null without calls, all: bool},   the calls that were looked at one by one
 *    alerts_truncated: bool, agents_truncated: bool,                there were more than is looked at
 *    agents: [AGENT]}, the harder evidence first: more critical alerts, then more warnings, then the greater
 * share of calls that failed, then more calls, then by name AGENT: {agent_id: null unknown; what a row of GET
 * /v1/usage has, and yield.h adds; alerts: {critical, warning, info, open, unacked},              raised in
 * that time alert_kinds: [{kind, severity: the gravest, alerts, times, open, last_ms, title: of the newest}],
 * the gravest first, then the more frequent looked_at: {calls, http_402, http_429}, largest: {event_id,
 * ts_ms, session_id, model, tokens, cost_nanousd} or null: by cost, then by tokens, budgets: [{budget, unit,
 * spent, limit, state, shadow}],        that are for each agent, or for this one pauses: [PAUSE]} in force,
 * of GET /v1/pauses CLI_OK; else it has been told. */
int evidence_gather(const struct cli *c, int64_t calls, json_t **out);

#endif
