/* SPDX-License-Identifier: MIT
 *
 * send_mail.c: an e-mail over SMTP, with TLS unless the destination says that there is none. For the reply to
 * the message itself libcurl waits in its thread: a server that is slow to take a mail holds up the others so
 * long, at most for twice the destination's timeout.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* ----------------------------------------------------------------------- the end */

static void exchange(struct attempt *a, int is, int becomes)
{
    for (int i = 0; i < MAIL_SOCKETS; i++) {
        if (a->socket[i] != is)
            continue;
        a->socket[i] = becomes;
        return;
    }
}

static curl_socket_t open_socket(void *arg, curlsocktype what, struct curl_sockaddr *at)
{
    int fd = socket(at->family, at->socktype | SOCK_CLOEXEC, at->protocol);

    (void)what;
    exchange(arg, -1, fd);
    return fd >= 0 ? fd : CURL_SOCKET_BAD;
}

static int close_socket(void *arg, curl_socket_t fd)
{
    exchange(arg, fd, -1);
    return close(fd);
}

/* Whether libcurl says QUIT after this reply: that to the message, or that nobody gets in. */
static bool is_last(const struct attempt *a, const char *line, size_t len)
{
    static const char *const ends[] = { "421 ", "530 ", "535 ", "554 " };

    if (len < 4 || line[3] != ' ')
        return false;
    if (a->sent == a->len)
        return true;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (memcmp(line, ends[i], 4) == 0)
            return true;
    return false;
}

/* Libcurl waits for what the server says to QUIT, and everybody else waits with it: it says QUIT, and finds
 * the end instead of an answer. A server that does not stop to talk is hung up on. */
static size_t on_reply(char *line, size_t size, size_t n, void *arg)
{
    struct attempt *a = arg;
    bool last = is_last(a, line, size * n);

    a->got += size * n;
    for (int i = 0; i < MAIL_SOCKETS && (last || a->got > ANSWER_MAX); i++)
        if (a->socket[i] >= 0)
            shutdown(a->socket[i], last ? SHUT_RD : SHUT_RDWR);
    return size * n;
}

static void end_without_waiting(struct attempt *a)
{
    for (int i = 0; i < MAIL_SOCKETS; i++)
        a->socket[i] = -1;
    curl_easy_setopt(a->curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(a->curl, CURLOPT_OPENSOCKETDATA, a);
    curl_easy_setopt(a->curl, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(a->curl, CURLOPT_CLOSESOCKETDATA, a);
    curl_easy_setopt(a->curl, CURLOPT_HEADERFUNCTION, on_reply);
    curl_easy_setopt(a->curl, CURLOPT_HEADERDATA, a);
    curl_easy_setopt(a->curl, CURLOPT_FORBID_REUSE, 1L); /* servers hang up on who stays without a word */
    /* After other refusals it waits so long, and not two minutes. Longer than an attempt: it says no QUIT
     * when its time is over. */
    curl_easy_setopt(a->curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(a->timeout_ms / 1000 + 1));
}

/* ----------------------------------------------------------------------- an attempt */

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
    end_without_waiting(a);
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
