/* SPDX-License-Identifier: MIT
 *
 * counters.c: a table that only grows. An entry is complete before head->counts covers it, so
 * readers and a process that finds the table after a kill need no lock.
 */
#include "counters.h"

#include <string.h>

#include "../schema/event_id.h"

/* Copies what fits, whole characters only. */
static size_t copy(char *out, size_t room, const char *s)
{
    size_t n = strnlen(s, room);

    if (n == room)
        for (n = room - 1; n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
            ;
    memcpy(out, s, n);
    return n;
}

static struct spool_count key(const char *name, const char *label)
{
    struct spool_count k = { .hash = 0 };
    unsigned char hash[16];

    copy(k.name, sizeof k.name, name);
    copy(k.label, sizeof k.label, label);
    tg_hash128((const unsigned char *)k.name, sizeof k.name + sizeof k.label, hash);
    memcpy(&k.hash, hash, sizeof k.hash);
    return k;
}

static bool same(const struct spool_count *a, const struct spool_count *b)
{
    return a->hash == b->hash && strcmp(a->name, b->name) == 0 && strcmp(a->label, b->label) == 0;
}

static struct spool_count *find(struct spool_header *h, const struct spool_count *k)
{
    uint32_t n = atomic_load_explicit(&h->counts, memory_order_acquire);

    for (uint32_t i = 0; i < n; i++)
        if (same(&h->count[i], k))
            return &h->count[i];
    return NULL;
}

/* The entry behind the last is never one of head->counts: its name says so in the report. */
static struct spool_count *find_or_make(struct spool_header *h, const struct spool_count *k)
{
    struct spool_count *c = find(h, k);
    uint32_t n = atomic_load(&h->counts);

    if (c != NULL)
        return c;
    if (n == SPOOL_COUNTS_MAX)
        return &h->count[SPOOL_COUNTS_MAX];
    c = &h->count[n];
    c->hash = k->hash;
    memcpy(c->name, k->name, sizeof c->name);
    memcpy(c->label, k->label, sizeof c->label);
    atomic_store_explicit(&h->counts, n + 1, memory_order_release);
    return c;
}

void counters_add(struct spool_header *h, pthread_mutex_t *mutex, const char *name, const char *label,
                  int64_t n)
{
    struct spool_count k = key(name, label);
    struct spool_count *c = find(h, &k);

    if (c == NULL) {
        pthread_mutex_lock(mutex);
        c = find_or_make(h, &k);
        pthread_mutex_unlock(mutex);
    }
    atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
}
