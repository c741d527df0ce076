/* SPDX-License-Identifier: MIT
 *
 * identifier.h: the short spelling of identifiers in the log (schema/identifier.def): a UUID takes 17
 * bytes instead of 36, a trace id 17 instead of 32. Packing is exact: what unpacks differently is
 * not packed. Pure.
 */
#ifndef COLLECTOR_IDENTIFIER_H
#define COLLECTOR_IDENTIFIER_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "event.h"

#define IDENTIFIER_MAX      256 /* bytes of a packed one: never longer than the text, which is at most 255 */
#define IDENTIFIER_TEXT_MAX 520 /* bytes of any packed one's text */
#define IDENTIFIER_CALL     ":model:" /* between run_id and the number in a call_id */

/* Packs text; the bytes used, or 0: it stays text (also if it is unknown or longer than 255). */
size_t identifier_pack(struct slice text, uint8_t out[IDENTIFIER_MAX]);

/* The text of a packed one, not terminated; its length, or 0: damaged. */
size_t identifier_unpack(const uint8_t *packed, size_t len, char out[IDENTIFIER_TEXT_MAX]);

/* The n of a call_id that is run_id ":model:" n, in its one spelling; or -1. */
int64_t identifier_call(struct slice call_id, struct slice run_id);

/* Binds an identifier as the log spells it. scratch must live until the statement has run. */
void identifier_bind(sqlite3_stmt *stmt, int at, struct slice text, uint8_t scratch[IDENTIFIER_MAX]);

/* Gives a connection the functions that spell identifiers out again:
 *   identifier(x)                        any but a call_id
 *   call_identifier(call_id, run_id)     both as stored
 *   event_identifier(event_id, session_id, response_id, span_id)   16 bytes; session_id as text
 * An SQLite code. */
int identifier_functions(sqlite3 *db);

#endif
