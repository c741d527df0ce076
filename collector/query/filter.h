/* SPDX-License-Identifier: MIT
 *
 * filter.h: which events a request asks for: all terms must hold, of each any value may.
 */
#ifndef COLLECTOR_QUERY_FILTER_H
#define COLLECTOR_QUERY_FILTER_H

#include <sqlite3.h>

#include "field.h"
#include "problem.h"

#define FILTER_VALUES_MAX 64 /* values of one term */

struct filter_term {
    enum field_id field;
    unsigned count;
    bool unknown;                         /* an empty value: the events that do not tell */
    const char *value[FILTER_VALUES_MAX]; /* into text */
    char *text;                           /* owned */
};

struct filter {
    unsigned count;
    struct filter_term term[FIELDS];
};

/* Adds a term for a field that has none yet. list: values separated by commas; a backslash keeps
 * the next character (`a\,b`). 0, or -1 and *p filled. */
int filter_add(struct filter *f, enum field_id field, const char *list, struct problem *p);

/* Frees what filter_add made. */
void filter_fini(struct filter *f);

/* Whether a term's field, told as text (NULL: unknown) of len bytes, is one of its values. */
bool filter_match(const struct filter_term *t, const char *value, size_t len);

/* Whether any term is about fields from first on, below end. */
bool filter_touches(const struct filter *f, int first, int end);

/* Appends ` AND expr IN (?,...)` for each term to sql. Terms whose field the event kind does not
 * have (bit not in has) are never true. */
void filter_sql(const struct filter *f, unsigned has, sqlite3_str *sql);

/* Binds the values in the same order, from parameter *at on, which it moves. An SQLite code. */
int filter_bind(const struct filter *f, unsigned has, sqlite3_stmt *stmt, int *at);

#endif
