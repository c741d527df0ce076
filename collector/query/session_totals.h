/* SPDX-License-Identifier: MIT
 *
 * session_totals.h: what a session came to, as queries add it up: the projection's row, and the rows of
 * the log that are not in the projection yet. Sums stop at INT64_MAX. Pure but for reading columns.
 */
#ifndef COLLECTOR_QUERY_SESSION_TOTALS_H
#define COLLECTOR_QUERY_SESSION_TOTALS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/event.h"

/* Zeroed: no rows yet. */
struct session_totals {
    int64_t rows_seen;         /* 0: the rest means nothing */
    int64_t dims;              /* of the latest dispatch; before the first one, of a message */
    bool dispatched;           /* dims is a dispatch's */
    int64_t first_ms, last_ms; /* of all rows, those that do not count too */
    int64_t first_id, last_id;
    int64_t messages, calls, errors, partial;
    int64_t tokens; /* total_tokens, else prompt + completion, as far as known */
    int64_t sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
};

#define SESSION_TOTALS_SUM(name) "," #name "," #name "_known"

/* The columns of projection_session that session_totals_read wants, from `first` on. */
#define SESSION_TOTALS_COLUMNS                                                                     \
    "dims,first_ms,last_ms,first_id,last_id,messages,calls,errors,partial,tokens" DISPATCH_SUMMED( \
        SESSION_TOTALS_SUM)

/* The columns of dispatch e that session_totals_dispatch wants, from 0 on; a message's are the first
 * three, in the same order. */
#define SESSION_DISPATCH_COLUMNS               \
    "e.id,e.ts_ms,e.dims,e.state&7,e.partial," \
    "(SELECT status IN(2,3) FROM dims d WHERE d.id=e.dims)" STORED_SUMS
#define SESSION_MESSAGE_COLUMNS "e.id,e.ts_ms,e.dims"

/* Fills out from the projection's columns, which begin with column first. */
void session_totals_read(sqlite3_stmt *stmt, int first, struct session_totals *out);

/* Add one row of the log. */
void session_totals_dispatch(struct session_totals *to, sqlite3_stmt *stmt);
void session_totals_message(struct session_totals *to, sqlite3_stmt *stmt);

/* Adds what came to the same session, or to another one that is to be summed with it. */
void session_totals_add(struct session_totals *to, const struct session_totals *from);

#endif
