/* SPDX-License-Identifier: MIT */
#include "office.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../base/utf8.h"
#include "office_work.h"

static const struct {
    const char *name;
    office_op *serve;
} ops[] = {
    { "budgets", office_budgets },
    { "put_budget", office_put_budget },
    { "delete_budget", office_delete_budget },
    { "policies", office_policies },
    { "check", office_check },
    { "admit", office_admit },
    { "settle", office_settle },
    { "renew", office_renew },
    { "reservations", office_reservations },
    { "allow", office_allow },
    { "allowances", office_allowances },
    { "end_allowance", office_end_allowance },
    { "pause", office_pause },
    { "pauses", office_pauses },
    { "resume", office_resume },
    { "audit", office_audit },
    { "ack", office_ack },
    { "forecast", office_forecast },
};

/* ------------------------------------------------------------------ answering */

static json_t *problem(int status, const char *title, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s}", "type", "about:blank", "title", title, "status", status,
                     "detail", detail);
}

int office_refuse(struct office_desk *d, int status, const char *detail)
{
    d->status = status;
    d->answer = problem(status,
                        status == 404   ? "Not Found"
                        : status == 409 ? "Conflict"
                                        : "Bad Request",
                        detail);
    return 0;
}

int office_wrong(struct office_desk *d, const char *field, const char *value, const char *expected)
{
    char detail[128];

    snprintf(detail, sizeof detail, "%.80s cannot be understood", field);
    d->status = 400;
    d->answer = problem(400, "Bad Request", detail);
    json_object_set_new(d->answer, "field", office_string(field));
    json_object_set_new(d->answer, "value", office_string(value));
    json_object_set_new(d->answer, "expected", office_string(expected));
    return 0;
}

int office_fault(struct office_desk *d, const struct fault *fault)
{
    return office_wrong(d, fault->field, fault->value, fault->expected);
}

const char *office_text(const struct office_desk *d, const char *name)
{
    return json_string_value(json_object_get(d->request, name));
}

int64_t office_number(const struct office_desk *d, const char *name, int64_t missing)
{
    const json_t *n = json_object_get(d->request, name);

    return json_is_integer(n) ? (int64_t)json_integer_value(n) : missing;
}

json_t *office_num(int64_t n)
{
    return n == UNKNOWN ? json_null() : json_integer(n);
}

json_t *office_time(int64_t ms)
{
    return ms == UNKNOWN || ms == WINDOW_NEVER ? json_null() : json_integer(ms);
}

json_t *office_string(const char *s)
{
    json_t *text = s == NULL || s[0] == '\0' ? json_null() : json_string(s);

    return text != NULL ? text : json_string("\xef\xbf\xbd");
}

/* -------------------------------------------------------------------- tables */

static void bind_all(sqlite3_stmt *stmt, const char *format, va_list args)
{
    for (int i = 1; *format != '\0'; format++, i++) {
        if (*format == 's') {
            const char *text = va_arg(args, const char *);
            sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT);
        } else {
            bind_num(stmt, i, va_arg(args, int64_t));
        }
    }
}

static int prepare(struct office_desk *d, const char *sql, sqlite3_stmt **out, const char *format,
                   va_list args)
{
    int rc = -sqlite3_prepare_v2(d->l->store->db, sql, -1, out, NULL);

    if (rc == 0)
        bind_all(*out, format, args);
    return rc;
}

int office_prepare(struct office_desk *d, const char *sql, sqlite3_stmt **out, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int rc = prepare(d, sql, out, format, args);
    va_end(args);
    return rc;
}

int office_run(struct office_desk *d, int *changes, const char *sql, const char *format, ...)
{
    sqlite3_stmt *stmt;
    va_list args;

    va_start(args, format);
    int rc = prepare(d, sql, &stmt, format, args);
    va_end(args);
    if (rc != 0)
        return rc;
    rc = store_run(stmt);
    sqlite3_finalize(stmt);
    if (changes != NULL)
        *changes = sqlite3_changes(d->l->store->db);
    return rc;
}

/* A column as JSON; one named x_json is a text that is JSON, and is called x. */
static void add_column(json_t *row, sqlite3_stmt *stmt, int i)
{
    const char *name = sqlite3_column_name(stmt, i);
    size_t len = strlen(name);
    char plain[64];

    if (sqlite3_column_type(stmt, i) == SQLITE_INTEGER) {
        json_object_set_new(row, name, json_integer(sqlite3_column_int64(stmt, i)));
        return;
    }
    const char *text = (const char *)sqlite3_column_text(stmt, i);
    if (len > 5 && len < sizeof plain && strcmp(name + len - 5, "_json") == 0) {
        json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
        snprintf(plain, sizeof plain, "%.*s", (int)len - 5, name);
        json_object_set_new(row, plain, value != NULL ? value : json_null());
        return;
    }
    json_object_set_new(row, name, text == NULL ? json_null() : office_string(text));
}

int office_rows(struct office_desk *d, json_t *list, const char *sql, const char *format, ...)
{
    sqlite3_stmt *stmt;
    va_list args;

    va_start(args, format);
    int rc = prepare(d, sql, &stmt, format, args);
    va_end(args);
    if (rc != 0)
        return rc;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        json_t *row = json_object();
        for (int i = 0; i < sqlite3_column_count(stmt); i++)
            add_column(row, stmt, i);
        json_array_append_new(list, row);
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int office_note(struct office_desk *d, const char *what, json_t *detail)
{
    const char *author = office_text(d, "author");

    return ledger_note(d->l, author != NULL ? author : "", what, detail);
}

/* -------------------------------------------------------------------- serving */

int office_serve(struct ledger *l, struct order *o)
{
    struct office_desk d = { .l = l, .request = o->request, .status = 200 };
    int rc = 0;

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (strcmp(ops[i].name, o->op) == 0)
            rc = ops[i].serve(&d);
    if (rc == 0 && d.reload)
        rc = ledger_reload(l);
    if (rc == 0 && d.answer == NULL)
        office_refuse(&d, 404, "nobody here knows what to do with this");
    if (rc != 0) {
        json_decref(d.answer);
        return rc;
    }
    o->http_status = d.status;
    o->answer = d.answer;
    return 0;
}
