/* SPDX-License-Identifier: MIT
 *
 * leb128.h: LEB128, little-endian base 128: seven bits a byte, the high bit says that more follow. Pure.
 */
#ifndef COLLECTOR_LEB128_H
#define COLLECTOR_LEB128_H

#include <stddef.h>
#include <stdint.h>

#define LEB128_MAX 10 /* bytes of 64 bits */

/* The bytes that n takes. */
static inline size_t leb128_size(uint64_t n)
{
    return ((size_t)(63 - __builtin_clzll(n | 1)) * 9 + 73) / 64;
}

/* Writes n, which must have room; the byte after it. */
static inline uint8_t *leb128_put(uint8_t *at, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *at++ = (uint8_t)(n | 0x80);
    *at++ = (uint8_t)n;
    return at;
}

/* What leb128_get does when the first byte says that more follow. */
static inline const uint8_t *leb128_get_long(const uint8_t *at, const uint8_t *end, uint64_t *n)
{
    uint64_t v = 0;

    for (unsigned shift = 0; at < end && shift < 7 * LEB128_MAX; shift += 7) {
        uint8_t byte = *at++;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *n = v;
            return shift == 63 && byte > 1 ? NULL : at;
        }
    }
    return NULL;
}

/* Reads one number; the byte after it, or NULL: it does not end before end, or not within 64 bits. */
static inline const uint8_t *leb128_get(const uint8_t *at, const uint8_t *end, uint64_t *n)
{
    if (at < end && *at < 0x80) {
        *n = *at;
        return at + 1;
    }
    return leb128_get_long(at, end, n);
}

#endif
