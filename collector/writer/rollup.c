/* SPDX-License-Identifier: MIT */
#include "rollup.h"

int rollup_init(struct rollup *r, struct store *store, const struct zone *zone)
{
    *r = (struct rollup){ 0 };
    if (rollup_cells_init(&r->cells) != 0)
        return -SQLITE_NOMEM;
    return rollup_file_init(&r->file, store, zone);
}

void rollup_fini(struct rollup *r)
{
    rollup_cells_fini(&r->cells);
    rollup_file_fini(&r->file);
}

int rollup_start(struct rollup *r)
{
    int rc;

    rollup_cells_clear(&r->cells);
    r->pending = 0;
    r->owes = false;
    if ((rc = rollup_file_rezone(&r->file)) != 0 || (rc = rollup_file_start(&r->file)) != 0)
        return rc;
    r->watermark = r->newest = r->file.watermark;
    return 0;
}

void rollup_row(struct rollup *r, const struct log_row *row)
{
    if (row->id <= r->watermark)
        return;
    r->newest = row->id;
    r->pending++;
    rollup_cells_add(&r->cells, row, 1);
}

static int flush_cells(struct rollup *r)
{
    static const int no_memory = -SQLITE_NOMEM;
    struct rollup_slab minute = { 0 };
    int rc = 0, more;

    rollup_cells_sort(&r->cells);
    while (rc == 0 && (more = rollup_cells_next(&r->cells, &minute)) != 0)
        rc = more < 0 ? no_memory : rollup_file_add(&r->file, &minute);
    slab_bytes_fini(&minute.body);
    if (rc != 0 || (rc = rollup_file_settle(&r->file)) != 0 ||
        (rc = rollup_file_set_watermark(&r->file, r->newest)) != 0)
        return rc;
    rollup_cells_clear(&r->cells);
    r->watermark = r->newest;
    r->pending = 0;
    r->owes = false;
    return 0;
}

/* Counts a row of any age once more (sign 1) or once less (-1). */
static int count_anew(struct rollup *r, const struct log_row *row, int sign)
{
    if (!row->counts)
        return 0;
    if (rollup_is_full(r)) {
        int rc = flush_cells(r);
        if (rc != 0)
            return rc;
    }
    rollup_cells_add(&r->cells, row, sign);
    r->pending++;
    r->owes |= row->id <= r->watermark;
    return 0;
}

int rollup_retract(struct rollup *r, const struct log_row *row)
{
    return count_anew(r, row, -1);
}

int rollup_restore(struct rollup *r, const struct log_row *row)
{
    return count_anew(r, row, 1);
}

bool rollup_must_flush(const struct rollup *r)
{
    return r->owes;
}

bool rollup_is_full(const struct rollup *r)
{
    return rollup_cells_is_full(&r->cells);
}

bool rollup_is_dirty(const struct rollup *r)
{
    return r->pending > 0;
}

int rollup_flush(struct rollup *r, int64_t now_ms)
{
    int rc = r->pending > 0 ? flush_cells(r) : 0;

    if (rc == 0 && rollup_fold_is_due(r, now_ms))
        rc = rollup_file_fold(&r->file, (now_ms - ROLLUP_FOLD_AFTER_MS) / MINUTE_MS);
    return rc;
}

int64_t rollup_fold_due_ms(const struct rollup *r)
{
    int64_t minute = r->file.unfolded_minute;

    return minute != INT64_MAX ? (minute + 1) * MINUTE_MS + ROLLUP_FOLD_AFTER_MS : INT64_MAX;
}

bool rollup_fold_is_due(const struct rollup *r, int64_t now_ms)
{
    return now_ms >= rollup_fold_due_ms(r);
}
