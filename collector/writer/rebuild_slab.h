/* SPDX-License-Identifier: MIT
 *
 * rebuild_slab.h: folded counts of one time against the slab that is stored of it, and as a new slab.
 * Inside rebuild*.c only.
 */
#ifndef COLLECTOR_REBUILD_SLAB_H
#define COLLECTOR_REBUILD_SLAB_H

#include "rebuild_counts.h"

/* Tells every cell in which they differ, in words that begin with `what`. 0, or -SQLITE_NOMEM. */
int slab_compare(struct rebuild *r, const char *what, const void *body, size_t len, const struct counts *c);

/* Packs the cells that are summed. 0, or -SQLITE_NOMEM. *cells: how many. */
int slab_of_counts(const struct counts *c, struct slab_bytes *out, uint32_t *cells);

#endif
