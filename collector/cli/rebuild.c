/* SPDX-License-Identifier: MIT */
#include "../writer/rebuild.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../base/paths.h"
#include "snapshot.h"

#define BUSY_MS         10000
#define WAL_LIMIT_BYTES (4LL << 30)

static const char help[] =
    "usage: tollgate rebuild [usage | session] [--check] [--database PATH]\n"
    "\n"
    "Counts sums by time (usage) and by session again from the log, as far back as it goes; both if neither\n"
    "is named. Stores them, while no collector runs on the file, or compares them, while one may.\n"
    "\n"
    "  --check          only compares; exit status 1 if anything differs\n"
    "  --database PATH  the collector's file (default: the one that tollgated uses if it is not told)\n"
    "\n"
    "  tollgate rebuild --check\n"
    "  tollgate rebuild --check --database /backup/tollgate-2026-11-21.db\n"
    "  tollgate rebuild usage\n";

struct rebuild {
    const char *path;
    struct store store; /* of a rebuild that writes */
    sqlite3 *db;        /* of one that compares; owned */
    struct wal_watch wal;
    struct progress progress;
};

static bool on_progress(void *arg, int64_t done, int64_t of)
{
    struct rebuild *r = arg;

    progress_show(&r->progress, done, of);
    return !cli_stopped() && !(r->db && wal_watch_is_over(&r->wal));
}

static const char *why_not(const struct rebuild *r, const struct rebuild_report *report)
{
    if (cli_stopped())
        return "interrupted";
    if (r->db && wal_watch_is_over(&r->wal))
        return "given up, because the collector's write-ahead log grew too large meanwhile";
    return report->error;
}

static void add(char *out, size_t size, int64_t n, const char *what)
{
    char count[CLI_TEXT];
    size_t used = strlen(out);

    human_count(n, count);
    snprintf(out + used, size - used, "%s%s %s", used ? ", " : "", count, what);
}

static void report_show(enum rebuild_projection p, const struct rebuild_report *r, bool check)
{
    char text[512] = "";

    add(text, sizeof text, r->events, "events");
    if (p == REBUILD_USAGE) {
        add(text, sizeof text, r->minutes, "minutes");
        add(text, sizeof text, r->quarters, "quarters of an hour");
        add(text, sizeof text, r->days, "days");
    } else {
        add(text, sizeof text, r->sessions, "sessions");
        add(text, sizeof text, r->spans, "index spans");
    }
    if (r->skipped)
        add(text, sizeof text, r->skipped, "older than the log, left as they are");
    printf("%-8s %s %s", rebuild_name(p), check ? "compared:" : "rebuilt from", text);
    if (check && r->differences == 0)
        printf("; no difference");
    putchar('\n');
    for (int64_t i = 0; i < r->differences && i < REBUILD_DIFFERENCES; i++) {
        printf("  differs: ");
        human_text(stdout, r->difference[i]);
        putchar('\n');
    }
    if (r->differences > REBUILD_DIFFERENCES)
        printf("  and %lld more\n", (long long)(r->differences - REBUILD_DIFFERENCES));
}

/* CLI_OK, or CLI_FAILED: told on stderr, or as a difference. */
static int one(struct rebuild *r, enum rebuild_projection p, bool check)
{
    struct rebuild_report report = { 0 };

    progress_start(&r->progress, check ? "comparing" : "rebuilding", NULL);
    int rc = check ? rebuild_check(r->db, p, on_progress, r, &report)
                   : rebuild_write(&r->store, p, on_progress, r, &report);
    progress_end(&r->progress);
    if (rc != 0)
        return cli_fail("%s: %s", r->path, why_not(r, &report));
    report_show(p, &report, check);
    if (check && report.differences > 0)
        cli_fail("%s differs from the log: stop tollgated and run: tollgate rebuild %s", rebuild_name(p),
                 rebuild_name(p));
    return check && report.differences > 0 ? CLI_FAILED : CLI_OK;
}

static int open_reader(struct rebuild *r)
{
    int rc = sqlite3_open_v2(r->path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

    sqlite3_busy_timeout(r->db, BUSY_MS);
    sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    wal_watch_start(&r->wal, r->path, WAL_LIMIT_BYTES);
    return rc == SQLITE_OK ? CLI_OK : cli_fail("%s: %s", r->path, sqlite3_errmsg(r->db));
}

static int open_writer(struct rebuild *r)
{
    char error[STORE_ERROR_MAX];

    if (store_open(&r->store, r->path, "full", error) == 0)
        return CLI_OK;
    return cli_fail("%s", error);
}

/* The named projection, or all. */
static int run(struct rebuild *r, int named, bool check)
{
    int status = check ? open_reader(r) : open_writer(r);
    bool differs = false;

    for (int p = 0; p < REBUILD_PROJECTIONS && status == CLI_OK; p++) {
        if (named < 0 || named == p)
            differs = one(r, (enum rebuild_projection)p, check) != CLI_OK || differs;
        status = differs && (!check || cli_stopped()) ? CLI_FAILED : CLI_OK;
    }
    sqlite3_close(r->db);
    if (r->store.db)
        store_close(&r->store);
    return differs ? CLI_FAILED : status;
}

int command_rebuild(int argc, char **argv)
{
    bool check = false;
    const struct cli_option options[] = { { "database", "database", NULL },
                                          { "check", NULL, &check },
                                          { 0 } };
    struct cli c = { .operands_max = 1 };
    struct rebuild r = { .path = NULL };
    char standard[CLI_PATH];
    int status = cli_options(&c, argc, argv, options, false, help);

    if (status >= 0)
        return status;
    if (c.operands && rebuild_code(c.operand[0]) < 0) {
        cli_fail("%s: usage or session was expected (see --help)", c.operand[0]);
        return CLI_USAGE;
    }
    paths_state(standard, sizeof standard, PATHS_DATABASE);
    cli_param_default(&c, "database", standard);
    r.path = cli_param(&c, "database");
    if (access(r.path, R_OK) != 0)
        return cli_fail("%s: %s (--database says which file it is)", r.path, strerror(errno));
    cli_catch_signals();
    return run(&r, c.operands ? rebuild_code(c.operand[0]) : -1, check);
}
