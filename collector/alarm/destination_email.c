/* SPDX-License-Identifier: MIT
 *
 * destination_email.c: mail. Addresses are bare: what could end a line or begin another address is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "destination_work.h"

#define ADDRESS_EXPECTED "an address, as ops@example.org"

/* ------------------------------------------------------------------- addresses */

static bool is_address(const char *text)
{
    const char *at = strchr(text, '@');

    return at != NULL && at != text && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
           strlen(text) <= DESTINATION_ADDRESS_MAX && destination_is_printable(text) &&
           strpbrk(text, " <>()[],;:\\\"") == NULL && text[0] != '-' && text[0] != '.';
}

static int read_address(const struct destination_reading *r, const char *key, const json_t *given, char **out)
{
    const char *text = json_string_value(given);

    if (text == NULL || strlen(text) != json_string_length(given) || !is_address(text))
        return destination_shown_fault(r, key, given, ADDRESS_EXPECTED);
    if ((*out = strdup(text)) == NULL)
        return destination_hidden_fault(r, key, "more memory");
    return 0;
}

static int read_to(struct destination_reading *r)
{
    const json_t *given = definition_get(r->receiver, "to");
    size_t count = json_is_array(given) ? json_array_size(given) : 1;

    if (given == NULL || count == 0 || count > DESTINATION_TO_MAX)
        return destination_shown_fault(r, "to", given, "1 to %d addresses, as [ops@example.org]",
                                       DESTINATION_TO_MAX);
    if ((r->d->to = calloc(count, sizeof *r->d->to)) == NULL)
        return destination_hidden_fault(r, "to", "more memory");
    for (size_t i = 0; i < count; i++) {
        if (read_address(r, "to", json_is_array(given) ? json_array_get(given, i) : given, &r->d->to[i]) != 0)
            return -1;
        r->d->tos++;
    }
    return 0;
}

/* ---------------------------------------------------------------------- server */

/* What was given; else required, but on this machine what is offered. */
static int decide_tls(struct destination_reading *r, bool is_plain, bool is_loopback)
{
    const json_t *given = definition_get(r->receiver, "tls");
    const char *text = json_string_value(given);

    if (given != NULL && (text == NULL || (strcmp(text, "required") != 0 && strcmp(text, "none") != 0)))
        return destination_shown_fault(r, "tls", given, "required|none");
    if (text != NULL && strcmp(text, "none") == 0) {
        if (!is_plain)
            return destination_shown_fault(r, "tls", given, "required: smtps:// is always encrypted");
        if (!is_loopback)
            return destination_shown_fault(
                r, "tls", given, "required (none only to a server at localhost, 127.0.0.1 or [::1])");
    }
    r->d->tls = MAIL_TLS_REQUIRED;
    if (text == NULL && is_plain && is_loopback)
        r->d->tls = MAIL_TLS_OFFERED;
    else if (text != NULL && strcmp(text, "none") == 0)
        r->d->tls = MAIL_TLS_NONE;
    return 0;
}

static int read_server(struct destination_reading *r)
{
    static const struct url_rule rule = { "smtp", "smtps", true };
    const json_t *given = definition_get(r->receiver, "server");
    const char *text = json_string_value(given), *expected = "smtp://HOST:587 or smtps://HOST:465";
    bool is_plain = false, is_loopback = false;

    if (text != NULL && strlen(text) == json_string_length(given) && strlen(text) <= DESTINATION_URL_MAX &&
        destination_is_printable(text))
        expected = destination_url_fault(text, &rule, &r->d->host, &is_plain, &is_loopback);
    if (expected != NULL && given == NULL)
        return destination_shown_fault(r, "server", NULL, "%s", expected);
    if (expected != NULL)
        return destination_hidden_fault(r, "server", "%s", expected);
    if ((r->d->server = strdup(text)) == NULL)
        return destination_hidden_fault(r, "server", "more memory");
    return decide_tls(r, is_plain, is_loopback);
}

static int read_login(struct destination_reading *r)
{
    struct destination *d = r->d;

    if (destination_secret(r, "user", DESTINATION_SECRET_MAX, &d->user) != 0 ||
        destination_secret(r, "password", DESTINATION_SECRET_MAX, &d->password) != 0)
        return -1;
    if ((d->user == NULL) != (d->password == NULL))
        return destination_shown_fault(r, d->user == NULL ? "user" : "password", NULL,
                                       "user and password, or neither (here, or in user_env, password_env)");
    return 0;
}

int destination_read_email(struct destination_reading *r)
{
    static const char *const known[] = { "to",       "from",         "server", "user",    "user_env",
                                         "password", "password_env", "tls",    "ca_file", NULL };

    r->d->type = DESTINATION_EMAIL;
    if (destination_receiver_keys(r, known) != 0 || read_to(r) != 0 ||
        read_address(r, "from", definition_get(r->receiver, "from"), &r->d->from) != 0 ||
        read_server(r) != 0 || read_login(r) != 0)
        return -1;
    return destination_ca_file(r);
}
