/* SPDX-License-Identifier: MIT
 *
 * test_ring.c: one segment against a model of itself: many laps, every fill level, every place a
 * kill can leave it in, every byte that can rot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emitter/record.h"
#include "emitter/ring.h"

static _Alignas(4096) uint8_t memory[RING_BYTES_MIN];
static struct ring *ring;
static struct ring_writer writer;

static int setup(void **state)
{
    (void)state;
    memset(memory, 0, sizeof memory);
    ring = ring_init(memory, sizeof memory, 3);
    ring_writer_init(&writer, ring);
    return 0;
}

/* A record whose bytes follow from its number and length. */
static void fill(uint8_t *out, uint64_t number, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(number * 31 + i);
}

static size_t len_of(uint64_t number)
{
    return 1 + (size_t)(number * 2654435761u % 700);
}

static bool put(uint64_t number)
{
    uint8_t record[1024];
    size_t len = len_of(number);
    uint8_t *room = ring_room(&writer, sizeof record);

    if (room != NULL) {
        fill(room, number, len);
        ring_commit(&writer, len);
        return true;
    }
    fill(record, number, len);
    return ring_put(&writer, record, len);
}

static void expect(struct place *p, uint64_t number)
{
    uint8_t expected[1024];
    const uint8_t *record;
    size_t len;

    assert_int_equal(ring_next(ring, p, &record, &len), RING_RECORD);
    assert_int_equal(p->seq, number);
    assert_int_equal(len, len_of(number));
    fill(expected, number, len);
    assert_memory_equal(record, expected, len);
}

static void expect_end(struct place p)
{
    const uint8_t *record;
    size_t len;

    assert_int_equal(ring_next(ring, &p, &record, &len), RING_END);
    assert_false(ring_more(ring, p));
}

/* Writes until full, reads some, writes again: for many laps, at every alignment. */
static void test_laps(void **state)
{
    struct place p = ring_tail(ring);
    uint64_t put_count = 0;

    (void)state;
    for (unsigned lap = 0; lap < 2000; lap++) {
        while (put(put_count + 1))
            put_count++;
        assert_int_equal(ring_head(ring).seq, put_count);
        uint64_t until = p.seq + (put_count - p.seq) * (lap % 4 + 1) / 4;
        while (p.seq < until)
            expect(&p, p.seq + 1);
        ring_settle(ring, p);
        uint64_t used = ring_distance(ring, p, ring_head(ring));
        assert_true(used < ring->cap);
        assert_true((used == 0) == (p.seq == put_count));
    }
    while (p.seq < put_count)
        expect(&p, p.seq + 1);
    expect_end(p);
    assert_true(put_count > 20000);
}

/* A writer that takes over goes on where the last one stopped. */
static void test_take_over(void **state)
{
    struct place p = ring_tail(ring);

    (void)state;
    for (uint64_t i = 1; i <= 3000; i++) {
        if (i % 7 == 0)
            ring_writer_init(&writer, ring);
        assert_true(put(i));
        expect(&p, i);
        ring_settle(ring, p);
    }
}

static void test_walk(void **state)
{
    struct place p = ring_tail(ring);

    (void)state;
    for (uint64_t i = 1; i <= 50; i++)
        assert_true(put(i));
    ring_walk(ring, &p, 20);
    assert_int_equal(p.seq, 20);
    expect(&p, 21);
    ring_walk(ring, &p, 5); /* never back */
    assert_int_equal(p.seq, 21);
    ring_walk(ring, &p, 1000);
    assert_int_equal(p.seq, 50);
}

static bool any(const uint8_t *record, size_t len)
{
    (void)record;
    (void)len;
    return true;
}

/* The producer was killed between the commit and the head: the record is there all the same. */
static void test_killed_before_head(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        assert_true(put(i));
    struct place head = ring_head(ring);
    assert_true(put(11));
    atomic_store(&ring->head, place_pack(head));
    assert_int_equal(ring_recover(ring, any), 0);
    assert_int_equal(ring_head(ring).seq, 11);
    struct place p = ring_tail(ring);
    for (uint64_t i = 1; i <= 11; i++)
        expect(&p, i);
    expect_end(p);
}

/* The producer was killed before the commit: what it was writing is not there. */
static void test_killed_before_commit(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 10; i++)
        assert_true(put(i));
    memset(ring_room(&writer, 100), 0xee, 100);
    assert_int_equal(ring_recover(ring, any), 0);
    struct place p = ring_tail(ring);
    ring_walk(ring, &p, 100);
    assert_int_equal(p.seq, 10);
    expect_end(p);
}

static bool no_thirteen(const uint8_t *record, size_t len)
{
    uint8_t expected[1024];

    fill(expected, 13, len);
    return memcmp(record, expected, len) != 0;
}

/* An unreadable record is marked, counted once, and stepped over. */
static void test_damaged_record(void **state)
{
    const uint8_t *record;
    size_t len;

    (void)state;
    for (uint64_t i = 1; i <= 30; i++)
        assert_true(put(i));
    assert_int_equal(ring_recover(ring, no_thirteen), 1);
    assert_int_equal(ring_recover(ring, no_thirteen), 0);
    struct place p = ring_tail(ring);
    for (uint64_t i = 1; i <= 12; i++)
        expect(&p, i);
    assert_int_equal(ring_next(ring, &p, &record, &len), RING_SKIP);
    for (uint64_t i = 14; i <= 30; i++)
        expect(&p, i);
    expect_end(p);
}

/* A word that no producer wrote ends the ring; what the head knew to be behind it is lost. */
static void test_damaged_word(void **state)
{
    static const uint64_t words[] = { UINT64_MAX,
                                      5,
                                      (uint64_t)21 << RING_SEQ_SHIFT,
                                      0xfffffff,
                                      ((uint64_t)21 << RING_SEQ_SHIFT) | RING_LEN_MAX,
                                      ((uint64_t)20 << RING_SEQ_SHIFT) | 100,
                                      0 };

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        setup(state);
        for (uint64_t n = 1; n <= 30; n++)
            assert_true(put(n));
        struct place p = ring_tail(ring);
        ring_walk(ring, &p, 20);
        atomic_store(ring_word(ring_data(ring), p.at), words[i]);
        assert_int_equal(ring_recover(ring, any), 10);
        p = ring_tail(ring);
        for (uint64_t n = 1; n <= 20; n++)
            expect(&p, n);
        expect_end(p);
        assert_int_equal(ring_head(ring).seq, 20);
    }
}

/* Rot anywhere: the walk ends, stays inside, and numbers never jump. The sanitizers watch. */
static void test_rot(void **state)
{
    unsigned seed = 1;

    for (int round = 0; round < 3000; round++) {
        setup(state);
        uint64_t n = 0;
        while (n < 150 && put(n + 1))
            n++;
        for (int i = 0; i < 1 + round % 20; i++) {
            seed = seed * 1103515245u + 12345u;
            memory[64 + seed / 7 % (sizeof memory - 64)] = (uint8_t)(seed >> 16);
        }
        if (ring_check(memory, sizeof memory, 3) != 0)
            continue;
        ring_recover(ring, record_readable);
        struct place p = ring_tail(ring);
        const uint8_t *record;
        size_t len;
        uint64_t before = p.seq;
        for (enum ring_step step; (step = ring_next(ring, &p, &record, &len)) != RING_END; before = p.seq) {
            assert_true(step == RING_RECORD || step == RING_SKIP);
            assert_true(record >= memory && record + len <= memory + sizeof memory);
            assert_int_equal(p.seq, before + 1);
            if (step == RING_RECORD)
                assert_true(record_readable(record, len));
        }
    }
}

static void test_check(void **state)
{
    (void)state;
    assert_int_equal(ring_check(memory, sizeof memory, 3), 0);
    assert_int_not_equal(ring_check(memory, sizeof memory, 4), 0);
    assert_int_not_equal(ring_check(memory, sizeof memory - 4096, 3), 0);
    ring->cap += 8;
    assert_int_not_equal(ring_check(memory, sizeof memory, 3), 0);
    ring->cap -= 8;
    atomic_store(&ring->tail, place_pack((struct place){ ring->cap, 0 }));
    assert_int_not_equal(ring_check(memory, sizeof memory, 3), 0);
    atomic_store(&ring->tail, 0);
    ring->magic++;
    assert_int_not_equal(ring_check(memory, sizeof memory, 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_laps, setup),
        cmocka_unit_test_setup(test_take_over, setup),
        cmocka_unit_test_setup(test_walk, setup),
        cmocka_unit_test_setup(test_killed_before_head, setup),
        cmocka_unit_test_setup(test_killed_before_commit, setup),
        cmocka_unit_test_setup(test_damaged_record, setup),
        cmocka_unit_test(test_damaged_word),
        cmocka_unit_test(test_rot),
        cmocka_unit_test_setup(test_check, setup),
    };

    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
