/* SPDX-License-Identifier: MIT
 *
 * bare_select.c: the limit that exports are measured against: one SELECT * over the same rows, every
 * column of each row looked at as it is stored, nothing written.
 *
 *     bare_select FILE ROWS      prints rows a second
 *
 * The cache is as large as that of the collector's own read-only connections.
 */
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Noreturn void die(sqlite3 *db, const char *what)
{
    fprintf(stderr, "bare_select: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Something of every column, so that none is left unread. */
static uint64_t look(sqlite3_stmt *stmt, int columns)
{
    uint64_t sum = 0;

    for (int i = 0; i < columns; i++) {
        int type = sqlite3_column_type(stmt, i);
        if (type == SQLITE_INTEGER)
            sum += (uint64_t)sqlite3_column_int64(stmt, i);
        else if (type == SQLITE_TEXT || type == SQLITE_BLOB)
            sum += *(const unsigned char *)sqlite3_column_blob(stmt, i) +
                   (uint64_t)sqlite3_column_bytes(stmt, i);
    }
    return sum;
}

int main(int argc, char **argv)
{
    const long rows = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    sqlite3_stmt *stmt;
    uint64_t sum = 0;
    sqlite3 *db;
    long n = 0;

    if (rows <= 0) {
        fputs("usage: bare_select FILE ROWS\n", stderr);
        return 2;
    }
    if (sqlite3_open_v2(argv[1], &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_exec(db, "PRAGMA cache_size = -2048", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(db, "SELECT * FROM dispatch ORDER BY id LIMIT ?", -1, &stmt, NULL) != SQLITE_OK)
        die(db, argv[1]);
    sqlite3_bind_int64(stmt, 1, rows);
    const int columns = sqlite3_column_count(stmt);
    const int64_t begun = now_ns();
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        sum += look(stmt, columns);
        n++;
    }
    const int64_t spent = now_ns() - begun;
    if (n < rows)
        die(db, "fewer rows than asked for");
    printf("%.0f\n", (double)n * 1e9 / (double)spent);
    fprintf(stderr, "# sum %llu\n", (unsigned long long)sum);
    sqlite3_finalize(stmt);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
