/* SPDX-License-Identifier: MIT
 *
 * The meter against a recount: transactions that succeed and fail, rows that are taken back, more
 * names than there is room for, names that would break the exposition.
 */
#include "writer_db.h"

#include <pthread.h>
#include <stdatomic.h>

#include "collector/http/metrics.h"
#include "collector/writer/meter.h"

/* The names of a combination as they come over the wire; nil where NULL. */
struct wire {
    uint8_t bytes[4096];
    uint32_t len;
};

struct names {
    const char *agent, *provider, *model, *asked, *error;
    uint8_t granularity, status;
};

static void put_text(struct wire *w, const char *s)
{
    size_t len = s != NULL ? strlen(s) : 0;

    if (s == NULL) {
        w->bytes[w->len++] = 0xc0;
        return;
    }
    w->bytes[w->len++] = 0xda;
    w->bytes[w->len++] = (uint8_t)(len >> 8);
    w->bytes[w->len++] = (uint8_t)len;
    memcpy(w->bytes + w->len, s, len);
    w->len += (uint32_t)len;
}

static struct wire wire_of(const struct names *n)
{
    struct wire w = { .len = 0 };
    const char *texts[] = { n->agent, NULL, n->provider, n->model, n->asked, NULL, NULL, NULL };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        put_text(&w, texts[i]);
    w.bytes[w.len++] = 0xc0; /* trigger */
    w.bytes[w.len++] = n->granularity;
    w.bytes[w.len++] = n->status;
    put_text(&w, n->error);
    w.bytes[w.len++] = 0xc0; /* tags */
    return w;
}

struct call {
    struct names names;
    uint32_t dims;
    int64_t num[DISPATCH_NUMS];
};

static struct call call_of(uint32_t dims, struct names names)
{
    struct call c = { .names = names, .dims = dims };

    for (int i = 0; i < DISPATCH_NUMS; i++)
        c.num[i] = UNKNOWN;
    return c;
}

static struct log_row row_of(const struct call *c)
{
    return (struct log_row){ .id = 1,
                             .kind = LOG_DISPATCH,
                             .counts = true,
                             .status = c->names.status,
                             .dims = c->dims,
                             .num = c->num };
}

static void restore(struct meter *m, const struct call *c)
{
    struct log_row row = row_of(c);

    assert_int_equal(meter_restore(m, &row), 0);
}

static void add(struct meter *m, const struct call *c)
{
    struct wire w = wire_of(&c->names);
    struct log_row row = row_of(c);

    meter_row(m, &row, (struct slice){ w.bytes, w.len });
}

static void retract(struct meter *m, const struct call *c)
{
    struct log_row row = row_of(c);

    assert_int_equal(meter_retract(m, &row), 0);
}

/* ----------------------------------------------------------------- what it says */

static void tell(void *arg, metric_fn emit, void *sink)
{
    meter_emit(arg, emit, sink);
}

/* The exposition, ending in NUL; valid until the next one. */
static const char *told(struct meter *m)
{
    static struct http_counters counters;
    static const char *const routes[METRICS_ROUTES];
    static struct text t;
    struct http_hooks hooks = { .arg = m, .metrics = tell };

    text_fini(&t);
    metrics_write(&(struct metrics_sources){ &counters, routes, NULL, 0, 0, &hooks }, &t);
    text_add(&t, "", 1);
    assert_false(t.failed);
    return t.at;
}

static void expect(struct meter *m, const char *line)
{
    char whole[2048];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    const char *text = told(m);
    if (strstr(text, whole) == NULL)
        fail_msg("missing: %s\nin: %s", line, text);
}

static void expect_none(struct meter *m, const char *part)
{
    if (strstr(told(m), part) != NULL)
        fail_msg("unexpected: %s", part);
}

static struct meter *meter_new(void)
{
    struct meter *m = NULL;

    assert_int_equal(meter_open(NULL, &m), 0);
    return m;
}

#define SONNET                                                                                           \
    {                                                                                                    \
        .agent = "a", .provider = "anthropic", .model = "sonnet-2", .asked = "sonnet", .granularity = 1, \
        .status = 1                                                                                      \
    }

static void test_counts(void **state)
{
    struct meter *m = meter_new();
    struct call c = call_of(7, (struct names)SONNET);

    (void)state;
    c.num[D_prompt_tokens] = 1200;
    c.num[D_completion_tokens] = 0;
    c.num[D_cached_tokens] = 1000;
    c.num[D_latency_ms] = 840;
    c.num[D_ttft_ms] = 20;
    c.num[D_cost_reported_nanousd] = 1;
    c.num[D_cost_nanousd] = 7;
    add(m, &c);
    c.num[D_cost_reported_nanousd] = 12345678900;
    c.num[D_cost_nanousd] = 12000000000;
    add(m, &c);
    expect_none(m, "tollgate_usage");
    meter_commit(m);
    expect(
        m,
        "tollgate_usage_calls_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",status=\"ok\"} 2");
    expect(m, "tollgate_usage_calls_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",status="
              "\"error\"} 0");
    expect(m, "tollgate_usage_tokens_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",type="
              "\"prompt\"} 2400");
    expect(m, "tollgate_usage_tokens_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",type="
              "\"completion\"} 0");
    expect_none(m, "type=\"reasoning\"");
    expect(m, "tollgate_usage_unknown_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",field="
              "\"reasoning_tokens\"} 2");
    expect(m, "tollgate_usage_unknown_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\",field="
              "\"cost_reported\"} 0");
    expect(m, "tollgate_usage_cost_reported_usd_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\"} "
              "12.345678901");
    expect(m, "tollgate_usage_cost_usd_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\"} "
              "12.000000007");
    expect(m, "tollgate_usage_unpriced_calls_total{agent=\"a\",provider=\"anthropic\",model=\"sonnet-2\"} 0");
    expect_none(m, "field=\"cost\"");
#define LABELS \
    "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"anthropic\",gen_ai_request_model=\"sonnet\""
    expect(m, "gen_ai_client_token_usage_bucket{" LABELS ",gen_ai_token_type=\"input\",le=\"1024\"} 0");
    expect(m, "gen_ai_client_token_usage_bucket{" LABELS ",gen_ai_token_type=\"input\",le=\"4096\"} 2");
    expect(m, "gen_ai_client_token_usage_bucket{" LABELS ",gen_ai_token_type=\"input\",le=\"+Inf\"} 2");
    expect(m, "gen_ai_client_token_usage_sum{" LABELS ",gen_ai_token_type=\"input\"} 2400");
    expect(m, "gen_ai_client_token_usage_count{" LABELS ",gen_ai_token_type=\"input\"} 2");
    expect(m, "gen_ai_client_token_usage_bucket{" LABELS ",gen_ai_token_type=\"output\",le=\"1\"} 2");
    expect(m, "gen_ai_client_operation_duration_seconds_bucket{" LABELS ",le=\"0.64\"} 0");
    expect(m, "gen_ai_client_operation_duration_seconds_bucket{" LABELS ",le=\"1.28\"} 2");
    expect(m, "gen_ai_client_operation_duration_seconds_sum{" LABELS "} 1.68");
    expect(m, "gen_ai_client_operation_time_to_first_chunk_seconds_bucket{" LABELS ",le=\"0.01\"} 0");
    expect(m, "gen_ai_client_operation_time_to_first_chunk_seconds_bucket{" LABELS ",le=\"0.02\"} 2");
    meter_close(m);
}

static void test_unknown_names_and_errors(void **state)
{
    static const struct {
        uint8_t status;
        const char *error, *label, *status_label;
    } table[] = {
        { 0, NULL, "", "unknown" },
        { 0, "odd", ",error_type=\"odd\"", "unknown" },
        { 1, "ignored", "", "ok" },
        { 2, "rate_limit", ",error_type=\"rate_limit\"", "error" },
        { 2, NULL, ",error_type=\"_OTHER\"", "error" },
        { 3, NULL, ",error_type=\"timeout\"", "timeout" },
        { 4, NULL, ",error_type=\"aborted\"", "aborted" },
        { 5, NULL, ",error_type=\"blocked\"", "blocked" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct meter *m = meter_new();
        struct call c = call_of(
            1, (struct names){ .granularity = 2, .status = table[i].status, .error = table[i].error });
        char line[512];

        c.num[D_latency_ms] = 10;
        add(m, &c);
        meter_commit(m);
        snprintf(line, sizeof line,
                 "gen_ai_client_operation_duration_seconds_count{gen_ai_operation_name=\"invoke_agent\","
                 "gen_ai_provider_name=\"unknown\",gen_ai_request_model=\"unknown\"%s} 1",
                 table[i].label);
        expect(m, line);
        snprintf(line, sizeof line,
                 "tollgate_usage_calls_total{agent=\"unknown\",provider=\"unknown\",model=\"unknown\",status="
                 "\"%s\"} 1",
                 table[i].status_label);
        expect(m, line);
        expect_none(m, "tollgate_usage_tokens_total");
        expect_none(m, "tollgate_usage_cost_reported_usd_total");
        meter_close(m);
    }
}

/* What is rolled back never was, and the ids of its combinations may mean something else then. */
static void test_rollback(void **state)
{
    struct meter *m = meter_new();
    struct call a = call_of(1, (struct names){ .agent = "a", .status = 1 });
    struct call b = call_of(1, (struct names){ .agent = "b", .status = 1 });

    (void)state;
    a.num[D_prompt_tokens] = b.num[D_prompt_tokens] = 5;
    add(m, &a);
    meter_rollback(m);
    add(m, &b);
    add(m, &b);
    meter_commit(m);
    meter_rollback(m);
    expect(m,
           "tollgate_usage_calls_total{agent=\"b\",provider=\"unknown\",model=\"unknown\",status=\"ok\"} 2");
    expect_none(m, "agent=\"a\"");
    meter_close(m);
}

/* A final record takes a partial one's place; nothing shown goes down, and in the end all is right. */
static void test_retract(void **state)
{
    struct meter *m = meter_new();
    struct call partial = call_of(1, (struct names){ .agent = "a" });
    struct call final = call_of(2, (struct names){ .agent = "a", .status = 1 });

    (void)state;
    partial.num[D_prompt_tokens] = 100;
    final.num[D_prompt_tokens] = 80;
    for (int i = 0; i < 3; i++) {
        add(m, &partial);
        meter_commit(m);
        retract(m, &partial);
        add(m, &final);
        meter_commit(m);
    }
#define USAGE(name, rest) "tollgate_usage_" name "{agent=\"a\",provider=\"unknown\",model=\"unknown\"," rest
    expect(m, USAGE("calls_total", "status=\"unknown\"} 1"));
    expect(m, USAGE("calls_total", "status=\"ok\"} 3"));
    expect(m, USAGE("tokens_total", "type=\"prompt\"} 260")); /* 80 + 80 + 100 was the most at any commit */
    expect(m, USAGE("unknown_total", "field=\"completion_tokens\"} 3"));
    add(m, &final);
    meter_commit(m);
    expect(m, USAGE("tokens_total", "type=\"prompt\"} 320"));
    expect(m, "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"unknown\","
              "gen_ai_request_model=\"unknown\",gen_ai_token_type=\"input\"} 320");
    meter_close(m);
}

/* A call is priced anew: only its cost changes, and what is unpriced catches up with the truth. */
static void test_restore(void **state)
{
    struct meter *m = meter_new();
    struct call c = call_of(1, (struct names){ .agent = "a", .status = 1 });

    (void)state;
    c.num[D_prompt_tokens] = 100;
    add(m, &c);
    meter_commit(m);
    expect_none(m, "tollgate_usage_cost_usd_total{"); /* unknown is not 0 */
    expect(m, "tollgate_usage_unpriced_calls_total{agent=\"a\",provider=\"unknown\",model=\"unknown\"} 1");
    for (int i = 0; i < 2; i++) { /* the second time to no effect */
        retract(m, &c);
        c.num[D_cost_nanousd] = 1000000001;
        restore(m, &c);
        meter_commit(m);
    }
    expect(m, USAGE("calls_total", "status=\"ok\"} 1"));
    expect(m, USAGE("tokens_total", "type=\"prompt\"} 100"));
    expect(m,
           "tollgate_usage_cost_usd_total{agent=\"a\",provider=\"unknown\",model=\"unknown\"} 1.000000001");
    expect(m, "tollgate_usage_unpriced_calls_total{agent=\"a\",provider=\"unknown\",model=\"unknown\"} 1");
    c.num[D_cost_nanousd] = UNKNOWN;
    add(m, &c);
    meter_commit(m);
    expect(m, "tollgate_usage_unpriced_calls_total{agent=\"a\",provider=\"unknown\",model=\"unknown\"} 1");
    meter_close(m);
}

/* A row of an earlier life of the process: its names come from the file. What it takes away is owed, so
 * that over both lives everything has been counted once. */
static void test_retract_from_earlier(void **state)
{
    struct store store;
    struct meter *m = NULL;
    struct call partial = call_of(3, (struct names){ .status = 1 });
    struct call final = call_of(4, (struct names){ .agent = "a", .status = 1 });

    (void)state;
    db_open(&store);
    db_exec(&store, "INSERT INTO source VALUES(1,'s',0);"
                    "INSERT INTO dims(id,key,rollup,source,agent_id,status) VALUES(3,x'00',3,1,'a',1)");
    assert_int_equal(meter_open(&store, &m), 0);
    partial.num[D_prompt_tokens] = 100;
    final.num[D_prompt_tokens] = 130;
    retract(m, &partial);
    add(m, &final);
    meter_commit(m);
    expect_none(m, "tollgate_usage"); /* the call has been told before */
    add(m, &final);
    meter_commit(m);
    expect(m, USAGE("calls_total", "status=\"ok\"} 1"));
    expect(m, USAGE("tokens_total", "type=\"prompt\"} 160"));
    retract(m, &(struct call){ .dims = 99 }); /* there is no such combination */
    meter_close(m);
    store_close(&store);
}

/* Rows that are no dispatch or do not count say nothing. */
static void test_ignores(void **state)
{
    struct meter *m = meter_new();
    struct call c = call_of(1, (struct names){ .agent = "a", .status = 1 });
    struct log_row row = row_of(&c);
    struct wire w = wire_of(&c.names);

    (void)state;
    row.counts = false;
    meter_row(m, &row, (struct slice){ w.bytes, w.len });
    meter_row(m, &(struct log_row){ .kind = LOG_MESSAGE, .dims = 1 }, (struct slice){ w.bytes, w.len });
    meter_row(m, &(struct log_row){ .kind = LOG_REPORT }, (struct slice){ NULL, 0 });
    retract(m, &(struct call){ .dims = 99 }); /* no store to ask */
    meter_commit(m);
    expect_none(m, "tollgate_usage");
    meter_close(m);
}

/* ------------------------------------------------------------------------ bounds */

static int lines_with(const char *text, const char *part)
{
    int n = 0;

    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

static void test_bounds(void **state)
{
    enum { AGENTS = 100, MODELS = 90, ERRORS = 40 };
    struct meter *m = meter_new();
    char agent[32], model[32], error[32];
    int64_t calls = 0;

    (void)state;
    for (int a = 0; a < AGENTS; a++)
        for (int o = 0; o < MODELS; o++, calls++) {
            snprintf(agent, sizeof agent, "agent%d", a);
            snprintf(model, sizeof model, "model%d", o);
            snprintf(error, sizeof error, "error%d", (a + o) % ERRORS);
            struct call c = call_of((uint32_t)(a * MODELS + o + 1),
                                    (struct names){ agent, "p", model, NULL, error, 1, 2 });
            c.num[D_latency_ms] = 1;
            c.num[D_prompt_tokens] = 1;
            add(m, &c);
        }
    meter_commit(m);
    const char *text = told(m);
    assert_int_equal(lines_with(text, "status=\"error\"}"), METER_USAGES + 1);
    assert_true(lines_with(text, "gen_ai_client_operation_duration_seconds_count{") <= METER_DURATIONS + 2);
    assert_int_equal(lines_with(text, "gen_ai_client_token_usage_count{"), METER_NAMES + 1);
    assert_non_null(strstr(text, "agent=\"other\",provider=\"other\",model=\"other\",status=\"error\"}"));

    int64_t sum = 0, durations = 0;
    for (const char *at = text; (at = strstr(at, "status=\"error\"} ")) != NULL; at++)
        sum += atoll(at + strlen("status=\"error\"} "));
    for (const char *at = text;
         (at = strstr(at, "\ngen_ai_client_operation_duration_seconds_count{")) != NULL; at++)
        durations += atoll(strstr(at, "} ") + 2);
    assert_int_equal(sum, calls);
    assert_int_equal(durations, calls);
    meter_close(m);
}

/* Who is really called "other" or "unknown" is not told twice. */
static void test_reserved_names(void **state)
{
    struct meter *m = meter_new();
    struct call c = call_of(1, (struct names){ "other", "other", "other", NULL, "_OTHER", 1, 2 });
    struct call u = call_of(2, (struct names){ "unknown", NULL, NULL, NULL, NULL, 1, 2 });
    struct call v = call_of(3, (struct names){ NULL, NULL, NULL, NULL, NULL, 1, 2 });

    (void)state;
    c.num[D_latency_ms] = u.num[D_latency_ms] = v.num[D_latency_ms] = 1;
    add(m, &c);
    add(m, &u);
    add(m, &v);
    meter_commit(m);
    expect(
        m,
        "tollgate_usage_calls_total{agent=\"other\",provider=\"other\",model=\"other\",status=\"error\"} 1");
    expect(m, "tollgate_usage_calls_total{agent=\"unknown\",provider=\"unknown\",model=\"unknown\",status="
              "\"error\"} 2");
    assert_int_equal(lines_with(told(m), "status=\"error\"}"), 2);
    meter_close(m);
}

/* Names with whatever bytes: one line each, quotes closed. Ingest lets no such bytes through but UTF-8. */
static void test_hostile_names(void **state)
{
    struct meter *m = meter_new();
    char longest[256];

    (void)state;
    memset(longest, '"', 255);
    longest[255] = 0;
    struct call c =
        call_of(1, (struct names){ "q\"} 1\nevil 2", "back\\slash", "\xff\xfe", NULL, NULL, 1, 1 });
    struct call d = call_of(2, (struct names){ longest, "caf\xc3\xa9", longest, longest, NULL, 1, 1 });
    c.num[D_latency_ms] = d.num[D_latency_ms] = 1;
    add(m, &c);
    add(m, &d);
    meter_commit(m);
    expect(m, "tollgate_usage_calls_total{agent=\"q\\\"} 1\\nevil 2\",provider=\"back\\\\slash\","
              "model=\"\xef\xbf\xbd\xef\xbf\xbd\",status=\"ok\"} 1");
    expect_none(m, "\nevil");
    const char *text = told(m);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        size_t quotes = 0, len = strcspn(line, "\n");
        for (size_t i = 0; i < len; i++) {
            i += line[i] == '\\'; /* and what it escapes */
            quotes += line[i] == '"' && (i == 0 || line[i - 1] != '\\' || (i > 1 && line[i - 2] == '\\'));
        }
        assert_true(line[0] == '#' || quotes % 2 == 0);
    }
    meter_close(m);
}

/* ------------------------------------------------------------------------ recount */

/* Every bucket of both kinds: at a bound, one below, one above. */
static void test_buckets(void **state)
{
    static const int64_t token[] = { 1,     4,     16,     64,      256,     1024,     4096,
                                     16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864 };
    static const char *const time[] = { "0.01", "0.02", "0.04", "0.08",  "0.16",  "0.32",  "0.64",
                                        "1.28", "2.56", "5.12", "10.24", "20.48", "40.96", "81.92" };
    char line[512];

    (void)state;
    for (int i = 0; i < 14; i++)
        for (int off = -1; off <= 1; off++) {
            struct meter *m = meter_new();
            struct call c = call_of(1, (struct names){ .granularity = 1, .status = 1 });
            c.num[D_prompt_tokens] = token[i] + off;
            c.num[D_latency_ms] = (10LL << i) + off;
            add(m, &c);
            meter_commit(m);
#define NOBODY \
    "gen_ai_operation_name=\"chat\",gen_ai_provider_name=\"unknown\",gen_ai_request_model=\"unknown\""
            snprintf(line, sizeof line,
                     "gen_ai_client_token_usage_bucket{" NOBODY
                     ",gen_ai_token_type=\"input\",le=\"%lld\"} %d",
                     (long long)token[i], off <= 0);
            expect(m, line);
            if (i > 0) {
                snprintf(line, sizeof line,
                         "gen_ai_client_token_usage_bucket{" NOBODY
                         ",gen_ai_token_type=\"input\",le=\"%lld\"} 0",
                         (long long)token[i - 1]);
                expect(m, line);
            }
            snprintf(line, sizeof line,
                     "gen_ai_client_operation_duration_seconds_bucket{" NOBODY ",le=\"%s\"} %d", time[i],
                     off <= 0);
            expect(m, line);
            meter_close(m);
        }
}

/* What a recount says of one agent; and whose partial records wait for their final ones. */
enum { AGENTS = 5, WAITING = 32 };
struct model {
    int64_t prompt[AGENTS], calls[AGENTS];
    struct call waiting[WAITING];
    int open;
};

static struct call random_call(void)
{
    static const char *const names[AGENTS] = { "a0", "a1", "a2", "a3", "a4" };
    int a = rand() % AGENTS;
    struct call c = call_of((uint32_t)a + 1, (struct names){ .agent = names[a], .status = 1 });

    c.num[D_prompt_tokens] = rand() % 1000;
    return c;
}

static void model_count(struct model *model, const struct call *c, int64_t sign)
{
    model->prompt[c->dims - 1] += sign * c->num[D_prompt_tokens];
    model->calls[c->dims - 1] += sign;
}

static void random_step(struct meter *m, struct model *model)
{
    struct call c = random_call();

    if (model->open > 0 && rand() % 4 == 0) { /* a final record, of whichever agent */
        struct call *old = &model->waiting[--model->open];
        retract(m, old);
        model_count(model, old, -1);
    }
    add(m, &c);
    model_count(model, &c, 1);
    if (model->open < WAITING && rand() % 4 == 0)
        model->waiting[model->open++] = c;
}

/* Shown is the most that was true at any commit. */
static void test_history(void **state)
{
    static struct model live, saved, most;
    struct meter *m = meter_new();
    char line[256];

    (void)state;
    srand(7);
    for (int step = 0; step < 20000; step++) {
        random_step(m, &live);
        if (rand() % 16 != 0)
            continue;
        if (rand() % 3 == 0) {
            meter_rollback(m);
            live = saved;
            live.open = 0; /* the meter has no store to ask for their names */
            continue;
        }
        meter_commit(m);
        saved = live;
        for (int a = 0; a < AGENTS; a++) {
            most.prompt[a] = live.prompt[a] > most.prompt[a] ? live.prompt[a] : most.prompt[a];
            most.calls[a] = live.calls[a] > most.calls[a] ? live.calls[a] : most.calls[a];
        }
    }
    for (int a = 0; a < AGENTS; a++) {
        assert_true(most.calls[a] > 1000);
        snprintf(line, sizeof line,
                 "tollgate_usage_calls_total{agent=\"a%d\",provider=\"unknown\",model=\"unknown\",status="
                 "\"ok\"} %lld",
                 a, (long long)most.calls[a]);
        expect(m, line);
        snprintf(line, sizeof line,
                 "tollgate_usage_tokens_total{agent=\"a%d\",provider=\"unknown\",model=\"unknown\",type="
                 "\"prompt\"} %lld",
                 a, (long long)most.prompt[a]);
        expect(m, line);
    }
    meter_close(m);
}

static atomic_bool done, went_down;

struct seen {
    int64_t calls;
};

static void see(void *sink, const struct metric *metric)
{
    struct seen *seen = sink;

    if (strcmp(metric->name, "tollgate_usage_calls_total") == 0)
        seen->calls += metric->value;
}

/* Others read while the writer counts and meets new names; what they see only grows. */
static void *read_always(void *arg)
{
    struct meter *m = arg;
    struct seen seen = { 0 };

    for (int64_t last = 0; !atomic_load(&done); last = seen.calls) {
        seen.calls = 0;
        meter_emit(m, see, &seen);
        if (seen.calls < last)
            atomic_store(&went_down, true);
    }
    return NULL;
}

static void test_readers(void **state)
{
    struct meter *m = meter_new();
    pthread_t reader;
    char agent[32];

    (void)state;
    assert_int_equal(pthread_create(&reader, NULL, read_always, m), 0);
    for (uint32_t i = 1; i <= 5000; i++) {
        snprintf(agent, sizeof agent, "agent%u", i % 200);
        struct call c = call_of(i, (struct names){ .agent = agent, .model = agent, .status = 1 });
        c.num[D_latency_ms] = i;
        add(m, &c);
        meter_commit(m);
    }
    atomic_store(&done, true);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_false(atomic_load(&went_down));
    meter_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),         cmocka_unit_test(test_unknown_names_and_errors),
        cmocka_unit_test(test_rollback),       cmocka_unit_test(test_retract),
        cmocka_unit_test(test_restore),        TEST(test_retract_from_earlier),
        cmocka_unit_test(test_ignores),        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_reserved_names), cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_buckets),        cmocka_unit_test(test_history),
        cmocka_unit_test(test_readers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
