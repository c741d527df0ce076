/* SPDX-License-Identifier: MIT
 *
 * ledger_admit.c: whether a call may be made, and what it may come to at most: that is reserved in every
 * budget that it counts against, or nothing is.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "ledger_cells.h"
#include "ledger_work.h"

#define HINTS 4096 /* a power of two */

/* What the last call of a session came to: its next prompt is about as long. */
struct ledger_hint {
    uint64_t session;
    int64_t tokens;
};

static int refuse(struct order *o, const char *text)
{
    o->status = ORDER_REFUSED;
    o->verdict = (struct verdict){
        .action = ACTION_BLOCK, .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER
    };
    snprintf(o->verdict.text, sizeof o->verdict.text, "%s", text);
    return 0;
}

static bool is_id(const char *id)
{
    return id[0] != '\0';
}

static uint64_t session_hash(struct slice session_id)
{
    uint64_t half[2];

    tg_hash128(session_id.at, session_id.len, (unsigned char *)half);
    return half[0] | 1;
}

void ledger_hint(struct ledger *l, const struct event *e, const struct log_row *row)
{
    struct session_names names;

    if (e->session.at == NULL || row->num[D_prompt_tokens] == UNKNOWN)
        return;
    session_names_read(e->session, &names);
    if (names.text[S_session_id].at == NULL)
        return;
    uint64_t hash = session_hash(names.text[S_session_id]);
    int64_t more = row->num[D_completion_tokens] != UNKNOWN ? row->num[D_completion_tokens] : 0;
    l->hints[hash & (HINTS - 1)] = (struct ledger_hint){ hash, row->num[D_prompt_tokens] + more };
}

/* How long the prompt will be: as told, else what the session's last call came to, else what is configured.
 */
static int64_t estimate_prompt(struct ledger *l, const struct order *o)
{
    struct slice session = o->who.text[SUBJECT_session_id];

    if (o->prompt_tokens != UNKNOWN)
        return o->prompt_tokens;
    if (l->hints == NULL)
        l->hints = calloc(HINTS, sizeof *l->hints); /* from now on the calls are watched */
    if (l->hints != NULL && session.at != NULL) {
        uint64_t hash = session_hash(session);
        const struct ledger_hint *h = &l->hints[hash & (HINTS - 1)];
        if (h->session == hash)
            return h->tokens;
    }
    return l->options.prompt_tokens;
}

struct estimate {
    int64_t amount[UNIT_CALLS + 1]; /* by enum unit; UNKNOWN */
};

static void estimate(struct ledger *l, const struct order *o, struct estimate *out)
{
    const struct price *price = l->options.prices == NULL
                                    ? NULL
                                    : price_list_find(l->options.prices, o->who.text[SUBJECT_provider],
                                                      o->who.text[SUBJECT_model], l->now_ms);
    int64_t prompt = estimate_prompt(l, o);
    int64_t completion = o->max_tokens != UNKNOWN ? o->max_tokens : l->options.completion_tokens;
    int64_t context = price != NULL ? price_context_tokens(price) : UNKNOWN;

    if (o->max_tokens == UNKNOWN && context != UNKNOWN && prompt < context && completion > context - prompt)
        completion = context - prompt;
    out->amount[UNIT_NONE] = UNKNOWN;
    out->amount[UNIT_USD] = price != NULL ? price_worst(price, prompt, completion).n : UNKNOWN;
    out->amount[UNIT_TOKENS] = prompt + completion;
    out->amount[UNIT_CALLS] = 1;
}

static void deny(struct ledger *l, const struct reach *r, struct order *o)
{
    const struct account *c = &l->accounts.all[r->account];
    char need[AMOUNT_TEXT], text[VERDICT_TEXT_MAX + 1];

    ledger_verdict(l, c, &o->verdict);
    o->status = ORDER_DENIED;
    if (r->amount == UNKNOWN) {
        snprintf(text, sizeof text, "budget %s is strict and the model has no price", c->budget->def->name);
        o->verdict.opens_ms = WINDOW_NEVER;
    } else {
        o->verdict.opens_ms = ledger_opens_ms(l, c, r->amount);
        verdict_amount_text(c->budget->def->unit, r->amount, need);
        snprintf(text, sizeof text, "%.380s; this call may take %s", o->verdict.text, need);
    }
    o->verdict.action = ACTION_BLOCK;
    memcpy(o->verdict.text, text, sizeof text);
}

/* Whether every budget that blocks has room; else o is denied. */
static bool has_room(struct ledger *l, struct reach *reach, int count, const struct estimate *e,
                     struct order *o)
{
    for (int i = 0; i < count; i++) {
        const struct account *c = &l->accounts.all[reach[i].account];
        const struct budget *def = c->budget->def;
        reach[i].amount = e->amount[def->unit];
        if (def->action != ACTION_BLOCK || def->shadow)
            continue;
        bool over = reach[i].amount == UNKNOWN
                        ? def->strict || account_committed(c) >= ledger_allowed(l, c)
                        : amount_add(account_committed(c), reach[i].amount) > ledger_allowed(l, c);
        if (over) {
            deny(l, &reach[i], o);
            return false;
        }
    }
    return true;
}

static int add_posting(struct ledger *l, int64_t nr, const struct reach *r)
{
    const struct account *c = &l->accounts.all[r->account];
    sqlite3_stmt *stmt = l->sql->add_posting;
    int64_t amount = r->amount == UNKNOWN ? 0 : r->amount;

    sqlite3_bind_int64(stmt, 1, c->budget->id);
    bind_key(stmt, 2, c->key, c->key_len);
    sqlite3_bind_int64(stmt, 3, c->start_ms);
    sqlite3_bind_int64(stmt, 4, nr);
    sqlite3_bind_int(stmt, 5, HELD_RESERVED);
    sqlite3_bind_int64(stmt, 6, amount);
    int rc = store_run(stmt);
    if (rc != 0)
        return rc;
    accounts_hold(&l->accounts, r->account, c->start_ms, HELD_RESERVED, amount);
    return ledger_look(l, r->account, l->running);
}

/* Who asked for what, for people. Owned by the caller; NULL: no memory. */
static char *subject_json(const struct order *o)
{
    json_t *s = json_object();

    for (int i = 0; i < SUBJECT_FIELDS; i++)
        if (o->who.text[i].at != NULL)
            json_object_set_new(s, subject_field_name(i),
                                json_stringn((const char *)o->who.text[i].at, o->who.text[i].len));
    if (o->prompt_tokens != UNKNOWN)
        json_object_set_new(s, "prompt_tokens", json_integer(o->prompt_tokens));
    if (o->max_tokens != UNKNOWN)
        json_object_set_new(s, "max_tokens", json_integer(o->max_tokens));
    char *text = json_dumps(s, JSON_COMPACT);
    json_decref(s);
    return text;
}

static int add(struct ledger *l, const struct order *o, const struct estimate *e, int64_t *nr)
{
    sqlite3_stmt *stmt = l->sql->add;
    char *subject = subject_json(o);

    if (subject == NULL)
        return -SQLITE_NOMEM;
    sqlite3_bind_text(stmt, 1, o->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, l->now_ms);
    sqlite3_bind_int64(stmt, 3, o->expires_ms);
    bind_num(stmt, 4, e->amount[UNIT_TOKENS]);
    bind_num(stmt, 5, e->amount[UNIT_USD]);
    sqlite3_bind_text(stmt, 6, subject, -1, SQLITE_STATIC);
    int rc = store_run(stmt);
    *nr = sqlite3_last_insert_rowid(l->store->db);
    free(subject);
    return rc;
}

static int grant(struct ledger *l, struct order *o, const struct estimate *e, const struct reach *reach,
                 int count)
{
    int64_t nr;

    o->status = ORDER_DONE;
    o->expires_ms = l->now_ms + ledger_ttl_ms(l, o);
    o->reserved_nanousd = e->amount[UNIT_USD];
    int rc = add(l, o, e, &nr);
    for (int i = 0; rc == 0 && i < count; i++)
        rc = add_posting(l, nr, &reach[i]);
    l->reservations_known++;
    l->reservations_open++;
    l->tally.admitted++;
    if (o->expires_ms < l->next_expiry_ms)
        l->next_expiry_ms = o->expires_ms;
    return rc;
}

/* Asked before: the same answer. */
static int answer_again(struct order *o, const struct reservation *f)
{
    o->status = f->state == RESERVATION_OPEN      ? ORDER_DONE
                : f->state == RESERVATION_EXPIRED ? ORDER_EXPIRED
                                                  : ORDER_SETTLED;
    o->expires_ms = f->expires_ms;
    o->reserved_nanousd = f->nanousd;
    return 0;
}

static int tell_denied(struct ledger *l, const struct order *o)
{
    l->tally.denied++;
    return l->denied != NULL ? l->denied(l->denied_arg, o, l->now_ms) : 0;
}

int ledger_admit(struct ledger *l, struct order *o)
{
    struct reach reach[LEDGER_REACH_MAX];
    struct reservation f;
    struct estimate e;

    o->expires_ms = o->reserved_nanousd = UNKNOWN;
    o->verdict = (struct verdict){ .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER };
    if (!is_id(o->id))
        return refuse(o, "id: 1 to 64 bytes were expected");
    int rc = ledger_find_reservation(l, o->id, strlen(o->id), &f);
    if (rc != 0)
        return rc < 0 ? rc : answer_again(o, &f);
    if (ledger_came_early(l, o->id)) {
        o->status = ORDER_SETTLED;
        return 0;
    }
    if (l->options.open_max > 0 && l->reservations_open >= l->options.open_max) {
        o->status = ORDER_BUSY;
        return 0;
    }
    int count = ledger_reach(l, 0, &o->who, reach);
    if (count < 0)
        return count;
    ledger_judge_rules(l, &o->who, false, &o->verdict);
    estimate(l, o, &e);
    if (o->verdict.action == ACTION_BLOCK) {
        o->status = ORDER_DENIED;
        return tell_denied(l, o);
    }
    if (!has_room(l, reach, count, &e, o))
        return tell_denied(l, o);
    struct verdict softer;
    ledger_judge(l, &o->who, reach, count, &softer); /* before this call is in it */
    o->verdict = softer.action == ACTION_BLOCK ? o->verdict : softer;
    return grant(l, o, &e, reach, count);
}
