/* SPDX-License-Identifier: MIT */
#include "usage_params.h"

#include <string.h>

#include "../query/when.h"

#define MINUTE_MS 60000
#define DAY_MS    86400000

static bool is_loose(const char *text)
{
    int64_t span_ms;

    return text && text[0] == '-' && when_span(text + 1, &span_ms) == 0 && span_ms % MINUTE_MS == 0;
}

int usage_params_times(const struct request *r, struct problem *p, struct usage_request *q)
{
    const char *from = request_param(r, "from"), *to = request_param(r, "to");
    int64_t now = wall_ms(), next_minute = (now / MINUTE_MS + 1) * MINUTE_MS;

    q->from_ms = now - DAY_MS;
    q->to_ms = next_minute; /* clocks that run a little ahead are seen too */
    q->from_loose = !from || is_loose(from);
    q->to_loose = is_loose(to);
    if (request_times(r, p, &q->from_ms, &q->to_ms) != 0)
        return -1;
    if (to && strcmp(to, "now") == 0)
        q->to_ms = next_minute;
    return 0;
}

int usage_params_order(const struct request *r, struct problem *p, struct usage_request *q)
{
    const char *text = request_param(r, "order");

    if (!text)
        return 0;
    q->ascending = text[0] != '-';
    int found = usage_order_find(text + !q->ascending, strlen(text + !q->ascending));
    if (found < 0)
        return problem_parameter(p, "order", text,
                                 "calls, errors, blocked, aborted, status_unknown, partial, error_rate, "
                                 "cache_hit_rate, the name of a sum (total_tokens) or of a percentile "
                                 "(latency_ms_p95); - before it: downwards");
    q->order = (enum usage_order)found;
    return 0;
}
