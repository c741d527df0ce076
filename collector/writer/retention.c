/* SPDX-License-Identifier: MIT
 *
 * retention.c. Each kind of data is one kind of work. A slice does as much as it has time for and the
 * next one begins with the next kind, so that a long backlog of one does not keep the others waiting.
 * Nothing but that turn is remembered between slices: what there is to do is read from the file.
 */
#include "retention.h"

#include <stdlib.h>

#include "retention_work.h"

/* Between slices the writer has four fifths of the time; half of it when retention cannot keep up. */
#define PAUSE_SHARE      4
#define PAUSE_SHARE_LATE 1
#define PAUSE_MIN_MS     5
#define LOOK_MAX_MS      10000
#define RETRY_MS         1000

int retention_prepare_all(struct retention *r, const struct retention_prepare *all, size_t count)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = store_prepare(r->store, all[i].sql, all[i].stmt);
    return rc;
}

int retention_init(struct retention *r, struct store *store, struct names *names,
                   const struct retention_ages *ages)
{
    int rc;

    *r = (struct retention){ .store = store, .names = names, .ages = ages, .due = mono_now() };
    r->sessions_due = r->reservations_due = r->cells_due = r->due;
    r->sql = calloc(1, sizeof *r->sql);
    if (r->sql == NULL)
        return -SQLITE_NOMEM;
    if ((rc = retention_prepare_log(r)) != 0 || (rc = retention_prepare_rollups(r)) != 0 ||
        (rc = retention_prepare_ledger(r)) != 0 || (rc = retention_prepare_alerts(r)) != 0)
        return rc;
    return retention_prepare_sessions(r);
}

void retention_fini(struct retention *r)
{
    retention_fini_ledger(r);
    free(r->sql);
    *r = (struct retention){ .store = NULL };
}

int retention_number(sqlite3_stmt *stmt, int64_t *out, bool *found)
{
    int rc = sqlite3_step(stmt);
    bool is_known = rc == SQLITE_ROW && sqlite3_column_type(stmt, 0) != SQLITE_NULL;

    if (is_known)
        *out = sqlite3_column_int64(stmt, 0);
    if (found != NULL)
        *found = is_known;
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

int retention_drop(struct retention *r, sqlite3_stmt *stmt, int64_t *count, int *changes)
{
    int rc = store_run(stmt);

    if (rc != 0)
        return rc;
    int n = sqlite3_changes(r->store->db);
    *count += n;
    if (changes != NULL)
        *changes = n;
    return 0;
}

/* --------------------------------------------------------------------- slices */

static const retention_work work[] = { retention_dispatch,    retention_message, retention_report,
                                       retention_quarantine,  retention_minute,  retention_quarter,
                                       retention_day,         retention_session, retention_index,
                                       retention_reservation, retention_cell,    retention_alert };
#define WORKS ((int)(sizeof work / sizeof *work))

static bool has_deleted(const struct retention_tally *t)
{
    int64_t rows = t->index_rows;

    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        rows += t->rows[kind];
    return rows > 0;
}

/* Works stand behind what gives them something to do. A round that began in their midst and deleted something
 * may have left something to those that it began with. */
static int run_slice(struct retention *r, int64_t now_ms, bool *more)
{
    int rc = 0, first = r->turn, last = first + WORKS;

    for (int i = r->turn; rc == 0 && i < last; i++) {
        bool has_more = false;
        rc = work[i % WORKS](r, now_ms, &has_more);
        *more |= has_more;
        r->turn = (i + 1) % WORKS;
        if (retention_is_time_up(r) && i + 1 < last) {
            *more = true; /* nobody has looked at the others */
            return rc;
        }
    }
    if (first > 0 && has_deleted(&r->tally)) {
        *more = true;
        r->turn = 0;
    }
    return rc;
}

static int64_t shortest_age(const struct retention *r)
{
    int64_t shortest = RETENTION_FOREVER;

    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        if (retention_age_of(r, (enum retention_kind)kind) < shortest)
            shortest = retention_age_of(r, (enum retention_kind)kind);
    return shortest;
}

static void plan(struct retention *r, int64_t took_us, bool more)
{
    int64_t pause_ms =
        retention_between(RETENTION_LOOK_MIN_MS, shortest_age(r) / RETENTION_LOOKS_PER_AGE, LOOK_MAX_MS);

    if (more)
        pause_ms = retention_between(
            PAUSE_MIN_MS, took_us * (r->is_late ? PAUSE_SHARE_LATE : PAUSE_SHARE) / 1000, RETRY_MS);
    r->due = mono_after(mono_now(), pause_ms);
}

int retention_step(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t start_us = mono_us();
    bool has_more = false;
    int rc;

    r->tally = (struct retention_tally){ 0 };
    r->is_late = false;
    if ((rc = store_begin(r->store)) == 0) {
        r->deadline_us = mono_us() + RETENTION_SLICE_US;
        rc = run_slice(r, now_ms, &has_more);
    }
    if (rc == 0)
        rc = store_commit(r->store);
    if (rc != 0) {
        store_rollback(r->store);
        r->tally = (struct retention_tally){ 0 };
        r->due = mono_after(mono_now(), RETRY_MS);
        return rc;
    }
    plan(r, mono_us() - start_us, has_more);
    *more = has_more;
    return 0;
}

bool retention_is_due(const struct retention *r)
{
    return mono_left(r->due) == 0;
}

int64_t retention_wait_ms(const struct retention *r)
{
    return mono_left(r->due);
}
