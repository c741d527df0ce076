/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/identifier.h"
#include "../base/stored.h"
#include "log_write.h"

#define QUARANTINE_BYTES_MAX ((uint32_t)64 * 1024) /* of one piece; the rest is cut */
#define RETIRED_AT_ONCE      64

int journal_init(struct journal *j, struct store *store, const struct journal_options *options)
{
    int rc;

    *j = (struct journal){ .options = *options, .store = store };
    if (recent_init(&j->recent) != 0 || runs_init(&j->runs) != 0)
        return -SQLITE_NOMEM;
    if ((rc = names_init(&j->names, store, options->combinations)) != 0 ||
        (rc = pricer_init(&j->pricer, store, options->prices)) != 0 ||
        (rc = projections_init(&j->projections, store, options->zone, options->ages, options->governing)) !=
            0 ||
        (rc = watch_init(&j->watch, store, &j->projections.ledger, &j->pricer, &options->watching)) != 0 ||
        (rc = store_prepare(store,
                            "SELECT e.prompt_tokens, e.completion_tokens, " STORED_TOTAL_TOKENS
                            ", e.cached_tokens,"
                            " e.cache_write_tokens, e.cache_write_1h_tokens, e.reasoning_tokens"
                            " FROM dispatch e WHERE e.id=?",
                            &j->read_usage)) != 0 ||
        (rc = log_row_prepare(store->db, &j->read_row)) != 0 ||
        (rc = store_prepare(store, "UPDATE dispatch SET state = state & 8 | ?2 WHERE id=?1",
                            &j->set_state)) != 0 ||
        (rc = store_prepare(
             store,
             "SELECT 1 FROM dispatch e JOIN dims d ON d.id = e.dims WHERE e.id=?1 AND e.run_id=?2"
             " AND e.state & 7 = 0 AND d.granularity > ?3",
             &j->is_coarser)) != 0)
        return rc;
    return store_prepare(store, "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
                         &j->trim_quarantine);
}

void journal_fini(struct journal *j)
{
    names_fini(&j->names);
    recent_fini(&j->recent);
    runs_fini(&j->runs);
    pricer_fini(&j->pricer);
    watch_fini(&j->watch);
    projections_fini(&j->projections);
}

/* ---------------------------------------------------------------- recovery */

static void remember_row(struct journal *j, sqlite3_stmt *stmt)
{
    struct recent_entry entry = { sqlite3_column_int64(stmt, 0), sqlite3_column_int(stmt, 2) == 1 };
    const uint8_t *id = sqlite3_column_blob(stmt, 1);

    if (id == NULL || sqlite3_column_bytes(stmt, 1) != 16)
        return;
    recent_add(&j->recent, id, entry);
    struct slice run = { sqlite3_column_text(stmt, 4), (uint32_t)sqlite3_column_bytes(stmt, 4) };
    runs_meet(&j->runs, (uint32_t)sqlite3_column_int64(stmt, 3), run, (uint8_t)sqlite3_column_int(stmt, 5),
              entry.row);
}

static int recover_recent(struct journal *j)
{
    static const char sql[] =
        "SELECT e.id, event_identifier(e.event_id, s.session_id, e.response_id, e.span_id),"
        " ifnull(e.partial, 0), ifnull(e.session, 0), identifier(e.run_id), ifnull(d.granularity, 1)"
        " FROM dispatch e JOIN dims d ON d.id = e.dims LEFT JOIN session s ON s.id = e.session WHERE e.id > "
        "?1"
        " UNION ALL SELECT id, event_id, 0, 0, NULL, 1 FROM message WHERE id > ?1"
        " UNION ALL SELECT id, event_id, 0, 0, NULL, 1 FROM report WHERE id > ?1 ORDER BY 1";
    sqlite3_stmt *stmt;
    int rc = store_prepare(j->store, sql, &stmt);

    if (rc != 0)
        return rc;
    recent_clear(&j->recent);
    runs_clear(&j->runs);
    sqlite3_bind_int64(stmt, 1, j->store->next_id - 1 - RECENT_MIN);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        remember_row(j, stmt);
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int journal_recover(struct journal *j)
{
    int rc;

    j->tally = (struct journal_tally){ 0 };
    pricer_recover(&j->pricer);
    watch_recover(&j->watch);
    if ((rc = names_recover(&j->names)) != 0 || (rc = store_reload(j->store)) != 0 ||
        (rc = store_number(j->store, "SELECT count(*) FROM quarantine", &j->quarantined)) != 0 ||
        (rc = recover_recent(j)) != 0)
        return rc;
    return projections_start(&j->projections);
}

/* ---------------------------------------------------------------- identity */

/* Gives an event without an id the one that schema/wire.md says. */
static void name_event(struct event *e, const struct journal_origin *from, int64_t row)
{
    if (e->has_id)
        return;
    if (log_derive_id(e, e->id)) {
        e->has_id = true;
        return;
    }
    if (from->has_stream)
        tg_event_id_place(e->ts_ms, from->epoch, from->stream, from->seq, e->id);
    else
        tg_event_id_place(e->ts_ms, (uint64_t)from->now_ms, UINT64_MAX, (uint64_t)row, e->id);
    e->has_id = true;
}

/* The time of arrival stands in for one that is unknown or out of range. Returns the state's flag. */
static int settle_time(struct journal *j, const struct journal_origin *from, struct event *e)
{
    if (e->ts_ms == UNKNOWN) {
        e->ts_ms = from->now_ms;
    } else if (e->ts_ms < from->now_ms - j->options.past_ms ||
               e->ts_ms > from->now_ms + j->options.future_ms) {
        e->ts_ms = from->now_ms;
        j->tally.misdated++;
        return STATE_MISDATED;
    }
    return 0;
}

/* ------------------------------------------------------------------ writing */

static int set_state(struct journal *j, int64_t row, enum log_state state)
{
    sqlite3_bind_int64(j->set_state, 1, row);
    sqlite3_bind_int(j->set_state, 2, (int)state);
    return store_run(j->set_state);
}

/* Takes a row out of everything derived from it, if it counted. 1, 0: it is not in the log any more, or a
 * negative SQLite code. */
static int retire(struct journal *j, int64_t now_ms, int64_t id, enum log_state state)
{
    int64_t num[DISPATCH_NUMS];
    struct log_row row;
    int rc = projections_make_room(&j->projections, now_ms);

    if (rc != 0 || (rc = log_row_read(j->read_row, id, num, &row)) <= 0)
        return rc;
    if (row.counts && (rc = projections_retract(&j->projections, &row)) != 0)
        return rc;
    return (rc = set_state(j, id, state)) != 0 ? rc : 1;
}

/* -------------------------------------------------------------- recognising */

/* A second final record: the same, or one that says something else? */
static int compare_final(struct journal *j, int64_t row, const struct event *e, enum event_result *result)
{
    static const uint8_t fields[] = { D_prompt_tokens,   D_completion_tokens,  D_total_tokens,
                                      D_cached_tokens,   D_cache_write_tokens, D_cache_write_1h_tokens,
                                      D_reasoning_tokens };
    sqlite3_stmt *stmt = j->read_usage;
    int rc;

    *result = EVENT_DUPLICATE;
    sqlite3_bind_int64(stmt, 1, row);
    if ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        for (int i = 0; i < (int)sizeof fields; i++) {
            bool known = sqlite3_column_type(stmt, i) != SQLITE_NULL;
            if ((known ? sqlite3_column_int64(stmt, i) : UNKNOWN) != e->num[fields[i]])
                *result = EVENT_CONFLICT;
        }
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* An id that was here before. EVENT_REPLACED: e is to be stored and the old row is retired. */
static int meet_again(struct journal *j, int64_t now_ms, const struct recent_entry *old,
                      const struct event *e, enum event_result *result)
{
    *result = EVENT_DUPLICATE;
    if (e->kind != KIND_dispatch || e->num[D_partial] == 1)
        return 0;
    if (!old->partial)
        return compare_final(j, old->row, e, result);
    int rc = retire(j, now_ms, old->row, STATE_REPLACED);
    if (rc == 1)
        *result = EVENT_REPLACED; /* else retention has dropped it: what it said stays in the sums */
    return rc < 0 ? rc : 0;
}

static void count_result(struct journal_tally *t, enum event_result result)
{
    t->stored += result == EVENT_STORED || result == EVENT_REPLACED;
    t->replaced += result == EVENT_REPLACED;
    t->duplicate += result == EVENT_DUPLICATE;
    t->conflict += result == EVENT_CONFLICT;
}

/* Whether a row is of the run that is bound to the statement, counts, and is coarser. */
static int is_coarser(void *arg, int64_t id)
{
    sqlite3_stmt *stmt = arg;

    sqlite3_bind_int64(stmt, 1, id);
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* A finer record of a run has come: the sums of the coarser ones do not count any more. */
static int retire_coarser(struct journal *j, int64_t now_ms, const struct runs_verdict *rows_of,
                          uint32_t session, struct slice run, uint8_t granularity)
{
    uint8_t scratch[IDENTIFIER_MAX];
    int64_t rows[RETIRED_AT_ONCE], from = rows_of->coarser_from;
    int n, rc = 0;

    identifier_bind(j->is_coarser, 2, run, scratch);
    sqlite3_bind_int(j->is_coarser, 3, granularity);
    do {
        n = spans_find(&j->projections.sessions.spans, session, from, rows_of->coarser_to, is_coarser,
                       j->is_coarser, rows, RETIRED_AT_ONCE);
        for (int i = 0; rc >= 0 && i < n; i++) {
            rc = retire(j, now_ms, rows[i], STATE_COARSER);
            j->tally.coarser += rc == 1;
            from = rows[i] + 1;
        }
    } while (rc >= 0 && n == RETIRED_AT_ONCE);
    return n < 0 ? n : rc < 0 ? rc : 0;
}

/* The row that an event makes, as far as its names decide. */
static int name_row(struct journal *j, const struct journal_origin *from, const struct event *e,
                    struct log_row *row, uint8_t *granularity)
{
    struct combination c;
    int rc = names_dims(&j->names, from->source, e->dims, &c);

    if (rc != 0)
        return rc;
    row->dims = c.id;
    row->rollup = c.rollup;
    row->status = c.status;
    j->tally.overflowed += c.overflowed;
    *granularity = c.granularity;
    return e->session.at != NULL ? names_session(&j->names, e->session, &row->session) : 0;
}

static void note_reservation(struct slice id, struct log_row *row)
{
    if (id.at == NULL || id.len > LOG_RESERVATION_MAX)
        return;
    memcpy(row->reservation, id.at, id.len);
    row->reservation_len = (uint8_t)id.len;
}

static int append_dispatch(struct journal *j, const struct journal_origin *from, struct event *e, int flags,
                           struct log_row *row)
{
    uint8_t granularity;
    int rc;

    if ((rc = name_row(j, from, e, row, &granularity)) != 0 ||
        (rc = pricer_price(&j->pricer, row->dims, e->dims, e->ts_ms, e->num)) != 0)
        return rc;
    struct runs_verdict run = runs_meet(&j->runs, row->session, e->text[D_run_id], granularity, row->id);
    if (run.coarser_from != 0 &&
        (rc = retire_coarser(j, from->now_ms, &run, row->session, e->text[D_run_id], granularity)) != 0)
        return rc;
    row->counts = run.counts;
    row->num = e->num;
    note_reservation(e->text[D_reservation_id], row);
    j->tally.coarser += !run.counts;
    return log_write_dispatch(j->store, row, e, (run.counts ? STATE_COUNTS : STATE_COARSER) | flags);
}

static int append_message(struct journal *j, const struct journal_origin *from, const struct event *e,
                          struct log_row *row)
{
    uint8_t granularity;
    int rc = name_row(j, from, e, row, &granularity);

    row->status = 0;
    return rc != 0 ? rc : log_write_message(j->store, row, e);
}

static int append_report(struct journal *j, const struct journal_origin *from, const struct event *e,
                         const struct log_row *row)
{
    int64_t epoch = from->has_stream ? (int64_t)from->epoch : UNKNOWN;
    int64_t lost[LOSSES_REASONS];
    char *body = NULL;
    int rc = log_write_report(j->store, row, e, from->source, epoch, &body);

    if (rc == 0)
        rc = losses_report(j->projections.losses, from->source, epoch != UNKNOWN ? epoch : 0, body, lost);
    if (rc == 0)
        rc = watch_report(&j->watch, from->source, from->has_stream ? from->epoch : 0, body, lost,
                          from->now_ms);
    free(body);
    return rc;
}

static enum log_kind log_kind_of(const struct event *e)
{
    return e->kind == KIND_dispatch ? LOG_DISPATCH : e->kind == KIND_report ? LOG_REPORT : LOG_MESSAGE;
}

static int append_new(struct journal *j, const struct journal_origin *from, struct event *e, int flags,
                      bool replaces)
{
    struct log_row row = { .id = j->store->next_id,
                           .ts_ms = e->ts_ms,
                           .received_ms = from->now_ms,
                           .kind = log_kind_of(e),
                           .misdated = flags != 0,
                           .replaces = replaces };
    int rc = row.kind == LOG_DISPATCH ? append_dispatch(j, from, e, flags, &row)
             : row.kind == LOG_REPORT ? append_report(j, from, e, &row)
                                      : append_message(j, from, e, &row);

    if (rc != 0)
        return rc;
    j->store->next_id++;
    j->tally.newest_ms = e->ts_ms;
    recent_add(&j->recent, e->id,
               (struct recent_entry){ row.id, row.kind == LOG_DISPATCH && e->num[D_partial] == 1 });
    if ((rc = projections_row(&j->projections, &row, e)) != 0)
        return rc;
    return watch_row(&j->watch, &row, e, from->source);
}

int journal_append(struct journal *j, const struct journal_origin *from, struct event *e,
                   enum event_result *result)
{
    struct recent_entry old;
    int rc, flags = settle_time(j, from, e);

    *result = EVENT_STORED;
    name_event(e, from, j->store->next_id);
    if ((rc = projections_make_room(&j->projections, from->now_ms)) != 0)
        return rc;
    if (recent_find(&j->recent, e->id, &old) && (rc = meet_again(j, from->now_ms, &old, e, result)) != 0)
        return rc;
    if (*result == EVENT_STORED || *result == EVENT_REPLACED)
        rc = append_new(j, from, e, flags, *result == EVENT_REPLACED);
    if (rc == 0)
        count_result(&j->tally, *result);
    return rc;
}

int journal_quarantine(struct journal *j, const struct journal_origin *from, const struct batch_event *fault)
{
    sqlite3_stmt *stmt = j->store->quarantine;
    int rc;

    j->tally.quarantined += fault->fault_count;
    if (j->quarantined >= j->options.quarantine_rows) {
        sqlite3_bind_int64(j->trim_quarantine, 1, j->options.quarantine_rows - 1);
        if ((rc = store_run(j->trim_quarantine)) != 0)
            return rc;
        j->tally.discarded += sqlite3_changes(j->store->db);
        j->quarantined -= sqlite3_changes(j->store->db);
    }
    sqlite3_bind_int64(stmt, 1, from->now_ms);
    sqlite3_bind_int64(stmt, 2, from->source);
    bind_num(stmt, 3, from->has_stream ? (int64_t)from->epoch : UNKNOWN);
    bind_num(stmt, 4, from->has_stream ? (int64_t)from->stream : UNKNOWN);
    bind_num(stmt, 5, from->has_stream ? (int64_t)from->seq : UNKNOWN);
    sqlite3_bind_int64(stmt, 6, fault->fault_count);
    sqlite3_bind_text(stmt, 7, fault->fault, -1, SQLITE_STATIC);
    uint32_t kept =
        fault->event.body.len < QUARANTINE_BYTES_MAX ? fault->event.body.len : QUARANTINE_BYTES_MAX;
    sqlite3_bind_blob(stmt, 8, fault->event.body.at, (int)kept, SQLITE_STATIC);
    j->quarantined++;
    if ((rc = store_run(stmt)) != 0)
        return rc;
    return watch_quarantine(&j->watch, from->source, fault->fault_count, fault->fault, from->now_ms);
}
