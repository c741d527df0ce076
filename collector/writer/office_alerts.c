/* SPDX-License-Identifier: MIT
 *
 * office_alerts.c: what people say to alerts.
 */
#include "office_work.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOTE_MAX   500 /* bytes */
#define AUTHOR_MAX 255

/* {id, acked_ms, acked_by, note}; the list stays empty if there is no such alert. */
static int read_ack(struct office_desk *d, json_t *list, int64_t id)
{
    return office_rows(d, list, "SELECT id, acked_ms, acked_by, acked_note AS note FROM alert WHERE id=?",
                       "i", id);
}

static int write_ack(struct office_desk *d, int64_t id, const char *author, const char *note)
{
    int changes = 0;
    int rc = office_run(
        d, &changes, "UPDATE alert SET acked_ms=?, acked_by=?, acked_note=? WHERE id=? AND acked_ms IS NULL",
        "issi", d->l->now_ms, author != NULL ? author : "", note, id);

    if (rc != 0 || changes == 0)
        return rc;
    return office_note(d, "acknowledged",
                       json_pack("{s:I, s:o}", "alert", (json_int_t)id, "note", office_string(note)));
}

int office_ack(struct office_desk *d)
{
    int64_t id = office_number(d, "id", 0);
    char refusal[48];
    const char *author = office_text(d, "author"), *note = office_text(d, "note");

    if (id < 1)
        return office_wrong(d, "id", office_text(d, "id"), "the id of an alert: a whole number from 1 on");
    if (author != NULL && strlen(author) > AUTHOR_MAX)
        return office_wrong(d, "author", "(longer)", "who acknowledges it, in up to 255 bytes");
    if (note != NULL && strlen(note) > NOTE_MAX)
        return office_wrong(d, "note", "(longer)", "a text of up to 500 bytes");
    json_t *list = json_array();
    int rc = write_ack(d, id, author, note);
    if (rc == 0)
        rc = read_ack(d, list, id);
    d->answer = json_incref(json_array_get(list, 0));
    json_decref(list);
    if (rc != 0 || d->answer != NULL)
        return rc;
    snprintf(refusal, sizeof refusal, "there is no alert %" PRId64, id);
    return office_refuse(d, 404, refusal);
}
