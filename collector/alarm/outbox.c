/* SPDX-License-Identifier: MIT
 *
 * outbox.c: the reading half. No transaction outlives a function, so the log can always be written back.
 */
#include "outbox.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_KIB    256
#define BUSY_WAIT_MS 100

#define GRAVITY "CASE severity WHEN 'critical' THEN 2 WHEN 'warning' THEN 1 ELSE 0 END"

enum statement { PLACE, BEGAN, ALERTS, MESSAGES, GRAVEST, CONTENT, WAITING, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [PLACE] = "SELECT upto FROM destination WHERE name = ?",
    [BEGAN] = "SELECT max(began_ms) FROM message_out WHERE destination = ?",
    [ALERTS] = "SELECT id, kind, " GRAVITY ", subject FROM alert WHERE id > ? ORDER BY id LIMIT ?",
    [MESSAGES] = "SELECT id, key, state, due_ms, began_ms, attempts FROM message_out"
                 " WHERE destination = ? AND state < 2 ORDER BY state DESC, due_ms, id",
    [GRAVEST] = "SELECT max(" GRAVITY ") FROM message_alert x JOIN alert a ON a.id = x.alert"
                " WHERE x.message = ?",
    [CONTENT] =
        "SELECT a.id, a.kind, " GRAVITY ", a.subject, a.ts_ms, a.last_ms, a.count, a.ended_ms, a.title,"
        " a.evidence FROM message_alert x JOIN alert a ON a.id = x.alert WHERE x.message = ?"
        " ORDER BY 3 DESC, 1 LIMIT ?",
    [WAITING] = "SELECT count(*) FROM message_out WHERE state < 2",
};

struct outbox_view {
    sqlite3 *db;
    sqlite3_stmt *stmt[STATEMENTS];
};

int outbox_open(const char *path, struct outbox_view **out)
{
    struct outbox_view *o = calloc(1, sizeof *o);
    char pragmas[120];

    if (o == NULL)
        return -SQLITE_NOMEM;
    int rc = sqlite3_open_v2(path, &o->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    sqlite3_busy_timeout(o->db, BUSY_WAIT_MS);
    snprintf(pragmas, sizeof pragmas, "PRAGMA query_only=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d",
             CACHE_KIB);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(o->db, pragmas, NULL, NULL, NULL);
    for (int i = 0; i < STATEMENTS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(o->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &o->stmt[i], NULL);
    if (rc != SQLITE_OK) {
        outbox_close(o);
        return -rc;
    }
    *out = o;
    return 0;
}

void outbox_close(struct outbox_view *o)
{
    if (o == NULL)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(o->stmt[i]);
    sqlite3_close(o->db);
    free(o);
}

const char *outbox_error(const struct outbox_view *o)
{
    return sqlite3_errmsg(o->db);
}

static int64_t number(sqlite3_stmt *stmt, int at)
{
    return sqlite3_column_type(stmt, at) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(stmt, at);
}

/* One number: UNKNOWN where there is no row or it is NULL. */
static int ask(sqlite3_stmt *stmt, int64_t *out)
{
    int rc = sqlite3_step(stmt);
    int64_t n = rc == SQLITE_ROW ? number(stmt, 0) : UNKNOWN;

    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return -rc;
    *out = n;
    return 0;
}

int outbox_place(struct outbox_view *o, const char *destination, int64_t *upto, int64_t *began_ms)
{
    int64_t place = UNKNOWN, began = UNKNOWN;
    int rc;

    sqlite3_bind_text(o->stmt[PLACE], 1, destination, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(o->stmt[BEGAN], 1, destination, -1, SQLITE_TRANSIENT);
    if ((rc = ask(o->stmt[PLACE], &place)) != 0 || (rc = ask(o->stmt[BEGAN], &began)) != 0)
        return rc;
    *upto = place;
    *began_ms = began;
    return 0;
}

int outbox_waiting(struct outbox_view *o, int64_t *count)
{
    return ask(o->stmt[WAITING], count);
}

int outbox_severity(struct outbox_view *o, int64_t message, enum severity *out)
{
    int64_t gravest = UNKNOWN;

    sqlite3_bind_int64(o->stmt[GRAVEST], 1, message);
    int rc = ask(o->stmt[GRAVEST], &gravest);
    if (rc == 0)
        *out = gravest == UNKNOWN ? SEVERITY_INFO : (enum severity)gravest;
    return rc;
}

/* ------------------------------------------------------------------- alerts */

/* Of the columns id, kind, severity, subject. Another program may have written what nobody here knows: it is
 * shown as well as it can be. */
static void read_alert(sqlite3_stmt *stmt, struct told *t)
{
    const char *kind = (const char *)sqlite3_column_text(stmt, 1);
    const char *subject = (const char *)sqlite3_column_text(stmt, 3);
    int code = kind != NULL ? alert_kind_code(kind) : -1;

    *t = (struct told){ .id = sqlite3_column_int64(stmt, 0),
                        .kind = code >= 0 ? (enum alert_kind)code : ALERT_test,
                        .severity = (enum severity)sqlite3_column_int(stmt, 2),
                        .ended_ms = UNKNOWN,
                        .subject = subject != NULL ? json_loads(subject, 0, NULL) : NULL };
    if (t->subject == NULL)
        t->subject = json_object();
}

int outbox_alerts(struct outbox_view *o, int64_t after, outbox_look *look, void *arg)
{
    sqlite3_stmt *stmt = o->stmt[ALERTS];
    struct told t;
    int rc;

    sqlite3_bind_int64(stmt, 1, after);
    sqlite3_bind_int(stmt, 2, PAYLOAD_ALERTS_MAX);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        read_alert(stmt, &t);
        look(arg, &t);
        told_fini(&t);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE ? 0 : -rc;
}

static bool read_whole(sqlite3_stmt *stmt, struct told *t)
{
    const char *title = (const char *)sqlite3_column_text(stmt, 8);
    const char *evidence = (const char *)sqlite3_column_text(stmt, 9);

    read_alert(stmt, t);
    t->ts_ms = sqlite3_column_int64(stmt, 4);
    t->last_ms = sqlite3_column_int64(stmt, 5);
    t->count = sqlite3_column_int64(stmt, 6);
    t->ended_ms = number(stmt, 7);
    t->title = strdup(title != NULL ? title : "");
    t->evidence = evidence != NULL ? json_loads(evidence, 0, NULL) : NULL;
    if (t->evidence == NULL)
        t->evidence = json_object();
    return t->title != NULL && t->subject != NULL && t->evidence != NULL;
}

void outbox_free_alerts(struct told *alert, size_t count)
{
    for (size_t i = 0; i < count; i++)
        told_fini(&alert[i]);
    free(alert);
}

int outbox_message_alerts(struct outbox_view *o, int64_t message, struct told **out, size_t *count)
{
    struct told *all = calloc(PAYLOAD_ALERTS_MAX, sizeof *all);
    sqlite3_stmt *stmt = o->stmt[CONTENT];
    size_t n = 0;
    int rc;

    if (all == NULL)
        return -SQLITE_NOMEM;
    sqlite3_bind_int64(stmt, 1, message);
    sqlite3_bind_int(stmt, 2, PAYLOAD_ALERTS_MAX);
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && n < PAYLOAD_ALERTS_MAX)
        if (!read_whole(stmt, &all[n++]))
            break;
    sqlite3_reset(stmt);
    if (rc != SQLITE_DONE) {
        outbox_free_alerts(all, n);
        return rc == SQLITE_ROW ? -SQLITE_NOMEM : -rc;
    }
    *out = all;
    *count = n;
    return 0;
}

/* ----------------------------------------------------------------- messages */

int outbox_messages(struct outbox_view *o, const char *destination, outbox_each *each, void *arg)
{
    sqlite3_stmt *stmt = o->stmt[MESSAGES];
    bool enough = false;
    int rc = SQLITE_DONE;

    sqlite3_bind_text(stmt, 1, destination, -1, SQLITE_TRANSIENT);
    while (!enough && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        struct outbox_message m = { .id = sqlite3_column_int64(stmt, 0),
                                    .state = (enum message_state)sqlite3_column_int(stmt, 2),
                                    .due_ms = sqlite3_column_int64(stmt, 3),
                                    .began_ms = number(stmt, 4),
                                    .attempts = sqlite3_column_int64(stmt, 5) };
        const char *key = (const char *)sqlite3_column_text(stmt, 1);
        snprintf(m.key, sizeof m.key, "%s", key != NULL ? key : "");
        enough = each(arg, &m);
    }
    sqlite3_reset(stmt);
    return rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : -rc;
}
