/* SPDX-License-Identifier: MIT */
#include "ledger_budgets.h"

#include <stdlib.h>
#include <string.h>

#include "../base/log.h"
#include "ledger_recount.h"
#include "ledger_work.h"

/* -------------------------------------------------------------------- loading */

static void free_rules(struct ledger *l)
{
    for (size_t i = 0; i < l->rule_count; i++)
        rule_fini(&l->rules[i].rule);
    free(l->rules);
    l->rules = NULL;
    l->rule_count = 0;
}

static void drop_budgets(struct ledger *l)
{
    for (size_t i = 0; i < l->budget_count; i++)
        ledger_budget_free(l->budgets[i]);
    free(l->budgets);
    free(l->by_session);
    l->budgets = l->by_session = NULL;
    l->budget_count = l->session_budgets = l->uncounted = 0;
}

void ledger_free_budgets(struct ledger *l)
{
    drop_budgets(l);
    free_rules(l);
}

static int by_name(const void *name, const void *budget)
{
    return strcmp(name, (*(struct ledger_budget *const *)budget)->def->name);
}

/* Its place; NULL: there is none. They are read in the order of their names. */
static struct ledger_budget **place_of(const struct ledger *l, const char *name)
{
    return l->budget_count == 0
               ? NULL
               : bsearch(name, l->budgets, l->budget_count, sizeof(struct ledger_budget *), by_name);
}

static struct ledger_budget *named(const struct ledger *l, const char *name)
{
    struct ledger_budget **place = place_of(l, name);

    return place != NULL ? *place : NULL;
}

const struct ledger_budget *ledger_budget_named(const struct ledger *l, const char *name)
{
    return named(l, name);
}

static int add_raise(struct ledger *l, sqlite3_stmt *stmt)
{
    const char *key = (const char *)sqlite3_column_text(stmt, 1);
    struct ledger_budget *b = named(l, (const char *)sqlite3_column_text(stmt, 0));

    if (b == NULL)
        return 0;
    struct raise *more = realloc(b->raise, (b->raises + 1) * sizeof *more);
    if (more == NULL)
        return -SQLITE_NOMEM;
    b->raise = more;
    struct raise *r = &more[b->raises];
    *r = (struct raise){ .amount = sqlite3_column_int64(stmt, 2), .until_ms = sqlite3_column_int64(stmt, 3) };
    if (key != NULL && (r->key = strdup(key)) == NULL)
        return -SQLITE_NOMEM;
    b->raises++;
    return 0;
}

static int load_raises(struct ledger *l)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db,
                                 "SELECT budget, key, amount, until_ms FROM allowance"
                                 " WHERE ended_ms IS NULL AND until_ms > ?1",
                                 -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, l->now_ms);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && (rc = add_raise(l, stmt)) == 0)
        ;
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rc < 0 ? rc : -rc;
}

int ledger_load_budgets(struct ledger *l)
{
    drop_budgets(l);
    int rc = ledger_budgets_read(l->store->db, l->options.zone, false, &l->budgets, &l->budget_count);

    if (rc != 0)
        return rc;
    if ((l->by_session = malloc((l->budget_count + 1) * sizeof(struct ledger_budget *))) == NULL)
        return -SQLITE_NOMEM;
    for (size_t i = 0; i < l->budget_count; i++)
        l->uncounted += !l->budgets[i]->counted;
    for (size_t i = 0; i < l->budget_count; i++)
        if (l->budgets[i]->needs_session)
            l->by_session[l->session_budgets++] = l->budgets[i];
    return load_raises(l);
}

/* ------------------------------------------------------------------ what is hot */

/* What an account must come to before anything is to be told of it. */
static int64_t least_mark(const struct budget *def)
{
    if (def->alerts == 0)
        return def->limit;
    return (int64_t)(((__int128)def->limit * def->alert[0] + 99) / 100);
}

static int find_hot_of(struct ledger *l, const struct ledger_budget *b, sqlite3_stmt *stmt)
{
    uint32_t account;
    int rc;

    sqlite3_bind_int64(stmt, 1, b->id);
    sqlite3_bind_int64(stmt, 2, window_first(&b->def->window, l->now_ms));
    sqlite3_bind_int64(stmt, 3, least_mark(b->def));
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct slice key = { sqlite3_column_blob(stmt, 0), (uint32_t)sqlite3_column_bytes(stmt, 0) };
        int got = accounts_get(&l->accounts, b, key, l->now_ms, &account);
        if (got == 0)
            got = ledger_look(l, account, false);
        if (got != 0) {
            sqlite3_reset(stmt);
            return got;
        }
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int ledger_find_hot(struct ledger *l)
{
    static const char sql[] =
        "SELECT key FROM (SELECT key, amount FROM projection_ledger WHERE budget=?1 AND start_ms>=?2"
        " UNION ALL SELECT key, amount FROM reservation_posting WHERE budget=?1 AND start_ms>=?2)"
        " GROUP BY key HAVING total(amount) >= ?3 * 0.999"; /* inexact, so that it never overflows: looked at
                                                               anyway */
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < l->budget_count; i++)
        rc = find_hot_of(l, l->budgets[i], stmt);
    sqlite3_finalize(stmt);
    return rc;
}

/* --------------------------------------------------------------------- changing */

static int run(struct ledger *l, const char *sql, const struct ledger_budget *b, const char *definition,
               bool from_file)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, b->id);
    if (definition != NULL) {
        sqlite3_bind_text(stmt, 2, definition, -1, SQLITE_STATIC);
        sqlite3_bind_text(stmt, 3, from_file ? "file" : "api", -1, SQLITE_STATIC);
    } else {
        sqlite3_bind_int64(stmt, 2, l->now_ms);
    }
    rc = store_run(stmt);
    sqlite3_finalize(stmt);
    return rc;
}

int ledger_end_budget(struct ledger *l, const struct ledger_budget *b)
{
    return run(l, "UPDATE budget SET ended_ms=?2 WHERE id=?1", b, NULL, false);
}

int ledger_drop_budget(struct ledger *l, const struct ledger_budget *b)
{
    static const char sql[] = "UPDATE allowance SET ended_ms=?2 WHERE ended_ms IS NULL AND until_ms > ?2 AND"
                              " budget=(SELECT name FROM budget WHERE id=?1)";
    int rc = run(l, sql, b, NULL, false);

    return rc != 0 ? rc : ledger_end_budget(l, b);
}

/* From when a budget that begins now counts. */
static int64_t counts_from_ms(const struct ledger *l, const struct budget *def)
{
    if (def->counts_from == COUNTS_NOW)
        return l->now_ms;
    return def->counts_from == COUNTS_AT ? def->counts_from_ms : window_first(&def->window, l->now_ms);
}

static int insert(struct ledger *l, const struct budget *def, const char *definition, bool from_file)
{
    int64_t from_ms = counts_from_ms(l, def), newest = l->store->next_id - 1;
    sqlite3_stmt *stmt;
    int rc =
        -sqlite3_prepare_v2(l->store->db,
                            "INSERT INTO budget (name, definition, origin, counts_from_ms, first_id, counted,"
                            " since_ms) VALUES (?, ?, ?, ?, ?, ?, ?)",
                            -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_text(stmt, 1, def->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, definition, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, from_file ? "file" : "api", -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, from_ms);
    sqlite3_bind_int64(stmt, 5, newest);
    sqlite3_bind_int(stmt, 6, newest == 0);
    sqlite3_bind_int64(stmt, 7, l->now_ms);
    rc = store_run(stmt);
    sqlite3_finalize(stmt);
    return rc;
}

int ledger_put_budget(struct ledger *l, const struct budget *def, bool from_file, bool *created)
{
    const struct ledger_budget *b = ledger_budget_named(l, def->name);
    json_t *json = budget_json(def);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    int rc = text == NULL ? -SQLITE_NOMEM : 0;

    json_decref(json);
    *created = b == NULL;
    if (rc == 0 && b != NULL && budget_counts_alike(b->def, def)) {
        rc = run(l, "UPDATE budget SET definition=?2, origin=?3 WHERE id=?1", b, text, from_file);
    } else if (rc == 0) {
        rc = b != NULL ? ledger_end_budget(l, b) : 0;
        if (rc == 0)
            rc = insert(l, def, text, from_file);
    }
    free(text);
    return rc;
}

static int put_policies(struct ledger *l, const struct ledger_file *file)
{
    struct rule made[POLICY_RULES_MAX];

    free_rules(l);
    l->policies = file->policies;
    l->policy_count = file->policy_count;
    l->rules = calloc(file->policy_count * POLICY_RULES_MAX + 1, sizeof *l->rules);
    if (l->rules == NULL)
        return -SQLITE_NOMEM;
    for (size_t i = 0; i < file->policy_count; i++) {
        int n = policy_rules(file->policies[i], made);
        if (n < 0)
            return -SQLITE_NOMEM;
        for (int k = 0; k < n; k++)
            l->rules[l->rule_count++] = (struct ledger_rule){ made[k], file->policies[i]->shadow };
    }
    return 0;
}

/* Those that came from the file before and are not in it any more. */
static int drop_missing(struct ledger *l, const struct ledger_file *file)
{
    bool *stays = calloc(l->budget_count + 1, sizeof *stays);
    int rc = stays == NULL ? -SQLITE_NOMEM : 0;

    for (size_t i = 0; rc == 0 && i < file->budget_count; i++) {
        struct ledger_budget **place = place_of(l, file->budgets[i]->name);
        if (place != NULL)
            stays[place - l->budgets] = true;
    }
    for (size_t i = 0; rc == 0 && i < l->budget_count; i++)
        if (l->budgets[i]->from_file && !stays[i])
            rc = ledger_drop_budget(l, l->budgets[i]);
    free(stays);
    return rc;
}

int ledger_put_file(struct ledger *l, const struct ledger_file *file)
{
    bool created;
    int rc = put_policies(l, file);

    if (rc == 0)
        rc = drop_missing(l, file);
    for (size_t i = 0; rc == 0 && i < file->budget_count; i++)
        rc = ledger_put_budget(l, file->budgets[i], true, &created);
    return rc;
}

/* --------------------------------------------------------------- counting the past */

int ledger_begin_counting(struct ledger *l)
{
    static const char *const sql[] = {
        "DELETE FROM projection_ledger WHERE budget IN (SELECT id FROM budget WHERE ended_ms IS NULL AND "
        "counted = 0)",
        "DELETE FROM ledger_checkpoint WHERE budget IN (SELECT id FROM budget WHERE ended_ms IS NULL AND "
        "counted = 0)",
    };
    int rc = ledger_flush(l);

    for (size_t i = 0; rc == 0 && i < sizeof sql / sizeof *sql; i++)
        rc = -sqlite3_exec(l->store->db, sql[i], NULL, NULL, NULL);
    if (rc != 0)
        return rc;
    sqlite3_stmt *stmt;
    rc = -sqlite3_prepare_v2(
        l->store->db, "UPDATE budget SET first_id=? WHERE ended_ms IS NULL AND counted=0", -1, &stmt, NULL);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, l->watermark);
    rc = store_run(stmt);
    sqlite3_finalize(stmt);
    return rc != 0 ? rc : ledger_restart(l);
}

static int set_counted(struct ledger *l, const struct recount *r)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db, "UPDATE budget SET counted=1 WHERE id=?", -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < r->budget_count; i++) {
        sqlite3_bind_int64(stmt, 1, r->budgets[i]->id);
        rc = store_run(stmt);
    }
    sqlite3_finalize(stmt);
    return rc;
}

static bool has_counted(const struct recount *r, int64_t budget)
{
    for (size_t i = 0; i < r->budget_count; i++)
        if (r->budgets[i]->id == budget)
            return true;
    return false;
}

/* A budget may have ended meanwhile: what was counted for it harms nobody. */
int ledger_counted(struct ledger *l, const struct recount *r)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < r->cells.used; i++)
        rc = ledger_cell_save(l->sql->save_cell, &r->cells.all[i]);
    if (rc != 0 || (rc = set_counted(l, r)) != 0 || (rc = ledger_reload(l)) != 0)
        return rc;
    for (uint32_t i = l->accounts.hot_used; rc == 0 && i-- > 0;) {
        struct account *c = &l->accounts.all[l->accounts.hot[i]];
        if (!has_counted(r, c->budget->id))
            continue;
        c->alerted = 0; /* the table of alerts knows what has been told */
        c->overrun = false;
        rc = ledger_look(l, l->accounts.hot[i], true);
    }
    log_info("budgets_counted", "budgets=%zu cells=%u", r->budget_count, r->cells.used);
    return rc;
}
