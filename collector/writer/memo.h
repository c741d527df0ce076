/* SPDX-License-Identifier: MIT
 *
 * memo.h: a bounded cache from a string of bytes to a value, for the dictionary tables. A string is
 * known by 96 bits of its hash, as its row in the table is known by 128. Sets of four; of a full
 * set the one that was not asked for longest makes room. Owner: the writer.
 */
#ifndef COLLECTOR_MEMO_H
#define COLLECTOR_MEMO_H

#include <stdint.h>

#include "../base/event.h"

struct memo_slot;

struct memo {
    struct memo_slot *slots; /* owned; sets of four, a power of two of them */
    uint32_t sets, clock;
};

/* What a string is known by: from memo_get, for the memo_put after it. */
struct memo_key {
    uint64_t print;
    uint32_t check;
};

/* entries: a power of two. 0, or -1: no memory. */
int memo_init(struct memo *m, uint32_t entries);
void memo_fini(struct memo *m);
void memo_clear(struct memo *m);

/* scope keeps equal bytes of different owners apart. 0: not known. */
uint64_t memo_get(struct memo *m, uint32_t scope, struct slice bytes, struct memo_key *key);

/* value is not 0. */
void memo_put(struct memo *m, struct memo_key key, uint64_t value);

#endif
