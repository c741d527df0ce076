/* SPDX-License-Identifier: MIT
 *
 * The small parts everything stands on: queue, ticker, arena, memo, recent ids, UTF-8.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "collector/base/arena.h"
#include "collector/base/log.h"
#include "collector/base/queue.h"
#include "collector/base/ticker.h"
#include "collector/base/utf8.h"
#include "collector/writer/memo.h"
#include "collector/writer/recent.h"

static void what_goes_first_is_ahead_of_the_rest(void **state)
{
    struct queue *q = queue_new(2);
    struct queue_item items[5] = { { NULL, 1, 0 },
                                   { NULL, 1, 0 },
                                   { NULL, 9, 1 },
                                   { NULL, 1, 1 },
                                   { NULL, 1, 1 } },
                      *out;

    (void)state;
    assert_int_equal(queue_pop_first(q, &out), QUEUE_EMPTY);
    assert_int_equal(queue_push(q, &items[0], 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &items[1], 0), QUEUE_OK);
    assert_int_equal(queue_pop_first(q, &out), QUEUE_EMPTY); /* ordinary ones do not go first */
    for (int i = 2; i < 5; i++)
        assert_int_equal(queue_push_first(q, &items[i]), QUEUE_OK); /* full or not, in their own order */
    static const int order[] = { 2, 3, 4, 0, 1 };
    assert_int_equal(queue_pop_first(q, &out), QUEUE_OK);
    assert_ptr_equal(out, &items[order[0]]);
    for (int i = 1; i < 5; i++) {
        assert_int_equal(queue_pop(q, 0, &out), QUEUE_OK);
        assert_ptr_equal(out, &items[order[i]]);
    }
    assert_int_equal(queue_pop_first(q, &out), QUEUE_EMPTY);
    assert_int_equal(queue_weight(q), 0);
    assert_int_equal(queue_push(q, &items[0], 0), QUEUE_OK); /* the ends are still where they should be */
    assert_int_equal(queue_push_first(q, &items[2]), QUEUE_OK);
    assert_int_equal(queue_pop(q, 0, &out), QUEUE_OK);
    assert_ptr_equal(out, &items[2]);
    assert_int_equal(queue_pop(q, 0, &out), QUEUE_OK);
    assert_ptr_equal(out, &items[0]);
    queue_close(q);
    assert_int_equal(queue_push_first(q, &items[2]), QUEUE_CLOSED);
    queue_free(q);
}

static void a_full_queue_refuses_and_keeps_order(void **state)
{
    struct queue *q = queue_new(10);
    struct queue_item items[4] = { { NULL, 4, 0 }, { NULL, 6, 0 }, { NULL, 1, 0 }, { NULL, 50, 0 } }, *out;

    (void)state;
    assert_int_equal(queue_pop(q, 0, &out), QUEUE_EMPTY);
    assert_int_equal(queue_push(q, &items[0], 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &items[1], 0), QUEUE_OK);
    assert_int_equal(queue_push(q, &items[2], 0), QUEUE_FULL);
    assert_int_equal(queue_push(q, &items[2], 5), QUEUE_FULL);
    assert_int_equal(queue_weight(q), 10);
    assert_int_equal(queue_pop(q, -1, &out), QUEUE_OK);
    assert_ptr_equal(out, &items[0]);
    assert_int_equal(queue_pop(q, -1, &out), QUEUE_OK);
    assert_ptr_equal(out, &items[1]);
    assert_int_equal(queue_push(q, &items[3], 0), QUEUE_OK); /* heavier than all, but alone */
    queue_close(q);
    assert_int_equal(queue_push(q, &items[2], 0), QUEUE_CLOSED);
    assert_int_equal(queue_pop(q, -1, &out), QUEUE_OK);
    assert_int_equal(queue_pop(q, -1, &out), QUEUE_CLOSED);
    queue_free(q);
}

#define PUSHED 20000
struct numbered {
    struct queue_item item;
    int producer, number;
};

struct producer {
    struct queue *queue;
    int id;
    struct numbered *items;
};

static void *produce(void *arg)
{
    struct producer *p = arg;

    for (int i = 0; i < PUSHED; i++) {
        p->items[i] = (struct numbered){ { NULL, 1, 0 }, p->id, i };
        while (queue_push(p->queue, &p->items[i].item, 1000) != QUEUE_OK)
            ;
    }
    return NULL;
}

static void many_producers_lose_nothing(void **state)
{
    struct queue *q = queue_new(16);
    struct producer p[3];
    pthread_t threads[3];
    int next[3] = { 0 };
    struct queue_item *item;

    (void)state;
    for (int i = 0; i < 3; i++) {
        p[i] = (struct producer){ q, i, calloc(PUSHED, sizeof(struct numbered)) };
        pthread_create(&threads[i], NULL, produce, &p[i]);
    }
    for (int i = 0; i < 3 * PUSHED; i++) {
        assert_int_equal(queue_pop(q, -1, &item), QUEUE_OK);
        struct numbered *n = (struct numbered *)item;
        assert_int_equal(n->number, next[n->producer]++);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        free(p[i].items);
    }
    queue_free(q);
}

static void *tick_after(void *arg)
{
    ticker_tick(arg);
    return NULL;
}

static void a_tick_wakes_whoever_waits(void **state)
{
    struct ticker t = { 0 };
    pthread_t thread;

    (void)state;
    assert_false(ticker_wait(&t, 0, 1));
    pthread_create(&thread, NULL, tick_after, &t);
    assert_true(ticker_wait(&t, 0, 60000));
    assert_int_equal(ticker_read(&t), 1);
    pthread_join(thread, NULL);
}

static bool rings(struct ticker *t)
{
    struct pollfd p = { .fd = ticker_bell(t), .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

static void a_bell_rings_with_each_tick(void **state)
{
    struct ticker t = { 0 };

    (void)state;
    ticker_tick(&t); /* it has none */
    assert_int_equal(ticker_bell(&t), -1);
    assert_int_equal(ticker_get_bell(&t), 0);
    int fd = ticker_bell(&t);
    assert_int_equal(ticker_get_bell(&t), 0);
    assert_int_equal(ticker_bell(&t), fd);
    assert_false(rings(&t));
    ticker_tick(&t);
    ticker_tick(&t);
    assert_true(rings(&t));
    ticker_hush(&t);
    assert_false(rings(&t));
    ticker_ring(&t);
    assert_true(rings(&t));
    assert_int_equal(ticker_read(&t), 3);
    ticker_fini(&t);
    assert_int_equal(ticker_bell(&t), -1);
    ticker_fini(&t);
}

static void an_arena_gives_everything_back(void **state)
{
    struct arena a = { NULL };

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t n = 1; n < 70000; n = n * 3 + 1) {
            unsigned char *p = arena_take(&a, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 8, 0);
            memset(p, 0xa5, n);
        }
        arena_reset(&a);
    }
    arena_fini(&a);
}

static void a_memo_knows_or_forgets_but_never_lies(void **state)
{
    struct memo m;
    struct memo_key found;
    uint32_t known = 0;

    (void)state;
    assert_int_equal(memo_init(&m, 64), 0);
    for (uint32_t i = 1; i < 1000; i++) {
        struct slice key = { (const uint8_t *)&i, sizeof i };
        assert_int_equal(memo_get(&m, 1, key, &found), 0);
        memo_put(&m, found, i);
        assert_int_equal(memo_get(&m, 1, key, &found), i);
        assert_int_equal(memo_get(&m, 2, key, &found), 0); /* another owner's */
    }
    for (uint32_t i = 1; i < 1000; i++) {
        uint64_t id = memo_get(&m, 1, (struct slice){ (const uint8_t *)&i, sizeof i }, &found);
        assert_true(id == 0 || id == i);
        known += id != 0;
    }
    assert_true(known > 0 && known <= 64);
    memo_fini(&m);
}

static void id_of(uint32_t i, uint8_t id[16])
{
    memset(id, 0, 16);
    memcpy(id + 6, &i, sizeof i); /* like a time-ordered id: the first half says little */
}

static void the_last_ids_are_always_recognised(void **state)
{
    struct recent r;
    struct recent_entry e;
    uint8_t id[16];
    uint32_t n = RECENT_MIN * 3 + 17;

    (void)state;
    assert_int_equal(recent_init(&r), 0);
    for (uint32_t i = 0; i < n; i++) {
        id_of(i, id);
        assert_false(recent_find(&r, id, &e));
        recent_add(&r, id, (struct recent_entry){ i, i % 2 == 0 });
    }
    for (uint32_t i = n - RECENT_MIN; i < n; i++) {
        id_of(i, id);
        assert_true(recent_find(&r, id, &e));
        assert_int_equal(e.row, i);
        assert_int_equal(e.partial, i % 2 == 0);
    }
    recent_fini(&r);
}

static void utf8_is_checked_to_the_last_byte(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } table[] = {
        { "", 0, true },
        { "plain text, longer than eight", 29, true },
        { "gr\xc3\xbc\xc3\x9f"
          "e aus Z\xc3\xbcrich",
          18, true },
        { "12345678\xff", 9, false },
        { "1234567\x80"
          "9",
          9, false },
        { "nul\0inside", 10, false },
        { "cut \xe2\x82", 6, false },
        { "\xed\xa0\x80", 3, false },
        { "\xf0\x9f\x98\x80", 4, true },
        { "\xc0\xaf", 2, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(utf8_valid((const uint8_t *)table[i].text, table[i].len), table[i].valid);
}

static void foreign_text_is_quoted(void **state)
{
    char buf[24];

    (void)state;
    assert_string_equal(log_quote("a\"b\n\x1b", 5, buf, sizeof buf), "\"a\\\"b\\x0a\\x1b\"");
    assert_true(strlen(log_quote("0123456789012345678901234567890", 31, buf, sizeof buf)) < sizeof buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_first_is_ahead_of_the_rest),
        cmocka_unit_test(a_full_queue_refuses_and_keeps_order),
        cmocka_unit_test(many_producers_lose_nothing),
        cmocka_unit_test(a_tick_wakes_whoever_waits),
        cmocka_unit_test(a_bell_rings_with_each_tick),
        cmocka_unit_test(an_arena_gives_everything_back),
        cmocka_unit_test(a_memo_knows_or_forgets_but_never_lies),
        cmocka_unit_test(the_last_ids_are_always_recognised),
        cmocka_unit_test(utf8_is_checked_to_the_last_byte),
        cmocka_unit_test(foreign_text_is_quoted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
