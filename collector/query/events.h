/* SPDX-License-Identifier: MIT
 *
 * events.h: the log itself, in order of arrival, read in short pieces: each piece is a read
 * transaction of its own, so that the longest export never holds the write-ahead log. What a filter
 * names by session is found through the session index.
 */
#ifndef COLLECTOR_QUERY_EVENTS_H
#define COLLECTOR_QUERY_EVENTS_H

#include "filter.h"
#include "pool.h"
#include "session_set.h"

#define EVENTS_LIMIT     100
#define EVENTS_LIMIT_MAX 1000 /* of one page; exports have none */
#define EVENTS_PIECE     1000 /* rows read in one transaction */
#define EVENTS_CURSOR    32   /* bytes of a cursor's text */

/* The log's tables. */
enum events_table { TABLE_DISPATCH, TABLE_MESSAGE, TABLE_REPORT, EVENTS_TABLES };

/* How a column is to be shown. */
enum events_type {
    EVENTS_INT,
    EVENTS_TEXT,
    EVENTS_HEX,  /* a blob, as hexadecimal digits */
    EVENTS_TIME, /* milliseconds, as RFC 3339 */
    EVENTS_CODE, /* a number that has a name */
    EVENTS_JSON, /* text that is JSON already */
};

struct events_column {
    const char *name;
    enum events_type type;
    const char *(*code_name)(int);
    const char *sql[EVENTS_TABLES]; /* NULL: this kind does not have it */
};
extern const struct events_column events_columns[];
extern const int events_columns_count;

struct events_request {
    unsigned tables;        /* bits of enum events_table */
    int message_kind;       /* only this kind of message; 0: all */
    int64_t from_ms, to_ms; /* [from, to) of the events' own time; WHEN_MIN and INT64_MAX: no bound */
    bool ascending;
    bool superseded; /* dispatches that do not count, too */
    struct filter filter;
};

/* Ids of one table that retention dropped before they were read; last 0: none. */
struct events_gap {
    int64_t first, last;
};

/* Where a reader is: ids from lo up to hi are still to be read, but for the gap (an empty one has
 * gap_lo > gap_hi). Ascending moves lo up, descending moves hi down; lo > hi is the end. */
struct events_cursor {
    int64_t lo, hi;
    int64_t gap_lo, gap_hi;
    int64_t step;                            /* ids looked at in one transaction */
    int64_t dropped[EVENTS_TABLES];          /* how far retention had gone when this was last read */
    struct events_gap missed[EVENTS_TABLES]; /* what went since then unread; the reader clears it */
};

/* One event: the columns of events_columns, in their order, in stmt. */
struct events_row {
    sqlite3_stmt *stmt;
    int64_t id;
    enum events_table table;
};
/* Takes a row, which is valid for the call. False: no more, the rows read so far have been taken. */
typedef bool (*events_fn)(void *arg, const struct events_row *row);

/* Sets c to everything the request may find after (in its order) the event with id `after`, up to
 * the last commit. after: 0 ascending, INT64_MAX descending, for the beginning; INT64_MAX ascending
 * for the end. 0, or -1 and *p filled. */
int events_begin(struct query_pool *pool, const struct events_request *q, int64_t after,
                 struct monotime deadline, struct problem *p, struct events_cursor *c);

/* Reads on: at most max rows from at most one transaction. *got may be 0 before the end. What
 * retention took away unread since events_begin (or, with c->dropped zeroed, ever) is in c->missed. */
int events_read(struct query_pool *pool, const struct events_request *q, struct events_cursor *c,
                unsigned max, struct monotime deadline, struct problem *p, events_fn fn, void *arg,
                unsigned *got);

/* The same on a connection that is borrowed already; it may be called again in the same transaction. */
int events_begin_on(struct pool_connection *conn, const struct events_request *q, int64_t after,
                    struct problem *p, struct events_cursor *c);
int events_read_on(struct pool_connection *conn, const struct events_request *q, struct events_cursor *c,
                   unsigned max, struct problem *p, events_fn fn, void *arg, unsigned *got);

/* The same for the events of these sessions only, through the session index. */
int events_read_set(struct pool_connection *conn, const struct events_request *q,
                    const struct session_set *set, const struct session_tail *tail, struct events_cursor *c,
                    unsigned max, struct problem *p, events_fn fn, void *arg, unsigned *got);

bool events_done(const struct events_cursor *c);

/* A cursor's text and back; -1: not a cursor. */
void events_cursor_format(int64_t id, char out[EVENTS_CURSOR]);
int events_cursor_parse(const char *text, int64_t *id);

#endif
