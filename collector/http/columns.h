/* SPDX-License-Identifier: MIT
 *
 * columns.h: the values of a row one after the other, as JSON members or as CSV fields. What is not known
 * is null, or empty. One thread.
 */
#ifndef COLLECTOR_HTTP_COLUMNS_H
#define COLLECTOR_HTTP_COLUMNS_H

#include <stdbool.h>

#include "../query/usage.h"
#include "text.h"

struct columns {
    struct text *t; /* borrowed */
    bool csv;
    bool begun; /* there is a value before this one */
};

void column_text(struct columns *c, const char *name, const char *at, size_t len); /* at NULL: unknown */
void column_int(struct columns *c, const char *name, bool known, int64_t n);
void column_bool(struct columns *c, const char *name, bool value);
void column_rate(struct columns *c, const char *name, double rate); /* below 0: unknown */

/* Two columns: as RFC 3339 under name, and under name_ms. */
void column_time(struct columns *c, const char *name, const char *name_ms, bool known, int64_t ms);

/* Each x of the summed numbers, and x_unknown, of that many calls. */
void column_sums(struct columns *c, int64_t calls, const int64_t sum[DISPATCH_SUMS],
                 const int64_t known[DISPATCH_SUMS]);

/* All that a row of usage has but its names: counts, sums, rates, percentiles. */
void column_usage(struct columns *c, const struct usage_row *row);

/* The names of these columns, each with `before` before it, for the head of a CSV. */
void column_usage_heads(struct columns *c, const char *before);
void column_head(struct columns *c, const char *name);

#endif
