/* SPDX-License-Identifier: MIT
 *
 * record.h: an event as the bytes that go over the wire (schema/wire.md, "Event"). Pure.
 */
#ifndef EMITTER_RECORD_H
#define EMITTER_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tollgate.h"

#define RECORD_MAX     13824              /* no dispatch or message is longer; checked in record.c */
#define RECORD_LEN_MAX ((size_t)20 << 10) /* nor is a report in its envelope */

/* Where the event will stand: its name when it has no better one. Counts what was cut. */
struct record_place {
    uint64_t epoch;
    uint64_t stream;
    uint64_t seq;
    uint64_t truncated;
};

/* Write the event at out, which has room for RECORD_MAX bytes; return its length. */
size_t record_dispatch(uint8_t *out, const void *dispatch, struct record_place *place);
size_t record_message(uint8_t *out, const void *message, struct record_place *place);

/* The bytes of s that go over the wire: at most TG_STRING_MAX, cut at a character. */
size_t record_text_len(const char *s, uint64_t *truncated);

/* True if len bytes are one whole MessagePack array of at most RECORD_LEN_MAX, nested at most 4 deep. */
bool record_readable(const uint8_t *record, size_t len);

#endif
