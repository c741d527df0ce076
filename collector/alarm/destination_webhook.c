/* SPDX-License-Identifier: MIT
 *
 * destination_webhook.c: webhook, slack, discord, teams and pagerduty.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "destination_work.h"

/* --------------------------------------------------------------------- address */

/* Without encryption only to this machine: what is sent is worth as much as what it tells of. */
static int read_url(struct destination_reading *r, const char *fallback)
{
    static const struct url_rule rule = { "http", "https", false };
    bool is_env = definition_get(r->receiver, "url_env") != NULL, is_plain, is_loopback;
    const char *key = is_env ? "url_env" : "url", *expected;

    if (destination_secret(r, "url", DESTINATION_URL_MAX, &r->d->url) != 0)
        return -1;
    if (r->d->url == NULL && fallback == NULL)
        return destination_shown_fault(r, "url", NULL, "an https:// URL, here or in url_env");
    if (r->d->url == NULL && (r->d->url = strdup(fallback)) == NULL)
        return destination_hidden_fault(r, "url", "more memory");
    expected = destination_url_fault(r->d->url, &rule, &r->d->host, &is_plain, &is_loopback);
    if (expected != NULL)
        return destination_hidden_fault(r, key, "%s", expected);
    if (is_plain && !is_loopback)
        return destination_hidden_fault(r, key, "https:// (http:// only to localhost, 127.0.0.1 or [::1])");
    return 0;
}

/* --------------------------------------------------------------------- headers */

/* Those that say what the body is, and whose it is. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = { "content-length",    "content-type",
                                        "transfer-encoding", "host",
                                        "connection",        "expect",
                                        "idempotency-key",   "x-hub-signature-256" };

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return true;
    return strncasecmp(name, "x-tollgate-", 11) == 0;
}

static bool is_token(const char *name)
{
    return name[0] != '\0' &&
           name[strspn(name,
                       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")] ==
               '\0';
}

static bool was_given(const struct destination *d, const char *name)
{
    size_t len = strlen(name);

    for (unsigned i = 0; i < d->headers; i++)
        if (strncasecmp(d->header[i], name, len) == 0 && d->header[i][len] == ':')
            return true;
    return false;
}

/* field: "headers.X-Team". */
static int add_header(struct destination_reading *r, const char *field, const char *name, const char *value)
{
    struct destination *d = r->d;
    size_t size = strlen(name) + strlen(value) + 3;
    char *line;

    if (!is_token(name) || is_ours(name))
        return destination_hidden_fault(
            r, field, "the name of a header that Tollgate does not send itself (letters, digits, -)");
    if (size > DESTINATION_HEADER_MAX || value[0] == '\0' || !destination_is_printable(value))
        return destination_hidden_fault(
            r, field, "printable characters (ASCII), with the name at most %d bytes", DESTINATION_HEADER_MAX);
    if (was_given(d, name))
        return destination_hidden_fault(r, field, "each header once");
    if ((line = malloc(size)) == NULL)
        return destination_hidden_fault(r, field, "more memory");
    snprintf(line, size, "%s: %s", name, value);
    d->header[d->headers++] = line;
    return 0;
}

static int read_header(struct destination_reading *r, const char *key, const char *name, const json_t *given)
{
    bool is_env = strcmp(key, "headers_env") == 0;
    const char *value = json_string_value(given);
    char field[sizeof r->fault->field];

    snprintf(field, sizeof field, "%s.%.60s", key, name);
    if (is_env && destination_variable(r, field, given, &value) != 0)
        return -1;
    if (value == NULL || (!is_env && strlen(value) != json_string_length(given)))
        return destination_hidden_fault(r, field, "a text");
    return add_header(r, field, name, value);
}

static int read_headers(struct destination_reading *r, const char *key)
{
    json_t *given = definition_get(r->receiver, key), *value;
    const char *name;

    if (given == NULL)
        return 0;
    if (!json_is_object(given))
        return destination_hidden_fault(r, key, "a map from names to texts");
    if (r->d->header == NULL &&
        (r->d->header = calloc(DESTINATION_HEADERS_MAX, sizeof *r->d->header)) == NULL)
        return destination_hidden_fault(r, key, "more memory");
    if (json_object_size(given) + r->d->headers > DESTINATION_HEADERS_MAX)
        return destination_hidden_fault(r, key, "at most %d headers", DESTINATION_HEADERS_MAX);
    json_object_foreach(given, name, value)
    {
        if (read_header(r, key, name, value) != 0)
            return -1;
    }
    return 0;
}

/* ------------------------------------------------------------------- receivers */

static int read_plain(struct destination_reading *r)
{
    static const char *const known[] = { "url",     "url_env",     "secret",  "secret_env",
                                         "headers", "headers_env", "ca_file", NULL };

    return destination_receiver_keys(r, known) != 0 || read_url(r, NULL) != 0 ||
                   destination_secret(r, "secret", DESTINATION_SECRET_MAX, &r->d->secret) != 0 ||
                   read_headers(r, "headers") != 0 || read_headers(r, "headers_env") != 0
               ? -1
               : 0;
}

static int read_pagerduty(struct destination_reading *r)
{
    static const char *const known[] = {
        "routing_key", "routing_key_env", "url", "url_env", "ca_file", NULL
    };

    if (destination_receiver_keys(r, known) != 0 || read_url(r, DESTINATION_PAGERDUTY_URL) != 0 ||
        destination_secret(r, "routing_key", DESTINATION_SECRET_MAX, &r->d->routing_key) != 0)
        return -1;
    if (r->d->routing_key == NULL)
        return destination_shown_fault(r, "routing_key", NULL,
                                       "the integration's routing key, here or in routing_key_env");
    return 0;
}

static int read_chat(struct destination_reading *r)
{
    static const char *const known[] = { "url", "url_env", "ca_file", NULL };

    return destination_receiver_keys(r, known) != 0 ? -1 : read_url(r, NULL);
}

int destination_read_webhook(struct destination_reading *r)
{
    static const struct {
        const char *type;
        enum template template;
        int (*read)(struct destination_reading *r);
    } known[] = {
        { "webhook", TEMPLATE_JSON, read_plain },
        { "slack", TEMPLATE_SLACK, read_chat },
        { "discord", TEMPLATE_DISCORD, read_chat },
        { "teams", TEMPLATE_TEAMS, read_chat },
        { "pagerduty", TEMPLATE_PAGERDUTY, read_pagerduty },
    };
    size_t i = 0;

    while (strcmp(known[i].type, r->type) != 0)
        i++;
    r->d->type = DESTINATION_WEBHOOK;
    r->d->template = known[i].template;
    return known[i].read(r) != 0 ? -1 : destination_ca_file(r);
}
