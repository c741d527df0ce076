/* SPDX-License-Identifier: MIT
 *
 * The addon with the real library under it and a real collector behind it.
 * TOLLGATE_ADDON names the addon, TOLLGATED the collector's program.
 */
import test from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { Emitter, Result, addon, strerror, usageOpenclaw } from '../../emitter/bindings/node/index.js';
import { makeCollector } from './lib/collector.mjs';
import { killAll } from './lib/process.mjs';

const dir = mkdtempSync(`${tmpdir()}/tollgate-addon-`);
const collector = await makeCollector(process.env.TOLLGATED, dir);
await collector.start();
test.after(async () => {
  await killAll();
  rmSync(dir, { recursive: true });
});

const options = (more) => ({
  endpoint: collector.endpoint,
  source: 'addon-test',
  spool_dir: `${dir}/spool`,
  ...more,
});
const eventDef = readFileSync(new URL('../../schema/event.def', import.meta.url), 'utf8');
const fieldsOf = (...macros) =>
  macros.flatMap((macro) =>
    [...eventDef.matchAll(new RegExp(`^${macro}\\((\\w+)\\)`, 'gm'))].map((m) => m[1]),
  );
const CODES = { trigger: 'cron', granularity: 'run', status: 'timeout', outcome: 'rewritten' };

/** An event with every field of event.def set, each to another value. */
function full(macros, start) {
  const event = {};
  fieldsOf(...macros.filter((macro) => /TEXT|ENUM|NUM/.test(macro))).forEach((name, i) => {
    event[name] = CODES[name] ?? `${name} ä ${i}`;
  });
  fieldsOf(...macros.filter((macro) => macro.endsWith('_NUM'))).forEach((name, i) => {
    event[name] = start + i;
  });
  return event;
}

const HEAD = ['TG_HEAD_TEXT', 'TG_DIMS_TEXT', 'TG_DIMS_ENUM'];

test('every field of a dispatch arrives as it was given', async () => {
  const emitter = new Emitter(options());
  const event = {
    ...full([...HEAD, 'TG_DISPATCH_TEXT', 'TG_DISPATCH_NUM'], 100),
    http_status: 503,
    partial: 1,
    tags: { b: 'two', a: 'één' },
    ts_ms: Date.now(),
  };
  assert.equal(emitter.dispatch(event), Result.OK);
  assert.equal(await emitter.flush(5000), Result.OK);
  const [row] = await collector.events('dispatch');
  for (const [name, value] of Object.entries(event)) {
    if (name === 'partial') assert.ok(row.partial === 1 || row.partial === true);
    else assert.deepEqual(row[name], value, name);
  }
  await emitter.close(1000);
});

test('every field of a message arrives as it was given', async () => {
  const emitter = new Emitter(options());
  const { provider, model, requested_model, lane, trigger, granularity, status, ...event } = full(
    [...HEAD, 'TG_MESSAGE_TEXT', 'TG_MESSAGE_ENUM', 'TG_MESSAGE_NUM'],
    7,
  );
  Object.assign(event, {
    kind: 'message_sent',
    tags: { a: '1' },
    ts_ms: Date.now(),
    event_id: Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
  });
  assert.equal(emitter.message(event), Result.OK);
  assert.equal(await emitter.flush(5000), Result.OK);
  const [row] = await collector.events('message');
  assert.equal(row.event_id, event.event_id.toString('hex'));
  delete event.event_id;
  for (const [name, value] of Object.entries(event)) assert.deepEqual(row[name], value, name);
  await emitter.close(1000);
});

test('unknown stays unknown, and 0 stays 0', async () => {
  const emitter = new Emitter(options());
  emitter.dispatch({
    span_id: 'zero',
    prompt_tokens: 0,
    completion_tokens: undefined,
    latency_ms: null,
    total_tokens: -1,
    status: 'unknown',
    trigger: 0,
  });
  await emitter.flush(5000);
  const row = (await collector.events('dispatch')).find((one) => one.span_id === 'zero');
  assert.equal(row.prompt_tokens, 0);
  for (const name of ['completion_tokens', 'latency_ms', 'total_tokens', 'status', 'trigger'])
    assert.equal(row[name], undefined, name);
  await emitter.close(1000);
});

test('a wrong type is a TypeError that names the property, and nothing is emitted', async () => {
  const emitter = new Emitter(options());
  const emitted = () => emitter.stats().emitted;
  const before = emitted();
  const wrong = [
    [{ model: 5 }, /model must be a string/],
    [{ model: {} }, /model/],
    [{ prompt_tokens: '5' }, /prompt_tokens must be a number/],
    [{ prompt_tokens: 1.5 }, /prompt_tokens must be a whole number/],
    [{ latency_ms: NaN }, /latency_ms/],
    [{ latency_ms: Infinity }, /latency_ms/],
    [{ status: 'fine' }, /status must be one of its codes/],
    [{ status: {} }, /status/],
    [{ trigger: 99 }, /trigger/],
    [{ tags: 'x' }, /tags/],
    [{ tags: { a: 1 } }, /tags/],
    [{ tags: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`t${i}`, 'x'])) }, /tags/],
    [{ event_id: Buffer.alloc(15) }, /event_id/],
    [{ event_id: 'abc' }, /event_id/],
    [{ prompt_tokens: 1n }, /prompt_tokens/],
  ];
  for (const [event, message] of wrong)
    assert.throws(
      () => emitter.dispatch(event),
      (error) => error instanceof TypeError && message.test(error.message),
      JSON.stringify(Object.keys(event)),
    );
  for (const event of [null, undefined, 5, 'x']) assert.throws(() => emitter.dispatch(event), TypeError);
  assert.throws(
    () =>
      emitter.dispatch({
        get model() {
          throw new RangeError('mine');
        },
      }),
    RangeError,
  );
  assert.throws(() => emitter.message({ bytes: 'x' }), /bytes/);
  assert.throws(() => emitter.count(5, null, 1), /name/);
  assert.throws(() => emitter.count('x', null, 'y'), /n must be/);
  assert.throws(() => new Emitter({ source: 5 }), /source/);
  assert.throws(() => new Emitter({ mode: 'fast' }), /mode/);
  assert.throws(() => emitter.flush('x'), /timeout_ms/);
  assert.throws(() => emitter.flush(-1e10 * 1e10), /timeout_ms/);
  for (const handle of [undefined, {}, 5, Buffer.alloc(8)])
    assert.throws(() => addon().dispatch(handle, {}), /handle/);
  assert.equal(emitted(), before);
  assert.equal(emitter.message({}), Result.INVALID);
  await emitter.close(1000);
});

test('a string that is too long is cut at a character and counted', async () => {
  const emitter = new Emitter(options());
  emitter.dispatch({
    span_id: 'long',
    model: 'ü'.repeat(500),
    agent_id: 'x'.repeat(255),
    user_id: 'x'.repeat(256),
    lane: 'a' + '\u{1F600}'.repeat(100),
  });
  assert.equal(emitter.stats().truncated, 3);
  await emitter.flush(5000);
  const row = (await collector.events('dispatch')).find((one) => one.span_id === 'long');
  assert.deepEqual(
    [row.model, row.agent_id, row.user_id, row.lane],
    ['ü'.repeat(127), 'x'.repeat(255), 'x'.repeat(255), 'a' + '\u{1F600}'.repeat(63)],
  );
  await emitter.close(1000);
});

test('flush and close do not block the event loop, and close waits for the flushes', async () => {
  const emitter = new Emitter(options({ endpoint: `ipc://${dir}/nobody.sock`, source: 'nobody' }));
  emitter.dispatch({ span_id: 'nobody' });
  let turns = 0;
  const timer = setInterval(() => turns++, 5);
  const flush = emitter.flush(300),
    close = emitter.close(0);
  assert.equal(emitter.dispatch({}), Result.CLOSED);
  assert.equal(emitter.stats(), null);
  assert.equal(await emitter.flush(1), Result.CLOSED);
  assert.deepEqual(await Promise.all([flush, close]), [Result.TIMEOUT, Result.TIMEOUT]);
  clearInterval(timer);
  assert.ok(turns > 1);
  assert.equal(await emitter.close(0), Result.OK);
  assert.equal(
    readdirSync(`${dir}/spool`).filter((name) => name.startsWith('nobody.')).length,
    1,
    'what was not sent stays',
  );
});

test('before a call: memory answers at once, the collector from beside the event loop', async () => {
  const emitter = new Emitter(options({ endpoint: `ipc://${dir}/nobody.sock`, source: 'asker' }));
  const request = { agent_id: 'a', session_id: 's', model: 'm', trigger: 'cron', tags: { team: 'x' } };
  assert.deepEqual(emitter.check(request), { action: 'allow', stale: true });
  assert.throws(() => emitter.check({ ...request, model: 7 }), /model must be a string/);
  assert.throws(() => emitter.check({ ...request, tags: { a: 1 } }), /tags must be/);
  assert.throws(() => emitter.check(), /request must be an object/);
  let turns = 0;
  const timer = setInterval(() => turns++, 10);
  const lost = await emitter.admit(request, { timeout_ms: 300 });
  clearInterval(timer);
  assert.ok(turns > 1);
  assert.equal(lost.result, Result.UNREACHABLE);
  assert.deepEqual(lost.verdict, { action: 'allow', stale: true });
  assert.match(lost.id, /^[0-9a-f]{32}$/);
  assert.equal('reserved_nanousd' in lost, false);
  const again = await emitter.admit(request, { timeout_ms: 0, id: lost.id });
  assert.equal(again.id, lost.id);
  assert.equal((await emitter.admit(request, { ttl_ms: 1 })).result, Result.INVALID);
  assert.throws(() => emitter.admit(request, { id: 'i'.repeat(40) }), /id must be/);
  assert.equal(await emitter.settle(lost.id, { prompt_tokens: 5 }, 0), Result.UNREACHABLE);
  assert.equal(await emitter.settle(lost.id, null, 0), Result.UNREACHABLE);
  assert.equal(await emitter.settle('', null, 0), Result.INVALID);
  assert.equal(emitter.stats().unanswered, 4);
  const waiting = emitter.admit(request, { timeout_ms: 200 });
  const closed = emitter.close(0); /* comes after the question */
  assert.equal(emitter.check(request), null);
  assert.deepEqual(await emitter.admit(request), { result: Result.CLOSED });
  assert.equal((await waiting).result, Result.UNREACHABLE);
  await closed;
});

test('the counters travel with the report', async () => {
  const emitter = new Emitter(options({ source: 'counting', gateway: 'g', gateway_version: '1' }));
  emitter.count('hook.x', 'tele', 2);
  emitter.count('hook.x', 'tele');
  emitter.count('plain');
  assert.equal(await emitter.close(5000), Result.OK);
  const report = (await collector.events('report')).filter((one) => one.source === 'counting').at(-1);
  assert.deepEqual(report.body.counters, { 'hook.x{tele}': 3, plain: 1 });
});

test('an emitter that is never closed does not keep the process, nor harm its end', () => {
  const code = `import { Emitter } from '${new URL('../../emitter/bindings/node/index.js', import.meta.url)}';
    const e = new Emitter(${JSON.stringify(options({ source: 'left' }))}); e.dispatch({ span_id: 'left' }); e.flush(50);`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' }), '');
});

test('usage and errors in words', () => {
  assert.deepEqual(usageOpenclaw({ input: 5, output: 2, cacheRead: 3, cacheWrite: 1, totalTokens: 11 }), {
    prompt_tokens: 9,
    completion_tokens: 2,
    total_tokens: 11,
    cached_tokens: 3,
    cache_write_tokens: 1,
  });
  assert.deepEqual(usageOpenclaw({ input: 5 }), {});
  assert.match(strerror(Result.FULL), /spool/);
});
