/* SPDX-License-Identifier: MIT
 *
 * send_mail.c: an e-mail over SMTP, with TLS unless the destination says that there is none.
 */
#include <stdio.h>
#include <string.h>

#include "send_work.h"

static size_t read_body(char *to, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    size_t len = a->len - a->sent;

    if (len > size * n)
        len = size * n;
    memcpy(to, a->body + a->sent, len);
    a->sent += len;
    return len;
}

static bool set_people(struct attempt *a, const struct destination *d)
{
    bool ok = curl_easy_setopt(a->curl, CURLOPT_MAIL_FROM, d->from) == CURLE_OK;

    for (unsigned i = 0; ok && i < d->tos; i++)
        ok = transfer_add(&a->to, d->to[i]);
    if (ok && d->user != NULL)
        ok = curl_easy_setopt(a->curl, CURLOPT_USERNAME, d->user) == CURLE_OK &&
             curl_easy_setopt(a->curl, CURLOPT_PASSWORD, d->password != NULL ? d->password : "") == CURLE_OK;
    return ok;
}

/* A server on this machine has the certificate that its package made, which nobody trusts, and nobody is in
 * between; some take a password with STARTTLS only. */
static void set_encryption(struct attempt *a, const struct destination *d)
{
    static const long use[] = { [MAIL_TLS_NONE] = CURLUSESSL_NONE,
                                [MAIL_TLS_OFFERED] = CURLUSESSL_TRY,
                                [MAIL_TLS_REQUIRED] = CURLUSESSL_ALL };

    curl_easy_setopt(a->curl, CURLOPT_USE_SSL, use[d->tls]);
    if (d->tls == MAIL_TLS_OFFERED && d->ca_file == NULL) {
        curl_easy_setopt(a->curl, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(a->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

void mail_begin(struct attempt *a, const struct destination *d)
{
    a->mail = true;
    if (!transfer_begin(a, d, d->server, "smtp,smtps"))
        return;
    if (!set_people(a, d)) {
        attempt_end(a, SEND_FAILED, "no memory");
        return;
    }
    set_encryption(a, d);
    curl_easy_setopt(a->curl, CURLOPT_MAIL_RCPT, a->to);
    /* One address that is wrong keeps nobody else from hearing. */
    curl_easy_setopt(a->curl, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    curl_easy_setopt(a->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(a->curl, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(a->curl, CURLOPT_READDATA, a);
    curl_easy_setopt(a->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)a->len);
    curl_easy_setopt(a->curl, CURLOPT_FORBID_REUSE, 1L); /* servers hang up on who stays without a word */
}

/* What a server refuses for good (5yz), it refuses because of who asks and whom it is for, which a person
 * mends; but of 552 and 554, which are about what was sent. */
void mail_judge(struct attempt *a, CURLcode rc)
{
    enum send_fate fate = transfer_fate(rc);
    long reply = 0;

    if (rc == CURLE_OK) {
        attempt_end(a, SEND_TOLD, "%s", "");
        return;
    }
    curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &reply);
    if (reply == 552 || reply == 554)
        fate = SEND_REFUSED;
    else if (reply >= 500)
        fate = SEND_HELP;
    if (reply >= 400)
        attempt_end(a, fate, "%s (it answered %ld)", transfer_error(a, rc), reply);
    else
        attempt_end(a, fate, "%s", transfer_error(a, rc));
}
