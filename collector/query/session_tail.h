/* SPDX-License-Identifier: MIT
 *
 * session_tail.h: what came to sessions since the projection was last flushed: the rows of the log behind
 * its watermark, about a second's worth, by session. One request, one thread.
 */
#ifndef COLLECTOR_QUERY_SESSION_TAIL_H
#define COLLECTOR_QUERY_SESSION_TAIL_H

#include "../base/stored.h"
#include "pool.h"
#include "session_totals.h"

#define SESSION_TAIL_MAX  (1u << 20) /* rows; over it: 503, the projection is being rebuilt */
#define SESSION_TAIL_NONE UINT32_MAX

/* tokens, as an expression over dispatch e. */
#define SESSION_TAIL_TOKENS \
    "coalesce(" STORED_TOTAL_TOKENS ",coalesce(e.prompt_tokens,0)+coalesce(e.completion_tokens,0))"

struct tail_entry {
    uint32_t session, dims; /* dims: as in struct session_totals */
    bool dispatched, seen;  /* seen: for the reader's own use */
    uint32_t newest;        /* its last row, an index */
    int64_t first_ms, last_ms;
    int64_t key; /* the sum of what was asked for */
};

struct tail_row {
    int64_t id;
    uint32_t before; /* the session's row before, an index; SESSION_TAIL_NONE */
    bool message;
};

struct session_tail {
    struct tail_entry *entry; /* owned */
    struct tail_row *row;     /* owned; dispatches upwards, then messages upwards, maybe several times */
    uint32_t *slot;           /* owned: entry + 1 */
    size_t entries, entry_room, rows, row_room, slots;
};

/* key: an SQL expression over dispatch e, summed over those that count; NULL: SESSION_TAIL_TOKENS, and
 * quickly: what the requests before have read is remembered. Inside a transaction, on a zeroed tail;
 * fini is due in any case. 0, or -1 and *p filled. */
int session_tail_read(struct session_tail *t, struct pool_connection *c, const char *key, struct problem *p);
void session_tail_fini(struct session_tail *t);

/* The entry of a session, or NULL. */
struct tail_entry *session_tail_find(const struct session_tail *t, int64_t session);

/* Adds the rows of an entry to totals. 0, or -1 and *p filled. */
int session_tail_totals(const struct session_tail *t, const struct tail_entry *e, struct pool_connection *c,
                        struct problem *p, struct session_totals *to);

/* Takes one row more, of a session. 0, or -1 and *p filled. */
int session_tail_add(struct session_tail *t, int64_t id, int64_t session, int64_t dims, int64_t ms,
                     int64_t key, bool message, struct problem *p);

/* Makes to, which is zeroed, the same as from. 0, or -1 and *p filled. */
int session_tail_copy(const struct session_tail *from, struct session_tail *to, struct problem *p);

#endif
