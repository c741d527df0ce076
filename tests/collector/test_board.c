/* SPDX-License-Identifier: MIT
 *
 * What publishers are told, taken apart as schema/wire.md says and asked about calls.
 */
#include "ledger_db.h"

#include <msgpack.h>

#include "collector/base/utf8.h"
#include "collector/ingest/peers.h"
#include "collector/writer/ledger_pauses.h"

#define START_MS 1795132800000LL /* 2026-11-20 00:00 UTC */

/* ------------------------------------------------------------------- reading */

enum {
    KIND,
    ACTION,
    BUDGET,
    CONDITIONS,
    OPENS,
    TEXT,
    USE_MODEL,
    USE_LANE,
    DELAY,
    SPENT,
    LIMIT,
    UNIT,
    ELEMENTS
};

struct told {
    msgpack_sbuffer frame;
    msgpack_unpacked message; /* borrows from the frame */
    const msgpack_object *entries;
    uint32_t count;
    bool overflow;
    size_t bytes;
};

/* The frame that a publisher gets. */
static void told(struct ledger_db *d, struct told *out)
{
    struct board *b = ledger_board(db_ledger(d));
    size_t at = 0;

    assert_non_null(b);
    msgpack_sbuffer_init(&out->frame);
    peers_pack(b, 0, d->now_ms, &out->frame);
    msgpack_unpacked_init(&out->message);
    assert_int_equal(msgpack_unpack_next(&out->message, out->frame.data, out->frame.size, &at),
                     MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(at, out->frame.size);
    out->bytes = out->frame.size;
    const msgpack_object *head = &out->message.data;
    assert_int_equal(head->type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(head->via.array.size, 6);
    out->overflow = head->via.array.ptr[4].via.u64 != 0;
    out->entries = head->via.array.ptr[5].via.array.ptr;
    out->count = head->via.array.ptr[5].via.array.size;
    for (uint32_t i = 0; i < out->count; i++) {
        assert_int_equal(out->entries[i].type, MSGPACK_OBJECT_ARRAY);
        assert_int_equal(out->entries[i].via.array.size, ELEMENTS);
        const msgpack_object *text = &out->entries[i].via.array.ptr[TEXT];
        assert_int_equal(text->type, MSGPACK_OBJECT_STR);
        assert_true(text->via.str.size <= 500);
        assert_true(utf8_valid((const uint8_t *)text->via.str.ptr, text->via.str.size));
    }
    board_release(b);
}

static void told_end(struct told *t)
{
    msgpack_unpacked_destroy(&t->message);
    msgpack_sbuffer_destroy(&t->frame);
}

static bool fits(const char *p, size_t len, const char *s)
{
    if (len == 0)
        return *s == '\0';
    if (*p == '*')
        return fits(p + 1, len - 1, s) || (*s != '\0' && fits(p, len, s + 1));
    if (*p == '\\' && len > 1)
        p++, len--;
    return *p == *s && fits(p + 1, len - 1, s + 1);
}

/* A call: the values of the fields 0 to 9, and of the tag "team". NULL: unknown. */
struct asked {
    const char *value[11];
};

static bool holds(const msgpack_object *condition, const struct asked *a)
{
    const msgpack_object *c = condition->via.array.ptr;
    uint64_t field = c[0].via.u64;
    const char *value = field <= 10 ? a->value[field] : NULL;
    bool any = false;

    assert_true(field <= 10 && condition->via.array.size == (field == 10 ? 4 : 3));
    if (field == 2 && value == NULL)
        value = a->value[1];
    if (field == 10 && (c[3].via.str.size != 4 || memcmp(c[3].via.str.ptr, "team", 4) != 0))
        value = NULL;
    for (uint32_t i = 0; i < c[2].via.array.size; i++) {
        const msgpack_object *p = &c[2].via.array.ptr[i];
        any |= fits(p->via.str.ptr, p->via.str.size, value != NULL ? value : "");
    }
    return any != (c[1].via.u64 != 0);
}

/* What a publisher does with a call: the first of the highest action among those that hold. NULL: it may go
 * on. stale: its verdicts are. */
static const msgpack_object *verdict(const struct told *t, bool stale, const struct asked *a)
{
    const msgpack_object *best = NULL;

    for (uint32_t i = 0; i < t->count; i++) {
        const msgpack_object *e = t->entries[i].via.array.ptr;
        bool all = e[KIND].via.u64 == stale;
        for (uint32_t k = 0; all && k < e[CONDITIONS].via.array.size; k++)
            all = holds(&e[CONDITIONS].via.array.ptr[k], a);
        if (all && (best == NULL || e[ACTION].via.u64 > best[ACTION].via.u64))
            best = e;
    }
    return best;
}

static void assert_text(const msgpack_object *o, const char *expected)
{
    assert_int_equal(o->type, MSGPACK_OBJECT_STR);
    assert_int_equal(o->via.str.size, strlen(expected));
    assert_memory_equal(o->via.str.ptr, expected, strlen(expected));
}

/* ------------------------------------------------------------------- budgets */

static void spend(struct ledger_db *d, const char *agent, const char *session, const char *team)
{
    struct made_call call = { .names = { .agent_id = agent, .session_id = session, .tag = team },
                              .prompt = 500,
                              .completion = 500 };

    db_call(d, &call);
}

static void expect_full(const msgpack_object *e)
{
    assert_int_equal(e[ACTION].via.u64, ACTION_BLOCK);
    assert_text(&e[BUDGET], "b");
    assert_int_equal(e[OPENS].via.u64, DAY_MS);
    assert_int_equal(e[SPENT].via.u64, 1000);
    assert_int_equal(e[LIMIT].via.u64, 1000);
    assert_int_equal(e[UNIT].via.u64, UNIT_TOKENS);
    assert_int_equal(e[USE_MODEL].type, MSGPACK_OBJECT_NIL);
    assert_int_equal(e[DELAY].type, MSGPACK_OBJECT_NIL);
}

/* An account's entry holds for its calls and for no others, whatever bytes its names have. */
static void test_accounts(void **state)
{
    static const char *const agents[] = { "plain", "a*", "a\\b", "\\*", "ab" };
    struct ledger_db d;
    struct told t;

    (void)state;
    db_start(&d, START_MS);
    db_put(
        &d,
        "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\", \"per\": [\"agent\", \"tag.team\"],"
        " \"scope\": {\"session\": {\"not\": [\"free-*\"]}}}");
    told(&d, &t);
    assert_int_equal(t.count, 0);
    told_end(&t);
    for (int i = 0; i < 4; i++)
        spend(&d, agents[i], "s", i % 2 == 0 ? "x" : NULL);
    spend(&d, NULL, NULL, NULL);
    spend(&d, "ab", "free-1", "x");
    told(&d, &t);
    assert_int_equal(t.count, 5);
    for (int i = 0; i < 5; i++)
        for (int team = 0; team < 3; team++) {
            static const char *const teams[] = { "x", NULL, "y" };
            struct asked a = { .value = { [0] = agents[i], [1] = "s", [10] = teams[team] } };
            const msgpack_object *e = verdict(&t, false, &a);
            assert_int_equal(e != NULL, i < 4 && team == i % 2);
            a.value[1] = "free-9";
            assert_null(verdict(&t, false, &a));
            if (e != NULL)
                expect_full(e);
        }
    struct asked nobody = { .value = { NULL } };
    assert_non_null(verdict(&t, false, &nobody));
    assert_null(verdict(&t, true, &nobody));
    told_end(&t);
    d.now_ms += DAY_MS;
    db_begin(&d);
    db_commit(&d);
    told(&d, &t);
    assert_int_equal(t.count, 0);
    told_end(&t);
    db_stop(&d);
}

/* The entry is about the sessions under the root "s", and that session itself. */
static void expect_delay_of_root(const msgpack_object *e)
{
    struct asked root = { .value = { [0] = "b", [1] = "other", [2] = "s" } };

    assert_int_equal(e[DELAY].via.u64, 7000);
    assert_int_equal(e[OPENS].type, MSGPACK_OBJECT_NIL);
    assert_true(holds(&e[CONDITIONS].via.array.ptr[0], &root));
    root.value[2] = NULL;
    assert_false(holds(&e[CONDITIONS].via.array.ptr[0], &root));
    root.value[1] = "s";
    assert_true(holds(&e[CONDITIONS].via.array.ptr[0], &root));
}

/* Each action says what is to be done; a shadow says nothing; the harder one counts; roots stand for
 * sessions. */
static void test_actions(void **state)
{
    struct asked a = { .value = { [0] = "a", [1] = "s" } };
    struct ledger_db d;
    struct told t;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"shadow\", \"limit\": \"1k tokens\", \"window\": \"day\", \"shadow\": true}");
    db_put(&d, "{\"name\": \"warn\", \"limit\": \"2k tokens\", \"window\": \"day\"}");
    spend(&d, "a", "s", NULL);
    told(&d, &t);
    const msgpack_object *e = verdict(&t, false, &a);
    assert_int_equal(e[ACTION].via.u64, ACTION_WARN);
    told_end(&t);
    db_put(&d,
           "{\"name\": \"down\", \"limit\": \"1k tokens\", \"window\": \"day\", \"action\": \"downgrade\","
           " \"use\": {\"model\": \"m\", \"lane\": \"l\"}, \"counts_from\": \"now\"}");
    spend(&d, "a", "r", NULL);
    d.now_ms++;
    db_put(&d, "{\"name\": \"down-2\", \"limit\": \"1k tokens\", \"window\": \"sliding 1h\", \"action\": "
               "\"downgrade\","
               " \"use\": {\"model\": \"m\"}, \"counts_from\": \"now\", \"scope\": {\"agent\": \"b\"}}");
    db_put(
        &d,
        "{\"name\": \"wait\", \"limit\": \"1k tokens\", \"window\": \"session\", \"per\": \"root_session\","
        " \"action\": \"delay\", \"delay\": \"7s\", \"counts_from\": \"now\", \"scope\": {\"agent\": "
        "\"b\"}}");
    spend(&d, "b", "s", NULL);
    told(&d, &t);
    a.value[1] = "t";
    e = verdict(&t, false, &a);
    assert_int_equal(e[ACTION].via.u64, ACTION_BLOCK); /* "warn" blocks by now */
    assert_text(&e[BUDGET], "warn");
    a.value[0] = "b";
    int downgrades = 0, delays = 0;
    for (uint32_t i = 0; i < t.count; i++) {
        e = t.entries[i].via.array.ptr;
        downgrades += e[ACTION].via.u64 == ACTION_DOWNGRADE;
        if (e[ACTION].via.u64 == ACTION_DOWNGRADE)
            assert_text(&e[USE_MODEL], "m");
        if (e[ACTION].via.u64 != ACTION_DELAY)
            continue;
        delays++;
        expect_delay_of_root(e);
    }
    assert_int_equal(downgrades, 2);
    assert_int_equal(delays, 1);
    told_end(&t);
    db_stop(&d);
}

/* ------------------------------------------------------- guards, pauses, rules */

static void test_guards_and_pauses(void **state)
{
    struct asked a = { .value = { [0] = "a", [10] = "x" } }, b = { .value = { [0] = "b" } };
    char reason[600] = "", sql[1024];
    struct ledger_db d;
    struct told t;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d,
           "{\"name\": \"closed\", \"limit\": \"1k tokens\", \"window\": \"day\", \"on_error\": \"closed\","
           " \"scope\": {\"tag.team\": \"x\"}}");
    db_put(&d, "{\"name\": \"open\", \"limit\": \"1k tokens\", \"window\": \"day\"}");
    for (int i = 0; i < 80; i++)
        strcat(reason, "\xe2\x82\xac"); /* three bytes each: a cut may fall into one */
    snprintf(sql, sizeof sql,
             "INSERT INTO pause (field, value, from_ms, author, reason) VALUES"
             " ('agent', 'b', 0, '', '%s'), ('session', '%s', 0, '', '%s')",
             reason, reason, reason);
    db_begin(&d);
    db_exec(&d.store, sql);
    assert_int_equal(ledger_reload(db_ledger(&d)), 0);
    db_commit(&d);
    told(&d, &t);
    assert_int_equal(t.count, 3);
    assert_null(verdict(&t, false, &a));
    const msgpack_object *e = verdict(&t, true, &a);
    assert_int_equal(e[ACTION].via.u64, ACTION_BLOCK);
    assert_text(&e[BUDGET], "closed");
    assert_null(verdict(&t, true, &b));
    e = verdict(&t, false, &b);
    assert_int_equal(e[ACTION].via.u64, ACTION_BLOCK);
    assert_text(&e[BUDGET], "pause");
    assert_int_equal(e[OPENS].type, MSGPACK_OBJECT_NIL);
    assert_int_equal(e[SPENT].type, MSGPACK_OBJECT_NIL);
    told_end(&t);
    assert_int_equal(db_admit(&d, "r-1", "b", "free"), ORDER_DENIED);
    db_begin(&d);
    db_exec(&d.store, "UPDATE pause SET ended_ms = 1");
    assert_int_equal(ledger_reload(db_ledger(&d)), 0);
    db_commit(&d);
    struct order o = made_order("r-2", "b", "free");
    o.prompt_tokens = o.max_tokens = 1;
    assert_int_equal(db_admit_order(&d, &o), ORDER_DONE);
    db_stop(&d);
}

/* One that delays and ends says so; the harder stands first. */
static void test_pauses_that_end(void **state)
{
    struct asked a = { .value = { [0] = "a" } };
    struct ledger_db d;
    struct told t;
    int64_t id;

    (void)state;
    db_start(&d, START_MS);
    struct pause_new slow = { SUBJECT_agent_id, "a", 500, WINDOW_NEVER, NULL, UNKNOWN, "", "" };
    struct pause_new slower = { SUBJECT_agent_id, "a", 7000, START_MS + 90000, "r", UNKNOWN, "", "" };
    db_begin(&d);
    assert_int_equal(ledger_pause_put(db_ledger(&d), &slow, &id), 0);
    assert_int_equal(ledger_pause_put(db_ledger(&d), &slower, &id), 0);
    db_commit(&d);
    d.now_ms += 30000;
    told(&d, &t);
    assert_int_equal(t.count, 2);
    const msgpack_object *e = verdict(&t, false, &a);
    assert_int_equal(e[ACTION].via.u64, ACTION_DELAY);
    assert_text(&e[BUDGET], "pause");
    assert_int_equal(e[DELAY].via.u64, 7000);
    assert_int_equal(e[OPENS].via.u64, 60000);
    e = t.entries[1].via.array.ptr;
    assert_int_equal(e[DELAY].via.u64, 500);
    assert_int_equal(e[OPENS].type, MSGPACK_OBJECT_NIL);
    told_end(&t);
    d.now_ms += 60000;
    db_begin(&d);
    db_commit(&d);
    told(&d, &t);
    assert_int_equal(t.count, 1);
    assert_int_equal(verdict(&t, false, &a)[DELAY].via.u64, 500);
    told_end(&t);
    db_stop(&d);
}

static void test_policies(void **state)
{
    json_t *json =
        json_loads("{\"name\": \"p\", \"scope\": {\"agent\": \"a\"}, \"deny_models\": [\"dear\"]}", 0, NULL);
    struct policy *policy = NULL;
    struct fault fault;
    struct ledger_db d;
    struct told t;

    (void)state;
    assert_int_equal(policy_parse(json, &policy, &fault), 0);
    json_decref(json);
    db_start(&d, START_MS);
    db_begin(&d);
    struct ledger_file file = { .policies = &policy, .policy_count = 1 };
    assert_int_equal(ledger_put_file(db_ledger(&d), &file), 0);
    assert_int_equal(ledger_reload(db_ledger(&d)), 0);
    db_commit(&d);
    told(&d, &t);
    struct asked a = { .value = { [0] = "a", [5] = "dear" } };
    const msgpack_object *e = verdict(&t, false, &a);
    assert_int_equal(e[ACTION].via.u64, ACTION_BLOCK);
    assert_text(&e[BUDGET], "p");
    a.value[5] = "cheap";
    assert_null(verdict(&t, false, &a));
    told_end(&t);
    assert_int_equal(db_admit(&d, "r-1", "a", "dear"), ORDER_DENIED);
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_DONE);
    db_stop(&d);
    policy_free(policy);
}

/* -------------------------------------------------------------------- bounds */

/* More than can be said: what there is of it is whole, and it is told that there is more. */
static void test_overflow(void **state)
{
    enum { AGENTS = 5000 };
    static const size_t lengths[] = { 5, 240 };
    struct ledger_db d;
    struct told t;

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        db_remove();
        db_start(&d, START_MS);
        db_put(&d, "{\"name\": \"b\", \"limit\": \"1k tokens\", \"window\": \"day\", \"per\": \"agent\","
                   " \"on_error\": \"closed\"}");
        db_begin(&d);
        for (int i = 0; i < AGENTS; i++) {
            char agent[256];
            memset(agent, '*', lengths[k]); /* each takes two bytes */
            snprintf(agent + lengths[k], sizeof agent - lengths[k], "%d", i);
            struct made_call call = { .names = { .agent_id = agent }, .prompt = 500, .completion = 500 };
            db_call_in(&d, &call);
        }
        db_commit(&d);
        told(&d, &t);
        assert_true(t.overflow);
        assert_true(t.bytes <= BOARD_BYTES_MAX);
        assert_true(k == 0 ? t.count == BOARD_ENTRIES_MAX : t.bytes > BOARD_BYTES_MAX - 16384);
        assert_int_equal(t.entries[0].via.array.ptr[KIND].via.u64, 1);
        told_end(&t);
        db_stop(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_accounts),        TEST(test_actions),  TEST(test_guards_and_pauses),
        TEST(test_pauses_that_end), TEST(test_policies), TEST(test_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
