/* SPDX-License-Identifier: MIT
 *
 * list.c: a list of entries, checked whole before anything of it counts, and its rows.
 *
 * What a newer collector may say and we cannot judge (another kind, action or field) is left out, and the
 * list counts as one that overflowed: who meets no entry is then in doubt.
 */
#include <errno.h>
#include <string.h>

#include "verdict.h"

/* What a value must be, or how it must begin, to fit. False: it may begin with anything. */
static bool read_glance(struct bytes p, struct row *row)
{
    uint32_t hash = VALUE_HASH_INIT, first = 0;
    uint8_t n = 0;

    for (size_t i = 0; i < p.len; i++) {
        if (p.at[i] == '*') {
            row->hash = first;
            row->prefix = n;
            return n > 0;
        }
        if (p.at[i] == '\\' && i + 1 < p.len)
            i++;
        hash = value_hash(hash, p.at[i]);
        if (n < 4)
            first |= (uint32_t)p.at[i] << (8 * n++);
    }
    row->hash = hash;
    return true;
}

/* A condition on one pattern lets the row say at a glance that the entry does not hold. */
static void glance(const struct condition *c, struct row *row)
{
    struct reader r = c->pattern;
    struct bytes pattern;

    if (row->field != ROW_ANY_FIELD || c->field >= SUBJECT_FIELDS || c->negated != 0 || c->patterns != 1)
        return;
    if (read_text(&r, &pattern) && read_glance(pattern, row))
        row->field = (uint8_t)c->field;
}

static bool patterns_valid(const struct condition *c)
{
    struct reader r = c->pattern;
    struct bytes pattern;

    for (uint64_t i = 0; i < c->patterns; i++)
        if (!read_text(&r, &pattern))
            return false;
    return true;
}

/* 1: understood; 0: something of a newer collector's; -1: broken. */
static int read_row(struct reader *r, const uint8_t *base, struct row *row)
{
    const uint8_t *start = r->at;
    struct condition c;
    struct entry e;
    int understood = 1;

    if (!entry_read(r, &e))
        return -1;
    *row = (struct row){ .at = (uint32_t)(start - base),
                         .len = (uint32_t)(r->at - start),
                         .field = ROW_ANY_FIELD,
                         .opens_in_ms = e.saying.opens_in_ms < 0 ? TG_UNKNOWN : e.saying.opens_in_ms };
    for (uint64_t i = 0; i < e.conditions; i++) {
        if (!condition_read(&e.condition, &c) || !patterns_valid(&c))
            return -1;
        understood &= c.field <= FIELD_TAG && c.negated <= 1;
        glance(&c, row);
    }
    if (e.kind > ROW_GUARD || e.saying.action < TG_WARN || e.saying.action > TG_BLOCK)
        return 0;
    row->kind = (uint8_t)e.kind;
    row->action = (uint8_t)e.saying.action;
    return understood;
}

static void sort(struct list *l)
{
    uint32_t n = 0;

    for (int action = TG_BLOCK; action >= TG_WARN; action--)
        for (uint32_t i = 0; i < l->page.rows; i++)
            if (l->came[i].action == action)
                l->sorted[n++] = l->came[i];
    l->page.row = l->sorted;
}

static int read_rows(struct reader *r, struct list *l)
{
    uint64_t entries;

    if (!read_array(r, &entries))
        return -EBADMSG;
    if (entries > PAGE_ROWS_MAX)
        return -EMSGSIZE;
    l->page.bytes = r->at;
    l->page.rows = 0;
    for (uint64_t i = 0; i < entries; i++) {
        int understood = read_row(r, l->page.bytes, &l->came[l->page.rows]);
        if (understood < 0)
            return -EBADMSG;
        l->page.rows += (uint32_t)understood;
        l->page.overflow |= understood == 0;
    }
    if ((size_t)(r->at - l->page.bytes) > PAGE_LIST_MAX)
        return -EMSGSIZE;
    l->page.len = (uint32_t)(r->at - l->page.bytes);
    sort(l);
    return 0;
}

int list_read(struct reader *r, uint64_t parts, struct list *out)
{
    struct page_list *p = &out->page;
    uint64_t overflow;

    if (parts < 6 || !read_uint(r, &p->version) || !read_uint(r, &p->valid_ms) || !read_uint(r, &overflow))
        return -EBADMSG;
    p->overflow = overflow != 0;
    out->whole = !read_nil(r);
    return out->whole ? read_rows(r, out) : 0;
}
