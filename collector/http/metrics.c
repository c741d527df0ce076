/* SPDX-License-Identifier: MIT */
#include "metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Writes samples and, where the name changes, what the name means. */
struct exposition {
    struct text *out;
    char last[128];
};

/* ------------------------------------------------------------------ samples */

/* n / per, exactly: no digit that means nothing, none lost. */
static void decimal_write(struct text *out, int64_t n, int64_t per)
{
    char digits[24];
    uint64_t unit = per > 1 ? (uint64_t)per : 1, v = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    uint64_t rest = v % unit;

    text_fmt(out, "%s%llu", n < 0 ? "-" : "", (unsigned long long)(v / unit));
    if (rest == 0)
        return;
    int places = snprintf(digits, sizeof digits, "%llu", (unsigned long long)unit) - 1;
    for (; rest % 10 == 0; rest /= 10)
        places--;
    text_fmt(out, ".%0*llu", places, (unsigned long long)rest);
}

static void label_write(struct text *out, bool first, const char *name, const char *value)
{
    text_str(out, first ? "{" : ",");
    text_str(out, name);
    text_str(out, "=");
    text_label(out, value ? value : "");
}

/* The name with its labels. le: the bound of a bucket, in the metric's fraction; NULL: no bucket;
 * after the last bound: infinite. */
static void series_write(struct text *out, const struct metric *m, const char *suffix, const int64_t *le)
{
    int n = 0;

    text_str(out, m->name);
    text_str(out, suffix);
    for (; n < METRIC_LABELS && m->labels[n].name; n++)
        label_write(out, n == 0, m->labels[n].name, m->labels[n].value);
    if (le) {
        text_str(out, n == 0 ? "{le=\"" : ",le=\"");
        if (le == m->histogram->bounds + m->histogram->bounds_n)
            text_str(out, "+Inf");
        else
            decimal_write(out, *le, m->per);
        text_str(out, "\"");
    }
    text_str(out, n > 0 || le ? "} " : " ");
}

static void number_write(struct text *out, int64_t n, int64_t per)
{
    decimal_write(out, n, per);
    text_str(out, "\n");
}

static void histogram_write(struct text *out, const struct metric *m)
{
    const struct metric_histogram *h = m->histogram;
    int64_t below = 0;

    for (size_t i = 0; i <= h->bounds_n; i++) {
        below += h->counts[i];
        series_write(out, m, "_bucket", h->bounds + i);
        number_write(out, below, 1);
    }
    series_write(out, m, "_sum", NULL);
    number_write(out, h->sum, m->per);
    series_write(out, m, "_count", NULL);
    number_write(out, below, 1);
}

static void sample_write(void *sink, const struct metric *m)
{
    struct exposition *e = sink;

    if (strcmp(e->last, m->name) != 0) {
        text_fmt(e->out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
        snprintf(e->last, sizeof e->last, "%s", m->name);
    }
    if (m->histogram) {
        histogram_write(e->out, m);
        return;
    }
    series_write(e->out, m, "", NULL);
    number_write(e->out, m->value, m->per);
}

/* ----------------------------------------------------------------- HTTP's own */

static void requests_write(struct exposition *e, struct http_counters *c, const char *const *names)
{
    char status[16];
    struct metric m = { .name = "tollgate_http_requests_total",
                        .help = "HTTP requests by route and status.",
                        .type = "counter",
                        .labels = { { "route", NULL }, { "status", status } } };

    for (int route = 0; route < METRICS_ROUTES; route++) {
        m.labels[0].value = names[route];
        for (int code = 0; names[route] && code < METRICS_STATUSES; code++) {
            m.value = (int64_t)atomic_load(&c->requests[route][code]);
            snprintf(status, sizeof status, "%d", code);
            if (m.value > 0)
                sample_write(e, &m);
        }
    }
}

static void duration_write(struct exposition *e, struct metric m, struct histogram *h, bool always)
{
    int64_t counts[HISTOGRAM_BOUNDS + 1];
    struct metric_histogram read;

    m.type = "histogram";
    m.per = HISTOGRAM_PER;
    m.histogram = &read;
    if (histogram_read(h, counts, &read) > 0 || always)
        sample_write(e, &m);
}

static void durations_write(struct exposition *e, struct http_counters *c, const char *const *names)
{
    struct metric m = { .name = "tollgate_http_request_duration_seconds",
                        .help = "Time from request to end of answer, waits of long polls included.",
                        .labels = { { "route", NULL } } };

    for (int route = 0; route < METRICS_ROUTES; route++) {
        m.labels[0].value = names[route];
        if (names[route])
            duration_write(e, m, &c->duration_us[route], false);
    }
}

static void gauge_write(struct exposition *e, const char *name, const char *help, int64_t value)
{
    sample_write(e, &(struct metric){ .name = name, .help = help, .type = "gauge", .value = value });
}

void metrics_write(const struct metrics_sources *from, struct text *out)
{
    struct http_counters *c = from->counters;
    struct exposition e = { .out = out };

    requests_write(&e, c, from->names);
    durations_write(&e, c, from->names);
    gauge_write(&e, "tollgate_http_connections", "HTTP connections open now.", atomic_load(&c->connections));
    gauge_write(&e, "tollgate_http_connections_limit", "HTTP connections that may be open.",
                from->connections_limit);
    gauge_write(&e, "tollgate_http_streams", "Live event streams open now.", atomic_load(&c->streams));
    gauge_write(&e, "tollgate_http_streams_limit", "Live event streams that may be open.",
                from->streams_limit);
    sample_write(&e, &(struct metric){ .name = "tollgate_http_answers_cut_total",
                                       .help = "Answers that ended before they were complete.",
                                       .type = "counter",
                                       .value = (int64_t)atomic_load(&c->cut) });
    if (from->queries)
        duration_write(&e,
                       (struct metric){ .name = "tollgate_query_duration_seconds",
                                        .help = "Time of a read transaction on the database." },
                       from->queries, true);
    if (from->hooks->metrics)
        from->hooks->metrics(from->hooks->arg, sample_write, &e);
}
