/* SPDX-License-Identifier: MIT */
#include "alerts.h"

#include <stdlib.h>
#include <string.h>

int alerts_init(struct alerts *a, struct store *store)
{
    int rc;

    *a = (struct alerts){ .store = store };
    if ((rc =
             store_prepare(store,
                           "INSERT INTO alert (kind, severity, mark, ts_ms, last_ms, count, title, subject,"
                           " evidence, until_ms) VALUES (?1, ?2, CAST(?3 AS BLOB), ?4, ?4, 1, ?5, ?6, ?7, ?8)"
                           " ON CONFLICT DO NOTHING",
                           &a->add)) != 0 ||
        (rc = store_prepare(store,
                            "SELECT id FROM alert WHERE kind=?1 AND mark=CAST(?2 AS BLOB)"
                            " AND (ended_ms IS NULL OR until_ms IS NOT NULL)",
                            &a->find)) != 0 ||
        (rc = store_prepare(store,
                            "UPDATE alert SET count = count + ?2, last_ms = max(last_ms, ?3),"
                            " evidence = ifnull(?4, evidence) WHERE id=?1",
                            &a->again)) != 0)
        return rc;
    if ((rc = store_prepare(store,
                            "UPDATE alert SET ended_ms = until_ms WHERE ended_ms IS NULL AND until_ms <= ?",
                            &a->end_windows)) != 0 ||
        (rc = store_prepare(store, "SELECT min(until_ms) FROM alert WHERE ended_ms IS NULL AND until_ms > 0",
                            &a->next_end)) != 0)
        return rc;
    return store_prepare(store, "UPDATE alert SET ended_ms=?2 WHERE id=?1 AND ended_ms IS NULL", &a->end);
}

/* Binds what has been dumped, which is freed with the statement's next binding. */
static int bind_json(sqlite3_stmt *stmt, int at, const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    return text == NULL ? -SQLITE_NOMEM : -sqlite3_bind_text(stmt, at, text, -1, free);
}

static int insert(struct alerts *a, const struct alert *alert, int64_t now_ms)
{
    sqlite3_stmt *stmt = a->add;
    int rc;

    sqlite3_bind_text(stmt, 1, alert_kind_name((int)alert->kind), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 2, severity_name((int)alert->severity), -1, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, alert->mark, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, now_ms);
    sqlite3_bind_text(stmt, 5, alert->title, -1, SQLITE_STATIC);
    if ((rc = bind_json(stmt, 6, alert->subject)) != 0 || (rc = bind_json(stmt, 7, alert->evidence)) != 0)
        return rc;
    bind_num(stmt, 8, alert->until_ms > 0 ? alert->until_ms : UNKNOWN);
    return store_run(stmt);
}

static int find(struct alerts *a, const struct alert *alert, int64_t *id)
{
    int rc;

    sqlite3_bind_text(a->find, 1, alert_kind_name((int)alert->kind), -1, SQLITE_STATIC);
    sqlite3_bind_text(a->find, 2, alert->mark, -1, SQLITE_STATIC);
    if ((rc = sqlite3_step(a->find)) == SQLITE_ROW)
        *id = sqlite3_column_int64(a->find, 0);
    sqlite3_reset(a->find);
    return rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -SQLITE_CORRUPT : -rc;
}

int alerts_raise(struct alerts *a, const struct alert *alert, int64_t now_ms, int64_t *id, bool *fresh)
{
    int rc = insert(a, alert, now_ms);

    if (rc != 0)
        return rc;
    bool added = sqlite3_changes(a->store->db) > 0;
    if (added && alert->until_ms > 0 && alert->until_ms < a->due_ms)
        a->due_ms = alert->until_ms;
    a->raised += added;
    a->raised_of[alert->kind] += added;
    if (fresh != NULL)
        *fresh = added;
    if (id == NULL)
        return 0;
    if (!added)
        return find(a, alert, id);
    *id = sqlite3_last_insert_rowid(a->store->db);
    return 0;
}

int alerts_again(struct alerts *a, int64_t id, int64_t more, int64_t last_ms, const json_t *evidence)
{
    int rc;

    sqlite3_bind_int64(a->again, 1, id);
    sqlite3_bind_int64(a->again, 2, more);
    sqlite3_bind_int64(a->again, 3, last_ms);
    sqlite3_bind_null(a->again, 4);
    if (evidence != NULL && (rc = bind_json(a->again, 4, evidence)) != 0)
        return rc;
    return store_run(a->again);
}

int alerts_end(struct alerts *a, int64_t id, int64_t now_ms)
{
    sqlite3_bind_int64(a->end, 1, id);
    sqlite3_bind_int64(a->end, 2, now_ms);
    return store_run(a->end);
}

int alerts_tick(struct alerts *a, int64_t now_ms)
{
    int rc;

    if (now_ms < a->due_ms)
        return 0;
    sqlite3_bind_int64(a->end_windows, 1, now_ms);
    if ((rc = store_run(a->end_windows)) != 0)
        return rc;
    rc = sqlite3_step(a->next_end);
    bool waits = rc == SQLITE_ROW && sqlite3_column_type(a->next_end, 0) != SQLITE_NULL;
    a->due_ms = waits ? sqlite3_column_int64(a->next_end, 0) : INT64_MAX;
    sqlite3_reset(a->next_end);
    return rc == SQLITE_ROW ? 0 : -rc;
}
