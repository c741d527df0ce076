/* SPDX-License-Identifier: MIT
 *
 * The gate: what verdicts do to a turn. First its rules alone, on a table of verdicts; then the plugin
 * with the real addon and a real collector, whose budgets close, open, delay and downgrade.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { modelOf, providersOf } from '../../emitter/openclaw/convert.js';
import { DELAY_MAX_MS, Gate } from '../../emitter/openclaw/gate.js';
import { makeCollector } from './lib/collector.mjs';
import { killAll, until } from './lib/process.mjs';

const { TOLLGATE_ADDON, TOLLGATED } = process.env;
delete process.env.TOLLGATE_ADDON;
const PLUGIN = new URL('../../emitter/openclaw/index.js', import.meta.url).href;
const dir = mkdtempSync(`${tmpdir()}/tollgate-gate-`);
const collector = await makeCollector(TOLLGATED, dir);
await collector.start();
test.after(async () => {
  await killAll();
  rmSync(dir, { recursive: true });
});

/* ---------------------------------------------------------------- the rules */

const PROVIDERS = new Set(['p', 'q', 'openrouter']);

/** A gate whose verdicts stand in a table by provider/model; what it said is in `said`. */
function gateOf(verdicts, said = [], version = () => 1) {
  return new Gate({
    check: ({ provider, model }) => verdicts[`${provider}/${model}`] ?? { action: 'allow' },
    version,
    isProvider: (name) => PROVIDERS.has(name),
    say: (text) => said.push(text),
  });
}
const big = { session_id: 's', provider: 'p', model: 'big' };
const down = (use_model) => ({ action: 'downgrade', budget: 'b', message: 'dear', use_model });
const block = { action: 'block', budget: 'b', message: 'spent' };

test('what each verdict means', () => {
  const delay = (delay_ms) => ({ action: 'delay', budget: 'b', message: 'slowly', delay_ms });
  for (const [verdicts, expected] of [
    [{}, undefined],
    [{ 'p/big': null }, undefined],
    [{ 'p/big': { action: 'warn', budget: 'b' } }, undefined],
    [{ 'p/big': block }, { text: 'spent' }],
    [{ 'p/big': delay(50) }, { waitMs: 50, use: undefined }],
    [{ 'p/big': delay(undefined) }, undefined],
    [{ 'p/big': delay(3600000) }, { waitMs: DELAY_MAX_MS, use: undefined }],
    [{ 'p/big': down('small') }, { waitMs: 0, use: { provider: 'p', model: 'small' } }],
    [{ 'p/big': down('q/small') }, { waitMs: 0, use: { provider: 'q', model: 'small' } }],
    [{ 'p/big': down('big') }, undefined],
    [{ 'p/big': down('p/big') }, undefined],
    [{ 'p/big': down(undefined) }, undefined],
    [{ 'p/big': down('small'), 'p/small': block }, { text: 'spent' }],
    [
      { 'p/big': down('small'), 'p/small': delay(7) },
      { waitMs: 7, use: { provider: 'p', model: 'small' } },
    ],
    [
      { 'p/big': down('small'), 'p/small': down('q/tiny') },
      { waitMs: 0, use: { provider: 'q', model: 'tiny' } },
    ],
  ])
    assert.deepEqual(gateOf(verdicts).judge(big), expected, JSON.stringify(verdicts));
  assert.match(gateOf({ 'p/big': { action: 'block' } }).judge(big).text, /./, 'no answer is empty');
});

test('downgrades that go round in a circle end', () => {
  const found = gateOf({ 'p/big': down('small'), 'p/small': down('big') }).judge(big);
  assert.ok(found.use && !found.text);
});

test('the log is told once for each session, budget and version', () => {
  const said = [];
  let version = 1;
  const gate = gateOf({ 'p/big': { action: 'warn', budget: 'b', message: 'low' } }, said, () => version);
  for (let n = 0; n < 3; n++) gate.judge(big);
  assert.deepEqual(said, ['warn: session s: low']);
  gate.judge({ ...big, session_id: 't' });
  assert.equal(said.length, 2);
  version = 2;
  gate.judge(big);
  gate.judge(big);
  assert.equal(said.length, 3);
});

test('a model of another provider is known by the provider', () => {
  const known = (name) => PROVIDERS.has(name);
  for (const [name, provider, model] of [
    ['small', 'p', 'small'],
    ['q/small', 'q', 'small'],
    ['p/small', 'p', 'small'],
    ['vendor/small', 'p', 'vendor/small'],
    ['openrouter/vendor/small', 'openrouter', 'vendor/small'],
    ['/small', 'p', '/small'],
    ['q/', 'p', 'q/'],
  ])
    assert.deepEqual(modelOf(name, 'p', known), { provider, model });
  const config = {
    models: { providers: { a: {} } },
    auth: { profiles: { 'b:default': { provider: 'b' } } },
    agents: {
      defaults: { model: { primary: 'c/x' }, models: { 'd/y/z': {} } },
      entries: { main: { model: 'e/x' }, o: {} },
    },
  };
  for (const name of ['a', 'b', 'c', 'd', 'e']) assert.ok(providersOf(config).has(name), name);
  for (const rubbish of [undefined, null, 5, {}, { agents: 7, models: 'x' }])
    assert.ok(providersOf(rubbish) instanceof Set);
});

/* --------------------------------------------------------------- the plugin */

const { default: plugin } = await import(PLUGIN);

function makeApi(pluginConfig) {
  const api = {
    config: { models: { providers: { p: {}, q: {} } } },
    pluginConfig: {
      endpoint: collector.endpoint,
      source: 'gate',
      spoolDir: `${dir}/spool`,
      addonPath: TOLLGATE_ADDON,
      ...pluginConfig,
    },
    handlers: {},
    warnings: [],
    logger: { warn: (text) => api.warnings.push(text) },
    on: (name, handler) => (api.handlers[name] = handler),
    registerService: (service) => (api.service = service),
  };
  plugin.register(api);
  return api;
}

/** What the gateway tells of a turn of an agent before it asks a model. */
const turn = (agent, more) => ({
  runId: `chatcmpl_${agent}`,
  agentId: agent,
  sessionKey: `agent:${agent}:main`,
  sessionId: `session of ${agent}`,
  modelProviderId: 'p',
  modelId: 'big',
  trigger: 'user',
  ...more,
});
const reply = (api, ctx) => api.handlers.before_agent_reply({ cleanedBody: 'secret text' }, ctx);
const choose = (api, ctx) => api.handlers.before_model_resolve({ prompt: 'secret text' }, ctx);

/** A turn that has to wait, once the budget is known: { ended }, a promise of the answer. */
const delayed = (api, agent) =>
  until('the delay', 10, () => {
    const ended = reply(api, turn(agent));
    return ended && { ended };
  });

/** Calls of an agent, told as the gateway would; resolves when the collector has counted them. */
async function spend(api, agent, calls) {
  const before = (await rowsOf(agent)).length;
  for (let n = 0; n < calls; n++) {
    const ctx = { trace: { traceId: 't', spanId: `${agent} ${before + n}` } };
    const call = { ...turn(agent), callId: `${agent}:model:1`, provider: 'p', model: 'big' };
    const message = {
      role: 'assistant',
      provider: 'p',
      timestamp: Date.now(),
      stopReason: 'stop',
      content: [],
    };
    api.handlers.model_call_started({ ...call }, ctx);
    api.handlers.model_call_ended({ ...call, outcome: 'completed', durationMs: 1 }, ctx);
    api.handlers.before_message_write({ message }, turn(agent));
  }
  await until('the rows', 10, async () => (await rowsOf(agent)).length === before + calls);
}
const rowsOf = async (agent) =>
  (await collector.events('dispatch')).filter((row) => row.agent_id === agent && row.status !== 'blocked');
const refusals = async (agent) =>
  (await collector.events('dispatch')).filter((row) => row.agent_id === agent && row.status === 'blocked');
const perAgent = (agent, limit, more) => ({ scope: { agent }, per: 'agent', limit, window: 'day', ...more });

test('a spent budget answers the turn, tells of it, and an allowance lets it go on', async () => {
  const api = makeApi();
  await api.service.start({});
  await collector.budget('three', perAgent('closing', '3 calls'));
  await spend(api, 'closing', 2);
  assert.equal(reply(api, turn('closing')), undefined, 'at once, and nothing');
  await spend(api, 'closing', 1);
  const answer = await until('the gate closes', 10, () => reply(api, turn('closing')));
  assert.equal(answer.handled, true);
  assert.match(answer.reply.text, /^budget three \(closing\): 3 calls of 3 calls spent, opens \d{4}-/);
  const silent = reply(api, turn('closing', { runId: 'beat', trigger: 'heartbeat' }));
  assert.deepEqual([silent.handled, silent.reply], [true, undefined], 'nobody asked: nobody is told');
  assert.equal(reply(api, turn('another')), undefined, 'another agent goes on');
  const [row, beat] = await until('the refusals', 10, async () => {
    const rows = await refusals('closing');
    return rows.length > 1 && rows;
  });
  assert.equal(beat.trigger, 'heartbeat');
  assert.deepEqual(
    {
      session: row.session_id,
      run: row.run_id,
      surface: row.surface,
      trigger: row.trigger,
      provider: row.provider,
      model: row.model,
      tokens: row.total_tokens,
      prompt: row.prompt_tokens,
    },
    {
      session: 'session of closing',
      run: 'chatcmpl_closing',
      surface: 'chat_completions',
      trigger: 'user',
      provider: 'p',
      model: 'big',
      tokens: undefined,
      prompt: undefined,
    },
  );
  assert.equal((await refusals('closing')).length, 2, 'one for each turn that was refused');
  const [sums] = (await collector.usage('agent,status')).rows.filter((one) => one.status === 'blocked');
  assert.equal(sums.calls, 2);
  await collector.allow('three', '1 calls');
  await until('the gate opens', 10, () => reply(api, turn('closing')) === undefined);
  await spend(api, 'closing', 1);
  await until('the gate closes again', 10, () => reply(api, turn('closing')));
  const lines = api.warnings.map((line) => line.replace(/: budget three.*/, ''));
  assert.deepEqual(
    new Set(lines),
    new Set(['warn', 'block'].map((action) => `tollgate: ${action}: session session of closing`)),
  );
  assert.ok(!JSON.stringify([api.warnings, await collector.events('all')]).includes('secret'));
  await api.service.stop({});
});

test('each registration asks, and the turn is refused once', async () => {
  const api = makeApi(),
    twin = makeApi();
  await api.service.start({});
  await collector.budget('one', perAgent('twice', '1 calls'));
  await spend(api, 'twice', 1);
  await until('the gate closes', 10, async () => (await reply(api, turn('twice')))?.handled);
  const before = (await until('the refusal', 10, async () => (await refusals('twice')).length)) ?? 0;
  const event = { cleanedBody: 'x' };
  assert.ok(api.handlers.before_agent_reply(event, turn('twice')).handled);
  assert.equal(twin.handlers.before_agent_reply(event, turn('twice')), undefined);
  await until('its refusal', 10, async () => (await refusals('twice')).length === before + 1);
  await api.service.stop({});
});

test('a downgrade takes another model, and its provider where it has one', async () => {
  const api = makeApi();
  await api.service.start({});
  assert.equal(choose(api, turn('rich')), undefined);
  await collector.budget(
    'cheaper',
    perAgent('rich', '1 calls', { action: 'downgrade', use: { model: 'small' } }),
  );
  await spend(api, 'rich', 1);
  const taken = await until('the downgrade', 10, () => choose(api, turn('rich')));
  assert.deepEqual(taken, { providerOverride: 'p', modelOverride: 'small' });
  assert.equal(reply(api, turn('rich')), undefined, 'the turn goes on');
  assert.equal(choose(api, turn('rich', { modelId: 'small' })), undefined, 'it is that model already');
  await collector.budget(
    'cheaper',
    perAgent('rich', '1 calls', { action: 'downgrade', use: { model: 'q/tiny' } }),
  );
  const other = await until('the other one', 10, () => {
    const found = choose(api, turn('rich'));
    return found?.modelOverride !== 'small' && found;
  });
  assert.deepEqual(other, { providerOverride: 'q', modelOverride: 'tiny' });
  await collector.budget('no-tiny', {
    scope: { agent: 'rich', model: 'tiny' },
    limit: '1 calls',
    window: 'day',
  });
  assert.equal(reply(api, turn('rich')), undefined);
  const call = { ...turn('rich'), callId: 'tiny:model:1', provider: 'q', model: 'tiny' };
  api.handlers.model_call_ended({ ...call, outcome: 'error', durationMs: 1 }, { trace: { spanId: 'tiny' } });
  api.handlers.agent_end({ messages: [], success: false }, turn('rich'));
  const answer = await until('the cheap one is spent too', 10, () => reply(api, turn('rich')));
  assert.match(answer.reply.text, /no-tiny/);
  await api.service.stop({});
});

test('a delay waits and does not hold up anybody else', async () => {
  const api = makeApi();
  await api.service.start({});
  await collector.budget('slow', perAgent('hasty', '1 calls', { action: 'delay', delay: '300ms' }));
  await spend(api, 'hasty', 1);
  const began = performance.now();
  const { ended } = await delayed(api, 'hasty');
  let turns = 0;
  const timer = setInterval(() => turns++, 5);
  assert.equal(reply(api, turn('another')), undefined);
  assert.equal(await ended, undefined);
  clearInterval(timer);
  const took = performance.now() - began;
  assert.ok(took >= 290 && turns > 5, `${took} ms, ${turns} turns of the loop`);
  await api.service.stop({});
});

test('a gateway that stops does not wait for delayed turns', async () => {
  const api = makeApi();
  await api.service.start({});
  await collector.budget('slower', perAgent('patient', '1 calls', { action: 'delay', delay: '29s' }));
  await spend(api, 'patient', 1);
  const began = performance.now();
  const { ended } = await delayed(api, 'patient');
  await api.service.stop({});
  assert.equal(await ended, undefined);
  assert.ok(performance.now() - began < 20000);
});

test('what is spent while a turn waits stops it', async () => {
  const api = makeApi();
  await api.service.start({});
  await collector.budget('first', perAgent('crowd', '1 calls', { action: 'delay', delay: '2s' }));
  await spend(api, 'crowd', 1);
  const { ended } = await delayed(api, 'crowd');
  await collector.budget('second', perAgent('crowd', '1 calls'));
  const answer = await ended;
  assert.match(answer?.reply.text, /^budget second/);
  await api.service.stop({});
});

test('asking costs microseconds where nothing is to be said', async () => {
  const api = makeApi();
  await api.service.start({});
  const times = [];
  for (let n = 0; n < 5000; n++) {
    const began = performance.now();
    const answer = reply(api, turn('idle'));
    times.push((performance.now() - began) * 1000);
    assert.equal(answer, undefined);
  }
  const median = times.sort((a, b) => a - b)[times.length / 2];
  assert.ok(median < 100, `${median} µs`);
  await api.service.stop({});
});

test('enforce: false only meters', async () => {
  const api = makeApi({ enforce: false });
  assert.equal(api.handlers.before_agent_reply, undefined);
  assert.equal(api.handlers.before_model_resolve, undefined);
  assert.ok(api.handlers.model_call_ended);
});

test('without a collector every turn goes on', async () => {
  const api = makeApi({ endpoint: `ipc://${dir}/nobody.sock`, spoolDir: `${dir}/alone`, source: 'alone' });
  await api.service.start({});
  assert.equal(reply(api, turn('closing')), undefined);
  assert.equal(choose(api, turn('closing')), undefined);
  await api.service.stop({});
  assert.deepEqual(api.warnings, []);
});

test('hooks that carry rubbish are let go on', async () => {
  const api = makeApi();
  for (const name of ['before_agent_reply', 'before_model_resolve'])
    for (const event of [undefined, null, 5, 'x', {}, Object.freeze({}), { cleanedBody: {} }])
      for (const ctx of [
        undefined,
        null,
        {},
        5,
        { trigger: {}, runId: [], modelId: {}, sessionKey: 7, trace: 5 },
      ])
        assert.equal(api.handlers[name](event, ctx), undefined);
  await api.service.stop({});
});

/** In a process of its own, as each loads its addon once: what the plugin answers with this addon, and its warnings. */
function alone(addonPath) {
  const code = `
    const { default: plugin } = await import(${JSON.stringify(PLUGIN)});
    const handlers = {}, warnings = [];
    let service;
    plugin.register({
      pluginConfig: ${JSON.stringify({ endpoint: collector.endpoint, spoolDir: `${dir}/old`, source: 'old', addonPath })},
      logger: { warn: (text) => warnings.push(text) },
      on: (name, handler) => (handlers[name] = handler),
      registerService: (one) => (service = one),
    });
    await service.start({});
    const ctx = ${JSON.stringify(turn('closing'))};
    const answers = [handlers.before_agent_reply({}, ctx), handlers.before_model_resolve({}, ctx)];
    await service.stop({});
    console.log(JSON.stringify({ answers, warnings }));`;
  return JSON.parse(
    execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }),
  );
}

test('an addon that is missing or older than the gate changes nothing, and says so once', () => {
  writeFileSync(
    `${dir}/old.cjs`,
    `module.exports = { ...require(${JSON.stringify(TOLLGATE_ADDON)}), check: undefined };`,
  );
  const old = alone(`${dir}/old.cjs`);
  assert.deepEqual(old.answers, [null, null]);
  assert.deepEqual(old.warnings, ['tollgate: budgets are not enforced: the addon is older than the plugin']);
  const missing = alone(`${dir}/none.node`);
  assert.deepEqual(missing.answers, [null, null]);
  assert.equal(missing.warnings.length, 1);
  assert.match(missing.warnings[0], /events are not recorded/);
});
