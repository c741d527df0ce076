/* SPDX-License-Identifier: MIT */
#include "ledger_recount.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "ledger_subject.h"
#include "ledger_work.h"

#define INDEX_FIRST     1024
#define ROWS_PER_REPORT 100000
#define CLOCK_OFF_MS    ((int64_t)24 * 3600 * 1000) /* by so much a clock may be set back */

int ledger_budget_read(sqlite3_stmt *stmt, const char *zone, struct ledger_budget **out)
{
    struct ledger_budget *b = calloc(1, sizeof *b);
    json_t *json = json_loads((const char *)sqlite3_column_text(stmt, 1), 0, NULL);
    struct fault fault;
    int rc = b == NULL || json == NULL ? -SQLITE_NOMEM : 0;

    if (rc == 0 && budget_parse(json, zone, &b->def, &fault) != 0)
        rc = -SQLITE_MISMATCH;
    json_decref(json);
    if (rc != 0) {
        free(b);
        return rc;
    }
    b->id = sqlite3_column_int64(stmt, 0);
    b->from_file = strcmp((const char *)sqlite3_column_text(stmt, 2), "file") == 0;
    b->counts_from_ms = sqlite3_column_int64(stmt, 3);
    b->first_id = sqlite3_column_int64(stmt, 4);
    b->counted = sqlite3_column_int(stmt, 5) != 0;
    b->since_ms = sqlite3_column_int64(stmt, 6);
    b->needs_session = scope_needs_session(&b->def->scope);
    for (unsigned i = 0; i < b->def->pers; i++)
        b->needs_session |=
            b->def->per[i].field == SUBJECT_session_id || b->def->per[i].field == SUBJECT_root_session_id;
    *out = b;
    return 0;
}

void ledger_budget_free(struct ledger_budget *b)
{
    if (b == NULL)
        return;
    for (unsigned i = 0; i < b->raises; i++)
        free(b->raise[i].key);
    free(b->raise);
    budget_free(b->def);
    free(b);
}

int ledger_budgets_read(sqlite3 *db, const char *zone, bool only_uncounted, struct ledger_budget ***out,
                        size_t *count)
{
    static const char sql[] = LEDGER_BUDGET_COLUMNS " WHERE ended_ms IS NULL AND counted <= ? ORDER BY name";
    struct ledger_budget **all = NULL;
    sqlite3_stmt *stmt;
    size_t n = 0;
    int rc = -sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int(stmt, 1, only_uncounted ? 0 : 1);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct ledger_budget **more = realloc(all, (n + 1) * sizeof *all);
        if (more != NULL)
            all = more;
        int read = more == NULL ? -SQLITE_NOMEM : ledger_budget_read(stmt, zone, &all[n]);
        if (read != 0) {
            rc = -read;
            break;
        }
        n++;
    }
    sqlite3_finalize(stmt);
    if (rc != SQLITE_DONE) {
        while (n > 0)
            ledger_budget_free(all[--n]);
        free(all);
        return -rc;
    }
    *out = all;
    *count = n;
    return 0;
}

int recount_init(struct recount *r, sqlite3 *db, const char *zone, bool only_uncounted)
{
    int rc;

    *r = (struct recount){ .db = db, .index_room = INDEX_FIRST };
    r->index = calloc(r->index_room, sizeof *r->index);
    r->subjects = calloc(1, sizeof *r->subjects);
    if (r->index == NULL || r->subjects == NULL)
        return -SQLITE_NOMEM;
    if ((rc = subject_reader_open(r->subjects, db)) != 0 ||
        (rc = ledger_budgets_read(db, zone, only_uncounted, &r->budgets, &r->budget_count)) != 0)
        return rc;
    return -sqlite3_prepare_v2(db, "SELECT admitted_ms FROM reservation WHERE id=?", -1, &r->admitted, NULL);
}

void recount_fini(struct recount *r)
{
    for (size_t i = 0; i < r->budget_count; i++)
        ledger_budget_free(r->budgets[i]);
    for (uint32_t i = 0; i < r->used; i++)
        free(r->cells[i].key);
    free(r->budgets);
    free(r->cells);
    free(r->index);
    if (r->subjects != NULL)
        subject_reader_close(r->subjects);
    free(r->subjects);
    sqlite3_finalize(r->admitted);
    *r = (struct recount){ .db = NULL };
}

/* -------------------------------------------------------------------- cells */

static uint64_t hash_of(int64_t budget, const uint8_t *key, uint32_t len, int64_t start_ms)
{
    uint64_t half[2];

    tg_hash128(key, len, (unsigned char *)half);
    return (half[0] ^ (uint64_t)budget * 0x9e3779b97f4a7c15u) + (uint64_t)start_ms * 0xff51afd7ed558ccdu;
}

static uint64_t hash_of_cell(const struct recount_cell *c)
{
    return hash_of(c->budget, c->key, c->key_len, c->start_ms);
}

/* The index is kept at most half full. */
static bool reindex(struct recount *r)
{
    uint32_t room = 2 * r->index_room;
    uint32_t *index = calloc(room, sizeof *index);

    if (index == NULL)
        return false;
    for (uint32_t i = 0; i < r->used; i++) {
        uint32_t at = (uint32_t)hash_of_cell(&r->cells[i]) & (room - 1);
        while (index[at] != 0)
            at = (at + 1) & (room - 1);
        index[at] = i + 1;
    }
    free(r->index);
    r->index = index;
    r->index_room = room;
    return true;
}

static struct recount_cell *new_cell(struct recount *r, int64_t budget, const uint8_t *key, uint32_t len,
                                     int64_t start_ms)
{
    if (r->used == r->room) {
        uint32_t room = r->room == 0 ? 256 : 2 * r->room;
        struct recount_cell *more = realloc(r->cells, room * sizeof *more);
        if (more == NULL)
            return NULL;
        r->cells = more;
        r->room = room;
    }
    struct recount_cell *c = &r->cells[r->used];
    *c = (struct recount_cell){
        .budget = budget, .key = malloc(len + 1), .key_len = len, .start_ms = start_ms
    };
    if (c->key == NULL)
        return NULL;
    memcpy(c->key, key, len);
    r->used++;
    return c;
}

static struct recount_cell *cell_of(struct recount *r, int64_t budget, const uint8_t *key, uint32_t len,
                                    int64_t start_ms)
{
    if (2 * (r->used + 1) > r->index_room && !reindex(r))
        return NULL;
    uint32_t at = (uint32_t)hash_of(budget, key, len, start_ms) & (r->index_room - 1);
    for (; r->index[at] != 0; at = (at + 1) & (r->index_room - 1)) {
        struct recount_cell *c = &r->cells[r->index[at] - 1];
        if (c->budget == budget && c->start_ms == start_ms && c->key_len == len &&
            memcmp(c->key, key, len) == 0)
            return c;
    }
    struct recount_cell *c = new_cell(r, budget, key, len, start_ms);
    if (c != NULL)
        r->index[at] = r->used;
    return c;
}

/* --------------------------------------------------------------------- rows */

static int admitted_ms(struct recount *r, const struct log_row *row, int64_t *out)
{
    sqlite3_bind_text(r->admitted, 1, row->reservation, row->reservation_len, SQLITE_STATIC);
    int rc = sqlite3_step(r->admitted);

    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(r->admitted, 0);
    sqlite3_reset(r->admitted);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static int count_for(struct recount *r, const struct ledger_budget *b, const struct subject *who,
                     int64_t post_ms, const struct worth *worth)
{
    uint8_t key[BUDGET_KEY_MAX];

    if (post_ms < b->counts_from_ms || !scope_holds(&b->def->scope, who))
        return 0;
    uint32_t len = (uint32_t)budget_key(b->def, who, key);
    struct recount_cell *c = cell_of(r, b->id, key, len, window_start(&b->def->window, post_ms));
    if (c == NULL)
        return -SQLITE_NOMEM;
    c->amount = amount_add(c->amount, worth->amount[b->def->unit]);
    c->calls++;
    c->unknown += worth->unknown[b->def->unit];
    return 0;
}

int recount_row(struct recount *r, const struct log_row *row)
{
    struct subject who;
    struct worth worth;
    int64_t post_ms = row->ts_ms;
    int rc = 0;

    if (row->kind != LOG_DISPATCH || !row->counts || row->status == STATUS_blocked || r->budget_count == 0)
        return 0;
    if (row->reservation_len > 0 && (rc = admitted_ms(r, row, &post_ms)) != 0)
        return rc;
    if ((rc = subject_reader_get(r->subjects, row->dims, row->session, &who)) != 0)
        return rc;
    worth_of(row, &worth);
    for (size_t i = 0; rc == 0 && i < r->budget_count; i++)
        rc = count_for(r, r->budgets[i], &who, post_ms, &worth);
    return rc;
}

int recount_rows(struct recount *r, int64_t first_id, int64_t last_id)
{
    struct log_reader reader;
    struct log_row row;
    int64_t n = 0;
    int rc = log_reader_open(&reader, r->db, first_id, last_id);

    if (rc != 0)
        return rc;
    while ((rc = log_reader_next(&reader, &row)) == 1) {
        if ((rc = recount_row(r, &row)) != 0)
            break;
        if (r->progress != NULL && ++n % ROWS_PER_REPORT == 0)
            r->progress(r->progress_arg, row.id - first_id, last_id - first_id + 1);
    }
    log_reader_close(&reader);
    return rc;
}

/* Pieces of the log in which nothing is late enough are passed over. An event with a reservation counts at
 * the admission, whatever its own time is, and comes after it: it may count if it came late enough, by a
 * clock that may have been set back since. */
int recount_first(struct recount *r, int64_t *first_id)
{
    int64_t from_ms = INT64_MAX;
    sqlite3_stmt *stmt;

    for (size_t i = 0; i < r->budget_count; i++)
        if (r->budgets[i]->counts_from_ms < from_ms)
            from_ms = r->budgets[i]->counts_from_ms;
    int rc = -sqlite3_prepare_v2(r->db,
                                 "SELECT ifnull(max(last_id), 0) + 1 FROM log_partition WHERE last_id <"
                                 " (SELECT ifnull(min(first_id), 9223372036854775807) FROM log_partition"
                                 " WHERE newest_ms >= ?1 OR last_received_ms >= ?2)",
                                 -1, &stmt, NULL);
    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, from_ms);
    sqlite3_bind_int64(stmt, 2, from_ms - CLOCK_OFF_MS);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *first_id = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? 0 : -rc;
}
