/* SPDX-License-Identifier: MIT
 *
 * fuzz_destination.c: two JSON documents, one after the other: a destination's definition, and an alert's
 * title, subject and evidence. What is taken prints back to what reads the same and tells no secret; what is
 * refused says why. Whatever the alert says, each body parses, and a mail's header has only its own lines.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/alarm/payload.h"
#include "../../collector/base/event.h"

#define ALERTS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Quiet times end, and everything can be asked. */
static void ask(const struct destination *d, const json_t *subject)
{
    for (int kind = 0; kind < ALERT_KIND_COUNT; kind++)
        destination_wants(d, (enum alert_kind)kind, SEVERITY_CRITICAL, subject);
    for (int64_t now = 1767225600000; now < 1798761600000; now += 7 * 3600000 + 1234567) {
        int64_t opens = destination_opens_ms(d, SEVERITY_WARNING, now);
        must(opens >= now && opens - now < (int64_t)8 * 86400000);
        must(destination_opens_ms(d, SEVERITY_WARNING, opens) == opens);
    }
    json_t *public = destination_public_json(d);
    must(public != NULL);
    json_decref(public);
}

static void told_init(struct told *t, int i, const json_t *alert)
{
    const char *title = json_string_value(json_object_get(alert, "title"));
    json_t *subject = json_object_get(alert, "subject"), *evidence = json_object_get(alert, "evidence");

    *t = (struct told){
        .id = i, .ts_ms = 1795284245000 + i, .last_ms = 1795284245000, .count = i, .ended_ms = UNKNOWN
    };
    t->kind = (enum alert_kind)(i % ALERT_KIND_COUNT);
    t->severity = (enum severity)(2 - i % SEVERITIES);
    t->title = strdup(title != NULL ? title : "");
    t->subject = json_is_object(subject) ? json_incref(subject) : NULL;
    t->evidence = json_is_object(evidence) ? json_incref(evidence) : NULL;
    must(t->title != NULL);
}

static void check_webhook(const struct payload_message *m, const struct destination *d)
{
    size_t len = 0;
    char *text = payload_webhook(m, d, &len);
    json_t *json;

    must(text != NULL && strlen(text) == len);
    json = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    must(json != NULL);
    must(d->template != TEMPLATE_TEAMS || len <= (size_t)20 * 1024);
    must(d->template != TEMPLATE_PAGERDUTY || len <= (size_t)512 * 1000);
    json_decref(json);
    free(text);
}

/* Lines of the header that begin a field. */
static void check_mail(const struct payload_message *m, const struct destination *d)
{
    size_t len = 0, fields = 1;
    char *text = payload_mail(m, d, 1795284245000, &len), *end = strstr(text, "\r\n\r\n");

    must(strlen(text) == len && end != NULL);
    for (char *at = text; at < end; at++) {
        must((*at >= 0x20 && *at < 0x7f) || *at == '\r' || *at == '\n');
        fields += *at == '\n' && at[1] != ' ';
    }
    must(fields == 10);
    free(text);
}

static void tell(const struct destination *d, const json_t *alert)
{
    struct told all[ALERTS];

    for (int i = 0; i < ALERTS; i++)
        told_init(&all[i], i, alert);
    for (size_t count = 1; count <= ALERTS; count += ALERTS - 1) {
        struct payload_message m = { "0123456789abcdef", d->name, "https://x.example", all, count };
        if (d->type == DESTINATION_EMAIL)
            check_mail(&m, d);
        else
            check_webhook(&m, d);
    }
    for (int i = 0; i < ALERTS; i++)
        told_fini(&all[i]);
}

/* Printed back and read again it is the same. */
static void check_definition(const struct destination *d)
{
    json_t *json = destination_json(d);
    struct destination *again;
    struct fault fault;

    must(destination_parse(json, "Europe/Berlin", &again, &fault) == 0);
    must(json_equal(json, again->definition) && strcmp(d->name, again->name) == 0 &&
         d->kinds == again->kinds);
    destination_free(again);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct destination *d = NULL;
    struct fault fault = { "", "", "" };
    json_error_t error;
    json_t *definition, *alert = NULL;

    setenv("FUZZ", "http://localhost/x", 1);
    definition = json_loadb((const char *)data, size, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &error);
    if (definition == NULL)
        return 0;
    if ((size_t)error.position < size)
        alert = json_loadb((const char *)data + error.position, size - (size_t)error.position,
                           JSON_DISABLE_EOF_CHECK, &error);
    if (destination_parse(definition, "Europe/Berlin", &d, &fault) != 0) {
        must(d == NULL && fault.field[0] != '\0' && fault.expected[0] != '\0');
    } else {
        check_definition(d);
        ask(d, json_object_get(alert, "subject"));
        tell(d, alert);
        destination_free(d);
    }
    json_decref(definition);
    json_decref(alert);
    return 0;
}
