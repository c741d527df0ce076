/* SPDX-License-Identifier: MIT */
#include "projections.h"

#include "../base/clock.h"

int projections_init(struct projections *p, struct store *store, const struct zone *zone,
                     const struct retention_ages *ages, const struct ledger_options *governing)
{
    static const struct ledger_options no_governing = { .prices = NULL };
    int rc;

    *p = (struct projections){ .store = store };
    if (zone == NULL && (zone = p->utc = zone_open("UTC")) == NULL)
        return -SQLITE_NOMEM;
    if ((rc = rollup_init(&p->rollup, store, zone)) != 0 ||
        (rc = session_totals_init(&p->sessions, store)) != 0 ||
        (rc = ledger_init(&p->ledger, store, governing != NULL ? governing : &no_governing)) != 0 ||
        (rc = partitions_init(&p->partitions, store, ages)) != 0 || (rc = meter_open(store, &p->meter)) != 0)
        return rc;
    return losses_open(store, &p->losses);
}

void projections_fini(struct projections *p)
{
    rollup_fini(&p->rollup);
    session_totals_fini(&p->sessions);
    partitions_fini(&p->partitions);
    ledger_fini(&p->ledger);
    meter_close(p->meter);
    losses_close(p->losses);
    zone_close(p->utc);
    *p = (struct projections){ .store = NULL };
}

bool projections_are_dirty(const struct projections *p)
{
    return rollup_is_dirty(&p->rollup) || session_totals_is_dirty(&p->sessions) ||
           partitions_is_dirty(&p->partitions) || ledger_is_dirty(&p->ledger);
}

int projections_flush_usage(struct projections *p, int64_t now_ms)
{
    int rc = rollup_flush(&p->rollup, now_ms);

    if (rc == 0)
        rc = ledger_flush(&p->ledger);
    return rc != 0 ? rc : partitions_flush(&p->partitions);
}

int projections_flush_sessions(struct projections *p)
{
    int rc = session_totals_flush(&p->sessions);

    return rc != 0 ? rc : partitions_flush(&p->partitions);
}

int projections_settle(struct projections *p, int64_t now_ms)
{
    int rc = rollup_must_flush(&p->rollup) ? rollup_flush(&p->rollup, now_ms) : 0;

    return rc == 0 && ledger_must_flush(&p->ledger) ? ledger_flush(&p->ledger) : rc;
}

void projections_committed(struct projections *p)
{
    meter_commit(p->meter);
    losses_commit(p->losses);
}

static bool is_full(const struct projections *p)
{
    return rollup_is_full(&p->rollup) || session_totals_is_full(&p->sessions) ||
           partitions_is_full(&p->partitions) || ledger_is_full(&p->ledger);
}

int projections_make_room(struct projections *p, int64_t now_ms)
{
    int rc = 0;

    if (rollup_is_full(&p->rollup))
        rc = rollup_flush(&p->rollup, now_ms);
    if (rc == 0 && session_totals_is_full(&p->sessions))
        rc = session_totals_flush(&p->sessions);
    if (rc == 0 && ledger_is_full(&p->ledger))
        rc = ledger_flush(&p->ledger);
    if (rc == 0 && partitions_is_full(&p->partitions))
        rc = partitions_flush(&p->partitions);
    return rc;
}

/* A row that has just been written or, at the start, is read again: then e is NULL. */
static int tell(struct projections *p, const struct log_row *row, const struct event *e)
{
    rollup_row(&p->rollup, row);
    session_totals_row(&p->sessions, row);
    partitions_row(&p->partitions, row);
    return ledger_row(&p->ledger, row, e);
}

int projections_row(struct projections *p, const struct log_row *row, const struct event *e)
{
    meter_row(p->meter, row, e->dims);
    return tell(p, row, e);
}

int projections_retract_sums(struct projections *p, const struct log_row *row)
{
    int rc = rollup_retract(&p->rollup, row);

    if (rc == 0)
        rc = session_totals_retract(&p->sessions, row);
    return rc != 0 ? rc : meter_retract(p->meter, row);
}

int projections_retract(struct projections *p, const struct log_row *row)
{
    int rc = ledger_retract(&p->ledger, row);

    return rc != 0 ? rc : projections_retract_sums(p, row);
}

int projections_restore_sums(struct projections *p, const struct log_row *row)
{
    int rc = rollup_restore(&p->rollup, row);

    if (rc == 0)
        rc = session_totals_restore(&p->sessions, row);
    return rc != 0 ? rc : meter_restore(p->meter, row);
}

int projections_restore(struct projections *p, const struct log_row *row)
{
    int rc = projections_restore_sums(p, row);

    return rc != 0 ? rc : ledger_restore(&p->ledger, row);
}

/* ---------------------------------------------------------------- recovery */

static int make_room_in_transaction(struct projections *p)
{
    int rc = store_begin(p->store);

    if (rc == 0 && (rc = projections_make_room(p, wall_ms())) == 0)
        rc = store_commit(p->store);
    if (rc != 0)
        store_rollback(p->store);
    return rc;
}

/* One pass over what any projection has not flushed; each ignores what it has. */
static int replay(struct projections *p)
{
    struct log_reader reader;
    struct log_row row;
    int64_t from = p->rollup.watermark;
    int rc;

    from = p->sessions.watermark < from ? p->sessions.watermark : from;
    from = p->ledger.watermark < from ? p->ledger.watermark : from;
    from = p->partitions.watermark < from ? p->partitions.watermark : from;
    if ((rc = log_reader_open(&reader, p->store->db, from + 1, INT64_MAX)) != 0)
        return rc;
    while ((rc = log_reader_next(&reader, &row)) == 1) {
        if (is_full(p) && (rc = make_room_in_transaction(p)) != 0)
            break;
        if ((rc = tell(p, &row, NULL)) != 0)
            break;
    }
    log_reader_close(&reader);
    return rc;
}

int projections_start(struct projections *p)
{
    int rc;

    meter_rollback(p->meter);
    losses_rollback(p->losses);
    if ((rc = rollup_start(&p->rollup)) != 0 || (rc = session_totals_start(&p->sessions)) != 0 ||
        (rc = partitions_start(&p->partitions)) != 0 || (rc = ledger_start(&p->ledger, wall_ms())) != 0 ||
        (rc = replay(p)) != 0)
        return rc;
    ledger_run(&p->ledger);
    return 0;
}
