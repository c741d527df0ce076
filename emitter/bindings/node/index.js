/* SPDX-License-Identifier: MIT
 *
 * Tollgate for Node.js: a class around the addon. Names of fields are those of schema/event.def.
 *
 *     import { Emitter } from './index.js';
 *     const tollgate = new Emitter({ source: 'my-gateway' });
 *     tollgate.dispatch({ session_id: 's-42', provider: 'anthropic', model: 'claude-sonnet-4-5',
 *                         prompt_tokens: 1200, completion_tokens: 310, latency_ms: 840, status: 'ok' });
 *     await tollgate.close(1000);
 */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const PLACES = [
  fileURLToPath(new URL('tollgate.node', import.meta.url)),
  '/usr/local/lib/tollgate/tollgate.node',
  '/usr/lib/tollgate/tollgate.node',
];

/** What a function answers, as in tollgate.h. @enum {number} */
export const Result = Object.freeze({
  OK: 0,
  INVALID: 1,
  NOMEM: 2,
  FULL: 3,
  FORKED: 4,
  TIMEOUT: 5,
  CLOSED: 6,
  UNREACHABLE: 7,
  UNSUPPORTED: 8,
  BUSY: 9,
  REFUSED: 10,
});

let loaded;

/**
 * The addon itself. It is loaded once in a process: from $TOLLGATE_ADDON, or from the first of
 * the usual places that has it.
 */
export function addon() {
  return (loaded ??= createRequire(import.meta.url)(
    process.env.TOLLGATE_ADDON ?? PLACES.find(existsSync) ?? PLACES[1],
  ));
}

/** An emitter. dispatch, message and count neither block nor allocate; flush and close do not block the event loop. */
export class Emitter {
  #handle;

  /** @param {object} [options] see index.d.ts. Throws if there is no memory or an option is out of its range. */
  constructor(options = {}) {
    this.#handle = addon().open(options);
  }

  /** A finished model call. @returns {number} a Result: 0, or why the event was dropped */
  dispatch(event) {
    return addon().dispatch(this.#handle, event);
  }

  /** A step in a message's life. @returns {number} a Result */
  message(event) {
    return addon().message(this.#handle, event);
  }

  /** What to do with a call that is about to be made, from memory. @returns {object | null} a Verdict; null once closed */
  check(request) {
    return addon().check(this.#handle, request);
  }

  /**
   * Asks the collector to set the money for one call aside, on a thread of libuv's pool (of which there are
   * few: keep the timeout short). @returns {Promise<object>} an Admission
   */
  admit(request, { timeout_ms = 1000, ttl_ms, id } = {}) {
    return addon().admit(this.#handle, timeout_ms, request, ttl_ms, id);
  }

  /** Of a call that no event will tell of; usage null: it was not made. @returns {Promise<number>} a Result */
  settle(id, usage = null, timeoutMs = 1000) {
    return addon().settle(this.#handle, timeoutMs, id, usage);
  }

  /** Adds n to a counter that travels with the emitter's reports. @returns {number} a Result */
  count(name, label = null, n = 1) {
    return addon().count(this.#handle, name, label, n);
  }

  /** What became of the events so far; null once closed. */
  stats() {
    return addon().stats(this.#handle);
  }

  /** Until everything emitted before is on the collector's disk. @returns {Promise<number>} OK, TIMEOUT or CLOSED */
  flush(timeoutMs) {
    return addon().flush(this.#handle, timeoutMs);
  }

  /** Waits for the receipts, then ends. What is not settled by then stays in the spool. @returns {Promise<number>} */
  close(timeoutMs) {
    return addon().close(this.#handle, timeoutMs);
  }
}

/** OpenClaw's usage in this library's convention: { prompt_tokens, … }, without what is unknown. */
export function usageOpenclaw({ input, output, cacheRead, cacheWrite, totalTokens } = {}) {
  return addon().usageOpenclaw(input, output, cacheRead, cacheWrite, totalTokens);
}

/** A Result in words. */
export function strerror(result) {
  return addon().strerror(result);
}
