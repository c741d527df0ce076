/* SPDX-License-Identifier: MIT
 *
 * wire.h: batches out, replies in (schema/wire.md). Pure.
 */
#ifndef EMITTER_WIRE_H
#define EMITTER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BATCH_EVENTS_MAX 1000
#define BATCH_BYTES_MAX  ((size_t)256 << 10)
#define BATCH_HEAD_MAX   384 /* everything before the events */

/* A batch in the making. memory: BATCH_HEAD_MAX + BATCH_BYTES_MAX bytes, owned. */
struct batch {
    uint8_t *memory;
    size_t body; /* bytes of events */
    uint32_t events;
};

int batch_init(struct batch *b);
void batch_fini(struct batch *b);
void batch_clear(struct batch *b);

/* False: it is full, or the event is too big for any. */
bool batch_add(struct batch *b, const uint8_t *event, size_t len);

struct batch_name {
    const char *source;
    uint64_t epoch, stream, base, first_seq;
};

/* Puts the head before the events. The frame is borrowed from b. */
void batch_seal(struct batch *b, const struct batch_name *n, const uint8_t **frame, size_t *len);

enum reply_status { REPLY_SETTLED = 0, REPLY_GAP = 1, REPLY_BUSY = 2, REPLY_REFUSED = 3 };

struct reply {
    uint64_t epoch, stream, settled, status, duplicates, retry_after_ms;
};

/* 0, or -EBADMSG with *out untouched. */
int reply_read(const uint8_t *frame, size_t len, struct reply *out);

#endif
