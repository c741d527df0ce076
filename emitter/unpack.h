/* SPDX-License-Identifier: MIT
 *
 * unpack.h: reads MessagePack in place: what a stranger on the socket says, and what stands in a file
 * that another process may be writing. Never beyond `end`, never recursive, nothing is allocated.
 *
 * Bytes are loaded as relaxed atomics, which costs nothing, because the file may change under a reader
 * (page.h); then what was read means nothing, but reading it did no harm. False: it is not that, or
 * does not end in time; the reader is then of no further use.
 */
#ifndef EMITTER_UNPACK_H
#define EMITTER_UNPACK_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNPACK_NIL 0xc0

struct reader {
    const uint8_t *at, *end;
};

/* Bytes of a string, borrowed from where they were read. */
struct bytes {
    const uint8_t *at;
    size_t len;
};

static inline uint8_t load8(const uint8_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint64_t read_big(struct reader *r, size_t bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0)
        v = v << 8 | load8(r->at++);
    return v;
}

static inline bool read_left(const struct reader *r, uint64_t bytes)
{
    return (uint64_t)(r->end - r->at) >= bytes;
}

/* The length after a tag of so many bytes. */
static inline bool read_len(struct reader *r, size_t bytes, uint64_t *out)
{
    if (bytes == 0 || !read_left(r, bytes))
        return false;
    *out = read_big(r, bytes);
    return true;
}

static inline bool read_uint(struct reader *r, uint64_t *out)
{
    if (r->at == r->end)
        return false;
    uint8_t tag = load8(r->at++);
    if (tag < 0x80) {
        *out = tag;
        return true;
    }
    return read_len(r, tag >= 0xcc && tag <= 0xcf ? (size_t)1 << (tag - 0xcc) : 0, out);
}

static inline bool read_nil(struct reader *r)
{
    if (r->at == r->end || load8(r->at) != UNPACK_NIL)
        return false;
    r->at++;
    return true;
}

static inline bool read_negative(struct reader *r, int64_t *out)
{
    uint64_t v;
    uint8_t tag = load8(r->at++);

    if (tag >= 0xe0) {
        *out = (int64_t)tag - 256;
        return true;
    }
    size_t bytes = (size_t)1 << (tag - 0xd0);
    if (!read_len(r, bytes, &v))
        return false;
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    *out = (v & sign) == 0 ? (int64_t)v : bytes == 8 ? (int64_t)v : (int64_t)v - (int64_t)(sign << 1);
    return true;
}

/* An integer of either sign that fits. */
static inline bool read_int(struct reader *r, int64_t *out)
{
    uint64_t v;

    if (r->at == r->end)
        return false;
    uint8_t tag = load8(r->at);
    if (tag >= 0xe0 || (tag >= 0xd0 && tag <= 0xd3))
        return read_negative(r, out);
    if (!read_uint(r, &v) || v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

/* nil leaves *out as it is. */
static inline bool read_int_or_nil(struct reader *r, int64_t *out)
{
    return read_nil(r) || read_int(r, out);
}

static inline bool read_array(struct reader *r, uint64_t *parts)
{
    if (r->at == r->end)
        return false;
    uint8_t tag = load8(r->at++);
    if ((tag & 0xf0) == 0x90) {
        *parts = tag & 15u;
        return true;
    }
    return read_len(r, tag == 0xdc ? 2 : tag == 0xdd ? 4 : 0, parts);
}

static inline bool read_text(struct reader *r, struct bytes *out)
{
    uint64_t len;

    if (r->at == r->end)
        return false;
    uint8_t tag = load8(r->at++);
    if ((tag & 0xe0) == 0xa0)
        len = tag & 31u;
    else if (!read_len(r, tag >= 0xd9 && tag <= 0xdb ? (size_t)1 << (tag - 0xd9) : 0, &len))
        return false;
    if (!read_left(r, len))
        return false;
    *out = (struct bytes){ r->at, (size_t)len };
    r->at += len;
    return true;
}

/* nil leaves *out as it is. */
static inline bool read_text_or_nil(struct reader *r, struct bytes *out)
{
    return read_nil(r) || read_text(r, out);
}

/* Payload bytes after the tag, and elements that follow: one element of any kind. */
static inline bool read_any(struct reader *r, uint64_t *children)
{
    static const uint8_t fixed[] = { 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17 }; /* cc to d8, 0xca apart */
    uint64_t len = 0;
    uint8_t tag = load8(r->at++);

    *children = 0;
    if (tag < 0x80 || tag >= 0xe0)
        return true;
    if (tag < 0x90)
        *children = 2u * (tag & 15u);
    else if (tag < 0xa0)
        *children = tag & 15u;
    else if (tag < 0xc0)
        len = tag & 31u;
    else if (tag >= 0xdc) { /* arrays, then maps, of 2 or 4 bytes of length */
        if (!read_len(r, tag & 1u ? 4 : 2, children))
            return false;
        *children *= tag >= 0xde ? 2 : 1;
    } else if (tag >= 0xd9) {
        if (!read_len(r, (size_t)1 << (tag - 0xd9), &len))
            return false;
    } else if (tag >= 0xcc)
        len = fixed[tag - 0xcc];
    else if (tag >= 0xca)
        len = tag == 0xca ? 4 : 8;
    else if (tag >= 0xc4) { /* bin, then ext, which has a type besides */
        if (!read_len(r, (size_t)1 << ((tag - 0xc4) % 3), &len))
            return false;
        len += tag >= 0xc7;
    } else if (tag == 0xc1)
        return false;
    if (!read_left(r, len))
        return false;
    r->at += len;
    return true;
}

/* Over `count` elements, whatever is in them. Each takes a byte at least, so this ends. */
static inline bool read_skip(struct reader *r, uint64_t count)
{
    uint64_t children;

    while (count > 0) {
        if (!read_left(r, count) || !read_any(r, &children))
            return false;
        if (children > UINT32_MAX * (uint64_t)2)
            return false;
        count += children - 1;
    }
    return true;
}

#endif
