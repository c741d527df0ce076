/* SPDX-License-Identifier: MIT
 *
 * dictionary.h: the combinations of names that sums are kept by, in memory, shared by all requests. A
 * row of dims never changes once it is written, so what is here stays true: it only grows, as
 * requests meet combinations that are new to it. Any thread may read at any time, without a lock;
 * what is missing is added by one thread at a time.
 */
#ifndef COLLECTOR_QUERY_DICTIONARY_H
#define COLLECTOR_QUERY_DICTIONARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "field.h"
#include "pool.h"

#define DICTIONARY_MAX     65536 /* combinations; the writer bounds them long before */
#define DICTIONARY_UNKNOWN 0     /* the number of the combination that tells nothing, and of no text */

struct dictionary_tag {
    uint32_t name, value; /* texts */
};

/* Texts are numbers, see dictionary_text; 0: unknown. */
struct dictionary_entry {
    uint32_t id; /* in dims */
    uint8_t status;
    uint8_t tags;
    bool other_tags; /* stands for many: whatever the tag, its value is that of tag[0] */
    uint32_t text[FIELD_DIMS_END];
    struct dictionary_tag *tag; /* owned */
};

struct dictionary;

struct dictionary *dictionary_new(void);    /* NULL: no memory */
void dictionary_free(struct dictionary *d); /* NULL is fine */

/* The number of the combination with this row id, 1, 2, 3, ...; read from the database when it is new.
 * DICTIONARY_UNKNOWN: there is no such row. -1 and *p filled: it cannot be read. */
int64_t dictionary_find(struct dictionary *d, struct pool_connection *c, uint32_t id, struct problem *p);

/* The same of what has been read before; DICTIONARY_UNKNOWN: it has not. */
uint32_t dictionary_known(const struct dictionary *d, uint32_t id);

/* Lives as long as the dictionary. */
const struct dictionary_entry *dictionary_entry(const struct dictionary *d, uint32_t number);

/* A text, not terminated; NULL for number 0. */
const char *dictionary_text(const struct dictionary *d, uint32_t text, size_t *len);

/* The text of an entry's field, or of its tag with this name; 0: unknown. */
uint32_t dictionary_field(const struct dictionary *d, const struct dictionary_entry *e, enum field_id field,
                          const char *tag);

#endif
