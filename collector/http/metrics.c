/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Writes samples and, where the name changes, what the name means. */
struct exposition {
    struct text *out;
    char last[128];
};

static void value_write(struct text *out, double value)
{
    if (isnan(value))
        text_str(out, " NaN\n");
    else if (isinf(value))
        text_str(out, value > 0 ? " +Inf\n" : " -Inf\n");
    else if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value)
        text_fmt(out, " %.0f\n", value);
    else
        text_fmt(out, " %.9g\n", value);
}

static void sample_write(void *sink, const struct http_metric *m)
{
    struct exposition *e = sink;

    if (strcmp(e->last, m->name) != 0) {
        text_fmt(e->out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
        snprintf(e->last, sizeof e->last, "%s", m->name);
    }
    text_str(e->out, m->name);
    for (int i = 0; i < HTTP_METRIC_LABELS && m->labels[i].name; i++) {
        text_fmt(e->out, "%c%s=", i ? ',' : '{', m->labels[i].name);
        text_label(e->out, m->labels[i].value ? m->labels[i].value : "");
    }
    if (m->labels[0].name)
        text_str(e->out, "}");
    value_write(e->out, m->value);
}

static void requests_write(struct exposition *e, struct http_counters *c, const char *const *names)
{
    char status[16];
    struct http_metric m = { .name = "tollgate_http_requests_total",
                             .help = "HTTP requests by route and status.",
                             .type = "counter",
                             .labels = { { "route", NULL }, { "status", status } } };

    for (int route = 0; route < METRICS_ROUTES; route++) {
        m.labels[0].value = names[route];
        for (int code = 0; names[route] && code < METRICS_STATUSES; code++) {
            m.value = (double)atomic_load(&c->requests[route][code]);
            snprintf(status, sizeof status, "%d", code);
            if (m.value > 0)
                sample_write(e, &m);
        }
    }
}

/* A summary without quantiles: two samples a route under one name. */
static void durations_write(struct exposition *e, struct http_counters *c, const char *const *names)
{
    const char *name = "tollgate_http_request_seconds";

    text_fmt(e->out, "# HELP %s Time from request to end of answer, waits of long polls included.\n", name);
    text_fmt(e->out, "# TYPE %s summary\n", name);
    for (int route = 0; route < METRICS_ROUTES; route++) {
        uint64_t count = atomic_load(&c->seconds_count[route]);
        if (!names[route] || count == 0)
            continue;
        text_fmt(e->out, "%s_sum{route=\"%s\"} %.6f\n", name, names[route],
                 (double)atomic_load(&c->seconds_us[route]) / 1e6);
        text_fmt(e->out, "%s_count{route=\"%s\"} %llu\n", name, names[route], (unsigned long long)count);
    }
}

void metrics_write(struct http_counters *c, const char *const *names, const struct http_hooks *hooks,
                   struct text *out)
{
    struct exposition e = { .out = out };

    requests_write(&e, c, names);
    durations_write(&e, c, names);
    sample_write(&e, &(struct http_metric){ .name = "tollgate_http_connections",
                                            .help = "HTTP connections open now.",
                                            .type = "gauge",
                                            .value = (double)atomic_load(&c->connections) });
    sample_write(&e, &(struct http_metric){ .name = "tollgate_http_answers_cut_total",
                                            .help = "Answers that ended before they were complete.",
                                            .type = "counter",
                                            .value = (double)atomic_load(&c->cut) });
    if (hooks->metrics)
        hooks->metrics(hooks->arg, sample_write, &e);
}
