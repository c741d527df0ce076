/* SPDX-License-Identifier: MIT
 *
 * doctor_alerts.c: messages about alerts that nobody ever got, and destinations that cannot be told now.
 */
#include <inttypes.h>

#include "../base/clock.h"
#include "doctor.h"

#define GIVEN_UP_MS (INT64_C(7) * 86400000)
/* What fails once or twice is told a moment later; what a person must mend waits for a quarter of an hour at
 * once. */
#define FAILED_LEAST 3 /* attempts */
#define WAITS_MS     60000

/* What went wrong with the message that has waited longest of all. */
static const char failing[] =
    "WITH failed AS (SELECT destination, error, began_ms FROM message_out WHERE state = 1 AND attempts > 0"
    " AND (attempts >= ?1 OR due_ms > ?2))"
    " SELECT destination, error, (SELECT count(DISTINCT destination) FROM failed) FROM failed"
    " ORDER BY began_ms LIMIT 1";

static const char *text(sqlite3_stmt *stmt, int column)
{
    const char *s = (const char *)sqlite3_column_text(stmt, column);

    return s != NULL ? s : "";
}

/* 0: all can be told; -1: the file cannot be read. */
static int64_t tell_failing(struct doctor *d, sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int64_t count = -1;

    if (db != NULL && sqlite3_prepare_v2(db, failing, -1, &stmt, NULL) == SQLITE_OK) {
        sqlite3_bind_int(stmt, 1, FAILED_LEAST);
        sqlite3_bind_int64(stmt, 2, wall_ms() + WAITS_MS);
        int rc = sqlite3_step(stmt);
        count = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 2) : rc == SQLITE_DONE ? 0 : -1;
    }
    if (count == 1)
        doctor_tell(d, VERDICT_WARN, "alerts", "%s cannot be told: %s; try `tollgate alerts test`",
                    text(stmt, 0), text(stmt, 1));
    else if (count > 1)
        doctor_tell(d, VERDICT_WARN, "alerts",
                    "%s and %" PRId64 " more cannot be told: %s; try `tollgate alerts test`", text(stmt, 0),
                    count - 1, text(stmt, 1));
    sqlite3_finalize(stmt);
    if (count >= 0)
        doctor_fact(d, "destinations_failing", count);
    return count;
}

void doctor_alerts(struct doctor *d, sqlite3 *db)
{
    int64_t waiting = tell_failing(d, db);
    char sql[128], count[CLI_TEXT];

    snprintf(sql, sizeof sql, "SELECT count(*) FROM message_out WHERE state = 3 AND ended_ms >= %" PRId64,
             wall_ms() - GIVEN_UP_MS);
    int64_t lost = db ? doctor_number(db, sql, -1) : -1;
    human_count(lost, count);
    if (lost > 0)
        doctor_tell(
            d, VERDICT_WARN, "alerts",
            "%s message%s given up in 7 days: see `tollgate alerts ID`, and try `tollgate alerts test`",
            count, lost == 1 ? " was" : "s were");
    else if (lost == 0 && waiting == 0)
        doctor_tell(d, VERDICT_OK, "alerts", "every message of 7 days was told, or will be in a moment");
    if (lost >= 0)
        doctor_fact(d, "messages_given_up_7d", lost);
}
