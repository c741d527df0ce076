// SPDX-License-Identifier: MIT
//
// Makes schema/prices.json from the npm package below: `make prices`. Nothing of it runs in the collector.
//
// The package's prices are dollars per unit, floating point; the list has decimal strings of dollars per
// million tokens, and per call where a call itself costs. Only the kinds of tokens that events tell are kept.
// Of tiers, the package has one list for each rate; here a tier holds for all rates above its threshold.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const PACKAGE = '@pydantic/genai-prices'
const VERSION = '0.1.8'
const INTEGRITY = 'sha512-h7CYw6qTyflG2zUndO8tXyL8Xopf+tX9JZu13h0ZFgeyYj+J2gm1edR4+R+mbQ2vPdkFjtTmmmu1cYQPM5/KTA=='
const TOP = dirname(dirname(fileURLToPath(import.meta.url)))
const PLACE = join(TOP, 'build', 'prices')

const RATES = {
  input: 'input_mtok',
  cache_read: 'cache_read_mtok',
  cache_write: 'cache_write_mtok',
  cache_write_1h: 'cache_write_1h_mtok',
  output: 'output_mtok',
  reasoning: 'output_reasoning_mtok',
}

// The package, installed once under build/; it is what its hash says.
export async function genaiPrices() {
  const home = join(PLACE, 'node_modules', PACKAGE)
  const lock = join(PLACE, 'package-lock.json')
  if (!existsSync(lock) || !readFileSync(lock, 'utf8').includes(INTEGRITY) || !existsSync(home)) {
    mkdirSync(PLACE, { recursive: true })
    writeFileSync(join(PLACE, 'package.json'), JSON.stringify({ private: true, dependencies: { [PACKAGE]: VERSION } }))
    execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: PLACE, stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (!readFileSync(lock, 'utf8').includes(INTEGRITY)) throw new Error(`${PACKAGE} ${VERSION} is not what it was: ${lock}`)
  }
  return import(pathToFileURL(join(home, 'dist', 'index.js')))
}

// The whole list of providers that the package carries.
export async function providers() {
  return (await genaiPrices()).waitForUpdate()
}

// A rate as a decimal with at most nine digits: nano-dollars per million tokens are what the collector counts in.
export function decimal(value) {
  if (!Number.isFinite(value) || value < 0) throw new Error(`not a price: ${value}`)
  return value.toFixed(9).replace(/\.?0+$/, '')
}

const baseOf = (rate) => (typeof rate === 'number' ? rate : rate.base)

function ratesAt(prices, start) {
  const out = {}
  for (const [name, key] of Object.entries(RATES)) {
    const rate = prices[key]
    if (rate === undefined) continue
    let value = baseOf(rate)
    if (typeof rate !== 'number') for (const t of [...rate.tiers].sort((a, b) => a.start - b.start)) if (t.start <= start) value = t.price
    out[name] = decimal(value)
  }
  return out
}

function utc(time) {
  if (!/^\d\d:\d\d:\d\dZ$/.test(time)) throw new Error(`not a time of day in UTC: ${time}`)
  return time
}

function entry(prices, constraint) {
  const out = {}
  if (constraint?.type === 'start_date') out.from = constraint.start_date
  else if (constraint?.type === 'time_of_date') out.daily = [utc(constraint.start_time), utc(constraint.end_time)]
  else if (constraint !== undefined) throw new Error(`unknown constraint: ${JSON.stringify(constraint)}`)
  Object.assign(out, ratesAt(prices, -1))
  if (prices.requests_kcount !== undefined) out.request = decimal(prices.requests_kcount / 1000)
  const starts = new Set(Object.values(RATES).flatMap((k) => prices[k]?.tiers?.map((t) => t.start) ?? []))
  if (starts.size > 0) out.tiers = [...starts].sort((a, b) => a - b).map((start) => ({ above: start, ...ratesAt(prices, start) }))
  return out
}

// The package says the same, nothing, of a model that is free and of one whose price nobody knows.
function isFree(model) {
  return model.id.endsWith(':free') || /free of charge|included in the subscription/i.test(model.price_comments ?? '')
}

function modelOf(model) {
  const out = { id: model.id, match: model.match }
  if (model.context_window) out.context = model.context_window
  const dated = Array.isArray(model.prices) ? model.prices : [{ prices: model.prices }]
  const told = dated.map((d) => entry(d.prices, d.constraint))
  const kept = told.filter((e) => Object.keys(RATES).some((k) => k in e) || 'request' in e)
  if (kept.length !== 0 && kept.length !== told.length) throw new Error(`${model.id}: prices for some times only`)
  out.prices = kept
  const nothing = dated.every((d) => Object.keys(d.prices).length === 0)
  if (nothing && isFree(model)) out.prices = [{ free: true }]
  else if (kept.length === 0 && !nothing) out.priced_by = [...new Set(dated.flatMap((d) => Object.keys(d.prices)))].sort()
  return out
}

function providerOf(p) {
  const { id, provider_match: match, model_match, fallback_model_providers: fallback } = p
  const head = { id, match, model_match, fallback }
  return JSON.stringify(head).slice(0, -1) + ',"models":[\n' + p.models.map((m) => JSON.stringify(modelOf(m))).join(',\n') + '\n]}'
}

async function publishedOn() {
  const times = JSON.parse(execFileSync('npm', ['view', PACKAGE, 'time', '--json'], { cwd: TOP, encoding: 'utf8' }))
  return times[VERSION].slice(0, 10)
}

async function main() {
  const list = await providers()
  const licence = readFileSync(join(PLACE, 'node_modules', PACKAGE, 'LICENSE'), 'utf8').trim()
  const head = { source: 'genai-prices', package: PACKAGE, version: VERSION, date: await publishedOn(), licence }
  const text = JSON.stringify(head, null, 1).slice(0, -2) + ',\n "providers": [\n' + list.map(providerOf).join(',\n') + '\n]}\n'
  JSON.parse(text)
  writeFileSync(join(TOP, 'schema', 'prices.json'), text)
  console.log(`schema/prices.json: ${PACKAGE} ${VERSION} of ${head.date}, ${list.length} providers, ` +
    `${list.reduce((n, p) => n + p.models.length, 0)} models`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
