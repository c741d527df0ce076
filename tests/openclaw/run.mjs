/* SPDX-License-Identifier: MIT
 *
 * The real gateway, driven on every surface and through every failure, compared call by call with
 * what the fake provider counted. usage: run.mjs BUILD (see run.sh)
 */
import { readFileSync, readdirSync } from 'node:fs';
import * as compare from './lib/compare.mjs';
import { answeredBy, check, makeLab, say } from './lib/lab.mjs';
import { until } from './lib/process.mjs';

const lab = await makeLab(process.argv[2]);
const { dir, provider, collector, gateway, settings, pluginConfig, on, hooks, request, seen } = lab;
/* The pages of verdicts beside them stay. */
const spools = () => readdirSync(lab.spool).filter((name) => !name.endsWith('.verdicts'));
const SESSION = (name) => ({ session: `agent:main:${name}` });

/** Every request that has ended has its row (those of `lost` never will). */
async function settled() {
  const want = () => provider.requests.filter((one) => !one.lost).length;
  await until(
    'a row for every request',
    30,
    async () => (await collector.events('dispatch')).length >= want(),
  ).catch(() => {});
  await until(
    'an event for every hook',
    10,
    async () => compare.compareMessages(hooks(), await collector.events('message')).length === 0,
  ).catch(() => {});
}

/** What the diagnostics knew: compactions have no other source of usage. */
function mark(diagnosed) {
  for (const one of provider.requests) one.diagnosed ??= diagnosed;
}

/** What only the gateway knows of a request: nobody asked for it, or its answer is never written. */
function explain(rows) {
  const bySpan = new Map(rows.map((row) => [row.span_id, row]));
  for (const one of provider.requests) {
    const row = bySpan.get(one.spanId);
    one.unseen = row?.trigger === 'compaction';
    one.unasked = one.unseen || row?.trigger === 'subagent';
    if (one.tag === 'cc-flying' && !one.lost) one.tag = undefined; /* resumed by the gateway on its own */
  }
}

async function compareAll(when) {
  await settled();
  const rows = await collector.events('dispatch'),
    { requests } = provider;
  explain(rows);
  console.log(compare.summary(requests, rows));
  check(
    `${when}: ${requests.length} requests, each one row, token by token`,
    compare.compareCalls(requests, rows),
  );
  check(`${when}: attempts are numbered`, compare.compareAttempts(rows));
  check(
    `${when}: GET /v1/usage by surface, model and status`,
    compare.compareUsage(requests, await collector.usage('surface,model,status'), rows),
  );
  const seenHooks = hooks(),
    messages = await collector.events('message');
  check(
    `${when}: ${messages.length} message events, one for each hook`,
    compare.compareMessages(seenHooks, messages),
  );
  check(
    '… and the comparison would notice a token more, a row too few, a row twice',
    [
      compare.compareCalls(
        requests,
        rows.map((row, i) => (i === 0 ? { ...row, prompt_tokens: row.prompt_tokens + 1 } : row)),
      ),
      compare.compareCalls(requests, rows.slice(1)),
      compare.compareCalls(requests, [...rows, rows[0]]),
    ].every((found) => found.length === 1),
  );
  check(
    `${when}: no text left the gateway`,
    !/größer|please|fake 4|fake 5/.test(JSON.stringify([rows, messages])),
  );
  return rows;
}

async function everySurface(round) {
  for (const [name, ask] of Object.entries(on))
    check(`${name} answers (${round})`, answeredBy(await ask(`${name}-${round}`)));
}

/* Failures that take minutes: the gateway tries again and again. They run beside everything else. */
function storms() {
  return Promise.all([
    on.cc('cc-429', 'http:429', SESSION('s429')),
    on.rs('rs-500', 'http:500', SESSION('s500')),
    on.rss('rss-cut', 'cut', SESSION('scut')),
    on.cc('cc-stall', 'stall', SESSION('sstall')),
    on.ccs('ccs-claudecut', 'cut', { ...SESSION('sclaudecut'), as: 'claude/fake-claude' }),
  ]);
}

async function toolsAndModels() {
  for (const [surface, action, more] of [
    ['cc', 'tool:3'],
    ['ccs', 'tool:2'],
    ['rss', 'tool:1'],
    ['ws', 'tool:2'],
    ['tg', 'tool:1'],
    ['rs', 'say', { as: 'fake/fake-small' }],
    ['cc', 'say', { as: 'fake/fake-free' }],
    ['cc', 'say', { as: 'claude/fake-claude' }],
    ['ccs', 'say', { as: 'claude/fake-claude' }],
    ['rs', 'nousage'],
    ['cc', 'model'],
    ['cc', 'think'],
    ['rs', 'id', SESSION('sid')],
    ['rs', 'id', SESSION('sid')],
  ])
    check(
      `${surface} ${action} ${more?.as ?? ''}`,
      answeredBy(await on[surface](`${surface}-more`, action, more)),
    );
  await Promise.all([1, 2, 3, 4, 5, 6].map((n) => on.cc('cc-parallel', 'tool:2', SESSION(`parallel${n}`))));
  check('another agent', answeredBy(await on.cc('cc-coder', 'say', { agent: 'coder' })));
}

async function quickFailures() {
  check('a 400 reaches the caller', (await on.rs('rs-400', 'http:400')).status >= 400);
  check(
    'a caller goes away',
    (await on.ccs('ccs-abort', 'stall', { leave: 2000, ...SESSION('sgone') })).gone,
  );
  const end = await on.ws('ws-abort', 'slow:60000', {
    session: 'agent:main:sabort',
    abortWhen: () => seen('ws-abort'),
  });
  check('chat.abort ends the chat', end.status === 'aborted');
}

async function subagents() {
  const session = 'agent:main:parent';
  const told = () =>
    hooks().filter((hook) => hook.name === 'agent_end' && hook.runId?.startsWith('announce:')).length;
  const already = told();
  await on.ws('ws-parent', 'spawn', { session });
  await until('the sub-agent has told its parent', 30, () => told() > already);
  const before = provider.requests.length;
  await on.ws('', '', { session, text: '/compact' });
  check('a compaction asks the model', provider.requests.length > before);
}

async function collectorAway() {
  await collector.stop();
  check('the gateway answers while the collector is away', [
    ...answeredBy(await on.cc('cc-away')),
    ...answeredBy(await on.tg('tg-away')),
  ]);
  await collector.start();
  await until('the events of that time', 30, async () =>
    (await collector.events('dispatch')).some((row) => row.span_id === request('tg-away').spanId),
  );
}

async function killedGateway() {
  await collector.stop();
  for (const name of ['cc', 'ws', 'tg']) await on[name](`${name}-killed`);
  const flying = on.cc('cc-flying', 'slow:60000', SESSION('sflying')).catch(() => {});
  (await seen('cc-flying')).lost = true; /* the call had not ended: there is nothing to tell */
  await gateway.stop('SIGKILL');
  await flying;
  check('a spool is left over', spools().length > 0);
  await collector.start();
  await gateway.start({ diagnostics: false, access: false });
  for (const name of ['cc', 'rs'])
    check(`${name} answers (after the kill)`, answeredBy(await on[name](`${name}-reborn`)));
}

async function main() {
  await collector.start();
  await gateway.start();
  say('collector and gateway are up');
  const storm = storms();
  await everySurface('one');
  await toolsAndModels();
  await quickFailures();
  await subagents();
  await collectorAway();
  say('waiting for the storms');
  await storm;
  const tries = (tag) => provider.requests.filter((one) => one.tag === tag).length;
  check(
    'the gateway tried again after 429, 500 and cut streams',
    ['cc-429', 'rs-500', 'rss-cut', 'ccs-claudecut'].every((tag) => tries(tag) > 3),
  );
  mark(true);
  const rows = await compareAll('with diagnostics');
  const kid = rows.find((row) => row.trigger === 'subagent' && row.parent_session_id);
  check('a sub-agent names its parent', kid && rows.some((row) => row.session_id === kid.parent_session_id));
  const last = on.cc('cc-last', 'slow:3000');
  await seen('cc-last');
  await gateway.stop('SIGTERM');
  check('a call that was under way at the stop is answered', answeredBy(await last));
  check('a clean stop leaves no spool', spools());
  check(
    "the report's counters are what the recorder saw",
    compare.compareCounters(
      hooks(),
      (await collector.events('report')).filter((one) => one.source === 'gateway-under-test'),
    ),
  );

  await gateway.start({ diagnostics: false });
  say('the gateway is up again, without diagnostics');
  await everySurface('two');
  check('a 400 reaches the caller', (await on.cc('cc-400b', 'http:400')).status >= 400);
  await subagents();
  await killedGateway();
  mark(false);
  await compareAll('without diagnostics, killed and adopted');
  await gateway.stop('SIGTERM');

  settings.plugins.tollgate = { ...pluginConfig, addonPath: `${dir}/no-such.node` };
  const before = (await collector.events('all')).length;
  await gateway.start();
  check('the gateway answers without the addon', answeredBy(await on.cc('cc-noaddon')));
  await gateway.stop('SIGTERM');
  check(
    '… and says so once',
    readFileSync(gateway.logFile, 'utf8').split('tollgate: events are not recorded').length === 2,
  );
  check('… and nothing arrives', (await collector.events('dispatch')).length <= before);
  await collector.stop();
}

await lab.run(main);
