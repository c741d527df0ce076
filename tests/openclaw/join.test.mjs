/* SPDX-License-Identifier: MIT
 *
 * The join, fed with hook sequences recorded from a real gateway (recorded/) and with made-up ones
 * for what a gateway does once in a blue moon. The clock is the recording's.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { HOLD_MS, Join, RUN_GRACE_MS, WAIT_MS } from '../../emitter/openclaw/join.js';

/* tg_usage_openclaw, which the addon's test compares with this. */
const convert = (input, output, read, write, total) => ({
  prompt_tokens: [input, read, write].includes(undefined) ? undefined : input + read + write,
  completion_tokens: output,
  total_tokens: total,
  cached_tokens: read,
  cache_write_tokens: write,
});

function setup() {
  const told = { dispatches: [], messages: [], counts: {}, now: 1000 };
  const join = new Join(
    {
      dispatch: (event) => told.dispatches.push(event),
      message: (event) => told.messages.push(event),
      count: (name, label) => {
        told.counts[`${name} ${label}`] = (told.counts[`${name} ${label}`] ?? 0) + 1;
      },
      convert,
    },
    () => told.now,
  );
  return { join, told };
}

const lines = (name) =>
  readFileSync(new URL(`recorded/${name}.jsonl`, import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** Plays a recording, sweeping whenever something is due, as the hub's timer does. */
function play(name, { diagnostics = true } = {}) {
  const { join, told } = setup();
  for (const { t, src, name: hook, event, ctx } of lines(name)) {
    for (let due = join.due(); due < t; due = join.due()) {
      told.now = due;
      join.sweep();
    }
    told.now = t;
    if (src === 'hook') join.hook(hook, event, ctx);
    else if (diagnostics) join.diagnostic(event);
  }
  told.now += HOLD_MS;
  join.sweep();
  assert.equal(join.due(), Infinity, 'nothing waits for ever');
  return told;
}

const inSession = (told, recording, key) => {
  const ids = new Set(
    recording
      .filter((line) => line.event.sessionKey === key && line.event.sessionId)
      .map((line) => line.event.sessionId),
  );
  return told.dispatches.filter((event) => ids.has(event.session_id));
};

for (const diagnostics of [true, false]) {
  const how = diagnostics ? 'with diagnostics' : 'without diagnostics';

  test(`every surface, ${how}`, () => {
    const told = play('surfaces', { diagnostics });
    const begun = lines('surfaces').filter((line) => line.name === 'model_call_started');
    assert.equal(begun.length, 8);
    assert.deepEqual(
      told.dispatches.map((event) => event.span_id),
      begun.map((line) => line.ctx.trace.spanId),
    );
    assert.deepEqual(
      told.dispatches.map((event) => event.surface),
      ['chat_completions', 'chat_completions', 'responses', 'responses', 'webchat', 'rpc', 'rpc', 'telegram'],
    );
    told.dispatches.forEach((event, i) => {
      assert.deepEqual(
        [
          event.prompt_tokens,
          event.cached_tokens,
          event.completion_tokens,
          event.total_tokens,
          event.response_id,
        ],
        [101 + i, 40, 7, 108 + i, `chatcmpl-fake-${i + 1}`],
      );
      assert.deepEqual(
        [event.agent_id, event.status, event.trigger, event.attempt, event.tool_calls],
        ['main', 'ok', 'user', 1, 0],
      );
      assert.equal(event.cost_reported_nanousd, Math.round((610 + 10 * i + 210 + 40) * 1e3));
      assert.ok(
        event.latency_ms > 0 && event.ttft_ms > 0 && event.session_id && event.run_id && event.trace_id,
      );
    });
  });

  test(`failures, ${how}`, () => {
    const recording = lines('failures'),
      told = play('failures', { diagnostics });
    const begun = recording.filter((line) => line.name === 'model_call_started');
    assert.equal(told.dispatches.length, begun.length);
    assert.equal(new Set(told.dispatches.map((event) => event.span_id)).size, begun.length);
    const expected = {
      /* session: calls, status, error type, HTTP status */
      s429: [10, 'error', 'rate_limit_exceeded', 429],
      s500: [8, 'error', 'server_error', 500],
      s400: [1, 'error', 'server_error', 400],
      sdrop: [7, 'error', 'terminated', undefined],
      sabort: [1, 'aborted', 'aborted', undefined],
      swsab: [1, 'aborted', 'aborted', undefined],
      sstall: [1, 'timeout', 'timeout', undefined],
    };
    for (const [name, [calls, status, type, http]] of Object.entries(expected)) {
      const events = inSession(told, recording, `agent:main:${name}`);
      assert.equal(events.length, calls, name);
      events.forEach((event, i) => {
        assert.deepEqual(
          [event.status, event.error_type, event.http_status, event.attempt, event.partial],
          [status, type, http, i + 1, 0],
          name,
        );
        for (const unknown of [
          'prompt_tokens',
          'completion_tokens',
          'total_tokens',
          'cached_tokens',
          'cost_reported_nanousd',
        ])
          assert.equal(event[unknown], undefined, `${name}: ${unknown}`);
      });
    }
    const loop = inSession(told, recording, 'agent:main:sloop');
    assert.deepEqual(
      loop.map((event) => [
        event.status,
        event.tool_used,
        event.attempt,
      ]) /* the gateway cut the last one short */,
      [...Array(10).fill(['ok', 'session_status', 1]), ['ok', undefined, 1]],
    );
    assert.equal(new Set(loop.map((event) => event.call_id)).size, 11);
  });
}

test('a run that failed is not a success', () => {
  const ends = play('failures').messages.filter((event) => event.kind === 'agent_end');
  const tally = {};
  for (const { outcome } of ends) tally[outcome] = (tally[outcome] ?? 0) + 1;
  assert.deepEqual(tally, { failed: 10 + 8 + 1 + 7 + 1, cancelled: 2, observed: 3 });
});

test('compaction has no message; its usage is in the diagnostics only', () => {
  const of = (told) => told.dispatches.filter((event) => event.trigger === 'compaction');
  const known = of(play('compaction'));
  assert.deepEqual(
    known.map((event) => [event.prompt_tokens, event.response_id, event.status]),
    [
      [103, undefined, 'ok'],
      [104, undefined, 'ok'],
      [105, undefined, 'ok'],
    ],
  );
  const unknown = of(play('compaction', { diagnostics: false }));
  assert.deepEqual(
    unknown.map((event) => [event.prompt_tokens, event.status]),
    Array(3).fill([undefined, 'ok']),
  );
});

test('sub-agents know their parents', () => {
  const recording = lines('subagent-no-diagnostics'),
    told = play('subagent-no-diagnostics');
  const parent = recording.find(
    (line) => line.event.sessionKey === 'agent:main:ssub3' && line.event.sessionId,
  ).event.sessionId;
  const child = told.dispatches.filter((event) => event.parent_session_id);
  assert.deepEqual(
    child.map((event) => [event.parent_session_id, event.root_session_id, event.trigger]),
    [[parent, parent, 'subagent']],
  );
  const announced = told.dispatches.filter((event) => event.run_id.startsWith('announce:'));
  assert.deepEqual(
    announced.map((event) => [event.session_id, event.trigger]),
    [[parent, 'subagent']],
  );
});

test('surfaces are told apart in one session, where every run names the channel used last', () => {
  const told = play('one-session');
  assert.deepEqual(
    told.dispatches.map((event) => [event.surface, event.channel, event.user_id]),
    [
      ['telegram', 'telegram', '4242'],
      ['rpc', undefined, undefined],
      ['rpc', undefined, undefined],
      ['webchat', 'webchat', 'gateway-client'],
    ],
  );
  assert.deepEqual(
    told.messages.filter((event) => event.kind === 'agent_end').map((event) => event.surface),
    ['telegram', 'rpc', 'rpc', 'webchat'],
  );
});

test('a run of a channel that tells no sender is known by the message before it', () => {
  const { join, told } = setup();
  const ctx = { sessionKey: KEY, sessionId: 's', agentId: 'coder', trigger: 'user', channel: 'pager' };
  join.hook(
    'message_received',
    { content: 'x', sessionKey: KEY },
    { channelId: 'pager', conversationId: 'c', sessionKey: KEY },
  );
  for (const runId of ['first', 'second']) {
    join.hook('before_agent_run', {}, { ...ctx, runId });
    join.hook('agent_end', { runId, success: true, messages: [] }, { ...ctx, runId });
  }
  assert.deepEqual(
    told.messages.map((event) => [event.kind, event.surface]),
    [
      ['message_received', 'pager'],
      ['agent_end', 'pager'],
      ['agent_end', 'rpc'],
    ],
  );
});

test('message events: one for each hook, with its session, and never a text', () => {
  for (const name of ['surfaces', 'failures', 'compaction', 'subagent-no-diagnostics', 'one-session']) {
    const told = play(name);
    const kinds = [
      'message_received',
      'message_sending',
      'message_sent',
      'agent_end',
      'before_agent_finalize',
    ];
    const hooks = lines(name).filter((line) => kinds.includes(line.name));
    const tally = (all, of) => kinds.map((kind) => all.filter((one) => of(one) === kind).length);
    assert.deepEqual(
      tally(told.messages, (event) => event.kind),
      tally(hooks, (line) => line.name),
      name,
    );
    for (const event of told.messages) assert.ok(event.session_id, `${name}: ${event.kind}`);
    const texts = hooks.map((line) => line.event.content ?? line.event.lastAssistantMessage).filter(Boolean);
    for (const event of told.messages)
      for (const value of Object.values(event))
        assert.ok(!texts.includes(value), `${name}: ${event.kind} carries a text`);
  }
  const sent = play('surfaces').messages.find((event) => event.kind === 'message_sent');
  assert.deepEqual(
    [sent.surface, sent.channel, sent.outcome, sent.bytes, sent.message_id, sent.agent_id],
    ['telegram', 'telegram', 'delivered', 21, '1795204501', 'main'],
  );
  assert.equal(sent.run_id, play('surfaces').dispatches[7].run_id);
});

test('the counters say how often each hook fired on each surface', () => {
  const { counts } = play('surfaces');
  assert.equal(counts['hook.model_call_ended chat_completions'], 2);
  assert.equal(counts['hook.message_sent telegram'], 1);
  assert.equal(counts['calls.begun rpc'], 2);
  assert.equal(counts['calls.ended rpc'], 2);
  assert.ok(Object.keys(counts).length < 100);
});

/* -------------------------------------------------------- made-up sequences */

const KEY = 'agent:coder:x';
const call = (n, more = {}) => ({
  runId: 'r',
  callId: `r:model:${n}`,
  sessionKey: KEY,
  sessionId: 's',
  provider: 'p',
  model: 'm',
  ...more,
});
const span = (id) => ({ trace: { traceId: 't', spanId: id } });
const answer = (timestamp, more = {}) => ({
  message: {
    role: 'assistant',
    provider: 'p',
    model: 'm',
    timestamp,
    stopReason: 'stop',
    content: [],
    usage: { input: 5, output: 2, cacheRead: 0, cacheWrite: 0, totalTokens: 7 },
    ...more,
  },
});
const write = (join, ...args) =>
  join.hook('before_message_write', answer(...args), { sessionKey: KEY, agentId: 'coder' });

function run(join, told, id, more) {
  join.hook('model_call_started', call(id), span(`span${id}`));
  told.now += 10;
  join.hook('model_call_ended', call(id, { outcome: 'completed', durationMs: 10 }), span(`span${id}`));
  write(join, told.now - 10, more);
}

test('a response id that repeats does not hide the second call', () => {
  const { join, told } = setup();
  run(join, told, 1, { responseId: 'same' });
  run(join, told, 2, { responseId: 'same' });
  assert.deepEqual(
    told.dispatches.map((event) => [event.response_id, event.span_id]),
    [
      ['same', 'span1'],
      [undefined, 'span2'],
    ],
  );
});

test('the same call told twice is one event', () => {
  const { join, told } = setup();
  run(join, told, 1, { responseId: 'a' });
  run(join, told, 1, { responseId: 'a' });
  join.diagnostic({
    ...call(1),
    type: 'model.call.completed',
    ts: told.now,
    durationMs: 10,
    trace: span('span1').trace,
    usage: { input: 5, output: 2 },
  });
  told.now += 10 * WAIT_MS;
  join.sweep();
  assert.equal(told.dispatches.length, 1);
});

test('a call without a message goes out after its wait, and a late message changes nothing', () => {
  const { join, told } = setup();
  join.hook('model_call_started', call(1), span('a'));
  join.hook('model_call_ended', call(1, { outcome: 'completed', durationMs: 1 }), span('a'));
  told.now += WAIT_MS - 1;
  join.sweep();
  assert.equal(told.dispatches.length, 0);
  told.now += 1;
  join.sweep();
  assert.equal(told.dispatches.length, 1);
  assert.equal(told.dispatches[0].prompt_tokens, undefined);
  write(join, told.now - WAIT_MS);
  told.now += 10 * WAIT_MS;
  join.sweep();
  assert.equal(told.dispatches.length, 1);
});

test('the end of the run shortens the wait', () => {
  const { join, told } = setup();
  join.hook('model_call_started', call(1), span('a'));
  join.hook(
    'model_call_ended',
    call(1, { outcome: 'error', failureKind: 'timeout', durationMs: 1 }),
    span('a'),
  );
  join.hook(
    'agent_end',
    { runId: 'r', messages: [{ role: 'user' }], success: false },
    { sessionKey: KEY, sessionId: 's' },
  );
  assert.equal(join.due(), told.now + RUN_GRACE_MS);
});

test('a message of an earlier call does not go to a later one', () => {
  const { join, told } = setup();
  const began = told.now;
  join.hook('model_call_started', call(1), span('a'));
  told.now += 500;
  join.hook('model_call_started', call(2), span('b'));
  write(join, began, { responseId: 'first' });
  told.now += 10;
  join.hook('model_call_ended', call(1, { outcome: 'completed', durationMs: 510 }), span('a'));
  assert.deepEqual(
    told.dispatches.map((event) => [event.span_id, event.response_id]),
    [['a', 'first']],
  );
});

test("a message of another provider is nobody's", () => {
  const { join, told } = setup();
  run(join, told, 1, { provider: 'gateway' });
  join.flush();
  assert.deepEqual(
    told.dispatches.map((event) => [event.response_id, event.prompt_tokens]),
    [[undefined, undefined]],
  );
});

test('a call that only the diagnostics know takes the message that came before it', () => {
  const { join, told } = setup();
  const began = told.now;
  told.now += 50;
  write(join, began, { responseId: 'hookless' });
  told.now += 30;
  join.diagnostic({
    ...call(1),
    type: 'model.call.completed',
    ts: told.now - 28,
    durationMs: 52,
    trace: span('d').trace,
  });
  assert.deepEqual(
    told.dispatches.map((event) => [event.span_id, event.response_id, event.prompt_tokens, event.latency_ms]),
    [['d', 'hookless', 5, 52]],
  );
});

/* The gateway queues model_call_* hooks, not before_message_write: a slow plugin makes them late. */
test('hooks that come seconds late still find their messages', () => {
  const { join, told } = setup();
  const hooks = [];
  [40, 300, 41, 1200].forEach((took, i) => {
    const began = told.now;
    told.now += took;
    hooks.push(['model_call_started', call(i), span(`late${i}`)]);
    hooks.push(['model_call_ended', call(i, { outcome: 'completed', durationMs: took }), span(`late${i}`)]);
    told.now += 1;
    write(join, began, { responseId: `answer${i}` });
  });
  for (const hook of hooks) {
    told.now += 2000;
    join.sweep();
    join.hook(...hook);
  }
  assert.deepEqual(
    told.dispatches.map((event) => [event.span_id, event.response_id]),
    [0, 1, 2, 3].map((i) => [`late${i}`, `answer${i}`]),
  );
  assert.deepEqual(told.dispatches[1].ts_ms, 1000 + 41 + 301, "the time is the answer's, not the hook's");
});

test('a message that is written late finds its call by when it began', () => {
  const { join, told } = setup();
  const began = told.now;
  join.hook('model_call_started', call(1), span('a'));
  told.now += 20;
  join.hook('model_call_ended', call(1, { outcome: 'error', durationMs: 20 }), span('a'));
  told.now += WAIT_MS - 1;
  join.sweep();
  write(join, began + 1, { stopReason: 'error', errorCode: '429', usage: undefined });
  assert.deepEqual([told.dispatches[0].span_id, told.dispatches[0].http_status], ['a', 429]);
});

test('a call whose hooks were dropped is told by its message alone', () => {
  const { join, told } = setup();
  join.hook('session_start', { sessionId: 's', sessionKey: KEY }, {});
  const began = told.now;
  told.now += 70;
  write(join, began, { responseId: 'alone' });
  write(join, began, {}); /* no response id: the gateway's own */
  told.now += HOLD_MS;
  join.sweep();
  assert.equal(join.due(), Infinity);
  const [event, ...more] = told.dispatches;
  assert.equal(more.length, 0);
  assert.deepEqual(
    [
      event.session_id,
      event.agent_id,
      event.response_id,
      event.prompt_tokens,
      event.latency_ms,
      event.status,
      event.span_id,
    ],
    ['s', 'coder', 'alone', 5, 70, 'ok', undefined],
  );
});

test('without spans, calls are matched in order', () => {
  const { join, told } = setup();
  for (let i = 0; i < 2; i++) {
    join.hook('model_call_started', call(1), {});
    told.now += 10;
    join.hook('model_call_ended', call(1, { outcome: 'completed', durationMs: 10 }), {});
    write(join, told.now - 10, { responseId: `r${i}` });
  }
  assert.deepEqual(
    told.dispatches.map((event) => [event.response_id, event.attempt]),
    [
      ['r0', 1],
      ['r1', 2],
    ],
  );
});

test('what the provider did tell of a failed call is partial', () => {
  const { join, told } = setup();
  join.hook('model_call_started', call(1), span('a'));
  join.hook(
    'model_call_ended',
    call(1, { outcome: 'error', durationMs: 3, failureKind: 'terminated' }),
    span('a'),
  );
  write(join, told.now, { stopReason: 'error' });
  assert.deepEqual(
    told.dispatches.map((event) => [event.status, event.partial, event.prompt_tokens]),
    [['error', 1, 5]],
  );
});

test('zeros that the gateway made up are unknown, a zero that was billed is not', () => {
  const { join, told } = setup();
  run(join, told, 1, {
    usage: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 0, cost: { total: 0 } },
  });
  run(join, told, 2, {
    usage: { input: 5, output: 0, cacheRead: 0, cacheWrite: 0, totalTokens: 5, cost: { total: 0 } },
  });
  run(join, told, 3, {
    usage: {
      input: 5,
      output: 0,
      cacheRead: 0,
      cacheWrite: 0,
      totalTokens: 5,
      cost: { total: 0, totalOrigin: 'provider-billed' },
    },
  });
  assert.deepEqual(
    told.dispatches.map((event) => [
      event.prompt_tokens,
      event.completion_tokens,
      event.cost_reported_nanousd,
    ]),
    [
      [undefined, undefined, undefined],
      [5, 0, undefined],
      [5, 0, 0],
    ],
  );
});

test('the model that answered and the model that was asked', () => {
  const { join, told } = setup();
  run(join, told, 1, { responseModel: 'm-2026' });
  assert.deepEqual([told.dispatches[0].model, told.dispatches[0].requested_model], ['m-2026', 'm']);
});

test('open calls are bounded, and none is lost', () => {
  const { join, told } = setup();
  for (let i = 0; i < 5000; i++)
    join.hook('model_call_started', call(i, { sessionKey: `agent:a:${i}`, runId: `run${i}` }), span(`s${i}`));
  assert.equal(told.dispatches.length, 5000 - 1024);
  join.flush();
  assert.equal(told.dispatches.length, 5000);
  assert.equal(new Set(told.dispatches.map((event) => event.span_id)).size, 5000);
  assert.ok(told.dispatches.every((event) => event.status === undefined && event.error_type === 'no_end'));
});

test("a message event waits for its session's id, but not for ever", () => {
  const { join, told } = setup();
  join.hook(
    'message_received',
    { content: 'grüß', sessionKey: KEY, messageId: 7 },
    { channelId: 'telegram', conversationId: 'c' },
  );
  join.hook(
    'message_received',
    { content: 'x', sessionKey: 'agent:coder:y' },
    { channelId: 'telegram', conversationId: 'c' },
  );
  assert.equal(told.messages.length, 0);
  join.hook('session_start', { sessionId: 's', sessionKey: KEY }, {});
  assert.deepEqual(
    told.messages.map((event) => [event.session_id, event.bytes, event.message_id, event.ts_ms]),
    [['s', 6, '7', 1000]],
  );
  told.now += HOLD_MS;
  join.sweep();
  assert.deepEqual(
    [told.messages[1].session_id, told.messages[1].agent_id, told.messages[1].surface],
    [undefined, 'coder', 'telegram'],
  );
});

test('rubbish in a hook does not become a wrong type', () => {
  const { join, told } = setup();
  join.hook(
    'model_call_started',
    { runId: 5, callId: {}, provider: ['x'], model: null },
    { trace: { spanId: 'z' }, senderId: 12 },
  );
  join.hook(
    'model_call_ended',
    { runId: 5, callId: {}, durationMs: NaN, timeToFirstByteMs: -1 },
    { trace: { spanId: 'z' } },
  );
  join.flush();
  const [event] = told.dispatches;
  assert.deepEqual(
    [event.run_id, event.call_id, event.provider, event.latency_ms, event.ttft_ms],
    ['5', undefined, undefined, undefined, undefined],
  );
});

test('without diagnostics a compaction goes out at once, not after its wait', () => {
  const dispatches = [];
  let now = 1_000_000;
  const join = new Join({ dispatch: (event) => dispatches.push(event), message() {}, count() {}, convert: (...n) => n }, () => now);
  const call = (runId, spanId) => {
    const at = { runId, callId: `${runId}:model:1`, sessionKey: 'agent:main:main', sessionId: 's', provider: 'p', model: 'm' };
    join.hook('model_call_started', at, { trace: { spanId } });
    now += 100;
    join.hook('model_call_ended', { ...at, durationMs: 100, outcome: 'completed' }, { trace: { spanId } });
  };
  call('one', 'a1');
  assert.equal(dispatches.length, 0); /* its message may still come */
  call('main:compaction:two', 'b2');
  assert.deepEqual(dispatches.map((event) => event.span_id), ['b2']);
});
