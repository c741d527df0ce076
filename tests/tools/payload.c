/* SPDX-License-Identifier: MIT
 *
 * payload: what a destination would be sent. Reads {"destination": DEFINITION, "key", "link", "now_ms",
 * "alerts": [{"id", "ts_ms", "count", "kind", "severity", "title", "subject", "evidence"}]}, writes the body,
 * or the mail. With a secret a last line follows: its signature at now_ms.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collector/alarm/payload.h"
#include "collector/base/event.h"

static int64_t number(const json_t *object, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(object, key));
}

static const char *text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s != NULL ? s : "";
}

static bool told_init(struct told *t, const json_t *alert)
{
    int kind = alert_kind_code(text(alert, "kind")), severity = severity_code(text(alert, "severity"));

    *t = (struct told){ .id = number(alert, "id"),
                        .ts_ms = number(alert, "ts_ms"),
                        .last_ms = number(alert, "ts_ms"),
                        .count = number(alert, "count"),
                        .ended_ms = UNKNOWN,
                        .kind = (enum alert_kind)kind,
                        .severity = (enum severity)severity,
                        .title = strdup(text(alert, "title")),
                        .subject = json_incref(json_object_get(alert, "subject")),
                        .evidence = json_incref(json_object_get(alert, "evidence")) };
    return kind >= 0 && severity >= 0 && t->title != NULL;
}

static int write_payload(const json_t *input, const struct destination *d, const struct payload_message *m)
{
    char signature[PAYLOAD_SIGNATURE];
    int64_t now_ms = number(input, "now_ms");
    size_t len = 0;
    char *body =
        d->type == DESTINATION_EMAIL ? payload_mail(m, d, now_ms, &len) : payload_webhook(m, d, &len);

    if (body == NULL)
        return 1;
    fwrite(body, 1, len, stdout);
    if (d->secret != NULL) {
        payload_sign(d->secret, now_ms / 1000, body, len, signature);
        printf("\n%s", signature);
    }
    free(body);
    return 0;
}

static int tell(const json_t *input, const struct destination *d)
{
    const json_t *alerts = json_object_get(input, "alerts");
    size_t count = json_array_size(alerts);
    struct told *all = calloc(count + 1, sizeof *all);
    struct payload_message m = { text(input, "key"), d->name, text(input, "link"), all, count };
    int rc = 1;

    for (size_t i = 0; all != NULL && i < count; i++)
        if (!told_init(&all[i], json_array_get(alerts, i)))
            count = 0;
    if (all != NULL && count > 0)
        rc = write_payload(input, d, &m);
    for (size_t i = 0; i < count; i++)
        told_fini(&all[i]);
    free(all);
    return rc;
}

int main(void)
{
    json_error_t error;
    json_t *input = json_loadf(stdin, 0, &error);
    struct destination *d;
    struct fault fault;

    if (input == NULL || destination_parse(json_object_get(input, "destination"), "UTC", &d, &fault) != 0) {
        fprintf(stderr, "payload: %s\n", input == NULL ? error.text : fault.expected);
        return 1;
    }
    int rc = tell(input, d);
    destination_free(d);
    json_decref(input);
    return rc;
}
