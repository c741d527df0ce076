/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/paths.h"
#include "snapshot.h"

#define MIB           (1024 * 1024)
#define CHECK_NICE    10 /* nobody waits for the check: the collector goes first */
#define WAL_LIMIT_MIB 4096
#define MIB_MAX       (1024 * 1024 * 1024)

static const char help[] =
    "usage: tollgate backup FILE [--database PATH] [--force] [--wal-limit MIB]\n"
    "\n"
    "Copies the database to FILE while the collector runs, as of one moment, and checks the copy. FILE is\n"
    "there when it is complete, or not at all.\n"
    "\n"
    "  --database PATH  the collector's file (default: the one that tollgated uses if it is not told)\n"
    "  --force          replaces FILE if it is there\n"
    "  --wal-limit MIB  gives up when the collector's write-ahead log, which cannot begin anew meanwhile,\n"
    "                   has grown by more (default: 4096)\n"
    "\n"
    "  tollgate backup /backup/tollgate-$(date +%F).db\n"
    "  tollgate backup events.db --database /var/lib/tollgate/tollgate.db --force\n";

/* The name appears at once with all that is in it. Without force it must not have been there, however
 * long the copy took. */
static int appear(const char *temporary, const char *file, bool force)
{
    int rc =
        force ? rename(temporary, file) : renameat2(AT_FDCWD, temporary, AT_FDCWD, file, RENAME_NOREPLACE);

    if (rc != 0 && !force && errno == EINVAL) /* a file system that cannot */
        rc = link(temporary, file);
    if (rc != 0)
        return cli_fail("%s: %s", file, strerror(errno));
    unlink(temporary);
    snapshot_sync_directory(file);
    return CLI_OK;
}

/* Whether the file is the database, or one of those that stand beside it. */
static bool is_part_of(const char *database, const char *file)
{
    static const char *const parts[] = { "", "-wal", "-shm", "-lock" };
    struct stat there, part;
    char name[CLI_PATH];
    bool same = false;

    if (stat(file, &there) != 0)
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(name, sizeof name, "%s%s", database, parts[i]);
        same |= stat(name, &part) == 0 && part.st_dev == there.st_dev && part.st_ino == there.st_ino;
    }
    return same;
}

static int run(const char *database, const char *file, bool force, int64_t wal_limit_bytes)
{
    char temporary[CLI_PATH], why[SNAPSHOT_WHY], text[256];
    struct snapshot_facts original, copied;
    int status;

    if (!force && access(file, F_OK) == 0)
        return cli_fail("%s is there already (--force replaces it)", file);
    if (is_part_of(database, file))
        return cli_fail("%s belongs to the database itself: a copy wants another name", file);
    if (access(database, R_OK) != 0)
        return cli_fail("%s: %s (--database says which file it is)", database, strerror(errno));
    if (snapshot_temporary(file, temporary) != 0)
        return CLI_FAILED;
    bool ok = snapshot_copy(database, temporary, wal_limit_bytes, &original, why) == 0;
    (void)!nice(CHECK_NICE);
    if (ok && snapshot_check(temporary, &original, &copied, why) == 0)
        status = appear(temporary, file, force);
    else
        status = cli_fail("%s", why);
    snapshot_discard(temporary);
    if (status != CLI_OK)
        return status;
    snapshot_describe(&copied, text, sizeof text);
    human_text(stdout, file);
    printf(": %s; checked\n", text);
    return CLI_OK;
}

int command_backup(int argc, char **argv)
{
    bool force = false;
    const struct cli_option options[] = {
        { "database", "database", NULL }, { "wal-limit", "wal-limit", NULL }, { "force", NULL, &force }, { 0 }
    };
    struct cli c = { .operands_min = 1, .operands_max = 1 };
    char database[CLI_PATH];
    int64_t wal_limit_mib = WAL_LIMIT_MIB;
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (cli_number(&c, "wal-limit", MIB_MAX, &wal_limit_mib) != 0)
        return CLI_USAGE;
    paths_state(database, sizeof database, PATHS_DATABASE);
    cli_param_default(&c, "database", database);
    cli_catch_signals();
    return run(cli_param(&c, "database"), c.operand[0], force, wal_limit_mib * MIB);
}
