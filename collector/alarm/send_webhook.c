/* SPDX-License-Identifier: MIT
 *
 * send_webhook.c: a POST. Its key goes with each attempt, so that a receiver which has taken it can tell the
 * second one from a second message; the signatures are over the body as it is sent. A redirect is not
 * followed: it would lead the alerts, and their signature, wherever the receiver likes.
 */
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "send_work.h"

#define SECRET_LEAST 12 /* bytes: shorter words are names more often than secrets */

static const char content_type[] = "Content-Type: application/json";

/* Ours, which says when, so that nobody can send it again later; and the one that GitHub made common, of the
 * body alone, which what stands at the other end may already know how to check. */
static bool add_signatures(struct attempt *a, const char *secret, int64_t now_s)
{
    char line[200], signature[PAYLOAD_SIGNATURE];

    payload_sign(secret, now_s, a->body, a->len, signature);
    snprintf(line, sizeof line, "X-Tollgate-Signature: t=%lld,%s", (long long)now_s, signature);
    if (!transfer_add(&a->headers, line))
        return false;
    payload_sign(secret, -1, a->body, a->len, signature);
    snprintf(line, sizeof line, "X-Hub-Signature-256: %s", signature);
    return transfer_add(&a->headers, line);
}

static bool add_headers(struct attempt *a, const struct destination *d, const struct payload_message *m,
                        int64_t now_ms)
{
    char line[200];
    bool ok = transfer_add(&a->headers, content_type) &&
              transfer_add(&a->headers, "Expect:"); /* no round trip before a long body */

    snprintf(line, sizeof line, "Idempotency-Key: %s", m->key);
    ok = ok && transfer_add(&a->headers, line) &&
         (d->secret == NULL || add_signatures(a, d->secret, now_ms / 1000));
    for (unsigned i = 0; ok && i < d->headers; i++)
        ok = transfer_add(&a->headers, d->header[i]);
    return ok;
}

/* The empty line after the headers, unless they are those of 100 Continue. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    long status = 0;

    if (line[0] == '\r' || line[0] == '\n') {
        curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
        a->answered = status >= 200;
    }
    return size * n;
}

void webhook_begin(struct attempt *a, const struct destination *d, const struct payload_message *m,
                   int64_t now_ms)
{
    if (!transfer_begin(a, d, d->url, "http,https"))
        return;
    if (!add_headers(a, d, m, now_ms)) {
        attempt_end(a, SEND_FAILED, "no memory");
        return;
    }
    curl_easy_setopt(a->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, a->headers);
    curl_easy_setopt(a->curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(a->curl, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, a->body);
    curl_easy_setopt(a->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->len);
}

/* Who was not let in, or has moved, is let in again by a person, who may need a day; of what else the
 * receiver says it is our fault, nothing changes by waiting. */
static enum send_fate fate_of(long status)
{
    if (status >= 200 && status < 300)
        return SEND_TOLD;
    switch (status) {
    case 408: /* Request Timeout */
    case 425: /* Too Early */
    case 429: /* Too Many Requests */
        return SEND_FAILED;
    case 401:
    case 403:
    case 404:
    case 407: /* Proxy Authentication Required */
    case 410:
        return SEND_HELP;
    default:
        return status >= 500 ? SEND_FAILED : status >= 400 ? SEND_REFUSED : SEND_HELP;
    }
}

/* Whether the answer repeats a word of a text that may be a secret. */
static bool repeats(const struct attempt *a, const char *text)
{
    for (size_t len; *text != '\0'; text += len + (text[len] != '\0')) {
        len = strcspn(text, "/?&= ");
        if (len >= SECRET_LEAST && memmem(a->said, a->said_len, text, len) != NULL)
            return true;
    }
    return false;
}

/* Many servers put what they do not know into their answer: the path, which is all that a Slack hook asks
 * for, or headers. */
static bool gives_away(const struct attempt *a)
{
    const char *url = NULL, *path;

    if (curl_easy_getinfo(a->curl, CURLINFO_EFFECTIVE_URL, &url) != CURLE_OK || url == NULL ||
        (path = strstr(url, "://")) == NULL)
        return true;
    if (repeats(a, path + 3 + strcspn(path + 3, "/?")))
        return true;
    for (const struct curl_slist *h = a->headers; h != NULL; h = h->next)
        if (strcmp(h->data, content_type) != 0 && repeats(a, h->data + strcspn(h->data, ":")))
            return true;
    return false;
}

/* Who has said 200 has taken the message, even if the rest of the answer is too long, never ends or breaks
 * off: to send it again would tell people the same for a day. */
void webhook_judge(struct attempt *a, CURLcode rc)
{
    char said[4 * ANSWER_SHOWN];
    curl_off_t wait_s = 0;
    long status = 0;

    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || (rc != CURLE_OK && !a->answered)) {
        attempt_end(a, transfer_fate(rc), "%s", transfer_error(a, rc));
        return;
    }
    if (fate_of(status) == SEND_TOLD) {
        attempt_end(a, SEND_TOLD, "%s", "");
        return;
    }
    if (curl_easy_getinfo(a->curl, CURLINFO_RETRY_AFTER, &wait_s) == CURLE_OK && wait_s > 0)
        a->result.again_ms = wait_s > 86400 ? 86400 * 1000LL : (int64_t)wait_s * 1000;
    attempt_end(a, fate_of(status), "it answered %ld%s%s%s", status,
                status < 400 ? ", and redirects are not followed" : "", a->said_len > 0 ? ": " : "",
                a->said_len == 0 ? ""
                : gives_away(a)  ? "(with a part of the URL or a header in it: not shown)"
                                 : log_quote(a->said, a->said_len, said, sizeof said));
}
