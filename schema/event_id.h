/* SPDX-License-Identifier: MIT
 *
 * event_id.h: how an event gets its name (schema/wire.md, "Identity"), as the reference that the
 * emitter and the collector share. Pure; checked against schema/vectors/event_id.json.
 *
 * id = MurmurHash3_x64_128(seed 0, tag || session_id || 0x00 || name), the two 64-bit halves in
 * order, each little-endian; tag is 'r' and name the response id where there is one, else tag is
 * 's' and name the span id. MurmurHash3 is Austin Appleby's, in the public domain.
 */
#ifndef TOLLGATE_EVENT_ID_H
#define TOLLGATE_EVENT_ID_H

#include <stdint.h>
#include <string.h>

#define TG_EVENT_ID_BYTES    16
#define TG_EVENT_ID_TEXT_MAX 255 /* of session_id and of name, as on the wire */

static inline uint64_t tg_hash_rotl(uint64_t x, int r)
{
    return (x << r) | (x >> (64 - r));
}

static inline uint64_t tg_hash_mix(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    return k ^ (k >> 33);
}

/* MurmurHash3_x64_128 with seed 0 of len bytes at data, into out (16 bytes). What is behind the last
 * multiple of 16 is read from tail, which is filled up with zeros. Little-endian CPUs. */
static inline void tg_hash128_tail(const unsigned char *data, size_t len, const unsigned char *tail,
                                   unsigned char out[16])
{
    const uint64_t c1 = 0x87c37b91114253d5ULL, c2 = 0x4cf5ad432745937fULL;
    uint64_t h1 = 0, h2 = 0, k1, k2;
    size_t at = 0;

    for (; at + 16 <= len; at += 16) {
        memcpy(&k1, data + at, 8);
        memcpy(&k2, data + at + 8, 8);
        h1 ^= tg_hash_rotl(k1 * c1, 31) * c2;
        h1 = (tg_hash_rotl(h1, 27) + h2) * 5 + 0x52dce729;
        h2 ^= tg_hash_rotl(k2 * c2, 33) * c1;
        h2 = (tg_hash_rotl(h2, 31) + h1) * 5 + 0x38495ab5;
    }
    if (at < len) {
        memcpy(&k1, tail, 8);
        memcpy(&k2, tail + 8, 8);
        h2 ^= tg_hash_rotl(k2 * c2, 33) * c1;
        h1 ^= tg_hash_rotl(k1 * c1, 31) * c2;
    }
    h1 ^= len;
    h2 ^= len;
    h1 += h2;
    h2 += h1;
    h1 = tg_hash_mix(h1);
    h2 = tg_hash_mix(h2);
    h1 += h2;
    h2 += h1;
    memcpy(out, &h1, 8);
    memcpy(out + 8, &h2, 8);
}

/* The same of any bytes. */
static inline void tg_hash128(const unsigned char *data, size_t len, unsigned char out[16])
{
    unsigned char tail[16] = { 0 };

    memcpy(tail, data + len / 16 * 16, len % 16);
    tg_hash128_tail(data, len, tail, out);
}

/* The id of a call. tag: 'r' (name is the response id) or 's' (the span id). Lengths are at most
 * TG_EVENT_ID_TEXT_MAX; session may be empty, name may not. */
static inline void tg_event_id_hash(char tag, const char *session, size_t session_len, const char *name,
                                    size_t name_len, unsigned char out[TG_EVENT_ID_BYTES])
{
    unsigned char text[2 + 2 * TG_EVENT_ID_TEXT_MAX + 16];
    const size_t len = 2 + session_len + name_len;

    text[0] = (unsigned char)tag;
    if (session_len > 0)
        memcpy(text + 1, session, session_len);
    text[1 + session_len] = 0;
    memcpy(text + 2 + session_len, name, name_len);
    memset(text + len, 0, 16);
    tg_hash128_tail(text, len, text + len / 16 * 16, out);
}

/* The id of an event with no response and no span: 6 bytes of time (big-endian milliseconds, so
 * that ids sort), then 10 bytes of a hash of the event's place in its stream. */
static inline void tg_event_id_place(int64_t ts_ms, uint64_t epoch, uint64_t stream, uint64_t seq,
                                     unsigned char out[TG_EVENT_ID_BYTES])
{
    uint64_t place[3] = { epoch, stream, seq };
    unsigned char hash[16];

    tg_hash128((const unsigned char *)place, sizeof place, hash);
    for (int i = 0; i < 6; i++)
        out[i] = (unsigned char)((uint64_t)ts_ms >> (40 - 8 * i));
    memcpy(out + 6, hash, 10);
}

#endif
