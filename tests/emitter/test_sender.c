/* SPDX-License-Identifier: MIT
 *
 * test_sender.c: the emitter against a collector that is calm, busy, wedged, late, forgetful, gone.
 */
#include "peer.h"

#include <sched.h>

static struct home home;
static struct peer *peer;

static int setup(void **state)
{
    (void)state;
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

static void test_acknowledged(void **state)
{
    struct tg_options o = options(&home, "calm");

    (void)state;
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 5000);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    struct tg_stats s = stats(tg);
    assert_int_equal(s.emitted, 5000);
    assert_int_equal(s.settled, 5000);
    assert_int_equal(s.pending, 0);
    assert_int_equal(s.duplicates, 0);
    assert_int_equal(s.spool_in_memory, 0);
    assert_int_equal(s.connected, 1);
    assert_int_equal(s.last_error, 0);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(entries(home.spool), 0);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 5000);
    assert_int_equal(report_number(peer, NULL, "emitted"), 5000);
    assert_int_equal(report_number(peer, NULL, "settled"), 5000);
}

static void test_reports(void **state)
{
    struct tg_options o = options(&home, "reports");

    (void)state;
    o.gateway = "a gateway";
    o.report_ms = 20;
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    EVENTUALLY(PEER_GET(peer, reports) >= 3); /* though nothing happens */
    assert_int_equal(report_number(peer, NULL, "report_ms"), 20);
    assert_int_equal(report_number(peer, NULL, "closed"), -1);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof name, "hook.%d", i % 200);
        assert_int_equal(tg_count(tg, name, i % 2 ? "cli" : NULL, 2), TG_OK);
    }
    EVENTUALLY(report_number(peer, "counters", "other") > 0);
    assert_int_equal(tg_count(tg, NULL, NULL, 1), TG_ERR_INVALID);
    assert_int_equal(tg_count(tg, "x", NULL, -1), TG_ERR_INVALID);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    assert_int_equal(report_number(peer, "counters", "hook.1{cli}"), 4);
    assert_int_equal(report_number(peer, "counters", "hook.2"), 4);
    assert_int_equal(report_number(peer, "counters", "other"), 72 * 2);
    assert_int_equal(report_number(peer, "dropped", "full"), 0);
    assert_int_equal(report_number(peer, NULL, "pid"), getpid());
    assert_int_equal(report_number(peer, NULL, "closed"), 1);
    assert_int_equal(report_number(peer, NULL, "left_over"), -1);
}

static void test_late(void **state)
{
    struct tg_options o = options(&home, "late");

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 3000);
    assert_int_equal(tg_flush(tg, 50), TG_ERR_TIMEOUT);
    assert_int_equal(stats(tg).connected, 0);
    assert_int_equal(stats(tg).pending, 3000);
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 3000);
}

/* Nobody there any more and nothing under way: what cannot go out tells it. */
static void test_gone(void **state)
{
    struct tg_options o = options(&home, "gone");

    (void)state;
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 10);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    EVENTUALLY(stats(tg).connected == 1);
    peer_stop(peer);
    emit_many(tg, 11, 10);
    EVENTUALLY(stats(tg).connected == 0);
    tg_close(tg, 0);
}

static void test_restarted(void **state)
{
    struct tg_options o = options(&home, "restarted");

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    for (int64_t i = 0; i < 4; i++) {
        peer_start(peer);
        emit_many(tg, 1 + i * 4000, 2000);
        EVENTUALLY(PEER_GET(peer, event_count) > (size_t)i * 4000);
        emit_many(tg, 2001 + i * 4000, 2000);
        peer_stop(peer); /* with batches under way */
    }
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 16000);
}

static void test_wedged(void **state)
{
    struct tg_options o = options(&home, "wedged");

    (void)state;
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 10);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    peer_set(peer, WEDGED, 0);
    emit_many(tg, 11, 4000);
    EVENTUALLY(stats(tg).batches_resent > 0); /* it asks again by itself */
    peer_set(peer, CALM, 0);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 4010);
}

static void test_busy(void **state)
{
    struct tg_options o = options(&home, "busy");

    (void)state;
    peer_set(peer, BUSY, 0);
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 20000);
    EVENTUALLY(PEER_GET(peer, batches) > 5);
    assert_int_equal(stats(tg).settled, 0);
    assert_int_equal(stats(tg).dropped_refused, 0);
    peer_set(peer, CALM, 0);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 20000);
}

static void test_gaps(void **state)
{
    struct tg_options o = options(&home, "gaps");

    (void)state;
    peer_set(peer, FORGETFUL, 0);
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 10000);
    EVENTUALLY(PEER_GET(peer, gaps) > 0);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    peer_set(peer, CALM, 0);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 10000);
}

static void test_refused(void **state)
{
    struct tg_options o = options(&home, "refused");

    (void)state;
    peer_set(peer, CALM, 2345);
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 5000);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    struct tg_stats s = stats(tg);
    assert_int_equal(s.dropped_refused, 1);
    assert_int_equal(s.settled, 4999);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    assert_int_equal(peer->event_count, 4999);
    for (size_t i = 0; i < peer->event_count; i++)
        assert_int_not_equal(peer->event[i].number, 2345);
    assert_int_equal(report_number(peer, "dropped", "refused"), 1);
}

static void test_full(void **state)
{
    struct tg_options o = options(&home, "full");
    int rc = TG_OK;
    int64_t n = 0;

    (void)state;
    o.segment_bytes = 64 << 10;
    o.spool_bytes = 256 << 10;
    tg_emitter *tg = open_emitter(&o);
    while (rc == TG_OK && n < 100000)
        rc = emit(tg, ++n);
    assert_int_equal(rc, TG_ERR_FULL);
    assert_int_equal(emit(tg, n + 1), TG_ERR_FULL);
    struct tg_stats s = stats(tg);
    assert_int_equal(s.emitted, n - 1);
    assert_int_equal(s.dropped_full, 2);
    assert_true(s.spool_used_bytes > 100 << 10); /* one thread alone fills several segments */
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(emit(tg, n), TG_OK); /* room again */
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, n);
    assert_int_equal(report_number(peer, "dropped", "full"), 2);
}

/* The newest survive, the oldest do not, and the numbers of stats add up. */
static void test_evict(void **state)
{
    struct tg_options o = options(&home, "evict");
    uint64_t tried = 0;

    (void)state;
    o.segment_bytes = 64 << 10;
    o.spool_bytes = 256 << 10;
    o.on_full = TG_FULL_EVICT_OLDEST;
    tg_emitter *tg = open_emitter(&o);
    while (stats(tg).dropped_evicted == 0) {
        emit(tg, (int64_t)++tried);
        if (tried > 5000)
            nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
        assert_true(tried < 60000);
    }
    EVENTUALLY(emit(tg, (int64_t)++tried) == TG_OK);
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    struct tg_stats s = stats(tg);
    assert_int_equal(s.settled + s.dropped_evicted + s.dropped_full, tried);
    assert_int_equal(s.emitted + s.dropped_full, tried);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    assert_int_equal(peer->event_count, s.settled);
    uint64_t oldest = UINT64_MAX, newest = 0; /* several streams: order holds only within each */
    for (size_t i = 0; i < peer->event_count; i++) {
        uint64_t number = (uint64_t)peer->event[i].number;
        oldest = number < oldest ? number : oldest;
        newest = number > newest ? number : newest;
    }
    assert_int_equal(newest, tried);
    assert_true(oldest > 1);
}

/* Never there: close leaves the spool, and the next emitter of the source sends it. */
static void test_left_for_the_next(void **state)
{
    struct tg_options o = options(&home, "left"), other = options(&home, "left-too");

    (void)state;
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 2000);
    assert_int_equal(tg_close(tg, 0), TG_ERR_TIMEOUT);
    assert_int_equal(entries(home.spool), 1);
    peer_start(peer);
    tg_emitter *stranger = open_emitter(&other);
    emit_many(stranger, 2001, 1);
    assert_int_equal(tg_flush(stranger, PATIENCE_MS), TG_OK);
    assert_int_equal(PEER_GET(peer, event_count), 1); /* not its source */
    tg = open_emitter(&o);
    EVENTUALLY(stats(tg).adopted == 2000);
    EVENTUALLY(entries(home.spool) == 2);
    assert_int_equal(stats(tg).emitted, 0);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(stranger, PATIENCE_MS), TG_OK);
    assert_int_equal(entries(home.spool), 0);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 2001);
}

struct crew {
    tg_emitter *tg;
    int64_t first, count;
};

static void *crew_main(void *arg)
{
    struct crew *c = arg;

    for (int64_t i = 0; i < c->count; i++)
        while (emit(c->tg, c->first + i) == TG_ERR_FULL)
            sched_yield();
    return NULL;
}

/* More threads than segments, in two emitters of one source at once. */
static void test_many_threads(void **state)
{
    enum { THREADS = 12, EACH = 5000 };
    struct tg_options o = options(&home, "many");
    tg_emitter *tg[2];
    pthread_t thread[THREADS];
    struct crew crew[THREADS];

    (void)state;
    o.spool_bytes = (64 << 10) + 6 * (256 << 10);
    o.segment_bytes = 256 << 10; /* four threads get one of their own, the fifth and later share */
    peer_start(peer);
    tg[0] = open_emitter(&o);
    tg[1] = open_emitter(&o);
    for (int i = 0; i < THREADS; i++) {
        crew[i] = (struct crew){ tg[i % 2], 1 + i * EACH, EACH };
        assert_int_equal(pthread_create(&thread[i], NULL, crew_main, &crew[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tg_flush(tg[i], PATIENCE_MS), TG_OK);
        assert_int_equal(stats(tg[i]).settled, THREADS / 2 * EACH);
        assert_true(stats(tg[i]).spool_bytes <= o.spool_bytes);
        assert_int_equal(tg_close(tg[i], PATIENCE_MS), TG_OK);
    }
    peer_stop(peer);
    peer_has_exactly(peer, 1, THREADS * EACH);
}

/* Order holds per thread: in each stream the numbers of one thread ascend. */
static void test_order(void **state)
{
    struct tg_options o = options(&home, "order");

    (void)state;
    peer_set(peer, FORGETFUL, 0);
    peer_start(peer);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 10000);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    for (size_t i = 0; i < peer->event_count; i++)
        assert_int_equal(peer->event[i].number, i + 1);
    assert_int_equal(peer->event_count, 10000);
}

/* Replies from a stranger: rubbish, another's epoch, numbers nobody sent. Nothing is lost by them. */
static void test_hostile_replies(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rubbish[] = {
        { "", 0 },
        { "\xc1", 1 },
        { "\x99\x01\x02", 3 },
        { "\xdd\xff\xff\xff\xff\x01\x02", 7 },
        { "\x95\x01\x02\x01\x01\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 14 },
        { "\x95\x01\x02\xa1x\x01\x01", 7 },
        { "HTTP/1.1 400 Bad Request\r\n\r\n", 28 },
    };
    struct tg_options o = options(&home, "hostile");
    void *ctx = zmq_ctx_new(), *socket = zmq_socket(ctx, ZMQ_ROUTER);
    char who[256], frame[1024];
    int linger = 0;

    (void)state;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    assert_int_equal(zmq_bind(socket, home.endpoint), 0);
    tg_emitter *tg = open_emitter(&o);
    emit_many(tg, 1, 100);
    int n = zmq_recv(socket, who, sizeof who, 0);
    assert_true(n > 0 && zmq_recv(socket, frame, sizeof frame, 0) > 0);
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        zmq_send(socket, who, (size_t)n, ZMQ_SNDMORE);
        zmq_send(socket, rubbish[i].bytes, rubbish[i].len, 0);
    }
    assert_int_equal(tg_flush(tg, 200), TG_ERR_TIMEOUT);
    assert_int_equal(stats(tg).pending, 100);
    zmq_close(socket);
    zmq_ctx_term(ctx);
    peer_start(peer);
    assert_int_equal(tg_flush(tg, PATIENCE_MS), TG_OK);
    assert_int_equal(tg_close(tg, PATIENCE_MS), TG_OK);
    peer_stop(peer);
    peer_has_exactly(peer, 1, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_acknowledged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restarted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wedged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gaps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_evict, setup, teardown),
        cmocka_unit_test_setup_teardown(test_left_for_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_replies, setup, teardown),
    };

    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
