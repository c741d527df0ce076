/* SPDX-License-Identifier: MIT
 *
 * questions.h: what publishers ask over the ROUTER beside their batches: reservations go to the writer, at
 * its queue's head, QUESTIONS_MAX at a time, and their answers back; whoever said hello is told the verdicts,
 * and again whenever there is a new board. Owner: the socket's thread.
 */
#ifndef COLLECTOR_QUESTIONS_H
#define COLLECTOR_QUESTIONS_H

#include <zmq.h>

#include "../base/counters.h"
#include "../base/queue.h"
#include "peers.h"

#define QUESTIONS_MAX 4096 /* with the writer; over it: busy */

struct questions {
    /* all borrowed */
    void *router;
    struct queue *writer, *done; /* to the writer; from it back to the socket's thread */
    struct counters *counters;
    struct board_stand *stand; /* NULL: there are no verdicts */
    void (*wake)(void *arg);   /* wakes the socket's thread; any thread */
    void *wake_arg;

    size_t with_writer;
    struct peers peers;
    uint64_t told; /* version of the board that all peers have been sent */
};

/* From now on the stand wakes the thread; until stop. */
void questions_start(struct questions *q);
void questions_stop(struct questions *q);
void questions_fini(struct questions *q);

/* A frame that is no batch. True: it was a question, and the frame is closed. False: it is a batch, or
 * nothing that we know: the decoder says what is wrong. */
bool questions_take(struct questions *q, const uint8_t *routing, size_t routing_len, zmq_msg_t *frame);

/* An item of kind ITEM_ORDER that came back. */
void questions_answer(struct questions *q, struct queue_item *item);

/* If there is a new board: to all who want it. */
void questions_tell(struct questions *q);

#endif
