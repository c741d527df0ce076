/* SPDX-License-Identifier: MIT */
#include "filter.h"

#include <stdio.h>
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

/* ---------------------------------------------------------------- reading */

static int refuse(const struct filter_term *t, const char *value, const char *expected, struct problem *p)
{
    char name[sizeof FIELD_TAG_NAME + FIELD_TAG_MAX];

    snprintf(name, sizeof name, "%s%s", t->field == FIELD_tag ? FIELD_TAG_NAME : "",
             t->field == FIELD_tag ? t->tag : fields[t->field].name);
    return problem_parameter(p, name, value, expected);
}

static int (*code_of(const struct filter_term *t))(const char *, size_t)
{
    return t->field == FIELD_tag ? NULL : fields[t->field].code_of;
}

/* Checks a value that is not free text. */
static int value_check(const struct filter_term *t, const char *value, bool prefix, struct problem *p)
{
    unsigned char id[16];

    if (code_of(t) && (prefix || code_of(t)(value, strlen(value)) <= 0))
        return refuse(t, value, fields[t->field].expected, p);
    if (t->field == FIELD_event_id && (prefix || !event_id_parse(value, id)))
        return refuse(t, value, "32 hexadecimal digits", p);
    return 0;
}

static int value_add(struct filter_term *t, const char *value, bool prefix, struct problem *p)
{
    if (value[0] == 0 && !prefix) {
        t->unknown = true;
        return 0;
    }
    if (t->count == FILTER_VALUES_MAX)
        return refuse(t, value, "at most 64 values", p);
    t->prefix |= (uint64_t)prefix << t->count;
    t->value[t->count++] = value;
    return value_check(t, value, prefix, p);
}

/* Cuts the next value out of *at, undoing backslashes in place. NULL after the last. */
static char *value_next(char **at, bool *prefix)
{
    char *start = *at, *to = start, *from = start;

    *prefix = false;
    if (!start)
        return NULL;
    for (; *from && *from != ','; from++) {
        *prefix = *from == '*' && (from[1] == 0 || from[1] == ',');
        if (*from == '\\' && from[1])
            from++;
        *to++ = *from;
    }
    *at = *from ? from + 1 : NULL;
    to -= *prefix;
    *to = 0;
    return start;
}

static int term_read(struct filter_term *t, const char *list, struct problem *p)
{
    char *rest, *value;
    bool prefix;

    t->text = strdup(list);
    if (!t->text)
        return problem_set(p, 503, "out of memory");
    t->negated = list[0] == '!';
    rest = t->text + t->negated;
    while ((value = value_next(&rest, &prefix)) != NULL) {
        if (value_add(t, value, prefix, p) != 0)
            return -1;
    }
    return 0;
}

int filter_add(struct filter *f, enum field_id field, const char *list, struct problem *p)
{
    struct filter_term *t = &f->term[f->count++];

    *t = (struct filter_term){ .field = field };
    return term_read(t, list, p);
}

int filter_add_tag(struct filter *f, const char *tag, const char *list, struct problem *p)
{
    struct filter_term *t = &f->term[f->count];
    unsigned tags = 0;

    for (unsigned i = 0; i < f->count; i++)
        tags += f->term[i].field == FIELD_tag;
    if (tags == FILTER_TAGS_MAX)
        return problem_parameter(p, "tag", tag, "filters for at most 8 tags");
    *t = (struct filter_term){ .field = FIELD_tag, .tag = strdup(tag) };
    if (!t->tag)
        return problem_set(p, 503, "out of memory");
    f->count++;
    return term_read(t, list, p);
}

void filter_fini(struct filter *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        free(f->term[i].text);
        free(f->term[i].tag);
    }
    f->count = 0;
}

/* --------------------------------------------------------------- matching */

static bool value_match(const struct filter_term *t, unsigned i, const char *value, size_t len)
{
    size_t wanted = strlen(t->value[i]);

    if (t->prefix >> i & 1 ? wanted > len : wanted != len)
        return false;
    return memcmp(t->value[i], value, wanted) == 0;
}

bool filter_match(const struct filter_term *t, const char *value, size_t len)
{
    bool found = !value && t->unknown;

    for (unsigned i = 0; i < t->count && value && !found; i++)
        found = value_match(t, i, value, len);
    return found != t->negated;
}

bool filter_touches(const struct filter *f, int first, int end)
{
    for (unsigned i = 0; i < f->count; i++) {
        if ((int)f->term[i].field >= first && (int)f->term[i].field < end)
            return true;
    }
    return false;
}

/* -------------------------------------------------------------------- SQL */

/* Only a dispatch has a span, and an event_id that is not always stored. */
static void expression(const struct filter_term *t, unsigned has, sqlite3_str *sql)
{
    if (t->field == FIELD_event_id && has & 1u << FIELD_span_id)
        sqlite3_str_appendall(sql, FIELD_EVENT_ID_SQL);
    else if (t->field != FIELD_tag)
        sqlite3_str_appendf(sql, "(%s)", fields[t->field].sql);
    else
        sqlite3_str_appendf(sql,
                            "(CASE WHEN json_valid(d.tags) THEN (SELECT value FROM json_each(d.tags)"
                            " WHERE key = %Q) END)",
                            t->tag);
}

/* Each comparison is 0 or 1, never NULL, so that NOT turns all of them round. */
static void term_sql(const struct filter_term *t, unsigned has, sqlite3_str *sql)
{
    sqlite3_str_appendf(sql, " AND %s(ifnull(", t->negated ? "NOT " : "");
    expression(t, has, sql);
    sqlite3_str_appendall(sql, " IN (");
    for (unsigned i = 0, n = 0; i < t->count; i++) {
        if (!(t->prefix >> i & 1))
            sqlite3_str_appendall(sql, n++ ? ",?" : "?");
    }
    sqlite3_str_appendall(sql, "),0)");
    for (unsigned i = 0; i < t->count; i++) {
        if (!(t->prefix >> i & 1))
            continue;
        sqlite3_str_appendall(sql, " OR ifnull(substr(");
        expression(t, has, sql);
        sqlite3_str_appendall(sql, ",1,length(?))=?,0)");
    }
    if (t->unknown) {
        sqlite3_str_appendall(sql, " OR ");
        expression(t, has, sql);
        sqlite3_str_appendall(sql, " IS NULL");
    }
    sqlite3_str_appendall(sql, ")");
}

void filter_sql(const struct filter *f, unsigned has, sqlite3_str *sql)
{
    for (unsigned i = 0; i < f->count; i++) {
        const struct filter_term *t = &f->term[i];
        if (has & 1u << t->field)
            term_sql(t, has, sql);
        else if (t->unknown == t->negated)
            sqlite3_str_appendall(sql, " AND 0");
    }
}

static int value_bind(const struct filter_term *t, const char *value, sqlite3_stmt *stmt, int at)
{
    unsigned char id[16];

    if (code_of(t))
        return sqlite3_bind_int(stmt, at, code_of(t)(value, strlen(value)));
    if (t->field == FIELD_event_id && event_id_parse(value, id))
        return sqlite3_bind_blob(stmt, at, id, sizeof id, SQLITE_TRANSIENT);
    return sqlite3_bind_text(stmt, at, value, -1, SQLITE_STATIC);
}

static int term_bind(const struct filter_term *t, sqlite3_stmt *stmt, int *at)
{
    int rc = SQLITE_OK;

    for (unsigned i = 0; i < t->count && rc == SQLITE_OK; i++) {
        if (!(t->prefix >> i & 1))
            rc = value_bind(t, t->value[i], stmt, (*at)++);
    }
    for (unsigned i = 0; i < t->count && rc == SQLITE_OK; i++) {
        if (!(t->prefix >> i & 1))
            continue;
        rc = value_bind(t, t->value[i], stmt, (*at)++);
        if (rc == SQLITE_OK)
            rc = value_bind(t, t->value[i], stmt, (*at)++);
    }
    return rc;
}

int filter_bind(const struct filter *f, unsigned has, sqlite3_stmt *stmt, int *at)
{
    int rc = SQLITE_OK;

    for (unsigned i = 0; i < f->count && rc == SQLITE_OK; i++) {
        if (has & 1u << f->term[i].field)
            rc = term_bind(&f->term[i], stmt, at);
    }
    return rc;
}
