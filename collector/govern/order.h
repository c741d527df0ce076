/* SPDX-License-Identifier: MIT
 *
 * order.h: what is asked of the writer beside events: reservations, and the office's questions. One
 * owner at a time: who asks until it is pushed (queue_push_first), the writer until it calls done, after the
 * commit. Everything in it is borrowed from who asks.
 */
#ifndef COLLECTOR_ORDER_H
#define COLLECTOR_ORDER_H

#include <jansson.h>

#include "subject.h"
#include "verdict.h"
#include "../base/queue.h"

#define RESERVATION_ID_MAX 64

enum order_kind {
    ORDER_ADMIT,
    ORDER_SETTLE,
    ORDER_RENEW,
    ORDER_OFFICE,
    ORDER_BUDGETS,
    ORDER_COUNTED,
    ORDER_OUTBOX
};

/* As on the wire (schema/wire.md). */
enum order_status {
    ORDER_DONE,   /* granted, settled, renewed */
    ORDER_DENIED, /* settle, renew: no such reservation */
    ORDER_SETTLED,
    ORDER_EXPIRED,
    ORDER_BUSY,
    ORDER_REFUSED,
};

struct order {
    struct queue_item item; /* kind ITEM_ORDER */
    enum order_kind kind;
    void (*done)(struct order *o); /* on the writer's thread, once, after the commit */
    void *owner;                   /* of done */

    /* ORDER_ADMIT, _SETTLE, _RENEW */
    char id[RESERVATION_ID_MAX + 1];
    struct subject who;
    int64_t ttl_ms;                    /* 0: the default */
    int64_t prompt_tokens, max_tokens; /* UNKNOWN */
    bool called;                       /* settle: false: the call was not made */
    int64_t num[DISPATCH_NUMS];        /* settle: the usage, by enum dispatch_num */
    enum order_status status;          /* the answer */
    struct verdict verdict;
    int64_t expires_ms, reserved_nanousd, settled_nanousd; /* UNKNOWN */

    /* ORDER_OFFICE: see govern/office.h */
    const char *op;
    const json_t *request;
    json_t *answer; /* owned by who asked, after done */
    int http_status;

    /* ORDER_BUDGETS: the file's, all of them; ORDER_COUNTED: what a recount found; ORDER_OUTBOX: a struct
     * outbox_change (alarm/outbox.h) */
    const void *what;
};

#endif
