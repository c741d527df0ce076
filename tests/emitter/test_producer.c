/* SPDX-License-Identifier: MIT
 *
 * test_producer.c: which thread writes where, and what happens when there is no room: the whole spool
 * is used before anything is dropped or evicted, and afterwards threads spread out again.
 */
#include "peer.h"

#define SEGMENT  ((size_t)64 << 10)
#define SEGMENTS 4u /* for events; the last is shared */

static struct home home;
static struct peer *peer;

static int setup(void **state)
{
    (void)state;
    alarm(120); /* a lock that nobody gives back */
    home_make(&home);
    peer = peer_new(home.endpoint);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    peer_free(peer);
    home_remove(&home);
    return 0;
}

static tg_emitter *open_small(enum tg_full on_full)
{
    struct tg_options o = options(&home, "producer");

    o.segment_bytes = SEGMENT;
    o.spool_bytes = (SEGMENTS + 1) * SEGMENT;
    o.on_full = on_full;
    return open_emitter(&o);
}

/* Emits until nothing fits; how many did. Numbers go on from *number. */
static int64_t fill(tg_emitter *tg, int64_t *number)
{
    int64_t n = 0;

    while (emit(tg, *number + 1) == TG_OK) {
        ++*number;
        n++;
    }
    return n;
}

/* ------------------------------------------------------------------ a thread */

struct job {
    tg_emitter *tg;
    int64_t first, count;
    bool cancelled; /* from the start */
    int rc;
};

static void *job_main(void *arg)
{
    struct job *job = arg;

    if (job->cancelled)
        pthread_cancel(pthread_self());
    job->rc = TG_OK;
    for (int64_t i = 0; i < job->count && job->rc == TG_OK; i++)
        job->rc = emit(job->tg, job->first + i);
    return NULL;
}

static int run(struct job *job)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, job_main, job), 0);
    pthread_join(thread, NULL);
    return job->rc;
}

/* --------------------------------------------------------------------- tests */

static void test_second_outage(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_DROP_NEWEST);
    int64_t number = 0, first = fill(tg, &number);

    (void)state;
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    assert_true(fill(tg, &number) > first * 9 / 10); /* not the shared segment alone */
    peer_start(peer);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, number);
}

static void test_leaves_shared(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_DROP_NEWEST);
    int64_t number = 0;

    (void)state;
    fill(tg, &number);
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    emit_many(tg, number + 1, 100);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, number + 100); /* sorts them */
    assert_int_equal(peer->event[number].stream, SEGMENTS);
    assert_true(peer->event[number + 99].stream < SEGMENTS);
}

static void test_threads_come_and_go(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_DROP_NEWEST);
    int64_t number = 0, one = fill(tg, &number) / SEGMENTS;

    (void)state;
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    tg = open_small(TG_FULL_DROP_NEWEST);
    for (int i = 0; i < 6; i++) { /* 3.6 segments, in parts that leave each less than half empty */
        struct job job = { .tg = tg, .first = 1, .count = one * 6 / 10 };
        assert_int_equal(run(&job), TG_OK);
    }
    assert_int_equal(stats(tg).dropped_full, 0);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
}

struct holder {
    tg_emitter *tg;
    pthread_barrier_t barrier;
};

static void *holder_main(void *arg)
{
    struct holder *h = arg;

    emit(h->tg, 1);
    pthread_barrier_wait(&h->barrier);
    pthread_barrier_wait(&h->barrier);
    return NULL;
}

/* Nothing is settled meanwhile: that a thread ended must be news enough. */
static void test_room_by_release(void **state)
{
    struct holder h = { .tg = open_small(TG_FULL_DROP_NEWEST) };
    int64_t number = 0;
    pthread_t thread;

    (void)state;
    pthread_barrier_init(&h.barrier, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, holder_main, &h), 0);
    pthread_barrier_wait(&h.barrier);
    int64_t first = fill(h.tg, &number);
    assert_int_equal(emit(h.tg, 1), TG_ERR_FULL);
    pthread_barrier_wait(&h.barrier);
    pthread_join(thread, NULL);
    assert_true(fill(h.tg, &number) > first / SEGMENTS);
    pthread_barrier_destroy(&h.barrier);
    assert_int_equal(tg_close(h.tg, 0), TG_ERR_TIMEOUT);
}

static void test_no_eviction_while_room(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_EVICT_OLDEST);
    int64_t number = 0;

    (void)state;
    while (stats(tg).spool_used_bytes < SEGMENT / 64 * 59)
        emit_many(tg, ++number, 1);
    nanosleep(&(struct timespec){ 1, 500000000 }, NULL);
    assert_int_equal(stats(tg).dropped_evicted, 0);
    fill(tg, &number);
    EVENTUALLY(stats(tg).dropped_evicted > 0); /* but when it is full */
    EVENTUALLY(emit(tg, 1) == TG_OK);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
}

static void *flush_main(void *arg)
{
    struct job *job = arg;

    job->rc = tg_flush(job->tg, PATIENCE_MS);
    return NULL;
}

static void test_flush_tells_of_eviction(void **state)
{
    struct job job = { .tg = open_small(TG_FULL_EVICT_OLDEST), .rc = -1 };
    int64_t number = 0;
    pthread_t thread;

    (void)state;
    fill(job.tg, &number);
    assert_int_equal(pthread_create(&thread, NULL, flush_main, &job), 0);
    EVENTUALLY(stats(job.tg).dropped_evicted > 0);
    peer_start(peer);
    pthread_join(thread, NULL);
    assert_int_equal(job.rc, TG_ERR_TIMEOUT);
    assert_int_equal(stats(job.tg).pending, 0);
    assert_int_equal(tg_flush(job.tg, PATIENCE_MS), TG_OK); /* nothing was evicted since */
    assert_int_equal(tg_close(job.tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

static void test_truncated_once(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_DROP_NEWEST);
    struct tg_dispatch d = TG_DISPATCH_INIT;
    char text[TG_STRING_MAX + 2];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    d.model = text;
    while (tg_dispatch_complete(tg, &d) == TG_OK)
        ;
    assert_int_equal(tg_dispatch_complete(tg, &d), TG_ERR_FULL);
    assert_int_equal(stats(tg).truncated, stats(tg).emitted);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
}

/* A thread with a cancellation pending goes through every slow path; no lock stays behind. */
static void test_cancelled(void **state)
{
    tg_emitter *tg = open_small(TG_FULL_EVICT_OLDEST);
    struct job job = { .tg = tg, .first = 1, .count = 1000000, .cancelled = true };

    (void)state;
    assert_int_equal(run(&job), TG_ERR_FULL); /* it came to the end */
    uint64_t emitted = stats(tg).emitted;
    assert_true(emitted > 0);
    peer_start(peer);
    EVENTUALLY(emit(tg, 1) == TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_second_outage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaves_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_room_by_release, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_eviction_while_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_tells_of_eviction, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
