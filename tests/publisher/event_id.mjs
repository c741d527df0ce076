// SPDX-License-Identifier: MIT
// The id of a model call: schema/wire.md, "Identity". MurmurHash3_x64_128, seed 0, with BigInt.

const M = (1n << 64n) - 1n;
const rotl = (x, r) => ((x << r) | (x >> (64n - r))) & M;

function mix(k) {
  k = ((k ^ (k >> 33n)) * 0xff51afd7ed558ccdn) & M;
  k = ((k ^ (k >> 33n)) * 0xc4ceb9fe1a85ec53n) & M;
  return k ^ (k >> 33n);
}

/** @param {Buffer} data @returns {Buffer} 16 bytes */
export function murmur3(data) {
  const c1 = 0x87c37b91114253d5n, c2 = 0x4cf5ad432745937fn, length = BigInt(data.length);
  const k1 = (k) => (rotl((k * c1) & M, 31n) * c2) & M;
  const k2 = (k) => (rotl((k * c2) & M, 33n) * c1) & M;
  let h1 = 0n, h2 = 0n, at = 0;

  for (; at + 16 <= data.length; at += 16) {
    h1 = ((rotl(h1 ^ k1(data.readBigUInt64LE(at)), 27n) + h2) * 5n + 0x52dce729n) & M;
    h2 = ((rotl(h2 ^ k2(data.readBigUInt64LE(at + 8)), 31n) + h1) * 5n + 0x38495ab5n) & M;
  }
  const tail = Buffer.alloc(16);
  data.copy(tail, 0, at);
  h2 ^= k2(tail.readBigUInt64LE(8)) ^ length;
  h1 ^= k1(tail.readBigUInt64LE(0)) ^ length;
  h1 = (h1 + h2) & M;
  h2 = mix((h2 + h1) & M);
  h1 = (mix(h1) + h2) & M;
  h2 = (h2 + h1) & M;
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(h1, 0);
  out.writeBigUInt64LE(h2, 8);
  return out;
}

/** Rules 1 and 2; null where neither name is known. */
export function eventId({ session_id, response_id, span_id }) {
  const name = response_id || span_id;
  return name ? murmur3(Buffer.from(`${response_id ? "r" : "s"}${session_id || ""}\0${name}`)) : null;
}
