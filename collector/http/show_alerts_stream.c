/* SPDX-License-Identifier: MIT
 *
 * GET /v1/alerts/stream: alerts as they are raised, as server-sent events. A viewer is a place in their ids.
 * What becomes of an alert later (its count, its end, its acknowledgement) is not told here.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "live.h"
#include "routes.h"
#include "show_alert.h"

struct follower {
    struct alerts_filter filter; /* owned */
    int64_t after;               /* id */
    struct text *text;           /* borrowed: where the page goes */
};

static void write_id(struct text *t, int64_t id)
{
    text_fmt(t, "id: %" PRId64 "\n", id);
}

static bool write_alert(void *arg, const struct alerts_row *row)
{
    struct text *t = ((struct follower *)arg)->text;

    write_id(t, row->id);
    text_str(t, "event: alert\ndata: ");
    alert_json(t, row);
    text_str(t, "\n\n");
    return !t->failed && t->len < LIVE_PAGE_BYTES;
}

static int read_on(void *arg, struct pool_connection *c, struct text *t, bool *behind)
{
    struct follower *f = arg;
    struct problem p;

    f->text = t;
    return alerts_follow(c, &f->filter, &p, write_alert, f, &f->after, behind);
}

static void write_place(void *arg, struct text *t)
{
    const struct follower *f = arg;

    write_id(t, f->after);
}

static void follower_free(void *arg)
{
    struct follower *f = arg;

    alerts_filter_fini(&f->filter);
    free(f);
}

static const struct live_source source = { read_on, write_place, follower_free };

/* After the id in Last-Event-ID, which counts, or in `after`; else from the end. Who comes from beyond the
 * end, as after a restore, is at the end. */
static int find_place(struct follower *f, const struct request *r, struct problem *p)
{
    const char *last = request_header(r, "Last-Event-ID"), *after = last ? last : request_param(r, "after");
    size_t digits = after ? strspn(after, "0123456789") : 0;
    bool is_end = !after || strcmp(after, "end") == 0;
    int64_t newest, id;

    if (!is_end && (digits == 0 || digits > 18 || after[digits] != 0))
        return problem_parameter(p, last ? "Last-Event-ID" : "after", after,
                                 "the id of an earlier alert, or end for what is still to come");
    if (alerts_newest(r->server->pool, request_deadline(r), p, &newest) != 0)
        return -1;
    id = is_end ? newest : strtoll(after, NULL, 10);
    f->after = id < newest ? id : newest;
    return 0;
}

void show_alerts_stream(struct request *r)
{
    struct follower *f = calloc(1, sizeof *f);
    struct problem p;

    if (!f) {
        problem_fill(&p, 503, "out of memory");
        answer_problem(r, &p);
    } else if (alert_filter_read(r, &p, &f->filter) != 0 || find_place(f, r, &p) != 0) {
        follower_free(f);
        answer_problem(r, &p);
    } else {
        live_answer(r, &source, f, true);
    }
}
