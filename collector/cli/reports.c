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

/* Totals since the epoch began, newest report first: the first one of an epoch says it all. */
int64_t reports_lost(const struct cli *c, char *worst, size_t size)
{
    int status;
    struct cli quiet = { .url = c->url, .token = c->token };
    json_t *answer = cli_json(&quiet, REPORTS, false, &status), *seen = json_object();
    json_t *events = json_object_get(answer, "events");
    int64_t lost = 0, most = 0;
    char epoch[512];

    snprintf(worst, size, "%s", "");
    for (size_t i = 0; i < json_array_size(events); i++) {
        json_t *report = json_array_get(events, i);
        const char *source = json_string_value(json_object_get(report, "source"));
        int64_t n = dropped(report);
        snprintf(epoch, sizeof epoch, "%" PRId64 "/%s",
                 (int64_t)json_integer_value(json_object_get(report, "epoch")), source ? source : "");
        if (json_object_get(seen, epoch))
            continue;
        json_object_set_new(seen, epoch, json_true());
        lost += n;
        if (n > most) {
            most = n;
            snprintf(worst, size, "%s", source ? source : "");
        }
    }
    json_decref(seen);
    json_decref(answer);
    return answer ? lost : -1;
}
