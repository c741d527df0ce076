/* SPDX-License-Identifier: MIT
 *
 * The test's own witness of the hooks: one line for each, written before the handler returns. It
 * shares nothing with the plugin under test.
 */
import { appendFileSync } from 'node:fs';

const HOOKS = [
  'model_call_started',
  'model_call_ended',
  'message_received',
  'message_sending',
  'message_sent',
  'agent_end',
  'before_agent_finalize',
];

function textOf(name, event) {
  if (name === 'before_agent_finalize') return event.lastAssistantMessage;
  if (name !== 'agent_end') return event.content;
  const last = event.messages?.at(-1);
  if (last?.role !== 'assistant') return undefined;
  return last.content
    .filter((part) => part.type === 'text')
    .map((part) => part.text)
    .join('');
}

export default {
  id: 'tollgate-recorder',
  name: 'Tollgate recorder',
  description: 'writes down which hooks fired',
  register(api) {
    for (const name of HOOKS) {
      api.on(name, (event, ctx) => {
        const text = textOf(name, event);
        appendFileSync(
          api.pluginConfig.path,
          `${JSON.stringify({
            name,
            runId: event.runId ?? ctx.runId,
            sessionKey: event.sessionKey ?? ctx.sessionKey,
            sessionId: event.sessionId ?? ctx.sessionId,
            spanId: ctx.trace?.spanId,
            channel: ctx.channelId,
            messageId: event.messageId ?? ctx.messageId,
            success: event.success,
            bytes: text === undefined ? undefined : Buffer.from(text).length,
            stopReason: event.messages?.at(-1)?.stopReason,
          })}\n`,
        );
      });
    }
  },
};
