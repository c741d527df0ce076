/* SPDX-License-Identifier: MIT
 *
 * convert.js: what the gateway says, in the words of schema/wire.md. Pure functions.
 * undefined is unknown, and unknown is never 0.
 */

const count = (value) => (Number.isFinite(value) && value >= 0 ? Math.round(value) : undefined);

/** The gateway's values as the event's types, whatever they are: a number may name something too. */
const word = (value) =>
  Number.isFinite(value) ? String(value) : typeof value === 'string' && value ? value : undefined;
const each = (object, type) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, type(value)]));
export const words = (object) => each(object, word);
export const counts = (object) => each(object, count);

/** UTF-8 bytes of a text, or undefined. */
export function bytesOf(value) {
  return typeof value === 'string' ? Buffer.byteLength(value, 'utf8') : undefined;
}

/** UTF-8 bytes of the text parts of an assistant message. */
export function bytesOfMessage(message) {
  const content = message?.content;
  if (typeof content === 'string') return bytesOf(content);
  if (!Array.isArray(content)) return undefined;
  return content.reduce((sum, part) => sum + (part?.type === 'text' ? (bytesOf(part.text) ?? 0) : 0), 0);
}

/** The agent's id: the second part of "agent:main:…". */
export function agentOf(sessionKey) {
  return /^agent:([^:]+):/.exec(sessionKey ?? '')?.[1];
}

/** Where a hook fired. A message's context names its channel channelId; an agent's a chat. */
export function placeOf(event, ctx) {
  return words({
    runId: event.runId ?? ctx.runId,
    key: event.sessionKey ?? ctx.sessionKey,
    sessionId: event.sessionId ?? ctx.sessionId,
    agentId: ctx.agentId,
    channel: ctx.channel ?? ctx.messageProvider,
    messageChannel: ctx.conversationId === undefined ? undefined : ctx.channelId,
    userId: event.senderId ?? ctx.senderId,
    trigger: ctx.trigger,
  });
}

/**
 * How the request reached the gateway. The run id tells the HTTP endpoints. A run that came through
 * a channel has a sender, or a message that was received just before it; one that has neither but
 * a user came through the gateway's `agent` method: a program, or the command line, which uses it
 * too. (Such a run names a channel as well: the one the session used last.) What nobody asked for,
 * a heartbeat, a cron job or a sub-agent, has no surface.
 */
export function surfaceOf(runId, run) {
  if (runId?.startsWith('chatcmpl_')) return 'chat_completions';
  if (runId?.startsWith('resp_')) return 'responses';
  if (run?.trigger !== 'user' || isSubagent(runId, run.sessionKey) || isCompaction(runId)) return undefined;
  return run.asked ? run.channel : 'rpc';
}

/** The channel that a run came through, or whose job or heartbeat it is. The HTTP endpoints and the
 * `agent` method name one too, but do not use it. */
export function channelOf(runId, run) {
  if (/^(chatcmpl|resp)_/.test(runId ?? '')) return undefined;
  return run?.trigger === 'user' && !run.asked ? undefined : run?.channel;
}

function isSubagent(runId, sessionKey) {
  return Boolean(sessionKey?.includes(':subagent:') || runId?.startsWith('announce:'));
}

export function isCompaction(runId) {
  return Boolean(runId?.includes(':compaction:'));
}

/**
 * Another model by its name in a budget or policy, as the gateway takes it: its provider apart.
 * "provider/model" is taken apart only where the gateway has that provider: models have slashes too.
 */
export function modelOf(name, provider, isProvider) {
  const slash = name.indexOf('/'),
    first = name.slice(0, Math.max(slash, 0)),
    rest = name.slice(slash + 1);
  if (first && rest && (first === provider || isProvider(first))) return { provider: first, model: rest };
  return { provider, model: name };
}

/** The providers that a gateway's configuration names: with models, with a key, or in an agent's model. */
export function providersOf(config) {
  const agents = [config?.agents?.defaults, ...Object.values(config?.agents?.entries ?? {})];
  const models = agents.flatMap((one) => [
    one?.model?.primary ?? one?.model,
    ...Object.keys(one?.models ?? {}),
  ]);
  return new Set([
    ...Object.keys(config?.models?.providers ?? {}),
    ...Object.values(config?.auth?.profiles ?? {}).map((profile) => profile?.provider),
    ...models
      .filter((name) => typeof name === 'string' && name.includes('/'))
      .map((name) => name.split('/')[0]),
  ]);
}

const TRIGGERS = {
  user: 'user',
  heartbeat: 'heartbeat',
  cron: 'cron',
  memory: 'compaction',
  overflow: 'compaction',
  budget: 'compaction',
  manual: 'compaction',
};

/** Why the call was made. What the ids say is surer than the run's trigger, which stays "user". */
export function triggerOf(runId, sessionKey, trigger) {
  if (isCompaction(runId)) return 'compaction';
  if (isSubagent(runId, sessionKey)) return 'subagent';
  return Object.hasOwn(TRIGGERS, trigger ?? '') ? TRIGGERS[trigger] : undefined;
}

/** How a call ended. `end` is what model_call_ended said, `message` the assistant's message. */
export function statusOf(end, message) {
  if (end?.failureKind === 'timeout') return 'timeout';
  if (end?.failureKind === 'aborted' || message?.stopReason === 'aborted') return 'aborted';
  if (end?.outcome === 'error' || message?.stopReason === 'error') return 'error';
  return end?.outcome === 'completed' ? 'ok' : undefined;
}

/** The HTTP status of a failed call: its error code, or the number its message begins with. */
export function httpStatusOf(message) {
  const found =
    /^([45]\d\d)$/.exec(message?.errorCode ?? '') ?? /^([45]\d\d)\b/.exec(message?.errorMessage ?? '');
  return found ? Number(found[1]) : undefined;
}

/** A short name of the failure, from a small set of names: never a sentence. */
export function errorTypeOf(end, message) {
  const status = httpStatusOf(message);
  const names = [
    end?.failureKind,
    message?.errorType,
    status && `http_${status}`,
    end?.errorCategory,
    message?.stopReason,
  ];
  return names.find((name) => typeof name === 'string' && name !== 'Error' && /^[\w.:-]{1,64}$/.test(name));
}

/**
 * The tokens, by `convert` (the library's tg_usage_openclaw). The gateway fills in zeros where the
 * provider said nothing, and no call that reached a model has neither prompt nor answer: so all
 * zeros are unknown.
 */
export function usageOf(usage, convert) {
  if (!usage) return {};
  const [input, output, read, write] = [usage.input, usage.output, usage.cacheRead, usage.cacheWrite].map(
    count,
  );
  const total = count(usage.totalTokens ?? usage.total);
  if (!input && !output && !read && !write && !total) return {};
  return {
    ...convert(input, output, read, write, total),
    reasoning_tokens: count(usage.reasoningTokens),
    cache_write_1h_tokens: count(usage.cacheWrite1h),
  };
}

/** What the gateway says it cost. A total of 0 is known only where the provider billed it: the
 * gateway also says 0 for a model without prices. */
export function costOf(usage) {
  const { total, totalOrigin } = usage?.cost ?? {};
  if (!Number.isFinite(total) || total < 0) return undefined;
  return total > 0 || totalOrigin === 'provider-billed' ? Math.round(total * 1e9) : undefined;
}

/** What an assistant message says of its call, beside tokens and failure. */
export function answerOf(message, model) {
  const calls = Array.isArray(message?.content)
    ? message.content.filter((part) => part?.type === 'toolCall')
    : undefined;
  return {
    ...words({
      model: message?.responseModel || model,
      requested_model: model,
      response_id: message?.responseId,
      tool_used: calls?.[0]?.name,
    }),
    tool_calls: calls?.length,
  };
}

const OUTCOMES = { error: 'failed', aborted: 'cancelled' };

/** How a run ended. `success` is true even where every call failed. */
export function outcomeOfRun(event, last) {
  return OUTCOMES[last?.stopReason] ?? (event.success === false ? 'failed' : 'observed');
}
