/* SPDX-License-Identifier: MIT
 *
 * Child processes, ports and waiting. Every child is in one list, so that none outlives the test.
 */
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import net from 'node:net';

const children = new Set();

/** Starts a program with its output in logFile. */
export function start(program, args, { logFile, ...options }) {
  const log = openSync(logFile, 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], ...options });
  child.logFile = logFile;
  child.ended = new Promise((resolve) =>
    child.once('exit', (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    }),
  );
  child.once('error', () => children.delete(child));
  children.add(child);
  return child;
}

export async function stop(child, signal = 'SIGTERM') {
  child.kill(signal);
  return child.ended;
}

export function killAll() {
  for (const child of children) child.kill('SIGKILL');
  return Promise.all([...children].map((child) => child.ended));
}

export const tail = (file, lines = 30) => readFileSync(file, 'utf8').split('\n').slice(-lines).join('\n');

/** A port that is free now. */
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Until check() is truthy; its value. Looks often, and gives up with `what` after seconds. */
export async function until(what, seconds, check) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await Promise.resolve()
      .then(check)
      .catch(() => undefined);
    if (value) return value;
    if (Date.now() > end) throw new Error(`gave up after ${seconds} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Until url answers 200 or the child is dead. */
export function healthy(child, url, seconds) {
  return until(url, seconds, async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('dead');
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  }).catch((error) => {
    throw new Error(`${error.message}\n${tail(child.logFile)}`);
  });
}
