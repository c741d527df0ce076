/* SPDX-License-Identifier: MIT */
#include "partitions.h"

#define DAY_MS     86400000LL
#define AGE_PIECES 10

int partitions_init(struct partitions *p, struct store *store, const struct retention_ages *ages)
{
    int rc;

    *p = (struct partitions){ .store = store, .ages = ages };
    if ((rc = store_prepare(store, "SELECT * FROM log_partition ORDER BY first_id DESC LIMIT 1", &p->load)) !=
        0)
        return rc;
    return store_prepare(store, "INSERT OR REPLACE INTO log_partition VALUES(?,?,?,?,?,?,?,?)", &p->save);
}

void partitions_fini(struct partitions *p)
{
    *p = (struct partitions){ .store = NULL }; /* the statements are the store's to finalise */
}

int partitions_start(struct partitions *p)
{
    p->used = 0;
    p->watermark = 0;
    p->dirty = false;
    int rc = sqlite3_step(p->load);
    if (rc == SQLITE_ROW) {
        struct partition *newest = &p->pending[p->used++];
        *newest = (struct partition){
            .first_id = sqlite3_column_int64(p->load, 0),
            .last_id = sqlite3_column_int64(p->load, 1),
            .first_received_ms = sqlite3_column_int64(p->load, 2),
            .last_received_ms = sqlite3_column_int64(p->load, 3),
            .newest_ms = sqlite3_column_int64(p->load, 4),
        };
        for (int kind = 0; kind <= LOG_REPORT; kind++)
            newest->rows[kind] = sqlite3_column_int64(p->load, 5 + kind);
        p->watermark = newest->last_id;
    }
    sqlite3_reset(p->load);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -rc;
}

/* How long a piece may be: a day, or a tenth of the shortest age in the log. */
static int64_t longest_ms(const struct partitions *p)
{
    int64_t longest = DAY_MS;

    for (int kind = RETAIN_DISPATCH; p->ages != NULL && kind <= RETAIN_REPORT; kind++) {
        int64_t piece = retention_age(p->ages, (enum retention_kind)kind) / AGE_PIECES;
        longest = piece < longest ? piece : longest;
    }
    return longest > PARTITION_MIN_MS ? longest : PARTITION_MIN_MS;
}

static bool is_complete(const struct partitions *p, const struct partition *open, int64_t received_ms)
{
    return received_ms / DAY_MS > open->first_received_ms / DAY_MS ||
           received_ms - open->first_received_ms >= longest_ms(p) ||
           open->rows[LOG_DISPATCH] + open->rows[LOG_MESSAGE] + open->rows[LOG_REPORT] >= PARTITION_ROWS;
}

void partitions_row(struct partitions *p, const struct log_row *row)
{
    if (row->id <= p->watermark)
        return;
    struct partition *open = p->used > 0 ? &p->pending[p->used - 1] : NULL;
    if (open == NULL || is_complete(p, open, row->received_ms)) {
        open = &p->pending[p->used++];
        *open = (struct partition){ .first_id = row->id,
                                    .first_received_ms = row->received_ms,
                                    .last_received_ms = row->received_ms,
                                    .newest_ms = row->ts_ms };
    }
    open->last_id = row->id;
    if (row->received_ms > open->last_received_ms)
        open->last_received_ms = row->received_ms;
    if (row->ts_ms > open->newest_ms)
        open->newest_ms = row->ts_ms;
    open->rows[row->kind]++;
    p->dirty = true;
}

bool partitions_is_full(const struct partitions *p)
{
    return p->used == PARTITION_PENDING;
}

bool partitions_is_dirty(const struct partitions *p)
{
    return p->dirty;
}

static int save(struct partitions *p, const struct partition *piece)
{
    sqlite3_bind_int64(p->save, 1, piece->first_id);
    sqlite3_bind_int64(p->save, 2, piece->last_id);
    sqlite3_bind_int64(p->save, 3, piece->first_received_ms);
    sqlite3_bind_int64(p->save, 4, piece->last_received_ms);
    sqlite3_bind_int64(p->save, 5, piece->newest_ms);
    for (int kind = 0; kind <= LOG_REPORT; kind++)
        sqlite3_bind_int64(p->save, 6 + kind, piece->rows[kind]);
    return store_run(p->save);
}

int partitions_flush(struct partitions *p)
{
    int rc = 0;

    if (!p->dirty)
        return 0;
    for (int i = 0; rc == 0 && i < p->used; i++)
        rc = save(p, &p->pending[i]);
    if (rc != 0)
        return rc;
    p->pending[0] = p->pending[p->used - 1];
    p->used = 1;
    p->watermark = p->pending[0].last_id;
    p->dirty = false;
    return 0;
}
