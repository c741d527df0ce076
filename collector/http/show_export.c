/* SPDX-License-Identifier: MIT
 *
 * An export: MHD asks for bytes, and each piece of rows is read, in a transaction and with a deadline of
 * its own, when the last one has been sent. So memory stays bounded, and no read transaction waits for
 * a slow peer. An export that cannot go on, or from which retention takes what it has not read yet,
 * cuts the connection: it never looks complete when it is not.
 */
#include "show_export.h"

#include <stdlib.h>
#include <string.h>

#include "show_event.h"

#define BLOCK          (4u << 10)   /* bytes that MHD asks for at a time where it cannot send in chunks */
#define PIECES_BYTES   (2u << 20)   /* of all exports together: each reads a share at a time */
#define PIECE_MAX      (256u << 10) /* bytes */
#define PIECE_MIN      (16u << 10)
#define PIECE_ROWS_MAX 1000
#define ROW_BYTES      2048 /* of most rows; a longer one that is the last of a piece makes it grow */

struct export
{
    struct http_server *server; /* borrowed */
    struct listing l;           /* owned: its filter */
    struct events_cursor c;
    struct text text; /* rows that are read and not yet sent: from sent on */
    size_t sent, piece;
    unsigned rows;
};

static bool take_row(void *arg, const struct events_row *row)
{
    struct export *e = arg;

    event_show(&e->text, e->l.format, e->l.q.tables, row, false);
    e->rows++;
    return !e->text.failed && e->text.len < e->piece;
}

static size_t piece_bytes(struct http_server *s)
{
    int64_t open = atomic_load(&s->exports);
    size_t share = PIECES_BYTES / (size_t)(open > 0 ? open : 1);

    return share > PIECE_MAX ? PIECE_MAX : share < PIECE_MIN ? PIECE_MIN : share;
}

static bool incomplete(const struct export *e)
{
    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (e->c.missed[t].last != 0)
            return true;
    }
    return e->text.failed;
}

/* Reads until there is something to send or nothing left. -1: the answer cannot be completed. */
static int read_piece(struct export *e)
{
    struct problem p;
    unsigned got;

    e->text.len = e->sent = 0;
    e->piece = piece_bytes(e->server);
    text_reserve(&e->text, e->piece + ROW_BYTES);
    while (e->text.len == 0 && !events_done(&e->c) && (e->l.limit == 0 || e->rows < e->l.limit)) {
        unsigned left = e->l.limit ? e->l.limit - e->rows : PIECE_ROWS_MAX;
        struct monotime deadline = mono_after(mono_now(), e->server->query_ms);
        if (events_read(e->server->exporters, &e->l.q, &e->c, left < PIECE_ROWS_MAX ? left : PIECE_ROWS_MAX,
                        deadline, &p, take_row, e, &got) != 0 ||
            incomplete(e))
            return -1;
    }
    return 0;
}

static ssize_t next_bytes(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct export *e = cls;

    (void)pos;
    if (atomic_load(&e->server->stopping))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (e->sent == e->text.len && read_piece(e) != 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t len = e->text.len - e->sent < max ? e->text.len - e->sent : max;
    if (len == 0)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(buf, e->text.at + e->sent, len);
    e->sent += len;
    return (ssize_t)len;
}

static void export_free(void *cls)
{
    struct export *e = cls;

    atomic_fetch_sub(&e->server->exports, 1);
    text_fini(&e->text);
    filter_fini(&e->l.q.filter);
    free(e);
}

void show_export(struct request *r, struct listing *l)
{
    struct export *e = calloc(1, sizeof *e);
    struct problem p;

    if (!e || r->plain) {
        filter_fini(&l->q.filter);
        free(e);
        if (r->plain)
            problem_fill(&p, 505,
                         "an export wants HTTP/1.1: over HTTP/1.0 one that is cut would look complete");
        else
            problem_fill(&p, 503, "out of memory");
        answer_problem(r, &p);
        return;
    }
    e->server = r->server;
    e->l = *l;
    atomic_fetch_add(&r->server->exports, 1);
    if (events_begin(r->server->exporters, &e->l.q, e->l.after, request_deadline(r), &p, &e->c) != 0) {
        export_free(e);
        answer_problem(r, &p);
        return;
    }
    if (e->l.format == FORMAT_CSV)
        event_head_csv(&e->text, e->l.q.tables);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, next_bytes, e, export_free);
    if (!response)
        export_free(e);
    answer_response(r, 200, l->format == FORMAT_CSV ? TYPE_CSV : TYPE_NDJSON, response);
}
