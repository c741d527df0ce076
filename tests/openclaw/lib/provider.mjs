/* SPDX-License-Identifier: MIT
 *
 * A fake model provider on loopback, OpenAI's and Anthropic's wire, which keeps an account of every
 * request: who asked (traceparent), what was answered, and which tokens it would bill.
 *
 * What it does stands in the prompt: `tag=NAME do=ACTION`, the last one in the last user message.
 *   say        answer (the default)          tool:N     N tool calls, one after another, then say
 *   http:CODE  an error                      cut        cut the stream in the middle
 *   slow:MS    wait the first time, then say stall      begin, and never go on
 *   nousage    say, without usage            model      say, under another model's name
 *   id         say, always with one id       think      say, with reasoning tokens
 *   spawn      a tool call that starts a sub-agent
 */
import http from 'node:http';

const TOOL_ARGS = { ls: (n) => ({ path: '.'.padEnd(n + 1, '/') }) };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const textOf = (content) =>
  typeof content === 'string' ? content : (content ?? []).map((part) => part.text ?? '').join('\n');

/* What the gateway adds to a turn of its own accord; it repeats earlier prompts. */
const CONTEXT = /<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>[\s\S]*?<<<END_OPENCLAW_INTERNAL_CONTEXT>>>/g;

/** The last tag in the last user message that has one; how many tool results came after it. */
function instruction(messages) {
  for (let i = messages.length - 1; i >= 0; i--) {
    if (messages[i].role !== 'user') continue;
    const found = [
      ...textOf(messages[i].content)
        .replace(CONTEXT, '')
        .matchAll(/tag=([\w-]+)(?: do=([\w:]+))?/g),
    ].at(-1);
    if (!found) continue;
    const [action, arg] = (found[2] ?? 'say').split(':');
    return {
      tag: found[1],
      action,
      arg: Number(arg),
      toolResults: messages.slice(i).filter((m) => m.role === 'tool').length,
    };
  }
  return { action: 'say', toolResults: 0 };
}

function toolCallOf({ action, arg, toolResults }) {
  if (action === 'spawn' && toolResults === 0)
    return { name: 'sessions_spawn', args: { task: 'tag=kid-1 say hello', label: 'kid' } };
  if (action === 'tool' && toolResults < arg) return { name: 'ls', args: TOOL_ARGS.ls(toolResults) };
  return undefined;
}

/* What the provider bills, in OpenAI's convention. Each request has other numbers. */
function bill(record, anthropic) {
  const cached = 40 + (record.k % 3),
    write = anthropic ? 10 + (record.k % 5) : 0;
  const prompt = 1000 + record.k + cached + write,
    completion = 7 + (record.k % 11);
  const reasoning = record.action === 'think' ? 3 : 0;
  return {
    prompt,
    completion,
    total: prompt + completion,
    cached,
    write,
    reasoning: anthropic ? undefined : reasoning,
  };
}

async function openai(record, body, res) {
  const { usage } = record,
    tool = toolCallOf(record);
  const model = record.action === 'model' ? `${body.model}-2026-11` : body.model;
  const send = (delta, finish = null, more = {}) =>
    res.write(
      `data: ${JSON.stringify({
        id: record.id,
        object: 'chat.completion.chunk',
        created: 1,
        model,
        choices: [{ index: 0, delta, finish_reason: finish }],
        ...more,
      })}\n\n`,
    );
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  send({ role: 'assistant', content: '' });
  if (record.action === 'stall') return send({ content: 'partial ' });
  if (record.action === 'cut') {
    send({ content: 'partial ' });
    await sleep(30);
    return res.destroy();
  }
  record.toolCalls = tool ? 1 : 0;
  if (tool)
    send({
      tool_calls: [
        {
          index: 0,
          id: `call_${record.k}`,
          type: 'function',
          function: { name: tool.name, arguments: JSON.stringify(tool.args) },
        },
      ],
    });
  else for (const word of ['answer ', `${record.k} `, 'größer ']) send({ content: word });
  send({}, tool ? 'tool_calls' : 'stop');
  record.answered = true;
  if (record.action === 'nousage') record.usage = null;
  else {
    const details = {
      prompt_tokens_details: { cached_tokens: usage.cached },
      completion_tokens_details: { reasoning_tokens: usage.reasoning },
    };
    res.write(
      `data: ${JSON.stringify({
        id: record.id,
        object: 'chat.completion.chunk',
        created: 1,
        model,
        choices: [],
        usage: {
          prompt_tokens: usage.prompt,
          completion_tokens: usage.completion,
          total_tokens: usage.total,
          ...details,
        },
      })}\n\n`,
    );
  }
  return res.end('data: [DONE]\n\n');
}

async function anthropic(record, body, res) {
  const { usage } = record;
  const send = (type, data) => res.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  send('message_start', {
    message: {
      id: record.id,
      type: 'message',
      role: 'assistant',
      model: body.model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: {
        input_tokens: usage.prompt - usage.cached - usage.write,
        cache_read_input_tokens: usage.cached,
        cache_creation_input_tokens: usage.write,
        output_tokens: 1,
      },
    },
  });
  send('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
  send('content_block_delta', { index: 0, delta: { type: 'text_delta', text: `answer ${record.k}` } });
  if (record.action === 'cut') {
    await sleep(30);
    return res.destroy();
  }
  send('content_block_stop', { index: 0 });
  send('message_delta', {
    delta: { stop_reason: 'end_turn', stop_sequence: null },
    usage: { output_tokens: usage.completion },
  });
  record.answered = true;
  record.toolCalls = 0;
  send('message_stop', {});
  return res.end();
}

async function answer(requests, req, res) {
  let raw = '';
  for await (const chunk of req) raw += chunk;
  if (req.method !== 'POST') return res.end('{"object":"list","data":[]}');
  const body = JSON.parse(raw),
    isAnthropic = req.url.endsWith('/messages');
  const [, traceId, spanId] = (req.headers.traceparent ?? '').split('-');
  const record = {
    k: requests.length + 1,
    at: Date.now(),
    traceId,
    spanId,
    model: body.model,
    anthropic: isAnthropic,
    answered: false,
    ...instruction(body.messages ?? []),
  };
  record.id =
    record.action === 'id' ? 'chatcmpl-always-the-same' : `${isAnthropic ? 'msg' : 'chatcmpl'}-${record.k}`;
  record.usage = bill(record, isAnthropic);
  requests.push(record);
  res.on('close', () => {
    record.clientLeft = !res.writableEnded;
  });
  if (record.action === 'http') {
    res.writeHead(record.arg, { 'content-type': 'application/json' });
    return res.end(
      JSON.stringify({
        error: {
          message: `fake ${record.arg}`,
          type: record.arg === 429 ? 'rate_limit_exceeded' : 'server_error',
        },
      }),
    );
  }
  if (
    record.action === 'slow' &&
    requests.findLast((one) => one.tag === record.tag && one !== record) === undefined
  )
    await sleep(record.arg);
  if (res.destroyed) return undefined; /* nobody waits any more */
  return (isAnthropic ? anthropic : openai)(record, body, res);
}

/** Resolves to { url, requests, close }. */
export async function startProvider() {
  const requests = [];
  const server = http.createServer((req, res) => answer(requests, req, res).catch(() => res.destroy()));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  return { url: `http://127.0.0.1:${server.address().port}`, requests, close };
}
