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

#include "ledger_cells.h"
#include "ledger_work.h"

#define EXPIRED_AT_ONCE 256

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

int ledger_count_reservations(struct ledger *l)
{
    int rc = l->running ? 0 : ledger_load_early(l);

    if (rc == 0)
        rc = store_number(l->store, "SELECT count(*) FROM reservation", &l->reservations_known);

    if (rc == 0)
        rc = store_number(l->store, "SELECT count(*) FROM reservation WHERE state=0", &l->reservations_open);
    return rc != 0 ? rc : plan_expiry(l);
}

/* 1: there is one, 0: none, or a negative SQLite code. */
int ledger_find_reservation(struct ledger *l, const char *id, size_t len, struct reservation *out)
{
    sqlite3_stmt *stmt = l->sql->find;

    sqlite3_bind_text(stmt, 1, id, (int)len, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        int64_t n[7];
        for (int i = 0; i < 7; i++)
            n[i] = sqlite3_column_type(stmt, i) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, i);
        *out = (struct reservation){ .nr = n[0],
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

/* The account of a posting changes in memory, if it is there. */
static void hold(struct ledger *l, int64_t budget, struct slice key, int64_t start_ms, enum held_kind kind,
                 int64_t amount)
{
    const struct ledger_budget *b = ledger_budget_of(l->budgets, l->budget_count, budget);
    uint32_t account = b != NULL ? accounts_find(&l->accounts, b, key) : ACCOUNT_NONE;

    if (account != ACCOUNT_NONE)
        accounts_hold(&l->accounts, account, start_ms, kind, amount);
}

/* What became of a posting: it goes, or it is held as something else. */
struct change {
    enum { DROP, TO_TOLD, TO_PRESUMED } to;
    const struct worth *worth;       /* of TO_TOLD */
    const struct reservation *found; /* the same */
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
    bind_key(stmt, 2, p->key, p->key_len);
    sqlite3_bind_int64(stmt, 3, p->start_ms);
    sqlite3_bind_int64(stmt, 4, nr);
    sqlite3_bind_int(stmt, 5, (int)kind);
    sqlite3_bind_int64(stmt, 6, amount);
    return store_run(stmt);
}

static int look(struct ledger *l, const struct posted *p)
{
    const struct ledger_budget *b = ledger_budget_of(l->budgets, l->budget_count, p->budget);
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
    const struct ledger_budget *b = ledger_budget_of(l->budgets, l->budget_count, p->budget);
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

static int end(struct ledger *l, const struct reservation *f, enum reservation_state state,
               int64_t settled_nanousd)
{
    sqlite3_stmt *stmt = l->sql->end;

    sqlite3_bind_int64(stmt, 1, f->nr);
    sqlite3_bind_int(stmt, 2, (int)state);
    sqlite3_bind_int64(stmt, 3, l->now_ms);
    bind_num(stmt, 4, settled_nanousd);
    l->reservations_open -= f->state == RESERVATION_OPEN;
    return store_run(stmt);
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
static int worth_told(struct ledger *l, struct order *o, const struct reservation *f, struct worth *out)
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
    struct reservation f;
    struct worth worth;
    int rc = ledger_find_reservation(l, o->id, strlen(o->id), &f);

    o->settled_nanousd = UNKNOWN;
    if (rc <= 0) {
        o->status = ORDER_DENIED;
        return rc;
    }
    if (f.state != RESERVATION_OPEN && f.state != RESERVATION_EXPIRED) {
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
    rc = end(l, &f, o->called ? RESERVATION_TOLD : RESERVATION_RELEASED, usd);
    return rc != 0 ? rc : change_all(l, f.nr, &c);
}

int64_t ledger_ttl_ms(const struct ledger *l, const struct order *o)
{
    int64_t ttl_ms = o->ttl_ms > 0           ? o->ttl_ms
                     : l->options.ttl_ms > 0 ? l->options.ttl_ms
                                             : LEDGER_TTL_DEFAULT_MS;

    return ttl_ms < LEDGER_TTL_MIN_MS   ? LEDGER_TTL_MIN_MS
           : ttl_ms > LEDGER_TTL_MAX_MS ? LEDGER_TTL_MAX_MS
                                        : ttl_ms;
}

int ledger_renew(struct ledger *l, struct order *o)
{
    struct reservation f;
    int rc = ledger_find_reservation(l, o->id, strlen(o->id), &f);

    o->expires_ms = UNKNOWN;
    if (rc <= 0) {
        o->status = ORDER_DENIED;
        return rc;
    }
    o->status = f.state == RESERVATION_OPEN      ? ORDER_DONE
                : f.state == RESERVATION_EXPIRED ? ORDER_EXPIRED
                                                 : ORDER_SETTLED;
    if (f.state != RESERVATION_OPEN)
        return 0;
    int64_t expires_ms = l->now_ms + ledger_ttl_ms(l, o);
    o->expires_ms = expires_ms > f.expires_ms ? expires_ms : f.expires_ms;
    sqlite3_bind_int64(l->sql->renew, 1, f.nr);
    sqlite3_bind_int64(l->sql->renew, 2, o->expires_ms);
    rc = store_run(l->sql->renew);
    return rc != 0 ? rc : plan_expiry(l);
}

/* It is kept as long as a row of the log names it: the row counts at its admission. */
static int note_row(struct ledger *l, const struct reservation *f, int64_t id)
{
    sqlite3_bind_int64(l->sql->name, 1, f->nr);
    sqlite3_bind_int64(l->sql->name, 2, id);
    return store_run(l->sql->name);
}

int ledger_reservation(struct ledger *l, const struct log_row *row, const struct event *e,
                       int64_t *admitted_ms)
{
    struct change c = { .to = DROP };
    struct reservation f = { .nr = 0 };
    int rc = l->reservations_known > 0
                 ? ledger_find_reservation(l, row->reservation, row->reservation_len, &f)
                 : 0;
    bool settles = e != NULL && row->num[D_partial] != 1;

    if (rc <= 0)
        return rc == 0 && e != NULL ? ledger_note_early(l, row->reservation, row->reservation_len) : rc;
    *admitted_ms = f.admitted_ms;
    if ((e != NULL || l->running) && (rc = note_row(l, &f, row->id)) != 0)
        return rc;
    if (!settles || f.state == RESERVATION_BY_EVENT)
        return 1;
    l->tally.settled++;
    if ((rc = end(l, &f, RESERVATION_BY_EVENT, UNKNOWN)) != 0 || (rc = change_all(l, f.nr, &c)) != 0)
        return rc;
    return 1;
}

/* ----------------------------------------------------------------- expiring */

static int expire_one(struct ledger *l, int64_t nr)
{
    struct reservation f = { .nr = nr, .state = RESERVATION_OPEN };
    struct change c = { .to = TO_PRESUMED };

    l->tally.expired++;
    int rc = end(l, &f, RESERVATION_EXPIRED, UNKNOWN);
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
