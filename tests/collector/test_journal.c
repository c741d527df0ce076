/* SPDX-License-Identifier: MIT
 *
 * The log and what becomes of each event: duplicates, partial records, coarser records, misdated ones;
 * the writer's thread, its streams and its quarantine. (test_history.c compares random histories.)
 */
#include "writer_db.h"

#include "collector/base/clock.h"
#include "collector/writer/writer.h"
#include "made_event.h"

#define NOW_MS 1795132800000LL

struct fixture {
    struct store store;
    struct journal journal;
    struct journal_origin from;
};

static void fixture_open(struct fixture *f)
{
    struct journal_options options = { .past_ms = 30LL * 86400000,
                                       .future_ms = 600000,
                                       .quarantine_rows = 100 };

    db_open(&f->store);
    assert_int_equal(journal_init(&f->journal, &f->store, &options), 0);
    assert_int_equal(journal_recover(&f->journal), 0);
    f->from = (struct journal_origin){ .now_ms = NOW_MS };
    assert_int_equal(store_begin(&f->store), 0);
    assert_int_equal(names_source(&f->journal.names, "test", NOW_MS, &f->from.source), 0);
}

static void fixture_close(struct fixture *f, bool commit)
{
    if (commit)
        assert_int_equal(store_commit(&f->store), 0);
    else
        store_rollback(&f->store);
    journal_fini(&f->journal);
    store_close(&f->store);
}

/* An event of session s-1 and an agent. */
static struct made_event *make(struct made_event *m, const char *agent, uint8_t granularity)
{
    struct made_names names = { .session_id = "s-1", .agent_id = agent, .granularity = granularity };

    made_event(m, KIND_dispatch, &names);
    m->event.ts_ms = NOW_MS;
    return m;
}

static enum event_result append(struct fixture *f, struct made_event *m)
{
    enum event_result result;

    assert_int_equal(journal_append(&f->journal, &f->from, &m->event, &result), 0);
    return result;
}

static int64_t ask(struct fixture *f, const char *sql)
{
    return db_ask(&f->store, sql);
}

static void flush(struct fixture *f)
{
    assert_int_equal(journal_flush_usage(&f->journal, NOW_MS), 0);
    assert_int_equal(journal_flush_sessions(&f->journal), 0);
}

static int64_t minutes(struct fixture *f, enum slab_column column)
{
    return db_slab_sum(&f->store, "projection_minute", column);
}

/* All that counts, and nothing else, is in the projections. */
static void compare_with_recount(struct fixture *f)
{
    flush(f);
    assert_int_equal(minutes(f, SLAB_CALLS), ask(f, "SELECT count(*) FROM dispatch WHERE state & 7 = 0"));
    assert_int_equal(minutes(f, (enum slab_column)(SLAB_SUM + SUM_prompt_tokens)),
                     ask(f, "SELECT ifnull(sum(prompt_tokens), 0) FROM dispatch WHERE state & 7 = 0"));
    assert_int_equal(ask(f, "SELECT ifnull(sum(calls), 0) FROM projection_session"),
                     ask(f, "SELECT count(*) FROM dispatch WHERE state & 7 = 0 AND session > 0"));
}

static void a_final_record_replaces_a_partial_one(void **state)
{
    struct fixture f;
    struct made_event partial, final, other;

    (void)state;
    fixture_open(&f);
    make(&partial, "a", 1), make(&final, "a", 1), make(&other, "a", 1);
    partial.event.has_id = final.event.has_id = other.event.has_id = true;
    partial.event.num[D_partial] = 1;
    partial.event.num[D_prompt_tokens] = 5;
    final.event.num[D_prompt_tokens] = 9;
    other.event.num[D_prompt_tokens] = 10;
    assert_int_equal(append(&f, &partial), EVENT_STORED);
    assert_int_equal(append(&f, &partial), EVENT_DUPLICATE);
    flush(&f); /* the partial one is in the table */
    assert_int_equal(append(&f, &final), EVENT_REPLACED);
    assert_int_equal(append(&f, &final), EVENT_DUPLICATE);
    assert_int_equal(append(&f, &other), EVENT_CONFLICT);
    assert_int_equal(append(&f, &partial), EVENT_DUPLICATE);
    compare_with_recount(&f);
    assert_int_equal(minutes(&f, (enum slab_column)(SLAB_SUM + SUM_prompt_tokens)), 9);
    fixture_close(&f, true);
}

/* What the collector adds is no part of what a sender told. */
static void a_derived_number_is_no_conflict(void **state)
{
    struct fixture f;
    struct made_event first, again;

    (void)state;
    fixture_open(&f);
    make(&first, "a", 1), make(&again, "a", 1);
    first.event.has_id = again.event.has_id = true;
    first.event.num[D_price] = 3;
    first.event.num[D_cost_nanousd] = 12345;
    assert_int_equal(append(&f, &first), EVENT_STORED);
    assert_int_equal(append(&f, &again), EVENT_DUPLICATE);
    compare_with_recount(&f);
    assert_int_equal(ask(&f, "SELECT price FROM dispatch"), 3);
    assert_int_equal(ask(&f, "SELECT cost_nanousd FROM v_dispatch"), 12345);
    assert_int_equal(minutes(&f, (enum slab_column)(SLAB_SUM + SUM_cost_nanousd)), 12345);
    assert_int_equal(ask(&f, "SELECT cost_nanousd FROM v_session"), 12345);
    fixture_close(&f, true);
}

/* total_tokens is stored as what it says beyond prompt and completion, and read as it was told. */
static void total_tokens_take_no_room_where_they_are_the_sum(void **state)
{
    static const struct {
        int64_t prompt, completion, total, stored; /* stored: of UNKNOWN means NULL */
    } cases[] = {
        { 7, 3, 10, 0 },
        { 7, 3, 12, 2 },
        { 7, 3, 9, -1 }, /* no unknown one */
        { 7, 3, 0, -10 },
        { 0, 0, 0, 0 },
        { 7, UNKNOWN, 10, 10 },
        { UNKNOWN, 3, 10, 10 },
        { UNKNOWN, UNKNOWN, 10, 10 },
        { UNKNOWN, UNKNOWN, 0, 0 },
        { 7, 3, UNKNOWN, UNKNOWN },
    };
    struct fixture f;
    struct made_event m, again;
    char sql[128];

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        make(&m, "a", 1), make(&again, "a", 1);
        m.event.has_id = again.event.has_id = true;
        m.event.id[0] = again.event.id[0] = (uint8_t)i;
        m.event.num[D_prompt_tokens] = again.event.num[D_prompt_tokens] = cases[i].prompt;
        m.event.num[D_completion_tokens] = again.event.num[D_completion_tokens] = cases[i].completion;
        m.event.num[D_total_tokens] = cases[i].total;
        again.event.num[D_total_tokens] = cases[i].total != UNKNOWN ? UNKNOWN : 1;
        assert_int_equal(append(&f, &m), EVENT_STORED);
        assert_int_equal(append(&f, &m), EVENT_DUPLICATE);
        assert_int_equal(append(&f, &again), EVENT_CONFLICT);
        snprintf(sql, sizeof sql, "SELECT ifnull(total_tokens, -1000) FROM dispatch WHERE id = %d", 1 + i);
        assert_int_equal(ask(&f, sql), cases[i].total != UNKNOWN ? cases[i].stored : -1000);
        snprintf(sql, sizeof sql, "SELECT ifnull(total_tokens, -1) FROM v_dispatch WHERE id = %d", 1 + i);
        assert_int_equal(ask(&f, sql), cases[i].total);
        int64_t num[DISPATCH_NUMS];
        struct log_row row;
        assert_int_equal(log_row_read(f.journal.read_row, 1 + i, num, &row), 1);
        assert_int_equal(num[D_total_tokens], cases[i].total);
    }
    compare_with_recount(&f);
    assert_int_equal(minutes(&f, (enum slab_column)(SLAB_SUM + SUM_total_tokens)), 61);
    assert_int_equal(minutes(&f, (enum slab_column)(SLAB_KNOWN + SUM_total_tokens)), 9);
    fixture_close(&f, true);
}

/* A combination that lost its last call leaves no empty row behind. */
static void a_replacement_in_another_combination_leaves_no_ghost(void **state)
{
    struct fixture f;
    struct made_event partial, final;

    (void)state;
    for (int flushed = 0; flushed < 2; flushed++) {
        db_remove();
        fixture_open(&f);
        make(&partial, "a", 1), make(&final, "b", 1);
        partial.event.has_id = final.event.has_id = true;
        partial.event.num[D_partial] = 1;
        append(&f, &partial);
        if (flushed)
            flush(&f);
        assert_int_equal(append(&f, &final), EVENT_REPLACED);
        compare_with_recount(&f);
        assert_int_equal(minutes(&f, SLAB_DIMS), 1);
        fixture_close(&f, true);
    }
}

/* Between the replacement's commit and the next flush a query adds table and tail. */
static void a_replacement_is_exact_before_the_flush(void **state)
{
    static const char tail[] = "SELECT count(*) FROM dispatch WHERE state & 7 = 0 AND id > (SELECT watermark"
                               " FROM projection WHERE name='usage')",
                      sessions[] =
                          "SELECT ifnull((SELECT sum(calls) FROM projection_session), 0) + (SELECT"
                          " count(*) FROM dispatch WHERE state & 7 = 0 AND id > (SELECT watermark FROM"
                          " projection WHERE name='session'))";
    struct fixture f;
    struct made_event partial, final;

    (void)state;
    fixture_open(&f);
    make(&partial, "a", 1), make(&final, "a", 1);
    partial.event.has_id = final.event.has_id = true;
    partial.event.num[D_partial] = 1;
    append(&f, &partial);
    flush(&f);
    assert_int_equal(append(&f, &final), EVENT_REPLACED);
    assert_int_equal(journal_settle(&f.journal, NOW_MS), 0);
    assert_int_equal(minutes(&f, SLAB_CALLS) + ask(&f, tail), 1);
    assert_int_equal(ask(&f, sessions), 1);
    fixture_close(&f, true);
    fixture_open(&f); /* the tail is replayed */
    compare_with_recount(&f);
    assert_int_equal(minutes(&f, SLAB_CALLS), 1);
    fixture_close(&f, true);
}

static void the_finest_granularity_counts(void **state)
{
    struct fixture f;

    (void)state;
    for (int order = 0; order < 2; order++) {
        db_remove();
        fixture_open(&f);
        static const uint8_t told[2][4] = {
            { GRANULARITY_turn, GRANULARITY_run, GRANULARITY_call, GRANULARITY_call },
            { GRANULARITY_call, GRANULARITY_call, GRANULARITY_run, GRANULARITY_turn },
        };
        for (int i = 0; i < 4; i++) {
            struct made_event event, *m = make(&event, "a", told[order][i]);
            m->event.has_id = true;
            m->event.id[15] = (uint8_t)(i + 1);
            made_run(m, "r-1");
            m->event.num[D_prompt_tokens] = 7;
            assert_int_equal(append(&f, m), EVENT_STORED);
        }
        compare_with_recount(&f);
        assert_int_equal(minutes(&f, (enum slab_column)(SLAB_SUM + SUM_prompt_tokens)), 14);
        assert_int_equal(ask(&f, "SELECT count(*) FROM dispatch WHERE state = 2"), 2);
        fixture_close(&f, true);
    }
}

static void far_times_are_flagged(void **state)
{
    struct fixture f;
    struct made_event m;

    (void)state;
    fixture_open(&f);
    make(&m, "a", 1);
    m.event.ts_ms = NOW_MS - 31LL * 86400000;
    append(&f, &m);
    m.event.has_id = false;
    m.event.ts_ms = NOW_MS + 601000;
    append(&f, &m);
    m.event.has_id = false;
    m.event.ts_ms = NOW_MS - 86400000;
    append(&f, &m);
    assert_int_equal(ask(&f, "SELECT count(*) FROM dispatch WHERE state = 8 AND ts_ms = 1795132800000"), 2);
    assert_int_equal(
        ask(&f, "SELECT count(*) FROM dispatch WHERE state = 0 AND received_after_ms = 86400000"), 1);
    compare_with_recount(&f);
    fixture_close(&f, true);
}

/* Everything derived is gone, and more rows and minutes wait than memory holds: it is flushed on the way. */
static void a_long_tail_is_replayed_in_pieces(void **state)
{
    const int n = SESSIONS_CELLS_MAX + SESSIONS_CELLS_MAX / 4;
    struct fixture f;
    char name[32];

    (void)state;
    fixture_open(&f);
    for (int i = 0; i < n; i++) {
        struct made_names names = { .session_id = name, .agent_id = i % 7 == 0 ? "a" : "b" };
        struct made_event m;
        snprintf(name, sizeof name, "session-%d", i);
        made_event(&m, i % 10 == 0 ? KIND_agent_end : KIND_dispatch, &names);
        m.event.ts_ms = NOW_MS - (int64_t)i * 60000;
        m.event.num[D_prompt_tokens] = i;
        assert_int_equal(append(&f, &m), EVENT_STORED);
    }
    compare_with_recount(&f);
    int64_t calls = minutes(&f, SLAB_CALLS),
            prompt = minutes(&f, (enum slab_column)(SLAB_SUM + SUM_prompt_tokens));
    db_exec(&f.store,
            "DELETE FROM projection_minute; DELETE FROM projection_quarter; DELETE FROM projection_day;"
            "DELETE FROM projection_day_row; DELETE FROM projection_session;"
            "DELETE FROM projection_session_span; DELETE FROM projection_session_slice;"
            "UPDATE projection SET watermark = 0;"
            "UPDATE projection_setting SET value = 0 WHERE name = 'folded_minute'");
    fixture_close(&f, true);
    fixture_open(&f);
    assert_in_range(ask(&f, "SELECT min(watermark) FROM projection WHERE name <> 'ledger'"),
                    SESSIONS_CELLS_MAX / 4, n);
    compare_with_recount(&f);
    assert_int_equal(minutes(&f, SLAB_CALLS), calls);
    assert_int_equal(minutes(&f, (enum slab_column)(SLAB_SUM + SUM_prompt_tokens)), prompt);
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_session"), n);
    assert_int_equal(ask(&f, "SELECT sum(messages) FROM projection_session"), (n + 9) / 10);
    assert_int_equal(ask(&f, "SELECT count(*) FROM projection_session_slice"), n);
    assert_int_equal(ask(&f, "SELECT sum(dispatches + messages) FROM log_partition"), n);
    fixture_close(&f, true);
}

/* ------------------------------------------------------- the thread and streams */

static void done(struct batch *b)
{
    queue_push(b->owner, &b->item, 0);
}

#define SILENT_MS 200

struct life {
    struct queue *queue, *back;
    struct counters counters;
    struct ticker commits, alerts;
    struct writer *writer;
};

static void life_begin(struct life *l)
{
    char error[STORE_ERROR_MAX];
    struct writer_options options = {
        .path = path,
        .synchronous = "full",
        .journal = { .past_ms = 30LL * 86400000,
                     .future_ms = 600000,
                     .quarantine_rows = 3,
                     .watching.silent_ms = SILENT_MS },
        .stream_days = 90,
        .alerts = &l->alerts,
    };

    memset(l, 0, sizeof *l);
    l->queue = queue_new(1000);
    l->back = queue_new(1000);
    if (writer_start(&options, l->queue, &l->counters, &l->commits, error, &l->writer) != 0)
        fail_msg("%s", error);
}

static void life_end(struct life *l)
{
    queue_close(l->queue);
    writer_stop(l->writer);
    queue_free(l->queue);
    queue_free(l->back);
}

/* Sends events first_seq.. of a stream and waits for the answer. */
static void send_one(struct life *l, struct batch *b, uint64_t base, uint64_t first_seq, size_t count)
{
    static struct made_event made[64];
    struct queue_item *item;

    snprintf(b->source, sizeof b->source, "s");
    b->has_stream = true;
    b->epoch = 77;
    b->base = base;
    b->first_seq = first_seq;
    b->done = done;
    b->owner = l->back;
    assert_true(batch_reserve(b, 64));
    for (size_t i = 0; i < count; i++) {
        make(&made[i], "a", 1);
        made[i].event.ts_ms = UNKNOWN;
        b->events[i] = (struct batch_event){ .event = made[i].event };
    }
    b->count = count;
    b->item.weight = count;
    assert_int_equal(queue_push(l->queue, &b->item, 0), QUEUE_OK);
    assert_int_equal(queue_pop(l->back, -1, &item), QUEUE_OK);
    assert_ptr_equal(item, b);
}

static void streams_settle_once_and_ask_for_what_is_missing(void **state)
{
    struct batch b = { .count = 0 };
    struct life l;

    (void)state;
    life_begin(&l);
    send_one(&l, &b, 0, 1, 10);
    assert_int_equal(b.status, BATCH_SETTLED);
    assert_int_equal(b.settled, 10);
    assert_int_equal(b.duplicates, 0);
    send_one(&l, &b, 0, 5, 10); /* overlaps */
    assert_int_equal(b.settled, 14);
    assert_int_equal(b.duplicates, 6);
    send_one(&l, &b, 0, 16, 1); /* 15 is missing */
    assert_int_equal(b.status, BATCH_GAP);
    assert_int_equal(b.settled, 14);
    send_one(&l, &b, 15, 16, 1); /* 15 was given up */
    assert_int_equal(b.status, BATCH_SETTLED);
    assert_int_equal(b.settled, 16);
    life_end(&l);
    life_begin(&l); /* the watermark survives */
    send_one(&l, &b, 0, 10, 7);
    assert_int_equal(b.settled, 16);
    assert_int_equal(b.duplicates, 7);
    assert_int_equal(count_get(&l.counters.events_stored), 0);
    life_end(&l);
    batch_fini(&b);
}

static void the_quarantine_is_bounded_and_settles(void **state)
{
    struct batch b = { .count = 0 };
    struct fixture f;
    struct life l;

    (void)state;
    life_begin(&l);
    for (uint64_t i = 1; i <= 5; i++) {
        send_one(&l, &b, 0, i, 1); /* the slot of a good event, then as a fault */
        b.events[0].fault = "test";
        b.events[0].fault_count = 1;
        b.events[0].event.body = (struct slice){ (const uint8_t *)"\xc1", 1 };
        b.epoch = 78;
        b.item.weight = 1;
        struct queue_item *item;
        assert_int_equal(queue_push(l.queue, &b.item, 0), QUEUE_OK);
        assert_int_equal(queue_pop(l.back, -1, &item), QUEUE_OK);
        assert_int_equal(b.settled, i);
    }
    assert_int_equal(count_get(&l.counters.events_quarantined), 5);
    assert_int_equal(count_get(&l.counters.quarantine_discarded), 2);
    life_end(&l);
    fixture_open(&f);
    assert_int_equal(ask(&f, "SELECT count(*) FROM quarantine"), 3);
    fixture_close(&f, false);
    batch_fini(&b);
}

/* Whoever tells alerts wakes after the commit; the thread wakes by itself when somebody is silent. */
static void alerts_are_announced(void **state)
{
    static struct made_event report;
    struct batch b = { .count = 0 };
    struct fixture f;
    struct life l;

    (void)state;
    life_begin(&l);
    send_one(&l, &b, 0, 1, 3);
    assert_int_equal(ticker_read(&l.alerts), 0);
    made_event(&report, KIND_report, NULL);
    b.stream = 1;
    b.first_seq = b.count = b.item.weight = 1;
    b.events[0] = (struct batch_event){ .event = report.event };
    struct queue_item *item;
    assert_int_equal(queue_push(l.queue, &b.item, 0), QUEUE_OK);
    assert_int_equal(queue_pop(l.back, -1, &item), QUEUE_OK);
    assert_true(ticker_wait(&l.alerts, 0, 60000));
    assert_int_equal(count_get(&l.counters.alerts_silent), 1);
    b.stream = 0;
    send_one(&l, &b, 3, 4, 1); /* it is heard */
    life_end(&l);
    fixture_open(&f);
    assert_true(ask(&f, "SELECT count(*) FROM alert WHERE kind='silent' AND ended_ms IS NOT NULL") > 0);
    fixture_close(&f, false);
    batch_fini(&b);
}

static void a_newer_or_foreign_file_is_refused(void **state)
{
    char error[STORE_ERROR_MAX];
    struct store s, second;

    (void)state;
    assert_int_equal(store_open(&s, path, "full", error), 0);
    assert_int_not_equal(store_open(&second, path, "full", error), 0);
    assert_non_null(strstr(error, "in use"));
    sqlite3_exec(s.db, "PRAGMA user_version=999", NULL, NULL, NULL);
    store_close(&s);
    assert_int_not_equal(store_open(&s, path, "full", error), 0);
    assert_non_null(strstr(error, "999"));
    sqlite3 *db;
    unlink(path);
    sqlite3_open(path, &db);
    sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL);
    sqlite3_close(db);
    assert_int_not_equal(store_open(&s, path, "full", error), 0);
    assert_non_null(strstr(error, "not Tollgate's"));
    unsigned char header[20] = { 0 }; /* and nothing in it was changed: bytes 18 and 19 would say WAL */
    FILE *file = fopen(path, "rb");
    assert_int_equal(fread(header, 1, sizeof header, file), sizeof header);
    fclose(file);
    assert_int_equal(header[18], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_final_record_replaces_a_partial_one),
        TEST(a_derived_number_is_no_conflict),
        TEST(total_tokens_take_no_room_where_they_are_the_sum),
        TEST(a_replacement_is_exact_before_the_flush),
        TEST(a_replacement_in_another_combination_leaves_no_ghost),
        TEST(the_finest_granularity_counts),
        TEST(far_times_are_flagged),
        TEST(a_long_tail_is_replayed_in_pieces),
        TEST(streams_settle_once_and_ask_for_what_is_missing),
        TEST(the_quarantine_is_bounded_and_settles),
        TEST(alerts_are_announced),
        TEST(a_newer_or_foreign_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
