/* SPDX-License-Identifier: MIT
 *
 * retention_ledger.c: what becomes of the ledger when its rows go. True after each slice, for each budget in
 * force: what the rows that are left are worth, and the checkpoint, are projection_ledger.
 */
#include <stdlib.h>
#include <string.h>

#include "ledger_recount.h"
#include "ledger_work.h"
#include "retention_work.h"

#define RESERVATION_CHUNK 64
#define CELL_CHUNK        256
#define LOOK_MAX_MS       60000

/* What is kept between slices. */
struct retention_ledger {
    struct recount recount;           /* of the budgets in force, if there are any */
    int64_t budgets, newest, counted; /* how many these are, the last of them, and whose past is counted */
    int64_t ended_ms, nr;             /* how far the look at the reservations has come */
    size_t at;                        /* and that at the cells: in which budget */
    uint8_t key[BUDGET_KEY_MAX + 1];  /* behind this cell of it */
    int key_len;
    int64_t start_ms;
};

static const char *const ledger_table[] = { "projection_ledger", "ledger_checkpoint", "reservation_posting" };

static int prepare_tables(struct retention *r)
{
    char sql[256];
    int rc = 0;

    for (int i = 0; rc == 0 && i < 3; i++) {
        snprintf(sql, sizeof sql,
                 "DELETE FROM %s WHERE budget=?1 AND (key, start_ms) IN"
                 " (SELECT key, start_ms FROM %s WHERE budget=?1 LIMIT %d)",
                 ledger_table[i], ledger_table[i], CELL_CHUNK);
        rc = store_prepare(r->store, sql, &r->sql->drop_ended[i]);
    }
    for (int i = 0; rc == 0 && i < 2; i++) {
        snprintf(sql, sizeof sql,
                 "DELETE FROM %s WHERE budget=?1 AND (key, start_ms) > (?2, ?3)"
                 " AND (key, start_ms) <= (?4, ?5) AND start_ms < ?6",
                 ledger_table[i]);
        rc = store_prepare(r->store, sql, &r->sql->drop_cells[i]);
    }
    return rc;
}

int retention_prepare_ledger(struct retention *r)
{
    struct retention_statements *q = r->sql;
    const struct retention_prepare all[] = {
        { &q->budgets,
          "SELECT count(*), ifnull(max(id), 0), ifnull(sum(counted), 0) FROM budget WHERE ended_ms IS NULL" },
        { &q->save_checkpoint,
          "INSERT INTO ledger_checkpoint VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
          " SET amount = min(amount + excluded.amount, 9223372036854775807), calls = calls + excluded.calls,"
          " unknown = unknown + excluded.unknown" },
        { &q->save_cell,
          "INSERT INTO projection_ledger VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
          " SET amount = min(amount + excluded.amount, 9223372036854775807), calls = calls + excluded.calls,"
          " unknown = unknown + excluded.unknown" },
        { &q->old_reservations,
          "SELECT nr, ended_ms, last_id FROM reservation INDEXED BY reservation_ended WHERE state <> 0"
          " AND ended_ms >= ?1 AND (ended_ms > ?1 OR nr > ?2) AND ended_ms < ?3"
          " ORDER BY ended_ms, nr LIMIT " RETENTION_TEXT(RESERVATION_CHUNK) },
        { &q->postings, "SELECT budget, key, start_ms, kind, amount FROM reservation_posting"
                        " WHERE reservation=? LIMIT 1 OFFSET ?" },
        { &q->drop_posting,
          "DELETE FROM reservation_posting WHERE budget=? AND key=? AND start_ms=? AND reservation=?" },
        { &q->drop_booked, "DELETE FROM ledger_booked WHERE id <= ?" },
        { &q->drop_reservation, "DELETE FROM reservation WHERE nr=?" },
        { &q->ended_budget,
          "SELECT id FROM budget WHERE ended_ms IS NOT NULL AND"
          " (EXISTS (SELECT 1 FROM projection_ledger WHERE budget=budget.id)"
          " OR EXISTS (SELECT 1 FROM ledger_checkpoint WHERE budget=budget.id)"
          " OR EXISTS (SELECT 1 FROM reservation_posting WHERE budget=budget.id)) LIMIT 1" },
        { &q->find_cells,
          "SELECT key, start_ms FROM projection_ledger WHERE budget=?1"
          " AND (key, start_ms) > (?2, ?3) ORDER BY key, start_ms LIMIT 1 OFFSET " RETENTION_TEXT(
              CELL_CHUNK) },
    };

    r->ledger = calloc(1, sizeof *r->ledger);
    if (r->ledger == NULL)
        return -SQLITE_NOMEM;
    r->ledger->ended_ms = r->ledger->start_ms = INT64_MIN;
    int rc = retention_prepare_all(r, all, sizeof all / sizeof *all);
    return rc != 0 ? rc : prepare_tables(r);
}

void retention_fini_ledger(struct retention *r)
{
    if (r->ledger != NULL)
        recount_fini(&r->ledger->recount);
    free(r->ledger);
    r->ledger = NULL;
}

/* -------------------------------------------------------------- checkpoints */

static void begin_cells(struct retention_ledger *l)
{
    l->at = 0;
    l->key_len = 0;
    l->start_ms = INT64_MIN;
}

/* An id is never given again, so these numbers name the budgets in force. */
static int read_budgets(struct retention *r, int64_t now[3])
{
    sqlite3_stmt *stmt = r->sql->budgets;
    int rc = sqlite3_step(stmt);

    for (int i = 0; rc == SQLITE_ROW && i < 3; i++)
        now[i] = sqlite3_column_int64(stmt, i);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 0 : -rc;
}

int retention_begin_checkpoint(struct retention *r)
{
    struct retention_ledger *l = r->ledger;
    int64_t now[3] = { 0 };
    int rc = read_budgets(r, now);

    ledger_cells_clear(&l->recount.cells);
    if (rc != 0 || (now[0] == l->budgets && now[1] == l->newest && now[2] == l->counted))
        return rc;
    recount_fini(&l->recount);
    begin_cells(l);
    l->budgets = 0;
    if (now[0] > 0 && (rc = recount_init(&l->recount, r->store->db, "UTC", false)) != 0) {
        recount_fini(&l->recount);
        return rc;
    }
    l->budgets = now[0];
    l->newest = now[1];
    l->counted = now[2];
    return 0;
}

int retention_take_rows(struct retention *r, int64_t first_id, int64_t last_id)
{
    int rc = r->ledger->budgets > 0 ? recount_rows(&r->ledger->recount, first_id, last_id) : 0;

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(r->sql->drop_booked, 1, last_id);
    return store_run(r->sql->drop_booked);
}

int retention_save_checkpoint(struct retention *r)
{
    const struct ledger_cells *cells = &r->ledger->recount.cells;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < cells->used; i++)
        rc = ledger_cell_save(r->sql->save_checkpoint, &cells->all[i]);
    return rc;
}

/* ------------------------------------------------------------- reservations */

struct old_posting {
    struct recount_cell cell; /* its key is below; one call */
    uint8_t key[BUDGET_KEY_MAX];
    enum held_kind kind;
};

/* One of a reservation's postings. 1: there is one, 0: none, or a negative SQLite code. */
static int read_posting(struct retention *r, int64_t nr, int offset, struct old_posting *out)
{
    sqlite3_stmt *stmt = r->sql->postings;

    sqlite3_bind_int64(stmt, 1, nr);
    sqlite3_bind_int(stmt, 2, offset);
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        int len = sqlite3_column_bytes(stmt, 1);
        len = len > (int)sizeof out->key ? (int)sizeof out->key : len;
        if (len > 0)
            memcpy(out->key, sqlite3_column_blob(stmt, 1), (size_t)len);
        out->cell = (struct recount_cell){ .budget = sqlite3_column_int64(stmt, 0),
                                           .key = out->key,
                                           .key_len = (uint32_t)len,
                                           .start_ms = sqlite3_column_int64(stmt, 2),
                                           .amount = sqlite3_column_int64(stmt, 4),
                                           .calls = 1 };
        out->kind = (enum held_kind)sqlite3_column_int(stmt, 3);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* While a budget's past is being counted its sums may begin anew: what was told waits. */
static bool is_kept(const struct ledger_budget *b, const struct old_posting *p, int64_t now_ms)
{
    if (b == NULL || p->kind == HELD_RESERVED)
        return false;
    if (p->kind == HELD_TOLD)
        return !b->counted;
    return window_gone(&b->def->window, p->cell.start_ms) > now_ms;
}

static int drop_posting(struct retention *r, int64_t nr, const struct old_posting *p)
{
    sqlite3_stmt *stmt = r->sql->drop_posting;

    sqlite3_bind_int64(stmt, 1, p->cell.budget);
    bind_key(stmt, 2, p->key, p->cell.key_len);
    sqlite3_bind_int64(stmt, 3, p->cell.start_ms);
    sqlite3_bind_int64(stmt, 4, nr);
    return store_run(stmt);
}

/* No event will come any more: what was told is what the call came to. */
static int move_told(struct retention *r, const struct old_posting *p)
{
    int rc = ledger_cell_save(r->sql->save_cell, &p->cell);

    r->tally.told++;
    return rc != 0 ? rc : ledger_cell_save(r->sql->save_checkpoint, &p->cell);
}

/* Its postings, and it, if none is kept. */
static int drop_reservation(struct retention *r, int64_t nr, int64_t now_ms)
{
    struct old_posting p = { .kind = HELD_RESERVED };
    int kept = 0, rc;

    while ((rc = read_posting(r, nr, kept, &p)) == 1) {
        const struct ledger_budget *b =
            ledger_budget_of(r->ledger->recount.budgets, r->ledger->recount.budget_count, p.cell.budget);
        if (is_kept(b, &p, now_ms)) {
            kept++;
            continue;
        }
        if (b != NULL && p.kind == HELD_TOLD && (rc = move_told(r, &p)) != 0)
            return rc;
        if ((rc = drop_posting(r, nr, &p)) != 0)
            return rc;
    }
    if (rc != 0 || kept > 0)
        return rc;
    sqlite3_bind_int64(r->sql->drop_reservation, 1, nr);
    return retention_drop(r, r->sql->drop_reservation, &r->tally.reservations, NULL);
}

struct old_reservation {
    int64_t nr, ended_ms, last_id;
};

/* The next ones that ended before before_ms. Returns how many, or a negative SQLite code. */
static int old_reservations(struct retention *r, int64_t before_ms,
                            struct old_reservation out[RESERVATION_CHUNK])
{
    sqlite3_stmt *stmt = r->sql->old_reservations;
    int n = 0, rc;

    sqlite3_bind_int64(stmt, 1, r->ledger->ended_ms);
    sqlite3_bind_int64(stmt, 2, r->ledger->nr);
    sqlite3_bind_int64(stmt, 3, before_ms);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        out[n++] = (struct old_reservation){ sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1),
                                             sqlite3_column_int64(stmt, 2) };
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? n : -rc;
}

static int drop_reservations(struct retention *r, int64_t before_ms, int64_t now_ms, int64_t through,
                             bool *more)
{
    struct old_reservation found[RESERVATION_CHUNK] = { 0 };
    int rc = 0, n = RESERVATION_CHUNK;

    while (rc == 0 && n == RESERVATION_CHUNK && !*more) {
        if ((n = old_reservations(r, before_ms, found)) < 0)
            return n;
        for (int i = 0; rc == 0 && i < n && !(*more = retention_is_time_up(r)); i++) {
            if (found[i].last_id <= through)
                rc = drop_reservation(r, found[i].nr, now_ms);
            r->ledger->ended_ms = found[i].ended_ms;
            r->ledger->nr = found[i].nr;
        }
    }
    return rc;
}

/* When what of this age is there is worth another look. */
static struct monotime look_again(int64_t age)
{
    return mono_after(mono_now(),
                      retention_between(RETENTION_LOOK_MIN_MS, age / RETENTION_LOOKS_PER_AGE, LOOK_MAX_MS));
}

int retention_reservation(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t age = retention_age_of(r, RETAIN_DISPATCH), through = 0;
    int rc;

    if (age == RETENTION_FOREVER || mono_left(r->reservations_due) > 0)
        return 0;
    if ((rc = retention_begin_checkpoint(r)) != 0 ||
        (rc = retention_through(r, LOG_DISPATCH, &through)) != 0 ||
        (rc = drop_reservations(r, now_ms - age, now_ms, through, more)) != 0)
        return rc;
    if (!*more) {
        r->ledger->ended_ms = INT64_MIN;
        r->ledger->nr = 0;
        r->reservations_due = look_again(age);
    }
    return 0;
}

/* -------------------------------------------------------------------- cells */

/* Of budgets that have ended nothing is asked any more. */
static int drop_ended(struct retention *r, bool *more)
{
    int64_t budget = 0;
    bool found = true;
    int rc = 0;

    while (rc == 0 && !(*more = retention_is_time_up(r)) &&
           (rc = retention_number(r->sql->ended_budget, &budget, &found)) == 0 && found)
        for (int i = 0; rc == 0 && i < 3; i++) {
            sqlite3_bind_int64(r->sql->drop_ended[i], 1, budget);
            rc = retention_drop(r, r->sql->drop_ended[i], &r->tally.cells, NULL);
        }
    return rc;
}

/* The last of the next cells of a budget, in key and start_ms; with less of them a key behind all.
 * *last: there are no more. */
static int find_chunk(struct retention *r, int64_t budget, uint8_t key[BUDGET_KEY_MAX + 1], int *len,
                      int64_t *start_ms, bool *last)
{
    const struct retention_ledger *l = r->ledger;
    sqlite3_stmt *stmt = r->sql->find_cells;

    sqlite3_bind_int64(stmt, 1, budget);
    sqlite3_bind_blob(stmt, 2, l->key, l->key_len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, l->start_ms);
    int rc = sqlite3_step(stmt);
    *last = rc == SQLITE_DONE;
    *len = *last ? BUDGET_KEY_MAX + 1 : sqlite3_column_bytes(stmt, 0);
    *start_ms = *last ? INT64_MAX : sqlite3_column_int64(stmt, 1);
    if (*last)
        memset(key, 0xff, BUDGET_KEY_MAX + 1);
    else if (rc == SQLITE_ROW && *len > 0 && *len <= BUDGET_KEY_MAX)
        memcpy(key, sqlite3_column_blob(stmt, 0), (size_t)*len);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* Those of the next cells of a budget that start before before_ms. */
static int drop_chunk(struct retention *r, int64_t budget, int64_t before_ms, bool *last)
{
    struct retention_ledger *l = r->ledger;
    uint8_t key[BUDGET_KEY_MAX + 1];
    int64_t start_ms = 0;
    int len = 0, rc = find_chunk(r, budget, key, &len, &start_ms, last);

    for (int i = 0; rc == 0 && i < 2; i++) {
        sqlite3_stmt *stmt = r->sql->drop_cells[i];
        sqlite3_bind_int64(stmt, 1, budget);
        sqlite3_bind_blob(stmt, 2, l->key, l->key_len, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 3, l->start_ms);
        sqlite3_bind_blob(stmt, 4, key, len, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 5, start_ms);
        sqlite3_bind_int64(stmt, 6, before_ms);
        rc = retention_drop(r, stmt, &r->tally.cells, NULL);
    }
    if (rc != 0)
        return rc;
    memcpy(l->key, key, (size_t)len);
    l->key_len = len;
    l->start_ms = start_ms;
    return 0;
}

/* Cells that no window held at this time any more. */
static int drop_old(struct retention *r, int64_t at_ms, bool *more)
{
    struct retention_ledger *l = r->ledger;
    int rc = 0;

    if (l->recount.budget_count > 0)
        rc = retention_save_setting(r, "ledger_dropped_before_ms", at_ms);
    while (rc == 0 && l->at < l->recount.budget_count && !(*more = retention_is_time_up(r))) {
        const struct ledger_budget *b = l->recount.budgets[l->at];
        int64_t before_ms = window_first(&b->def->window, at_ms);
        bool last = true;
        if (before_ms > 0)
            rc = drop_chunk(r, b->id, before_ms, &last);
        if (rc == 0 && last) {
            size_t next = l->at + 1;
            begin_cells(l);
            l->at = next;
        }
    }
    return rc;
}

int retention_cell(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t age = retention_age_of(r, RETAIN_DAY);
    int rc;

    if (mono_left(r->cells_due) > 0)
        return 0;
    if ((rc = retention_begin_checkpoint(r)) != 0 || (rc = drop_ended(r, more)) != 0 || *more)
        return rc;
    if (age <= now_ms && (rc = drop_old(r, now_ms - age, more)) != 0)
        return rc;
    if (!*more) {
        begin_cells(r->ledger);
        r->cells_due = look_again(age);
    }
    return 0;
}
