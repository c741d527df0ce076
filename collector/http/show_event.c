/* SPDX-License-Identifier: MIT */
#include "show_event.h"

#include <string.h>

#include "../query/when.h"

#define FIRST_SHOWN 1 /* column 0 is the row's id, which only cursors show */

/* A column's value as plain text, for what is not a number or JSON. NULL: unknown. */
static const char *column_text(const struct events_row *row, int i, char when[WHEN_TEXT], size_t *len)
{
    const struct events_column *c = &events_columns[i];
    const char *s;

    if (c->type == EVENTS_TIME) {
        when_format(sqlite3_column_int64(row->stmt, i), when);
        s = when;
    } else if (c->type == EVENTS_CODE) {
        s = c->code_name(sqlite3_column_int(row->stmt, i));
    } else {
        s = (const char *)sqlite3_column_text(row->stmt, i);
        *len = (size_t)sqlite3_column_bytes(row->stmt, i);
        return s;
    }
    *len = s ? strlen(s) : 0;
    return s;
}

static void hex_show(struct text *t, const struct events_row *row, int i)
{
    text_hex(t, sqlite3_column_blob(row->stmt, i), (size_t)sqlite3_column_bytes(row->stmt, i));
}

static void column_json(struct text *t, const struct events_row *row, int i)
{
    const struct events_column *c = &events_columns[i];
    char when[WHEN_TEXT];
    size_t len = 0;

    if (c->type == EVENTS_INT) {
        text_key_int(t, c->name, sqlite3_column_int64(row->stmt, i));
    } else if (c->type == EVENTS_HEX) {
        text_key(t, c->name);
        text_str(t, "\"");
        hex_show(t, row, i);
        text_str(t, "\"");
    } else {
        const char *s = column_text(row, i, when, &len);
        if (!s) /* a code that has no name (yet) */
            return;
        text_key(t, c->name);
        if (c->type == EVENTS_JSON)
            text_add(t, s, len);
        else
            text_json(t, s, len);
    }
}

static void event_json(struct text *t, const struct events_row *row)
{
    text_str(t, "{");
    for (int i = FIRST_SHOWN; i < events_columns_count; i++) {
        if (events_columns[i].sql[row->table] && sqlite3_column_type(row->stmt, i) != SQLITE_NULL)
            column_json(t, row, i);
    }
    text_str(t, "}");
}

static bool in_tables(const struct events_column *c, unsigned tables)
{
    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (tables & 1u << t && c->sql[t])
            return true;
    }
    return false;
}

static void column_csv(struct text *t, const struct events_row *row, int i)
{
    const struct events_column *c = &events_columns[i];
    char when[WHEN_TEXT];
    size_t len = 0;

    if (!c->sql[row->table] || sqlite3_column_type(row->stmt, i) == SQLITE_NULL)
        return;
    if (c->type == EVENTS_INT) {
        text_int(t, sqlite3_column_int64(row->stmt, i));
    } else if (c->type == EVENTS_HEX) {
        hex_show(t, row, i);
    } else {
        const char *s = column_text(row, i, when, &len);
        text_csv(t, true, s ? s : "", len);
    }
}

static void event_csv(struct text *t, unsigned tables, const struct events_row *row)
{
    for (int i = FIRST_SHOWN; i < events_columns_count; i++) {
        if (!in_tables(&events_columns[i], tables))
            continue;
        text_add(t, ",", i > FIRST_SHOWN);
        column_csv(t, row, i);
    }
    text_str(t, "\r\n");
}

void event_head_csv(struct text *t, unsigned tables)
{
    for (int i = FIRST_SHOWN; i < events_columns_count; i++) {
        if (in_tables(&events_columns[i], tables))
            text_csv(t, i == FIRST_SHOWN, events_columns[i].name, strlen(events_columns[i].name));
    }
    text_str(t, "\r\n");
}

void event_show(struct text *t, enum format format, unsigned tables, const struct events_row *row, bool first)
{
    if (format == FORMAT_CSV) {
        event_csv(t, tables, row);
        return;
    }
    if (format == FORMAT_JSON)
        text_str(t, first ? "\n" : ",\n");
    event_json(t, row);
    if (format == FORMAT_NDJSON)
        text_str(t, "\n");
}
