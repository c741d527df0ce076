/* SPDX-License-Identifier: MIT
 *
 * send.h: attempts to tell a message: over HTTP, by e-mail, to a command. All attempts of a sender are under
 * way at once, in the one thread that waits. Owner: that thread.
 */
#ifndef COLLECTOR_SEND_H
#define COLLECTOR_SEND_H

#include "payload.h"

#define SEND_ERROR_MAX    512 /* bytes */
#define SEND_ATTEMPTS_MAX 256 /* under way */

enum send_fate {
    SEND_TOLD,
    SEND_FAILED,  /* the next attempt may do better */
    SEND_HELP,    /* it will not until a person has mended something: a token, an address, a certificate */
    SEND_REFUSED, /* this message is not taken, and never will be */
};

struct send_result {
    enum send_fate fate;
    int64_t again_ms; /* the pause that was asked for; UNKNOWN */
    int64_t took_ms;
    char error[SEND_ERROR_MAX]; /* "" when told; one line, no secret of the destination */
};

/* Who is told of an attempt's end: once, on the thread that waits. */
struct send_owner {
    void (*ended)(struct send_owner *owner, const struct send_result *result);
};

struct sender;
struct attempt;

int sender_new(struct sender **out); /* -1: no memory */
void sender_free(struct sender *s);  /* NULL is fine; cuts what is under way, nobody is told */

/* Begins one. Destination and message are not looked at afterwards; owner is borrowed until its end. NULL: no
 * memory, or too many are under way. now_ms: of the day, for what carries a date. */
struct attempt *sender_start(struct sender *s, const struct destination *d, const struct payload_message *m,
                             int64_t now_ms, struct send_owner *owner);
void sender_cut(struct sender *s, struct attempt *a); /* its owner is not told */

/* Waits until something moves, bell (a file, -1: none) can be read, or wait_ms are over; then tells the
 * owners of what ended. */
void sender_wait(struct sender *s, int bell, int64_t wait_ms);

#endif
