/* SPDX-License-Identifier: MIT */
#include "sessions.h"

#include <stdlib.h>
#include <string.h>

#define INDEX_SLOTS (2 * SESSIONS_CELLS_MAX)

/* What came to one session since the last flush. Numbers of the wire are at most 10^13 and a flush
 * comes at the latest after SPANS_ROOM rows: no sum reaches the end of 64 bits. */
struct session_totals_cell {
    uint32_t session, dims;
    bool has_dispatch; /* dims is a dispatch's */
    int32_t messages, calls, errors, partial, known[DISPATCH_SUMS];
    int64_t first_ms, last_ms, first_id, last_id;
    int64_t tokens, sum[DISPATCH_SUMS];
};

static const uint8_t num_of_sum[DISPATCH_SUMS] = {
#define X(name) D_##name,
    DISPATCH_SUMMED(X)
#undef X
};

/* The counted columns, in the order of the table. */
#define COUNTED(Y) Y(messages) Y(calls) Y(errors) Y(partial) Y(tokens)

int session_totals_init(struct session_totals *s, struct store *store)
{
    static const char save[] =
        "INSERT INTO projection_session(session, dims, first_ms, last_ms, first_id, last_id"
#define Y(name) "," #name
        COUNTED(Y)
#undef Y
#define X(name) "," #name "," #name "_known"
            DISPATCH_SUMMED(X)
#undef X
                ") VALUES(?1,?2,?3,?4,?5,?6,?8,?9,?10,?11,?12"
#define X(name) ",?,?"
        DISPATCH_SUMMED(X)
#undef X
            ") ON CONFLICT DO UPDATE SET dims=iif(?7, excluded.dims, dims),"
            " first_ms=min(first_ms, excluded.first_ms), last_ms=max(last_ms, excluded.last_ms),"
            " first_id=min(first_id, excluded.first_id), last_id=max(last_id, excluded.last_id)"
#define Y(name) "," #name "=" #name "+excluded." #name
        COUNTED(Y)
#undef Y
#define X(name) \
    "," #name "=" #name "+excluded." #name "," #name "_known=" #name "_known+excluded." #name "_known"
            DISPATCH_SUMMED(X)
#undef X
        ;
    static const char change[] = "UPDATE projection_session SET session=?1"
#define Y(name) "," #name "=" #name "+?"
        COUNTED(Y)
#undef Y
#define X(name) "," #name "=" #name "+?," #name "_known=" #name "_known+?"
            DISPATCH_SUMMED(X)
#undef X
                " WHERE session=?1";
    int rc;

    *s = (struct session_totals){ .store = store };
    s->cells = malloc(SESSIONS_CELLS_MAX * sizeof *s->cells);
    s->index = calloc(INDEX_SLOTS, sizeof *s->index);
    s->order = malloc(SESSIONS_CELLS_MAX * sizeof *s->order);
    if (s->cells == NULL || s->index == NULL || s->order == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, save, &s->save)) != 0 ||
        (rc = store_prepare(store, change, &s->change)) != 0 ||
        (rc = store_prepare(store, "UPDATE projection SET watermark=? WHERE name='session'",
                            &s->save_watermark)) != 0)
        return rc;
    return spans_init(&s->spans, store);
}

void session_totals_fini(struct session_totals *s)
{
    free(s->cells);
    free(s->index);
    free(s->order);
    spans_fini(&s->spans);
    *s = (struct session_totals){ 0 };
}

static void forget(struct session_totals *s)
{
    memset(s->index, 0, INDEX_SLOTS * sizeof *s->index);
    s->used = 0;
}

int session_totals_start(struct session_totals *s)
{
    int rc = store_number(s->store, "SELECT watermark FROM projection WHERE name='session'", &s->watermark);

    forget(s);
    s->newest = s->watermark;
    return rc != 0 ? rc : spans_start(&s->spans, s->watermark);
}

bool session_totals_is_full(const struct session_totals *s)
{
    return s->used == SESSIONS_CELLS_MAX || spans_is_full(&s->spans);
}

bool session_totals_is_dirty(const struct session_totals *s)
{
    return s->newest > s->watermark;
}

/* ------------------------------------------------------------------- memory */

static struct session_totals_cell *cell_of(struct session_totals *s, const struct log_row *row)
{
    uint32_t i = (row->session * 0x9e3779b1U) >> 12 & (INDEX_SLOTS - 1);

    for (; s->index[i] != 0; i = (i + 1) & (INDEX_SLOTS - 1))
        if (s->cells[s->index[i] - 1].session == row->session)
            return &s->cells[s->index[i] - 1];
    struct session_totals_cell *c = &s->cells[s->used++];
    *c = (struct session_totals_cell){ .session = row->session,
                                       .dims = row->dims,
                                       .first_ms = row->ts_ms,
                                       .last_ms = row->ts_ms,
                                       .first_id = row->id,
                                       .last_id = row->id };
    s->index[i] = s->used;
    return c;
}

static int64_t tokens_of(const int64_t *num)
{
    int64_t prompt = num[D_prompt_tokens], completion = num[D_completion_tokens];

    if (num[D_total_tokens] >= 0)
        return num[D_total_tokens];
    return (prompt > 0 ? prompt : 0) + (completion > 0 ? completion : 0);
}

/* sign: 1, or -1 to take it out again. */
static void add_dispatch(struct session_totals_cell *c, const struct log_row *row, int32_t sign)
{
    const int64_t *num = row->num;

    c->calls += sign;
    c->errors += row->status == STATUS_error || row->status == STATUS_timeout ? sign : 0;
    c->partial += num[D_partial] == 1 ? sign : 0;
    c->tokens += sign * tokens_of(num);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        int64_t n = num[num_of_sum[i]];
        if (n >= 0) {
            c->sum[i] += sign * n;
            c->known[i] += sign;
        }
    }
}

/* A session shows the combination of its latest dispatch; before the first one, of its first message. */
static void span_cell(struct session_totals_cell *c, const struct log_row *row)
{
    c->first_ms = row->ts_ms < c->first_ms ? row->ts_ms : c->first_ms;
    c->last_ms = row->ts_ms > c->last_ms ? row->ts_ms : c->last_ms;
    c->last_id = row->id;
    if (row->kind == LOG_DISPATCH) {
        c->dims = row->dims;
        c->has_dispatch = true;
    }
}

void session_totals_row(struct session_totals *s, const struct log_row *row)
{
    if (row->id <= s->watermark)
        return;
    s->newest = row->id;
    if (row->session == 0)
        return;
    struct session_totals_cell *c = cell_of(s, row);
    span_cell(c, row);
    c->messages += row->kind == LOG_MESSAGE;
    if (row->counts)
        add_dispatch(c, row, 1);
    spans_add(&s->spans, row->id, row->session);
}

/* ------------------------------------------------------------------ writing */

static void bind_counts(sqlite3_stmt *stmt, int at, const struct session_totals_cell *c)
{
#define Y(name) sqlite3_bind_int64(stmt, at++, c->name);
    COUNTED(Y)
#undef Y
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        sqlite3_bind_int64(stmt, at++, c->sum[i]);
        sqlite3_bind_int64(stmt, at++, c->known[i]);
    }
}

static int save_cell(struct session_totals *s, const struct session_totals_cell *c)
{
    sqlite3_bind_int64(s->save, 1, c->session);
    sqlite3_bind_int64(s->save, 2, c->dims);
    sqlite3_bind_int64(s->save, 3, c->first_ms);
    sqlite3_bind_int64(s->save, 4, c->last_ms);
    sqlite3_bind_int64(s->save, 5, c->first_id);
    sqlite3_bind_int64(s->save, 6, c->last_id);
    sqlite3_bind_int(s->save, 7, c->has_dispatch);
    bind_counts(s->save, 8, c);
    return store_run(s->save);
}

/* Counts a row of any age once more (sign 1) or once less (-1). */
static int count_anew(struct session_totals *s, const struct log_row *row, int32_t sign)
{
    if (row->session == 0 || !row->counts)
        return 0;
    if (row->id > s->watermark) {
        add_dispatch(cell_of(s, row), row, sign);
        return 0;
    }
    struct session_totals_cell changed = { .session = row->session };
    add_dispatch(&changed, row, sign);
    sqlite3_bind_int64(s->change, 1, row->session);
    bind_counts(s->change, 2, &changed);
    return store_run(s->change);
}

int session_totals_retract(struct session_totals *s, const struct log_row *row)
{
    return count_anew(s, row, -1);
}

int session_totals_restore(struct session_totals *s, const struct log_row *row)
{
    return count_anew(s, row, 1);
}

static int by_session(const void *a, const void *b, void *cells)
{
    uint32_t x = ((struct session_totals_cell *)cells)[*(const uint32_t *)a].session,
             y = ((struct session_totals_cell *)cells)[*(const uint32_t *)b].session;

    return x < y ? -1 : x > y;
}

/* In the order of the table: neighbours share pages. */
static int save_cells(struct session_totals *s)
{
    int rc = 0;

    for (uint32_t i = 0; i < s->used; i++)
        s->order[i] = i;
    qsort_r(s->order, s->used, sizeof *s->order, by_session, s->cells);
    for (uint32_t i = 0; rc == 0 && i < s->used; i++)
        rc = save_cell(s, &s->cells[s->order[i]]);
    return rc;
}

int session_totals_flush(struct session_totals *s)
{
    int rc;

    if ((rc = save_cells(s)) != 0 || (rc = spans_flush(&s->spans)) != 0)
        return rc;
    sqlite3_bind_int64(s->save_watermark, 1, s->newest);
    if ((rc = store_run(s->save_watermark)) != 0)
        return rc;
    s->watermark = s->newest;
    forget(s);
    return 0;
}
