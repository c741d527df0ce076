/* SPDX-License-Identifier: MIT
 *
 * filter.h: which events a request asks for: all terms must hold, of each any value may.
 *
 * A term's text is a list of values separated by commas. `abc*` is every value that begins with abc,
 * an empty value is the events that do not tell; a `!` before the whole list turns it round (so that
 * `!` alone is the events that tell). A backslash takes the meaning from the next character.
 */
#ifndef COLLECTOR_QUERY_FILTER_H
#define COLLECTOR_QUERY_FILTER_H

#include <sqlite3.h>
#include <stdint.h>

#include "field.h"
#include "problem.h"

#define FILTER_VALUES_MAX 64 /* values of one term */
#define FILTER_TAGS_MAX   8  /* terms about tags */

struct filter_term {
    enum field_id field;
    char *tag; /* owned; of FIELD_tag */
    unsigned count;
    bool unknown;                         /* an empty value */
    bool negated;                         /* none of them */
    uint64_t prefix;                      /* bit i: value i is the beginning of a value */
    const char *value[FILTER_VALUES_MAX]; /* into text */
    char *text;                           /* owned */
};

struct filter {
    unsigned count;
    struct filter_term term[FIELDS + FILTER_TAGS_MAX];
};

/* Adds a term for a field that has none yet. 0, or -1 and *p filled. */
int filter_add(struct filter *f, enum field_id field, const char *list, struct problem *p);

/* The same for the tag with this name. */
int filter_add_tag(struct filter *f, const char *tag, const char *list, struct problem *p);

/* Frees what filter_add made. */
void filter_fini(struct filter *f);

/* Whether a term takes a field that is, as text (NULL: unknown), these len bytes. */
bool filter_match(const struct filter_term *t, const char *value, size_t len);

/* Whether any term is about fields from first on, below end (tags are FIELD_tag). */
bool filter_touches(const struct filter *f, int first, int end);

/* Appends ` AND ...` for each term to sql. has: the bits of the fields that this kind of event has
 * (FIELD_tag too); the others are unknown. */
void filter_sql(const struct filter *f, unsigned has, sqlite3_str *sql);

/* Binds the values in the same order, from parameter *at on, which it moves. An SQLite code. */
int filter_bind(const struct filter *f, unsigned has, sqlite3_stmt *stmt, int *at);

#endif
