/* SPDX-License-Identifier: MIT
 *
 * writer.c joins the stages and owns the transaction.
 *
 * A transaction holds all batches that were waiting when it began (up to TRANSACTION_EVENTS), their
 * stream watermarks and, when they are due, the projections' flushes. Under load transactions grow,
 * an idle collector commits each batch at once. done() is called after the commit only. When a
 * transaction fails, everything is rolled back, and the batches are answered with BATCH_BUSY: their
 * publishers keep them. The store is then down, batches are answered so without being tried, until
 * there is room on the disk, a small write succeeds and memory has been read again from the file.
 * The pauses between attempts grow until a transaction with events succeeds.
 */
#include "writer.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "desk.h"
#include "ledger_work.h"
#include "pace.h"
#include "retention.h"
#include "streams.h"

#define TRANSACTION_EVENTS  8192
#define TRANSACTION_BATCHES 256
#define PREFETCH_AHEAD      8
#define RETRY_FIRST_MS      100
#define RETRY_MAX_MS        2000
#define DAY_MS              86400000LL
#define SIZES_MS            1000
#define FLUSH_LAZY_US       1000000
#define FLUSH_EAGER_US      100000 /* usage, when FLUSH_MUCH rows wait: the tail that queries read stays short */
#define FLUSH_MUCH          1000

struct writer {
    pthread_t thread;
    struct queue *queue;       /* borrowed */
    struct counters *counters; /* borrowed */
    struct ticker *commits;    /* borrowed */
    struct store store;
    struct streams streams;
    struct journal journal;
    struct pace usage, session; /* when the projections are flushed */
    bool retains;               /* something is dropped when it is old */
    struct retention retention;
    struct repricer repricer;
    struct monotime sizes_due; /* when file and memory are looked at again */
    bool down;                 /* the last transaction failed */
    int64_t retry_ms;          /* the last pause; 0 once events have been stored */
    struct monotime retry_due;
    struct batch *batches[TRANSACTION_BATCHES];
    size_t count;
    bool fed; /* the last transaction with orders had no batch: the next takes one */
    struct desk desk;
};

/* ------------------------------------------------------------------ batches */

static int store_stream_event(struct writer *w, struct journal_origin *from, struct batch *b, size_t i,
                              uint64_t watermark)
{
    struct batch_event *e = &b->events[i];
    uint64_t count = e->fault != NULL ? e->fault_count : 1;
    int rc = 0;

    e->result = EVENT_DUPLICATE;
    if (b->has_stream && from->seq + count - 1 <= watermark)
        w->journal.tally.duplicate += (int64_t)count;
    else if (e->fault != NULL)
        rc = (e->result = EVENT_QUARANTINED, journal_quarantine(&w->journal, from, e));
    else
        rc = journal_append(&w->journal, from, &e->event, &e->result);
    if (e->result == EVENT_DUPLICATE)
        b->duplicates += (uint32_t)count;
    from->seq += count;
    return rc;
}

static int store_events(struct writer *w, struct journal_origin *from, struct batch *b, uint64_t watermark)
{
    int rc = 0;

    b->duplicates = 0;
    for (size_t i = 0; rc == 0 && i < b->count; i++) {
        if (i + PREFETCH_AHEAD < b->count && b->events[i + PREFETCH_AHEAD].fault == NULL)
            journal_prefetch(&w->journal, &b->events[i + PREFETCH_AHEAD].event);
        rc = store_stream_event(w, from, b, i, watermark);
    }
    return rc;
}

static int store_batch(struct writer *w, struct batch *b, int64_t now_ms)
{
    struct journal_origin from = { .has_stream = b->has_stream,
                                   .epoch = b->epoch,
                                   .stream = b->stream,
                                   .seq = b->first_seq,
                                   .now_ms = now_ms };
    uint64_t watermark = 0;
    int rc = names_source(&w->journal.names, b->source, now_ms, &from.source);

    b->status = BATCH_SETTLED;
    if (rc == 0)
        rc = watch_heard(&w->journal.watch, from.source, b->has_stream ? b->epoch : 0, now_ms);
    if (rc != 0 || !b->has_stream)
        return rc != 0 ? rc : store_events(w, &from, b, 0);
    struct stream_key key = { b->epoch, from.source, b->stream };
    if ((rc = streams_get(&w->streams, key, &watermark)) != 0)
        return rc;
    uint64_t reached = watermark > b->base ? watermark : b->base;
    b->settled = reached;
    if (b->first_seq > reached + 1) {
        b->status = BATCH_GAP;
        return 0;
    }
    if ((rc = store_events(w, &from, b, watermark)) != 0)
        return rc;
    if (from.seq - 1 > reached)
        b->settled = from.seq - 1;
    return b->settled > watermark ? streams_set(&w->streams, key, b->settled, now_ms) : 0;
}

/* ------------------------------------------------------------------ telling */

static void publish_tally(struct writer *w)
{
    struct journal_tally *t = &w->journal.tally;
    struct counters *c = w->counters;
    int64_t now = wall_ms();

    count_add(&c->events_stored, t->stored);
    count_add(&c->events_duplicate, t->duplicate);
    count_add(&c->events_replaced, t->replaced);
    count_add(&c->events_conflict, t->conflict);
    count_add(&c->events_coarser, t->coarser);
    count_add(&c->events_misdated, t->misdated);
    count_add(&c->events_quarantined, t->quarantined);
    count_add(&c->quarantine_discarded, t->discarded);
    count_add(&c->combinations_overflowed, t->overflowed);
    count_set(&c->last_commit_unix_ms, now);
    if (t->newest_ms != 0)
        count_set(&c->ingest_lag_ms, now > t->newest_ms ? now - t->newest_ms : 0);
    *t = (struct journal_tally){ 0 };
}

static void publish_sizes(struct writer *w)
{
    int64_t pages = 0, free_pages = 0;

    if (store_number(&w->store, "PRAGMA page_count", &pages) != 0 ||
        store_number(&w->store, "PRAGMA freelist_count", &free_pages) != 0)
        return;
    count_set(&w->counters->database_bytes, pages * STORE_PAGE_BYTES);
    count_set(&w->counters->database_free_bytes, free_pages * STORE_PAGE_BYTES);
}

static void publish_gauges(struct writer *w)
{
    const struct journal *j = &w->journal;
    struct counters *c = w->counters;

    count_set(&c->queue_events, (int64_t)queue_weight(w->queue));
    count_set(&c->wal_bytes, (int64_t)w->store.wal_pages * STORE_PAGE_BYTES);
    count_set(&c->projection_lag_usage, j->projections.rollup.newest - j->projections.rollup.watermark);
    count_set(&c->projection_lag_session, j->projections.sessions.newest - j->projections.sessions.watermark);
    count_set(&c->quarantine_pieces, j->quarantined);
    count_set(&c->sessions_known, j->names.known);
    count_set(&c->combinations_known, j->names.combinations.known);
    count_set(&c->combinations_limit, j->names.combinations.bound);
    count_set(&c->streams_known, w->streams.used);
}

/* Now and then: what file and memory take. Batches, pages and answers come and go, and the holes that they
 * leave between what stays would add up. */
static void look_at_sizes(struct writer *w)
{
    if (mono_left(w->sizes_due) > 0)
        return;
    w->sizes_due = mono_after(mono_now(), SIZES_MS);
    publish_sizes(w);
    malloc_trim(0);
}

/* ------------------------------------------------------------- projections */

/* Microseconds until the flush is due; -1: nothing waits. A minute that is to be folded is something
 * to flush too. */
static int64_t usage_left(const struct writer *w, int64_t now_us)
{
    const struct rollup *r = &w->journal.projections.rollup;
    int64_t left = pace_left(&w->usage, r->pending >= FLUSH_MUCH, now_us);
    int64_t fold_ms = rollup_fold_due_ms(r);

    if (fold_ms == INT64_MAX)
        return left;
    int64_t now_ms = wall_ms(), fold = fold_ms > now_ms ? (fold_ms - now_ms) * 1000 : 0;
    return left < 0 || fold < left ? fold : left;
}

static void note_flush(struct pace *p, struct histogram *h, int64_t began_us)
{
    int64_t ended_us = mono_us();

    pace_flushed(p, began_us, ended_us);
    histogram_add(h, ended_us - began_us);
}

/* Flushes what is due or owed to this transaction, or, at the end, everything. */
static int flush(struct writer *w, int64_t now_ms, bool all)
{
    const struct projections *p = &w->journal.projections;
    int64_t began_us = mono_us();
    int rc = 0;

    if (usage_left(w, began_us) == 0 || rollup_must_flush(&p->rollup) ||
        (all && rollup_is_dirty(&p->rollup))) {
        rc = journal_flush_usage(&w->journal, now_ms);
        note_flush(&w->usage, &w->counters->flush_usage_us, began_us);
    }
    began_us = mono_us();
    if (rc == 0 &&
        (pace_left(&w->session, false, began_us) == 0 || (all && session_totals_is_dirty(&p->sessions)))) {
        rc = journal_flush_sessions(&w->journal);
        note_flush(&w->session, &w->counters->flush_session_us, began_us);
    }
    return rc;
}

static bool flush_is_due(const struct writer *w)
{
    int64_t now_us = mono_us();

    return usage_left(w, now_us) == 0 || pace_left(&w->session, false, now_us) == 0;
}

static void plan_flush(struct writer *w)
{
    int64_t now_us = mono_us();

    pace_note(&w->usage, rollup_is_dirty(&w->journal.projections.rollup), now_us);
    pace_note(&w->session, session_totals_is_dirty(&w->journal.projections.sessions), now_us);
}

/* ------------------------------------------------------------- transactions */

static int transact(struct writer *w, bool last)
{
    int64_t now_ms = wall_ms();
    int rc = store_begin(&w->store);

    if (rc == 0)
        rc = desk_serve(&w->desk, now_ms, last);
    for (size_t i = 0; rc == 0 && i < w->count; i++)
        rc = store_batch(w, w->batches[i], now_ms);
    if (rc == 0)
        rc = flush(w, now_ms, last);
    if (rc != 0)
        return rc;
    int64_t start_us = mono_us();
    if ((rc = store_commit(&w->store)) != 0)
        return rc;
    journal_committed(&w->journal);
    count_add(&w->counters->commits, 1);
    histogram_add(&w->counters->commit_us, mono_us() - start_us);
    return 0;
}

static void answer(struct writer *w, bool busy)
{
    desk_answer(&w->desk, busy);
    for (size_t i = 0; i < w->count; i++) {
        struct batch *b = w->batches[i];
        if (busy) {
            b->status = BATCH_BUSY;
            b->settled = 0;
            b->duplicates = 0;
        }
        b->done(b);
    }
    w->count = 0;
}

static void set_writable(struct writer *w, bool writable)
{
    count_set(&w->counters->store_writable, writable);
    if (w->desk.alerts != NULL)
        ticker_tick(w->desk.alerts);
}

/* Rolls back and reads memory again; the store is not writable until proven otherwise. */
static void fail(struct writer *w, int rc)
{
    log_error("store_failed", "code=%d text=\"%s\" events_waiting=%zu", -rc, store_error(&w->store),
              queue_weight(w->queue));
    count_add(&w->counters->commit_failures, 1);
    set_writable(w, false);
    watch_failed(&w->journal.watch, store_error(&w->store), wall_ms());
    store_rollback(&w->store);
    w->down = true;
    w->retry_ms = w->retry_ms == 0                 ? RETRY_FIRST_MS
                  : w->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS
                                                   : w->retry_ms * 2;
    w->retry_due = mono_after(mono_now(), w->retry_ms);
}

/* Room, a small write that reaches the disk, then memory equal to the file. */
static bool revive(struct writer *w)
{
    int rc;

    streams_forget(&w->streams);
    store_checkpoint(&w->store, true); /* gives room in the log back, if it can */
    if (!store_has_room(&w->store)) {
        w->retry_due = mono_after(mono_now(), RETRY_MAX_MS);
        return false;
    }
    if ((rc = store_begin(&w->store)) != 0 ||
        (rc = -sqlite3_exec(w->store.db, "UPDATE projection SET watermark = watermark + 0", NULL, NULL,
                            NULL)) != 0 ||
        (rc = store_commit(&w->store)) != 0 || (rc = journal_recover(&w->journal)) != 0) {
        fail(w, rc);
        return false;
    }
    w->down = false;
    watch_revived(&w->journal.watch, wall_ms());
    plan_flush(w);
    set_writable(w, true);
    log_info("store_writable", "events_waiting=%zu", queue_weight(w->queue));
    return true;
}

static void checkpoint(struct writer *w)
{
    int64_t began_us = mono_us();

    if (w->store.wal_pages < STORE_CHECKPOINT_PAGES)
        return;
    store_checkpoint(&w->store, false);
    histogram_add(&w->counters->checkpoint_us, mono_us() - began_us);
    count_add(&w->counters->checkpoints, 1);
}

static void run_transaction(struct writer *w, bool last)
{
    if (w->down && (mono_left(w->retry_due) > 0 || !revive(w))) {
        answer(w, true);
        return;
    }
    int rc = transact(w, last);
    if (rc != 0) {
        fail(w, rc);
        answer(w, true);
        return;
    }
    if (w->count > 0)
        w->retry_ms = 0;
    publish_tally(w);
    plan_flush(w);
    ticker_tick(w->commits);
    desk_publish(&w->desk);
    answer(w, false);
    if ((rc = desk_count_past(&w->desk)) != 0)
        fail(w, rc);
    checkpoint(w);
    publish_gauges(w);
    look_at_sizes(w);
}

/* ---------------------------------------------------------------- retention */

static void publish_deleted(struct writer *w)
{
    const struct retention_tally *t = &w->retention.tally;
    struct counters *c = w->counters;
    _Atomic int64_t *const deleted[RETENTION_KINDS] = {
        [RETAIN_DISPATCH] = &c->deleted_dispatches,
        [RETAIN_MESSAGE] = &c->deleted_messages,
        [RETAIN_REPORT] = &c->deleted_reports,
        [RETAIN_QUARANTINE] = &c->deleted_quarantine,
        [RETAIN_MINUTE] = &c->deleted_minutes,
        [RETAIN_QUARTER] = &c->deleted_quarters,
        [RETAIN_DAY] = &c->deleted_days,
        [RETAIN_SESSION] = &c->deleted_sessions,
        [RETAIN_ALERT] = &c->deleted_alerts,
    };

    for (int kind = 0; kind < RETENTION_KINDS; kind++)
        count_add(deleted[kind], t->rows[kind]);
    count_add(&c->deleted_index, t->index_rows);
    w->journal.quarantined -= t->rows[RETAIN_QUARANTINE];
}

/* What reservations were told to have come to stands elsewhere now. */
static int read_ledger_again(struct writer *w)
{
    int rc = store_begin(&w->store);

    if (rc == 0 && (rc = ledger_reload(&w->journal.projections.ledger)) == 0)
        rc = store_commit(&w->store);
    if (rc != 0)
        store_rollback(&w->store);
    return rc;
}

/* One small slice of what is too old, between two transactions. */
static void drop_old(struct writer *w)
{
    int64_t began_us = mono_us();
    bool more = false;

    if (!w->retains || w->down || !retention_is_due(&w->retention))
        return;
    int rc = retention_step(&w->retention, wall_ms(), &more);
    if (rc == 0 && w->retention.tally.told > 0)
        rc = read_ledger_again(w);
    if (rc != 0) {
        fail(w, rc);
        return;
    }
    histogram_add(&w->counters->retention_us, mono_us() - began_us);
    count_set(&w->counters->retention_busy, more);
    publish_deleted(w);
    checkpoint(w);
    publish_gauges(w);
    look_at_sizes(w);
}

/* ---------------------------------------------------------------- repricing */

/* One small slice of a run, between two transactions. */
static void reprice(struct writer *w)
{
    if (w->down || !repricer_is_due(&w->repricer))
        return;
    int rc = repricer_step(&w->repricer, wall_ms());
    if (rc != 0) {
        fail(w, rc);
        return;
    }
    plan_flush(w);
    ticker_tick(w->commits);
    desk_publish(&w->desk);
    checkpoint(w);
    publish_gauges(w);
    look_at_sizes(w);
}

/* ------------------------------------------------------------------- thread */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* How many milliseconds the thread may sleep: until there is something to do; -1: for ever. */
static int64_t patience(const struct writer *w)
{
    int64_t now_us = mono_us();

    if (w->down)
        return mono_left(w->retry_due);
    int64_t left = sooner(usage_left(w, now_us), pace_left(&w->session, false, now_us));
    left = sooner(left < 0 ? -1 : (left + 999) / 1000, w->retains ? retention_wait_ms(&w->retention) : -1);
    left = sooner(left, repricer_wait_ms(&w->repricer));
    return sooner(left, desk_wait_ms(&w->desk));
}

static void take_item(struct writer *w, struct queue_item *item, size_t *events)
{
    if (item->kind == ITEM_ORDER) {
        desk_take(&w->desk, (struct order *)item);
        return;
    }
    w->batches[w->count++] = (struct batch *)item;
    *events += item->weight;
}

/* Who asks waits for nobody's batch: orders have a transaction of their own, and every second one of these
 * takes a batch too, so that many orders do not keep events out. */
static void gather_orders(struct writer *w, size_t *events)
{
    struct queue_item *item;

    while (w->desk.count < DESK_ORDERS && queue_pop_first(w->queue, &item) == QUEUE_OK)
        take_item(w, item, events);
    if (!w->fed && w->count == 0 && w->desk.count < DESK_ORDERS && queue_pop(w->queue, 0, &item) == QUEUE_OK)
        take_item(w, item, events);
    w->fed = !w->fed;
}

/* False when the queue is closed and empty. */
static bool gather(struct writer *w)
{
    struct queue_item *item;
    size_t events = 0;
    enum queue_result r = queue_pop(w->queue, patience(w), &item);

    while (r == QUEUE_OK) {
        take_item(w, item, &events);
        if (w->desk.count > 0) {
            gather_orders(w, &events);
            return true;
        }
        if (events >= TRANSACTION_EVENTS || w->count == TRANSACTION_BATCHES)
            break;
        r = queue_pop(w->queue, 0, &item);
    }
    return w->count > 0 || r != QUEUE_CLOSED;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;

    while (gather(w)) {
        if (w->count > 0 || w->desk.count > 0 ||
            (w->down ? mono_left(w->retry_due) == 0 : flush_is_due(w) || desk_is_due(&w->desk)))
            run_transaction(w, false);
        drop_old(w);
        reprice(w);
    }
    if (!w->down && (projections_are_dirty(&w->journal.projections) || watch_is_dirty(&w->journal.watch)))
        run_transaction(w, true);
    store_checkpoint(&w->store, true);
    return NULL;
}

static void close_all(struct writer *w)
{
    desk_fini(&w->desk);
    retention_fini(&w->retention);
    repricer_fini(&w->repricer);
    journal_fini(&w->journal);
    streams_fini(&w->streams);
    store_close(&w->store);
    free(w);
}

static int open_all(struct writer *w, const struct writer_options *options, char error[STORE_ERROR_MAX])
{
    int rc = store_open(&w->store, options->path, options->synchronous, error);

    if (rc != 0)
        return rc;
    if ((rc = streams_init(&w->streams, &w->store)) != 0 ||
        (rc = streams_prune(&w->streams, wall_ms() - options->stream_days * DAY_MS)) != 0 ||
        (rc = journal_init(&w->journal, &w->store, &options->journal)) != 0 ||
        (rc = journal_recover(&w->journal)) != 0 ||
        (rc = repricer_init(&w->repricer, &w->store, &w->journal.pricer, &w->journal.projections)) != 0 ||
        (w->retains &&
         (rc = retention_init(&w->retention, &w->store, &w->journal.names, options->journal.ages)) != 0) ||
        (rc = desk_init(&w->desk, options->path,
                        options->journal.zone != NULL ? zone_name(options->journal.zone) : "UTC")) != 0)
        snprintf(error, STORE_ERROR_MAX, "%.200s: %s", options->path, store_error(&w->store));
    return rc;
}

int writer_start(const struct writer_options *options, struct queue *queue, struct counters *counters,
                 struct ticker *commits, char error[STORE_ERROR_MAX], struct writer **out)
{
    struct writer *w = calloc(1, sizeof *w);
    int rc = -SQLITE_NOMEM;

    if (w == NULL)
        return rc;
    *w = (struct writer){ .queue = queue,
                          .counters = counters,
                          .commits = commits,
                          .store.lock_fd = -1,
                          .usage = { .lazy_us = FLUSH_LAZY_US, .eager_us = FLUSH_EAGER_US },
                          .session = { .lazy_us = FLUSH_LAZY_US, .eager_us = FLUSH_LAZY_US },
                          .retains = options->journal.ages != NULL,
                          .desk = { .store = &w->store,
                                    .ledger = &w->journal.projections.ledger,
                                    .pricer = &w->journal.pricer,
                                    .repricer = &w->repricer,
                                    .watch = &w->journal.watch,
                                    .alerts = options->alerts,
                                    .queue = queue,
                                    .stand = options->stand,
                                    .counters = counters } };
    if ((rc = open_all(w, options, error)) != 0) {
        close_all(w);
        return rc;
    }
    plan_flush(w);
    count_set(&counters->store_writable, 1);
    count_set(&counters->queue_events_limit, (int64_t)queue_capacity(queue));
    publish_gauges(w);
    desk_publish(&w->desk);
    look_at_sizes(w);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        snprintf(error, STORE_ERROR_MAX, "cannot start the writer's thread");
        close_all(w);
        return -SQLITE_NOMEM;
    }
    *out = w;
    return 0;
}

void writer_emit(struct writer *w, metric_fn emit, void *sink)
{
    meter_emit(w->journal.projections.meter, emit, sink);
    losses_emit(w->journal.projections.losses, emit, sink);
}

void writer_stop(struct writer *w)
{
    if (w == NULL)
        return;
    pthread_join(w->thread, NULL);
    close_all(w);
}
