/* SPDX-License-Identifier: MIT
 *
 * ledger_pauses.c: the table of pauses, and those in force in memory: equal at each end of a transaction; a
 * rollback reads them again.
 */
#include "ledger_pauses.h"

#include <stdlib.h>
#include <string.h>

#include "ledger_work.h"

#define COLUMNS "id, field, value, reason, until_ms, delay_ms, rule, alert"
#define NOBODY  "tollgated" /* who ends a pause whose time is over */

/* ------------------------------------------------------------------- memory */

static void fini(struct pause *p)
{
    free(p->value);
    free(p->reason);
    free(p->rule);
}

void ledger_free_pauses(struct ledger *l)
{
    for (size_t i = 0; i < l->pause_count; i++)
        fini(&l->pauses[i]);
    free(l->pauses);
    l->pauses = NULL;
    l->pause_count = 0;
    l->next_pause_ms = INT64_MAX;
}

static int64_t hardness(int64_t delay_ms)
{
    return delay_ms == 0 ? INT64_MAX : delay_ms;
}

static int64_t number_at(sqlite3_stmt *stmt, int at, int64_t null)
{
    return sqlite3_column_type(stmt, at) == SQLITE_NULL ? null : sqlite3_column_int64(stmt, at);
}

/* A row of COLUMNS. */
static int read_row(sqlite3_stmt *stmt, struct pause *out)
{
    const char *field = (const char *)sqlite3_column_text(stmt, 1);
    const char *rule = (const char *)sqlite3_column_text(stmt, 6);
    struct pause p = { .id = sqlite3_column_int64(stmt, 0),
                       .field = (uint8_t)subject_field_code(field, strlen(field)),
                       .value = strdup((const char *)sqlite3_column_text(stmt, 2)),
                       .reason = strdup((const char *)sqlite3_column_text(stmt, 3)),
                       .until_ms = number_at(stmt, 4, WINDOW_NEVER),
                       .delay_ms = number_at(stmt, 5, 0),
                       .rule = rule != NULL ? strdup(rule) : NULL,
                       .alert = number_at(stmt, 7, UNKNOWN) };

    if (p.value == NULL || p.reason == NULL || (rule != NULL && p.rule == NULL)) {
        fini(&p);
        return -SQLITE_NOMEM;
    }
    *out = p;
    return 0;
}

/* *place: where it belongs: behind those that are as hard. */
static int keep_row(struct ledger *l, sqlite3_stmt *stmt, size_t *place)
{
    struct pause p, *more = realloc(l->pauses, (l->pause_count + 1) * sizeof *more);

    if (more == NULL)
        return -SQLITE_NOMEM;
    l->pauses = more;
    int rc = read_row(stmt, &p);
    if (rc != 0)
        return rc;
    size_t at = l->pause_count++;
    for (; at > 0 && hardness(more[at - 1].delay_ms) < hardness(p.delay_ms); at--)
        more[at] = more[at - 1];
    more[at] = p;
    if (p.until_ms < l->next_pause_ms)
        l->next_pause_ms = p.until_ms;
    *place = at;
    return 0;
}

static void forget(struct ledger *l, size_t at)
{
    fini(&l->pauses[at]);
    l->pause_count--;
    memmove(&l->pauses[at], &l->pauses[at + 1], (l->pause_count - at) * sizeof *l->pauses);
}

/* Its place; pause_count: there is none. */
static size_t place_of(const struct ledger *l, const struct pause_new *p)
{
    const char *rule = p->rule != NULL ? p->rule : "";
    size_t i = 0;

    for (; i < l->pause_count; i++) {
        const struct pause *old = &l->pauses[i];
        if (old->field == p->field && strcmp(old->value, p->value) == 0 &&
            strcmp(old->rule != NULL ? old->rule : "", rule) == 0)
            break;
    }
    return i;
}

/* --------------------------------------------------------------------- file */

int ledger_prepare_pauses(struct ledger *l)
{
    struct ledger_statements *s = l->sql;
    int rc;

    if ((rc = store_prepare(
             l->store,
             "INSERT INTO pause (field, value, from_ms, author, reason, until_ms, delay_ms, rule,"
             " alert) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
             " ON CONFLICT (field, value, ifnull(rule, '')) WHERE ended_ms IS NULL DO UPDATE SET"
             " author = excluded.author, reason = excluded.reason, until_ms = excluded.until_ms,"
             " delay_ms = excluded.delay_ms, alert = excluded.alert RETURNING " COLUMNS,
             &s->put_pause)) != 0 ||
        (rc = store_prepare(l->store, "UPDATE pause SET ended_ms=? WHERE id=?", &s->end_pause)) != 0 ||
        (rc = store_prepare(l->store, "DELETE FROM pause WHERE id < ? AND ended_ms IS NOT NULL",
                            &s->trim_pauses)) != 0)
        return rc;
    return store_prepare(l->store, "INSERT INTO audit (ts_ms, author, what, detail) VALUES (?, ?, ?, ?)",
                         &s->note);
}

int ledger_load_pauses(struct ledger *l)
{
    sqlite3_stmt *stmt;
    size_t place;
    int rc = -sqlite3_prepare_v2(
        l->store->db, "SELECT " COLUMNS " FROM pause WHERE ended_ms IS NULL ORDER BY id", -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    ledger_free_pauses(l);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && (rc = keep_row(l, stmt, &place)) == 0)
        ;
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rc < 0 ? rc : -rc;
}

int ledger_note(struct ledger *l, const char *author, const char *what, json_t *detail)
{
    char *text = json_dumps(detail, JSON_COMPACT);
    sqlite3_stmt *stmt = l->sql->note;

    json_decref(detail);
    if (text == NULL)
        return -SQLITE_NOMEM;
    sqlite3_bind_int64(stmt, 1, l->now_ms);
    sqlite3_bind_text(stmt, 2, author, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, what, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 4, text, -1, SQLITE_STATIC);
    int rc = store_run(stmt);
    free(text);
    return rc;
}

static json_t *text_json(const char *text)
{
    json_t *json = json_string(text);

    return json != NULL ? json : json_string("\xef\xbf\xbd"); /* no UTF-8 */
}

static int note(struct ledger *l, const struct pause *p, const char *author, const char *what)
{
    json_t *detail = json_pack("{s:I, s:s, s:o}", "id", (json_int_t)p->id, "field",
                               subject_field_name(p->field), "value", text_json(p->value));

    if (detail != NULL && p->delay_ms > 0)
        json_object_set_new(detail, "delay_ms", json_integer(p->delay_ms));
    if (detail != NULL && p->until_ms != WINDOW_NEVER)
        json_object_set_new(detail, "until_ms", json_integer(p->until_ms));
    if (detail != NULL && p->rule != NULL)
        json_object_set_new(detail, "rule", text_json(p->rule));
    if (detail != NULL && p->reason[0] != '\0')
        json_object_set_new(detail, "reason", text_json(p->reason));
    return ledger_note(l, author, what, detail);
}

/* ------------------------------------------------------------------- coming */

/* The row, and its place in memory. */
static int write_row(struct ledger *l, const struct pause_new *p, size_t *place)
{
    sqlite3_stmt *stmt = l->sql->put_pause;
    int rc;

    sqlite3_bind_text(stmt, 1, subject_field_name((int)p->field), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, p->value, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 3, l->now_ms);
    sqlite3_bind_text(stmt, 4, p->author, -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 5, p->reason, -1, SQLITE_STATIC);
    bind_num(stmt, 6, p->until_ms != WINDOW_NEVER ? p->until_ms : UNKNOWN);
    bind_num(stmt, 7, p->delay_ms > 0 ? p->delay_ms : UNKNOWN);
    sqlite3_bind_text(stmt, 8, p->rule, -1, SQLITE_STATIC);
    bind_num(stmt, 9, p->alert);
    rc = sqlite3_step(stmt) == SQLITE_ROW ? keep_row(l, stmt, place) : -SQLITE_CORRUPT;
    int failed = sqlite3_reset(stmt); /* says why there was no row */
    return failed != 0 ? -failed : rc;
}

/* What holds already and what comes; false: that changes nothing. */
static bool merge(const struct pause *old, struct pause_new *p)
{
    bool longer = p->until_ms > old->until_ms, harder = hardness(p->delay_ms) > hardness(old->delay_ms);

    if (!longer)
        p->until_ms = old->until_ms;
    if (!harder)
        p->delay_ms = old->delay_ms;
    bool another = p->alert != UNKNOWN && p->alert != old->alert;
    if (!another)
        p->alert = old->alert;
    return longer || harder || another;
}

static int trim(struct ledger *l, int64_t newest)
{
    sqlite3_bind_int64(l->sql->trim_pauses, 1, newest - PAUSES_ENDED_MAX);
    return store_run(l->sql->trim_pauses);
}

int ledger_pause_put(struct ledger *l, const struct pause_new *p, int64_t *id)
{
    struct pause_new is = *p;
    size_t at = place_of(l, p), place = 0;

    if (at < l->pause_count) {
        if (!merge(&l->pauses[at], &is)) {
            *id = l->pauses[at].id;
            return 0;
        }
        forget(l, at);
    } else if (l->pause_count >= PAUSES_MAX) {
        *id = 0;
        return 0;
    }
    int rc = write_row(l, &is, &place);
    if (rc == 0)
        rc = note(l, &l->pauses[place], is.author, "paused");
    if (rc == 0)
        rc = trim(l, l->pauses[place].id);
    if (rc != 0)
        return rc;
    l->changed = true;
    *id = l->pauses[place].id;
    return 0;
}

/* -------------------------------------------------------------------- going */

static int end(struct ledger *l, size_t at, int64_t ended_ms, const char *resumed_by)
{
    const struct pause *p = &l->pauses[at];
    int rc;

    sqlite3_bind_int64(l->sql->end_pause, 1, ended_ms);
    sqlite3_bind_int64(l->sql->end_pause, 2, p->id);
    if ((rc = store_run(l->sql->end_pause)) != 0 ||
        (p->alert != UNKNOWN && (rc = alerts_end(&l->alerts, p->alert, l->now_ms)) != 0))
        return rc;
    rc = resumed_by != NULL ? note(l, p, resumed_by, "resumed") : note(l, p, NOBODY, "pause_ended");
    if (l->pause_over.call != NULL)
        l->pause_over.call(l->pause_over.arg, p, resumed_by != NULL);
    forget(l, at);
    l->changed = true;
    return rc;
}

int ledger_end_pauses(struct ledger *l)
{
    int rc = 0;

    for (size_t i = l->pause_count; rc == 0 && i-- > 0;)
        if (l->pauses[i].until_ms <= l->now_ms)
            rc = end(l, i, l->pauses[i].until_ms, NULL);
    l->next_pause_ms = INT64_MAX;
    for (size_t i = 0; i < l->pause_count; i++)
        if (l->pauses[i].until_ms < l->next_pause_ms)
            l->next_pause_ms = l->pauses[i].until_ms;
    return rc;
}

int ledger_pause_resume(struct ledger *l, int64_t id, enum subject_field field, const char *value,
                        const char *author, int *ended)
{
    int rc = 0, count = 0;

    for (size_t i = l->pause_count; rc == 0 && i-- > 0;) {
        const struct pause *p = &l->pauses[i];
        if (id != 0 ? p->id != id : p->field != field || strcmp(p->value, value) != 0)
            continue;
        rc = end(l, i, l->now_ms, author);
        count++;
    }
    if (rc == 0)
        *ended = count;
    return rc;
}
