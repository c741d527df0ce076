/* SPDX-License-Identifier: MIT
 *
 * session_name.h: the number by which the table session finds its rows by session_id. Pure.
 */
#ifndef COLLECTOR_SESSION_NAME_H
#define COLLECTOR_SESSION_NAME_H

#include "../../schema/event_id.h"
#include "event.h"

/* 63 bits of a hash of session_id; 0 where it is unknown. Rows of other names may share it. */
static inline int64_t session_name(struct slice session_id)
{
    uint64_t half[2];

    if (session_id.at == NULL)
        return 0;
    tg_hash128(session_id.at, session_id.len, (unsigned char *)half);
    return (int64_t)(half[0] & INT64_MAX);
}

#endif
