/* SPDX-License-Identifier: MIT */
#include "inquiry.h"

#include <stdio.h>
#include <string.h>

#include "../base/msgpack_reader.h"
#include "../base/utf8.h"

#define WIRE_VERSION 1
#define TOKENS_MAX   1000000000000
#define MONEY_MAX    10000000000000
#define TTL_MAX_MS   ((int64_t)24 * 3600 * 1000)
#define TEXT_MAX     255
#define TAGS_MAX     16

struct reader {
    struct mp at;
    uint32_t left; /* elements of the message */
    char *why;
    bool wrong;
};

/* The next element's header; after the last one, nil. False: unreadable. */
static bool next(struct reader *r, struct mp_value *v)
{
    if (r->left == 0) {
        *v = (struct mp_value){ .type = MP_NIL };
        return true;
    }
    r->left--;
    return mp_read(&r->at, v);
}

static bool open_message(const uint8_t *frame, size_t len, struct reader *r, uint64_t *type)
{
    struct mp_value v;

    *r = (struct reader){ .at = { frame, frame + len } };
    if (!mp_read(&r->at, &v) || v.type != MP_ARRAY || v.count < 2)
        return false;
    r->left = v.count;
    if (!next(r, &v) || v.type != MP_UINT || v.u != WIRE_VERSION || !next(r, &v) || v.type != MP_UINT)
        return false;
    *type = v.u;
    return true;
}

int inquiry_type(const uint8_t *frame, size_t len)
{
    struct reader r;
    uint64_t type;

    return open_message(frame, len, &r, &type) && type < 256 ? (int)type : MESSAGE_NONE;
}

bool inquiry_hello(const uint8_t *frame, size_t len, uint64_t *version)
{
    struct reader r;
    struct mp_value v;
    uint64_t type;

    if (!open_message(frame, len, &r, &type) || type != MESSAGE_HELLO)
        return false;
    for (int i = 0; i < 2; i++) /* source, epoch: whoever it is */
        if (!next(&r, &v) || v.type == MP_ARRAY || v.type == MP_MAP)
            return false;
    if (!next(&r, &v) || v.type != MP_UINT)
        return false;
    *version = v.u;
    return true;
}

/* -------------------------------------------------------------------- fields */

static void wrong(struct reader *r, const char *name, const char *expected)
{
    if (!r->wrong)
        snprintf(r->why, INQUIRY_WHY_MAX, "%s: %s was expected", name, expected);
    r->wrong = true;
}

static bool read_num(struct reader *r, const char *name, int64_t max, int64_t *out)
{
    struct mp_value v;

    if (!next(r, &v))
        return false;
    *out = UNKNOWN;
    if (v.type == MP_UINT && v.u <= (uint64_t)max)
        *out = (int64_t)v.u;
    else if (v.type != MP_NIL)
        wrong(r, name, "a whole number in its limits");
    return v.type != MP_ARRAY && v.type != MP_MAP;
}

static bool read_text(struct reader *r, const char *name, struct slice *out)
{
    struct mp_value v;

    if (!next(r, &v))
        return false;
    *out = (struct slice){ NULL, 0 };
    if (v.type == MP_STR && v.s.len > 0 && v.s.len <= TEXT_MAX && utf8_valid(v.s.at, v.s.len))
        *out = v.s;
    else if (v.type != MP_NIL && !(v.type == MP_STR && v.s.len == 0))
        wrong(r, name, "a text of up to 255 bytes of UTF-8 without NUL");
    return v.type != MP_ARRAY && v.type != MP_MAP;
}

static bool read_trigger(struct reader *r, struct slice *out)
{
    int64_t code;

    if (!read_num(r, "trigger", 255, &code))
        return false;
    const char *name = code > 0 ? trigger_name((int)code) : NULL;
    *out = (struct slice){ (const uint8_t *)name, name != NULL ? (uint32_t)strlen(name) : 0 };
    if (code > 0 && name == NULL)
        wrong(r, "trigger", "a code of the list");
    return true;
}

static bool read_tags(struct reader *r, struct slice *out)
{
    const uint8_t *start = r->at.at;
    struct mp_value v, text;

    *out = (struct slice){ NULL, 0 };
    if (!next(r, &v))
        return false;
    if (v.type == MP_NIL)
        return true;
    if (v.type != MP_MAP || v.count > TAGS_MAX)
        return false;
    for (uint32_t i = 0; i < 2 * v.count; i++)
        if (!mp_read(&r->at, &text) || text.type != MP_STR || text.s.len > TEXT_MAX ||
            !utf8_valid(text.s.at, text.s.len))
            return false;
    if (v.count > 0)
        *out = (struct slice){ start, (uint32_t)(r->at.at - start) };
    return true;
}

/* ------------------------------------------------------------------ messages */

/* What is no UTF-8 is told otherwise in events (wire.md, Event), so it would never be found again. */
static bool read_id(struct reader *r, struct order *out)
{
    struct mp_value v;

    if (!next(r, &v) || (v.type != MP_STR && v.type != MP_BIN) || v.s.len == 0 ||
        v.s.len > RESERVATION_ID_MAX)
        return false;
    if (!utf8_valid(v.s.at, v.s.len))
        return false;
    memcpy(out->id, v.s.at, v.s.len);
    out->id[v.s.len] = '\0';
    return true;
}

static bool read_ttl(struct reader *r, struct order *out)
{
    bool ok = read_num(r, "ttl_ms", TTL_MAX_MS, &out->ttl_ms);

    if (out->ttl_ms == UNKNOWN)
        out->ttl_ms = 0;
    return ok;
}

static bool read_admit(struct reader *r, struct order *out)
{
    static const uint8_t texts[] = { SUBJECT_session_id, SUBJECT_root_session_id, SUBJECT_agent_id,
                                     SUBJECT_user_id,    SUBJECT_provider,        SUBJECT_model,
                                     SUBJECT_lane,       SUBJECT_surface,         SUBJECT_channel };

    out->kind = ORDER_ADMIT;
    if (!read_ttl(r, out) || !read_num(r, "prompt_tokens", TOKENS_MAX, &out->prompt_tokens) ||
        !read_num(r, "max_tokens", TOKENS_MAX, &out->max_tokens))
        return false;
    for (size_t i = 0; i < sizeof texts; i++)
        if (!read_text(r, subject_field_name(texts[i]), &out->who.text[texts[i]]))
            return false;
    return read_trigger(r, &out->who.text[SUBJECT_trigger]) && read_tags(r, &out->who.tags);
}

static bool read_settle(struct reader *r, struct order *out)
{
    static const struct {
        uint8_t num;
        const char *name;
    } nums[] = { { D_prompt_tokens, "prompt_tokens" },
                 { D_completion_tokens, "completion_tokens" },
                 { D_total_tokens, "total_tokens" },
                 { D_cached_tokens, "cached_tokens" },
                 { D_cache_write_tokens, "cache_write_tokens" },
                 { D_cache_write_1h_tokens, "cache_write_1h_tokens" },
                 { D_reasoning_tokens, "reasoning_tokens" },
                 { D_cost_reported_nanousd, "cost_reported_nanousd" } };
    int64_t outcome;

    out->kind = ORDER_SETTLE;
    if (!read_num(r, "outcome", 255, &outcome))
        return false;
    if (outcome != 0 && outcome != 1)
        wrong(r, "outcome", "0 or 1");
    out->called = outcome == 1;
    for (size_t i = 0; i < sizeof nums / sizeof *nums; i++)
        if (!read_num(r, nums[i].name, nums[i].num == D_cost_reported_nanousd ? MONEY_MAX : TOKENS_MAX,
                      &out->num[nums[i].num]))
            return false;
    return true;
}

static bool read_renew(struct reader *r, struct order *out)
{
    out->kind = ORDER_RENEW;
    return read_ttl(r, out);
}

int inquiry_read(const uint8_t *frame, size_t len, struct order *out, char why[INQUIRY_WHY_MAX])
{
    struct reader r;
    uint64_t type;

    if (!open_message(frame, len, &r, &type))
        return -1;
    r.why = why;
    out->who = (struct subject){ .tags = { NULL, 0 } };
    out->kind = type == MESSAGE_ADMIT ? ORDER_ADMIT : type == MESSAGE_SETTLE ? ORDER_SETTLE : ORDER_RENEW;
    for (int i = 0; i < DISPATCH_NUMS; i++)
        out->num[i] = UNKNOWN;
    if (!read_id(&r, out))
        return -1;
    bool whole = type == MESSAGE_ADMIT    ? read_admit(&r, out)
                 : type == MESSAGE_SETTLE ? read_settle(&r, out)
                                          : read_renew(&r, out);
    if (!whole && !r.wrong)
        wrong(&r, "the message", "the elements of the specification");
    return r.wrong ? 1 : 0;
}

/* ------------------------------------------------------------------- answers */

static void pack_text(msgpack_packer *pk, const char *s)
{
    size_t len = strlen(s);

    if (len == 0) {
        msgpack_pack_nil(pk);
        return;
    }
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, s, len);
}

static void pack_num(msgpack_packer *pk, int64_t n)
{
    if (n == UNKNOWN)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, n);
}

static void pack_span(msgpack_packer *pk, int64_t until_ms, int64_t now_ms)
{
    if (until_ms == UNKNOWN || until_ms == WINDOW_NEVER)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, until_ms > now_ms ? until_ms - now_ms : 0);
}

static void pack_admitted(msgpack_packer *pk, const struct order *o, int64_t now_ms)
{
    const struct verdict *v = &o->verdict;

    msgpack_pack_int(pk, (int)v->action);
    pack_text(pk, v->name);
    pack_text(pk, v->text);
    pack_span(pk, v->opens_ms, now_ms);
    pack_text(pk, v->use_model);
    pack_text(pk, v->use_lane);
    pack_num(pk, v->delay_ms > 0 ? v->delay_ms : UNKNOWN);
    pack_num(pk, v->spent);
    pack_num(pk, v->limit);
    msgpack_pack_int(pk, (int)v->unit);
    pack_span(pk, o->expires_ms, now_ms);
    pack_num(pk, o->reserved_nanousd);
}

/* settle and renew know no "denied": no such reservation is 1 there too. */
void inquiry_pack(const struct order *o, int64_t now_ms, msgpack_sbuffer *out)
{
    static const uint8_t parts[] = { [ORDER_ADMIT] = 16, [ORDER_SETTLE] = 5, [ORDER_RENEW] = 5 };
    static const uint8_t types[] = { [ORDER_ADMIT] = 6, [ORDER_SETTLE] = 8, [ORDER_RENEW] = 10 };
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, parts[o->kind]);
    msgpack_pack_int(&pk, WIRE_VERSION);
    msgpack_pack_int(&pk, types[o->kind]);
    pack_text(&pk, o->id);
    msgpack_pack_int(&pk, (int)o->status);
    if (o->kind == ORDER_ADMIT)
        pack_admitted(&pk, o, now_ms);
    else if (o->kind == ORDER_SETTLE)
        pack_num(&pk, o->settled_nanousd);
    else
        pack_span(&pk, o->expires_ms, now_ms);
}
