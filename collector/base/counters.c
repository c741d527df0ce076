/* SPDX-License-Identifier: MIT */
#include "counters.h"

static void emit_number(metric_fn emit, void *sink, struct metric *m, _Atomic int64_t *value)
{
    m->value = count_get(value);
    emit(sink, m);
}

static void emit_duration(metric_fn emit, void *sink, struct metric m, struct histogram *h)
{
    int64_t counts[HISTOGRAM_BOUNDS + 1];
    struct metric_histogram read;

    histogram_read(h, counts, &read);
    m.type = "histogram";
    m.per = HISTOGRAM_PER;
    m.histogram = &read;
    emit(sink, &m);
}

void counters_emit(struct counters *c, metric_fn emit, void *sink)
{
#define NUMBER(field, n, h, t, p, ...)                                                                      \
    emit_number(emit, sink,                                                                                 \
                &(struct metric){ .name = "tollgate_" n, .help = h ".", .type = t, .per = p, __VA_ARGS__ }, \
                &c->field);
#define LABEL(l, v)          .labels = { { l, v } }
#define COUNTER(field, help) NUMBER(field, #field "_total", help, "counter", 1, )
#define COUNTER_OF(field, name, label, value, help) \
    NUMBER(field, name "_total", help, "counter", 1, LABEL(label, value))
#define GAUGE(field, help)                        NUMBER(field, #field, help, "gauge", 1, )
#define GAUGE_OF(field, name, label, value, help) NUMBER(field, name, help, "gauge", 1, LABEL(label, value))
#define GAUGE_MS(field, name, help)               NUMBER(field, name, help, "gauge", 1000, )
#define DURATION(field, n, h) \
    emit_duration(emit, sink, (struct metric){ .name = "tollgate_" n, .help = h "." }, &c->field);
#define DURATION_OF(field, n, l, v, h)                                                              \
    emit_duration(emit, sink, (struct metric){ .name = "tollgate_" n, .help = h ".", LABEL(l, v) }, \
                  &c->field);
#include "counters.def"
}
