/* SPDX-License-Identifier: MIT
 *
 * decode.c: the positional form is read straight from the frame. Every rule of schema/wire.md is
 * checked here, so that later stages need not ask again. Whatever is out of the ordinary (names
 * instead of positions, bytes that are not UTF-8) is first rewritten as an ordinary positional event
 * by named.c and then read by the same code.
 */
#include "decode.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../base/log.h"
#include "../base/msgpack_reader.h"
#include "../base/utf8.h"
#include "named.h"

#define WIRE_VERSION    1
#define WIRE_BATCH      1
#define STRING_MAX      255
#define TAGS_MAX        16
#define REPORT_MAX      (16 * 1024)
#define WHOLE_FLOAT_MAX 9007199254740992.0 /* 2^53 */

/* Limits of numbers: sums of a million events stay inside 64 bits. */
#define NUMBER_MAX  1000000000000LL
#define COST_MAX    10000000000000LL  /* ten thousand dollars */
#define TIME_MAX_MS 253402300799999LL /* the end of the year 9999 */

/* An event being read. left: positions still inside the array. */
struct reader {
    struct mp mp;
    uint32_t left;
    bool broken_utf8;
    struct decode_fault *fault;
};

static const char *show(const struct mp_value *v, char *buf, size_t size)
{
    static const char *const types[] = { "nil",         "a boolean",    "",         "",     "", "",
                                         "binary data", "an extension", "an array", "a map" };

    switch (v->type) {
    case MP_UINT:
        snprintf(buf, size, "%llu", (unsigned long long)v->u);
        break;
    case MP_NEGATIVE:
        snprintf(buf, size, "%lld", (long long)v->u);
        break;
    case MP_FLOAT:
        snprintf(buf, size, "%g", v->f);
        break;
    case MP_STR:
        log_quote(v->s.at, v->s.len < 32 ? v->s.len : 32, buf, size);
        break;
    default:
        snprintf(buf, size, "%s", types[v->type]);
    }
    return buf;
}

static bool fail(struct reader *r, const char *field, const struct mp_value *v, const char *expected)
{
    char value[80];

    snprintf(r->fault->text, sizeof r->fault->text, "%s: %s where %s was expected", field,
             show(v, value, sizeof value), expected);
    return false;
}

/* The value at the next position; nil where the array has ended. */
static bool next(struct reader *r, struct mp_value *v)
{
    if (r->left == 0) {
        v->type = MP_NIL;
        return true;
    }
    r->left--;
    return mp_read(&r->mp, v);
}

static bool read_text(struct reader *r, const char *field, struct slice *out)
{
    struct mp_value v;

    if (!next(r, &v))
        return fail(r, field, &(struct mp_value){ .type = MP_NIL }, "a string");
    if (v.type == MP_STR && v.s.len <= STRING_MAX) {
        *out = v.s.len > 0 ? v.s : (struct slice){ NULL, 0 };
        if (!utf8_valid(v.s.at, v.s.len))
            r->broken_utf8 = true;
        return true;
    }
    *out = (struct slice){ NULL, 0 };
    return v.type == MP_NIL || fail(r, field, &v, "a string of at most 255 bytes");
}

static bool whole(const struct mp_value *v, uint64_t *out)
{
    if (v->type == MP_UINT || v->type == MP_BOOL) {
        *out = v->u;
        return v->u <= INT64_MAX;
    }
    if (v->type != MP_FLOAT || !(v->f >= 0 && v->f < WHOLE_FLOAT_MAX) || v->f != (double)(uint64_t)v->f)
        return false;
    *out = (uint64_t)v->f;
    return true;
}

static bool read_num(struct reader *r, const char *field, int64_t max, int64_t *out)
{
    struct mp_value v;
    uint64_t n;

    if (!next(r, &v))
        return fail(r, field, &(struct mp_value){ .type = MP_NIL }, "a number");
    if (v.type == MP_UINT && v.u <= (uint64_t)max) {
        *out = (int64_t)v.u;
        return true;
    }
    *out = UNKNOWN;
    if (v.type == MP_NIL)
        return true;
    if ((v.type == MP_BOOL && max != 1) || !whole(&v, &n) || n > (uint64_t)max) {
        char expected[64];
        snprintf(expected, sizeof expected, "a whole number from 0 to %lld", (long long)max);
        return fail(r, field, &v, expected);
    }
    *out = (int64_t)n;
    return true;
}

static bool read_enum(struct reader *r, const char *field, int (*by_name)(const char *, size_t),
                      const char *(*by_code)(int), int64_t *out)
{
    struct mp_value v;
    uint64_t n = 0;

    if (!next(r, &v))
        return fail(r, field, &(struct mp_value){ .type = MP_NIL }, "a code or a name");
    *out = UNKNOWN;
    if (v.type == MP_NIL || (v.type == MP_STR && v.s.len == 0))
        return true;
    if (v.type == MP_STR) {
        int code = by_name((const char *)v.s.at, v.s.len);
        if (code < 0)
            return fail(r, field, &v, "one of the names in the specification");
        *out = code;
        return true;
    }
    if (v.type == MP_BOOL || !whole(&v, &n) || n > 255 || (n != 0 && by_code((int)n) == NULL))
        return fail(r, field, &v, "one of the codes in the specification");
    if (n != 0)
        *out = (int64_t)n;
    return true;
}

static bool read_tags(struct reader *r)
{
    static const char expected[] = "a map of at most 16 strings of at most 255 bytes";
    struct mp_value v;

    if (!next(r, &v))
        return fail(r, "tags", &(struct mp_value){ .type = MP_NIL }, expected);
    if (v.type == MP_NIL)
        return true;
    if (v.type != MP_MAP || v.count > TAGS_MAX)
        return fail(r, "tags", &v, expected);
    for (uint32_t i = 0, n = v.count * 2; i < n; i++) {
        if (!mp_read(&r->mp, &v) || v.type != MP_STR || v.s.len > STRING_MAX)
            return fail(r, "tags", &v, expected);
        if (!utf8_valid(v.s.at, v.s.len))
            r->broken_utf8 = true;
    }
    return true;
}

static bool hex_id(const struct slice s, uint8_t out[16])
{
    for (uint32_t i = 0; i < 32; i++) {
        uint8_t c = s.at[i];
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;
        if (d < 0)
            return false;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? d << 4 : out[i / 2] | d);
    }
    return true;
}

static bool read_id(struct reader *r, struct event *out)
{
    struct mp_value v;

    if (!next(r, &v))
        return fail(r, "event_id", &(struct mp_value){ .type = MP_NIL }, "16 bytes");
    out->has_id = v.type != MP_NIL;
    if (v.type == MP_BIN && v.s.len == 16) {
        memcpy(out->id, v.s.at, 16);
        return true;
    }
    if (v.type == MP_STR && v.s.len == 32 && hex_id(v.s, out->id))
        return true;
    return !out->has_id || fail(r, "event_id", &v, "16 bytes (or 32 hex digits)");
}

/* The session triple and the combination are checked here and handed on as bytes. */
static bool read_names(struct reader *r, struct event *out)
{
    const uint8_t *start = r->mp.at;
    struct slice text;
    int64_t code;
    bool any = false;

#define TG_HEAD_TEXT(name)           \
    if (!read_text(r, #name, &text)) \
        return false;                \
    any |= text.at != NULL;
#include "../../schema/event.def"
    out->session = (struct slice){ any ? start : NULL, (uint32_t)(r->mp.at - start) };
    start = r->mp.at;
#define TG_DIMS_TEXT(name)           \
    if (!read_text(r, #name, &text)) \
        return false;
#define TG_DIMS_ENUM(name)                                     \
    if (!read_enum(r, #name, name##_code, name##_name, &code)) \
        return false;
#define TG_DIMS_TAGS(name) \
    if (!read_tags(r))     \
        return false;
#include "../../schema/event.def"
    out->dims = (struct slice){ start, (uint32_t)(r->mp.at - start) };
    return true;
}

static int64_t number_max(enum dispatch_num field)
{
    return field == D_http_status             ? 999
           : field == D_partial               ? 1
           : field == D_cost_reported_nanousd ? COST_MAX
                                              : NUMBER_MAX;
}

static bool read_dispatch(struct reader *r, struct event *out)
{
#define TG_DISPATCH_TEXT(name)                      \
    if (!read_text(r, #name, &out->text[D_##name])) \
        return false;
#define TG_DISPATCH_NUM(name)                                           \
    if (!read_num(r, #name, number_max(D_##name), &out->num[D_##name])) \
        return false;
#define TG_DISPATCH_DERIVED(name) out->num[D_##name] = UNKNOWN;
#include "../../schema/event.def"
    return true;
}

static bool read_message(struct reader *r, struct event *out)
{
#define TG_MESSAGE_TEXT(name)                       \
    if (!read_text(r, #name, &out->text[M_##name])) \
        return false;
#define TG_MESSAGE_ENUM(name)                                                \
    if (!read_enum(r, #name, name##_code, name##_name, &out->num[M_##name])) \
        return false;
#define TG_MESSAGE_NUM(name)                                  \
    if (!read_num(r, #name, NUMBER_MAX, &out->num[M_##name])) \
        return false;
#include "../../schema/event.def"
    return true;
}

/* A map of strings to scalars or to maps of strings to numbers. */
static bool report_map(struct reader *r, int depth);

/* JSON must be able to hold it: that is how it is stored. */
static bool report_scalar(struct reader *r, const struct mp_value *v)
{
    if (v->type == MP_STR && !utf8_valid(v->s.at, v->s.len))
        r->broken_utf8 = true;
    return v->type != MP_ARRAY && v->type != MP_BIN && v->type != MP_EXT &&
           !(v->type == MP_FLOAT && !isfinite(v->f)) && !(v->type == MP_UINT && v->u > INT64_MAX);
}

static bool report_map(struct reader *r, int depth)
{
    struct mp *mp = &r->mp;
    struct mp_value v;

    if (!mp_read(mp, &v) || v.type != MP_MAP)
        return false;
    for (uint32_t n = v.count; n > 0; n--) {
        struct mp peek;
        if (!mp_read(mp, &v) || v.type != MP_STR || v.s.len > STRING_MAX || !report_scalar(r, &v))
            return false;
        peek = *mp;
        if (!mp_read(&peek, &v) || !report_scalar(r, &v))
            return false;
        if (v.type != MP_MAP)
            *mp = peek;
        else if (depth == 0 || !report_map(r, depth - 1))
            return false;
    }
    return true;
}

static bool read_report(struct reader *r, struct event *out)
{
    const uint8_t *start = r->mp.at;

    if (r->left == 0 || !report_map(r, 1) || r->mp.at - start > REPORT_MAX) {
        snprintf(r->fault->text, sizeof r->fault->text,
                 "body: a map of names to numbers, strings or maps, up to 16 KiB, was expected");
        return false;
    }
    r->left--;
    out->body = (struct slice){ start, (uint32_t)(r->mp.at - start) };
    out->session = out->dims = (struct slice){ NULL, 0 };
    return true;
}

static bool read_positional(struct reader *r, struct event *out)
{
    int64_t kind;

    if (!read_enum(r, "kind", kind_code, kind_name, &kind))
        return false;
    if (kind == UNKNOWN)
        return fail(r, "kind", &(struct mp_value){ .type = MP_NIL }, "the kind of event");
    out->kind = (uint8_t)kind;
    if (!read_id(r, out) || !read_num(r, "ts_ms", TIME_MAX_MS, &out->ts_ms))
        return false;
    if (out->kind == KIND_report)
        return read_report(r, out);
    if (!read_names(r, out))
        return false;
    return event_is_message(out) ? read_message(r, out) : read_dispatch(r, out);
}

static int start(struct slice wire, struct reader *r, struct decode_fault *fault, struct mp_value *v)
{
    *r = (struct reader){ .mp = mp_of(wire), .fault = fault };
    v->type = MP_NIL;
    if (!mp_read(&r->mp, v) || (v->type != MP_ARRAY && v->type != MP_MAP)) {
        fail(r, "event", v, "an array or a map");
        return DECODE_REFUSED;
    }
    r->left = v->count;
    return 0;
}

int decode_event(struct slice wire, struct arena *arena, struct event *out, uint32_t *repaired,
                 struct decode_fault *fault)
{
    struct reader r;
    struct mp_value v;

    if (start(wire, &r, fault, &v) != 0)
        return DECODE_REFUSED;
    if (v.type == MP_MAP) {
        int rc = named_to_positional(wire, arena, &wire, fault);
        if (rc != 0 || (rc = start(wire, &r, fault, &v)) != 0)
            return rc;
    }
    if (!read_positional(&r, out))
        return DECODE_REFUSED;
    if (!r.broken_utf8)
        return 0;
    if (named_repair_utf8(wire, arena, &wire, repaired) != 0)
        return DECODE_NOMEM;
    if (start(wire, &r, fault, &v) != 0 || !read_positional(&r, out))
        return DECODE_REFUSED;
    return 0;
}

/* ------------------------------------------------------------------- batch */

static bool header_uint(struct mp *mp, uint64_t max, uint64_t *out)
{
    struct mp_value v;

    return mp_read(mp, &v) && v.type != MP_BOOL && whole(&v, out) && *out <= max;
}

/* Elements 0 to 6. False: there is nobody to answer. */
static bool read_header(struct mp *mp, struct batch *b, uint64_t *version, struct decode_fault *fault)
{
    struct mp_value v;
    uint64_t type, stream;

    snprintf(fault->text, sizeof fault->text, "frame: a batch of at least 8 elements was expected");
    if (!mp_read(mp, &v) || v.type != MP_ARRAY || v.count < 8 || !header_uint(mp, INT64_MAX, version) ||
        !header_uint(mp, 255, &type))
        return false;
    if (type != WIRE_BATCH) {
        snprintf(fault->text, sizeof fault->text, "type: %llu where 1 was expected",
                 (unsigned long long)type);
        return false;
    }
    if (!mp_read(mp, &v) || v.type != MP_STR || v.s.len == 0 || v.s.len > SOURCE_MAX ||
        !utf8_valid(v.s.at, v.s.len)) {
        fail(&(struct reader){ .fault = fault }, "source", &v, "a string of 1 to 255 bytes");
        return false;
    }
    memcpy(b->source, v.s.at, v.s.len);
    b->source[v.s.len] = '\0';
    b->has_stream = true;
    snprintf(fault->text, sizeof fault->text, "epoch, stream, base, first_seq: numbers were expected");
    if (!header_uint(mp, INT64_MAX, &b->epoch) || !header_uint(mp, UINT32_MAX, &stream) ||
        !header_uint(mp, INT64_MAX, &b->base) ||
        !header_uint(mp, INT64_MAX - BATCH_EVENTS_MAX, &b->first_seq))
        return false;
    b->stream = (uint32_t)stream;
    return true;
}

static bool keep_fault(struct batch *b, struct batch_event *at, struct slice bytes, const char *text,
                       uint32_t count)
{
    size_t len = strlen(text) + 1;
    char *copy = arena_take(&b->arena, len);

    if (copy == NULL)
        return false;
    memcpy(copy, text, len);
    at->fault = copy;
    at->fault_count = count;
    at->event.body = bytes;
    return true;
}

static enum decode_result read_events(struct mp *mp, uint32_t count, struct batch *b)
{
    struct decode_fault fault;

    for (uint32_t i = 0; i < count; i++) {
        struct batch_event *at = &b->events[b->count];
        const uint8_t *from = mp->at;
        bool broken = !mp_skip(mp);
        if (broken)
            mp->at = mp->end;
        struct slice wire = { from, (uint32_t)(mp->at - from) };
        at->fault = NULL;
        at->fault_count = 0;
        b->count++;
        if (broken)
            return keep_fault(b, at, wire, "the rest of the batch is not MessagePack", count - i)
                       ? DECODE_OK
                       : DECODE_NOMEM;
        int rc = decode_event(wire, &b->arena, &at->event, &b->repaired, &fault);
        if (rc == DECODE_NOMEM || (rc == DECODE_REFUSED && !keep_fault(b, at, wire, fault.text, 1)))
            return DECODE_NOMEM;
    }
    return DECODE_OK;
}

enum decode_result decode_batch(const uint8_t *frame, size_t len, struct batch *b, struct decode_fault *fault)
{
    struct mp mp = { frame, frame + len };
    struct mp_value v = { .type = MP_NIL };
    uint64_t version;

    arena_reset(&b->arena);
    b->count = 0;
    b->repaired = 0;
    if (!read_header(&mp, b, &version, fault))
        return DECODE_UNREADABLE;
    if (version != WIRE_VERSION) {
        snprintf(fault->text, sizeof fault->text, "version: %llu where 1 was expected",
                 (unsigned long long)version);
        return DECODE_REFUSED;
    }
    if (b->first_seq == 0) {
        snprintf(fault->text, sizeof fault->text, "first_seq: 0 where a number from 1 was expected");
        return DECODE_REFUSED;
    }
    if (!mp_read(&mp, &v) || v.type != MP_ARRAY || v.count == 0 || v.count > BATCH_EVENTS_MAX) {
        fail(&(struct reader){ .fault = fault }, "events", &v, "an array of 1 to 8192 events");
        return DECODE_REFUSED;
    }
    return batch_reserve(b, v.count) ? read_events(&mp, v.count, b) : DECODE_NOMEM;
}
