/* SPDX-License-Identifier: MIT
 *
 * session_tree.h: which sessions are beneath one, and how deep: by the root and the parent that their
 * events told. Cycles and unknown parents do no harm. One request, one thread.
 */
#ifndef COLLECTOR_QUERY_SESSION_TREE_H
#define COLLECTOR_QUERY_SESSION_TREE_H

#include "intern.h"
#include "pool.h"
#include "session_set.h"

/* A session, by name. */
struct tree_node {
    bool found; /* beneath the one that was asked for, or it itself */
    unsigned depth;
    uint32_t first_child; /* a link + 1; 0: none */
};

/* A row told that node is a child of parent, or, at least, of the group that owner is the root of. */
struct tree_link {
    uint32_t node, parent, owner; /* nodes */
    uint32_t next;                /* of the same parent: a link + 1 */
};

struct session_tree {
    struct intern names;       /* session_id of each node */
    struct session_set groups; /* roots whose groups have been read */
    size_t read;               /* how many */
    struct tree_node *node;    /* owned */
    struct tree_link *link;    /* owned */
    uint32_t *order;           /* owned; the nodes that were found, parents before children */
    size_t node_room, links, link_room, found;
    unsigned max;
    bool truncated; /* there are more */
};

/* Finds at most max sessions beneath the one with this name. order[0] is itself. fini is due in any case.
 * 0, or -1 and *p filled. */
int session_tree_read(struct session_tree *t, struct pool_connection *c, const char *session_id, unsigned max,
                      struct problem *p);
void session_tree_fini(struct session_tree *t);

/* The name of a node, terminated, until the next call; NULL: no memory. */
const char *session_tree_name(struct session_tree *t, uint32_t node);

#endif
