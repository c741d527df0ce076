/* SPDX-License-Identifier: MIT
 *
 * doctor.h: what the checks of `tollgate doctor` share. Each check tells its findings, in sentences
 * that say what to do.
 */
#ifndef COLLECTOR_CLI_DOCTOR_H
#define COLLECTOR_CLI_DOCTOR_H

#include <sqlite3.h>

#include "cli.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct doctor {
    struct cli c;
    json_t *version;               /* owned: the answer of /version */
    int64_t asked_ms, answered_ms; /* when it was asked for and came, by the clock here */
    const char *metrics;           /* borrowed: the answer of /metrics, or "" */
    json_t *checks;                /* owned: with --json, the findings */
    json_t *facts;                 /* owned: numbers behind them */
    unsigned attention;            /* findings that want something to be done */
};

/* One finding: the verdict, what was looked at, what was found and what to do. */
__attribute__((format(printf, 4, 5))) void doctor_tell(struct doctor *d, enum verdict v, const char *what,
                                                       const char *fmt, ...);

/* A number for programs. */
void doctor_fact(struct doctor *d, const char *name, int64_t n);

/* A text of /version, or "". */
const char *doctor_said(const struct doctor *d, const char *name);

/* Opens the collector's file read-only if it is on this machine. NULL: it is not, or cannot be. */
sqlite3 *doctor_open(const struct doctor *d);

/* The first number of a query; otherwise, if there is none. */
int64_t doctor_number(sqlite3 *db, const char *sql, int64_t otherwise);

/* The checks. db may be NULL in all. */
void doctor_size(struct doctor *d, sqlite3 *db);   /* what takes the room */
void doctor_growth(struct doctor *d, sqlite3 *db); /* and when there will be none */
void doctor_wal(struct doctor *d);
void doctor_alerts(struct doctor *d, sqlite3 *db); /* whether everybody is told of them */
void doctor_speed(struct doctor *d);               /* queries, commits, projections */
void doctor_names(struct doctor *d);               /* combinations that overflowed */

#endif
