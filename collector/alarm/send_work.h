/* SPDX-License-Identifier: MIT
 *
 * send_work.h: an attempt from inside, for the files send*.c.
 */
#ifndef COLLECTOR_SEND_WORK_H
#define COLLECTOR_SEND_WORK_H

#include <curl/curl.h>
#include <sys/types.h>

#include "../base/clock.h"
#include "send.h"

#define ANSWER_MAX   (64 * 1024) /* bytes of an answer's body that are read */
#define ANSWER_SHOWN 200         /* and told */
#define MAIL_SOCKETS 4

struct attempt {
    struct send_owner *owner; /* borrowed */
    struct send_result result;
    bool ended;
    int64_t began_us;
    int64_t timeout_ms;
    char *body; /* owned */
    size_t len, sent;
    char said[ANSWER_SHOWN]; /* the beginning of the answer, or of what a command complained */
    size_t said_len, got;

    /* over the network; curl NULL: none */
    CURL *curl;                      /* owned */
    struct curl_slist *headers, *to; /* owned */
    char detail[CURL_ERROR_SIZE];
    bool answered; /* there are a status and headers, whatever becomes of the body */
    bool mail;
    int socket[MAIL_SOCKETS]; /* libcurl's: one for each address that is tried at once; -1 */

    /* a command; pid 0: none */
    pid_t pid;
    int pidfd, complaints; /* owned; -1 */
    struct monotime deadline;
    bool killed;
};

/* The attempt is over. fmt: why; "" when told. */
__attribute__((format(printf, 3, 4))) void attempt_end(struct attempt *a, enum send_fate fate,
                                                       const char *fmt, ...);

/* Each begins, or ends the attempt at once (no memory too). The message's payload is in body. */
void webhook_begin(struct attempt *a, const struct destination *d, const struct payload_message *m,
                   int64_t now_ms);
void mail_begin(struct attempt *a, const struct destination *d);
void command_begin(struct attempt *a, const struct destination *d, const struct payload_message *m);

/* Ends what libcurl has done. */
void webhook_judge(struct attempt *a, CURLcode rc);
void mail_judge(struct attempt *a, CURLcode rc);

/* What both have in common; false: the attempt has ended. */
bool transfer_begin(struct attempt *a, const struct destination *d, const char *url, const char *protocols);
bool transfer_add(struct curl_slist **list, const char *line);
enum send_fate transfer_fate(CURLcode rc); /* when it got no answer to judge by */
const char *transfer_error(const struct attempt *a, CURLcode rc);

/* Looks whether a command has ended or must; reads what it complains. */
void command_look(struct attempt *a);
void command_kill(struct attempt *a); /* and waits for its end */

#endif
