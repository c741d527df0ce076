/* SPDX-License-Identifier: MIT
 *
 * peers.h: who wants verdicts: publishers that have said hello within PEERS_SILENT_MS, and which version each
 * has. Bounded: of PEERS_MAX the longest silent makes room. Owner: the socket's thread.
 */
#ifndef COLLECTOR_PEERS_H
#define COLLECTOR_PEERS_H

#include <msgpack.h>

#include "../base/board.h"
#include "../base/clock.h"

#define PEERS_MAX        1024
#define PEERS_SILENT_MS  60000
#define PEERS_VALID_MS   30000 /* how long verdicts hold without a word from us */
#define PEER_ROUTING_MAX 255

struct peer {
    uint8_t routing[PEER_ROUTING_MAX];
    uint8_t routing_len;
    uint64_t version; /* of what it has */
    struct monotime heard;
};

struct peers {
    struct peer *all; /* owned */
    size_t count, room;
};

void peers_fini(struct peers *p);

/* A hello: it has this version. NULL: no memory. */
struct peer *peers_hear(struct peers *p, const uint8_t *routing, size_t len, uint64_t version);

void peers_drop(struct peers *p, size_t at);
void peers_drop_silent(struct peers *p);

/* The message for who has version: the whole board, or that it still holds. */
void peers_pack(const struct board *b, uint64_t version, int64_t now_ms, msgpack_sbuffer *out);

#endif
