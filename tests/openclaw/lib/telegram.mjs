/* SPDX-License-Identifier: MIT
 *
 * A fake Telegram Bot API on loopback: inject(text) delivers a message from a person and resolves
 * to the bot's answer; what the gateway says of itself is in notices.
 */
import http from 'node:http';

const user = { id: 4242, is_bot: false, first_name: 'Lab', username: 'labuser' };
const chat = { id: 4242, type: 'private', first_name: 'Lab', username: 'labuser' };
const me = {
  id: 1234567,
  is_bot: true,
  first_name: 'LabBot',
  username: 'lab_bot',
  can_join_groups: true,
  can_read_all_group_messages: false,
  supports_inline_queries: false,
};
const NOTICE = /^↪️ Model Fallback/; /* the gateway's own, beside the answer */
const SENDS = new Set(['sendMessage', 'editMessageText', 'sendRichMessage']);

export async function startTelegram() {
  let next = Math.floor(Date.now() / 1000);
  let queue = [];
  const polls = new Set(),
    notices = [],
    waiting = [];
  const seconds = () => Math.floor(Date.now() / 1000);

  async function getUpdates(body) {
    queue = queue.filter((update) => update.update_id >= (body.offset ?? 0));
    if (queue.length === 0)
      await new Promise((resolve) => {
        polls.add(resolve);
        setTimeout(resolve, Math.min((body.timeout ?? 5) * 1000, 20000)).unref();
      });
    return queue.filter((update) => update.update_id >= (body.offset ?? 0));
  }

  function send(body) {
    const text = body.text ?? JSON.stringify(body.rich_message ?? body);
    if (NOTICE.test(text)) notices.push(text);
    else waiting.shift()?.(text);
    return { message_id: body.message_id ?? ++next, from: me, chat, date: seconds(), text: body.text };
  }

  async function call(method, body) {
    if (method === 'getMe') return me;
    if (method === 'getUpdates') return getUpdates(body);
    if (method === 'getWebhookInfo')
      return { url: '', has_custom_certificate: false, pending_update_count: 0 };
    if (method === 'getChat') return chat;
    if (SENDS.has(method)) return send(body);
    return method.startsWith('get') ? [] : true;
  }

  const server = http.createServer(async (req, res) => {
    let raw = '';
    for await (const chunk of req) raw += chunk;
    let body = {};
    try {
      body = JSON.parse(raw);
    } catch {
      /* an upload; nothing here needs it */
    }
    const result = await call(/\/bot[^/]+\/(\w+)/.exec(req.url)?.[1] ?? '', body);
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify({ ok: true, result }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  function inject(text) {
    const answer = new Promise((resolve) => waiting.push(resolve));
    queue.push({
      update_id: ++next,
      message: { message_id: ++next, from: user, chat, date: seconds(), text },
    });
    for (const wake of polls) wake();
    polls.clear();
    return answer;
  }
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, inject, notices, close };
}
