/* SPDX-License-Identifier: MIT
 *
 * outbox.h: how far each destination has been told: the notifier reads the tables destination, message_out
 * and message_alert on a connection of its own; what changes them goes to the writer as an ORDER_OUTBOX.
 */
#ifndef COLLECTOR_OUTBOX_H
#define COLLECTOR_OUTBOX_H

#include "payload.h"

enum outbox_verb {
    OUTBOX_ROUTE,  /* alerts up to `upto` have been looked at; those in `alert` join the message that gathers
                      and  is due at due_ms, or a new one */
    OUTBOX_FREEZE, /* message: what is in it stays; it is being told */
    OUTBOX_TOLD,
    OUTBOX_AGAIN,   /* failed, to be tried again at due_ms */
    OUTBOX_GIVE_UP, /* failed for good */
};

/* All borrowed. */
struct outbox_change {
    enum outbox_verb verb;
    const char *destination;
    int64_t upto;
    const int64_t *alert;
    size_t alerts;
    int64_t message; /* set by OUTBOX_ROUTE */
    int64_t due_ms, now_ms;
    const char *error;
};

#endif
