/* SPDX-License-Identifier: MIT */
#include "database.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../base/clock.h"
#include "../base/paths.h"
#include "../query/when.h"

#define BUSY_MS         10000
#define WAL_LIMIT_BYTES (4LL << 30)

static int take_time(const struct cli *c, const char *name, int64_t now_ms, int64_t *out)
{
    const char *text = cli_param(c, name);

    if (!text || when_parse(text, now_ms, out) == 0)
        return CLI_OK;
    cli_fail("--%s: \"%s\" where " WHEN_EXPECTED " was expected", name, text);
    return CLI_USAGE;
}

int database_span(struct cli *c, int64_t *from_ms, int64_t *to_ms)
{
    int64_t now_ms = wall_ms();
    int status;

    cli_param_default(c, "from", "-30d");
    *to_ms = now_ms + 1;
    if ((status = take_time(c, "from", now_ms, from_ms)) != CLI_OK ||
        (status = take_time(c, "to", now_ms, to_ms)) != CLI_OK)
        return status;
    if (*from_ms < *to_ms)
        return CLI_OK;
    cli_fail("--from: %s is not before --to", cli_param(c, "from"));
    return CLI_USAGE;
}

int database_open(struct database *d, struct cli *c, const char *what)
{
    *d = (struct database){ .path = NULL };
    paths_state(d->standard, sizeof d->standard, PATHS_DATABASE);
    cli_param_default(c, "database", d->standard);
    d->path = cli_param(c, "database");
    if (access(d->path, R_OK) != 0)
        return cli_fail("%s: %s (--database says which file it is)", d->path, strerror(errno));
    if (sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
        cli_fail("%s: %s", d->path, sqlite3_errmsg(d->db));
        database_close(d);
        return CLI_FAILED;
    }
    sqlite3_busy_timeout(d->db, BUSY_MS);
    sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    cli_catch_signals();
    wal_watch_start(&d->wal, d->path, WAL_LIMIT_BYTES);
    progress_start(&d->progress, what, NULL);
    return CLI_OK;
}

void database_close(struct database *d)
{
    progress_end(&d->progress);
    sqlite3_close(d->db);
    d->db = NULL;
}

bool database_progress(void *arg, int64_t done, int64_t of)
{
    struct database *d = arg;

    progress_show(&d->progress, done, of);
    return !cli_stopped() && !wal_watch_is_over(&d->wal);
}

const char *database_why(const struct database *d, const char *error)
{
    if (cli_stopped())
        return "interrupted";
    if (wal_watch_is_over(&d->wal))
        return "given up, because the collector's write-ahead log grew too large meanwhile";
    return error;
}
