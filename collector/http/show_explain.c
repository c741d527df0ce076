/* SPDX-License-Identifier: MIT
 *
 * GET /v1/budgets/{name}/explain: the calls behind a budget's numbers. The definition, the cell and the open
 * reservations are the governor's; the calls are read from the log, piece by piece, with one deadline, and
 * held against the definition here, as the ledger does it.
 */
#include <string.h>

#include "../govern/budget.h"
#include "../query/when.h"
#include "columns.h"
#include "explain_filter.h"
#include "govern.h"
#include "routes.h"

#define CALLS_LIMIT 100
#define KEY_TEXT    (BUDGET_KEY_MAX + 64)

struct explain {
    struct request *r;
    json_t *told, *reserved;        /* owned: the governor's answers */
    json_t *budget;                 /* borrowed from told */
    struct budget *definition;      /* owned */
    const char *key;                /* NULL: all */
    int64_t now_ms, from_ms, to_ms; /* to_ms WINDOW_NEVER: no end */
    unsigned limit, calls, unknown;
    int64_t amount; /* of what is known */
    bool truncated;
    struct text rows, tags;                  /* owned */
    int subject_at[SUBJECT_FIELDS], tags_at; /* columns */
};

/* -------------------------------------------------------------------- one call */

/* Numbers of the columns that are looked at; -1: this log has none of that name. */
static int column(const char *name)
{
    for (int i = 0; i < events_columns_count; i++) {
        if (strcmp(events_columns[i].name, name) == 0)
            return i;
    }
    return -1;
}

static const char *const subject_columns[SUBJECT_FIELDS] = {
    [SUBJECT_agent_id] = "agent_id",
    [SUBJECT_session_id] = "session_id",
    [SUBJECT_root_session_id] = "root_session_id",
    [SUBJECT_user_id] = "user_id",
    [SUBJECT_provider] = "provider",
    [SUBJECT_model] = "model",
    [SUBJECT_lane] = "lane",
    [SUBJECT_surface] = "surface",
    [SUBJECT_channel] = "channel",
    [SUBJECT_trigger] = "trigger",
};

static struct slice column_slice(const struct events_row *row, int i)
{
    if (i < 0 || sqlite3_column_type(row->stmt, i) == SQLITE_NULL)
        return (struct slice){ NULL, 0 };
    if (events_columns[i].type == EVENTS_CODE) {
        const char *text = events_columns[i].code_name(sqlite3_column_int(row->stmt, i));
        return (struct slice){ (const uint8_t *)text, text ? (uint32_t)strlen(text) : 0 };
    }
    const uint8_t *at = sqlite3_column_text(row->stmt, i);
    return (struct slice){ at, (uint32_t)sqlite3_column_bytes(row->stmt, i) };
}

/* False: unknown. */
static bool column_number(const struct events_row *row, const char *name, int64_t *out)
{
    int i = column(name);

    if (i < 0 || sqlite3_column_type(row->stmt, i) == SQLITE_NULL)
        return false;
    *out = sqlite3_column_int64(row->stmt, i);
    return true;
}

static struct subject subject_of(struct explain *x, const struct events_row *row)
{
    struct subject who = { 0 };

    for (int f = 0; f < SUBJECT_FIELDS; f++)
        who.text[f] = column_slice(row, x->subject_at[f]);
    struct slice json = column_slice(row, x->tags_at);
    if (json.at)
        who.tags = explain_tags(&x->tags, json);
    return who;
}

/* What the call counts for, in the budget's unit. False: nobody knows. */
static bool amount_of(const struct explain *x, const struct events_row *row, int64_t *out)
{
    int64_t prompt = 0, completion = 0;

    if (x->definition->unit == UNIT_USD)
        return column_number(row, "cost_nanousd", out) || column_number(row, "cost_reported_nanousd", out);
    *out = 1;
    if (x->definition->unit == UNIT_CALLS || column_number(row, "total_tokens", out))
        return true;
    bool known = column_number(row, "prompt_tokens", &prompt);
    known = column_number(row, "completion_tokens", &completion) || known;
    *out = prompt + completion;
    return known;
}

static void name_show(struct columns *c, const struct events_row *row, const char *name)
{
    struct slice s = column_slice(row, column(name));

    column_text(c, name, (const char *)s.at, s.len);
}

static void call_show(struct explain *x, const struct events_row *row, const char *key)
{
    struct columns c = { .t = &x->rows };
    int64_t amount = 0, ts_ms = 0;
    bool known = amount_of(x, row, &amount);

    column_number(row, "ts_ms", &ts_ms);
    text_str(&x->rows, x->calls ? ",\n{" : "\n{");
    column_int(&c, "id", true, row->id);
    column_time(&c, "ts", "ts_ms", true, ts_ms);
    name_show(&c, row, "session_id");
    name_show(&c, row, "agent_id");
    name_show(&c, row, "provider");
    name_show(&c, row, "model");
    column_text(&c, "key", key, strlen(key));
    column_int(&c, "amount", known, amount);
    text_str(&x->rows, "}");
    x->calls++;
    x->unknown += !known;
    if (known && __builtin_add_overflow(x->amount, amount, &x->amount))
        x->amount = INT64_MAX;
}

/* A call that never reached its provider is worth nothing to any budget. */
static bool is_blocked(const struct events_row *row)
{
    struct slice status = column_slice(row, column("status"));

    return status.len == 7 && memcmp(status.at, "blocked", 7) == 0;
}

static bool on_row(void *arg, const struct events_row *row)
{
    struct explain *x = arg;
    struct subject who = subject_of(x, row);
    uint8_t key[BUDGET_KEY_MAX];
    char text[KEY_TEXT];

    if (is_blocked(row) || !scope_holds(&x->definition->scope, &who))
        return true;
    size_t len = budget_key(x->definition, &who, key);
    budget_key_text(x->definition, key, len, text, sizeof text);
    if (x->key && strcmp(x->key, text) != 0)
        return true;
    x->truncated = x->calls == x->limit;
    if (!x->truncated)
        call_show(x, row, text);
    return !x->truncated && !x->rows.failed && !x->tags.failed;
}

static int calls_read(struct explain *x, struct problem *p)
{
    struct events_request q = { .tables = 1u << TABLE_DISPATCH, .from_ms = x->from_ms, .to_ms = x->to_ms };
    struct query_pool *pool = x->r->server->pool;
    struct monotime deadline = request_deadline(x->r);
    struct events_cursor c;
    unsigned got;

    for (int f = 0; f < SUBJECT_FIELDS; f++)
        x->subject_at[f] = column(subject_columns[f]);
    x->tags_at = column("tags");
    int result = explain_filter(x->definition, x->key, p, &q.filter);
    if (result == 0)
        result = events_begin(pool, &q, INT64_MAX, deadline, p, &c);
    while (result == 0 && !x->truncated && !x->rows.failed && !x->tags.failed && !events_done(&c)) {
        result = events_read(pool, &q, &c, EVENTS_PIECE, deadline, p, on_row, x, &got);
        if (result == 0 && mono_left(deadline) == 0)
            result = problem_set(p, 504, "the query took too long: ask for one key, or fewer calls");
    }
    filter_fini(&q.filter);
    return result;
}

/* ---------------------------------------------------------------- the governor's */

/* The one of the key that is asked for, or of all together; NULL: there is none. Borrowed. */
static json_t *cell_find(const struct explain *x)
{
    json_t *cells = json_object_get(x->budget, "cells");

    if (!x->key)
        return x->definition->pers == 0 ? json_array_get(cells, 0) : NULL;
    for (size_t i = 0; i < json_array_size(cells); i++) {
        json_t *cell = json_array_get(cells, i);
        const char *key = json_string_value(json_object_get(cell, "key"));
        if (key && strcmp(key, x->key) == 0)
            return cell;
    }
    return NULL;
}

/* Whether a reservation has reserved something here. */
static bool reserves_here(const struct explain *x, const json_t *reservation)
{
    const json_t *postings = json_object_get(reservation, "postings");

    for (size_t i = 0; i < json_array_size(postings); i++) {
        const json_t *posting = json_array_get(postings, i);
        const char *budget = json_string_value(json_object_get(posting, "budget"));
        const char *key = json_string_value(json_object_get(posting, "key"));
        if (budget && strcmp(budget, x->definition->name) == 0 &&
            (!x->key || (key && strcmp(key, x->key) == 0)))
            return true;
    }
    return false;
}

/* What is asked of the governor. 200; else x->told is why not. */
static int governor_ask(struct explain *x, const json_t *name)
{
    int status = govern_ask_budget(x->r, name, GOVERN_ROWS_MAX, &x->told);
    json_t *question = json_pack("{s:i}", "limit", GOVERN_ROWS_MAX);

    if (status == 200) {
        x->budget = json_array_get(json_object_get(x->told, "budgets"), 0);
        x->now_ms = json_integer_value(json_object_get(x->told, "now_ms"));
        status = question ? govern_ask(x->r, "reservations", question, &x->reserved) : 503;
        if (status != 200) {
            json_decref(x->told);
            x->told = x->reserved;
            x->reserved = NULL;
        }
    }
    json_decref(question);
    return status;
}

/* Which calls are in the running window. */
static void window_find(struct explain *x)
{
    const struct window *w = &x->definition->window;
    const json_t *counts_from = json_object_get(x->budget, "counts_from_ms");

    x->from_ms = window_first(w, x->now_ms);
    x->to_ms = w->kind == WINDOW_SLIDING ? WINDOW_NEVER : window_end(w, window_start(w, x->now_ms));
    if (json_is_integer(counts_from) && json_integer_value(counts_from) > x->from_ms)
        x->from_ms = json_integer_value(counts_from);
}

/* -------------------------------------------------------------------- the answer */

static int add_piece(const char *bytes, size_t len, void *text)
{
    text_add(text, bytes, len);
    return 0;
}

static void key_json(struct text *t, const char *name, const json_t *value)
{
    text_key(t, name);
    if (!value)
        text_str(t, "null");
    else if (json_dump_callback(value, add_piece, t, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        t->failed = true;
}

static void reservations_show(const struct explain *x, struct text *t)
{
    const json_t *all = json_object_get(x->reserved, "reservations");
    bool any = false;

    text_key(t, "reservations");
    text_str(t, "[");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *reservation = json_array_get(all, i);
        if (!reserves_here(x, reservation))
            continue;
        text_str(t, any ? "," : "");
        any = true;
        if (json_dump_callback(reservation, add_piece, t, JSON_COMPACT) != 0)
            t->failed = true;
    }
    text_str(t, "]");
}

static void answer(struct explain *x)
{
    json_t *cell = json_incref(cell_find(x));
    struct text t = { 0 };
    struct columns c = { .t = &t };

    json_array_clear(json_object_get(x->budget, "cells")); /* the one that matters follows */
    text_str(&t, "{");
    column_int(&c, "now_ms", true, x->now_ms);
    key_json(&t, "budget", x->budget);
    column_text(&c, "key", x->key, x->key ? strlen(x->key) : 0);
    key_json(&t, "cell", cell);
    text_key_str(&t, "unit", unit_name((int)x->definition->unit));
    column_int(&c, "from_ms", true, x->from_ms);
    column_int(&c, "to_ms", x->to_ms != WINDOW_NEVER, x->to_ms);
    text_str(&t, ",\"calls\":[");
    text_add(&t, x->rows.at, x->rows.len);
    text_fmt(&t, "],\"listed\":{\"calls\":%u,\"amount\":%lld,\"unknown_calls\":%u},\"truncated\":%s",
             x->calls, (long long)x->amount, x->unknown, x->truncated ? "true" : "false");
    reservations_show(x, &t);
    text_str(&t, "}\n");
    t.failed = t.failed || x->rows.failed || x->tags.failed;
    json_decref(cell);
    answer_text(x->r, 200, TYPE_JSON, &t);
}

/* 0; -1 and *p filled; or 1: it has been answered. */
static int explain(struct explain *x, struct problem *p)
{
    struct fault fault;

    if (request_number(x->r, "limit", GOVERN_ROWS_MAX, p, &x->limit) != 0)
        return -1;
    json_t *name = govern_rest(x->r, p);
    if (!name)
        return -1;
    int status = governor_ask(x, name);
    json_decref(name);
    if (status != 200) {
        govern_answer(x->r, status, x->told);
        x->told = NULL;
        return 1;
    }
    if (budget_parse(json_object_get(x->budget, "definition"), "UTC", &x->definition, &fault) != 0)
        return problem_set(p, 500, "the budget's definition cannot be read: %s", fault.field);
    window_find(x);
    return calls_read(x, p);
}

void show_explain(struct request *r)
{
    struct explain x = { .r = r, .limit = CALLS_LIMIT, .key = request_param(r, "key") };
    struct problem p;
    int result = explain(&x, &p);

    if (result == 0)
        answer(&x);
    else if (result < 0)
        answer_problem(r, &p);
    text_fini(&x.rows);
    text_fini(&x.tags);
    budget_free(x.definition);
    json_decref(x.told);
    json_decref(x.reserved);
}
