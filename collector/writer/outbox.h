/* SPDX-License-Identifier: MIT
 *
 * outbox.h: changes the tables destination, message_out and message_alert, as the notifier orders
 * (alarm/outbox.h). Owner: the writer, inside a transaction. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_WRITER_OUTBOX_H
#define COLLECTOR_WRITER_OUTBOX_H

#include "../alarm/outbox.h"
#include "store.h"

struct outbox {
    struct store *store; /* borrowed */
    sqlite3_stmt *add, *list, *drop, *drop_messages;
    sqlite3_stmt *place, *advance, *gathering, *make, *join;
    sqlite3_stmt *freeze, *end;
};

int outbox_init(struct outbox *o, struct store *store);

/* *refused: it makes no sense (a destination or a message that is not there): nothing was changed. */
int outbox_serve(struct outbox *o, const struct outbox_change *c, bool *refused);

#endif
