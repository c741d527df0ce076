/* SPDX-License-Identifier: MIT */
#include "memo.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

struct memo_slot {
    uint64_t hash;
    uint32_t id; /* 0: free */
    uint32_t at, len;
};

int memo_init(struct memo *m, uint32_t entries, uint32_t bytes_max)
{
    *m = (struct memo){ .mask = 2 * entries - 1, .bytes_max = bytes_max };
    m->slots = calloc((size_t)2 * entries, sizeof *m->slots);
    m->bytes = malloc(bytes_max);
    if (m->slots != NULL && m->bytes != NULL)
        return 0;
    memo_fini(m);
    return -1;
}

void memo_fini(struct memo *m)
{
    free(m->slots);
    free(m->bytes);
    *m = (struct memo){ 0 };
}

void memo_clear(struct memo *m)
{
    memset(m->slots, 0, ((size_t)m->mask + 1) * sizeof *m->slots);
    m->used = 0;
    m->bytes_used = 0;
}

static uint64_t hash_of(uint32_t scope, struct slice key)
{
    uint64_t half[2];

    tg_hash128(key.at, key.len, (unsigned char *)half);
    return half[0] + scope * 0x9e3779b97f4a7c15ULL;
}

uint32_t memo_get(const struct memo *m, uint32_t scope, struct slice key, uint64_t *hash)
{
    *hash = hash_of(scope, key);
    for (uint64_t i = *hash & m->mask; m->slots[i].id != 0; i = (i + 1) & m->mask) {
        const struct memo_slot *s = &m->slots[i];
        if (s->hash == *hash && s->len == key.len && memcmp(m->bytes + s->at, key.at, key.len) == 0)
            return s->id;
    }
    return 0;
}

void memo_put(struct memo *m, struct slice key, uint64_t hash, uint32_t id)
{
    if (key.len > m->bytes_max)
        return;
    if (m->used > m->mask / 2 || m->bytes_max - m->bytes_used < key.len)
        memo_clear(m);
    uint64_t i = hash & m->mask;
    while (m->slots[i].id != 0)
        i = (i + 1) & m->mask;
    m->slots[i] = (struct memo_slot){ hash, id, m->bytes_used, key.len };
    memcpy(m->bytes + m->bytes_used, key.at, key.len);
    m->bytes_used += key.len;
    m->used++;
}
