/* SPDX-License-Identifier: MIT
 *
 * batch.h: what ingest hands to the writer and gets back. One owner at a time: ingest until it is
 * pushed, the writer until it calls done, which passes it on to where it came from.
 */
#ifndef COLLECTOR_BATCH_H
#define COLLECTOR_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"
#include "event.h"
#include "queue.h"

#define BATCH_EVENTS_MAX 8192
#define BATCH_BYTES_MAX  (1024 * 1024)
#define SOURCE_MAX       255

enum batch_status { BATCH_SETTLED = 0, BATCH_GAP = 1, BATCH_BUSY = 2, BATCH_REFUSED = 3 };

/* What became of one event. */
enum event_result {
    EVENT_STORED,
    EVENT_DUPLICATE,   /* its id, or its place in the stream, was here before */
    EVENT_REPLACED,    /* stored, and took the place of a partial record */
    EVENT_CONFLICT,    /* a second final record that says something else: the first one stays */
    EVENT_QUARANTINED, /* could not be understood; kept as it came */
};

/* An event, or, where fault is set, the bytes (event.body) of what could not be understood. */
struct batch_event {
    struct event event;
    const char *fault;    /* borrowed from the arena */
    uint32_t fault_count; /* sequence numbers that this fault stands for; 0 for an event */
    enum event_result result;
};

struct batch {
    struct queue_item item; /* weight: events */
    char source[SOURCE_MAX + 1];
    bool has_stream; /* false: came by HTTP, without sequence numbers */
    uint64_t epoch;
    uint32_t stream;
    uint64_t base, first_seq;
    struct batch_event *events; /* owned */
    size_t count, room;
    uint32_t repaired; /* strings that were not UTF-8 */
    struct arena arena;

    /* the writer's answer */
    enum batch_status status;
    uint64_t settled;
    uint32_t duplicates;
    void (*done)(struct batch *b); /* called by the writer's thread, once, after the commit */
    void *owner;                   /* of done */
};

/* Makes room for at least count events; their old contents are lost. False: no memory. */
bool batch_reserve(struct batch *b, size_t count);
void batch_fini(struct batch *b);

#endif
