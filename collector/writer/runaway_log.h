/* SPDX-License-Identifier: MIT
 *
 * runaway_log.h: calls as the recogniser (alarm/runaway.h) takes them: from an event as it came, or from the
 * log. Works on any connection.
 */
#ifndef COLLECTOR_RUNAWAY_LOG_H
#define COLLECTOR_RUNAWAY_LOG_H

#include <sqlite3.h>

#include "../alarm/runaway.h"
#include "ledger_subject.h"
#include "log_row.h"

/* A call that has just been written. Its names are asked of e: both are borrowed while out is used. */
void runaway_call_of(const struct log_row *row, const struct event *e, struct runaway_call *out);

enum runaway_order { RUNAWAY_BY_ARRIVAL, RUNAWAY_BY_TIME }; /* by their ids, or the calls' own times */

struct runaway_log {
    sqlite3_stmt *rows, *dims, *session; /* owned */
    struct subject_reader subjects;
    uint32_t at_dims, at_session; /* of the call at hand */
    char error[256], parent[256];
};

/* 0 or a negative SQLite code; close is due in any case. */
int runaway_log_open(struct runaway_log *l, sqlite3 *db, enum runaway_order order);
void runaway_log_close(struct runaway_log *l);

/* The calls with first_id <= id <= last_id and from_ms <= own time < to_ms that count and came no more than
 * late_ms after it, but for those whose time was out of range. */
void runaway_log_seek(struct runaway_log *l, int64_t first_id, int64_t last_id, int64_t from_ms,
                      int64_t to_ms, int64_t late_ms);

/* 1: *out is filled, until the next call; 0: no more; else a negative SQLite code. */
int runaway_log_next(struct runaway_log *l, struct runaway_call *out);

/* Reads no more, until the next seek: nothing of the file is held. */
void runaway_log_rest(struct runaway_log *l);

#endif
