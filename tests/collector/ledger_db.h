/* SPDX-License-Identifier: MIT
 *
 * ledger_db.h: a journal with a ledger over an empty database and a clock that the test sets: budgets,
 * reservations, calls, restarts and rollbacks in single steps.
 */
#ifndef TESTS_LEDGER_DB_H
#define TESTS_LEDGER_DB_H

#include "writer_db.h"

#include <jansson.h>

#include "collector/writer/journal.h"
#include "collector/writer/ledger_budgets.h"
#include "collector/writer/ledger_work.h"
#include "made_event.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define USD    NANOUSD_PER_USD

struct ledger_db {
    struct store store;
    struct journal journal;
    struct journal_origin from;
    struct ledger_options options;
    struct price_list *prices; /* owned */
    int64_t now_ms, calls_made;
};

static inline struct ledger *db_ledger(struct ledger_db *d)
{
    return &d->journal.projections.ledger;
}

/* The clock of the file is the test's: what the start saw of ours is corrected. */
static inline void db_tick(struct ledger_db *d)
{
    assert_int_equal(ledger_tick(db_ledger(d), d->now_ms), 0);
}

static inline void db_begin(struct ledger_db *d)
{
    assert_int_equal(store_begin(&d->store), 0);
    db_tick(d);
    d->from = (struct journal_origin){ .now_ms = d->now_ms };
    assert_int_equal(names_source(&d->journal.names, "s", d->now_ms, &d->from.source), 0);
}

static inline void db_commit(struct ledger_db *d)
{
    assert_int_equal(journal_settle(&d->journal, d->now_ms), 0);
    assert_int_equal(store_commit(&d->store), 0);
    journal_committed(&d->journal);
}

static inline void db_rollback(struct ledger_db *d)
{
    store_rollback(&d->store);
    assert_int_equal(journal_recover(&d->journal), 0);
}

static inline void db_flush(struct ledger_db *d)
{
    db_begin(d);
    assert_int_equal(journal_flush_usage(&d->journal, d->now_ms), 0);
    db_commit(d);
}

static inline void db_wake(struct ledger_db *d)
{
    struct journal_options options = { .past_ms = 40 * DAY_MS,
                                       .future_ms = 600000,
                                       .quarantine_rows = 10,
                                       .prices = d->prices,
                                       .governing = &d->options };

    db_open(&d->store);
    assert_int_equal(journal_init(&d->journal, &d->store, &options), 0);
    assert_int_equal(journal_recover(&d->journal), 0);
}

static inline void db_sleep(struct ledger_db *d)
{
    journal_fini(&d->journal);
    store_close(&d->store);
}

static inline void db_restart(struct ledger_db *d)
{
    db_sleep(d);
    db_wake(d);
}

/* "cheap" costs a dollar per million tokens of prompt and two of completion, "dear" ten cents a call and
 * nothing else, "free" nothing; other models have no price. */
static inline void db_start(struct ledger_db *d, int64_t now_ms)
{
    static const char own[] =
        "[{\"match\": {\"model\": \"cheap\"}, \"input\": 1, \"output\": 2},"
        " {\"match\": {\"model\": \"dear\"}, \"input\": 0, \"output\": 0, \"request\": 0.1},"
        " {\"match\": {\"model\": \"huge\"}, \"input\": 1000000, \"output\": 1000000},"
        " {\"match\": {\"model\": \"free\"}, \"free\": true}]";
    json_t *overrides = json_loads(own, 0, NULL);
    struct fault fault;

    *d = (struct ledger_db){ .now_ms = now_ms };
    if (price_list_load(NULL, overrides, &d->prices, &fault) != 0)
        fail_msg("%s %s %s", fault.field, fault.value, fault.expected);
    json_decref(overrides);
    d->options = (struct ledger_options){
        .prices = d->prices, .prompt_tokens = 1000, .completion_tokens = 1000, .zone = "UTC"
    };
    db_wake(d);
}

static inline void db_stop(struct ledger_db *d)
{
    db_sleep(d);
    price_list_free(d->prices);
}

/* ------------------------------------------------------------------ budgets */

static inline struct budget *made_budget(const char *definition)
{
    struct budget *def = NULL;
    struct fault fault;
    json_t *json = json_loads(definition, 0, NULL);

    assert_non_null(json);
    if (budget_parse(json, "UTC", &def, &fault) != 0)
        fail_msg("%s: %s, not %s", fault.field, fault.expected, fault.value);
    json_decref(json);
    return def;
}

/* In a transaction of the caller. */
static inline bool db_define(struct ledger_db *d, const char *definition)
{
    struct budget *def = made_budget(definition);
    bool created;

    assert_int_equal(ledger_put_budget(db_ledger(d), def, false, &created), 0);
    assert_int_equal(ledger_reload(db_ledger(d)), 0);
    budget_free(def);
    return created;
}

static inline bool db_put(struct ledger_db *d, const char *definition)
{
    db_begin(d);
    bool created = db_define(d, definition);
    db_commit(d);
    return created;
}

static inline int64_t db_budget_id(struct ledger_db *d, const char *name)
{
    const struct ledger_budget *b = ledger_budget_named(db_ledger(d), name);

    assert_non_null(b);
    return b->id;
}

/* -------------------------------------------------------------------- calls */

struct made_call {
    struct made_names names;
    int64_t ts_ms; /* 0: now */
    int64_t prompt, completion, reported;
    bool partial;
    const char *reservation;
};

static inline void db_call_in(struct ledger_db *d, const struct made_call *call)
{
    struct made_event m;
    enum event_result result;

    made_event(&m, KIND_dispatch, &call->names);
    m.event.ts_ms = call->ts_ms != 0 ? call->ts_ms : d->now_ms;
    m.event.has_id = true;
    d->calls_made++;
    memcpy(m.event.id, &d->calls_made, sizeof d->calls_made);
    m.event.id[15] = 1;
    m.event.num[D_prompt_tokens] = call->prompt;
    m.event.num[D_completion_tokens] = call->completion;
    m.event.num[D_cost_reported_nanousd] = call->reported != 0 ? call->reported : UNKNOWN;
    m.event.num[D_partial] = call->partial ? 1 : UNKNOWN;
    if (call->reservation != NULL)
        m.event.text[D_reservation_id] =
            (struct slice){ (const uint8_t *)call->reservation, (uint32_t)strlen(call->reservation) };
    assert_int_equal(journal_append(&d->journal, &d->from, &m.event, &result), 0);
    assert_int_equal(result, EVENT_STORED);
}

static inline void db_call(struct ledger_db *d, const struct made_call *call)
{
    db_begin(d);
    db_call_in(d, call);
    db_commit(d);
}

/* ------------------------------------------------------------- reservations */

static inline struct slice made_slice(const char *text)
{
    return (struct slice){ (const uint8_t *)text, text != NULL ? (uint32_t)strlen(text) : 0 };
}

static inline struct order made_order(const char *id, const char *agent, const char *model)
{
    struct order o = { .prompt_tokens = UNKNOWN, .max_tokens = UNKNOWN, .called = true };

    snprintf(o.id, sizeof o.id, "%s", id);
    o.who.text[SUBJECT_agent_id] = made_slice(agent);
    o.who.text[SUBJECT_model] = made_slice(model);
    for (int i = 0; i < DISPATCH_NUMS; i++)
        o.num[i] = UNKNOWN;
    return o;
}

static inline enum order_status db_admit_order(struct ledger_db *d, struct order *o)
{
    db_begin(d);
    assert_int_equal(ledger_admit(db_ledger(d), o), 0);
    db_commit(d);
    return o->status;
}

static inline enum order_status db_admit(struct ledger_db *d, const char *id, const char *agent,
                                         const char *model)
{
    struct order o = made_order(id, agent, model);

    return db_admit_order(d, &o);
}

/* tokens UNKNOWN: the usage is not told; called false: it was not made. */
static inline enum order_status db_settle(struct ledger_db *d, const char *id, bool called, int64_t tokens)
{
    struct order o = made_order(id, NULL, NULL);

    o.called = called;
    o.num[D_prompt_tokens] = tokens;
    o.num[D_completion_tokens] = tokens != UNKNOWN ? 0 : UNKNOWN;
    db_begin(d);
    assert_int_equal(ledger_settle(db_ledger(d), &o), 0);
    db_commit(d);
    return o.status;
}

/* The account of a budget and of one value of its per (NULL: it has none), as of now, until the next
 * transaction. */
static inline const struct account *db_account(struct ledger_db *d, const char *budget, const char *value)
{
    uint8_t key[300] = { 0 };
    uint32_t len = 0, account;

    if (value != NULL) {
        len = (uint32_t)strlen(value) + 1;
        assert_true(len <= 128);
        key[0] = (uint8_t)(len--);
        memcpy(key + 1, value, len++);
    }
    db_begin(d); /* which may read the budgets again */
    const struct ledger_budget *b = ledger_budget_named(db_ledger(d), budget);
    assert_non_null(b);
    assert_int_equal(
        accounts_get(&db_ledger(d)->accounts, b, (struct slice){ key, len }, d->now_ms, &account), 0);
    if (account_is_stale(&db_ledger(d)->accounts.all[account]))
        assert_int_equal(ledger_look(db_ledger(d), account, true), 0);
    db_commit(d);
    return &db_ledger(d)->accounts.all[account];
}

#endif
