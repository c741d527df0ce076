/* SPDX-License-Identifier: MIT
 *
 * rollup_slab.h: a slab with its time and the part of the log that its events are in.
 */
#ifndef COLLECTOR_ROLLUP_SLAB_H
#define COLLECTOR_ROLLUP_SLAB_H

#include "../base/slab.h"

#define MINUTE_MS       60000
#define QUARTER_MINUTES 15

struct rollup_slab {
    int64_t start_minute, first_id, last_id;
    struct slab_bytes body; /* owned; length 0: there is none */
};

#endif
