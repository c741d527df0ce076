/* SPDX-License-Identifier: MIT
 *
 * Invariants: open addressing with linear probing, at most half full; nothing is ever removed.
 */
#include "intern.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

void intern_init(struct intern *t, uint32_t max)
{
    *t = (struct intern){ .max = max };
}

void intern_fini(struct intern *t)
{
    free(t->slot);
    free(t->key);
    free(t->bytes);
    *t = (struct intern){ .max = t->max };
}

static uint32_t hash_of(const void *key, size_t len)
{
    uint64_t hash[2];

    if (len == sizeof(uint64_t)) { /* a row id: the common case */
        memcpy(hash, key, len);
        return (uint32_t)tg_hash_mix(hash[0]);
    }
    tg_hash128(key, len, (unsigned char *)hash);
    return (uint32_t)hash[0];
}

static void slot_put(struct intern *t, size_t number)
{
    size_t i = t->key[number].hash & (t->slots - 1);

    while (t->slot[i] != 0)
        i = (i + 1) & (t->slots - 1);
    t->slot[i] = (uint32_t)number + 1;
}

static bool grow_slots(struct intern *t)
{
    size_t slots = t->slots ? 2 * t->slots : 64;
    uint32_t *fresh = calloc(slots, sizeof *fresh);

    if (!fresh)
        return false;
    free(t->slot);
    t->slot = fresh;
    t->slots = slots;
    for (size_t i = 0; i < t->count; i++)
        slot_put(t, i);
    return true;
}

static bool grow_keys(struct intern *t)
{
    size_t room = t->room ? 2 * t->room : 64;
    struct intern_key *fresh = realloc(t->key, room * sizeof *fresh);

    if (!fresh)
        return false;
    t->key = fresh;
    t->room = room;
    return true;
}

static bool grow_bytes(struct intern *t, size_t len)
{
    size_t size = 2 * t->size > t->used + len ? 2 * t->size : t->used + len + 1024;
    char *fresh = realloc(t->bytes, size);

    if (!fresh)
        return false;
    t->bytes = fresh;
    t->size = size;
    return true;
}

static int64_t add(struct intern *t, const void *key, size_t len, uint32_t hash)
{
    if (t->count == t->max)
        return -1;
    if ((t->used + len > t->size && !grow_bytes(t, len)) || (t->count == t->room && !grow_keys(t)) ||
        (2 * (t->count + 1) > t->slots && !grow_slots(t)))
        return -2;
    t->key[t->count] = (struct intern_key){ t->used, (uint32_t)len, hash };
    if (len > 0)
        memcpy(t->bytes + t->used, key, len);
    t->used += len;
    slot_put(t, t->count);
    return (int64_t)t->count++;
}

static int64_t find(const struct intern *t, const void *key, size_t len, uint32_t hash)
{
    for (size_t i = hash; t->slots > 0; i++) {
        uint32_t n = t->slot[i & (t->slots - 1)];
        if (n == 0)
            break;
        const struct intern_key *k = &t->key[n - 1];
        if (k->hash == hash && k->len == len && (len == 0 || memcmp(t->bytes + k->at, key, len) == 0))
            return n - 1;
    }
    return -1;
}

int64_t intern_find(const struct intern *t, const void *key, size_t len)
{
    return find(t, key, len, hash_of(key, len));
}

int64_t intern_number(struct intern *t, const void *key, size_t len)
{
    uint32_t hash = hash_of(key, len);
    int64_t n = find(t, key, len, hash);

    return n >= 0 ? n : add(t, key, len, hash);
}

const void *intern_key(const struct intern *t, size_t number, size_t *len)
{
    *len = t->key[number].len;
    return t->bytes + t->key[number].at;
}
