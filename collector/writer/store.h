/* SPDX-License-Identifier: MIT
 *
 * store.h: the database file: opening, migrating, transactions, prepared statements, checkpoints.
 * The only read-write connection. Owner: the writer. Functions return 0 or a negative SQLite code;
 * store_error says it in words.
 */
#ifndef COLLECTOR_STORE_H
#define COLLECTOR_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "../base/event.h"

#define STORE_APPLICATION_ID   0x74676174 /* "tgat" */
#define STORE_PAGE_BYTES       8192
#define STORE_CHECKPOINT_PAGES 4000 /* 32 MB */
#define STORE_CACHE_KIB        6144
#define STORE_ROOM_BYTES       (16 * 1024 * 1024)
#define STORE_ERROR_MAX        512

enum log_state {
    STATE_COUNTS = 0,
    STATE_REPLACED = 1, /* by a final record */
    STATE_COARSER = 2,  /* told at a finer granularity */
    STATE_MISDATED = 8, /* flag: stored at its time of arrival */
};

struct store {
    sqlite3 *db; /* owned */
    int lock_fd; /* says that one collector writes this file */
    int wal_pages;
    int64_t next_id;
    sqlite3_stmt *begin, *commit, *rollback;
    sqlite3_stmt *dispatch, *message, *report, *quarantine;
};

/* Opens or makes the file, migrates it in one transaction. On failure error says why (the path
 * included), *s is closed. synchronous: "full" or "extra". */
int store_open(struct store *s, const char *path, const char *synchronous, char error[STORE_ERROR_MAX]);
void store_close(struct store *s);

int store_begin(struct store *s);
int store_commit(struct store *s);
void store_rollback(struct store *s);

/* Reads next_id from the file: after a rollback. */
int store_reload(struct store *s);

/* Writes the log back into the file when it has grown; never waits for readers. */
int store_checkpoint(struct store *s, bool always);

/* Whether the file system has room for a while: 16 MiB, or a twentieth of a small one. */
bool store_has_room(const struct store *s);

const char *store_error(const struct store *s);

/* The same of a negative code on any connection: its own words where it has just met it. Static, or the
 * connection's until it is next used. */
const char *store_why(sqlite3 *db, int rc);

/* For the other files of the writer: prepare once, run once, ask for one number. */
int store_prepare(struct store *s, const char *sql, sqlite3_stmt **out);
int store_run(sqlite3_stmt *stmt);
int store_number(struct store *s, const char *sql, int64_t *out);

/* Bindings in which unknown is NULL. */
void bind_num(sqlite3_stmt *stmt, int at, int64_t n);
void bind_text(sqlite3_stmt *stmt, int at, struct slice text);

#endif
