/* SPDX-License-Identifier: MIT
 *
 * log_row.c: three statements, one for each kind, walked together by id: three plain scans are several
 * times faster than a UNION ALL in order. What a row needs of its combination is remembered instead
 * of joined.
 */
#include "log_row.h"

#include <stdlib.h>
#include <string.h>

#include "../base/identifier.h"

#include "../base/stored.h"

#define KINDS      3
#define DIMS_KNOWN 4096 /* a power of two */

struct log_dims {
    uint32_t dims, rollup;
    uint8_t status;
};

static const uint8_t num_of_sum[DISPATCH_SUMS] = {
#define X(name) D_##name,
    DISPATCH_SUMMED(X)
#undef X
};

/* What is read of a dispatch, in the order of read_dispatch. */
#define DISPATCH_COLUMNS                                                                   \
    "e.id, e.ts_ms, e.received_after_ms, e.dims, e.session, e.state, e.partial, e.price, " \
    "e.reservation_id" STORED_SUMS

enum {
    COLUMN_PARTIAL = 6,
    COLUMN_PRICE,
    COLUMN_RESERVATION,
    COLUMN_SUMS,
    COLUMN_STATUS = COLUMN_SUMS + DISPATCH_SUMS,
    COLUMN_ROLLUP
};

static const char *const scans[KINDS] = {
    [LOG_DISPATCH] = "SELECT " DISPATCH_COLUMNS " FROM dispatch e WHERE e.id BETWEEN ?1 AND ?2 ORDER BY e.id",
    [LOG_MESSAGE] = "SELECT id, ts_ms, received_after_ms, dims, session FROM message"
                    " WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    [LOG_REPORT] = "SELECT id, ts_ms, received_after_ms, 0, 0 FROM report"
                   " WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
};
static const char one[] = "SELECT " DISPATCH_COLUMNS
                          ", d.status, d.rollup FROM dispatch e JOIN dims d ON d.id = e.dims WHERE e.id=?";

/* NULL is unknown. Only a 0 can be one, and asking for the type is not free. */
static int64_t column_num(sqlite3_stmt *stmt, int at)
{
    int64_t n = sqlite3_column_int64(stmt, at);

    return n != 0 || sqlite3_column_type(stmt, at) != SQLITE_NULL ? n : UNKNOWN;
}

static void read_common(sqlite3_stmt *stmt, enum log_kind kind, struct log_row *out)
{
    *out = (struct log_row){
        .id = sqlite3_column_int64(stmt, 0),
        .ts_ms = sqlite3_column_int64(stmt, 1),
        .kind = kind,
        .dims = (uint32_t)sqlite3_column_int64(stmt, 3),
        .session = (uint32_t)sqlite3_column_int64(stmt, 4),
    };
    out->received_ms = out->ts_ms + sqlite3_column_int64(stmt, 2);
}

static void read_reservation(sqlite3_stmt *stmt, struct log_row *out)
{
    char unpacked[IDENTIFIER_TEXT_MAX];
    const char *text = unpacked;
    size_t len;

    if (sqlite3_column_type(stmt, COLUMN_RESERVATION) == SQLITE_BLOB) {
        const void *packed = sqlite3_column_blob(stmt, COLUMN_RESERVATION);
        len = identifier_unpack(packed, (size_t)sqlite3_column_bytes(stmt, COLUMN_RESERVATION), unpacked);
    } else {
        text = (const char *)sqlite3_column_text(stmt, COLUMN_RESERVATION);
        len = (size_t)sqlite3_column_bytes(stmt, COLUMN_RESERVATION);
    }
    if (text == NULL || len > LOG_RESERVATION_MAX)
        return;
    memcpy(out->reservation, text, len);
    out->reservation_len = (uint8_t)len;
}

static void read_dispatch(sqlite3_stmt *stmt, int64_t *num, struct log_row *out)
{
    out->counts = (sqlite3_column_int(stmt, 5) & 7) == 0;
    num[D_partial] = column_num(stmt, COLUMN_PARTIAL);
    num[D_price] = column_num(stmt, COLUMN_PRICE);
    for (int i = 0; i < DISPATCH_SUMS; i++)
        num[num_of_sum[i]] = column_num(stmt, COLUMN_SUMS + i);
    if (sqlite3_column_type(stmt, COLUMN_RESERVATION) != SQLITE_NULL)
        read_reservation(stmt, out);
    out->num = num;
}

static void forget_nums(int64_t *num)
{
    for (int i = 0; i < DISPATCH_NUMS; i++)
        num[i] = UNKNOWN;
}

/* ------------------------------------------------------------------ reading */

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return -sqlite3_prepare_v2(db, sql, -1, out, NULL);
}

static int step(struct log_reader *r, int kind)
{
    int rc = sqlite3_step(r->stmt[kind]);

    r->next[kind] = rc == SQLITE_ROW ? sqlite3_column_int64(r->stmt[kind], 0) : INT64_MAX;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* kind -1: all of them. */
static int open_kinds(struct log_reader *r, sqlite3 *db, int kind, int64_t first_id, int64_t last_id)
{
    *r = (struct log_reader){ .kind = -1, .known = calloc(DIMS_KNOWN, sizeof *r->known) };
    forget_nums(r->num);
    int rc = r->known == NULL ? -SQLITE_NOMEM
                              : prepare(db, "SELECT rollup, status FROM dims WHERE id=?", &r->dims);
    for (int k = 0; rc == 0 && k < KINDS; k++)
        if (kind < 0 || k == kind)
            rc = prepare(db, scans[k], &r->stmt[k]);
    if (rc == 0)
        rc = log_reader_seek(r, first_id, last_id);
    if (rc != 0)
        log_reader_close(r);
    return rc;
}

int log_reader_open(struct log_reader *r, sqlite3 *db, int64_t first_id, int64_t last_id)
{
    return open_kinds(r, db, -1, first_id, last_id);
}

int log_reader_open_kind(struct log_reader *r, sqlite3 *db, enum log_kind kind, int64_t first_id,
                         int64_t last_id)
{
    return open_kinds(r, db, (int)kind, first_id, last_id);
}

int log_reader_seek(struct log_reader *r, int64_t first_id, int64_t last_id)
{
    int rc = 0;

    log_reader_rest(r);
    for (int kind = 0; rc == 0 && kind < KINDS; kind++) {
        if (r->stmt[kind] == NULL)
            continue;
        sqlite3_bind_int64(r->stmt[kind], 1, first_id);
        sqlite3_bind_int64(r->stmt[kind], 2, last_id);
        rc = step(r, kind);
    }
    return rc;
}

void log_reader_rest(struct log_reader *r)
{
    for (int kind = 0; kind < KINDS; kind++) {
        sqlite3_reset(r->stmt[kind]);
        r->next[kind] = INT64_MAX;
    }
    r->kind = -1;
}

void log_reader_close(struct log_reader *r)
{
    for (int kind = 0; kind < KINDS; kind++)
        sqlite3_finalize(r->stmt[kind]);
    sqlite3_finalize(r->dims);
    free(r->known);
    *r = (struct log_reader){ .kind = -1 };
}

/* Fills in what the combination says. */
static int look_up(struct log_reader *r, struct log_row *out)
{
    struct log_dims *known = &r->known[out->dims % DIMS_KNOWN];

    if (out->dims != 0 && known->dims != out->dims) {
        *known = (struct log_dims){ .dims = out->dims, .rollup = out->dims };
        sqlite3_bind_int64(r->dims, 1, out->dims);
        int rc = sqlite3_step(r->dims);
        if (rc == SQLITE_ROW) {
            known->rollup = (uint32_t)sqlite3_column_int64(r->dims, 0);
            known->status = (uint8_t)sqlite3_column_int(r->dims, 1);
        }
        sqlite3_reset(r->dims);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return known->dims = 0, -rc;
    }
    out->rollup = out->dims != 0 ? known->rollup : 0;
    out->status = out->dims != 0 && out->kind == LOG_DISPATCH ? known->status : 0;
    return 0;
}

int log_reader_next(struct log_reader *r, struct log_row *out)
{
    int rc, kind = 0;

    if (r->kind >= 0 && (rc = step(r, r->kind)) != 0)
        return rc;
    for (int i = 1; i < KINDS; i++)
        if (r->next[i] < r->next[kind])
            kind = i;
    r->kind = r->next[kind] != INT64_MAX ? kind : -1;
    if (r->kind < 0)
        return 0;
    read_common(r->stmt[kind], (enum log_kind)kind, out);
    if (kind == LOG_DISPATCH)
        read_dispatch(r->stmt[kind], r->num, out);
    return (rc = look_up(r, out)) != 0 ? rc : 1;
}

int log_row_prepare(sqlite3 *db, sqlite3_stmt **out)
{
    return -sqlite3_prepare_v3(db, one, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

int log_row_read(sqlite3_stmt *stmt, int64_t id, int64_t num[DISPATCH_NUMS], struct log_row *out)
{
    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW) {
        forget_nums(num);
        read_common(stmt, LOG_DISPATCH, out);
        read_dispatch(stmt, num, out);
        out->status = (uint8_t)sqlite3_column_int(stmt, COLUMN_STATUS);
        out->rollup = (uint32_t)sqlite3_column_int64(stmt, COLUMN_ROLLUP);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}
