/* SPDX-License-Identifier: MIT
 *
 * A real OpenClaw gateway with the plugin, in a directory of its own, and every way to ask it
 * something: the surfaces.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { freePort, healthy, start, stop } from './process.mjs';

const TOKEN = 'test-token';
const END_MS = 3000; /* a chat that has ended without a message has none, after that */

const model = (id, cost) => ({
  id,
  name: id,
  reasoning: false,
  input: ['text'],
  contextWindow: 128000,
  maxTokens: 4096,
  cost,
});
const PRICED = { input: 10, output: 30, cacheRead: 1, cacheWrite: 2 };
const FREE = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

function configOf({ port, dir, provider, telegram, plugin, recorder, diagnostics, access, plugins }) {
  return {
    gateway: {
      mode: 'local',
      bind: 'loopback',
      port,
      auth: { mode: 'token', token: TOKEN },
      http: { endpoints: { chatCompletions: { enabled: true }, responses: { enabled: true } } },
      controlUi: { enabled: false },
    },
    logging: { file: `${dir}/openclaw.log` },
    update: { checkOnStart: false },
    discovery: { mdns: { mode: 'off' } },
    diagnostics: { enabled: diagnostics },
    channels: {
      telegram: {
        enabled: true,
        botToken: '1234567:AAtest-token-test-token-test-token-te',
        apiRoot: telegram.url,
        dmPolicy: 'open',
        allowFrom: ['*'],
        network: { dangerouslyAllowPrivateNetwork: true },
        streaming: { mode: 'off' },
      },
    },
    agents: {
      defaults: {
        workspace: `${dir}/workspace`,
        skipBootstrap: true,
        timeoutSeconds: 20,
        heartbeat: { every: '0m' },
        model: { primary: 'fake/fake-big' },
        models: {
          'fake/fake-big': {},
          'fake/fake-small': {},
          'fake/fake-free': {},
          'claude/fake-claude': {},
        },
      },
      entries: { main: {}, coder: {} },
    },
    tools: { profile: 'full', toolSearch: false },
    models: {
      mode: 'replace',
      catalogRefresh: { enabled: false },
      providers: {
        fake: {
          baseUrl: `${provider.url}/v1`,
          apiKey: 'fake',
          api: 'openai-completions',
          models: [model('fake-big', PRICED), model('fake-small', PRICED), model('fake-free', FREE)],
        },
        claude: {
          baseUrl: provider.url,
          apiKey: 'fake',
          api: 'anthropic-messages',
          models: [model('fake-claude', PRICED)],
        },
      },
    },
    plugins: {
      load: { paths: [plugin, recorder] },
      entries: {
        tollgate: { enabled: true, hooks: { allowConversationAccess: access }, config: plugins.tollgate },
        'tollgate-recorder': {
          enabled: true,
          hooks: { allowConversationAccess: access },
          config: plugins.recorder,
        },
      },
    },
  };
}

export async function makeGateway(settings) {
  const { node, openclaw, dir } = settings;
  const port = await freePort(),
    url = `http://127.0.0.1:${port}`;
  for (const name of ['home', 'state', 'workspace', 'run']) mkdirSync(`${dir}/${name}`, { recursive: true });
  const env = {
    PATH: `${node.replace(/\/node$/, '')}:/usr/bin:/bin`,
    HOME: `${dir}/home`,
    XDG_RUNTIME_DIR: `${dir}/run`,
    TMPDIR: dir,
    OPENCLAW_HOME: `${dir}/home`,
    OPENCLAW_STATE_DIR: `${dir}/state`,
    OPENCLAW_CONFIG_PATH: `${dir}/state/openclaw.json`,
    OPENCLAW_DISABLE_BONJOUR: '1',
    OPENCLAW_NO_RESPAWN: '1',
    OPENCLAW_NO_AUTO_UPDATE: '1',
    OPENCLAW_EXEC_SHELL_SNAPSHOT: '0',
    DO_NOT_TRACK: '1',
  };
  let child, socket;

  const gateway = {
    logFile: `${dir}/gateway.log`,
    async start({ diagnostics = true, access = true } = {}) {
      writeFileSync(
        `${dir}/state/openclaw.json`,
        JSON.stringify(configOf({ ...settings, port, diagnostics, access })),
      );
      child = start(node, [openclaw, 'gateway', 'run', '--port', String(port)], {
        logFile: gateway.logFile,
        cwd: `${dir}/workspace`,
        env,
      });
      await healthy(child, `${url}/readyz`, 120);
    },
    stop: (signal) => {
      socket?.close();
      socket = undefined;
      return stop(child, signal);
    },

    /** POST /v1/…; answers { status, text }, or { gone: true } where `leave` ms ran out. */
    async http(path, body, { session, leave, as, agent } = {}) {
      const headers = {
        authorization: `Bearer ${TOKEN}`,
        'content-type': 'application/json',
        connection: 'close' /* the gateway closes what has been idle for 5 s, just when it is used again */,
        ...(session && { 'x-openclaw-session-key': session }),
        ...(as && { 'x-openclaw-model': as }),
      };
      const payload = { model: `openclaw/${agent ?? 'main'}`, ...body };
      try {
        const response = await fetch(url + path, {
          method: 'POST',
          headers,
          body: JSON.stringify(payload),
          signal: leave && AbortSignal.timeout(leave),
        });
        return { status: response.status, text: await response.text() };
      } catch (error) {
        if (leave) return { gone: true };
        throw error;
      }
    },

    async socket() {
      return (socket ??= await openSocket(`ws://127.0.0.1:${port}`));
    },

    cli(message) {
      return new Promise((resolve) =>
        execFile(
          node,
          [openclaw, 'agent', '--agent', 'main', '--message', message, '--json'],
          { env, cwd: `${dir}/workspace`, timeout: 60000 },
          (error, stdout) => resolve({ code: error?.code ?? 0, text: stdout }),
        ),
      );
    },
  };
  return gateway;
}

/**
 * The gateway's WebSocket: call(method, params), and until(runId) for the end of a chat. What no model has
 * answered ends twice: the second time with the message.
 */
async function openSocket(url) {
  const socket = new WebSocket(url),
    pending = new Map(),
    ends = new Map();
  let serial = 0;
  const call = (method, params) =>
    new Promise((resolve) => {
      pending.set(`r${++serial}`, resolve);
      socket.send(JSON.stringify({ type: 'req', id: `r${serial}`, method, params }));
    });
  const ended = (runId) => {
    if (!ends.has(runId)) ends.set(runId, Promise.withResolvers());
    return ends.get(runId);
  };
  const end = (payload) => {
    const { resolve } = ended(payload.runId);
    if (payload.state === 'final' && !payload.message) setTimeout(resolve, END_MS, payload);
    else resolve(payload);
  };
  await new Promise((resolve, reject) => {
    socket.onerror = reject;
    socket.onmessage = async ({ data }) => {
      const frame = JSON.parse(data);
      if (frame.type === 'res') pending.get(frame.id)?.(frame);
      if (frame.event === 'chat' && ['final', 'error', 'aborted'].includes(frame.payload.state))
        end(frame.payload);
      if (frame.event !== 'connect.challenge') return;
      const answer = await call('connect', {
        minProtocol: 4,
        maxProtocol: 4,
        role: 'operator',
        caps: [],
        auth: { token: TOKEN },
        scopes: ['operator.admin', 'operator.read', 'operator.write', 'operator.approvals'],
        client: { id: 'gateway-client', version: '1.0.0', platform: 'linux', mode: 'backend' },
      });
      if (answer.ok) resolve();
      else reject(new Error(JSON.stringify(answer.error)));
    };
  });
  return { call, until: (runId) => ended(runId).promise, close: () => socket.close() };
}
