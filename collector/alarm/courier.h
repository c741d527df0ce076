/* SPDX-License-Identifier: MIT
 *
 * courier.h: one destination's way through its outbox: looks at alerts, has them grouped, tells one message
 * at a time and writes down how it ended. Owner: the notifier's thread.
 */
#ifndef COLLECTOR_COURIER_H
#define COLLECTOR_COURIER_H

#include <stdatomic.h>

#include "../base/counters.h"
#include "../base/ticker.h"
#include "../govern/order.h"
#include "deliveries.h"
#include "outbox.h"
#include "send.h"

#define COURIER_AGAIN_MS ((int64_t)1000) /* when the writer was busy, or the file could not be read */

/* What all couriers share. */
struct postroom {
    struct outbox_view *view; /* owned by the notifier, as sender and link */
    struct sender *sender;
    char *link;            /* NULL: none */
    struct queue *writer;  /* borrowed, as the rest */
    struct ticker *alerts; /* rung when an order has been answered */
    struct counters *counters;
    int64_t (*now_ms)(void);
    int64_t outage_ms; /* since when the store cannot write, if that is to be told now; 0: it is not */
    bool held;         /* no message is routed or begun: the list changes, or the end is near */
    bool ending;       /* nothing at all is */
    unsigned seed;     /* of chance */
    struct deliveries deliveries;
};

/* An order to the writer, which may be answered at any time. */
struct errand {
    struct order order;
    struct outbox_change change;
    struct ticker *alerts;
    bool out;              /* with the writer */
    _Atomic bool answered; /* and back */
};

/* Sends it; false: the writer takes no more. */
bool errand_send(struct errand *e, struct postroom *room);
/* It is back: takes it. */
bool errand_take(struct errand *e);

/* That the store cannot write is told past the outbox. */
struct notice {
    struct send_owner owner; /* first */
    struct courier *courier;
    struct attempt *attempt; /* borrowed from the sender; NULL: none */
    int64_t told_ms;         /* the outage that this destination has been told */
    int64_t due_ms, attempts;
};

struct courier {
    struct send_owner owner; /* first: of the message's attempt */
    struct postroom *room;   /* borrowed */
    char name[DESTINATION_NAME_MAX + 1];
    struct destination *to; /* owned */
    int64_t look_ms;        /* when it looks again; INT64_MAX: when it is asked to */
    bool hurry;             /* what waits for its next attempt has waited enough */
    struct errand errand;
    struct outbox_alert alert[PAYLOAD_ALERTS_MAX]; /* of a route */
    struct outbox_message message;                 /* that is being told, or was */
    int64_t tried;                                 /* the message that was tried last, */
    int tries;                                     /* and how often, by this process */
    struct attempt *attempt;                       /* borrowed from the sender; NULL: none */
    bool fated;                                    /* how the attempt ended is not written down yet: */
    struct outbox_change fate;
    char error[SEND_ERROR_MAX]; /* of it */
    struct notice notice;
};

/* Takes over to, unless it fails: NULL, no memory. */
struct courier *courier_new(struct postroom *room, struct destination *to);
void courier_free(struct courier *c); /* cuts its attempts; its errand is back; NULL is fine */

/* From now on to this destination, of the same name; takes it over. */
void courier_use(struct courier *c, struct destination *to);

/* Takes what the writer has answered: before anybody asks whether it still has an errand out. */
void courier_hear(struct courier *c, int64_t now_ms);

/* Does what is to be done now. */
void courier_turn(struct courier *c, int64_t now_ms);

/* The pause after so many failures. asked_ms: by the receiver, UNKNOWN. */
int64_t courier_pause_ms(struct postroom *room, const struct send_result *r, int64_t attempts);

#endif
