/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "office_work.h"

#define CELLS_DEFAULT 20
#define CELLS_MAX     10000

/* -------------------------------------------------------------------- showing */

static json_t *cell_json(struct ledger *l, const struct account *c)
{
    const struct budget *def = c->budget->def;
    int64_t allowed = ledger_allowed(l, c);
    char key[512];

    budget_key_text(def, c->key, c->key_len, key, sizeof key);
    json_t *o = json_object();
    json_object_set_new(o, "key", key[0] == '\0' ? json_string("") : office_string(key));
    json_object_set_new(o, "window_start_ms", json_integer(c->first_ms));
    json_object_set_new(o, "window_end_ms",
                        office_time(def->window.kind == WINDOW_SLIDING ? WINDOW_NEVER : c->until_ms));
    json_object_set_new(o, "spent", json_integer(c->total.amount + c->total.held[HELD_TOLD]));
    json_object_set_new(o, "reserved", json_integer(c->total.held[HELD_RESERVED]));
    json_object_set_new(o, "presumed", json_integer(c->total.held[HELD_PRESUMED]));
    json_object_set_new(o, "limit", json_integer(allowed));
    json_object_set_new(o, "left", json_integer(allowed - account_committed(c)));
    json_object_set_new(o, "calls", json_integer(c->total.calls));
    json_object_set_new(o, "unknown_calls", json_integer(c->total.unknown));
    json_object_set_new(o, "state", json_string(action_name((int)c->state)));
    json_object_set_new(o, "opens_ms",
                        c->state > ACTION_WARN ? office_time(ledger_opens_ms(l, c, 0)) : json_null());
    return o;
}

/* As of now, with the state that it has now. */
static int account_now(struct office_desk *d, const struct ledger_budget *b, struct slice key,
                       const struct account **out)
{
    uint32_t account;
    int rc = accounts_get(&d->l->accounts, b, key, d->l->now_ms, &account);

    if (rc == 0 && account_is_stale(&d->l->accounts.all[account]))
        rc = ledger_look(d->l, account, d->l->running);
    if (rc == 0)
        *out = &d->l->accounts.all[account];
    return rc;
}

int office_accounts(struct office_desk *d, const struct ledger_budget *b, int64_t most, office_account *each,
                    void *arg, int64_t *count)
{
    static const char sql[] =
        "SELECT key, total(amount) AS sum, count(*) OVER () FROM"
        " (SELECT key, amount FROM projection_ledger WHERE budget=?1 AND start_ms>=?2"
        "  UNION ALL SELECT key, amount FROM reservation_posting WHERE budget=?1 AND start_ms>=?2)"
        " GROUP BY key ORDER BY sum DESC LIMIT ?3";
    const struct account *c;
    sqlite3_stmt *stmt;
    bool any = false;
    int rc = office_prepare(d, sql, &stmt, "iii", b->id, window_first(&b->def->window, d->l->now_ms), most);

    while (rc == 0 && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct slice key = { sqlite3_column_blob(stmt, 0), (uint32_t)sqlite3_column_bytes(stmt, 0) };
        *count = sqlite3_column_int64(stmt, 2);
        any = true;
        if ((rc = account_now(d, b, key, &c)) == 0)
            each(arg, d, c);
    }
    sqlite3_finalize(stmt);
    rc = rc == SQLITE_DONE ? 0 : rc < 0 ? rc : -rc;
    if (rc != 0 || any || b->def->pers > 0 || b->def->window.kind == WINDOW_SESSION)
        return rc;
    if ((rc = account_now(d, b, (struct slice){ (const uint8_t *)"", 0 }, &c)) == 0)
        each(arg, d, c);
    return rc;
}

static void add_cell(void *cells, struct office_desk *d, const struct account *c)
{
    json_array_append_new(cells, cell_json(d->l, c));
}

static int budget_show(struct office_desk *d, const struct ledger_budget *b, int64_t most, json_t **out)
{
    json_t *cells = json_array(), *o = json_object();
    int64_t accounts = 0;
    int rc = office_accounts(d, b, most, add_cell, cells, &accounts);

    json_object_set_new(o, "name", json_string(b->def->name));
    json_object_set_new(o, "id", json_integer(b->id));
    json_object_set_new(o, "origin", json_string(b->from_file ? "file" : "api"));
    json_object_set_new(o, "definition", budget_json(b->def));
    json_object_set_new(o, "since_ms", json_integer(b->since_ms));
    json_object_set_new(o, "counts_from_ms", json_integer(b->counts_from_ms));
    json_object_set_new(o, "counting", json_boolean(!b->counted));
    json_object_set_new(o, "unit", json_string(unit_name((int)b->def->unit)));
    json_object_set_new(o, "limit", json_integer(b->def->limit));
    json_object_set_new(o, "accounts", json_integer(accounts));
    json_object_set_new(o, "cells", cells);
    *out = o;
    return rc;
}

static int64_t counting_of(const struct ledger *l)
{
    int64_t n = 0;

    for (size_t i = 0; i < l->budget_count; i++)
        n += !l->budgets[i]->counted;
    return n;
}

int office_budgets(struct office_desk *d)
{
    int64_t most = office_number(d, "cells", CELLS_DEFAULT);
    const char *name = office_text(d, "name");
    json_t *list = json_array(), *one;
    int rc = ledger_flush(d->l);

    if (most < 0 || most > CELLS_MAX)
        most = CELLS_MAX;
    for (size_t i = 0; rc == 0 && i < d->l->budget_count; i++) {
        if (name != NULL && strcmp(name, d->l->budgets[i]->def->name) != 0)
            continue;
        rc = budget_show(d, d->l->budgets[i], most, &one);
        json_array_append_new(list, one);
    }
    d->answer = json_pack("{s:I, s:I, s:o}", "now_ms", (json_int_t)d->l->now_ms, "counting",
                          (json_int_t)counting_of(d->l), "budgets", list);
    return rc;
}

int office_policies(struct office_desk *d)
{
    json_t *list = json_array();

    for (size_t i = 0; i < d->l->policy_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", d->l->policies[i]->name, "origin",
                                              "file", "definition", policy_json(d->l->policies[i])));
    d->answer = json_pack("{s:o}", "policies", list);
    return 0;
}

/* ------------------------------------------------------------------- changing */

static bool is_files(struct office_desk *d, const char *name)
{
    const struct ledger_budget *b = ledger_budget_named(d->l, name);

    if (b == NULL || !b->from_file)
        return false;
    office_refuse(
        d, 409, "this budget stands in the configuration file: change it there and send the collector a HUP");
    return true;
}

/* The definition under the name of its place. */
static json_t *definition_of(struct office_desk *d, const char *name)
{
    json_t *copy = json_copy(json_object_get(d->request, "definition"));
    const char *inside = json_string_value(json_object_get(copy, "name"));

    if (!json_is_object(copy)) {
        json_decref(copy);
        office_wrong(d, "definition", "", "an object");
        return NULL;
    }
    if (inside != NULL && strcmp(inside, name) != 0) {
        office_wrong(d, "name", inside, "the name in the address, or none");
        json_decref(copy);
        return NULL;
    }
    json_object_set_new(copy, "name", json_string(name));
    return copy;
}

/* After the change: the ledger has read it again. */
static int answer_put(struct office_desk *d, const char *name, bool created)
{
    json_t *one = NULL;
    int rc = ledger_reload(d->l);
    const struct ledger_budget *b = ledger_budget_named(d->l, name);

    if (rc == 0 && b != NULL)
        rc = budget_show(d, b, CELLS_DEFAULT, &one);
    d->answer = json_pack("{s:o?, s:b}", "budget", one, "created", (int)created);
    return rc;
}

int office_put_budget(struct office_desk *d)
{
    const char *name = office_text(d, "name");
    struct budget *def = NULL;
    struct fault fault;
    bool created;

    if (name == NULL)
        return office_wrong(d, "name", "", "a name");
    if (is_files(d, name))
        return 0;
    if (d->l->budget_count >= BUDGETS_MAX && ledger_budget_named(d->l, name) == NULL)
        return office_refuse(d, 409, "there are as many budgets as can be");
    json_t *definition = definition_of(d, name);
    if (definition == NULL)
        return 0;
    int bad = budget_parse(definition, d->l->options.zone, &def, &fault);
    if (bad != 0) {
        json_decref(definition);
        return office_fault(d, &fault);
    }
    int rc = ledger_put_budget(d->l, def, false, &created);
    budget_free(def);
    if (rc == 0)
        rc = office_note(d, created ? "budget_created" : "budget_changed", json_incref(definition));
    json_decref(definition);
    return rc != 0 ? rc : answer_put(d, name, created);
}

int office_delete_budget(struct office_desk *d)
{
    const char *name = office_text(d, "name");
    const struct ledger_budget *b = name != NULL ? ledger_budget_named(d->l, name) : NULL;

    if (b == NULL)
        return office_refuse(d, 404, "there is no budget of this name");
    if (is_files(d, name))
        return 0;
    int rc = ledger_drop_budget(d->l, b);
    if (rc == 0)
        rc = office_note(d, "budget_deleted", json_pack("{s:s}", "name", name));
    d->reload = true;
    d->answer = json_object();
    return rc;
}
