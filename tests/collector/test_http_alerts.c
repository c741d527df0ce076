/* SPDX-License-Identifier: MIT
 *
 * POST /v1/alerts/test: what the notifier is asked, and that its answer is given as it is. The notifier is a
 * hook that writes down what it was asked.
 */
#include "query_db.h"

#include "http_ask.h"

static struct db db;
static struct http_server *server;

static struct {
    char destination[80]; /* "-": each */
    int asked, status;
    const char *answer; /* NULL: no memory */
} notifier;

static int test_alert(void *arg, const char *destination, json_t **answer)
{
    assert_ptr_equal(arg, &notifier);
    pthread_mutex_lock(&hook_lock);
    snprintf(notifier.destination, sizeof notifier.destination, "%s", destination ? destination : "-");
    notifier.asked++;
    *answer = notifier.answer ? json_loads(notifier.answer, 0, NULL) : NULL;
    int status = notifier.status;
    pthread_mutex_unlock(&hook_lock);
    return status;
}

static int start_with(struct http_hooks hooks)
{
    struct http_options opt = { .database = db.path, .hooks = hooks };
    char error[HTTP_ERROR_BYTES] = "";

    if (http_start(&opt, error, &server) != 0)
        fail_msg("%s", error);
    return 0;
}

static int start(void **state)
{
    (void)state;
    db_open(&db, 1);
    return start_with((struct http_hooks){ .arg = &notifier, .alert_test = test_alert });
}

static int stop(void **state)
{
    (void)state;
    http_stop(server);
    db_close(&db);
    return 0;
}

static void answers(int status, const char *json)
{
    notifier.status = status;
    notifier.answer = json;
    notifier.asked = 0;
}

static const char *ask(const char *body)
{
    return ask_server(server, "POST /v1/alerts/test", "", body);
}

#define RESULT \
    "{\"results\":[{\"destination\":\"a\",\"type\":\"email\",\"ok\":false,\"ms\":7,\"error\":\"x\"}]}"

static void test_asks_and_gives_the_answer(void **state)
{
    static const char *const table[][2] = { { "", "-" },
                                            { "{}", "-" },
                                            { "{\"destination\":null}", "-" },
                                            { "{\"destination\":\"slack\"}", "slack" } };
    json_t *expected = json_loads(RESULT, 0, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        answers(200, RESULT);
        const char *answer = ask(table[i][0]);
        assert_int_equal(status_of(answer), 200);
        json_t *got = json_of(answer);
        assert_true(json_equal(got, expected));
        json_decref(got);
        assert_int_equal(notifier.asked, 1);
        assert_string_equal(notifier.destination, table[i][1]);
    }
    json_decref(expected);
}

static void test_bad_input_is_named(void **state)
{
    static const char *const table[][2] = { { "{\"destination\":5}", "\"field\":\"destination\"" },
                                            { "{\"destination\":\"\"}", "\"field\":\"destination\"" },
                                            { "{\"destinaton\":\"x\"}", "did you mean destination?" },
                                            { "[]", "400" },
                                            { "{", "JSON" } };
    char body[200], name[80];

    (void)state;
    answers(200, RESULT);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *answer = ask(table[i][0]);
        if (status_of(answer) != 400 || !strstr(answer, table[i][1]))
            fail_msg("%s: %s", table[i][0], answer);
    }
    memset(name, 'x', 65);
    name[65] = 0;
    snprintf(body, sizeof body, "{\"destination\":\"%s\"}", name);
    assert_int_equal(status_of(ask(body)), 400);
    assert_int_equal(notifier.asked, 0);
    snprintf(body, sizeof body, "{\"destination\":\"%s\"}", name + 1);
    assert_int_equal(status_of(ask(body)), 200);
}

static void test_problems_pass_through(void **state)
{
    (void)state;
    answers(404, "{\"detail\":\"there is no destination of this name\"}");
    const char *answer = ask("{\"destination\":\"x\"}");
    assert_int_equal(status_of(answer), 404);
    assert_non_null(strstr(answer, "application/problem+json"));
    assert_non_null(strstr(answer, "there is no destination of this name"));
    answers(200, NULL);
    assert_int_equal(status_of(ask("{}")), 503);
}

static void test_without_a_notifier(void **state)
{
    (void)state;
    http_stop(server);
    start_with((struct http_hooks){ .arg = &notifier });
    const char *answer = ask("{}");
    assert_int_equal(status_of(answer), 404);
    assert_non_null(strstr(answer, "tells nobody"));
    assert_int_equal(status_of(ask_server(server, "GET /v1/alerts/test", "", "")), 405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asks_and_gives_the_answer),
        cmocka_unit_test(test_bad_input_is_named),
        cmocka_unit_test(test_problems_pass_through),
        cmocka_unit_test(test_without_a_notifier),
    };

    return cmocka_run_group_tests_name("http alerts", tests, start, stop);
}
