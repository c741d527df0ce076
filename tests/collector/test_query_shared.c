/* SPDX-License-Identifier: MIT
 *
 * What all requests share, from many threads at once: the dictionary of combinations, and kept sums.
 */
#include "query_db.h"

#include <pthread.h>

#include "collector/query/dictionary.h"
#include "collector/query/kept.h"

#define THREADS      6
#define COMBINATIONS 3000

static struct db db;

/* An assertion in a thread would not end the test: the first that fails is told afterwards. */
static _Atomic int wrong_line;

#define CHECK(condition)           \
    do {                           \
        if (!(condition))          \
            wrong_line = __LINE__; \
    } while (0)

/* More combinations and names than the first tables hold. */
static void many_dims(void)
{
    db_open(&db, 3);
    db_exec(
        &db,
        "INSERT INTO source VALUES(1,'gw',0);"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) "
        "INSERT INTO dims SELECT i,i,i,1,'agent-'||i,'user-'||(i%900),NULL,'model-'||(i%7),NULL,NULL,NULL,"
        "NULL,2,1,i%6,NULL,CASE i%5 WHEN 0 THEN '(other)' WHEN 1 THEN '{\"team\":\"t-'||(i%40)||'\"}' END "
        "FROM n");
}

static bool is_text(struct dictionary *d, uint32_t text, const char *want)
{
    size_t len = 0;
    const char *at = dictionary_text(d, text, &len);

    return want ? at && len == strlen(want) && memcmp(at, want, len) == 0 : !at;
}

static void check_entry(struct dictionary *d, struct pool_connection *c, uint32_t id)
{
    char agent[32], user[32], team[32];
    struct problem p;
    int64_t n = dictionary_find(d, c, id, &p);

    CHECK(n > 0 && dictionary_known(d, id) == n);
    if (n <= 0)
        return;
    const struct dictionary_entry *e = dictionary_entry(d, (uint32_t)n);
    snprintf(agent, sizeof agent, "agent-%u", id);
    snprintf(user, sizeof user, "user-%u", id % 900);
    snprintf(team, sizeof team, "t-%u", id % 40);
    const char *other = id % 5 == 0 ? "(other)" : NULL;
    CHECK(e->id == id);
    CHECK(e->status == id % 6);
    CHECK(is_text(d, e->text[FIELD_source], "gw"));
    CHECK(is_text(d, e->text[FIELD_agent_id], agent));
    CHECK(is_text(d, e->text[FIELD_user_id], user));
    CHECK(is_text(d, e->text[FIELD_provider], NULL));
    CHECK(is_text(d, e->text[FIELD_trigger], "heartbeat"));
    CHECK(is_text(d, dictionary_field(d, e, FIELD_tag, "team"), id % 5 == 1 ? team : other));
    CHECK(is_text(d, dictionary_field(d, e, FIELD_tag, "tier"), other));
}

static void *dictionary_thread(void *arg)
{
    struct query_pool *pool = arg;
    struct pool_connection *c;
    struct problem p;
    uint32_t id = (uint32_t)(uintptr_t)&c / 4096 % COMBINATIONS; /* each begins somewhere else */

    CHECK(pool_borrow(pool, mono_after(mono_now(), 60000), &p, &c) == 0);
    for (int i = 0; i < COMBINATIONS && !wrong_line; i++) {
        id = (id + 1009) % COMBINATIONS;
        check_entry(pool_dictionary(c), c, id + 1);
    }
    CHECK(dictionary_find(pool_dictionary(c), c, COMBINATIONS + 1, &p) == DICTIONARY_UNKNOWN);
    pool_give(c);
    return NULL;
}

static void run_threads(void *(*body)(void *), void *arg)
{
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, body, arg), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_int_equal(wrong_line, 0);
}

static void test_dictionary(void **state)
{
    (void)state;
    many_dims();
    struct query_pool *pool = pool_new(db.path);
    run_threads(dictionary_thread, pool);
    pool_free(pool);
    db_close(&db);
}

/* -------------------------------------------------------------------- kept */

#define KEYS 40

/* The sum that belongs to a key and a version: recognisable, and of its own length. */
static size_t sum_make(uint32_t key, uint32_t version, uint8_t *to)
{
    size_t len = 1000 + key * 4096;

    memset(to, (int)(key * 7 + version), len);
    return len;
}

static void *kept_thread(void *arg)
{
    static _Thread_local uint8_t bytes[1000 + KEYS * 4096];
    struct kept *kept = arg;
    uint32_t seed = (uint32_t)((uintptr_t)&kept / 4096);

    for (int i = 0; i < 3000; i++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t n = seed >> 16, number = n % KEYS, version = n % 3;
        struct kept_key key = { .from = number, .to = number + 1 };
        struct kept_version v = { { (unsigned char)version } };
        size_t len = sum_make(number, version, bytes);
        const struct kept_sum *sum = kept_get(kept, &key, &v);
        if (!sum)
            sum = kept_put(kept, &key, &v, bytes, len);
        CHECK(sum && sum->len == len && memcmp(sum->at, bytes, len) == 0);
        kept_give(sum);
    }
    return NULL;
}

static void test_kept_threads(void **state)
{
    struct kept *kept = kept_new();

    (void)state;
    run_threads(kept_thread, kept);
    kept_free(kept);
}

/* What is kept stays within its bounds; what was used last stays the longest. */
static void test_kept_bounds(void **state)
{
    size_t len = KEPT_ONE_BYTES / 2, room = KEPT_BYTES / len;
    uint8_t *bytes = calloc(1, KEPT_ONE_BYTES + 1);
    struct kept *kept = kept_new();
    struct kept_version v = { { 1 } }, other = { { 2 } };
    struct kept_key key = { .from = 0 };

    (void)state;
    assert_null(kept_put(kept, &key, &v, bytes, KEPT_ONE_BYTES + 1));
    for (key.from = 0; key.from < (int64_t)room; key.from++)
        kept_give(kept_put(kept, &key, &v, bytes, len));
    key.from = 0; /* the oldest, but used now */
    const struct kept_sum *held = kept_get(kept, &key, &v);
    assert_non_null(held);
    assert_null(kept_get(kept, &key, &other));
    key.from = 1000;
    kept_give(kept_put(kept, &key, &v, bytes, len));
    key.from = 1;
    assert_null(kept_get(kept, &key, &v)); /* had to go */
    key.from = 0;
    kept_give(kept_put(kept, &key, &other, bytes, 1));
    assert_null(kept_get(kept, &key, &v)); /* a newer version took its place */
    assert_int_equal(held->len, len);      /* but who has it still has it */
    assert_memory_equal(held->at, bytes, len);
    kept_give(held);
    kept_free(kept);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dictionary),
        cmocka_unit_test(test_kept_threads),
        cmocka_unit_test(test_kept_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
