/* SPDX-License-Identifier: MIT
 *
 * canonical.h: one spelling for the names of a dictionary row, whatever way the wire spelled them.
 * The row's key is a hash of it. Pure.
 */
#ifndef COLLECTOR_CANONICAL_H
#define COLLECTOR_CANONICAL_H

#include <string.h>

#include "../../schema/event_id.h"
#include "../base/event.h"

#define CANONICAL_MAX (DIMS_TEXTS * 260 + 16 * 2 * 260 * 6 + 64) /* tags as JSON, all escaped */

struct canonical {
    uint8_t bytes[CANONICAL_MAX];
    size_t len;
};

/* Its bytes stay as they are: they are many. */
static inline void canonical_start(struct canonical *c)
{
    c->len = 0;
}

static inline void canonical_bytes(struct canonical *c, const void *bytes, size_t len)
{
    memcpy(c->bytes + c->len, bytes, len);
    c->len += len;
}

static inline void canonical_text(struct canonical *c, struct slice s)
{
    uint16_t len = (uint16_t)s.len;

    canonical_bytes(c, &len, sizeof len);
    if (s.at != NULL)
        canonical_bytes(c, s.at, s.len);
}

static inline void canonical_key(const struct canonical *c, uint8_t key[16])
{
    tg_hash128(c->bytes, c->len, key);
}

#endif
