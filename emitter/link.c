/* SPDX-License-Identifier: MIT
 *
 * link.c: libzmq's monitor of one socket. A message is two frames: a number of 16 bits that says what
 * happened, with a value; then the address.
 */
#include "link.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <zmq.h>

#define ADDRESS "inproc://tollgate-link"

void *link_watch(void *ctx, void *socket)
{
    const int linger = 0;

    if (zmq_socket_monitor(socket, ADDRESS, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED) != 0)
        return NULL;
    void *watch = zmq_socket(ctx, ZMQ_PAIR);
    if (watch == NULL)
        return NULL;
    zmq_setsockopt(watch, ZMQ_LINGER, &linger, sizeof linger);
    if (zmq_connect(watch, ADDRESS) == 0)
        return watch;
    zmq_close(watch);
    return NULL;
}

enum link_event link_read(void *watch)
{
    enum link_event last = LINK_SAME;
    uint8_t frame[64];
    uint16_t event;
    int n;

    while ((n = zmq_recv(watch, frame, sizeof frame, ZMQ_DONTWAIT)) >= 0) {
        memcpy(&event, frame, sizeof event);
        if (n == 6 && event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
            last = LINK_UP;
        else if (n == 6 && event == ZMQ_EVENT_DISCONNECTED)
            last = LINK_DOWN;
        while (zmq_recv(watch, frame, sizeof frame, ZMQ_DONTWAIT) < 0 && zmq_errno() == EINTR)
            ; /* the address */
    }
    return last;
}
