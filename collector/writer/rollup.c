/* SPDX-License-Identifier: MIT */
#include "rollup.h"

#include <stdlib.h>
#include <string.h>

#define MINUTE_MS   60000
#define INDEX_SLOTS (2 * ROLLUP_CELLS_MAX)

struct rollup_cell {
    int64_t minute;
    uint32_t dims;
    int64_t calls, partial;
    int64_t sum[DISPATCH_SUMS], known[DISPATCH_SUMS];
};

struct rollup_minute {
    int64_t minute, first_id, last_id;
};

static const uint8_t num_of_sum[DISPATCH_SUMS] = {
#define X(name) D_##name,
    DISPATCH_SUMMED(X)
#undef X
};

/* What all statements over a row of the log read, in the order of read_columns. */
#define ROW_COLUMNS                                                                                  \
    "id, ts_ms, dims, partial, prompt_tokens, completion_tokens, total_tokens, cached_tokens,"       \
    " cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, tool_calls, latency_ms, ttft_ms," \
    " cost_reported_nanousd"

int rollup_init(struct rollup *r, struct store *store)
{
    static const char save[] = "INSERT INTO projection_minute VALUES(?,?,?,?"
#define X(name) ",?,?"
        DISPATCH_SUMMED(X)
#undef X
            ") ON CONFLICT DO UPDATE SET calls=calls+excluded.calls, partial=partial+excluded.partial"
#define X(name) \
    "," #name "=" #name "+excluded." #name "," #name "_known=" #name "_known+excluded." #name "_known"
        DISPATCH_SUMMED(X)
#undef X
        ;
    int rc;

    *r = (struct rollup){ .store = store };
    r->cells = malloc(ROLLUP_CELLS_MAX * sizeof *r->cells);
    r->index = calloc(INDEX_SLOTS, sizeof *r->index);
    r->minutes = malloc(ROLLUP_MINUTES_MAX * sizeof *r->minutes);
    if (r->cells == NULL || r->index == NULL || r->minutes == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, save, &r->save)) != 0 ||
        (rc = store_prepare(store, "DELETE FROM projection_minute WHERE minute=? AND dims=? AND calls=0",
                            &r->drop)) != 0 ||
        (rc = store_prepare(
             store,
             "INSERT INTO projection_minute_range VALUES(?,?,?) ON CONFLICT DO UPDATE"
             " SET first_id=min(first_id, excluded.first_id), last_id=max(last_id, excluded.last_id)",
             &r->save_minute)) != 0 ||
        (rc = store_prepare(store, "UPDATE projection SET watermark=? WHERE name='minute'",
                            &r->save_watermark)) != 0)
        return rc;
    return store_prepare(store, "SELECT " ROW_COLUMNS " FROM dispatch WHERE id=? AND state & 7 = 0",
                         &r->read_row);
}

void rollup_fini(struct rollup *r)
{
    free(r->cells);
    free(r->index);
    free(r->minutes);
    *r = (struct rollup){ 0 };
}

static void forget(struct rollup *r)
{
    memset(r->index, 0, INDEX_SLOTS * sizeof *r->index);
    r->used = 0;
    r->minutes_used = 0;
}

bool rollup_is_full(const struct rollup *r)
{
    return r->used + 2 > ROLLUP_CELLS_MAX || r->minutes_used == ROLLUP_MINUTES_MAX;
}

bool rollup_is_dirty(const struct rollup *r)
{
    return r->newest > r->watermark;
}

void rollup_note(struct rollup *r, int64_t id, int64_t ts_ms)
{
    int64_t minute = ts_ms / MINUTE_MS;

    r->newest = id;
    for (uint32_t i = r->minutes_used; i > 0; i--)
        if (r->minutes[i - 1].minute == minute) {
            r->minutes[i - 1].last_id = id;
            return;
        }
    r->minutes[r->minutes_used++] = (struct rollup_minute){ minute, id, id };
}

static struct rollup_cell *cell_of(struct rollup *r, int64_t minute, uint32_t dims)
{
    uint64_t hash = ((uint64_t)minute << 32 ^ dims) * 0x9e3779b97f4a7c15ULL;
    uint32_t i = (uint32_t)(hash >> 40) & (INDEX_SLOTS - 1);

    for (; r->index[i] != 0; i = (i + 1) & (INDEX_SLOTS - 1)) {
        struct rollup_cell *c = &r->cells[r->index[i] - 1];
        if (c->minute == minute && c->dims == dims)
            return c;
    }
    struct rollup_cell *c = &r->cells[r->used++];
    *c = (struct rollup_cell){ .minute = minute, .dims = dims };
    r->index[i] = r->used;
    return c;
}

/* Sums stop at the end of 64 bits instead of turning round. */
static int64_t add_capped(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? (b > 0 ? INT64_MAX : INT64_MIN) : sum;
}

static void add_to_cell(struct rollup_cell *c, const int64_t *num, int64_t sign)
{
    c->calls += sign;
    c->partial += num[D_partial] == 1 ? sign : 0;
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        int64_t n = num[num_of_sum[i]];
        if (n >= 0) {
            c->sum[i] = add_capped(c->sum[i], sign * n);
            c->known[i] += sign;
        }
    }
}

void rollup_post(struct rollup *r, int64_t ts_ms, uint32_t dims, const int64_t *num)
{
    add_to_cell(cell_of(r, ts_ms / MINUTE_MS, dims), num, 1);
}

static int save_cell(struct rollup *r, const struct rollup_cell *c)
{
    int at = 1;

    sqlite3_bind_int64(r->save, at++, c->minute);
    sqlite3_bind_int64(r->save, at++, c->dims);
    sqlite3_bind_int64(r->save, at++, c->calls);
    sqlite3_bind_int64(r->save, at++, c->partial);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        sqlite3_bind_int64(r->save, at++, c->sum[i]);
        sqlite3_bind_int64(r->save, at++, c->known[i]);
    }
    int rc = store_run(r->save);
    if (rc != 0 || c->calls > 0)
        return rc;
    sqlite3_bind_int64(r->drop, 1, c->minute); /* something was taken out: perhaps the last of it */
    sqlite3_bind_int64(r->drop, 2, c->dims);
    return store_run(r->drop);
}

static int64_t column_num(sqlite3_stmt *stmt, int at)
{
    return sqlite3_column_type(stmt, at) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, at);
}

static void read_columns(sqlite3_stmt *stmt, int64_t *ts_ms, uint32_t *dims, int64_t *num)
{
    *ts_ms = sqlite3_column_int64(stmt, 1);
    *dims = (uint32_t)sqlite3_column_int64(stmt, 2);
    num[D_partial] = column_num(stmt, 3);
    for (int i = 0; i < DISPATCH_SUMS; i++)
        num[num_of_sum[i]] = column_num(stmt, 4 + i);
}

int rollup_retract(struct rollup *r, int64_t id)
{
    int64_t num[DISPATCH_NUMS], ts_ms = 0;
    uint32_t dims = 0;

    sqlite3_bind_int64(r->read_row, 1, id);
    int rc = sqlite3_step(r->read_row);
    if (rc == SQLITE_ROW)
        read_columns(r->read_row, &ts_ms, &dims, num);
    sqlite3_reset(r->read_row);
    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -rc;
    if (id > r->watermark) {
        add_to_cell(cell_of(r, ts_ms / MINUTE_MS, dims), num, -1);
        return 0;
    }
    struct rollup_cell gone = { .minute = ts_ms / MINUTE_MS, .dims = dims };
    add_to_cell(&gone, num, -1);
    return save_cell(r, &gone);
}

int rollup_flush(struct rollup *r)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < r->used; i++)
        rc = save_cell(r, &r->cells[i]);
    for (uint32_t i = 0; rc == 0 && i < r->minutes_used; i++) {
        sqlite3_bind_int64(r->save_minute, 1, r->minutes[i].minute);
        sqlite3_bind_int64(r->save_minute, 2, r->minutes[i].first_id);
        sqlite3_bind_int64(r->save_minute, 3, r->minutes[i].last_id);
        rc = store_run(r->save_minute);
    }
    if (rc == 0) {
        sqlite3_bind_int64(r->save_watermark, 1, r->newest);
        rc = store_run(r->save_watermark);
    }
    if (rc != 0)
        return rc;
    r->watermark = r->newest;
    forget(r);
    return 0;
}

/* ------------------------------------------------------------------ replay */

static int flush_if_full(struct rollup *r)
{
    if (!rollup_is_full(r))
        return 0;
    int rc = store_begin(r->store);
    if (rc == 0 && (rc = rollup_flush(r)) == 0)
        rc = store_commit(r->store);
    if (rc != 0)
        store_rollback(r->store);
    return rc;
}

/* All kinds in the order of the log, so that a flush on the way leaves a true watermark. */
int rollup_replay(struct rollup *r)
{
    static const char tail[] =
        "SELECT id, ts_ms, dims, partial, prompt_tokens, completion_tokens, total_tokens, cached_tokens,"
        " cache_write_tokens, cache_write_1h_tokens, reasoning_tokens, tool_calls, latency_ms, ttft_ms,"
        " cost_reported_nanousd, state & 7 = 0 FROM dispatch WHERE id > ?1"
        " UNION ALL SELECT id, ts_ms, 0,0,0,0,0,0,0,0,0,0,0,0,0, 0 FROM message WHERE id > ?1"
        " UNION ALL SELECT id, ts_ms, 0,0,0,0,0,0,0,0,0,0,0,0,0, 0 FROM report WHERE id > ?1 ORDER BY 1";
    int64_t num[DISPATCH_NUMS], ts_ms;
    sqlite3_stmt *stmt;
    uint32_t dims;
    int rc;

    forget(r);
    if ((rc = store_number(r->store, "SELECT watermark FROM projection WHERE name='minute'",
                           &r->watermark)) != 0 ||
        (rc = store_prepare(r->store, tail, &stmt)) != 0)
        return rc;
    r->newest = r->watermark;
    sqlite3_bind_int64(stmt, 1, r->watermark);
    while (rc == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        if ((rc = flush_if_full(r)) != 0)
            break;
        read_columns(stmt, &ts_ms, &dims, num);
        rollup_note(r, sqlite3_column_int64(stmt, 0), ts_ms);
        if (sqlite3_column_int(stmt, 4 + DISPATCH_SUMS) != 0)
            rollup_post(r, ts_ms, dims, num);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rc > 0 ? -rc : rc;
}
