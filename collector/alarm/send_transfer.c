/* SPDX-License-Identifier: MIT
 *
 * send_transfer.c: what HTTP and SMTP have in common.
 */
#include <string.h>

#include "../../include/tollgate.h"
#include "send_work.h"

bool transfer_add(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);

    if (more != NULL)
        *list = more;
    return more != NULL;
}

/* Reads so much and no more: what is beyond ends the transfer, whose status is known by then. */
static size_t on_answer(char *at, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    size_t len = size * n, room = sizeof a->said - a->said_len;

    if (a->got + len > ANSWER_MAX)
        return 0;
    a->got += len;
    if (len < room)
        room = len;
    memcpy(a->said + a->said_len, at, room);
    a->said_len += room;
    return len;
}

/* Where $http_proxy does not lead. */
static bool is_here(const char *host)
{
    return host != NULL && (strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                            strcmp(host, "::1") == 0 || strcmp(host, "[::1]") == 0);
}

static bool limit_protocols(CURL *curl, const char *protocols)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, protocols) == CURLE_OK;
#else
    long allowed = strcmp(protocols, "http,https") == 0 ? CURLPROTO_HTTP | CURLPROTO_HTTPS
                                                        : CURLPROTO_SMTP | CURLPROTO_SMTPS;
    return curl_easy_setopt(curl, CURLOPT_PROTOCOLS, allowed) == CURLE_OK;
#endif
}

bool transfer_begin(struct attempt *a, const struct destination *d, const char *url, const char *protocols)
{
    CURL *curl = a->curl = curl_easy_init();

    if (curl == NULL || curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK ||
        !limit_protocols(curl, protocols) ||
        (d->ca_file != NULL && curl_easy_setopt(curl, CURLOPT_CAINFO, d->ca_file) != CURLE_OK) ||
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "tollgate/" TG_VERSION) != CURLE_OK) {
        attempt_end(a, SEND_FAILED, "no memory");
        return false;
    }
    if (is_here(d->host))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_PRIVATE, a);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, a->detail);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)a->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)a->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A name server that does not answer would hold up everybody when the time is over: libcurl waits for the
     * thread that asks it, unless it is told not to. */
    curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
#endif
    return true;
}

enum send_fate transfer_fate(CURLcode rc)
{
    switch (rc) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_NOT_BUILT_IN:
    case CURLE_LOGIN_DENIED:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_PEER_FAILED_VERIFICATION:
        return SEND_HELP;
    default:
        return SEND_FAILED;
    }
}

const char *transfer_error(const struct attempt *a, CURLcode rc)
{
    return a->detail[0] != '\0' ? a->detail : curl_easy_strerror(rc);
}
