/* SPDX-License-Identifier: MIT
 *
 * The command line is no library: the files under test are compiled in here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "collector/cli/human.c"
#include "collector/cli/pen.c"
#include "collector/cli/rows.c"
#include "collector/cli/timeline.c"

/* Of the table only what rows.c asks for. */
void table_add(struct table *t, const char *text)
{
    (void)t;
    (void)text;
}

#define BEGIN 1795251600000 /* 2026-11-21 09:00:00Z */

static const char *const events[] = {
    ("{'kind':'dispatch','ts_ms':1795251603100,'model':'sonnet','prompt_tokens':18200,'completion_tokens':"
     "402,"
     "'total_tokens':18602,'cached_tokens':9000,'latency_ms':3100,'status':'ok','tool_used':'bash','attempt':"
     "1,'cost_nanousd':60630000,'cost_reported_nanousd':1}"),
    ("{'kind':'dispatch','ts_ms':1795251600500,'model':'sonnet','status':'error','error_type':'rate_limit',"
     "'attempt':2}"),
    "{'kind':'message_sent','ts_ms':1795251604000,'outcome':'delivered','surface':'telegram'}",
    "{'kind':'dispatch','ts_ms':1795338000000,'model':'haiku','prompt_tokens':1000,'status':'ok'}",
};
static const char agent[] = "{'session_id':'s-42/sub','first_ms':1795251603100,'duration_ms':12000,'calls':2,"
                            "'errors':1,'tokens':5000,'agent_id':'helper','cost_reported_nanousd':"
                            "2000000000}";

static json_t *parse(const char *text)
{
    char *json = strdup(text);

    for (char *at = json; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *value = json_loads(json, 0, NULL);
    free(json);
    assert_non_null(value);
    return value;
}

static char *print(struct timeline_row *rows, size_t n, struct timeline_style style)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    timeline_print(to, rows, n, BEGIN, &style);
    fclose(to);
    return text;
}

/* All of the above, the sub-agent told after what came at the same moment. */
static size_t rows_make(struct timeline_row rows[5])
{
    for (size_t i = 0; i < 4; i++) {
        json_t *event = parse(events[i]);
        rows[i] = (struct timeline_row){ row_number(event, "ts_ms"), 0, false, event, 0 };
    }
    json_t *session = parse(agent);
    rows[4] = (struct timeline_row){ row_number(session, "first_ms"), 1, true, session, 0 };
    return 5;
}

static void rows_free(struct timeline_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        json_decref((json_t *)(uintptr_t)rows[i].of);
}

static void test_wide(void **state)
{
    static const char want[] =
        "TIME             OFFSET  CALL                  TOKENS             LATENCY  STATUS     TOOL\n"
        "2026-11-21 (UTC)\n"
        "09:00:00.500    +500 ms  sonnet                     -                   -  error      rate_limit  "
        "attempt 2\n"
        "09:00:03.100     +3.1 s  sonnet          18.2 k + 402  ████░░░░     3.1 s  ok         $0.06  bash\n"
        "09:00:03.100     +3.1 s  └ s-42/sub             5.0 k              12.0 s  1 error    2 calls  "
        "helper  $2.00*\n"
        "09:00:04.000     +4.0 s  message_sent                                      delivered  telegram\n"
        "2026-11-22 (UTC)\n"
        "09:00:00.000  +1 d 00 h  haiku              1.0 k + -  █                -  ok\n";
    struct timeline_row rows[5];
    size_t n = rows_make(rows);
    char *text = print(rows, n, (struct timeline_style){ 0, false, true });

    (void)state;
    assert_string_equal(text, want);
    free(text);
    rows_free(rows, n);
}

/* No line is wider than the terminal, and no word is lost. */
static void test_wraps(void **state)
{
    static const char *const words[] = { "rate_limit", "attempt 2", "18.2 k + 402", "bash",
                                         "##..",       "$0.06",     "$2.00*",       "s-42/sub",
                                         "helper",     "telegram",  "haiku" };
    struct timeline_row rows[5];
    size_t n = rows_make(rows);

    (void)state;
    for (unsigned width = 20; width < 120; width++) {
        char *text = print(rows, n, (struct timeline_style){ width, false, false });
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            assert_non_null(strstr(text, words[i]));
        for (char *at = text, *line; (line = strsep(&at, "\n")) != NULL;)
            assert_true(human_width(line) <= width);
        free(text);
    }
    rows_free(rows, n);
}

/* A name longer than the terminal is wide goes on in the next line; control characters do nothing. */
static void test_hostile_names(void **state)
{
    json_t *event = parse("{'kind':'dispatch','ts_ms':1795251600000,'status':'ok'}");
    struct timeline_row row = { BEGIN, 0, false, event, 0 };
    char name[256];

    (void)state;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = 0;
    name[0] = '\033';
    json_object_set_new(event, "model", json_string(name));
    char *text = print(&row, 1, (struct timeline_style){ 40, false, true });
    size_t crosses = 0;
    for (const char *at = text; *at; at++) {
        assert_true(*at != '\033');
        crosses += *at == 'x';
    }
    assert_int_equal(crosses, sizeof name - 2);
    free(text);
    text = print(&row, 1, (struct timeline_style){ 0, true, true });
    assert_non_null(strstr(text, "\033[1mTIME\033[0m"));
    free(text);
    json_decref(event);
}

static void test_nothing(void **state)
{
    (void)state;
    char *text = print(NULL, 0, (struct timeline_style){ 0, false, true });
    assert_non_null(strstr(text, "TIME"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_wraps),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
