/* SPDX-License-Identifier: MIT
 *
 * hub.js: the one emitter of this process, and the join that feeds it.
 *
 * The gateway imports a plugin several times, each time as another module with its own variables,
 * and registers it in each: they share one Hub, on globalThis. The addon is loaded once, from a
 * fixed path: two copies of it would be two libraries that know nothing of each other.
 *
 * States: idle -> open (start, or the first event) -> idle (stop); an event after stop opens
 * again, so that what ends while the gateway stops is in the spool for the next start. -> dead
 * where the addon is missing or no emitter can be opened: one warning, and nothing from then on,
 * until the next start.
 *
 * The gate (gate.js) is there where the addon can answer it; else every turn goes on.
 *
 * Nothing here throws into the gateway, waits (but stop, for STOP_MS, and a turn that a verdict
 * delays) or keeps the process alive.
 */
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join as path } from 'node:path';
import { providersOf } from './convert.js';
import { Gate } from './gate.js';
import { Join } from './join.js';

const STOP_MS = 1500;
const INSTALLED = 'lib/tollgate/tollgate.node';

function findAddon(configured) {
  if (configured) return configured;
  if (process.env.TOLLGATE_ADDON) return process.env.TOLLGATE_ADDON;
  const places = [path(homedir(), '.local'), '/usr/local', '/usr'].map((prefix) => path(prefix, INSTALLED));
  return places.find(existsSync) ?? places[1];
}

class Hub {
  #options = {};
  #logger;
  #providers = new Set();
  #addon;
  #handle;
  #join;
  #gate;
  #waiting = new Set(); /* of the turns that a verdict delays: ends the wait */
  #dead = false;
  #timer;
  #timerAt = Infinity;
  #seen = new WeakSet(); /* hook events of which another registration has told */
  #unsubscribe;
  #warned = new Set();

  configure(options, logger, config) {
    this.#options = options;
    this.#logger = logger;
    this.#guard('configuration', () => (this.#providers = providersOf(config)));
  }

  start(subscribe) {
    this.#warned.clear();
    this.#guard('start', () => {
      this.#dead = false;
      this.#unsubscribe?.();
      this.#unsubscribe = subscribe?.((event, meta) => this.#diagnostic(event, meta));
      this.#open();
    });
  }

  /** Tells what is open and waits for the receipt; the rest stays in the spool. */
  async stop() {
    try {
      this.#unsubscribe?.();
      this.#unsubscribe = undefined;
      for (const end of this.#waiting) end();
      clearTimeout(this.#timer);
      this.#timerAt = Infinity;
      this.#join?.flush();
      const handle = this.#handle;
      this.#handle = undefined;
      if (handle) await this.#addon.close(handle, STOP_MS);
    } catch (error) {
      this.#warn('stop', error);
    }
  }

  hook(name, event, ctx) {
    this.#guard(name, () => {
      if (!event || this.#seen.has(event) || !this.#open()) return;
      this.#seen.add(event);
      this.#join.hook(name, event, ctx);
      this.#schedule();
    });
  }

  /** Before a turn: what to answer instead of asking a model; undefined, at once or after a wait: it goes on. */
  beforeReply(event, ctx) {
    const name = 'before_agent_reply';
    return this.#guard(name, () => {
      const request = this.#request(name, event, ctx),
        judged = request && this.#gate.judge(request);
      if (judged?.text) return this.#refuse(judged.text, request, ctx);
      if (!judged?.waitMs) return undefined;
      this.#count('gate.delayed');
      return this.#wait(judged.waitMs).then(() => this.#guard(name, () => this.#afterWait(request, ctx)));
    });
  }

  /** Before a model is chosen: the one to take instead; undefined: as chosen. */
  beforeModel(event, ctx) {
    const name = 'before_model_resolve';
    return this.#guard(name, () => {
      const request = this.#request(name, event, ctx),
        use = request && this.#gate.judge(request)?.use;
      if (!use) return undefined;
      this.#count('gate.downgraded');
      return { providerOverride: use.provider, modelOverride: use.model };
    });
  }

  #request(name, event, ctx) {
    if (!event || this.#seen.has(event) || !this.#open() || !this.#gate) return undefined;
    this.#seen.add(event);
    return this.#join.request(name, event, ctx);
  }

  /** While the turn waited others went on: what is spent by now stops this one too, but nothing delays it twice. */
  #afterWait(request, ctx) {
    const text = this.#gate?.judge(request)?.text;
    return text ? this.#refuse(text, request, ctx) : undefined;
  }

  /** A heartbeat is refused in silence: nobody asked, and its answer would go to somebody's chat again and again. */
  #refuse(text, request, ctx) {
    this.#count('gate.blocked');
    this.#guard('a blocked turn', () => this.#join.refused(request, ctx?.runId));
    const reply = request.trigger === 'heartbeat' ? undefined : { text };
    return { handled: true, reply, reason: 'tollgate' };
  }

  /** Resolves after so long, or when the gateway stops. */
  #wait(milliseconds) {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, milliseconds);
      timer.unref();
      this.#waiting.add(end);
    });
  }

  #count(name) {
    if (this.#handle) this.#addon.count(this.#handle, name, undefined, 1);
  }

  #diagnostic(event, meta) {
    this.#guard('diagnostics', () => {
      if (!meta?.trusted || !this.#open()) return;
      this.#join.diagnostic(event);
      this.#schedule();
    });
  }

  #guard(what, run) {
    try {
      return run();
    } catch (error) {
      this.#warn(what, error);
      return undefined;
    }
  }

  /** One line for each thing that goes wrong, however often it does, in a run of the gateway. */
  #warn(what, error) {
    if (this.#warned.has(what)) return;
    this.#warned.add(what);
    this.#say(`${what}: ${error?.message ?? error}`);
  }

  #say(text) {
    try {
      this.#logger?.warn?.(`tollgate: ${text}`);
    } catch {
      /* a logger that throws is not ours to report */
    }
  }

  #open() {
    if (this.#handle) return true;
    if (this.#dead) return false;
    this.#dead = true; /* unless the rest succeeds */
    try {
      this.#addon ??= createRequire(import.meta.url)(findAddon(this.#options.addonPath));
      const { endpoint, source, spoolDir, mode, gatewayVersion } = this.#options;
      this.#handle = this.#addon.open({
        endpoint,
        source,
        spool_dir: spoolDir,
        mode,
        gateway: 'openclaw',
        gateway_version: gatewayVersion,
      });
    } catch (error) {
      this.#warn('events are not recorded', error);
      return false;
    }
    this.#join ??= new Join(this.#out());
    this.#gate ??= this.#makeGate();
    this.#dead = false;
    return true;
  }

  /** Where the join's events go. They are told while the emitter is open; see flush in stop. */
  #out() {
    return {
      dispatch: (event) => this.#handle && this.#addon.dispatch(this.#handle, event),
      message: (event) => this.#handle && this.#addon.message(this.#handle, event),
      count: (name, label) => this.#handle && this.#addon.count(this.#handle, name, label, 1),
      convert: this.#addon.usageOpenclaw,
    };
  }

  #makeGate() {
    if (this.#options.enforce === false) return undefined;
    if (typeof this.#addon.check !== 'function') {
      this.#warn('budgets are not enforced', 'the addon is older than the plugin');
      return undefined;
    }
    return new Gate({
      check: (request) => this.#handle && this.#addon.check(this.#handle, request),
      version: () => this.#handle && this.#addon.stats(this.#handle)?.verdict_version,
      isProvider: (name) => this.#providers.has(name),
      say: (text) => this.#say(text),
    });
  }

  /** One timer, for the earliest thing that waits. It keeps no process alive. */
  #schedule() {
    const due = this.#join.due();
    if (due >= this.#timerAt) return;
    clearTimeout(this.#timer);
    this.#timerAt = due;
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, due - Date.now()));
    this.#timer.unref();
  }

  #tick() {
    this.#timerAt = Infinity;
    this.#guard('timer', () => {
      if (!this.#open()) return;
      this.#join.sweep();
      this.#schedule();
    });
  }
}

export const hub = (globalThis[Symbol.for('tollgate')] ??= new Hub());
