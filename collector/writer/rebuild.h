/* SPDX-License-Identifier: MIT
 *
 * rebuild.h: counts projections again from the log, and compares them with what is stored, or stores
 * them anew. The recount shares no code with the writer's incremental path. Memory is bounded
 * (REBUILD_MEMORY_MAX and a few MB more), whatever the log's size: what does not fit goes to SQLite's
 * temporary file. No thread owns anything here.
 *
 * Both look at the projection as of its stored watermark, as far back as the log goes:
 *   usage    minutes, quarters and days that begin after every dropped dispatch; quarters and days as
 *            far as they have been folded
 *   session  sessions and index spans whose first row is still in the log
 * What is older cannot be counted again and is left as it is.
 */
#ifndef COLLECTOR_REBUILD_H
#define COLLECTOR_REBUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "store.h"

#define REBUILD_MEMORY_MAX  (48 * 1024 * 1024)
#define REBUILD_DIFFERENCES 16 /* that are put in words; all are counted */
#define REBUILD_TEXT_MAX    240

enum rebuild_projection { REBUILD_USAGE, REBUILD_SESSION, REBUILD_PROJECTIONS };

/* Their names, "usage" and "session"; the code of a name, or -1. */
const char *rebuild_name(enum rebuild_projection projection);
int rebuild_code(const char *name);

/* Called now and then: how much has been done, of how much (only their ratio means something). False:
 * stop. May be NULL. */
typedef bool (*rebuild_progress)(void *arg, int64_t done, int64_t of);

struct rebuild_report {
    int64_t watermark;                         /* the recount is as of this id */
    int64_t events;                            /* rows of the log that were counted */
    int64_t minutes, quarters, days, day_rows; /* of usage: compared, or written */
    int64_t sessions, spans;                   /* of session */
    int64_t skipped;                           /* minutes or sessions (partly) older than the log */
    int64_t differences;
    char difference[REBUILD_DIFFERENCES][REBUILD_TEXT_MAX]; /* the first ones, in words */
    char error[REBUILD_TEXT_MAX];                           /* of a failure, in words */
};

/* Recounts one projection and compares, in one read transaction on any connection (which must not be
 * in one already, nor be query_only: it needs temporary tables). 0: done, see report->differences;
 * else a negative SQLite code (-SQLITE_INTERRUPT: progress said stop) and report->error. Takes about two
 * seconds for each million events; while it reads, a running collector's write-ahead log cannot shrink. */
int rebuild_check(sqlite3 *db, enum rebuild_projection projection, rebuild_progress progress, void *arg,
                  struct rebuild_report *report);

/* Recounts one projection and stores it, in one transaction: killed at any moment, the file is as
 * before. For a stopped collector's file, opened with store_open. Results as above; on failure it has
 * been rolled back. */
int rebuild_write(struct store *store, enum rebuild_projection projection, rebuild_progress progress,
                  void *arg, struct rebuild_report *report);

#endif
