/* SPDX-License-Identifier: MIT
 *
 * rebuild_session.c: the totals of sessions. The log is read once and counted by session; what does
 * not fit into memory is spilled in blocks of neighbouring sessions, and compared block by block.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/stored.h"
#include "rebuild_work.h"

#define TOTALS_MAX     (128 * 1024)
#define INDEX_SLOTS    (256 * 1024)
#define BLOCK_SESSIONS 4096

struct totals {
    int64_t session;       /* 0: none */
    int64_t dims, dims_id; /* of the latest dispatch, else of the first message */
    bool has_dispatch;
    int64_t first_ms, last_ms, first_id, last_id;
    int64_t messages, calls, errors, partial, tokens;
    int64_t sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
};

_Static_assert(TOTALS_MAX * sizeof(struct totals) + INDEX_SLOTS * sizeof(uint32_t) <= REBUILD_MEMORY_MAX,
               "the totals are larger than promised");

struct sessions_count {
    struct rebuild *r;
    struct totals *totals; /* owned; dense */
    uint32_t *index;       /* owned; hash to totals + 1 */
    uint32_t used;
    struct spill spill;
    int64_t through;      /* sessions whose first row is later are whole in the log */
    struct totals *block; /* owned; by session */
    sqlite3_stmt *stmt;   /* owned; comparing: the stored rows in order; else the INSERT */
    bool has_row;
};

/* ------------------------------------------------------------------- totals */

/* The session's combination is its latest dispatch's; without any, its first message's. */
static void take_dims(struct totals *into, const struct totals *from)
{
    bool better = from->has_dispatch ? !into->has_dispatch || from->dims_id > into->dims_id
                                     : !into->has_dispatch && from->dims_id < into->dims_id;

    if (!better)
        return;
    into->dims = from->dims;
    into->dims_id = from->dims_id;
    into->has_dispatch = from->has_dispatch;
}

static void add_totals(struct totals *into, const struct totals *from)
{
    take_dims(into, from);
    into->first_ms = from->first_ms < into->first_ms ? from->first_ms : into->first_ms;
    into->last_ms = from->last_ms > into->last_ms ? from->last_ms : into->last_ms;
    into->first_id = from->first_id < into->first_id ? from->first_id : into->first_id;
    into->last_id = from->last_id > into->last_id ? from->last_id : into->last_id;
    into->messages += from->messages;
    into->calls += from->calls;
    into->errors += from->errors;
    into->partial += from->partial;
    into->tokens += from->tokens;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        into->sum[i] += from->sum[i];
        into->known[i] += from->known[i];
    }
}

static int by_session(const void *a, const void *b)
{
    int64_t x = ((const struct totals *)a)->session, y = ((const struct totals *)b)->session;

    return x < y ? -1 : x > y;
}

static int spill_all(struct sessions_count *s)
{
    uint32_t i = 0;
    int rc = 0;

    if (s->used > 1)
        qsort(s->totals, s->used, sizeof *s->totals, by_session);
    while (rc == 0 && i < s->used) {
        uint32_t first = i;
        int64_t block = s->totals[i].session / BLOCK_SESSIONS;
        while (i < s->used && s->totals[i].session / BLOCK_SESSIONS == block)
            i++;
        rc = spill_put(&s->spill, block, s->totals + first, (i - first) * sizeof *s->totals);
    }
    s->spill.part++;
    s->used = 0;
    memset(s->index, 0, INDEX_SLOTS * sizeof *s->index);
    return rc;
}

static int add_row(struct sessions_count *s, const struct totals *row)
{
    uint32_t i = (uint32_t)((uint64_t)row->session * 0x9e3779b97f4a7c15ULL >> 40) & (INDEX_SLOTS - 1);

    for (; s->index[i] != 0; i = (i + 1) & (INDEX_SLOTS - 1))
        if (s->totals[s->index[i] - 1].session == row->session) {
            add_totals(&s->totals[s->index[i] - 1], row);
            return 0;
        }
    s->totals[s->used++] = *row;
    s->index[i] = s->used;
    return s->used == TOTALS_MAX ? spill_all(s) : 0;
}

/* ------------------------------------------------------------------ counting */

enum { AT_TS = 1, AT_SESSION, AT_DIMS, AT_STATE, AT_STATUS, AT_PARTIAL, AT_SUMS };

static void read_common(sqlite3_stmt *row, struct totals *t)
{
    int64_t id = sqlite3_column_int64(row, 0), ts_ms = sqlite3_column_int64(row, AT_TS);

    *t = (struct totals){ .session = sqlite3_column_int64(row, AT_SESSION),
                          .dims = sqlite3_column_int64(row, AT_DIMS),
                          .dims_id = id,
                          .first_ms = ts_ms,
                          .last_ms = ts_ms,
                          .first_id = id,
                          .last_id = id };
}

/* total_tokens, else prompt and completion, as far as they are known. */
static int64_t tokens_of(sqlite3_stmt *row)
{
    int64_t total = rebuild_column(row, AT_SUMS + SUM_total_tokens);
    int64_t prompt = rebuild_column(row, AT_SUMS + SUM_prompt_tokens);
    int64_t completion = rebuild_column(row, AT_SUMS + SUM_completion_tokens);

    if (total != UNKNOWN)
        return total;
    return (prompt != UNKNOWN ? prompt : 0) + (completion != UNKNOWN ? completion : 0);
}

static void read_dispatch(sqlite3_stmt *row, struct totals *t)
{
    int status = sqlite3_column_int(row, AT_STATUS);

    t->has_dispatch = true;
    if ((sqlite3_column_int(row, AT_STATE) & 7) != STATE_COUNTS)
        return;
    t->calls = 1;
    t->errors = status == STATUS_error || status == STATUS_timeout;
    t->partial = sqlite3_column_int(row, AT_PARTIAL) == 1;
    t->tokens = tokens_of(row);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        int64_t n = rebuild_column(row, AT_SUMS + i);
        t->sum[i] = n >= 0 ? n : 0;
        t->known[i] = n >= 0;
    }
}

static int count_dispatches(struct sessions_count *s)
{
    static const char sql[] =
        "SELECT e.id, e.ts_ms, e.session, e.dims, e.state, d.status, e.partial" STORED_SUMS
        " FROM dispatch e LEFT JOIN dims d ON d.id = e.dims WHERE e.id BETWEEN ?1 AND ?2 AND e.session > "
        "0";
    sqlite3_stmt *stmt = NULL;
    struct totals t;
    int rc = rebuild_walk(s->r, sql, &stmt);

    while (rc == 0 && (rc = rebuild_row(s->r, stmt)) == 1) {
        read_common(stmt, &t);
        read_dispatch(stmt, &t);
        rc = add_row(s, &t);
    }
    return rebuild_walked(s->r, stmt, rc);
}

static int count_messages(struct sessions_count *s)
{
    static const char sql[] =
        "SELECT id, ts_ms, session, dims FROM message WHERE id BETWEEN ?1 AND ?2 AND session > 0";
    sqlite3_stmt *stmt = NULL;
    struct totals t;
    int rc = rebuild_walk(s->r, sql, &stmt);

    while (rc == 0 && (rc = rebuild_row(s->r, stmt)) == 1) {
        read_common(stmt, &t);
        t.messages = 1;
        rc = add_row(s, &t);
    }
    return rebuild_walked(s->r, stmt, rc);
}

/* ----------------------------------------------------------------- comparing */

#define COUNTED(Y) Y(messages) Y(calls) Y(errors) Y(partial) Y(tokens)

/* The columns of projection_session, as they are stored. */
enum { ROW_SESSION, ROW_DIMS, ROW_FIRST_MS, ROW_LAST_MS, ROW_FIRST_ID, ROW_LAST_ID, ROW_COUNTS };

static const char *const column_name[] = { "session",
                                           "dims",
                                           "first_ms",
                                           "last_ms",
                                           "first_id",
                                           "last_id",
#define Y(name) #name,
                                           COUNTED(Y)
#undef Y
#define X(name) #name, #name "_known",
                                               DISPATCH_SUMMED(X)
#undef X
};
#define COLUMNS ((int)(sizeof column_name / sizeof *column_name))

static void columns_of(const struct totals *t, int64_t out[COLUMNS])
{
    int64_t head[] = { t->session, t->dims, t->first_ms, t->last_ms, t->first_id, t->last_id };
    int at = ROW_COUNTS;

    memcpy(out, head, sizeof head);
#define Y(name) out[at++] = t->name;
    COUNTED(Y)
#undef Y
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        out[at++] = t->sum[i];
        out[at++] = t->known[i];
    }
}

static int next_stored(struct sessions_count *s)
{
    int rc = sqlite3_step(s->stmt);

    s->has_row = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* A stored session of which the log has no rows: they have been dropped, or it is wrong. */
static int pass_stored(struct sessions_count *s)
{
    if (sqlite3_column_int64(s->stmt, ROW_FIRST_ID) <= s->through)
        s->r->report->skipped++;
    else
        rebuild_differ(s->r, "session %lld: %lld calls, the log has none",
                       (long long)sqlite3_column_int64(s->stmt, ROW_SESSION),
                       (long long)sqlite3_column_int64(s->stmt, ROW_COUNTS + 1));
    return next_stored(s);
}

static void compare_columns(struct sessions_count *s, const struct totals *t)
{
    int64_t want[COLUMNS];

    columns_of(t, want);
    for (int i = ROW_DIMS; i < COLUMNS; i++) {
        int64_t have = sqlite3_column_int64(s->stmt, i);
        if (have != want[i]) {
            rebuild_differ(s->r, "session %lld: %s is %lld, the log says %lld", (long long)t->session,
                           column_name[i], (long long)have, (long long)want[i]);
            return;
        }
    }
}

static int compare_totals(struct sessions_count *s, const struct totals *t)
{
    int rc = 0;

    while (s->has_row && sqlite3_column_int64(s->stmt, ROW_SESSION) < t->session)
        if ((rc = pass_stored(s)) != 0)
            return rc;
    if (!s->has_row || sqlite3_column_int64(s->stmt, ROW_SESSION) > t->session) {
        rebuild_differ(s->r, "session %lld: missing, the log has %lld calls", (long long)t->session,
                       (long long)t->calls);
        return 0;
    }
    if (sqlite3_column_int64(s->stmt, ROW_FIRST_ID) <= s->through) {
        s->r->report->skipped++;
    } else {
        s->r->report->sessions++;
        compare_columns(s, t);
    }
    return next_stored(s);
}

/* A session that the log has from its first row on. One whose older rows have been dropped has a
 * stored row (which stays): the INSERT meets it and does nothing. */
static int write_totals(struct sessions_count *s, const struct totals *t)
{
    int64_t column[COLUMNS];

    columns_of(t, column);
    for (int i = 0; i < COLUMNS; i++)
        sqlite3_bind_int64(s->stmt, i + 1, column[i]);
    int rc = store_run(s->stmt);
    if (rc == 0 && sqlite3_changes(s->r->db) > 0)
        s->r->report->sessions++;
    else
        s->r->report->skipped++;
    return rc;
}

/* ------------------------------------------------------------------- blocks */

static int end_block(struct sessions_count *s)
{
    int rc = 0;

    for (int i = 0; rc == 0 && i < BLOCK_SESSIONS; i++)
        if (s->block[i].session != 0)
            rc = (s->r->writes ? write_totals : compare_totals)(s, &s->block[i]);
    memset(s->block, 0, BLOCK_SESSIONS * sizeof *s->block);
    return rc;
}

static void take_piece(struct sessions_count *s, const void *body, size_t len)
{
    struct totals t;

    for (size_t at = 0; at < len; at += sizeof t) {
        memcpy(&t, (const char *)body + at, sizeof t);
        struct totals *into = &s->block[t.session % BLOCK_SESSIONS];
        if (into->session == 0)
            *into = t;
        else
            add_totals(into, &t);
    }
}

static int take_blocks(struct sessions_count *s)
{
    int64_t key = 0, block = -1;
    const void *body;
    size_t len;
    int rc = spill_all(s);

    if (rc != 0)
        return rc;
    while ((rc = spill_next(&s->spill, &key, &body, &len)) == 1) {
        if (key != block && (rc = end_block(s)) != 0)
            return rc;
        block = key;
        take_piece(s, body, len);
    }
    if (rc != 0 || (rc = end_block(s)) != 0)
        return rc;
    while (rc == 0 && s->has_row)
        rc = pass_stored(s);
    return rc;
}

/* ------------------------------------------------------------------- running */

static int open_rows(struct sessions_count *s)
{
    static const char insert[] = "INSERT OR IGNORE INTO projection_session VALUES(?,?,?,?,?,?"
#define Y(name) ",?"
        COUNTED(Y)
#undef Y
#define X(name) ",?,?"
            DISPATCH_SUMMED(X)
#undef X
                ")";
    char sql[96];
    int rc;

    if (!s->r->writes) {
        rc = rebuild_prepare(s->r, "SELECT * FROM projection_session ORDER BY session", &s->stmt);
        return rc != 0 ? rc : next_stored(s);
    }
    snprintf(sql, sizeof sql, "DELETE FROM projection_session WHERE first_id > %lld", (long long)s->through);
    return (rc = rebuild_exec(s->r, sql)) != 0 ? rc : rebuild_prepare(s->r, insert, &s->stmt);
}

static int open_all(struct sessions_count *s)
{
    s->totals = malloc(TOTALS_MAX * sizeof *s->totals);
    s->index = calloc(INDEX_SLOTS, sizeof *s->index);
    s->block = calloc(BLOCK_SESSIONS, sizeof *s->block);
    if (s->totals == NULL || s->index == NULL || s->block == NULL)
        return -SQLITE_NOMEM;
    int rc = spill_open(&s->spill, s->r);
    return rc != 0 ? rc : open_rows(s);
}

int rebuild_session(struct rebuild *r)
{
    int64_t dispatch = r->through[LOG_DISPATCH], message = r->through[LOG_MESSAGE];
    struct sessions_count s = { .r = r, .through = dispatch > message ? dispatch : message };
    int rc;

    if ((rc = open_all(&s)) == 0 && (rc = count_dispatches(&s)) == 0 && (rc = count_messages(&s)) == 0)
        rc = take_blocks(&s);
    sqlite3_finalize(s.stmt);
    spill_close(&s.spill, r);
    free(s.totals);
    free(s.index);
    free(s.block);
    return rc;
}
