/* SPDX-License-Identifier: MIT */
#include "session_totals.h"

#include <stddef.h>

void session_totals_read(sqlite3_stmt *stmt, int first, struct session_totals *out)
{
    int64_t *const to[] = { &out->dims,     &out->first_ms, &out->last_ms, &out->first_id, &out->last_id,
                            &out->messages, &out->calls,    &out->errors,  &out->partial,  &out->tokens };
    int at = first;

    *out = (struct session_totals){ .rows_seen = 1, .dispatched = true };
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        *to[i] = sqlite3_column_int64(stmt, at++);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        out->sum[i] = sqlite3_column_int64(stmt, at++);
        out->known[i] = sqlite3_column_int64(stmt, at++);
    }
}

static void add(int64_t *to, int64_t n)
{
    if (__builtin_add_overflow(*to, n, to))
        *to = INT64_MAX;
}

void session_totals_add(struct session_totals *to, const struct session_totals *from)
{
    if (from->rows_seen == 0)
        return;
    if (to->rows_seen == 0) {
        *to = *from;
        return;
    }
    /* A message tells less than a dispatch: it does not take the place of one. */
    if ((from->dispatched && from->last_id > to->last_id) || (from->dispatched && !to->dispatched)) {
        to->dims = from->dims;
        to->dispatched = true;
    }
    to->first_ms = from->first_ms < to->first_ms ? from->first_ms : to->first_ms;
    to->last_ms = from->last_ms > to->last_ms ? from->last_ms : to->last_ms;
    to->first_id = from->first_id < to->first_id ? from->first_id : to->first_id;
    to->last_id = from->last_id > to->last_id ? from->last_id : to->last_id;
    add(&to->messages, from->messages);
    add(&to->calls, from->calls);
    add(&to->errors, from->errors);
    add(&to->partial, from->partial);
    add(&to->tokens, from->tokens);
    for (int i = 0; i < DISPATCH_SUMS; i++) {
        add(&to->sum[i], from->sum[i]);
        add(&to->known[i], from->known[i]);
    }
}

/* What a row of any kind tells. */
static struct session_totals of_row(sqlite3_stmt *stmt, bool dispatch)
{
    int64_t id = sqlite3_column_int64(stmt, 0), ms = sqlite3_column_int64(stmt, 1);

    return (struct session_totals){ .rows_seen = 1,
                                    .dims = sqlite3_column_int64(stmt, 2),
                                    .dispatched = dispatch,
                                    .first_ms = ms,
                                    .last_ms = ms,
                                    .first_id = id,
                                    .last_id = id };
}

static int64_t tokens_of(const struct session_totals *t)
{
    if (t->known[SUM_total_tokens])
        return t->sum[SUM_total_tokens];
    return t->sum[SUM_prompt_tokens] + t->sum[SUM_completion_tokens];
}

void session_totals_dispatch(struct session_totals *to, sqlite3_stmt *stmt)
{
    struct session_totals row = of_row(stmt, true);

    if (sqlite3_column_int(stmt, 3) == 0) {
        row.calls = 1;
        row.partial = sqlite3_column_int(stmt, 4) == 1;
        row.errors = sqlite3_column_int(stmt, 5) == 1;
        for (int i = 0; i < DISPATCH_SUMS; i++) {
            row.known[i] = sqlite3_column_type(stmt, 6 + i) != SQLITE_NULL;
            row.sum[i] = sqlite3_column_int64(stmt, 6 + i);
        }
        row.tokens = tokens_of(&row);
    }
    session_totals_add(to, &row);
}

void session_totals_message(struct session_totals *to, sqlite3_stmt *stmt)
{
    struct session_totals row = of_row(stmt, false);

    row.messages = 1;
    session_totals_add(to, &row);
}
