/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <string.h>

#include "cli.h"

#define REPORTS "/v1/events?kind=report&limit=1000&from=-7d"

/* `dropped` is a number, or numbers by reason. */
static int64_t dropped(const json_t *report)
{
    json_t *value = json_object_get(json_object_get(report, "body"), "dropped");
    int64_t sum = json_integer_value(value);

    for (void *at = json_object_iter(value); at; at = json_object_iter_next(value, at))
        sum += json_integer_value(json_object_iter_value(at));
    return sum;
}

struct losses {
    json_t *seen; /* owned: the epochs whose newest report is counted */
    int64_t lost, most;
    char *worst; /* borrowed, and as large as size */
    size_t size;
};

static void report_add(struct losses *l, const json_t *report)
{
    const char *source = json_string_value(json_object_get(report, "source"));
    int64_t n = dropped(report);
    char epoch[512];

    snprintf(epoch, sizeof epoch, "%" PRId64 "/%s",
             (int64_t)json_integer_value(json_object_get(report, "epoch")), source ? source : "");
    if (json_object_get(l->seen, epoch))
        return;
    json_object_set_new(l->seen, epoch, json_true());
    l->lost += n;
    if (n > l->most) {
        l->most = n;
        snprintf(l->worst, l->size, "%s", source ? source : "");
    }
}

/* One page, and after becomes the cursor of the next, or "" after the last. False: cannot be read. */
static bool page_add(struct losses *l, const struct cli *c, char *after, size_t size)
{
    struct cli q = { .url = c->url, .token = c->token };
    int status;

    if (after[0])
        cli_param_default(&q, "after", after);
    json_t *answer = cli_json(&q, REPORTS, true, &status), *events = json_object_get(answer, "events");
    const char *next = json_string_value(json_object_get(answer, "next"));
    for (size_t i = 0; i < json_array_size(events); i++)
        report_add(l, json_array_get(events, i));
    snprintf(after, size, "%s", next ? next : "");
    json_decref(answer);
    return answer != NULL;
}

/* Totals since the epoch began, newest report first: the first one of an epoch says it all. An emitter
 * that is silent since days may stand on any page, so all are read. */
int64_t reports_lost(const struct cli *c, char *worst, size_t size)
{
    struct losses l = { .seen = json_object(), .worst = worst, .size = size };
    char after[64] = "";
    bool well;

    snprintf(worst, size, "%s", "");
    do
        well = page_add(&l, c, after, sizeof after);
    while (well && after[0]);
    json_decref(l.seen);
    return well ? l.lost : -1;
}
