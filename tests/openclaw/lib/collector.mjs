/* SPDX-License-Identifier: MIT
 *
 * A real collector in a directory of its own, started and stopped as the test likes, and what it
 * answers.
 */
import { writeFileSync } from 'node:fs';
import { freePort, healthy, start, stop } from './process.mjs';

export async function makeCollector(program, dir) {
  const port = await freePort(),
    url = `http://127.0.0.1:${port}`;
  const endpoint = `ipc://${dir}/events.sock`;
  writeFileSync(
    `${dir}/tollgate.yaml`,
    `listen:\n  events: ["${endpoint}"]\n  http: "127.0.0.1:${port}"\ndatabase:\n  path: "${dir}/tollgate.db"\n`,
  );
  const logFile = `${dir}/collector.log`;
  let child;

  async function ask(method, path, body) {
    const headers = { connection: 'close', ...(body && { 'content-type': 'application/json' }) };
    const response = await fetch(url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text;
  }
  const get = (path) => ask('GET', path);

  return {
    endpoint,
    logFile,
    async start() {
      child = start(program, ['-c', `${dir}/tollgate.yaml`], { logFile });
      await healthy(child, `${url}/readyz`, 20);
    },
    stop: () => stop(child),
    /** All events of a kind, as objects, in order of arrival. */
    async events(kind) {
      const text = await get(`/v1/events?kind=${kind}&order=asc&format=ndjson`);
      return text
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line));
    },
    usage: async (groups) => JSON.parse(await get(`/v1/usage?from=-2h&limit=10000&group_by=${groups}`)),
    metrics: () => get('/metrics'),
    /** Makes a budget of the name, and takes it away. */
    budget: (name, definition) => ask('PUT', `/v1/budgets/${name}`, definition),
    drop: (name) => ask('DELETE', `/v1/budgets/${name}`),
    allow: (budget, amount) =>
      ask('POST', '/v1/allowances', { budget, amount, for: '1h', reason: 'a test', author: 'test' }),
    /** What the collector itself says of a request. */
    check: async (request) => JSON.parse(await ask('POST', '/v1/check', request)),
  };
}
