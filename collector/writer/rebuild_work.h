/* SPDX-License-Identifier: MIT
 *
 * rebuild_work.h: what the parts of a rebuild share. Inside rebuild*.c only. Functions with an int
 * result return 0 or a negative SQLite code, unless they say otherwise.
 */
#ifndef COLLECTOR_REBUILD_WORK_H
#define COLLECTOR_REBUILD_WORK_H

#include "log_row.h"
#include "rebuild.h"

#define REBUILD_KINDS     (LOG_REPORT + 1)
#define REBUILD_TIME_TEXT 24

struct rebuild {
    sqlite3 *db; /* borrowed */
    bool writes; /* else it compares */
    rebuild_progress progress;
    void *arg;
    int64_t done, of; /* ids read, of how many: some are read more than once, some stand for no row */
    struct rebuild_report *report;
    int64_t first_id, watermark;
    int64_t through[REBUILD_KINDS], newest_ms[REBUILD_KINDS]; /* log_dropped */
};

int rebuild_usage(struct rebuild *r);
int rebuild_session(struct rebuild *r);
int rebuild_index(struct rebuild *r);

/* Counts a difference; the first ones are kept in words. */
void rebuild_differ(struct rebuild *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A Unix minute in words. */
const char *rebuild_time(int64_t minute, char out[REBUILD_TIME_TEXT]);

int rebuild_prepare(struct rebuild *r, const char *sql, sqlite3_stmt **out);
int rebuild_exec(struct rebuild *r, const char *sql);
/* One number; *out is untouched if there is none. */
int rebuild_number(struct rebuild *r, const char *sql, int64_t *out);

/* A walk over a table in the order of ids: prepares, and binds the first id and the watermark to ?1 and
 * ?2. */
int rebuild_walk(struct rebuild *r, const char *sql, sqlite3_stmt **out);
/* The walk's next row, which begins with its id. 1: there is one, 0: no more. */
int rebuild_row(struct rebuild *r, sqlite3_stmt *stmt);
/* Ends a walk (NULL is fine); gives rc through. */
int rebuild_walked(struct rebuild *r, sqlite3_stmt *stmt, int rc);

/* A number of the row at hand; UNKNOWN for NULL. */
int64_t rebuild_column(sqlite3_stmt *stmt, int at);

/* ----------------------------------------------------------------- spilling */

/* Counts that did not fit into memory, in a temporary table: pieces by key, one of each key in a part;
 * whoever puts pieces counts the parts. */
struct spill {
    sqlite3_stmt *put, *get; /* owned */
    int64_t part;
};

int spill_open(struct spill *s, struct rebuild *r);
void spill_close(struct spill *s, struct rebuild *r);

/* key: 0 to 2^40. */
int spill_put(struct spill *s, int64_t key, const void *body, size_t len);

/* The next piece, by key, then by part. 1: there is one, *body is borrowed until the next call; 0: no more.
 */
int spill_next(struct spill *s, int64_t *key, const void **body, size_t *len);

#endif
