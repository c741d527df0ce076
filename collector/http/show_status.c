/* SPDX-License-Identifier: MIT */
#include <sqlite3.h>
#include <string.h>
#include <unistd.h>

#include "../../include/tollgate.h"
#include "../query/when.h"
#include "routes.h"

void show_health(struct request *r)
{
    struct text t = { 0 };

    text_str(&t, "{\"status\":\"ok\"}\n");
    answer_text(r, 200, TYPE_JSON, &t);
}

/* One reason's text, in the order in which the daemon found them. */
static void reasons_write(struct text *t, char reasons[][HTTP_REASON_BYTES], size_t n)
{
    text_key(t, "reasons");
    text_str(t, "[");
    for (size_t i = 0; i < n; i++) {
        text_str(t, i ? "," : "");
        text_json(t, reasons[i], strlen(reasons[i]));
    }
    text_str(t, "]");
}

void show_ready(struct request *r)
{
    char reasons[HTTP_REASONS_MAX][HTTP_REASON_BYTES];
    const struct http_hooks *hooks = &r->server->hooks;
    size_t n = hooks->ready ? hooks->ready(hooks->arg, reasons, HTTP_REASONS_MAX) : 0;
    struct text t = { 0 };

    text_str(&t, "{");
    if (n > 0) {
        text_key_str(&t, "type", "about:blank");
        text_key_str(&t, "title", "Service Unavailable");
        text_key_int(&t, "status", 503);
        text_key_str(&t, "detail", reasons[0]);
    } else {
        text_key_str(&t, "status", "ready");
    }
    reasons_write(&t, reasons, n);
    text_str(&t, "}\n");
    answer_text(r, n ? 503 : 200, n ? TYPE_PROBLEM : TYPE_JSON, &t);
}

void show_version(struct request *r)
{
    const struct http_server *s = r->server;
    char started[WHEN_TEXT];
    struct text t = { 0 };

    when_format(s->started_ms, started);
    text_str(&t, "{");
    text_key_str(&t, "name", "tollgate");
    text_key_str(&t, "version", TG_VERSION);
    text_key_str(&t, "started", started);
    text_key_int(&t, "started_ms", s->started_ms);
    text_key_int(&t, "now_ms", wall_ms());
    text_key_int(&t, "pid", getpid());
    text_key_str(&t, "database", s->database);
    text_key_str(&t, "endpoints", s->endpoints);
    text_key_str(&t, "sqlite", sqlite3_libversion());
    text_key_str(&t, "libmicrohttpd", MHD_get_version());
    text_str(&t, "}\n");
    answer_text(r, 200, TYPE_JSON, &t);
}

void show_metrics(struct request *r)
{
    struct http_server *s = r->server;
    struct metrics_sources from = { .counters = &s->counters,
                                    .names = route_names,
                                    .queries = pool_durations(s->pool),
                                    .connections_limit = s->connections,
                                    .streams_limit = s->streams,
                                    .hooks = &s->hooks };
    struct text t = { 0 };

    metrics_write(&from, &t);
    answer_text(r, 200, TYPE_METRICS, &t);
}

void take_events(struct request *r)
{
    const struct http_hooks *hooks = &r->server->hooks;
    struct text t = { 0 };
    char *json = NULL;

    if (r->body.failed) {
        answer_text(r, 503, TYPE_PROBLEM, &r->body);
        return;
    }
    int status = hooks->post(hooks->arg, request_header(r, MHD_HTTP_HEADER_CONTENT_TYPE),
                             request_param(r, "source"), r->body.at ? r->body.at : "", r->body.len, &json);
    if (json)
        t = (struct text){ .at = json, .len = strlen(json) };
    answer_text(r, status, status < 400 ? TYPE_JSON : TYPE_PROBLEM, &t);
}
