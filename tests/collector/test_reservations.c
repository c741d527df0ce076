/* SPDX-License-Identifier: MIT
 *
 * What the ledger lets through and when: reservations at the limit, and windows that end, to the
 * millisecond, whoever asks meanwhile and whatever restarts.
 */
#include "ledger_db.h"

#include "collector/base/clock.h"
#include "collector/govern/instant.h"

#define START_MS 1795132800000LL /* 2026-11-20 00:00 UTC */

static int64_t instant(const char *text)
{
    int64_t ms = 0;

    assert_true(instant_parse(text, &ms));
    return ms;
}

/* ------------------------------------------------------------------ the limit */

/* Five dollars, ten cents each: fifty, in whatever transactions and across restarts. */
static void test_exactly_fifty(void **state)
{
    struct ledger_db d;
    char id[16];
    int granted = 0;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"5 usd\", \"window\": \"day\"}");
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof id, "r-%d", i);
        enum order_status status = db_admit(&d, id, "a", "dear");
        assert_int_equal(status, i < 50 ? ORDER_DONE : ORDER_DENIED);
        granted += status == ORDER_DONE;
        if (i % 17 == 3)
            db_restart(&d);
    }
    assert_int_equal(granted, 50);
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_RESERVED], 5 * USD);
    for (int i = 0; i < 100; i++) { /* asked again: the same answers, nothing more is held */
        snprintf(id, sizeof id, "r-%d", i);
        assert_int_equal(db_admit(&d, id, "a", "dear"), i < 50 ? ORDER_DONE : ORDER_DENIED);
    }
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_RESERVED], 5 * USD);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM reservation"), 50);
    db_stop(&d);
}

/* Two hundred ask in one transaction, there is room for three; a rollback makes room again. */
static void test_exactly_three(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"0.39 usd\", \"window\": \"sliding 1h\"}");
    db_put(&d, "{\"name\": \"wide\", \"limit\": \"100 usd\", \"window\": \"total\", \"per\": \"agent\"}");
    for (int time = 0; time < 2; time++) {
        int granted = 0;
        db_begin(&d);
        for (int i = 0; i < 200; i++) {
            struct order o = made_order("", "a", "dear");
            snprintf(o.id, sizeof o.id, "r-%d", i);
            assert_int_equal(ledger_admit(db_ledger(&d), &o), 0);
            granted += o.status == ORDER_DONE;
        }
        assert_int_equal(granted, 3);
        if (time == 0)
            db_rollback(&d);
        else
            db_commit(&d);
    }
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_RESERVED], 3 * USD / 10);
    assert_int_equal(db_account(&d, "wide", "a")->total.held[HELD_RESERVED], 3 * USD / 10);
    db_stop(&d);
}

/* What becomes of a reservation, and what its id is answered then. */
static void test_ends(void **state)
{
    struct ledger_db d;
    struct made_call call = { .names = { .agent_id = "a", .model = "cheap" }, .prompt = 70, .completion = 0 };

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"1m tokens\", \"window\": \"total\"}");
    assert_int_equal(db_settle(&d, "nobody", true, 5), ORDER_DENIED);
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_DONE);
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_RESERVED], 2000);
    assert_int_equal(db_settle(&d, "r-1", true, 50), ORDER_DONE);
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_RESERVED], 0);
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_TOLD], 50);
    assert_int_equal(db_settle(&d, "r-1", true, 60), ORDER_SETTLED);
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_SETTLED);
    call.reservation = "r-1";
    db_call(&d, &call);
    assert_int_equal(db_account(&d, "b", NULL)->total.held[HELD_TOLD], 0);
    assert_int_equal(db_account(&d, "b", NULL)->total.amount, 70);
    assert_int_equal(db_settle(&d, "r-1", false, UNKNOWN), ORDER_SETTLED);

    assert_int_equal(db_admit(&d, "r-2", "a", "cheap"), ORDER_DONE);
    assert_int_equal(db_settle(&d, "r-2", false, UNKNOWN), ORDER_DONE);
    assert_int_equal(account_committed(db_account(&d, "b", NULL)), 70);
    assert_int_equal(db_admit(&d, "r-2", "a", "cheap"), ORDER_SETTLED);

    assert_int_equal(db_admit(&d, "r-3", "a", "cheap"), ORDER_DONE);
    assert_int_equal(db_settle(&d, "r-3", true, UNKNOWN), ORDER_DONE); /* unknown is not zero */
    assert_int_equal(account_spent(db_account(&d, "b", NULL)), 70 + 2000);
    db_stop(&d);
}

/* Nobody tells: a strict budget presumes it spent, another forgets it; what comes late counts all the same.
 */
static void test_expiry(void **state)
{
    struct ledger_db d;
    struct made_call call = {
        .names = { .agent_id = "a", .model = "cheap" }, .prompt = 70, .completion = 0, .reservation = "r-1"
    };

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"strict\", \"limit\": \"2k tokens\", \"window\": \"day\", \"strict\": true}");
    db_put(&d, "{\"name\": \"loose\", \"limit\": \"2k tokens\", \"window\": \"day\"}");
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_DONE);
    assert_true(ledger_due_ms(db_ledger(&d)) <=
                START_MS + LEDGER_TTL_DEFAULT_MS); /* forecasts are due before */
    assert_int_equal(db_ledger(&d)->next_expiry_ms, START_MS + LEDGER_TTL_DEFAULT_MS);
    d.now_ms += LEDGER_TTL_DEFAULT_MS - 1;
    assert_int_equal(account_spent(db_account(&d, "strict", NULL)), 0);
    assert_int_equal(account_committed(db_account(&d, "loose", NULL)), 2000);
    d.now_ms += 1;
    assert_int_equal(account_spent(db_account(&d, "strict", NULL)), 2000);
    assert_int_equal(account_committed(db_account(&d, "loose", NULL)), 0);
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_EXPIRED);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert WHERE kind = 'threshold'"), 3);
    db_restart(&d);
    assert_int_equal(account_spent(db_account(&d, "strict", NULL)), 2000);
    assert_int_equal(account_committed(db_account(&d, "loose", NULL)), 0);
    d.now_ms += DAY_MS; /* its event comes on another day, and counts on its own */
    db_call(&d, &call);
    assert_int_equal(account_spent(db_account(&d, "strict", NULL)), 0);
    db_flush(&d);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM projection_ledger WHERE amount = 70"
                                      " AND start_ms = 1795132800000"),
                     2);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM projection_ledger"), 2);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM reservation_posting"), 0);
    db_stop(&d);
}

/* Settled after it has expired, by somebody who does not know what it came to: what was reserved is held. */
static void test_settled_late(void **state)
{
    struct ledger_db d;

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"tokens\", \"limit\": \"10k tokens\", \"window\": \"day\"}");
    db_put(&d, "{\"name\": \"usd\", \"limit\": \"5 usd\", \"window\": \"day\", \"strict\": true}");
    db_put(&d, "{\"name\": \"calls\", \"limit\": \"5 calls\", \"window\": \"day\"}");
    assert_int_equal(db_admit(&d, "r-1", "a", "dear"), ORDER_DONE);
    assert_int_equal(db_admit(&d, "r-2", "a", "dear"), ORDER_DONE);
    d.now_ms += LEDGER_TTL_DEFAULT_MS;
    assert_int_equal(account_committed(db_account(&d, "tokens", NULL)), 0);
    assert_int_equal(db_settle(&d, "r-1", true, UNKNOWN), ORDER_DONE);
    assert_int_equal(account_spent(db_account(&d, "tokens", NULL)), 2000);
    assert_int_equal(account_spent(db_account(&d, "calls", NULL)), 1);
    assert_int_equal(account_spent(db_account(&d, "usd", NULL)), 2 * USD / 10);
    assert_int_equal(db_settle(&d, "r-2", false, UNKNOWN), ORDER_DONE);
    assert_int_equal(account_spent(db_account(&d, "usd", NULL)), USD / 10);
    db_stop(&d);
}

/* A call may come to more than it reserved: it is recorded, told of once, and the budget is full. */
static void test_overrun(void **state)
{
    struct ledger_db d;
    struct made_call call = {
        .names = { .agent_id = "a", .model = "cheap" }, .prompt = 7000, .completion = 0, .reservation = "r-1"
    };

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"2k tokens\", \"window\": \"day\"}");
    assert_int_equal(db_admit(&d, "r-1", "a", "cheap"), ORDER_DONE);
    db_call(&d, &call);
    call.reservation = NULL;
    db_call(&d, &call);
    assert_int_equal(account_spent(db_account(&d, "b", NULL)), 14000);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert WHERE kind = 'overrun'"), 1);
    assert_int_equal(db_ask(&d.store, "SELECT count(*) FROM alert WHERE kind = 'threshold'"), 3);
    assert_int_equal(db_admit(&d, "r-2", "a", "free"), ORDER_DENIED);
    db_stop(&d);
}

/* A model that has no price. */
static void test_unknown_price(void **state)
{
    struct ledger_db d;
    struct made_call call = { .names = { .agent_id = "loose", .model = "dear" },
                              .prompt = 1,
                              .completion = 1 };

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"strict\", \"limit\": \"5 usd\", \"window\": \"day\", \"strict\": true,"
               " \"scope\": {\"agent\": \"strict\"}}");
    db_put(&d, "{\"name\": \"loose\", \"limit\": \"0.1 usd\", \"window\": \"day\", \"scope\": {\"agent\": "
               "\"loose\"}}");
    assert_int_equal(db_admit(&d, "r-1", "strict", "nobody's"), ORDER_DENIED);
    struct order o = made_order("r-2", "loose", "nobody's");
    assert_int_equal(db_admit_order(&d, &o), ORDER_DONE);
    assert_int_equal(o.reserved_nanousd, UNKNOWN);
    db_call(&d, &call); /* now it is full */
    assert_int_equal(db_admit(&d, "r-3", "loose", "nobody's"), ORDER_DENIED);
    db_stop(&d);
}

/* -------------------------------------------------------------------- windows */

static const struct period {
    const char *window, *zone, *inside, *end;
} periods[] = {
    { "day", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-09T04:00:00Z" }, /* 23 hours */
    { "hour", "America/New_York", "2026-03-08T06:30:00Z", "2026-03-08T07:00:00Z" },
    { "day", "America/New_York", "2026-11-01T12:00:00Z", "2026-11-02T05:00:00Z" }, /* 25 hours */
    { "hour", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z" },
    { "hour", "America/New_York", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z" },
    { "week", "America/New_York", "2026-11-01T12:00:00Z", "2026-11-02T05:00:00Z" },
    { "month", "America/New_York", "2026-11-01T12:00:00Z", "2026-12-01T05:00:00Z" },
    { "day", "Asia/Tokyo", "2026-11-20T14:59:00Z", "2026-11-20T15:00:00Z" },
    { "week", "Asia/Tokyo", "2026-11-22T14:59:00Z", "2026-11-22T15:00:00Z" },
    { "day", "Asia/Kathmandu", "2026-11-20T18:00:00Z", "2026-11-20T18:15:00Z" },
    { "hour", "Asia/Kathmandu", "2026-11-20T18:00:00Z", "2026-11-20T18:15:00Z" },
    { "day", "UTC", "2026-11-20T23:59:59Z", "2026-11-21T00:00:00Z" },
    { "month", "UTC", "2027-01-31T23:00:00Z", "2027-02-01T00:00:00Z" },
    { "month", "UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z" },
    { "day", "UTC", "2028-02-29T12:00:00Z", "2028-03-01T00:00:00Z" },
    { "month", "Asia/Kathmandu", "2028-02-29T12:00:00Z", "2028-02-29T18:15:00Z" },
};

/* Full: opens at its end, not a millisecond before; clients ask all the time, the collector may restart. */
static void opens_at_end(const struct period *p, bool restarts)
{
    static const int64_t steps[] = { -60000, -1000, -2, -1, 0 };
    int64_t end_ms = instant(p->end);
    char definition[256], id[32];
    struct ledger_db d;
    int asked = 0;

    db_remove();
    db_start(&d, instant(p->inside));
    snprintf(definition, sizeof definition,
             "{\"name\": \"b\", \"limit\": \"2 calls\", \"window\": \"%s\", \"timezone\": \"%s\"}", p->window,
             p->zone);
    db_put(&d, definition);
    assert_int_equal(db_admit(&d, "first", "a", "free"), ORDER_DONE);
    assert_int_equal(db_settle(&d, "first", true, 5), ORDER_DONE);
    struct made_call call = { .names = { .agent_id = "a" }, .prompt = 1, .completion = 1 };
    db_call(&d, &call);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (end_ms + steps[i] < d.now_ms)
            continue;
        d.now_ms = end_ms + steps[i];
        if (restarts)
            db_restart(&d);
        for (int k = 0; k < 3; k++) {
            snprintf(id, sizeof id, "r-%d", asked++);
            struct order o = made_order(id, "a", "free");
            enum order_status status = db_admit_order(&d, &o);
            if (restarts && k == 1)
                db_restart(&d);
            assert_int_equal(status, steps[i] == 0 && k < 2 ? ORDER_DONE : ORDER_DENIED);
            if (steps[i] < 0)
                assert_int_equal(o.verdict.opens_ms, end_ms);
        }
    }
    assert_true(asked >= 9);
    const struct account *c = db_account(&d, "b", NULL);
    assert_int_equal(c->start_ms, end_ms);
    assert_int_equal(c->total.held[HELD_RESERVED], 2);
    assert_int_equal(c->total.amount, 0);
    db_stop(&d);
}

static void test_windows_open_at_their_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof periods / sizeof *periods; i++) {
        opens_at_end(&periods[i], false);
        opens_at_end(&periods[i], true);
    }
}

/* Never more than an exact sliding sum allows; who is told when it opens is let in then, and not a piece of
 * the window before. */
static void test_sliding_window(void **state)
{
    enum { LENGTH_MS = 600000, PIECE_MS = LENGTH_MS / WINDOW_BUCKETS, LIMIT = 5, ASKED = 3000 };
    static int64_t admitted[ASKED];
    unsigned seed = 42;
    int granted = 0, denied = 0;
    struct ledger_db d;
    char id[16];

    (void)state;
    db_start(&d, START_MS);
    db_put(&d, "{\"name\": \"b\", \"limit\": \"5 calls\", \"window\": \"sliding 10m\"}");
    for (int i = 0; i < SCALE(ASKED); i++) {
        d.now_ms += rand_r(&seed) % 20000;
        if (rand_r(&seed) % 50 == 0)
            db_restart(&d);
        snprintf(id, sizeof id, "r-%d", i);
        struct order o = made_order(id, "a", "free");
        o.ttl_ms = LEDGER_TTL_MAX_MS;
        int exact = 0;
        for (int k = granted; k > 0 && admitted[k - 1] > d.now_ms - LENGTH_MS; k--)
            exact++;
        if (db_admit_order(&d, &o) == ORDER_DONE) {
            assert_true(exact < LIMIT);
            admitted[granted++] = d.now_ms;
            continue;
        }
        denied++;
        int64_t oldest = admitted[granted - LIMIT], opens_ms = o.verdict.opens_ms;
        assert_true(opens_ms > d.now_ms);
        assert_true(opens_ms >= oldest + LENGTH_MS && opens_ms <= oldest + LENGTH_MS + PIECE_MS);
        if (rand_r(&seed) % 2 == 0)
            continue;
        d.now_ms = opens_ms - 1;
        assert_int_equal(db_admit_order(&d, &o), ORDER_DENIED);
        assert_int_equal(o.verdict.opens_ms, opens_ms);
        d.now_ms = opens_ms;
        assert_int_equal(db_admit_order(&d, &o), ORDER_DONE);
        admitted[granted++] = d.now_ms;
    }
    assert_true(granted > 50 && denied > 50);
    db_stop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_exactly_fifty),  TEST(test_exactly_three),
        TEST(test_ends),           TEST(test_expiry),
        TEST(test_settled_late),   TEST(test_overrun),
        TEST(test_unknown_price),  TEST(test_windows_open_at_their_end),
        TEST(test_sliding_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
