/* SPDX-License-Identifier: MIT */
#include "runaways.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_pauses.h"
#include "runaway_log.h"

#define AUTHOR    "tollgated"
#define MARK_ROOM (ALERT_MARK_MAX + 1)

static const enum subject_field field_of[LOOKS] = { SUBJECT_session_id, SUBJECT_root_session_id,
                                                    SUBJECT_agent_id };

static void forget(struct runaways *r, int field, const char *value)
{
    struct slice name = { (const uint8_t *)value, (uint32_t)strlen(value) };

    for (int look = 0; look < LOOKS; look++)
        if ((int)field_of[look] == field)
            runaway_forget(r->seen, (enum runaway_look)look, name);
}

/* A pause by a rule is over: what was seen of the subject is forgotten, so that it is not at once caught
 * again. */
static void pause_over(void *arg, const struct pause *p, bool resumed)
{
    (void)resumed;
    if (p->rule != NULL)
        forget(arg, p->field, p->value);
}

int runaways_init(struct runaways *r, struct store *store, struct ledger *ledger)
{
    *r = (struct runaways){ .store = store, .ledger = ledger, .due_ms = INT64_MAX, .reads = true };
    r->open = malloc((RUNAWAYS_OPEN + RUNAWAYS_OTHERS) * sizeof *r->open);
    if (r->open == NULL || runaway_new(&r->seen) != 0)
        return -SQLITE_NOMEM;
    ledger->pause_over.call = pause_over;
    ledger->pause_over.arg = r;
    return store_prepare(
        store,
        "SELECT id, max(min(last_ms, ?3) + ifnull(json_extract(evidence, '$.cooldown_ms'), ?1) + ?2, ?3)"
        " FROM alert a WHERE kind = 'runaway' AND ended_ms IS NULL AND NOT EXISTS"
        " (SELECT 1 FROM pause p WHERE p.alert = a.id AND p.ended_ms IS NULL)"
        " ORDER BY id DESC LIMIT ?4",
        &r->load);
}

void runaways_fini(struct runaways *r)
{
    runaway_free(r->seen);
    free(r->open);
    r->seen = NULL;
    r->open = NULL;
}

/* ----------------------------------------------------------------------- ends */

static void plan(struct runaways *r)
{
    r->due_ms = INT64_MAX;
    for (size_t i = 0; i < r->open_count; i++)
        if (r->open[i].due_ms < r->due_ms)
            r->due_ms = r->open[i].due_ms;
}

static int end(struct runaways *r, size_t at, int64_t now_ms)
{
    int rc = alerts_end(&r->ledger->alerts, r->open[at].alert, now_ms);

    r->open[at] = r->open[--r->open_count];
    return rc;
}

int runaways_tick(struct runaways *r, int64_t now_ms)
{
    int rc = 0;

    if (now_ms < r->due_ms)
        return 0;
    for (size_t i = r->open_count; rc == 0 && i-- > 0;)
        if (r->open[i].due_ms <= now_ms)
            rc = end(r, i, now_ms);
    plan(r);
    return rc;
}

static void forget_open(struct runaways *r, int64_t alert)
{
    for (size_t i = 0; i < r->open_count; i++)
        if (r->open[i].alert == alert)
            r->open[i] = r->open[--r->open_count];
}

/* It ends at due_ms, or later if it is told again before. */
static void put_open(struct runaways *r, int64_t alert, int64_t due_ms)
{
    forget_open(r, alert);
    assert(r->open_count < RUNAWAYS_OPEN + RUNAWAYS_OTHERS);
    r->open[r->open_count++] = (struct runaways_open){ alert, due_ms };
    r->due_ms = due_ms < r->due_ms ? due_ms : r->due_ms;
}

static bool is_full(const struct runaways *r)
{
    return r->open_count >= RUNAWAYS_OPEN;
}

/* --------------------------------------------------------------------- telling */

static json_t *text_json(struct slice s)
{
    json_t *text = json_stringn((const char *)s.at, s.len);

    return text != NULL ? text : json_string("\xef\xbf\xbd"); /* no UTF-8 */
}

static void put_name(json_t *to, const char *key, struct slice name)
{
    if (name.at != NULL && name.len > 0)
        json_object_set_new(to, key, text_json(name));
}

/* Whom it is about: what is looked at, and what that is a part of. */
static json_t *subject_of(const struct runaway_finding *f)
{
    json_t *out = json_object();

    put_name(out, "agent", f->names->who.text[SUBJECT_agent_id]);
    if (f->look != LOOK_AGENT)
        put_name(out, "root_session", f->names->who.text[SUBJECT_root_session_id]);
    put_name(out, runaway_look_name((int)f->look), f->name);
    return out;
}

static const char *action_of(const struct runaway_rule *rule, bool acts)
{
    return rule->action == ACTION_WARN    ? "alert"
           : !acts                        ? "alert: it was over when it was told"
           : rule->action == ACTION_DELAY ? "delay"
                                          : "block";
}

static json_t *evidence_of(const struct runaway_finding *f, bool acts)
{
    json_t *out = json_pack("{s:s, s:s, s:o, s:I, s:I, s:s, s:I, s:I, s:I, s:s, s:I, s:I}", "rule",
                            runaway_kind_name((int)f->rule->kind), "look", runaway_look_name((int)f->look),
                            "name", text_json(f->name), "value", (json_int_t)f->value, "limit",
                            (json_int_t)f->limit, "unit", runaway_kind_unit((int)f->rule->kind), "calls",
                            (json_int_t)f->calls, "first_ms", (json_int_t)f->first_ms, "last_ms",
                            (json_int_t)f->last_ms, "action", action_of(f->rule, acts), "cooldown_ms",
                            (json_int_t)f->rule->cooldown_ms, "example_event", (json_int_t)f->row);

    put_name(out, "example_session", f->names->who.text[SUBJECT_session_id]);
    put_name(out, "last_error", (struct slice){ (const uint8_t *)f->error, (uint32_t)strlen(f->error) });
    if (f->error_http_status != UNKNOWN)
        json_object_set_new(out, "last_error_http_status", json_integer(f->error_http_status));
    return out;
}

static int raise_alert(struct runaways *r, const struct runaway_finding *f, bool acts, int64_t *id)
{
    char mark[MARK_ROOM];
    json_t *subject = is_full(r) ? json_object() : subject_of(f), *evidence = evidence_of(f, acts);
    struct slice name =
        is_full(r) ? (struct slice){ (const uint8_t *)RUNAWAYS_OTHER, sizeof RUNAWAYS_OTHER - 1 } : f->name;
    bool fresh = false;
    int rc = subject == NULL || evidence == NULL ? -SQLITE_NOMEM : 0;

    snprintf(mark, sizeof mark, "%s/%s/%.*s", runaway_kind_name((int)f->rule->kind),
             runaway_look_name((int)f->look), (int)name.len, (const char *)name.at);
    const struct alert alert = { .kind = ALERT_runaway,
                                 .severity = f->rule->severity,
                                 .mark = mark,
                                 .title = f->text,
                                 .subject = subject,
                                 .evidence = evidence };
    if (rc == 0)
        rc = alerts_raise(&r->ledger->alerts, &alert, r->row->received_ms, id, &fresh);
    if (rc == 0 && !fresh)
        rc = alerts_again(&r->ledger->alerts, *id, 1, r->row->received_ms, evidence);
    json_decref(subject);
    json_decref(evidence);
    return rc;
}

/* *id 0: there are too many pauses already. */
static int put_pause(struct runaways *r, const struct runaway_finding *f, int64_t alert, int64_t *id)
{
    const struct runaway_rule *rule = f->rule;
    char value[RUNAWAYS_NAME];
    const struct pause_new p = {
        .field = field_of[f->look],
        .value = value,
        .delay_ms = rule->action == ACTION_DELAY ? rule->delay_ms : 0,
        .until_ms = rule->cooldown_ms > 0 ? r->row->received_ms + rule->cooldown_ms : WINDOW_NEVER,
        .rule = runaway_kind_name((int)rule->kind),
        .alert = is_full(r) ? UNKNOWN : alert,
        .author = AUTHOR,
        .reason = f->text,
    };

    snprintf(value, sizeof value, "%.*s", (int)f->name.len, (const char *)f->name.at);
    return ledger_pause_put(r->ledger, &p, id);
}

static int found(void *arg, const struct runaway_finding *f)
{
    struct runaways *r = arg;
    int64_t now_ms = r->row->received_ms, alert = 0, pause = 0;
    int64_t cooldown_ms = f->rule->cooldown_ms > 0 ? f->rule->cooldown_ms : RUNAWAYS_DAY_MS;
    bool acts = f->rule->action != ACTION_WARN && now_ms - r->row->ts_ms <= RUNAWAYS_ACT_MS;
    int rc = raise_alert(r, f, acts, &alert);

    if (rc == 0 && acts)
        rc = put_pause(r, f, alert, &pause);
    if (rc != 0)
        return rc;
    if (pause != 0 && !is_full(r)) { /* it ends the alert */
        forget_open(r, alert);
        return 0;
    }
    if (pause == 0 && f->rule->cooldown_ms == 0) {
        r->forgets = true;
        r->forget_look = f->look;
        snprintf(r->forget_name, sizeof r->forget_name, "%.*s", (int)f->name.len, (const char *)f->name.at);
    }
    put_open(r, alert, now_ms + cooldown_ms + RUNAWAYS_SLACK_MS);
    return 0;
}

/* ------------------------------------------------------------------------ past */

/* The first row that may be looked at again. */
static int first_row(struct runaways *r, int64_t now_ms, int64_t last_id, int64_t *first_id)
{
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(r->store->db,
                                 "SELECT max(?1, ifnull((SELECT min(first_id) FROM log_partition"
                                 " WHERE last_received_ms >= ?2), 0))",
                                 -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(stmt, 1, last_id - RUNAWAYS_PAST_ROWS + 1);
    sqlite3_bind_int64(stmt, 2, now_ms - RUNAWAYS_PAST_MS);
    if ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
        *first_id = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? 0 : -rc;
}

/* Pauses by rules that are over, in the order in which they ended. */
struct ended {
    sqlite3_stmt *stmt;
    int64_t at_ms; /* of the next one; INT64_MAX: there is none */
};

static void next_ended(struct ended *e)
{
    e->at_ms = sqlite3_step(e->stmt) == SQLITE_ROW ? sqlite3_column_int64(e->stmt, 0) : INT64_MAX;
}

static int open_ended(struct runaways *r, int64_t from_ms, struct ended *e)
{
    int rc = -sqlite3_prepare_v2(r->store->db,
                                 "SELECT ended_ms, field, value FROM pause WHERE rule IS NOT NULL"
                                 " AND ended_ms >= ? ORDER BY ended_ms, id",
                                 -1, &e->stmt, NULL);

    if (rc != 0)
        return rc;
    sqlite3_bind_int64(e->stmt, 1, from_ms);
    next_ended(e);
    return 0;
}

/* Forgets what had been forgotten before then. */
static void pass_ended(struct runaways *r, struct ended *e, int64_t ts_ms)
{
    while (e->at_ms < ts_ms) {
        const char *field = (const char *)sqlite3_column_text(e->stmt, 1);
        forget(r, subject_field_code(field, strlen(field)), (const char *)sqlite3_column_text(e->stmt, 2));
        next_ended(e);
    }
}

static int look_quietly(struct runaways *r, struct runaway_log *log, int64_t from_ms, int64_t now_ms)
{
    struct runaway_call call;
    struct ended ended;
    int rc = open_ended(r, from_ms, &ended);

    if (rc != 0)
        return rc;
    while ((rc = runaway_log_next(log, &call)) == 1) {
        pass_ended(r, &ended, call.ts_ms);
        if ((rc = runaway_look_at(r->seen, &call, true, found, r)) != 0)
            break;
    }
    pass_ended(r, &ended, now_ms + 1);
    sqlite3_finalize(ended.stmt);
    runaway_log_rest(log);
    return rc;
}

/* The rows up to last_id. */
static int read_past(struct runaways *r, int64_t now_ms, int64_t last_id)
{
    struct runaway_log log;
    int64_t first_id = 0;
    int rc = first_row(r, now_ms, last_id, &first_id);

    r->reads = false;
    if (rc != 0)
        return rc;
    if ((rc = runaway_log_open(&log, r->store->db, RUNAWAY_BY_ARRIVAL)) == 0) {
        runaway_log_seek(&log, first_id, last_id, now_ms - RUNAWAYS_PAST_MS, now_ms + 1, RUNAWAYS_LATE_MS);
        rc = look_quietly(r, &log, now_ms - RUNAWAYS_PAST_MS, now_ms);
    }
    runaway_log_close(&log);
    return rc;
}

int runaways_start(struct runaways *r, int64_t now_ms)
{
    int rc;

    runaway_clear(r->seen);
    r->reads = true;
    r->open_count = 0;
    sqlite3_bind_int64(r->load, 1, RUNAWAYS_DAY_MS);
    sqlite3_bind_int64(r->load, 2, RUNAWAYS_SLACK_MS);
    sqlite3_bind_int64(r->load, 3, now_ms);
    sqlite3_bind_int64(r->load, 4, RUNAWAYS_OPEN + RUNAWAYS_OTHERS);
    while ((rc = sqlite3_step(r->load)) == SQLITE_ROW)
        r->open[r->open_count++] =
            (struct runaways_open){ sqlite3_column_int64(r->load, 0), sqlite3_column_int64(r->load, 1) };
    sqlite3_reset(r->load);
    plan(r);
    return rc == SQLITE_DONE ? 0 : -rc;
}

int runaways_use(struct runaways *r, struct runaway_rule *const *rules, size_t count, int64_t now_ms)
{
    runaway_use(r->seen, rules, count);
    return r->reads ? read_past(r, now_ms, r->store->next_id - 1) : 0;
}

/* ------------------------------------------------------------------------ rows */

int runaways_row(struct runaways *r, const struct log_row *row, const struct event *e)
{
    struct runaway_call call;
    int rc = r->reads ? read_past(r, row->received_ms, row->id - 1) : 0;

    if (rc != 0 || !row->counts || row->misdated || row->status == STATUS_blocked ||
        row->received_ms - row->ts_ms > RUNAWAYS_LATE_MS)
        return rc;
    runaway_call_of(row, e, &call);
    if (call.ts_ms > row->received_ms)
        call.ts_ms = row->received_ms;
    r->row = row;
    r->forgets = false;
    rc = runaway_look_at(r->seen, &call, false, found, r);
    if (r->forgets)
        forget(r, (int)field_of[r->forget_look], r->forget_name);
    return rc;
}
