/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alarm/payload.h"
#include "collector/base/event.h"

#define LINK "https://tollgate.example/base/"
#define KEY  "0123456789abcdef0123456789abcdef"
#define TS   INT64_C(1795284245000) /* 2026-11-21T18:04:05Z */

#define ZERO_WIDTH "\xe2\x80\x8b"
#define MANY       500

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
    json = json_loads(copy, 0, &error);
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

    if (destination_parse(json, "UTC", &d, &fault) != 0)
        fail_msg("%s: %s: \"%s\" where %s", text, fault.field, fault.value, fault.expected);
    json_decref(json);
    return d;
}

static struct told told_of(int64_t id, enum alert_kind kind, enum severity severity, const char *title)
{
    return (struct told){ .id = id,
                          .ts_ms = TS + id * 1000,
                          .last_ms = TS + id * 1000,
                          .count = 1,
                          .ended_ms = UNKNOWN,
                          .kind = kind,
                          .severity = severity,
                          .title = strdup(title),
                          .subject = json_of("{'budget': 'daily', 'agent': 'coder'}"),
                          .evidence = json_of(
                              "{'budget': 'daily', 'key': null, 'unit': 'usd', 'percent': 80, 'spent':"
                              "4200000000, 'reserved': 0, 'limit': 5000000000, 'calls': 1234,"
                              "'unknown_calls': 0, 'window_start_ms': 1795215600000,"
                              "'window_end_ms': 1795302000000, 'action': 'block', 'shadow': false,"
                              "'timezone': 'Europe/Berlin'}") };
}

static void free_all(struct told *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        told_fini(&all[i]);
}

static struct payload_message message_of(const struct told *all, size_t count)
{
    return (struct payload_message){ KEY, "ops", LINK, all, count };
}

/* The body, parsed again. *size: its bytes; NULL: nobody asks. */
static json_t *body_of(const struct payload_message *m, const char *destination, size_t *size)
{
    struct destination *d = destination_of(destination);
    size_t len = 0;
    char *text = payload_webhook(m, d, &len);
    json_error_t error;
    json_t *json;

    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_true(g_utf8_validate(text, (gssize)len, NULL));
    json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (json == NULL)
        fail_msg("%s: %s", text, error.text);
    if (size != NULL)
        *size = len;
    free(text);
    destination_free(d);
    return json;
}

/* The text at a path as "blocks/0/text/text"; "" if there is none. */
static const char *text_at(const json_t *json, const char *path)
{
    char part[64];

    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        assert_true(len < sizeof part);
        memcpy(part, path, len);
        part[len] = '\0';
        json = json_is_array(json) ? json_array_get(json, (size_t)atoi(part)) : json_object_get(json, part);
        path += len + (path[len] == '/');
    }
    return json_is_string(json) ? json_string_value(json) : "";
}

#define WEBHOOK   "{'webhook': {'url': 'https://h.example/x'}}"
#define SLACK     "{'slack': {'url': 'https://h.example/x'}}"
#define DISCORD   "{'discord': {'url': 'https://h.example/x'}}"
#define TEAMS     "{'teams': {'url': 'https://h.example/x'}}"
#define PAGERDUTY "{'pagerduty': {'routing_key': 'R0UT1NG'}}"
#define EMAIL                                                                                      \
    "{'email': {'to': ['a@example.org', 'b@example.org'], 'from': 'toll@gate.example', 'server': " \
    "'smtp://h.example'}}"

/* What calls people, ends lines, formats, turns directions, and is no UTF-8 at all. */
static const char hostile[] = "<!channel> <@U123> @everyone @here & *b* _i_ ~s~ `c` [x](http://evil.example) "
                              "|| # > \r\nBcc: victim@example.org\r\n\r\n\x1b[31m\x07\x7f \xc2\x85"
                              "\xe2\x80\xae\xe2\x81\xa6 <at>all</at> \"quoted\\\" \xff\xfe\xc3\x28 "
                              "\xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x99\x82 =?UTF-8?B?eA==?= :fire: ";

/* 500 bytes of it, cut anywhere, as whoever makes titles may. */
static void hostile_title(size_t i, char out[ALERT_TITLE_MAX + 1])
{
    for (size_t n = 0; n < ALERT_TITLE_MAX; n++)
        out[n] = hostile[(n + i) % (sizeof hostile - 1)];
    out[ALERT_TITLE_MAX] = '\0';
}

static void make_many(struct told all[MANY])
{
    char title[ALERT_TITLE_MAX + 1], *escaped;

    for (size_t i = 0; i < MANY; i++) {
        hostile_title(i, title);
        all[i] = told_of((int64_t)i + 1, (enum alert_kind)(i % ALERT_KIND_COUNT),
                         i < 100   ? SEVERITY_CRITICAL
                         : i < 300 ? SEVERITY_WARNING
                                   : SEVERITY_INFO,
                         title);
        escaped = g_utf8_make_valid(title, -1);
        json_object_set_new(all[i].subject, "agent", json_string(escaped));
        json_object_set_new(all[i].subject, "source", json_string(escaped));
        json_object_set_new(all[i].evidence, "note", json_string(escaped));
        json_object_set_new(all[i].evidence, escaped, json_integer(7));
        g_free(escaped);
    }
}

/* No text anywhere in it has a control character but \n, and none has what turns directions. */
static void must_be_clean(const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    json_object_foreach((json_t *)json, key, value)
    {
        must_be_clean(value);
    }
    json_array_foreach((json_t *)json, i, value)
    {
        must_be_clean(value);
    }
    if (!json_is_string(json))
        return;
    for (const char *at = json_string_value(json); *at != '\0'; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if ((c < 0x20 && c != '\n') || (c >= 0x7f && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) ||
            (c >= 0x2066 && c <= 0x2069))
            fail_msg("U+%04X in %s", c, json_string_value(json));
    }
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

/* ------------------------------------------------------------------- signature */

/* printf '1763755200.{"a":1}' | openssl dgst -sha256 -hmac s3cret */
static void a_signature_is_what_openssl_makes(void **state)
{
    char out[PAYLOAD_SIGNATURE];

    (void)state;
    payload_sign("s3cret", 1763755200, "{\"a\":1}", 7, out);
    assert_string_equal(out, "sha256=c331414255e70a5bfe6e1573959d0077ecc3d5c644c5822b7f97f9656df20a2c");
    payload_sign("s3cret", -1, "{\"a\":1}", 7, out); /* printf '{"a":1}' | ... */
    assert_string_equal(out, "sha256=5910e62016ef5034272c926c27071992a465c2335cecf41851bda071577f4f6d");
    payload_sign("k", 0, "", 0, out);
    assert_string_equal(out, "sha256=6b4a4b8b3c40f1e8f53a3d36682e5f99f7ad2ac1df1c93dfe336f329167641e7");
    /* the key is longer than a block, and the body is not a text */
    char key[201];
    memset(key, 'k', 200);
    key[200] = '\0';
    payload_sign(key, 5, "a\0b", 3, out);
    assert_string_equal(out, "sha256=3f0c4927ddb8507caee9c0736ea7f718453c01aa107f91f85ca3597710f20ec5");
}

/* ---------------------------------------------------------------------- generic */

static void the_generic_body_holds_everything(void **state)
{
    struct told all[2] = { told_of(7, ALERT_overrun, SEVERITY_CRITICAL, "budget daily: over its limit"),
                           told_of(9, ALERT_unknown_usage, SEVERITY_WARNING, "nobody told") };
    struct payload_message m = message_of(all, 2);
    json_t *json, *expected;

    (void)state;
    all[0].count = 3;
    all[0].ended_ms = TS + 60000;
    json = body_of(&m, WEBHOOK, NULL);
    expected = json_of(
        "{'key': '" KEY
        "', 'destination': 'ops', 'count': 2, 'severity': 'critical', 'alerts': [{'id': 7, 'kind':"
        "'overrun', 'severity': 'critical', 'ts': '2026-11-21T18:04:12.000Z', 'ts_ms': 1795284252000, "
        "'last_ms':"
        "1795284252000, 'count': 3, 'ended_ms': 1795284305000, 'title': 'budget daily: over its limit', "
        "'link':"
        "'https://tollgate.example/base/v1/alerts/7'}, {'id': 9, 'kind': 'unknown_usage', 'severity': "
        "'warning',"
        "'ts': '2026-11-21T18:04:14.000Z', 'ts_ms': 1795284254000, 'last_ms': 1795284254000, 'count': 1,"
        "'ended_ms': null, 'title': 'nobody told', 'link': 'https://tollgate.example/base/v1/alerts/9'}]}");
    for (size_t i = 0; i < 2; i++) {
        json_t *one = json_array_get(json_object_get(expected, "alerts"), i);
        json_object_set(one, "subject", all[i].subject);
        json_object_set(one, "evidence", all[i].evidence);
    }
    if (!json_equal(json, expected))
        fail_msg("%s", json_dumps(json, JSON_INDENT(1)));
    json_decref(json);
    json_decref(expected);
    json_decref(all[1].subject);
    all[1].subject = NULL; /* nobody, and no link */
    m = message_of(all, 1);
    m.link = NULL;
    json = body_of(&m, WEBHOOK, NULL);
    assert_true(json_is_null(json_object_get(json_array_get(json_object_get(json, "alerts"), 0), "link")));
    json_decref(json);
    json = told_json(&all[1], "javascript:<x>");
    assert_true(json_is_null(json_object_get(json, "link")));
    assert_true(json_is_object(json_object_get(json, "subject")));
    json_decref(json);
    free_all(all, 2);
}

static void a_command_reads_the_generic_body(void **state)
{
    struct told all[MANY];
    struct payload_message m = message_of(all, MANY);

    (void)state;
    make_many(all);
    json_t *json = body_of(&m, "{'command': ['/bin/cat']}", NULL);
    assert_int_equal(json_array_size(json_object_get(json, "alerts")), MANY); /* all of them */
    json_decref(json);
    free_all(all, MANY);
}

/* ------------------------------------------------------------------------ slack */

static void slack_is_told_in_blocks(void **state)
{
    struct told one = told_of(7, ALERT_threshold, SEVERITY_WARNING, "budget daily: 80 % reached");
    struct payload_message m = message_of(&one, 1);
    json_t *json = body_of(&m, SLACK, NULL), *blocks = json_object_get(json, "blocks");

    (void)state;
    assert_string_equal(text_at(json, "text"), "WARNING threshold: budget daily: 80 % reached");
    assert_int_equal(json_array_size(blocks), 3);
    assert_string_equal(text_at(blocks, "0/type"), "header");
    assert_string_equal(text_at(blocks, "0/text/type"), "plain_text");
    assert_string_equal(text_at(blocks, "0/text/text"), "WARNING threshold");
    assert_string_equal(text_at(blocks, "1/type"), "section");
    assert_string_equal(text_at(blocks, "1/text/type"), "plain_text");
    assert_string_equal(
        text_at(blocks, "1/text/text"),
        "budget daily: 80 % reached\nagent: coder\npercent: 80 %\nspent: $4.20 of $5.00\n"
        "calls: 1,234\nwindow: 2026-11-21 00:00:00 Europe/Berlin to 2026-11-22 00:00:00 Europe/Berlin"
        "\naction: block");
    assert_string_equal(text_at(blocks, "2/type"), "context");
    assert_string_equal(text_at(blocks, "2/elements/0/type"), "mrkdwn");
    assert_string_equal(text_at(blocks, "2/elements/0/text"),
                        "WARNING threshold | 2026-11-21 19:04:12 Europe/Berlin | "
                        "<https://tollgate.example/base/v1/alerts/7|open>");
    json_decref(json);
    told_fini(&one);
}

static void slack_keeps_its_limits(void **state)
{
    struct told all[MANY];
    struct payload_message m = message_of(all, MANY);
    size_t size;

    (void)state;
    make_many(all);
    json_t *json = body_of(&m, SLACK, &size), *blocks = json_object_get(json, "blocks"), *block;
    size_t i;
    assert_true(json_array_size(blocks) == 1 + 2 * PAYLOAD_SHOWN_MAX + 1);
    assert_string_not_equal(text_at(blocks, "0/text/text"), "");
    assert_non_null(
        strstr(text_at(json, "text"), "500 alerts: 100 critical, 200 warning, 200 info (threshold 42, "));
    assert_true(g_utf8_strlen(text_at(blocks, "0/text/text"), -1) <= 150);
    must_be_clean(json);
    json_array_foreach(blocks, i, block)
    {
        const char *plain = text_at(block, "text/text"), *marked = text_at(block, "elements/0/text");
        assert_true((plain[0] != '\0') != (marked[0] != '\0'));
        assert_true(g_utf8_strlen(plain, -1) <= 3000 && g_utf8_strlen(marked, -1) <= 2000);
        assert_null(strpbrk(plain, "<>"));
        assert_null(strstr(plain, "@everyone"));
        assert_int_equal(count_of(plain, "&"),
                         count_of(plain, "&amp;") + count_of(plain, "&lt;") + count_of(plain, "&gt;"));
        assert_null(strstr(marked, "<!"));
        assert_null(strstr(marked, "<@"));
        if (marked[0] != '\0')
            assert_int_equal(count_of(marked, "<"), 1); /* the link, and nothing of a stranger's */
    }
    assert_string_equal(text_at(blocks, "21/elements/0/text"),
                        "<https://tollgate.example/base/v1/alerts?from=2026-11-21T18:04:06.000Z&amp;to="
                        "2026-11-21T18:12:25.001Z&amp;limit=1000|and 490 more>");
    json_decref(json);
    free_all(all, MANY);
}

/* ---------------------------------------------------------------------- discord */

static void discord_is_told_in_embeds(void **state)
{
    struct told all[2] = { told_of(7, ALERT_overrun, SEVERITY_CRITICAL, "agent coder_a over *limit*"),
                           told_of(8, ALERT_silent, SEVERITY_INFO, "source gate") };
    struct payload_message m = message_of(all, 2);
    json_t *json = body_of(&m, DISCORD, NULL);

    (void)state;
    assert_string_equal(text_at(json, "content"), "2 alerts: 1 critical, 1 info (overrun 1, silent 1)");
    assert_int_equal(json_array_size(json_object_get(json, "embeds")), 2);
    assert_string_equal(text_at(json, "embeds/0/title"), "CRITICAL overrun");
    assert_string_equal(text_at(json, "embeds/0/url"), "https://tollgate.example/base/v1/alerts/7");
    assert_string_equal(text_at(json, "embeds/0/timestamp"), "2026-11-21T18:04:12.000Z");
    assert_ptr_equal(strstr(text_at(json, "embeds/0/description"), "agent coder\\_a over \\*limit\\*\n"),
                     text_at(json, "embeds/0/description"));
    json_t *parse = json_object_get(json_object_get(json, "allowed_mentions"), "parse");
    assert_true(json_is_array(parse) && json_array_size(parse) == 0);
    json_decref(json);
    m = message_of(all, 1);
    json = body_of(&m, DISCORD, NULL);
    assert_string_equal(text_at(json, "content"), "CRITICAL overrun: agent coder\\_a over \\*limit\\*");
    assert_ptr_equal(strstr(text_at(json, "embeds/0/description"), "budget: daily\n"),
                     text_at(json, "embeds/0/description"));
    json_decref(json);
    free_all(all, 2);
}

static void discord_keeps_its_limits(void **state)
{
    static const size_t counts[] = { 1, 2, 9, 10, 11, MANY };
    struct told all[MANY];

    (void)state;
    make_many(all);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct payload_message m = message_of(all, counts[c]);
        json_t *json = body_of(&m, DISCORD, NULL), *embeds = json_object_get(json, "embeds"), *embed;
        glong total = 0;
        size_t i;
        must_be_clean(json);
        assert_int_equal(json_array_size(embeds), counts[c] < 10 ? counts[c] : 10);
        assert_true(g_utf8_strlen(text_at(json, "content"), -1) <= 2000);
        assert_null(strstr(text_at(json, "content"), "@everyone"));
        json_array_foreach(embeds, i, embed)
        {
            const char *text = text_at(embed, "description");
            glong title = g_utf8_strlen(text_at(embed, "title"), -1), length = g_utf8_strlen(text, -1);
            assert_true(title > 0 && title <= 256 && length > 0 && length <= 4096);
            total += title + length;
            assert_null(strstr(text, "@everyone"));
            assert_null(strstr(text, "@here"));
            assert_int_equal(count_of(text, "<"), count_of(text, "\\<"));
            assert_int_equal(count_of(text, "*"), count_of(text, "\\*"));
            assert_int_equal(count_of(text, "`"), count_of(text, "\\`"));
            assert_int_equal(count_of(text, "["), count_of(text, "\\["));
        }
        assert_true(total <= 6000);
        if (counts[c] == MANY)
            assert_non_null(
                strstr(text_at(json, "content"), "\nand 490 more: <https://tollgate.example/base/v1/"));
        json_decref(json);
    }
    free_all(all, MANY);
}

/* ------------------------------------------------------------------------ teams */

static void teams_is_told_in_a_card(void **state)
{
    struct told one = told_of(7, ALERT_forecast, SEVERITY_WARNING, "budget daily **will** pass");
    struct payload_message m = message_of(&one, 1);
    json_t *json = body_of(&m, TEAMS, NULL);
    const char *card = "attachments/0/content/";
    char path[128];

    (void)state;
    assert_string_equal(text_at(json, "type"), "message");
    assert_string_equal(text_at(json, "attachments/0/contentType"),
                        "application/vnd.microsoft.card.adaptive");
#define CARD(rest) (snprintf(path, sizeof path, "%s%s", card, rest), text_at(json, path))
    assert_string_equal(CARD("type"), "AdaptiveCard");
    assert_string_equal(CARD("version"), "1.4");
    assert_string_equal(CARD("body/0/type"), "Container");
    assert_string_equal(CARD("body/0/items/0/type"), "RichTextBlock");
    assert_string_equal(CARD("body/0/items/0/inlines/0/type"), "TextRun");
    assert_string_equal(CARD("body/0/items/0/inlines/0/text"), "WARNING forecast");
    assert_string_equal(CARD("body/0/items/0/inlines/0/color"), "warning");
    assert_string_equal(CARD("body/0/items/1/inlines/0/text"), "budget daily **will** pass");
    assert_non_null(strstr(CARD("body/0/items/2/inlines/0/text"), "spent: $4.20 of $5.00"));
    assert_string_equal(CARD("actions/0/type"), "Action.OpenUrl");
    assert_string_equal(CARD("actions/0/url"), "https://tollgate.example/base/v1/alerts/7");
#undef CARD
    json_decref(json);
    m.link = NULL;
    json = body_of(&m, TEAMS, NULL);
    assert_string_equal(text_at(json, "attachments/0/content/actions/0/url"), "");
    json_decref(json);
    told_fini(&one);
}

/* Markdown is not understood in a TextRun: no other element holds text. */
static void must_have_runs_only(const json_t *json)
{
    const char *key, *type = text_at(json, "type");
    json_t *value;
    size_t i;

    if (json_is_object(json) && json_object_get(json, "text") != NULL)
        assert_string_equal(type, "TextRun");
    assert_string_not_equal(type, "TextBlock");
    assert_string_not_equal(type, "FactSet");
    json_object_foreach((json_t *)json, key, value)
    {
        must_have_runs_only(value);
    }
    json_array_foreach((json_t *)json, i, value)
    {
        must_have_runs_only(value);
    }
}

static void teams_keeps_its_limit(void **state)
{
    static const size_t counts[] = { 1, 10, 11, MANY };
    struct told all[MANY];

    (void)state;
    make_many(all);
    for (size_t i = 0; i < MANY; i++) { /* all of what JSON makes longer */
        char note[151], name[8];
        for (size_t n = 0; n < 150; n++)
            note[n] = n % 2 == 0 ? '"' : '\\';
        note[150] = '\0';
        memset(all[i].title, '"', ALERT_TITLE_MAX);
        json_object_clear(all[i].subject);
        json_object_clear(all[i].evidence);
        for (int k = 0; k < 8; k++) {
            snprintf(name, sizeof name, "note%d", k);
            json_object_set_new(all[i].evidence, name, json_string(note));
        }
    }
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        struct payload_message m = message_of(all, counts[c]);
        size_t size;
        json_t *json = body_of(&m, TEAMS, &size);
        must_be_clean(json);
        must_have_runs_only(json);
        if (size > (size_t)20 * 1024)
            fail_msg("%zu alerts take %zu bytes", counts[c], size);
        if (counts[c] >= 10) { /* those that had no room are counted */
            json_t *body = json_object_get(
                json_object_get(json_array_get(json_object_get(json, "attachments"), 0), "content"), "body");
            size_t shown = 0, i;
            json_t *item;
            char more[64];
            json_array_foreach(body, i, item)
            {
                shown += strcmp(text_at(item, "type"), "Container") == 0;
            }
            assert_true(shown > 0 && shown < 10);
            snprintf(more, sizeof more, "and %zu more", counts[c] - shown);
            assert_string_equal(text_at(json_array_get(body, json_array_size(body) - 1), "inlines/0/text"),
                                more);
        }
        json_decref(json);
    }
    free_all(all, MANY);
}

/* -------------------------------------------------------------------- pagerduty */

static void pagerduty_is_told_one_event(void **state)
{
    static const char *const severities[] = { "info", "warning", "critical" };

    (void)state;
    for (int s = 0; s < SEVERITIES; s++) {
        struct told one =
            told_of(7, ALERT_runaway, (enum severity)s, "session s-42: 121 calls within a minute");
        struct payload_message m = message_of(&one, 1);
        json_t *json = body_of(&m, PAGERDUTY, NULL);
        assert_string_equal(text_at(json, "routing_key"), "R0UT1NG");
        assert_string_equal(text_at(json, "event_action"), "trigger");
        assert_string_equal(text_at(json, "dedup_key"), "tollgate-7");
        assert_string_equal(text_at(json, "payload/severity"), severities[s]);
        assert_non_null(
            strstr(text_at(json, "payload/summary"), " runaway: session s-42: 121 calls within a minute"));
        assert_string_equal(text_at(json, "payload/source"), "coder");
        assert_string_equal(text_at(json, "payload/timestamp"), "2026-11-21T18:04:12.000Z");
        assert_string_equal(text_at(json, "payload/class"), "runaway");
        assert_string_equal(text_at(json, "client_url"), "https://tollgate.example/base/v1/alerts/7");
        assert_string_equal(text_at(json, "links/0/href"), "https://tollgate.example/base/v1/alerts/7");
        assert_string_equal(text_at(json, "payload/custom_details/alerts/0/evidence/unit"), "usd");
        json_decref(json);
        told_fini(&one);
    }
}

static void pagerduty_keeps_its_limits(void **state)
{
    struct told all[MANY];
    struct payload_message m = message_of(all, MANY);
    size_t size;

    (void)state;
    make_many(all);
    json_t *json = body_of(&m, PAGERDUTY, &size),
           *details = json_object_get(json_object_get(json, "payload"), "custom_details");
    assert_true(size <= (size_t)512 * 1000);
    assert_string_equal(text_at(json, "dedup_key"), "tollgate-" KEY);
    assert_true(g_utf8_strlen(text_at(json, "payload/summary"), -1) <= 1024);
    assert_non_null(strstr(text_at(json, "payload/summary"), "500 alerts: 100 critical"));
    assert_int_equal(json_integer_value(json_object_get(details, "count")), MANY);
    size_t told = json_array_size(json_object_get(details, "alerts"));
    char more[64];
    snprintf(more, sizeof more, "and %zu more", MANY - told);
    assert_true(told > 0 && told < MANY);
    assert_string_equal(text_at(details, "more"), more);
    json_decref(json);

    m = message_of(all, 1); /* a title of a stranger's */
    json = body_of(&m, PAGERDUTY, NULL);
    assert_true(g_utf8_strlen(text_at(json, "payload/summary"), -1) <= 1024);
    must_be_clean(json_object_get(json_object_get(json, "payload"), "summary"));
    must_be_clean(json_object_get(json_object_get(json, "payload"), "source"));
    json_decref(json);
    free_all(all, MANY);
}

/* ------------------------------------------------------------------------- mail */

static char *mail_of(const struct payload_message *m, size_t *len)
{
    struct destination *d = destination_of(EMAIL);
    char *text = payload_mail(m, d, TS, len);

    assert_non_null(text);
    assert_int_equal(strlen(text), *len);
    destination_free(d);
    return text;
}

/* The body, decoded. For g_free. */
static char *mail_body(const char *mail)
{
    const char *body = strstr(mail, "\r\n\r\n");
    gsize len;

    assert_non_null(body);
    guchar *bytes = g_base64_decode(body + 4, &len);
    char *text = g_strndup((const char *)bytes, len);
    g_free(bytes);
    return text;
}

static void a_mail_is_one_of_rfc_5322(void **state)
{
    struct told one = told_of(7, ALERT_overrun, SEVERITY_CRITICAL, "budget daily: over its limit");
    struct payload_message m = message_of(&one, 1);
    size_t len;
    char *mail = mail_of(&m, &len), *body = mail_body(mail);
    static const char head[] = "Date: Sat, 21 Nov 2026 18:04:05 +0000\r\n"
                               "From: Tollgate <toll@gate.example>\r\n"
                               "To: a@example.org,\r\n b@example.org\r\n"
                               "Subject: [Tollgate] CRITICAL overrun: budget daily: over its limit\r\n"
                               "Message-ID: <tollgate." KEY "@gate.example>\r\n"
                               "Importance: high\r\n"
                               "Auto-Submitted: auto-generated\r\n"
                               "MIME-Version: 1.0\r\n"
                               "Content-Type: text/plain; charset=utf-8\r\n"
                               "Content-Transfer-Encoding: base64\r\n\r\n";

    (void)state;
    assert_memory_equal(mail, head, sizeof head - 1);
    assert_string_equal(
        body, "CRITICAL overrun: budget daily: over its limit\r\n"
              "    2026-11-21 19:04:12 Europe/Berlin\r\n"
              "    agent: coder\r\n    percent: 80 %\r\n    spent: $4.20 of $5.00\r\n    calls: 1,234\r\n"
              "    window: 2026-11-21 00:00:00 Europe/Berlin to 2026-11-22 00:00:00 Europe/Berlin\r\n"
              "    action: block\r\n"
              "    https://tollgate.example/base/v1/alerts/7\r\n\r\n"
              "-- \r\nTollgate, destination ops\r\n");
    free(mail);
    g_free(body);
    told_fini(&one);
}

static void no_name_gets_into_a_header(void **state)
{
    static const size_t counts[] = { 1, MANY };
    struct told all[MANY];

    (void)state;
    make_many(all);
    for (size_t c = 0; c < 2; c++) {
        struct payload_message m = message_of(all, counts[c]);
        size_t len, line = 0, headers = 0;
        char *mail = mail_of(&m, &len), *body = mail_body(mail);
        const char *end = strstr(mail, "\r\n\r\n");
        for (size_t i = 0; i < len; i++) {
            assert_true(mail[i] == '\r' || mail[i] == '\n' || (mail[i] >= 0x20 && mail[i] < 0x7f));
            assert_int_equal(mail[i] == '\n', i > 0 && mail[i - 1] == '\r');
            line = mail[i] == '\n' ? 0 : line + 1;
            assert_true(line <= 998);
            headers += mail + i < end && mail[i] == '\n' && mail[i + 1] != ' ';
        }
        assert_int_equal(headers, 9); /* those of above, the last ends where the body begins */
        assert_null(strstr(mail, "Bcc"));
        assert_true(g_utf8_validate(body, -1, NULL));
        if (counts[c] == MANY)
            assert_non_null(strstr(body, "and 490 more: https://tollgate.example/base/v1/alerts?from="));
        assert_null(strstr(body, "\nBcc"));
        free(mail);
        g_free(body);
    }
    free_all(all, MANY);
}

/* ------------------------------------------------------------------------ words */

/* What the evidence says, as the section of Slack shows it. */
static void expect_facts(const char *evidence, const char *expected)
{
    struct told one = told_of(7, ALERT_policy, SEVERITY_INFO, "t");
    struct payload_message m = message_of(&one, 1);
    char text[1024];

    json_decref(one.subject);
    json_decref(one.evidence);
    one.subject = json_of("{}");
    one.evidence = json_of(evidence);
    json_t *json = body_of(&m, SLACK, NULL);
    snprintf(text, sizeof text, "t%s", expected);
    assert_string_equal(text_at(json, "blocks/1/text/text"), text);
    json_decref(json);
    told_fini(&one);
}

static void evidence_is_said_in_words(void **state)
{
    (void)state;
    expect_facts("{}", "");
    expect_facts("{'calls': null, 'shadow': false, 'list': [1], 'map': {}, 'note': ''}", "");
    expect_facts("{'spent': 1500000, 'limit': 2000000, 'unit': 'tokens'}",
                 "\nspent: 1,500,000 tokens of 2,000,000 tokens");
    expect_facts("{'limit': 5, 'unit': 'calls'}", "\nlimit: 5 calls");
    expect_facts("{'value': 121, 'limit': 120, 'unit': 'calls within 60 s', 'calls': 121}",
                 "\nvalue: 121 calls within 60 s\nlimit: 120 calls within 60 s\ncalls: 121");
    expect_facts("{'last_heard_ms': 1795284245000, 'silent_ms': 754000, 'expected_within_ms': 300000}",
                 "\nlast heard: 2026-11-21 18:04:05 UTC\nsilent: 12 min 34 s\nexpected within: 5 min");
    expect_facts(
        "{'a_ms': 350, 'b_ms': 93600000, 'c_ms': 0, 'cost_nanousd': 12345678901, 'size_bytes': 4096}",
        "\na: 350 ms\nb: 1 d 2 h\nc: 0 ms\ncost: $12.35\nsize: 4,096 bytes");
    expect_facts("{'rate': 0.25, 'sends_reports': true, 'why': 'a <b>\\n\\tc'}",
                 "\nrate: 0.25\nsends reports: yes\nwhy: a &lt;b&gt;  c");
    expect_facts("{'example_event': 12345, 'projected': 6200000000, 'per_hour': 250000000, 'unit': 'usd', "
                 "'events': 12345}",
                 "\nexample event: 12345\nprojected: $6.20\nper hour: $0.25\nevents: 12,345");
    expect_facts("{'at_ms': 9223372036854775807, 'timezone': 'Nowhere/Land'}",
                 "\nat: 9999-12-31 23:59:59 UTC");
}

static void an_end_and_a_count_are_said(void **state)
{
    struct told one = told_of(0, ALERT_silent, SEVERITY_INFO, "\x01\x02");
    struct payload_message m = message_of(&one, 1);

    (void)state;
    one.count = 12;
    one.last_ms = TS + 60000;
    one.ended_ms = TS + 120000;
    json_object_del(one.evidence, "timezone");
    json_t *json = body_of(&m, SLACK, NULL);
    assert_string_equal(text_at(json, "text"), "INFO silent: (no title)");
    assert_non_null(strstr(text_at(json, "blocks/2/elements/0/text"),
                           "2026-11-21 18:04:05 UTC, 12 times, last 2026-11-21 18:05:05 UTC, over since"
                           " 2026-11-21 18:06:05 UTC"));
    json_decref(json);
    told_fini(&one);
    told_fini(&one); /* twice is fine */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_what_openssl_makes),
        cmocka_unit_test(the_generic_body_holds_everything),
        cmocka_unit_test(a_command_reads_the_generic_body),
        cmocka_unit_test(slack_is_told_in_blocks),
        cmocka_unit_test(slack_keeps_its_limits),
        cmocka_unit_test(discord_is_told_in_embeds),
        cmocka_unit_test(discord_keeps_its_limits),
        cmocka_unit_test(teams_is_told_in_a_card),
        cmocka_unit_test(teams_keeps_its_limit),
        cmocka_unit_test(pagerduty_is_told_one_event),
        cmocka_unit_test(pagerduty_keeps_its_limits),
        cmocka_unit_test(a_mail_is_one_of_rfc_5322),
        cmocka_unit_test(no_name_gets_into_a_header),
        cmocka_unit_test(evidence_is_said_in_words),
        cmocka_unit_test(an_end_and_a_count_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
