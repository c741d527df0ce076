/* SPDX-License-Identifier: MIT
 *
 * decode.h: bytes of a batch (schema/wire.md) to events. Pure: no socket, no clock, no store.
 */
#ifndef COLLECTOR_DECODE_H
#define COLLECTOR_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "../base/batch.h"

#define DECODE_FAULT_MAX 192

/* Why something was refused: names the field, the value and what was expected. */
struct decode_fault {
    char text[DECODE_FAULT_MAX];
};

enum decode_result {
    DECODE_OK = 0,
    DECODE_UNREADABLE = -1, /* nobody to answer: not even source, epoch and stream can be read */
    DECODE_REFUSED = -2,    /* the stream is known, the batch can never be accepted */
    DECODE_NOMEM = -3,
};

/* Reads a frame into b, which must be empty or used before. The events borrow from frame, which
 * must outlive them, and from b's arena. An event that breaks a rule becomes a fault inside b; the
 * bytes from where MessagePack itself breaks on become one fault for all the events left. */
enum decode_result decode_batch(const uint8_t *frame, size_t len, struct batch *b,
                                struct decode_fault *fault);

/* Reads one event, positional or by names, that is whole MessagePack. *repaired counts strings that
 * were not UTF-8. 0, DECODE_REFUSED (fault filled, out undefined) or DECODE_NOMEM. */
int decode_event(struct slice wire, struct arena *arena, struct event *out, uint32_t *repaired,
                 struct decode_fault *fault);

#endif
