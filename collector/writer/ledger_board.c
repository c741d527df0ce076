/* SPDX-License-Identifier: MIT
 *
 * ledger_board.c: what publishers are told (schema/wire.md, Verdicts): pauses, rules of policies, every
 * account that does not allow, and a guard for every budget that is to block when nobody can be asked.
 */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_work.h"

enum { ENTRY_VERDICT, ENTRY_GUARD };

/* What the message has beside the entries' bytes: its head, and in each entry how long until it opens. */
#define HEAD_BYTES  64
#define OPENS_BYTES 9

struct making {
    struct board *board;
    msgpack_sbuffer bytes;
    msgpack_packer pk;
    bool failed;
};

/* ------------------------------------------------------------------ packing */

static int write_bytes(void *arg, const char *bytes, size_t len)
{
    struct making *m = arg;

    if (msgpack_sbuffer_write(&m->bytes, bytes, len) != 0)
        m->failed = true;
    return 0;
}

static void pack_bytes(msgpack_packer *pk, const char *s, size_t len)
{
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

static void pack_text(msgpack_packer *pk, const char *s)
{
    if (s == NULL || s[0] == '\0')
        msgpack_pack_nil(pk);
    else
        pack_bytes(pk, s, strlen(s));
}

static void pack_num(msgpack_packer *pk, int64_t n)
{
    if (n == UNKNOWN)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, n);
}

static void pack_condition(msgpack_packer *pk, int field, bool negated, size_t patterns, const char *tag)
{
    msgpack_pack_array(pk, tag != NULL ? 4 : 3);
    msgpack_pack_int(pk, field);
    msgpack_pack_int(pk, negated);
    msgpack_pack_array(pk, patterns);
}

static void pack_scope(msgpack_packer *pk, const struct scope *s)
{
    for (unsigned i = 0; i < s->terms; i++) {
        const struct scope_term *t = &s->term[i];
        pack_condition(pk, t->field, t->negated, t->patterns, t->tag);
        for (unsigned k = 0; k < t->patterns; k++)
            pack_bytes(pk, t->pattern[k], strlen(t->pattern[k]));
        if (t->tag != NULL)
            pack_bytes(pk, t->tag, strlen(t->tag));
    }
}

/* A value as a pattern that only it fits. */
static void pack_literal(msgpack_packer *pk, struct slice value)
{
    char text[2 * BUDGET_KEY_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < value.len; i++) {
        if (value.at[i] == '*' || value.at[i] == '\\')
            text[n++] = '\\';
        text[n++] = (char)value.at[i];
    }
    pack_bytes(pk, text, n);
}

static void pack_account(msgpack_packer *pk, const struct account *c)
{
    const struct budget *def = c->budget->def;
    const uint8_t *at = c->key, *end = c->key + c->key_len;
    struct slice value;

    msgpack_pack_array(pk, def->pers + def->scope.terms);
    for (unsigned i = 0; i < def->pers; i++) {
        pack_condition(pk, def->per[i].field, false, 1, def->per[i].tag);
        if (!budget_key_next(&at, end, &value))
            value = (struct slice){ NULL, 0 };
        pack_literal(pk, value);
        if (def->per[i].tag != NULL)
            pack_bytes(pk, def->per[i].tag, strlen(def->per[i].tag));
    }
    pack_scope(pk, &def->scope);
}

/* ------------------------------------------------------------------ entries */

static struct board_entry *begin(struct making *m, int kind, const struct verdict *v)
{
    if (m->board->count == BOARD_ENTRIES_MAX) {
        m->board->overflow = true;
        return NULL;
    }
    struct board_entry *e = &m->board->entries[m->board->count++];
    *e = (struct board_entry){ .before = (uint32_t)m->bytes.size, .opens_ms = v->opens_ms };
    msgpack_pack_array(&m->pk, 12);
    msgpack_pack_int(&m->pk, kind);
    msgpack_pack_int(&m->pk, (int)v->action);
    pack_bytes(&m->pk, v->name, strlen(v->name));
    return e;
}

static void finish(struct making *m, struct board_entry *e, const struct verdict *v)
{
    e->after = (uint32_t)m->bytes.size;
    pack_bytes(&m->pk, v->text, strlen(v->text));
    pack_text(&m->pk, v->use_model);
    pack_text(&m->pk, v->use_lane);
    pack_num(&m->pk, v->delay_ms > 0 ? v->delay_ms : UNKNOWN);
    pack_num(&m->pk, v->spent);
    pack_num(&m->pk, v->limit);
    msgpack_pack_int(&m->pk, (int)v->unit);
    e->end = (uint32_t)m->bytes.size;
    if (HEAD_BYTES + m->bytes.size + m->board->count * OPENS_BYTES > BOARD_BYTES_MAX) {
        m->board->overflow = true; /* it goes again */
        m->bytes.size = e->before;
        m->board->count--;
    }
}

static void add_pause(struct making *m, const struct pause *p)
{
    struct verdict v;

    ledger_pause_verdict(p, &v);
    struct board_entry *e = begin(m, ENTRY_VERDICT, &v);
    if (e == NULL)
        return;
    msgpack_pack_array(&m->pk, 1);
    pack_condition(&m->pk, p->field, false, 1, NULL);
    pack_literal(&m->pk, (struct slice){ (const uint8_t *)p->value, (uint32_t)strlen(p->value) });
    finish(m, e, &v);
}

static void add_rule(struct making *m, const struct rule *r)
{
    struct verdict v;

    ledger_rule_verdict(r, &v);
    struct board_entry *e = begin(m, ENTRY_VERDICT, &v);
    if (e == NULL)
        return;
    msgpack_pack_array(&m->pk, r->when.terms);
    pack_scope(&m->pk, &r->when);
    finish(m, e, &v);
}

static void add_account(struct making *m, const struct ledger *l, const struct account *c)
{
    struct verdict v;

    if (c->budget->def->shadow)
        return;
    ledger_verdict(l, c, &v);
    struct board_entry *e = begin(m, ENTRY_VERDICT, &v);
    if (e == NULL)
        return;
    pack_account(&m->pk, c);
    finish(m, e, &v);
}

static void add_guard(struct making *m, const struct budget *def)
{
    struct verdict v = {
        .action = ACTION_BLOCK, .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER
    };

    if (!def->on_error_closed || def->shadow)
        return;
    memcpy(v.name, def->name, sizeof v.name);
    snprintf(v.text, sizeof v.text,
             "budget %s: the collector cannot be asked, and the budget is to block then", def->name);
    struct board_entry *e = begin(m, ENTRY_GUARD, &v);
    if (e == NULL)
        return;
    msgpack_pack_array(&m->pk, def->scope.terms);
    pack_scope(&m->pk, &def->scope);
    finish(m, e, &v);
}

/* Guards first: they must not be among those that find no room. */
struct board *ledger_board(struct ledger *l)
{
    struct making m = { .board = calloc(1, sizeof *m.board) };

    if (m.board == NULL)
        return NULL;
    atomic_init(&m.board->references, 1);
    msgpack_sbuffer_init(&m.bytes);
    msgpack_packer_init(&m.pk, &m, write_bytes);
    size_t most = l->budget_count + l->pause_count + l->rule_count + l->accounts.hot_used + 1;
    m.board->entries =
        malloc((most < BOARD_ENTRIES_MAX ? most : BOARD_ENTRIES_MAX) * sizeof *m.board->entries);
    if (m.board->entries == NULL) {
        board_release(m.board);
        return NULL;
    }
    m.board->version = ++l->version;
    for (size_t i = 0; i < l->budget_count; i++)
        add_guard(&m, l->budgets[i]->def);
    for (size_t i = 0; i < l->pause_count; i++)
        add_pause(&m, &l->pauses[i]);
    for (size_t i = 0; i < l->rule_count; i++)
        if (!l->rules[i].shadow)
            add_rule(&m, &l->rules[i].rule);
    for (uint32_t i = 0; i < l->accounts.hot_used; i++)
        add_account(&m, l, &l->accounts.all[l->accounts.hot[i]]);
    m.board->len = m.bytes.size;
    m.board->bytes = (uint8_t *)msgpack_sbuffer_release(&m.bytes);
    if (m.failed) {
        board_release(m.board);
        return NULL;
    }
    l->changed = false;
    return m.board;
}
