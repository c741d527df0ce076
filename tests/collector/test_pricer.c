/* SPDX-License-Identifier: MIT
 *
 * What events cost as the journal stores them: by their own time, once per price entry, and again after a
 * rollback and a restart.
 */
#include "writer_db.h"

#include "collector/writer/journal.h"
#include "made_event.h"

#define NOW_MS INT64_C(1795132800000) /* 2026-11-20 */
#define DAY_MS INT64_C(86400000)

static const char own[] =
    "[{\"match\":{\"provider\":\"ollama\"},\"free\":true},"
    "{\"match\":{\"model\":\"dated\"},\"input\":1,\"output\":2},"
    "{\"match\":{\"model\":\"dated\"},\"input\":3,\"output\":4,\"from\":\"2026-11-10\"}]";

struct fixture {
    struct store store;
    struct journal journal;
    struct journal_origin from;
    struct price_list *prices;
};

static void fixture_open(struct fixture *f, bool priced)
{
    struct journal_options options = { .past_ms = 30 * DAY_MS, .future_ms = 600000, .quarantine_rows = 100 };
    json_t *overrides = json_loads(own, 0, NULL);
    struct fault fault;

    assert_int_equal(price_list_load(NULL, overrides, &f->prices, &fault), 0);
    json_decref(overrides);
    options.prices = priced ? f->prices : NULL;
    db_open(&f->store);
    assert_int_equal(journal_init(&f->journal, &f->store, &options), 0);
    assert_int_equal(journal_recover(&f->journal), 0);
    f->from = (struct journal_origin){ .now_ms = NOW_MS };
    assert_int_equal(store_begin(&f->store), 0);
    assert_int_equal(names_source(&f->journal.names, "test", NOW_MS, &f->from.source), 0);
}

static void fixture_close(struct fixture *f)
{
    assert_int_equal(journal_flush_usage(&f->journal, NOW_MS), 0);
    assert_int_equal(journal_flush_sessions(&f->journal), 0);
    assert_int_equal(store_commit(&f->store), 0);
    journal_fini(&f->journal);
    store_close(&f->store);
    price_list_free(f->prices);
}

struct call {
    const char *provider, *model;
    uint8_t status;
    int64_t days_ago, prompt, cached, completion;
};

/* Stores a call; its cost. *price: its entry, or UNKNOWN. */
static int64_t store(struct fixture *f, const struct call *c, int64_t *price)
{
    struct made_names names = { .session_id = "s",
                                .provider = c->provider,
                                .model = c->model,
                                .requested_model = "claude-sonnet-4-5",
                                .status = c->status };
    struct made_event m;
    enum event_result result;

    made_event(&m, KIND_dispatch, &names);
    m.event.ts_ms = NOW_MS - c->days_ago * DAY_MS;
    m.event.num[D_prompt_tokens] = c->prompt;
    m.event.num[D_cached_tokens] = c->cached;
    m.event.num[D_completion_tokens] = c->completion;
    m.event.num[D_cost_reported_nanousd] = 77;
    assert_int_equal(journal_append(&f->journal, &f->from, &m.event, &result), 0);
    assert_int_equal(result, EVENT_STORED);
    int64_t id = f->journal.store->next_id - 1;
    char sql[128];
    snprintf(sql, sizeof sql, "SELECT ifnull(price, -1) FROM dispatch WHERE id = %lld", (long long)id);
    *price = db_ask(&f->store, sql);
    snprintf(sql, sizeof sql, "SELECT ifnull(cost_nanousd, -1) FROM dispatch WHERE id = %lld", (long long)id);
    assert_int_equal(db_ask(&f->store, sql), m.event.num[D_cost_nanousd]);
    return m.event.num[D_cost_nanousd];
}

static void each_event_has_its_price(void **state)
{
    static const struct {
        struct call call;
        int64_t cost;
        const char *entry; /* NULL: none */
    } table[] = {
        { { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, 1000, 600, 10 },
          400 * 3000 + 600 * 300 + 10 * 15000,
          "claude-sonnet-4-5" },
        { { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, 200000, UNKNOWN, 0 },
          200000LL * 3000,
          "claude-sonnet-4-5" },
        { { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, 200001, UNKNOWN, 0 },
          200001LL * 6000,
          "claude-sonnet-4-5" },
        { { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, UNKNOWN, UNKNOWN, 10 }, UNKNOWN, NULL },
        { { "anthropic", "claude-sonnet-4-5", STATUS_error, 0, UNKNOWN, UNKNOWN, UNKNOWN }, UNKNOWN, NULL },
        { { "anthropic", "claude-sonnet-4-5", STATUS_timeout, 0, UNKNOWN, UNKNOWN, UNKNOWN }, UNKNOWN, NULL },
        { { "anthropic", "claude-sonnet-4-5", STATUS_aborted, 0, 10, UNKNOWN, 1 },
          30000 + 15000,
          "claude-sonnet-4-5" },
        /* It never reached the provider. */
        { { "anthropic", "claude-sonnet-4-5", STATUS_blocked, 0, UNKNOWN, UNKNOWN, UNKNOWN }, 0, NULL },
        { { "nobody", "knows", STATUS_blocked, 0, UNKNOWN, UNKNOWN, UNKNOWN }, 0, NULL },
        { { "anthropic", "claude-sonnet-4-5", STATUS_blocked, 0, 10, UNKNOWN, 1 },
          30000 + 15000,
          "claude-sonnet-4-5" },
        /* The requested model is not the one that answered. */
        { { "anthropic", NULL, STATUS_ok, 0, 10, UNKNOWN, 1 }, UNKNOWN, NULL },
        { { "nobody", "knows", STATUS_ok, 0, 10, UNKNOWN, 1 }, UNKNOWN, NULL },
        { { "ollama", NULL, STATUS_ok, 0, UNKNOWN, UNKNOWN, UNKNOWN }, 0, "" },
        /* The event's own time. */
        { { "x", "dated", STATUS_ok, 0, 10, UNKNOWN, 10 }, 10 * 3000 + 10 * 4000, "dated" },
        { { "x", "dated", STATUS_ok, 11, 10, UNKNOWN, 10 }, 10 * 1000 + 10 * 2000, "dated" },
        { { "x", "dated", STATUS_ok, 10, 10, UNKNOWN, 10 }, 10 * 3000 + 10 * 4000, "dated" },
        { { "x", "dated", STATUS_ok, 29, 10, UNKNOWN, 10 }, 10 * 1000 + 10 * 2000, "dated" },
    };
    struct fixture f;
    int64_t price;

    (void)state;
    fixture_open(&f, true);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char sql[128];
        if (store(&f, &table[i].call, &price) != table[i].cost)
            fail_msg("row %zu", i);
        assert_true((price != UNKNOWN) == (table[i].entry != NULL));
        snprintf(sql, sizeof sql, "SELECT count(*) FROM price WHERE id=%lld AND model='%s'", (long long)price,
                 table[i].entry != NULL ? table[i].entry : "");
        assert_int_equal(db_ask(&f.store, sql), price != UNKNOWN);
    }
    /* One row for each entry; what the gateway reported stays beside. */
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), 4);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM dispatch WHERE cost_reported_nanousd = 77"),
                     sizeof table / sizeof *table);
    assert_int_equal(db_ask(&f.store,
                            "SELECT count(*) FROM price WHERE json_extract(rates, '$.tiers[0].above')"
                            " = 200000 AND source LIKE 'genai-prices %'"),
                     1);
    fixture_close(&f);
}

static void nothing_is_priced_without_a_list(void **state)
{
    const struct call call = { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, 10, 0, 1 };
    const struct call blocked = { "a", "b", STATUS_blocked, 0, UNKNOWN, UNKNOWN, UNKNOWN };
    struct fixture f;
    int64_t price;

    (void)state;
    fixture_open(&f, false);
    assert_int_equal(store(&f, &call, &price), UNKNOWN);
    assert_int_equal(price, UNKNOWN);
    assert_int_equal(store(&f, &blocked, &price), UNKNOWN);
    pricer_use(&f.journal.pricer, f.prices);
    assert_int_equal(store(&f, &call, &price), 30000 + 15000);
    fixture_close(&f);
}

static void a_rollback_takes_the_price_along(void **state)
{
    const struct call call = { "anthropic", "claude-sonnet-4-5", STATUS_ok, 0, 10, 0, 1 };
    const struct call dated = { "x", "dated", STATUS_ok, 0, 10, 0, 1 };
    struct fixture f;
    int64_t first, price;

    (void)state;
    fixture_open(&f, true);
    store(&f, &call, &price);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), 1);
    store_rollback(&f.store);
    assert_int_equal(journal_recover(&f.journal), 0);
    assert_int_equal(store_begin(&f.store), 0);
    assert_int_equal(names_source(&f.journal.names, "test", NOW_MS, &f.from.source), 0);
    store(&f, &dated, &price); /* takes the ids that the other had */
    store(&f, &call, &first);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), 2);
    assert_int_not_equal(price, first);
    fixture_close(&f);

    fixture_open(&f, true); /* the row of before is found again */
    assert_int_equal(store(&f, &call, &price), 30000 + 15000);
    assert_int_equal(price, first);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), 2);
    fixture_close(&f);
}

/* More combinations than are remembered, and the one whose price changes with the clock. */
static void forgotten_combinations_are_priced_again(void **state)
{
    struct fixture f;
    char agent[16];

    (void)state;
    fixture_open(&f, true);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < SCALE(6000); i++) {
            struct made_names names = { .agent_id = agent, .provider = "x", .model = "dated" };
            struct made_event m;
            enum event_result result;
            snprintf(agent, sizeof agent, "a%d", i);
            made_event(&m, KIND_dispatch, &names);
            m.event.ts_ms = NOW_MS - (i % 2 == round ? 20 : 1) * DAY_MS;
            m.event.num[D_prompt_tokens] = m.event.num[D_completion_tokens] = 1;
            assert_int_equal(journal_append(&f.journal, &f.from, &m.event, &result), 0);
            assert_int_equal(m.event.num[D_cost_nanousd], i % 2 == round ? 3000 : 7000);
        }
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), 2);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_event_has_its_price),
        TEST(nothing_is_priced_without_a_list),
        TEST(a_rollback_takes_the_price_along),
        TEST(forgotten_combinations_are_priced_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
