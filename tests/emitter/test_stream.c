/* SPDX-License-Identifier: MIT
 *
 * test_stream.c: the delivery of one stream, step by step, with the clock in hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emitter/stream.h"

static _Alignas(4096) uint8_t memory[RING_BYTES_MIN];
static struct ring *ring;
static struct ring_writer writer;
static struct stream st;
static struct batch batch;

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    ring = ring_init(memory, sizeof memory, 1);
    ring_writer_init(&writer, ring);
    stream_init(&st, ring, 0);
    return batch_init(&batch);
}

static int teardown(void **state)
{
    (void)state;
    batch_fini(&batch);
    return 0;
}

static void put(int n)
{
    while (n-- > 0)
        assert_true(ring_put(&writer, (const uint8_t *)"\x91\x01", 2));
}

/* Sends one batch now if there is one; returns its events. */
static unsigned send(uint64_t now)
{
    struct place end;

    if (!stream_fill(&st, now, 0, &batch, &end))
        return 0;
    stream_sent(&st, end, now);
    return batch.events;
}

static struct stream_result answer(uint64_t now, enum reply_status status, uint64_t settled)
{
    struct reply r = { .stream = 1, .settled = settled, .status = status };

    return stream_reply(&st, &r, now);
}

static void test_window(void **state)
{
    (void)state;
    for (int i = 0; i < STREAM_WINDOW; i++) {
        put(10);
        assert_int_equal(send(1), 10);
    }
    put(10);
    assert_int_equal(send(1), 0);
    assert_int_equal(answer(2, REPLY_SETTLED, 10).settled, 10);
    assert_int_equal(send(2), 10);
    assert_int_equal(send(2), 0);
    assert_int_equal(answer(2, REPLY_SETTLED, 85).settled, 75); /* inside a batch */
    assert_int_equal(st.tail.seq, 85);
    assert_int_equal(ring_tail(ring).seq, 85);
    assert_false(stream_done(&st));
    assert_int_equal(answer(2, REPLY_SETTLED, 90).settled, 5);
    assert_true(stream_done(&st));
}

static void test_linger(void **state)
{
    struct place end;

    (void)state;
    put(1);
    assert_false(stream_fill(&st, 100, 5, &batch, &end));
    assert_int_equal(stream_deadline(&st, false, false), 105);
    assert_false(stream_fill(&st, 104, 5, &batch, &end));
    assert_true(stream_fill(&st, 105, 5, &batch, &end));
    stream_sent(&st, end, 105);
    put(BATCH_EVENTS_MAX); /* a whole batch waits for nothing */
    assert_true(stream_fill(&st, 106, 5, &batch, &end));
    assert_int_equal(batch.events, BATCH_EVENTS_MAX);
}

/* Eight batches under way behind a hole bring eight complaints: it begins again once. */
static void test_gap_rewinds_once(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        put(10);
        send(1);
    }
    answer(2, REPLY_GAP, 0);
    assert_int_equal(send(2), 50);
    for (int i = 0; i < 4; i++)
        answer(3, REPLY_GAP, 0);
    assert_int_equal(send(3), 0); /* not again */
    assert_int_equal(answer(4, REPLY_SETTLED, 50).settled, 50);
    assert_true(stream_done(&st));
}

static void test_silence(void **state)
{
    uint64_t now = 1, patience = STREAM_PATIENCE_MIN;

    (void)state;
    put(10);
    assert_int_equal(send(now), 10);
    for (int i = 0; i < 8; i++) {
        assert_int_equal(stream_deadline(&st, false, false), now + patience);
        assert_false(stream_tick(&st, now + patience - 1));
        now += patience;
        assert_true(stream_tick(&st, now));
        assert_false(stream_tick(&st, now + 1000000)); /* nothing is under way now */
        assert_int_equal(send(now), 10);
        patience = patience * 2 < STREAM_PATIENCE_MAX ? patience * 2 : STREAM_PATIENCE_MAX;
    }
    assert_int_equal(patience, STREAM_PATIENCE_MAX);
    put(1);
    send(now);
    answer(now, REPLY_SETTLED, 10); /* progress: patience is short again */
    assert_int_equal(stream_deadline(&st, false, false), now + STREAM_PATIENCE_MIN);
}

static void test_refused(void **state)
{
    (void)state;
    put(10);
    assert_int_equal(send(1), 10);
    put(5);
    assert_int_equal(send(1), 5);
    assert_int_equal(answer(2, REPLY_REFUSED, 0).refused, 0);
    assert_int_equal(send(2), 0); /* the second batch's answer is still to come */
    answer(3, REPLY_GAP, 0);
    for (uint64_t seq = 1; seq <= 15; seq++) {
        assert_int_equal(send(4), 1);
        assert_int_equal(send(4), 0);
        if (seq == 7) {
            struct stream_result r = answer(5, REPLY_REFUSED, 6);
            assert_int_equal(r.refused, 1);
            assert_int_equal(r.settled, 0);
        } else {
            assert_int_equal(answer(5, REPLY_SETTLED, seq).settled, 1);
        }
        assert_int_equal(ring_tail(ring).seq, seq);
    }
    put(20); /* and together again */
    assert_int_equal(send(6), 20);
}

static void test_busy_keeps(void **state)
{
    (void)state;
    put(30);
    assert_int_equal(send(1), 30);
    struct stream_result r = answer(2, REPLY_BUSY, 10);
    assert_int_equal(r.settled, 10);
    assert_int_equal(r.refused, 0);
    assert_int_equal(send(3), 20);
}

/* Numbers that nobody sent, or that are long past, change nothing. */
static void test_strange_numbers(void **state)
{
    (void)state;
    put(10);
    assert_int_equal(answer(1, REPLY_SETTLED, 5).settled, 0);
    assert_int_equal(send(1), 10);
    put(5);
    assert_int_equal(answer(2, REPLY_SETTLED, UINT64_MAX).settled, 10);
    assert_int_equal(answer(2, REPLY_SETTLED, 3).settled, 0);
    assert_int_equal(ring_tail(ring).seq, 10);
    assert_int_equal(send(3), 5);
}

static bool readable(const uint8_t *record, size_t len)
{
    return len == 2 && record[1] != 0xc1;
}

/* The record before the hole is settled first; base and numbers step over it together. */
static void test_damaged(void **state)
{
    (void)state;
    put(5);
    assert_true(ring_put(&writer, (const uint8_t *)"\x91\xc1", 2));
    put(5);
    assert_int_equal(ring_recover(ring, readable), 1);
    assert_int_equal(send(1), 5);
    assert_int_equal(send(1), 0);
    assert_int_equal(stream_deadline(&st, false, false), 1 + STREAM_PATIENCE_MIN); /* no spinning */
    answer(2, REPLY_SETTLED, 5);
    assert_int_equal(send(2), 5);
    assert_int_equal(st.tail.seq, 6);
    answer(3, REPLY_SETTLED, 11);
    assert_true(stream_done(&st));
}

static void test_evict(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (ring_put(&writer, (const uint8_t *)"\x91\x01", 2))
        n++;
    assert_int_equal(stream_evict(&st, 999), 0); /* a second without progress first */
    assert_int_equal(stream_deadline(&st, true, true), 1000);
    send(1000);
    uint64_t gone = stream_evict(&st, 1000);
    assert_true(gone >= n / 8 && gone <= n / 8 + 2);
    assert_int_equal(ring_tail(ring).seq, gone);
    assert_int_equal(st.next.seq, gone);
    assert_int_equal(stream_evict(&st, 1000), 0); /* no longer crowded */
    assert_true(ring_put(&writer, (const uint8_t *)"\x91\x01", 2));
    answer(1001, REPLY_SETTLED, gone / 2); /* late news of what is gone */
    assert_int_equal(ring_tail(ring).seq, gone);
}

static void test_replies(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        int rc;
        uint64_t settled, status, retry;
    } table[] = {
        { "\x99\x01\x02\x05\x06\x07\x02\x03\xcd\x01\x00\xc0", 12, 0, 7, 2, 256 },
        { "\x95\x01\x02\x05\x06\x07", 6, 0, 7, 0, 0 },
        { "\xdc\x00\x05\x01\x02\x05\x06\x07", 8, 0, 7, 0, 0 },
        { "\xdd\x00\x00\x00\x05\x01\x02\x05\x06\xcc\xff", 11, 0, 255, 0, 0 },
        { "\x9b\x01\x02\x05\x06\x07\x00\x00\x00\xc0\x01\x02", 12, 0, 7, 0, 0 }, /* newer than we are */
        { "\x94\x01\x02\x05\x06", 5, -1, 0, 0, 0 },
        { "\x95\x02\x02\x05\x06\x07", 6, -1, 0, 0, 0 },
        { "\x95\x01\x01\x05\x06\x07", 6, -1, 0, 0, 0 },
        { "\x95\x01\x02\x05\x06", 5, -1, 0, 0, 0 },
        { "\x95\x01\x02\x05\x06\xff", 6, -1, 0, 0, 0 },
        { "\x96\x01\x02\x05\x06\x07\xa1", 7, -1, 0, 0, 0 },
        { "\xdd\xff\xff\xff", 4, -1, 0, 0, 0 },
        { "", 0, -1, 0, 0, 0 },
    };
    struct reply r;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        memset(&r, 0xaa, sizeof r);
        const int rc = reply_read((const uint8_t *)table[i].bytes, table[i].len, &r);
        assert_int_equal(rc == 0, table[i].rc == 0);
        if (rc != 0)
            continue;
        assert_int_equal(r.epoch, 5);
        assert_int_equal(r.stream, 6);
        assert_int_equal(r.settled, table[i].settled);
        assert_int_equal(r.status, table[i].status);
        assert_int_equal(r.retry_after_ms, table[i].retry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linger, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gap_rewinds_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_busy_keeps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strange_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_evict, setup, teardown),
        cmocka_unit_test(test_replies),
    };

    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
