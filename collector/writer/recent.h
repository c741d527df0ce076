/* SPDX-License-Identifier: MIT
 *
 * recent.h: the ids of the last events, at least RECENT_MIN of them, and where each is in the log.
 * Two generations: when the young one is full it becomes the old one. An id is known by 63 bits of a
 * hash of its 128, of which its place in the table tells 19. Owner: the writer.
 */
#ifndef COLLECTOR_RECENT_H
#define COLLECTOR_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#define RECENT_MIN (256 * 1024)

struct recent_generation {
    uint64_t *slots; /* owned */
    int64_t base;    /* slots keep their row's distance from it */
};

struct recent {
    struct recent_generation young, old;
    uint32_t used; /* of young */
};

struct recent_entry {
    int64_t row;
    bool partial; /* a dispatch that waits for its final record */
};

int recent_init(struct recent *r);
void recent_fini(struct recent *r);
void recent_clear(struct recent *r);

/* Rows are added in the order of their ids. */
bool recent_find(const struct recent *r, const uint8_t id[16], struct recent_entry *out);
void recent_add(struct recent *r, const uint8_t id[16], struct recent_entry entry);

/* Brings the slot of an id that will be asked for soon into the cache. */
void recent_prefetch(const struct recent *r, const uint8_t id[16]);

#endif
