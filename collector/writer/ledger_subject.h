/* SPDX-License-Identifier: MIT
 *
 * ledger_subject.h: who made a call: from an event as it came, or from the dictionaries for a row of the
 * log. Works on any connection.
 */
#ifndef COLLECTOR_LEDGER_SUBJECT_H
#define COLLECTOR_LEDGER_SUBJECT_H

#include <msgpack.h>
#include <sqlite3.h>

#include "../govern/subject.h"

/* Borrows from the event. */
void subject_of_event(const struct event *e, struct subject *out);

struct subject_reader {
    sqlite3_stmt *dims, *session; /* owned */
    struct {
        char at[256];
        uint32_t len;
    } text[SUBJECT_FIELDS];
    msgpack_sbuffer tags;
};

/* 0 or a negative SQLite code; close is due in any case. */
int subject_reader_open(struct subject_reader *r, sqlite3 *db);
void subject_reader_close(struct subject_reader *r);

/* session 0: none. *out borrows from r until the next call. 0 or a negative SQLite code. */
int subject_reader_get(struct subject_reader *r, uint32_t dims, uint32_t session, struct subject *out);

#endif
