/* SPDX-License-Identifier: MIT
 *
 * presence.h: which agents used which models in a time, and when each was there last, to the minute where
 * the rollups' minutes are kept.
 */
#ifndef COLLECTOR_QUERY_PRESENCE_H
#define COLLECTOR_QUERY_PRESENCE_H

#include "dictionary.h"
#include "filter.h"
#include "intern.h"
#include "pool.h"

enum presence_by { PRESENCE_AGENTS, PRESENCE_MODELS };

/* An agent, or a model of a provider: texts of the dictionary, 0 is unknown. */
struct presence_group {
    uint32_t name[2];
    unsigned others; /* models of that agent, agents of that model */
    int64_t last_ms; /* when the minute of its last call began */
};

struct presence {
    const struct dictionary *dictionary; /* borrowed from the pool */
    struct presence_group *group;        /* owned */
    struct intern keys;                  /* of the groups' names */
};

struct presence_request {
    int64_t from_ms, to_ms;
    const struct filter *filter; /* borrowed; of combinations only */
    enum presence_by by;
};

/* 0, and fini is due; or -1 and *p filled. */
int presence_read(struct query_pool *pool, const struct presence_request *q, struct monotime deadline,
                  struct problem *p, struct presence *out);
void presence_fini(struct presence *pr);

/* The group with these names (the second is NULL of an agent; NULL: unknown), or NULL. */
const struct presence_group *presence_find(const struct presence *pr, const char *const name[2],
                                           const size_t len[2]);

#endif
