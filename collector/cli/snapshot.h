/* SPDX-License-Identifier: MIT
 *
 * snapshot.h: a whole copy of a database as of one moment, made while a collector writes; and the
 * check of such a copy. What backup and restore are made of.
 */
#ifndef COLLECTOR_CLI_SNAPSHOT_H
#define COLLECTOR_CLI_SNAPSHOT_H

#include "cli.h"

#define SNAPSHOT_WHY 512

/* What must be the same in the copy. Counts are of the copy only: counting the original would take
 * longer than copying it. */
struct snapshot_facts {
    int64_t bytes, schema, last_id, usage_watermark, session_watermark;
    int64_t newest_ms; /* when its last event came; 0: there is none */
    int64_t dispatches, messages, reports, sessions;
};

/* Watches how much the write-ahead log of a database grows: as long as somebody reads, it cannot be
 * written back and begun anew. */
struct wal_watch {
    char path[CLI_PATH + 8];
    int64_t begin_bytes, limit_bytes;
};
void wal_watch_start(struct wal_watch *w, const char *database, int64_t limit_bytes);
int64_t wal_watch_grown(const struct wal_watch *w); /* bytes since the start, >= 0 */
bool wal_watch_is_over(const struct wal_watch *w);  /* more than the limit, or than is left on its disk */

/* Copies the database at from into to, an empty file, and syncs it. Reads from as one that never writes,
 * checkpoints or waits for a lock. 0; else -1 and why says so in one line (SNAPSHOT_WHY bytes). */
int snapshot_copy(const char *from, const char *to, int64_t wal_limit_bytes, struct snapshot_facts *facts,
                  char *why);

/* Reads every page of the copy at path and fills *facts. want: what it must be, or NULL. As above. */
int snapshot_check(const char *path, const struct snapshot_facts *want, struct snapshot_facts *facts,
                   char *why);

/* "3.1 GiB as of 2026-11-21 09:00:00Z: 10,000,000 dispatches, 20 messages, 3 reports" */
void snapshot_describe(const struct snapshot_facts *facts, char *out, size_t size);

/* Makes an empty file, 0600, beside path; its name to out. -1: told on stderr. */
int snapshot_temporary(const char *path, char out[CLI_PATH]);

/* Removes it and what SQLite may have put beside it. */
void snapshot_discard(const char *temporary);

/* Syncs the directory that path is in, so that names in it survive a power cut. */
void snapshot_sync_directory(const char *path);

#endif
