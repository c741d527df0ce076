/* SPDX-License-Identifier: MIT
 *
 * arena.h: memory that lives as long as one batch or one request and is given back in one go.
 * Owned by whoever owns the batch; not shared between threads at the same time.
 */
#ifndef COLLECTOR_ARENA_H
#define COLLECTOR_ARENA_H

#include <stddef.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunk; /* owned */
};

void *arena_take(struct arena *a, size_t bytes); /* 8-aligned; NULL: no memory */
void arena_reset(struct arena *a);               /* keeps one chunk for the next use */
void arena_fini(struct arena *a);

#endif
