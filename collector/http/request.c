/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../query/when.h"
#include "routes.h"

const char *request_param(const struct request *r, const char *name)
{
    for (unsigned i = 0; i < r->params; i++) {
        if (strcmp(r->param[i].name, name) == 0)
            return r->param[i].value;
    }
    return NULL;
}

const char *request_header(const struct request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

int request_number(const struct request *r, const char *name, unsigned max, struct problem *p, unsigned *out)
{
    const char *text = request_param(r, name);
    char expected[64];
    size_t digits = text ? strspn(text, "0123456789") : 0;

    if (!text)
        return 0;
    unsigned long v = strtoul(text, NULL, 10);
    if (digits == 0 || digits > 9 || text[digits] != 0 || v < 1 || v > max) {
        snprintf(expected, sizeof expected, "a number from 1 to %u", max);
        return problem_parameter(p, name, text, expected);
    }
    *out = (unsigned)v;
    return 0;
}

int request_times(const struct request *r, struct problem *p, int64_t *from_ms, int64_t *to_ms)
{
    const char *from = request_param(r, "from"), *to = request_param(r, "to");
    int64_t now = wall_ms();

    if (from && when_parse(from, now, from_ms) != 0)
        return problem_parameter(p, "from", from, WHEN_EXPECTED);
    if (to && when_parse(to, now, to_ms) != 0)
        return problem_parameter(p, "to", to, WHEN_EXPECTED);
    if (*from_ms >= *to_ms)
        return problem_parameter(p, to ? "to" : "from", to ? to : from, "from must be before to");
    return 0;
}

int request_filters(const struct request *r, int end, struct problem *p, struct filter *f)
{
    for (unsigned i = 0; i < r->params; i++) {
        const char *name = r->param[i].name, *value = r->param[i].value;
        size_t len = strlen(name), tag_len;
        int field = field_find(name, len, end);
        const char *tag = field_tag(name, len, &tag_len);
        if (field >= 0 && filter_add(f, (enum field_id)field, value, p) != 0)
            return -1;
        if (tag && filter_add_tag(f, tag, value, p) != 0)
            return -1;
    }
    return 0;
}

bool peer_gone(struct MHD_Connection *connection, int wait_ms)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd fd = { .fd = info ? info->connect_fd : -1, .events = POLLRDHUP };

    return poll(&fd, 1, wait_ms) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

struct monotime request_deadline(const struct request *r)
{
    return mono_after(mono_now(), r->server->query_ms);
}

/* Position of a media type in an Accept header; far behind if it is not there. */
static const char *accepted(const char *accept, const char *type)
{
    const char *at = strstr(accept, type);

    return at ? at : accept + strlen(accept);
}

static enum format format_of_accept(const char *accept, bool ndjson)
{
    const char *json = accepted(accept, "application/json"), *csv = accepted(accept, "text/csv");
    const char *lines = accepted(accept, "application/x-ndjson"),
               *other = accepted(accept, "application/ndjson");

    lines = other < lines ? other : lines;
    if (ndjson && lines < json && lines < csv)
        return FORMAT_NDJSON;
    return csv < json ? FORMAT_CSV : FORMAT_JSON;
}

int request_format(const struct request *r, bool ndjson, struct problem *p, enum format *out)
{
    const char *name = request_param(r, "format"), *accept = request_header(r, MHD_HTTP_HEADER_ACCEPT);

    if (!name)
        *out = accept ? format_of_accept(accept, ndjson) : FORMAT_JSON;
    else if (strcmp(name, "json") == 0)
        *out = FORMAT_JSON;
    else if (strcmp(name, "csv") == 0)
        *out = FORMAT_CSV;
    else if (ndjson && strcmp(name, "ndjson") == 0)
        *out = FORMAT_NDJSON;
    else
        return problem_parameter(p, "format", name, ndjson ? "json, ndjson or csv" : "json or csv");
    return 0;
}

void answer_response(struct request *r, int status, const char *content_type, struct MHD_Response *response)
{
    r->status = status;
    r->result = MHD_NO; /* closes the connection */
    if (!response)
        return;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (status == 401)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"tollgate\"");
    if (status == 405 && r->route) {
        char allow[ROUTE_ALLOW_MAX];
        route_allow(r->route, allow);
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    }
    if (status == 503)
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (r->next[0])
        MHD_add_response_header(response, "Tollgate-Next", r->next);
    if (r->truncated)
        MHD_add_response_header(response, "Tollgate-Truncated", "true");
    r->result = MHD_queue_response(r->connection, (unsigned)status, response);
    MHD_destroy_response(response);
}

void answer_text(struct request *r, int status, const char *content_type, struct text *body)
{
    static const char no_memory[] =
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,"
        "\"detail\":\"out of memory\"}";

    if (body->failed) {
        text_fini(body);
        answer_response(r, 503, TYPE_PROBLEM,
                        MHD_create_response_from_buffer(sizeof no_memory - 1, (void *)(uintptr_t)no_memory,
                                                        MHD_RESPMEM_PERSISTENT));
        return;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->len, body->at, MHD_RESPMEM_MUST_FREE);
    if (!response)
        text_fini(body);
    answer_response(r, status, content_type, response);
}

void answer_problem(struct request *r, const struct problem *p)
{
    const char *title = MHD_get_reason_phrase_for((unsigned)p->status);
    struct text t = { 0 };

    text_str(&t, "{");
    text_key_str(&t, "type", "about:blank");
    text_key_str(&t, "title", title);
    text_key_int(&t, "status", p->status);
    text_key_str(&t, "detail", p->detail);
    if (p->parameter[0]) {
        text_key_str(&t, p->of_body ? "field" : "parameter", p->parameter);
        text_key_str(&t, "value", p->value);
        text_key_str(&t, "expected", p->expected);
    }
    text_str(&t, "}\n");
    answer_text(r, p->status, TYPE_PROBLEM, &t);
}
