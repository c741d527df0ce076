/* SPDX-License-Identifier: MIT
 *
 * office.h: what is asked of the governor beside events: JSON in, JSON out. Served by the writer between two
 * transactions, so that an answer is as of a commit and a change is durable when it is told. Names, field by
 * field; times are Unix milliseconds (_ms), amounts are whole numbers in the budget's unit (nano-dollars,
 * tokens, calls); null is unknown or none. An answer to a wrong request is a problem document with `field`,
 * `value`, `expected`.
 */
/* clang-format off */
/*
 * op               request                                      answer
 * budgets          {cells: n (default 20, per budget),          {now_ms, counting: n, budgets: [BUDGET]}
 *                   name: or null}
 * put_budget       {name, definition, author}                   {budget: BUDGET, created: bool}; 409 for one of
 *                                                               the file
 * delete_budget    {name, author}                               {}; 404, 409 for one of the file
 * policies         {}                                           {policies: [{name, definition, origin}]}
 * check            SUBJECT                                      VERDICT
 * admit            {id: or null (made here), ttl_ms,            VERDICT + {id, status: "granted|denied|settled|
 *                   prompt_tokens, max_tokens} + SUBJECT         expired|busy", expires_ms, reserved_nanousd}
 * settle           {id, outcome: "called|not_called" (default   {id, status: "settled|settled_before",
 *                   called), prompt_tokens, ...,                 settled_nanousd}; 404
 *                   cost_reported_nanousd}
 * renew            {id, ttl_ms}                                 {id, status: "renewed|settled|expired",
 *                                                                expires_ms}; 404
 * reservations     {limit}                                      {open: n, reservations: [{id, state, admitted_ms,
 *                                                                expires_ms, nanousd, tokens, postings: [...]}]}
 * allow            {budget, key: text or null (all), amount,    {id, budget, key, amount, unit, until_ms}
 *                   for_ms, reason, author}
 * allowances       {all: bool}                                  {allowances: [{id, budget, key, amount, unit,
 *                                                                from_ms, until_ms, ended_ms, author, reason}]}
 * end_allowance    {id, author}                                 {}; 404
 * pause            {field: "agent", value, reason, author,      PAUSE
 *                   for_ms: or null, delay_ms: or null}
 * pauses           {all: bool}                                  {pauses: [PAUSE]}
 * resume           {id} or {field, value}, author               {ended: n}; 404
 * audit            {limit, before: id}                          {audit: [{id, ts_ms, author, what, detail: {}}]},
 *                                                                the newest first
 * ack              {id, author, note: or null}                  {id, acked_ms, acked_by, note}; 404; one that has
 *                                                                been acknowledged answers as it was
 * forecast         {budget: name or null, limit: n (default     {now_ms, accounts: n, forecasts: [FORECAST]}: those
 *                   100)}                                        that run out first; 404. Looks at 10,000 accounts
 *                                                                at most, of each budget at those that spent most
 * reprice          {from_ms, to_ms, model, dry_run, budgets,    RUN, which has begun; 409
 *                   author}
 * repricing        {}                                           RUN, the last one
 *
 * RUN      see repricer_report in writer/repricer.h
 * BUDGET   {name, id, origin: "file|api", definition: {}, since_ms, counts_from_ms, counting: bool (the past is
 *          still being added), unit, limit, accounts: n (in the running window), cells: [CELL] (the nearest to
 *          its limit first)}
 * CELL     {key: text, window_start_ms, window_end_ms or null, spent, reserved, presumed, limit (with
 *          allowances), left, calls, unknown_calls, state: "allow|warn|downgrade|delay|block", opens_ms or null}
 * SUBJECT  {agent_id, session_id, root_session_id, user_id, provider, model, lane, surface, channel, trigger,
 *          tags: {}}
 * VERDICT  {action: "allow|warn|downgrade|delay|block", budget: name or null, kind: "budget|policy|pause" or
 *          null, text, spent, limit, unit, opens_ms, use_model, use_lane, delay_ms, shadow: [{budget, action,
 *          text}]}
 * PAUSE    {id, field, value, action: "block|delay", delay_ms or null, from_ms, until_ms or null (it is resumed
 *          by hand), ended_ms, rule: the runaway rule that made it, or null, alert: id or null, author, reason}
 * FORECAST {budget, key, unit, window_start_ms, window_end_ms or null, calls, spent, reserved, limit (with
 *          allowances), per_minute, per_hour (rates of now; null: not known yet), projected: at the window's end;
 *          of a sliding window what it will hold; or null, basis: "curve|rate" (see govern/forecast.h), or why
 *          nothing is projected: "no_calls|too_young|counting", over: bool, exhausted_ms: when spent and reserved
 *          reach the limit at the last hour's pace or along the projection, whichever is earlier; now_ms if they
 *          have; or null: not in this window, or nobody knows}.
 *          How far the method was off on the operator's own history is told by `tollgate burn --replay`.
 */
/* clang-format on */
#ifndef COLLECTOR_OFFICE_H
#define COLLECTOR_OFFICE_H

#include <jansson.h>
#include <stdatomic.h>

#include "../base/queue.h"

/* Any thread; blocks until the writer has answered. Returns the HTTP status: 200; 400 with a problem document
 * naming the field; 404, 409; 503 while the store cannot write or the queue is full. *answer is a new
 * reference, never NULL but without memory. request is borrowed. */
struct office {
    struct queue *queue; /* borrowed: the writer's */
    _Atomic int asking;
};
int office_ask(struct office *o, const char *op, const json_t *request, json_t **answer);

#endif
