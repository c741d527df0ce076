// SPDX-License-Identifier: MIT
//
// Random usages over every model of @pydantic/genai-prices, and what the package's own calculation says they
// cost: one JSON array a line, [provider, model, ts_ms, prompt, completion, cached, cache_write,
// cache_write_1h, reasoning, answer]; -1 is unknown, answer null (the package knows no price) or
// [provider, model, dollars, whether anything at all was charged for what events tell, slack].
//
//   node usages.mjs COUNT SEED
import { genaiPrices, providers, decimal } from '../../schema/prices.mjs'

const [count, seed] = process.argv.slice(2).map(Number)
const { calcPrice } = await genaiPrices()
const list = await providers()
const OURS = ['input_mtok', 'cache_read_mtok', 'cache_write_mtok', 'cache_write_1h_mtok', 'output_mtok',
  'output_reasoning_mtok', 'requests_kcount']

let state = seed >>> 0
function random() { // mulberry32
  state = (state + 0x6d2b79f5) >>> 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (a) => a[below(a.length)]

// Names that a rule may take, from its leaves.
function names(rule) {
  if (rule.or || rule.and) return (rule.or ?? rule.and).flatMap(names)
  if (rule.equals) return [rule.equals]
  if (rule.starts_with) return [rule.starts_with, rule.starts_with + '-x']
  if (rule.ends_with) return [rule.ends_with, 'x-' + rule.ends_with]
  if (rule.contains) return [rule.contains, 'x-' + rule.contains + '-y']
  return [rule.regex.replace(/[\^$]/g, '').replace(/\\d\{8\}/g, '20260102').replace(/\\d\{4\}/g, '2026')
    .replace(/\\d\{2\}/g, '01').replace(/\\d/g, '7').replace(/\\/g, '')]
}

function disguise(name) {
  switch (below(8)) {
    case 0: return name.toUpperCase()
    case 1: return ` ${name} `
    case 2: return name + '-20260102'
    case 3: return name.replace(/-(20\d\d)-(\d\d)-(\d\d)/g, '-$1$2$3')
    default: return name
  }
}

function time(model) {
  const dates = Array.isArray(model.prices) ? model.prices.flatMap((p) => p.constraint?.start_date ?? []) : []
  const times = Array.isArray(model.prices)
    ? model.prices.flatMap((p) => (p.constraint?.start_time ? [p.constraint.start_time, p.constraint.end_time] : [])) : []
  const any = Date.UTC(2024, 0, 1) + below(4 * 365 * 86400) * 1000 + below(1000)
  if (times.length && below(2)) return Date.parse(`${new Date(any).toISOString().slice(0, 10)}T${pick(times)}`) + below(3) - 1
  return dates.length && below(2) ? Date.parse(pick(dates)) + below(3) - 1 : any
}

function thresholds(model) {
  const dated = Array.isArray(model.prices) ? model.prices.map((p) => p.prices) : [model.prices]
  return dated.flatMap((p) => Object.values(p).flatMap((v) => v?.tiers?.map((t) => t.start) ?? []))
}

function usage(model) {
  const starts = thresholds(model)
  const prompt = starts.length && below(2) ? pick(starts) + below(3) - 1 : below(pick([2, 1000, 100000, 3000000]))
  const completion = below(pick([2, 1000, 100000, 1000000]))
  const cached = below(prompt + 1)
  const write = below(prompt - cached + 1)
  const hour = below(write + 1)
  const hide = (n) => (below(3) === 0 ? -1 : n)
  const u = [prompt, completion, hide(cached), hide(write), hide(hour), hide(below(completion + 1))]
  if (u[3] === -1) u[4] = -1 // the package refuses the part without the whole
  return u
}

const KEYS = ['input_tokens', 'output_tokens', 'cache_read_tokens', 'cache_write_tokens', 'cache_write_1h_tokens',
  'output_reasoning_tokens']

function answer(provider, model, ts, u) {
  const told = Object.fromEntries(KEYS.map((k, i) => [k, u[i]]).filter(([, n]) => n !== -1))
  const r = calcPrice(told, model, { providerId: provider || undefined, timestamp: new Date(ts) })
  if (r === null) return null
  const rates = OURS.flatMap((k) => { const v = r.model_price[k]; return v === undefined ? [] : typeof v === 'number' ? [v] : [v.base, ...v.tiers.map((t) => t.price)] })
  // A rate with more than nine digits after the point is rounded when the list is made.
  const slack = rates.some((v) => Number(decimal(v)) !== v) ? (u[0] + u[1]) * 0.5e-6 : 0
  return [r.provider.id, r.model.id, r.total_price, rates.length > 0, slack]
}

const all = list.flatMap((p) => p.models.map((m) => [p, m]))
for (let i = 0; i < count; i++) {
  const [p, m] = i < all.length ? all[i] : pick(all)
  const provider = below(5) ? p.id : pick(['', 'litellm', p.name, `my-${p.id}`])
  const model = i < all.length ? pick(names(m.match)) : disguise(pick(names(m.match)))
  const ts = time(m), u = usage(m)
  console.log(JSON.stringify([provider, model, ts, ...u, answer(provider, model, ts, u)]))
}
