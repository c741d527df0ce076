/* SPDX-License-Identifier: MIT
 *
 * ledger_reservations.c: a reservation holds the worst that a call may come to, in every budget that the call
 * counts against, from its admission on. tests/model/reservation.pml is this protocol, checked.
 *
 *   open      holds what was reserved
 *   told      settled by what its owner told: holds that, until an event comes
 *   event     settled by an event: holds nothing; the event counts, in the windows of the admission
 *   released  the call was not made: holds nothing
 *   expired   nobody told in time: where the budget is strict what was reserved is presumed spent, until an
 * event or its owner tells; else it holds nothing
 *
 * What is held stands in reservation_posting, what is in memory is read from there. Every step is part of the
 * writer's transaction, so it is whole or not at all.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "ledger_work.h"

#define EXPIRED_AT_ONCE 256
#define HINTS           4096     /* a power of two */
#define EARLY           16384    /* a power of two: ids that are remembered */
#define EARLY_LOOK      "100000" /* rows of the log that the start looks at for them */

enum reservation_state { OPEN, TOLD, BY_EVENT, RELEASED, EXPIRED };

struct ledger_hint {
    uint64_t session;
    int64_t tokens;
};

struct found {
    int64_t nr, admitted_ms, expires_ms, tokens, nanousd, settled_nanousd;
    enum reservation_state state;
};

int ledger_prepare_reservations(struct ledger *l)
{
    struct ledger_statements *s = l->sql;
    const struct {
        sqlite3_stmt **stmt;
        const char *sql;
    } all[] = {
        { &s->subject, "SELECT subject FROM reservation WHERE nr=?" },
        { &s->find, "SELECT nr, state, admitted_ms, expires_ms, tokens, nanousd, settled_nanousd FROM "
                    "reservation WHERE id=?" },
        { &s->add, "INSERT INTO reservation (id, state, admitted_ms, expires_ms, tokens, nanousd, subject)"
                   " VALUES (?, 0, ?, ?, ?, ?, ?)" },
        { &s->end, "UPDATE reservation SET state=?2, ended_ms=?3, settled_nanousd=?4 WHERE nr=?1" },
        { &s->name, "UPDATE reservation SET last_id=?2 WHERE nr=?1 AND last_id < ?2" },
        { &s->renew, "UPDATE reservation SET expires_ms=?2 WHERE nr=?1" },
        { &s->add_posting, "INSERT INTO reservation_posting VALUES (?, ?, ?, ?, ?, ?)" },
        { &s->postings,
          "SELECT budget, key, start_ms, kind, amount FROM reservation_posting WHERE reservation=?" },
        { &s->drop_postings, "DELETE FROM reservation_posting WHERE reservation=?" },
        { &s->set_kind, "UPDATE reservation_posting SET kind=?5, amount=?6"
                        " WHERE budget=?1 AND key=?2 AND start_ms=?3 AND reservation=?4" },
        { &s->due,
          "SELECT nr, id FROM reservation WHERE state=0 AND expires_ms<=? ORDER BY expires_ms LIMIT ?" },
        { &s->next_due, "SELECT min(expires_ms) FROM reservation WHERE state=0" },
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof all / sizeof *all; i++)
        rc = store_prepare(l->store, all[i].sql, all[i].stmt);
    return rc;
}

static int plan_expiry(struct ledger *l)
{
    int rc = sqlite3_step(l->sql->next_due);

    l->next_expiry_ms = INT64_MAX;
    if (rc == SQLITE_ROW && sqlite3_column_type(l->sql->next_due, 0) != SQLITE_NULL)
        l->next_expiry_ms = sqlite3_column_int64(l->sql->next_due, 0);
    sqlite3_reset(l->sql->next_due);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* ------------------------------------------------------ events before admissions */

/* A publisher that asked, heard nothing and made its call all the same may still ask when its event is here:
 * that must reserve nothing. */
static uint64_t early_hash(const char *id, size_t len)
{
    uint64_t half[2];

    tg_hash128((const unsigned char *)id, len, (unsigned char *)half);
    return half[0] | 1;
}

static int note_early(struct ledger *l, const char *id, size_t len)
{
    if (l->early == NULL && (l->early = calloc(EARLY, sizeof *l->early)) == NULL)
        return -SQLITE_NOMEM;
    uint64_t hash = early_hash(id, len);
    l->early[hash >> 1 & (EARLY - 1)] = hash;
    return 0;
}

static bool came_early(const struct ledger *l, const char *id)
{
    uint64_t hash = early_hash(id, strlen(id));

    return l->early != NULL && l->early[hash >> 1 & (EARLY - 1)] == hash;
}

/* Those of the log's end. */
static int load_early(struct ledger *l)
{
    static const char sql[] =
        "SELECT identifier(e.reservation_id) FROM dispatch e WHERE e.reservation_id IS NOT NULL AND"
        " e.id > (SELECT ifnull(max(id), 0) FROM dispatch) - " EARLY_LOOK
        " AND NOT EXISTS (SELECT 1 FROM reservation WHERE id = identifier(e.reservation_id))";
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    free(l->early); /* what has been rolled back did not come */
    l->early = NULL;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(stmt, 0);
        if (id != NULL && (rc = note_early(l, id, (size_t)sqlite3_column_bytes(stmt, 0))) != 0)
            break;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rc < 0 ? rc : -rc;
}

int ledger_count_reservations(struct ledger *l)
{
    int rc = l->running ? 0 : load_early(l);

    if (rc == 0)
        rc = store_number(l->store, "SELECT count(*) FROM reservation", &l->reservations_known);

    if (rc == 0)
        rc = store_number(l->store, "SELECT count(*) FROM reservation WHERE state=0", &l->reservations_open);
    return rc != 0 ? rc : plan_expiry(l);
}

/* 1: there is one, 0: none, or a negative SQLite code. */
static int find(struct ledger *l, const char *id, size_t len, struct found *out)
{
    sqlite3_stmt *stmt = l->sql->find;

    sqlite3_bind_text(stmt, 1, id, (int)len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        int64_t n[7];
        for (int i = 0; i < 7; i++)
            n[i] = sqlite3_column_type(stmt, i) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, i);
        *out = (struct found){ .nr = n[0],
                               .state = (enum reservation_state)n[1],
                               .admitted_ms = n[2],
                               .expires_ms = n[3],
                               .tokens = n[4],
                               .nanousd = n[5],
                               .settled_nanousd = n[6] };
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* ------------------------------------------------------------- what is held */

static const struct ledger_budget *budget_of(const struct ledger *l, int64_t id)
{
    for (size_t i = 0; i < l->budget_count; i++)
        if (l->budgets[i]->id == id)
            return l->budgets[i];
    return NULL; /* it has ended */
}

/* The account of a posting changes in memory, if it is there. */
static void hold(struct ledger *l, int64_t budget, struct slice key, int64_t start_ms, enum held_kind kind,
                 int64_t amount)
{
    const struct ledger_budget *b = budget_of(l, budget);
    uint32_t account = b != NULL ? accounts_find(&l->accounts, b, key) : ACCOUNT_NONE;

    if (account != ACCOUNT_NONE)
        accounts_hold(&l->accounts, account, start_ms, kind, amount);
}

/* What became of a posting: it goes, or it is held as something else. */
struct change {
    enum { DROP, TO_TOLD, TO_PRESUMED } to;
    const struct worth *worth; /* of TO_TOLD */
    const struct found *found; /* the same */
};

struct posted {
    int64_t budget, start_ms, amount;
    enum held_kind kind;
    uint8_t key[BUDGET_KEY_MAX];
    uint32_t key_len;
};

static int read_postings(struct ledger *l, int64_t nr, struct posted **out, size_t *count)
{
    sqlite3_stmt *stmt = l->sql->postings;
    struct posted *all = NULL;
    size_t n = 0;
    int rc;

    sqlite3_bind_int64(stmt, 1, nr);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct posted *more = realloc(all, (n + 1) * sizeof *all);
        if (more == NULL) {
            rc = SQLITE_NOMEM;
            break;
        }
        all = more;
        struct posted *p = &all[n++];
        *p = (struct posted){ .budget = sqlite3_column_int64(stmt, 0),
                              .start_ms = sqlite3_column_int64(stmt, 2),
                              .kind = (enum held_kind)sqlite3_column_int(stmt, 3),
                              .amount = sqlite3_column_int64(stmt, 4),
                              .key_len = (uint32_t)sqlite3_column_bytes(stmt, 1) };
        if (p->key_len > 0 && p->key_len <= sizeof p->key)
            memcpy(p->key, sqlite3_column_blob(stmt, 1), p->key_len);
    }
    sqlite3_reset(stmt);
    if (rc != SQLITE_DONE) {
        free(all);
        return -rc;
    }
    *out = all;
    *count = n;
    return 0;
}

static int save_posting(struct ledger *l, int64_t nr, const struct posted *p, enum held_kind kind,
                        int64_t amount)
{
    sqlite3_stmt *stmt = l->sql->set_kind;

    sqlite3_bind_int64(stmt, 1, p->budget);
    sqlite3_bind_blob(stmt, 2, p->key_len > 0 ? p->key : (const uint8_t *)"", (int)p->key_len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, p->start_ms);
    sqlite3_bind_int64(stmt, 4, nr);
    sqlite3_bind_int(stmt, 5, (int)kind);
    sqlite3_bind_int64(stmt, 6, amount);
    return store_run(stmt);
}

static int look(struct ledger *l, const struct posted *p)
{
    const struct ledger_budget *b = budget_of(l, p->budget);
    uint32_t account =
        b != NULL ? accounts_find(&l->accounts, b, (struct slice){ p->key, p->key_len }) : ACCOUNT_NONE;

    return account != ACCOUNT_NONE ? ledger_look(l, account, l->running) : 0;
}

/* What nobody told stays what it was reserved as, though it may have expired: unknown is not zero. */
static int64_t told(const struct change *c, enum unit unit)
{
    if (!c->worth->unknown[unit])
        return c->worth->amount[unit];
    int64_t reserved = unit == UNIT_USD ? c->found->nanousd : c->found->tokens;
    return reserved != UNKNOWN ? reserved : 0;
}

static int change_one(struct ledger *l, int64_t nr, const struct posted *p, const struct change *c)
{
    const struct ledger_budget *b = budget_of(l, p->budget);
    struct slice key = { p->key, p->key_len };

    hold(l, p->budget, key, p->start_ms, p->kind, -p->amount);
    if (c->to == DROP || b == NULL)
        return 0;
    enum held_kind kind = c->to == TO_TOLD ? HELD_TOLD : b->def->strict ? HELD_PRESUMED : HELD_RESERVED;
    int64_t amount = c->to == TO_TOLD ? told(c, b->def->unit) : b->def->strict ? p->amount : 0;
    hold(l, p->budget, key, p->start_ms, kind, amount);
    return save_posting(l, nr, p, kind, amount);
}

static int change_all(struct ledger *l, int64_t nr, const struct change *c)
{
    struct posted *all = NULL;
    size_t count = 0;
    int rc = read_postings(l, nr, &all, &count);

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = change_one(l, nr, &all[i], c);
    if (rc == 0 && c->to == DROP) {
        sqlite3_bind_int64(l->sql->drop_postings, 1, nr);
        rc = store_run(l->sql->drop_postings);
    }
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = look(l, &all[i]);
    free(all);
    return rc;
}

static int end(struct ledger *l, const struct found *f, enum reservation_state state, int64_t settled_nanousd)
{
    sqlite3_stmt *stmt = l->sql->end;

    sqlite3_bind_int64(stmt, 1, f->nr);
    sqlite3_bind_int(stmt, 2, (int)state);
    sqlite3_bind_int64(stmt, 3, l->now_ms);
    bind_num(stmt, 4, settled_nanousd);
    l->reservations_open -= f->state == OPEN;
    return store_run(stmt);
}

/* ------------------------------------------------------------------- asking */

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

static int64_t ttl_of(const struct ledger *l, const struct order *o)
{
    int64_t ttl_ms = o->ttl_ms > 0           ? o->ttl_ms
                     : l->options.ttl_ms > 0 ? l->options.ttl_ms
                                             : LEDGER_TTL_DEFAULT_MS;

    return ttl_ms < LEDGER_TTL_MIN_MS   ? LEDGER_TTL_MIN_MS
           : ttl_ms > LEDGER_TTL_MAX_MS ? LEDGER_TTL_MAX_MS
                                        : ttl_ms;
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
    sqlite3_bind_blob(stmt, 2, c->key_len > 0 ? c->key : (const uint8_t *)"", (int)c->key_len, SQLITE_STATIC);
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
    o->expires_ms = l->now_ms + ttl_of(l, o);
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
static int answer_again(struct order *o, const struct found *f)
{
    o->status = f->state == OPEN ? ORDER_DONE : f->state == EXPIRED ? ORDER_EXPIRED : ORDER_SETTLED;
    o->expires_ms = f->expires_ms;
    o->reserved_nanousd = f->nanousd;
    return 0;
}

int ledger_admit(struct ledger *l, struct order *o)
{
    struct reach reach[LEDGER_REACH_MAX];
    struct found f;
    struct estimate e;

    o->expires_ms = o->reserved_nanousd = UNKNOWN;
    o->verdict = (struct verdict){ .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER };
    if (!is_id(o->id))
        return refuse(o, "id: 1 to 64 bytes were expected");
    int rc = find(l, o->id, strlen(o->id), &f);
    if (rc != 0)
        return rc < 0 ? rc : answer_again(o, &f);
    if (came_early(l, o->id)) {
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
        l->tally.denied++;
        return 0;
    }
    if (!has_room(l, reach, count, &e, o)) {
        l->tally.denied++;
        return 0;
    }
    struct verdict softer;
    ledger_judge(l, &o->who, reach, count, &softer); /* before this call is in it */
    o->verdict = softer.action == ACTION_BLOCK ? o->verdict : softer;
    return grant(l, o, &e, reach, count);
}

/* ----------------------------------------------------------------- settling */

static struct slice text_of(const json_t *subject, int field)
{
    const char *s = json_string_value(json_object_get(subject, subject_field_name(field)));

    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

/* Our price for the usage that was told, of the model that was asked for. */
static void price_told(const struct ledger *l, struct order *o, const char *subject, int64_t admitted_ms)
{
    json_t *names = subject != NULL ? json_loads(subject, 0, NULL) : NULL;
    const struct price *price = NULL;
    struct price_usage usage = { .prompt_tokens = o->num[D_prompt_tokens],
                                 .completion_tokens = o->num[D_completion_tokens],
                                 .cached_tokens = o->num[D_cached_tokens],
                                 .cache_write_tokens = o->num[D_cache_write_tokens],
                                 .cache_write_1h_tokens = o->num[D_cache_write_1h_tokens],
                                 .reasoning_tokens = o->num[D_reasoning_tokens] };
    struct nanousd cost;

    if (l->options.prices != NULL && names != NULL)
        price = price_list_find(l->options.prices, text_of(names, SUBJECT_provider),
                                text_of(names, SUBJECT_model), admitted_ms);
    if (price != NULL && price_cost(price, &usage, &cost))
        o->num[D_cost_nanousd] = cost.n;
    json_decref(names);
}

/* What its owner says that the call came to. */
static int worth_told(struct ledger *l, struct order *o, const struct found *f, struct worth *out)
{
    struct log_row row = { .num = o->num };
    sqlite3_stmt *stmt = l->sql->subject;

    sqlite3_bind_int64(stmt, 1, f->nr);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        price_told(l, o, (const char *)sqlite3_column_text(stmt, 0), f->admitted_ms);
    sqlite3_reset(stmt);
    worth_of(&row, out);
    return rc == SQLITE_ROW ? 0 : -rc;
}

int ledger_settle(struct ledger *l, struct order *o)
{
    struct found f;
    struct worth worth;
    int rc = find(l, o->id, strlen(o->id), &f);

    o->settled_nanousd = UNKNOWN;
    if (rc <= 0) {
        o->status = ORDER_DENIED;
        return rc;
    }
    if (f.state != OPEN && f.state != EXPIRED) {
        o->status = ORDER_SETTLED;
        o->settled_nanousd = f.settled_nanousd;
        return 0;
    }
    o->status = ORDER_DONE;
    if ((rc = worth_told(l, o, &f, &worth)) != 0)
        return rc;
    int64_t usd = !o->called ? 0 : worth.unknown[UNIT_USD] ? UNKNOWN : worth.amount[UNIT_USD];
    struct change c = { .to = o->called ? TO_TOLD : DROP, .worth = &worth, .found = &f };
    o->settled_nanousd = usd;
    l->tally.settled++;
    rc = end(l, &f, o->called ? TOLD : RELEASED, usd);
    return rc != 0 ? rc : change_all(l, f.nr, &c);
}

int ledger_renew(struct ledger *l, struct order *o)
{
    struct found f;
    int rc = find(l, o->id, strlen(o->id), &f);

    o->expires_ms = UNKNOWN;
    if (rc <= 0) {
        o->status = ORDER_DENIED;
        return rc;
    }
    o->status = f.state == OPEN ? ORDER_DONE : f.state == EXPIRED ? ORDER_EXPIRED : ORDER_SETTLED;
    if (f.state != OPEN)
        return 0;
    int64_t expires_ms = l->now_ms + ttl_of(l, o);
    o->expires_ms = expires_ms > f.expires_ms ? expires_ms : f.expires_ms;
    sqlite3_bind_int64(l->sql->renew, 1, f.nr);
    sqlite3_bind_int64(l->sql->renew, 2, o->expires_ms);
    rc = store_run(l->sql->renew);
    return rc != 0 ? rc : plan_expiry(l);
}

/* It is kept as long as a row of the log names it: the row counts at its admission. */
static int note_row(struct ledger *l, const struct found *f, int64_t id)
{
    sqlite3_bind_int64(l->sql->name, 1, f->nr);
    sqlite3_bind_int64(l->sql->name, 2, id);
    return store_run(l->sql->name);
}

int ledger_reservation(struct ledger *l, const struct log_row *row, const struct event *e,
                       int64_t *admitted_ms)
{
    struct change c = { .to = DROP };
    struct found f;
    int rc = l->reservations_known > 0 ? find(l, row->reservation, row->reservation_len, &f) : 0;
    bool settles = e != NULL && row->num[D_partial] != 1;

    if (rc <= 0)
        return rc == 0 && e != NULL ? note_early(l, row->reservation, row->reservation_len) : rc;
    *admitted_ms = f.admitted_ms;
    if ((e != NULL || l->running) && (rc = note_row(l, &f, row->id)) != 0)
        return rc;
    if (!settles || f.state == BY_EVENT)
        return 1;
    l->tally.settled++;
    if ((rc = end(l, &f, BY_EVENT, UNKNOWN)) != 0 || (rc = change_all(l, f.nr, &c)) != 0)
        return rc;
    return 1;
}

/* ----------------------------------------------------------------- expiring */

static int expire_one(struct ledger *l, int64_t nr)
{
    struct found f = { .nr = nr, .state = OPEN };
    struct change c = { .to = TO_PRESUMED };

    l->tally.expired++;
    int rc = end(l, &f, EXPIRED, UNKNOWN);
    return rc != 0 ? rc : change_all(l, nr, &c);
}

int ledger_expire(struct ledger *l)
{
    int64_t nr[EXPIRED_AT_ONCE];
    int n = 0, rc;

    sqlite3_bind_int64(l->sql->due, 1, l->now_ms);
    sqlite3_bind_int(l->sql->due, 2, EXPIRED_AT_ONCE);
    while ((rc = sqlite3_step(l->sql->due)) == SQLITE_ROW)
        nr[n++] = sqlite3_column_int64(l->sql->due, 0);
    sqlite3_reset(l->sql->due);
    rc = rc == SQLITE_DONE ? 0 : -rc;
    for (int i = 0; rc == 0 && i < n; i++)
        rc = expire_one(l, nr[i]);
    return rc != 0 ? rc : plan_expiry(l);
}
