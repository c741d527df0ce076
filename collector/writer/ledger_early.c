/* SPDX-License-Identifier: MIT
 *
 * ledger_early.c: reservations whose event came before their admission was asked for: a publisher that asked,
 * heard nothing and made its call all the same may ask once more. That must reserve nothing. A bounded number
 * of ids is remembered, by hash, and found again in the log's end after a start.
 */
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "ledger_work.h"

#define EARLY      16384    /* a power of two: ids that are remembered */
#define EARLY_LOOK "100000" /* rows of the log that the start looks at for them */

static uint64_t early_hash(const char *id, size_t len)
{
    uint64_t half[2];

    tg_hash128((const unsigned char *)id, len, (unsigned char *)half);
    return half[0] | 1;
}

int ledger_note_early(struct ledger *l, const char *id, size_t len)
{
    if (l->early == NULL && (l->early = calloc(EARLY, sizeof *l->early)) == NULL)
        return -SQLITE_NOMEM;
    uint64_t hash = early_hash(id, len);
    l->early[hash >> 1 & (EARLY - 1)] = hash;
    return 0;
}

bool ledger_came_early(const struct ledger *l, const char *id)
{
    uint64_t hash = early_hash(id, strlen(id));

    return l->early != NULL && l->early[hash >> 1 & (EARLY - 1)] == hash;
}

/* Those of the log's end. */
int ledger_load_early(struct ledger *l)
{
    static const char sql[] =
        "SELECT identifier(e.reservation_id) FROM dispatch e WHERE e.reservation_id IS NOT NULL AND"
        " e.id > (SELECT ifnull(max(id), 0) FROM dispatch) - " EARLY_LOOK
        " AND NOT EXISTS (SELECT 1 FROM reservation WHERE id = identifier(e.reservation_id))";
    sqlite3_stmt *stmt;
    int rc = -sqlite3_prepare_v2(l->store->db, sql, -1, &stmt, NULL);

    if (rc != 0)
        return rc;
    free(l->early); /* what has been rolled back did not come */
    l->early = NULL;
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(stmt, 0);
        if (id != NULL && (rc = ledger_note_early(l, id, (size_t)sqlite3_column_bytes(stmt, 0))) != 0)
            break;
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? 0 : rc < 0 ? rc : -rc;
}
