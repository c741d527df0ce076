/* SPDX-License-Identifier: MIT */
#include "listing.h"

#include <stdio.h>
#include <string.h>

#include "../base/event.h"
#include "../query/when.h"

#define LIMIT_MAX 999999999 /* of an export */

static int read_kind(const struct request *r, struct problem *p, struct listing *l)
{
    const char *kind = request_param(r, "kind");
    int code = kind ? kind_code(kind, strlen(kind)) : KIND_dispatch;

    if (kind && strcmp(kind, "all") == 0)
        l->q.tables = 1u << TABLE_DISPATCH | 1u << TABLE_MESSAGE | 1u << TABLE_REPORT;
    else if ((kind && strcmp(kind, "message") == 0) || code >= KIND_message_received)
        l->q.tables = 1u << TABLE_MESSAGE;
    else if (code == KIND_dispatch || code == KIND_report)
        l->q.tables = 1u << (code == KIND_dispatch ? TABLE_DISPATCH : TABLE_REPORT);
    else
        return problem_parameter(
            p, "kind", kind,
            "dispatch, message, report, all, message_received, message_sending, message_sent, "
            "agent_end or before_agent_finalize");
    l->q.message_kind = code >= KIND_message_received ? code : 0;
    return 0;
}

/* A parameter that is one of two words; the second is the default. */
static int read_choice(const struct request *r, const char *name, const char *yes, const char *no,
                       struct problem *p, bool *out)
{
    const char *text = request_param(r, name);
    char expected[64];

    *out = text && strcmp(text, yes) == 0;
    if (!text || *out || strcmp(text, no) == 0)
        return 0;
    snprintf(expected, sizeof expected, "%s or %s", yes, no);
    return problem_parameter(p, name, text, expected);
}

static int read_after(const struct request *r, struct problem *p, struct listing *l)
{
    const char *after = request_param(r, "after");

    l->after = l->q.ascending ? 0 : INT64_MAX;
    if (after && strcmp(after, "end") == 0 && l->q.ascending)
        l->after = INT64_MAX;
    else if (after && events_cursor_parse(after, &l->after) != 0)
        return problem_parameter(
            p, "after", after,
            "the `next` of an earlier answer, or, with order=asc, end for what is still to come");
    return 0;
}

static int read_wait(const struct request *r, struct problem *p, struct listing *l)
{
    const char *wait = request_param(r, "wait");

    if (!wait)
        return 0;
    if (when_span(wait, &l->wait_ms) != 0 || l->wait_ms > HTTP_WAIT_MAX_MS)
        return problem_parameter(p, "wait", wait, "a time up to 60s");
    if (!l->q.ascending || l->limit == 0 || l->limit > EVENTS_LIMIT_MAX)
        return problem_parameter(p, "wait", wait,
                                 "only with order=asc and pages (JSON, or a limit up to 1000)");
    return 0;
}

static int read_limit(const struct request *r, struct problem *p, struct listing *l)
{
    bool page = l->format == FORMAT_JSON;

    l->limit = page ? EVENTS_LIMIT : 0;
    return request_number(r, "limit", page ? EVENTS_LIMIT_MAX : LIMIT_MAX, p, &l->limit);
}

int listing_read(const struct request *r, struct problem *p, struct listing *l)
{
    l->q.from_ms = WHEN_MIN;
    l->q.to_ms = INT64_MAX;
    if (request_format(r, true, p, &l->format) != 0 || read_kind(r, p, l) != 0 ||
        request_times(r, p, &l->q.from_ms, &l->q.to_ms) != 0 ||
        read_choice(r, "order", "asc", "desc", p, &l->q.ascending) != 0 ||
        read_choice(r, "superseded", "true", "false", p, &l->q.superseded) != 0 || read_after(r, p, l) != 0 ||
        read_limit(r, p, l) != 0 || read_wait(r, p, l) != 0)
        return -1;
    return request_filters(r, FIELDS, p, &l->q.filter);
}

/* A browser that reconnects says in the header what came last; the parameter is what it began with. */
static int read_place(const struct request *r, struct problem *p, struct listing *l)
{
    const char *last = request_header(r, "Last-Event-ID"), *after = last ? last : request_param(r, "after");

    l->after = INT64_MAX;
    if (!after || strcmp(after, "end") == 0 || events_cursor_parse(after, &l->after) == 0)
        return 0;
    return problem_parameter(p, last ? "Last-Event-ID" : "after", after,
                             "the id of an earlier event, or end for what is still to come");
}

int listing_read_stream(const struct request *r, struct problem *p, struct listing *l)
{
    l->q.from_ms = WHEN_MIN;
    l->q.to_ms = INT64_MAX;
    l->q.ascending = true;
    if (read_kind(r, p, l) != 0 || read_place(r, p, l) != 0)
        return -1;
    return request_filters(r, FIELDS, p, &l->q.filter);
}
