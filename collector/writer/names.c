/* SPDX-License-Identifier: MIT */
#include "names.h"

#include <string.h>

#include "../base/session_name.h"
#include "canonical.h"

#define SOURCES_CACHED  1024
#define SESSIONS_CACHED (128 * 1024)

int names_init(struct names *n, struct store *store, int64_t bound)
{
    int rc;

    *n = (struct names){ .store = store };
    if (memo_init(&n->sources, SOURCES_CACHED) != 0 || memo_init(&n->sessions, SESSIONS_CACHED) != 0)
        return -SQLITE_NOMEM;
    if ((rc = store_prepare(store, "SELECT id FROM source WHERE name=?", &n->find_source)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO source VALUES(NULL,?,?)", &n->add_source)) != 0 ||
        (rc = store_prepare(store, "SELECT id FROM session WHERE key=?", &n->find_session)) != 0 ||
        (rc = store_prepare(store,
                            "SELECT id FROM session WHERE name=? AND session_id=?"
                            " ORDER BY parent_session_id IS NOT NULL, id LIMIT 1",
                            &n->find_root)) != 0 ||
        (rc = store_prepare(store, "INSERT INTO session VALUES(?,?,?,?,?,?,?)", &n->add_session)) != 0)
        return rc;
    return combinations_init(&n->combinations, store, bound);
}

void names_fini(struct names *n)
{
    memo_fini(&n->sources);
    memo_fini(&n->sessions);
    combinations_fini(&n->combinations);
}

int names_recover(struct names *n)
{
    int rc = store_number(n->store, "SELECT ifnull(max(id), 0) + 1 FROM session", &n->next_session);

    if (rc == 0)
        rc = store_number(n->store, "SELECT count(*) FROM session", &n->known);
    memo_clear(&n->sources);
    memo_clear(&n->sessions);
    return rc != 0 ? rc : combinations_recover(&n->combinations);
}

void names_forget_sessions(struct names *n, int64_t deleted)
{
    n->known -= deleted;
    memo_clear(&n->sessions);
}

/* The statement's key is bound already. 1: *out is the row's id, 0: there is none, or a negative SQLite code.
 */
static int find(sqlite3_stmt *stmt, uint32_t *out)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW)
        *out = (uint32_t)sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

int names_source(struct names *n, const char *name, int64_t now_ms, uint32_t *out)
{
    struct slice text = { (const uint8_t *)name, (uint32_t)strlen(name) };
    struct memo_key key;

    if ((*out = (uint32_t)memo_get(&n->sources, 0, text, &key)) != 0)
        return 0;
    bind_text(n->find_source, 1, text);
    int rc = find(n->find_source, out);
    if (rc == 0) {
        bind_text(n->add_source, 1, text);
        sqlite3_bind_int64(n->add_source, 2, now_ms);
        rc = store_run(n->add_source);
        *out = (uint32_t)sqlite3_last_insert_rowid(n->store->db);
    }
    if (rc < 0)
        return rc;
    memo_put(&n->sources, key, *out);
    return 0;
}

/* ----------------------------------------------------------------- sessions */

static bool same_text(struct slice a, struct slice b)
{
    return a.at != NULL && b.at != NULL && a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

/* root 0: its own id. */
static int add_session(struct names *n, const struct session_names *s, const uint8_t key[16], uint32_t root,
                       uint32_t *out)
{
    if (n->next_session > UINT32_MAX)
        return -SQLITE_FULL;
    sqlite3_bind_int64(n->add_session, 1, n->next_session);
    sqlite3_bind_blob(n->add_session, 2, key, 16, SQLITE_STATIC);
    sqlite3_bind_int64(n->add_session, 3, session_name(s->text[S_session_id]));
    sqlite3_bind_int64(n->add_session, 4, root != 0 ? root : n->next_session);
    for (int i = 0; i < SESSION_TEXTS; i++)
        bind_text(n->add_session, 5 + i, s->text[i]);
    int rc = store_run(n->add_session);
    if (rc != 0)
        return rc;
    *out = (uint32_t)n->next_session++;
    n->known++;
    return 0;
}

static void session_key(const struct session_names *s, uint8_t key[16])
{
    struct canonical c;

    canonical_start(&c);
    for (int i = 0; i < SESSION_TEXTS; i++)
        canonical_text(&c, s->text[i]);
    canonical_key(&c, key);
}

/* The row of the root itself, made if no event has told of it yet. 0: s is its own root. */
static int root_of(struct names *n, const struct session_names *s, uint32_t *out)
{
    struct session_names root = { .text = { [S_session_id] = s->text[S_root_session_id] } };
    uint8_t key[16];

    *out = 0;
    if (root.text[S_session_id].at == NULL || same_text(root.text[S_session_id], s->text[S_session_id]))
        return 0;
    sqlite3_bind_int64(n->find_root, 1, session_name(root.text[S_session_id]));
    bind_text(n->find_root, 2, root.text[S_session_id]);
    int rc = find(n->find_root, out);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    session_key(&root, key);
    return add_session(n, &root, key, 0, out);
}

int names_session(struct names *n, struct slice wire, uint32_t *out)
{
    struct session_names names;
    struct memo_key memo_key;
    uint8_t key[16];
    uint32_t root;

    if ((*out = (uint32_t)memo_get(&n->sessions, 0, wire, &memo_key)) != 0)
        return 0;
    session_names_read(wire, &names);
    session_key(&names, key);
    sqlite3_bind_blob(n->find_session, 1, key, sizeof key, SQLITE_STATIC);
    int rc = find(n->find_session, out);
    if (rc == 0 && (rc = root_of(n, &names, &root)) == 0)
        rc = add_session(n, &names, key, root, out);
    if (rc < 0)
        return rc;
    memo_put(&n->sessions, memo_key, *out);
    return 0;
}
