/* SPDX-License-Identifier: MIT */
#include "questions.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../base/log.h"
#include "inquiry.h"

/* A question with the frame it borrows from and the peer that waits. */
struct question {
    struct order order; /* first: a queue item */
    zmq_msg_t frame;
    uint8_t routing[PEER_ROUTING_MAX];
    size_t routing_len;
};

/* False: it did not go out. */
static bool send_to(const struct questions *q, const uint8_t *routing, size_t routing_len,
                    const msgpack_sbuffer *m)
{
    return zmq_send(q->router, routing, routing_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
           zmq_send(q->router, m->data, m->size, ZMQ_DONTWAIT) >= 0;
}

/* -------------------------------------------------------------- reservations */

/* On the writer's thread. */
static void served(struct order *o)
{
    struct questions *q = o->owner;

    o->item.weight = 1;
    queue_push(q->done, &o->item, 0);
    q->wake(q->wake_arg);
}

static void answer(struct questions *q, struct question *a)
{
    msgpack_sbuffer out;

    msgpack_sbuffer_init(&out);
    inquiry_pack(&a->order, wall_ms(), &out);
    if (!send_to(q, a->routing, a->routing_len, &out))
        count_add(&q->counters->replies_dropped, 1);
    msgpack_sbuffer_destroy(&out);
    zmq_msg_close(&a->frame);
    free(a);
}

void questions_answer(struct questions *q, struct queue_item *item)
{
    q->with_writer--;
    answer(q, (struct question *)item);
}

/* Nobody is asked: the answer is this. */
static void refuse(struct questions *q, struct question *a, enum order_status status, const char *why)
{
    struct order *o = &a->order;

    o->status = status;
    o->verdict = (struct verdict){ .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER };
    snprintf(o->verdict.text, sizeof o->verdict.text, "%s", why);
    o->expires_ms = o->reserved_nanousd = o->settled_nanousd = UNKNOWN;
    answer(q, a);
}

static void drop_unreadable(struct questions *q, struct question *a)
{
    count_add(&q->counters->frames_unreadable, 1);
    log_warn("frame_unreadable", "text=\"a question that cannot be read\"");
    zmq_msg_close(&a->frame);
    free(a);
}

/* Takes over the frame. */
static void ask(struct questions *q, const uint8_t *routing, size_t routing_len, zmq_msg_t *frame)
{
    char why[INQUIRY_WHY_MAX] = "";
    struct question *a = calloc(1, sizeof *a);

    if (a == NULL) {
        zmq_msg_close(frame);
        return; /* the publisher asks again */
    }
    zmq_msg_init(&a->frame);
    zmq_msg_move(&a->frame, frame);
    zmq_msg_close(frame);
    memcpy(a->routing, routing, routing_len);
    a->routing_len = routing_len;
    a->order.item = (struct queue_item){ .weight = 1, .kind = ITEM_ORDER };
    a->order.done = served;
    a->order.owner = q;
    int rc = inquiry_read(zmq_msg_data(&a->frame), zmq_msg_size(&a->frame), &a->order, why);
    if (rc < 0)
        drop_unreadable(q, a);
    else if (rc > 0)
        refuse(q, a, ORDER_REFUSED, why);
    else if (q->with_writer >= QUESTIONS_MAX || queue_push_first(q->writer, &a->order.item) != QUEUE_OK)
        refuse(q, a, ORDER_BUSY, "the collector is busy");
    else
        q->with_writer++;
}

/* ------------------------------------------------------------------ verdicts */

/* False: the peer has gone. */
static bool tell_peer(struct questions *q, struct peer *p, const struct board *b)
{
    msgpack_sbuffer out;

    msgpack_sbuffer_init(&out);
    peers_pack(b, p->version, wall_ms(), &out);
    bool sent = send_to(q, p->routing, p->routing_len, &out);
    bool gone = !sent && zmq_errno() == EHOSTUNREACH;
    if (sent)
        p->version = b->version;
    else
        count_add(&q->counters->replies_dropped, 1);
    msgpack_sbuffer_destroy(&out);
    return !gone;
}

static void hear_hello(struct questions *q, const uint8_t *routing, size_t routing_len, zmq_msg_t *frame)
{
    struct board *b = q->stand != NULL ? board_stand_take(q->stand) : NULL;
    struct peer *p;
    uint64_t version;

    if (b != NULL && inquiry_hello(zmq_msg_data(frame), zmq_msg_size(frame), &version) &&
        (p = peers_hear(&q->peers, routing, routing_len, version)) != NULL && !tell_peer(q, p, b))
        peers_drop(&q->peers, (size_t)(p - q->peers.all));
    count_set(&q->counters->verdict_peers, (int64_t)q->peers.count);
    board_release(b);
    zmq_msg_close(frame);
}

void questions_tell(struct questions *q)
{
    struct board *b = q->stand != NULL ? board_stand_take(q->stand) : NULL;

    if (b != NULL && b->version != q->told) {
        peers_drop_silent(&q->peers);
        for (size_t i = q->peers.count; i-- > 0;)
            if (q->peers.all[i].version != b->version && !tell_peer(q, &q->peers.all[i], b))
                peers_drop(&q->peers, i);
        q->told = b->version;
        count_set(&q->counters->verdict_peers, (int64_t)q->peers.count);
        count_set(&q->counters->verdict_entries, (int64_t)b->count);
        count_add(&q->counters->verdict_boards, 1);
    }
    board_release(b);
}

/* ----------------------------------------------------------------- questions */

bool questions_take(struct questions *q, const uint8_t *routing, size_t routing_len, zmq_msg_t *frame)
{
    int type = inquiry_type(zmq_msg_data(frame), zmq_msg_size(frame));

    if (type == MESSAGE_HELLO)
        hear_hello(q, routing, routing_len, frame);
    else if (type == MESSAGE_ADMIT || type == MESSAGE_SETTLE || type == MESSAGE_RENEW)
        ask(q, routing, routing_len, frame);
    else
        return false;
    return true;
}

void questions_start(struct questions *q)
{
    if (q->stand != NULL)
        board_stand_notify(q->stand, q->wake, q->wake_arg);
}

void questions_stop(struct questions *q)
{
    if (q->stand != NULL)
        board_stand_notify(q->stand, NULL, NULL);
}

void questions_fini(struct questions *q)
{
    peers_fini(&q->peers);
}
