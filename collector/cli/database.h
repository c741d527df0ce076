/* SPDX-License-Identifier: MIT
 *
 * database.h: the collector's file for commands that read it themselves, while a collector may write.
 */
#ifndef COLLECTOR_CLI_DATABASE_H
#define COLLECTOR_CLI_DATABASE_H

#include <sqlite3.h>

#include "snapshot.h"

#define DATABASE_OPTION              \
    {                                \
        "database", "database", NULL \
    }

/* One that shows how far it is, too: what the work calls now and then. */
struct database {
    const char *path;
    char standard[CLI_PATH];
    sqlite3 *db; /* owned; read-only */
    struct wal_watch wal;
    struct progress progress;
};

/* --from (-30d if it is not told) and --to (now): from_ms <= time < to_ms. The exit status. */
int database_span(struct cli *c, int64_t *from_ms, int64_t *to_ms);

/* Opens --database, or the file that tollgated uses if it is not told; what: "comparing". The signals are
 * caught from now on. Returns the exit status; d is closed unless it is CLI_OK. */
int database_open(struct database *d, struct cli *c, const char *what);
void database_close(struct database *d);

/* For the work: shows how far it is. False: somebody interrupts, or the write-ahead log has grown too large.
 */
bool database_progress(void *d, int64_t done, int64_t of);

/* Why the work has ended early: `error`, or one of these. */
const char *database_why(const struct database *d, const char *error);

#endif
