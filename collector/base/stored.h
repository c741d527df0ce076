/* SPDX-License-Identifier: MIT
 *
 * stored.h: how the log spells numbers of a dispatch, so that what is common takes no room: the writer's
 * side as functions, the readers' as SQL expressions over dispatch e. NULL is unknown.
 */
#ifndef COLLECTOR_STORED_H
#define COLLECTOR_STORED_H

#include <sqlite3.h>

#include "event.h"

/* 0 and 200 change places: most are 200, and a 0 takes no room. */
static inline int64_t stored_http_status(int64_t status)
{
    return status == 200 ? 0 : status == 0 ? 200 : status;
}
#define STORED_HTTP_STATUS "CASE e.http_status WHEN 0 THEN 200 WHEN 200 THEN 0 ELSE e.http_status END"

/* total_tokens is nearly always the sum of the other two: where both are known, the difference to it is
 * stored, which may be negative. Any of the three may be UNKNOWN. */
static inline void stored_bind_total_tokens(sqlite3_stmt *stmt, int at, int64_t total, int64_t prompt,
                                            int64_t completion)
{
    if (total < 0)
        sqlite3_bind_null(stmt, at);
    else
        sqlite3_bind_int64(stmt, at, prompt >= 0 && completion >= 0 ? total - prompt - completion : total);
}
#define STORED_TOTAL_TOKENS "(e.total_tokens + ifnull(e.prompt_tokens + e.completion_tokens, 0))"

/* The summed numbers, in the order of enum dispatch_sum, a comma before each. */
#define STORED_SUM_COLUMN(name) ", e." #name
#define STORED_SUMS             DISPATCH_SUMMED_BUT_TOTAL(STORED_SUM_COLUMN, ", " STORED_TOTAL_TOKENS)

#endif
