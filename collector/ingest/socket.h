/* SPDX-License-Identifier: MIT
 *
 * socket.h: the thread that owns the ROUTER socket: frames in, batches to the writer's queue,
 * replies out.
 */
#ifndef COLLECTOR_SOCKET_H
#define COLLECTOR_SOCKET_H

#include "../base/board.h"
#include "../base/counters.h"
#include "../base/queue.h"

#define SOCKET_ENDPOINTS_MAX 8
#define SOCKET_ERROR_MAX     320

struct socket_options {
    const char *endpoints[SOCKET_ENDPOINTS_MAX]; /* borrowed during socket_start */
    int endpoint_count;
    struct board_stand
        *stand; /* the verdicts that publishers are told; borrowed until socket_free; NULL: none */
};

struct ingest_socket;

/* Binds and starts the thread. queue and counters are borrowed until socket_free. On failure (-1)
 * error names the endpoint. */
int socket_start(const struct socket_options *options, struct queue *queue, struct counters *counters,
                 char error[SOCKET_ERROR_MAX], struct ingest_socket **out);

/* Stops taking frames, answers what the writer still has, then ends the thread. The writer must be
 * running. NULL is fine. */
void socket_stop(struct ingest_socket *s);

/* After socket_stop, when the writer has stopped too: it may still be inside its last `done`. NULL is
 * fine. */
void socket_free(struct ingest_socket *s);

/* The address an endpoint was really bound to (tcp port 0). Valid until socket_free. */
const char *socket_endpoint(const struct ingest_socket *s, int i);

#endif
