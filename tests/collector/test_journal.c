/* SPDX-License-Identifier: MIT
 *
 * The writer's memory and tables against a recount: random histories with duplicates, partial
 * records, coarser records, gaps and restarts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector/base/clock.h"
#include "collector/writer/writer.h"

#define NOW_MS 1795132800000LL

static char dir[64], path[128];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/tollgate-journal-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/t.db", dir);
    return 0;
}

static int remove_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* A positional event's session triple and combination, and an event around them. */
struct made {
    uint8_t session[16], dims[64];
    char run[16];
    struct event event;
};

static struct made make(int session, int agent, int granularity)
{
    struct made m = { .event.kind = KIND_dispatch };

    m.session[0] = 0xa2;
    m.session[1] = 's';
    m.session[2] = (uint8_t)('0' + session);
    memset(m.session + 3, 0xc0, 2);
    m.dims[0] = 0xa2;
    m.dims[1] = 'a';
    m.dims[2] = (uint8_t)('0' + agent);
    memset(m.dims + 3, 0xc0, 12);
    m.dims[11] = (uint8_t)granularity; /* after agent: 7 texts, trigger, granularity */
    return m;
}

/* The slices point into the struct itself: set them where it lives. */
static void point(struct made *m)
{
    m->event.session = (struct slice){ m->session, 5 };
    m->event.dims = (struct slice){ m->dims, 15 };
    for (int i = 0; i < DISPATCH_NUMS; i++)
        m->event.num[i] = UNKNOWN;
    m->event.ts_ms = NOW_MS;
}

struct fixture {
    struct store store;
    struct journal journal;
    struct journal_origin from;
};

static void fixture_open(struct fixture *f)
{
    char error[STORE_ERROR_MAX];
    struct journal_options options = { 30LL * 86400000, 600000, 100 };

    assert_int_equal(store_open(&f->store, path, "full", error), 0);
    sqlite3_exec(f->store.db, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
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

static enum event_result append(struct fixture *f, struct made *m)
{
    enum event_result result;

    assert_int_equal(journal_append(&f->journal, &f->from, &m->event, &result), 0);
    return result;
}

static int64_t ask(struct fixture *f, const char *sql)
{
    int64_t n = -1;

    assert_int_equal(store_number(&f->store, sql, &n), 0);
    return n;
}

/* What the projection and its unflushed part say together must be what the log says. */
static void compare_with_recount(struct fixture *f)
{
    assert_int_equal(rollup_flush(&f->journal.rollup), 0);
    assert_int_equal(
        ask(f, "SELECT count(*) FROM (SELECT ts_ms/60000 m, dims, count(*) c, sum(ifnull(prompt_tokens,0)) p,"
               " count(prompt_tokens) k, sum(ifnull(partial,0)) q FROM dispatch WHERE state & 7 = 0 GROUP BY "
               "1, 2"
               " EXCEPT SELECT minute, dims, calls, prompt_tokens, prompt_tokens_known, partial"
               " FROM projection_minute)"),
        0);
    assert_int_equal(ask(f, "SELECT ifnull(sum(calls),0) FROM projection_minute"),
                     ask(f, "SELECT count(*) FROM dispatch WHERE state & 7 = 0"));
    assert_int_equal(
        ask(f, "SELECT count(*) FROM dispatch e WHERE NOT EXISTS (SELECT 1 FROM projection_minute_range r"
               " WHERE r.minute = e.ts_ms/60000 AND e.id BETWEEN r.first_id AND r.last_id)"),
        0);
}

static void a_final_record_replaces_a_partial_one(void **state)
{
    struct fixture f;
    struct made partial = make(1, 1, 1), final = make(1, 1, 1), other = make(1, 1, 1);

    (void)state;
    fixture_open(&f);
    point(&partial), point(&final), point(&other);
    partial.event.has_id = final.event.has_id = other.event.has_id = true;
    partial.event.num[D_partial] = 1;
    partial.event.num[D_prompt_tokens] = 5;
    final.event.num[D_prompt_tokens] = 9;
    other.event.num[D_prompt_tokens] = 10;
    assert_int_equal(append(&f, &partial), EVENT_STORED);
    assert_int_equal(append(&f, &partial), EVENT_DUPLICATE);
    assert_int_equal(rollup_flush(&f.journal.rollup), 0); /* the partial one is in the table */
    assert_int_equal(append(&f, &final), EVENT_REPLACED);
    assert_int_equal(append(&f, &final), EVENT_DUPLICATE);
    assert_int_equal(append(&f, &other), EVENT_CONFLICT);
    assert_int_equal(append(&f, &partial), EVENT_DUPLICATE);
    compare_with_recount(&f);
    assert_int_equal(ask(&f, "SELECT sum(prompt_tokens) FROM projection_minute"), 9);
    fixture_close(&f, true);
}

/* A combination that lost its last call leaves no empty row behind. */
static void a_replacement_in_another_combination_leaves_no_ghost(void **state)
{
    struct fixture f;
    struct made partial = make(1, 1, 1), final = make(1, 2, 1);

    (void)state;
    for (int flushed = 0; flushed < 2; flushed++) {
        unlink(path);
        fixture_open(&f);
        point(&partial), point(&final);
        partial.event.has_id = final.event.has_id = true;
        partial.event.num[D_partial] = 1;
        append(&f, &partial);
        if (flushed)
            assert_int_equal(rollup_flush(&f.journal.rollup), 0);
        assert_int_equal(append(&f, &final), EVENT_REPLACED);
        compare_with_recount(&f);
        assert_int_equal(ask(&f, "SELECT count(*) FROM projection_minute"), 1);
        fixture_close(&f, true);
    }
}

/* Between the replacement's commit and the next flush a query adds table and tail. */
static void a_replacement_is_exact_before_the_flush(void **state)
{
    static const char table_and_tail[] =
        "SELECT ifnull((SELECT sum(calls) FROM projection_minute), 0) + (SELECT count(*) FROM dispatch WHERE"
        " state & 7 = 0 AND id > (SELECT watermark FROM projection WHERE name='minute'))";
    struct fixture f;
    struct made partial = make(1, 1, 1), final = make(1, 1, 1);

    (void)state;
    fixture_open(&f);
    point(&partial), point(&final);
    partial.event.has_id = final.event.has_id = true;
    partial.event.num[D_partial] = 1;
    append(&f, &partial);
    rollup_flush(&f.journal.rollup);
    assert_int_equal(append(&f, &final), EVENT_REPLACED);
    assert_int_equal(ask(&f, table_and_tail), 1);
    fixture_close(&f, true);
    fixture_open(&f); /* the tail is replayed */
    compare_with_recount(&f);
    assert_int_equal(ask(&f, "SELECT sum(calls) FROM projection_minute"), 1);
    fixture_close(&f, true);
}

static void the_finest_granularity_counts(void **state)
{
    struct fixture f;

    (void)state;
    for (int order = 0; order < 2; order++) {
        unlink(path);
        fixture_open(&f);
        struct made call = make(1, 1, GRANULARITY_call), run = make(1, 1, GRANULARITY_run),
                    turn = make(1, 1, GRANULARITY_turn);
        struct made *told[2][4] = { { &turn, &run, &call, &call }, { &call, &call, &run, &turn } };
        for (int i = 0; i < 4; i++) {
            struct made *m = told[order][i];
            point(m);
            m->event.has_id = true;
            m->event.id[15] = (uint8_t)(i + 1);
            m->event.text[D_run_id] = (struct slice){ (const uint8_t *)"r-1", 3 };
            m->event.num[D_prompt_tokens] = 7;
            assert_int_equal(append(&f, m), EVENT_STORED);
        }
        compare_with_recount(&f);
        assert_int_equal(ask(&f, "SELECT sum(prompt_tokens) FROM projection_minute"), 14);
        assert_int_equal(ask(&f, "SELECT count(*) FROM dispatch WHERE state = 2"), 2);
        fixture_close(&f, true);
    }
}

static void far_times_are_flagged(void **state)
{
    struct fixture f;
    struct made m = make(1, 1, 1);

    (void)state;
    fixture_open(&f);
    point(&m);
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

/* Appends a random event; some share ids, so that all the ways of meeting again happen. */
static void random_event(struct fixture *f, unsigned *seed)
{
    struct made m = make((int)(rand_r(seed) % 4), (int)(rand_r(seed) % 3),
                         1 + (int)(rand_r(seed) % 3 == 0) * (1 + (int)(rand_r(seed) % 2)));

    point(&m);
    m.event.has_id = rand_r(seed) % 4 != 0;
    m.event.id[0] = (uint8_t)(rand_r(seed) % 200);
    m.event.id[1] = 1;
    m.event.num[D_partial] = rand_r(seed) % 3 == 0 ? 1 : UNKNOWN;
    m.event.num[D_prompt_tokens] = rand_r(seed) % 5 == 0 ? UNKNOWN : (int64_t)(rand_r(seed) % 3);
    m.event.ts_ms = NOW_MS - (int64_t)(rand_r(seed) % 10) * 61000;
    snprintf(m.run, sizeof m.run, "r%u", rand_r(seed) % 20);
    if (rand_r(seed) % 3 != 0)
        m.event.text[D_run_id] = (struct slice){ (const uint8_t *)m.run, (uint32_t)strlen(m.run) };
    append(f, &m);
    if (rand_r(seed) % 50 == 0)
        assert_int_equal(rollup_flush(&f->journal.rollup), 0);
}

static void random_histories_equal_their_recount(void **state)
{
    (void)state;
    for (unsigned history = 1; history <= 20; history++) {
        unsigned seed = history;
        struct fixture f;
        for (int life = 0; life < 6; life++) { /* some lives end in a rollback, all in a restart */
            fixture_open(&f);
            for (int i = 0; i < 300; i++)
                random_event(&f, &seed);
            if (life % 2 == 1)
                compare_with_recount(&f);
            fixture_close(&f, life % 3 != 0);
        }
        unlink(path);
    }
}

/* ------------------------------------------------------- the thread and streams */

static void done(struct batch *b)
{
    queue_push(b->owner, &b->item, 0);
}

struct life {
    struct queue *queue, *back;
    struct counters counters;
    struct ticker commits;
    struct writer *writer;
};

static void life_begin(struct life *l)
{
    char error[STORE_ERROR_MAX];
    struct writer_options options = { path, "full", { 30LL * 86400000, 600000, 3 }, 90 };

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
static void send(struct life *l, struct batch *b, uint64_t base, uint64_t first_seq, size_t count)
{
    static struct made made[64];
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
        made[i] = make(1, 1, 1);
        point(&made[i]);
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
    send(&l, &b, 0, 1, 10);
    assert_int_equal(b.status, BATCH_SETTLED);
    assert_int_equal(b.settled, 10);
    assert_int_equal(b.duplicates, 0);
    send(&l, &b, 0, 5, 10); /* overlaps */
    assert_int_equal(b.settled, 14);
    assert_int_equal(b.duplicates, 6);
    send(&l, &b, 0, 16, 1); /* 15 is missing */
    assert_int_equal(b.status, BATCH_GAP);
    assert_int_equal(b.settled, 14);
    send(&l, &b, 15, 16, 1); /* 15 was given up */
    assert_int_equal(b.status, BATCH_SETTLED);
    assert_int_equal(b.settled, 16);
    life_end(&l);
    life_begin(&l); /* the watermark survives */
    send(&l, &b, 0, 10, 7);
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
        send(&l, &b, 0, i, 1); /* the slot of a good event, then as a fault */
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
    const struct CMUnitTest tests[] = {
        TEST(a_final_record_replaces_a_partial_one),
        TEST(a_replacement_is_exact_before_the_flush),
        TEST(a_replacement_in_another_combination_leaves_no_ghost),
        TEST(the_finest_granularity_counts),
        TEST(far_times_are_flagged),
        TEST(random_histories_equal_their_recount),
        TEST(streams_settle_once_and_ask_for_what_is_missing),
        TEST(the_quarantine_is_bounded_and_settles),
        TEST(a_newer_or_foreign_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
