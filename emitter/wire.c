/* SPDX-License-Identifier: MIT
 *
 * wire.c: the frames of wire.md. The events of a batch are gathered first, behind room for the
 * head, whose length depends on their number. A reply is eight numbers at fixed positions, so it
 * is read in place: nothing is allocated for what a stranger on the socket says.
 */
#include "wire.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "unpack.h"

#define VERSION         1u
#define TYPE_BATCH      1
#define TYPE_REPLY      2u
#define BATCH_PARTS     8
#define REPLY_PARTS_MIN 5 /* up to settled */

int batch_init(struct batch *b)
{
    b->memory = malloc(BATCH_HEAD_MAX + BATCH_BYTES_MAX);
    batch_clear(b);
    return b->memory == NULL ? -ENOMEM : 0;
}

void batch_fini(struct batch *b)
{
    free(b->memory);
}

void batch_clear(struct batch *b)
{
    b->body = 0;
    b->events = 0;
}

bool batch_add(struct batch *b, const uint8_t *event, size_t len)
{
    if (b->events == BATCH_EVENTS_MAX || len > BATCH_BYTES_MAX - b->body)
        return false;
    memcpy(b->memory + BATCH_HEAD_MAX + b->body, event, len);
    b->body += len;
    b->events++;
    return true;
}

struct head {
    uint8_t bytes[BATCH_HEAD_MAX];
    size_t len;
};

static int head_write(void *to, const char *bytes, size_t len)
{
    struct head *h = to;

    if (len > sizeof h->bytes - h->len)
        return -1;
    memcpy(h->bytes + h->len, bytes, len);
    h->len += len;
    return 0;
}

void batch_seal(struct batch *b, const struct batch_name *n, const uint8_t **frame, size_t *len)
{
    struct head h = { .len = 0 };
    msgpack_packer pk;
    size_t source_len = strlen(n->source);

    msgpack_packer_init(&pk, &h, head_write);
    msgpack_pack_array(&pk, BATCH_PARTS);
    msgpack_pack_int(&pk, (int)VERSION);
    msgpack_pack_int(&pk, TYPE_BATCH);
    msgpack_pack_str(&pk, source_len);
    msgpack_pack_str_body(&pk, n->source, source_len);
    msgpack_pack_uint64(&pk, n->epoch);
    msgpack_pack_uint64(&pk, n->stream);
    msgpack_pack_uint64(&pk, n->base);
    msgpack_pack_uint64(&pk, n->first_seq);
    msgpack_pack_array(&pk, b->events);
    uint8_t *start = b->memory + BATCH_HEAD_MAX - h.len;
    memcpy(start, h.bytes, h.len);
    *frame = start;
    *len = h.len + b->body;
}

int reply_read(const uint8_t *frame, size_t len, struct reply *out)
{
    struct reader r = { frame, frame + len };
    struct reply v = { .status = REPLY_SETTLED };
    uint64_t *const part[] = { &v.epoch, &v.stream, &v.settled, &v.status, &v.duplicates, &v.retry_after_ms };
    uint64_t parts, version, type;

    if (!read_array(&r, &parts) || parts < REPLY_PARTS_MIN)
        return -EBADMSG;
    if (!read_uint(&r, &version) || version != VERSION || !read_uint(&r, &type) || type != TYPE_REPLY)
        return -EBADMSG;
    for (size_t i = 0; i < sizeof part / sizeof *part && i + 2 < parts; i++)
        if (!read_uint(&r, part[i]))
            return -EBADMSG;
    *out = v;
    return 0;
}
