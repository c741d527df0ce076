/* SPDX-License-Identifier: MIT
 *
 * spans.h: the session index: where in the log each session's rows are. A span is a piece of the
 * log, written in the order of sessions: one slice, of packed ids, for each session in it. Part of
 * the projection 'session', whose watermark sessions.h keeps. Owner: the writer.
 *
 * Each flush writes one span of tier 0. When SPANS_FAN spans of a tier stand at the end they become
 * one of the next tier; when all that is not final comes to SPANS_FINAL_ROWS it becomes one final span
 * and is never touched again. So each row is written a few times at most, and a session is read
 * from few places. Memory holds session and id of the rows behind the last final span, so that
 * nothing is read back to merge; at the start they are read from the log again.
 */
#ifndef COLLECTOR_SPANS_H
#define COLLECTOR_SPANS_H

#include "log_row.h"
#include "store.h"

#define SPANS_FAN        8
#define SPANS_FINAL_ROWS 131072
#define SPANS_FINAL_TIER 16               /* above any other */
#define SPANS_ROOM       SPANS_FINAL_ROWS /* then it is flushed, whatever the time */
#define SPANS_TAIL_MAX   (SPANS_FAN * SPANS_FINAL_TIER)

struct spans_entry;

/* A span that is on disk and not final: the entries from start on, up to the next one's. */
struct spans_piece {
    int64_t span;
    uint32_t start;
    int tier;
};

struct spans {
    struct store *store;          /* borrowed */
    struct spans_entry *entries;  /* owned; by id, grows up to SPANS_ROOM */
    uint32_t used, room, flushed; /* flushed: how many of them the pieces hold */
    struct spans_entry *scratch;  /* owned; of a flush */
    uint32_t scratch_room;
    int64_t base; /* entries keep their id's distance from it */
    struct spans_piece piece[SPANS_TAIL_MAX];
    int pieces;
    uint8_t *packed; /* owned; one slice */
    size_t packed_room;
    bool no_memory; /* an entry was lost: the next flush fails */
    sqlite3_stmt *add_span, *add_slice, *drop_span, *drop_slices, *find;
};

int spans_init(struct spans *s, struct store *store);
void spans_fini(struct spans *s);

/* Forgets what is in memory and reads the rows of the spans that are not final again, which are at
 * or below the watermark. 0 or a negative SQLite code. */
int spans_start(struct spans *s, int64_t watermark);

/* The next row of the log with a session. */
void spans_add(struct spans *s, int64_t id, uint32_t session);

/* A flush must come before the next row. */
bool spans_is_full(const struct spans *s);

/* Looks at a row: 1: it is one of those that are wanted, 0: it is not, or a negative SQLite code. It may
 * neither add nor flush. */
typedef int (*spans_wants)(void *arg, int64_t id);

/* The first wanted rows of a session with from <= id <= to, in order: at most max, into out. Returns how
 * many, or a negative SQLite code. */
int spans_find(struct spans *s, uint32_t session, int64_t from, int64_t to, spans_wants wants, void *arg,
               int64_t *out, int max);

/* Inside a transaction: what came since the last flush, to the file. */
int spans_flush(struct spans *s);

#endif
