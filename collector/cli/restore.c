/* SPDX-License-Identifier: MIT
 *
 * restore: puts a backup where the collector's database is. At every moment there is one whole
 * database under its name, the old one or the new one: what the old one still had in its write-ahead
 * log is written into it first, then the log is removed (SQLite would mix it into the new file), then
 * the new file takes the name (where the file system knows no links, the name is nobody's for a moment).
 * The old one stays beside it.
 */
#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../base/paths.h"
#include "snapshot.h"

#define BUSY_MS 5000

static const char help[] =
    "usage: tollgate restore FILE [--database PATH]\n"
    "\n"
    "Checks the backup FILE and puts a copy of it where the collector's database is, while no collector\n"
    "runs on it. The database that was there stays beside it, its name ends in .replaced- and the time.\n"
    "\n"
    "  --database PATH  the collector's file (default: the one that tollgated uses if it is not told)\n"
    "\n"
    "  tollgate restore /backup/tollgate-2026-11-21.db\n";

enum old { OLD_NONE, OLD_WHOLE, OLD_DAMAGED };

/* Writes the old database's log back into it. -1: somebody still uses it, told on stderr. */
static int old_settle(const char *path, enum old *out)
{
    int in_log = 0, moved = 0;
    char log[CLI_PATH + 8];
    sqlite3 *db = NULL;

    *out = OLD_NONE;
    if (access(path, F_OK) != 0)
        return 0;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL); /* a log that cannot be used stays */
    if (rc == SQLITE_OK) /* before anything has been read SQLite does not see the log */
        rc = sqlite3_exec(db, "SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, &in_log, &moved);
    if (rc == SQLITE_OK)
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    sqlite3_close(db);
    *out = rc == SQLITE_OK ? OLD_WHOLE : OLD_DAMAGED;
    snprintf(log, sizeof log, "%s-wal", path);
    bool left = rc == SQLITE_OK && access(log, F_OK) == 0; /* the last one that closes removes it */
    if (left || rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
        cli_fail("%s: another program has it open: end that first", path);
        return -1;
    }
    return 0;
}

/* Puts the old file's second name, and if it is damaged what is left of its log, beside it. */
static int old_keep(const char *path, enum old old, const char *kept)
{
    char from[CLI_PATH + 8], to[CLI_PATH + 8];

    if (old == OLD_DAMAGED) {
        snprintf(from, sizeof from, "%s-wal", path);
        snprintf(to, sizeof to, "%s-wal", kept);
        if (rename(from, to) != 0 && errno != ENOENT)
            return cli_fail("%s: %s", from, strerror(errno));
    }
    if (old == OLD_NONE || link(path, kept) == 0)
        return CLI_OK;
    bool no_links = errno == EPERM || errno == EOPNOTSUPP; /* a file system that has none */
    if (no_links && rename(path, kept) == 0)
        return CLI_OK;
    return cli_fail("%s: %s", kept, strerror(errno));
}

static int log_remove(const char *path)
{
    static const char *const beside[] = { "-wal", "-shm", "-journal" };
    char name[CLI_PATH + 16];

    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(name, sizeof name, "%s%s", path, beside[i]);
        if (unlink(name) != 0 && errno != ENOENT)
            return cli_fail("%s: %s", name, strerror(errno));
    }
    snapshot_sync_directory(path);
    return CLI_OK;
}

static void kept_name(const char *path, char out[CLI_PATH])
{
    char when[32];
    time_t now = time(NULL);
    struct tm tm;

    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
    snprintf(out, CLI_PATH, "%.4000s.replaced-%s", path, when);
}

static int replace(const char *temporary, const char *path, const struct snapshot_facts *facts)
{
    char kept[CLI_PATH], text[256];
    enum old old;
    int status;

    kept_name(path, kept);
    if (old_settle(path, &old) != 0)
        return CLI_FAILED;
    if ((status = old_keep(path, old, kept)) != CLI_OK || (status = log_remove(path)) != CLI_OK)
        return status;
    if (rename(temporary, path) != 0)
        return cli_fail("%s: %s", path, strerror(errno));
    snapshot_sync_directory(path);
    snapshot_describe(facts, text, sizeof text);
    human_text(stdout, path);
    printf(": %s\n", text);
    if (old != OLD_NONE) {
        printf("%s is kept as ", old == OLD_WHOLE ? "what was there" : "what was there, and is damaged,");
        human_text(stdout, kept);
        printf("\n");
    }
    return CLI_OK;
}

/* With the lock held. */
static int run(const char *file, const char *path)
{
    struct snapshot_facts original, copied;
    char temporary[CLI_PATH], why[SNAPSHOT_WHY];
    int status;

    if (snapshot_temporary(path, temporary) != 0)
        return CLI_FAILED;
    if (snapshot_copy(file, temporary, INT64_MAX, &original, why) != 0 ||
        snapshot_check(temporary, &original, &copied, why) != 0)
        status = cli_fail("%s", why);
    else
        status = replace(temporary, path, &copied);
    snapshot_discard(temporary);
    return status;
}

/* The file itself, if its name is a link: what is beside it counts. */
static void resolve(const char *database, char out[CLI_PATH])
{
    char *real = realpath(database, NULL);

    snprintf(out, CLI_PATH, "%s", real ? real : database);
    free(real);
}

int command_restore(int argc, char **argv)
{
    const struct cli_option options[] = { { "database", "database", NULL }, { 0 } };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    char standard[CLI_PATH], path[CLI_PATH], error[CLI_PATH + 256];
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    paths_state(standard, sizeof standard, PATHS_DATABASE);
    cli_param_default(&c, "database", standard);
    const char *database = cli_param(&c, "database");
    if (access(c.operand[0], R_OK) != 0)
        return cli_fail("%s: %s", c.operand[0], strerror(errno));
    if (paths_make_parents(database) != 0)
        return cli_fail("%s: %s", database, strerror(errno));
    int lock = paths_lock(database, error, sizeof error);
    if (lock < 0)
        return errno == EWOULDBLOCK ? cli_fail("%s: a tollgated uses it: stop that first", database)
                                    : cli_fail("%s", error);
    cli_catch_signals();
    resolve(database, path);
    status = run(c.operand[0], path);
    close(lock);
    return status;
}
