// SPDX-License-Identifier: MIT
// The golden vectors against msgpackr and this folder's event_id: do their bytes say what they claim?
//   node check_vectors.mjs DIRECTORY-OF-VECTORS

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { unpack } from "msgpackr";
import { eventId } from "./event_id.mjs";

const dir = process.argv[2];
const load = (name) => JSON.parse(readFileSync(join(dir, name), "utf8"));
const number = (v) => (typeof v === "bigint" ? Number(v) : v); // JSON.parse rounds in the same way

const { ids } = load("event_id.json");
for (const item of ids) assert.equal(eventId(item).toString("hex"), item.event_id, JSON.stringify(item));

const { batches, replies } = load("batch.json");
for (const { name, hex, batch, events } of batches) {
  const v = unpack(Buffer.from(hex, "hex"));
  assert.deepEqual(v.slice(0, 2), [1, 1], name);
  assert.deepEqual(v.slice(2, 7).map(number), [batch.source, batch.epoch, batch.stream, batch.base, batch.first_seq], name);
  assert.equal(v[7].length, events.length, name);
  v[7].forEach((event, i) => assert.equal(number(Array.isArray(event) ? event[2] : event.ts_ms) ?? undefined,
    events[i].ts_ms, name));
}
for (const { name, hex, reply } of replies) {
  const v = unpack(Buffer.from(hex, "hex"));
  assert.deepEqual(v.slice(0, 2), [1, 2], name);
  assert.deepEqual(v.slice(2, 9).map(number), Object.values(reply), name);
}
console.log(JSON.stringify({ ids: ids.length, batches: batches.length, replies: replies.length }));
