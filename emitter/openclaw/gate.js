/* SPDX-License-Identifier: MIT
 *
 * gate.js: what the collector's verdicts mean for a turn. Pure: no timers, no I/O; whom it asks is given.
 *
 * A downgrade is followed to its end: the model that is taken instead may be blocked, delayed or
 * downgraded itself, and a turn that is let go on must be one that its own verdict lets go on.
 */
import * as convert from './convert.js';
import { Recent } from './recent.js';

export const DELAY_MAX_MS = 30000; /* a turn waits no longer, whatever the verdict says */
const HOPS_MAX = 4;
const MAX_SAID = 4096; /* sessions and budgets of which the log has been told */
const UNSAID = 'This is not allowed at the moment.'; /* a verdict without a sentence */

export class Gate {
  #ask;
  #said = new Recent(MAX_SAID);

  /**
   * @param ask.check(request) the addon's verdict; null: the emitter is closed
   * @param ask.version() that of the verdicts known now
   * @param ask.isProvider(name) whether the gateway has a provider of this name
   * @param ask.say(text) a line for the gateway's log
   */
  constructor(ask) {
    this.#ask = ask;
  }

  /**
   * What to do with a request: { text } answers instead, { waitMs, use } lets it go on, after a
   * while where waitMs is above 0, with another { provider, model } where use is given.
   * undefined: it goes on as it is, which is most of the time and costs one question.
   */
  judge(request) {
    let asked = request,
      verdict = this.#ask.check(asked),
      use;
    for (let hops = 0; hops < HOPS_MAX && verdict?.action === 'downgrade'; hops++) {
      this.#tell(asked, verdict);
      const next =
        verdict.use_model && convert.modelOf(verdict.use_model, asked.provider, this.#ask.isProvider);
      if (!next || (next.provider === asked.provider && next.model === asked.model)) break;
      use = next;
      asked = { ...asked, ...next };
      verdict = this.#ask.check(asked);
    }
    if (verdict && verdict.action !== 'allow') this.#tell(asked, verdict);
    if (verdict?.action === 'block') return { text: verdict.message || UNSAID };
    const waitMs = verdict?.action === 'delay' ? Math.min(verdict.delay_ms ?? 0, DELAY_MAX_MS) : 0;
    return waitMs > 0 || use ? { waitMs, use } : undefined;
  }

  /** A line in the log, at most once for each session, budget and version of the verdicts. */
  #tell({ session_id: session }, { action, budget, message }) {
    const key = `${session} ${action} ${budget}`,
      version = this.#ask.version();
    if (this.#said.get(key) === version) return;
    this.#said.set(key, version);
    this.#ask.say(`${action}: session ${session ?? 'unknown'}: ${message || budget}`);
  }
}
