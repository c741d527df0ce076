/* SPDX-License-Identifier: MIT
 *
 * tally_slabs.h: the part of tally.h that reads slabs.
 */
#ifndef COLLECTOR_QUERY_TALLY_SLABS_H
#define COLLECTOR_QUERY_TALLY_SLABS_H

#include "tally.h"

#define TALLY_DAMAGED "a rollup is damaged; tollgate rebuild makes it anew"

/* Adds the slabs of the plan's parts to the bucket under way. 0, or -1 and *p filled. */
int tally_slabs(struct tally *t);

void tally_list_clear(struct tally_list *l);
void tally_list_fini(struct tally_list *l);

#endif
