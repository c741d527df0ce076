/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/msgpack_reader.h"

#define QUARANTINE_BYTES_MAX ((uint32_t)64 * 1024) /* of one piece; the rest is cut */

int journal_init(struct journal *j, struct store *store, const struct journal_options *options)
{
    int rc;

    *j = (struct journal){ .options = *options, .store = store };
    if (recent_init(&j->recent) != 0 || runs_init(&j->runs) != 0)
        return -SQLITE_NOMEM;
    if ((rc = names_init(&j->names, store)) != 0 || (rc = rollup_init(&j->rollup, store)) != 0 ||
        (rc = store_prepare(
             store,
             "SELECT prompt_tokens, completion_tokens, total_tokens, cached_tokens, cache_write_tokens,"
             " cache_write_1h_tokens, reasoning_tokens"
             " FROM dispatch WHERE id=?",
             &j->read_usage)) != 0 ||
        (rc = store_prepare(store, "UPDATE dispatch SET state = state & 8 | ?2 WHERE id=?1",
                            &j->set_state)) != 0 ||
        (rc = store_prepare(
             store,
             "SELECT e.id FROM dispatch e JOIN dims d ON d.id = e.dims WHERE e.id>=?1 AND e.session=?2"
             " AND e.run_id=?3 AND e.state & 7 = 0 AND d.granularity > ?4 AND e.id<=?5",
             &j->find_coarser)) != 0)
        return rc;
    return store_prepare(store, "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?",
                         &j->trim_quarantine);
}

void journal_fini(struct journal *j)
{
    names_fini(&j->names);
    recent_fini(&j->recent);
    runs_fini(&j->runs);
    rollup_fini(&j->rollup);
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
        "SELECT e.id, event_id, ifnull(partial, 0), ifnull(session, 0), run_id, ifnull(d.granularity, 1) "
        "FROM dispatch e"
        " JOIN dims d ON d.id = e.dims WHERE e.id > ?1"
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
    names_forget(&j->names);
    if ((rc = store_reload(j->store)) != 0 ||
        (rc = store_number(j->store, "SELECT count(*) FROM quarantine", &j->quarantined)) != 0 ||
        (rc = recover_recent(j)) != 0)
        return rc;
    return rollup_replay(&j->rollup);
}

/* ---------------------------------------------------------------- identity */

/* Gives an event without an id the one that schema/wire.md says. */
static void name_event(struct event *e, const struct journal_origin *from, int64_t row)
{
    struct session_names s = { .text = { { NULL, 0 } } };

    if (e->has_id)
        return;
    if (e->session.at != NULL)
        session_names_read(e->session, &s);
    struct slice session = s.text[S_session_id], response = e->text[D_response_id], span = e->text[D_span_id];
    if (e->kind == KIND_dispatch && response.at != NULL)
        tg_event_id_hash('r', (const char *)session.at, session.len, (const char *)response.at, response.len,
                         e->id);
    else if (e->kind == KIND_dispatch && span.at != NULL)
        tg_event_id_hash('s', (const char *)session.at, session.len, (const char *)span.at, span.len, e->id);
    else if (from->has_stream)
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

/* Takes a row that counted out of everything derived from it. */
static int retire(struct journal *j, int64_t row, enum log_state state)
{
    int rc = rollup_retract(&j->rollup, row);

    return rc != 0 ? rc : set_state(j, row, state);
}

static void bind_head(sqlite3_stmt *stmt, int64_t row, const struct journal_origin *from,
                      const struct event *e)
{
    sqlite3_bind_int64(stmt, 1, row);
    sqlite3_bind_int64(stmt, 2, e->ts_ms);
    sqlite3_bind_int64(stmt, 3, from->now_ms - e->ts_ms);
}

static void bind_names(sqlite3_stmt *stmt, uint32_t dims, uint32_t session, const struct event *e)
{
    sqlite3_bind_int64(stmt, 5, dims);
    if (session != 0)
        sqlite3_bind_int64(stmt, 6, session);
    else
        sqlite3_bind_null(stmt, 6);
    sqlite3_bind_blob(stmt, 7, e->id, 16, SQLITE_STATIC);
}

static int insert_dispatch(struct journal *j, int64_t row, const struct journal_origin *from,
                           const struct event *e, int state, uint32_t dims, uint32_t session)
{
    sqlite3_stmt *stmt = j->store->dispatch;
    int at = 8;

    bind_head(stmt, row, from, e);
    sqlite3_bind_int(stmt, 4, state);
    bind_names(stmt, dims, session, e);
    for (int i = 0; i < DISPATCH_TEXTS; i++)
        bind_text(stmt, at++, e->text[i]);
    for (int i = 0; i < DISPATCH_NUMS; i++)
        bind_num(stmt, at++, e->num[i]);
    return store_run(stmt);
}

static int insert_message(struct journal *j, int64_t row, const struct journal_origin *from,
                          const struct event *e, uint32_t dims, uint32_t session)
{
    sqlite3_stmt *stmt = j->store->message;
    int at = 8;

    bind_head(stmt, row, from, e);
    sqlite3_bind_int(stmt, 4, e->kind);
    bind_names(stmt, dims, session, e);
    for (int i = 0; i < MESSAGE_TEXTS; i++)
        bind_text(stmt, at++, e->text[i]);
    for (int i = 0; i < MESSAGE_NUMS; i++)
        bind_num(stmt, at++, e->num[i]);
    return store_run(stmt);
}

/* Off the hot path: an emitter reports once a minute. Decode has checked shape and size. */
static json_t *report_json(struct mp *mp)
{
    struct mp_value v;

    if (!mp_read(mp, &v))
        return NULL;
    switch (v.type) {
    case MP_STR:
        return json_stringn((const char *)v.s.at, v.s.len);
    case MP_UINT:
    case MP_NEGATIVE:
        return json_integer((json_int_t)v.u);
    case MP_FLOAT:
        return json_real(v.f);
    case MP_BOOL:
        return json_boolean(v.u != 0);
    case MP_MAP:
        break;
    default:
        return json_null();
    }
    json_t *object = json_object();
    for (uint32_t n = v.count; n > 0; n--) {
        struct mp_value name;
        char text[256] = "";
        if (!mp_read(mp, &name) || name.type != MP_STR || name.s.len >= sizeof text)
            break;
        memcpy(text, name.s.at, name.s.len);
        text[name.s.len] = '\0';
        json_object_set_new(object, text, report_json(mp));
    }
    return object;
}

static int insert_report(struct journal *j, int64_t row, const struct journal_origin *from,
                         const struct event *e)
{
    sqlite3_stmt *stmt = j->store->report;
    struct mp mp = mp_of(e->body);
    json_t *json = report_json(&mp);
    char *text = json_dumps(json, JSON_COMPACT);

    json_decref(json);
    bind_head(stmt, row, from, e);
    sqlite3_bind_int64(stmt, 4, from->source);
    bind_num(stmt, 5, from->has_stream ? (int64_t)from->epoch : UNKNOWN);
    sqlite3_bind_blob(stmt, 6, e->id, 16, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 7, text != NULL ? text : "{}", -1, SQLITE_TRANSIENT);
    free(text);
    return store_run(stmt);
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
static int meet_again(struct journal *j, const struct recent_entry *old, const struct event *e,
                      enum event_result *result)
{
    *result = EVENT_DUPLICATE;
    if (e->kind != KIND_dispatch || e->num[D_partial] == 1)
        return 0;
    if (!old->partial)
        return compare_final(j, old->row, e, result);
    *result = EVENT_REPLACED;
    return retire(j, old->row, STATE_REPLACED);
}

static void count_result(struct journal_tally *t, enum event_result result)
{
    t->stored += result == EVENT_STORED || result == EVENT_REPLACED;
    t->replaced += result == EVENT_REPLACED;
    t->duplicate += result == EVENT_DUPLICATE;
    t->conflict += result == EVENT_CONFLICT;
}

/* A finer record of a run has come: its sums do not count any more. */
static int retire_coarser(struct journal *j, const struct runs_verdict *rows_of, uint32_t session,
                          struct slice run, uint8_t granularity)
{
    int64_t rows[64];
    int n, rc;

    do {
        sqlite3_bind_int64(j->find_coarser, 1, rows_of->coarser_from);
        sqlite3_bind_int64(j->find_coarser, 5, rows_of->coarser_to);
        sqlite3_bind_int64(j->find_coarser, 2, session);
        bind_text(j->find_coarser, 3, run);
        sqlite3_bind_int(j->find_coarser, 4, granularity);
        rc = SQLITE_ROW;
        for (n = 0; n < 64 && (rc = sqlite3_step(j->find_coarser)) == SQLITE_ROW; n++)
            rows[n] = sqlite3_column_int64(j->find_coarser, 0);
        sqlite3_reset(j->find_coarser);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
            return -rc;
        for (int i = 0; i < n; i++) {
            if ((rc = retire(j, rows[i], STATE_COARSER)) != 0)
                return rc;
            j->tally.coarser++;
        }
    } while (n == 64);
    return 0;
}

static int append_dispatch(struct journal *j, int64_t row, const struct journal_origin *from,
                           const struct event *e, int flags)
{
    uint32_t dims, session = 0;
    uint8_t granularity;
    int rc, state = STATE_COUNTS;

    if ((rc = names_dims(&j->names, from->source, e->dims, &dims, &granularity)) != 0 ||
        (e->session.at != NULL && (rc = names_session(&j->names, e->session, &session)) != 0))
        return rc;
    struct runs_verdict run = runs_meet(&j->runs, session, e->text[D_run_id], granularity, row);
    if (run.coarser_from != 0 && (rc = retire_coarser(j, &run, session, e->text[D_run_id], granularity)) != 0)
        return rc;
    if (!run.counts) {
        state = STATE_COARSER;
        j->tally.coarser++;
    }
    if ((rc = insert_dispatch(j, row, from, e, state | flags, dims, session)) != 0)
        return rc;
    if (state == STATE_COUNTS)
        rollup_post(&j->rollup, e->ts_ms, dims, e->num);
    return 0;
}

static int append_message(struct journal *j, int64_t row, const struct journal_origin *from,
                          const struct event *e)
{
    uint32_t dims, session = 0;
    uint8_t granularity;
    int rc;

    if ((rc = names_dims(&j->names, from->source, e->dims, &dims, &granularity)) != 0 ||
        (e->session.at != NULL && (rc = names_session(&j->names, e->session, &session)) != 0))
        return rc;
    return insert_message(j, row, from, e, dims, session);
}

int journal_append(struct journal *j, const struct journal_origin *from, struct event *e,
                   enum event_result *result)
{
    struct recent_entry old;
    int64_t row = j->store->next_id;
    int rc, flags = settle_time(j, from, e);

    *result = EVENT_STORED;
    name_event(e, from, row);
    if (rollup_is_full(&j->rollup) && (rc = rollup_flush(&j->rollup)) != 0)
        return rc;
    if (recent_find(&j->recent, e->id, &old) && (rc = meet_again(j, &old, e, result)) != 0)
        return rc;
    if (*result == EVENT_STORED || *result == EVENT_REPLACED) {
        rc = e->kind == KIND_dispatch ? append_dispatch(j, row, from, e, flags)
             : e->kind == KIND_report ? insert_report(j, row, from, e)
                                      : append_message(j, row, from, e);
        if (rc != 0)
            return rc;
        j->store->next_id++;
        rollup_note(&j->rollup, row, e->ts_ms);
        j->tally.newest_ms = e->ts_ms;
        recent_add(&j->recent, e->id,
                   (struct recent_entry){ row, e->kind == KIND_dispatch && e->num[D_partial] == 1 });
    }
    count_result(&j->tally, *result);
    return 0;
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
    return store_run(stmt);
}
