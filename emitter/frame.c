/* SPDX-License-Identifier: MIT
 *
 * frame.c: what is asked, packed by msgpack-c into a buffer that fits the largest; what is
 * answered, read in place.
 */
#include "frame.h"

#include <msgpack.h>
#include <string.h>

#include "record.h"

#define VERSION 1

struct packing {
    uint8_t *at;
    size_t len;
};

/* FRAME_MAX has room for everything: texts are cut, tags are counted. */
static int write_bytes(void *to, const char *bytes, size_t len)
{
    struct packing *p = to;

    memcpy(p->at + p->len, bytes, len);
    p->len += len;
    return 0;
}

static void pack_text(msgpack_packer *pk, const char *text)
{
    uint64_t cut = 0;
    size_t len = text != NULL ? record_text_len(text, &cut) : 0;

    if (len == 0) {
        msgpack_pack_nil(pk);
        return;
    }
    msgpack_pack_str(pk, len);
    msgpack_pack_str_body(pk, text, len);
}

static void pack_number(msgpack_packer *pk, int64_t n, int64_t least)
{
    if (n < least)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, n);
}

static bool tag_known(const struct tg_tag *t)
{
    return t->name != NULL && *t->name != '\0' && t->value != NULL && *t->value != '\0';
}

static void pack_tags(msgpack_packer *pk, const struct tg_tag *tags, size_t count)
{
    uint32_t n = 0;

    for (size_t i = 0; tags != NULL && i < count && n < TG_TAGS_MAX; i++)
        n += tag_known(&tags[i]);
    if (n == 0) {
        msgpack_pack_nil(pk);
        return;
    }
    msgpack_pack_map(pk, n);
    for (size_t i = 0; n > 0; i++) {
        if (!tag_known(&tags[i]))
            continue;
        pack_text(pk, tags[i].name);
        pack_text(pk, tags[i].value);
        n--;
    }
}

static void pack_head(msgpack_packer *pk, size_t parts, const struct ask *ask)
{
    msgpack_pack_array(pk, parts);
    msgpack_pack_int(pk, VERSION);
    msgpack_pack_int(pk, (int)ask->type);
    pack_text(pk, ask->id);
}

static void pack_admit(msgpack_packer *pk, const struct ask *ask)
{
    const struct tg_request *r = ask->request;

    pack_head(pk, 17, ask);
    msgpack_pack_uint32(pk, ask->ttl_ms);
    pack_number(pk, r->prompt_tokens, 1);
    pack_number(pk, r->max_tokens, 1);
    pack_text(pk, r->session_id);
    pack_text(pk, r->root_session_id);
    pack_text(pk, r->agent_id);
    pack_text(pk, r->user_id);
    pack_text(pk, r->provider);
    pack_text(pk, r->model);
    pack_text(pk, r->lane);
    pack_text(pk, r->surface);
    pack_text(pk, r->channel);
    pack_number(pk, r->trigger <= TG_TRIGGER_PLUGIN ? (int64_t)r->trigger : 0, 1);
    pack_tags(pk, r->tags, r->tag_count);
}

static void pack_settle(msgpack_packer *pk, const struct ask *ask)
{
    static const struct tg_usage none = TG_USAGE_INIT;
    const struct tg_usage *u = ask->usage != NULL ? ask->usage : &none;

    pack_head(pk, 12, ask);
    msgpack_pack_int(pk, ask->usage != NULL);
    pack_number(pk, u->prompt_tokens, 0);
    pack_number(pk, u->completion_tokens, 0);
    pack_number(pk, u->total_tokens, 0);
    pack_number(pk, u->cached_tokens, 0);
    pack_number(pk, u->cache_write_tokens, 0);
    pack_number(pk, u->cache_write_1h_tokens, 0);
    pack_number(pk, u->reasoning_tokens, 0);
    msgpack_pack_nil(pk); /* cost_reported_nanousd */
}

size_t frame_ask(const struct ask *ask, uint8_t *out)
{
    struct packing to = { out, 0 };
    msgpack_packer pk;

    msgpack_packer_init(&pk, &to, write_bytes);
    if (ask->type == ASK_ADMIT)
        pack_admit(&pk, ask);
    else if (ask->type == ASK_SETTLE)
        pack_settle(&pk, ask);
    else {
        pack_head(&pk, 4, ask);
        msgpack_pack_uint32(&pk, ask->ttl_ms);
    }
    return to.len;
}

size_t frame_hello(const char *source, uint64_t epoch, uint64_t version, uint8_t *out)
{
    struct packing to = { out, 0 };
    msgpack_packer pk;

    msgpack_packer_init(&pk, &to, write_bytes);
    msgpack_pack_array(&pk, 5);
    msgpack_pack_int(&pk, VERSION);
    msgpack_pack_int(&pk, TYPE_HELLO);
    pack_text(&pk, source);
    msgpack_pack_uint64(&pk, epoch);
    msgpack_pack_uint64(&pk, version);
    return to.len;
}

/* --------------------------------------------------------------------- answers */

bool frame_type(struct reader *r, uint64_t *parts, uint64_t *type)
{
    uint64_t version;

    return read_array(r, parts) && *parts >= 2 && read_uint(r, &version) && version == VERSION &&
           read_uint(r, type);
}

/* From `action` on; what is missing at the end is unknown. */
static bool read_admission(struct reader *r, uint64_t parts, struct answer *out)
{
    struct saying s = SAYING_INIT;
    int64_t action = TG_ALLOW, unit = TG_UNIT_NONE;
    struct bytes *const text[] = { &s.budget, &s.text };
    struct bytes *const name[] = { &s.use_model, &s.use_lane };
    int64_t *const number[] = { &s.delay_ms,           &s.spent, &s.limit, &unit, &out->expires_in_ms,
                                &out->reserved_nanousd };
    uint64_t done = 4;

    if (parts > done++ && !read_int_or_nil(r, &action))
        return false;
    for (int i = 0; i < 2; i++)
        if (parts > done++ && !read_text_or_nil(r, text[i]))
            return false;
    if (parts > done++ && !read_int_or_nil(r, &s.opens_in_ms))
        return false;
    for (int i = 0; i < 2; i++)
        if (parts > done++ && !read_text_or_nil(r, name[i]))
            return false;
    for (int i = 0; i < 6; i++)
        if (parts > done++ && !read_int_or_nil(r, number[i]))
            return false;
    s.action = action > 0 ? (uint64_t)action : TG_ALLOW;
    s.unit = unit > 0 ? (uint64_t)unit : TG_UNIT_NONE;
    saying_copy(&s, &out->verdict);
    return true;
}

bool frame_answer(enum ask_type asked, struct reader *r, uint64_t parts, struct bytes *id, struct answer *out)
{
    struct answer a = { .expires_in_ms = TG_UNKNOWN, .reserved_nanousd = TG_UNKNOWN };

    if (parts < 4 || !read_text(r, id) || id->len == 0 || id->len > ASK_ID_MAX || !read_int(r, &a.status))
        return false;
    if (asked == ASK_ADMIT && !read_admission(r, parts, &a))
        return false;
    if (asked == ASK_RENEW && parts > 4 && !read_int_or_nil(r, &a.expires_in_ms))
        return false;
    *out = a;
    return true;
}
