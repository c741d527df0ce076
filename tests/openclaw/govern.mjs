/* SPDX-License-Identifier: MIT
 *
 * The gate in the real gateway: budgets of a real collector against turns on every surface, and what
 * the fake provider was asked. usage: govern.mjs BUILD (see run.sh)
 */
import { readFileSync } from 'node:fs';
import { SURFACES } from './lib/compare.mjs';
import { answeredBy, check, makeLab, say } from './lib/lab.mjs';
import { until } from './lib/process.mjs';

const lab = await makeLab(process.argv[2]);
const { provider, collector, gateway, settings, pluginConfig, on, request, seen } = lab;
const SENTENCE = /budget closing \(main\): 3 calls of 3 calls spent, opens \d{4}-\d\d-\d\d 00:00 UTC/;

const budget = (name, limit, more) =>
  collector.budget(name, {
    scope: { agent: 'main' },
    per: 'agent',
    limit,
    window: 'day',
    counts_from: 'now',
    alerts: [],
    ...more,
  });
const rows = async () => (await collector.events('dispatch')).filter((row) => row.status !== 'blocked');
const refusals = async () => (await collector.events('dispatch')).filter((row) => row.status === 'blocked');

/** Everything that the provider answered has its row: then the collector has counted it. */
const counted = () =>
  until('a row for every request', 30, async () => (await rows()).length >= provider.requests.length);

/** The collector's own view; the gateway's is what this test is about. */
const decided = (action, agent = 'main') =>
  until(`the collector says ${action}`, 10, async () => {
    const request = { agent_id: agent, provider: 'fake', model: 'fake-big' };
    return (await collector.check(request)).action === action;
  });

async function answers(what, surface, tag, ...more) {
  const answer = await on[surface](tag, ...more);
  check(`${what}: ${tag} is answered by the model`, answeredBy(answer));
  return answer;
}

/** The turn was answered with the sentence, and no provider was asked. */
async function refused(what, surface, tag, sentence, ...more) {
  const before = provider.requests.length,
    answer = await on[surface](tag, ...more);
  const seenThere = { status: answer.status ?? answer.code, text: sentence.exec(answer.text ?? '')?.[0] };
  say(`${tag}: ${JSON.stringify(seenThere)}`);
  check(`${what}: ${tag} is answered with the budget's sentence`, [
    ...(seenThere.text ? [] : [JSON.stringify(answer).slice(0, 400)]),
    ...(/answer \d/.test(answer.text) ? ['and the model has answered too'] : []),
    ...(request(tag) || provider.requests.length !== before ? ['the provider was asked'] : []),
  ]);
}

async function closing() {
  await budget('closing', '3 calls');
  for (const surface of ['cc', 'rs', 'ws']) await answers('before', surface, `${surface}-before`);
  await counted();
  await decided('block');
  for (const surface of Object.keys(on)) await refused('closed', surface, `${surface}-closed`, SENTENCE);
  await answers('closed', 'cc', 'cc-coder', 'say', { agent: 'coder' });
  const told = await until('an event for each refusal', 10, async () => {
    const found = await refusals();
    return found.length >= Object.keys(on).length && found;
  });
  const want = Object.keys(on).map((surface) => SURFACES[surface]);
  check('each refused turn is one event, with its surface', [
    ...(told
      .map((row) => row.surface)
      .sort()
      .join() === want.sort().join()
      ? []
      : [told.map((row) => row.surface).join()]),
    ...told
      .filter(
        (row) =>
          row.agent_id !== 'main' ||
          !row.session_id ||
          row.provider !== 'fake' ||
          row.model !== 'fake-big' ||
          row.trigger !== 'user' ||
          row.total_tokens !== undefined,
      )
      .map((row) => JSON.stringify(row)),
  ]);
  const sums = (await collector.usage('agent,status')).rows.filter((row) => row.status === 'blocked');
  check('usage shows the refused turns', sums.length === 1 && sums[0].calls === want.length);
  check('a refused turn counts in no budget', (await collector.check({ agent_id: 'main' })).spent === 3);
  check('no text left the gateway', !/please|größer/.test(JSON.stringify(told)));
  const lines = logged('block');
  check('the log names each session once', lines.length > 0 && new Set(lines).size === lines.length);
}

/** What the gateway's log says of such verdicts: a line is session and sentence. */
const logged = (action) =>
  [...readFileSync(gateway.logFile, 'utf8').matchAll(/tollgate: (\w+): session (.*)/g)]
    .filter((found) => found[1] === action)
    .map((found) => found[2]);

async function opening() {
  await collector.allow('closing', '2 calls');
  await decided('allow');
  for (const surface of ['rss', 'tg']) await answers('after an allowance', surface, `${surface}-allowed`);
  await counted();
  await decided('block');
  await refused('closed again', 'ccs', 'ccs-again', /budget closing \(main\): 5 calls of 5 calls spent/);
  await refused('closed again', 'tg', 'tg-again', /budget closing \(main\): 5 calls of 5 calls spent/);
  await collector.drop('closing');
  await decided('allow');
  await answers('without the budget', 'agent', 'agent-free');
  await counted();
}

async function cheaper() {
  await budget('cheap', '1 calls', { action: 'downgrade', use: { model: 'fake-small' } });
  await answers('before', 'rs', 'rs-dear');
  check('… by the model it asks for', request('rs-dear')?.model === 'fake-big');
  await counted();
  await decided('downgrade');
  for (const surface of Object.keys(on)) {
    await answers('downgraded', surface, `${surface}-cheap`);
    check('… by the cheaper model', request(`${surface}-cheap`)?.model === 'fake-small');
  }
  await budget('cheap', '1 calls', { action: 'downgrade', use: { model: 'claude/fake-claude' } });
  await counted();
  for (const surface of ['cc', 'tg']) {
    await answers('another provider', surface, `${surface}-other`);
    const asked = request(`${surface}-other`);
    check('… by its model', asked?.model === 'fake-claude' && asked.anthropic);
  }
  await counted();
  const last = (await rows()).slice(-2);
  check(
    'the rows name what was taken',
    last.every((row) => row.provider === 'claude' && row.model === 'fake-claude'),
  );
  await collector.drop('cheap');
  await decided('allow');
}

async function slower() {
  await budget('slow', '1 calls', { action: 'delay', delay: '3s' });
  await answers('before', 'cc', 'cc-quick');
  await counted();
  await decided('delay');
  const began = Date.now(),
    delayed = on.cc('cc-slow');
  await answers('meanwhile', 'rs', 'rs-coder', 'say', { agent: 'coder' });
  check('another agent does not wait', !request('cc-slow'));
  check('a delayed turn is answered', answeredBy(await delayed));
  check('… after the delay', request('cc-slow').at - began >= 3000 && request('cc-slow').at - began < 10000);
  await collector.drop('slow');
  await decided('allow');
  await budget('low', '1 calls', { action: 'alert' });
  await answers('before', 'cc', 'cc-warn');
  await counted();
  await decided('warn');
  for (const surface of ['cc', 'rs']) await answers('warned', surface, `${surface}-warned`);
  await until('a line in the log', 10, () => logged('warn').length > 0);
  await collector.drop('low');
}

/* A sub-agent is a turn of its own, and so is telling its parent: both ask. */
async function subagents() {
  const kids = () => provider.requests.filter((one) => one.tag === 'kid-1').length;
  const refusedKids = async () => (await refusals()).filter((row) => row.trigger === 'subagent').length;
  const scope = { trigger: 'subagent' };
  await collector.budget('kids', { scope, limit: '1 calls', window: 'day', counts_from: 'now', alerts: [] });
  await answers('a sub-agent within its budget', 'ws', 'ws-parent', 'spawn', {
    session: 'agent:main:parent',
  });
  await seen('kid-1');
  await until('it has told its parent', 30, async () => (await refusedKids()) === 1);
  await counted();
  await answers('its parent', 'ws', 'ws-parents', 'spawn', { session: 'agent:main:parents' });
  await until('the next one is refused', 30, async () => (await refusedKids()) >= 2);
  check('a sub-agent over its budget asks no provider', kids() === 1);
  await collector.drop('kids');
}

async function openWithout() {
  await budget('last', '1 calls');
  await answers('enforced', 'cc', 'cc-last');
  await counted();
  await decided('block');
  await gateway.stop('SIGTERM');
  settings.plugins.tollgate = { ...pluginConfig, enforce: false };
  await gateway.start();
  for (const surface of ['cc', 'tg']) await answers('enforce: false', surface, `${surface}-metered`);
  await counted();
  check(
    '… and it is metered',
    (await rows()).some((row) => row.span_id === request('tg-metered').spanId),
  );
  await gateway.stop('SIGTERM');

  await collector.budget('careful', {
    scope: { agent: 'coder' },
    limit: '9 calls',
    window: 'day',
    on_error: 'closed',
  });
  settings.plugins.tollgate = pluginConfig;
  await gateway.start();
  await refused('enforced again', 'rs', 'rs-enforced', /budget last \(main\): /);
  await answers('enforced again', 'cc', 'cc-careful', 'say', { agent: 'coder' });
  await collector.stop();
  await refused('the collector has just gone', 'cc', 'cc-gone', /budget last \(main\): /);
  const same = { session: 'agent:main:gone' };
  await until(
    'its verdicts hold no more',
    60,
    async () => answeredBy(await on.cc('cc-gone', 'say', same)).length === 0,
  );
  for (const surface of Object.keys(on)) await answers('no collector', surface, `${surface}-alone`);
  const closed = /budget careful: the collector cannot be asked/;
  await refused('no collector, on_error: closed', 'rss', 'rss-closed', closed, 'say', { agent: 'coder' });
  await gateway.stop('SIGTERM');
}

await lab.run(async () => {
  await collector.start();
  await gateway.start();
  say('collector and gateway are up');
  await answers('no budget', 'cc', 'cc-none');
  await closing();
  await opening();
  await cheaper();
  await slower();
  await subagents();
  await openWithout();
});
