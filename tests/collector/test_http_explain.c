/* SPDX-License-Identifier: MIT
 *
 * GET /v1/budgets/{name}/explain, against the same calls counted by hand.
 */
#include "query_db.h"

#include "http_ask.h"

#define NOW (DB_START + 30 * 3600 * 1000LL)

static struct db db;
static struct http_server *server;

static struct {
    const char *definition, *unit;
    int64_t counts_from_ms; /* 0: null */
} told;

/* Three cells, two reservations. */
static int govern(void *arg, const char *op, const json_t *request, json_t **answer)
{
    char text[4096], counts_from[32] = "null";

    (void)arg;
    if (strcmp(op, "reservations") == 0) {
        assert_int_equal(json_integer_value(json_object_get(request, "limit")), 1000);
        *answer = json_loads(
            "{\"open\":2,\"reservations\":[{\"id\":\"r-1\",\"postings\":[{\"budget\":\"b\",\"key\":"
            "\"red\"}]},{\"id\":\"r-2\",\"postings\":[{\"budget\":\"c\",\"key\":\"red\"},{\"budget\":"
            "\"b\",\"key\":\"x\"}]},{\"id\":\"r-3\",\"postings\":[{\"budget\":\"c\",\"key\":\"red\"}]}]}",
            0, NULL);
        return 200;
    }
    assert_string_equal(op, "budgets");
    if (strcmp(json_string_value(json_object_get(request, "name")), "b") != 0) {
        *answer = json_loads("{\"detail\":\"there is no budget of this name\"}", 0, NULL);
        return 404;
    }
    pthread_mutex_lock(&hook_lock);
    if (told.counts_from_ms)
        snprintf(counts_from, sizeof counts_from, "%lld", (long long)told.counts_from_ms);
    snprintf(
        text, sizeof text,
        "{\"now_ms\":%lld,\"counting\":0,\"budgets\":[{\"name\":\"b\",\"definition\":%s,\"unit\":\"%s\","
        "\"counts_from_ms\":%s,\"cells\":[{\"key\":\"\",\"spent\":1},{\"key\":\"red\",\"spent\":2},{\"key\":"
        "\"blue,sky\",\"spent\":3}]}]}",
        (long long)NOW, told.definition, told.unit, counts_from);
    pthread_mutex_unlock(&hook_lock);
    *answer = json_loads(text, 0, NULL);
    assert_non_null(*answer);
    return 200;
}

/* Half of the events are in the projections, the other half is the tail. */
static int start(void **state)
{
    struct http_options opt = { .hooks = { .govern = govern } };
    char error[HTTP_ERROR_BYTES] = "";

    (void)state;
    db_open(&db, 18);
    db_names(&db);
    db_fill(&db, 1900);
    db_project(&db, db.next_id - 1);
    db_fill(&db, 600);
    opt.database = db.path;
    if (http_start(&opt, error, &server) != 0)
        fail_msg("%s", error);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_stop(server);
    db_close(&db);
    return 0;
}

/* ------------------------------------------------------------------ counted by hand */

static bool is(const char *a, const char *b)
{
    return a && strcmp(a, b) == 0;
}

static const char *dim(const struct db_row *r, enum field_id field)
{
    return db.dim[r->dims][field];
}

static bool all(const struct db_row *r)
{
    (void)r;
    return true;
}

static bool red_or_blue(const struct db_row *r)
{
    const char *agent = dim(r, FIELD_agent_id);

    return is(agent, "red") || is(agent, "blue,sky");
}

static bool not_red_lane(const struct db_row *r)
{
    return !is(dim(r, FIELD_lane), "red");
}

static bool unknown_user(const struct db_row *r)
{
    return dim(r, FIELD_user_id) == NULL;
}

static bool starred_team(const struct db_row *r)
{
    return is(db.tag[r->dims][0], "x*");
}

static bool no_team_y(const struct db_row *r)
{
    return !is(db.tag[r->dims][0], "y") && is(db.tag[r->dims][1], "y");
}

static bool quoted(const struct db_row *r)
{
    return is(dim(r, FIELD_provider), "q\"uote") && is(dim(r, FIELD_trigger), "cron");
}

static const char *no_key(const struct db_row *r)
{
    (void)r;
    return "";
}

static const char *model_key(const struct db_row *r)
{
    return dim(r, FIELD_model) ? dim(r, FIELD_model) : "(unknown)";
}

static const char *agent_key(const struct db_row *r)
{
    return dim(r, FIELD_agent_id) ? dim(r, FIELD_agent_id) : "(unknown)";
}

static const char *session_key(const struct db_row *r)
{
    return r->session && db.session[r->session][0] ? db.session[r->session][0] : "(unknown)";
}

/* -1: unknown. */
static int64_t amount_of(const struct db_row *r, const char *unit)
{
    int64_t prompt = r->num[SUM_prompt_tokens], completion = r->num[SUM_completion_tokens];

    if (strcmp(unit, "calls") == 0)
        return 1;
    if (strcmp(unit, "usd") == 0)
        return r->num[SUM_cost_nanousd] >= 0 ? r->num[SUM_cost_nanousd] : r->num[SUM_cost_reported_nanousd];
    if (r->num[SUM_total_tokens] >= 0)
        return r->num[SUM_total_tokens];
    return prompt < 0 && completion < 0 ? -1 : (prompt < 0 ? 0 : prompt) + (completion < 0 ? 0 : completion);
}

struct wanted {
    const char *definition, *unit;
    bool (*holds)(const struct db_row *);
    const char *(*key_of)(const struct db_row *);
    const char *key;        /* NULL: all */
    int64_t from_ms, to_ms; /* 0: no bound */
    int64_t counts_from_ms;
};

static bool counts(const struct wanted *w, const struct db_row *r)
{
    int64_t from = w->from_ms > w->counts_from_ms ? w->from_ms : w->counts_from_ms;

    return (r->state & 7) == 0 && !is(dim(r, FIELD_status), "blocked") && r->ts_ms >= from &&
           (w->to_ms == 0 || r->ts_ms < w->to_ms) && w->holds(r) &&
           (w->key == NULL || strcmp(w->key, w->key_of(r)) == 0);
}

static void check_call(const struct wanted *w, const struct db_row *r, const json_t *call)
{
    int64_t amount = amount_of(r, w->unit);
    const json_t *told_amount = json_object_get(call, "amount");

    assert_int_equal(json_integer_value(json_object_get(call, "id")), r->id);
    assert_int_equal(json_integer_value(json_object_get(call, "ts_ms")), r->ts_ms);
    assert_string_equal(json_string_value(json_object_get(call, "key")), w->key_of(r));
    if (amount < 0 ? !json_is_null(told_amount) : json_integer_value(told_amount) != amount)
        fail_msg("%s: call %lld has another amount", w->definition, (long long)r->id);
    const char *agent = json_string_value(json_object_get(call, "agent_id")),
               *wanted = dim(r, FIELD_agent_id);
    assert_true(wanted ? is(agent, wanted) : agent == NULL);
}

/* Asks and compares; returns how many calls there are. */
static int check(const struct wanted *w, unsigned limit)
{
    char line[256];
    const struct db_row *r = db.row + db.rows;
    int64_t sum = 0, unknown = 0;
    size_t n = 0;

    told.definition = w->definition;
    told.unit = w->unit;
    told.counts_from_ms = w->counts_from_ms;
    snprintf(line, sizeof line, "GET /v1/budgets/b/explain?limit=%u%s%s", limit, w->key ? "&key=" : "",
             w->key ? w->key : "");
    const char *answer = ask_server(server, line, "", "");
    if (status_of(answer) != 200)
        fail_msg("%s: %s", w->definition, answer);
    json_t *json = json_of(answer);
    const json_t *calls = json_object_get(json, "calls"), *listed = json_object_get(json, "listed");
    bool more = false;
    while (r-- > db.row && !more) {
        if (!counts(w, r))
            continue;
        more = n == limit;
        if (more)
            break;
        if (n >= json_array_size(calls))
            fail_msg("%s: call %lld is missing", w->definition, (long long)r->id);
        check_call(w, r, json_array_get(calls, n++));
        int64_t amount = amount_of(r, w->unit);
        sum += amount < 0 ? 0 : amount;
        unknown += amount < 0;
    }
    assert_int_equal(json_array_size(calls), n);
    assert_int_equal(json_integer_value(json_object_get(listed, "calls")), n);
    assert_int_equal(json_integer_value(json_object_get(listed, "amount")), sum);
    assert_int_equal(json_integer_value(json_object_get(listed, "unknown_calls")), unknown);
    assert_int_equal(json_is_true(json_object_get(json, "truncated")), more);
    assert_string_equal(json_string_value(json_object_get(json, "unit")), w->unit);
    json_decref(json);
    return (int)n;
}

#define TOTAL(scope, per, limit) \
    "{\"name\":\"b\",\"limit\":\"" limit "\",\"window\":\"total\",\"scope\":" scope per "}"
#define DAY_MS 86400000LL

static void test_calls_are_those_of_the_budget(void **state)
{
    const int64_t day = NOW / DAY_MS * DAY_MS, kathmandu = (NOW + 20700000) / DAY_MS * DAY_MS - 20700000;
    const struct wanted table[] = {
        { TOTAL("{}", "", "5 calls"), "calls", all, no_key, NULL, 0, 0, 0 },
        { TOTAL("{}", "", "5 tokens"), "tokens", all, no_key, NULL, 0, 0, 0 },
        { TOTAL("{}", "", "5 usd"), "usd", all, no_key, NULL, 0, 0, 0 },
        { TOTAL("{\"agent\":[\"red\",\"blue*\"]}", ",\"per\":\"model\"", "5 tokens"), "tokens", red_or_blue,
          model_key, NULL, 0, 0, 0 },
        { TOTAL("{\"agent\":[\"red\",\"*,sky\"]}", ",\"per\":\"model\"", "5 tokens"), "tokens", red_or_blue,
          model_key, "green", 0, 0, 0 },
        { TOTAL("{}", ",\"per\":\"agent\"", "5 calls"), "calls", all, agent_key, "blue,sky", 0, 0, 0 },
        { TOTAL("{}", ",\"per\":\"agent\"", "5 calls"), "calls", all, agent_key, "(unknown)", 0, 0, 0 },
        { TOTAL("{\"lane\":{\"not\":[\"red\"]}}", "", "5 calls"), "calls", not_red_lane, no_key, NULL, 0, 0,
          0 },
        { TOTAL("{\"user\":\"\"}", "", "5 calls"), "calls", unknown_user, no_key, NULL, 0, 0, 0 },
        { TOTAL("{\"tag.team\":\"x\\\\*\"}", "", "5 calls"), "calls", starred_team, no_key, NULL, 0, 0, 0 },
        { TOTAL("{\"tag.team\":{\"not\":\"y\"},\"tag.it's\":\"*y\"}", "", "5 calls"), "calls", no_team_y,
          no_key, NULL, 0, 0, 0 },
        { TOTAL("{\"provider\":\"q\\\"uote\",\"trigger\":\"cron\"}", "", "5 calls"), "calls", quoted, no_key,
          NULL, 0, 0, 0 },
        { "{\"name\":\"b\",\"limit\":\"5 tokens\",\"window\":\"session\"}", "tokens", all, session_key, "s-2",
          0, 0, 0 },
        { "{\"name\":\"b\",\"limit\":\"5 tokens\",\"window\":\"session\"}", "tokens", all, session_key, NULL,
          0, 0, 0 },
        { "{\"name\":\"b\",\"limit\":\"5 calls\",\"window\":\"day\"}", "calls", all, no_key, NULL, day,
          day + DAY_MS, 0 },
        { "{\"name\":\"b\",\"limit\":\"5 calls\",\"window\":\"day\",\"timezone\":\"Asia/Kathmandu\"}",
          "calls", all, no_key, NULL, kathmandu, kathmandu + DAY_MS, 0 },
        { "{\"name\":\"b\",\"limit\":\"5 calls\",\"window\":\"day\"}", "calls", all, no_key, NULL, day,
          day + DAY_MS, NOW - 3600000 },
    };
    int64_t before = 0;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int n = check(&table[i], 1000);
        if (n == 0)
            fail_msg("%s: no call: this shows nothing", table[i].definition);
        check(&table[i], 7);
        if (i == 16)
            assert_true(n < before); /* a later beginning leaves some out */
        before = i == 14 ? n : before;
    }
}

static void test_the_governors_part(void **state)
{
    (void)state;
    told.definition = TOTAL("{}", ",\"per\":\"agent\"", "5 calls");
    told.unit = "calls";
    told.counts_from_ms = 0;
    json_t *json = json_of(ask_server(server, "GET /v1/budgets/b/explain?key=red&limit=1", "", ""));
    assert_int_equal(json_integer_value(json_object_get(json, "now_ms")), NOW);
    assert_string_equal(json_string_value(json_object_get(json, "key")), "red");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "cell"), "spent")), 2);
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "budget"), "cells")), 0);
    const json_t *reservations = json_object_get(json, "reservations");
    assert_int_equal(json_array_size(reservations), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(reservations, 0), "id")), "r-1");
    json_decref(json);

    json = json_of(ask_server(server, "GET /v1/budgets/b/explain", "", "")); /* of each agent: no one cell */
    assert_true(json_is_null(json_object_get(json, "key")));
    assert_true(json_is_null(json_object_get(json, "cell")));
    assert_true(json_is_null(json_object_get(json, "to_ms")));
    assert_int_equal(json_array_size(json_object_get(json, "reservations")), 2);
    assert_int_equal(json_array_size(json_object_get(json, "calls")), 100);
    json_decref(json);

    told.definition = TOTAL("{}", "", "5 calls");
    json = json_of(ask_server(server, "GET /v1/budgets/b/explain?limit=1", "", ""));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "cell"), "spent")), 1);
    json_decref(json);
}

static void test_what_cannot_be_explained(void **state)
{
    (void)state;
    told.definition = TOTAL("{}", "", "5 calls");
    told.unit = "calls";
    assert_int_equal(status_of(ask_server(server, "GET /v1/budgets/c/explain", "", "")), 404);
    const char *answer = ask_server(server, "GET /v1/budgets/b/explain?limit=0", "", "");
    assert_int_equal(status_of(answer), 400);
    assert_non_null(strstr(answer, "\"parameter\":\"limit\""));
    assert_int_equal(status_of(ask_server(server, "GET /v1/budgets/b/explain?ley=x", "", "")), 400);
    assert_int_equal(status_of(ask_server(server, "HEAD /v1/budgets/b/explain", "", "")), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_are_those_of_the_budget),
        cmocka_unit_test(test_the_governors_part),
        cmocka_unit_test(test_what_cannot_be_explained),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
