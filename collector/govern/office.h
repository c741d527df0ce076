/* SPDX-License-Identifier: MIT
 *
 * office.h: what is asked of the governor beside events: JSON in, JSON out. Served by the writer between two
 * transactions, so that an answer is as of a commit and a change is durable when it is told. Names, field by
 * field; times are Unix milliseconds (_ms), amounts are whole numbers in the budget's unit (nano-dollars,
 * tokens, calls); null is unknown or none. An answer to a wrong request is a problem document with `field`,
 * `value`, `expected`.
 *
 * op               request                                                     answer
 * budgets          {cells: n (default 20, per budget), name: or null}          {now_ms, counting: n, budgets:
 * [BUDGET]} put_budget       {name, definition, author}                                  {budget: BUDGET,
 * created: bool}; 409 for one of the file delete_budget    {name, author} {}; 404, 409 for one of the file
 * policies         {}                                                          {policies: [{name, definition,
 * origin}]} check            SUBJECT                                                     VERDICT admit {id:
 * or null (made here), ttl_ms, prompt_tokens, max_tokens} + SUBJECT    VERDICT + {id, status:
 * "granted|denied| settled|expired|busy", expires_ms, reserved_nanousd} settle           {id, outcome:
 * "called|not_called" (default called), prompt_tokens, ..., cost_reported_nanousd} {id, status:
 * "settled|settled_before", settled_nanousd}; 404 renew            {id, ttl_ms} {id, status:
 * "renewed|settled|expired", expires_ms}; 404 reservations     {limit} {open: n, reservations: [{id, state,
 * admitted_ms, expires_ms, nanousd, tokens, postings: [...]}]} allow            {budget, key: text or null
 * (all), amount, for_ms, reason, author}   {id, budget, key, amount, unit, until_ms} allowances       {all:
 * bool}                                                 {allowances: [{id, budget, key, amount, unit,
 * from_ms, until_ms, ended_ms, author, reason}]} end_allowance    {id, author} {}; 404 pause {field: "agent",
 * value, reason, author}                     {id, field, value, from_ms} pauses           {all: bool}
 * {pauses: [{id, field, value, from_ms, ended_ms, author, reason}]} resume           {id} or {field, value},
 * author                              {ended: n}; 404 audit            {limit, before: id} {audit: [{id,
 * ts_ms, author, what, detail: {}}]} the newest first
 *
 * reprice          {from_ms, to_ms, model, dry_run, budgets, author}           RUN, which has begun; 409
 * repricing        {}                                                          RUN, the last one
 *
 * RUN      see repricer_report in writer/repricer.h
 * BUDGET   {name, id, origin: "file|api", definition: {}, since_ms, counts_from_ms, counting: bool (the past
 * is still being added), unit, limit, accounts: n (in the running window), cells: [CELL] (the nearest to its
 * limit first)} CELL     {key: text, window_start_ms, window_end_ms or null, spent, reserved, presumed, limit
 * (with allowances), left, calls, unknown_calls, state: "allow|warn|downgrade|delay|block", opens_ms or null}
 * SUBJECT  {agent_id, session_id, root_session_id, user_id, provider, model, lane, surface, channel, trigger,
 * tags: {}} VERDICT  {action: "allow|warn|downgrade|delay|block", budget: name or null, kind:
 * "budget|policy|pause" or null, text, spent, limit, unit, opens_ms, use_model, use_lane, delay_ms, shadow:
 * [{budget, action, text}]}
 */
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
