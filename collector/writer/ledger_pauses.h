/* SPDX-License-Identifier: MIT
 *
 * ledger_pauses.h: pauses come and go: by a person's word, by a runaway rule, by themselves. One holds at
 * once for whoever has the name; a block beats a delay, a longer delay a shorter one. Owner: the writer,
 * inside a transaction. Functions return 0 or a negative SQLite code.
 */
#ifndef COLLECTOR_LEDGER_PAUSES_H
#define COLLECTOR_LEDGER_PAUSES_H

#include "ledger.h"

#define PAUSES_MAX       4000   /* in force: what publishers can be told of */
#define PAUSES_ENDED_MAX 100000 /* older ones are forgotten */

/* All borrowed. */
struct pause_new {
    enum subject_field field;
    const char *value;
    int64_t delay_ms;            /* before each call; 0: it blocks */
    int64_t until_ms;            /* WINDOW_NEVER: until it is resumed */
    const char *rule;            /* the runaway rule that makes it; NULL: a person does */
    int64_t alert;               /* which tells of it and ends with it; UNKNOWN: none */
    const char *author, *reason; /* "": none */
};

/* Puts a pause in force. One of the same rule (or of persons) that holds already is prolonged and made
 * harder, never shorter or softer: then *id is that one's. *id 0: there are PAUSES_MAX, and this one is not
 * among them. */
int ledger_pause_put(struct ledger *l, const struct pause_new *p, int64_t *id);

/* Ends the one with this id, or (id 0) all of this field and value. *ended: how many. */
int ledger_pause_resume(struct ledger *l, int64_t id, enum subject_field field, const char *value,
                        const char *author, int *ended);

#endif
