/* SPDX-License-Identifier: MIT
 *
 * intern.h: gives byte strings dense numbers, 0, 1, 2, in the order in which they come. The hash
 * table behind grouping. One thread.
 */
#ifndef COLLECTOR_QUERY_INTERN_H
#define COLLECTOR_QUERY_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct intern {
    uint32_t *slot; /* owned: number + 1, 0 is free */
    size_t slots;   /* a power of two, or 0 */
    struct intern_key {
        size_t at; /* into bytes */
        uint32_t len;
        uint32_t hash;
    } * key;     /* owned */
    char *bytes; /* owned */
    size_t count, room, used, size;
    uint32_t max; /* keys; more are refused */
};

void intern_init(struct intern *t, uint32_t max);
void intern_fini(struct intern *t);

/* The number of key; a new key gets intern.count. -1: table full, -2: no memory. */
int64_t intern_number(struct intern *t, const void *key, size_t len);

/* The number of a key that is there already, else -1. */
int64_t intern_find(const struct intern *t, const void *key, size_t len);

/* The key of a number; valid until the next intern_number. */
const void *intern_key(const struct intern *t, size_t number, size_t *len);

#endif
