/* SPDX-License-Identifier: MIT */
#include "ledger_recount.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_subject.h"
#include "ledger_work.h"

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

const struct ledger_budget *ledger_budget_of(struct ledger_budget *const *all, size_t count, int64_t id)
{
    for (size_t i = 0; i < count; i++)
        if (all[i]->id == id)
            return all[i];
    return NULL;
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
        struct ledger_budget **more = realloc(all, (n + 1) * sizeof(struct ledger_budget *));
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

int recount_open(struct recount *r, sqlite3 *db)
{
    *r = (struct recount){ .db = db };
    r->subjects = calloc(1, sizeof *r->subjects);
    if (r->subjects == NULL)
        return -SQLITE_NOMEM;
    int rc = subject_reader_open(r->subjects, db);
    if (rc == 0)
        rc = booked_init(&r->booked, db);
    return rc != 0 ? rc
                   : -sqlite3_prepare_v2(db, "SELECT admitted_ms FROM reservation WHERE id=?", -1,
                                         &r->admitted, NULL);
}

int recount_init(struct recount *r, sqlite3 *db, const char *zone, bool only_uncounted)
{
    int rc = recount_open(r, db);

    return rc != 0 ? rc : ledger_budgets_read(db, zone, only_uncounted, &r->budgets, &r->budget_count);
}

#define KNOWN 4096 /* a power of two */

struct recount_known {
    uint32_t dims; /* 0: nothing is known here */
    uint32_t count, room;
    uint32_t *budget; /* owned; index; those that do not look at sessions */
};

static void forget(struct recount_known *known)
{
    for (size_t i = 0; known != NULL && i < KNOWN; i++)
        free(known[i].budget);
    free(known);
}

void recount_fini(struct recount *r)
{
    for (size_t i = 0; i < r->budget_count; i++)
        ledger_budget_free(r->budgets[i]);
    free(r->budgets);
    forget(r->known);
    ledger_cells_fini(&r->cells);
    if (r->reader != NULL)
        log_reader_close(r->reader);
    free(r->reader);
    if (r->subjects != NULL)
        subject_reader_close(r->subjects);
    free(r->subjects);
    sqlite3_finalize(r->admitted);
    booked_fini(&r->booked);
    *r = (struct recount){ .db = NULL };
}

/* --------------------------------------------------------------------- rows */

int recount_post_ms(struct recount *r, const struct log_row *row, int64_t *post_ms)
{
    *post_ms = row->ts_ms;
    if (row->reservation_len == 0)
        return 0;
    sqlite3_bind_text(r->admitted, 1, row->reservation, row->reservation_len, SQLITE_STATIC);
    int rc = sqlite3_step(r->admitted);
    if (rc == SQLITE_ROW)
        *post_ms = sqlite3_column_int64(r->admitted, 0);
    sqlite3_reset(r->admitted);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static bool note_budget(struct recount_known *k, uint32_t budget)
{
    if (k->count == k->room) {
        uint32_t room = k->room == 0 ? 4 : 2 * k->room;
        uint32_t *more = realloc(k->budget, room * sizeof *more);
        if (more == NULL)
            return false;
        k->budget = more;
        k->room = room;
    }
    k->budget[k->count++] = budget;
    return true;
}

/* NULL: no memory. */
static const struct recount_known *known_of(struct recount *r, uint32_t dims, const struct subject *who)
{
    if (r->known == NULL && (r->known = calloc(KNOWN, sizeof *r->known)) == NULL)
        return NULL;
    struct recount_known *k = &r->known[dims & (KNOWN - 1)];
    if (k->dims == dims && dims != 0)
        return k;
    k->dims = 0;
    k->count = 0;
    for (size_t i = 0; i < r->budget_count; i++)
        if (!r->budgets[i]->needs_session && scope_holds(&r->budgets[i]->def->scope, who) &&
            !note_budget(k, (uint32_t)i))
            return NULL;
    k->dims = dims;
    return k;
}

static int count_for(struct recount *r, const struct ledger_budget *b, const struct subject *who,
                     int64_t post_ms, const struct worth *worth)
{
    uint8_t key[BUDGET_KEY_MAX];

    if (post_ms < b->counts_from_ms)
        return 0;
    uint32_t len = (uint32_t)budget_key(b->def, who, key);
    struct recount_cell *c =
        ledger_cells_get(&r->cells, b->id, key, len, window_start(&b->def->window, post_ms));
    if (c == NULL)
        return -SQLITE_NOMEM;
    c->amount = amount_add(c->amount, worth->amount[b->def->unit]);
    c->calls++;
    c->unknown += worth->unknown[b->def->unit];
    return 0;
}

static int count_all(struct recount *r, uint32_t dims, const struct subject *who, int64_t post_ms,
                     const struct worth *worth)
{
    const struct recount_known *k = known_of(r, dims, who);
    int rc = k == NULL ? -SQLITE_NOMEM : 0;

    for (uint32_t i = 0; rc == 0 && i < k->count; i++)
        rc = count_for(r, r->budgets[k->budget[i]], who, post_ms, worth);
    for (size_t i = 0; rc == 0 && i < r->budget_count; i++)
        if (r->budgets[i]->needs_session && scope_holds(&r->budgets[i]->def->scope, who))
            rc = count_for(r, r->budgets[i], who, post_ms, worth);
    return rc;
}

int recount_row(struct recount *r, const struct log_row *row)
{
    int64_t num[DISPATCH_NUMS], post_ms;
    struct log_row counted;
    struct subject who;
    struct worth worth;
    int rc;

    if (row->kind != LOG_DISPATCH || !row->counts || row->status == STATUS_blocked || r->budget_count == 0)
        return 0;
    if ((rc = recount_post_ms(r, row, &post_ms)) != 0 ||
        (rc = subject_reader_get(r->subjects, row->dims, row->session, &who)) != 0 ||
        (rc = booked_row(&r->booked, row, num, &counted)) < 0)
        return rc;
    worth_of(&counted, &worth);
    return count_all(r, row->dims, &who, post_ms, &worth);
}

/* The reader is kept: for a few rows its preparing would take longer than its reading. */
int recount_seek(struct recount *r, int64_t first_id, int64_t last_id)
{
    int rc = booked_recover(&r->booked);

    if (rc != 0)
        return rc;
    if (r->reader != NULL)
        return log_reader_seek(r->reader, first_id, last_id);
    struct log_reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return -SQLITE_NOMEM;
    rc = log_reader_open_kind(reader, r->db, LOG_DISPATCH, first_id, last_id);
    if (rc != 0)
        free(reader);
    else
        r->reader = reader;
    return rc;
}

int recount_rows(struct recount *r, int64_t first_id, int64_t last_id)
{
    struct log_row row;
    int64_t n = 0;
    int rc = recount_seek(r, first_id, last_id);

    if (rc != 0)
        return rc;
    while ((rc = log_reader_next(r->reader, &row)) == 1) {
        if ((rc = recount_row(r, &row)) != 0)
            break;
        if (r->progress != NULL && ++n % ROWS_PER_REPORT == 0)
            r->progress(r->progress_arg, row.id - first_id, last_id - first_id + 1);
    }
    log_reader_rest(r->reader);
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
