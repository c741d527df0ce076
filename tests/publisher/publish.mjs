// SPDX-License-Identifier: MIT
// Publishes N events in one of the two forms and prints what should be stored.
//   node publish.mjs --endpoint E --source S --form array|map --events N [--gap] [--twice]
// --gap leaves a batch out on its first sending; --twice says every response twice, by two streams.

import { parseArgs } from "node:util";
import { eventId } from "./event_id.mjs";
import { Publisher } from "./publisher.mjs";

const { values: opt } = parseArgs({
  options: {
    endpoint: { type: "string" },
    source: { type: "string" },
    form: { type: "string", default: "array" },
    events: { type: "string", default: "1000" },
    gap: { type: "boolean", default: false },
    twice: { type: "boolean", default: false },
  },
});

const POSITIONS = ["kind", "event_id", "ts_ms", "session_id", "parent_session_id", "root_session_id", "agent_id", "user_id",
  "provider", "model", "requested_model", "surface", "channel", "lane", "trigger", "granularity", "status", "error_type",
  "tags", "run_id", "call_id", "response_id", "trace_id", "span_id", "reservation_id", "tool_used", "attempt",
  "prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
  "reasoning_tokens", "tool_calls", "latency_ms", "ttft_ms", "http_status", "partial", "cost_reported_nanousd"];
const CODES = { dispatch: 1, ok: 1, error: 2, user: 1, cron: 3 };

function call(i) {
  const failed = i % 10 === 9;
  const event = {
    kind: "dispatch", ts_ms: Date.now(), session_id: `sitzung-ü-${i % 7}`, agent_id: `agent-${i % 3}`,
    provider: "anthropic", model: "claude-sonnet-4-5", surface: "rest", trigger: i % 2 ? "cron" : "user",
    status: failed ? "error" : "ok", tags: { form: opt.form }, run_id: `run-${i >> 2}`,
    response_id: failed ? undefined : `${opt.form}-${i}`, span_id: `span-${opt.form}-${i}`, attempt: 1,
    latency_ms: 100 + (i % 900), http_status: failed ? 529 : 200,
  };
  if (failed) event.error_type = "overloaded";
  else Object.assign(event, { prompt_tokens: 1000 + i, completion_tokens: i, cached_tokens: 900 });
  event.event_id = eventId(event);
  return event;
}

function form(event) {
  for (const name of Object.keys(event)) if (event[name] === undefined) delete event[name];
  if (opt.form === "map") return { ...event, event_id: event.event_id.toString("hex") };
  const code = (v) => CODES[v] ?? v;
  const array = POSITIONS.map((name) => event[name] ?? null);
  for (const at of [0, 14, 16]) array[at] = code(array[at]);
  while (array.at(-1) === null) array.pop();
  return array;
}

const n = Number(opt.events);
const sum = { calls: n, errors: 0, prompt_tokens: 0, prompt_tokens_unknown: 0, completion_tokens: 0, latency_ms: 0 };
const streams = [0, 1].slice(0, opt.twice ? 2 : 1)
  .map((stream) => new Publisher({ endpoint: opt.endpoint, source: opt.source, stream }));
if (opt.gap) streams[0].lose = (first) => first === 101 && !streams[0].lost && (streams[0].lost = true);

const ids = [];
for (let i = 0; i < n; i++) {
  const event = call(i);
  ids.push(event.event_id.toString("hex"));
  sum.latency_ms += event.latency_ms;
  if (event.prompt_tokens === undefined) { sum.errors++; sum.prompt_tokens_unknown++; }
  sum.prompt_tokens += event.prompt_tokens ?? 0;
  sum.completion_tokens += event.completion_tokens ?? 0;
  for (const stream of streams) stream.publish(form({ ...event }));
}
for (const stream of streams) {
  await stream.settled();
  stream.close();
}
const counts = Object.assign({}, ...Object.keys(streams[0].counts)
  .map((k) => ({ [k]: streams.reduce((all, s) => all + s.counts[k], 0) })));
console.log(JSON.stringify({ ...sum, ids, counts }));
