/* SPDX-License-Identifier: MIT
 *
 * destination_url.c: libcurl, which will send, says what a URL means: nobody can read it in two ways.
 */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "destination_work.h"

static bool is_loopback_host(const char *host)
{
    struct in_addr v4;

    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

/* A part as text; NULL: it has none. For curl_free. */
static char *part(CURLU *url, CURLUPart which)
{
    char *text = NULL;

    return curl_url_get(url, which, &text, 0) == CURLUE_OK ? text : NULL;
}

static bool has(CURLU *url, CURLUPart which)
{
    char *text = part(url, which);

    curl_free(text);
    return text != NULL;
}

static bool has_path(CURLU *url)
{
    char *path = part(url, CURLUPART_PATH);
    bool is_there = path != NULL && strcmp(path, "/") != 0;

    curl_free(path);
    return is_there || has(url, CURLUPART_QUERY);
}

static bool scheme_is(CURLU *url, const char *name)
{
    char *scheme = part(url, CURLUPART_SCHEME);
    bool same = scheme != NULL && strcasecmp(scheme, name) == 0;

    curl_free(scheme);
    return same;
}

static const char *judge(CURLU *url, const char *text, const struct url_rule *rule, bool *is_plain)
{
    *is_plain = scheme_is(url, rule->plain);
    if (!*is_plain && !scheme_is(url, rule->secure))
        return rule->is_server ? "smtp://HOST:587 or smtps://HOST:465" : "an https:// URL";
    if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD) || has(url, CURLUPART_OPTIONS))
        return "a URL without user and password";
    if (strchr(text, '#') != NULL)
        return "a URL without #";
    if (rule->is_server && has_path(url))
        return "a server without a path, as smtp://HOST:587";
    return NULL;
}

const char *destination_url_fault(const char *text, const struct url_rule *rule, char **host, bool *is_plain,
                                  bool *is_loopback)
{
    CURLU *url = curl_url();
    const char *expected;
    char *name = NULL;

    if (url == NULL)
        return "more memory";
    if (strstr(text, "://") == NULL || strchr(text, ' ') != NULL ||
        curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK || (name = part(url, CURLUPART_HOST)) == NULL)
        expected = rule->is_server ? "smtp://HOST:587 or smtps://HOST:465" : "an https:// URL";
    else
        expected = judge(url, text, rule, is_plain);
    if (expected == NULL) {
        *is_loopback = is_loopback_host(name);
        *host = strdup(name);
        expected = *host == NULL ? "more memory" : NULL;
    }
    curl_free(name);
    curl_url_cleanup(url);
    return expected;
}
