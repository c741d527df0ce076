/* SPDX-License-Identifier: MIT */

/** Everything is optional: undefined and null are unknown, which is not 0. */
export interface Options {
  endpoint?: string;
  source?: string;
  spool_dir?: string;
  gateway?: string;
  gateway_version?: string;
  spool_bytes?: number;
  segment_bytes?: number;
  on_full?: 'drop_newest' | 'evict_oldest';
  mode?: 'send' | 'spool';
  linger_ms?: number;
  report_ms?: number;
}

interface Event {
  /** 16 bytes; made by the library if missing. */
  event_id?: Uint8Array;
  /** Unix milliseconds; now if missing. */
  ts_ms?: number;
  session_id?: string;
  parent_session_id?: string;
  root_session_id?: string;
  agent_id?: string;
  user_id?: string;
  surface?: string;
  channel?: string;
  error_type?: string;
  run_id?: string;
  /** At most 16. */
  tags?: Record<string, string>;
  latency_ms?: number;
}

/** Tokens in OpenAI's convention: prompt includes cached and cache-write, completion includes reasoning. */
export interface Usage {
  prompt_tokens?: number;
  completion_tokens?: number;
  total_tokens?: number;
  cached_tokens?: number;
  cache_write_tokens?: number;
  cache_write_1h_tokens?: number;
  reasoning_tokens?: number;
}

export interface Dispatch extends Event, Usage {
  provider?: string;
  model?: string;
  requested_model?: string;
  lane?: string;
  trigger?:
    'user' | 'heartbeat' | 'cron' | 'subagent' | 'compaction' | 'retry' | 'plugin' | 'unknown' | number;
  granularity?: 'call' | 'run' | 'turn' | number;
  status?: 'ok' | 'error' | 'timeout' | 'aborted' | 'blocked' | 'unknown' | number;
  call_id?: string;
  response_id?: string;
  trace_id?: string;
  span_id?: string;
  reservation_id?: string;
  tool_used?: string;
  attempt?: number;
  tool_calls?: number;
  ttft_ms?: number;
  http_status?: number;
  partial?: 0 | 1;
  cost_reported_nanousd?: number;
}

export interface Message extends Event {
  kind:
    'message_received' | 'message_sending' | 'message_sent' | 'agent_end' | 'before_agent_finalize' | number;
  outcome?: 'delivered' | 'failed' | 'rewritten' | 'cancelled' | 'observed' | 'unknown' | number;
  message_id?: string;
  bytes?: number;
}

/** struct tg_stats of tollgate.h. */
export type Stats = Record<
  | 'emitted'
  | 'settled'
  | 'pending'
  | 'dropped_full'
  | 'dropped_evicted'
  | 'dropped_too_big'
  | 'dropped_damaged'
  | 'dropped_refused'
  | 'duplicates'
  | 'truncated'
  | 'batches_sent'
  | 'batches_resent'
  | 'adopted'
  | 'spool_bytes'
  | 'spool_used_bytes'
  | 'spool_in_memory'
  | 'connected'
  | 'last_error'
  | 'verdicts_stale'
  | 'verdict_version'
  | 'verdicts_damaged'
  | 'asked'
  | 'unanswered',
  number
>;

/** A call that is about to be made. */
export interface Request {
  agent_id?: string;
  session_id?: string;
  /** session_id if missing. */
  root_session_id?: string;
  user_id?: string;
  provider?: string;
  model?: string;
  lane?: string;
  surface?: string;
  channel?: string;
  trigger?: Dispatch['trigger'];
  tags?: Record<string, string>;
  /** Estimates; 0 is unknown here. */
  prompt_tokens?: number;
  max_tokens?: number;
}

/** Of 'allow' only action and stale are there; of the others, what is known. */
export interface Verdict {
  action: 'allow' | 'warn' | 'downgrade' | 'delay' | 'block';
  /** No collector's word that is young enough: what was agreed upon for that case. */
  stale: boolean;
  budget?: string;
  message?: string;
  use_model?: string;
  use_lane?: string;
  unit?: 'nanousd' | 'tokens' | 'calls';
  spent?: number;
  limit?: number;
  opens_in_ms?: number;
  delay_ms?: number;
}

/** struct tg_reservation of tollgate.h, with tg_admit's result. */
export interface Admission {
  result: number;
  /** Missing after CLOSED and INVALID. */
  verdict?: Verdict;
  id?: string;
  status?: number;
  reserved_nanousd?: number;
  expires_in_ms?: number;
}

export const Result: Readonly<{
  OK: 0;
  INVALID: 1;
  NOMEM: 2;
  FULL: 3;
  FORKED: 4;
  TIMEOUT: 5;
  CLOSED: 6;
  UNREACHABLE: 7;
  UNSUPPORTED: 8;
  BUSY: 9;
  REFUSED: 10;
}>;

export class Emitter {
  constructor(options?: Options);
  /** A TypeError names the property that has a wrong type; nothing is emitted then. */
  dispatch(event: Dispatch): number;
  message(event: Message): number;
  check(request: Request): Verdict | null;
  admit(request: Request, how?: { timeout_ms?: number; ttl_ms?: number; id?: string }): Promise<Admission>;
  settle(id: string, usage?: Usage | null, timeoutMs?: number): Promise<number>;
  count(name: string, label?: string | null, n?: number): number;
  stats(): Stats | null;
  flush(timeoutMs: number): Promise<number>;
  close(timeoutMs: number): Promise<number>;
}

export function usageOpenclaw(usage?: {
  input?: number;
  output?: number;
  cacheRead?: number;
  cacheWrite?: number;
  totalTokens?: number;
}): Usage;
export function strerror(result: number): string;
export function addon(): object;
