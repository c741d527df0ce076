/* SPDX-License-Identifier: MIT */
#include "runaway_log.h"

#include <stdio.h>
#include <string.h>

#include "../base/stored.h"

static int64_t tokens_of(int64_t total, int64_t prompt, int64_t completion)
{
    if (total >= 0 || (prompt < 0 && completion < 0))
        return total >= 0 ? total : UNKNOWN;
    return (prompt > 0 ? prompt : 0) + (completion > 0 ? completion : 0);
}

/* ------------------------------------------------------------------ as it came */

static int names_of_event(void *arg, struct runaway_names *out)
{
    const struct event *e = arg;
    struct session_names session = { .text = { { NULL, 0 } } };
    struct dims_names dims;

    subject_of_event(e, &out->who);
    if (e->session.at != NULL)
        session_names_read(e->session, &session);
    dims_names_read(e->dims, &dims);
    out->parent_session = session.text[S_parent_session_id];
    out->error_type = dims.text[DIM_error_type];
    out->status = dims.code[DIM_status];
    out->trigger = dims.code[DIM_trigger];
    out->sum = dims.code[DIM_granularity] > GRANULARITY_call;
    return 0;
}

void runaway_call_of(const struct log_row *row, const struct event *e, struct runaway_call *out)
{
    const int64_t *num = e->num;
    int64_t cost = row->num[D_cost_nanousd];

    *out = (struct runaway_call){
        .ts_ms = row->ts_ms,
        .row = row->id,
        .dims = row->dims,
        .session = row->session,
        .http_status = num[D_http_status],
        .tokens = tokens_of(num[D_total_tokens], num[D_prompt_tokens], num[D_completion_tokens]),
        .prompt_tokens = num[D_prompt_tokens],
        .tool_calls = num[D_tool_calls],
        .cost_nanousd = cost != UNKNOWN ? cost : num[D_cost_reported_nanousd],
        .partial = num[D_partial] == 1,
        .final = row->replaces,
        .names = names_of_event,
        .arg = (void *)e,
    };
}

/* -------------------------------------------------------------- from the log */

#define COLUMNS                                                                             \
    "SELECT e.id, e.ts_ms, e.dims, ifnull(e.session, 0), " STORED_HTTP_STATUS               \
    ", e.prompt_tokens, e.completion_tokens, " STORED_TOTAL_TOKENS                          \
    ", e.tool_calls, ifnull(e.cost_nanousd, e.cost_reported_nanousd)"                       \
    " FROM dispatch e WHERE e.id BETWEEN ?1 AND ?2 AND e.ts_ms >= ?3 AND e.ts_ms < ?4 AND " \
    "e.received_after_ms <= ?5"                                                             \
    " AND e.state = 0 ORDER BY "

int runaway_log_open(struct runaway_log *l, sqlite3 *db, enum runaway_order order)
{
    const char *rows = order == RUNAWAY_BY_TIME ? COLUMNS "e.ts_ms, e.id" : COLUMNS "e.id";

    *l = (struct runaway_log){ .rows = NULL };
    int rc = subject_reader_open(&l->subjects, db);
    if (rc != 0 || (rc = -sqlite3_prepare_v2(db, rows, -1, &l->rows, NULL)) != 0 ||
        (rc = -sqlite3_prepare_v2(db,
                                  "SELECT status, \"trigger\", granularity, error_type FROM dims WHERE id=?",
                                  -1, &l->dims, NULL)) != 0)
        return rc;
    return -sqlite3_prepare_v2(db, "SELECT parent_session_id FROM session WHERE id=?", -1, &l->session, NULL);
}

void runaway_log_close(struct runaway_log *l)
{
    sqlite3_finalize(l->rows);
    sqlite3_finalize(l->dims);
    sqlite3_finalize(l->session);
    subject_reader_close(&l->subjects);
    l->rows = l->dims = l->session = NULL;
}

void runaway_log_rest(struct runaway_log *l)
{
    sqlite3_reset(l->rows);
}

void runaway_log_seek(struct runaway_log *l, int64_t first_id, int64_t last_id, int64_t from_ms,
                      int64_t to_ms, int64_t late_ms)
{
    sqlite3_reset(l->rows);
    sqlite3_bind_int64(l->rows, 1, first_id);
    sqlite3_bind_int64(l->rows, 2, last_id);
    sqlite3_bind_int64(l->rows, 3, from_ms);
    sqlite3_bind_int64(l->rows, 4, to_ms);
    sqlite3_bind_int64(l->rows, 5, late_ms);
}

/* A column that outlives the statement's reset; one that is longer than names are is unknown. */
static struct slice keep(sqlite3_stmt *stmt, int column, char out[256])
{
    const char *text = (const char *)sqlite3_column_text(stmt, column);
    size_t len = (size_t)sqlite3_column_bytes(stmt, column);

    if (text == NULL || len > 255)
        return (struct slice){ NULL, 0 };
    memcpy(out, text, len);
    return (struct slice){ (const uint8_t *)out, (uint32_t)len };
}

static int read_dims(struct runaway_log *l, struct runaway_names *out)
{
    sqlite3_bind_int64(l->dims, 1, l->at_dims);
    int rc = sqlite3_step(l->dims);

    if (rc == SQLITE_ROW) {
        out->status = (uint8_t)sqlite3_column_int(l->dims, 0);
        out->trigger = (uint8_t)sqlite3_column_int(l->dims, 1);
        out->sum = sqlite3_column_int(l->dims, 2) > GRANULARITY_call;
        out->error_type = keep(l->dims, 3, l->error);
    }
    sqlite3_reset(l->dims);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static int read_parent(struct runaway_log *l, struct runaway_names *out)
{
    if (l->at_session == 0)
        return 0;
    sqlite3_bind_int64(l->session, 1, l->at_session);
    int rc = sqlite3_step(l->session);
    if (rc == SQLITE_ROW)
        out->parent_session = keep(l->session, 0, l->parent);
    sqlite3_reset(l->session);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static int names_of_row(void *arg, struct runaway_names *out)
{
    struct runaway_log *l = arg;
    int rc = subject_reader_get(&l->subjects, l->at_dims, l->at_session, &out->who);

    if (rc == 0)
        rc = read_dims(l, out);
    return rc != 0 ? rc : read_parent(l, out);
}

static int64_t number(sqlite3_stmt *stmt, int column)
{
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, column);
}

int runaway_log_next(struct runaway_log *l, struct runaway_call *out)
{
    sqlite3_stmt *r = l->rows;
    int rc = sqlite3_step(r);

    if (rc != SQLITE_ROW)
        return rc == SQLITE_DONE ? 0 : -rc;
    l->at_dims = (uint32_t)sqlite3_column_int64(r, 2);
    l->at_session = (uint32_t)sqlite3_column_int64(r, 3);
    *out = (struct runaway_call){ .row = sqlite3_column_int64(r, 0),
                                  .ts_ms = sqlite3_column_int64(r, 1),
                                  .dims = l->at_dims,
                                  .session = l->at_session,
                                  .http_status = number(r, 4),
                                  .prompt_tokens = number(r, 5),
                                  .tokens = tokens_of(number(r, 7), number(r, 5), number(r, 6)),
                                  .tool_calls = number(r, 8),
                                  .cost_nanousd = number(r, 9),
                                  .partial = sqlite3_column_int(r, 10) == 1,
                                  .names = names_of_row,
                                  .arg = l };
    return 1;
}
