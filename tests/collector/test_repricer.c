/* SPDX-License-Identifier: MIT
 *
 * Stored calls priced again: slice by slice, beside new ones, exactly; a dry run that changes nothing; what
 * the audit says; a store that fails in the middle.
 */
#include "writer_db.h"

#include "collector/writer/journal.h"
#include "collector/writer/rebuild.h"
#include "collector/writer/repricer.h"
#include "made_event.h"

#define NOW_MS INT64_C(1795132800000) /* 2026-11-20 */
#define DAY_MS INT64_C(86400000)
#define CALLS  SCALE(20000)

struct fixture {
    struct store store;
    struct journal journal;
    struct journal_origin from;
    struct repricer repricer;
    struct price_list *before, *after;
    int64_t ledger; /* what the ledger was told, in nano-dollars */
    int ledger_rows;
};

static struct price_list *list(const char *own)
{
    json_t *overrides = json_loads(own, 0, NULL);
    struct price_list *l = NULL;
    struct fault fault;

    assert_non_null(overrides);
    assert_int_equal(price_list_load(NULL, overrides, &l, &fault), 0);
    json_decref(overrides);
    return l;
}

static int64_t usd_of(const struct log_row *row)
{
    return row->num[D_cost_nanousd] != UNKNOWN ? row->num[D_cost_nanousd] : 0;
}

static int tell_ledger(void *arg, const struct log_row *was, const struct log_row *is, bool counts)
{
    struct fixture *f = arg;

    if (!counts || was->num[D_cost_nanousd] == is->num[D_cost_nanousd])
        return 0;
    f->ledger += usd_of(is) - usd_of(was);
    f->ledger_rows += 2;
    return 0;
}

static void fixture_open(struct fixture *f)
{
    struct journal_options options = { .past_ms = 30 * DAY_MS, .future_ms = 600000, .quarantine_rows = 100 };

    *f = (struct fixture){ .from = { .now_ms = NOW_MS } };
    f->before = list("[{\"match\":{\"model\":\"m-0\"},\"input\":1,\"output\":1},"
                     "{\"match\":{\"model\":\"m-1\"},\"input\":2,\"output\":2},"
                     "{\"match\":{\"model\":\"m-3\"},\"input\":4,\"output\":4}]");
    /* m-0 dearer, m-1 as it was, m-2 has a price now, m-3 has none any more */
    f->after = list("[{\"match\":{\"model\":\"m-0\"},\"input\":\"1.5\",\"output\":3},"
                    "{\"match\":{\"model\":\"m-1\"},\"input\":2,\"output\":2},"
                    "{\"match\":{\"model\":\"m-2\"},\"input\":7,\"output\":7}]");
    options.prices = f->before;
    db_open(&f->store);
    assert_int_equal(journal_init(&f->journal, &f->store, &options), 0);
    assert_int_equal(journal_recover(&f->journal), 0);
    assert_int_equal(repricer_init(&f->repricer, &f->store, &f->journal.pricer, &f->journal.projections), 0);
    f->repricer.ledger = tell_ledger;
    f->repricer.ledger_arg = f;
}

static void fixture_close(struct fixture *f)
{
    repricer_fini(&f->repricer);
    journal_fini(&f->journal);
    store_close(&f->store);
    price_list_free(f->before);
    price_list_free(f->after);
}

/* One call of model m-(i % 4), i hours ago or so, in its own transaction with the others of its lot. */
static void append(struct fixture *f, int i)
{
    char session[16], model[8];
    struct made_names names = { .session_id = session, .provider = "p", .model = model, .status = STATUS_ok };
    struct made_event m;
    enum event_result result;

    snprintf(session, sizeof session, "s-%d", i % 50);
    snprintf(model, sizeof model, "m-%d", i % 4);
    made_event(&m, KIND_dispatch, &names);
    m.event.ts_ms = NOW_MS - (i / 4 % 20) * DAY_MS;
    m.event.num[D_prompt_tokens] = i % 5 == 4 ? UNKNOWN : 1000 + i % 7;
    m.event.num[D_completion_tokens] = 10;
    m.event.num[D_partial] = 0;
    assert_int_equal(journal_append(&f->journal, &f->from, &m.event, &result), 0);
    assert_int_equal(result, EVENT_STORED);
}

static void append_many(struct fixture *f, int from, int to)
{
    assert_int_equal(store_begin(&f->store), 0);
    assert_int_equal(names_source(&f->journal.names, "test", NOW_MS, &f->from.source), 0);
    for (int i = from; i < to; i++)
        append(f, i);
    assert_int_equal(journal_settle(&f->journal, NOW_MS), 0);
    assert_int_equal(store_commit(&f->store), 0);
    journal_committed(&f->journal);
}

static void flush(struct fixture *f)
{
    assert_int_equal(store_begin(&f->store), 0);
    assert_int_equal(journal_flush_usage(&f->journal, NOW_MS), 0);
    assert_int_equal(journal_flush_sessions(&f->journal), 0);
    assert_int_equal(store_commit(&f->store), 0);
    journal_committed(&f->journal);
}

/* Sums by time and by session are what the log says. */
static void check_sums(struct fixture *f)
{
    flush(f);
    for (int p = 0; p < REBUILD_PROJECTIONS; p++) {
        struct rebuild_report report = { 0 };
        assert_int_equal(rebuild_check(f->store.db, (enum rebuild_projection)p, NULL, NULL, &report), 0);
        if (report.differences != 0)
            fail_msg("%s: %s", rebuild_name((enum rebuild_projection)p), report.difference[0]);
        assert_true(report.events > 0);
    }
}

/* All slices of a run; how many there were. */
static int run(struct fixture *f, const struct reprice_request *request)
{
    int slices = 0;

    assert_true(repricer_start(&f->repricer, request, NOW_MS));
    while (f->repricer.state == REPRICE_RUNNING) {
        assert_int_equal(repricer_step(&f->repricer, NOW_MS), 0);
        slices++;
    }
    return slices;
}

static int64_t total(const json_t *report, const char *name)
{
    assert_true(json_is_integer(json_object_get(report, name)));
    return json_integer_value(json_object_get(report, name));
}

static const char cost_of[] =
    "SELECT ifnull(sum(cost_nanousd), 0) FROM dispatch e JOIN dims d ON d.id = e.dims"
    " WHERE d.model = 'm-%d'";

static int64_t model_cost(struct fixture *f, int model)
{
    char sql[160];

    snprintf(sql, sizeof sql, cost_of, model);
    return db_ask(&f->store, sql);
}

/* -------------------------------------------------------------------- tests */

static void a_run_changes_what_has_another_price(void **state)
{
    const struct reprice_request all = {
        .from_ms = 0, .to_ms = NOW_MS + 1, .author = "ann", .budgets = true
    };
    struct fixture f;
    int64_t was[4];

    (void)state;
    fixture_open(&f);
    append_many(&f, 0, CALLS / 2);
    flush(&f); /* half of it is in the tables, half is not */
    append_many(&f, CALLS / 2, CALLS);
    for (int i = 0; i < 4; i++)
        was[i] = model_cost(&f, i);
    pricer_use(&f.journal.pricer, f.after);
    assert_true(repricer_start(&f.repricer, &all, NOW_MS));
    assert_false(repricer_start(&f.repricer, &all, NOW_MS)); /* one at a time */
    int slices = 0;
    while (f.repricer.state == REPRICE_RUNNING) {
        assert_int_equal(repricer_step(&f.repricer, NOW_MS), 0);
        if (slices++ == 1)
            append_many(&f, CALLS, CALLS + 100); /* new calls come between */
    }
    assert_true(slices > 2);
    check_sums(&f);
    json_t *report = repricer_report(&f.repricer);
    assert_string_equal(json_string_value(json_object_get(report, "state")), "done");
    assert_int_equal(total(report, "calls"), CALLS);
    assert_int_equal(total(report, "old_nanousd"), was[0] + was[1] + was[2] + was[3]);
    assert_int_equal(total(report, "difference_nanousd"), f.ledger);
    assert_int_equal(total(report, "new_unknown"), total(report, "old_unknown")); /* m-2 for m-3 */
    assert_int_equal(model_cost(&f, 3), 0);
    assert_int_equal(
        db_ask(&f.store, "SELECT count(*) FROM dispatch WHERE (price IS NULL) <> (cost_nanousd IS NULL)"), 0);
    /* Each cost again, from the row's own price entry. */
    assert_int_equal(
        db_ask(&f.store, "SELECT count(*) FROM dispatch e JOIN price p ON p.id = e.price WHERE"
                         " e.cost_nanousd <> CAST(1000 * (e.prompt_tokens * json_extract(p.rates, '$.input')"
                         " + e.completion_tokens * json_extract(p.rates, '$.output')) + 0.5 AS INTEGER)"),
        0);
    json_decref(report);
    fixture_close(&f);
}

static void a_dry_run_changes_nothing(void **state)
{
    struct reprice_request request = { .from_ms = 0, .to_ms = NOW_MS + 1, .dry_run = true, .budgets = true };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    append_many(&f, 0, 2000);
    flush(&f);
    pricer_use(&f.journal.pricer, f.after);
    int64_t before = model_cost(&f, 0), prices = db_ask(&f.store, "SELECT count(*) FROM price");
    run(&f, &request);
    json_t *dry = repricer_report(&f.repricer);
    assert_int_equal(model_cost(&f, 0), before);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM price"), prices);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM audit"), 0);
    assert_int_equal(f.ledger_rows, 0);
    assert_true(total(dry, "changed") > 1000);
    check_sums(&f);
    /* And the run itself comes to what the dry one said. */
    request.dry_run = request.budgets = false;
    run(&f, &request);
    json_t *wet = repricer_report(&f.repricer);
    for (const char *const *name = (const char *const[]){ "calls", "changed", "old_nanousd", "new_nanousd",
                                                          "old_unknown", "new_unknown", NULL };
         *name != NULL; name++)
        assert_int_equal(total(dry, *name), total(wet, *name));
    assert_true(json_equal(json_object_get(dry, "models"), json_object_get(wet, "models")));
    assert_int_equal(f.ledger_rows, 0); /* budgets were not asked for */
    check_sums(&f);
    /* A second time there is nothing to do. */
    run(&f, &request);
    json_t *again = repricer_report(&f.repricer);
    assert_int_equal(total(again, "changed"), 0);
    assert_int_equal(total(again, "old_nanousd"), total(wet, "new_nanousd"));
    json_decref(dry);
    json_decref(wet);
    json_decref(again);
    fixture_close(&f);
}

static void only_what_is_asked_for(void **state)
{
    const struct reprice_request request = {
        .from_ms = NOW_MS - 5 * DAY_MS, .to_ms = NOW_MS - 2 * DAY_MS, .model = "m-2", .author = "bob"
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    append_many(&f, 0, 4000);
    flush(&f);
    pricer_use(&f.journal.pricer, f.after);
    int64_t zero = model_cost(&f, 0);
    run(&f, &request);
    assert_int_equal(model_cost(&f, 0), zero);
    assert_true(model_cost(&f, 2) > 0);
    assert_int_equal(
        db_ask(&f.store, "SELECT count(*) FROM dispatch e JOIN dims d ON d.id = e.dims WHERE"
                         " d.model = 'm-2' AND e.prompt_tokens IS NOT NULL AND (e.price IS NOT NULL) <>"
                         " (e.ts_ms >= 1795132800000 - 5*86400000 AND e.ts_ms < 1795132800000 - 2*86400000)"),
        0);
    json_t *report = repricer_report(&f.repricer);
    assert_int_equal(json_array_size(json_object_get(report, "models")), 1);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM audit WHERE what = 'reprice' AND author = 'bob'"
                                      " AND json_extract(detail, '$.state') = 'done'"),
                     1);
    assert_int_equal(db_ask(&f.store, "SELECT json_extract(detail, '$.changed') FROM audit"),
                     total(report, "changed"));
    check_sums(&f);
    json_decref(report);
    fixture_close(&f);
}

static void a_failing_store_leaves_all_as_it_was(void **state)
{
    const struct reprice_request all = { .from_ms = 0, .to_ms = NOW_MS + 1 };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    append_many(&f, 0, 2000);
    flush(&f);
    pricer_use(&f.journal.pricer, f.after);
    int64_t before = model_cost(&f, 0);
    db_exec(&f.store, "CREATE TRIGGER no BEFORE UPDATE OF cost_nanousd ON dispatch WHEN old.id = 1"
                      " BEGIN SELECT raise(ABORT, 'no'); END");
    assert_true(repricer_start(&f.repricer, &all, NOW_MS));
    assert_true(repricer_step(&f.repricer, NOW_MS) < 0);
    assert_int_equal(f.repricer.state, REPRICE_FAILED);
    assert_false(repricer_is_due(&f.repricer));
    assert_int_equal(journal_recover(&f.journal), 0);
    assert_int_equal(model_cost(&f, 0), before);
    assert_int_equal(db_ask(&f.store, "SELECT count(*) FROM audit"), 0);
    check_sums(&f);
    db_exec(&f.store, "DROP TRIGGER no");
    run(&f, &all);
    assert_true(model_cost(&f, 0) > before);
    check_sums(&f);
    fixture_close(&f);
}

static void requests_are_checked(void **state)
{
    static const struct {
        const char *request, *field; /* field NULL: it is taken */
    } table[] = {
        { "{\"from_ms\":5}", NULL },
        { "{\"from_ms\":5,\"to_ms\":6,\"model\":\"m\",\"author\":null,\"dry_run\":true,\"budgets\":false}",
          NULL },
        { "{}", "from_ms" },
        { "{\"from_ms\":\"x\"}", "from_ms" },
        { "{\"from_ms\":-1}", "from_ms" },
        { "{\"from_ms\":5,\"to_ms\":5}", "to_ms" },
        { "{\"from_ms\":5,\"to_ms\":1.5}", "to_ms" },
        { "{\"from_ms\":5,\"model\":7}", "model" },
        { "{\"from_ms\":5,\"dry_run\":1}", "dry_run" },
        { "{\"from_ms\":5,\"budgets\":\"yes\"}", "budgets" },
    };
    struct fixture f;

    (void)state;
    fixture_open(&f);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        json_t *request = json_loads(table[i].request, 0, NULL), *answer;
        int status;
        f.repricer.state = REPRICE_IDLE;
        answer = repricer_serve(&f.repricer, "reprice", request, NOW_MS, &status);
        assert_int_equal(status, table[i].field != NULL ? 400 : 200);
        if (table[i].field != NULL)
            assert_string_equal(json_string_value(json_object_get(answer, "field")), table[i].field);
        json_decref(answer);
        json_decref(request);
    }
    json_t *request = json_pack("{s:i}", "from_ms", 1);
    int status;
    f.repricer.state = REPRICE_RUNNING;
    json_decref(repricer_serve(&f.repricer, "reprice", request, NOW_MS, &status));
    assert_int_equal(status, 409);
    json_decref(repricer_serve(&f.repricer, "repricing", request, NOW_MS, &status));
    assert_int_equal(status, 200);
    json_decref(request);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_run_changes_what_has_another_price),
        TEST(a_dry_run_changes_nothing),
        TEST(only_what_is_asked_for),
        TEST(a_failing_store_leaves_all_as_it_was),
        TEST(requests_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
