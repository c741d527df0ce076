/* SPDX-License-Identifier: MIT */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

#define WIRE_VERSION  1
#define TYPE_VERDICTS 4

void peers_fini(struct peers *p)
{
    free(p->all);
    *p = (struct peers){ .all = NULL };
}

static bool is_silent(const struct peer *p, struct monotime now)
{
    return now.ms - p->heard.ms > PEERS_SILENT_MS;
}

void peers_drop(struct peers *p, size_t at)
{
    p->all[at] = p->all[--p->count];
}

void peers_drop_silent(struct peers *p)
{
    struct monotime now = mono_now();

    for (size_t i = p->count; i-- > 0;)
        if (is_silent(&p->all[i], now))
            peers_drop(p, i);
}

static struct peer *find(struct peers *p, const uint8_t *routing, size_t len)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->all[i].routing_len == len && memcmp(p->all[i].routing, routing, len) == 0)
            return &p->all[i];
    return NULL;
}

static void make_room(struct peers *p)
{
    size_t oldest = 0;

    peers_drop_silent(p);
    if (p->count < PEERS_MAX)
        return;
    for (size_t i = 1; i < p->count; i++)
        if (p->all[i].heard.ms < p->all[oldest].heard.ms)
            oldest = i;
    peers_drop(p, oldest);
}

static struct peer *add(struct peers *p)
{
    if (p->count == PEERS_MAX)
        make_room(p);
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 16 : 2 * p->room;
        struct peer *more = realloc(p->all, room * sizeof *more);
        if (more == NULL)
            return NULL;
        p->all = more;
        p->room = room;
    }
    return &p->all[p->count++];
}

struct peer *peers_hear(struct peers *p, const uint8_t *routing, size_t len, uint64_t version)
{
    struct peer *peer = find(p, routing, len);

    if (peer == NULL && (peer = add(p)) == NULL)
        return NULL;
    memcpy(peer->routing, routing, len);
    peer->routing_len = (uint8_t)len;
    peer->version = version;
    peer->heard = mono_now();
    return peer;
}

/* ------------------------------------------------------------------ packing */

static void pack_entry(const struct board *b, const struct board_entry *e, int64_t now_ms, msgpack_packer *pk,
                       msgpack_sbuffer *out)
{
    msgpack_sbuffer_write(out, (const char *)b->bytes + e->before, e->after - e->before);
    if (e->opens_ms == INT64_MAX)
        msgpack_pack_nil(pk);
    else
        msgpack_pack_int64(pk, e->opens_ms > now_ms ? e->opens_ms - now_ms : 0);
    msgpack_sbuffer_write(out, (const char *)b->bytes + e->after, e->end - e->after);
}

void peers_pack(const struct board *b, uint64_t version, int64_t now_ms, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    msgpack_packer_init(&pk, out, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, 6);
    msgpack_pack_int(&pk, WIRE_VERSION);
    msgpack_pack_int(&pk, TYPE_VERDICTS);
    msgpack_pack_uint64(&pk, b->version);
    msgpack_pack_int(&pk, PEERS_VALID_MS);
    msgpack_pack_int(&pk, b->overflow);
    if (version == b->version) {
        msgpack_pack_nil(&pk);
        return;
    }
    msgpack_pack_array(&pk, b->count);
    for (size_t i = 0; i < b->count; i++)
        pack_entry(b, &b->entries[i], now_ms, &pk, out);
}
