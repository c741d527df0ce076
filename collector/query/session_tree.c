/* SPDX-License-Identifier: MIT
 *
 * Rows of the table session are grouped by root. A session's children are in the group of its own root, or
 * in the group of which it is itself the root. Sessions are found breadth first, each once, so a cycle
 * ends where it began; the groups of each are read into links, each group once. What a group holds
 * without a path of parents to its root is right beneath the root.
 */
#include "session_tree.h"

#include <stdlib.h>
#include <string.h>

#define LINKS_OF_NODE 8 /* links that are kept for each node that may be found */

void session_tree_fini(struct session_tree *t)
{
    intern_fini(&t->names);
    session_set_fini(&t->groups);
    free(t->node);
    free(t->link);
    free(t->order);
}

const char *session_tree_name(struct session_tree *t, uint32_t node)
{
    size_t len;

    return intern_key(&t->names, node, &len);
}

static int no_memory(struct problem *p)
{
    return problem_set(p, 503, "out of memory");
}

/* The node of a name; the names are kept with their ends. */
static int node_of(struct session_tree *t, const char *name, struct problem *p, uint32_t *out)
{
    int64_t n = intern_number(&t->names, name, strlen(name) + 1);

    if (n >= 0 && (size_t)n >= t->node_room) {
        size_t room = t->node_room ? 2 * t->node_room : 16;
        struct tree_node *fresh = realloc(t->node, room * sizeof *fresh);
        if (!fresh)
            return no_memory(p);
        memset(fresh + t->node_room, 0, (room - t->node_room) * sizeof *fresh);
        t->node = fresh;
        t->node_room = room;
    }
    if (n < 0)
        return no_memory(p);
    *out = (uint32_t)n;
    return 0;
}

static int link_add(struct session_tree *t, struct tree_link link, struct problem *p)
{
    if (t->links == t->link_room) {
        size_t room = t->link_room ? 2 * t->link_room : 16;
        struct tree_link *fresh = realloc(t->link, room * sizeof *fresh);
        if (!fresh)
            return no_memory(p);
        t->link = fresh;
        t->link_room = room;
    }
    link.next = t->node[link.parent].first_child;
    t->link[t->links++] = link;
    t->node[link.parent].first_child = (uint32_t)t->links;
    return 0;
}

/* A row of a group: session_id, parent_session_id. */
static int take_row(struct session_tree *t, sqlite3_stmt *stmt, uint32_t owner, struct problem *p)
{
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    const char *parent = (const char *)sqlite3_column_text(stmt, 1);
    struct tree_link link = { .parent = owner, .owner = owner };

    if (!name)
        return 0;
    if (node_of(t, name, p, &link.node) != 0 || (parent && node_of(t, parent, p, &link.parent) != 0))
        return -1;
    return link_add(t, link, p);
}

/* Reads the group of a root, once. */
static int read_group(struct session_tree *t, struct pool_connection *c, int64_t root, uint32_t owner,
                      struct problem *p)
{
    static const char sql[] = "SELECT session_id,parent_session_id FROM session WHERE root=?1 AND root<>id";
    sqlite3_stmt *stmt;
    int added = session_set_add(&t->groups, root, p), result = 0;

    if (added <= 0 || t->groups.ids.count == t->read) /* too many, or read already */
        return added < 0 ? -1 : 0;
    t->read = t->groups.ids.count;
    int rc = pool_prepare(c, sql, &stmt);
    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, root);
    while (result == 0 && (rc = sqlite3_step(stmt)) != SQLITE_DONE) {
        t->truncated |= t->links >= (size_t)t->max * LINKS_OF_NODE;
        if (t->truncated)
            break;
        result = rc == SQLITE_ROW ? take_row(t, stmt, owner, p) : pool_problem(c, rc, p);
    }
    sqlite3_reset(stmt);
    return result;
}

/* The group of which a row is the root, and the one to which it belongs. */
static int read_groups_of(struct session_tree *t, struct pool_connection *c, int64_t row, uint32_t node,
                          struct problem *p)
{
    sqlite3_stmt *stmt;
    uint32_t owner;
    int64_t root = 0;
    int result = read_group(t, c, row, node, p);
    int rc = pool_prepare(c,
                          "SELECT r.id,r.session_id FROM session s JOIN session r ON r.id=s.root"
                          " WHERE s.id=?1 AND s.root<>s.id AND r.session_id IS NOT NULL",
                          &stmt);

    if (result != 0 || rc != SQLITE_OK)
        return result != 0 ? -1 : pool_problem(c, rc, p);
    sqlite3_bind_int64(stmt, 1, row);
    if (sqlite3_step(stmt) == SQLITE_ROW) {
        root = sqlite3_column_int64(stmt, 0);
        result = node_of(t, (const char *)sqlite3_column_text(stmt, 1), p, &owner);
    }
    rc = sqlite3_reset(stmt);
    if (rc != SQLITE_OK)
        return pool_problem(c, rc, p);
    return result == 0 && root ? read_group(t, c, root, owner, p) : result;
}

/* All groups that rows of this name have to do with. */
static int read_groups(struct session_tree *t, struct pool_connection *c, uint32_t node, struct problem *p)
{
    struct session_set set;

    session_set_init(&set);
    int result = session_set_named(&set, c, session_tree_name(t, node), p) < 0 ? -1 : 0;
    for (size_t i = 0; i < session_set_count(&set) && result == 0; i++)
        result = read_groups_of(t, c, session_set_id(&set, i), node, p);
    session_set_fini(&set);
    return result;
}

/* ---------------------------------------------------------------- finding */

static void found(struct session_tree *t, uint32_t node, unsigned depth)
{
    if (t->node[node].found)
        return;
    if (t->found > t->max) {
        t->truncated = true;
        return;
    }
    t->node[node].found = true;
    t->node[node].depth = depth;
    t->order[t->found++] = node;
}

/* From the first node whose children have not been looked at. */
static int spread(struct session_tree *t, struct pool_connection *c, size_t *next, struct problem *p)
{
    for (; *next < t->found; ++*next) {
        uint32_t node = t->order[*next];
        if (read_groups(t, c, node, p) != 0)
            return -1;
        for (uint32_t l = t->node[node].first_child; l != 0; l = t->link[l - 1].next)
            found(t, t->link[l - 1].node, t->node[node].depth + 1);
    }
    return 0;
}

/* What came too late for its parent's turn, or has no known parent. */
static void attach(struct session_tree *t)
{
    for (size_t i = 0; i < t->links; i++) {
        const struct tree_link *l = &t->link[i];
        uint32_t above = t->node[l->parent].found ? l->parent : l->owner;
        if (t->node[above].found)
            found(t, l->node, t->node[above].depth + 1);
    }
}

int session_tree_read(struct session_tree *t, struct pool_connection *c, const char *session_id, unsigned max,
                      struct problem *p)
{
    uint32_t self;
    size_t next = 0;

    *t = (struct session_tree){ .max = max, .order = malloc((max + 1) * sizeof *t->order) };
    intern_init(&t->names, UINT32_MAX - 1);
    session_set_init(&t->groups);
    if (!t->order)
        return no_memory(p);
    if (node_of(t, session_id, p, &self) != 0)
        return -1;
    found(t, self, 0);
    for (size_t before = 0; before < t->found;) {
        before = t->found;
        if (spread(t, c, &next, p) != 0)
            return -1;
        attach(t);
        if (next == t->found)
            break;
    }
    return 0;
}
