/* SPDX-License-Identifier: MIT
 *
 * GET /v1/stream: events as they are committed, as server-sent events. A viewer is a place in the log; what
 * retention dropped before its turn is told as a gap.
 */
#include <stdlib.h>
#include <string.h>

#include "listing.h"
#include "live.h"
#include "routes.h"
#include "show_event.h"

#define STREAM_EVENTS   256 /* of one page */
#define STREAM_STEP_MAX 200000

struct follower {
    struct listing l;               /* owned: its filter */
    struct events_cursor c;         /* of the page that is being read */
    int64_t dropped[EVENTS_TABLES]; /* how far retention's gaps have been told */
    int64_t step;
    struct text *text; /* borrowed: where the page goes */
};

/* ----------------------------------------------------------------- writing */

static const char *const table_names[EVENTS_TABLES] = { "dispatch", "message", "report" };

static void write_id(struct text *t, int64_t id)
{
    char cursor[EVENTS_CURSOR];

    events_cursor_format(id, cursor);
    text_fmt(t, "id: %s\n", cursor);
}

static void write_gap(struct text *t, int table, const struct events_gap *gap)
{
    char first[EVENTS_CURSOR], last[EVENTS_CURSOR];

    events_cursor_format(gap->first, first);
    events_cursor_format(gap->last, last);
    text_fmt(t, "event: gap\ndata: {\"kind\":\"%s\",\"first\":\"%s\",\"last\":\"%s\"}\n\n",
             table_names[table], first, last);
}

/* What was dropped before it was read comes before what was not. */
static void write_gaps(struct follower *f)
{
    for (int t = 0; t < EVENTS_TABLES; t++) {
        if (f->c.missed[t].last != 0)
            write_gap(f->text, t, &f->c.missed[t]);
        f->c.missed[t].last = 0;
    }
}

static bool write_event(void *arg, const struct events_row *row)
{
    struct follower *f = arg;

    write_gaps(f);
    write_id(f->text, row->id);
    text_fmt(f->text, "event: %s\ndata: ", table_names[row->table]);
    event_show(f->text, FORMAT_NDJSON, f->l.q.tables, row, true); /* ends the line */
    text_str(f->text, "\n");
    return !f->text->failed && f->text->len < LIVE_PAGE_BYTES;
}

/* ------------------------------------------------------------------ source */

static int read_on(void *arg, struct pool_connection *c, struct text *t, bool *behind)
{
    struct follower *f = arg;
    struct problem p;
    unsigned got;

    f->text = t;
    if (events_begin_on(c, &f->l.q, f->l.after, &p, &f->c) != 0)
        return -1;
    text_reserve(t, LIVE_ROOM);
    memcpy(f->c.dropped, f->dropped, sizeof f->dropped);
    f->c.step = f->step ? f->step : f->c.step;
    if (events_read_on(c, &f->l.q, &f->c, STREAM_EVENTS, &p, write_event, f, &got) != 0)
        return -1;
    write_gaps(f);
    memcpy(f->dropped, f->c.dropped, sizeof f->dropped);
    f->step = f->c.step < STREAM_STEP_MAX ? f->c.step : STREAM_STEP_MAX;
    f->l.after = f->c.lo - 1;
    *behind = !events_done(&f->c);
    return 0;
}

static void write_place(void *arg, struct text *t)
{
    const struct follower *f = arg;

    write_id(t, f->l.after);
}

static void follower_free(void *arg)
{
    struct follower *f = arg;

    filter_fini(&f->l.q.filter);
    free(f);
}

static const struct live_source source = { read_on, write_place, follower_free };

/* Where the viewer begins, and whether there is anything to be sent at once. */
static int find_place(struct follower *f, const struct request *r, struct problem *p, bool *behind)
{
    struct events_cursor c;

    if (events_begin(r->server->pool, &f->l.q, f->l.after, request_deadline(r), p, &c) != 0)
        return -1;
    f->l.after = c.lo - 1;
    *behind = !events_done(&c);
    return 0;
}

void show_stream(struct request *r)
{
    struct follower *f = calloc(1, sizeof *f);
    struct problem p;
    bool behind;

    if (!f) {
        problem_fill(&p, 503, "out of memory");
        answer_problem(r, &p);
    } else if (listing_read_stream(r, &p, &f->l) != 0 || find_place(f, r, &p, &behind) != 0) {
        follower_free(f);
        answer_problem(r, &p);
    } else {
        live_answer(r, &source, f, behind);
    }
}
