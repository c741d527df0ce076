/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <stdlib.h>

#define CHUNK_FIRST ((size_t)1024) /* most batches need nothing, many a fault or two */
#define CHUNK_MAX   ((size_t)16 * 1024)

struct arena_chunk {
    struct arena_chunk *older;
    size_t size, used;
    max_align_t bytes[];
};

void *arena_take(struct arena *a, size_t bytes)
{
    struct arena_chunk *c = a->chunk;

    bytes = (bytes + 7) & ~(size_t)7;
    if (c == NULL || c->size - c->used < bytes) {
        size_t size = c == NULL ? CHUNK_FIRST : c->size * 2 < CHUNK_MAX ? c->size * 2 : CHUNK_MAX;
        if (size < bytes)
            size = bytes;
        c = malloc(sizeof *c + size);
        if (c == NULL)
            return NULL;
        *c = (struct arena_chunk){ .older = a->chunk, .size = size };
        a->chunk = c;
    }
    void *p = (char *)c->bytes + c->used;
    c->used += bytes;
    return p;
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *c = a->chunk;

    while (c != NULL && (c->older != NULL || c->size > CHUNK_FIRST)) {
        struct arena_chunk *older = c->older;
        free(c);
        c = older;
    }
    a->chunk = c;
    if (c != NULL)
        c->used = 0;
}

void arena_fini(struct arena *a)
{
    while (a->chunk != NULL) {
        struct arena_chunk *older = a->chunk->older;
        free(a->chunk);
        a->chunk = older;
    }
}
