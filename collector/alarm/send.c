/* SPDX-License-Identifier: MIT
 *
 * send.c: libcurl's multi interface carries what goes over the network; commands are processes whose files
 * are polled beside.
 */
#include "send.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/utf8.h"
#include "send_work.h"

#define CONNECTIONS_KEPT 16

struct sender {
    CURLM *multi;                               /* owned */
    struct attempt *attempt[SEND_ATTEMPTS_MAX]; /* owned */
    size_t count;
    struct curl_waitfd files[1 + 2 * SEND_ATTEMPTS_MAX];
};

int sender_new(struct sender **out)
{
    struct sender *s = calloc(1, sizeof *s);

    if (s == NULL || (s->multi = curl_multi_init()) == NULL) {
        free(s);
        return -1;
    }
    curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    *out = s;
    return 0;
}

static void attempt_free(struct sender *s, struct attempt *a)
{
    if (a->pid > 0)
        command_kill(a);
    if (a->curl != NULL)
        curl_multi_remove_handle(s->multi, a->curl);
    curl_easy_cleanup(a->curl);
    curl_slist_free_all(a->headers);
    curl_slist_free_all(a->to);
    free(a->body);
    free(a);
}

void sender_free(struct sender *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++)
        attempt_free(s, s->attempt[i]);
    curl_multi_cleanup(s->multi);
    free(s);
}

/* One line of UTF-8, whatever a receiver, or a library, has said. */
static void copy_line(const char *from, char to[SEND_ERROR_MAX])
{
    size_t len = strlen(from);
    bool valid = utf8_valid((const uint8_t *)from, len);

    len = utf8_cut(from, len, SEND_ERROR_MAX - 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)from[i];
        to[i] = (char)(c < 0x20 || c == 0x7f ? ' ' : c >= 0x80 && !valid ? '?' : c);
    }
    to[len] = '\0';
}

void attempt_end(struct attempt *a, enum send_fate fate, const char *fmt, ...)
{
    char line[2 * SEND_ERROR_MAX];
    va_list args;

    if (a->ended)
        return;
    a->ended = true;
    a->result.fate = fate;
    a->result.took_ms = (mono_us() - a->began_us) / 1000;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    copy_line(line, a->result.error);
}

/* ----------------------------------------------------------------- beginning */

static bool write_body(struct attempt *a, const struct destination *d, const struct payload_message *m,
                       int64_t now_ms)
{
    a->body =
        d->type == DESTINATION_EMAIL ? payload_mail(m, d, now_ms, &a->len) : payload_webhook(m, d, &a->len);
    return a->body != NULL;
}

static void begin(struct attempt *a, const struct destination *d, const struct payload_message *m,
                  int64_t now_ms)
{
    switch (d->type) {
    case DESTINATION_WEBHOOK:
        webhook_begin(a, d, m, now_ms);
        return;
    case DESTINATION_EMAIL:
        mail_begin(a, d);
        return;
    case DESTINATION_COMMAND:
        command_begin(a, d, m);
        return;
    }
}

struct attempt *sender_start(struct sender *s, const struct destination *d, const struct payload_message *m,
                             int64_t now_ms, struct send_owner *owner)
{
    struct attempt *a = s->count < SEND_ATTEMPTS_MAX ? calloc(1, sizeof *a) : NULL;

    if (a == NULL)
        return NULL;
    *a = (struct attempt){ .owner = owner,
                           .result = { .again_ms = UNKNOWN },
                           .began_us = mono_us(),
                           .timeout_ms = d->timeout_ms,
                           .pidfd = -1,
                           .complaints = -1 };
    if (!write_body(a, d, m, now_ms)) {
        attempt_free(s, a);
        return NULL;
    }
    begin(a, d, m, now_ms);
    if (!a->ended && a->curl != NULL && curl_multi_add_handle(s->multi, a->curl) != CURLM_OK)
        attempt_end(a, SEND_FAILED, "no memory");
    s->attempt[s->count++] = a;
    return a;
}

/* ------------------------------------------------------------------- waiting */

static void take_out(struct sender *s, size_t i)
{
    s->attempt[i] = s->attempt[--s->count];
}

void sender_cut(struct sender *s, struct attempt *a)
{
    for (size_t i = 0; i < s->count; i++) {
        if (s->attempt[i] != a)
            continue;
        take_out(s, i);
        attempt_free(s, a);
        return;
    }
}

static unsigned add_file(struct sender *s, unsigned n, int fd)
{
    if (fd < 0)
        return n;
    s->files[n] = (struct curl_waitfd){ .fd = fd, .events = CURL_WAIT_POLLIN };
    return n + 1;
}

/* The files to poll beside libcurl's, and how long. */
static unsigned gather_files(struct sender *s, int bell, int64_t *wait_ms)
{
    unsigned n = add_file(s, 0, bell);

    for (size_t i = 0; i < s->count; i++) {
        const struct attempt *a = s->attempt[i];
        int64_t left = a->ended ? 0 : a->pid > 0 && !a->killed ? mono_left(a->deadline) : INT64_MAX;
        n = add_file(s, n, a->pidfd);
        n = add_file(s, n, a->complaints);
        if (left < *wait_ms)
            *wait_ms = left;
    }
    return n;
}

static void judge(struct sender *s)
{
    CURLMsg *message;
    struct attempt *a = NULL;
    int left;

    while ((message = curl_multi_info_read(s->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE ||
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &a) != CURLE_OK || a == NULL)
            continue;
        if (a->mail)
            mail_judge(a, message->data.result);
        else
            webhook_judge(a, message->data.result);
    }
}

/* An owner may start and cut others: the list is looked at anew after each. */
static void tell_owners(struct sender *s)
{
    for (size_t i = 0; i < s->count;) {
        struct attempt *a = s->attempt[i];
        if (!a->ended) {
            i++;
            continue;
        }
        struct send_result result = a->result;
        struct send_owner *owner = a->owner;
        take_out(s, i);
        attempt_free(s, a);
        owner->ended(owner, &result);
        i = 0;
    }
}

void sender_wait(struct sender *s, int bell, int64_t wait_ms)
{
    int running;

    if (wait_ms > INT32_MAX)
        wait_ms = INT32_MAX;
    curl_multi_perform(s->multi, &running);
    judge(s);
    unsigned n = gather_files(s, bell, &wait_ms);
    curl_multi_poll(s->multi, s->files, n, (int)wait_ms, NULL);
    curl_multi_perform(s->multi, &running);
    judge(s);
    for (size_t i = 0; i < s->count; i++)
        if (s->attempt[i]->pid > 0)
            command_look(s->attempt[i]);
    tell_owners(s);
}
