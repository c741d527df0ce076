/* SPDX-License-Identifier: MIT
 *
 * rollup_file.h: the slabs of the projection 'usage' in the file: adding to minutes, folding minutes
 * into their quarter and day. What rollup.h says is true at every commit is true between any two
 * of these functions but rollup_file_add and rollup_file_settle. Owner: the writer, inside a
 * transaction. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_ROLLUP_FILE_H
#define COLLECTOR_ROLLUP_FILE_H

#include "../base/zone.h"
#include "rollup_slab.h"
#include "store.h"

#define ROLLUP_FOLD_BYTES (8 * 1024 * 1024) /* of minutes in one go: a transaction shall be short */

enum rollup_level { ROLLUP_MINUTE, ROLLUP_QUARTER, ROLLUP_DAY, ROLLUP_LEVELS };

struct rollup_file {
    struct store *store;     /* borrowed */
    const struct zone *zone; /* borrowed */
    int64_t watermark;
    int64_t folded_minute;                 /* all before it are in their quarter and day */
    int64_t unfolded_minute;               /* the first one from there on; INT64_MAX: none */
    struct rollup_slab sum[ROLLUP_LEVELS]; /* being gathered for one quarter, one day */
    struct slab_bytes merged;
    struct slab_merger merger;
    sqlite3_stmt *read[ROLLUP_LEVELS], *write[ROLLUP_LEVELS];
    sqlite3_stmt *write_row, *drop_row, *minutes, *unfolded, *set, *set_watermark;
};

/* fini is due in any case. */
int rollup_file_init(struct rollup_file *f, struct store *store, const struct zone *zone);
void rollup_file_fini(struct rollup_file *f);

/* Reads watermark and folded_minute; forgets what was being gathered. No transaction needed. */
int rollup_file_start(struct rollup_file *f);

/* Adds a difference to its minute, and, if that has been folded, gathers it for its quarter and day.
 * Minutes come in the order of time; settle ends them. */
int rollup_file_add(struct rollup_file *f, const struct rollup_slab *minute);
int rollup_file_settle(struct rollup_file *f);

/* Folds the minutes before end_minute, or, when there is much, the first part of them. */
int rollup_file_fold(struct rollup_file *f, int64_t end_minute);

int rollup_file_set_watermark(struct rollup_file *f, int64_t id);

/* If the days are another zone's: builds them anew from the quarters, in a transaction of its own. What
 * days hold beyond their quarters (retention dropped them) stays where it is. */
int rollup_file_rezone(struct rollup_file *f);

/* For rollup_file_rezone. Adds to one slab; gathers for a level, which is added when another time of
 * that level begins. */
int rollup_file_post(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *delta,
                     int sign);
int rollup_file_gather(struct rollup_file *f, enum rollup_level level, const struct rollup_slab *delta);

#endif
