/* SPDX-License-Identifier: MIT
 *
 * Why SQLite's backup interface and not VACUUM INTO: pages are copied as they are, in half the time,
 * so the snapshot that holds the write-ahead log is let go sooner. The copy is synced every few
 * megabytes: a large unsynced file makes the file system stall the collector's own fsync for half a
 * second and more. It is dropped from the page cache as it is written: it would push out the
 * collector's pages, and the check then reads what the disk has.
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../writer/migrations.h"
#include "../writer/store.h"
#include "rows.h"

#define STEP_PAGES  256        /* of 8 KiB: 2 MiB */
#define SYNC_BYTES  (8 << 20)  /* of the copy that may be unsynced */
#define ROOM_BYTES  (64 << 20) /* that must be left on the disk afterwards */
#define BUSY_MS     10000
#define CHECK_STEPS 100000 /* virtual machine steps between two looks at the signals */

/* ----------------------------------------------------------------- wal watch */

static int64_t file_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : 0;
}

void wal_watch_start(struct wal_watch *w, const char *database, int64_t limit_bytes)
{
    snprintf(w->path, sizeof w->path, "%s-wal", database);
    w->begin_bytes = file_bytes(w->path);
    w->limit_bytes = limit_bytes;
}

int64_t wal_watch_grown(const struct wal_watch *w)
{
    int64_t now = file_bytes(w->path);

    return now > w->begin_bytes ? now - w->begin_bytes : 0;
}

bool wal_watch_is_over(const struct wal_watch *w)
{
    int64_t grown = wal_watch_grown(w);
    struct statvfs fs;

    if (grown > w->limit_bytes)
        return true;
    return grown > 0 && statvfs(w->path, &fs) == 0 && grown > (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

/* -------------------------------------------------------------------- facts */

static int say(char *why, const char *path, const char *what)
{
    snprintf(why, SNAPSHOT_WHY, "%.300s: %.200s", path, what);
    return -1;
}

static int64_t number(sqlite3 *db, const char *sql, int *rc)
{
    sqlite3_stmt *stmt = NULL;
    int64_t n = 0;

    if (*rc != SQLITE_OK)
        return 0;
    *rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (*rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        n = sqlite3_column_int64(stmt, 0);
    if (*rc == SQLITE_OK)
        *rc = sqlite3_finalize(stmt);
    return n;
}

/* What can be read at once, in the transaction that is under way. SQLite's code. */
static int facts_read(sqlite3 *db, struct snapshot_facts *f)
{
    int rc = SQLITE_OK;

    f->schema = number(db, "PRAGMA user_version", &rc);
    f->bytes = number(db, "PRAGMA page_count", &rc) * number(db, "PRAGMA page_size", &rc);
    f->last_id = number(db,
                        "SELECT max(ifnull((SELECT max(id) FROM dispatch), 0),"
                        " ifnull((SELECT max(id) FROM message), 0), ifnull((SELECT max(id) FROM report), 0))",
                        &rc);
    f->usage_watermark = number(db, "SELECT watermark FROM projection WHERE name = 'usage'", &rc);
    f->session_watermark = number(db, "SELECT watermark FROM projection WHERE name = 'session'", &rc);
    f->newest_ms = number(
        db,
        "SELECT max(ifnull((SELECT ts_ms + received_after_ms FROM dispatch ORDER BY id DESC LIMIT 1), 0),"
        " ifnull((SELECT ts_ms + received_after_ms FROM message ORDER BY id DESC LIMIT 1), 0),"
        " ifnull((SELECT ts_ms + received_after_ms FROM report ORDER BY id DESC LIMIT 1), 0))",
        &rc);
    return rc;
}

static int counts_read(sqlite3 *db, struct snapshot_facts *f)
{
    int rc = SQLITE_OK;

    f->dispatches = number(db, "SELECT count(*) FROM dispatch", &rc);
    f->messages = number(db, "SELECT count(*) FROM message", &rc);
    f->reports = number(db, "SELECT count(*) FROM report", &rc);
    f->sessions = number(db, "SELECT count(*) FROM projection_session", &rc);
    return rc;
}

/* Opens read-only. Whose file it is and which version is asked before anything else. */
static int open_source(const char *path, sqlite3 **db, char *why)
{
    int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    int64_t application, schema;

    sqlite3_busy_timeout(*db, BUSY_MS);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(*db, "PRAGMA query_only = 1; PRAGMA wal_autocheckpoint = 0; BEGIN", NULL, NULL,
                          NULL);
    application = number(*db, "PRAGMA application_id", &rc); /* from here on it is one moment */
    schema = number(*db, "PRAGMA user_version", &rc);
    if (rc == SQLITE_NOTADB || (rc == SQLITE_OK && application != STORE_APPLICATION_ID))
        return say(why, path, "is not a database of Tollgate's");
    if (rc != SQLITE_OK)
        return say(why, path, access(path, R_OK) != 0 ? strerror(errno) : sqlite3_errmsg(*db));
    if (schema > migrations_count) {
        snprintf(why, SNAPSHOT_WHY,
                 "%.300s has schema %lld and this tollgate knows %d: use the newer version", path,
                 (long long)schema, migrations_count);
        return -1;
    }
    return 0;
}

/* --------------------------------------------------------------------- copy */

struct copy {
    const char *from, *to;
    sqlite3 *source, *target; /* owned */
    sqlite3_backup *backup;   /* owned */
    int fd;                   /* owned: of the copy, to sync it */
    struct wal_watch wal;
    struct progress progress;
};

static bool has_room(const struct copy *c, int64_t bytes, char *why)
{
    char needs[CLI_TEXT], left[CLI_TEXT];
    struct statvfs fs;

    if (fstatvfs(c->fd, &fs) != 0)
        return true;
    int64_t room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
    if (room >= bytes + ROOM_BYTES)
        return true;
    human_bytes(bytes, needs);
    human_bytes(room, left);
    snprintf(why, SNAPSHOT_WHY, "%.300s: the copy needs %s and the disk has %s left", c->to, needs, left);
    return false;
}

static int open_target(struct copy *c, char *why)
{
    int rc = sqlite3_open_v2(c->to, &c->target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(
            c->target, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE",
            NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        c->backup = sqlite3_backup_init(c->target, "main", c->source, "main");
    return c->backup ? 0 : say(why, c->to, sqlite3_errmsg(c->target));
}

/* Why the copy has to stop now, or NULL. */
static const char *trouble(const struct copy *c, int rc)
{
    if (cli_stopped())
        return "interrupted";
    if (wal_watch_is_over(&c->wal))
        return "given up, because the collector's write-ahead log grew too large meanwhile (--wal-limit, or "
               "half "
               "of the room on its disk)";
    if (rc != SQLITE_OK && rc != SQLITE_DONE)
        return sqlite3_errstr(rc);
    return NULL;
}

static int pages_copy(struct copy *c, char *why)
{
    const char *problem;
    int64_t unsynced = 0;
    int rc = SQLITE_OK;

    while (rc != SQLITE_DONE) {
        rc = sqlite3_backup_step(c->backup, STEP_PAGES);
        if ((problem = trouble(c, rc)) != NULL)
            return say(why, c->from, problem);
        int64_t of = sqlite3_backup_pagecount(c->backup), left = sqlite3_backup_remaining(c->backup);
        progress_show(&c->progress, (of - left) * STORE_PAGE_BYTES, of * STORE_PAGE_BYTES);
        unsynced += (int64_t)STEP_PAGES * STORE_PAGE_BYTES;
        if (unsynced < SYNC_BYTES && rc != SQLITE_DONE)
            continue;
        if (fdatasync(c->fd) != 0)
            return say(why, c->to, strerror(errno));
        posix_fadvise(c->fd, 0, 0, POSIX_FADV_DONTNEED);
        unsynced = 0;
    }
    return 0;
}

static void copy_close(struct copy *c)
{
    if (c->backup)
        sqlite3_backup_finish(c->backup);
    sqlite3_close(c->target);
    sqlite3_close(c->source);
    c->backup = NULL;
    c->target = c->source = NULL;
}

/* A copy at rest needs no write-ahead log: so it can be read from where nobody may write. */
static int leave_wal(const struct copy *c, char *why)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(c->to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE", NULL, NULL,
                          NULL);
    if (rc != SQLITE_OK)
        say(why, c->to, sqlite3_errmsg(db));
    sqlite3_close(db);
    return rc == SQLITE_OK ? 0 : -1;
}

static int copy_run(struct copy *c, int64_t wal_limit_bytes, struct snapshot_facts *facts, char *why)
{
    if (open_source(c->from, &c->source, why) != 0)
        return -1;
    wal_watch_start(&c->wal, c->from, wal_limit_bytes);
    if (facts_read(c->source, facts) != SQLITE_OK)
        return say(why, c->from, sqlite3_errmsg(c->source));
    if (!has_room(c, facts->bytes, why) || open_target(c, why) != 0 || pages_copy(c, why) != 0)
        return -1;
    copy_close(c);
    if (leave_wal(c, why) != 0)
        return -1;
    return fsync(c->fd) == 0 ? 0 : say(why, c->to, strerror(errno));
}

int snapshot_copy(const char *from, const char *to, int64_t wal_limit_bytes, struct snapshot_facts *facts,
                  char *why)
{
    struct copy c = { .from = from, .to = to };

    memset(facts, 0, sizeof *facts);
    c.fd = open(to, O_RDWR | O_CLOEXEC);
    if (c.fd < 0)
        return say(why, to, strerror(errno));
    progress_start(&c.progress, "copied", human_bytes);
    int rc = copy_run(&c, wal_limit_bytes, facts, why);
    progress_end(&c.progress);
    copy_close(&c);
    close(c.fd);
    return rc;
}

/* -------------------------------------------------------------------- check */

static int on_steps(void *arg)
{
    progress_show(arg, 0, 0);
    return cli_stopped();
}

static int quick_check(sqlite3 *db, const char *path, char *why)
{
    sqlite3_stmt *stmt = NULL;
    const char *said = NULL;
    int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

    if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
        said = (const char *)sqlite3_column_text(stmt, 0);
    bool ok = said && strcmp(said, "ok") == 0;
    if (!ok && cli_stopped())
        say(why, path, "interrupted");
    else if (!ok)
        snprintf(why, SNAPSHOT_WHY, "%.250s is damaged: %.200s", path, said ? said : sqlite3_errmsg(db));
    sqlite3_finalize(stmt);
    return ok ? 0 : -1;
}

/* A copy is as its original, and the sums in it are of what is in it. */
static int facts_compare(sqlite3 *db, const char *path, const struct snapshot_facts *want,
                         const struct snapshot_facts *got, char *why)
{
    int rc = SQLITE_OK;
    int64_t known = number(db, "SELECT ifnull(max(last_id), 0) FROM log_partition", &rc);

    known = known > got->last_id ? known : got->last_id;
    if (rc != SQLITE_OK)
        return say(why, path, sqlite3_errmsg(db));
    if (got->usage_watermark > known || got->session_watermark > known)
        return say(why, path, "is damaged: its sums are further than its log");
    if (want && (got->bytes != want->bytes || got->schema != want->schema || got->last_id != want->last_id ||
                 got->usage_watermark != want->usage_watermark ||
                 got->session_watermark != want->session_watermark || got->newest_ms != want->newest_ms))
        return say(why, path, "the copy is not what was copied");
    return 0;
}

int snapshot_check(const char *path, const struct snapshot_facts *want, struct snapshot_facts *facts,
                   char *why)
{
    struct progress progress;
    sqlite3 *db = NULL;

    memset(facts, 0, sizeof *facts);
    progress_start(&progress, "checking", NULL);
    int rc = open_source(path, &db, why);
    if (rc == 0) {
        sqlite3_progress_handler(db, CHECK_STEPS, on_steps, &progress);
        rc = quick_check(db, path, why);
    }
    if (rc == 0 && (facts_read(db, facts) != SQLITE_OK || counts_read(db, facts) != SQLITE_OK))
        rc = say(why, path, cli_stopped() ? "interrupted" : sqlite3_errmsg(db));
    if (rc == 0)
        rc = facts_compare(db, path, want, facts, why);
    sqlite3_close(db);
    progress_end(&progress);
    return rc;
}

void snapshot_describe(const struct snapshot_facts *f, char *out, size_t size)
{
    char bytes[CLI_TEXT], when[CLI_TEXT], dispatches[CLI_TEXT], messages[CLI_TEXT], reports[CLI_TEXT];

    human_bytes(f->bytes, bytes);
    human_time(f->newest_ms, when);
    human_count(f->dispatches, dispatches);
    human_count(f->messages, messages);
    human_count(f->reports, reports);
    snprintf(out, size, "%s, %s dispatches, %s messages, %s reports%s%s%s", bytes, dispatches, messages,
             reports, f->newest_ms ? ", up to " : "", f->newest_ms ? when : "", f->newest_ms ? "Z" : "");
}

/* -------------------------------------------------------------------- files */

int snapshot_temporary(const char *path, char out[CLI_PATH])
{
    mode_t old = umask(0077);
    int fd = -1;

    if (snprintf(out, CLI_PATH, "%s.part-XXXXXX", path) < CLI_PATH)
        fd = mkstemp(out);
    else
        errno = ENAMETOOLONG;
    umask(old);
    if (fd < 0) {
        cli_fail("%s: %s", path, strerror(errno));
        return -1;
    }
    close(fd);
    return 0;
}

void snapshot_discard(const char *temporary)
{
    static const char *const beside[] = { "", "-wal", "-shm", "-journal" };
    char name[CLI_PATH + 16];

    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        snprintf(name, sizeof name, "%s%s", temporary, beside[i]);
        unlink(name);
    }
}

void snapshot_sync_directory(const char *path)
{
    char *copy = strdup(path);
    int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(copy);
}
