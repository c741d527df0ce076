/* SPDX-License-Identifier: MIT
 *
 * One function per surface: asks the gateway, waits for the end, and says whether the caller saw
 * what it should have. `do` is the provider's instruction (provider.mjs).
 */
let serial = 0;
const prompt = (tag, action) => `tag=${tag} do=${action} please`;
const key = () => `test-${process.pid}-${++serial}`;

export function surfaces(gateway, telegram) {
  const chat =
    (stream) =>
    (tag, action = 'say', options) =>
      gateway.http(
        '/v1/chat/completions',
        {
          stream,
          ...(stream && { stream_options: { include_usage: true } }),
          messages: [{ role: 'user', content: prompt(tag, action) }],
        },
        options,
      );
  const responses =
    (stream) =>
    (tag, action = 'say', options) =>
      gateway.http('/v1/responses', { stream, input: prompt(tag, action) }, options);

  return {
    cc: chat(false),
    ccs: chat(true),
    rs: responses(false),
    rss: responses(true),

    async ws(tag, action = 'say', { session = 'agent:main:main', abortWhen, text } = {}) {
      const socket = await gateway.socket(),
        run = key();
      const accepted = await socket.call('chat.send', {
        sessionKey: session,
        message: text ?? prompt(tag, action),
        idempotencyKey: run,
      });
      if (!accepted.ok) throw new Error(`chat.send: ${JSON.stringify(accepted.error)}`);
      if (abortWhen) {
        await abortWhen();
        await socket.call('chat.abort', { sessionKey: session });
      }
      const end = await socket.until(accepted.payload.runId);
      return { status: end.state, text: JSON.stringify(end.message ?? '') };
    },

    async agent(tag, action = 'say') {
      const socket = await gateway.socket();
      const accepted = await socket.call('agent', {
        message: prompt(tag, action),
        agentId: 'main',
        idempotencyKey: key(),
      });
      if (!accepted.ok) throw new Error(`agent: ${JSON.stringify(accepted.error)}`);
      const end = await socket.call('agent.wait', { runId: accepted.payload.runId, timeoutMs: 60000 });
      return { status: end.payload?.status, text: JSON.stringify(end.payload) };
    },

    cli: (tag, action = 'say') => gateway.cli(prompt(tag, action)),
    tg: async (tag, action = 'say') => ({ text: await telegram.inject(prompt(tag, action)) }),
  };
}
