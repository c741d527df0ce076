/* SPDX-License-Identifier: MIT
 *
 * log_row.h: a row of the log as projections see it, whether it has just been written or is read
 * again (replay at the start, rebuild). Every projection has the same verbs:
 *   x_start    forgets what is in memory, reads the watermark from the file
 *   x_row      takes the next row of the log, in order; ignores those up to its watermark
 *   x_retract  a row that counted does not count any more (replaced, told finer)
 *   x_restore  the inverse: a row that has been retracted counts again, as it is now. To price a row anew:
 *              retract it as it was, change it, restore it, all in one transaction
 *   x_is_full  a flush must come before the next event;  x_is_dirty  there is something to flush
 *   x_flush    inside a transaction: memory to file, with the watermark
 */
#ifndef COLLECTOR_LOG_ROW_H
#define COLLECTOR_LOG_ROW_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/event.h"

#define LOG_RESERVATION_MAX 64 /* a longer id is nobody's that we have admitted */

enum log_kind { LOG_DISPATCH, LOG_MESSAGE, LOG_REPORT };

struct log_row {
    int64_t id, ts_ms, received_ms;
    enum log_kind kind;
    bool counts;        /* a dispatch that is summed: state & 7 = 0 */
    bool misdated;      /* its time was out of range: it is that of its arrival. As the next only of a row
                           that has just been written */
    bool replaces;      /* it is the final record of a partial one that was there */
    uint8_t status;     /* of a dispatch; 0: unknown */
    uint32_t dims;      /* the combination; 0: none (a report) */
    uint32_t rollup;    /* the combination it is summed under */
    uint32_t session;   /* 0: none */
    const int64_t *num; /* by enum dispatch_num; of a dispatch, else NULL. Only partial, price and the
                           summed ones are meant. Borrowed for the call */
    uint8_t reservation_len;
    char reservation[LOG_RESERVATION_MAX]; /* reservation_id of a dispatch, if it can be one of ours; length
                                              0: none */
};

/* Reads the log again, all kinds in the order of ids. */
struct log_reader {
    sqlite3_stmt *stmt[3], *dims; /* owned; by enum log_kind; NULL: that kind is not read */
    int64_t next[3];              /* the id that each kind stands at; INT64_MAX: at its end */
    int kind;                     /* whose row was given last; -1: none */
    struct log_dims *known;       /* owned; what was asked of dims before */
    int64_t num[DISPATCH_NUMS];
};

/* Rows with first_id <= id <= last_id. Works on any connection, the read-only too. 0 or a negative
 * SQLite code; close is due only after 0. */
int log_reader_open(struct log_reader *r, sqlite3 *db, int64_t first_id, int64_t last_id);
/* The same of one kind only. */
int log_reader_open_kind(struct log_reader *r, sqlite3 *db, enum log_kind kind, int64_t first_id,
                         int64_t last_id);
/* Other rows with what is prepared; on failure the reader may be tried again, or closed. */
int log_reader_seek(struct log_reader *r, int64_t first_id, int64_t last_id);
/* Reads no more, until the next seek: nothing of the file is held. */
void log_reader_rest(struct log_reader *r);
/* 1: *out is filled, until the next call; 0: no more; else a negative SQLite code. */
int log_reader_next(struct log_reader *r, struct log_row *out);
void log_reader_close(struct log_reader *r);

/* The statement for log_row_read, to be kept; 0 or a negative SQLite code. */
int log_row_prepare(sqlite3 *db, sqlite3_stmt **out);
/* One dispatch by its id: 1, 0 (there is none), or a negative SQLite code. */
int log_row_read(sqlite3_stmt *stmt, int64_t id, int64_t num[DISPATCH_NUMS], struct log_row *out);

#endif
