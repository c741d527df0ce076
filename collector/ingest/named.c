/* SPDX-License-Identifier: MIT */
#include "named.h"

#include <glib.h>
#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "../base/msgpack_reader.h"

static const char *const dispatch_fields[] = {
    "kind",
    "event_id",
    "ts_ms",
#define TG_HEAD_TEXT(name)     #name,
#define TG_DIMS_TEXT(name)     #name,
#define TG_DIMS_ENUM(name)     #name,
#define TG_DIMS_TAGS(name)     #name,
#define TG_DISPATCH_TEXT(name) #name,
#define TG_DISPATCH_NUM(name)  #name,
#include "../../schema/event.def"
};

static const char *const message_fields[] = {
    "kind",
    "event_id",
    "ts_ms",
#define TG_HEAD_TEXT(name)    #name,
#define TG_DIMS_TEXT(name)    #name,
#define TG_DIMS_ENUM(name)    #name,
#define TG_DIMS_TAGS(name)    #name,
#define TG_MESSAGE_TEXT(name) #name,
#define TG_MESSAGE_ENUM(name) #name,
#define TG_MESSAGE_NUM(name)  #name,
#include "../../schema/event.def"
};

static const char *const report_fields[] = { "kind", "event_id", "ts_ms", "body" };

#define COUNT(a)   (sizeof(a) / sizeof *(a))
#define FIELDS_MAX COUNT(dispatch_fields)

static size_t fields_of(int kind, const char *const **out)
{
    *out = kind == KIND_report             ? report_fields
           : kind >= KIND_message_received ? message_fields
                                           : dispatch_fields;
    return kind == KIND_report             ? COUNT(report_fields)
           : kind >= KIND_message_received ? COUNT(message_fields)
                                           : COUNT(dispatch_fields);
}

int named_position(int kind, const char *name, size_t len)
{
    const char *const *fields;
    size_t n = fields_of(kind, &fields);

    for (size_t i = 0; i < n; i++)
        if (strlen(fields[i]) == len && memcmp(fields[i], name, len) == 0)
            return (int)i;
    return -1;
}

/* The next pair: its name and the bytes of its value. */
static bool next_pair(struct mp *mp, struct slice *name, struct slice *value)
{
    struct mp_value v;

    if (!mp_read(mp, &v) || v.type != MP_STR)
        return false;
    *name = v.s;
    value->at = mp->at;
    if (!mp_skip(mp))
        return false;
    value->len = (uint32_t)(mp->at - value->at);
    return true;
}

static int kind_of(struct mp mp, uint32_t pairs)
{
    struct slice name, value;
    struct mp_value v;

    for (; pairs > 0 && next_pair(&mp, &name, &value); pairs--) {
        if (name.len != 4 || memcmp(name.at, "kind", 4) != 0)
            continue;
        struct mp inner = mp_of(value);
        mp_read(&inner, &v);
        if (v.type == MP_STR)
            return kind_code((const char *)v.s.at, v.s.len);
        return v.type == MP_UINT && v.u <= 255 ? (int)v.u : -1;
    }
    return -1;
}

static int write_positions(const struct slice *values, size_t n, struct arena *arena, struct slice *out)
{
    size_t bytes = 3;

    for (size_t i = 0; i < n; i++)
        bytes += values[i].at != NULL ? values[i].len : 1;
    uint8_t *w = arena_take(arena, bytes);
    if (w == NULL)
        return DECODE_NOMEM;
    *out = (struct slice){ w, (uint32_t)bytes };
    *w++ = 0xdc; /* array 16 */
    *w++ = (uint8_t)(n >> 8);
    *w++ = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        if (values[i].at != NULL)
            memcpy(w, values[i].at, values[i].len);
        else
            *w = 0xc0;
        w += values[i].at != NULL ? values[i].len : 1;
    }
    return 0;
}

int named_to_positional(struct slice map, struct arena *arena, struct slice *out, struct decode_fault *fault)
{
    struct slice values[FIELDS_MAX] = { { NULL, 0 } }, name, value;
    const char *const *fields;
    struct mp mp = mp_of(map);
    struct mp_value v;

    if (!mp_read(&mp, &v) || v.type != MP_MAP)
        return DECODE_REFUSED;
    int kind = kind_of(mp, v.count);
    if (kind <= 0 || kind_name(kind) == NULL) {
        snprintf(fault->text, sizeof fault->text,
                 "kind: missing or unknown where the kind of event was expected");
        return DECODE_REFUSED;
    }
    for (uint32_t n = v.count; n > 0; n--) {
        if (!next_pair(&mp, &name, &value)) {
            snprintf(fault->text, sizeof fault->text, "event: a name that is not a string");
            return DECODE_REFUSED;
        }
        int at = named_position(kind, (const char *)name.at, name.len);
        if (at >= 0)
            values[at] = value;
    }
    return write_positions(values, fields_of(kind, &fields), arena, out);
}

static void pack_text(msgpack_packer *pk, struct slice s, uint32_t *repaired)
{
    char *made = NULL;

    if (!g_utf8_validate_len((const char *)s.at, s.len, NULL)) {
        made = g_utf8_make_valid((const char *)s.at, (gssize)s.len);
        (*repaired)++;
    }
    size_t len = made != NULL ? strlen(made) : s.len;
    while (made != NULL && len > 255) /* replacement characters are longer than what they replace */
        len = (size_t)(g_utf8_prev_char(made + len) - made);
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, made != NULL ? made : (const char *)s.at, len);
    g_free(made);
}

/* Copies count values, containers included. The reader has been over these bytes before. */
static void repair_values(struct mp *mp, uint64_t count, msgpack_packer *pk, msgpack_sbuffer *buf,
                          uint32_t *repaired)
{
    for (; count > 0; count--) {
        const uint8_t *from = mp->at;
        struct mp_value v;
        if (!mp_read(mp, &v))
            return;
        if (v.type == MP_STR)
            pack_text(pk, v.s, repaired);
        else
            msgpack_sbuffer_write(buf, (const char *)from, (size_t)(mp->at - from));
        if (v.type == MP_ARRAY || v.type == MP_MAP)
            repair_values(mp, (uint64_t)v.count * (v.type == MP_MAP ? 2 : 1), pk, buf, repaired);
    }
}

int named_repair_utf8(struct slice event, struct arena *arena, struct slice *out, uint32_t *repaired)
{
    struct mp mp = mp_of(event);
    msgpack_sbuffer buf;
    msgpack_packer pk;

    msgpack_sbuffer_init(&buf);
    msgpack_packer_init(&pk, &buf, msgpack_sbuffer_write);
    repair_values(&mp, 1, &pk, &buf, repaired);
    uint8_t *copy = buf.data != NULL ? arena_take(arena, buf.size) : NULL;
    if (copy != NULL) {
        memcpy(copy, buf.data, buf.size);
        *out = (struct slice){ copy, (uint32_t)buf.size };
    }
    msgpack_sbuffer_destroy(&buf);
    return copy != NULL ? 0 : DECODE_NOMEM;
}
