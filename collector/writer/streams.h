/* SPDX-License-Identifier: MIT
 *
 * streams.h: the watermark of each ordered stream (source, epoch, stream): the highest sequence
 * number that is on disk. A bounded cache over the table. Owner: the writer, inside a transaction.
 */
#ifndef COLLECTOR_STREAMS_H
#define COLLECTOR_STREAMS_H

#include "store.h"

#define STREAMS_CACHED (16 * 1024)

struct stream_slot;

struct streams {
    struct store *store;       /* borrowed */
    struct stream_slot *slots; /* owned */
    uint32_t used;
    sqlite3_stmt *find, *save, *prune;
};

struct stream_key {
    uint64_t epoch;
    uint32_t source, stream;
};

int streams_init(struct streams *s, struct store *store);
void streams_fini(struct streams *s);
void streams_forget(struct streams *s); /* after a rollback */

/* 0 for a stream that has never been here. */
int streams_get(struct streams *s, struct stream_key key, uint64_t *settled);
int streams_set(struct streams *s, struct stream_key key, uint64_t settled, int64_t now_ms);

/* Forgets streams that said nothing since before_ms. */
int streams_prune(struct streams *s, int64_t before_ms);

#endif
