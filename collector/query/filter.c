/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <stdlib.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool event_id_parse(const char *text, unsigned char out[16])
{
    if (strlen(text) != 32)
        return false;
    for (int i = 0; i < 16; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* Checks a value that is not free text. */
static int value_check(enum field_id field, const char *value, struct problem *p)
{
    const struct field *f = &fields[field];
    unsigned char id[16];

    if (f->code_of && f->code_of(value, strlen(value)) <= 0)
        return problem_parameter(p, f->name, value, f->expected);
    if (field == FIELD_event_id && !event_id_parse(value, id))
        return problem_parameter(p, f->name, value, "32 hexadecimal digits");
    return 0;
}

static int value_add(struct filter_term *t, const char *value, struct problem *p)
{
    if (value[0] == 0) {
        t->unknown = true;
        return 0;
    }
    if (t->count == FILTER_VALUES_MAX)
        return problem_parameter(p, fields[t->field].name, value, "at most 64 values");
    t->value[t->count++] = value;
    return value_check(t->field, value, p);
}

/* Cuts the next value out of *at, undoing backslashes in place. NULL after the last. */
static char *value_next(char **at)
{
    char *start = *at, *to = start, *from = start;

    if (!start)
        return NULL;
    for (; *from && *from != ','; from++) {
        if (*from == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    *at = *from ? from + 1 : NULL;
    *to = 0;
    return start;
}

int filter_add(struct filter *f, enum field_id field, const char *list, struct problem *p)
{
    struct filter_term *t = &f->term[f->count];
    char *rest, *value;

    *t = (struct filter_term){ .field = field, .text = strdup(list) };
    if (!t->text)
        return problem_set(p, 503, "out of memory");
    f->count++;
    rest = t->text;
    while ((value = value_next(&rest)) != NULL) {
        if (value_add(t, value, p) != 0)
            return -1;
    }
    return 0;
}

void filter_fini(struct filter *f)
{
    for (unsigned i = 0; i < f->count; i++)
        free(f->term[i].text);
    f->count = 0;
}

bool filter_match(const struct filter_term *t, const char *value, size_t len)
{
    if (!value)
        return t->unknown;
    for (unsigned i = 0; i < t->count; i++) {
        if (strlen(t->value[i]) == len && memcmp(t->value[i], value, len) == 0)
            return true;
    }
    return false;
}

bool filter_touches(const struct filter *f, int first, int end)
{
    for (unsigned i = 0; i < f->count; i++) {
        if ((int)f->term[i].field >= first && (int)f->term[i].field < end)
            return true;
    }
    return false;
}

void filter_sql(const struct filter *f, unsigned has, sqlite3_str *sql)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        if (!(has & 1u << t->field)) {
            sqlite3_str_appendall(sql, t->unknown ? "" : " AND 0");
            continue;
        }
        sqlite3_str_appendf(sql, " AND (%s IN (", fields[t->field].sql);
        for (unsigned k = 0; k < t->count; k++)
            sqlite3_str_appendall(sql, k ? ",?" : "?");
        sqlite3_str_appendf(sql, ")%s%s%s)", t->unknown ? " OR " : "", t->unknown ? fields[t->field].sql : "",
                            t->unknown ? " IS NULL" : "");
    }
}

static int value_bind(enum field_id field, const char *value, sqlite3_stmt *stmt, int at)
{
    unsigned char id[16];

    if (fields[field].code_of)
        return sqlite3_bind_int(stmt, at, fields[field].code_of(value, strlen(value)));
    if (field == FIELD_event_id && event_id_parse(value, id))
        return sqlite3_bind_blob(stmt, at, id, sizeof id, SQLITE_TRANSIENT);
    return sqlite3_bind_text(stmt, at, value, -1, SQLITE_STATIC);
}

int filter_bind(const struct filter *f, unsigned has, sqlite3_stmt *stmt, int *at)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        for (unsigned k = 0; k < t->count && (has & 1u << t->field); k++) {
            int rc = value_bind(t->field, t->value[k], stmt, (*at)++);
            if (rc != SQLITE_OK)
                return rc;
        }
    }
    return SQLITE_OK;
}
