/* SPDX-License-Identifier: MIT */
#include "batch.h"

#include <stdlib.h>

bool batch_reserve(struct batch *b, size_t count)
{
    if (count <= b->room)
        return true;
    free(b->events);
    b->events = malloc(count * sizeof *b->events);
    b->room = b->events != NULL ? count : 0;
    return b->events != NULL;
}

void batch_fini(struct batch *b)
{
    free(b->events);
    arena_fini(&b->arena);
}
