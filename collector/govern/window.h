/* SPDX-License-Identifier: MIT
 *
 * window.h: over which time a budget counts. A calendar window is known by the instant at which it
 * starts, in its zone; nothing resets it. A sliding window counts in WINDOW_BUCKETS pieces, each known
 * by its start; it holds the pieces that have not wholly gone out, so it is never less than the time
 * it names. Pure; the zone is borrowed and never changes. A clock that jumps changes what is asked, not the
 * answer: the same instant is always in the same cell.
 */
#ifndef COLLECTOR_WINDOW_H
#define COLLECTOR_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "../base/zone.h"
#include "duration.h"

#define WINDOW_BUCKETS      60
#define WINDOW_SLIDING_MIN  ((int64_t)60 * 1000) /* a minute */
#define WINDOW_SLIDING_MAX  ((int64_t)366 * 24 * 3600 * 1000)
#define WINDOW_SLIDING_STEP ((int64_t)3000) /* its pieces are whole milliseconds, it is whole seconds */
#define WINDOW_NEVER        INT64_MAX

enum window_kind {
    WINDOW_HOUR,
    WINDOW_DAY,
    WINDOW_WEEK,
    WINDOW_MONTH,
    WINDOW_SLIDING,
    WINDOW_SESSION,
    WINDOW_TOTAL
};

struct window {
    enum window_kind kind;
    int64_t length_ms;       /* of WINDOW_SLIDING: a multiple of WINDOW_SLIDING_STEP; else 0 */
    const struct zone *zone; /* of calendar windows; borrowed; else may be NULL */
};

/* Start of the cell in which ms counts: the window's, or of a sliding one the piece's. WINDOW_SESSION and
 * WINDOW_TOTAL: 0. */
int64_t window_start(const struct window *w, int64_t ms);

/* When the cell that starts there is over: the first ms that does not count in it. WINDOW_NEVER. */
int64_t window_end(const struct window *w, int64_t start_ms);

/* The earliest cell start that the window at now_ms holds: of a calendar window its start; of a sliding one
 * the oldest piece that is not wholly out. */
int64_t window_first(const struct window *w, int64_t now_ms);

/* When what counts in the cell that starts there stops counting: the window's end; of a sliding window's
 * piece the moment when it has wholly gone out. */
int64_t window_gone(const struct window *w, int64_t start_ms);

/* "hour", ..., "session", "total", or "sliding 5h". */
#define WINDOW_TEXT 32
void window_text(const struct window *w, char out[WINDOW_TEXT]);
/* A sliding window's length is rounded up to a multiple of WINDOW_SLIDING_STEP: it is never less than what
 * was written. zone is not touched. False: it is none of these, or a sliding one beyond its bounds. */
#define WINDOW_EXPECTED "hour, day, week, month, session, total, or sliding with 1m to 366d, as sliding 5h"
bool window_parse(const char *text, struct window *out);

#endif
