/* SPDX-License-Identifier: MIT */
#include "ledger_booked.h"

#include <string.h>

#include "store.h"

static int prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out)
{
    return -sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
}

int booked_init(struct booked *b, sqlite3 *db)
{
    int rc;

    *b = (struct booked){ .any = false };
    if ((rc = prepare(db, "SELECT cost_nanousd FROM ledger_booked WHERE id=?", &b->find)) != 0 ||
        (rc = prepare(db, "INSERT OR IGNORE INTO ledger_booked VALUES (?, ?)", &b->add)) != 0 ||
        (rc = prepare(db, "DELETE FROM ledger_booked WHERE id=?", &b->drop)) != 0)
        return rc;
    return booked_recover(b);
}

void booked_fini(struct booked *b)
{
    sqlite3_finalize(b->find);
    sqlite3_finalize(b->add);
    sqlite3_finalize(b->drop);
    *b = (struct booked){ .any = false };
}

int booked_recover(struct booked *b)
{
    sqlite3_stmt *stmt;
    int rc = prepare(sqlite3_db_handle(b->find), "SELECT 1 FROM ledger_booked LIMIT 1", &stmt);

    if (rc != 0)
        return rc;
    rc = sqlite3_step(stmt);
    b->any = rc == SQLITE_ROW;
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

int booked_row(struct booked *b, const struct log_row *row, int64_t num[DISPATCH_NUMS], struct log_row *out)
{
    *out = *row;
    if (!b->any || row->num == NULL)
        return 0;
    sqlite3_bind_int64(b->find, 1, row->id);
    int rc = sqlite3_step(b->find);
    if (rc == SQLITE_ROW) {
        memcpy(num, row->num, DISPATCH_NUMS * sizeof *num);
        num[D_cost_nanousd] =
            sqlite3_column_type(b->find, 0) == SQLITE_NULL ? UNKNOWN : sqlite3_column_int64(b->find, 0);
        out->num = num;
    }
    sqlite3_reset(b->find);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

int booked_keep(struct booked *b, const struct log_row *row)
{
    sqlite3_bind_int64(b->add, 1, row->id);
    bind_num(b->add, 2, row->num[D_cost_nanousd]);
    b->any = true;
    return store_run(b->add);
}

int booked_drop(struct booked *b, int64_t id)
{
    if (!b->any)
        return 0;
    sqlite3_bind_int64(b->drop, 1, id);
    return store_run(b->drop);
}
