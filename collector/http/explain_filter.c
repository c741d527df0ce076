/* SPDX-License-Identifier: MIT */
#include "explain_filter.h"

#include <jansson.h>
#include <string.h>

#define LIST_MAX 4096 /* bytes of a term's text */

/* The log's name of a rule's field; -1: what the log has under that name is not quite the same. */
static int field_of(int subject)
{
    switch (subject) {
    case SUBJECT_agent_id:
        return FIELD_agent_id;
    case SUBJECT_session_id:
        return FIELD_session_id;
    case SUBJECT_user_id:
        return FIELD_user_id;
    case SUBJECT_provider:
        return FIELD_provider;
    case SUBJECT_model:
        return FIELD_model;
    case SUBJECT_lane:
        return FIELD_lane;
    case SUBJECT_surface:
        return FIELD_surface;
    case SUBJECT_channel:
        return FIELD_channel;
    case SUBJECT_TAG:
        return FIELD_tag;
    default:
        return -1;
    }
}

struct list {
    char text[LIST_MAX];
    size_t used;
    bool failed; /* it cannot be said, or is too long */
};

static void add_char(struct list *l, char c, bool literal)
{
    if (l->used + 3 > sizeof l->text) {
        l->failed = true;
        return;
    }
    if (literal && strchr(",\\*!", c))
        l->text[l->used++] = '\\';
    l->text[l->used++] = c;
    l->text[l->used] = 0;
}

/* A pattern without * but at its end. The empty one stands for what is unknown, or is known to be empty,
 * which the log keeps apart. */
static void add_pattern(struct list *l, const char *pattern)
{
    l->failed = l->failed || pattern[0] == 0;
    for (const char *c = pattern; *c; c++) {
        if (*c == '*') {
            l->failed = l->failed || c[1] != 0;
            add_char(l, '*', false);
        } else {
            c += *c == '\\' && c[1];
            add_char(l, *c, true);
        }
    }
}

static unsigned count_terms(const struct filter *f, int field)
{
    unsigned n = 0;

    for (unsigned i = 0; i < f->count; i++)
        n += (int)f->term[i].field == field;
    return n;
}

static int add_term(const struct scope_term *term, struct problem *p, struct filter *f)
{
    struct list l = { .used = 0 };
    int field = field_of(term->field);

    if (field < 0 || term->patterns > FILTER_VALUES_MAX ||
        (field == FIELD_tag &&
         (strlen(term->tag) >= FIELD_TAG_MAX || count_terms(f, field) == FILTER_TAGS_MAX)))
        return 0;
    if (term->negated)
        add_char(&l, '!', false);
    for (unsigned i = 0; i < term->patterns; i++) {
        if (i > 0)
            add_char(&l, ',', false);
        add_pattern(&l, term->pattern[i]);
    }
    if (l.failed)
        return 0;
    return field == FIELD_tag ? filter_add_tag(f, term->tag, l.text, p)
                              : filter_add(f, (enum field_id)field, l.text, p);
}

/* The account's name, where the key is nothing else. */
static int add_key(const struct budget *b, const char *key, struct problem *p, struct filter *f)
{
    struct list l = { .used = 0 };
    int field = b->pers == 1 ? field_of(b->per[0].field) : -1;

    if (field < 0 || field == FIELD_tag || count_terms(f, field) > 0 || !key[0] ||
        strcmp(key, "(unknown)") == 0)
        return 0;
    for (const char *c = key; *c; c++)
        add_char(&l, *c, true);
    return l.failed ? 0 : filter_add(f, (enum field_id)field, l.text, p);
}

int explain_filter(const struct budget *b, const char *key, struct problem *p, struct filter *f)
{
    for (unsigned i = 0; i < b->scope.terms; i++) {
        if (add_term(&b->scope.term[i], p, f) != 0)
            return -1;
    }
    return key ? add_key(b, key, p, f) : 0;
}

/* ------------------------------------------------------------------------- tags */

static void add_byte(struct text *t, size_t byte)
{
    text_add(t, &(unsigned char){ (unsigned char)byte }, 1);
}

static void pack_text(struct text *t, const char *at, size_t len)
{
    if (len < 32) {
        add_byte(t, 0xa0 | len);
    } else {
        len = len < 0xffff ? len : 0xffff;
        add_byte(t, 0xda);
        add_byte(t, len >> 8);
        add_byte(t, len & 0xff);
    }
    text_add(t, at, len);
}

struct slice explain_tags(struct text *t, struct slice json)
{
    json_t *object = json_loadb((const char *)json.at, json.len, 0, NULL), *value;
    size_t n = json_object_size(object);
    const char *name;

    t->len = 0;
    if (n == 0 || n > 0xffff) {
        json_decref(object);
        return (struct slice){ NULL, 0 };
    }
    add_byte(t, 0xde);
    add_byte(t, n >> 8);
    add_byte(t, n & 0xff);
    json_object_foreach(object, name, value)
    {
        pack_text(t, name, strlen(name));
        pack_text(t, json_is_string(value) ? json_string_value(value) : "", json_string_length(value));
    }
    json_decref(object);
    return (struct slice){ (const uint8_t *)t->at, (uint32_t)t->len };
}
