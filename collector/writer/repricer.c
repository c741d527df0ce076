/* SPDX-License-Identifier: MIT */
#include "repricer.h"

#include <stdlib.h>
#include <string.h>

#define REFS          4096 /* combinations whose sum is remembered; a power of two */
#define WINDOW        1024 /* ids that are looked at together */
#define LOOK_AT_CLOCK 16   /* rows between two looks */
#define PAUSE_MIN_MS  2
#define PAUSE_SHARE   3 /* for each millisecond of work so many of pause */
#define OTHER         "(other)"

/* Which sum the calls of a combination belong to; sum NULL: another model was asked for. */
struct reprice_ref {
    uint32_t dims; /* 0: free */
    struct reprice_sum *sum;
};

struct found {
    int64_t id;
    struct reprice_sum *sum;
};

int repricer_init(struct repricer *r, struct store *store, struct pricer *pricer,
                  struct projections *projections)
{
    int rc;

    *r = (struct repricer){ .store = store, .pricer = pricer, .projections = projections };
    r->refs = calloc(REFS, sizeof *r->refs);
    r->sums = calloc(REPRICE_MODELS_MAX, sizeof *r->sums);
    if (r->refs == NULL || r->sums == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store,
                            "SELECT id, dims FROM dispatch WHERE id > ?1 AND id <= ?2 AND ts_ms >= ?3"
                            " AND ts_ms < ?4 AND state & 7 <> 1 ORDER BY id",
                            &r->scan)) != 0 ||
        (rc = log_row_prepare(store->db, &r->read)) != 0 ||
        (rc = store_prepare(store, "UPDATE dispatch SET price=?2, cost_nanousd=?3 WHERE id=?1",
                            &r->change)) != 0 ||
        (rc = store_prepare(store, "SELECT ifnull(provider, ''), ifnull(model, '') FROM dims WHERE id=?",
                            &r->names)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO audit VALUES(NULL,?,?,'reprice',?)", &r->note)) != 0)
        return rc;
    return store_prepare(store, "UPDATE audit SET detail=?2 WHERE id=?1", &r->note_end);
}

void repricer_fini(struct repricer *r)
{
    free(r->refs);
    free(r->sums);
    r->refs = NULL;
    r->sums = NULL;
}

/* --------------------------------------------------------------------- sums */

static struct reprice_sum *sum_find(struct repricer *r, const char *provider, const char *model)
{
    unsigned at = 0;

    while (at < r->models &&
           (strcmp(r->sums[at].provider, provider) != 0 || strcmp(r->sums[at].model, model) != 0))
        at++;
    if (at == r->models && at == REPRICE_MODELS_MAX - 1)
        provider = model = OTHER; /* the last one takes all that follow */
    else if (at == REPRICE_MODELS_MAX)
        at = REPRICE_MODELS_MAX - 1;
    if (at == r->models) {
        r->sums[at] = (struct reprice_sum){ .calls = 0 };
        snprintf(r->sums[at].provider, REPRICE_TEXT, "%s", provider);
        snprintf(r->sums[at].model, REPRICE_TEXT, "%s", model);
        r->models++;
    }
    return &r->sums[at];
}

/* The sum of a combination; *out NULL: its model was not asked for. */
static int sum_of(struct repricer *r, uint32_t dims, struct reprice_sum **out)
{
    struct reprice_ref *ref = &r->refs[dims % REFS];
    int rc = SQLITE_ROW;

    if (ref->dims != dims) {
        sqlite3_bind_int64(r->names, 1, dims);
        rc = sqlite3_step(r->names);
        if (rc == SQLITE_ROW) {
            const char *provider = (const char *)sqlite3_column_text(r->names, 0);
            const char *model = (const char *)sqlite3_column_text(r->names, 1);
            bool wanted = r->request.model[0] == 0 || strcmp(r->request.model, model) == 0;
            *ref = (struct reprice_ref){ dims, wanted ? sum_find(r, provider, model) : NULL };
        }
        sqlite3_reset(r->names);
    }
    *out = rc == SQLITE_ROW ? ref->sum : NULL;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

static void sum_add(struct reprice_sum *s, int64_t old_nanousd, int64_t new_nanousd)
{
    s->calls++;
    s->changed += old_nanousd != new_nanousd;
    s->old_unknown += old_nanousd == UNKNOWN;
    s->new_unknown += new_nanousd == UNKNOWN;
    s->old_nanousd += old_nanousd != UNKNOWN ? old_nanousd : 0;
    s->new_nanousd += new_nanousd != UNKNOWN ? new_nanousd : 0;
}

/* --------------------------------------------------------------------- rows */

/* The one place where budgets are told. */
static int tell_ledger(const struct repricer *r, const struct log_row *was, const struct log_row *is)
{
    bool told = r->ledger != NULL && is->counts;

    return told ? r->ledger(r->ledger_arg, was, is, r->request.budgets) : 0;
}

static int take_out(struct repricer *r, int64_t now_ms, const struct log_row *row)
{
    int rc = projections_make_room(r->projections, now_ms);

    return rc == 0 && row->counts ? projections_retract_sums(r->projections, row) : rc;
}

static int put_back(struct repricer *r, int64_t now_ms, const struct log_row *row)
{
    int rc = projections_make_room(r->projections, now_ms);

    return rc == 0 && row->counts ? projections_restore_sums(r->projections, row) : rc;
}

static int change(struct repricer *r, int64_t now_ms, const struct log_row *was, const struct log_row *is)
{
    int rc = take_out(r, now_ms, was);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(r->change, 1, is->id);
    bind_num(r->change, 2, is->num[D_price]);
    bind_num(r->change, 3, is->num[D_cost_nanousd]);
    if ((rc = store_run(r->change)) != 0 || (rc = put_back(r, now_ms, is)) != 0)
        return rc;
    return tell_ledger(r, was, is);
}

static int reprice_row(struct repricer *r, int64_t now_ms, const struct found *f)
{
    int64_t old[DISPATCH_NUMS], fresh[DISPATCH_NUMS];
    struct log_row was, is;
    int rc;

    for (int i = 0; i < DISPATCH_NUMS; i++)
        old[i] = UNKNOWN; /* a row of the log fills only what is summed */
    if ((rc = log_row_read(r->read, f->id, old, &was)) <= 0)
        return rc;
    memcpy(fresh, old, sizeof fresh);
    if ((rc = pricer_price_again(r->pricer, was.dims, was.ts_ms, fresh)) != 0)
        return rc;
    is = was;
    is.num = fresh;
    if (was.counts)
        sum_add(f->sum, old[D_cost_nanousd], fresh[D_cost_nanousd]);
    if (r->request.dry_run)
        return 0;
    if (old[D_cost_nanousd] == fresh[D_cost_nanousd] && old[D_price] == fresh[D_price])
        return tell_ledger(r, &was, &is); /* budgets may have kept another one */
    return change(r, now_ms, &was, &is);
}

/* The calls among the next ids that are asked for; *last: the last id that was looked at. */
static int find_window(struct repricer *r, struct found out[WINDOW], unsigned *count, int64_t *last)
{
    int rc;

    *count = 0;
    *last = r->last_id - r->at_id > WINDOW ? r->at_id + WINDOW : r->last_id;
    sqlite3_bind_int64(r->scan, 1, r->at_id);
    sqlite3_bind_int64(r->scan, 2, *last);
    sqlite3_bind_int64(r->scan, 3, r->request.from_ms);
    sqlite3_bind_int64(r->scan, 4, r->request.to_ms);
    while ((rc = sqlite3_step(r->scan)) == SQLITE_ROW) {
        struct found *f = &out[*count];
        f->id = sqlite3_column_int64(r->scan, 0);
        int bad = sum_of(r, (uint32_t)sqlite3_column_int64(r->scan, 1), &f->sum);
        if (bad != 0) {
            sqlite3_reset(r->scan);
            return bad;
        }
        *count += f->sum != NULL;
    }
    sqlite3_reset(r->scan);
    return rc == SQLITE_DONE ? 0 : -rc;
}

/* Rows until the time is over or there are no more. */
static int run_rows(struct repricer *r, int64_t now_ms)
{
    int64_t deadline_us = mono_us() + REPRICE_SLICE_US, last;
    struct found window[WINDOW];
    unsigned count;
    int rc;

    while (r->at_id < r->last_id) {
        if ((rc = find_window(r, window, &count, &last)) != 0)
            return rc;
        for (unsigned i = 0; i < count; i++) {
            if ((rc = reprice_row(r, now_ms, &window[i])) != 0)
                return rc;
            r->at_id = window[i].id;
            if (i % LOOK_AT_CLOCK == LOOK_AT_CLOCK - 1 && mono_us() >= deadline_us)
                return 0;
        }
        r->at_id = last;
        if (mono_us() >= deadline_us)
            return 0;
    }
    return 0;
}

/* -------------------------------------------------------------------- audit */

/* A row when the run begins, what came of it when it ends. */
static int write_note(struct repricer *r, int64_t now_ms, bool ends)
{
    sqlite3_stmt *stmt = ends ? r->note_end : r->note;
    json_t *report = repricer_report(r);
    char *text = json_dumps(report, JSON_COMPACT);
    int rc = -SQLITE_NOMEM;

    json_decref(report);
    if (text == NULL)
        return rc;
    if (ends)
        sqlite3_bind_int64(stmt, 1, r->audit_id);
    else
        sqlite3_bind_int64(stmt, 1, now_ms);
    sqlite3_bind_text(stmt, ends ? 2 : 3, text, -1, SQLITE_STATIC);
    if (!ends && r->request.author[0] != 0)
        sqlite3_bind_text(stmt, 2, r->request.author, -1, SQLITE_STATIC);
    else if (!ends)
        sqlite3_bind_null(stmt, 2);
    if ((rc = store_run(stmt)) == 0 && !ends)
        r->audit_id = sqlite3_last_insert_rowid(r->store->db);
    free(text);
    return rc;
}

/* --------------------------------------------------------------------- runs */

bool repricer_start(struct repricer *r, const struct reprice_request *request, int64_t now_ms)
{
    if (r->state == REPRICE_RUNNING)
        return false;
    r->request = *request;
    r->state = REPRICE_RUNNING;
    r->at_id = r->audit_id = UNKNOWN; /* found by the first step */
    r->last_id = r->store->next_id - 1;
    r->started_ms = now_ms;
    r->ended_ms = UNKNOWN;
    r->due = mono_now();
    r->models = 0;
    memset(r->refs, 0, REFS * sizeof *r->refs);
    return true;
}

/* Pieces of the log in which nothing is young enough are passed over. */
static int find_first(struct repricer *r)
{
    char sql[160];
    int rc;

    if (r->at_id != UNKNOWN)
        return 0;
    snprintf(sql, sizeof sql,
             "SELECT ifnull(max(last_id), 0) FROM log_partition WHERE last_id < ifnull((SELECT min(first_id)"
             " FROM log_partition WHERE newest_ms >= %lld), 1 << 62)",
             (long long)r->request.from_ms);
    if ((rc = store_number(r->store, sql, &r->first_id)) == 0)
        r->at_id = r->first_id;
    return rc;
}

static int run_slice(struct repricer *r, int64_t now_ms)
{
    bool dry = r->request.dry_run;
    int rc = find_first(r);

    if (rc == 0 && !dry && r->audit_id == UNKNOWN)
        rc = write_note(r, now_ms, false);
    if (rc == 0)
        rc = run_rows(r, now_ms);
    if (rc == 0 && r->at_id >= r->last_id) {
        r->state = REPRICE_DONE;
        r->ended_ms = now_ms;
        rc = dry ? 0 : write_note(r, now_ms, true);
    }
    return rc != 0 || dry ? rc : projections_settle(r->projections, now_ms);
}

int repricer_step(struct repricer *r, int64_t now_ms)
{
    int64_t start_us = mono_us();
    int rc = store_begin(r->store);

    if (rc == 0)
        rc = run_slice(r, now_ms);
    if (rc == 0 && !r->request.dry_run)
        rc = store_commit(r->store);
    if (rc != 0 || r->request.dry_run) {
        store_rollback(r->store); /* prices that only a dry run met leave no row */
        pricer_recover(r->pricer);
    }
    if (rc != 0) {
        r->state = REPRICE_FAILED;
        r->ended_ms = now_ms;
        return rc;
    }
    if (!r->request.dry_run)
        projections_committed(r->projections);
    int64_t pause_ms = (mono_us() - start_us) * PAUSE_SHARE / 1000;
    r->due = mono_after(mono_now(), pause_ms > PAUSE_MIN_MS ? pause_ms : PAUSE_MIN_MS);
    return 0;
}

bool repricer_is_due(const struct repricer *r)
{
    return r->state == REPRICE_RUNNING && mono_left(r->due) == 0;
}

int64_t repricer_wait_ms(const struct repricer *r)
{
    return r->state == REPRICE_RUNNING ? mono_left(r->due) : -1;
}
