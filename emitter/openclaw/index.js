/* SPDX-License-Identifier: MIT
 *
 * index.js: registers with the gateway. What the hooks mean stands in join.js, what there is one
 * of in each process in hub.js. Two handlers may change what the gateway does: those of the gate.
 */
import { hub } from './hub.js';
import { Join } from './join.js';

const DIAGNOSTICS = ['model.call.completed', 'model.call.error'];

/** Diagnostics are a second source of usage, where the gateway has them and lets plugins listen. */
const diagnostics = import('openclaw/plugin-sdk/diagnostic-runtime').catch(() => undefined);

function subscription(module) {
  const listen = module?.onInternalDiagnosticEvent;
  return listen && ((listener) => listen(listener, { include: DIAGNOSTICS }));
}

export default {
  id: 'tollgate',
  name: 'Tollgate',
  description: 'Meters every model call and message event, and keeps budgets',
  register(api) {
    hub.configure({ ...api.pluginConfig, gatewayVersion: api.runtime?.version }, api.logger, api.config);
    for (const name of Object.keys(Join.hooks)) api.on(name, (event, ctx) => hub.hook(name, event, ctx));
    if (api.pluginConfig?.enforce !== false) {
      api.on('before_agent_reply', (event, ctx) => hub.beforeReply(event, ctx));
      api.on('before_model_resolve', (event, ctx) => hub.beforeModel(event, ctx));
    }
    api.registerService({
      id: 'tollgate',
      start: async () => hub.start(subscription(await diagnostics)),
      stop: () => hub.stop(),
    });
  },
};
