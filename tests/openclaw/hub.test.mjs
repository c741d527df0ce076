/* SPDX-License-Identifier: MIT
 *
 * The plugin as the gateway loads it: imported twice, registered several times, without its addon,
 * stopped and started. The addon, the library and the collector are real.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { makeCollector } from './lib/collector.mjs';
import { killAll, until } from './lib/process.mjs';

const { TOLLGATE_ADDON, TOLLGATED } = process.env;
delete process.env.TOLLGATE_ADDON;
const PLUGIN = new URL('../../emitter/openclaw/index.js', import.meta.url).href;
const dir = mkdtempSync(`${tmpdir()}/tollgate-hub-`);
const collector = await makeCollector(TOLLGATED, dir);
await collector.start();
test.after(async () => {
  await killAll();
  rmSync(dir, { recursive: true });
});

/** A gateway's side of register(): keeps the handlers, the service and the warnings. */
function makeApi(pluginConfig) {
  const api = {
    pluginConfig: { endpoint: collector.endpoint, source: 'hub', spoolDir: `${dir}/spool`, ...pluginConfig },
    handlers: {},
    warnings: [],
    logger: { warn: (text) => api.warnings.push(text) },
    on: (name, handler) => (api.handlers[name] = handler),
    registerService: (service) => (api.service = service),
  };
  return api;
}

const first = (await import(PLUGIN)).default;
const second = (await import(`${PLUGIN}?copy=2`)).default;

const ctx = (spanId) => ({ trace: { traceId: 't', spanId } });
const call = (id) => ({
  runId: `chatcmpl_${id}`,
  callId: `${id}:model:1`,
  sessionKey: 'agent:main:x',
  sessionId: 's',
  provider: 'p',
  model: 'm',
});

/** One model call, told to every registration, as one gateway process would. Returns what the handlers returned. */
function tell(id, ...apis) {
  const returned = [];
  const timestamp = Date.now();
  const steps = [
    ['model_call_started', call(id), ctx(id)],
    ['model_call_ended', { ...call(id), outcome: 'completed', durationMs: 1 }, ctx(id)],
    [
      'before_message_write',
      {
        message: {
          role: 'assistant',
          provider: 'p',
          model: 'm',
          timestamp,
          stopReason: 'stop',
          content: [],
          usage: { input: 1, output: 2, cacheRead: 0, cacheWrite: 0, totalTokens: 3 },
        },
      },
      { sessionKey: 'agent:main:x', agentId: 'main' },
    ],
    [
      'message_sent',
      { content: 'x', success: true, sessionKey: 'agent:main:x' },
      { channelId: 'tele', conversationId: 'c' },
    ],
  ];
  for (const [name, event, context] of steps)
    for (const api of apis) returned.push(api.handlers[name](event, context));
  return returned;
}

const rows = (kind) => collector.events(kind);
const arrived = (id) =>
  until(`the row of ${id}`, 10, async () => (await rows('dispatch')).find((row) => row.span_id === id));

test('without the addon nothing breaks, and one warning says so', async () => {
  const api = makeApi({ addonPath: `${dir}/none.node` });
  first.register(api);
  await api.service.start({});
  assert.ok(tell('lost', api).every((value) => value === undefined));
  tell('lost too', api);
  assert.equal(api.warnings.length, 1);
  assert.match(api.warnings[0], /events are not recorded.*none\.node/s);
  await api.service.stop({});
});

test('several imports and registrations are one emitter, and each event is told once', async () => {
  const apis = [first, second, first].map((plugin) => {
    const api = makeApi({ addonPath: TOLLGATE_ADDON });
    plugin.register(api);
    return api;
  });
  await apis[0].service.start({});
  assert.ok(
    tell('once', ...apis).every((value) => value === undefined),
    'no handler decides anything',
  );
  await arrived('once');
  await apis[0].service.stop({});
  const mine = (list) => list.filter((row) => row.source === 'hub');
  assert.equal(mine(await rows('dispatch')).length, 1);
  assert.equal(mine(await rows('message')).length, 1);
  const epochs = new Set(mine(await rows('report')).map((row) => row.epoch));
  assert.equal(epochs.size, 1);
  assert.deepEqual(
    apis.flatMap((api) => api.warnings),
    [],
  );
});

test('what ends after the stop is told by a new emitter', async () => {
  const api = makeApi({ addonPath: TOLLGATE_ADDON });
  second.register(api);
  tell('after the stop', api);
  await arrived('after the stop');
  await api.service.stop({});
});

test('hooks that carry rubbish harm nobody', async () => {
  const api = makeApi({ addonPath: TOLLGATE_ADDON });
  first.register(api);
  for (const handler of Object.values(api.handlers))
    for (const event of [
      undefined,
      null,
      {},
      5,
      'x',
      { message: 7 },
      { messages: 'x' },
      { message: { role: 'assistant' } },
      Object.freeze({ runId: [] }),
    ])
      for (const context of [undefined, {}, { trace: 5 }, { trace: null, sessionKey: {} }])
        assert.equal(handler(event, context), undefined);
  tell('after the rubbish', api);
  await arrived('after the rubbish');
  await api.service.stop({});
});

test('an emitter that cannot be opened is one warning', async () => {
  const api = makeApi({ addonPath: TOLLGATE_ADDON, endpoint: 'nonsense', source: 'x'.repeat(300) });
  first.register(api);
  await api.service.start({});
  tell('nowhere', api);
  await api.service.stop({});
  assert.equal(api.warnings.length, 1);
});
