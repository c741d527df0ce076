/* SPDX-License-Identifier: MIT */
#include "meter_names.h"

#include <stdio.h>
#include <string.h>

#include "../../schema/event_id.h"

static void label_set(char label[LABEL_SIZE], struct slice s)
{
    if (s.at == NULL || s.len == 0)
        s = (struct slice){ (const uint8_t *)"unknown", 7 };
    size_t len = s.len < LABEL_SIZE ? s.len : LABEL_SIZE - 1;
    memcpy(label, s.at, len);
    label[len] = '\0';
}

/* Both names with their ends, and the code: equal bytes are equal entries. */
static uint64_t entry_hash(const struct table_entry *e)
{
    unsigned char bytes[2 * LABEL_SIZE + 1];
    size_t one = strlen(e->one) + 1, two = strlen(e->two) + 1;
    uint64_t half[2];

    memcpy(bytes, e->one, one);
    memcpy(bytes + one, e->two, two);
    bytes[one + two] = e->code;
    tg_hash128(bytes, one + two + 1, (unsigned char *)half);
    return half[0];
}

static bool entry_same(const struct table_entry *a, const struct table_entry *b)
{
    return a->code == b->code && strcmp(a->one, b->one) == 0 && strcmp(a->two, b->two) == 0;
}

static uint32_t entry_add(struct table *t, const struct table_entry *e)
{
    uint32_t i = atomic_load_explicit(&t->used, memory_order_relaxed);

    if (i == t->max)
        return 0;
    t->entry[i] = *e;
    t->hash[i] = entry_hash(e);
    atomic_store_explicit(&t->used, i + 1, memory_order_release);
    return i;
}

void table_init(struct table *t, uint32_t max, const char *first_one, const char *first_two)
{
    struct table_entry e = { .code = 0 };

    atomic_store(&t->used, 0);
    t->max = max;
    snprintf(e.one, sizeof e.one, "%s", first_one);
    snprintf(e.two, sizeof e.two, "%s", first_two);
    entry_add(t, &e);
}

uint32_t table_get(struct table *t, struct slice one, const struct slice *two, uint8_t code)
{
    uint32_t used = atomic_load_explicit(&t->used, memory_order_relaxed);
    struct table_entry e = { .code = code };

    label_set(e.one, one);
    if (two != NULL)
        label_set(e.two, *two);
    uint64_t hash = entry_hash(&e);
    for (uint32_t i = 0; i < used; i++)
        if (t->hash[i] == hash && entry_same(&t->entry[i], &e))
            return i;
    return entry_add(t, &e);
}
