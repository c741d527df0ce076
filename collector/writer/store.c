/* SPDX-License-Identifier: MIT
 *
 * store.c: WAL, synchronous FULL or better: a commit has been fsynced. The automatic checkpoint is
 * off; the writer calls store_checkpoint after it has acknowledged, so nobody waits for it.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "../base/paths.h"
#include "../base/identifier.h"
#include "migrations.h"

const char *store_why(sqlite3 *db, int rc)
{
    return rc == -sqlite3_errcode(db) ? sqlite3_errmsg(db) : sqlite3_errstr(-rc);
}

const char *store_error(const struct store *s)
{
    return sqlite3_errmsg(s->db);
}

int store_prepare(struct store *s, const char *sql, sqlite3_stmt **out)
{
    return -sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

int store_run(sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -rc;
}

int store_number(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *stmt;
    int rc = store_prepare(s, sql, &stmt);

    if (rc != 0)
        return rc;
    if (sqlite3_step(stmt) == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    return -sqlite3_finalize(stmt);
}

void bind_num(sqlite3_stmt *stmt, int at, int64_t n)
{
    if (n < 0)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_int64(stmt, at, n);
}

void bind_text(sqlite3_stmt *stmt, int at, struct slice text)
{
    if (text.at == NULL)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_text(stmt, at, (const char *)text.at, (int)text.len, SQLITE_STATIC);
}

/* ----------------------------------------------------------------- opening */

static int exec(struct store *s, const char *sql)
{
    return -sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

static int lock(struct store *s, const char *path, char error[STORE_ERROR_MAX])
{
    s->lock_fd = paths_lock(path, error, STORE_ERROR_MAX);
    if (s->lock_fd >= 0)
        return 0;
    return errno == EWOULDBLOCK ? -SQLITE_BUSY : -SQLITE_CANTOPEN;
}

static int note_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    struct store *s = arg;

    (void)db;
    (void)name;
    s->wal_pages = pages;
    return SQLITE_OK;
}

static int configure(struct store *s, const char *synchronous)
{
    char sql[256];

    /* Debian's SQLite writes zeros over every page that becomes free: twice the work for retention. FAST
     * still clears what is deleted inside pages that are written anyway. */
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s; PRAGMA cache_size=-%d;"
             "PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"
             "PRAGMA secure_delete=FAST",
             STORE_PAGE_BYTES, synchronous, STORE_CACHE_KIB);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 2000);
    int rc = exec(s, sql);
    sqlite3_wal_hook(s->db, note_wal, s); /* after the pragma, which would take the hook away */
    return rc;
}

/* Whose file is it? Asked before anything in it is changed. */
static int examine(struct store *s, const char *path, int64_t *version, char error[STORE_ERROR_MAX])
{
    int64_t application = 0, tables = 0;
    int rc;

    if ((rc = store_number(s, "PRAGMA user_version", version)) != 0 ||
        (rc = store_number(s, "PRAGMA application_id", &application)) != 0 ||
        (rc = store_number(s, "SELECT count(*) FROM sqlite_schema", &tables)) != 0)
        return rc;
    if (tables > 0 && application != STORE_APPLICATION_ID) {
        snprintf(error, STORE_ERROR_MAX, "%s is a database, but not Tollgate's", path);
        return -SQLITE_NOTADB;
    }
    if (*version > migrations_count) {
        snprintf(error, STORE_ERROR_MAX,
                 "%s has schema %lld and this tollgated knows %d: a newer version wrote it, use that one",
                 path, (long long)*version, migrations_count);
        return -SQLITE_MISMATCH;
    }
    return 0;
}

static int migrate(struct store *s, int64_t version)
{
    char sql[128];
    int rc;

    if (version == migrations_count)
        return 0;
    rc = exec(s, "BEGIN IMMEDIATE");
    for (int64_t i = version; rc == 0 && i < migrations_count; i++)
        rc = exec(s, migrations[i]);
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
             STORE_APPLICATION_ID, migrations_count);
    return rc != 0 ? rc : exec(s, sql);
}

static int prepare_all(struct store *s)
{
    static const char dispatch[] = "INSERT INTO dispatch VALUES(?,?,?,?,?,?,?"
#define TG_DISPATCH_TEXT(name) ",?"
#define TG_DISPATCH_NUM(name)  ",?"
#include "../../schema/event.def"
#define TG_DISPATCH_DERIVED(name) ",?"
#include "../../schema/event.def"
                                   ")";
    int rc;

    if ((rc = store_prepare(s, "BEGIN IMMEDIATE", &s->begin)) != 0 ||
        (rc = store_prepare(s, "COMMIT", &s->commit)) != 0 ||
        (rc = store_prepare(s, "ROLLBACK", &s->rollback)) != 0 ||
        (rc = store_prepare(s, dispatch, &s->dispatch)) != 0 ||
        (rc = store_prepare(s, "INSERT INTO message VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", &s->message)) != 0 ||
        (rc = store_prepare(s, "INSERT INTO report VALUES(?,?,?,?,?,?,?)", &s->report)) != 0 ||
        (rc = store_prepare(s, "INSERT INTO quarantine VALUES(NULL,?,?,?,?,?,?,?,?)", &s->quarantine)) != 0)
        return rc;
    return store_reload(s);
}

int store_reload(struct store *s)
{
    return store_number(s,
                        "SELECT 1 + max((SELECT ifnull(max(id), 0) FROM dispatch),"
                        " (SELECT ifnull(max(id), 0) FROM message), (SELECT ifnull(max(id), 0) FROM report),"
                        " (SELECT max(watermark) FROM projection))",
                        &s->next_id);
}

int store_open(struct store *s, const char *path, const char *synchronous, char error[STORE_ERROR_MAX])
{
    int64_t version = 0;
    int rc;

    *s = (struct store){ .lock_fd = -1 };
    error[0] = '\0';
    if ((rc = lock(s, path, error)) != 0)
        goto fail;
    mode_t old = umask(0077);
    rc = -sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          NULL);
    if (rc == 0 && (rc = examine(s, path, &version, error)) == 0 && (rc = configure(s, synchronous)) == 0)
        rc = migrate(s, version);
    umask(old);
    if (rc == 0 && (rc = -identifier_functions(s->db)) == 0 && (rc = prepare_all(s)) == 0)
        return 0;
fail:
    if (error[0] == '\0')
        snprintf(error, STORE_ERROR_MAX, "%s: %s", path,
                 s->db != NULL ? store_error(s) : sqlite3_errstr(-rc));
    store_close(s);
    return rc;
}

void store_close(struct store *s)
{
    sqlite3_stmt *stmt;

    while (s->db != NULL && (stmt = sqlite3_next_stmt(s->db, NULL)) != NULL)
        sqlite3_finalize(stmt);
    sqlite3_close(s->db);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    *s = (struct store){ .lock_fd = -1 };
}

bool store_has_room(const struct store *s)
{
    struct statvfs fs;

    if (fstatvfs(s->lock_fd, &fs) != 0)
        return true; /* nobody knows: the next write will tell */
    uint64_t all = (uint64_t)fs.f_blocks * fs.f_frsize, left = (uint64_t)fs.f_bavail * fs.f_frsize;
    return left >= (all / 20 < STORE_ROOM_BYTES ? all / 20 : STORE_ROOM_BYTES);
}

/* ------------------------------------------------------------ transactions */

int store_begin(struct store *s)
{
    return store_run(s->begin);
}

int store_commit(struct store *s)
{
    return store_run(s->commit);
}

void store_rollback(struct store *s)
{
    if (!sqlite3_get_autocommit(s->db)) /* SQLite may have rolled back by itself */
        store_run(s->rollback);
}

int store_checkpoint(struct store *s, bool always)
{
    int in_log = 0, moved = 0;

    if (!always && s->wal_pages < STORE_CHECKPOINT_PAGES)
        return 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved);
    if (rc == SQLITE_OK)
        s->wal_pages = in_log - moved;
    return -rc;
}
