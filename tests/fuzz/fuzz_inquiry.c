/* SPDX-License-Identifier: MIT
 *
 * fuzz_inquiry.c: any bytes as what a publisher asks. What is let through must keep the rules of
 * schema/wire.md, for the ledger does not ask again; whatever can be answered has an answer that can be read,
 * with its id.
 */
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "../../collector/base/msgpack_reader.h"
#include "../../collector/base/utf8.h"
#include "../../collector/ingest/inquiry.h"

#define TEXT_MAX 255
#define TAGS_MAX 16
#define TTL_MAX  86400000
#define NOW_MS   1795204516000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(struct slice s)
{
    if (s.at == NULL)
        return;
    must(s.len > 0 && s.len <= TEXT_MAX && utf8_valid(s.at, s.len));
}

static void check_tags(struct slice tags)
{
    struct mp_value v, text;

    if (tags.at == NULL)
        return;
    struct mp at = { tags.at, tags.at + tags.len };
    must(mp_read(&at, &v) && v.type == MP_MAP && v.count > 0 && v.count <= TAGS_MAX);
    for (uint32_t i = 0; i < 2 * v.count; i++)
        must(mp_read(&at, &text) && text.type == MP_STR && utf8_valid(text.s.at, text.s.len));
    must(at.at == at.end);
}

static void check_order(const struct order *o)
{
    must(o->ttl_ms >= 0 && o->ttl_ms <= TTL_MAX);
    if (o->kind == ORDER_ADMIT) {
        must(o->prompt_tokens == UNKNOWN || (o->prompt_tokens >= 0 && o->prompt_tokens <= 1000000000000));
        must(o->max_tokens == UNKNOWN || (o->max_tokens >= 0 && o->max_tokens <= 1000000000000));
        for (int i = 0; i < SUBJECT_FIELDS; i++)
            check_text(o->who.text[i]);
        check_tags(o->who.tags);
    }
    for (int i = 0; o->kind == ORDER_SETTLE && i < DISPATCH_NUMS; i++)
        must(o->num[i] == UNKNOWN || (o->num[i] >= 0 && o->num[i] <= 10000000000000));
}

/* As the writer would fill it in, or as it is refused. */
static void check_answer(struct order *o, const char *why)
{
    static const uint8_t parts[] = { [ORDER_ADMIT] = 16, [ORDER_SETTLE] = 5, [ORDER_RENEW] = 5 };
    msgpack_sbuffer out;
    struct mp_value v;

    o->verdict = (struct verdict){ .spent = UNKNOWN, .limit = UNKNOWN, .opens_ms = WINDOW_NEVER };
    o->status = why[0] != '\0' ? ORDER_REFUSED : ORDER_DONE;
    snprintf(o->verdict.text, sizeof o->verdict.text, "%s", why);
    o->expires_ms = NOW_MS + o->ttl_ms;
    o->reserved_nanousd = o->settled_nanousd = UNKNOWN;
    msgpack_sbuffer_init(&out);
    inquiry_pack(o, NOW_MS, &out);
    struct mp at = { (const uint8_t *)out.data, (const uint8_t *)out.data + out.size };
    must(mp_read(&at, &v) && v.type == MP_ARRAY && v.count == parts[o->kind]);
    must(mp_read(&at, &v) && v.u == 1 && mp_read(&at, &v) && v.type == MP_UINT);
    must(mp_read(&at, &v) && v.type == MP_STR && v.s.len == strlen(o->id) &&
         memcmp(v.s.at, o->id, v.s.len) == 0);
    msgpack_sbuffer_destroy(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[INQUIRY_WHY_MAX] = "";
    int type = inquiry_type(data, size);
    uint64_t version;

    must(type >= MESSAGE_NONE && type < 256);
    if (inquiry_hello(data, size, &version))
        must(type == MESSAGE_HELLO);
    if (type != MESSAGE_ADMIT && type != MESSAGE_SETTLE && type != MESSAGE_RENEW)
        return 0;
    struct order *o = calloc(1, sizeof *o);
    must(o != NULL);
    int rc = inquiry_read(data, size, o, why);
    must(rc >= -1 && rc <= 1 && (rc == 1) == (why[0] != '\0'));
    if (rc >= 0) {
        must(o->id[0] != '\0' && utf8_valid((const uint8_t *)o->id, strlen(o->id)));
        if (rc == 0)
            check_order(o);
        check_answer(o, why);
    }
    free(o);
    return 0;
}
