/* SPDX-License-Identifier: MIT */
#include "memo.h"

#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"

#define WAYS 4

struct memo_slot {
    uint64_t print, value; /* value 0: free */
    uint32_t check, used;  /* used: the clock when it was last asked for */
};

int memo_init(struct memo *m, uint32_t entries)
{
    *m = (struct memo){ .sets = entries / WAYS };
    m->slots = calloc(entries, sizeof *m->slots);
    return m->slots != NULL ? 0 : -1;
}

void memo_fini(struct memo *m)
{
    free(m->slots);
    *m = (struct memo){ 0 };
}

void memo_clear(struct memo *m)
{
    memset(m->slots, 0, (size_t)m->sets * WAYS * sizeof *m->slots);
}

static struct memo_slot *set_of(const struct memo *m, struct memo_key key)
{
    return &m->slots[(size_t)(key.print & (m->sets - 1)) * WAYS];
}

uint64_t memo_get(struct memo *m, uint32_t scope, struct slice bytes, struct memo_key *key)
{
    uint64_t half[2];

    tg_hash128(bytes.at, bytes.len, (unsigned char *)half);
    *key = (struct memo_key){ half[0] + scope * 0x9e3779b97f4a7c15ULL, (uint32_t)half[1] };
    struct memo_slot *s = set_of(m, *key);
    for (int i = 0; i < WAYS; i++)
        if (s[i].print == key->print && s[i].check == key->check && s[i].value != 0) {
            s[i].used = m->clock;
            return s[i].value;
        }
    return 0;
}

void memo_put(struct memo *m, struct memo_key key, uint64_t value)
{
    struct memo_slot *s = set_of(m, key), *give_up = s;

    m->clock++;
    for (int i = 0; i < WAYS && give_up->value != 0; i++)
        if (s[i].value == 0 || m->clock - s[i].used > m->clock - give_up->used)
            give_up = &s[i];
    *give_up = (struct memo_slot){ key.print, value, key.check, m->clock };
}
