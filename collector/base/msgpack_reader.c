/* SPDX-License-Identifier: MIT */
#include "msgpack_reader.h"

static bool take_be(struct mp *r, unsigned bytes, uint64_t *out)
{
    uint64_t v = 0;

    if ((size_t)(r->end - r->at) < bytes)
        return false;
    for (unsigned i = 0; i < bytes; i++)
        v = v << 8 | r->at[i];
    r->at += bytes;
    *out = v;
    return true;
}

static bool take_bytes(struct mp *r, enum mp_type type, uint64_t len, struct mp_value *out)
{
    if ((uint64_t)(r->end - r->at) < len)
        return false;
    out->type = type;
    out->s = (struct slice){ r->at, (uint32_t)len };
    r->at += len;
    return true;
}

/* count elements (or pairs) of at least per bytes each must still fit. */
static bool take_container(struct mp *r, enum mp_type type, uint64_t count, struct mp_value *out)
{
    uint64_t per = type == MP_MAP ? 2 : 1;

    if ((uint64_t)(r->end - r->at) < count * per)
        return false;
    out->type = type;
    out->count = (uint32_t)count;
    return true;
}

static bool take_uint(struct mp *r, unsigned bytes, struct mp_value *out)
{
    out->type = MP_UINT;
    return take_be(r, bytes, &out->u);
}

static bool take_int(struct mp *r, unsigned bytes, struct mp_value *out)
{
    unsigned shift = 64 - 8 * bytes;

    if (!take_be(r, bytes, &out->u))
        return false;
    int64_t v = (int64_t)(out->u << shift) >> shift;
    out->u = (uint64_t)v;
    out->type = v < 0 ? MP_NEGATIVE : MP_UINT;
    return true;
}

static bool take_float(struct mp *r, unsigned bytes, struct mp_value *out)
{
    uint64_t bits;

    if (!take_be(r, bytes, &bits))
        return false;
    out->type = MP_FLOAT;
    if (bytes == 4) {
        uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, 4);
        out->f = (double)f;
    } else {
        memcpy(&out->f, &bits, 8);
    }
    return true;
}

static bool take_sized(struct mp *r, enum mp_type type, unsigned size_bytes, struct mp_value *out)
{
    uint64_t n;

    if (!take_be(r, size_bytes, &n))
        return false;
    if (type == MP_ARRAY || type == MP_MAP)
        return take_container(r, type, n, out);
    return take_bytes(r, type, type == MP_EXT ? n + 1 : n, out);
}

static bool read_tagged(struct mp *r, uint8_t tag, struct mp_value *out)
{
    switch (tag) {
    case 0xc0:
        out->type = MP_NIL;
        return true;
    case 0xc2:
    case 0xc3:
        out->type = MP_BOOL;
        out->u = tag & 1;
        return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
        return take_sized(r, MP_BIN, 1U << (tag - 0xc4), out);
    case 0xc7:
    case 0xc8:
    case 0xc9:
        return take_sized(r, MP_EXT, 1U << (tag - 0xc7), out);
    case 0xca:
    case 0xcb:
        return take_float(r, tag == 0xca ? 4 : 8, out);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        return take_uint(r, 1U << (tag - 0xcc), out);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return take_int(r, 1U << (tag - 0xd0), out);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        return take_bytes(r, MP_EXT, 1 + (1ULL << (tag - 0xd4)), out);
    case 0xd9:
    case 0xda:
    case 0xdb:
        return take_sized(r, MP_STR, 1U << (tag - 0xd9), out);
    case 0xdc:
    case 0xdd:
        return take_sized(r, MP_ARRAY, tag == 0xdc ? 2 : 4, out);
    case 0xde:
    case 0xdf:
        return take_sized(r, MP_MAP, tag == 0xde ? 2 : 4, out);
    default: /* 0xc1 is never used */
        return false;
    }
}

bool mp_read(struct mp *r, struct mp_value *out)
{
    if (r->at >= r->end)
        return false;
    uint8_t tag = *r->at++;
    if (tag < 0x80 || tag >= 0xe0) {
        out->u = (uint64_t)(int8_t)tag;
        out->type = tag < 0x80 ? MP_UINT : MP_NEGATIVE;
        return true;
    }
    if (tag >= 0xc0)
        return read_tagged(r, tag, out);
    if (tag >= 0xa0)
        return take_bytes(r, MP_STR, tag & 0x1f, out);
    return take_container(r, tag >= 0x90 ? MP_ARRAY : MP_MAP, tag & 0x0f, out);
}

bool mp_skip(struct mp *r)
{
    uint64_t left[MP_DEPTH_MAX + 1] = { 1 };
    int depth = 0;
    struct mp_value v;

    while (depth >= 0) {
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        left[depth]--;
        if (!mp_read(r, &v))
            return false;
        if (v.type != MP_ARRAY && v.type != MP_MAP)
            continue;
        if (++depth > MP_DEPTH_MAX)
            return false;
        left[depth] = (uint64_t)v.count * (v.type == MP_MAP ? 2 : 1);
    }
    return true;
}
