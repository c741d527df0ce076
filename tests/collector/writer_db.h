/* SPDX-License-Identifier: MIT
 *
 * writer_db.h: an empty database in a temporary folder, for the tests of the writer's files, and the
 * session index as it stands in one.
 */
#ifndef TESTS_WRITER_DB_H
#define TESTS_WRITER_DB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "collector/base/leb128.h"
#include "collector/base/slab.h"
#include "collector/writer/store.h"

/* How much of the work is done where the program is made ten times slower. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SCALE(n) (((n) + 9) / 10)
#else
#define SCALE(n) (n)
#endif

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

static char dir[64], path[128];

static inline int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tollgate-writer-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    return 0;
}

static inline int remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

static inline void db_remove(void)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-lock" };
    char name[160];

    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        unlink(name);
    }
}

static inline void db_open(struct store *store)
{
    char error[STORE_ERROR_MAX];

    if (store_open(store, path, "full", error) != 0)
        fail_msg("%s", error);
    sqlite3_exec(store->db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
}

static inline void db_exec(struct store *store, const char *sql)
{
    char *error = NULL;

    if (sqlite3_exec(store->db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", error, sql);
}

static inline int64_t db_ask(struct store *store, const char *sql)
{
    int64_t n = -1;

    if (store_number(store, sql, &n) != 0)
        fail_msg("%s: %s", store_error(store), sql);
    return n;
}

static inline sqlite3_stmt *db_prepare(struct store *store, const char *sql)
{
    sqlite3_stmt *stmt;

    if (store_prepare(store, sql, &stmt) != 0)
        fail_msg("%s: %s", store_error(store), sql);
    return stmt;
}

/* What a column of all slabs of a level adds up to; SLAB_DIMS: how many cells there are. */
static inline int64_t db_slab_sum(struct store *store, const char *table, enum slab_column column)
{
    static int64_t calls[SLAB_CELLS_MAX], value[SLAB_CELLS_MAX];
    struct slab_view v;
    int64_t sum = 0;
    char sql[80];

    snprintf(sql, sizeof sql, "SELECT body FROM %s", table);
    sqlite3_stmt *stmt = db_prepare(store, sql);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        assert_int_equal(slab_open(sqlite3_column_blob(stmt, 0), (size_t)sqlite3_column_bytes(stmt, 0), &v),
                         0);
        assert_int_equal(slab_read(&v, SLAB_CALLS, NULL, calls), 0);
        assert_int_equal(slab_read(&v, column, calls, value), 0);
        for (uint32_t i = 0; i < v.cells; i++)
            sum += column == SLAB_DIMS ? 1 : value[i];
    }
    sqlite3_finalize(stmt);
    return sum;
}

/* Reads the whole session index: session_of[id], 0 where no slice names the id. No id may come twice,
 * or outside of its span; spans may not overlap. Returns how many ids there are. */
static inline int64_t db_read_index(struct store *store, uint32_t *session_of, int64_t ids)
{
    sqlite3_stmt *stmt = db_prepare(store, "SELECT p.span, p.last_id, c.session, c.ids FROM"
                                           " projection_session_span p JOIN projection_session_slice c"
                                           " ON c.span = p.span ORDER BY 1, 3");
    int64_t found = 0, span = 0, last = 0;

    memset(session_of, 0, (size_t)ids * sizeof *session_of);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        if (sqlite3_column_int64(stmt, 0) != span)
            assert_true(sqlite3_column_int64(stmt, 0) > last);
        span = sqlite3_column_int64(stmt, 0);
        last = sqlite3_column_int64(stmt, 1);
        const uint8_t *at = sqlite3_column_blob(stmt, 3), *end = at + sqlite3_column_bytes(stmt, 3);
        int64_t id = span;
        for (bool first = true; at < end; first = false, found++) {
            uint64_t distance = 0;
            at = leb128_get(at, end, &distance);
            assert_non_null(at);
            assert_true(first || distance > 0);
            id += (int64_t)distance;
            assert_true(id <= last && id < ids);
            assert_int_equal(session_of[id], 0);
            session_of[id] = (uint32_t)sqlite3_column_int64(stmt, 2);
        }
    }
    sqlite3_finalize(stmt);
    return found;
}

#endif
