/* SPDX-License-Identifier: MIT
 *
 * join.js: hooks in, events out. Pure: no timers, no I/O; the clock is given. One Join per process.
 *
 * A model call is told in parts, and no hook carries them all:
 *   begin    model_call_started        ids, span, model
 *   end      model_call_ended          duration, outcome
 *   message  before_message_write      usage, response id, stop reason; no run, no span
 *   diag     model.call.completed/.error (diagnostics; may be switched off)   usage, span
 *   run      before_agent_run, agent_end        who asked, on which channel
 *
 * Which parts belong together:
 *  - begin, end and diag: the same span id, which is unique (a retry repeats the call id). Without a
 *    span: the oldest unfinished call with that call id.
 *  - message: it tells the session, the provider, by its stamp when the call began, and, as it is
 *    written just after the end, about how long it took. It belongs to the ended call of that
 *    session and provider that has no message and began then or, failing that, took as long; to
 *    the first such call, as both come in order. Not to a compaction: its answers are never written.
 *    Usually begin comes 1 ms before the stamp and end 1 ms before the message. But the gateway
 *    queues model_call_* hooks and not before_message_write: behind another plugin's slow handler
 *    they may be seconds late. Hence durations, which stay true, and a message waits up to HOLD_MS
 *    for its call. And a gateway that has just started writes late: hence beginnings.
 *  - an aborted call's message is not written: agent_end carries it as the last of its messages.
 *
 * When the event goes out, once per call:
 *  - as soon as end and message are there; for a compaction end and diag, or its end alone where
 *    calls have ended and none had a diag (diagnostics are switched off: it will not come);
 *  - else RUN_GRACE_MS after the run ended, as its messages are written by then;
 *  - else WAIT_MS after the call ended;
 *  - else, when the gateway stops or too many calls are open: what is known, error type "no_end"
 *    if the end never came.
 * A message that no call claims in HOLD_MS (the gateway drops hooks when its queue is full) and that
 * has a response id is an event of its own, without run, call and span.
 * What comes later is dropped: the same call told again would be a second row, as the response id
 * names it where there is one and the span id where there is none.
 *
 * A response id that comes twice in a session is not an id (some servers send a constant): from
 * then on the span names the call.
 *
 * Message events go out at once, but in a session whose id is not known yet: then when it is, or
 * after HOLD_MS (a gateway that has just started takes its time). All maps have limits; the oldest
 * entry makes room.
 */
import * as convert from './convert.js';
import { Recent } from './recent.js';

export const WAIT_MS = 5000;
export const HOLD_MS = 30000;
export const RUN_GRACE_MS = 300;
const SAME_MS = 10; /* times that differ less are the same */
const CLOSE_MS = 250; /* durations that differ more are another call's */
const MAX_OPEN = 1024;
const MAX_RUNS = 2048;
const MAX_SESSIONS = 4096;
const MAX_NAMES = 4096; /* call ids and response ids remembered */
const MAX_WAITING = 256; /* messages without their session or call */

export class Join {
  #out;
  #now;
  #open = new Recent(MAX_OPEN, (call) => this.#emit(call, 'overflow'));
  #told = new Recent(MAX_NAMES); /* spans that went out */
  #attempts = new Recent(MAX_NAMES); /* call id -> calls so far */
  #responses = new Recent(MAX_NAMES); /* session and response id -> span */
  #runs = new Recent(MAX_RUNS);
  #sessions = new Recent(MAX_SESSIONS); /* by session key */
  #held = new Recent(MAX_WAITING, (held) => this.#tell(held)); /* message events without a session */
  #written = new Recent(MAX_WAITING, (written) => this.#alone(written)); /* messages without a call */
  #answered = new Recent(MAX_NAMES); /* response ids that went out */
  #serial = 0;
  #diagnosed = false; /* a diagnostic event has been seen */
  #endings = 0;

  /**
   * @param out.dispatch(event), out.message(event), out.count(name, label) where events go
   * @param out.convert the library's tg_usage_openclaw
   */
  constructor(out, now = Date.now) {
    this.#out = out;
    this.#now = now;
  }

  /** One hook of the gateway. */
  hook(name, event, ctx = {}) {
    const at = convert.placeOf(event, ctx);
    this.#learn(at);
    this.#out.count(`hook.${name}`, this.#surface(at));
    Join.hooks[name]?.(this, event, ctx, at);
  }

  /** One diagnostic event: model.call.completed or model.call.error. */
  diagnostic(event) {
    const span = event.trace?.spanId;
    this.#diagnosed = true;
    if (!span || this.#told.has(span)) return;
    const outcome = event.type === 'model.call.completed' ? 'completed' : 'error';
    let call = this.#open.get(span);
    if (!call) {
      /* a call that runs without hooks */
      call = this.#begin(event, event.trace, convert.placeOf(event, {}), event.ts - event.durationMs);
      this.#end(call, { ...event, outcome }, event.ts);
    }
    call.diag = event;
    this.#settle(call);
  }

  /** The call that a turn is about to make, as far as it is known and in the words of its event to come. */
  request(name, event, ctx = {}) {
    const at = convert.placeOf(event, ctx);
    this.#learn(at);
    this.#out.count(`hook.${name}`, this.#surface(at));
    return { ...this.#asker(at), ...convert.words({ provider: ctx.modelProviderId, model: ctx.modelId }) };
  }

  /** A turn's first call was refused, so there is no call: nobody else tells of it. */
  refused(request, runId) {
    this.#out.dispatch({
      ts_ms: this.#now(),
      ...request,
      ...convert.words({ requested_model: request.model, run_id: runId }),
      granularity: 'call',
      status: 'blocked',
    });
  }

  /** Tells what has waited long enough. */
  sweep() {
    const now = this.#now();
    for (const call of this.#open.values()) if (call.due <= now) this.#emit(call, 'late');
    for (const [key, held] of this.#held) if (held.due <= now) this.#release(key, held);
    for (const [id, written] of this.#written) if (written.due <= now) this.#giveUp(id, written);
  }

  /** When sweep has something to do, in Unix milliseconds; Infinity: nothing waits. */
  due() {
    let due = Infinity;
    for (const map of [this.#open, this.#held, this.#written])
      for (const { due: at } of map.values()) due = Math.min(due, at);
    return due;
  }

  /** Tells everything that is open: the gateway stops. */
  flush() {
    for (const call of this.#open.values()) this.#emit(call, 'stop');
    for (const [key, held] of this.#held) this.#release(key, held);
    for (const [id, written] of this.#written) this.#giveUp(id, written);
  }

  /* ------------------------------------------------------- runs and sessions */

  #learn(at) {
    const { runId, key, sessionId, agentId } = at,
      session = key ? this.#session(key) : {};
    if (runId) this.#runs.set(runId, this.#merge(this.#runs.get(runId) ?? {}, at, session));
    session.id = sessionId ?? session.id;
    session.agentId = agentId ?? session.agentId;
    if (session.id) for (const [id, held] of this.#held) if (held.at.key === key) this.#release(id, held);
  }

  /** What is known of a run. `asked`: it came through its channel; see surfaceOf. */
  #merge(run, { key, channel, userId, trigger }, session) {
    const received = channel && session.received === channel;
    if (received) session.received = undefined;
    return {
      ...run,
      sessionKey: key ?? run.sessionKey,
      trigger: trigger ?? run.trigger,
      channel: channel ?? run.channel,
      userId: userId ?? run.userId,
      asked: Boolean(run.asked || (channel && userId) || received),
    };
  }

  #session(key) {
    const session = this.#sessions.get(key) ?? {};
    this.#sessions.set(key, session);
    return session;
  }

  /** message_sending and message_sent name no run: it is the one whose reply was announced last. */
  #replying(at) {
    if (at.key) this.#session(at.key).replyRunId = at.runId;
  }

  #spawned(event, ctx) {
    const child = event.childSessionKey ?? ctx.childSessionKey;
    if (!child || !ctx.requesterSessionKey) return;
    const parent = this.#session(ctx.requesterSessionKey),
      session = this.#session(child);
    session.parentId = parent.id;
    session.rootId = parent.rootId ?? parent.id;
  }

  /** The surface as a counter's label. */
  #surface({ runId, messageChannel }) {
    return convert.surfaceOf(runId, this.#runs.get(runId)) ?? messageChannel ?? 'unknown';
  }

  /** The names that events of one session share. */
  #names({ key, sessionId, agentId }) {
    const session = this.#sessions.get(key) ?? {};
    return convert.words({
      session_id: sessionId ?? session.id,
      parent_session_id: session.parentId,
      root_session_id: session.rootId,
      agent_id: agentId ?? session.agentId ?? convert.agentOf(key),
    });
  }

  /** Who asks, where and why: what a verdict is asked for, and what its event will say. */
  #asker(at) {
    const { runId, key } = at,
      run = this.#runs.get(runId);
    return {
      ...this.#names(at),
      ...convert.words({
        user_id: run?.userId,
        surface: convert.surfaceOf(runId, run),
        channel: convert.channelOf(runId, run),
      }),
      trigger: convert.triggerOf(runId, key, run?.trigger),
    };
  }

  /* -------------------------------------------------------------- model calls */

  #begin(event, trace, at, startedAt) {
    const { spanId, traceId } = trace ?? {};
    const attempt = (this.#attempts.get(event.callId) ?? 0) + 1;
    const call = {
      id: spanId ?? `${event.callId} ${++this.#serial}`,
      at,
      spanId,
      traceId,
      startedAt,
      attempt,
      due: Infinity,
      callId: event.callId,
      provider: event.provider,
      model: event.model,
      unit: event.observationUnit,
    };
    this.#attempts.set(event.callId, attempt);
    this.#open.set(call.id, call);
    this.#out.count('calls.begun', this.#surface(at));
    return call;
  }

  #started(event, ctx, at) {
    const span = ctx.trace?.spanId;
    if (!this.#open.has(span) && !this.#told.has(span)) this.#begin(event, ctx.trace, at, this.#now());
  }

  #ended(event, ctx, at) {
    const span = ctx.trace?.spanId;
    if (span && this.#told.has(span)) return;
    const call =
      this.#find(span, event.callId) ??
      this.#begin(event, ctx.trace, at, this.#now() - (event.durationMs || 0));
    this.#end(call, event, this.#now());
    this.#settle(call);
  }

  #find(span, callId) {
    if (span) return this.#open.get(span);
    for (const call of this.#open.values()) if (call.callId === callId && !call.end) return call;
    return undefined;
  }

  #end(call, event, endedAt) {
    this.#out.count('calls.ended', this.#surface(call.at));
    call.end = event;
    this.#endings++;
    call.endedAt = endedAt;
    call.took = Number.isFinite(event.durationMs) ? event.durationMs : endedAt - call.startedAt;
    call.due = this.#now() + WAIT_MS;
    const run = this.#runs.get(call.at.runId);
    const [id, written] = first(this.#written, ([, one]) => distance(call, one)) ?? [];
    if (written) {
      this.#written.delete(id);
      this.#answer(call, written);
    } else if (run?.aborted) {
      call.message = run.aborted;
      run.aborted = undefined;
    }
  }

  #write(message, { key, agentId }) {
    if (message?.role !== 'assistant') return;
    const written = { key, agentId, message, at: this.#now(), due: this.#now() + HOLD_MS };
    const call = first(this.#open.values(), (one) => distance(one, written));
    if (!call) {
      this.#written.set(++this.#serial, written);
      return;
    }
    this.#answer(call, written);
    this.#settle(call);
  }

  #answer(call, { message, agentId, at }) {
    call.message = message;
    call.at.agentId ??= agentId;
    call.endedAt = Math.min(call.endedAt, at);
  }

  #giveUp(id, written) {
    this.#written.delete(id);
    this.#alone(written);
  }

  /** A message whose call was never told. What has no response id is not a model's, or failed. */
  #alone({ key, agentId, message, at }) {
    if (!message.responseId || this.#answered.has(message.responseId)) return;
    this.#out.count('calls.without_hooks', 'unknown');
    const outcome = ['error', 'aborted'].includes(message.stopReason) ? 'error' : 'completed';
    this.#emit({
      id: `message ${++this.#serial}`,
      at: { key, agentId },
      message,
      provider: message.provider,
      model: message.model,
      end: { outcome, durationMs: at - message.timestamp },
      endedAt: at,
    });
  }

  #runEnded(last, runId) {
    const ended = [...this.#open.values()].filter((call) => call.at.runId === runId && call.end);
    for (const call of ended) call.due = Math.min(call.due, this.#now() + RUN_GRACE_MS);
    if (last?.stopReason !== 'aborted') return;
    const unanswered = ended.findLast((call) => !call.message);
    if (unanswered) {
      unanswered.message = last;
      this.#settle(unanswered);
    } else if (this.#runs.has(runId)) {
      this.#runs.get(runId).aborted = last;
    }
  }

  #settle(call) {
    const undiagnosed = !this.#diagnosed && this.#endings > 1;
    const complete =
      call.message || ((call.diag || undiagnosed) && convert.isCompaction(call.at.runId));
    if (call.end && complete) this.#emit(call);
  }

  #emit(call, why) {
    this.#open.delete(call.id);
    this.#told.set(call.id, true);
    if (why && !call.message) this.#out.count(`calls.no_message.${why}`, this.#surface(call.at));
    if (!call.end) this.#out.count('calls.no_end', this.#surface(call.at));
    this.#out.dispatch({
      ts_ms: call.endedAt ?? this.#now(),
      ...this.#asker(call.at),
      ...convert.words({
        provider: call.provider,
        run_id: call.at.runId,
        call_id: call.callId,
        trace_id: call.traceId,
        span_id: call.spanId,
      }),
      granularity: call.unit === 'turn' ? 'turn' : 'call',
      attempt: call.attempt,
      ...convert.counts({ latency_ms: call.end?.durationMs, ttft_ms: call.end?.timeToFirstByteMs }),
      ...this.#result(call),
    });
  }

  #result(call) {
    const status = convert.statusOf(call.end, call.message);
    const failed = status !== 'ok';
    let usage = convert.usageOf(call.message?.usage, this.#out.convert),
      source = call.message?.usage;
    if (usage.prompt_tokens === undefined && call.diag) {
      usage = convert.usageOf(call.diag.usage, this.#out.convert);
      source = call.diag.usage;
    }
    const answer = convert.answerOf(call.message, call.model);
    return {
      ...answer,
      response_id: this.#responseId(call, answer.response_id),
      ...usage,
      cost_reported_nanousd: convert.costOf(source),
      status,
      error_type: !call.end ? 'no_end' : failed ? convert.errorTypeOf(call.end, call.message) : undefined,
      http_status: failed ? convert.httpStatusOf(call.message) : undefined,
      partial: failed && usage.prompt_tokens !== undefined ? 1 : 0,
    };
  }

  #responseId(call, id) {
    if (!id) return undefined;
    const name = `${call.at.sessionId} ${id}`;
    if (this.#responses.has(name)) {
      this.#out.count('calls.response_id_repeated', call.provider);
      return undefined;
    }
    this.#responses.set(name, true);
    this.#answered.set(id, true);
    return id;
  }

  /* ----------------------------------------------------------- message events */

  /** A message event: its own fields, and what the session and the run are known to be. */
  #message(kind, event, ctx, at, fields) {
    const session = this.#sessions.get(at.key);
    const runId = at.runId ?? (kind === 'message_received' ? undefined : session?.replyRunId);
    const run = this.#runs.get(runId);
    const held = { at, due: this.#now() + HOLD_MS };
    held.event = {
      kind,
      ts_ms: this.#now(),
      ...convert.words({
        run_id: runId,
        user_id: at.userId ?? run?.userId,
        channel: at.messageChannel ?? convert.channelOf(runId, run),
        surface: convert.surfaceOf(runId, run) ?? at.messageChannel,
        message_id: event.messageId ?? ctx.messageId,
      }),
      ...fields,
    };
    if (at.key && !at.sessionId && !session?.id) this.#held.set(++this.#serial, held);
    else this.#tell(held);
  }

  #release(id, held) {
    this.#held.delete(id);
    this.#tell(held);
  }

  #tell(held) {
    this.#out.message({ ...held.event, ...this.#names(held.at) });
  }

  #agentEnd(event, ctx, at) {
    const last = lastAssistant(event.messages);
    this.#runEnded(last, at.runId);
    this.#message('agent_end', event, ctx, at, {
      outcome: convert.outcomeOfRun(event, last),
      bytes: convert.bytesOfMessage(last),
      ...convert.counts({ latency_ms: event.durationMs }),
      error_type: last?.stopReason === 'error' ? convert.errorTypeOf(undefined, last) : undefined,
    });
  }

  #received(event, ctx, at) {
    if (at.key) this.#session(at.key).received = at.messageChannel;
    this.#passing('message_received', event, ctx, at, event.content);
  }

  #passing(kind, event, ctx, at, text, outcome = 'observed') {
    this.#message(kind, event, ctx, at, { outcome, bytes: convert.bytesOf(text) });
  }

  /** What each hook means. Their names are what the plugin registers for. */
  static hooks = {
    before_agent_run: () => {} /* these two tell who asks, and where: see #learn */,
    session_start: () => {},
    model_call_started: (join, event, ctx, at) => join.#started(event, ctx, at),
    model_call_ended: (join, event, ctx, at) => join.#ended(event, ctx, at),
    before_message_write: (join, event, ctx, at) => join.#write(event.message, at),
    subagent_spawned: (join, event, ctx) => join.#spawned(event, ctx),
    reply_payload_sending: (join, event, ctx, at) => join.#replying(at),
    message_received: (join, event, ctx, at) => join.#received(event, ctx, at),
    message_sending: (join, event, ctx, at) =>
      join.#passing('message_sending', event, ctx, at, event.content),
    message_sent: (join, event, ctx, at) =>
      join.#passing('message_sent', event, ctx, at, event.content, event.success ? 'delivered' : 'failed'),
    before_agent_finalize: (join, event, ctx, at) =>
      join.#passing('before_agent_finalize', event, ctx, at, event.lastAssistantMessage),
    agent_end: (join, event, ctx, at) => join.#agentEnd(event, ctx, at),
  };
}

/** By how many milliseconds a call and a written message are apart; Infinity: it is not the call's. */
function distance(call, { key, message, at }) {
  if (!call.end || call.message || call.at.key !== key || convert.isCompaction(call.at.runId))
    return Infinity;
  if (message.provider && message.provider !== call.provider) return Infinity;
  const beginnings = Math.abs(call.startedAt - message.timestamp);
  const durations = Math.abs(at - message.timestamp - call.took);
  if (beginnings <= SAME_MS) return beginnings;
  return durations <= CLOSE_MS ? durations : Infinity;
}

/** The first of the items whose distance is as good as none, else the nearest; undefined: none fits. */
function first(items, distanceOf) {
  let best;
  let least = Infinity;
  for (const item of items) {
    const away = distanceOf(item);
    if (away <= SAME_MS) return item;
    if (away < least) [best, least] = [item, away];
  }
  return best;
}

function lastAssistant(messages) {
  const last = Array.isArray(messages) ? messages.at(-1) : undefined;
  return last?.role === 'assistant' ? last : undefined;
}
