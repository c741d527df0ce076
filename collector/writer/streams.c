/* SPDX-License-Identifier: MIT */
#include "streams.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS ((uint32_t)2 * STREAMS_CACHED)

struct stream_slot {
    struct stream_key key; /* source 0: free */
    uint64_t settled;
};

int streams_init(struct streams *s, struct store *store)
{
    int rc;

    *s = (struct streams){ .store = store, .slots = calloc(SLOTS, sizeof(struct stream_slot)) };
    if (s->slots == NULL)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, "SELECT settled FROM stream WHERE source=? AND epoch=? AND stream=?",
                            &s->find)) != 0 ||
        (rc = store_prepare(store,
                            "INSERT INTO stream VALUES(?,?,?,?,?) ON CONFLICT DO UPDATE"
                            " SET settled=excluded.settled, last_seen_ms=excluded.last_seen_ms",
                            &s->save)) != 0)
        return rc;
    return store_prepare(store, "DELETE FROM stream WHERE last_seen_ms<?", &s->prune);
}

void streams_fini(struct streams *s)
{
    free(s->slots);
    s->slots = NULL;
}

void streams_forget(struct streams *s)
{
    memset(s->slots, 0, SLOTS * sizeof *s->slots);
    s->used = 0;
}

static struct stream_slot *slot_of(struct streams *s, struct stream_key key)
{
    uint64_t hash = (key.epoch ^ ((uint64_t)key.source << 32 | key.stream)) * 0x9e3779b97f4a7c15ULL;
    uint32_t i = (uint32_t)(hash >> 40) & (SLOTS - 1);

    while (s->slots[i].key.source != 0 && memcmp(&s->slots[i].key, &key, sizeof key) != 0)
        i = (i + 1) & (SLOTS - 1);
    return &s->slots[i];
}

static void remember(struct streams *s, struct stream_key key, uint64_t settled)
{
    if (s->used == STREAMS_CACHED)
        streams_forget(s);
    struct stream_slot *slot = slot_of(s, key);
    if (slot->key.source == 0)
        s->used++;
    *slot = (struct stream_slot){ key, settled };
}

static void bind_key(sqlite3_stmt *stmt, struct stream_key key)
{
    sqlite3_bind_int64(stmt, 1, key.source);
    sqlite3_bind_int64(stmt, 2, (int64_t)key.epoch);
    sqlite3_bind_int64(stmt, 3, key.stream);
}

int streams_get(struct streams *s, struct stream_key key, uint64_t *settled)
{
    struct stream_slot *slot = slot_of(s, key);

    if (slot->key.source != 0) {
        *settled = slot->settled;
        return 0;
    }
    bind_key(s->find, key);
    int rc = sqlite3_step(s->find);
    uint64_t found = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s->find, 0) : 0;
    sqlite3_reset(s->find);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return -rc;
    remember(s, key, found);
    *settled = found;
    return 0;
}

int streams_set(struct streams *s, struct stream_key key, uint64_t settled, int64_t now_ms)
{
    remember(s, key, settled);
    bind_key(s->save, key);
    sqlite3_bind_int64(s->save, 4, (int64_t)settled);
    sqlite3_bind_int64(s->save, 5, now_ms);
    return store_run(s->save);
}

int streams_prune(struct streams *s, int64_t before_ms)
{
    streams_forget(s);
    sqlite3_bind_int64(s->prune, 1, before_ms);
    return store_run(s->prune);
}
