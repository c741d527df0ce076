/* SPDX-License-Identifier: MIT
 *
 * event.h: a decoded event, as the collector's stages hand it on. Built by ingest, read by the
 * writer. Everything in it is borrowed from the frame (or arena) that the batch owns.
 */
#ifndef COLLECTOR_EVENT_H
#define COLLECTOR_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNKNOWN (-1) /* any number nobody told us */

struct slice {
    const uint8_t *at; /* NULL: unknown */
    uint32_t len;
};

enum event_kind {
#define TG_KIND(code, name) KIND_##name = (code),
#include "../../schema/event.def"
};

enum event_granularity { /* the finest first */
#define TG_GRANULARITY(code, name) GRANULARITY_##name = (code),
#include "../../schema/event.def"
};

enum event_status { /* of a dispatch */
#define TG_STATUS(code, name) STATUS_##name = (code),
#include "../../schema/event.def"
};

enum dispatch_text {
#define TG_DISPATCH_TEXT(name) D_##name,
#include "../../schema/event.def"
    DISPATCH_TEXTS
};

enum {
#define TG_DISPATCH_NUM(name) +1
    DISPATCH_WIRE_NUMS = 0
#include "../../schema/event.def"
};

enum dispatch_num { /* those of the wire first, then what the collector adds */
#define TG_DISPATCH_NUM(name) D_##name,
#include "../../schema/event.def"
#define TG_DISPATCH_DERIVED(name) D_##name,
#include "../../schema/event.def"
                    DISPATCH_NUMS
};

/* The numbers of a dispatch that are summed. For each the projections have x and x_known, how many of
 * the calls told it. TOTAL stands for total_tokens, which the log spells in its own way (stored.h). */
#define DISPATCH_SUMMED_BUT_TOTAL(X, TOTAL) \
    X(prompt_tokens)                        \
    X(completion_tokens)                    \
    TOTAL                                   \
    X(cached_tokens)                        \
    X(cache_write_tokens)                   \
    X(cache_write_1h_tokens)                \
    X(reasoning_tokens)                     \
    X(tool_calls)                           \
    X(latency_ms)                           \
    X(ttft_ms)                              \
    X(cost_reported_nanousd)                \
    X(cost_nanousd)
#define DISPATCH_SUMMED(X) DISPATCH_SUMMED_BUT_TOTAL(X, X(total_tokens))

enum dispatch_sum {
#define X(name) SUM_##name,
    DISPATCH_SUMMED(X)
#undef X
        DISPATCH_SUMS
};

enum message_text {
#define TG_MESSAGE_TEXT(name) M_##name,
#include "../../schema/event.def"
    MESSAGE_TEXTS
};

enum message_num { /* the outcome is a number too */
#define TG_MESSAGE_ENUM(name) M_##name,
#define TG_MESSAGE_NUM(name)  M_##name,
#include "../../schema/event.def"
                   MESSAGE_NUMS
};

enum dims_text {
#define TG_DIMS_TEXT(name) DIM_##name,
#include "../../schema/event.def"
    DIMS_TEXTS
};

enum dims_enum {
#define TG_DIMS_ENUM(name) DIM_##name,
#include "../../schema/event.def"
    DIMS_ENUMS
};

enum session_text {
#define TG_HEAD_TEXT(name) S_##name,
#include "../../schema/event.def"
    SESSION_TEXTS
};

/* One event. The session triple and the combination stay as the wire bytes they came as: the
 * writer looks both up by those bytes and takes them apart only when it has not met them. */
struct event {
    uint8_t kind;
    bool has_id;
    uint8_t id[16];
    int64_t ts_ms;                     /* UNKNOWN: the time of arrival */
    struct slice session;              /* wire bytes of the session triple; at NULL: no session at all */
    struct slice dims;                 /* wire bytes of the combination */
    struct slice text[DISPATCH_TEXTS]; /* by enum dispatch_text or message_text */
    int64_t num[DISPATCH_NUMS]; /* by enum dispatch_num or message_num; UNKNOWN. From DISPATCH_WIRE_NUMS
                                   on: the collector's own, which ingest leaves UNKNOWN */
    struct slice body;          /* a report's map, wire bytes */
};

static inline bool event_is_message(const struct event *e)
{
    return e->kind >= KIND_message_received;
}

/* The session triple and the combination, taken apart (event.c). */
struct session_names {
    struct slice text[SESSION_TEXTS];
};
struct dims_names {
    struct slice text[DIMS_TEXTS];
    uint8_t code[DIMS_ENUMS];
    struct slice tags; /* a MessagePack map of strings; at NULL: none */
};

/* Take wire bytes apart that ingest has checked. */
void session_names_read(struct slice wire, struct session_names *out);
void dims_names_read(struct slice wire, struct dims_names *out);

/* Name of a code, or NULL for 0 and codes that have none; code of a name, or -1. Static strings. */
const char *kind_name(int code);
const char *trigger_name(int code);
const char *granularity_name(int code);
const char *status_name(int code);
const char *outcome_name(int code);
int kind_code(const char *name, size_t len);
int trigger_code(const char *name, size_t len);
int granularity_code(const char *name, size_t len);
int status_code(const char *name, size_t len);
int outcome_code(const char *name, size_t len);

#endif
