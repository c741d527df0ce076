/* SPDX-License-Identifier: MIT
 *
 * What the collector answers against what the provider counted and what the recorder saw. Each
 * function returns a list of differences; empty is equal.
 */
export const SURFACES = {
  cc: 'chat_completions',
  ccs: 'chat_completions',
  rs: 'responses',
  rss: 'responses',
  ws: 'webchat',
  agent: 'rpc',
  cli: 'rpc',
  tg: 'telegram',
};
const PRICE = { prompt: 10000, completion: 30000, cached: 1000, write: 2000 }; /* nano-dollars a token */
const MESSAGES = [
  'message_received',
  'message_sending',
  'message_sent',
  'agent_end',
  'before_agent_finalize',
];

const aborted = (request) => request.tag?.includes('abort');

function statusOf(request) {
  if (aborted(request)) return 'aborted';
  if (request.action === 'stall') return 'timeout';
  return request.answered ? 'ok' : 'error';
}

/** What the provider told of the tokens before the answer ended; null: nothing. */
function toldUsage(request, diagnosed) {
  const { usage } = request;
  if (request.unseen && !diagnosed) return null; /* a compaction: only the diagnostics carry its usage */
  if (!usage || aborted(request)) return null;
  if (request.answered) return usage;
  if (request.anthropic && request.action === 'cut')
    return { ...usage, completion: 1, total: usage.prompt + 1 };
  return null;
}

function costOf(request, usage) {
  if (!usage || request.model === 'fake-free') return undefined;
  return (
    (usage.prompt - usage.cached - usage.write) * PRICE.prompt +
    usage.completion * PRICE.completion +
    usage.cached * PRICE.cached +
    usage.write * PRICE.write
  );
}

/** The fields of the row that a request must have made. */
export function expectedRow(request, repeated) {
  const usage = toldUsage(request, request.diagnosed),
    status = statusOf(request);
  const named = (request.answered || request.action === 'cut') && !request.unseen && !repeated;
  return {
    trace_id: request.traceId,
    status,
    surface: request.unasked ? null : SURFACES[request.tag?.split('-')[0]],
    provider: request.anthropic ? 'claude' : 'fake',
    model: request.action === 'model' ? `${request.model}-2026-11` : request.model,
    requested_model: request.model,
    agent_id: request.tag?.includes('coder') ? 'coder' : 'main',
    http_status: request.action === 'http' ? request.arg : undefined,
    prompt_tokens: usage?.prompt,
    completion_tokens: usage?.completion,
    total_tokens: usage?.total,
    cached_tokens: usage?.cached,
    cache_write_tokens: usage?.write,
    reasoning_tokens: usage?.reasoning,
    cost_reported_nanousd: costOf(request, usage),
    response_id: named ? request.id : undefined,
    tool_calls: request.answered && !request.unseen ? request.toolCalls : undefined,
    partial: usage && status !== 'ok' ? 1 : 0,
  };
}

const CHECKED_IF_KNOWN = new Set(['surface', 'tool_calls']);

function differences(request, row, repeated) {
  const found = [],
    expected = expectedRow(request, repeated);
  for (const [name, want] of Object.entries(expected)) {
    const got = name === 'partial' ? Number(row[name] ?? 0) : row[name];
    if (want === undefined && CHECKED_IF_KNOWN.has(name)) continue;
    if (got !== (want ?? undefined)) found.push(`${name} is ${got}, not ${want}`);
  }
  for (const name of ['session_id', 'run_id', 'call_id', 'latency_ms', 'attempt'])
    if (row[name] === undefined) found.push(`${name} is missing`);
  return found.map(
    (text) => `request ${request.k} (${request.tag ?? 'untagged'} ${request.action}): ${text}`,
  );
}

/** One row for each request of the provider, and no other; each as the provider counted it. */
export function compareCalls(requests, rows) {
  const bySpan = Map.groupBy(rows, (row) => row.span_id),
    found = [],
    ids = new Set();
  for (const request of requests) {
    const [row, ...more] = bySpan.get(request.spanId) ?? [];
    bySpan.delete(request.spanId);
    if (!row && !request.lost) found.push(`request ${request.k} (${request.tag} ${request.action}): no row`);
    if (more.length) found.push(`request ${request.k}: ${more.length + 1} rows`);
    if (!row) continue;
    const id = `${row.session_id} ${request.id}`;
    found.push(...differences(request, row, ids.has(id)));
    ids.add(id);
  }
  for (const row of [...bySpan.values()].flat())
    found.push(`a row that nobody asked for: ${JSON.stringify(row)}`);
  return found;
}

/** attempt counts the calls of one call id: 1, 2, 3 … */
export function compareAttempts(rows) {
  const found = [];
  for (const [call, same] of Map.groupBy(rows, (row) => row.call_id)) {
    const attempts = same.map((row) => row.attempt).sort((a, b) => a - b);
    if (attempts.some((attempt, i) => attempt !== i + 1)) found.push(`${call}: attempts ${attempts}`);
  }
  return found;
}

const add = (sum, value) => (value === undefined ? sum : (sum ?? 0) + value);

/** GET /v1/usage grouped by surface, model and status, against sums over the provider's account. */
export function compareUsage(requests, usage, rows) {
  const surfaceOf = new Map(rows.map((row) => [row.span_id, row.surface])),
    groups = new Map(),
    ids = new Set();
  const names = [
    'prompt_tokens',
    'completion_tokens',
    'total_tokens',
    'cached_tokens',
    'cache_write_tokens',
    'cost_reported_nanousd',
  ];
  for (const request of requests.filter((one) => surfaceOf.has(one.spanId))) {
    const want = expectedRow(request, ids.has(request.id));
    const surface = want.surface === undefined ? (surfaceOf.get(request.spanId) ?? null) : want.surface;
    const key = JSON.stringify([surface, want.model, want.status]);
    const sums = groups.get(key) ?? { calls: 0 };
    sums.calls++;
    for (const name of names) {
      sums[name] = add(sums[name], want[name]);
      sums[`${name}_unknown`] = (sums[`${name}_unknown`] ?? 0) + (want[name] === undefined ? 1 : 0);
    }
    groups.set(key, sums);
  }
  const found = [];
  for (const row of usage.rows) {
    const key = JSON.stringify([row.surface, row.model, row.status]),
      want = groups.get(key);
    groups.delete(key);
    if (!want) {
      found.push(`usage has ${key}`);
      continue;
    }
    for (const [name, value] of Object.entries({
      ...Object.fromEntries(names.map((n) => [n, null])),
      ...want,
    }))
      if (row[name] !== (value ?? null))
        found.push(`usage of ${key}: ${name} is ${row[name]}, not ${value ?? null}`);
  }
  for (const key of groups.keys()) found.push(`usage lacks ${key}`);
  return found;
}

const OUTCOMES = { error: 'failed', aborted: 'cancelled' };

function fits(hook, row) {
  return (
    row.kind === hook.name &&
    row.bytes === hook.bytes &&
    row.message_id === hook.messageId &&
    (!hook.runId || row.run_id === hook.runId) &&
    (!hook.sessionId || row.session_id === hook.sessionId) &&
    (hook.name !== 'message_sent' || row.outcome === (hook.success ? 'delivered' : 'failed')) &&
    (hook.name !== 'agent_end' ||
      row.outcome === (OUTCOMES[hook.stopReason] ?? (hook.success ? 'observed' : 'failed')))
  );
}

/** One message event for each message hook that fired, and no other. */
export function compareMessages(hooks, rows) {
  const left = [...rows],
    found = [];
  for (const hook of hooks.filter((one) => MESSAGES.includes(one.name))) {
    const at = left.findIndex((row) => fits(hook, row));
    if (at < 0) found.push(`no event for ${JSON.stringify(hook)}`);
    else if (hook.sessionKey && !left.splice(at, 1)[0].session_id)
      found.push(`no session in the event of ${JSON.stringify(hook)}`);
  }
  for (const row of left) found.push(`an event that no hook made: ${JSON.stringify(row)}`);
  return found;
}

/** The counters of the last report of each epoch, added up over the labels, against the recorder. */
export function compareCounters(hooks, reports) {
  const last = new Map(
      reports.filter((one) => one.body.counters).map((one) => [one.epoch, one.body.counters]),
    ),
    sums = {};
  for (const counters of last.values())
    for (const [key, value] of Object.entries(counters)) {
      const name = key.replace(/\{.*/, '');
      sums[name] = (sums[name] ?? 0) + value;
    }
  const found = [];
  for (const name of [...MESSAGES, 'model_call_started', 'model_call_ended']) {
    const want = hooks.filter((hook) => hook.name === name).length;
    if ((sums[`hook.${name}`] ?? 0) !== want)
      found.push(`hook.${name} is ${sums[`hook.${name}`] ?? 0}, not ${want}`);
  }
  const begun = hooks.filter((hook) => hook.name === 'model_call_started').length;
  if (sums['calls.begun'] !== begun) found.push(`calls.begun is ${sums['calls.begun']}, not ${begun}`);
  return found;
}

/** A table for people: what was compared. */
export function summary(requests, rows) {
  const bySpan = new Map(rows.map((row) => [row.span_id, row]));
  const groups = Map.groupBy(
    requests,
    (one) => `${bySpan.get(one.spanId)?.surface ?? '-'} ${one.lost ? 'in flight' : statusOf(one)}`,
  );
  return [...groups]
    .sort()
    .map(([name, list]) => {
      const mine = list.map((one) => bySpan.get(one.spanId)).filter(Boolean);
      const prompt = mine.reduce((sum, row) => sum + (row.prompt_tokens ?? 0), 0);
      return `  ${name.padEnd(28)} ${String(list.length).padStart(3)} requests ${String(mine.length).padStart(3)} rows ${String(prompt).padStart(7)} prompt tokens`;
    })
    .join('\n');
}
