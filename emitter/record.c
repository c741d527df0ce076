/* SPDX-License-Identifier: MIT
 *
 * record.c: event to bytes, by hand: this is the path the library exists for. No state, no
 * allocation; any thread.
 *
 * An event is an array16 with every position of its kind; what is unknown is nil (one byte). The
 * id stands before the strings it is made of, so its 16 bytes are filled in last, from the strings
 * as they went out: cut at TG_STRING_MAX.
 */
#include "record.h"

#include <string.h>
#include <time.h>

#include "../schema/event_id.h"

#define NIL 0xc0
#define HOT static inline __attribute__((always_inline)) /* left to itself, gcc calls: 5 ns of 40 */

enum { /* positions of a kind, counted from the one list */
       HEAD_FIELDS = 3
#define TG_HEAD_TEXT(name) +1
#define TG_DIMS_TEXT(name) +1
#define TG_DIMS_ENUM(name) +1
#define TG_DIMS_TAGS(name) +1
#include "../schema/event.def"
       ,
       DISPATCH_FIELDS = HEAD_FIELDS
#define TG_DISPATCH_TEXT(name) +1
#define TG_DISPATCH_NUM(name)  +1
#include "../schema/event.def"
       ,
       MESSAGE_FIELDS = HEAD_FIELDS
#define TG_MESSAGE_TEXT(name) +1
#define TG_MESSAGE_ENUM(name) +1
#define TG_MESSAGE_NUM(name)  +1
#include "../schema/event.def"
};

enum {
    TEXT_BYTES = 2 + TG_STRING_MAX,
    TAGS_BYTES = 3 + TG_TAGS_MAX * 2 * TEXT_BYTES,
    DISPATCH_BYTES = 3 + 1 + 18 + 9 + (11 + 8) * TEXT_BYTES + TAGS_BYTES + 3 + 14 * 9
};
_Static_assert(DISPATCH_FIELDS == 40 && MESSAGE_FIELDS == 24, "record.c writes these positions");
_Static_assert(DISPATCH_BYTES <= RECORD_MAX, "a dispatch fits");

size_t record_text_len(const char *s, uint64_t *truncated)
{
    size_t n = strnlen(s, TG_STRING_MAX + 1);

    if (n <= TG_STRING_MAX)
        return n;
    ++*truncated;
    for (n = TG_STRING_MAX; n >= TG_STRING_MAX - 3; n--) /* a character has at most three more bytes */
        if (((unsigned char)s[n] & 0xc0) != 0x80)
            return n;
    return TG_STRING_MAX;
}

/* Names are short: two overlapping moves of a fixed size beat a call (and gcc's loop) by half. */
HOT void copy(uint8_t *to, const char *from, size_t n)
{
    if (n >= 16) {
        for (size_t i = 0; i + 16 < n; i += 16)
            memcpy(to + i, from + i, 16);
        memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        memcpy(to, from, 8);
        memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        memcpy(to, from, 4);
        memcpy(to + n - 4, from + n - 4, 4);
    } else {
        for (size_t i = 0; i < n; i++)
            to[i] = (uint8_t)from[i];
    }
}

/* One string; *len is its length on the wire, 0 if unknown. The text ends where the result points. */
HOT uint8_t *put_text_len(uint8_t *o, const char *s, struct record_place *place, size_t *len)
{
    *len = 0;
    if (s == NULL || *s == '\0') {
        *o = NIL;
        return o + 1;
    }
    size_t n = strnlen(s, TG_STRING_MAX + 1);
    if (n > TG_STRING_MAX)
        n = record_text_len(s, &place->truncated);
    if (n < 32) {
        *o++ = (uint8_t)(0xa0 | n);
    } else {
        *o++ = 0xd9;
        *o++ = (uint8_t)n;
    }
    copy(o, s, n);
    *len = n;
    return o + n;
}

HOT uint8_t *put_text(uint8_t *o, const char *s, struct record_place *place)
{
    size_t len;

    return put_text_len(o, s, place, &len);
}

static inline uint8_t *put_big(uint8_t *o, uint64_t v)
{
    if (v <= UINT32_MAX) {
        uint32_t x = __builtin_bswap32((uint32_t)v);
        *o = 0xce;
        memcpy(o + 1, &x, 4);
        return o + 5;
    }
    v = __builtin_bswap64(v);
    *o = 0xcf;
    memcpy(o + 1, &v, 8);
    return o + 9;
}

HOT uint8_t *put_num(uint8_t *o, int64_t v)
{
    if (v < 128) {
        *o = v < 0 ? NIL : (uint8_t)v;
        return o + 1;
    }
    if (v <= UINT16_MAX) {
        o[0] = 0xcd;
        o[1] = (uint8_t)(v >> 8);
        o[2] = (uint8_t)v;
        return o + 3;
    }
    return put_big(o, (uint64_t)v);
}

static inline uint8_t *put_enum(uint8_t *o, unsigned v)
{
    *o = v == 0 || v > 127 ? NIL : (uint8_t)v;
    return o + 1;
}

static bool tag_known(const struct tg_tag *t)
{
    return t->name != NULL && *t->name != '\0' && t->value != NULL && *t->value != '\0';
}

static uint8_t *put_tags_some(uint8_t *o, const struct tg_tag *tags, size_t count, struct record_place *place)
{
    uint8_t *head = o;
    uint8_t n = 0;

    o += 3;
    for (size_t i = 0; i < count; i++) {
        if (!tag_known(&tags[i]))
            continue;
        if (n == TG_TAGS_MAX) {
            place->truncated++;
            break;
        }
        o = put_text(o, tags[i].name, place);
        o = put_text(o, tags[i].value, place);
        n++;
    }
    head[0] = 0xde;
    head[1] = 0;
    head[2] = n;
    return o;
}

static inline uint8_t *put_tags(uint8_t *o, const struct tg_tag *tags, size_t count,
                                struct record_place *place)
{
    if (tags == NULL || count == 0) {
        *o = NIL;
        return o + 1;
    }
    return put_tags_some(o, tags, count, place);
}

static int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Array header, kind, room for the id, time. */
static inline uint8_t *put_head(uint8_t *o, uint8_t fields, uint8_t kind, int64_t ts_ms)
{
    o[0] = 0xdc;
    o[1] = 0;
    o[2] = fields;
    o[3] = kind;
    o[4] = 0xc4;
    o[5] = TG_EVENT_ID_BYTES;
    return put_num(o + 6 + TG_EVENT_ID_BYTES, ts_ms);
}

static inline uint8_t *id_room(uint8_t *record)
{
    return record + 6;
}

size_t record_dispatch(uint8_t *out, const void *dispatch, struct record_place *place)
{
    const struct tg_dispatch *d = dispatch;
    const int64_t ts_ms = d->ts_ms >= 0 ? d->ts_ms : wall_ms();
    size_t session_len, response_len, span_len;

    uint8_t *o = put_head(out, DISPATCH_FIELDS, 1, ts_ms);
    o = put_text_len(o, d->session_id, place, &session_len);
    const uint8_t *session = o - session_len;
    o = put_text(o, d->parent_session_id, place);
    o = put_text(o, d->root_session_id, place);
    o = put_text(o, d->agent_id, place);
    o = put_text(o, d->user_id, place);
    o = put_text(o, d->provider, place);
    o = put_text(o, d->model, place);
    o = put_text(o, d->requested_model, place);
    o = put_text(o, d->surface, place);
    o = put_text(o, d->channel, place);
    o = put_text(o, d->lane, place);
    o = put_enum(o, d->trigger);
    o = put_enum(o, d->granularity);
    o = put_enum(o, d->status);
    o = put_text(o, d->error_type, place);
    o = put_tags(o, d->tags, d->tag_count, place);
    o = put_text(o, d->run_id, place);
    o = put_text(o, d->call_id, place);
    o = put_text_len(o, d->response_id, place, &response_len);
    const uint8_t *response = o - response_len;
    o = put_text(o, d->trace_id, place);
    o = put_text_len(o, d->span_id, place, &span_len);
    const uint8_t *span = o - span_len;
    o = put_text(o, d->reservation_id, place);
    o = put_text(o, d->tool_used, place);
    o = put_num(o, d->attempt);
    o = put_num(o, d->usage.prompt_tokens);
    o = put_num(o, d->usage.completion_tokens);
    o = put_num(o, d->usage.total_tokens);
    o = put_num(o, d->usage.cached_tokens);
    o = put_num(o, d->usage.cache_write_tokens);
    o = put_num(o, d->usage.cache_write_1h_tokens);
    o = put_num(o, d->usage.reasoning_tokens);
    o = put_num(o, d->tool_calls);
    o = put_num(o, d->latency_ms);
    o = put_num(o, d->ttft_ms);
    o = put_num(o, d->http_status);
    o = put_num(o, d->partial);
    o = put_num(o, d->cost_reported_nanousd);

    if (d->event_id != NULL)
        memcpy(id_room(out), d->event_id, TG_EVENT_ID_BYTES);
    else if (response_len > 0)
        tg_event_id_hash('r', (const char *)session, session_len, (const char *)response, response_len,
                         id_room(out));
    else if (span_len > 0)
        tg_event_id_hash('s', (const char *)session, session_len, (const char *)span, span_len, id_room(out));
    else
        tg_event_id_place(ts_ms, place->epoch, place->stream, place->seq, id_room(out));
    return (size_t)(o - out);
}

size_t record_message(uint8_t *out, const void *message, struct record_place *place)
{
    const struct tg_message *m = message;
    const int64_t ts_ms = m->ts_ms >= 0 ? m->ts_ms : wall_ms();

    uint8_t *o = put_head(out, MESSAGE_FIELDS, (uint8_t)m->kind, ts_ms);
    o = put_text(o, m->session_id, place);
    o = put_text(o, m->parent_session_id, place);
    o = put_text(o, m->root_session_id, place);
    o = put_text(o, m->agent_id, place);
    o = put_text(o, m->user_id, place);
    memset(o, NIL, 3); /* provider, model, requested_model */
    o = put_text(o + 3, m->surface, place);
    o = put_text(o, m->channel, place);
    memset(o, NIL, 4); /* lane, trigger, granularity, status */
    o = put_text(o + 4, m->error_type, place);
    o = put_tags(o, m->tags, m->tag_count, place);
    o = put_text(o, m->run_id, place);
    o = put_text(o, m->message_id, place);
    o = put_enum(o, m->outcome);
    o = put_num(o, m->bytes);
    o = put_num(o, m->latency_ms);

    if (m->event_id != NULL)
        memcpy(id_room(out), m->event_id, TG_EVENT_ID_BYTES);
    else
        tg_event_id_place(ts_ms, place->epoch, place->stream, place->seq, id_room(out));
    return (size_t)(o - out);
}

static uint64_t read_big(const uint8_t *p, size_t bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0)
        v = v << 8 | *p++;
    return v;
}

/* What one element holds besides its first byte: bytes of its own, and elements that follow. */
struct element {
    uint64_t bytes;
    uint64_t children;
};

static const uint8_t fixed_bytes
    [32] = { /* 0xc0 to 0xdf; lengths are handled apart */
             [0x0a] = 4, [0x0b] = 8, [0x0c] = 1, [0x0d] = 2, [0x0e] = 4, [0x0f] = 8, [0x10] = 1, [0x11] = 2,
             [0x12] = 4, [0x13] = 8, [0x14] = 2, [0x15] = 3, [0x16] = 5, [0x17] = 9, [0x18] = 17
    };

/* Bytes of the length that follows the tag: 0 if it has none. */
static size_t length_bytes(uint8_t tag)
{
    switch (tag) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
        return 1;
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
        return 2;
    case 0xc6:
    case 0xc9:
    case 0xdb:
    case 0xdd:
    case 0xdf:
        return 4;
    default:
        return 0;
    }
}

static bool element_short(uint8_t tag, struct element *out)
{
    *out = (struct element){ 0, 0 };
    if (tag < 0x80 || tag >= 0xe0)
        return true;
    if (tag < 0x90)
        out->children = 2u * (tag & 15u);
    else if (tag < 0xa0)
        out->children = tag & 15u;
    else if (tag < 0xc0)
        out->bytes = tag & 31u;
    else
        return false;
    return true;
}

static bool element_read(const uint8_t *p, size_t left, struct element *out)
{
    uint8_t tag = *p;
    size_t n = length_bytes(tag);

    if (tag == 0xc1 || left < 1 + n)
        return false;
    if (element_short(tag, out))
        return true;
    uint64_t v = read_big(p + 1, n);
    if (n == 0)
        out->bytes = fixed_bytes[tag - 0xc0];
    else if (tag >= 0xdc)
        out->children = tag >= 0xde ? 2 * v : v;
    else
        out->bytes = v + (tag >= 0xc7 && tag <= 0xc9 ? 1 : 0);
    out->bytes += n;
    return true;
}

bool record_readable(const uint8_t *record, size_t len)
{
    enum { DEPTH = 4 };
    uint64_t open[DEPTH + 1] = { 1 }; /* elements still to come at each depth */
    size_t depth = 0, at = 0;
    struct element e;

    if (len == 0 || len > RECORD_LEN_MAX ||
        !(record[0] == 0xdc || record[0] == 0xdd || (record[0] & 0xf0) == 0x90))
        return false;
    while (at < len) {
        if (!element_read(record + at, len - at, &e) || e.bytes > len - at - 1)
            return false;
        at += 1 + (size_t)e.bytes;
        open[depth]--;
        if (e.children > 0) {
            if (++depth > DEPTH)
                return false;
            open[depth] = e.children;
        }
        while (depth > 0 && open[depth] == 0)
            depth--;
        if (depth == 0)
            return at == len;
    }
    return false;
}
