/* SPDX-License-Identifier: MIT
 *
 * The metrics of meter.h, told by any thread: names below a table's used and words of shown only.
 * The GenAI names are those of OpenTelemetry's semantic conventions (development status), as the
 * Prometheus exposition spells them.
 */
#include "meter_cells.h"

#define MS_PER_S     1000
#define NANO_PER_USD 1000000000

static const char *const operation_names[OPERATIONS] = { "chat", "invoke_agent" };

static const char *const token_types[TOKEN_TYPES] = { "prompt", "completion", "cached", "cache_write",
                                                      "reasoning" };
static const char *const told_fields[TOLD] = { "prompt_tokens",      "completion_tokens", "cached_tokens",
                                               "cache_write_tokens", "reasoning_tokens",  "cost_reported" };

static int64_t shown(struct meter *m, uint32_t word)
{
    return atomic_load_explicit(&m->shown[word], memory_order_relaxed);
}

/* Calls of a usage cell, whatever their status. */
static int64_t calls_of(struct meter *m, uint32_t cell)
{
    int64_t calls = 0;

    for (uint32_t i = 0; i < STATUSES; i++)
        calls += shown(m, cell * USAGE_WORDS + CALLS + i);
    return calls;
}

/* What of a usage cell is told, in which words, by which label. */
struct family {
    struct metric metric;
    uint32_t word, words;
    const char *label;
    const char *const *values; /* one for each word */
    bool known;                /* a word is left out while nobody told any of it */
};

static void usage_sample(struct meter *m, struct family *f, uint32_t cell, metric_fn emit, void *sink)
{
    int64_t calls = calls_of(m, cell);

    for (uint32_t i = 0; i < f->words && calls > 0; i++) {
        uint32_t word = cell * USAGE_WORDS + f->word + i;
        f->metric.value = shown(m, word);
        if (f->known && f->metric.value == 0 && shown(m, word + AMOUNTS) >= calls)
            continue;
        if (f->label != NULL) {
            f->metric.labels[3].name = f->label;
            f->metric.labels[3].value = f->values[i];
        }
        emit(sink, &f->metric);
    }
}

static void usage_emit(struct meter *m, struct family f, metric_fn emit, void *sink)
{
    uint32_t used = keys_used(&m->usages);

    f.metric.type = "counter";
    f.metric.labels[0].name = "agent";
    f.metric.labels[1].name = "provider";
    f.metric.labels[2].name = "model";
    for (uint32_t i = 0; i < used; i++) {
        f.metric.labels[0].value = m->agents.entry[m->usage_key[i].one].one;
        f.metric.labels[1].value = m->pairs.entry[m->usage_key[i].two].one;
        f.metric.labels[2].value = m->pairs.entry[m->usage_key[i].two].two;
        usage_sample(m, &f, i, emit, sink);
    }
}

static void usages_emit(struct meter *m, metric_fn emit, void *sink)
{
    static const char *const statuses[STATUSES] = {
        "unknown", "ok", "error", "timeout", "aborted", "blocked"
    };

    usage_emit(
        m,
        (struct family){ .metric = { .name = "tollgate_usage_calls_total", .help = "Model calls stored." },
                         .word = CALLS,
                         .words = STATUSES,
                         .label = "status",
                         .values = statuses },
        emit, sink);
    usage_emit(m,
               (struct family){ .metric = { .name = "tollgate_usage_tokens_total",
                                            .help = "Tokens told; prompt includes cached and cache_write, "
                                                    "completion includes reasoning." },
                                .word = AMOUNT,
                                .words = TOKEN_TYPES,
                                .label = "type",
                                .values = token_types,
                                .known = true },
               emit, sink);
    usage_emit(m,
               (struct family){ .metric = { .name = "tollgate_usage_cost_reported_usd_total",
                                            .help = "Cost that gateways told, in US dollars.",
                                            .per = NANO_PER_USD },
                                .word = AMOUNT + COST_REPORTED,
                                .words = 1,
                                .known = true },
               emit, sink);
    usage_emit(m,
               (struct family){ .metric = { .name = "tollgate_usage_cost_usd_total",
                                            .help = "Cost of the calls that have a price, in US dollars.",
                                            .per = NANO_PER_USD },
                                .word = AMOUNT + COST,
                                .words = 1,
                                .known = true },
               emit, sink);
    usage_emit(m,
               (struct family){ .metric = { .name = "tollgate_usage_unpriced_calls_total",
                                            .help = "Calls that have no price: their cost is not known." },
                                .word = UNKNOWNS + COST,
                                .words = 1 },
               emit, sink);
    usage_emit(m,
               (struct family){ .metric = { .name = "tollgate_usage_unknown_total",
                                            .help = "Calls of which nobody told this number." },
                                .word = UNKNOWNS,
                                .words = TOLD,
                                .label = "field",
                                .values = told_fields },
               emit, sink);
}

static const int64_t token_bounds[BUCKETS - 1] = {
    1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864
};
static const int64_t time_bounds[BUCKETS - 1] = { 10,   20,   40,   80,    160,   320,   640,
                                                  1280, 2560, 5120, 10240, 20480, 40960, 81920 };

static void histogram_emit(struct meter *m, uint32_t word, struct metric metric, metric_fn emit, void *sink)
{
    struct metric_histogram h = { .bounds = metric.per == MS_PER_S ? time_bounds : token_bounds,
                                  .bounds_n = BUCKETS - 1 };
    int64_t counts[BUCKETS], all = 0;

    for (uint32_t i = 0; i < BUCKETS; i++)
        all += counts[i] = shown(m, word + i);
    h.counts = counts;
    h.sum = shown(m, word + BUCKETS);
    metric.type = "histogram";
    metric.histogram = &h;
    if (all > 0)
        emit(sink, &metric);
}

static void model_labels(struct meter *m, uint32_t model, struct metric *metric)
{
    const struct table_entry *e = &m->models.entry[model];

    metric->labels[0].name = "gen_ai_operation_name";
    metric->labels[0].value = operation_names[e->code];
    metric->labels[1].name = "gen_ai_provider_name";
    metric->labels[1].value = e->one;
    metric->labels[2].name = "gen_ai_request_model";
    metric->labels[2].value = e->two;
}

static void models_emit(struct meter *m, metric_fn emit, void *sink)
{
    uint32_t used = table_used(&m->models);
    struct metric tokens = { .name = "gen_ai_client_token_usage",
                             .help = "Number of input and output tokens used." };
    struct metric first = { .name = "gen_ai_client_operation_time_to_first_chunk_seconds",
                            .help = "Time to receive the first chunk.",
                            .per = MS_PER_S };

    tokens.labels[3].name = "gen_ai_token_type";
    for (uint32_t i = 0; i < used; i++) {
        model_labels(m, i, &tokens);
        tokens.labels[3].value = "input";
        histogram_emit(m, MODEL_WORD_0 + i * MODEL_WORDS + INPUT, tokens, emit, sink);
        tokens.labels[3].value = "output";
        histogram_emit(m, MODEL_WORD_0 + i * MODEL_WORDS + OUTPUT, tokens, emit, sink);
    }
    for (uint32_t i = 0; i < used; i++) {
        model_labels(m, i, &first);
        histogram_emit(m, MODEL_WORD_0 + i * MODEL_WORDS + FIRST, first, emit, sink);
    }
}

static void durations_emit(struct meter *m, metric_fn emit, void *sink)
{
    uint32_t used = keys_used(&m->durations);

    for (uint32_t i = 0; i < used; i++) {
        struct metric metric = { .name = "gen_ai_client_operation_duration_seconds",
                                 .help = "GenAI operation duration.",
                                 .per = MS_PER_S };
        uint8_t error = m->duration_key[i].two;
        model_labels(m, m->duration_key[i].one, &metric);
        if (error != 0) {
            metric.labels[3].name = "error_type";
            metric.labels[3].value = m->errors.entry[error - 1].one;
        }
        histogram_emit(m, DURATION_WORD_0 + i * HISTOGRAM, metric, emit, sink);
    }
}

void meter_emit(struct meter *m, metric_fn emit, void *sink)
{
    usages_emit(m, emit, sink);
    models_emit(m, emit, sink);
    durations_emit(m, emit, sink);
}
