/* SPDX-License-Identifier: MIT
 *
 * verdict.c: the way from a request to the entry that counts.
 *
 * Rows stand by falling action, so the first that holds is the answer. Most are told apart by the hash
 * of one value; only those that may hold are read. A reader looks, reads, and asks whether the page has
 * changed meanwhile: what it read before that means nothing, also where it looked like damage.
 */
#include "verdict.h"

#include <errno.h>
#include <string.h>

#include "record.h"

#define LOOKS_MAX 64 /* a page that was written anew so often meanwhile is none */
#define OPENS_MAX ((int64_t)1 << 52)

enum holds { HOLDS_NOT, HOLDS, BROKEN };

/* ----------------------------------------------------------------- the request */

static void set_value(struct subject *s, int field, const char *text)
{
    uint64_t cut = 0;
    size_t len = text != NULL ? record_text_len(text, &cut) : 0;
    uint32_t hash = VALUE_HASH_INIT, first = 0;

    for (size_t i = 0; i < len; i++) {
        hash = value_hash(hash, (uint8_t)text[i]);
        first |= i < 4 ? (uint32_t)(uint8_t)text[i] << (8 * i) : 0;
    }
    s->value[field].at = text;
    s->value[field].len = len;
    s->value[field].hash = hash;
    s->value[field].first = first;
}

static const char *trigger_name(enum tg_trigger trigger)
{
    switch ((int)trigger) {
#define TG_TRIGGER(code, name) \
    case code:                 \
        return #name;
#include "../schema/event.def"
    default:
        return NULL;
    }
}

static bool known(const char *text)
{
    return text != NULL && *text != '\0';
}

void subject_of(const struct tg_request *r, struct subject *out)
{
    const char *root = known(r->root_session_id) ? r->root_session_id : r->session_id;
    const char *const value[SUBJECT_FIELDS] = {
        r->agent_id, r->session_id, root,       r->user_id, r->provider,
        r->model,    r->lane,       r->surface, r->channel, trigger_name(r->trigger),
    };

    for (int i = 0; i < SUBJECT_FIELDS; i++)
        set_value(out, i, value[i]);
    out->tags = r->tags;
    out->tag_count = r->tags != NULL ? r->tag_count : 0;
}

static bool same_text(struct bytes a, const char *b, size_t len)
{
    if (a.len != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (load8(a.at + i) != (uint8_t)b[i])
            return false;
    return true;
}

/* Those that an event would carry: the first TG_TAGS_MAX known ones, and the last of a name. */
static const char *tag_value(const struct subject *s, struct bytes name, size_t *len)
{
    const char *value = NULL;
    uint64_t cut = 0;
    int seen = 0;

    *len = 0;
    for (size_t i = 0; i < s->tag_count && seen < TG_TAGS_MAX; i++) {
        const struct tg_tag *t = &s->tags[i];
        if (!known(t->name) || !known(t->value))
            continue;
        seen++;
        if (same_text(name, t->name, record_text_len(t->name, &cut))) {
            value = t->value;
            *len = record_text_len(value, &cut);
        }
    }
    return value;
}

/* ------------------------------------------------------------------ conditions */

/* The byte that stands next in a pattern, and how many it takes: an escaped one takes two. */
static uint8_t pattern_byte(struct bytes p, size_t i, size_t *step)
{
    bool escaped = load8(p.at + i) == '\\' && i + 1 < p.len;

    *step = escaped ? 2 : 1;
    return load8(p.at + i + escaped);
}

bool pattern_fits(struct bytes p, const char *value, size_t len)
{
    size_t i = 0, v = 0, star = SIZE_MAX, mark = 0, step;

    if (len == 0)
        return p.len == 0; /* an unknown value: no other pattern fits it */
    while (v < len) {      /* back to the last star only: an earlier one could not do better */
        if (i < p.len && load8(p.at + i) == '*') {
            star = ++i;
            mark = v;
        } else if (i < p.len && pattern_byte(p, i, &step) == (uint8_t)value[v]) {
            i += step;
            v++;
        } else if (star != SIZE_MAX) {
            i = star;
            v = ++mark;
        } else
            return false;
    }
    while (i < p.len && load8(p.at + i) == '*')
        i++;
    return i == p.len;
}

bool condition_read(struct reader *r, struct condition *out)
{
    struct condition c = { .name = { NULL, 0 } };
    uint64_t parts;

    if (!read_array(r, &parts) || parts < 3 || !read_uint(r, &c.field) || !read_uint(r, &c.negated) ||
        !read_array(r, &c.patterns))
        return false;
    c.pattern = *r;
    if (!read_skip(r, c.patterns))
        return false;
    if (c.field == FIELD_TAG && (parts < 4 || !read_text(r, &c.name)))
        return false;
    *out = c;
    return read_skip(r, parts - (c.field == FIELD_TAG ? 4 : 3));
}

static enum holds condition_holds(struct reader *r, const struct subject *who)
{
    struct condition c;
    struct bytes pattern;
    bool fits = false;
    size_t len;

    if (!condition_read(r, &c) || c.field > FIELD_TAG)
        return BROKEN;
    const char *value = c.field == FIELD_TAG ? tag_value(who, c.name, &len) : who->value[c.field].at;
    if (c.field != FIELD_TAG)
        len = who->value[c.field].len;
    for (uint64_t i = 0; i < c.patterns && !fits; i++) {
        if (!read_text(&c.pattern, &pattern))
            return BROKEN;
        fits = pattern_fits(pattern, value, len);
    }
    return fits != (c.negated != 0) ? HOLDS : HOLDS_NOT;
}

/* ---------------------------------------------------------------------- entries */

/* The part that says for whom. The reader then stands behind the conditions' count. */
static bool entry_head(struct reader *r, struct entry *e, uint64_t *parts)
{
    return read_array(r, parts) && *parts >= 4 && read_uint(r, &e->kind) && read_uint(r, &e->saying.action) &&
           read_text_or_nil(r, &e->saying.budget) && read_array(r, &e->conditions);
}

/* The rest, as far as it goes: a missing element at the end is unknown. */
static bool entry_rest(struct reader *r, struct saying *s, uint64_t parts)
{
    int64_t unit = TG_UNIT_NONE;
    struct bytes *const text[] = { &s->text, &s->use_model, &s->use_lane };
    int64_t *const number[] = { &s->delay_ms, &s->spent, &s->limit, &unit };
    uint64_t done = 4;

    if (parts > done++ && !read_int_or_nil(r, &s->opens_in_ms))
        return false;
    for (int i = 0; i < 3; i++)
        if (parts > done++ && !read_text_or_nil(r, text[i]))
            return false;
    for (int i = 0; i < 4; i++)
        if (parts > done++ && !read_int_or_nil(r, number[i]))
            return false;
    s->unit = unit > 0 ? (uint64_t)unit : TG_UNIT_NONE;
    return parts < done || read_skip(r, parts - done);
}

bool entry_read(struct reader *r, struct entry *out)
{
    struct entry e = { .saying = SAYING_INIT };
    uint64_t parts;

    if (!entry_head(r, &e, &parts))
        return false;
    e.condition = *r;
    if (!read_skip(r, e.conditions) || !entry_rest(r, &e.saying, parts))
        return false;
    if (e.saying.opens_in_ms > OPENS_MAX)
        return false;
    *out = e;
    return true;
}

static bool row_reader(const struct look *l, const struct row *row, struct reader *out)
{
    if (row->at > l->len || row->len > l->len - row->at)
        return false;
    *out = (struct reader){ l->bytes + row->at, l->bytes + row->at + row->len };
    return true;
}

static enum holds entry_holds(const struct look *l, const struct row *row, const struct subject *who)
{
    struct entry e = { .saying = SAYING_INIT };
    struct reader r;
    uint64_t parts;

    if (!row_reader(l, row, &r) || !entry_head(&r, &e, &parts))
        return BROKEN;
    for (uint64_t i = 0; i < e.conditions; i++) {
        enum holds holds = condition_holds(&r, who);
        if (holds != HOLDS)
            return holds;
    }
    return HOLDS;
}

void text_copy(struct bytes text, char *out, size_t room)
{
    size_t n = text.len < room ? text.len : room - 1;

    if (n < text.len)
        while (n > 0 && (load8(text.at + n) & 0xc0) == 0x80)
            n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (char)load8(text.at + i);
    out[n] = '\0';
}

/* A name that was cut would be another's. */
static void name_copy(struct bytes name, char *out, size_t room)
{
    text_copy(name.len < room ? name : (struct bytes){ NULL, 0 }, out, room);
}

void saying_copy(const struct saying *s, struct tg_verdict *out)
{
    out->action = s->action <= TG_BLOCK ? (enum tg_action)s->action : TG_BLOCK;
    text_copy(s->budget, out->budget, sizeof out->budget);
    text_copy(s->text, out->message, sizeof out->message);
    name_copy(s->use_model, out->use_model, sizeof out->use_model);
    name_copy(s->use_lane, out->use_lane, sizeof out->use_lane);
    out->spent = s->spent;
    out->limit = s->limit;
    out->unit = s->unit <= TG_UNIT_CALLS ? (int)s->unit : TG_UNIT_NONE;
    out->opens_in_ms = s->opens_in_ms;
    out->delay_ms = s->delay_ms;
}

/* ---------------------------------------------------------------------- finding */

static bool opened(const struct look *l, const struct row *row)
{
    return row->opens_in_ms >= 0 && l->now >= l->came && l->now - l->came >= (uint64_t)row->opens_in_ms;
}

/* What is left of it, in milliseconds. */
static uint64_t opens_in(const struct look *l, const struct row *row)
{
    uint64_t gone = l->now >= l->came ? l->now - l->came : 0;

    return gone < (uint64_t)row->opens_in_ms ? (uint64_t)row->opens_in_ms - gone : 0;
}

/* False: a look at the row is enough to know that the entry does not hold. */
static bool may_hold(const struct row *row, const struct subject *who)
{
    if (row->field >= SUBJECT_FIELDS)
        return true;
    if (row->prefix == 0)
        return row->hash == who->value[row->field].hash;
    uint32_t mask = row->prefix < 4 ? ((uint32_t)1 << (8 * row->prefix)) - 1 : UINT32_MAX;
    return row->hash == (who->value[row->field].first & mask);
}

/* The first row of these kinds that holds; HOLDS_NOT: none. No entry is read twice, but a file that lies may
 * let many rows point at one: all together they cannot be more than the list. */
static enum holds first_row(const struct look *l, const struct subject *who, unsigned kinds, uint32_t *out)
{
    uint64_t left = l->len;

    for (uint32_t i = 0; i < l->rows; i++) {
        struct row row = look_glance(l, i);
        if (row.kind > ROW_GUARD || (kinds >> row.kind & 1) == 0 || !may_hold(&row, who))
            continue;
        row = look_row(l, i);
        if (opened(l, &row))
            continue;
        if (row.len > left)
            return BROKEN;
        left -= row.len;
        enum holds holds = entry_holds(l, &row, who);
        if (holds != HOLDS_NOT) {
            *out = i;
            return holds;
        }
    }
    return HOLDS_NOT;
}

static bool say(const struct look *l, const struct finding *f, struct tg_verdict *out)
{
    struct row row = look_row(l, f->row);
    struct reader r;
    struct entry e;

    if (!row_reader(l, &row, &r) || !entry_read(&r, &e))
        return false;
    e.saying.opens_in_ms = row.opens_in_ms < 0 ? TG_UNKNOWN : (int64_t)opens_in(l, &row);
    saying_copy(&e.saying, out);
    out->stale = f->stale;
    return true;
}

static void say_nothing(struct finding *f, bool stale, struct tg_verdict *out)
{
    f->row = FOUND_NONE;
    f->stale = stale;
    out->action = TG_ALLOW;
    out->stale = stale;
}

static void set_until(const struct look *l, struct finding *f, uint64_t now)
{
    if (!f->stale || l->valid_until > now)
        f->until = l->valid_until;
    if (f->row == FOUND_NONE)
        return;
    struct row row = look_row(l, f->row);
    if (row.opens_in_ms >= 0 && now + opens_in(l, &row) < f->until)
        f->until = now + opens_in(l, &row);
}

/* BROKEN: damaged, or written meanwhile. */
static enum holds find_once(const struct look *l, const struct subject *who, uint64_t now, bool doubt,
                            struct finding *f, struct tg_verdict *out)
{
    const unsigned verdicts = 1u << ROW_VERDICT, guards = 1u << ROW_GUARD;
    bool valid = l->has_list && l->valid_until > now;
    unsigned kinds = !valid ? guards : doubt ? verdicts | guards : verdicts;

    *f = (struct finding){
        .state = l->state, .until = UINT64_MAX, .row = FOUND_NONE, .stale = !valid || doubt
    };
    enum holds holds = first_row(l, who, kinds, &f->row);
    if (holds == HOLDS_NOT && valid && l->overflow && !doubt) {
        f->stale = true;
        holds = first_row(l, who, guards, &f->row);
    }
    if (holds == HOLDS_NOT)
        say_nothing(f, f->stale, out);
    else if (holds == HOLDS && !say(l, f, out))
        holds = BROKEN;
    if (holds != BROKEN)
        set_until(l, f, now);
    return holds;
}

struct finding verdict_find(struct page *p, const struct subject *who, uint64_t now, bool doubt,
                            struct tg_verdict *out)
{
    struct finding f = { .state = 0, .until = 0 }; /* not to be remembered */
    struct look l;

    for (int i = 0; i < LOOKS_MAX; i++) {
        if (!page_look(p, now, &l))
            continue;
        enum holds holds = find_once(&l, who, now, doubt, &f, out);
        if (!page_unchanged(&l))
            continue;
        if (holds == BROKEN) {
            page_condemn(p, l.state);
            f.until = UINT64_MAX;
            say_nothing(&f, true, out);
        }
        return f;
    }
    f.until = 0;
    say_nothing(&f, true, out);
    return f;
}

bool verdict_repeat(struct page *p, const struct finding *f, uint64_t now, struct tg_verdict *out)
{
    struct look l;

    if (!page_look(p, now, &l) || l.state != f->state || f->row >= l.rows)
        return false;
    return say(&l, f, out) && page_unchanged(&l);
}
