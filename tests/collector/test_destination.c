/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alarm/destination.h"
#include "collector/daemon/config.h"
#include "collector/govern/instant.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)

/* ----------------------------------------------------------------------- tools */

/* Single quotes stand for double ones. */
static json_t *json_of(const char *text)
{
    char *copy = strdup(text);
    json_error_t error;
    json_t *json;

    assert_non_null(copy);
    for (char *at = copy; *at != '\0'; at++)
        if (*at == '\'')
            *at = '"';
    json = json_loads(copy, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    free(copy);
    return json;
}

static struct destination *destination_of(const char *text)
{
    struct destination *d = NULL;
    struct fault fault;
    json_t *json = json_of(text);

    if (destination_parse(json, "Asia/Tokyo", &d, &fault) != 0)
        fail_msg("%s: %s: \"%s\" where %s", text, fault.field, fault.value, fault.expected);
    json_decref(json);
    return d;
}

#define HOOK "'webhook': {'url': 'https://h.example/x'}"

/* -------------------------------------------------------------------- receivers */

static void what_is_left_out_is_the_default(void **state)
{
    struct destination *d = destination_of("{'slack': {'url': 'https://hooks.slack.com/services/T/B/x'}}");

    (void)state;
    assert_string_equal(d->name, "slack");
    assert_int_equal((int)d->type, (int)DESTINATION_WEBHOOK);
    assert_int_equal((int)d->template, (int)TEMPLATE_SLACK);
    assert_string_equal(d->url, "https://hooks.slack.com/services/T/B/x");
    assert_string_equal(d->host, "hooks.slack.com");
    assert_int_equal(d->kinds, (1u << ALERT_KIND_COUNT) - 1);
    assert_int_equal((int)d->least, (int)SEVERITY_WARNING);
    assert_int_equal(d->scope.terms, 0);
    assert_null(d->budget);
    assert_false(d->quiet.on);
    assert_int_equal(d->group_ms, 10 * SECOND_MS);
    assert_int_equal(d->give_up_ms, 24 * HOUR_MS);
    assert_int_equal(d->timeout_ms, 10 * SECOND_MS);
    assert_true(d->secret == NULL && d->routing_key == NULL && d->ca_file == NULL);
    assert_int_equal(d->headers + d->tos + d->args, 0);
    destination_free(d);
    destination_free(NULL);
}

static void each_receiver_is_read(void **state)
{
    struct destination *d;

    (void)state;
    setenv("TEST_HOOK_SECRET", "s3cret", 1);
    setenv("TEST_TOKEN", "Bearer t0ken", 1);
    d = destination_of(
        "{'name': 'ops', 'webhook': {'url': 'http://127.0.0.1:9/x?y=1', 'secret_env': 'TEST_HOOK_SECRET',"
        "'headers': {'X-Team': 'core'}, 'headers_env': {'Authorization': 'TEST_TOKEN'},"
        "'ca_file': '/etc/ca.pem'}, 'group': '0s', 'give_up_after': '7d', 'timeout': '1s'}");
    assert_string_equal(d->name, "ops");
    assert_int_equal((int)d->template, (int)TEMPLATE_JSON);
    assert_string_equal(d->secret, "s3cret");
    assert_int_equal(d->headers, 2);
    assert_string_equal(d->header[0], "X-Team: core");
    assert_string_equal(d->header[1], "Authorization: Bearer t0ken");
    assert_string_equal(d->ca_file, "/etc/ca.pem");
    assert_int_equal(d->group_ms, 0);
    assert_int_equal(d->give_up_ms, 7 * 24 * HOUR_MS);
    assert_int_equal(d->timeout_ms, SECOND_MS);
    destination_free(d);

    d = destination_of("{'pagerduty': {'routing_key': 'R0'}}");
    assert_int_equal((int)d->template, (int)TEMPLATE_PAGERDUTY);
    assert_string_equal(d->url, DESTINATION_PAGERDUTY_URL);
    assert_string_equal(d->host, "events.pagerduty.com");
    assert_string_equal(d->routing_key, "R0");
    destination_free(d);

    setenv("TEST_URL", "http://localhost:1/secret-path", 1);
    d = destination_of("{'teams': {'url_env': 'TEST_URL'}}");
    assert_int_equal((int)d->template, (int)TEMPLATE_TEAMS);
    assert_string_equal(d->url, "http://localhost:1/secret-path");
    assert_string_equal(d->host, "localhost");
    destination_free(d);
    d = destination_of("{'discord': {'url': 'http://[::1]:80/'}}");
    assert_int_equal((int)d->template, (int)TEMPLATE_DISCORD);
    destination_free(d);

    setenv("TEST_USER", "u", 1);
    setenv("TEST_PASSWORD", "p", 1);
    d = destination_of(
        "{'email': {'to': ['a@example.org', 'b@example.org'], 'from': 't@example.org', 'server':"
        "'smtp://mail.example.org:587', 'user_env': 'TEST_USER', 'password_env': 'TEST_PASSWORD'}}");
    assert_int_equal((int)d->type, (int)DESTINATION_EMAIL);
    assert_string_equal(d->name, "email");
    assert_int_equal(d->tos, 2);
    assert_string_equal(d->to[1], "b@example.org");
    assert_string_equal(d->from, "t@example.org");
    assert_string_equal(d->server, "smtp://mail.example.org:587");
    assert_string_equal(d->user, "u");
    assert_string_equal(d->password, "p");
    assert_string_equal(d->host, "mail.example.org");
    assert_int_equal((int)d->tls, (int)MAIL_TLS_REQUIRED);
    destination_free(d);

    d = destination_of("{'command': ['/usr/local/bin/page', '--urgent', '', 5]}");
    assert_int_equal((int)d->type, (int)DESTINATION_COMMAND);
    assert_int_equal(d->args, 4);
    assert_string_equal(d->arg[0], "/usr/local/bin/page");
    assert_string_equal(d->arg[3], "5");
    assert_null(d->arg[4]);
    assert_null(d->host);
    destination_free(d);
    d = destination_of("{'command': '/bin/page'}");
    assert_int_equal(d->args, 1);
    destination_free(d);
}

static void mail_is_encrypted_unless_it_stays_here(void **state)
{
    static const struct {
        const char *server, *tls;
        enum mail_tls expected;
    } table[] = {
        { "smtp://mail.example.org:587", NULL, MAIL_TLS_REQUIRED },
        { "smtp://mail.example.org", "required", MAIL_TLS_REQUIRED },
        { "smtps://mail.example.org:465", NULL, MAIL_TLS_REQUIRED },
        { "smtps://localhost", NULL, MAIL_TLS_REQUIRED },
        { "smtp://localhost:25", NULL, MAIL_TLS_OFFERED },
        { "smtp://127.0.0.1:2525/", "none", MAIL_TLS_NONE },
        { "smtp://[::1]:25", "required", MAIL_TLS_REQUIRED },
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(text, sizeof text, "{'email': {'to': 'a@b', 'from': 'c@d', 'server': '%s'%s%s%s}}",
                 table[i].server, table[i].tls != NULL ? ", 'tls': '" : "",
                 table[i].tls != NULL ? table[i].tls : "", table[i].tls != NULL ? "'" : "");
        struct destination *d = destination_of(text);
        if (d->tls != table[i].expected)
            fail_msg("%s", text);
        destination_free(d);
    }
}

/* ----------------------------------------------------------------------- faults */

static const struct {
    const char *text, *field, *value, *expected; /* value NULL: any; expected: a part */
} faults[] = {
    { "[]", "destination", "", "a map" },
    { "{}", "webhook", "", "slack, discord" },
    { "{'name': 'x'}", "webhook", "", "email, command" },
    { "{'name': 'a b', " HOOK "}", "name", "a b", "1 to 64 letters" },
    { "{'name': '', " HOOK "}", "name", "", "1 to 64" },
    { "{'slak': {'url': 'https://x/secret'}}", "slak", "(not shown)", "one of name, webhook" },
    { "{'': 'secret'}", "\"\"", "(not shown)", "one of name" },
    { "{'slack': {'url': 'https://x/y'}, " HOOK "}", "slack", "(not shown)", "webhook already" },
    { "{'slack': 'https://x/secret'}", "slack", "(not shown)", "a map" },
    { "{'slack': {}}", "slack.url", "", "url_env" },
    { "{'slack': {'url': ''}}", "slack.url", NULL, "1 to 2048" },
    { "{'slack': {'url': 5}}", "slack.url", "(not shown)", "a text" },
    { "{'slack': {'secret': 'x'}}", "slack.secret", "(not shown)", "one of url" },
    { "{'slack': {'url': 'http://hooks.slack.com/services/secret'}}", "slack.url", "(not shown)",
      "https://" },
    { "{'slack': {'url': 'http://127.0.0.1.example.org/'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'http://localhost.example.org/'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'http://[::2]/'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'hooks.slack.com/x'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'ftp://localhost/x'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'file:///etc/passwd'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'https://'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'https://x:99999/'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'https://a b/'}}", "slack.url", NULL, "https://" },
    { "{'slack': {'url': 'https://x/\\r\\nHost: y'}}", "slack.url", "(not shown)", "printable" },
    { "{'slack': {'url': 'https://x/\\u00e4'}}", "slack.url", "(not shown)", "printable" },
    { "{'slack': {'url': 'https://user:pw@x/'}}", "slack.url", "(not shown)", "without user" },
    { "{'slack': {'url': 'https://user@x/'}}", "slack.url", "(not shown)", "without user" },
    { "{'slack': {'url': 'http://127.0.0.1@evil.example/'}}", "slack.url", NULL, "without user" },
    { "{'slack': {'url': 'https://x/#f'}}", "slack.url", NULL, "without #" },
    { "{'slack': {'url_env': 'TEST_NOT_SET'}}", "slack.url_env", "TEST_NOT_SET", "that is set" },
    { "{'slack': {'url_env': 'TEST_EMPTY'}}", "slack.url_env", "TEST_EMPTY", "that is set" },
    { "{'slack': {'url_env': 'a=b'}}", "slack.url_env", "a=b", "name of a variable" },
    { "{'slack': {'url_env': 'TEST_PLAIN'}}", "slack.url_env", "(not shown)", "https://" },
    { "{'slack': {'url_env': 'TEST_CRLF'}}", "slack.url_env", "(not shown)", "printable" },
    { "{'slack': {'url': 'https://x', 'url_env': 'TEST_PLAIN'}}", "slack.url_env", NULL, "only one of" },
    { "{'slack': {'url': 'https://x', 'ca_file': 'ca.pem'}}", "slack.ca_file", "ca.pem", "absolute path" },
    { "{'webhook': {'url': 'https://x', 'secret': 'a\\nb'}}", "webhook.secret", "(not shown)", "printable" },
    { "{'webhook': {'url': 'https://x', 'secret_env': 'TEST_NOT_SET'}}", "webhook.secret_env", "TEST_NOT_SET",
      "that is set" },
    { "{'webhook': {'url': 'https://x', 'headers': []}}", "webhook.headers", "(not shown)", "a map" },
    { "{'webhook': {'url': 'https://x', 'headers': {'A b': 'c'}}}", "webhook.headers.A b", "(not shown)",
      "the name of a header" },
    { "{'webhook': {'url': 'https://x', 'headers': {'': 'c'}}}", "webhook.headers.", "(not shown)",
      "the name of a header" },
    { "{'webhook': {'url': 'https://x', 'headers': {'A': 'b\\r\\nC: d'}}}", "webhook.headers.A",
      "(not shown)", "printable" },
    { "{'webhook': {'url': 'https://x', 'headers': {'A\\r\\nB': 'd'}}}", "webhook.headers.A\r\nB",
      "(not shown)", "the name of a header" },
    { "{'webhook': {'url': 'https://x', 'headers': {'A': ''}}}", "webhook.headers.A", NULL, "printable" },
    { "{'webhook': {'url': 'https://x', 'headers': {'A': 7}}}", "webhook.headers.A", NULL, "a text" },
    { "{'webhook': {'url': 'https://x', 'headers': {'a': 'x', 'A': 'y'}}}", "webhook.headers.A", NULL,
      "once" },
    { "{'webhook': {'url': 'https://x', 'headers': {'content-length': '3'}}}",
      "webhook.headers.content-length", NULL, "does not send itself" },
    { "{'webhook': {'url': 'https://x', 'headers': {'X-Tollgate-Signature': '3'}}}",
      "webhook.headers.X-Tollgate-Signature", NULL, "does not send itself" },
    { "{'webhook': {'url': 'https://x', 'headers_env': {'A': 'TEST_NOT_SET'}}}", "webhook.headers_env.A",
      "TEST_NOT_SET", "that is set" },
    { "{'webhook': {'url': 'https://x', 'headers_env': {'A': 'TEST_CRLF'}}}", "webhook.headers_env.A",
      "(not shown)", "printable" },
    { "{'webhook': {'url': 'https://x', 'headers': "
      "{'a':'1','b':'1','c':'1','d':'1','e':'1','f':'1','g':'1','h':'1',"
      "'i':'1','j':'1','k':'1','l':'1','m':'1','n':'1','o':'1','p':'1','q':'1'}}}",
      "webhook.headers", NULL, "at most 16" },
    { "{'pagerduty': {}}", "pagerduty.routing_key", "", "routing_key_env" },
    { "{'pagerduty': {'routing_key_env': 'TEST_NOT_SET'}}", "pagerduty.routing_key_env", "TEST_NOT_SET",
      "set" },
    { "{'pagerduty': {'routing_key': 'x', 'url': 'http://events.example/'}}", "pagerduty.url", NULL,
      "https://" },
    { "{'email': {}}", "email.to", "", "1 to 32 addresses" },
    { "{'email': {'to': []}}", "email.to", "[]", "1 to 32 addresses" },
    { "{'email': {'to': ['a@b', 'x']}}", "email.to", "x", "an address" },
    { "{'email': {'to': 'a@b@c'}}", "email.to", "a@b@c", "an address" },
    { "{'email': {'to': 'A <a@b>'}}", "email.to", "A <a@b>", "an address" },
    { "{'email': {'to': 'a@b,c@d'}}", "email.to", "a@b,c@d", "an address" },
    { "{'email': {'to': 'a@b\\r\\nBcc: c@d'}}", "email.to", NULL, "an address" },
    { "{'email': {'to': 'a@b'}}", "email.from", "", "an address" },
    { "{'email': {'to': 'a@b', 'from': 't@e\\n'}}", "email.from", NULL, "an address" },
    { "{'email': {'to': 'a@b', 'from': 'c@d'}}", "email.server", "", "smtp://HOST:587" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'mail.example.org'}}", "email.server", NULL,
      "smtp://HOST:587" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'https://x'}}", "email.server", NULL,
      "smtps://HOST" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://u:p@x'}}", "email.server", "(not shown)",
      "without user" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://x/y'}}", "email.server", NULL,
      "without a path" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://x', 'tls': 'none'}}", "email.tls", "none",
      "none only to a server at localhost" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtps://localhost', 'tls': 'none'}}", "email.tls",
      "none", "always encrypted" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://x', 'tls': false}}", "email.tls", "false",
      "required|none" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://x', 'user': 'u'}}", "email.password", "",
      "or neither" },
    { "{'email': {'to': 'a@b', 'from': 'c@d', 'server': 'smtp://x', 'password': 'u'}}", "email.user", "",
      "or neither" },
    { "{'command': []}", "command", "(not shown)", "a list" },
    { "{'command': ['page']}", "command", "page", "the absolute path" },
    { "{'command': ['./page']}", "command", "./page", "the absolute path" },
    { "{'command': ['/bin/page', {}]}", "command", "(not shown)", "arguments" },
    { "{'command': {'x': 1}}", "command", "(not shown)", "a list" },
    { "{'command': ['/bin/page', 'a\\u0000b']}", "destination", "", "without NUL" },
    { "{" HOOK ", 'kinds': []}", "kinds", "[]", "at least one" },
    { "{" HOOK ", 'kinds': 'budget'}", "kinds", "budget", "of threshold, overrun, forecast" },
    { "{" HOOK ", 'kinds': {'no': 'test'}}", "kinds", NULL, "{ not:" },
    { "{" HOOK
      ", 'kinds': {'not': ['threshold','overrun','forecast','runaway','unpriced','unknown_usage','silent',"
      "'losses','quarantine','store','policy','test']}}",
      "kinds", NULL, "at least one" },
    { "{" HOOK ", 'severity': 'high'}", "severity", "high", "info|warning|critical" },
    { "{" HOOK ", 'scope': {'agnt': 'x'}}", "scope.agnt", "x", "agent, session" },
    { "{" HOOK ", 'budgets': []}", "budgets", "[]", "1 to 256" },
    { "{" HOOK ", 'budgets': {}}", "budgets", "{}", "a text with *" },
    { "{" HOOK ", 'group': '2h'}", "group", "2h", "from 0s to 1h" },
    { "{" HOOK ", 'group': 5}", "group", "5", "from 0s to 1h" },
    { "{" HOOK ", 'give_up_after': '59s'}", "give_up_after", "59s", "from 1m to" },
    { "{" HOOK ", 'give_up_after': '8d'}", "give_up_after", "8d", "from 1m to" },
    { "{" HOOK ", 'give_up_after': '0s'}", "give_up_after", "0s", "from 1m to" },
    { "{" HOOK ", 'timeout': '500ms'}", "timeout", "500ms", "from 1s to 1m" },
    { "{" HOOK ", 'timeout': '61s'}", "timeout", "61s", "from 1s to 1m" },
    { "{" HOOK ", 'quiet': 'night'}", "quiet", "night", "a map" },
    { "{" HOOK ", 'quiet': {'until': '07:00'}}", "quiet.until", "07:00", "one of from, to" },
    { "{" HOOK ", 'quiet': {'to': '07:00'}}", "quiet.from", "", "a time of day" },
    { "{" HOOK ", 'quiet': {'from': 1320, 'to': '07:00'}}", "quiet.from", "1320", "in quotes" },
    { "{" HOOK ", 'quiet': {'from': '24:00', 'to': '07:00'}}", "quiet.from", "24:00", "a time of day" },
    { "{" HOOK ", 'quiet': {'from': '22:60', 'to': '07:00'}}", "quiet.from", "22:60", "a time of day" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '24:01'}}", "quiet.to", "24:01", "a time of day" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '7:00'}}", "quiet.to", "7:00", "a time of day" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '22:00'}}", "quiet.to", "22:00", "another time" },
    { "{" HOOK ", 'quiet': {'from': '00:00', 'to': '24:00'}}", "quiet.to", "24:00", "severity: critical" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '07:00', 'days': []}}", "quiet.days", "[]", "at least" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '07:00', 'days': ['monday']}}", "quiet.days", "monday",
      "mon" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '07:00', 'timezone': 'Mars'}}", "quiet.timezone", "Mars",
      "a time zone" },
    { "{" HOOK ", 'quiet': {'from': '22:00', 'to': '07:00', 'critical': 'no'}}", "quiet.critical", "no",
      "true" },
};

static void each_fault_is_named(void **state)
{
    (void)state;
    setenv("TEST_EMPTY", "", 1);
    setenv("TEST_PLAIN", "http://hooks.example/secret", 1);
    setenv("TEST_CRLF", "https://x/\r\nA: b", 1);
    unsetenv("TEST_NOT_SET");
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        struct destination *d = NULL;
        struct fault fault = { "", "", "" };
        json_t *json = json_of(faults[i].text);
        if (destination_parse(json, "UTC", &d, &fault) != -1)
            fail_msg("%s was taken", faults[i].text);
        assert_null(d);
        if (strcmp(fault.field, faults[i].field) != 0 || strstr(fault.expected, faults[i].expected) == NULL ||
            (faults[i].value != NULL && strcmp(fault.value, faults[i].value) != 0))
            fail_msg("%s: %s: \"%s\" where %s", faults[i].text, fault.field, fault.value, fault.expected);
        if (strstr(fault.value, "secret") != NULL || strstr(fault.expected, "secret-") != NULL)
            fail_msg("%s: a secret is told", faults[i].text);
        json_decref(json);
    }
}

/* --------------------------------------------------------------------- choosing */

static bool wants(const char *rest, enum alert_kind kind, enum severity severity, const char *subject)
{
    struct destination *d;
    json_t *json = subject != NULL ? json_of(subject) : NULL;
    char text[512];

    snprintf(text, sizeof text, "{" HOOK "%s}", rest);
    d = destination_of(text);
    bool is_wanted = destination_wants(d, kind, severity, json);
    destination_free(d);
    json_decref(json);
    return is_wanted;
}

static void kinds_and_severities_choose(void **state)
{
    (void)state;
    for (int kind = 0; kind < ALERT_KIND_COUNT; kind++) {
        assert_true(wants("", (enum alert_kind)kind, SEVERITY_WARNING, NULL));
        assert_true(wants("", (enum alert_kind)kind, SEVERITY_CRITICAL, "{}"));
        assert_false(wants("", (enum alert_kind)kind, SEVERITY_INFO, "{}"));
        assert_true(wants(", 'severity': 'info'", (enum alert_kind)kind, SEVERITY_INFO, "{}"));
        assert_false(wants(", 'severity': 'critical'", (enum alert_kind)kind, SEVERITY_WARNING, "{}"));
        assert_int_equal(
            wants(", 'kinds': ['runaway', 'store']", (enum alert_kind)kind, SEVERITY_CRITICAL, "{}"),
            kind == (int)ALERT_runaway || kind == (int)ALERT_store);
        assert_int_equal(
            wants(", 'kinds': {'not': 'policy'}", (enum alert_kind)kind, SEVERITY_CRITICAL, "{}"),
            kind != (int)ALERT_policy);
    }
    assert_true(wants(", 'kinds': 'policy'", ALERT_policy, SEVERITY_INFO, "{}")); /* it was asked for */
    assert_false(wants(", 'kinds': {'not': 'test'}", ALERT_policy, SEVERITY_INFO, "{}"));
    assert_false(wants(", 'kinds': 'policy', 'severity': 'warning'", ALERT_policy, SEVERITY_INFO, "{}"));
}

static void scopes_and_budgets_choose(void **state)
{
    static const struct {
        const char *rest, *subject;
        bool expected;
    } table[] = {
        { ", 'scope': {'agent': 'coder*'}", "{'agent': 'coder-7'}", true },
        { ", 'scope': {'agent': 'coder*'}", "{'agent': 'writer'}", false },
        { ", 'scope': {'agent': 'coder*'}", "{'session': 'coder-7'}", false },
        { ", 'scope': {'agent': 'coder*'}", "{'agent': null}", false },
        { ", 'scope': {'agent': 'coder*'}", "{'agent': 7}", false },
        { ", 'scope': {'agent': 'coder*'}", NULL, false },
        { ", 'scope': {'agent': {'not': 'coder*'}}", "{'agent': 'coder'}", false },
        { ", 'scope': {'agent': {'not': 'coder*'}}", "{'agent': 'writer'}", true },
        { ", 'scope': {'agent': {'not': 'coder*'}}", "{'budget': 'daily'}", true },
        { ", 'scope': {'agent': ''}", "{'budget': 'daily'}", true },
        { ", 'scope': {'agent': ''}", "{'agent': 'a'}", false },
        { ", 'scope': {'agent': 'a', 'model': 'm*'}", "{'agent': 'a', 'model': 'm1'}", true },
        { ", 'scope': {'agent': 'a', 'model': 'm*'}", "{'agent': 'a', 'model': 'x'}", false },
        { ", 'scope': {'tag.team': ['red', 'blue']}", "{'tag.team': 'blue'}", true },
        { ", 'scope': {'tag.team': ['red', 'blue']}", "{'tag.tea': 'blue'}", false },
        { ", 'scope': {'root_session': 's1'}", "{'session': 's1'}", true },
        { ", 'scope': {'root_session': 's1'}", "{'session': 's1', 'root_session': 's0'}", false },
        { ", 'budgets': 'daily*'", "{'budget': 'daily-x'}", true },
        { ", 'budgets': 'daily*'", "{'budget': 'weekly'}", false },
        { ", 'budgets': ['weekly', 'daily*']", "{'budget': 'weekly'}", true },
        { ", 'budgets': 'daily*'", "{'agent': 'daily-x'}", false },
        { ", 'budgets': '*'", "{}", false },
        { ", 'budgets': '*'", NULL, false },
        { ", 'budgets': '*', 'scope': {'agent': 'a'}", "{'budget': 'x', 'agent': 'a'}", true },
        { ", 'budgets': '*', 'scope': {'agent': 'a'}", "{'budget': 'x'}", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (wants(table[i].rest, ALERT_threshold, SEVERITY_WARNING, table[i].subject) != table[i].expected)
            fail_msg("%s of %s", table[i].rest, table[i].subject != NULL ? table[i].subject : "nobody");
}

/* ------------------------------------------------------------------------ quiet */

static int64_t at(const char *instant)
{
    int64_t ms = -1;

    if (!instant_parse(instant, &ms))
        fail_msg("%s", instant);
    return ms;
}

/* quiet: the rest of the map. */
static void expect_opens(const char *quiet, enum severity severity, const char *now, const char *opens)
{
    char text[512], told[INSTANT_TEXT];
    struct destination *d;

    snprintf(text, sizeof text, "{" HOOK ", 'quiet': {%s}}", quiet);
    d = destination_of(text);
    int64_t ms = destination_opens_ms(d, severity, at(now));
    destination_free(d);
    instant_text(ms, told);
    if (ms != at(opens))
        fail_msg("quiet %s: at %s it opens at %s, not %s", quiet, now, told, opens);
}

#define NIGHT_BERLIN "'from': '22:00', 'to': '07:00', 'timezone': 'Europe/Berlin'"
#define NIGHT_YORK   "'from': '22:00', 'to': '07:00', 'timezone': 'America/New_York'"

static void quiet_hours_end_by_the_clock(void **state)
{
    static const struct {
        const char *quiet, *now, *opens;
    } table[] = {
        /* a plain day */
        { NIGHT_BERLIN, "2026-11-21T20:59:59.999Z", "2026-11-21T20:59:59.999Z" },
        { NIGHT_BERLIN, "2026-11-21T21:00:00Z", "2026-11-22T06:00:00Z" },
        { NIGHT_BERLIN, "2026-11-22T05:59:59.999Z", "2026-11-22T06:00:00Z" },
        { NIGHT_BERLIN, "2026-11-22T06:00:00Z", "2026-11-22T06:00:00Z" },
        /* no zone: that of the caller, Tokyo */
        { "'from': '22:00', 'to': '07:00'", "2026-11-21T13:00:00Z", "2026-11-21T22:00:00Z" },
        { "'from': '22:00', 'to': '07:00'", "2026-11-21T12:59:00Z", "2026-11-21T12:59:00Z" },
        /* within a day, with minutes */
        { "'from': '12:15', 'to': '13:45', 'timezone': 'UTC'", "2026-11-21T12:15:00Z",
          "2026-11-21T13:45:00Z" },
        { "'from': '12:15', 'to': '13:45', 'timezone': 'UTC'", "2026-11-21T12:14:59Z",
          "2026-11-21T12:14:59Z" },
        { "'from': '12:15', 'to': '13:45', 'timezone': 'UTC'", "2026-11-21T13:45:00Z",
          "2026-11-21T13:45:00Z" },
        { "'from': '12:15', 'to': '24:00', 'timezone': 'UTC'", "2026-11-21T12:30:00Z",
          "2026-11-22T00:00:00Z" },
        { "'from': '01:00', 'to': '00:00', 'timezone': 'UTC'", "2026-11-21T12:30:00Z",
          "2026-11-22T00:00:00Z" },
        /* a zone of quarter hours */
        { "'from': '22:10', 'to': '06:20', 'timezone': 'Asia/Kathmandu'", "2026-11-21T16:25:00Z",
          "2026-11-22T00:35:00Z" },
        /* Berlin, clocks go forward: 29 March 2026, 01:00Z, from 02:00 to 03:00 */
        { NIGHT_BERLIN, "2026-03-28T21:00:00Z", "2026-03-29T05:00:00Z" },
        { NIGHT_BERLIN, "2026-03-29T05:00:00Z", "2026-03-29T05:00:00Z" },
        { NIGHT_BERLIN, "2026-03-29T20:00:00Z", "2026-03-30T05:00:00Z" },
        /* an end that the clock never shows is its change */
        { "'from': '22:00', 'to': '02:30', 'timezone': 'Europe/Berlin'", "2026-03-28T22:00:00Z",
          "2026-03-29T01:00:00Z" },
        /* a beginning that it never shows, too */
        { "'from': '02:30', 'to': '05:00', 'timezone': 'Europe/Berlin'", "2026-03-29T00:59:59Z",
          "2026-03-29T00:59:59Z" },
        { "'from': '02:30', 'to': '05:00', 'timezone': 'Europe/Berlin'", "2026-03-29T01:00:00Z",
          "2026-03-29T03:00:00Z" },
        /* all of it skipped */
        { "'from': '02:10', 'to': '02:50', 'timezone': 'Europe/Berlin'", "2026-03-29T01:00:00Z",
          "2026-03-29T01:00:00Z" },
        /* Berlin, back: 25 October 2026, 01:00Z, from 03:00 to 02:00 */
        { NIGHT_BERLIN, "2026-10-24T20:00:00Z", "2026-10-25T06:00:00Z" },
        { NIGHT_BERLIN, "2026-10-24T19:59:59Z", "2026-10-24T19:59:59Z" },
        { NIGHT_BERLIN, "2026-10-25T20:59:59Z", "2026-10-25T20:59:59Z" },
        { NIGHT_BERLIN, "2026-10-25T21:00:00Z", "2026-10-26T06:00:00Z" },
        /* what the clock shows twice is quiet twice */
        { "'from': '02:00', 'to': '02:30', 'timezone': 'Europe/Berlin'", "2026-10-25T00:10:00Z",
          "2026-10-25T00:30:00Z" },
        { "'from': '02:00', 'to': '02:30', 'timezone': 'Europe/Berlin'", "2026-10-25T00:40:00Z",
          "2026-10-25T00:40:00Z" },
        { "'from': '02:00', 'to': '02:30', 'timezone': 'Europe/Berlin'", "2026-10-25T01:00:00Z",
          "2026-10-25T01:30:00Z" },
        { "'from': '02:00', 'to': '03:00', 'timezone': 'Europe/Berlin'", "2026-10-25T00:00:00Z",
          "2026-10-25T02:00:00Z" },
        /* New York, forward: 8 March 2026, 07:00Z; back: 1 November 2026, 06:00Z */
        { NIGHT_YORK, "2026-03-08T03:00:00Z", "2026-03-08T11:00:00Z" },
        { NIGHT_YORK, "2026-03-08T02:59:59Z", "2026-03-08T02:59:59Z" },
        { NIGHT_YORK, "2026-03-09T02:00:00Z", "2026-03-09T11:00:00Z" },
        { "'from': '22:00', 'to': '02:30', 'timezone': 'America/New_York'", "2026-03-08T06:59:00Z",
          "2026-03-08T07:00:00Z" },
        { NIGHT_YORK, "2026-11-01T02:00:00Z", "2026-11-01T12:00:00Z" },
        { NIGHT_YORK, "2026-11-02T03:00:00Z", "2026-11-02T12:00:00Z" },
        { NIGHT_YORK, "2026-11-02T02:59:59Z", "2026-11-02T02:59:59Z" },
        { "'from': '01:30', 'to': '02:00', 'timezone': 'America/New_York'", "2026-11-01T05:30:00Z",
          "2026-11-01T06:00:00Z" },
        { "'from': '01:30', 'to': '02:00', 'timezone': 'America/New_York'", "2026-11-01T06:30:00Z",
          "2026-11-01T07:00:00Z" },
        /* before 1970 nothing breaks */
        { "'from': '22:00', 'to': '07:00', 'timezone': 'UTC'", "1970-01-01T00:00:00Z",
          "1970-01-01T07:00:00Z" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        expect_opens(table[i].quiet, SEVERITY_WARNING, table[i].now, table[i].opens);
}

#define WEEKEND "'from': '00:00', 'to': '24:00', 'timezone': 'UTC', 'days': ['sat', 'sun']"
#define FRIDAY  "'from': '22:00', 'to': '07:00', 'timezone': 'UTC', 'days': 'fri'"

/* 2026-11-21 is a Saturday. */
static void quiet_days_are_those_on_which_it_begins(void **state)
{
    (void)state;
    expect_opens(WEEKEND, SEVERITY_WARNING, "2026-11-20T23:59:59Z", "2026-11-20T23:59:59Z");
    expect_opens(WEEKEND, SEVERITY_WARNING, "2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z");
    expect_opens(WEEKEND, SEVERITY_INFO, "2026-11-22T23:59:59Z", "2026-11-23T00:00:00Z");
    expect_opens(WEEKEND, SEVERITY_INFO, "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z");
    expect_opens(FRIDAY, SEVERITY_WARNING, "2026-11-20T06:59:00Z",
                 "2026-11-20T06:59:00Z"); /* Thursday's night */
    expect_opens(FRIDAY, SEVERITY_WARNING, "2026-11-20T22:00:00Z", "2026-11-21T07:00:00Z");
    expect_opens(FRIDAY, SEVERITY_WARNING, "2026-11-21T06:59:00Z", "2026-11-21T07:00:00Z");
    expect_opens(FRIDAY, SEVERITY_WARNING, "2026-11-21T22:30:00Z", "2026-11-21T22:30:00Z");
    expect_opens("'from': '00:00', 'to': '24:00', 'timezone': 'Europe/Berlin',"
                 "'days': ['mon', 'tue', 'wed', 'thu', 'fri', 'sat']",
                 SEVERITY_WARNING, "2026-10-18T22:00:00Z", "2026-10-24T22:00:00Z");
}

static void what_is_critical_waits_only_if_it_must(void **state)
{
    struct destination *d = destination_of("{" HOOK "}");

    (void)state;
    assert_int_equal(destination_opens_ms(d, SEVERITY_INFO, 5), 5);
    destination_free(d);
    expect_opens(NIGHT_BERLIN, SEVERITY_CRITICAL, "2026-11-21T21:00:00Z", "2026-11-21T21:00:00Z");
    expect_opens(NIGHT_BERLIN ", 'critical': false", SEVERITY_CRITICAL, "2026-11-21T21:00:00Z",
                 "2026-11-21T21:00:00Z");
    expect_opens(NIGHT_BERLIN ", 'critical': true", SEVERITY_CRITICAL, "2026-11-21T21:00:00Z",
                 "2026-11-22T06:00:00Z");
}

/* ------------------------------------------------------------- what others see */

static void the_public_form_tells_no_secret(void **state)
{
    static const char *const hidden[] = { "path-k", "query-k", "secret-k",  "header-k",
                                          "user-k", "pass-k",  "a@example", "argument-k",
                                          "bin",    "key-k",   "ca-k" };
    static const char *const texts[] = {
        "{'webhook': {'url': 'https://h.example/path-k?query-k', 'secret': 'secret-k', 'headers': "
        "{'X-header-k':"
        "'header-k'}, 'ca_file': '/ca-k'}, 'quiet': {'from': '22:00', 'to': '07:05', 'days': 'sun'},"
        "'kinds': ['silent'], 'budgets': ['b*'], 'scope': {'agent': 'x'}}",
        "{'pagerduty': {'routing_key': 'key-k'}}",
        "{'email': {'to': 'a@example.org', 'from': 'a@example.net', 'server': 'smtp://h.example', 'user': "
        "'user-k',"
        "'password': 'pass-k'}}",
        "{'command': ['/bin/page', 'argument-k']}",
    };
    static const char *const types[] = { "webhook", "pagerduty", "email", "command" };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct destination *d = destination_of(texts[i]);
        json_t *json = destination_public_json(d);
        char *dumped = json_dumps(json, 0);
        assert_non_null(dumped);
        assert_string_equal(json_string_value(json_object_get(json, "type")), types[i]);
        assert_string_equal(json_string_value(json_object_get(json, "name")), types[i]);
        for (size_t k = 0; k < sizeof hidden / sizeof *hidden; k++)
            if (strstr(dumped, hidden[k]) != NULL)
                fail_msg("%s tells %s", dumped, hidden[k]);
        free(dumped);
        json_decref(json);
        destination_free(d);
    }
    struct destination *d = destination_of(texts[0]);
    json_t *json = destination_public_json(d);
    json_t *expected = json_of(
        "{'name': 'webhook', 'type': 'webhook', 'host': 'h.example', 'kinds': ['silent'], 'severity': 'info',"
        "'scope': {'agent': ['x']}, 'budgets': ['b*'], 'quiet': {'from': '22:00', 'to': '07:05', 'timezone':"
        "'Asia/Tokyo', 'days': ['sun'], 'critical': false}, 'group_ms': 10000, 'give_up_ms': 86400000,"
        "'timeout_ms': 10000}");
    json_t *scope = json_object_get(json, "scope");
    if (json_is_string(json_object_get(scope, "agent")))
        json_object_set_new(json_object_get(expected, "scope"), "agent", json_string("x"));
    assert_true(json_equal(json, expected));
    json_decref(json);
    json_decref(expected);
    destination_free(d);
}

/* Owned by the caller. */
static char *printed(const struct config *c)
{
    char *text = NULL;
    size_t len;
    FILE *f = open_memstream(&text, &len);

    assert_non_null(f);
    config_print(c, f);
    fclose(f);
    return text;
}

static int parse(const char *text, struct config *c, char *error)
{
    return config_parse("f.yaml", text, strlen(text), c, error);
}

static void the_configuration_prints_back_what_it_read(void **state)
{
    static const char text[] = "alerts:\n"
                               "  - slack: { url: \"https://hooks.example/a#\" }\n";
    static const char good[] =
        "alerts:\n"
        "  - slack: { url: \"https://hooks.example/a?b: c\" }\n"
        "  - name: ops\n"
        "    webhook: { url: http://localhost:1/x, secret: \"a # b: \\\"c\\\"\", headers: { X-Team: core } "
        "}\n"
        "    kinds: { not: [policy] }\n"
        "    quiet: { from: \"22:00\", to: 07:00, days: [mon, tue], critical: false }\n"
        "    group: 0\n"
        "  - command: [/bin/page, \"007\", 7, \"true\", \"\"]\n"
        "rollups: { zone: Asia/Kathmandu }\n";
    struct config c, again;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    assert_int_equal(parse(text, &c, error), -1);
    assert_string_equal(error,
                        "f.yaml:2: alerts[0]: slack.url: \"(not shown)\" where a URL without # was expected");
    if (parse("alerts:\n  - slack: { url: \"https://hooks.example/a?b:c\" }\n", &c, error) != 0)
        fail_msg("%s", error);
    config_fini(&c);
    assert_int_equal(parse(good, &c, error), -1); /* a blank in a URL */
    char *fine = strdup(good);
    assert_non_null(fine);
    memcpy(strstr(fine, "b: c"), "b:cc", 4);
    if (parse(fine, &c, error) != 0)
        fail_msg("%s", error);
    assert_int_equal(c.destination_count, 3);
    assert_string_equal(c.destinations[1]->secret, "a # b: \"c\"");
    assert_string_equal(zone_name(c.destinations[1]->quiet.zone), "Asia/Kathmandu");
    assert_string_equal(c.destinations[2]->arg[1], "007");
    char *first = printed(&c);
    if (parse(first, &again, error) != 0)
        fail_msg("%s: %s", error, first);
    char *second = printed(&again);
    assert_string_equal(first, second);
    assert_string_equal(again.destinations[1]->secret, "a # b: \"c\"");
    assert_string_equal(again.destinations[0]->url, c.destinations[0]->url);
    assert_string_equal(again.destinations[2]->arg[3], "true");

    struct destination **ran = c.destinations, **wanted = again.destinations;
    config_reload(&c, &again); /* they change places */
    assert_true(c.destinations == wanted && again.destinations == ran);
    config_fini(&c);
    config_fini(&again);
    assert_int_equal(c.destination_count, 0);
    config_fini(&c);
    free(first);
    free(second);
    free(fine);
}

static void two_of_a_name_are_refused(void **state)
{
    static const struct {
        const char *text, *error;
    } table[] = {
        { "alerts:\n  - command: /bin/a\n  - command: /bin/b\n",
          "f.yaml:3: alerts[1]: name: \"command\" where another name than alerts[0] has was expected" },
        { "alerts:\n  - command: /bin/a\n  - name: command\n    slack: {url: https://x}\n",
          "f.yaml:3: alerts[1] command: name: \"command\" where another name than alerts[0] has was "
          "expected" },
        { "alerts: {slack: {}}\n", "f.yaml:1: alerts: a list was expected" },
        { "alerts:\n  - slack:\n      url_env: TEST_NOT_SET\n",
          "f.yaml:3: alerts[0]: slack.url_env: \"TEST_NOT_SET\" where a variable of the environment that is "
          "set"
          " (this one is not) was expected" },
        { "alerts:\n  - webhook:\n      url: https://x\n      headers:\n        Host: x\n",
          "f.yaml:5: alerts[0]: webhook.headers.Host: \"(not shown)\" where the name of a header that "
          "Tollgate does"
          " not send itself (letters, digits, -) was expected" },
        { "prices: [{match: {model: x}, free: true}]\nalerts: [5]\n",
          "f.yaml:2: alerts[0]: destination: \"\" where a map, as { slack: { url_env: SLACK_URL } } was "
          "expected" },
    };
    struct config c;
    char error[CONFIG_ERROR_MAX];

    (void)state;
    unsetenv("TEST_NOT_SET");
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        assert_int_equal(parse(table[i].text, &c, error), -1);
        assert_string_equal(error, table[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_is_the_default),
        cmocka_unit_test(each_receiver_is_read),
        cmocka_unit_test(mail_is_encrypted_unless_it_stays_here),
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(kinds_and_severities_choose),
        cmocka_unit_test(scopes_and_budgets_choose),
        cmocka_unit_test(quiet_hours_end_by_the_clock),
        cmocka_unit_test(quiet_days_are_those_on_which_it_begins),
        cmocka_unit_test(what_is_critical_waits_only_if_it_must),
        cmocka_unit_test(the_public_form_tells_no_secret),
        cmocka_unit_test(the_configuration_prints_back_what_it_read),
        cmocka_unit_test(two_of_a_name_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
