/* SPDX-License-Identifier: MIT
 *
 * meter_cells.h: what meter.c counts and meter_tell.c shows.
 *
 * All numbers lie in one array of words, cell after cell; a cell is what one set of names counts. The
 * array exists three times: live (with the transaction under way), saved (at the last commit) and
 * shown (what others may read: the greatest that saved ever was). Commit and rollback look at the
 * touched cells only. A direct-mapped cache leads from a combination to its cells; it forgets
 * everything at a rollback, after which ids of combinations may be given anew.
 */
#ifndef COLLECTOR_METER_CELLS_H
#define COLLECTOR_METER_CELLS_H

#include <stdatomic.h>

#include "meter.h"
#include "meter_names.h"

#define STATUSES  6 /* 0: unknown */
#define REFS      16384
#define BUCKETS   15 /* 14 bounds and what is above them */
#define HISTOGRAM (BUCKETS + 1)

enum operation { OPERATION_CHAT, OPERATION_INVOKE_AGENT, OPERATIONS };

/* What is told by type of token, and what may be unknown. */
enum amount {
    PROMPT,
    COMPLETION,
    CACHED,
    CACHE_WRITE,
    REASONING,
    TOKEN_TYPES,
    COST_REPORTED = TOKEN_TYPES,
    TOLD, /* how many of them somebody else tells */
    COST = TOLD,
    AMOUNTS
};

/* The words of each kind of cell. */
enum { CALLS, AMOUNT = CALLS + STATUSES, UNKNOWNS = AMOUNT + AMOUNTS, USAGE_WORDS = UNKNOWNS + AMOUNTS };
enum { INPUT, OUTPUT = INPUT + HISTOGRAM, FIRST = OUTPUT + HISTOGRAM, MODEL_WORDS = FIRST + HISTOGRAM };

#define MODELS          (METER_NAMES + OPERATIONS)
#define USAGE_CELLS     (METER_USAGES + 1)
#define DURATION_CELLS  (METER_DURATIONS + 2)
#define MODEL_CELL_0    USAGE_CELLS
#define DURATION_CELL_0 (MODEL_CELL_0 + MODELS)
#define CELLS           (DURATION_CELL_0 + DURATION_CELLS)
#define MODEL_WORD_0    (USAGE_CELLS * USAGE_WORDS)
#define DURATION_WORD_0 (MODEL_WORD_0 + MODELS * MODEL_WORDS)
#define WORDS           (DURATION_WORD_0 + DURATION_CELLS * HISTOGRAM)

/* Where a combination is counted. */
struct ref {
    uint32_t dims;  /* 0: none */
    uint32_t round; /* its cells have been touched in this one */
    uint16_t calls; /* the word of its status */
    uint16_t usage_word, model_word, duration_word, cell[3];
};
_Static_assert(WORDS <= UINT16_MAX, "a ref names a word with 16 bits");

/* Which names a cell stands for: places in two tables. */
struct key {
    uint8_t one, two;
};

struct keys {
    _Atomic uint32_t used;
    uint32_t max;
    struct key *key; /* borrowed: the array that follows */
};

struct meter {
    sqlite3_stmt *find; /* the names of a combination; NULL: there is no store */
    struct table agents, pairs, models, errors;
    struct keys usages, durations;
    struct key usage_key[USAGE_CELLS];       /* agent, pair */
    struct key duration_key[DURATION_CELLS]; /* model, 0 or 1 + error */
    struct ref refs[REFS];
    uint16_t touched[CELLS];
    uint32_t touched_n, round; /* round: grows with each commit; never 0 */
    bool is_touched[CELLS];
    int64_t live[WORDS], saved[WORDS];
    _Atomic int64_t shown[WORDS];
};

static inline uint32_t keys_used(struct keys *k)
{
    return atomic_load_explicit(&k->used, memory_order_acquire);
}

#endif
