/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../../schema/event_id.h"
#include "../base/msgpack_reader.h"

#define SOURCES_CACHED  1024
#define SESSIONS_CACHED (32 * 1024)
#define DIMS_CACHED     (16 * 1024)
#define KEY_BYTES_MEAN  128
#define DIMS_ID_BITS    30
#define DIMS_ID_MAX     ((1U << DIMS_ID_BITS) - 1)
#define CANONICAL_MAX   (DIMS_TEXTS * 260 + 16 * 2 * 260 * 6 + 64) /* tags as JSON, all escaped */

int names_init(struct names *n, struct store *store)
{
    int rc;

    *n = (struct names){ .store = store };
    if (memo_init(&n->sources, SOURCES_CACHED, SOURCES_CACHED * KEY_BYTES_MEAN) != 0 ||
        memo_init(&n->sessions, SESSIONS_CACHED, SESSIONS_CACHED * KEY_BYTES_MEAN / 2) != 0 ||
        memo_init(&n->dims, DIMS_CACHED, DIMS_CACHED * KEY_BYTES_MEAN) != 0)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, "SELECT id FROM source WHERE name=?", &n->find_source)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO source VALUES(NULL,?,?)", &n->add_source)) != 0 ||
        (rc = store_prepare(store, "SELECT id FROM session WHERE key=?", &n->find_session)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO session VALUES(NULL,?,?,?,?)", &n->add_session)) != 0 ||
        (rc = store_prepare(store, "SELECT id FROM dims WHERE key=?", &n->find_dims)) != 0)
        return rc;
    return store_prepare(store, "INSERT INTO dims VALUES(NULL,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", &n->add_dims);
}

void names_fini(struct names *n)
{
    memo_fini(&n->sources);
    memo_fini(&n->sessions);
    memo_fini(&n->dims);
}

void names_forget(struct names *n)
{
    memo_clear(&n->sources);
    memo_clear(&n->sessions);
    memo_clear(&n->dims);
}

/* find has its key bound already; add everything. */
static int find_or_add(struct names *n, sqlite3_stmt *find, sqlite3_stmt *add, uint32_t *out)
{
    int rc = sqlite3_step(find);

    if (rc == SQLITE_ROW)
        *out = (uint32_t)sqlite3_column_int64(find, 0);
    sqlite3_reset(find);
    if (rc == SQLITE_ROW)
        return 0;
    if (rc != SQLITE_DONE)
        return -rc;
    if ((rc = store_run(add)) == 0)
        *out = (uint32_t)sqlite3_last_insert_rowid(n->store->db);
    return rc;
}

int names_source(struct names *n, const char *name, int64_t now_ms, uint32_t *out)
{
    struct slice key = { (const uint8_t *)name, (uint32_t)strlen(name) };
    uint64_t hash;

    if ((*out = memo_get(&n->sources, 0, key, &hash)) != 0)
        return 0;
    bind_text(n->find_source, 1, key);
    bind_text(n->add_source, 1, key);
    sqlite3_bind_int64(n->add_source, 2, now_ms);
    int rc = find_or_add(n, n->find_source, n->add_source, out);
    if (rc == 0)
        memo_put(&n->sources, key, hash, *out);
    return rc;
}

/* ------------------------------------------------ one spelling for each key */

/* The key of a row is a hash of its names in one spelling, whatever way the wire spelled them. */
struct canonical {
    uint8_t bytes[CANONICAL_MAX];
    size_t len;
};

static void canonical_text(struct canonical *c, struct slice s)
{
    uint16_t len = (uint16_t)s.len;

    memcpy(c->bytes + c->len, &len, sizeof len);
    c->len += sizeof len;
    if (s.at != NULL)
        memcpy(c->bytes + c->len, s.at, s.len);
    c->len += s.len;
}

int names_session(struct names *n, struct slice wire, uint32_t *out)
{
    struct session_names names;
    struct canonical c;
    uint8_t key[16];
    uint64_t hash;

    if ((*out = memo_get(&n->sessions, 0, wire, &hash)) != 0)
        return 0;
    c.len = 0;
    session_names_read(wire, &names);
    for (int i = 0; i < SESSION_TEXTS; i++) {
        canonical_text(&c, names.text[i]);
        bind_text(n->add_session, 2 + i, names.text[i]);
    }
    tg_hash128(c.bytes, c.len, key);
    sqlite3_bind_blob(n->find_session, 1, key, sizeof key, SQLITE_STATIC);
    sqlite3_bind_blob(n->add_session, 1, key, sizeof key, SQLITE_STATIC);
    int rc = find_or_add(n, n->find_session, n->add_session, out);
    if (rc == 0)
        memo_put(&n->sessions, wire, hash, *out);
    return rc;
}

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

static void bind_dims(struct names *n, uint32_t source, const struct dims_names *d, const char *tags,
                      const uint8_t key[16])
{
    int at = 1;

    sqlite3_bind_blob(n->add_dims, at++, key, 16, SQLITE_STATIC);
    sqlite3_bind_int64(n->add_dims, at++, source);
#define TG_DIMS_TEXT(name) bind_text(n->add_dims, at++, d->text[DIM_##name]);
#define TG_DIMS_ENUM(name) \
    bind_num(n->add_dims, at++, d->code[DIM_##name] != 0 ? d->code[DIM_##name] : UNKNOWN);
#define TG_DIMS_TAGS(name)       \
    bind_text(n->add_dims, at++, \
              (struct slice){ (const uint8_t *)tags, tags != NULL ? (uint32_t)strlen(tags) : 0 });
#include "../../schema/event.def"
}

static int dims_row(struct names *n, uint32_t source, struct slice wire, uint32_t *out, uint8_t *granularity)
{
    struct dims_names d;
    struct canonical c;
    uint8_t key[16];

    dims_names_read(wire, &d);
    *granularity = d.code[DIM_granularity] != 0 ? d.code[DIM_granularity] : GRANULARITY_call;
    char *tags = tags_json(d.tags);
    memcpy(c.bytes, &source, sizeof source);
    c.len = sizeof source;
    for (int i = 0; i < DIMS_TEXTS; i++)
        canonical_text(&c, d.text[i]);
    memcpy(c.bytes + c.len, d.code, DIMS_ENUMS);
    c.len += DIMS_ENUMS;
    if (tags != NULL)
        canonical_text(&c, (struct slice){ (const uint8_t *)tags, (uint32_t)strlen(tags) });
    tg_hash128(c.bytes, c.len, key);
    bind_dims(n, source, &d, tags, key);
    sqlite3_bind_blob(n->find_dims, 1, key, sizeof key, SQLITE_STATIC);
    int rc = find_or_add(n, n->find_dims, n->add_dims, out);
    free(tags);
    return rc;
}

/* The cache keeps the granularity in the two highest bits of the id. */
int names_dims(struct names *n, uint32_t source, struct slice wire, uint32_t *out, uint8_t *granularity)
{
    uint64_t hash;
    uint32_t both = memo_get(&n->dims, source, wire, &hash);
    int rc = 0;

    if (both == 0) {
        rc = dims_row(n, source, wire, out, granularity);
        if (rc == 0 && *out > DIMS_ID_MAX)
            rc = -SQLITE_FULL;
        if (rc == 0)
            memo_put(&n->dims, wire, hash, *out | (uint32_t)*granularity << DIMS_ID_BITS);
        return rc;
    }
    *out = both & DIMS_ID_MAX;
    *granularity = (uint8_t)(both >> DIMS_ID_BITS);
    return 0;
}
