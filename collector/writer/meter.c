/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "meter_cells.h"

/* ------------------------------------------------------------------- cells */

/* The cell of a key; full: other. */
static uint16_t keys_get(struct keys *k, uint32_t one, uint32_t two, uint16_t other)
{
    uint32_t used = atomic_load_explicit(&k->used, memory_order_relaxed);

    for (uint32_t i = 0; i < used; i++)
        if (k->key[i].one == one && k->key[i].two == two)
            return (uint16_t)i;
    if (used == k->max)
        return other;
    k->key[used] = (struct key){ (uint8_t)one, (uint8_t)two };
    atomic_store_explicit(&k->used, used + 1, memory_order_release);
    return (uint16_t)used;
}

static struct slice slice_of(const char *s)
{
    return (struct slice){ (const uint8_t *)s, s != NULL ? (uint32_t)strlen(s) : 0 };
}

int meter_open(struct store *store, struct meter **out)
{
    struct meter *m = calloc(1, sizeof *m);
    const struct slice other = slice_of("other");

    if (m == NULL)
        return -SQLITE_NOMEM;
    m->round = 1;
    table_init(&m->agents, METER_NAMES + 1, "other", "");
    table_init(&m->pairs, METER_NAMES + 1, "other", "other");
    table_init(&m->models, MODELS, "other", "other");
    table_get(&m->models, other, &other, OPERATION_INVOKE_AGENT);
    table_init(&m->errors, METER_ERRORS + 1, "_OTHER", "");
    m->usages = (struct keys){ .max = USAGE_CELLS, .key = m->usage_key };
    m->durations = (struct keys){ .max = DURATION_CELLS, .key = m->duration_key };
    keys_get(&m->usages, 0, 0, 0);
    keys_get(&m->durations, 0, 0, 0);
    keys_get(&m->durations, 0, 1, 0);
    int rc = store == NULL ? 0
                           : store_prepare(store,
                                           "SELECT agent_id, provider, model, requested_model, error_type,"
                                           " granularity, status FROM dims WHERE id=?",
                                           &m->find);
    if (rc == 0)
        *out = m;
    else
        free(m);
    return rc;
}

void meter_close(struct meter *m)
{
    free(m);
}

/* The word where a cell begins, and how many it has. */
static uint32_t cell_words(uint32_t cell, uint32_t *n)
{
    if (cell < MODEL_CELL_0)
        return *n = USAGE_WORDS, cell * USAGE_WORDS;
    if (cell < DURATION_CELL_0)
        return *n = MODEL_WORDS, MODEL_WORD_0 + (cell - MODEL_CELL_0) * MODEL_WORDS;
    return *n = HISTOGRAM, DURATION_WORD_0 + (cell - DURATION_CELL_0) * HISTOGRAM;
}

static void touch(struct meter *m, struct ref *ref)
{
    ref->round = m->round;
    for (int i = 0; i < 3; i++) {
        uint32_t cell = ref->cell[i];
        if (!m->is_touched[cell]) {
            m->is_touched[cell] = true;
            m->touched[m->touched_n++] = (uint16_t)cell;
        }
    }
}

/* ------------------------------------------------------------ names to cells */

/* 0: no error; else 1 + its place among the errors. */
static uint32_t error_of(struct meter *m, uint8_t status, struct slice type)
{
    static const char *const by_status[STATUSES] = { NULL, NULL, "_OTHER", "timeout", "aborted", "blocked" };

    if (status == 1) /* ok */
        return 0;
    if (type.at == NULL || type.len == 0)
        type = slice_of(by_status[status]);
    return type.at == NULL ? 0 : 1 + table_get(&m->errors, type, NULL, 0);
}

static struct ref ref_make(struct meter *m, uint32_t dims, const struct dims_names *d)
{
    uint8_t status = d->code[DIM_status] < STATUSES ? d->code[DIM_status] : 0;
    uint8_t operation = d->code[DIM_granularity] > GRANULARITY_call ? OPERATION_INVOKE_AGENT : OPERATION_CHAT;
    struct slice asked = d->text[d->text[DIM_requested_model].len > 0 ? DIM_requested_model : DIM_model];
    uint32_t agent = table_get(&m->agents, d->text[DIM_agent_id], NULL, 0);
    uint32_t pair = table_get(&m->pairs, d->text[DIM_provider], &d->text[DIM_model], 0);
    uint32_t model = table_get(&m->models, d->text[DIM_provider], &asked, operation);
    uint32_t error = error_of(m, status, d->text[DIM_error_type]);

    if (model == 0) /* no room */
        model = operation;
    uint32_t usage = keys_get(&m->usages, agent, pair, 0);
    uint32_t duration = keys_get(&m->durations, model, error, error != 0);
    return (struct ref){ .dims = dims,
                         .calls = (uint16_t)(usage * USAGE_WORDS + CALLS + status),
                         .usage_word = (uint16_t)(usage * USAGE_WORDS),
                         .model_word = (uint16_t)(MODEL_WORD_0 + model * MODEL_WORDS),
                         .duration_word = (uint16_t)(DURATION_WORD_0 + duration * HISTOGRAM),
                         .cell = { (uint16_t)usage, (uint16_t)(MODEL_CELL_0 + model),
                                   (uint16_t)(DURATION_CELL_0 + duration) } };
}

static struct slice column(sqlite3_stmt *stmt, int i)
{
    return slice_of((const char *)sqlite3_column_text(stmt, i));
}

/* 1: found; 0: there is no such combination; else a negative SQLite code. */
static int ref_find(struct meter *m, uint32_t dims, struct ref *out)
{
    struct dims_names d = { .tags = { NULL, 0 } };

    sqlite3_bind_int64(m->find, 1, dims);
    int rc = sqlite3_step(m->find);
    if (rc == SQLITE_ROW) {
        d.text[DIM_agent_id] = column(m->find, 0);
        d.text[DIM_provider] = column(m->find, 1);
        d.text[DIM_model] = column(m->find, 2);
        d.text[DIM_requested_model] = column(m->find, 3);
        d.text[DIM_error_type] = column(m->find, 4);
        d.code[DIM_granularity] = (uint8_t)sqlite3_column_int(m->find, 5);
        d.code[DIM_status] = (uint8_t)sqlite3_column_int(m->find, 6);
        *out = ref_make(m, dims, &d);
    }
    sqlite3_reset(m->find);
    return rc == SQLITE_ROW ? 1 : rc == SQLITE_DONE ? 0 : -rc;
}

/* ----------------------------------------------------------------- counting */

/* The least i with v < 2^i; v is not negative. */
static inline uint32_t bits(int64_t v)
{
    return 63 - (uint32_t)__builtin_clzll(2 * (uint64_t)v + 1);
}

static inline uint32_t at_most(uint32_t i, uint32_t max)
{
    return i < max ? i : max;
}

/* Bounds 1, 4, 16, ... 4^13. */
static inline uint32_t token_bucket(int64_t n)
{
    return at_most((bits(n - (n > 0)) + 1) / 2, BUCKETS - 1);
}

/* Bounds 10, 20, 40, ... 81,920 ms. */
static inline uint32_t time_bucket(int64_t ms)
{
    return at_most(bits((int64_t)((uint64_t)(ms - (ms > 0)) / 10)), BUCKETS - 1);
}

static inline void observe(int64_t *histogram, uint32_t bucket, int64_t value, int64_t sign)
{
    histogram[bucket] += sign;
    histogram[BUCKETS] += sign * value;
}

static inline void count_amount(int64_t *cell, enum amount i, int64_t n, int64_t sign)
{
    if (n >= 0)
        cell[AMOUNT + i] += sign * n;
    else
        cell[UNKNOWNS + i] += sign;
}

/* sign: 1 or -1, known when this is compiled. */
static inline __attribute__((always_inline)) void count(struct meter *m, struct ref *ref, const int64_t *num,
                                                        int64_t sign)
{
    int64_t *usage = m->live + ref->usage_word, *model = m->live + ref->model_word;

    if (ref->round != m->round)
        touch(m, ref);
    m->live[ref->calls] += sign;
    count_amount(usage, PROMPT, num[D_prompt_tokens], sign);
    count_amount(usage, COMPLETION, num[D_completion_tokens], sign);
    count_amount(usage, CACHED, num[D_cached_tokens], sign);
    count_amount(usage, CACHE_WRITE, num[D_cache_write_tokens], sign);
    count_amount(usage, REASONING, num[D_reasoning_tokens], sign);
    count_amount(usage, COST_REPORTED, num[D_cost_reported_nanousd], sign);
    count_amount(usage, COST, num[D_cost_nanousd], sign);
    if (num[D_prompt_tokens] >= 0)
        observe(model + INPUT, token_bucket(num[D_prompt_tokens]), num[D_prompt_tokens], sign);
    if (num[D_completion_tokens] >= 0)
        observe(model + OUTPUT, token_bucket(num[D_completion_tokens]), num[D_completion_tokens], sign);
    if (num[D_ttft_ms] >= 0)
        observe(model + FIRST, time_bucket(num[D_ttft_ms]), num[D_ttft_ms], sign);
    if (num[D_latency_ms] >= 0)
        observe(m->live + ref->duration_word, time_bucket(num[D_latency_ms]), num[D_latency_ms], sign);
}

/* Apart, so that the way of most rows needs no room for it. */
static __attribute__((noinline)) void ref_read(struct meter *m, uint32_t dims, struct slice wire,
                                               struct ref *out)
{
    struct dims_names names;

    dims_names_read(wire, &names);
    *out = ref_make(m, dims, &names);
}

void meter_row(struct meter *m, const struct log_row *row, struct slice wire)
{
    struct ref *ref = &m->refs[row->dims % REFS];

    if (row->kind != LOG_DISPATCH || !row->counts)
        return;
    if (ref->dims != row->dims)
        ref_read(m, row->dims, wire, ref);
    count(m, ref, row->num, 1);
}

static int count_anew(struct meter *m, const struct log_row *row, int sign)
{
    struct ref *ref = &m->refs[row->dims % REFS];
    int found = 1;

    if (row->kind != LOG_DISPATCH || !row->counts)
        return 0;
    if (ref->dims != row->dims)
        found = m->find != NULL ? ref_find(m, row->dims, ref) : 0;
    if (found > 0 && sign > 0)
        count(m, ref, row->num, 1);
    else if (found > 0)
        count(m, ref, row->num, -1);
    return found < 0 ? found : 0;
}

int meter_retract(struct meter *m, const struct log_row *row)
{
    return count_anew(m, row, -1);
}

int meter_restore(struct meter *m, const struct log_row *row)
{
    return count_anew(m, row, 1);
}

/* No cell counts as touched any more. */
static void next_round(struct meter *m)
{
    m->touched_n = 0;
    if (++m->round == 0) { /* refs that say 0 would be believed */
        memset(m->refs, 0, sizeof m->refs);
        m->round = 1;
    }
}

void meter_commit(struct meter *m)
{
    for (uint32_t t = 0; t < m->touched_n; t++) {
        uint32_t n, first = cell_words(m->touched[t], &n);
        for (uint32_t i = first; i < first + n; i++)
            if (m->live[i] > atomic_load_explicit(&m->shown[i], memory_order_relaxed))
                atomic_store_explicit(&m->shown[i], m->live[i], memory_order_relaxed);
        memcpy(m->saved + first, m->live + first, n * sizeof *m->live);
        m->is_touched[m->touched[t]] = false;
    }
    next_round(m);
}

void meter_rollback(struct meter *m)
{
    for (uint32_t t = 0; t < m->touched_n; t++) {
        uint32_t n, first = cell_words(m->touched[t], &n);
        memcpy(m->live + first, m->saved + first, n * sizeof *m->live);
        m->is_touched[m->touched[t]] = false;
    }
    next_round(m);
    memset(m->refs, 0, sizeof m->refs);
}
