/* SPDX-License-Identifier: MIT
 *
 * msgpack_reader.h: MessagePack as a stream. Reads headers and scalars one by one from memory that
 * somebody else owns, allocates nothing, trusts nothing: a header that claims more than the bytes
 * left is refused before anybody believes it. Every element costs at least a byte, so walking is
 * linear in the frame whatever its headers say.
 */
#ifndef COLLECTOR_MSGPACK_READER_H
#define COLLECTOR_MSGPACK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "event.h"

#define MP_DEPTH_MAX 8 /* nesting that mp_skip follows */

struct mp {
    const uint8_t *at, *end;
};

enum mp_type { MP_NIL, MP_BOOL, MP_UINT, MP_NEGATIVE, MP_FLOAT, MP_STR, MP_BIN, MP_EXT, MP_ARRAY, MP_MAP };

struct mp_value {
    enum mp_type type;
    uint64_t u;     /* UINT, BOOL; NEGATIVE as two's complement */
    double f;       /* FLOAT */
    struct slice s; /* STR, BIN, EXT */
    uint32_t count; /* ARRAY: elements, MAP: pairs; they follow */
};

/* The next header or scalar. False: the bytes end too early or are not MessagePack. */
bool mp_read(struct mp *r, struct mp_value *out);

/* Passes over one whole value with all that is inside. False as mp_read, or nested too deep. */
bool mp_skip(struct mp *r);

static inline struct mp mp_of(struct slice s)
{
    return (struct mp){ s.at, s.at + s.len };
}

#endif
