/* SPDX-License-Identifier: MIT
 *
 * meter_names.h: a bounded table of label values, for meter.c. Entries are only ever added; the
 * writer adds, any thread reads those below table_used. Entry 0 stands for all that found no room.
 */
#ifndef COLLECTOR_METER_NAMES_H
#define COLLECTOR_METER_NAMES_H

#include <stdatomic.h>
#include <stdint.h>

#include "../base/event.h"

#define TABLE_MAX  66
#define LABEL_SIZE 256 /* a string on the wire has at most 255 bytes */

/* One name, or a pair of names and a code that belongs to them. */
struct table_entry {
    char one[LABEL_SIZE], two[LABEL_SIZE];
    uint8_t code;
};

struct table {
    _Atomic uint32_t used;
    uint32_t max; /* entry 0 included */
    uint64_t hash[TABLE_MAX];
    struct table_entry entry[TABLE_MAX];
};

/* first: entry 0. */
void table_init(struct table *t, uint32_t max, const char *first_one, const char *first_two);

/* The entry of these names, added if it is new; 0: no room. A name that is unknown is written as
 * "unknown"; two may be NULL (there is none). */
uint32_t table_get(struct table *t, struct slice one, const struct slice *two, uint8_t code);

static inline uint32_t table_used(struct table *t)
{
    return atomic_load_explicit(&t->used, memory_order_acquire);
}

#endif
