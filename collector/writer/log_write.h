/* SPDX-License-Identifier: MIT
 *
 * log_write.h: an event becomes a row of the log. Owner: the writer, inside a transaction. Functions
 * return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_LOG_WRITE_H
#define COLLECTOR_LOG_WRITE_H

#include "log_row.h"
#include "store.h"

/* The id that follows from a call's names (schema/wire.md). False: from these none does. */
bool log_derive_id(const struct event *e, uint8_t id[16]);

/* row: what the row is known by. state: enum log_state. An id that follows from the names is not stored. */
int log_write_dispatch(struct store *store, const struct log_row *row, const struct event *e, int state);
int log_write_message(struct store *store, const struct log_row *row, const struct event *e);

/* epoch: UNKNOWN, if it came without a stream. *body: the JSON that is stored, or NULL; owned by the caller
 * in any case. */
int log_write_report(struct store *store, const struct log_row *row, const struct event *e, uint32_t source,
                     int64_t epoch, char **body);

#endif
