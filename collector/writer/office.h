/* SPDX-License-Identifier: MIT
 *
 * office.h: answers the governor's questions (govern/office.h), inside the writer's transaction.
 */
#ifndef COLLECTOR_WRITER_OFFICE_H
#define COLLECTOR_WRITER_OFFICE_H

#include "../govern/order.h"
#include "ledger.h"

/* Fills o->http_status and o->answer. 0, or a negative SQLite code: the transaction is to be rolled back. */
int office_serve(struct ledger *l, struct order *o);

#endif
