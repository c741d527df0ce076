/* SPDX-License-Identifier: MIT
 *
 * board.h: what the governor tells publishers: the list of verdicts and guards (schema/wire.md), made by
 * the writer after a commit, immutable once it is on the stand, read by the thread that sends.
 */
#ifndef COLLECTOR_BOARD_H
#define COLLECTOR_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOARD_ENTRIES_MAX 4096
#define BOARD_BYTES_MAX   (1024 * 1024)

/* An entry, packed but for its fifth element: how long until it opens is told in durations. */
struct board_entry {
    uint32_t before, after; /* where its two parts begin in bytes: kind to conditions; text to unit */
    uint32_t end;           /* of the second */
    int64_t opens_ms;       /* wall time; INT64_MAX: not by itself */
};

struct board {
    _Atomic int references;
    uint64_t version;
    bool overflow;
    struct board_entry *entries; /* owned */
    size_t count;
    uint8_t *bytes; /* owned */
    size_t len;
};

struct board *board_hold(struct board *b);
void board_release(struct board *b); /* NULL is fine */

/* Where the latest board stands. */
struct board_stand;
struct board_stand *board_stand_new(void);
void board_stand_free(struct board_stand *s); /* NULL is fine */

/* Takes the board over and calls what was set to be called. */
void board_stand_put(struct board_stand *s, struct board *b);
/* The latest one, held for the caller; NULL: there is none yet. */
struct board *board_stand_take(struct board_stand *s);
/* changed(arg) is called on the writer's thread after each put; NULL: nobody. */
void board_stand_notify(struct board_stand *s, void (*changed)(void *arg), void *arg);

#endif
