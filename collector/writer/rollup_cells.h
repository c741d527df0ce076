/* SPDX-License-Identifier: MIT
 *
 * rollup_cells.h: what has come for the projection 'usage' since the last flush: by minute and
 * combination the differences of the sums, and a list of the latencies. Adding is all that the
 * hot path does; sorting waits for the flush. Owner: the writer.
 */
#ifndef COLLECTOR_ROLLUP_CELLS_H
#define COLLECTOR_ROLLUP_CELLS_H

#include "log_row.h"
#include "rollup_slab.h"

#define ROLLUP_CELLS_MAX   8192 /* then it is full */
#define ROLLUP_MINUTES_MAX 4096
#define ROLLUP_POINTS_MAX  (128 * 1024) /* an event has up to two */

struct rollup_cell;
struct rollup_minute;
struct rollup_place;

struct rollup_cells {
    struct rollup_cell *cells;     /* owned; dense */
    struct rollup_minute *minutes; /* owned; dense */
    uint32_t *points;              /* owned */
    uint32_t *cell_index;          /* owned; hash to cell + 1 */
    uint32_t *minute_index;        /* owned; hash to minute + 1 */
    uint32_t cells_used, minutes_used, points_used;
    uint32_t recent; /* minute of the row before */

    /* While it is taken apart: */
    struct rollup_place *by_time;            /* owned; the minutes */
    uint64_t *order;                         /* owned; the cells by minute and combination */
    uint32_t *scratch;                       /* owned; points are sorted with it */
    struct slab_cell *cell;                  /* owned; one minute's, */
    struct slab_point *point[SLAB_SKETCHES]; /* owned; and its points */
    uint32_t cell_room, point_room[SLAB_SKETCHES];
    uint32_t minutes_given, cells_given, points_given;
};

/* 0, or -1: no memory; fini is due in any case. */
int rollup_cells_init(struct rollup_cells *c);
void rollup_cells_fini(struct rollup_cells *c);
void rollup_cells_clear(struct rollup_cells *c);

/* True when there may be no room for a row. */
bool rollup_cells_is_full(const struct rollup_cells *c);

/* Remembers where the row is; adds it (sign 1) or takes it out (-1) if it is a dispatch that counts. */
void rollup_cells_add(struct rollup_cells *c, const struct log_row *row, int sign);

/* Sorts what has come; clear must follow. Then next gives the minutes in the order of time, each as a
 * packed difference in out (its room is used again): 1, 0: there are no more, -1: no memory. */
void rollup_cells_sort(struct rollup_cells *c);
int rollup_cells_next(struct rollup_cells *c, struct rollup_slab *out);

#endif
