/* SPDX-License-Identifier: MIT
 *
 * retention_alerts.c: alerts that have ended or cannot end, and messages that were told or given up. One of
 * a window stays until the window is over, or it would be told again in it. The newest alert stays, so that
 * no id is ever given again: destinations remember how far they are by ids.
 */
#include "retention_work.h"

#define CHUNK 64
#define FRONT \
    256 /* of the oldest messages, so many are looked at: they end nearly in the order of their ids */

#define OLD_MESSAGES                                                                                  \
    "(SELECT id FROM (SELECT id, state, ended_ms FROM message_out ORDER BY id LIMIT " RETENTION_TEXT( \
        FRONT) ") WHERE state >= 2 AND ended_ms < ?1 LIMIT " RETENTION_TEXT(CHUNK) ")"
#define OLD_ALERTS                                                                                       \
    "(SELECT id FROM alert a WHERE ts_ms < ?1 AND last_ms < ?1 AND (ended_ms < ?1 OR"                    \
    " (ended_ms IS NULL AND until_ms IS NULL AND kind IN ('threshold', 'overrun', 'forecast', 'test')))" \
    " AND id < (SELECT max(id) FROM alert) AND NOT EXISTS (SELECT 1 FROM message_alert l JOIN"           \
    " message_out m ON m.id = l.message WHERE l.alert = a.id AND m.state < 2)"                           \
    " ORDER BY ts_ms LIMIT " RETENTION_TEXT(CHUNK) ")"

int retention_prepare_alerts(struct retention *r)
{
    struct retention_statements *q = r->sql;
    const struct retention_prepare all[] = {
        { &q->unlink_messages, "DELETE FROM message_alert WHERE message IN " OLD_MESSAGES },
        { &q->drop_messages, "DELETE FROM message_out WHERE id IN " OLD_MESSAGES },
        { &q->unlink_alerts, "DELETE FROM message_alert WHERE alert IN " OLD_ALERTS },
        { &q->drop_alerts, "DELETE FROM alert WHERE id IN " OLD_ALERTS },
    };

    return retention_prepare_all(r, all, sizeof all / sizeof *all);
}

/* Chunk after chunk: first what names the rows, then the rows. */
static int drop(struct retention *r, sqlite3_stmt *unlink, sqlite3_stmt *rows, int64_t before_ms, bool *more)
{
    int rc = 0, changes = CHUNK;

    sqlite3_bind_int64(unlink, 1, before_ms);
    sqlite3_bind_int64(rows, 1, before_ms);
    while (rc == 0 && changes == CHUNK && !(*more = retention_is_time_up(r)))
        if ((rc = store_run(unlink)) == 0)
            rc = retention_drop(r, rows, &r->tally.rows[RETAIN_ALERT], &changes);
    return rc;
}

int retention_alert(struct retention *r, int64_t now_ms, bool *more)
{
    int64_t age = retention_age_of(r, RETAIN_ALERT);

    if (age == RETENTION_FOREVER)
        return 0;
    int rc = drop(r, r->sql->unlink_messages, r->sql->drop_messages, now_ms - age, more);
    if (rc != 0 || *more)
        return rc;
    return drop(r, r->sql->unlink_alerts, r->sql->drop_alerts, now_ms - age, more);
}
