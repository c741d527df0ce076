/* SPDX-License-Identifier: MIT
 *
 * What the routes of the governor make of a request, and of its answer. The governor itself is a hook
 * that writes down what it was asked.
 */
#include "query_db.h"

#include "http_ask.h"

static struct db db;
static struct http_server *server;

/* What the governor was asked, and is to answer. */
static struct {
    char op[32];
    json_t *request; /* owned */
    int asked;
    int status;
    const char *answer; /* NULL: no memory */
} governor;

static int govern(void *arg, const char *op, const json_t *request, json_t **answer)
{
    assert_ptr_equal(arg, &governor);
    pthread_mutex_lock(&hook_lock);
    snprintf(governor.op, sizeof governor.op, "%s", op);
    json_decref(governor.request);
    governor.request = json_deep_copy(request);
    governor.asked++;
    *answer = governor.answer ? json_loads(governor.answer, 0, NULL) : NULL;
    int status = governor.status;
    pthread_mutex_unlock(&hook_lock);
    return status;
}

static int start(void **state)
{
    struct http_options opt = { .database = db.path, .hooks = { .arg = &governor, .govern = govern } };
    char error[HTTP_ERROR_BYTES] = "";

    (void)state;
    db_open(&db, 1);
    opt.database = db.path;
    if (http_start(&opt, error, &server) != 0)
        fail_msg("%s", error);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    http_stop(server);
    json_decref(governor.request);
    db_close(&db);
    return 0;
}

static const char *ask(const char *line, const char *headers, const char *body)
{
    return ask_server(server, line, headers, body);
}

static void answers(int status, const char *json)
{
    governor.status = status;
    governor.answer = json;
    governor.asked = 0;
}

static void expect_asked(const char *line, const char *op, const char *request)
{
    json_t *expected = json_loads(request, 0, NULL);

    assert_non_null(expected);
    if (governor.asked != 1 || strcmp(governor.op, op) != 0 || !json_equal(governor.request, expected)) {
        char *got = json_dumps(governor.request, JSON_SORT_KEYS);
        fail_msg("%s: asked %d times, %s %s where %s %s was expected", line, governor.asked, governor.op,
                 got ? got : "-", op, request);
    }
    json_decref(expected);
}

/* ------------------------------------------------------------------ what is asked */

static void test_every_route_asks_the_governor(void **state)
{
    static const struct {
        const char *line, *headers, *body, *op, *request;
    } table[] = {
        { "GET /v1/budgets", "", "", "budgets", "{}" },
        { "HEAD /v1/budgets", "", "", "budgets", "{}" },
        { "GET /v1/budgets?cells=3", "", "", "budgets", "{\"cells\":3}" },
        { "GET /v1/budgets/a.b-c_1", "", "", "budgets", "{\"name\":\"a.b-c_1\",\"cells\":20}" },
        { "GET /v1/budgets/a%20b?cells=1000", "", "", "budgets", "{\"name\":\"a b\",\"cells\":1000}" },
        { "PUT /v1/budgets/d", "", "{\"limit\":\"5 usd\",\"window\":\"day\"}", "put_budget",
          "{\"name\":\"d\",\"author\":\"http\",\"definition\":{\"limit\":\"5 "
          "usd\",\"window\":\"day\",\"name\":"
          "\"d\"}}" },
        { "PUT /v1/budgets/d", "Tollgate-Author: me@here\r\n",
          "{\"name\":\"d\",\"author\":\"you\",\"x\":[1]}", "put_budget",
          "{\"name\":\"d\",\"author\":\"me@here\",\"definition\":{\"name\":\"d\",\"x\":[1]}}" },
        { "PUT /v1/budgets/d", "", "{\"author\":\"you\"}", "put_budget",
          "{\"name\":\"d\",\"author\":\"you\",\"definition\":{\"name\":\"d\"}}" },
        { "DELETE /v1/budgets/d", "", "", "delete_budget", "{\"name\":\"d\",\"author\":\"http\"}" },
        { "DELETE /v1/budgets/d", "", "{\"author\":\"you\"}", "delete_budget",
          "{\"name\":\"d\",\"author\":\"you\"}" },
        { "DELETE /v1/budgets/d", "tollgate-author: me\r\n", "{}", "delete_budget",
          "{\"name\":\"d\",\"author\":\"me\"}" },
        { "GET /v1/policies", "", "", "policies", "{}" },
        { "POST /v1/check", "", "", "check", "{}" },
        { "POST /v1/check", "",
          "{\"agent_id\":\"a\",\"session_id\":\"s\",\"root_session_id\":\"r\",\"user_id\":\"u\",\"provider\":"
          "\"p\",\"model\":\"m\",\"lane\":\"l\",\"surface\":\"f\",\"channel\":\"c\",\"trigger\":\"cron\","
          "\"tags\":{\"team\":\"x\"}}",
          "check",
          "{\"agent_id\":\"a\",\"session_id\":\"s\",\"root_session_id\":\"r\",\"user_id\":\"u\",\"provider\":"
          "\"p\",\"model\":\"m\",\"lane\":\"l\",\"surface\":\"f\",\"channel\":\"c\",\"trigger\":\"cron\","
          "\"tags\":{\"team\":\"x\"}}" },
        { "POST /v1/check", "", "{\"agent_id\":null,\"model\":\"m\",\"tags\":null}", "check",
          "{\"model\":\"m\"}" },
        { "POST /v1/admit", "",
          "{\"id\":\"r-1\",\"ttl_ms\":1000,\"prompt_tokens\":0,\"max_tokens\":9,\"agent_id\":\"a\"}", "admit",
          "{\"id\":\"r-1\",\"ttl_ms\":1000,\"prompt_tokens\":0,\"max_tokens\":9,\"agent_id\":\"a\"}" },
        { "POST /v1/admit", "", "{\"ttl\":\"5m\",\"id\":null}", "admit", "{\"ttl_ms\":300000}" },
        { "POST /v1/settle", "",
          "{\"id\":\"r-1\",\"outcome\":\"not_called\",\"prompt_tokens\":1,\"completion_tokens\":2,"
          "\"total_tokens\":3,\"cached_tokens\":4,\"cache_write_tokens\":5,\"cache_write_1h_tokens\":6,"
          "\"reasoning_tokens\":7,\"cost_reported_nanousd\":8}",
          "settle",
          "{\"id\":\"r-1\",\"outcome\":\"not_called\",\"prompt_tokens\":1,\"completion_tokens\":2,"
          "\"total_tokens\":3,\"cached_tokens\":4,\"cache_write_tokens\":5,\"cache_write_1h_tokens\":6,"
          "\"reasoning_tokens\":7,\"cost_reported_nanousd\":8}" },
        { "POST /v1/renew", "", "{\"id\":\"r-1\",\"ttl\":\"90s\"}", "renew",
          "{\"id\":\"r-1\",\"ttl_ms\":90000}" },
        { "GET /v1/reservations?limit=7", "", "", "reservations", "{\"limit\":7}" },
        { "GET /v1/allowances?all=true", "", "", "allowances", "{\"all\":true}" },
        { "POST /v1/allowances", "",
          "{\"budget\":\"d\",\"key\":null,\"amount\":5000000000,\"for\":\"2h\",\"reason\":\"late\"}", "allow",
          "{\"budget\":\"d\",\"amount\":5000000000,\"for_ms\":7200000,\"reason\":\"late\",\"author\":"
          "\"http\"}" },
        { "POST /v1/allowances", "",
          "{\"budget\":\"d\",\"key\":\"k\",\"amount\":1,\"for\":60000,\"reason\":\"late\",\"author\":\"me\"}",
          "allow",
          "{\"budget\":\"d\",\"key\":\"k\",\"amount\":1,\"for_ms\":60000,\"reason\":\"late\",\"author\":"
          "\"me\"}" },
        { "DELETE /v1/allowances/17", "", "", "end_allowance", "{\"id\":17,\"author\":\"http\"}" },
        { "GET /v1/pauses?all=false", "", "", "pauses", "{\"all\":false}" },
        { "POST /v1/pauses", "Tollgate-Author: me\r\n",
          "{\"field\":\"agent\",\"value\":\"a\",\"reason\":\"mad\"}", "pause",
          "{\"field\":\"agent\",\"value\":\"a\",\"reason\":\"mad\",\"author\":\"me\"}" },
        { "POST /v1/pauses", "",
          "{\"field\":\"agent\",\"value\":\"a\",\"for\":\"2h\",\"delay\":\"30s\",\"reason\":\"mad\"}",
          "pause",
          "{\"field\":\"agent\",\"value\":\"a\",\"for_ms\":7200000,\"delay_ms\":30000,\"reason\":\"mad\","
          "\"author\":"
          "\"http\"}" },
        { "POST /v1/pauses", "",
          "{\"field\":\"agent\",\"value\":\"a\",\"for_ms\":1500,\"delay_ms\":20,\"reason\":\"mad\"}", "pause",
          "{\"field\":\"agent\",\"value\":\"a\",\"for_ms\":1500,\"delay_ms\":20,\"reason\":\"mad\","
          "\"author\":\"http\"}" },
        { "DELETE /v1/pauses?field=agent&value=a%20b", "", "", "resume",
          "{\"field\":\"agent\",\"value\":\"a b\",\"author\":\"http\"}" },
        { "DELETE /v1/pauses/3", "", "", "resume", "{\"id\":3,\"author\":\"http\"}" },
        { "POST /v1/alerts/17/ack", "", "", "ack", "{\"id\":17,\"author\":\"http\"}" },
        { "POST /v1/alerts/17/ack", "", "{\"note\":\"seen\",\"author\":\"me\"}", "ack",
          "{\"id\":17,\"note\":\"seen\",\"author\":\"me\"}" },
        { "GET /v1/audit?limit=2&before=12345678901", "", "", "audit",
          "{\"limit\":2,\"before\":12345678901}" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        answers(200, "{\"budgets\":[{}],\"told\":true}");
        const char *answer = ask(table[i].line, table[i].headers, table[i].body);
        if (status_of(answer) != 200 || !strstr(answer, "Content-Type: application/json\r\n") ||
            !strstr(answer, "Cache-Control: no-store\r\n"))
            fail_msg("%s: %s", table[i].line, answer);
        bool head = strncmp(table[i].line, "HEAD", 4) == 0;
        if (!strstr(answer, "\"told\":true") != head)
            fail_msg("%s: %s", table[i].line, answer);
        expect_asked(table[i].line, table[i].op, table[i].request);
    }
}

static void expect_text(const char *line, const json_t *problem, const char *name, const char *wanted)
{
    const char *got = json_string_value(json_object_get(problem, name));

    if (wanted ? !got || !strstr(got, wanted) : got != NULL)
        fail_msg("%s: %s is %s where %s was expected", line, name, got ? got : "(none)",
                 wanted ? wanted : "(none)");
}

/* An amount as text is one of the budget's unit, which is asked for before. */
static void test_amounts_are_of_the_budgets_unit(void **state)
{
    static const struct {
        const char *unit, *amount;
        int64_t number; /* 0: refused */
    } table[] = {
        { "usd", "5 usd", 5000000000 }, { "usd", "$1,000.50", 1000500000000 },
        { "usd", "5", 5000000000 },     { "tokens", "200k tokens", 200000 },
        { "calls", "100 calls", 100 },  { "calls", "7", 7 },
        { "tokens", "5 usd", 0 },       { "usd", "5 calls", 0 },
        { "usd", "0 usd", 0 },          { "usd", "-5 usd", 0 },
        { "usd", "much", 0 },           { "usd", "1e9 usd", 0 },
    };
    char budget[128], body[256], request[256];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(budget, sizeof budget, "{\"budgets\":[{\"unit\":\"%s\"}]}", table[i].unit);
        snprintf(body, sizeof body, "{\"budget\":\"d\",\"amount\":\"%s\",\"for\":\"1h\",\"reason\":\"r\"}",
                 table[i].amount);
        answers(200, budget);
        const char *answer = ask("POST /v1/allowances", "", body);
        if (table[i].number) {
            snprintf(request, sizeof request,
                     "{\"budget\":\"d\",\"amount\":%" PRId64
                     ",\"for_ms\":3600000,\"reason\":\"r\",\"author\":\"http\"}",
                     table[i].number);
            assert_int_equal(governor.asked, 2);
            governor.asked = 1;
            expect_asked(body, "allow", request);
            continue;
        }
        json_t *problem = json_of(answer);
        if (status_of(answer) != 400)
            fail_msg("%s: %s", body, answer);
        expect_text(body, problem, "field", "amount");
        expect_text(body, problem, "value", table[i].amount);
        expect_text(body, problem, "expected", table[i].unit);
        json_decref(problem);
        assert_int_equal(governor.asked, 1);
        assert_string_equal(governor.op, "budgets");
    }
    answers(200, "{\"budgets\":[]}");
    assert_int_equal(status_of(ask("POST /v1/allowances", "", body)), 404);
}

/* ------------------------------------------------------------------- what is refused */

static void test_bad_input_is_named(void **state)
{
    static const struct {
        const char *line, *body;
        int status;
        const char *field, *value, *expected, *detail; /* field NULL: none is told */
    } table[] = {
        { "POST /v1/check", "{", 400, NULL, NULL, NULL, "not JSON: line 1" },
        { "POST /v1/check", "[]", 400, NULL, NULL, NULL, "not one JSON object" },
        { "POST /v1/check", "{\"model\":\"a\",\"model\":\"b\"}", 400, NULL, NULL, NULL, "duplicate" },
        { "POST /v1/check", "{\"modle\":\"a\"}", 400, "modle", "a", "agent_id, session_id", "mean model?" },
        { "POST /v1/check", "{\"zzzzzzzz\":[1]}", 400, "zzzzzzzz", "[1]", "tags", "unknown field zzzzzzzz" },
        { "POST /v1/check", "{\"model\":7}", 400, "model", "7", "text of 1 to 1024", "model" },
        { "POST /v1/check", "{\"model\":\"\"}", 400, "model", "", "text of 1", "model" },
        { "POST /v1/check", "{\"trigger\":\"crom\"}", 400, "trigger", "crom", "heartbeat", "trigger" },
        { "POST /v1/check", "{\"tags\":[\"a\"]}", 400, "tags", "[\"a\"]", "an object", "tags" },
        { "POST /v1/check", "{\"tags\":{\"a\":1}}", 400, "tags", "{\"a\":1}", "texts", "tags" },
        { "POST /v1/admit", "{\"prompt_tokens\":-1}", 400, "prompt_tokens", "-1", "from 0", "prompt_tokens" },
        { "POST /v1/admit", "{\"max_tokens\":1.5}", 400, "max_tokens", "1.5", "whole number", "max_tokens" },
        { "POST /v1/admit", "{\"max_tokens\":\"9\"}", 400, "max_tokens", "9", "whole number", "max_tokens" },
        { "POST /v1/admit", "{\"ttl\":\"soon\"}", 400, "ttl", "soon", "duration", "ttl" },
        { "POST /v1/admit", "{\"ttl\":0}", 400, "ttl", "0", "duration", "ttl" },
        { "POST /v1/admit", "{\"ttl\":\"1m\",\"ttl_ms\":1}", 400, "ttl_ms", "1", "once", "ttl_ms" },
        { "POST /v1/settle", "{}", 400, "id", "", "text of 1 to 64", "id is missing" },
        { "POST /v1/settle", "{\"id\":null}", 400, "id", "", "text of 1 to 64", "id is missing" },
        { "POST /v1/settle", "{\"id\":\"r\",\"outcome\":\"yes\"}", 400, "outcome", "yes", "not_called",
          "outcome" },
        { "POST /v1/renew", "", 400, "id", "", "text", "id is missing" },
        { "POST /v1/allowances", "{\"budget\":\"b\",\"amount\":0,\"for\":\"1h\",\"reason\":\"r\"}", 400,
          "amount", "0", "above 0", "amount" },
        { "POST /v1/allowances", "{\"budget\":\"b\",\"amount\":1,\"reason\":\"r\"}", 400, "for", "",
          "a duration", "for is missing" },
        { "POST /v1/allowances", "{\"budget\":\"b\",\"amount\":1,\"for\":\"1h\"}", 400, "reason", "", "text",
          "reason is missing" },
        { "POST /v1/pauses", "{\"field\":\"agent\",\"reason\":\"r\"}", 400, "value", "", "text",
          "value is missing" },
        { "POST /v1/pauses", "{\"field\":\"agent\",\"value\":\"\",\"reason\":\"r\"}", 400, "value", "",
          "text of 1", "value" },
        { "POST /v1/pauses", "{\"field\":\"agent\",\"value\":\"a\",\"for\":\"soon\",\"reason\":\"r\"}", 400,
          "for", "soon", "a duration", "for" },
        { "POST /v1/pauses", "{\"field\":\"agent\",\"value\":\"a\",\"delay\":0,\"reason\":\"r\"}", 400,
          "delay", "0", "a duration", "delay" },
        { "PUT /v1/budgets/a", "{\"name\":\"b\"}", 400, "name", "b", "name in the path", "name" },
        { "PUT /v1/budgets/a", "{\"name\":7}", 400, "name", "", "name in the path", "name" },
        { "PUT /v1/budgets/a", "{\"author\":7}", 400, "author", "7", "text of 1 to 200", "author" },
        { "PUT /v1/budgets/a", "x", 400, NULL, NULL, NULL, "not JSON" },
        { "DELETE /v1/budgets/a", "{\"authr\":\"x\"}", 400, "authr", "x", "author", "mean author?" },
        { "DELETE /v1/allowances/x", "", 404, NULL, NULL, NULL, "no such id" },
        { "DELETE /v1/pauses/9999999999999999999", "", 404, NULL, NULL, NULL, "no such id" },
        { "DELETE /v1/pauses/-1", "", 404, NULL, NULL, NULL, "no such id" },
    };

    (void)state;
    answers(200, "{}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *answer = ask(table[i].line, "", table[i].body);
        json_t *problem = json_of(answer);
        if (status_of(answer) != table[i].status || !strstr(answer, "application/problem+json"))
            fail_msg("%s %s: %s", table[i].line, table[i].body, answer);
        assert_int_equal(json_integer_value(json_object_get(problem, "status")), table[i].status);
        expect_text(table[i].line, problem, "field", table[i].field);
        expect_text(table[i].line, problem, "value", table[i].value);
        expect_text(table[i].line, problem, "expected", table[i].expected);
        expect_text(table[i].line, problem, "detail", table[i].detail);
        json_decref(problem);
    }
    assert_int_equal(governor.asked, 0); /* none of them reached it */
}

static void test_bad_parameters_are_named(void **state)
{
    static const struct {
        const char *line, *headers, *parameter, *expected;
    } table[] = {
        { "GET /v1/budgets?cells=0", "", "cells", "1 to 1000" },
        { "GET /v1/budgets?cells=1001", "", "cells", "1 to 1000" },
        { "GET /v1/budgets?limit=1", "", "limit", "cells" },
        { "GET /v1/policies?limit=1", "", "limit", "no parameters" },
        { "GET /v1/reservations?limit=x", "", "limit", "1 to 1000" },
        { "GET /v1/audit?before=-1", "", "before", "id" },
        { "GET /v1/audit?before=", "", "before", "id" },
        { "GET /v1/allowances?all=yes", "", "all", "true or false" },
        { "POST /v1/check?model=m", "", "model", "no parameters" },
        { "PUT /v1/budgets/a?cells=1", "", "cells", "no parameters" },
        { "DELETE /v1/pauses", "", "field", "field and value" },
        { "DELETE /v1/pauses?field=agent", "", "value", "field and value" },
        { "DELETE /v1/pauses?field=agent&value=", "", "value", "text" },
        { "DELETE /v1/pauses?field=agent&value=%ff", "", "value", "UTF-8" },
        { "DELETE /v1/pauses?field=agent&field=user&value=x", "", "field", "once" },
        { "DELETE /v1/budgets/a", "Tollgate-Author: \xff\r\n", "author", "UTF-8" },
    };

    (void)state;
    answers(200, "{}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *answer = ask(table[i].line, table[i].headers, "");
        json_t *problem = json_of(answer);
        if (status_of(answer) != 400)
            fail_msg("%s: %s", table[i].line, answer);
        expect_text(table[i].line, problem, "parameter", table[i].parameter);
        expect_text(table[i].line, problem, "expected", table[i].expected);
        json_decref(problem);
    }
    assert_int_equal(governor.asked, 0);
}

static void test_other_methods_are_refused(void **state)
{
    static const struct {
        const char *path, *allow;
        const char *refused[4];
    } table[] = {
        { "/v1/budgets", "GET, HEAD", { "PUT", "DELETE", "POST", "PATCH" } },
        { "/v1/budgets/a", "GET, HEAD, PUT, DELETE", { "POST", "PATCH", "OPTIONS" } },
        { "/v1/budgets/a/explain", "GET, HEAD", { "PUT", "DELETE", "POST" } },
        { "/v1/check", "POST", { "GET", "HEAD", "PUT", "DELETE" } },
        { "/v1/admit", "POST", { "GET", "HEAD", "PUT", "DELETE" } },
        { "/v1/settle", "POST", { "GET", "HEAD", "PUT", "DELETE" } },
        { "/v1/renew", "POST", { "GET", "HEAD", "PUT", "DELETE" } },
        { "/v1/allowances", "GET, HEAD, POST", { "PUT", "DELETE" } },
        { "/v1/allowances/1", "DELETE", { "GET", "HEAD", "PUT", "POST" } },
        { "/v1/pauses", "GET, HEAD, POST, DELETE", { "PUT" } },
        { "/v1/pauses/1", "DELETE", { "GET", "HEAD", "PUT", "POST" } },
        { "/v1/audit", "GET, HEAD", { "PUT", "DELETE", "POST" } },
    };
    char line[64], allow[64];

    (void)state;
    answers(200, "{}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        for (int m = 0; m < 4 && table[i].refused[m]; m++) {
            snprintf(line, sizeof line, "%s %s", table[i].refused[m], table[i].path);
            snprintf(allow, sizeof allow, "\r\nAllow: %s\r\n", table[i].allow);
            const char *answer = ask(line, "", "");
            if (status_of(answer) != 405 || !strstr(answer, allow))
                fail_msg("%s: %s", line, answer);
        }
    }
    assert_int_equal(governor.asked, 0);
}

/* Every change is guarded as POST is; reading is not. */
static void test_pages_of_other_sites_change_nothing(void **state)
{
    static const struct {
        const char *line;
        int status;
    } table[] = {
        { "GET /v1/budgets", 200 },         { "PUT /v1/budgets/a", 403 },   { "DELETE /v1/budgets/a", 403 },
        { "POST /v1/check", 403 },          { "POST /v1/allowances", 403 }, { "DELETE /v1/pauses/1", 403 },
        { "DELETE /v1/allowances/1", 403 },
    };

    (void)state;
    answers(200, "{}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(status_of(ask(table[i].line, "Origin: http://evil.example\r\n", "{}")),
                         table[i].status);
    assert_int_equal(governor.asked, 1);
}

/* A body that is announced as too long is refused before it comes, whatever the method. */
static void test_a_body_over_the_limit(void **state)
{
    static const char *const lines[] = { "PUT /v1/budgets/a", "DELETE /v1/budgets/a", "POST /v1/check" };
    static char body[HTTP_BODY_MAX + 2];

    (void)state;
    answers(200, "{}");
    memset(body, ' ', sizeof body - 1);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        assert_int_equal(status_of(ask(lines[i], "", body)), 413);
    assert_int_equal(governor.asked, 0);
    body[HTTP_BODY_MAX] = 0;
    memcpy(body, "{}", 2);
    assert_int_equal(status_of(ask(lines[0], "", body)), 200);
}

/* ------------------------------------------------------------------ what is answered */

static void test_problems_pass_through(void **state)
{
    (void)state;
    answers(409,
            "{\"type\":\"about:blank\",\"title\":\"Conflict\",\"status\":409,\"detail\":\"of the file\"}");
    const char *answer = ask("DELETE /v1/budgets/a", "", "");
    assert_int_equal(status_of(answer), 409);
    assert_non_null(strstr(answer, "Content-Type: application/problem+json"));
    assert_non_null(strstr(answer, "\"detail\":\"of the file\""));

    answers(400,
            "{\"field\":\"limit\",\"value\":\"x\",\"expected\":\"an amount\"}"); /* what it lacks is added */
    json_t *problem = json_of(ask("PUT /v1/budgets/a", "", "{}"));
    expect_text("PUT", problem, "type", "about:blank");
    expect_text("PUT", problem, "title", "Bad Request");
    expect_text("PUT", problem, "detail", "limit cannot be understood");
    expect_text("PUT", problem, "expected", "an amount");
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 400);
    json_decref(problem);

    answers(503, "{\"detail\":\"the store cannot write\"}");
    answer = ask("POST /v1/admit", "", "{}");
    assert_int_equal(status_of(answer), 503);
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_non_null(strstr(answer, "cannot write"));

    answers(503, NULL);
    answer = ask("GET /v1/budgets", "", "");
    assert_int_equal(status_of(answer), 503);
    assert_non_null(strstr(answer, "out of memory"));
}

static void test_a_budget_that_is_not_there(void **state)
{
    (void)state;
    answers(200, "{\"now_ms\":1,\"budgets\":[]}");
    assert_int_equal(status_of(ask("GET /v1/budgets", "", "")), 200);
    json_t *problem = json_of(ask("GET /v1/budgets/a", "", ""));
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), 404);
    expect_text("GET", problem, "detail", "no budget of this name");
    json_decref(problem);
}

/* Each route is counted under its own name. */
static void test_routes_are_counted(void **state)
{
    static const struct {
        const char *line, *sample;
    } table[] = {
        { "GET /v1/budgets", "route=\"/v1/budgets\",status=\"200\"" },
        { "GET /v1/budgets/a", "route=\"/v1/budgets/{name}\",status=\"200\"" },
        { "PATCH /v1/budgets/a/explain", "route=\"/v1/budgets/{name}/explain\",status=\"405\"" },
        { "GET /v1/policies", "route=\"/v1/policies\",status=\"200\"" },
        { "POST /v1/check", "route=\"/v1/check\",status=\"200\"" },
        { "POST /v1/admit", "route=\"/v1/admit\",status=\"200\"" },
        { "GET /v1/settle", "route=\"/v1/settle\",status=\"405\"" },
        { "GET /v1/renew", "route=\"/v1/renew\",status=\"405\"" },
        { "GET /v1/reservations", "route=\"/v1/reservations\",status=\"200\"" },
        { "GET /v1/allowances", "route=\"/v1/allowances\",status=\"200\"" },
        { "DELETE /v1/allowances/1", "route=\"/v1/allowances/{id}\",status=\"200\"" },
        { "GET /v1/pauses", "route=\"/v1/pauses\",status=\"200\"" },
        { "DELETE /v1/pauses/1", "route=\"/v1/pauses/{id}\",status=\"200\"" },
        { "GET /v1/audit", "route=\"/v1/audit\",status=\"200\"" },
        { "GET /healthz", "route=\"/healthz\",status=\"200\"" },
        { "GET /readyz", "route=\"/readyz\",status=\"200\"" },
        { "GET /version", "route=\"/version\",status=\"200\"" },
        { "GET /v1/budget", "route=\"other\",status=\"404\"" },
        { "GET /v1/budgets/", "route=\"other\",status=\"404\"" },
        { "GET /v1/allowances/", "route=\"other\",status=\"404\"" },
        { "PATCH /v1/usage", "route=\"/v1/usage\",status=\"405\"" },
        { "PATCH /v1/sessions/x", "route=\"/v1/sessions/{id}\",status=\"405\"" },
        { "PATCH /v1/stream", "route=\"/v1/stream\",status=\"405\"" },
        { "GET /metrics", "route=\"/metrics\",status=\"200\"" },
    };

    (void)state;
    answers(200, "{\"budgets\":[{}]}");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ask(table[i].line, "", "");
    const char *metrics = ask("GET /metrics", "", "");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (!strstr(metrics, table[i].sample))
            fail_msg("%s is not counted", table[i].sample);
    }
}

static void test_without_a_governor(void **state)
{
    static const char *const lines[] = { "GET /v1/budgets", "PUT /v1/budgets/a",
                                         "POST /v1/check",  "DELETE /v1/pauses/1",
                                         "GET /v1/audit",   "GET /v1/budgets/a/explain" };
    struct http_options opt = { .database = db.path };
    struct http_server *s = NULL;
    char error[HTTP_ERROR_BYTES] = "";

    (void)state;
    assert_int_equal(http_start(&opt, error, &s), 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *answer = ask_server(s, lines[i], "", "");
        if (status_of(answer) != 404 || !strstr(answer, "governs nothing"))
            fail_msg("%s: %s", lines[i], answer);
    }
    assert_int_equal(status_of(ask_server(s, "PATCH /v1/budgets", "", "")), 405);
    http_stop(s);
}

static void test_a_token_is_wanted_for_changes(void **state)
{
    struct http_options opt = { .database = db.path,
                                .token = "secret",
                                .hooks = { .arg = &governor, .govern = govern } };
    struct http_server *s = NULL;
    char error[HTTP_ERROR_BYTES] = "";

    (void)state;
    answers(200, "{}");
    assert_int_equal(http_start(&opt, error, &s), 0);
    assert_int_equal(status_of(ask_server(s, "PUT /v1/budgets/a", "", "{}")), 401);
    assert_int_equal(status_of(ask_server(s, "DELETE /v1/pauses/1", "Authorization: Bearer x\r\n", "")), 401);
    assert_int_equal(governor.asked, 0);
    assert_int_equal(status_of(ask_server(s, "PUT /v1/budgets/a", "Authorization: Bearer secret\r\n", "{}")),
                     200);
    assert_int_equal(governor.asked, 1);
    http_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_route_asks_the_governor),
        cmocka_unit_test(test_amounts_are_of_the_budgets_unit),
        cmocka_unit_test(test_bad_input_is_named),
        cmocka_unit_test(test_bad_parameters_are_named),
        cmocka_unit_test(test_other_methods_are_refused),
        cmocka_unit_test(test_pages_of_other_sites_change_nothing),
        cmocka_unit_test(test_a_body_over_the_limit),
        cmocka_unit_test(test_problems_pass_through),
        cmocka_unit_test(test_a_budget_that_is_not_there),
        cmocka_unit_test(test_routes_are_counted),
        cmocka_unit_test(test_without_a_governor),
        cmocka_unit_test(test_a_token_is_wanted_for_changes),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
