/* SPDX-License-Identifier: MIT */
#include "combinations.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../base/msgpack_reader.h"
#include "canonical.h"

#define CACHED      (16 * 1024)
#define ID_BITS     29 /* id, rollup, granularity and status share 64 bits of the cache */
#define ID_MAX      ((1 << ID_BITS) - 1)
#define STATUS_MASK 7
#define OTHER_SLICE ((struct slice){ (const uint8_t *)COMBINATION_OTHER, sizeof COMBINATION_OTHER - 1 })

enum level { LEVEL_OWN, LEVEL_SOME_OTHER, LEVEL_ALL_OTHER, LEVELS };

/* A row: its names, and the key made of them. */
struct row {
    uint32_t source;
    struct dims_names names;
    struct slice tags; /* as JSON */
    uint8_t key[16];
};

int combinations_init(struct combinations *c, struct store *store, int64_t bound)
{
    int rc;

    *c = (struct combinations){ .store = store, .bound = bound > 0 ? bound : COMBINATIONS_DEFAULT };
    if (memo_init(&c->memo, CACHED) != 0)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, "SELECT id, rollup FROM dims WHERE key=?", &c->find)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO dims VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", &c->add)) !=
            0 ||
        (rc = store_prepare(store, "SELECT id FROM source WHERE name=?", &c->find_source)) != 0)
        return rc;
    return store_prepare(store, "INSERT INTO source VALUES(NULL,?,strftime('%s','now')*1000)",
                         &c->add_source);
}

void combinations_fini(struct combinations *c)
{
    memo_fini(&c->memo);
}

int combinations_recover(struct combinations *c)
{
    int rc = store_number(c->store, "SELECT ifnull(max(id), 0) + 1 FROM dims", &c->next_id);

    memo_clear(&c->memo);
    return rc != 0 ? rc : store_number(c->store, "SELECT count(*) FROM dims WHERE rollup = id", &c->known);
}

/* ----------------------------------------------------------------- overflow */

static void make_key(struct row *r)
{
    struct canonical c;

    canonical_start(&c);
    canonical_bytes(&c, &r->source, sizeof r->source);
    for (int i = 0; i < DIMS_TEXTS; i++)
        canonical_text(&c, r->names.text[i]);
    canonical_bytes(&c, r->names.code, DIMS_ENUMS);
    if (r->tags.at != NULL)
        canonical_text(&c, r->tags);
    canonical_key(&c, r->key);
}

static int other_source(struct combinations *c, uint32_t *out)
{
    bind_text(c->find_source, 1, OTHER_SLICE);
    int rc = sqlite3_step(c->find_source);
    if (rc == SQLITE_ROW)
        *out = (uint32_t)sqlite3_column_int64(c->find_source, 0);
    sqlite3_reset(c->find_source);
    if (rc != SQLITE_DONE)
        return rc == SQLITE_ROW ? 0 : -rc;
    bind_text(c->add_source, 1, OTHER_SLICE);
    if ((rc = store_run(c->add_source)) == 0)
        *out = (uint32_t)sqlite3_last_insert_rowid(c->store->db);
    return rc;
}

/* The row that stands for r at a level. */
static int generalise(struct combinations *c, enum level level, struct row *r)
{
    static const uint8_t many[] = { DIM_user_id, DIM_channel, DIM_error_type, DIM_requested_model };
    int rc = 0;

    if (level == LEVEL_SOME_OTHER) {
        for (size_t i = 0; i < sizeof many; i++)
            if (r->names.text[many[i]].at != NULL)
                r->names.text[many[i]] = OTHER_SLICE;
        if (r->tags.at != NULL)
            r->tags = OTHER_SLICE;
    } else if (level == LEVEL_ALL_OTHER) {
        for (int i = 0; i < DIMS_TEXTS; i++)
            r->names.text[i] = OTHER_SLICE;
        r->tags = OTHER_SLICE;
        rc = other_source(c, &r->source);
    }
    make_key(r);
    return rc;
}

static bool has_room(const struct combinations *c, enum level level)
{
    return level == LEVEL_ALL_OTHER || c->known < (level == LEVEL_OWN ? c->bound : 2 * c->bound);
}

/* --------------------------------------------------------------------- rows */

/* 1: there is one, 0: none, or a negative SQLite code. */
static int find(struct combinations *c, const struct row *r, uint32_t *id, uint32_t *rollup)
{
    sqlite3_bind_blob(c->find, 1, r->key, sizeof r->key, SQLITE_STATIC);
    int rc = sqlite3_step(c->find);
    if (rc == SQLITE_ROW) {
        *id = (uint32_t)sqlite3_column_int64(c->find, 0);
        *rollup = (uint32_t)sqlite3_column_int64(c->find, 1);
    }
    sqlite3_reset(c->find);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* rollup 0: its own id. */
static int add(struct combinations *c, const struct row *r, uint32_t rollup, uint32_t *id)
{
    int at = 1;

    if (c->next_id > ID_MAX)
        return -SQLITE_FULL;
    sqlite3_bind_int64(c->add, at++, c->next_id);
    sqlite3_bind_blob(c->add, at++, r->key, sizeof r->key, SQLITE_STATIC);
    sqlite3_bind_int64(c->add, at++, rollup != 0 ? rollup : c->next_id);
    sqlite3_bind_int64(c->add, at++, r->source);
#define TG_DIMS_TEXT(name) bind_text(c->add, at++, r->names.text[DIM_##name]);
#define TG_DIMS_ENUM(name) \
    bind_num(c->add, at++, r->names.code[DIM_##name] != 0 ? r->names.code[DIM_##name] : UNKNOWN);
#define TG_DIMS_TAGS(name) bind_text(c->add, at++, r->tags);
#include "../../schema/event.def"
    int rc = store_run(c->add);
    if (rc != 0)
        return rc;
    *id = (uint32_t)c->next_id++;
    c->known += rollup == 0;
    return 0;
}

/* Finds or adds r: under its own id, or under what stands for it. */
static int settle(struct combinations *c, struct row *r, struct combination *out)
{
    struct row own = *r;
    int rc = 0;

    out->overflowed = false;
    for (enum level level = LEVEL_OWN; level < LEVELS; level++) {
        if ((rc = generalise(c, level, r)) != 0 || (rc = find(c, r, &out->id, &out->rollup)) < 0)
            return rc;
        if (rc == 1)
            break;
        if (has_room(c, level)) {
            if ((rc = add(c, r, 0, &out->id)) != 0)
                return rc;
            out->rollup = out->id;
            break;
        }
    }
    make_key(&own);
    if (memcmp(own.key, r->key, sizeof own.key) == 0)
        return 0;
    out->overflowed = true;
    return add(c, &own, out->rollup, &out->id);
}

/* ------------------------------------------------------------------ reading */

/* Tags as a JSON object with sorted names; NULL for none. Owned by the caller. */
static char *tags_json(struct slice wire)
{
    struct mp mp = mp_of(wire);
    struct mp_value pairs, name, value;

    if (wire.at == NULL || !mp_read(&mp, &pairs))
        return NULL;
    json_t *object = json_object();
    for (uint32_t i = 0; i < pairs.count && mp_read(&mp, &name) && mp_read(&mp, &value); i++) {
        char text[256];
        memcpy(text, name.s.at, name.s.len);
        text[name.s.len] = '\0';
        json_object_set_new(object, text, json_stringn((const char *)value.s.at, value.s.len));
    }
    char *json = json_dumps(object, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(object);
    return json;
}

static int meet(struct combinations *c, uint32_t source, struct slice wire, struct combination *out)
{
    struct row r = { .source = source };

    dims_names_read(wire, &r.names);
    char *tags = tags_json(r.names.tags);
    if (tags != NULL)
        r.tags = (struct slice){ (const uint8_t *)tags, (uint32_t)strlen(tags) };
    out->granularity = r.names.code[DIM_granularity] != 0 ? r.names.code[DIM_granularity] : GRANULARITY_call;
    out->status = r.names.code[DIM_status];
    int rc = settle(c, &r, out);
    free(tags);
    return rc;
}

int combinations_get(struct combinations *c, uint32_t source, struct slice wire, struct combination *out)
{
    struct memo_key key;
    uint64_t all = memo_get(&c->memo, source, wire, &key);

    if (all == 0) {
        int rc = meet(c, source, wire, out);
        if (rc == 0)
            memo_put(&c->memo, key,
                     out->id | (uint64_t)out->rollup << ID_BITS | (uint64_t)out->granularity << 2 * ID_BITS |
                         (uint64_t)(out->status & STATUS_MASK) << (2 * ID_BITS + 2));
        return rc;
    }
    out->overflowed = false;
    out->id = all & ID_MAX;
    out->rollup = all >> ID_BITS & ID_MAX;
    out->granularity = all >> 2 * ID_BITS & 3;
    out->status = all >> (2 * ID_BITS + 2) & STATUS_MASK;
    return 0;
}
