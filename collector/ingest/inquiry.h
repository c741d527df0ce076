/* SPDX-License-Identifier: MIT
 *
 * inquiry.h: what a publisher asks (schema/wire.md, Governing): frames to orders, answers to frames. Pure: no
 * socket, no clock.
 */
#ifndef COLLECTOR_INQUIRY_H
#define COLLECTOR_INQUIRY_H

#include <msgpack.h>

#include "../govern/order.h"

enum message_type {
    MESSAGE_NONE = -1, /* no frame of this version */
    MESSAGE_BATCH = 1,
    MESSAGE_HELLO = 3,
    MESSAGE_ADMIT = 5,
    MESSAGE_SETTLE = 7,
    MESSAGE_RENEW = 9,
};

/* What the frame is, by its first elements; a number that is none of these is another type. */
int inquiry_type(const uint8_t *frame, size_t len);

/* The version of the verdicts that whoever says hello has. False: unreadable. */
bool inquiry_hello(const uint8_t *frame, size_t len, uint64_t *version);

/* Fills id, who, numbers and kind of an order; it borrows from the frame. 0; 1: the id can be read but not
 * the rest, or it breaks a rule: why says so, the answer is ORDER_REFUSED; -1: unreadable, nobody can be
 * answered. */
#define INQUIRY_WHY_MAX 160
int inquiry_read(const uint8_t *frame, size_t len, struct order *out, char why[INQUIRY_WHY_MAX]);

/* The answer. now_ms: wall time, for durations. */
void inquiry_pack(const struct order *o, int64_t now_ms, msgpack_sbuffer *out);

#endif
