/* SPDX-License-Identifier: MIT
 *
 * outbox.h: how far each destination has been told: the notifier reads the tables destination, message_out
 * and message_alert on a connection of its own; what changes them goes to the writer as an ORDER_OUTBOX.
 */
#ifndef COLLECTOR_OUTBOX_H
#define COLLECTOR_OUTBOX_H

#include "payload.h"

#define OUTBOX_ERROR_MAX 512 /* bytes of a failure's text */

enum message_state { MESSAGE_GATHERS, MESSAGE_BEGUN, MESSAGE_TOLD, MESSAGE_GIVEN_UP };

/* ------------------------------------------------------------------ changes */

enum outbox_verb {
    OUTBOX_KNOW,  /* these are all destinations there are: a new one begins at the newest alert of now; of one
                     that is gone, open messages are given up */
    OUTBOX_ROUTE, /* alerts up to `upto` have been looked at; those in `alert` join the message that gathers
                     and is due at the same time (all that has passed is the same), or a new one */
    OUTBOX_FREEZE, /* message: what is in it stays; it is being told */
    OUTBOX_TOLD,
    OUTBOX_AGAIN,   /* failed, to be tried again at due_ms */
    OUTBOX_GIVE_UP, /* failed for good */
};

struct outbox_alert {
    int64_t id, due_ms;
};

/* All borrowed until the order is done. Doing one again changes nothing. */
struct outbox_change {
    enum outbox_verb verb;
    int64_t now_ms;
    const char *const *name; /* KNOW */
    size_t names;
    const char *destination; /* ROUTE */
    int64_t upto;
    const struct outbox_alert *alert; /* in the order of their ids */
    size_t alerts;                    /* at most PAYLOAD_ALERTS_MAX */
    bool begin;                       /* one of these messages that is due is frozen at once */
    int64_t message;                  /* the others */
    int64_t attempts;                 /* TOLD, AGAIN, GIVE_UP: that have ended, with this one */
    int64_t due_ms;                   /* AGAIN */
    const char *error;                /* AGAIN, GIVE_UP */
};

/* ------------------------------------------------------------------ reading */

struct outbox_view;

/* A read-only connection to the file, which exists. 0 or a negative SQLite code. All functions below: one
 * thread, short reads that see the last commit; 0 or a negative SQLite code. */
int outbox_open(const char *path, struct outbox_view **out);
void outbox_close(struct outbox_view *o); /* NULL is fine */
const char *outbox_error(const struct outbox_view *o);

/* Of a destination: up to which alert it has been looked at (UNKNOWN: nobody knows it), and when a message of
 * its was last frozen (UNKNOWN: never). */
int outbox_place(struct outbox_view *o, const char *destination, int64_t *upto, int64_t *began_ms);

/* Calls look for the alerts after `after`, in order, PAYLOAD_ALERTS_MAX at most; texts are not filled in. The
 * subject is borrowed for the call. */
typedef void outbox_look(void *arg, const struct told *alert);
int outbox_alerts(struct outbox_view *o, int64_t after, outbox_look *look, void *arg);

struct outbox_message {
    int64_t id;
    char key[33];
    enum message_state state;
    int64_t due_ms, began_ms, attempts; /* began_ms: UNKNOWN */
};

/* Calls each for the open messages of a destination, the one that is being told first, then by the time they
 * are due, until it returns true. */
typedef bool outbox_each(void *arg, const struct outbox_message *m);
int outbox_messages(struct outbox_view *o, const char *destination, outbox_each *each, void *arg);

/* The gravest alert in a message. */
int outbox_severity(struct outbox_view *o, int64_t message, enum severity *out);

/* What is in a message, the gravest first, then by id; *out: malloc'd, PAYLOAD_ALERTS_MAX at most, to be
 * freed with outbox_free_alerts. */
int outbox_message_alerts(struct outbox_view *o, int64_t message, struct told **out, size_t *count);
void outbox_free_alerts(struct told *alert, size_t count);

/* How many messages are open. */
int outbox_waiting(struct outbox_view *o, int64_t *count);

#endif
