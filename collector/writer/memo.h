/* SPDX-License-Identifier: MIT
 *
 * memo.h: a bounded cache from a string of bytes to an id, for the dictionary tables. When it is
 * full it starts anew: what is still in use comes back with one SELECT each. Owner: the writer.
 */
#ifndef COLLECTOR_MEMO_H
#define COLLECTOR_MEMO_H

#include <stdint.h>

#include "../base/event.h"

struct memo_slot;

struct memo {
    struct memo_slot *slots; /* owned; a power of two, at most half full */
    uint32_t mask, used;
    uint8_t *bytes; /* owned; the keys, one after the other */
    uint32_t bytes_used, bytes_max;
};

/* entries: a power of two. 0, or -1: no memory. */
int memo_init(struct memo *m, uint32_t entries, uint32_t bytes_max);
void memo_fini(struct memo *m);
void memo_clear(struct memo *m);

/* scope keeps equal bytes of different owners apart. 0: not known. */
uint32_t memo_get(const struct memo *m, uint32_t scope, struct slice key, uint64_t *hash);
void memo_put(struct memo *m, struct slice key, uint64_t hash, uint32_t id);

#endif
