/* SPDX-License-Identifier: MIT
 *
 * link.h: hears when a socket has found its collector, and when it has lost it. A pair of sockets within
 * libzmq; owner: the thread of the watched socket.
 */
#ifndef EMITTER_LINK_H
#define EMITTER_LINK_H

enum link_event { LINK_SAME, LINK_UP, LINK_DOWN };

/* Watches a socket that is not connected yet. What is returned becomes readable, is the caller's and is
 * to be closed (zmq_close) after the socket. NULL: cannot be watched. */
void *link_watch(void *ctx, void *socket);

/* What happened since the last call; of many changes, the last one. Does not wait. */
enum link_event link_read(void *watch);

#endif
