/* SPDX-License-Identifier: MIT
 *
 * A collector, a provider, a channel and the gateway with the plugin, in a directory of their own, and
 * the list of what was compared. One per program: run.mjs, govern.mjs.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { makeCollector } from './collector.mjs';
import { surfaces } from './drive.mjs';
import { makeGateway } from './gateway.mjs';
import { killAll, tail, until } from './process.mjs';
import { startProvider } from './provider.mjs';
import { startTelegram } from './telegram.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const began = Date.now();
let passed = 0,
  failed = 0;

export function say(text) {
  console.log(`${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${text}`);
}

/** One thing that was compared. `differences` is a list, or a truth. */
export function check(name, differences) {
  const list = Array.isArray(differences) ? differences : differences ? [] : ['it is not so'];
  if (list.length === 0) passed++;
  else failed++;
  say(`${list.length === 0 ? 'ok      ' : 'FAILED  '}${name}`);
  for (const line of list.slice(0, 12)) console.log(`          ${line}`);
  if (list.length > 12) console.log(`          … and ${list.length - 12} more`);
}

/** The caller saw the model's answer: nothing to say; else what it saw instead. */
export const answeredBy = (answer) =>
  /answer \d+/.test(answer.text ?? '') ? [] : [JSON.stringify(answer).slice(0, 300)];

export async function makeLab(build) {
  const dir = mkdtempSync(`${tmpdir()}/tollgate-oc-`),
    spool = `${dir}/spool`,
    recorded = `${dir}/hooks.jsonl`;
  mkdirSync(spool, { mode: 0o700 });
  const provider = await startProvider(),
    telegram = await startTelegram(),
    collector = await makeCollector(`${build}/tollgated`, dir);
  const pluginConfig = {
    endpoint: collector.endpoint,
    source: 'gateway-under-test',
    spoolDir: spool,
    addonPath: `${build}/tollgate.node`,
  };
  const settings = {
    node: process.execPath,
    openclaw: `${build}/openclaw/app/node_modules/openclaw/openclaw.mjs`,
    dir,
    provider,
    telegram,
    plugin: here('../../../emitter/openclaw'),
    recorder: here('../recorder'),
    plugins: { tollgate: pluginConfig, recorder: { path: recorded } },
  };
  const gateway = await makeGateway(settings);
  const request = (tag) => provider.requests.find((one) => one.tag === tag);
  return {
    dir,
    spool,
    provider,
    collector,
    gateway,
    settings,
    pluginConfig,
    on: surfaces(gateway, telegram),
    request,
    seen: (tag) => until(`the provider sees ${tag}`, 30, () => request(tag)),
    /** What the recorder has written down. */
    hooks: () =>
      existsSync(recorded)
        ? readFileSync(recorded, 'utf8')
            .split('\n')
            .filter(Boolean)
            .map((line) => JSON.parse(line))
        : [],
    /** Runs the test, takes everything away, and ends the process. */
    async run(main) {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
        process.on(signal, async () => {
          await killAll();
          rmSync(dir, { recursive: true, force: true });
          process.exit(1);
        });
      try {
        await main();
      } catch (error) {
        check(`the test ran: ${error.stack} ${error.cause?.stack ?? ''}`, false);
        for (const file of [gateway.logFile, collector.logFile])
          if (existsSync(file)) console.log(tail(file));
      }
      await killAll();
      provider.close();
      telegram.close();
      if (failed === 0 || !process.env.KEEP) rmSync(dir, { recursive: true, force: true });
      console.log(`${passed} passed, ${failed} failed`);
      process.exit(failed === 0 ? 0 : 1);
    },
  };
}
